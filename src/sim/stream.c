#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sim/realm_internal.h"

#define HANDSHAKE_US UINT64_C(9000) // CPU of each side of a full mutual handshake, measured
#define RETRY_FIRST_US UINT64_C(200000)
#define RETRY_MAX_US UINT64_C(3000000)
#define SYN_RETRY_US UINT64_C(1000000)
#define CONNECT_GIVE_UP_US UINT64_C(5000000)
#define SHAKE_GIVE_UP_US UINT64_C(10000000)
#define WRITE_GIVE_UP_US UINT64_C(15000000) // TCP_USER_TIMEOUT

/** On a stream, with its data. */
typedef enum frame_kind {
    FRAME_DATA,
    FRAME_DATAGRAM,
    FRAME_UP,      // the accepting side has accepted
    FRAME_GOODBYE, // the end of a link that means no harm
    FRAME_FIN,     // the kernel's, of a process that is gone
} frame_kind_t;

static uint64_t pair_key(uint32_t a, uint32_t b)
{
    uint32_t low = a < b ? a : b;
    uint32_t high = a < b ? b : a;
    return ((uint64_t)high << 32 | low) + 1;
}

static uint64_t connect_key(uint32_t host, uint32_t address)
{
    return ((uint64_t)host << 32 | address) + 1;
}

/* ---- life ------------------------------------------------------------------------------------- */

static void link_to_host(za_realm_t *realm, za_stream_t *stream, int side)
{
    uint32_t host = stream->ends[side].host;
    if (host >= realm->config.hosts) {
        return;
    }
    za_stream_t **list = &realm->hosts[host].streams;
    stream->host_next[side] = *list;
    stream->host_link[side] = list;
    if (*list != NULL) {
        int other = (*list)->host_link[0] == list ? 0 : 1;
        (*list)->host_link[other] = &stream->host_next[side];
    }
    *list = stream;
    realm->hosts[host].stream_count++;
}

static void unlink_from_host(za_realm_t *realm, za_stream_t *stream, int side)
{
    if (stream->host_link[side] == NULL) {
        return;
    }
    za_stream_t *next = stream->host_next[side];
    *stream->host_link[side] = next;
    if (next != NULL) {
        int other = next->host_link[0] == &stream->host_next[side] ? 0 : 1;
        next->host_link[other] = stream->host_link[side];
    }
    stream->host_link[side] = NULL;
    realm->hosts[stream->ends[side].host].stream_count--;
}

static void drop_frames(za_direction_t *way)
{
    while (way->first != NULL) {
        za_frame_t *next = way->first->next;
        free(way->first);
        way->first = next;
    }
    way->last = &way->first;
    way->bytes = 0;
}

static void free_stream(za_stream_t *stream)
{
    *stream->link_to = stream->next;
    if (stream->next != NULL) {
        stream->next->link_to = stream->link_to;
    }
    drop_frames(&stream->ways[0]);
    drop_frames(&stream->ways[1]);
    free(stream);
}

void za_streams_destroy(za_realm_t *realm)
{
    while (realm->streams != NULL) {
        free_stream(realm->streams);
    }
}

/** It is being made no more. */
static void end_connecting(za_realm_t *realm, const za_stream_t *stream)
{
    uint64_t key = connect_key(stream->ends[0].host, stream->ends[1].address);
    if (za_pairs_get(&realm->by_connect, key) == stream) {
        za_pairs_set(&realm->by_connect, key, NULL);
    }
}

/** Frees what neither a process nor a parcel needs any more. */
static void settle(za_realm_t *realm, za_stream_t *stream)
{
    if (stream->ends[0].open || stream->ends[1].open) {
        return;
    }
    if (stream->state != ZA_STREAM_DEAD) {
        uint64_t key = pair_key(stream->ends[0].host, stream->ends[1].host);
        if (za_pairs_get(&realm->by_pair, key) == stream) {
            za_pairs_set(&realm->by_pair, key, NULL);
        }
        stream->state = ZA_STREAM_DEAD;
        end_connecting(realm, stream);
        unlink_from_host(realm, stream, 0);
        unlink_from_host(realm, stream, 1);
        drop_frames(&stream->ways[0]);
        drop_frames(&stream->ways[1]);
    }
    if (stream->parcels == 0) {
        free_stream(stream);
    }
}

