/**
 * Foreign threads flood actors that drop their oldest messages, while another ends and spawns them.
 * Each accepted message is handled or counted as lost, order holds, and no notification is lost.
 */
#include "stress_world.h"

enum { SENDERS = 3, BOUND = 4, NOTE_EVERY = 16 };

static const za_type_t s_Note_type = { .name = "s.Note", .id = 202, .size = sizeof(s_Num) };
typedef s_Num s_Note;

static uint64_t rounds;
static stress_t stress;
static _Atomic uint64_t target; // actor id
static _Atomic uint64_t accepted, handled, noted, notes, senders_done;

typedef struct sink {
    uint64_t last[SENDERS]; // one more than the last number that came
} sink_t;

static za_verdict_t on_num(za_ctx_t *ctx, sink_t *self, const s_Num *m)
{
    (void)ctx;
    MUST(m->n >= self->last[m->from]); // in order, with gaps
    self->last[m->from] = m->n + 1;
    atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed); // relaxed: a count
    return ZA_DONE;
}

/** A note says how many messages were sent before it: none of them comes after it. */
static za_verdict_t on_note(za_ctx_t *ctx, sink_t *self, const s_Note *m)
{
    (void)ctx;
    MUST(m->n >= self->last[m->from]);
    self->last[m->from] = m->n;
    atomic_fetch_add_explicit(&noted, 1, memory_order_relaxed); // relaxed: a count
    return ZA_DONE;
}

ZA_ACTOR(sink, sink_t, (s_Num, on_num), (s_Note, on_note));

static za_ref_t spawn(za_worker_t *guest)
{
    za_ref_t ref;
    const za_spawn_opts_t opts = { .size = sizeof opts,
                                   .mailbox = BOUND,
                                   .overflow = ZA_DROP_OLDEST };
    MUST(za_runtime_spawn(guest, &sink_class, &opts, ZA_REF_NONE, &ref) == ZA_OK);
    return ref;
}

static void *send_all(void *argument)
{
    uint64_t from = (uint64_t)(uintptr_t)argument;
    za_worker_t *guest = za_runtime_guest(stress.runtime);
    MUST(guest != NULL);
    for (uint64_t i = 0; i < rounds; i++) {
        // acquire: the actor was spawned before
        za_ref_t to = { 0, atomic_load_explicit(&target, memory_order_acquire) };
        za_err_t err = stress_tell(guest, to, (s_Num){ .n = i, .from = from });
        MUST(err == ZA_OK || err == ZA_EGONE); // never full
        atomic_fetch_add_explicit(&accepted, err == ZA_OK, memory_order_relaxed);
        if (i % NOTE_EVERY == 0) {
            s_Num note = { .n = i + 1, .from = from };
            err = za_runtime_notify(guest, to.actor, &s_Note_type, &note);
            MUST(err == ZA_OK || err == ZA_EGONE);
            atomic_fetch_add_explicit(&notes, err == ZA_OK, memory_order_relaxed);
        }
    }
    atomic_fetch_add_explicit(&senders_done, 1, memory_order_relaxed);
    return NULL;
}

/** Each accepted message was handled, dropped or refused; waits for those on their way. */
static void settle(void)
{
    for (;;) {
        za_counters_t counters;
        za_runtime_counters(stress.runtime, &counters);
        uint64_t ends =
            atomic_load_explicit(&handled, memory_order_relaxed) + counters.dead_letters;
        MUST(ends <= atomic_load_explicit(&accepted, memory_order_relaxed));
        if (ends == atomic_load_explicit(&accepted, memory_order_relaxed)) {
            return;
        }
        sched_yield();
    }
}

static void flood(za_worker_t *guest, bool churn)
{
    pthread_t threads[SENDERS];
    atomic_store_explicit(&senders_done, 0, memory_order_relaxed);
    za_ref_t sink = spawn(guest);
    atomic_store_explicit(&target, sink.actor, memory_order_release);
    for (uintptr_t i = 0; i < SENDERS; i++) {
        MUST(pthread_create(&threads[i], NULL, send_all, (void *)i) == 0);
    }
    while (churn && atomic_load_explicit(&senders_done, memory_order_relaxed) < SENDERS) {
        za_ref_t next = spawn(guest);
        atomic_store_explicit(&target, next.actor, memory_order_release);
        za_runtime_stop_actor(guest, sink.actor, za_Reason_REASON_STOPPED);
        sink = next;
        sched_yield();
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
    }
    settle();
}

int main(int argc, char **argv)
{
    rounds = stress_rounds(argc, argv, 200000);
    stress_start(&stress, 2, BOUND);
    za_worker_t *guest = za_runtime_guest(stress.runtime);
    flood(guest, false);
    while (atomic_load_explicit(&noted, memory_order_relaxed) !=
           atomic_load_explicit(&notes, memory_order_relaxed)) {
        sched_yield();
    }
    za_counters_t counters;
    za_runtime_counters(stress.runtime, &counters);
    MUST(counters.dead_by_reason[za_Reason_REASON_MAILBOX_FULL] > 0);
    flood(guest, true);
    stress_stop(&stress);
    return 0;
}
