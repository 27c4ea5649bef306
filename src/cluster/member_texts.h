/**
 * Member texts: what never changes about a member while its attributes do not (name, address, roles,
 * meta, time of join), each kept once and shared by reference count.
 *
 * A view of N members then costs its fixed records and N of these. Simulated nodes share one table,
 * so that a cluster of N costs N texts and not N * N.
 *
 * Memory   Taken in create, address space until it is used: a slab for each of three sizes.
 *          A full table answers 0, and its user has the policy.
 * Threads  One at a time, all users together.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zactor/err.h>

#include "base/limits.h"

enum {
    ZA_MEMBER_ROLES_MAX = 8,
    ZA_MEMBER_ROLES_BYTES_MAX = ZA_MEMBER_ROLES_MAX * (ZA_ROLE_BYTES_MAX + 1) - 1,
    ZA_MEMBER_META_BYTES_MAX = 512,
};

/** The texts of one member, wherever they lie: not NUL-terminated. */
typedef struct za_member_profile {
    uint64_t joined;     // logical time of its join
    uint64_t attributes; // the incarnation at which roles and meta were set
    const char *name, *address;
    const char *roles; // separated by commas
    const uint8_t *meta;
    uint32_t name_bytes, address_bytes, roles_bytes, meta_bytes;
} za_member_profile_t;

/** One of the table: NUL-terminated, and not to be written. */
typedef struct za_member_text {
    uint64_t joined, attributes;
    uint64_t hash; // over all of it
    uint32_t name_hash, address_hash;
    uint32_t refs;
    uint32_t next; // with the same hash, or free
    uint16_t address_at, roles_at, meta_at, meta_bytes;
    char name[]; // NUL, address, NUL, roles, NUL, meta
} za_member_text_t;

typedef struct za_member_texts za_member_texts_t;

/** A table for `capacity` different texts. ZA_EINVAL, ZA_ENOMEM. */
ZA_MUST_USE za_err_t za_member_texts_create(uint32_t capacity, za_member_texts_t **out);
void za_member_texts_destroy(za_member_texts_t *texts);

/** The id of that text, with one reference more, copied if it is new. 0 if the table is full. */
uint32_t za_member_texts_intern(za_member_texts_t *texts, const za_member_profile_t *profile);
void za_member_texts_release(za_member_texts_t *texts, uint32_t id);
const za_member_text_t *za_member_texts_at(const za_member_texts_t *texts, uint32_t id);
za_member_profile_t za_member_profile(const za_member_text_t *text);
/** Of a name, or of an address. */
uint32_t za_member_text_hash(const char *text, uint32_t bytes);
uint32_t za_member_texts_count(const za_member_texts_t *texts);

/** Whether `roles` are some of theirs: up to eight words of A-Z a-z 0-9 . _ -, commas between them. */
bool za_member_roles_valid(const char *roles, uint32_t bytes);
/** Whether name and address are there and all of it is in bounds and free of control characters. */
bool za_member_profile_valid(const za_member_profile_t *profile);

static inline const char *za_member_text_address(const za_member_text_t *text)
{
    return text->name + text->address_at;
}
static inline const char *za_member_text_roles(const za_member_text_t *text)
{
    return text->name + text->roles_at;
}
static inline const uint8_t *za_member_text_meta(const za_member_text_t *text)
{
    return (const uint8_t *)text->name + text->meta_at;
}