static void post_stream(za_realm_t *realm, za_stream_t *stream, za_parcel_kind_t kind, uint8_t side,
                        uint64_t at_us)
{
    za_parcel_t *parcel = za_parcel_create(realm, kind, stream->ends[side].host);
    parcel->stream = stream;
    parcel->side = side;
    stream->parcels++;
    za_parcel_post(realm, parcel, at_us);
}

/* ---- news for a process ----------------------------------------------------------------------- */

static void post_news(za_realm_t *realm, const za_stream_end_t *to, const za_stream_end_t *about,
                      za_cluster_event_type_t type, za_err_t err, uint64_t at_us)
{
    const za_host_t *host = &realm->hosts[to->host];
    if (host->state != ZA_HOST_ON || host->process != to->process) {
        return;
    }
    za_parcel_t *parcel = za_parcel_create(realm, ZA_PARCEL_EVENT, to->host);
    parcel->from = about->host < realm->config.hosts ? about->host : to->host;
    parcel->uid = about->uid;
    parcel->stream = NULL;
    parcel->news.frame = NULL;
    parcel->news.type = type;
    parcel->news.err = err;
    parcel->news.address = about->address;
    za_parcel_post(realm, parcel, at_us);
}

/** One end is over for its process, which hears of it if it knew of the link. */
static void end_side(za_realm_t *realm, za_stream_t *stream, int side, za_err_t err)
{
    za_stream_end_t *end = &stream->ends[side];
    if (!end->open) {
        return;
    }
    end->open = false;
    if (end->up) {
        end->up = false;
        post_news(realm, end, &stream->ends[1 - side], ZA_CLUSTER_LINK_DOWN, err, realm->now_us);
    }
}

/** It broke, as its own kernel noticed: what was queued is lost. */
static void break_side(za_realm_t *realm, za_stream_t *stream, int side, za_err_t err)
{
    drop_frames(&stream->ways[side]);
    end_side(realm, stream, side, err);
}

static void fail_connect(za_realm_t *realm, za_stream_t *stream, za_err_t err, uint64_t after_us)
{
    if (stream->ends[0].open) {
        stream->ends[0].open = false;
        post_news(realm, &stream->ends[0], &stream->ends[1], ZA_CLUSTER_CONNECT_FAILED, err,
                  realm->now_us + after_us);
    }
    stream->ends[1].open = false;
}

/* ---- paths ------------------------------------------------------------------------------------ */

/** Off, or standing still as a whole. */
static bool unreachable(const za_host_t *host)
{
    return host->state == ZA_HOST_GONE || host->suspended;
}

static bool blocked(const za_realm_t *realm, uint32_t from, uint32_t to)
{
    return unreachable(&realm->hosts[from]) || unreachable(&realm->hosts[to]) ||
           za_path_of(realm, from, to, true).blocked;
}

/** A lost segment comes a retransmission time-out later, and again if that is lost, too. */
static uint64_t retransmissions_us(const za_path_t *path, uint32_t size, uint64_t draw)
{
    uint64_t segments = 1 + size / ZA_SEGMENT_BYTES;
    uint64_t ppm = path->loss_ppm * segments;
    uint64_t wait_us = 0;
    uint64_t retry_us = RETRY_FIRST_US;
    for (int i = 0; i < 6 && za_chance_below(draw, ZA_PER_MILLION) < ppm; i++) {
        wait_us += retry_us;
        retry_us = retry_us * 2 < RETRY_MAX_US ? retry_us * 2 : RETRY_MAX_US;
        ppm = path->loss_ppm;
        draw = za_mix64(draw);
    }
    return wait_us;
}

