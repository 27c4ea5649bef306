/**
 * Watches across nodes, both ends.
 *
 * The watcher's node holds (watcher, id) -> target; the target's node holds the same key with the
 * watcher's uid. A watch fires exactly once: by the far end's Down, by the end of the target's uid,
 * or because that uid stays unknown; never after unwatch. A far node that was unknown for so long that
 * it was forgotten (or has forgotten us) hears so with the next link, and begins anew.
 *
 * A link is a watch that tells both ends: the far target hears of the end of the watcher, and of the
 * end of its uid. It does not outlive a rebirth, for the far end was told then that we are down; nor that
 * the far node forgets us.
 *
 * Order    When a uid ends, its watches fire in watch id order.
 * Bounds   ZA_WATCHES_MAX records of both ends. Full: a new watch fires at once with REASON_LIMIT.
 *          What cannot be sent now stays in its record and goes out by pump.
 * Memory   Taken in create.
 */
#pragma once

#include "cluster/effects.h"
#include "cluster/syslane.h"
#include "cluster/view.h"

enum {
    ZA_WATCHES_MAX = 64 * 1024,
    ZA_WATCH_UNKNOWN_MS = 10000, // a uid may be known late: a full membership sync fits into it
};

typedef struct za_watch za_watch_t;

/** `view` and `lane` must outlive the watches. */
za_err_t za_watch_create(const za_view_t *view, za_syslane_t *lane, za_watch_t **out);
void za_watch_destroy(za_watch_t *watch);

/** A local `watcher` watches a remote `target`. At most one effect. */
void za_watch_add(za_watch_t *watch, za_ref_t watcher, uint64_t id, za_ref_t target,
                  uint64_t now_ms, za_effects_t *out);
void za_watch_remove(za_watch_t *watch, za_ref_t watcher, uint64_t id, za_ref_t target);
/** As za_watch_add and za_watch_remove, for a link; REASON_NONE: the watcher lives and unlinks. */
void za_watch_link(za_watch_t *watch, za_ref_t watcher, uint64_t id, za_ref_t target,
                   uint64_t now_ms, za_effects_t *out);
void za_watch_unlink(za_watch_t *watch, za_ref_t watcher, uint64_t id, za_ref_t target,
                     za_Reason reason, uint64_t after_user);
/** A local actor ended that a remote `watcher` watches; `after_user` as in the event. */
void za_watch_local_down(za_watch_t *watch, za_ref_t watcher, uint64_t id, za_Reason reason,
                         uint64_t after_user);
/** A watch, unwatch or down frame of `uid`. At most one effect. */
void za_watch_frame(za_watch_t *watch, uint64_t uid, const za_SysFrame *frame, za_effects_t *out);
/** `uid` is terminal: fires what watched it, drops what it watched. After MORE: call again. */
za_step_t za_watch_gone(za_watch_t *watch, uint64_t uid, za_Reason reason, za_effects_t *out);
/** Our uid changed: ours are to be watched again, the others' have fired. After MORE: call again. */
za_step_t za_watch_reborn(za_watch_t *watch, za_effects_t *out);
/** `uid` has forgotten us: ours are to be watched again, its own are over. After MORE: call again. */
za_step_t za_watch_forgotten(za_watch_t *watch, uint64_t uid, za_effects_t *out);
/** Each uid for which something waits to be sent. */
void za_watch_each_waiting(const za_watch_t *watch, void (*visit)(uint64_t uid, void *visitor),
                           void *visitor);
/** Sends what is pending, and looks at targets whose uid was unknown. */
za_step_t za_watch_pump(za_watch_t *watch, uint64_t now_ms, za_effects_t *out);
uint64_t za_watch_deadline_ms(const za_watch_t *watch);

typedef struct za_watch_stats {
    uint64_t active;  // local watchers of remote targets
    uint64_t serving; // remote watchers of local targets
    uint64_t fired;
    uint64_t refused; // the table was full
} za_watch_stats_t;

void za_watch_stats(const za_watch_t *watch, za_watch_stats_t *out);
