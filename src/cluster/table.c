#include "cluster/table.h"

#include <string.h>

#include "base/assert.h"
#include "base/pages.h"

enum { BUCKETS_MIN = 16 };

/** Of every hash 31 bits are kept, and the highest says that the record is in use. */
#define USED UINT32_C(0x80000000)

typedef struct za_slot_head {
    uint32_t hash; // 0: not in use
    uint32_t next; // in the bucket, or in the list of freed records
} slot_head_t;

static size_t most_buckets(uint32_t capacity)
{
    size_t buckets = BUCKETS_MIN;
    while (buckets < capacity) {
        buckets *= 2;
    }
    return buckets;
}

za_err_t za_slots_init(za_slots_t *slots, uint32_t capacity, size_t record_bytes)
{
    *slots =
        (za_slots_t){ .record_bytes = record_bytes, .mask = BUCKETS_MIN - 1, .capacity = capacity };
    slots->records = za_pages_alloc(capacity * record_bytes);
    slots->heads = za_pages_alloc(capacity * sizeof *slots->heads);
    slots->buckets = za_pages_alloc(most_buckets(capacity) * sizeof *slots->buckets);
    if (slots->records == NULL || slots->heads == NULL || slots->buckets == NULL) {
        za_slots_deinit(slots);
        return ZA_ENOMEM;
    }
    return ZA_OK;
}

void za_slots_deinit(za_slots_t *slots)
{
    za_pages_free(slots->records, slots->capacity * slots->record_bytes);
    za_pages_free(slots->heads, slots->capacity * sizeof *slots->heads);
    za_pages_free(slots->buckets, most_buckets(slots->capacity) * sizeof *slots->buckets);
    *slots = (za_slots_t){ 0 };
}

static slot_head_t *head_at(const za_slots_t *slots, uint32_t id)
{
    ZA_ASSERT(id != 0 && id <= slots->capacity);
    return &slots->heads[id - 1];
}

static uint32_t *bucket_of(const za_slots_t *slots, uint32_t hash)
{
    uint32_t bucket = hash & slots->mask;
    if (bucket < slots->split) {
        bucket = hash & (2 * slots->mask + 1);
    }
    return &slots->buckets[bucket];
}

static void put_in_bucket(za_slots_t *slots, uint32_t id)
{
    slot_head_t *head = head_at(slots, id);
    uint32_t *bucket = bucket_of(slots, head->hash);
    head->next = *bucket;
    *bucket = id;
}

static void take_from_bucket(za_slots_t *slots, uint32_t id)
{
    const slot_head_t *head = head_at(slots, id);
    uint32_t *place = bucket_of(slots, head->hash);
    while (*place != id) {
        place = &head_at(slots, *place)->next;
    }
    *place = head->next;
}

/** One bucket's records go to two, so that a chain has one record on average. */
static void split_bucket(za_slots_t *slots)
{
    uint32_t id = slots->buckets[slots->split];
    slots->buckets[slots->split] = 0;
    if (++slots->split > slots->mask) {
        slots->mask = 2 * slots->mask + 1;
        slots->split = 0;
    }
    while (id != 0) {
        uint32_t next = head_at(slots, id)->next;
        put_in_bucket(slots, id);
        id = next;
    }
}

uint32_t za_slots_add(za_slots_t *slots, uint64_t hash)
{
    uint32_t id = slots->free;
    if (id != 0) {
        slots->free = head_at(slots, id)->next;
        memset(za_slots_at(slots, id), 0, slots->record_bytes);
    } else if (slots->fresh < slots->capacity) {
        id = ++slots->fresh;
    } else {
        return 0;
    }
    if (slots->count > slots->mask + slots->split) {
        split_bucket(slots);
    }
    head_at(slots, id)->hash = (uint32_t)hash | USED;
    put_in_bucket(slots, id);
    slots->count++;
    return id;
}

void za_slots_remove(za_slots_t *slots, uint32_t id)
{
    ZA_ASSERT(head_at(slots, id)->hash & USED);
    take_from_bucket(slots, id);
    *head_at(slots, id) = (slot_head_t){ .next = slots->free };
    slots->free = id;
    slots->count--;
}

