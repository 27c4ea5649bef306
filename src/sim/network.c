#include "sim/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/assert.h"

enum {
    WINDOW_BYTES = 256 * 1024,  // written and not yet read: the kernel's buffers at both ends
    BYTES_PER_US = 100,         // 100 MB/s
    HANDSHAKE_NS = 9 * 1000000, // CPU that a full TLS handshake costs, charged to each connect
    RETRY_FIRST_MS = 200,       // TCP's minimum retransmission time
    RETRY_MAX_MS = 3000,
    CONNECT_GIVE_UP_MS = 5000,
    WRITE_GIVE_UP_MS = 15000, // TCP_USER_TIMEOUT of host 1
};

#define MS UINT64_C(1000000)
#define US UINT64_C(1000)

typedef struct segment {
    struct segment *next;
    uint64_t at_ns;
    bool fin;
    uint32_t size, offset;
    uint8_t bytes[];
} segment_t;

/** One end of a stream. Lives while its process, its other end or an event refers to it. */
struct za_conn {
    za_network_t *network;
    za_conn_t *next, **link_to; // all connections, so that the end of a run frees them
    uint32_t refs;
    uint32_t host, peer_host;
    za_conn_t *peer;
    void *link;
    bool connecting, open, closed, wants_write, in_list;
    // To be told to the process.
    bool accept_pending, connect_pending, writable_pending;
    za_err_t connect_err;
    za_err_t broken; // what read answers once rx is empty; ZA_OK: nothing
    bool broken_told;
    segment_t *rx, **rx_end;
    uint64_t rx_bytes;
    // On their way to the other end.
    segment_t *flight, **flight_end;
    uint64_t flight_bytes, last_at_ns;
    bool moving; // an event for the first segment is in the calendar
    uint32_t retry_ms;
    uint64_t stuck_since_ns;
};

typedef enum event_type {
    EVENT_RUN,
    EVENT_CONNECT,
    EVENT_RESULT,
    EVENT_SEGMENT,
    EVENT_RESET
} event_type_t;

typedef struct event {
    uint64_t at_ns, number;
    event_type_t type;
    uint32_t host;
    za_conn_t *conn;
    za_err_t err;
} event_t;

typedef struct path {
    uint64_t latency_min_ns, latency_span_ns;
    uint32_t loss_permille;
    bool blocked;
} path_t;

typedef struct host {
    za_network_t *network;
    uint32_t index;
    bool attached;
    const za_transport_events_t *events;
    void *node;
    uint64_t wake_ns; // earliest in the calendar; UINT64_MAX: none
    za_conn_t **conns;
    uint32_t conn_count, conn_capacity;
} host_t;

struct za_network {
    za_rng_t rng;
    const za_network_events_t *events;
    void *context;
    uint64_t now_ns, number, hash, handled;
    event_t *heap;
    uint32_t heap_count, heap_capacity;
    za_conn_t *conns;
    host_t hosts[ZA_NETWORK_HOSTS_MAX];
    path_t paths[ZA_NETWORK_HOSTS_MAX][ZA_NETWORK_HOSTS_MAX];
};

/* ---- calendar --------------------------------------------------------------------------------- */

static bool earlier(const event_t *a, const event_t *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->number < b->number;
}

static void *grow(void *array, uint32_t *capacity, size_t item_bytes)
{
    *capacity = *capacity == 0 ? 64 : *capacity * 2;
    void *grown = realloc(array, *capacity * item_bytes);
    ZA_ASSERT(grown != NULL); // the simulator runs in a test: no memory is the end of it
    return grown;
}

