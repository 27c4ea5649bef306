#include "node/process.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <zactor/stack.h>

#include "base/hash.h"
#include "core/router.h"
#include "core/threads.h"
#include "net/loop_uv.h"
#include "net/plain.h"
#include "net/tls_mbedtls.h"
#include "node/callers.h"
#include "node/config.h"
#include "node/discovery_host.h"
#include "node/log.h"
#include "node/state.h"

enum {
    WAIT_STEP_NS = 2 * 1000 * 1000, // between two looks while the node stops
    LEAVE_MS_MAX = 6000,            // the cluster's own limit is 5 s
    PROBLEM_BYTES = 512,
};

typedef struct process {
    za_settings_t settings;
    za_numa_t numa; // of this machine; for pinned workers
    za_log_sink_t log;
    za_threads_t *threads;
    za_loop_t *loop;
    za_tls_t *tls;
    za_node_t *node;
    za_discovery_host_t *discovery; // NULL: all seeds are addresses
    const char *seeds[ZA_SEEDS_MAX];
    int stack_signal; // 0: none
    bool started;
    bool ended; // its threads were stopped, and do not start again
    void (*leave)(void *context);
    void *leave_context;
    _Atomic bool stop_begun; // or an operator has asked for it
    // Threads that are no workers share one guest: sending from outside is no hot path.
    pthread_mutex_t foreign_lock;
    za_worker_t *foreign;
    za_callers_t *callers;
    char problem[PROBLEM_BYTES];
} process_t;

static uint64_t clock_ns(void *context)
{
    (void)context;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t wall_ms(void *context)
{
    (void)context;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- the poller of the worker threads ------------------------------------------------------------ */

static uint64_t deadline_ns(const process_t *process)
{
    uint64_t due = za_node_deadline_ns(process->node);
    uint64_t look_ms =
        process->discovery != NULL ? za_discovery_host_deadline_ms(process->discovery) : UINT64_MAX;
    return look_ms < due / 1000000 ? look_ms * 1000000 : due;
}

static void poll_network(void *context, za_worker_t *worker, uint64_t timeout_ns)
{
    process_t *process = context;
    za_node_t *node = process->node;
    za_node_own(node, worker);
    if (timeout_ns > 0) {
        uint64_t due = deadline_ns(process);
        uint64_t now = clock_ns(NULL);
        uint64_t left = due == UINT64_MAX ? UINT64_MAX : due > now ? due - now : 0;
        timeout_ns = left < timeout_ns ? left : timeout_ns;
        if (za_node_has_requests(node)) {
            timeout_ns = 0;
        }
    }
    za_loop_poll(process->loop, timeout_ns);
    za_node_service(node);
    if (process->discovery != NULL) {
        za_discovery_host_turn(process->discovery);
    }
}

static void interrupt_network(void *context)
{
    process_t *process = context;
    za_loop_interrupt(process->loop);
}

static void kick(void *context)
{
    process_t *process = context;
    za_threads_kick_poller(process->threads);
}

static void leave_asked(void *context)
{
    process_t *process = context;
    if (process->leave != NULL) {
        // Once: a second SIGTERM would end the program at once. relaxed: nothing is published.
        if (!atomic_exchange_explicit(&process->stop_begun, true, memory_order_relaxed)) {
            process->leave(process->leave_context);
        }
    } else {
        za_node_leave(process->node, process->node->worker);
    }
}

/* ---- create --------------------------------------------------------------------------------------- */

static za_err_t create_security(process_t *process, za_security_factory_t *out)
{
    const za_settings_t *settings = &process->settings;
    if (settings->tls_insecure) {
        *out = za_plain_factory();
        return ZA_OK;
    }
    za_tls_config_t config = {
        .authorities = { .path = settings->tls_ca },
        .certificate = { .path = settings->tls_cert },
        .key = { .path = settings->tls_key },
        .cluster = settings->cluster_name,
    };
    za_err_t err = za_tls_create(&config, &process->tls, process->problem, PROBLEM_BYTES);
    if (err != ZA_OK) {
        return err;
    }
    const za_identity_t *own = za_tls_identity(process->tls);
    if (strcmp(own->node, settings->node_name) != 0) {
        snprintf(process->problem, PROBLEM_BYTES,
                 "%.300s is the certificate of node %s, not of %s: set node.name or issue another",
                 settings->tls_cert, own->node, settings->node_name);
        return ZA_ECONFIG;
    }
    *out = za_tls_factory(process->tls);
    return ZA_OK;
}

/** Sockets come before the node, because its address may depend on the port it got. */
static za_err_t create_loop(process_t *process)
{
    za_settings_t *settings = &process->settings;
    za_err_t err = za_loop_create(&za_node_transport_events, &process->loop);
    if (err != ZA_OK) {
        return err;
    }
    char bound[ZA_ADDRESS_BYTES_MAX + 16];
    bool any_port = strcmp(settings->node_advertise, settings->node_listen) == 0;
    za_loop_port_t port =
        settings->cluster_transport == ZA_CARRIER_AUTO ? ZA_LOOP_DATAGRAMS : ZA_LOOP_STREAMS;
    err = za_loop_listen(process->loop, settings->node_listen, port, bound, sizeof bound,
                         process->problem, PROBLEM_BYTES);
    if (err == ZA_OK && any_port) {
        snprintf(settings->node_advertise, sizeof settings->node_advertise, "%.*s",
                 ZA_ADDRESS_BYTES_MAX, bound);
    }
    if (err == ZA_OK && settings->node_socket[0] != '\0') {
        err = za_loop_listen_unix(process->loop, settings->node_socket, process->problem,
                                  PROBLEM_BYTES);
    }
    return err;
}

static bool random_bytes(void *context, void *out, size_t size)
{
    (void)context;
    return getrandom(out, size, 0) == (ssize_t)size;
}

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) {
        seed = za_mix64(clock_ns(NULL) ^ (uint64_t)getpid() << 32);
    }
    return seed;
}

