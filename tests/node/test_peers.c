// Peers and what is queued for them, of a whole node that knows of as many members as a test likes.
#include "node/state.h"

#include <zactor/sim.h>

#include "support/note.h"
#include "support/za_test.h"

enum { MANY = 10000, SWEEP_MS = 1000 };

static za_sim_t *sim;
static za_node_t *node;

static void open_node(void)
{
    za_sim_opts_t opts = { .size = sizeof opts, .seed = 8, .nodes = 1 };
    cr_assert(za_sim_create(&opts, &sim) == ZA_OK);
    za_sim_run_for(sim, 1000);
    node = za_sim_node(sim, 0);
}

static void sweep_until(uint64_t now_ms)
{
    while (node->now_ms < now_ms) {
        node->now_ms += SWEEP_MS;
        node->now_us = node->now_ms * 1000;
        za_peers_sweep(node);
    }
}

static za_peer_t *member(uint64_t uid)
{
    za_peer_t *peer = za_peer_claim(node, uid, "m");
    cr_assert(peer != NULL, "room for %u", (unsigned)uid);
    peer->announced = uid;
    return peer;
}

static za_err_t send_to(uint64_t uid)
{
    za_peer_t *peer = za_peer_find(node, uid);
    if (peer == NULL) {
        return ZA_ENOROUTE;
    }
    const t_Note note = { uid };
    const za_outgoing_t out = { .to = { uid, 1 }, .type = &t_Note_type, .body = &note };
    return za_peer_send(node, node->worker, peer, &out);
}

static uint64_t lost(void)
{
    return atomic_load(&node->counters.lost_link);
}

Test(peers, ten_thousand_are_known_and_those_that_are_sent_to_have_lanes)
{
    enum { USED = 300 };
    open_node();
    for (uint64_t uid = 1; uid <= MANY; uid++) {
        (void)member(uid);
    }
    for (uint64_t uid = 1; uid <= USED; uid++) {
        cr_assert(send_to(uid) == ZA_OK && send_to(uid) == ZA_OK, "%u", (unsigned)uid);
    }
    cr_expect(send_to(MANY) == ZA_OK, "the last one");
    cr_expect(send_to(MANY + 1) == ZA_ENOROUTE, "nobody");
    cr_expect(node->lanes_count == USED + 1, "%u have lanes", node->lanes_count);
    za_sim_destroy(sim);
}

// More members come and go than there is room for at once; nobody waits a minute between them.
Test(peers, slots_serve_others_when_their_members_are_gone)
{
    enum { LIVE = 100, LIVES = 50000 };
    open_node();
    uint64_t sent = 0;
    for (uint64_t uid = 1; uid <= LIVES; uid++) {
        (void)member(uid);
        cr_assert(send_to(uid) == ZA_OK, "%u", (unsigned)uid);
        sent++;
        if (uid > LIVE) {
            za_peer_down(node, uid - LIVE);
            cr_assert(send_to(uid - LIVE) == ZA_ENOROUTE, "it is gone");
        }
    }
    cr_expect(node->peers_top <= ZA_PEER_SLOTS_MAX, "%u slots", node->peers_top);
    cr_expect(lost() == sent - LIVE, "%u of %u are lost", (unsigned)lost(), (unsigned)sent);
    for (uint64_t uid = LIVES - LIVE + 1; uid <= LIVES; uid++) {
        cr_assert(za_peer_find(node, uid) != NULL && za_peer_find(node, uid)->uid == uid, "there");
        za_peer_down(node, uid);
    }
    cr_expect(lost() == sent, "each is counted");
    za_sim_destroy(sim);
}

Test(peers, lanes_serve_others_when_their_members_are_gone)
{
    enum { USED = 50, ROUNDS = 20 };
    open_node();
    uint64_t uid = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < USED; i++) {
            (void)member(++uid);
            cr_assert(send_to(uid) == ZA_OK);
            za_peer_down(node, uid);
        }
        sweep_until(node->now_ms + ZA_PEER_QUARANTINE_MS + 20 * SWEEP_MS);
    }
    cr_expect(node->lanes_count <= 2 * USED, "%u lanes", node->lanes_count);
    cr_expect(lost() == uid, "each is counted");
    za_sim_destroy(sim);
}

