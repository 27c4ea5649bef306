// Actors that end soon, on every node, and those that watch them from everywhere.

#include "base/hash.h"
#include "work.h"

enum {
    NURSERY_TICK_MS = 400,
    WATCHER_TICK_MS = 500,
    MORTALS_MAX = 12,
    WATCHED_MAX = 48,
    GREETERS_MAX = 8,
    LIFE_MS_OCTAVES = 16, // up to a minute
    LAST_WORDS = 3,
    WORD_BYTES_MAX = 48 * 1024,
    UNWATCH_ONE_IN = 6,
    WATCHER_FAILS_ONE_IN = 300,
};

/* ---- the mortal ---------------------------------------------------------------------------------------- */

typedef struct mortal {
    uint32_t instance;
    bool fails, spoke;
    za_ref_t greeters[GREETERS_MAX];
    uint32_t greeter_count;
} mortal_t;

static za_verdict_t on_mortal(za_ctx_t *ctx, mortal_t *self, const work_Mortal *mortal)
{
    self->instance = world_born(ctx, KIND_MORTAL, NULL);
    self->fails = mortal->fails;
    if (za_after(ctx, mortal->life_ms, ZA_MSG(work_End, .why = 1), NULL) != ZA_OK) {
        world_fail("a mortal's clock was refused");
    }
    return ZA_DONE;
}

static za_verdict_t on_greet(za_ctx_t *ctx, mortal_t *self, const work_Greet *greet)
{
    (void)greet;
    if (self->greeter_count < GREETERS_MAX) {
        self->greeters[self->greeter_count++] = za_sender(ctx);
    }
    return ZA_DONE;
}

static void say(za_ctx_t *ctx, za_ref_t to, uint32_t seq)
{
    uint32_t size = work_draw_size(ctx, WORD_BYTES_MAX);
    void *message = za_new(ctx, &work_Word_type, size);
    if (message == NULL) {
        return;
    }
    work_Word *word = message;
    word->seq = seq;
    work_fill(word, &word->data, za_mix64(seq), size);
    work_sent(za_send(ctx, to, &message));
    za_discard(ctx, &message);
}

/** The last of these comes before the za_Down, or not at all. */
static void say_last_words(za_ctx_t *ctx, mortal_t *self)
{
    for (uint32_t i = 0; i < self->greeter_count; i++) {
        for (uint32_t seq = 1; seq <= LAST_WORDS; seq++) {
            say(ctx, self->greeters[i], seq);
        }
    }
}

static za_verdict_t on_end(za_ctx_t *ctx, mortal_t *self, const work_End *end)
{
    (void)end;
    if (world_phase() == PHASE_PROBE) {
        return ZA_DONE; // the oracles look: nothing may be on its way
    }
    say_last_words(ctx, self);
    self->spoke = true;
    return self->fails ? ZA_FAIL : ZA_STOP;
}

static za_verdict_t on_mortal_stopping(za_ctx_t *ctx, mortal_t *self, const za_Stopping *stopping)
{
    if (stopping->restarts) {
        return ZA_DONE;
    }
    if (!self->spoke) {
        say_last_words(ctx, self);
    }
    world_gone(self->instance);
    return ZA_DONE;
}

ZA_ACTOR(work_mortal, mortal_t, (work_Mortal, on_mortal), (work_Greet, on_greet),
         (work_End, on_end), (za_Stopping, on_mortal_stopping));

/* ---- the nursery ---------------------------------------------------------------------------------------- */

typedef struct nursery {
    uint32_t instance;
    za_ref_t mortals[MORTALS_MAX];
    uint32_t count;
} nursery_t;

static za_verdict_t nursery_root(za_ctx_t *ctx, nursery_t *self, const work_Root *root)
{
    (void)root;
    self->instance = world_born(ctx, KIND_NURSERY, NULL);
    work_tick(ctx, NURSERY_TICK_MS);
    return ZA_DONE;
}

static void bear(za_ctx_t *ctx, nursery_t *self)
{
    uint32_t life_ms = work_draw_size(ctx, 1u << LIFE_MS_OCTAVES);
    bool fails = work_once_in(ctx, 2);
    za_ref_t mortal;
    za_err_t err = za_spawn(ctx, work_mortal, &mortal,
                            ZA_ARGS(work_Mortal, .life_ms = life_ms, .fails = fails));
    if (err != ZA_OK || za_watch(ctx, mortal) != ZA_OK) {
        world_fail("a mortal was not spawned or not watched: %s", za_err_text(err));
        return;
    }
    world_watched(self->instance, mortal);
    self->mortals[self->count++] = mortal;
    uint32_t guests = work_draw(ctx, 4);
    for (uint32_t i = 0; i < guests; i++) {
        za_ref_t watcher;
        if (work_find_any(ctx, "watch", &watcher)) {
            work_sent(za_tell(ctx, watcher, ZA_MSG(work_Meet, .mortal = mortal)));
        }
    }
}

static void stop_one(za_ctx_t *ctx, const nursery_t *self)
{
    uint32_t which = work_draw(ctx, self->count);
    za_err_t err = za_stop(ctx, self->mortals[which]);
    if (err != ZA_OK && err != ZA_EGONE) { // it may have ended, its za_Down is on its way
        world_fail("a parent may not stop its child: %s", za_err_text(err));
    }
}

static za_verdict_t nursery_tick(za_ctx_t *ctx, nursery_t *self, const work_Tick *tick)
{
    (void)tick;
    if (world_phase() == PHASE_WORK) {
        if (self->count < MORTALS_MAX) {
            bear(ctx, self);
        }
        if (self->count > MORTALS_MAX / 2 && work_once_in(ctx, 4)) {
            stop_one(ctx, self);
        }
    }
    work_tick(ctx, NURSERY_TICK_MS);
    return ZA_DONE;
}