static void schedule(za_network_t *network, uint64_t at_ns, event_type_t type, uint32_t host,
                     za_conn_t *conn, za_err_t err)
{
    if (network->heap_count == network->heap_capacity) {
        network->heap = grow(network->heap, &network->heap_capacity, sizeof *network->heap);
    }
    if (conn != NULL) {
        conn->refs++;
    }
    event_t event = { at_ns, network->number++, type, host, conn, err };
    uint32_t at = network->heap_count++;
    while (at > 0 && earlier(&event, &network->heap[(at - 1) / 2])) {
        network->heap[at] = network->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    network->heap[at] = event;
}

static event_t pop_event(za_network_t *network)
{
    event_t first = network->heap[0];
    event_t last = network->heap[--network->heap_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= network->heap_count) {
            break;
        }
        if (child + 1 < network->heap_count &&
            earlier(&network->heap[child + 1], &network->heap[child])) {
            child++;
        }
        if (!earlier(&network->heap[child], &last)) {
            break;
        }
        network->heap[at] = network->heap[child];
        at = child;
    }
    if (network->heap_count > 0) {
        network->heap[at] = last;
    }
    return first;
}

static void mix(za_network_t *network, uint64_t value)
{
    network->hash = XXH64(&value, sizeof value, network->hash);
}

/* ---- connections ------------------------------------------------------------------------------ */

static void drop_segments(segment_t **first)
{
    while (*first != NULL) {
        segment_t *next = (*first)->next;
        free(*first);
        *first = next;
    }
}

static void free_conn(za_conn_t *conn)
{
    *conn->link_to = conn->next;
    if (conn->next != NULL) {
        conn->next->link_to = conn->link_to;
    }
    drop_segments(&conn->rx);
    drop_segments(&conn->flight);
    free(conn);
}

/** Not inlined: gcc 12 takes two references given back in a row for one freed twice. */
__attribute__((noinline)) static void unref(za_conn_t *conn)
{
    if (conn != NULL && --conn->refs == 0) {
        free_conn(conn);
    }
}

/** Breaks the pair's references to each other, once neither has anything to send. */
static void part(za_conn_t *conn)
{
    za_conn_t *peer = conn->peer;
    if (peer == NULL) {
        return;
    }
    conn->peer = NULL;
    peer->peer = NULL;
    unref(peer);
    unref(conn);
}

static za_conn_t *create_conn(za_network_t *network, uint32_t host, uint32_t peer_host)
{
    za_conn_t *conn = calloc(1, sizeof *conn);
    ZA_ASSERT(conn != NULL);
    conn->network = network;
    conn->host = host;
    conn->peer_host = peer_host;
    conn->rx_end = &conn->rx;
    conn->flight_end = &conn->flight;
    conn->next = network->conns;
    conn->link_to = &network->conns;
    if (conn->next != NULL) {
        conn->next->link_to = &conn->next;
    }
    network->conns = conn;
    host_t *at = &network->hosts[host];
    if (at->conn_count == at->conn_capacity) {
        at->conns = grow(at->conns, &at->conn_capacity, sizeof(za_conn_t *));
    }
    at->conns[at->conn_count++] = conn;
    conn->refs = 1; // the list of its host
    conn->in_list = true;
    return conn;
}

static path_t *path_of(za_network_t *network, uint32_t from, uint32_t to)
{
    return &network->paths[from][to];
}

static uint64_t draw_latency(za_network_t *network, uint32_t from, uint32_t to)
{
    path_t *path = path_of(network, from, to);
    uint64_t spread = za_rng_below(&network->rng, path->latency_span_ns + 1);
    return path->latency_min_ns + spread;
}

static void run_soon(za_network_t *network, uint32_t host)
{
    za_network_wake_at(network, host, network->now_ns);
}

static void move_first(za_conn_t *conn)
{
    if (!conn->moving && conn->flight != NULL) {
        conn->moving = true;
        uint64_t at = conn->flight->at_ns;
        za_network_t *network = conn->network;
        schedule(network, at > network->now_ns ? at : network->now_ns, EVENT_SEGMENT, conn->host,
                 conn, ZA_OK);
    }
}