static za_err_t create_node(process_t *process, const za_class_t *const *classes)
{
    const za_settings_t *settings = &process->settings;
    za_security_factory_t security;
    za_err_t err = create_security(process, &security);
    if (err != ZA_OK) {
        return err;
    }
    // A file may give more seeds, or others; those that are addresses stand from the beginning.
    uint32_t seed_count = 0;
    for (uint32_t i = 0; i < settings->cluster_seed_count; i++) {
        za_seed_t seed;
        if (za_seed_parse(settings->cluster_seeds[i], &seed) && seed.kind == ZA_SEED_ADDRESS) {
            process->seeds[seed_count++] = settings->cluster_seeds[i];
        }
    }
    const za_cluster_timing_t timing = *za_settings_timing(settings->cluster_timing);
    err = za_discovery_host_create(process->loop, settings, timing.seed_interval_ms,
                                   &process->discovery);
    if (err == ZA_EINVAL) {
        snprintf(process->problem, PROBLEM_BYTES, "cluster.dns: no name servers: %.200s",
                 settings->cluster_dns);
        return ZA_ECONFIG;
    }
    if (err != ZA_OK) {
        return err;
    }
    za_node_params_t params = {
        .name = settings->node_name,
        .cluster = settings->cluster_name,
        .cluster_id = settings->cluster_id,
        .address = settings->node_advertise,
        .roles = settings->node_roles,
        .meta = (const uint8_t *)settings->node_meta,
        .meta_bytes = (uint32_t)strlen(settings->node_meta),
        .seeds = process->seeds,
        .seed_count = seed_count,
        .discovers = process->discovery != NULL,
        .timing = timing,
        .downing = settings->cluster_downing,
        .workers = settings->node_workers,
        .numa = &process->numa,
        .actors_max = settings->limits_actors,
        .pool_bytes_max = settings->limits_pool_bytes,
        .blob_bytes_max = settings->limits_blob_bytes,
        .mailbox_default = settings->limits_mailbox,
        .random_seed = random_seed(),
        .classes = classes,
        .security = security,
        .secure = !settings->tls_insecure,
        .transport = za_loop_transport(process->loop),
        .datagrams = settings->cluster_transport == ZA_CARRIER_AUTO,
        .random = random_bytes,
        .host = za_threads_host(),
        .host_context = process->threads,
        .now_ns = clock_ns,
        .wall_ms = wall_ms,
        .kick = kick,
        .kick_context = process,
        .log = za_log_write,
        .log_context = &process->log,
        .leave_asked = leave_asked,
        .leave_context = process,
    };
    err = za_node_init(&params, &process->node);
    if (err != ZA_OK) {
        return err;
    }
    process->node->process = process;
    za_loop_set_context(process->loop, process->node);
    if (process->discovery != NULL) {
        err = za_discovery_host_attach(process->discovery, process->node);
        if (err != ZA_OK) {
            return err;
        }
    }
    process->foreign = za_runtime_guest(process->node->runtime);
    return process->foreign == NULL ? ZA_ENOMEM : ZA_OK;
}

