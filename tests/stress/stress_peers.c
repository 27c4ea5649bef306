/**
 * Members of a node come and go by the hundred thousand, in slots and lanes that pass from one to the
 * next and in an index that grows, while threads send to them: a member that stays is always found, and each
 * message that was accepted is counted as lost in the end, for nobody has a link here.
 */
#include "stress_world.h"

#include <zactor/sim.h>

#include "base/rng.h"
#include "node/state.h"
#include "support/note.h"

enum { STEADY = 20, LIVE = 600, SENDERS = 3, BURST = 16, FLUSH_EVERY = 8 };

static za_sim_t *sim;
static za_node_t *node;
static _Atomic uint64_t newest = STEADY; // uids above it never came
static atomic_bool over;
static _Atomic uint64_t accepted;
static _Atomic uint64_t tried;

static uint64_t draw_uid(za_rng_t *rng)
{
    uint64_t last = atomic_load_explicit(&newest, memory_order_acquire);
    if (za_rng_below(rng, 4) == 0) {
        return 1 + za_rng_below(rng, STEADY);
    }
    uint64_t back = za_rng_below(rng, 2 * LIVE); // some of these are gone
    return last > back ? last - back : last;
}

static void send_one(za_worker_t *worker, uint64_t uid)
{
    za_peer_t *peer = za_peer_find(node, uid);
    MUST(peer != NULL || uid > STEADY);
    if (peer == NULL) {
        return;
    }
    const t_Note note = { .n = uid };
    const za_outgoing_t out = { .to = { uid, 1 }, .type = &t_Note_type, .body = &note };
    za_err_t err = za_peer_send(node, worker, peer, &out);
    MUST(err == ZA_OK || err == ZA_ENOROUTE || err == ZA_EFULL || err == ZA_ENOBUFS);
    if (err == ZA_OK) {
        atomic_fetch_add_explicit(&accepted, 1, memory_order_relaxed);
    }
}

static void *send_all(void *context)
{
    za_worker_t *worker = context;
    za_rng_t rng;
    za_rng_init(&rng, (uint64_t)za_worker_index(worker));
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        for (int i = 0; i < BURST; i++) {
            send_one(worker, draw_uid(&rng));
        }
        za_peers_flush(node, worker);
        atomic_fetch_add_explicit(&tried, BURST, memory_order_relaxed);
        sched_yield();
    }
    return NULL;
}

/** The simulator's calendar is one thread's: the owner looks by itself. */
static void no_kick(void *context)
{
    (void)context;
}

static void come(uint64_t uid)
{
    za_peer_t *peer = za_peer_claim(node, uid, "member");
    MUST(peer != NULL);
    peer->announced = uid;
    atomic_store_explicit(&newest, uid, memory_order_release);
}

static uint64_t lost(void)
{
    return atomic_load_explicit(&node->counters.lost_link, memory_order_relaxed);
}

int main(int argc, char **argv)
{
    uint64_t lives = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000;
    za_sim_opts_t opts = { .size = sizeof opts, .seed = 1, .nodes = 1 };
    MUST(za_sim_create(&opts, &sim) == ZA_OK);
    za_sim_run_for(sim, 1000);
    node = za_sim_node(sim, 0);
    node->params.kick = no_kick;
    for (uint64_t uid = 1; uid <= STEADY; uid++) {
        come(uid);
    }
    pthread_t senders[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        za_worker_t *guest = za_runtime_guest(node->runtime);
        MUST(guest != NULL && pthread_create(&senders[i], NULL, send_all, guest) == 0);
    }
    for (uint64_t uid = STEADY + 1; uid <= STEADY + lives; uid++) {
        come(uid);
        if (uid > STEADY + LIVE) {
            za_peer_down(node, uid - LIVE);
        }
        while (atomic_load_explicit(&tried, memory_order_relaxed) < 4 * uid) {
            sched_yield(); // senders have their share
        }
        if (uid % FLUSH_EVERY == 0) { // two hours for each hundred thousand
            node->now_ms += 1000;
            node->now_us = node->now_ms * 1000;
            za_inbox_drain(node);
            za_peers_sweep(node);
        }
    }
    atomic_store(&over, true);
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i], NULL);
    }
    za_inbox_drain(node);
    for (uint64_t uid = 1; uid <= STEADY + lives; uid++) {
        za_peer_down(node, uid);
    }
    za_peers_sweep(node);
    MUST(lost() == atomic_load(&accepted));
    MUST(node->peers_top < lives);
    printf("%llu messages to %llu members in %u slots, %u of them with lanes\n",
           (unsigned long long)atomic_load(&accepted), (unsigned long long)(STEADY + lives),
           node->peers_top, node->lanes_count);
    za_sim_destroy(sim);
    return 0;
}
