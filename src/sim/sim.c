#include <zactor/sim.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "cluster/member_texts.h"
#include "net/plain.h"
#include "node/node.h"
#include "sim/network.h"

enum {
    TURN_NS = 20 * 1000,           // virtual time of a worker's turn: an endless conversation ages
    POOL_BYTES = 64 * 1024 * 1024, // per node
    ACTORS = 10000,
    MAILBOX = 1024,
    START_SPREAD_NS = 50 * 1000 * 1000, // nodes are not started in the same microsecond
    LEAVE_GRACE_NS = 100 * 1000 * 1000, // after LEFT: the last frames still go out
};

typedef struct member {
    za_sim_t *sim;
    uint32_t index;
    za_node_t *node; // NULL: not running
    za_worker_t *worker;
    bool paused, leaving;
    uint64_t left_at_ns; // 0: it has not left
    uint64_t starts;     // process starts so far: part of the seed of the next
    char name[16];
    char address[32];
} member_t;

struct za_sim {
    za_sim_opts_t opts;
    za_downing_config_t downing;
    za_rng_t rng;
    za_network_t *network;
    za_security_factory_t security;
    member_t members[ZA_SIM_NODES_MAX];
    void (*step)(za_sim_t *sim, void *context);
    void *step_context;
    uint64_t marks[ZA_MARK_COUNT];
    char seed_address[32];
};

/* ---- host 2: what a node gets from its host ---------------------------------------------------- */

static void run_now(void *context)
{
    member_t *member = context;
    za_network_wake_at(member->sim->network, member->index,
                       za_network_now_ns(member->sim->network));
}

static void host_wake(void *context, za_worker_t *worker)
{
    (void)worker;
    run_now(context);
}

static const za_host_t sim_host = { .wake = host_wake };

static uint64_t member_now_ns(void *context)
{
    const member_t *member = context;
    return za_network_now_ns(member->sim->network);
}

static void member_log(void *context, int level, const char *class_name, za_ref_t actor,
                       const char *text)
{
    (void)class_name;
    (void)actor;
    member_t *member = context;
    za_sim_t *sim = member->sim;
    if (sim->opts.log != NULL) {
        sim->opts.log(sim->opts.log_context, za_sim_now_ms(sim), member->name, level, text);
    }
}

static void member_mark(void *context, za_mark_t mark)
{
    member_t *member = context;
    member->sim->marks[mark]++;
}

/* ---- running a node ---------------------------------------------------------------------------- */

/** What no mark is emitted for: the runtime counts it. */
static uint64_t full_mailboxes(const member_t *member)
{
    za_counters_t counters;
    za_runtime_counters(za_node_runtime(member->node), &counters);
    return counters.rejected + counters.dead_by_reason[za_Reason_REASON_MAILBOX_FULL];
}

static void end_process(member_t *member)
{
    member->sim->marks[ZA_MARK_MAILBOX_FULL] += full_mailboxes(member);
    za_network_set_node(member->sim->network, member->index, NULL);
    za_node_deinit(member->node);
    za_network_detach(member->sim->network, member->index);
    member->node = NULL;
    member->worker = NULL;
    member->paused = member->leaving = false;
    member->left_at_ns = 0;
}

static void plan_next_run(member_t *member, za_turn_t turn, uint64_t now)
{
    za_network_t *network = member->sim->network;
    uint64_t due = za_worker_deadline_ns(member->worker);
    uint64_t service = za_node_deadline_ns(member->node);
    due = service < due ? service : due;
    if (turn == ZA_TURN_MORE) {
        due = now + TURN_NS;
    }
    if (member->left_at_ns != 0 && member->left_at_ns + LEAVE_GRACE_NS < due) {
        due = member->left_at_ns + LEAVE_GRACE_NS;
    }
    if (due != UINT64_MAX) {
        za_network_wake_at(network, member->index, due > now ? due : now + 1);
    }
}