/** The guest of this thread until leave_foreign. */
static za_worker_t *enter_foreign(void *context)
{
    process_t *process = context;
    pthread_mutex_lock(&process->foreign_lock);
    return process->foreign;
}

static void leave_foreign(void *context)
{
    process_t *process = context;
    za_peers_flush(process->node, process->foreign);
    pthread_mutex_unlock(&process->foreign_lock);
}

static void destroy_process(process_t *process)
{
    za_callers_close(process->callers);
    za_discovery_host_destroy(process->discovery);
    if (process->node != NULL) {
        process->node->worker = za_runtime_worker(process->node->runtime, 0);
        za_node_deinit(process->node);
    }
    za_callers_destroy(process->callers);
    za_loop_destroy(process->loop);
    za_threads_destroy(process->threads);
    za_tls_destroy(process->tls);
    pthread_mutex_destroy(&process->foreign_lock);
    free(process);
}

za_err_t za_node_create(const za_config_t *config, const za_class_t *const *classes,
                        za_node_t **out)
{
    if (config == NULL || out == NULL) {
        return ZA_EINVAL;
    }
    process_t *process = calloc(1, sizeof *process);
    if (process == NULL) {
        return ZA_ENOMEM;
    }
    pthread_mutex_init(&process->foreign_lock, NULL);
    za_numa_read(&process->numa, NULL);
    process->log = (za_log_sink_t){ .fd = STDERR_FILENO, .level = ZA_INFO };
    za_err_t err =
        za_settings_from_config(config, &process->settings, process->problem, PROBLEM_BYTES);
    if (err == ZA_OK) {
        process->log.level = process->settings.log_level;
        process->log.format = process->settings.log_format;
        process->log.node = process->settings.node_name;
        za_poller_t poller = { .context = process,
                               .poll = poll_network,
                               .interrupt = interrupt_network };
        err = za_threads_create(&poller, &process->threads);
    }
    if (err == ZA_OK) {
        err = create_loop(process);
    }
    if (err == ZA_OK) {
        err = create_node(process, classes);
    }
    if (err == ZA_OK) {
        za_foreign_t foreign = { process, enter_foreign, leave_foreign };
        err = za_callers_create(&foreign, &process->callers);
    }
    if (err != ZA_OK) {
        if (process->problem[0] != '\0') {
            za_log_write(&process->log, ZA_ERROR, NULL, ZA_REF_NONE, process->problem);
        }
        destroy_process(process);
        return err;
    }
    *out = process->node;
    return ZA_OK;
}

void za_node_destroy(za_node_t *node)
{
    if (node != NULL) {
        za_node_stop(node);
        destroy_process(node->process);
    }
}

/* ---- start and stop --------------------------------------------------------------------------------- */