static uint64_t latency_us(za_realm_t *realm, uint32_t from, uint32_t to)
{
    za_path_t path = za_path_of(realm, from, to, true);
    uint64_t draw = za_chance(realm->config.seed, ZA_CHANCE_STREAM,
                              za_chance_link(from, to) + realm->draws++, realm->now_us);
    uint64_t again = za_mix64(draw);
    return za_path_latency_us(realm, &path, from, to, draw) + retransmissions_us(&path, 0, again);
}

/* ---- sending ---------------------------------------------------------------------------------- */

static void move(za_realm_t *realm, za_stream_t *stream, int side)
{
    za_direction_t *way = &stream->ways[side];
    if (!way->moving && way->first != NULL) {
        way->moving = true;
        uint64_t at_us = way->first->at_us > realm->now_us ? way->first->at_us : realm->now_us;
        post_stream(realm, stream, ZA_PARCEL_STREAM, (uint8_t)side, at_us);
    }
}

static void push(za_realm_t *realm, za_stream_t *stream, int side, frame_kind_t kind, uint8_t lane,
                 const uint8_t *bytes, uint32_t size)
{
    za_direction_t *way = &stream->ways[side];
    uint32_t from = stream->ends[side].host;
    uint32_t to = stream->ends[1 - side].host;
    za_frame_t *frame = malloc(sizeof *frame + size);
    ZA_ASSERT(frame != NULL);
    *frame = (za_frame_t){ .kind = (uint8_t)kind, .lane = lane, .size = size };
    if (size > 0) {
        memcpy(frame->bytes, bytes, size);
    }
    za_path_t path = za_path_of(realm, from, to, true);
    uint64_t draw = za_chance(realm->config.seed, ZA_CHANCE_STREAM,
                              za_chance_link(from, to) + realm->draws++, realm->now_us);
    uint64_t at_us = realm->now_us + za_path_latency_us(realm, &path, from, to, draw) +
                     size / ZA_STREAM_BYTES_PER_US +
                     retransmissions_us(&path, size, za_mix64(draw));
    frame->at_us = at_us > way->last_us ? at_us : way->last_us;
    way->last_us = frame->at_us;
    *way->last = frame;
    way->last = &frame->next;
    way->bytes += size;
    move(realm, stream, side);
}

/** The link of two hosts as `host` has it; NULL if there is none. */
static za_stream_t *link_of(const za_realm_t *realm, uint32_t host, uint64_t uid, int *side)
{
    uint32_t peer = za_host_of_uid(realm, uid);
    if (peer == UINT32_MAX || peer == host) {
        return NULL;
    }
    za_stream_t *stream = za_pairs_get(&realm->by_pair, pair_key(host, peer));
    if (stream == NULL) {
        return NULL;
    }
    *side = stream->ends[0].host == host ? 0 : 1;
    const za_stream_end_t *end = &stream->ends[*side];
    bool good = end->open && end->up && stream->ends[1 - *side].uid == uid;
    return good ? stream : NULL;
}

/** Sent over a link to a former process, that its present one knows nothing of: a reset comes back. */
static void answer_with_reset(za_realm_t *realm, uint32_t host, uint64_t uid)
{
    uint32_t peer = za_host_of_uid(realm, uid);
    bool former = peer != UINT32_MAX && peer != host && realm->hosts[peer].uid != uid;
    if (former && !blocked(realm, host, peer) && !blocked(realm, peer, host)) {
        za_stream_end_t here = { .host = host, .process = realm->hosts[host].process };
        za_stream_end_t there = { .host = peer, .uid = uid, .address = realm->hosts[peer].address };
        uint64_t rtt_us = latency_us(realm, host, peer) + latency_us(realm, peer, host);
        post_news(realm, &here, &there, ZA_CLUSTER_LINK_DOWN, ZA_ECLOSED, realm->now_us + rtt_us);
    }
}

