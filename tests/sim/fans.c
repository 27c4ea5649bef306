// Topics that actors of all nodes subscribe to, leave, and publish to; each follows who is in one of them.

#include <stdio.h>

#include "work.h"

enum { TICK_MS = 400, TOPICS = 4, DATA_MAX = 40 * 1000, LISTED_MAX = 64 };

typedef struct fan {
    uint32_t instance;
    uint32_t seq;    // of what it publishes, to any topic
    uint32_t topics; // bits: it is a subscriber
    bool probed;
    bool follows;
    za_ref_t followed[LISTED_MAX]; // what news of one topic's subscribers add up to
    uint32_t followed_count;
} fan_t;

static uint32_t followed_topic(const fan_t *self)
{
    return self->instance % TOPICS;
}

static const char *topic_name(char name[WORLD_NAME_BYTES], uint32_t topic)
{
    snprintf(name, WORLD_NAME_BYTES, "topic/%u", topic);
    return name;
}

static za_verdict_t on_root(za_ctx_t *ctx, fan_t *self, const work_Root *root)
{
    (void)root;
    self->instance = world_born(ctx, KIND_FAN, NULL);
    char name[WORLD_NAME_BYTES];
    self->follows = work_sent(za_subscribe_members(ctx, topic_name(name, followed_topic(self))));
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

/** A life that begins anew may find news of the last one in its mailbox: it is then told all again. */
static za_verdict_t on_changed(za_ctx_t *ctx, fan_t *self, const za_GroupChanged *changed)
{
    (void)ctx;
    uint32_t at = 0;
    while (at < self->followed_count && !za_ref_equal(self->followed[at], changed->ref)) {
        at++;
    }
    bool known = at < self->followed_count;
    if (changed->joined && !known && self->followed_count < LISTED_MAX) {
        self->followed[self->followed_count++] = changed->ref;
    } else if (!changed->joined && known) {
        self->followed[at] = self->followed[--self->followed_count];
    }
    return ZA_DONE;
}

/** What it was told of its topic is what its node sees. */
static void check_followed(const za_ctx_t *ctx, const fan_t *self, const za_ref_t *listed,
                           uint32_t count)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < self->followed_count; i++) {
        for (uint32_t k = 0; k < count; k++) {
            found += za_ref_equal(self->followed[i], listed[k]);
        }
    }
    if (self->followed_count != count || found != count) {
        world_fail("process %u was told of %u subscribers of topic %u, and there are %u",
                   world_here(ctx), self->followed_count, followed_topic(self), count);
    }
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
    if (self->follows && topic == followed_topic(self)) {
        check_followed(ctx, self, listed, count);
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
         (za_GroupChanged, on_changed), (za_Stopping, on_stopping));
