/**
 * Names: the answer to za_whereis, readable by every thread without a lock or a message.
 *
 * What the registry says, written by the loop's owner and, for an actor's own registration, by its
 * worker. Names are known by 95 bits of a hash; a logical reference (za_named) has the lower 64 of
 * them. Two names share a cache line, in which a lookup finds nine of ten; the tenth is in the next
 * line of its chain. A writer fills a slot that nobody reads and then says so in the line's control
 * word: a reader waits for nobody, not even for a writer whose thread stands still.
 *
 * Memory   Grows with the names, one line after the other, up to the bound given at create: 68 bytes
 *          for each. Nothing moves, and nothing is given back before the end.
 * Threads  Lookup from any thread. Writers take a lock: registration is no message path.
 */
#pragma once

#include <stddef.h>

#include <zactor/ref.h>

typedef struct za_names za_names_t;

/** Room for `names_max` names. ZA_EINVAL: more than ZA_REGISTRY_ENTRIES_MAX. ZA_ENOMEM. */
za_err_t za_names_create(uint32_t names_max, za_names_t **out);
void za_names_destroy(za_names_t *names);

/** What the names take, in use or left free by others. */
size_t za_names_bytes(za_names_t *names);

/** ZA_ENOENT if the name is not known. */
za_err_t za_names_find(za_names_t *names, const char *name, za_ref_t *out);

/**
 * As za_names_find, by the `actor` of za_named. ZA_ENOENT also while two names have it that are held:
 * to neither of them rather than to the wrong one.
 */
za_err_t za_names_find_hash(za_names_t *names, uint64_t hash, za_ref_t *out);

/** Sets the name. ZA_ENOBUFS if the table is full. */
za_err_t za_names_set(za_names_t *names, const char *name, za_ref_t ref);

/** Sets the name unless it is held by another: ZA_EEXIST. */
za_err_t za_names_claim(za_names_t *names, const char *name, za_ref_t ref);

/** Clears the name if it answers `ref`, or whatever it answers if `ref` is none. */
void za_names_clear(za_names_t *names, const char *name, za_ref_t ref);
