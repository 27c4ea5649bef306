// Two nodes in two processes on loopback, mutual TLS, one worker each: round trips and streams.
//
//     bench-remote [--quick] [--runs N] [remote-pingpong | remote-stream-64 ...]
//
// One JSON object per line. Beside ours runs `limit`: the same TLS over blocking sockets, without
// actors, in the same run, because only ratios inside one run mean anything on a shared machine.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <zactor/zactor.h>

#include "counting.h"
#include "net/pki_file.h"
#include "net/tls_mbedtls.h"
#include "report.h"
#include "remote.za.h"

enum {
    WINDOW = 16384,        // payloads on their way at most
    PROGRESS_EVERY = 1024, // payloads between two answers of the sink
    PAYLOAD_BYTES = 64,
    START_MS = 20000,
};

typedef struct settings {
    uint32_t runs;
    uint32_t rounds;   // of a ping-pong
    uint64_t payloads; // of a stream
    uint32_t pairs;    // of a stream
} settings_t;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "bench-remote: %s\n", what);
    exit(1);
}

/* ---- the far side: echo and sink -------------------------------------------------------------------- */

typedef struct echo {
    uint32_t unused;
} echo_t;

static za_verdict_t on_echo(za_ctx_t *ctx, echo_t *self, const bench_Payload *payload)
{
    (void)self;
    return za_tell(ctx, za_sender(ctx), &bench_Payload_type, payload) == ZA_OK ? ZA_DONE : ZA_FAIL;
}

ZA_ACTOR(echo, echo_t, (bench_Payload, on_echo));

typedef struct sink {
    za_ref_t source;
    uint64_t received;
    uint32_t every;
} sink_t;

static za_verdict_t on_sink(za_ctx_t *ctx, sink_t *self, const bench_Sink *config)
{
    (void)ctx;
    self->source = config->source;
    self->every = config->every;
    return ZA_DONE;
}

static za_verdict_t on_sunk(za_ctx_t *ctx, sink_t *self, const bench_Payload *payload)
{
    (void)payload;
    self->received++;
    if (self->received % self->every == 0) {
        return za_tell(ctx, self->source,
                       ZA_MSG(bench_Progress, .received = self->received,
                              .allocations = bench_allocations())) == ZA_OK
                   ? ZA_DONE
                   : ZA_FAIL;
    }
    return ZA_DONE;
}

ZA_ACTOR(sink, sink_t, (bench_Sink, on_sink), (bench_Payload, on_sunk));

static const za_class_t *const far_classes[] = { &echo_class, &sink_class, NULL };

/* ---- the near side ----------------------------------------------------------------------------------- */

/** What the actors of the near side tell the main thread: written before `done` is. */
typedef struct result {
    settings_t settings;
    bench_latency_t latencies;
    uint64_t stream_ns;
    uint64_t near_allocations, far_allocations;
    uint32_t finished;
    bool stream; // else ping-pong
    _Atomic bool done;
} result_t;

static result_t result; // one benchmark at a time, in this process

typedef struct player {
    za_ref_t far;
    uint64_t sent_ns;
    uint64_t first_allocations;
    uint32_t round;
    // stream
    uint64_t sent, acknowledged, begun_ns, first_far;
    bool waiting;
} player_t;

/** Payloads between two answers of a sink: several to each window. */
static uint32_t every(void)
{
    uint32_t quarter = WINDOW / result.settings.pairs / 4;
    return quarter < PROGRESS_EVERY ? quarter : PROGRESS_EVERY;
}

static za_verdict_t on_up(za_ctx_t *ctx, player_t *self, const za_MemberUp *up)
{
    (void)self;
    if (strcmp(up->name, "far") != 0) {
        return ZA_DONE;
    }
    za_err_t err = result.stream
                       ? za_spawn_on(ctx, up->node, sink, .mailbox = 2 * WINDOW,
                                     ZA_ARGS(bench_Sink, .source = za_self(ctx), .every = every()))
                       : za_spawn_on(ctx, up->node, echo);
    return err == ZA_OK ? ZA_DONE : ZA_FAIL;
}

