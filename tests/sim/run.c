#include "run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "count.h"
#include "node/node.h"
#include "work.h"

enum {
    SLICE_MS = 100,
    HEAL_BOUND_MS =
        60 * 1000, // until all agree: DOWN nodes are tried every 10 s, synced every 10 s
    COUNT_BOUND_MS = 300 * 1000, // the word count may have waited for all nodes
    DRAIN_MS = 15 * 1000,        // longer than any timeout of the workload, and the wait for a node
    PROBE_FIRST_MS = 2 * 1000,   // every peer has sent
    PROBE_BOUND_MS = 20 * 1000,
};

static const za_class_t *const classes[] = { &work_child_class, &wordcount_counter_class, NULL };

static void print_log(void *context, uint64_t now_ms, const char *node, int level, const char *text)
{
    (void)context;
    static const char *const levels[] = { "?", "debug", "info", "warn", "error" };
    printf("%8" PRIu64 " ms %-3s %-5s %s\n", now_ms, node,
           levels[level >= 1 && level <= 4 ? level : 0], text);
}

static void node_starts(za_sim_t *sim, uint32_t node)
{
    world_process_began(node);
    work_start(sim, node);
}

static void node_ended(za_sim_t *sim, uint32_t node)
{
    (void)sim;
    world_process_ended(node);
}

static void after_step(za_sim_t *sim, void *context)
{
    (void)context;
    for (uint32_t i = 0; i < za_sim_node_count(sim); i++) {
        if (world_process(i) != 0 && za_sim_node(sim, i) == NULL) {
            world_process_ended(i); // it has left
        }
    }
    world_watch_uids();
}

/** Runs for `ms`; false if an oracle was violated. */
static bool go_on(za_sim_t *sim, uint64_t ms)
{
    za_sim_run_for(sim, ms);
    return world_failure() == NULL;
}

static bool suffer(za_sim_t *sim, faults_t *faults, const schedule_t *schedule, const char *folder)
{
    bool counting = false;
    for (;;) {
        uint64_t now = za_sim_now_ms(sim);
        if (now >= schedule->end_ms) {
            return true;
        }
        if (!counting && now >= schedule->count_at_ms) {
            counting = true;
            if (!count_start(sim, schedule->spared, za_mix64(schedule->seed), folder)) {
                world_fail("the texts for the word count cannot be written to %s", folder);
            }
        }
        uint64_t next = faults_next_ms(faults);
        next = next < schedule->end_ms ? next : schedule->end_ms;
        next = !counting && schedule->count_at_ms < next ? schedule->count_at_ms : next;
        if (next > now && !go_on(sim, next - now)) {
            return false;
        }
        faults_step(faults);
    }
}

typedef struct view_text {
    char text[RUN_FAILURE_BYTES / 2];
    size_t used;
} view_text_t;

static bool write_member(const za_member_info_t *info, void *context)
{
    view_text_t *view = context;
    if (info->state < ZA_MEMBER_LEFT && view->used < sizeof view->text - 48) {
        int size =
            snprintf(view->text + view->used, sizeof view->text - view->used, " %s:%04x:%s",
                     info->name, (unsigned)(info->uid & 0xffff), za_member_state_name(info->state));
        view->used += (size_t)size;
    }
    return true;
}

static void fail_disagreement(za_sim_t *sim)
{
    view_text_t view = { .used = 0 };
    uint64_t hashes[ZA_SIM_NODES_MAX][2] = { 0 };
    for (uint32_t i = 0; i < za_sim_node_count(sim); i++) {
        const za_node_t *node = za_sim_node(sim, i);
        if (node != NULL && view.used < sizeof view.text - 48) {
            hashes[i][0] = za_cluster_view_hash(za_node_cluster(node));
            hashes[i][1] = za_cluster_registry_hash(za_node_cluster(node));
            view.used += (size_t)snprintf(
                view.text + view.used, sizeof view.text - view.used, "\n  n%u (%04x %04x) sees", i,
                (unsigned)(hashes[i][0] & 0xffff), (unsigned)(hashes[i][1] & 0xffff));
            za_cluster_each_member(za_node_cluster(node), write_member, &view);
        }
    }
    world_fail("the nodes do not agree (hashes of view and registry) %u s after healing:%s",
               HEAL_BOUND_MS / 1000, view.text);
}

/** All nodes that are to run do, and agree. */
static bool heal(za_sim_t *sim, faults_t *faults, uint64_t *heal_ms)
{
    uint64_t begin = za_sim_now_ms(sim);
    faults_heal(faults);
    while (!faults_revive(faults) || !za_sim_converged(sim)) {
        if (za_sim_now_ms(sim) - begin > HEAL_BOUND_MS) {
            fail_disagreement(sim);
        }
        if (!go_on(sim, SLICE_MS)) {
            return false;
        }
    }
    *heal_ms = za_sim_now_ms(sim) - begin;
    while (!count_is_over(sim)) {
        if (za_sim_now_ms(sim) - begin > COUNT_BOUND_MS) {
            world_fail("the word count does not end");
        }
        if (!go_on(sim, SLICE_MS)) {
            return false;
        }
    }
    return true;
}

static bool probe(za_sim_t *sim)
{
    world_set_phase(PHASE_DRAIN);
    if (!go_on(sim, DRAIN_MS)) {
        return false;
    }
    if (!za_sim_converged(sim)) {
        fail_disagreement(sim);
    }
    world_set_phase(PHASE_PROBE);
    if (!go_on(sim, PROBE_FIRST_MS)) {
        return false;
    }
    for (uint64_t ms = 0; ms < PROBE_BOUND_MS && !world_probes_complete(); ms += SLICE_MS) {
        if (!go_on(sim, SLICE_MS)) {
            return false;
        }
    }
    return true;
}

static void write_result(za_sim_t *sim, run_result_t *out)
{
    const char *failure = world_failure();
    out->failed = failure != NULL;
    snprintf(out->failure, sizeof out->failure, "%s", failure != NULL ? failure : "");
    uint64_t did = world_hash();
    out->hash = za_mix64(za_sim_hash(sim) ^ za_mix64(did));
    out->events = za_sim_events(sim);
    out->counts = world_counts;
    for (uint32_t i = 0; i < RUN_MARKS_MAX && za_sim_mark_name(i) != NULL; i++) {
        out->marks[i] = za_sim_marks(sim, i);
    }
}

void run(const schedule_t *schedule, const run_opts_t *opts, run_result_t *out)
{
    *out = (run_result_t){ .failed = false };
    za_sim_t *sim;
    za_err_t err = za_sim_create(&(za_sim_opts_t){ .size = sizeof(za_sim_opts_t),
                                                   .seed = schedule->seed,
                                                   .nodes = schedule->nodes,
                                                   .classes = classes,
                                                   .latency_us_max = schedule->latency_us_max,
                                                   .loss_permille = schedule->loss_permille,
                                                   .log = opts->verbose ? print_log : NULL },
                                 &sim);
    ZA_ASSERT(err == ZA_OK);
    world_init(sim);
    za_sim_on_step(sim, after_step, NULL);
    for (uint32_t i = 0; i < schedule->nodes; i++) {
        node_starts(sim, i);
    }
    const schedule_events_t events = { .starts = node_starts, .ended = node_ended };
    faults_t *faults = faults_create(sim, schedule, &events);
    if (suffer(sim, faults, schedule, opts->folder) && heal(sim, faults, &out->heal_ms) &&
        probe(sim)) {
        world_check_end();
    }
    count_check();
    write_result(sim, out);
    faults_destroy(faults);
    za_sim_destroy(sim);
    world_deinit();
}