// Who linked to us and never became a member leaves nothing behind.
Test(peers, one_that_never_was_a_member_gives_its_slot_back)
{
    open_node();
    cr_assert(za_peer_claim(node, 7, "joiner") != NULL);
    (void)member(8);
    sweep_until(node->now_ms + ZA_PEER_QUARANTINE_MS + 2 * SWEEP_MS);
    cr_expect(za_peer_find(node, 7) == NULL, "it is forgotten");
    cr_expect(za_peer_find(node, 8) != NULL, "a member is not");
    za_sim_destroy(sim);
}

// Its time begins with the message, and not when the member had a link for the last time.
Test(peers, what_waits_for_a_link_has_ten_seconds)
{
    open_node();
    (void)member(7);
    sweep_until(node->now_ms + 60 * SWEEP_MS);
    cr_assert(send_to(7) == ZA_OK);
    uint64_t sent_ms = node->now_ms;
    sweep_until(sent_ms + ZA_UNLINKED_MS_MAX - SWEEP_MS);
    cr_expect(lost() == 0, "it waits");
    sweep_until(sent_ms + ZA_UNLINKED_MS_MAX + 2 * SWEEP_MS);
    cr_expect(lost() == 1, "it is given up, and counted");
    za_sim_destroy(sim);
}

/** As a sender that found the peer, and is interrupted until the peer's slot serves another. */
static void push_late(za_peer_t *peer, uint64_t uid)
{
    const t_Note note = { uid };
    const za_outgoing_t out = { .to = { uid, 1 }, .type = &t_Note_type, .body = &note };
    cr_assert(za_peer_send(node, node->worker, peer, &out) == ZA_OK);
}

Test(peers, what_is_pushed_late_is_lost_and_counted)
{
    open_node();
    za_peer_t *peer = member(7);
    cr_assert(send_to(7) == ZA_OK);
    za_peer_down(node, 7);
    sweep_until(node->now_ms + ZA_PEER_QUARANTINE_MS + 2 * SWEEP_MS);
    cr_assert(lost() == 1 && za_peer_find(node, 7) == NULL, "released");
    atomic_store(&peer->terminal, false); // it looked before
    push_late(peer, 7);
    sweep_until(node->now_ms + SWEEP_MS);
    cr_expect(lost() == 2, "in a slot that is free");
    za_sim_destroy(sim);
}

// The same, interrupted after it had found the lanes.
Test(peers, what_is_pushed_late_into_lanes_is_lost_and_counted)
{
    open_node();
    za_peer_t *peer = member(7);
    za_lanes_t *lanes = za_peer_lanes(node, peer);
    za_peer_down(node, 7);
    sweep_until(node->now_ms + ZA_PEER_QUARANTINE_MS + 2 * SWEEP_MS);
    cr_assert(atomic_load(&peer->lanes) == NULL, "released");
    atomic_store(&peer->terminal, false); // it looked before
    atomic_store(&peer->lanes, lanes);
    push_late(peer, 7);
    atomic_store(&peer->lanes, NULL);
    sweep_until(node->now_ms + SWEEP_MS);
    cr_expect(lost() == 1, "it is counted");
    za_sim_destroy(sim);
}

/** True if what was sent to it asks for a link, before any sweep. */
static bool asks_for_a_link(uint64_t uid)
{
    cr_assert(send_to(uid) == ZA_OK);
    za_inbox_drain(node);
    za_peers_flush(node, node->worker);
    return za_node_has_requests(node);
}

// That its slot's former member waited for a link to its end is nothing to it.
Test(peers, the_first_message_asks_for_a_link_also_in_a_slot_of_another)
{
    open_node();
    const za_peer_t *former = member(7);
    cr_assert(asks_for_a_link(7));
    za_peer_down(node, 7);
    sweep_until(node->now_ms + ZA_PEER_QUARANTINE_MS + 2 * SWEEP_MS);
    cr_assert(member(8) == former, "the slot is used again");
    cr_expect(!atomic_load(&former->used), "nothing was sent to it");
    cr_expect(asks_for_a_link(8));
    za_sim_destroy(sim);
}