static za_verdict_t serve(za_ctx_t *ctx, player_t *self)
{
    self->sent_ns = now_ns();
    return za_tell(ctx, self->far, ZA_MSG(bench_Payload, .data = { .size = PAYLOAD_BYTES })) ==
                   ZA_OK
               ? ZA_DONE
               : ZA_FAIL;
}

static za_verdict_t stream_more(za_ctx_t *ctx, player_t *self)
{
    uint64_t count = result.settings.payloads / result.settings.pairs;
    uint64_t window = WINDOW / result.settings.pairs;
    while (self->sent < count && self->sent - self->acknowledged < window) {
        za_err_t err =
            za_tell(ctx, self->far, ZA_MSG(bench_Payload, .data = { .size = PAYLOAD_BYTES }));
        if (err == ZA_EFULL || err == ZA_ENOBUFS) {
            if (self->sent - self->acknowledged >= every()) {
                break; // the next progress goes on
            }
            // The lane is full of others' payloads: too few of ours for another progress.
            return za_after(ctx, 1, ZA_MSG(bench_Progress, .received = self->acknowledged), NULL) ==
                           ZA_OK
                       ? ZA_DONE
                       : ZA_FAIL;
        }
        if (err != ZA_OK) {
            return ZA_FAIL;
        }
        self->sent++;
    }
    return ZA_DONE;
}

static za_verdict_t on_spawned(za_ctx_t *ctx, player_t *self, const za_Spawned *spawned)
{
    self->far = spawned->ref;
    if (!result.stream) {
        return serve(ctx, self);
    }
    self->begun_ns = now_ns();
    return stream_more(ctx, self);
}

static void finish(void)
{
    if (++result.finished == (result.stream ? result.settings.pairs : 1)) {
        atomic_store(&result.done, true);
    }
}

static za_verdict_t on_pong(za_ctx_t *ctx, player_t *self, const bench_Payload *payload)
{
    (void)payload;
    uint64_t took = now_ns() - self->sent_ns;
    uint32_t warm_up = result.settings.rounds / 10;
    if (self->round == warm_up) {
        self->first_allocations = bench_allocations();
    }
    if (self->round >= warm_up) {
        bench_latency_add(&result.latencies, took);
    }
    if (++self->round < result.settings.rounds + warm_up) {
        return serve(ctx, self);
    }
    result.near_allocations = bench_allocations() - self->first_allocations;
    finish();
    return ZA_STOP;
}

static za_verdict_t on_progress(za_ctx_t *ctx, player_t *self, const bench_Progress *progress)
{
    uint64_t count = result.settings.payloads / result.settings.pairs;
    self->acknowledged = progress->received;
    if (self->first_far == 0 && self->acknowledged >= count / 5) { // the steady state
        self->first_far = progress->allocations + 1;
        self->first_allocations = bench_allocations();
        self->begun_ns = now_ns();
        self->round = (uint32_t)self->acknowledged;
    }
    if (self->acknowledged + every() > count) {
        result.near_allocations = bench_allocations() - self->first_allocations;
        result.far_allocations = progress->allocations + 1 - self->first_far;
        uint64_t took = now_ns() - self->begun_ns;
        uint64_t rate_base = self->acknowledged - self->round;
        // Scaled to the whole count, so that pairs can be added up by the slowest.
        took = (uint64_t)((double)took * (double)count / (double)rate_base);
        result.stream_ns = took > result.stream_ns ? took : result.stream_ns;
        finish();
        return ZA_STOP;
    }
    return stream_more(ctx, self);
}

ZA_ACTOR(player, player_t, (za_MemberUp, on_up), (za_Spawned, on_spawned), (bench_Payload, on_pong),
         (bench_Progress, on_progress));