/** One round of host 1's loop: input, then due times and requests, then actors. */
static void run_member(void *context, uint32_t index)
{
    za_sim_t *sim = context;
    member_t *member = &sim->members[index];
    if (member->node == NULL || member->paused) {
        return;
    }
    uint64_t now = za_network_now_ns(sim->network);
    za_node_own(member->node, member->worker);
    za_network_deliver(sim->network, index);
    za_node_service(member->node);
    za_turn_t turn = za_worker_turn(member->worker, now);
    za_node_service(member->node); // what the turn queued must not wait for the next input
    if (member->leaving && member->left_at_ns == 0 && za_node_has_left(member->node)) {
        member->left_at_ns = now;
    }
    if (member->left_at_ns != 0 && now >= member->left_at_ns + LEAVE_GRACE_NS) {
        end_process(member);
        return;
    }
    plan_next_run(member, turn, now);
}

static const za_network_events_t network_events = { .run = run_member };

/** NULL: there is none of that name. */
static const za_cluster_timing_t *timing_of(const char *name)
{
    if (name == NULL || strcmp(name, "lan") == 0) {
        return &za_cluster_timing_lan;
    }
    return strcmp(name, "wan") == 0     ? &za_cluster_timing_wan
           : strcmp(name, "local") == 0 ? &za_cluster_timing_local
                                        : NULL;
}

static void start_process(member_t *member)
{
    za_sim_t *sim = member->sim;
    const za_sim_opts_t *opts = &sim->opts;
    uint64_t seed = za_mix64(opts->seed ^ za_mix64(member->index + 1 + 1000 * ++member->starts));
    const char *seeds[] = { sim->seed_address };
    const char *meta = opts->meta != NULL ? opts->meta[member->index] : NULL;
    za_node_params_t params = {
        .name = member->name,
        .cluster = "sim",
        .cluster_id = 1,
        .address = member->address,
        .seeds = seeds,
        .seed_count = 1,
        .timing = *timing_of(opts->timing),
        .roles = opts->roles != NULL ? opts->roles[member->index] : NULL,
        .meta = (const uint8_t *)meta,
        .meta_bytes = meta != NULL ? (uint32_t)strlen(meta) : 0,
        .downing = sim->downing,
        .workers = 1,
        .actors_max = opts->actors_max != 0 ? opts->actors_max : ACTORS,
        .pool_bytes_max = opts->pool_bytes_max != 0 ? opts->pool_bytes_max : POOL_BYTES,
        .mailbox_default = opts->mailbox != 0 ? opts->mailbox : MAILBOX,
        .random_seed = seed,
        .classes = opts->classes,
        .security = sim->security,
        .transport = za_network_attach(sim->network, member->index, &za_node_transport_events),
        .host = &sim_host,
        .host_context = member,
        .now_ns = member_now_ns,
        .now_context = member,
        .kick = run_now,
        .kick_context = member,
        .log = member_log,
        .log_context = member,
        .mark = member_mark,
        .mark_context = member,
    };
    if (opts->lease != NULL) {
        params.lease = *opts->lease;
    }
    za_err_t err = za_node_init(&params, &member->node);
    ZA_ASSERT(err == ZA_OK); // the simulator runs in a test: no memory is the end of it
    za_network_set_node(sim->network, member->index, member->node);
    member->worker = za_runtime_worker(za_node_runtime(member->node), 0);
    run_now(member);
}

/* ---- set-up ------------------------------------------------------------------------------------ */

static bool attributes_are_valid(const za_sim_opts_t *opts)
{
    for (uint32_t i = 0; opts->roles != NULL && i < opts->nodes; i++) {
        const char *roles = opts->roles[i];
        if (roles != NULL && !za_member_roles_valid(roles, (uint32_t)strlen(roles))) {
            return false;
        }
    }
    for (uint32_t i = 0; opts->meta != NULL && i < opts->nodes; i++) {
        if (opts->meta[i] != NULL && strlen(opts->meta[i]) > ZA_MEMBER_META_BYTES_MAX) {
            return false;
        }
    }
    return true;
}

static bool find_strategy(const za_sim_opts_t *opts, za_downing_strategy_t *out)
{
    const char *name = opts->downing != NULL ? opts->downing
                       : opts->lease != NULL ? "lease"
                                             : "none";
    for (int i = ZA_DOWNING_NONE; i <= ZA_DOWNING_DOWN_ALL; i++) {
        *out = (za_downing_strategy_t)i;
        if (strcmp(za_downing_strategy_name(*out), name) == 0) {
            return true;
        }
    }
    return false;
}