static void send_segment(za_conn_t *conn, const uint8_t *bytes, uint32_t size, bool fin)
{
    za_network_t *network = conn->network;
    segment_t *segment = malloc(sizeof *segment + size);
    ZA_ASSERT(segment != NULL);
    *segment = (segment_t){ .fin = fin, .size = size };
    if (size > 0) {
        memcpy(segment->bytes, bytes, size);
    }
    uint64_t latency = draw_latency(network, conn->host, conn->peer_host);
    uint64_t dice = za_rng_below(&network->rng, 1000);
    if (dice < path_of(network, conn->host, conn->peer_host)->loss_permille) {
        latency += RETRY_FIRST_MS * MS;
    }
    uint64_t at = network->now_ns + latency + size / BYTES_PER_US * US;
    segment->at_ns = at > conn->last_at_ns ? at : conn->last_at_ns;
    conn->last_at_ns = segment->at_ns;
    *conn->flight_end = segment;
    conn->flight_end = &segment->next;
    conn->flight_bytes += size;
    move_first(conn);
}

static void break_conn(za_conn_t *conn, za_err_t err)
{
    if (conn->broken == ZA_OK) {
        conn->broken = err;
        run_soon(conn->network, conn->host);
    }
    drop_segments(&conn->flight);
    conn->flight_end = &conn->flight;
    conn->flight_bytes = 0;
}

/* ---- transport -------------------------------------------------------------------------------- */

static za_err_t sim_connect(void *context, const char *address, void *link, za_conn_t **out)
{
    host_t *host = context;
    za_network_t *network = host->network;
    unsigned to;
    if (sscanf(address, "sim:%u", &to) != 1 || to >= ZA_NETWORK_HOSTS_MAX) {
        return ZA_EINVAL;
    }
    za_conn_t *conn = create_conn(network, host->index, to);
    conn->link = link;
    conn->connecting = true;
    conn->stuck_since_ns = network->now_ns;
    conn->retry_ms = RETRY_FIRST_MS;
    uint64_t latency = draw_latency(network, host->index, to);
    schedule(network, network->now_ns + latency + HANDSHAKE_NS, EVENT_CONNECT, host->index, conn,
             ZA_OK);
    *out = conn;
    return ZA_OK;
}

static za_err_t sim_read(za_conn_t *conn, uint8_t *out, size_t capacity, size_t *size)
{
    size_t have = 0;
    while (conn->rx != NULL && have < capacity) {
        segment_t *segment = conn->rx;
        size_t left = segment->size - segment->offset;
        size_t part_size = left < capacity - have ? left : capacity - have;
        memcpy(out + have, segment->bytes + segment->offset, part_size);
        have += part_size;
        segment->offset += (uint32_t)part_size;
        if (segment->offset == segment->size) {
            conn->rx = segment->next;
            if (conn->rx == NULL) {
                conn->rx_end = &conn->rx;
            }
            free(segment);
        }
    }
    conn->rx_bytes -= have;
    *size = have;
    za_conn_t *peer = conn->peer;
    if (have > 0 && peer != NULL && peer->wants_write &&
        peer->flight_bytes + conn->rx_bytes < WINDOW_BYTES / 2) {
        peer->wants_write = false;
        peer->writable_pending = true;
        run_soon(conn->network, peer->host);
    }
    if (have == 0 && conn->broken != ZA_OK) {
        conn->broken_told = true;
        return conn->broken;
    }
    return ZA_OK;
}

static za_err_t sim_write(za_conn_t *conn, const uint8_t *bytes, size_t size, size_t *taken)
{
    *taken = 0;
    if (conn->broken != ZA_OK || !conn->open) {
        return conn->broken == ZA_ECLOSED ? ZA_OK : ZA_EREFUSED;
    }
    uint64_t used = conn->flight_bytes + (conn->peer == NULL ? 0 : conn->peer->rx_bytes);
    size_t room = used >= WINDOW_BYTES ? 0 : WINDOW_BYTES - (size_t)used;
    *taken = size < room ? size : room;
    if (*taken > 0) {
        send_segment(conn, bytes, (uint32_t)*taken, false);
    }
    return ZA_OK;
}