/* ---- processes ---------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/zactor-bench-XXXXXX";

static void path_of(char *out, size_t bytes, const char *name)
{
    snprintf(out, bytes, "%s/%s", folder, name);
}

static void make_certificates(void)
{
    char problem[256] = "";
    char ca_cert[64], ca_key[64];
    if (mkdtemp(folder) == NULL) {
        fail("cannot make a folder under /tmp");
    }
    path_of(ca_cert, sizeof ca_cert, "ca.pem");
    path_of(ca_key, sizeof ca_key, "ca.key");
    za_pki_paths_t ca = { ca_cert, ca_key };
    za_pki_request_t request = { .cluster = "bench",
                                 .roles = ZA_ROLE_MEMBER,
                                 .not_before_s = time(NULL) - 3600,
                                 .not_after_s = time(NULL) + 86400 };
    if (za_pki_ca_init(&ca, &request, ZA_PKI_KEEP_EXISTING, problem, sizeof problem) != ZA_OK) {
        fail(problem);
    }
    const char *const names[] = { "near", "far" };
    for (int i = 0; i < 2; i++) {
        char cert[80], key[80];
        snprintf(cert, sizeof cert, "%s/%s.pem", folder, names[i]);
        snprintf(key, sizeof key, "%s/%s.key", folder, names[i]);
        za_pki_paths_t out = { cert, key };
        request.node = names[i];
        if (za_pki_issue(&ca, &request, &out, ZA_PKI_KEEP_EXISTING, problem, sizeof problem) !=
            ZA_OK) {
            fail(problem);
        }
    }
}

static void remove_certificates(void)
{
    const char *const names[] = {
        "ca.pem", "ca.key", "near.pem", "near.key", "far.pem", "far.key"
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[80];
        path_of(path, sizeof path, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void set(za_config_t *config, const char *key, const char *value)
{
    char problem[256] = "";
    if (za_config_set(config, key, value, "bench", problem, sizeof problem) != ZA_OK) {
        fail(problem);
    }
}

static za_node_t *start_node(const char *name, const char *listen, const char *seed)
{
    za_config_t *config = NULL;
    za_node_t *node = NULL;
    char ca[80], cert[80], key[80];
    path_of(ca, sizeof ca, "ca.pem");
    snprintf(cert, sizeof cert, "%s/%s.pem", folder, name);
    snprintf(key, sizeof key, "%s/%s.key", folder, name);
    if (za_config_create(&config) != ZA_OK) {
        fail("out of memory");
    }
    set(config, "node.name", name);
    set(config, "node.listen", listen);
    set(config, "node.workers", "1");
    set(config, "cluster.name", "bench");
    set(config, "cluster.timing", "lan");
    set(config, "log.level", "error");
    set(config, "tls.ca", ca);
    set(config, "tls.cert", cert);
    set(config, "tls.key", key);
    if (seed != NULL) {
        set(config, "cluster.seeds", seed);
    }
    if (za_node_create(config, far_classes, &node) != ZA_OK || za_node_start(node) != ZA_OK) {
        fail("cannot start a node");
    }
    za_config_destroy(config);
    return node;
}

/** A port that was free a moment ago. */
static uint16_t free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &size) != 0) {
        fail("no free port");
    }
    close(fd);
    return ntohs(at.sin_port);
}

/** The far node, until its standard input ends. */
_Noreturn static void run_far(const char *listen, int until)
{
    za_node_t *node = start_node("far", listen, NULL);
    char byte;
    while (read(until, &byte, 1) > 0) {
    }
    za_node_stop(node);
    za_node_destroy(node);
    exit(0);
}

