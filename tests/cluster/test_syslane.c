#include "base/rng.h"
#include "cluster/syslane.h"
#include "support/za_test.h"

enum { A = 11, B = 22 }; // uids

static za_effects_t effects;

static za_syslane_t *lane_new(void)
{
    za_syslane_t *lane = NULL;
    cr_assert(za_syslane_create(&lane) == ZA_OK);
    za_effects_reset(&effects);
    return lane;
}

/** Sends an unwatch frame with this id, as any small frame. */
static bool send_id(za_syslane_t *lane, uint64_t uid, uint64_t id, uint64_t after_user,
                    uint64_t now_ms)
{
    za_SysFrame *frame = za_syslane_draft(lane);
    frame->which_body = za_SysFrame_unwatch_tag;
    frame->body.unwatch = (za_SysUnwatch){ .watcher = 5, .id = id };
    uint32_t epoch = za_syslane_epoch(lane, uid);
    return za_syslane_send(lane, uid, after_user, epoch, now_ms, &effects);
}

static const za_effect_t *last_effect(void)
{
    cr_assert(effects.count > 0, "an effect");
    return &effects.items[effects.count - 1];
}

Test(syslane, sends_only_over_a_link)
{
    za_syslane_t *lane = lane_new();
    cr_expect(!send_id(lane, B, 1, 0, 0), "no link");
    za_syslane_link_up(lane, B, 0);
    cr_expect(send_id(lane, B, 1, 0, 0), "a link");
    cr_expect(effects.count == 1 && last_effect()->type == ZA_EFFECT_SEND_FRAME);
    cr_expect(last_effect()->lane == ZA_LANE_SYSTEM && last_effect()->uid == B);
    za_syslane_link_down(lane, B);
    cr_expect(!send_id(lane, B, 2, 0, 0), "no link any more");
    za_syslane_destroy(lane);
}

Test(syslane, delivers_once_and_drops_duplicates)
{
    za_syslane_t *a = lane_new();
    za_syslane_t *b = lane_new();
    za_syslane_link_up(a, B, 0);
    za_syslane_link_up(b, A, 0);
    cr_assert(send_id(a, B, 7, 0, 0));
    const za_effect_t *sent = last_effect();
    const za_SysFrame *frame = NULL;
    cr_assert(za_syslane_receive(b, A, sent->bytes, sent->size, 1, &frame) == ZA_SYS_FRAME);
    cr_expect(frame->which_body == za_SysFrame_unwatch_tag && frame->body.unwatch.id == 7);
    cr_expect(za_syslane_receive(b, A, sent->bytes, sent->size, 2, &frame) == ZA_SYS_NONE);
    za_syslane_destroy(a);
    za_syslane_destroy(b);
}

// A neighbour that hands frames on may drop one: the next is not taken before it came again.
Test(syslane, a_frame_behind_a_lost_one_waits_for_it)
{
    za_syslane_t *a = lane_new();
    za_syslane_t *b = lane_new();
    za_syslane_link_up(a, B, 0);
    za_syslane_link_up(b, A, 0);
    cr_assert(send_id(a, B, 7, 0, 0) && send_id(a, B, 8, 0, 0));
    const za_effect_t *one = &effects.items[effects.count - 2];
    const za_effect_t *two = last_effect();
    const za_SysFrame *frame = NULL;
    cr_expect(za_syslane_receive(b, A, two->bytes, two->size, 1, &frame) == ZA_SYS_NONE, "a gap");
    cr_assert(za_syslane_receive(b, A, one->bytes, one->size, 2, &frame) == ZA_SYS_FRAME);
    cr_expect(frame->body.unwatch.id == 7, "the first one first");
    cr_assert(za_syslane_receive(b, A, two->bytes, two->size, 3, &frame) == ZA_SYS_FRAME);
    cr_expect(frame->body.unwatch.id == 8, "then the next");
    za_syslane_destroy(a);
    za_syslane_destroy(b);
}