void za_stream_send(za_realm_t *realm, uint32_t host, const za_effect_t *effect)
{
    int side = 0;
    za_stream_t *stream = link_of(realm, host, effect->uid, &side);
    if (stream == NULL) {
        // The cluster hears of links, and sends again what must arrive.
        answer_with_reset(realm, host, effect->uid);
        return;
    }
    bool datagram = effect->type == ZA_EFFECT_SEND_DATAGRAM;
    if (realm->lose != NULL && !datagram &&
        realm->lose(realm->lose_context, host, stream->ends[1 - side].host, effect->lane,
                    effect->bytes, effect->size)) {
        return;
    }
    realm->stats.frames++;
    realm->stats.frame_bytes += effect->size;
    if (stream->ways[side].bytes + effect->size >
        za_host_room(&realm->hosts[host], ZA_STREAM_BYTES)) {
        break_side(realm, stream, side, ZA_EFULL); // as the driver does
        push(realm, stream, side, FRAME_FIN, 0, NULL, 0);
        return;
    }
    push(realm, stream, side, datagram ? FRAME_DATAGRAM : FRAME_DATA,
         datagram ? (uint8_t)ZA_LANE_CONTROL : (uint8_t)effect->lane, effect->bytes, effect->size);
}

static void say_goodbye(za_realm_t *realm, za_stream_t *stream, int side)
{
    push(realm, stream, side, FRAME_GOODBYE, 0, NULL, 0);
    stream->ends[side].cut = true;
    end_side(realm, stream, side, ZA_OK);
    settle(realm, stream);
}

void za_stream_close_peer(za_realm_t *realm, uint32_t host, uint64_t uid)
{
    int side = 0;
    za_stream_t *stream = link_of(realm, host, uid, &side);
    if (stream != NULL) {
        say_goodbye(realm, stream, side);
    }
}

void za_stream_goodbye_all(za_realm_t *realm, uint32_t host)
{
    za_stream_t *next = NULL;
    for (za_stream_t *stream = realm->hosts[host].streams; stream != NULL; stream = next) {
        int side = stream->ends[0].host == host ? 0 : 1;
        next = stream->host_next[side];
        if (stream->state == ZA_STREAM_OPEN && stream->ends[side].open) {
            say_goodbye(realm, stream, side);
        } else if (stream->state < ZA_STREAM_OPEN) {
            // What is half made was made under the old uid.
            stream->ends[side].open = false;
        }
    }
}

void za_stream_close_all(za_realm_t *realm, uint32_t host, bool silent)
{
    za_stream_t *next = NULL;
    for (za_stream_t *stream = realm->hosts[host].streams; stream != NULL; stream = next) {
        int side = stream->ends[0].host == host ? 0 : 1;
        next = stream->host_next[side];
        bool told = stream->state == ZA_STREAM_OPEN && stream->ends[side].open && !silent;
        stream->ends[side].open = false;
        stream->ends[side].up = false;
        if (told) {
            push(realm, stream, side, FRAME_FIN, 0, NULL, 0);
        } else if (silent) {
            drop_frames(&stream->ways[side]);
        }
        settle(realm, stream);
    }
}

void za_realm_reset(za_realm_t *realm, uint32_t a, uint32_t b)
{
    za_stream_t *stream = za_pairs_get(&realm->by_pair, pair_key(a, b));
    if (stream != NULL && stream->state == ZA_STREAM_OPEN) {
        break_side(realm, stream, 0, ZA_EREFUSED);
        break_side(realm, stream, 1, ZA_EREFUSED);
        settle(realm, stream);
    }
}

/* ---- arriving --------------------------------------------------------------------------------- */

void za_stream_release_frame(za_realm_t *realm, za_parcel_t *parcel)
{
    if (parcel->news.frame == NULL) {
        return;
    }
    free(parcel->news.frame);
    parcel->news.frame = NULL;
    parcel->stream->parcels--;
    settle(realm, parcel->stream);
}