static void run_once(bool stream, const settings_t *settings)
{
    char listen[32];
    int until[2];
    snprintf(listen, sizeof listen, "127.0.0.1:%u", free_port());
    if (pipe(until) != 0) {
        fail("no pipe");
    }
    pid_t far = fork();
    if (far == 0) {
        close(until[1]);
        run_far(listen, until[0]);
    }
    close(until[0]);
    memset(&result, 0, sizeof result);
    result.settings = *settings;
    result.stream = stream;
    za_node_t *node = start_node("near", "127.0.0.1:0", listen);
    for (uint32_t i = 0; i < (stream ? settings->pairs : 1); i++) {
        za_ref_t ref;
        if (za_node_spawn(node, player, &ref, .mailbox = 4 * WINDOW) != ZA_OK) {
            fail("cannot spawn");
        }
    }
    uint64_t begun = now_ns();
    while (!atomic_load(&result.done)) {
        if (now_ns() - begun > (uint64_t)6 * START_MS * 1000000) {
            fail("no result in two minutes");
        }
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
    za_node_stop(node);
    za_node_destroy(node);
    close(until[1]);
    waitpid(far, NULL, 0);
}

/* ---- limit: the same TLS over blocking sockets ---------------------------------------------------------- */

typedef struct pipe_end {
    int fd;
    za_security_t *security;
} pipe_end_t;

static void write_wire(pipe_end_t *end)
{
    uint8_t bytes[65536];
    size_t size = 0;
    while (end->security->ops->pull_wire(end->security, bytes, sizeof bytes, &size) == ZA_OK &&
           size > 0) {
        for (size_t sent = 0; sent < size;) {
            ssize_t n = send(end->fd, bytes + sent, size - sent, MSG_NOSIGNAL);
            if (n <= 0) {
                exit(0); // the other end is done
            }
            sent += (size_t)n;
        }
    }
}

static void read_wire(pipe_end_t *end)
{
    uint8_t bytes[65536];
    ssize_t n = recv(end->fd, bytes, sizeof bytes, 0);
    if (n <= 0) {
        exit(0);
    }
    for (size_t pushed = 0; pushed < (size_t)n;) {
        size_t taken = 0;
        if (end->security->ops->push_wire(end->security, bytes + pushed, (size_t)n - pushed,
                                          &taken) != ZA_OK ||
            taken == 0) {
            fail("limit: the input does not fit");
        }
        pushed += taken;
    }
}

static void greet(pipe_end_t *end)
{
    bool done = false;
    za_identity_t peer;
    char problem[256];
    for (;;) {
        if (end->security->ops->handshake(end->security, &done, &peer, problem, sizeof problem) !=
            ZA_OK) {
            fail(problem);
        }
        write_wire(end);
        if (done) {
            return;
        }
        read_wire(end);
    }
}

static void send_plain(pipe_end_t *end, const uint8_t *bytes, size_t size)
{
    size_t taken = 0;
    if (end->security->ops->seal(end->security, bytes, size, &taken) != ZA_OK || taken != size) {
        fail("limit: cannot seal");
    }
    write_wire(end);
}

static size_t receive_plain(pipe_end_t *end, uint8_t *out, size_t capacity)
{
    size_t size = 0;
    for (;;) {
        if (end->security->ops->open(end->security, out, capacity, &size) != ZA_OK) {
            exit(0);
        }
        if (size > 0) {
            return size;
        }
        read_wire(end);
    }
}

static pipe_end_t limit_end(const char *name, za_side_t side, int fd)
{
    za_tls_t *tls = NULL;
    char ca[80], cert[80], key[80], problem[256] = "";
    path_of(ca, sizeof ca, "ca.pem");
    snprintf(cert, sizeof cert, "%s/%s.pem", folder, name);
    snprintf(key, sizeof key, "%s/%s.key", folder, name);
    za_tls_config_t config = { .authorities = { .path = ca },
                               .certificate = { .path = cert },
                               .key = { .path = key },
                               .cluster = "bench" };
    pipe_end_t end = { .fd = fd };
    if (za_tls_create(&config, &tls, problem, sizeof problem) != ZA_OK) {
        fail(problem);
    }
    za_security_factory_t factory = za_tls_factory(tls);
    if (factory.create(factory.context, side, &end.security) != ZA_OK) {
        fail("limit: no TLS");
    }
    greet(&end);
    return end;
}

static void connect_pair(int *near, int *far)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int one = 1;
    *near = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &size) != 0 ||
        connect(*near, (struct sockaddr *)&at, sizeof at) != 0) {
        fail("limit: no sockets");
    }
    *far = accept(listener, NULL, NULL);
    setsockopt(*near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(*far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    close(listener);
}

static void limit_pingpong(const settings_t *settings)
{
    int near, far;
    connect_pair(&near, &far);
    pid_t child = fork();
    if (child == 0) {
        close(near);
        pipe_end_t end = limit_end("far", ZA_SIDE_SERVER, far);
        uint8_t bytes[PAYLOAD_BYTES];
        for (;;) {
            size_t size = receive_plain(&end, bytes, sizeof bytes);
            send_plain(&end, bytes, size);
        }
    }
    close(far);
    pipe_end_t end = limit_end("near", ZA_SIDE_CLIENT, near);
    uint8_t bytes[PAYLOAD_BYTES] = { 0 };
    memset(&result.latencies, 0, sizeof result.latencies);
    for (uint32_t i = 0; i < settings->rounds + settings->rounds / 10; i++) {
        uint64_t begun = now_ns();
        send_plain(&end, bytes, sizeof bytes);
        receive_plain(&end, bytes, sizeof bytes);
        if (i >= settings->rounds / 10) {
            bench_latency_add(&result.latencies, now_ns() - begun);
        }
    }
    close(near);
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
    end.security->ops->destroy(end.security);
}

/* ---- benchmarks ------------------------------------------------------------------------------------------ */

static void add_round_trips(bench_report_t *report, uint32_t rounds)
{
    bench_report_run(report, bench_latency_at(&result.latencies, 0.5) / 1e3);
    bench_report_latency(report, &result.latencies, 1e3);
    bench_report_param(report, "bytes", PAYLOAD_BYTES);
    bench_report_param(report, "rounds", rounds);
}

static void bench_pingpong(const settings_t *settings)
{
    bench_report_t ours = {
        .id = "remote-pingpong", .impl = "zactor", .unit = "us", .workers = 1, .what = "mutual TLS"
    };
    bench_report_t limit = { .id = "remote-pingpong",
                             .impl = "limit",
                             .unit = "us",
                             .workers = 1,
                             .what = "mbedTLS over blocking TCP" };
    for (uint32_t run = 0; run < settings->runs; run++) {
        run_once(false, settings);
        add_round_trips(&ours, settings->rounds);
        bench_report_param(&ours, "allocs_per_msg",
                           (double)result.near_allocations / (2.0 * settings->rounds));
        limit_pingpong(settings);
        add_round_trips(&limit, settings->rounds);
    }
    bench_report_print(&ours);
    bench_report_print(&limit);
}

static void bench_stream(settings_t settings, uint32_t pairs)
{
    bench_report_t report = { .id = "remote-stream-64",
                              .variant = pairs == 1 ? "x1" : "x16",
                              .impl = "zactor",
                              .unit = "M/s",
                              .workers = 1,
                              .what = "mutual TLS" };
    settings.pairs = pairs;
    for (uint32_t run = 0; run < settings.runs; run++) {
        run_once(true, &settings);
        bench_report_run(&report, (double)settings.payloads * 1000 / (double)result.stream_ns);
        bench_report_param(&report, "bytes", PAYLOAD_BYTES);
        bench_report_param(&report, "pairs", pairs);
        bench_report_param(&report, "messages", (double)settings.payloads);
        bench_report_param(&report, "allocs_per_msg",
                           (double)(result.near_allocations + result.far_allocations) /
                               (0.8 * (double)settings.payloads));
    }
    bench_report_print(&report);
}

static bool wanted(int argc, char **argv, const char *id)
{
    bool any = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--runs") == 0) {
            i++; // and its number
        } else if (strncmp(argv[i], "--", 2) != 0) {
            any = true;
            if (strcmp(argv[i], id) == 0) {
                return true;
            }
        }
    }
    return !any;
}

int main(int argc, char **argv)
{
    bool quick = false;
    long runs = 0;
    for (int i = 1; i < argc; i++) {
        quick |= strcmp(argv[i], "--quick") == 0;
        if (strcmp(argv[i], "--runs") == 0) {
            runs = i + 1 < argc ? strtol(argv[i + 1], NULL, 10) : 0;
            if (runs < 1 || runs > BENCH_RUNS_MAX) {
                fail("--runs needs a number from 1 to 15");
            }
        }
    }
    settings_t settings = { .runs = runs > 0 ? (uint32_t)runs
                                    : quick  ? 3
                                             : 5,
                            .rounds = quick ? 5000 : 20000,
                            .payloads = quick ? 1000000 : 4000000,
                            .pairs = 1 };
    signal(SIGPIPE, SIG_IGN);
    make_certificates();
    if (wanted(argc, argv, "remote-pingpong")) {
        bench_pingpong(&settings);
    }
    if (wanted(argc, argv, "remote-stream-64")) {
        bench_stream(settings, 1);
        bench_stream(settings, 16);
    }
    remove_certificates();
    return 0;
}
