#include "core/group.h"
#include "core/worker.h"
#include "world.h"

static world_t world;

enum { MEMBERS = 3, PEER = 77 };

static za_ref_t members[MEMBERS];
static uint32_t got;

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'N') {
        got++;
        cr_assert(event->n == 5 && za_sender(ctx).node == PEER && za_sender(ctx).actor == 9,
                  "as it was sent");
        cr_assert(event->ref.node == PEER && event->ref.actor == 3, "an actor of the sending node");
    }
    return ZA_DONE;
}

static void setup(void)
{
    world_init(&world, (za_runtime_config_t){ .workers = 1 });
    world_behave = behave;
    got = 0;
    const za_spawn_opts_t opts = { .size = sizeof opts, .group = "topic" };
    for (uint32_t i = 0; i < MEMBERS; i++) {
        cr_assert(za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &members[i]) ==
                      ZA_OK,
                  "spawned");
    }
    // One of another node hears of it there, and not from here.
    cr_assert(za_runtime_group_add(world.guest, "topic", (za_ref_t){ 88, 1 << 28 | 1 }) == ZA_OK,
              "added");
    world_run(&world);
}

static uint64_t dead(za_Reason reason)
{
    za_counters_t counters;
    za_runtime_counters(world.runtime, &counters);
    return counters.dead_by_reason[reason];
}

/** The bytes of a publication, delivered. */
static void deliver(const void *bytes, size_t size)
{
    za_message_t *message = za_message_alloc(world.guest, size);
    cr_assert(message != NULL, "a block");
    memcpy(za_message_body(message), bytes, size);
    const za_incoming_t incoming = {
        .actor = 1, .sender = { PEER, 9 }, .type_id = za_Publication_type.id, .from_uid = PEER
    };
    za_runtime_deliver(world.guest, &incoming, message, size);
    world_run(&world);
}

static size_t encode(uint8_t *out, size_t room, const char *group, size_t group_bytes,
                     uint32_t type, const void *body, size_t body_bytes)
{
    size_t at = 0;
    cr_assert(group_bytes < 128 && body_bytes < 128 && room > group_bytes + body_bytes + 9,
              "small");
    out[at++] = 0x0a;
    out[at++] = (uint8_t)group_bytes;
    memcpy(out + at, group, group_bytes);
    at += group_bytes;
    out[at++] = 0x15;
    memcpy(out + at, &type, 4);
    at += 4;
    out[at++] = 0x1a;
    out[at++] = (uint8_t)body_bytes;
    memcpy(out + at, body, body_bytes);
    return at + body_bytes;
}

static void publish(const char *group, uint32_t type)
{
    uint8_t bytes[256];
    const t_Num num = { .n = 5, .ref = { 0, 3 } };
    deliver(bytes, encode(bytes, sizeof bytes, group, strlen(group), type, &num, sizeof num));
}

Test(publication, is_delivered_to_each_member_of_this_node_once)
{
    setup();
    publish("topic", t_Num_type.id);
    cr_assert(got == MEMBERS, "%u of them", (unsigned)got);
    za_runtime_destroy(world.runtime);
}

Test(publication, to_a_group_that_nobody_is_in_any_more_is_a_dead_letter)
{
    setup();
    publish("other", t_Num_type.id);
    cr_assert(got == 0 && dead(za_Reason_REASON_NO_ACTOR) == 1, "counted once");
    za_runtime_destroy(world.runtime);
}

Test(publication, of_a_type_that_no_member_knows_is_a_dead_letter_each)
{
    setup();
    publish("topic", 4711);
    cr_assert(got == 0 && dead(za_Reason_REASON_BAD_MESSAGE) == MEMBERS, "each");
    za_runtime_destroy(world.runtime);
}

// What a peer makes up: no group, a group's name with a NUL, a publication of a publication, of an
// exit, and bytes cut off anywhere.
Test(publication, that_makes_no_sense_is_a_dead_letter)
{
    setup();
    uint8_t bytes[256];
    const t_Num num = { .n = 5, .ref = { 0, 3 } };
    publish("", t_Num_type.id);
    publish("topic", za_Publication_type.id);
    publish("topic", za_ExitSignal_type.id);
    deliver(bytes, encode(bytes, sizeof bytes, "to\0pic", 6, t_Num_type.id, &num, sizeof num));
    deliver(bytes, 0);
    memset(bytes, 0xff, sizeof bytes);
    deliver(bytes, sizeof bytes);
    cr_assert(got == 0 && dead(za_Reason_REASON_BAD_MESSAGE) == 6, "%u",
              (unsigned)dead(za_Reason_REASON_BAD_MESSAGE));
    size_t size = encode(bytes, sizeof bytes, "topic", 5, t_Num_type.id, &num, sizeof num);
    for (size_t cut = 0; cut < size; cut++) {
        deliver(bytes, cut); // whatever it is, it is no message of the size of a t_Num
    }
    cr_assert(got == 0, "nobody gets half a message");
    za_runtime_destroy(world.runtime);
}
