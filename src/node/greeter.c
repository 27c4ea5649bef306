// Greeters: TLS handshakes away from the loop. A full handshake costs a side 6 to 10 ms of CPU, and
// whoever owns the loop must not spend them in front of heartbeats. So the owner reads the bytes and
// leaves the link's flag held to a greeter, an actor of the node, which advances the handshake on
// whatever worker runs it, and gives the link back through the inbox. As many handshakes run at a
// time as there are greeters. They also tidy up behind themselves: mbedTLS allocates a lot for a
// handshake, among what lives on, and after many of them most of the heap is holes.

#include "base/assert.h"
#include "base/pages.h"
#include "core/ctx.h"
#include "node/state.h"

enum {
    TIDY_AFTER_MS = 5000,  // of no handshake: a node that joins a cluster makes many at a time
    TIDY_EVERY_MS = 60000, // strangers must not make us do it without end
};

typedef struct za_Greet {
    za_link_t *link; // NULL: tidy up
} za_Greet;

/** What comes from another node under this id is refused: it would name a place in our memory. */
static za_err_t refuse_greet(void *body, size_t capacity, const uint8_t *bytes, size_t size)
{
    (void)body;
    (void)capacity;
    (void)bytes;
    (void)size;
    return ZA_EPROTO;
}

/** It never leaves the node: nothing encodes it. */
static const za_type_t za_Greet_type = {
    .name = "za.internal.Greet",
    .id = UINT32_C(0x7a610001),
    .size = sizeof(za_Greet),
    .decode = refuse_greet,
};

typedef struct greeter {
    uint32_t handshakes;
} greeter_t;

static za_verdict_t on_greet(za_ctx_t *ctx, greeter_t *self, const za_Greet *greet)
{
    za_link_t *link = greet->link;
    if (link == NULL) {
        za_pages_trim_heap();
        return ZA_DONE;
    }
    self->handshakes++;
    link->has_event = za_session_next(link->session, za_now_ms(ctx), &link->event);
    za_link_hand_back(link, za_ctx_worker(ctx));
    return ZA_DONE;
}

extern const za_class_t za_greeter_class;
ZA_ACTOR(za_greeter, greeter_t, (za_Greet, on_greet));

za_err_t za_greeters_create(za_node_t *node)
{
    if (!node->params.secure) {
        return ZA_OK; // nothing to be spared
    }
    uint32_t count = node->params.workers / 2;
    count = count < 1 ? 1 : count > ZA_GREETERS_MAX ? ZA_GREETERS_MAX : count;
    // Each link waits in one mailbox at most.
    za_spawn_opts_t opts = { .size = sizeof opts, .mailbox = ZA_LINKS_MAX };
    for (uint32_t i = 0; i < count; i++) {
        za_err_t err = za_runtime_spawn(za_runtime_worker(node->runtime, 0), &za_greeter_class,
                                        &opts, ZA_REF_NONE, &node->greeters[i]);
        if (err != ZA_OK) {
            return err;
        }
        node->greeter_count++;
    }
    return ZA_OK;
}

bool za_greeter_take(za_node_t *node, za_link_t *link)
{
    if (node->greeter_count == 0 || !za_session_greeting(link->session)) {
        return false;
    }
    size_t index = (size_t)(link - node->links);
    za_ref_t greeter = node->greeters[index % node->greeter_count];
    za_Greet greet = { link };
    node->untidy = true;
    node->greeted_ms = node->now_ms;
    return za_runtime_notify(node->worker, greeter.actor, &za_Greet_type, &greet) == ZA_OK;
}

void za_greeters_sweep(za_node_t *node)
{
    if (node->greeter_count == 0 || !node->untidy ||
        node->now_ms - node->greeted_ms < TIDY_AFTER_MS ||
        (node->tidied_ms != 0 && node->now_ms - node->tidied_ms < TIDY_EVERY_MS)) {
        return;
    }
    za_Greet greet = { NULL };
    node->untidy =
        za_runtime_notify(node->worker, node->greeters[0].actor, &za_Greet_type, &greet) != ZA_OK;
    node->tidied_ms = node->now_ms;
}