void za_slots_rekey(za_slots_t *slots, uint32_t id, uint64_t hash)
{
    ZA_ASSERT(head_at(slots, id)->hash & USED);
    take_from_bucket(slots, id);
    head_at(slots, id)->hash = (uint32_t)hash | USED;
    put_in_bucket(slots, id);
}

static uint32_t search(const za_slots_t *slots, uint32_t id, uint32_t hash)
{
    while (id != 0 && head_at(slots, id)->hash != hash) {
        id = head_at(slots, id)->next;
    }
    return id;
}

uint32_t za_slots_first(const za_slots_t *slots, uint64_t hash)
{
    uint32_t kept = (uint32_t)hash | USED;
    return search(slots, *bucket_of(slots, kept), kept);
}

uint32_t za_slots_next(const za_slots_t *slots, uint32_t id)
{
    const slot_head_t *head = head_at(slots, id);
    return search(slots, head->next, head->hash);
}

void *za_slots_at(const za_slots_t *slots, uint32_t id)
{
    ZA_ASSERT(id != 0 && id <= slots->capacity);
    return slots->records + (size_t)(id - 1) * slots->record_bytes;
}

bool za_slots_used(const za_slots_t *slots, uint32_t id)
{
    return (head_at(slots, id)->hash & USED) != 0;
}

size_t za_slots_bytes(const za_slots_t *slots)
{
    size_t buckets = (size_t)slots->mask + 1 + slots->split;
    return slots->fresh * (slots->record_bytes + sizeof *slots->heads) +
           buckets * sizeof *slots->buckets;
}

static za_link_t *link_at(const za_slots_t *slots, size_t offset, uint32_t id)
{
    return (za_link_t *)(void *)((uint8_t *)za_slots_at(slots, id) + offset);
}

void za_chain_append(za_chain_t *chain, const za_slots_t *slots, size_t offset, uint32_t id)
{
    za_chain_insert(chain, slots, offset, chain->last, id);
}

void za_chain_insert(za_chain_t *chain, const za_slots_t *slots, size_t offset, uint32_t after,
                     uint32_t id)
{
    za_link_t *link = link_at(slots, offset, id);
    link->prev = after;
    link->next = after != 0 ? link_at(slots, offset, after)->next : chain->first;
    if (link->next != 0) {
        link_at(slots, offset, link->next)->prev = id;
    } else {
        chain->last = id;
    }
    if (after != 0) {
        link_at(slots, offset, after)->next = id;
    } else {
        chain->first = id;
    }
    chain->count++;
}

void za_chain_remove(za_chain_t *chain, const za_slots_t *slots, size_t offset, uint32_t id)
{
    za_link_t *link = link_at(slots, offset, id);
    if (link->prev != 0) {
        link_at(slots, offset, link->prev)->next = link->next;
    } else {
        ZA_ASSERT(chain->first == id);
        chain->first = link->next;
    }
    if (link->next != 0) {
        link_at(slots, offset, link->next)->prev = link->prev;
    } else {
        ZA_ASSERT(chain->last == id);
        chain->last = link->prev;
    }
    *link = (za_link_t){ 0 };
    chain->count--;
}

uint32_t za_chain_next(const za_slots_t *slots, size_t offset, uint32_t id)
{
    return link_at(slots, offset, id)->next;
}

uint32_t za_chain_prev(const za_slots_t *slots, size_t offset, uint32_t id)
{
    return link_at(slots, offset, id)->prev;
}

za_err_t za_blocks_init(za_blocks_t *blocks, uint32_t capacity)
{
    *blocks = (za_blocks_t){ .capacity = capacity };
    blocks->bytes = za_pages_alloc((size_t)capacity * ZA_BLOCK_BYTES);
    blocks->next = za_pages_alloc(capacity * sizeof *blocks->next);
    if (blocks->bytes == NULL || blocks->next == NULL) {
        za_blocks_deinit(blocks);
        return ZA_ENOMEM;
    }
    return ZA_OK;
}

void za_blocks_deinit(za_blocks_t *blocks)
{
    za_pages_free(blocks->bytes, (size_t)blocks->capacity * ZA_BLOCK_BYTES);
    za_pages_free(blocks->next, blocks->capacity * sizeof *blocks->next);
    *blocks = (za_blocks_t){ 0 };
}

