#include "cluster/member_texts.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/role.h"

/** Most members have a name, an address and a role or two; a meta of some length is rarer. */
static const uint32_t slab_bytes[] = { 128, 256, 1024 };

enum {
    SLABS = sizeof slab_bytes / sizeof *slab_bytes,
    CAPACITY_MAX = 1 << 24,
    SLAB_SHIFT = 28, // an id is slab and place in it, from 1
    BUCKETS_MIN = 64,
    LINE = 64, // bytes of a cache line
};

static_assert(sizeof(za_member_text_t) + ZA_NODE_NAME_BYTES_MAX + ZA_ADDRESS_BYTES_MAX +
                      ZA_MEMBER_ROLES_BYTES_MAX + ZA_MEMBER_META_BYTES_MAX + 3 <=
                  1024,
              "the longest fits the largest slab");

typedef struct slab {
    uint8_t *bytes; // in `memory`, where a cache line begins: most texts are read with one
    void *memory;
    uint32_t fresh, free;
} slab_t;

struct za_member_texts {
    slab_t slabs[SLABS];
    uint32_t capacity, count;
    uint32_t mask; // of the buckets in use: they double as texts come
    uint32_t buckets_max;
    uint32_t *buckets;
};

/** Zero pages cost nothing until they are used. */
static bool slab_create(slab_t *slab, size_t bytes)
{
    uint8_t *memory = calloc(1, bytes + LINE);
    slab->memory = memory;
    slab->bytes = memory != NULL ? memory + (0 - (uintptr_t)memory) % LINE : NULL;
    return memory != NULL;
}

za_err_t za_member_texts_create(uint32_t capacity, za_member_texts_t **out)
{
    if (out == NULL || capacity == 0 || capacity > CAPACITY_MAX) {
        return ZA_EINVAL;
    }
    za_member_texts_t *texts = calloc(1, sizeof *texts);
    if (texts == NULL) {
        return ZA_ENOMEM;
    }
    texts->capacity = capacity;
    texts->mask = BUCKETS_MIN - 1;
    texts->buckets_max = BUCKETS_MIN;
    while (texts->buckets_max < capacity) {
        texts->buckets_max *= 2;
    }
    texts->buckets = calloc(texts->buckets_max, sizeof *texts->buckets);
    bool good = texts->buckets != NULL;
    for (int i = 0; i < SLABS; i++) {
        good = slab_create(&texts->slabs[i], (size_t)capacity * slab_bytes[i]) && good;
    }
    if (!good) {
        za_member_texts_destroy(texts);
        return ZA_ENOMEM;
    }
    *out = texts;
    return ZA_OK;
}

void za_member_texts_destroy(za_member_texts_t *texts)
{
    if (texts == NULL) {
        return;
    }
    for (int i = 0; i < SLABS; i++) {
        free(texts->slabs[i].memory);
    }
    free(texts->buckets);
    free(texts);
}

static za_member_text_t *text_at(const za_member_texts_t *texts, uint32_t id)
{
    uint32_t slab = id >> SLAB_SHIFT;
    uint32_t place = (id & ((UINT32_C(1) << SLAB_SHIFT) - 1)) - 1;
    ZA_ASSERT(slab < SLABS && place < texts->slabs[slab].fresh);
    return (za_member_text_t *)(void *)(texts->slabs[slab].bytes +
                                        (size_t)place * slab_bytes[slab]);
}

const za_member_text_t *za_member_texts_at(const za_member_texts_t *texts, uint32_t id)
{
    return text_at(texts, id);
}

uint32_t za_member_texts_count(const za_member_texts_t *texts)
{
    return texts->count;
}

za_member_profile_t za_member_profile(const za_member_text_t *text)
{
    return (za_member_profile_t){
        .joined = text->joined,
        .attributes = text->attributes,
        .name = text->name,
        .address = za_member_text_address(text),
        .roles = za_member_text_roles(text),
        .meta = za_member_text_meta(text),
        .name_bytes = text->address_at - 1u,
        .address_bytes = (uint32_t)(text->roles_at - text->address_at) - 1u,
        .roles_bytes = (uint32_t)(text->meta_at - text->roles_at) - 1u,
        .meta_bytes = text->meta_bytes,
    };
}

uint32_t za_member_text_hash(const char *text, uint32_t bytes)
{
    return (uint32_t)za_fnv64(ZA_FNV64_INIT, text, bytes);
}

static uint64_t profile_hash(const za_member_profile_t *profile)
{
    // The lengths, too: "a" and "bc" are not "ab" and "c".
    uint64_t hash = za_fnv64(ZA_FNV64_INIT, profile->name, profile->name_bytes);
    hash = za_mix64(hash ^ profile->name_bytes);
    hash = za_fnv64(hash, profile->address, profile->address_bytes);
    hash = za_mix64(hash ^ profile->address_bytes);
    if (profile->roles_bytes > 0 || profile->meta_bytes > 0) {
        hash = za_fnv64(hash, profile->roles, profile->roles_bytes);
        hash = za_mix64(hash ^ profile->roles_bytes);
        hash = za_fnv64(hash, profile->meta, profile->meta_bytes);
    }
    hash = za_mix64(hash ^ profile->joined);
    return za_mix64(hash ^ profile->attributes);
}

static bool same_bytes(const void *a, uint32_t a_bytes, const void *b, uint32_t b_bytes)
{
    return a_bytes == b_bytes && (a_bytes == 0 || memcmp(a, b, a_bytes) == 0);
}