Test(syslane, an_ack_empties_the_window)
{
    za_syslane_t *a = lane_new();
    za_syslane_t *b = lane_new();
    za_syslane_link_up(a, B, 0);
    za_syslane_link_up(b, A, 0);
    cr_assert(send_id(a, B, 7, 0, 0));
    const za_SysFrame *frame = NULL;
    const za_effect_t *sent = last_effect();
    cr_assert(za_syslane_receive(b, A, sent->bytes, sent->size, 10, &frame) == ZA_SYS_FRAME);
    cr_expect(za_syslane_deadline_ms(b) <= 110, "acks within 100 ms");
    za_effects_reset(&effects);
    cr_assert(za_syslane_pump(b, za_syslane_deadline_ms(b), &effects) == ZA_STEP_DONE);
    cr_assert(effects.count == 1, "an ack");
    cr_expect(za_syslane_unacked(a, B) == 1);
    const za_effect_t *ack = last_effect();
    cr_expect(za_syslane_receive(a, B, ack->bytes, ack->size, 70, &frame) == ZA_SYS_NONE);
    cr_expect(za_syslane_unacked(a, B) == 0);
    cr_expect(za_syslane_deadline_ms(a) == UINT64_MAX, "nothing to resend");
    za_syslane_destroy(a);
    za_syslane_destroy(b);
}

// Frames of the old link's count would wait for ever for user frames that were lost with it.
Test(syslane, resends_on_the_next_link_without_after_user)
{
    za_syslane_t *a = lane_new();
    za_syslane_link_up(a, B, 0);
    cr_assert(send_id(a, B, 1, 40, 0) && send_id(a, B, 2, 41, 0));
    uint64_t after = 0;
    cr_assert(za_syslane_after_user(last_effect()->bytes, last_effect()->size, &after));
    cr_expect(after == 41, "counted on its first link");
    za_syslane_link_down(a, B);
    za_effects_reset(&effects);
    za_syslane_link_up(a, B, 100);
    cr_assert(za_syslane_pump(a, 100, &effects) == ZA_STEP_DONE);
    cr_assert(effects.count == 3 && effects.items[0].type == ZA_EFFECT_MARK, "mark and two frames");
    cr_assert(za_syslane_after_user(effects.items[1].bytes, effects.items[1].size, &after));
    cr_expect(after == 0);
    cr_expect(za_syslane_resends(a) == 2);
    za_syslane_destroy(a);
}

Test(syslane, system_frames_say_what_they_wait_for)
{
    uint64_t after = 0;
    const uint8_t head[] = { 0x08, 0x05, 0x18, 0x2a }; // seq 5, after_user 42
    cr_assert(za_syslane_after_user(head, sizeof head, &after) && after == 42);
    const uint8_t garbage[] = { 0xff, 0xff };
    cr_expect(!za_syslane_after_user(garbage, sizeof garbage, &after));
}

Test(syslane, an_after_user_of_an_older_link_is_moot)
{
    za_syslane_t *a = lane_new();
    za_syslane_link_up(a, B, 0);
    uint32_t old = za_syslane_epoch(a, B);
    cr_assert(send_id(a, B, 1, 3, 0));
    za_syslane_link_down(a, B);
    za_syslane_link_up(a, B, 0);
    za_effects_reset(&effects);
    cr_assert(za_syslane_pump(a, 0, &effects) == ZA_STEP_DONE);
    za_SysFrame *frame = za_syslane_draft(a);
    frame->which_body = za_SysFrame_unwatch_tag;
    cr_assert(za_syslane_send(a, B, 99, old, 0, &effects));
    uint64_t after = 1;
    cr_assert(za_syslane_after_user(last_effect()->bytes, last_effect()->size, &after));
    cr_expect(after == 0);
    za_syslane_destroy(a);
}