static void sim_want_write(za_conn_t *conn)
{
    conn->wants_write = true;
}

static void sim_close(za_conn_t *conn)
{
    conn->closed = true;
    conn->link = NULL;
    if (conn->open && conn->broken == ZA_OK && conn->peer != NULL) {
        send_segment(conn, NULL, 0, true);
    }
    conn->open = false;
}

static const za_transport_ops_t sim_ops = {
    .connect = sim_connect,
    .read = sim_read,
    .write = sim_write,
    .want_write = sim_want_write,
    .close = sim_close,
};

/* ---- events ----------------------------------------------------------------------------------- */

/** Nothing passes now: tries again later, as TCP does. False: it has given up. */
static bool retry(za_conn_t *conn, event_type_t type, uint64_t give_up_ms)
{
    za_network_t *network = conn->network;
    if (network->now_ns - conn->stuck_since_ns >= give_up_ms * MS) {
        return false;
    }
    conn->retry_ms = conn->retry_ms * 2 < RETRY_MAX_MS ? conn->retry_ms * 2 : RETRY_MAX_MS;
    schedule(network, network->now_ns + conn->retry_ms * MS, type, conn->host, conn, ZA_OK);
    return true;
}

static void finish_connect(za_conn_t *conn, za_err_t err)
{
    conn->connecting = false;
    if (err == ZA_OK) {
        conn->open = true;
    } else {
        conn->broken = err;
    }
    conn->connect_pending = true;
    conn->connect_err = err;
    run_soon(conn->network, conn->host);
}

static void on_connect_event(za_network_t *network, za_conn_t *conn)
{
    if (conn->closed) {
        return;
    }
    uint32_t from = conn->host;
    uint32_t to = conn->peer_host;
    if (path_of(network, from, to)->blocked || path_of(network, to, from)->blocked) {
        if (!retry(conn, EVENT_CONNECT, CONNECT_GIVE_UP_MS)) {
            finish_connect(conn, ZA_ETIMEOUT);
        }
        return;
    }
    uint64_t back = draw_latency(network, to, from);
    if (!network->hosts[to].attached) {
        schedule(network, network->now_ns + back, EVENT_RESULT, from, conn, ZA_EREFUSED);
        return;
    }
    za_conn_t *server = create_conn(network, to, from);
    server->open = true;
    server->accept_pending = true;
    server->peer = conn;
    conn->peer = server;
    conn->refs++;
    server->refs++;
    run_soon(network, to);
    schedule(network, network->now_ns + back, EVENT_RESULT, from, conn, ZA_OK);
}

static void on_result_event(za_conn_t *conn, za_err_t err)
{
    if (!conn->closed && conn->connecting) {
        finish_connect(conn, err);
    } else if (conn->closed && conn->peer != NULL) {
        break_conn(conn->peer, ZA_EREFUSED); // we gave up meanwhile
    }
}

static void on_segment_event(za_network_t *network, za_conn_t *conn)
{
    conn->moving = false;
    segment_t *segment = conn->flight;
    za_conn_t *peer = conn->peer;
    if (segment == NULL || peer == NULL) {
        return;
    }
    if (path_of(network, conn->host, conn->peer_host)->blocked) {
        if (conn->stuck_since_ns == 0) {
            conn->stuck_since_ns = network->now_ns;
            conn->retry_ms = RETRY_FIRST_MS;
        }
        conn->moving = retry(conn, EVENT_SEGMENT, WRITE_GIVE_UP_MS);
        if (!conn->moving) {
            break_conn(conn, ZA_ETIMEOUT);
        }
        return;
    }
    conn->stuck_since_ns = 0;
    conn->flight = segment->next;
    if (conn->flight == NULL) {
        conn->flight_end = &conn->flight;
    }
    conn->flight_bytes -= segment->size;
    segment->next = NULL;
    mix(network, segment->size);
    network->hash = XXH64(segment->bytes, segment->size, network->hash);
    if (peer->closed) {
        // Nobody reads there: a reset comes back, unless this was the end anyway.
        bool end = segment->fin;
        free(segment);
        if (end) {
            part(conn);
        } else {
            schedule(network, network->now_ns + draw_latency(network, conn->peer_host, conn->host),
                     EVENT_RESET, conn->host, conn, ZA_EREFUSED);
        }
        return;
    }
    if (segment->fin) {
        free(segment);
        if (peer->broken == ZA_OK) {
            peer->broken = ZA_ECLOSED;
        }
    } else {
        *peer->rx_end = segment;
        peer->rx_end = &segment->next;
        peer->rx_bytes += segment->size;
    }
    run_soon(network, peer->host);
    move_first(conn);
}