/** By the rules of za_settings_from_config, which says in words what is wrong. */
static bool downing_of(const za_sim_opts_t *opts, za_downing_config_t *out)
{
    const za_cluster_timing_t *timing = timing_of(opts->timing);
    const char *role = opts->downing_role != NULL ? opts->downing_role : "";
    *out = (za_downing_config_t){ .quorum = opts->downing_quorum,
                                  .stable_after_ms = opts->downing_stable_after_ms,
                                  .keep_lone_oldest = opts->downing_keep_lone_oldest };
    if (timing == NULL || !find_strategy(opts, &out->strategy) ||
        strlen(role) >= sizeof out->role) {
        return false;
    }
    strcpy(out->role, role);
    uint32_t stable_least_ms = ZA_DOWNING_STABLE_INTERVALS * timing->probe_interval_ms;
    bool none = out->strategy == ZA_DOWNING_NONE;
    bool idle = none && (role[0] != '\0' || out->stable_after_ms != 0);
    return !idle && za_downing_config_valid(out) &&
           (out->stable_after_ms == 0 || out->stable_after_ms >= stable_least_ms) &&
           (out->strategy == ZA_DOWNING_STATIC_QUORUM) == (out->quorum != 0) &&
           (out->strategy == ZA_DOWNING_KEEP_OLDEST || !out->keep_lone_oldest) &&
           (out->strategy == ZA_DOWNING_LEASE) == (opts->lease != NULL);
}

static bool opts_are_valid(const za_sim_opts_t *opts)
{
    return opts != NULL && opts->size == sizeof *opts && opts->nodes <= ZA_SIM_NODES_MAX &&
           opts->loss_permille <= 1000 && attributes_are_valid(opts) &&
           (opts->lease == NULL ||
            (opts->lease->size >= sizeof *opts->lease && opts->lease->ask != NULL));
}

za_err_t za_sim_create(const za_sim_opts_t *opts, za_sim_t **out)
{
    za_downing_config_t downing;
    if (!opts_are_valid(opts) || out == NULL || !downing_of(opts, &downing)) {
        return ZA_EINVAL;
    }
    za_sim_t *sim = calloc(1, sizeof *sim);
    if (sim == NULL) {
        return ZA_ENOMEM;
    }
    sim->opts = *opts;
    sim->downing = downing;
    sim->security = za_plain_factory();
    za_rng_init(&sim->rng, za_mix64(opts->seed + 1));
    za_network_address(0, sim->seed_address, sizeof sim->seed_address);
    za_err_t err = za_network_create(za_mix64(opts->seed), &network_events, sim, &sim->network);
    if (err != ZA_OK) {
        free(sim);
        return err;
    }
    uint32_t low = opts->latency_us_min != 0 ? opts->latency_us_min : 100;
    uint32_t high = opts->latency_us_max != 0 ? opts->latency_us_max : 500;
    for (uint32_t from = 0; from < opts->nodes; from++) {
        for (uint32_t to = 0; to < opts->nodes; to++) {
            za_network_set_path(sim->network, from, to, low, high, opts->loss_permille);
        }
    }
    for (uint32_t i = 0; i < opts->nodes; i++) {
        member_t *member = &sim->members[i];
        member->sim = sim;
        member->index = i;
        snprintf(member->name, sizeof member->name, "n%u", i);
        za_network_address(i, member->address, sizeof member->address);
        start_process(member);
    }
    *out = sim;
    return ZA_OK;
}

void za_sim_destroy(za_sim_t *sim)
{
    if (sim == NULL) {
        return;
    }
    for (uint32_t i = 0; i < sim->opts.nodes; i++) {
        if (sim->members[i].node != NULL) {
            end_process(&sim->members[i]);
        }
    }
    za_network_destroy(sim->network);
    free(sim);
}

/* ---- time -------------------------------------------------------------------------------------- */

uint64_t za_sim_now_ms(const za_sim_t *sim)
{
    return za_network_now_ns(sim->network) / 1000000;
}

static bool step(za_sim_t *sim, uint64_t until_ns)
{
    if (!za_network_step(sim->network, until_ns)) {
        return false;
    }
    if (sim->step != NULL) {
        sim->step(sim, sim->step_context);
    }
    return true;
}

void za_sim_run_for(za_sim_t *sim, uint64_t ms)
{
    uint64_t until = za_network_now_ns(sim->network) + ms * 1000000;
    while (step(sim, until)) {
    }
}