Test(syslane, a_full_window_says_no_and_loses_nothing)
{
    za_syslane_t *a = lane_new();
    za_syslane_link_up(a, B, 0);
    uint32_t sent = 0;
    while (send_id(a, B, sent, 0, 0)) {
        sent++;
        za_effects_reset(&effects);
    }
    cr_expect(sent == ZA_SYSLANE_FRAMES_MAX, "sent %u", sent);
    cr_expect(!za_syslane_ready(a, B));
    cr_expect(za_syslane_unacked(a, B) == ZA_SYSLANE_FRAMES_MAX);
    za_syslane_forget(a, B);
    cr_expect(za_syslane_unacked(a, B) == 0);
    za_syslane_destroy(a);
}

Test(syslane, bad_frames_change_nothing)
{
    za_syslane_t *a = lane_new();
    za_syslane_link_up(a, B, 0);
    const za_SysFrame *frame = NULL;
    const uint8_t garbage[] = { 0xff, 0xff, 0xff, 0xff, 0x01 };
    cr_expect(za_syslane_receive(a, B, garbage, sizeof garbage, 0, &frame) == ZA_SYS_BAD);
    const uint8_t no_body[] = { 0x08, 0x01 }; // seq 1 and nothing else
    cr_expect(za_syslane_receive(a, B, no_body, sizeof no_body, 0, &frame) == ZA_SYS_BAD);
    const uint8_t early_ack[] = { 0x10, 0x09 }; // acks what was never sent
    cr_expect(za_syslane_receive(a, B, early_ack, sizeof early_ack, 0, &frame) == ZA_SYS_BAD);
    za_syslane_destroy(a);
}

/* ---- a peer that has forgotten ---------------------------------------------------------------- */

static void link_both(za_syslane_t *a, za_syslane_t *b, uint64_t now_ms)
{
    za_effects_reset(&effects);
    za_syslane_link_up(a, B, now_ms);
    za_syslane_link_up(b, A, now_ms);
}

/** Takes what `from` sends now to `to`, up to the first frame that is taken. */
static za_sys_in_t carry_pump(za_syslane_t *from, za_syslane_t *to, uint64_t uid, uint64_t now_ms,
                              const za_SysFrame **frame)
{
    za_sys_in_t in = ZA_SYS_NONE;
    za_effects_reset(&effects);
    cr_assert(za_syslane_pump(from, now_ms, &effects) == ZA_STEP_DONE);
    for (uint32_t i = 0; i < effects.count && in != ZA_SYS_FRAME; i++) {
        const za_effect_t *effect = &effects.items[i];
        if (effect->type == ZA_EFFECT_SEND_FRAME) {
            in = za_syslane_receive(to, uid, effect->bytes, effect->size, now_ms, frame);
        }
    }
    return in;
}

/** A told B something and B told A so; then their link went, and B forgot A. */
static void forgotten_pair(za_syslane_t **a, za_syslane_t **b)
{
    const za_SysFrame *frame = NULL;
    *a = lane_new();
    *b = lane_new();
    link_both(*a, *b, 0);
    cr_assert(send_id(*a, B, 7, 0, 0));
    cr_assert(za_syslane_receive(*b, A, last_effect()->bytes, last_effect()->size, 0, &frame) ==
              ZA_SYS_FRAME);
    carry_pump(*b, *a, B, ZA_SYSLANE_ACK_MS, &frame);
    cr_assert(za_syslane_unacked(*a, B) == 0, "B's word came");
    za_syslane_link_down(*a, B);
    za_syslane_link_down(*b, A);
    za_syslane_forget(*b, A);
}

// Or B would wait for ever for the frames before A's next one, and A serve for ever what B has given up.
Test(syslane, who_was_forgotten_learns_it_at_the_next_link)
{
    za_syslane_t *a, *b;
    const za_SysFrame *frame = NULL;
    forgotten_pair(&a, &b);
    link_both(a, b, 1000);
    carry_pump(a, b, A, 1000, &frame);
    cr_expect(za_syslane_lost(a) == 0, "not yet");
    carry_pump(b, a, B, 1000, &frame);
    cr_assert(za_syslane_lost(a) == B, "what B says is of a later number");
    cr_expect(!za_syslane_ready(a, B), "nothing goes before the restart");
    za_syslane_restart(a, B, 1000);
    cr_expect(za_syslane_lost(a) == 0 && za_syslane_lost(b) == 0);
    cr_assert(send_id(a, B, 8, 0, 1000));
    cr_expect(za_syslane_receive(b, A, last_effect()->bytes, last_effect()->size, 1000, &frame) ==
              ZA_SYS_FRAME);
    cr_expect(frame->body.unwatch.id == 8);
    za_syslane_destroy(a);
    za_syslane_destroy(b);
}