static void handle_event(za_network_t *network, const event_t *event)
{
    switch (event->type) {
    case EVENT_RUN:
        network->hosts[event->host].wake_ns = UINT64_MAX;
        network->events->run(network->context, event->host);
        break;
    case EVENT_CONNECT:
        on_connect_event(network, event->conn);
        break;
    case EVENT_RESULT:
        on_result_event(event->conn, event->err);
        break;
    case EVENT_SEGMENT:
        on_segment_event(network, event->conn);
        break;
    case EVENT_RESET:
        if (path_of(network, event->conn->peer_host, event->conn->host)->blocked) {
            break; // the next segment earns another one
        }
        break_conn(event->conn, event->err);
        part(event->conn);
        break;
    }
    unref(event->conn);
}

bool za_network_step(za_network_t *network, uint64_t until_ns)
{
    if (network->heap_count == 0 || network->heap[0].at_ns > until_ns) {
        network->now_ns = until_ns > network->now_ns ? until_ns : network->now_ns;
        return false;
    }
    event_t event = pop_event(network);
    if (event.type == EVENT_RUN && network->hosts[event.host].wake_ns != event.at_ns) {
        return true; // an earlier run took its place
    }
    ZA_ASSERT(event.at_ns >= network->now_ns);
    network->now_ns = event.at_ns;
    network->handled++;
    mix(network, event.at_ns);
    mix(network, (uint64_t)event.type << 32 | event.host);
    handle_event(network, &event);
    return true;
}

void za_network_wake_at(za_network_t *network, uint32_t host, uint64_t at_ns)
{
    if (at_ns < network->now_ns) {
        at_ns = network->now_ns;
    }
    if (at_ns < network->hosts[host].wake_ns) {
        network->hosts[host].wake_ns = at_ns;
        schedule(network, at_ns, EVENT_RUN, host, NULL, ZA_OK);
    }
}

/* ---- telling a host --------------------------------------------------------------------------- */

static void tell(host_t *host, za_conn_t *conn)
{
    if (conn->accept_pending) {
        conn->accept_pending = false;
        char from[32];
        za_network_address(conn->peer_host, from, sizeof from);
        conn->link = host->events->accepted(host->node, conn, ZA_LISTENER_CLUSTER, from);
        if (conn->link == NULL) {
            sim_close(conn);
            return;
        }
    }
    if (conn->connect_pending && !conn->closed) {
        conn->connect_pending = false;
        host->events->connected(conn->link, conn->connect_err);
    }
    if (conn->open && !conn->closed &&
        (conn->rx != NULL || (conn->broken != ZA_OK && !conn->broken_told))) {
        host->events->readable(conn->link);
    }
    if (conn->open && !conn->closed && conn->writable_pending) {
        conn->writable_pending = false;
        host->events->writable(conn->link);
    }
}