bool za_sim_run_until(za_sim_t *sim, bool (*done)(za_sim_t *sim, void *context), void *context,
                      uint64_t bound_ms)
{
    uint64_t until = za_network_now_ns(sim->network) + bound_ms * 1000000;
    while (!done(sim, context)) {
        if (!step(sim, until)) {
            return done(sim, context);
        }
    }
    return true;
}

void za_sim_on_step(za_sim_t *sim, void (*on_step)(za_sim_t *sim, void *context), void *context)
{
    sim->step = on_step;
    sim->step_context = context;
}

/* ---- nodes and network -------------------------------------------------------------------------- */

static member_t *member_at(za_sim_t *sim, uint32_t node)
{
    return node < sim->opts.nodes ? &sim->members[node] : NULL;
}

za_node_t *za_sim_node(za_sim_t *sim, uint32_t node)
{
    member_t *member = member_at(sim, node);
    return member == NULL ? NULL : member->node;
}

uint32_t za_sim_node_count(const za_sim_t *sim)
{
    return sim->opts.nodes;
}

void za_sim_crash(za_sim_t *sim, uint32_t node)
{
    member_t *member = member_at(sim, node);
    if (member != NULL && member->node != NULL) {
        end_process(member);
    }
}

void za_sim_restart(za_sim_t *sim, uint32_t node)
{
    member_t *member = member_at(sim, node);
    if (member != NULL && member->node == NULL) {
        start_process(member);
    }
}

void za_sim_pause(za_sim_t *sim, uint32_t node)
{
    member_t *member = member_at(sim, node);
    if (member != NULL && member->node != NULL) {
        member->paused = true;
    }
}

void za_sim_resume(za_sim_t *sim, uint32_t node)
{
    member_t *member = member_at(sim, node);
    if (member != NULL && member->node != NULL) {
        member->paused = false;
        run_now(member);
    }
}

void za_sim_leave(za_sim_t *sim, uint32_t node)
{
    member_t *member = member_at(sim, node);
    if (member != NULL && member->node != NULL && !member->leaving) {
        member->leaving = true;
        za_node_leave(member->node, member->worker);
    }
}

void za_sim_block(za_sim_t *sim, uint32_t from, uint32_t to, bool blocked)
{
    if (member_at(sim, from) != NULL && member_at(sim, to) != NULL) {
        za_network_block(sim->network, from, to, blocked);
    }
}

static bool on_side(uint64_t side, uint32_t node)
{
    return node < 64 && (side >> node & 1) != 0;
}

void za_sim_partition(za_sim_t *sim, uint64_t side)
{
    for (uint32_t from = 0; from < sim->opts.nodes; from++) {
        for (uint32_t to = 0; to < sim->opts.nodes; to++) {
            if (on_side(side, from) != on_side(side, to)) {
                za_network_block(sim->network, from, to, true);
            }
        }
    }
}

void za_sim_heal(za_sim_t *sim)
{
    for (uint32_t from = 0; from < sim->opts.nodes; from++) {
        for (uint32_t to = 0; to < sim->opts.nodes; to++) {
            za_network_block(sim->network, from, to, false);
        }
    }
}

void za_sim_set_path(za_sim_t *sim, uint32_t from, uint32_t to, uint32_t latency_us_min,
                     uint32_t latency_us_max, uint32_t loss_permille)
{
    if (member_at(sim, from) != NULL && member_at(sim, to) != NULL) {
        za_network_set_path(sim->network, from, to, latency_us_min, latency_us_max, loss_permille);
    }
}

void za_sim_reset(za_sim_t *sim, uint32_t a, uint32_t b)
{
    if (member_at(sim, a) != NULL && member_at(sim, b) != NULL) {
        za_network_reset(sim->network, a, b);
    }
}

/* ---- work --------------------------------------------------------------------------------------- */

za_err_t za_sim_spawn_with(za_sim_t *sim, uint32_t node, const za_class_t *class_, za_ref_t *out,
                           const za_spawn_opts_t *opts)
{
    member_t *member = member_at(sim, node);
    if (member == NULL || member->node == NULL) {
        return ZA_EINVAL;
    }
    za_err_t err = za_runtime_spawn(member->worker, class_, opts, ZA_REF_NONE, out);
    run_now(member);
    return err;
}

