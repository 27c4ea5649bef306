// Topics that actors of all nodes subscribe to, leave, and publish to.

#include <stdio.h>

#include "work.h"

enum { TICK_MS = 400, TOPICS = 4, DATA_MAX = 40 * 1000, LISTED_MAX = 64 };

typedef struct fan {
    uint32_t instance;
    uint32_t seq;    // of what it publishes, to any topic
    uint32_t topics; // bits: it is a subscriber
    bool probed;
} fan_t;

static const char *topic_name(char name[WORLD_NAME_BYTES], uint32_t topic)
{
    snprintf(name, WORLD_NAME_BYTES, "topic/%u", topic);
    return name;
}

static za_verdict_t on_root(za_ctx_t *ctx, fan_t *self, const work_Root *root)
{
    (void)root;
    self->instance = world_born(ctx, KIND_FAN, NULL);
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static void change_mind(za_ctx_t *ctx, fan_t *self, uint32_t topic)
{
    char name[WORLD_NAME_BYTES];
    topic_name(name, topic);
    if (self->topics & 1u << topic) {
        za_unsubscribe(ctx, name);
    } else if (!work_sent(za_subscribe(ctx, name))) {
        return; // no memory
    }
    self->topics ^= 1u << topic;
    world_subscribed(self->instance, topic, self->topics & 1u << topic);
}

static za_err_t publish(za_ctx_t *ctx, fan_t *self, uint32_t topic, za_policy_t policy, bool probe)
{
    char name[WORLD_NAME_BYTES];
    uint32_t size = probe ? 8 : work_draw_size(ctx, DATA_MAX);
    work_Flyer *flyer = za_new(ctx, &work_Flyer_type, size);
    if (flyer == NULL) {
        return ZA_ENOBUFS;
    }
    flyer->publisher = self->instance;
    flyer->seq = ++self->seq;
    flyer->topic = topic;
    flyer->probe = probe;
    flyer->keyed = policy == ZA_HASH;
    work_fill(flyer, &flyer->data, flyer->seq, size);
    za_err_t err = za_route(ctx, topic_name(name, topic), policy, policy == ZA_HASH ? topic : 0,
                            &work_Flyer_type, flyer);
    void *made = flyer;
    za_discard(ctx, &made);
    return err;
}

/** All faults are long over: everybody sees the same subscribers, and reaches them. */
static void probe(za_ctx_t *ctx, fan_t *self, uint32_t topic)
{
    char name[WORLD_NAME_BYTES];
    za_ref_t listed[LISTED_MAX];
    uint32_t count = 0;
    uint32_t subscribers = world_subscribers(topic);
    za_err_t err = za_members(ctx, topic_name(name, topic), listed, LISTED_MAX, &count);
    if (err != ZA_OK || count != subscribers) {
        world_fail("process %u sees %u subscribers of %s, and there are %u", world_here(ctx), count,
                   name, subscribers);
        return;
    }
    if (count == 0) {
        return;
    }
    for (uint32_t i = 0; i <= count; i++) {
        world_probe_sent();
    }
    if (publish(ctx, self, topic, ZA_BROADCAST, true) != ZA_OK ||
        publish(ctx, self, topic, ZA_HASH, true) != ZA_OK) {
        world_fail("%s takes nothing", name);
    }
}

static za_verdict_t on_tick(za_ctx_t *ctx, fan_t *self, const work_Tick *tick)
{
    (void)tick;
    if (world_phase() == PHASE_WORK) {
        uint32_t topic = work_draw(ctx, TOPICS);
        if (work_once_in(ctx, 3)) {
            change_mind(ctx, self, topic);
        } else {
            za_err_t err = publish(ctx, self, topic, ZA_BROADCAST, false);
            if (err != ZA_ENOENT) {
                work_sent(err);
            }
        }
    }
    for (uint32_t topic = 0; world_phase() == PHASE_PROBE && !self->probed && topic < TOPICS;
         topic++) {
        probe(ctx, self, topic);
    }
    self->probed = world_phase() == PHASE_PROBE;
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static za_verdict_t on_flyer(za_ctx_t *ctx, fan_t *self, const work_Flyer *flyer)
{
    (void)ctx;
    work_check(&flyer->data, flyer->seq, "a flyer");
    world_flyer_arrived(flyer->publisher, flyer->seq, self->instance);
    if (flyer->probe) {
        world_probe_arrived();
    }
    if (flyer->keyed) {
        world_key_went_to(flyer->topic, self->instance);
    }
    return ZA_DONE;
}

static za_verdict_t on_stopping(za_ctx_t *ctx, fan_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    if (!stopping->restarts) {
        world_gone(self->instance);
    }
    return ZA_DONE;
}

ZA_ACTOR(work_fan, fan_t, (work_Root, on_root), (work_Tick, on_tick), (work_Flyer, on_flyer),
         (za_Stopping, on_stopping));