void za_network_deliver(za_network_t *network, uint32_t index)
{
    host_t *host = &network->hosts[index];
    uint32_t count = host->conn_count; // those that callbacks add wait for the next time
    for (uint32_t i = 0; i < count; i++) {
        tell(host, host->conns[i]);
    }
    bool again = false;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < host->conn_count; i++) {
        za_conn_t *conn = host->conns[i];
        if (conn->closed && conn->flight == NULL && (conn->peer == NULL || conn->peer->closed)) {
            part(conn);
        }
        if (conn->closed) {
            conn->in_list = false;
            unref(conn);
            continue;
        }
        again |= conn->open && conn->rx != NULL; // until it is, its data waits for the connect
        host->conns[kept++] = conn;
    }
    host->conn_count = kept;
    if (again) {
        run_soon(network, index);
    }
}

/* ---- set-up ----------------------------------------------------------------------------------- */

za_err_t za_network_create(uint64_t seed, const za_network_events_t *events, void *context,
                           za_network_t **out)
{
    za_network_t *network = calloc(1, sizeof *network);
    if (network == NULL) {
        return ZA_ENOMEM;
    }
    za_rng_init(&network->rng, seed);
    network->events = events;
    network->context = context;
    for (uint32_t i = 0; i < ZA_NETWORK_HOSTS_MAX; i++) {
        network->hosts[i].network = network;
        network->hosts[i].index = i;
        network->hosts[i].wake_ns = UINT64_MAX;
    }
    *out = network;
    return ZA_OK;
}

void za_network_destroy(za_network_t *network)
{
    if (network == NULL) {
        return;
    }
    while (network->conns != NULL) {
        free_conn(network->conns);
    }
    for (uint32_t i = 0; i < ZA_NETWORK_HOSTS_MAX; i++) {
        free(network->hosts[i].conns);
    }
    free(network->heap);
    free(network);
}

za_transport_t za_network_attach(za_network_t *network, uint32_t index,
                                 const za_transport_events_t *link_events)
{
    host_t *host = &network->hosts[index];
    host->attached = true;
    host->events = link_events;
    return (za_transport_t){ &sim_ops, host };
}

void za_network_set_node(za_network_t *network, uint32_t index, void *node)
{
    network->hosts[index].node = node;
}

void za_network_detach(za_network_t *network, uint32_t index)
{
    host_t *host = &network->hosts[index];
    host->attached = false;
    for (uint32_t i = 0; i < host->conn_count; i++) {
        za_conn_t *conn = host->conns[i];
        if (!conn->closed) {
            sim_close(conn); // the kernel closes what the process had open
        }
        conn->in_list = false;
        if (conn->flight == NULL && (conn->peer == NULL || conn->peer->closed)) {
            part(conn);
        }
        unref(conn);
    }
    host->conn_count = 0;
}

void za_network_address(uint32_t host, char *text, size_t bytes)
{
    snprintf(text, bytes, "sim:%u", host);
}

void za_network_set_path(za_network_t *network, uint32_t from, uint32_t to, uint32_t latency_us_min,
                         uint32_t latency_us_max, uint32_t loss_permille)
{
    path_t *path = path_of(network, from, to);
    path->latency_min_ns = latency_us_min * US;
    path->latency_span_ns =
        latency_us_max > latency_us_min ? (latency_us_max - latency_us_min) * US : 0;
    path->loss_permille = loss_permille;
}

void za_network_block(za_network_t *network, uint32_t from, uint32_t to, bool blocked)
{
    path_of(network, from, to)->blocked = blocked;
}

void za_network_reset(za_network_t *network, uint32_t a, uint32_t b)
{
    host_t *host = &network->hosts[a];
    for (uint32_t i = 0; i < host->conn_count; i++) {
        za_conn_t *conn = host->conns[i];
        if (conn->peer_host == b && conn->open && !conn->closed) {
            if (conn->peer != NULL) {
                break_conn(conn->peer, ZA_EREFUSED);
            }
            break_conn(conn, ZA_EREFUSED);
        }
    }
}

uint64_t za_network_now_ns(const za_network_t *network)
{
    return network->now_ns;
}

uint64_t za_network_hash(const za_network_t *network)
{
    return network->hash;
}

uint64_t za_network_event_count(const za_network_t *network)
{
    return network->handled;
}