static bool same(const za_member_text_t *text, const za_member_profile_t *b)
{
    za_member_profile_t a = za_member_profile(text);
    return a.joined == b->joined && a.attributes == b->attributes &&
           same_bytes(a.name, a.name_bytes, b->name, b->name_bytes) &&
           same_bytes(a.address, a.address_bytes, b->address, b->address_bytes) &&
           same_bytes(a.roles, a.roles_bytes, b->roles, b->roles_bytes) &&
           same_bytes(a.meta, a.meta_bytes, b->meta, b->meta_bytes);
}

/** Doubles the buckets in use, if the table has outgrown them. */
static void grow_buckets(za_member_texts_t *texts)
{
    if (texts->count <= texts->mask || texts->mask + 1 == texts->buckets_max) {
        return;
    }
    uint32_t old = texts->mask + 1;
    texts->mask = 2 * old - 1;
    for (uint32_t i = 0; i < old; i++) {
        uint32_t id = texts->buckets[i];
        texts->buckets[i] = 0;
        while (id != 0) {
            za_member_text_t *text = text_at(texts, id);
            uint32_t next = text->next;
            uint32_t *bucket = &texts->buckets[text->hash & texts->mask];
            text->next = *bucket;
            *bucket = id;
            id = next;
        }
    }
}

static uint32_t take(za_member_texts_t *texts, uint32_t bytes)
{
    if (texts->count == texts->capacity) {
        return 0;
    }
    uint32_t size = 0;
    while (slab_bytes[size] < bytes) {
        size++;
    }
    slab_t *slab = &texts->slabs[size];
    uint32_t id = slab->free;
    if (id != 0) {
        slab->free = text_at(texts, id)->next;
    } else {
        ZA_ASSERT(slab->fresh < texts->capacity);
        id = size << SLAB_SHIFT | ++slab->fresh;
    }
    texts->count++;
    return id;
}

static char *put(char *at, const void *bytes, uint32_t size)
{
    if (size > 0) {
        memcpy(at, bytes, size);
    }
    at[size] = '\0';
    return at + size + 1;
}

static void fill(za_member_text_t *text, const za_member_profile_t *profile, uint64_t hash)
{
    text->joined = profile->joined;
    text->attributes = profile->attributes;
    text->hash = hash;
    text->name_hash = za_member_text_hash(profile->name, profile->name_bytes);
    text->address_hash = za_member_text_hash(profile->address, profile->address_bytes);
    text->refs = 1;
    char *at = put(text->name, profile->name, profile->name_bytes);
    text->address_at = (uint16_t)(at - text->name);
    at = put(at, profile->address, profile->address_bytes);
    text->roles_at = (uint16_t)(at - text->name);
    at = put(at, profile->roles, profile->roles_bytes);
    text->meta_at = (uint16_t)(at - text->name);
    text->meta_bytes = (uint16_t)profile->meta_bytes;
    if (profile->meta_bytes > 0) {
        memcpy(at, profile->meta, profile->meta_bytes);
    }
}

uint32_t za_member_texts_intern(za_member_texts_t *texts, const za_member_profile_t *profile)
{
    ZA_ASSERT(za_member_profile_valid(profile));
    uint64_t hash = profile_hash(profile);
    for (uint32_t id = texts->buckets[hash & texts->mask]; id != 0;) {
        za_member_text_t *text = text_at(texts, id);
        if (text->hash == hash && same(text, profile)) {
            text->refs++;
            return id;
        }
        id = text->next;
    }
    uint32_t bytes = (uint32_t)sizeof(za_member_text_t) + profile->name_bytes +
                     profile->address_bytes + profile->roles_bytes + profile->meta_bytes + 3;
    uint32_t id = take(texts, bytes);
    if (id == 0) {
        return 0;
    }
    za_member_text_t *text = text_at(texts, id);
    fill(text, profile, hash);
    uint32_t *bucket = &texts->buckets[hash & texts->mask];
    text->next = *bucket;
    *bucket = id;
    grow_buckets(texts);
    return id;
}

void za_member_texts_release(za_member_texts_t *texts, uint32_t id)
{
    za_member_text_t *text = text_at(texts, id);
    ZA_ASSERT(text->refs > 0);
    if (--text->refs > 0) {
        return;
    }
    uint32_t *place = &texts->buckets[text->hash & texts->mask];
    while (*place != id) {
        place = &text_at(texts, *place)->next;
    }
    *place = text->next;
    slab_t *slab = &texts->slabs[id >> SLAB_SHIFT];
    text->next = slab->free;
    slab->free = id;
    texts->count--;
}

/* ---- what a profile may be ----------------------------------------------------------------- */

static bool plain(const char *text, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

bool za_member_roles_valid(const char *roles, uint32_t bytes)
{
    uint32_t count = 0;
    for (uint32_t at = 0; bytes > 0 && at <= bytes; count++) {
        const char *comma = at < bytes ? memchr(roles + at, ',', bytes - at) : NULL;
        uint32_t size = (comma != NULL ? (uint32_t)(comma - roles) : bytes) - at;
        if (!za_role_is_valid(roles + at, size)) {
            return false;
        }
        at += size + 1;
    }
    return count <= ZA_MEMBER_ROLES_MAX;
}

bool za_member_profile_valid(const za_member_profile_t *profile)
{
    return profile->name_bytes > 0 && profile->name_bytes <= ZA_NODE_NAME_BYTES_MAX &&
           profile->address_bytes > 0 && profile->address_bytes <= ZA_ADDRESS_BYTES_MAX &&
           profile->meta_bytes <= ZA_MEMBER_META_BYTES_MAX &&
           plain(profile->name, profile->name_bytes) &&
           plain(profile->address, profile->address_bytes) &&
           za_member_roles_valid(profile->roles, profile->roles_bytes);
}