za_err_t za_sim_tell(za_sim_t *sim, uint32_t node, za_ref_t to, const za_type_t *type,
                     const void *message)
{
    member_t *member = member_at(sim, node);
    if (member == NULL || member->node == NULL) {
        return ZA_EINVAL;
    }
    za_err_t err = za_runtime_tell(member->worker,
                                   &(za_outgoing_t){ .to = to, .type = type, .body = message });
    run_now(member);
    return err;
}

/* ---- looking ------------------------------------------------------------------------------------ */

uint64_t za_sim_hash(const za_sim_t *sim)
{
    return za_network_hash(sim->network);
}

uint64_t za_sim_events(const za_sim_t *sim)
{
    return za_network_event_count(sim->network);
}

uint64_t za_sim_random(za_sim_t *sim, uint64_t bound)
{
    return bound == 0 ? 0 : za_rng_below(&sim->rng, bound);
}

typedef struct census {
    uint32_t up;
    bool unsettled;
} census_t;

static bool count_member(const za_member_info_t *info, void *context)
{
    census_t *census = context;
    if (info->state == ZA_MEMBER_UP) {
        census->up++;
    } else if (info->state < ZA_MEMBER_LEFT) {
        census->unsettled = true;
    }
    return true;
}

bool za_sim_converged(za_sim_t *sim)
{
    uint32_t running = 0;
    for (uint32_t i = 0; i < sim->opts.nodes; i++) {
        running += sim->members[i].node != NULL && !sim->members[i].leaving;
    }
    uint64_t registry = 0;
    uint64_t view = 0;
    bool first = true;
    for (uint32_t i = 0; i < sim->opts.nodes; i++) {
        member_t *member = &sim->members[i];
        if (member->node == NULL || member->leaving) {
            continue;
        }
        const za_cluster_t *cluster = za_node_cluster(member->node);
        census_t census = { 0 };
        za_cluster_each_member(cluster, count_member, &census);
        if (census.unsettled || census.up != running) {
            return false;
        }
        uint64_t its_view = za_cluster_view_hash(cluster);
        uint64_t its_registry = za_cluster_registry_hash(cluster);
        if (!first && (its_view != view || its_registry != registry)) {
            return false;
        }
        first = false;
        view = its_view;
        registry = its_registry;
    }
    return true;
}

uint64_t za_sim_marks(const za_sim_t *sim, uint32_t mark)
{
    uint64_t hits = mark < ZA_MARK_COUNT ? sim->marks[mark] : 0;
    for (uint32_t i = 0; i < sim->opts.nodes && mark == ZA_MARK_MAILBOX_FULL; i++) {
        hits += sim->members[i].node != NULL ? full_mailboxes(&sim->members[i]) : 0;
    }
    return hits;
}

const char *za_sim_mark_name(uint32_t mark)
{
    static const char *const names[ZA_MARK_COUNT] = {
        [ZA_MARK_SUSPECT] = "suspect",
        [ZA_MARK_REFUTE] = "refute",
        [ZA_MARK_INDIRECT_PROBE] = "indirect-probe",
        [ZA_MARK_REFUSED_EVIDENCE] = "refused-evidence",
        [ZA_MARK_DOWN] = "down",
        [ZA_MARK_REPLACED] = "replaced",
        [ZA_MARK_REBIRTH] = "rebirth",
        [ZA_MARK_RECONNECT_DOWNED] = "reconnect-downed",
        [ZA_MARK_SYSTEM_RESEND] = "resend",
        [ZA_MARK_RESPAWN] = "respawn",
        [ZA_MARK_NAME_CONFLICT] = "name-conflict",
        [ZA_MARK_REGISTRY_SNAPSHOT] = "registry-snapshot",
        [ZA_MARK_MAILBOX_FULL] = "mailbox-full",
        [ZA_MARK_BULK] = "bulk",
        [ZA_MARK_DOWNING_KEPT] = "downing-kept",
        [ZA_MARK_DOWNING_SELF] = "downing-self",
        [ZA_MARK_DOWNING_FENCED] = "downing-fenced",
        [ZA_MARK_DOWNING_ANEW] = "downing-anew",
        [ZA_MARK_JOIN_WAITS] = "join-waits",
        [ZA_MARK_APART] = "apart",
        [ZA_MARK_RELAY] = "relay",
    };
    return mark < ZA_MARK_COUNT ? names[mark] : NULL;
}