/** Nothing passes: again later, as TCP does, until it gives up. */
static void retry(za_realm_t *realm, za_stream_t *stream, int side)
{
    za_direction_t *way = &stream->ways[side];
    if (way->stuck_us == 0) {
        way->stuck_us = realm->now_us;
        way->retry_us = RETRY_FIRST_US;
    }
    if (realm->hosts[stream->ends[side].host].suspended) {
        way->stuck_us = realm->now_us; // its own clock stands still
    }
    if (realm->now_us - way->stuck_us >= WRITE_GIVE_UP_US) {
        break_side(realm, stream, side, ZA_ETIMEOUT);
        return;
    }
    way->moving = true;
    post_stream(realm, stream, ZA_PARCEL_STREAM, (uint8_t)side, realm->now_us + way->retry_us);
    way->retry_us = 2 * way->retry_us < RETRY_MAX_US ? 2 * way->retry_us : (uint32_t)RETRY_MAX_US;
}

/** Data arrives, but acknowledgements do not: the sender gives up in the end. */
static void watch_acks(za_realm_t *realm, za_stream_t *stream, int side)
{
    za_direction_t *way = &stream->ways[side];
    bool back = !blocked(realm, stream->ends[1 - side].host, stream->ends[side].host);
    if (back) {
        way->unacked_us = 0;
    } else if (way->unacked_us == 0 && stream->ends[side].open) {
        way->unacked_us = realm->now_us;
        post_stream(realm, stream, ZA_PARCEL_SHAKE, (uint8_t)side, realm->now_us + SYN_RETRY_US);
    }
}

static bool receiver_lives(const za_realm_t *realm, const za_stream_end_t *end)
{
    const za_host_t *host = &realm->hosts[end->host];
    return end->open && host->state == ZA_HOST_ON && host->process == end->process;
}

static void arrive(za_realm_t *realm, za_stream_t *stream, int side, za_frame_t *frame)
{
    za_stream_end_t *here = &stream->ends[1 - side];
    switch ((frame_kind_t)frame->kind) {
    case FRAME_UP:
        here->up = true;
        post_news(realm, here, &stream->ends[side], ZA_CLUSTER_LINK_UP, ZA_OK, realm->now_us);
        break;
    case FRAME_GOODBYE:
        end_side(realm, stream, 1 - side, ZA_OK);
        break;
    case FRAME_FIN:
        end_side(realm, stream, 1 - side, ZA_ECLOSED);
        break;
    case FRAME_DATA:
    case FRAME_DATAGRAM: {
        za_parcel_t *parcel = za_parcel_create(realm, ZA_PARCEL_EVENT, here->host);
        bool datagram = frame->kind == FRAME_DATAGRAM;
        parcel->from = stream->ends[side].host;
        parcel->uid = stream->ends[side].uid;
        parcel->stream = stream;
        parcel->side = (uint8_t)(1 - side);
        parcel->entry.at = realm->now_us;
        parcel->news.frame = frame;
        parcel->news.type = datagram ? ZA_CLUSTER_DATAGRAM : ZA_CLUSTER_FRAME;
        parcel->news.err = ZA_OK;
        stream->parcels++;
        za_parcel_post(realm, parcel, realm->now_us);
        return; // the frame goes with it
    }
    }
    free(frame);
}

static za_frame_t *take_first(za_direction_t *way)
{
    za_frame_t *frame = way->first;
    way->first = frame->next;
    if (way->first == NULL) {
        way->last = &way->first;
    }
    way->bytes -= frame->size;
    frame->next = NULL;
    return frame;
}

static void pass_first(za_realm_t *realm, za_stream_t *stream, int side)
{
    za_direction_t *way = &stream->ways[side];
    za_stream_end_t *there = &stream->ends[1 - side];
    uint32_t from = stream->ends[side].host;
    const za_host_t *host = &realm->hosts[there->host];
    if (blocked(realm, from, there->host)) {
        retry(realm, stream, side);
        return;
    }
    way->stuck_us = 0;
    za_path_t path = za_path_of(realm, from, there->host, true);
    if (there->cut && stream->ways[1 - side].first != NULL) {
        // It said goodbye, which is here before the reset that answers what it does not read.
        free(take_first(way));
        move(realm, stream, side);
        return;
    }
    if (path.refusing || !receiver_lives(realm, there)) {
        // A firewall, or a kernel without that process: a reset comes back.
        break_side(realm, stream, side, ZA_EREFUSED);
        return;
    }
    bool full = (host->paused || host->starved || host->held != NULL) &&
                host->held_frame_bytes > za_host_room(host, ZA_STREAM_WINDOW);
    if (full) {
        way->moving = true; // the window is closed; probes find out when it opens
        post_stream(realm, stream, ZA_PARCEL_STREAM, (uint8_t)side,
                    realm->now_us + RETRY_FIRST_US / 4);
        return;
    }
    watch_acks(realm, stream, side);
    arrive(realm, stream, side, take_first(way));
    move(realm, stream, side);
}