za_err_t za_node_start(za_node_t *node)
{
    if (node == NULL) {
        return ZA_EINVAL;
    }
    process_t *process = node->process;
    if (process->started) {
        return ZA_EEXIST;
    }
    if (process->ended) {
        return ZA_ESTOPPING;
    }
    if (process->settings.cluster_downing.strategy == ZA_DOWNING_LEASE &&
        node->params.lease.ask == NULL) {
        za_log_write(&process->log, ZA_ERROR, NULL, ZA_REF_NONE,
                     "cluster.downing.strategy: lease needs a provider of leases, to be set before "
                     "the start (za_node_set_lease_provider)");
        return ZA_ECONFIG;
    }
    za_threads_configure(process->threads, &(za_threads_opts_t){
                                               .busy_wait = process->settings.node_busy_poll,
                                               .pin = process->settings.node_pin,
                                               .watchdog_ms = process->settings.node_watchdog_ms,
                                               .stack_signal = process->stack_signal,
                                           });
    za_err_t err = za_threads_start(process->threads, node->runtime);
    process->started = err == ZA_OK;
    process->ended = err != ZA_OK;
    return err;
}

za_err_t za_node_set_stack_signal(za_node_t *node, int signal_number)
{
    if (node == NULL || node->process == NULL || signal_number < 0 || signal_number > SIGRTMAX) {
        return ZA_EINVAL;
    }
    process_t *process = node->process;
    if (process->started || process->ended) {
        return ZA_EEXIST;
    }
    process->stack_signal = signal_number;
    return ZA_OK;
}

za_err_t za_node_set_lease_provider(za_node_t *node, const za_lease_provider_t *provider)
{
    if (node == NULL || node->process == NULL || provider == NULL ||
        provider->size < sizeof *provider || provider->ask == NULL) {
        return ZA_EINVAL;
    }
    const process_t *process = node->process;
    if (process->started || process->ended) {
        return ZA_EEXIST;
    }
    node->params.lease = *provider;
    return ZA_OK;
}

static bool wait_for(bool (*done)(za_node_t *node), za_node_t *node, uint32_t timeout_ms)
{
    uint64_t until = clock_ns(NULL) + (uint64_t)timeout_ms * 1000000;
    while (!done(node)) {
        if (clock_ns(NULL) >= until) {
            return false;
        }
        nanosleep(&(struct timespec){ .tv_nsec = WAIT_STEP_NS }, NULL);
    }
    return true;
}

static bool has_left(za_node_t *node)
{
    return za_node_has_left(node);
}

static bool find_queued(const za_actor_info_t *info, void *context)
{
    bool *queued = context;
    *queued = info->queued > 0;
    return !*queued;
}

static bool is_drained(za_node_t *node)
{
    uint64_t cursor = 0;
    bool queued = false;
    za_runtime_each_actor(node->runtime, &cursor, find_queued, &queued);
    return !queued;
}

static bool has_no_actors(za_node_t *node)
{
    za_counters_t counters;
    za_runtime_counters(node->runtime, &counters);
    return counters.actors == 0;
}

static void drain_and_leave(process_t *process)
{
    za_node_t *node = process->node;
    // Before the others hear of it, so that what actors still answer goes out. Half of the time, because
    // others that never stop sending would use up all of it.
    uint32_t first_ms = process->settings.drain_ms / 2;
    bool drained = wait_for(is_drained, node, first_ms);
    pthread_mutex_lock(&process->foreign_lock);
    za_node_leave(node, process->foreign);
    pthread_mutex_unlock(&process->foreign_lock);
    if (!wait_for(has_left, node, LEAVE_MS_MAX)) {
        za_node_log(node, ZA_WARN, "left without an answer from the others");
    }
    uint32_t rest_ms = drained ? process->settings.drain_ms : process->settings.drain_ms - first_ms;
    if (!wait_for(is_drained, node, rest_ms)) {
        za_node_log(node, ZA_WARN, "messages are left after drain_ms: they become dead letters");
    }
}

void za_node_stop(za_node_t *node)
{
    if (node == NULL) {
        return;
    }
    process_t *process = node->process;
    if (!process->started) {
        return;
    }
    atomic_store_explicit(&process->stop_begun, true, memory_order_relaxed); // see leave_asked
    drain_and_leave(process);
    pthread_mutex_lock(&process->foreign_lock);
    za_runtime_stop_all(process->foreign);
    pthread_mutex_unlock(&process->foreign_lock);
    if (!wait_for(has_no_actors, node, process->settings.drain_ms)) {
        za_node_log(node, ZA_WARN, "actors are left after drain_ms: they end without za_Stopping");
    }
    za_threads_stop(process->threads);
    za_callers_close(process->callers);
    process->started = false;
    process->ended = true;
}