static za_verdict_t nursery_down(za_ctx_t *ctx, nursery_t *self, const za_Down *down)
{
    (void)ctx;
    world_watch_fired(self->instance, down->ref, down->reason);
    for (uint32_t i = 0; i < self->count; i++) {
        if (za_ref_equal(self->mortals[i], down->ref)) {
            self->mortals[i] = self->mortals[--self->count];
        }
    }
    return ZA_DONE;
}

static za_verdict_t nursery_stopping(za_ctx_t *ctx, nursery_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    if (!stopping->restarts) {
        world_gone(self->instance);
    }
    return ZA_DONE;
}

ZA_ACTOR(work_nursery, nursery_t, (work_Root, nursery_root), (work_Tick, nursery_tick),
         (za_Down, nursery_down), (za_Stopping, nursery_stopping));

/* ---- the watcher ---------------------------------------------------------------------------------------- */

typedef struct watched {
    za_ref_t ref;
    uint32_t heard; // its last word so far
} watched_t;

typedef struct watcher {
    uint32_t instance, node;
    watched_t watched[WATCHED_MAX];
    uint32_t count;
} watcher_t;

static za_verdict_t watcher_root(za_ctx_t *ctx, watcher_t *self, const work_Root *root)
{
    char name[WORLD_NAME_BYTES];
    self->node = root->node;
    self->instance = world_born(ctx, KIND_WATCHER, work_name(name, "watch", root->node));
    work_tick(ctx, WATCHER_TICK_MS);
    return ZA_DONE;
}

static void unwatch(za_ctx_t *ctx, watcher_t *self, uint32_t which)
{
    za_ref_t ref = self->watched[which].ref;
    za_unwatch(ctx, ref);
    world_unwatched(self->instance, ref);
    self->watched[which] = self->watched[--self->count];
}

static za_verdict_t watcher_tick(za_ctx_t *ctx, watcher_t *self, const work_Tick *tick)
{
    (void)tick;
    char name[WORLD_NAME_BYTES];
    work_keep_name(ctx, self->instance, work_name(name, "watch", self->node));
    if (world_phase() == PHASE_WORK) {
        if (self->count > 0 && work_once_in(ctx, UNWATCH_ONE_IN)) {
            uint32_t which = work_draw(ctx, self->count);
            unwatch(ctx, self, which);
        }
        if (work_once_in(ctx, WATCHER_FAILS_ONE_IN)) {
            return ZA_FAIL; // its watches end: none of them may fire in the next life
        }
    }
    work_tick(ctx, WATCHER_TICK_MS);
    return ZA_DONE;
}

static watched_t *find_watched(watcher_t *self, za_ref_t ref)
{
    for (uint32_t i = 0; i < self->count; i++) {
        if (za_ref_equal(self->watched[i].ref, ref)) {
            return &self->watched[i];
        }
    }
    return NULL;
}

static za_verdict_t watcher_meet(za_ctx_t *ctx, watcher_t *self, const work_Meet *meet)
{
    if (find_watched(self, meet->mortal) != NULL) {
        if (za_watch(ctx, meet->mortal) != ZA_OK) { // twice is one watch
            world_fail("a second watch on the same actor was refused");
        }
        return ZA_DONE;
    }
    if (self->count == WATCHED_MAX) {
        uint32_t which = work_draw(ctx, self->count);
        unwatch(ctx, self, which);
    }
    za_err_t err = za_watch(ctx, meet->mortal);
    if (err != ZA_OK) {
        world_fail("a watch was refused: %s", za_err_text(err));
        return ZA_DONE;
    }
    world_watched(self->instance, meet->mortal);
    self->watched[self->count++] = (watched_t){ .ref = meet->mortal };
    work_sent(za_tell(ctx, meet->mortal, ZA_MSG(work_Greet, .life = 1)));
    return ZA_DONE;
}

static za_verdict_t watcher_word(za_ctx_t *ctx, watcher_t *self, const work_Word *word)
{
    za_ref_t sender = za_sender(ctx);
    world_heard(self->instance, sender);
    work_check(&word->data, za_mix64(word->seq), "a last word");
    watched_t *watched = find_watched(self, sender);
    if (watched == NULL) {
        return ZA_DONE; // unwatched, or met in a former life
    }
    if (word->seq < watched->heard) {
        world_fail("the last words of an actor came out of order");
    }
    watched->heard = word->seq;
    return ZA_DONE;
}

static za_verdict_t watcher_down(za_ctx_t *ctx, watcher_t *self, const za_Down *down)
{
    (void)ctx;
    world_watch_fired(self->instance, down->ref, down->reason);
    watched_t *watched = find_watched(self, down->ref);
    if (watched != NULL) {
        *watched = self->watched[--self->count];
    }
    return ZA_DONE;
}

static za_verdict_t watcher_name_lost(za_ctx_t *ctx, watcher_t *self, const za_NameLost *lost)
{
    (void)ctx;
    world_name_given_up(self->instance, lost->name);
    return ZA_DONE;
}

static za_verdict_t watcher_stopping(za_ctx_t *ctx, watcher_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    if (!stopping->restarts) {
        world_gone(self->instance);
    }
    return ZA_DONE;
}

ZA_ACTOR(work_watcher, watcher_t, (work_Root, watcher_root), (work_Tick, watcher_tick),
         (work_Meet, watcher_meet), (work_Word, watcher_word), (za_Down, watcher_down),
         (za_NameLost, watcher_name_lost), (za_Stopping, watcher_stopping));