void za_stream_due(za_realm_t *realm, za_parcel_t *parcel)
{
    za_stream_t *stream = parcel->stream;
    int side = parcel->side;
    za_parcel_free(realm, parcel);
    stream->parcels--;
    stream->ways[side].moving = false;
    if (stream->state == ZA_STREAM_OPEN && stream->ways[side].first != NULL) {
        pass_first(realm, stream, side);
    }
    settle(realm, stream);
}

/* ---- connecting ------------------------------------------------------------------------------- */

static bool current(const za_realm_t *realm, const za_stream_end_t *end)
{
    const za_host_t *host = &realm->hosts[end->host];
    return end->open && host->state == ZA_HOST_ON && host->process == end->process;
}

static bool linked(const za_realm_t *realm, uint32_t a, uint32_t b)
{
    const za_stream_t *stream = za_pairs_get(&realm->by_pair, pair_key(a, b));
    return stream != NULL && current(realm, &stream->ends[0]) && current(realm, &stream->ends[1]);
}

static bool connecting(const za_realm_t *realm, uint32_t host, uint32_t address)
{
    const za_stream_t *stream = za_pairs_get(&realm->by_connect, connect_key(host, address));
    return stream != NULL && stream->ends[0].open;
}

void za_stream_connect(za_realm_t *realm, uint32_t host, const char *address)
{
    uint32_t number = za_address_number(address);
    if (number >= realm->address_count || connecting(realm, host, number)) {
        return;
    }
    uint32_t target = realm->addresses[number];
    bool known = target < realm->config.hosts;
    if (target == host || (known && linked(realm, host, target))) {
        return;
    }
    za_stream_t *stream = calloc(1, sizeof *stream);
    ZA_ASSERT(stream != NULL);
    stream->next = realm->streams;
    stream->link_to = &realm->streams;
    if (stream->next != NULL) {
        stream->next->link_to = &stream->next;
    }
    realm->streams = stream;
    za_pairs_set(&realm->by_connect, connect_key(host, number), stream);
    stream->ways[0].last = &stream->ways[0].first;
    stream->ways[1].last = &stream->ways[1].first;
    stream->since_us = realm->now_us;
    const za_host_t *here = &realm->hosts[host];
    stream->ends[0] = (za_stream_end_t){ .host = host,
                                         .process = here->process,
                                         .uid = here->uid,
                                         .address = here->address,
                                         .open = true };
    stream->ends[1] = (za_stream_end_t){ .host = target, .address = number };
    link_to_host(realm, stream, 0);
    link_to_host(realm, stream, 1);
    uint64_t wait_us = known ? latency_us(realm, host, target) : realm->config.latency_us_max;
    post_stream(realm, stream, ZA_PARCEL_SHAKE, 0, realm->now_us + wait_us);
}

/** Handshakes of a host follow each other on its CPU. When this one's share is done. */
static uint64_t charge_handshake(za_realm_t *realm, uint32_t index)
{
    za_host_t *host = &realm->hosts[index];
    uint64_t cost_us = HANDSHAKE_US + (host->service_us != 0 ? 9 * HANDSHAKE_US : 0);
    uint64_t start_us = host->shake_us > realm->now_us ? host->shake_us : realm->now_us;
    host->shake_us = start_us + cost_us;
    realm->stats.handshakes++;
    return host->shake_us;
}

