// Asks of every kind of end: answered at once or later, forwarded, given up, failed, too late.

#include <inttypes.h>

#include "base/hash.h"
#include "work.h"

typedef enum how {
    HOW_NOW,
    HOW_LATER,
    HOW_RELEASE,
    HOW_NEVER,
    HOW_FAIL,
    HOW_FORWARD, // the answerer of node `hops` answers
    HOW_BULK,
    HOW_COUNT
} how_t;

enum {
    TICK_MS = 120,
    ANSWERER_TICK_MS = 900,
    KEPT_MAX = 8,
    DELAY_MS_MAX = 1500,
    TIMEOUT_MS_MIN = 20,
    TIMEOUT_MS_MAX = 3000,
    ANSWER_BYTES_MAX = 64 * 1024,
    FAILS_ONE_IN = 400, // ticks of an asker
};

/* ---- the asker ---------------------------------------------------------------------------------------- */

typedef struct asker {
    uint32_t instance;
} asker_t;

static za_verdict_t asker_root(za_ctx_t *ctx, asker_t *self, const work_Root *root)
{
    (void)root;
    self->instance = world_born(ctx, KIND_ASKER, NULL);
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static void ask(za_ctx_t *ctx, const asker_t *self)
{
    za_ref_t to;
    if (!work_find_any(ctx, "answer", &to)) {
        return;
    }
    uint32_t how = work_draw(ctx, HOW_COUNT);
    uint32_t delay_ms = work_draw(ctx, DELAY_MS_MAX);
    uint32_t hops = work_draw(ctx, world_node_count());
    uint32_t timeout_ms = TIMEOUT_MS_MIN + work_draw(ctx, TIMEOUT_MS_MAX - TIMEOUT_MS_MIN);
    uint32_t bytes = how == HOW_BULK ? work_draw_size(ctx, ANSWER_BYTES_MAX) : 0;
    uint64_t id = world_asked(self->instance, za_now_ms(ctx) + timeout_ms);
    za_err_t err = za_ask(
        ctx, to,
        ZA_MSG(work_Ask, .id = id, .how = how, .delay_ms = delay_ms, .hops = hops, .bytes = bytes),
        .timeout_ms = timeout_ms, .tag = id);
    if (!work_sent(err)) {
        world_ask_refused(id);
    }
}

static za_verdict_t asker_tick(za_ctx_t *ctx, asker_t *self, const work_Tick *tick)
{
    (void)tick;
    if (world_phase() == PHASE_WORK) {
        ask(ctx, self);
        if (work_once_in(ctx, FAILS_ONE_IN)) {
            return ZA_FAIL; // its open asks are forgotten: no end of them may reach the next life
        }
    }
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static za_verdict_t asker_answer(za_ctx_t *ctx, asker_t *self, const work_Answer *answer)
{
    uint64_t tag = za_tag(ctx);
    if (tag != answer->id) {
        world_fail("the answer to ask %" PRIu64 " came as that to ask %" PRIu64, answer->id, tag);
    }
    work_check(&answer->data, za_mix64(answer->id), "an answer");
    world_ask_ended(tag, self->instance, OUTCOME_ANSWER);
    return ZA_DONE;
}

static za_verdict_t asker_timeout(za_ctx_t *ctx, asker_t *self, const za_Timeout *timeout)
{
    (void)ctx;
    world_ask_ended(timeout->tag, self->instance, OUTCOME_TIMEOUT);
    return ZA_DONE;
}

static za_verdict_t asker_down(za_ctx_t *ctx, asker_t *self, const za_Down *down)
{
    (void)ctx;
    world_mix(down->reason);
    world_ask_ended(down->tag, self->instance, OUTCOME_DOWN);
    return ZA_DONE;
}

static za_verdict_t asker_stopping(za_ctx_t *ctx, asker_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    if (!stopping->restarts) {
        world_gone(self->instance);
    }
    return ZA_DONE;
}

ZA_ACTOR(work_asker, asker_t, (work_Root, asker_root), (work_Tick, asker_tick),
         (work_Answer, asker_answer), (za_Timeout, asker_timeout), (za_Down, asker_down),
         (za_Stopping, asker_stopping));

/* ---- the answerer --------------------------------------------------------------------------------------- */

typedef struct kept {
    za_message_t *message; // NULL: free
    uint64_t id;
} kept_t;

typedef struct answerer {
    uint32_t instance, node;
    kept_t kept[KEPT_MAX];
} answerer_t;

static za_verdict_t on_root(za_ctx_t *ctx, answerer_t *self, const work_Root *root)
{
    char name[WORLD_NAME_BYTES];
    self->node = root->node;
    self->instance = world_born(ctx, KIND_ANSWERER, work_name(name, "answer", root->node));
    work_tick(ctx, ANSWERER_TICK_MS);
    return ZA_DONE;
}

static za_verdict_t on_tick(za_ctx_t *ctx, answerer_t *self, const work_Tick *tick)
{
    (void)tick;
    char name[WORLD_NAME_BYTES];
    work_keep_name(ctx, self->instance, work_name(name, "answer", self->node));
    work_tick(ctx, ANSWERER_TICK_MS);
    return ZA_DONE;
}

static void answer_bulk(za_ctx_t *ctx, const work_Ask *ask)
{
    void *message = za_new(ctx, &work_Answer_type, ask->bytes);
    if (message == NULL) {
        return; // no answer: the ask fails
    }
    work_Answer *answer = message;
    answer->id = ask->id;
    work_fill(answer, &answer->data, za_mix64(ask->id), ask->bytes);
    za_reply_send(ctx, &message);
    if (message != NULL) {
        world_fail("za_reply_send did not take its message");
    }
}

static void keep(za_ctx_t *ctx, answerer_t *self, const work_Ask *ask)
{
    for (uint32_t i = 0; i < KEPT_MAX; i++) {
        kept_t *kept = &self->kept[i];
        if (kept->message == NULL &&
            za_after(ctx, ask->delay_ms, ZA_MSG(work_Due, .id = ask->id), NULL) == ZA_OK) {
            kept->id = ask->id;
            kept->message = za_keep(ctx);
            return;
        }
    }
}

static za_verdict_t on_ask(za_ctx_t *ctx, answerer_t *self, const work_Ask *ask)
{
    za_ref_t next;
    switch (ask->how) {
    case HOW_LATER:
    case HOW_RELEASE:
        keep(ctx, self, ask);
        return ZA_DONE;
    case HOW_NEVER:
        return ZA_DONE;
    case HOW_FAIL:
        return ZA_FAIL;
    case HOW_FORWARD:
        if (ask->hops != self->node) {
            if (work_find(ctx, "answer", ask->hops, &next)) {
                work_sent(za_forward(ctx, next));
            }
            return ZA_DONE;
        }
        break;
    case HOW_BULK:
        answer_bulk(ctx, ask);
        return ZA_DONE;
    default:
        break;
    }
    za_reply(ctx, ZA_MSG(work_Answer, .id = ask->id));
    return ZA_DONE;
}

static za_verdict_t on_due(za_ctx_t *ctx, answerer_t *self, const work_Due *due)
{
    for (uint32_t i = 0; i < KEPT_MAX; i++) {
        kept_t *kept = &self->kept[i];
        if (kept->message == NULL || kept->id != due->id) {
            continue;
        }
        const work_Ask *ask = za_kept_body(kept->message);
        if (ask->id != due->id) {
            world_fail("a kept message has changed");
        }
        if (ask->how == HOW_RELEASE) {
            za_release(ctx, &kept->message);
        } else {
            za_reply_kept(ctx, &kept->message, ZA_MSG(work_Answer, .id = due->id));
        }
        if (kept->message != NULL) {
            world_fail("a kept message is still there after its answer");
        }
    }
    return ZA_DONE;
}

static za_verdict_t on_name_lost(za_ctx_t *ctx, answerer_t *self, const za_NameLost *lost)
{
    (void)ctx;
    world_name_given_up(self->instance, lost->name);
    return ZA_DONE;
}

static za_verdict_t on_stopping(za_ctx_t *ctx, answerer_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    if (!stopping->restarts) {
        world_gone(self->instance);
    }
    return ZA_DONE;
}

ZA_ACTOR(work_answerer, answerer_t, (work_Root, on_root), (work_Tick, on_tick), (work_Ask, on_ask),
         (work_Due, on_due), (za_NameLost, on_name_lost), (za_Stopping, on_stopping));