static uint32_t take_block(za_blocks_t *blocks)
{
    uint32_t id = blocks->free;
    if (id != 0) {
        blocks->free = blocks->next[id - 1];
    } else {
        id = ++blocks->fresh;
    }
    blocks->used++;
    return id;
}

bool za_blocks_put(za_blocks_t *blocks, const uint8_t *bytes, size_t size, uint32_t *first)
{
    size_t need = (size + ZA_BLOCK_BYTES - 1) / ZA_BLOCK_BYTES;
    if (need > blocks->capacity - blocks->used) {
        return false;
    }
    uint32_t head = 0;
    uint32_t tail = 0;
    for (size_t at = 0; at < size; at += ZA_BLOCK_BYTES) {
        uint32_t id = take_block(blocks);
        size_t part = size - at < ZA_BLOCK_BYTES ? size - at : ZA_BLOCK_BYTES;
        memcpy(blocks->bytes + (size_t)(id - 1) * ZA_BLOCK_BYTES, bytes + at, part);
        blocks->next[id - 1] = 0;
        if (tail != 0) {
            blocks->next[tail - 1] = id;
        } else {
            head = id;
        }
        tail = id;
    }
    *first = head;
    return true;
}

void za_blocks_get(const za_blocks_t *blocks, uint32_t first, uint8_t *out, size_t size)
{
    uint32_t id = first;
    for (size_t at = 0; at < size; at += ZA_BLOCK_BYTES) {
        ZA_ASSERT(id != 0);
        size_t part = size - at < ZA_BLOCK_BYTES ? size - at : ZA_BLOCK_BYTES;
        memcpy(out + at, blocks->bytes + (size_t)(id - 1) * ZA_BLOCK_BYTES, part);
        id = blocks->next[id - 1];
    }
}

void za_blocks_free(za_blocks_t *blocks, uint32_t first)
{
    uint32_t id = first;
    while (id != 0) {
        uint32_t next = blocks->next[id - 1];
        blocks->next[id - 1] = blocks->free;
        blocks->free = id;
        blocks->used--;
        id = next;
    }
}

/* ---- short texts ------------------------------------------------------------------------------ */

enum { UNIT_BYTES = 16 };

static uint32_t class_of(size_t size)
{
    ZA_ASSERT(size > 0 && size <= ZA_TEXT_BYTES_MAX);
    uint32_t class = 0;
    while (((size_t)UNIT_BYTES << class) < size) {
        class ++;
    }
    return class;
}

static uint8_t *cell_at(const za_texts_t *texts, uint32_t id)
{
    ZA_ASSERT(id != 0 && id <= texts->fresh);
    return texts->bytes + (size_t)(id - 1) * UNIT_BYTES;
}

za_err_t za_texts_init(za_texts_t *texts, size_t capacity_bytes)
{
    *texts = (za_texts_t){ .units = (uint32_t)(capacity_bytes / UNIT_BYTES) };
    texts->bytes = za_pages_alloc((size_t)texts->units * UNIT_BYTES);
    return texts->bytes != NULL ? ZA_OK : ZA_ENOMEM;
}

void za_texts_deinit(za_texts_t *texts)
{
    za_pages_free(texts->bytes, (size_t)texts->units * UNIT_BYTES);
    *texts = (za_texts_t){ 0 };
}

uint32_t za_texts_put(za_texts_t *texts, const void *bytes, size_t size)
{
    uint32_t class = class_of(size);
    uint32_t id = texts->free[class];
    if (id != 0) {
        memcpy(&texts->free[class], cell_at(texts, id), sizeof texts->free[class]);
    } else if (texts->units - texts->fresh >= UINT32_C(1) << class) {
        id = texts->fresh + 1;
        texts->fresh += UINT32_C(1) << class;
    } else {
        return 0;
    }
    memcpy(cell_at(texts, id), bytes, size);
    return id;
}

void za_texts_free(za_texts_t *texts, uint32_t id, size_t size)
{
    uint32_t class = class_of(size);
    memcpy(cell_at(texts, id), &texts->free[class], sizeof texts->free[class]);
    texts->free[class] = id;
}

const void *za_texts_at(const za_texts_t *texts, uint32_t id)
{
    return cell_at(texts, id);
}

size_t za_texts_bytes(const za_texts_t *texts)
{
    return (size_t)texts->fresh * UNIT_BYTES;
}