/** The server's share. */
static void begin_handshake(za_realm_t *realm, za_stream_t *stream)
{
    za_stream_end_t *server = &stream->ends[1];
    uint32_t client = stream->ends[0].host;
    server->process = realm->hosts[server->host].process;
    server->open = true;
    stream->state = ZA_STREAM_SHAKING;
    uint64_t there_us = charge_handshake(realm, server->host);
    uint64_t trip_us = latency_us(realm, server->host, client);
    trip_us += latency_us(realm, client, server->host);
    post_stream(realm, stream, ZA_PARCEL_SHAKE, 0, there_us + trip_us);
}

/** The client's share. Charged now that it is due: a CPU does other work until then. */
static void answer_handshake(za_realm_t *realm, za_stream_t *stream)
{
    uint32_t client = stream->ends[0].host;
    uint64_t here_us = charge_handshake(realm, client);
    uint64_t last_us = latency_us(realm, client, stream->ends[1].host);
    stream->state = ZA_STREAM_SHAKEN;
    post_stream(realm, stream, ZA_PARCEL_SHAKE, 1, here_us + last_us);
}

/** A node closes what comes while it greets as many as it may (node/connections.c). */
static bool greets_enough(const za_realm_t *realm, const za_host_t *server)
{
    return server->shake_us > realm->now_us + ZA_GREETINGS_MAX * HANDSHAKE_US;
}

/** By the verifier's wall clock. */
static bool trusts(const za_realm_t *realm, uint32_t verifier, uint32_t subject)
{
    const za_host_t *host = &realm->hosts[subject];
    uint64_t wall_ms = za_host_wall_ms(realm, verifier);
    return !host->distrusted && wall_ms >= host->cert_from && wall_ms < host->cert_until;
}

/** What the handshake says; ZA_OK: they may talk. */
static za_err_t greet(const za_realm_t *realm, uint32_t a, uint32_t b)
{
    if (!trusts(realm, a, b) || !trusts(realm, b, a)) {
        return ZA_EAUTH;
    }
    bool common = (realm->hosts[a].version == ZA_VERSION_FOREIGN) ==
                  (realm->hosts[b].version == ZA_VERSION_FOREIGN);
    return common ? ZA_OK : ZA_EVERSION;
}

static void reach(za_realm_t *realm, za_stream_t *stream)
{
    uint32_t from = stream->ends[0].host;
    uint32_t to = stream->ends[1].host;
    if (to == ZA_ADDRESS_STRANGER) {
        fail_connect(realm, stream, ZA_ECLUSTER, HANDSHAKE_US);
        return;
    }
    bool silent = to == ZA_ADDRESS_NOBODY || blocked(realm, from, to) || blocked(realm, to, from);
    uint64_t waited_us = realm->now_us - stream->since_us;
    if (silent) {
        if (waited_us >= CONNECT_GIVE_UP_US) {
            fail_connect(realm, stream, ZA_ETIMEOUT, 0);
        } else {
            post_stream(realm, stream, ZA_PARCEL_SHAKE, 0, realm->now_us + SYN_RETRY_US);
        }
        return;
    }
    const za_host_t *server = &realm->hosts[to];
    bool refusing = za_path_of(realm, from, to, true).refusing;
    za_err_t verdict = greet(realm, from, to);
    if (refusing || server->state != ZA_HOST_ON) {
        fail_connect(realm, stream, ZA_EREFUSED, latency_us(realm, to, from));
    } else if (verdict != ZA_OK) {
        fail_connect(realm, stream, verdict, HANDSHAKE_US);
    } else if (greets_enough(realm, server)) {
        fail_connect(realm, stream, ZA_ECLOSED, latency_us(realm, to, from));
    } else if (!server->paused && !server->starved) {
        begin_handshake(realm, stream);
    } else if (waited_us >= SHAKE_GIVE_UP_US) {
        fail_connect(realm, stream, ZA_ETIMEOUT, 0); // its kernel accepts, the process does not
    } else {
        post_stream(realm, stream, ZA_PARCEL_SHAKE, 0, realm->now_us + RETRY_FIRST_US / 2);
    }
}

