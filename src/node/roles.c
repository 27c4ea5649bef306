#include "node/roles.h"

#include <stdatomic.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/pages.h"

enum { PROBES_MAX = 64 }; // also where nodes came and went for years: nobody looks farther

// Uids that no process draws.
#define NEVER_USED UINT64_C(0)
#define VACANT UINT64_MAX // its node has ended; others may lie behind it

typedef struct slot {
    _Atomic uint64_t uid;
    _Atomic uint64_t roles;
} slot_t;

typedef struct role {
    uint64_t hash;
    char text[ZA_ROLE_BYTES_MAX + 1];
} role_t;

struct za_roles {
    size_t bytes;
    _Atomic uint64_t own;
    _Atomic uint32_t known_count;
    role_t known[ZA_ROLES_KNOWN_MAX]; // constant once it is counted
    uint64_t mask;
    slot_t slots[];
};

/* ---- roles as bits ---------------------------------------------------------------------------- */

static uint64_t bit_of(const za_roles_t *roles, const char *text, size_t size)
{
    uint64_t hash = za_fnv64(ZA_FNV64_INIT, text, size);
    uint32_t count =
        atomic_load_explicit(&roles->known_count, memory_order_acquire); // pairs: roles-known
    for (uint32_t i = 0; i < count; i++) {
        const role_t *known = &roles->known[i];
        if (known->hash == hash && strlen(known->text) == size &&
            memcmp(known->text, text, size) == 0) {
            return UINT64_C(1) << i;
        }
    }
    return 0;
}

/** 0: there is no room for one more, or it is none. */
static uint64_t make_bit(za_roles_t *roles, const char *text, size_t size)
{
    uint64_t bit = bit_of(roles, text, size);
    // relaxed: ours
    uint32_t count = atomic_load_explicit(&roles->known_count, memory_order_relaxed);
    if (bit != 0 || count == ZA_ROLES_KNOWN_MAX || size > ZA_ROLE_BYTES_MAX) {
        return bit;
    }
    role_t *known = &roles->known[count];
    memcpy(known->text, text, size);
    known->hash = za_fnv64(ZA_FNV64_INIT, text, size);
    atomic_store_explicit(&roles->known_count, count + 1,
                          memory_order_release); // pairs: roles-known
    return UINT64_C(1) << count;
}

static za_err_t bits_of(za_roles_t *roles, const char *list, uint64_t *out)
{
    za_err_t err = ZA_OK;
    *out = 0;
    while (*list != '\0') {
        size_t size = strcspn(list, ",");
        uint64_t bit = size > 0 ? make_bit(roles, list, size) : 0;
        err = size > 0 && bit == 0 ? ZA_ENOBUFS : err;
        *out |= bit;
        list += size + (list[size] == ',');
    }
    return err;
}

uint64_t za_roles_bit(const za_roles_t *roles, const char *role)
{
    return bit_of(roles, role, strlen(role));
}

/* ---- life ------------------------------------------------------------------------------------- */

za_err_t za_roles_create(uint32_t nodes_max, const char *own, za_roles_t **out)
{
    uint64_t slots = 2 * PROBES_MAX;
    while (slots < 2 * (uint64_t)nodes_max) { // at most half full: probes stay short
        slots *= 2;
    }
    size_t bytes = sizeof(za_roles_t) + slots * sizeof(slot_t);
    za_roles_t *roles = za_pages_alloc(bytes);
    if (roles == NULL) {
        return ZA_ENOMEM;
    }
    roles->bytes = bytes;
    roles->mask = slots - 1;
    uint64_t bits;
    za_err_t err = bits_of(roles, own, &bits);
    if (err != ZA_OK) {
        za_roles_destroy(roles);
        return err;
    }
    atomic_store_explicit(&roles->own, bits, memory_order_relaxed); // nobody reads yet
    *out = roles;
    return ZA_OK;
}

void za_roles_destroy(za_roles_t *roles)
{
    if (roles != NULL) {
        za_pages_free(roles, roles->bytes);
    }
}

/* ---- nodes ------------------------------------------------------------------------------------ */

/** Where the node is, or else where it may be put; NULL: no room. */
static slot_t *find_slot(za_roles_t *roles, uint64_t uid)
{
    slot_t *vacant = NULL;
    for (uint64_t i = 0; i < PROBES_MAX; i++) {
        slot_t *slot = &roles->slots[(za_mix64(uid) + i) & roles->mask];
        uint64_t found = atomic_load_explicit(&slot->uid, memory_order_relaxed); // ours
        if (found == uid) {
            return slot;
        }
        if (vacant == NULL && (found == VACANT || found == NEVER_USED)) {
            vacant = slot;
        }
        if (found == NEVER_USED) {
            break;
        }
    }
    return vacant;
}

za_err_t za_roles_set(za_roles_t *roles, uint64_t uid, const char *list)
{
    uint64_t bits;
    za_err_t err = bits_of(roles, list, &bits);
    if (bits == 0) {
        za_roles_forget(roles, uid);
        return err;
    }
    slot_t *slot = find_slot(roles, uid);
    if (slot == NULL) {
        return ZA_ENOBUFS;
    }
    // Who sees these bits sees that the slot is not its former node's any more.
    atomic_store_explicit(&slot->roles, bits, memory_order_release); // pairs: roles-slot
    atomic_store_explicit(&slot->uid, uid, memory_order_release);    // pairs: roles-node
    return err;
}

void za_roles_forget(za_roles_t *roles, uint64_t uid)
{
    slot_t *slot = find_slot(roles, uid);
    if (slot != NULL && atomic_load_explicit(&slot->uid, memory_order_relaxed) == uid) { // ours
        atomic_store_explicit(&slot->uid, VACANT, memory_order_relaxed); // see za_roles_set
    }
}

uint64_t za_roles_of(const za_roles_t *roles, uint64_t uid)
{
    if (uid == 0) {
        return atomic_load_explicit(&roles->own, memory_order_relaxed); // constant
    }
    for (uint64_t i = 0; i < PROBES_MAX; i++) {
        const slot_t *slot = &roles->slots[(za_mix64(uid) + i) & roles->mask];
        uint64_t found =
            atomic_load_explicit(&slot->uid, memory_order_acquire); // pairs: roles-node
        if (found == uid) {
            uint64_t bits =
                atomic_load_explicit(&slot->roles, memory_order_acquire); // pairs: roles-slot
            // relaxed: behind the acquire of the bits, so they are this node's if it is still there
            found = atomic_load_explicit(&slot->uid, memory_order_relaxed);
            return found == uid ? bits : 0;
        }
        if (found == NEVER_USED) {
            return 0;
        }
    }
    return 0;
}