// It begins with its own first frame while the other still remembers more: not a duplicate, and not lost.
Test(syslane, what_the_forgetful_sends_first_arrives_after_the_restart)
{
    za_syslane_t *a, *b;
    const za_SysFrame *frame = NULL;
    forgotten_pair(&a, &b);
    link_both(a, b, 1000);
    cr_assert(send_id(b, A, 9, 0, 1000));
    uint8_t first[64];
    uint32_t size = last_effect()->size;
    cr_assert(size <= sizeof first);
    memcpy(first, last_effect()->bytes, size);
    carry_pump(a, b, A, 1000, &frame); // both are under way at once
    cr_expect(za_syslane_receive(a, B, first, size, 1000, &frame) == ZA_SYS_NONE);
    cr_assert(za_syslane_lost(a) == B);
    za_syslane_restart(a, B, 1001);
    carry_pump(a, b, A, 1001, &frame);
    cr_assert(carry_pump(b, a, B, 1001, &frame) == ZA_SYS_FRAME, "again, and at once");
    cr_expect(frame->body.unwatch.id == 9);
    za_syslane_destroy(a);
    za_syslane_destroy(b);
}

// A frame that a neighbour handed on late is of no conversation of now.
Test(syslane, frames_from_before_a_restart_are_passed_over)
{
    za_syslane_t *a, *b;
    const za_SysFrame *frame = NULL;
    forgotten_pair(&a, &b);
    link_both(a, b, 1000);
    carry_pump(a, b, A, 1000, &frame);
    za_effects_reset(&effects);
    cr_assert(send_id(a, B, 8, 0, 1000)); // A does not know yet
    uint8_t late[64];
    uint32_t size = last_effect()->size;
    cr_assert(size <= sizeof late);
    memcpy(late, last_effect()->bytes, size);
    carry_pump(b, a, B, 1000, &frame);
    za_syslane_restart(a, B, 1000);
    cr_assert(send_id(a, B, 9, 0, 1000));
    cr_assert(za_syslane_receive(b, A, last_effect()->bytes, last_effect()->size, 1000, &frame) ==
              ZA_SYS_FRAME);
    cr_expect(za_syslane_receive(b, A, late, size, 1001, &frame) == ZA_SYS_NONE, "too late");
    za_syslane_destroy(a);
    za_syslane_destroy(b);
}

/** One direction of a link with frames under way, for the property below. */
typedef struct wire {
    uint8_t bytes[256][64];
    uint32_t size[256];
    uint32_t first, count;
} wire_t;

static void carry(wire_t *wire, bool up)
{
    for (uint32_t i = 0; i < effects.count; i++) {
        const za_effect_t *effect = &effects.items[i];
        if (up && effect->type == ZA_EFFECT_SEND_FRAME && wire->count < 256) {
            uint32_t at = (wire->first + wire->count++) % 256;
            memcpy(wire->bytes[at], effect->bytes, effect->size);
            wire->size[at] = effect->size;
        }
    }
    za_effects_reset(&effects);
}

/** Whoever was forgotten begins anew: both count from 0 again. */
static void restart_lost(za_syslane_t *lane, uint64_t now_ms, uint64_t *sent, uint64_t *seen)
{
    uint64_t uid = za_syslane_lost(lane);
    if (uid != 0) {
        za_syslane_restart(lane, uid, now_ms);
        *sent = *seen = 0;
    }
}

typedef enum memory { REMEMBERS, FORGETS } memory_t;