/**
 * The older one is of a peer that is gone, or it would have stayed: nobody is told of its end before
 * something is sent over it.
 */
static void replace(za_realm_t *realm, za_stream_t *old)
{
    for (int side = 0; side < 2; side++) {
        old->ends[side].open = false;
        old->ends[side].up = false;
        old->ends[side].cut = true;
    }
    settle(realm, old);
}

static void establish(za_realm_t *realm, za_stream_t *stream)
{
    za_stream_end_t *client = &stream->ends[0];
    za_stream_end_t *server = &stream->ends[1];
    if (linked(realm, client->host, server->host)) {
        client->open = server->open = false; // one of the two that were made at once is enough
        return;
    }
    uint64_t key = pair_key(client->host, server->host);
    za_stream_t *old = za_pairs_get(&realm->by_pair, key);
    if (old != NULL) {
        replace(realm, old);
    }
    za_pairs_set(&realm->by_pair, key, stream);
    client->uid = realm->hosts[client->host].uid;
    server->uid = realm->hosts[server->host].uid;
    stream->state = ZA_STREAM_OPEN;
    end_connecting(realm, stream);
    server->up = true;
    post_news(realm, server, client, ZA_CLUSTER_LINK_UP, ZA_OK, realm->now_us);
    push(realm, stream, 1, FRAME_UP, 0, NULL, 0);
}

static void finish_handshake(za_realm_t *realm, za_stream_t *stream)
{
    const za_stream_end_t *client = &stream->ends[0];
    const za_stream_end_t *server = &stream->ends[1];
    if (!current(realm, server)) {
        fail_connect(realm, stream, ZA_ECLOSED, 0);
        return;
    }
    const za_host_t *hosts = realm->hosts;
    bool stalled = blocked(realm, client->host, server->host) ||
                   blocked(realm, server->host, client->host) || hosts[client->host].paused ||
                   hosts[server->host].paused || hosts[client->host].starved ||
                   hosts[server->host].starved;
    if (!stalled && realm->now_us - stream->since_us < SHAKE_GIVE_UP_US) {
        establish(realm, stream);
    } else if (realm->now_us - stream->since_us >= SHAKE_GIVE_UP_US) {
        fail_connect(realm, stream, ZA_ETIMEOUT, 0);
    } else {
        post_stream(realm, stream, ZA_PARCEL_SHAKE, 1, realm->now_us + RETRY_FIRST_US / 2);
    }
}

static void check_acks(za_realm_t *realm, za_stream_t *stream, int side)
{
    za_direction_t *way = &stream->ways[side];
    if (way->unacked_us == 0 || !stream->ends[side].open) {
        return;
    }
    if (!blocked(realm, stream->ends[1 - side].host, stream->ends[side].host)) {
        way->unacked_us = 0;
    } else if (realm->now_us - way->unacked_us >= WRITE_GIVE_UP_US) {
        break_side(realm, stream, side, ZA_ETIMEOUT);
    } else {
        post_stream(realm, stream, ZA_PARCEL_SHAKE, (uint8_t)side, realm->now_us + SYN_RETRY_US);
    }
}

void za_stream_shake(za_realm_t *realm, za_parcel_t *parcel)
{
    za_stream_t *stream = parcel->stream;
    int side = parcel->side;
    za_parcel_free(realm, parcel);
    stream->parcels--;
    if (stream->state == ZA_STREAM_OPEN) {
        check_acks(realm, stream, side);
    } else if (!current(realm, &stream->ends[0])) {
        stream->ends[0].open = stream->ends[1].open = false; // whoever connected is gone
    } else if (stream->state == ZA_STREAM_CONNECTING) {
        reach(realm, stream);
    } else if (stream->state == ZA_STREAM_SHAKING) {
        answer_handshake(realm, stream);
    } else if (stream->state == ZA_STREAM_SHAKEN) {
        finish_handshake(realm, stream);
    }
    settle(realm, stream);
}