void za_process_on_leave(za_node_t *node, void (*leave)(void *context), void *context)
{
    process_t *process = node->process;
    process->leave = leave;
    process->leave_context = context;
}

/* ---- from other threads ------------------------------------------------------------------------------ */

za_err_t za_node_spawn_with(za_node_t *node, const za_class_t *class_, za_ref_t *out,
                            const za_spawn_opts_t *opts)
{
    if (node == NULL || node->process == NULL) {
        return ZA_EINVAL;
    }
    process_t *process = node->process;
    pthread_mutex_lock(&process->foreign_lock);
    za_err_t err = za_runtime_spawn(process->foreign, class_, opts, ZA_REF_NONE, out);
    pthread_mutex_unlock(&process->foreign_lock);
    return err;
}

za_err_t za_node_tell(za_node_t *node, za_ref_t to, const za_type_t *type, const void *message)
{
    if (node == NULL || node->process == NULL || type == NULL || message == NULL) {
        return ZA_EINVAL;
    }
    za_worker_t *worker = enter_foreign(node->process);
    za_err_t err =
        za_runtime_tell(worker, &(za_outgoing_t){ .to = to, .type = type, .body = message });
    leave_foreign(node->process);
    return err;
}

za_err_t za_node_answer_lease(za_node_t *node, const za_lease_answer_t *answer)
{
    if (node == NULL || answer == NULL || answer->size < sizeof *answer || answer->err > ZA_OK ||
        (answer->err != ZA_OK && (answer->holder | answer->revision) != 0) ||
        (answer->holder != 0 && answer->revision == 0)) {
        return ZA_EINVAL;
    }
    const za_cluster_event_t event = {
        .type = ZA_CLUSTER_LEASE, .err = answer->err, .uid = answer->holder, .tag = answer->revision
    };
    if (node->process == NULL) {
        return za_request_event(node, node->worker, &event, true); // simulated: of one thread
    }
    za_worker_t *worker = enter_foreign(node->process);
    za_err_t err = za_request_event(node, worker, &event, true);
    leave_foreign(node->process);
    return err;
}

za_err_t za_node_route(za_node_t *node, const char *group, za_policy_t policy, uint64_t key,
                       const za_type_t *type, const void *message)
{
    return za_node_route_with(
        node, group, type, message,
        &(za_route_opts_t){ .size = sizeof(za_route_opts_t), .policy = policy, .key = key });
}

za_err_t za_node_route_with(za_node_t *node, const char *group, const za_type_t *type,
                            const void *message, const za_route_opts_t *opts)
{
    if (node == NULL || node->process == NULL || opts == NULL || opts->size < sizeof *opts ||
        opts->ask != NULL) {
        return ZA_EINVAL;
    }
    const za_routed_t routed = { group, opts->policy, opts->key, type, message, opts->role };
    za_worker_t *worker = enter_foreign(node->process);
    za_err_t err = za_runtime_route(worker, &routed);
    leave_foreign(node->process);
    return err;
}

za_err_t za_ask_sync_with(za_node_t *node, za_ref_t to, const za_type_t *type, const void *message,
                          const za_ask_sync_opts_t *opts)
{
    if (node == NULL || za_ref_is_none(to) || type == NULL || message == NULL || opts == NULL ||
        opts->size < sizeof *opts || opts->timeout_ms == 0 || opts->reply_type == NULL ||
        opts->reply == NULL) {
        return ZA_EINVAL;
    }
    process_t *process = node->process;
    if (process == NULL) {
        za_node_log(node, ZA_ERROR,
                    "za_ask_sync: a simulation has one thread, and it would wait for itself: "
                    "spawn an actor that asks with za_ask");
        return ZA_EDENIED;
    }
    if (za_threads_is_worker(process->threads)) {
        za_node_log(node, ZA_ERROR,
                    "za_ask_sync: called by a handler, which would stop its worker: use za_ask");
        return ZA_EDENIED;
    }
    return za_callers_ask(process->callers, to, type, message, opts);
}
