/**
 * Names: the answer to za_whereis, readable by every worker without a lock or a message.
 *
 * A cache of what the registry says, written by the loop's owner and, for an actor's own
 * registration, by its worker. Entries are named by a 128-bit hash of the name.
 *
 * Threads  Lookup from any thread, lock-free (a sequence count per entry). Writers take a spin flag:
 *          registration is no message path.
 */
#pragma once

#include <zactor/ref.h>

typedef struct za_names za_names_t;

/** Room for `names_max` names. ZA_ENOMEM. */
za_err_t za_names_create(uint32_t names_max, za_names_t **out);
void za_names_destroy(za_names_t *names);

/** ZA_ENOENT if the name is not known. */
za_err_t za_names_find(za_names_t *names, const char *name, za_ref_t *out);

/** Sets the name. ZA_ENOBUFS if the table is full. */
za_err_t za_names_set(za_names_t *names, const char *name, za_ref_t ref);

/** Sets the name unless it is held by another: ZA_EEXIST. */
za_err_t za_names_claim(za_names_t *names, const char *name, za_ref_t ref);

/** Clears the name if it answers `ref`, or whatever it answers if `ref` is none. */
void za_names_clear(za_names_t *names, const char *name, za_ref_t ref);