/** Two lanes over links that break at random: every frame arrives once, in order. */
static void run_lossy(uint64_t seed, memory_t memory)
{
    static wire_t wires[2];
    za_syslane_t *lanes[2] = { lane_new(), lane_new() };
    const uint64_t uids[2] = { A, B };
    uint64_t sent[2] = { 0 }, seen[2] = { 0 };
    za_rng_t rng;
    za_rng_init(&rng, seed);
    memset(wires, 0, sizeof wires);
    bool up = false;
    for (uint64_t now = 0; now < 12000; now += 5) {
        bool calm = now > 8000;
        uint64_t what = za_rng_below(&rng, 100);
        if (!up && (calm || what < 20)) {
            up = true;
            za_syslane_link_up(lanes[0], B, now);
            za_syslane_link_up(lanes[1], A, now);
        } else if (up && !calm && what < 4) {
            up = false;
            za_syslane_link_down(lanes[0], B);
            za_syslane_link_down(lanes[1], A);
            wires[0].count = wires[1].count = 0; // what was under way is lost
            if (memory == FORGETS && za_rng_below(&rng, 3) == 0) {
                int who = (int)za_rng_below(&rng, 2);
                za_syslane_forget(lanes[who], uids[!who]);
                sent[who] = seen[!who] = 0;
            }
        }
        for (int i = 0; i < 2; i++) {
            if (!calm && za_rng_below(&rng, 3) == 0 &&
                send_id(lanes[i], uids[!i], sent[i], 0, now)) {
                sent[i]++;
            }
            carry(&wires[i], up);
            cr_assert(za_syslane_pump(lanes[i], now, &effects) == ZA_STEP_DONE);
            carry(&wires[i], up);
            uint64_t arrive = za_rng_below(&rng, 4);
            while (arrive-- > 0 && wires[i].count > 0) {
                uint32_t at = wires[i].first;
                wires[i].first = (at + 1) % 256;
                wires[i].count--;
                const za_SysFrame *frame = NULL;
                za_sys_in_t in = za_syslane_receive(lanes[!i], uids[i], wires[i].bytes[at],
                                                    wires[i].size[at], now, &frame);
                cr_assert(in != ZA_SYS_BAD, "seed %" PRIu64, seed);
                restart_lost(lanes[!i], now, &sent[!i], &seen[i]);
                if (in == ZA_SYS_FRAME) {
                    cr_assert(frame->body.unwatch.id == seen[i], "seed %" PRIu64 ": order", seed);
                    seen[i]++;
                }
            }
        }
    }
    for (int i = 0; i < 2; i++) {
        cr_assert(sent[i] == seen[i], "seed %" PRIu64 ": %" PRIu64 " of %" PRIu64, seed, seen[i],
                  sent[i]);
        cr_assert(za_syslane_unacked(lanes[i], uids[!i]) == 0, "seed %" PRIu64 ": acked", seed);
        za_syslane_destroy(lanes[i]);
    }
}

Test(syslane, exactly_once_in_order_over_breaking_links, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        run_lossy(seed, REMEMBERS);
    }
}

// What is sent after the last loss of memory arrives once and in order, whoever begins.
Test(syslane, in_order_again_after_either_end_has_forgotten, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        run_lossy(seed, FORGETS);
    }
}

static void take_uid(uint64_t uid, void *visitor)
{
    *(uint64_t *)visitor = uid;
}

static uint64_t stuck(const za_syslane_t *lane)
{
    uint64_t uid = 0;
    za_syslane_each_waiting(lane, take_uid, &uid);
    return uid;
}

Test(syslane, unacked_frames_without_a_link_wait_for_one)
{
    za_syslane_t *a = lane_new();
    za_syslane_link_up(a, B, 0);
    cr_assert(send_id(a, B, 1, 0, 0));
    cr_expect(stuck(a) == 0, "they are under way");
    za_syslane_link_down(a, B);
    cr_expect(stuck(a) == B);
    za_syslane_link_up(a, B, 10);
    cr_expect(stuck(a) == 0);
    za_syslane_link_down(a, B);
    za_syslane_forget(a, B);
    cr_expect(stuck(a) == 0, "given up");
    za_syslane_destroy(a);
}
