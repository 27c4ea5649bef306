/**
 * To whom a link was asked for, and lately.
 *
 * Above the full mesh of links a member is linked to few. What the services have for another one waits in
 * their tables, and the tables are looked through after each step: who has something for a uid without a
 * link asks for one. This remembers who was asked for, so that a link that cannot be made is not asked
 * for with every step, but again and again as long as something waits: a request that is made once, when
 * the wait begins, is lost with the first thing that goes wrong.
 *
 * Order    By the time at which to ask again.
 * Bounds   ZA_PEERS_MAX: one cannot have more links. Beyond that a request waits until one is out of date.
 * Memory   Taken in create.
 */
#pragma once

#include "cluster/table.h"

enum {
    ZA_ASKED_AGAIN_MS = 10000, // a third of the time for which membership goes on to try
};

typedef struct za_asked za_asked_t;

za_err_t za_asked_create(za_asked_t **out);
void za_asked_destroy(za_asked_t *asked);

/** Forgets who was asked for ZA_ASKED_AGAIN_MS ago. */
void za_asked_expire(za_asked_t *asked, uint64_t now_ms);
/** Whether to ask for a link to `uid` now: nobody has, lately. From now on one has. */
bool za_asked_try(za_asked_t *asked, uint64_t uid, uint64_t now_ms);
/** A link came, or there is news of `uid`: the next time is as soon as something waits. */
void za_asked_forget(za_asked_t *asked, uint64_t uid);
/** The same for all. */
void za_asked_reset(za_asked_t *asked);
/** When the next one expires; UINT64_MAX: there is none. */
uint64_t za_asked_deadline_ms(const za_asked_t *asked);
