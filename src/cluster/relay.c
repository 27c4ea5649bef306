#include "cluster/relay.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/rng.h"
#include "cluster/member_codec.h"

enum {
    CANDIDATES = 4,
    REFUSALS_MAX = 3, // in a row, before there is a pause
    FIELD_FROM = 1,   // of za.RelayFrame
    FIELD_TO = 2,
    FIELD_FRAME = 3,
    FIELD_LAST = 3,
    KEY_FROM = FIELD_FROM << 3 | 1,
    KEY_TO = FIELD_TO << 3 | 1,
    KEY_FRAME = FIELD_FRAME << 3 | 2,
};

/** A member that is reached over a neighbour only. */
typedef struct apart {
    uint64_t uid;
    uint64_t via;      // the neighbour; 0: none yet
    uint64_t unfit;    // the last one that had no link to it
    uint64_t retry_ms; // when to choose one; UINT64_MAX: there is one
    uint32_t refusals;
} apart_t;

struct za_relay {
    const za_view_t *view;
    za_syslane_t *lane;
    za_rng_t rng;
    za_relay_stats_t stats;
    uint32_t count;
    apart_t aparts[ZA_PEERS_MAX];
};

za_err_t za_relay_create(const za_view_t *view, za_syslane_t *lane, uint64_t seed, za_relay_t **out)
{
    za_relay_t *relay = calloc(1, sizeof *relay);
    if (relay == NULL) {
        return ZA_ENOMEM;
    }
    relay->view = view;
    relay->lane = lane;
    za_rng_init(&relay->rng, seed);
    *out = relay;
    return ZA_OK;
}

void za_relay_destroy(za_relay_t *relay)
{
    free(relay);
}

/* ---- who is apart ----------------------------------------------------------------------------- */

static apart_t *find(za_relay_t *relay, uint64_t uid)
{
    for (uint32_t i = 0; i < relay->count; i++) {
        if (relay->aparts[i].uid == uid) {
            return &relay->aparts[i];
        }
    }
    return NULL;
}

static bool linked(const za_relay_t *relay, uint64_t uid)
{
    return relay->view->linked(relay->view->context, uid);
}

void za_relay_begin(za_relay_t *relay, uint64_t uid, uint64_t now_ms)
{
    if (find(relay, uid) == NULL && relay->count < ZA_PEERS_MAX) {
        relay->aparts[relay->count++] = (apart_t){ .uid = uid, .retry_ms = now_ms };
    }
}

void za_relay_end(za_relay_t *relay, uint64_t uid)
{
    apart_t *apart = find(relay, uid);
    if (apart == NULL) {
        return;
    }
    if (apart->via != 0 && !linked(relay, uid)) {
        za_syslane_link_down(relay->lane, uid);
    }
    *apart = relay->aparts[--relay->count];
}

void za_relay_reset(za_relay_t *relay)
{
    relay->count = 0;
}

/** The neighbour serves no longer: what was not acked goes again over the next. */
static void drop_via(za_relay_t *relay, apart_t *apart, uint64_t retry_ms)
{
    apart->unfit = apart->via;
    apart->via = 0;
    apart->retry_ms = retry_ms;
    if (!linked(relay, apart->uid)) {
        za_syslane_link_down(relay->lane, apart->uid);
    }
}

void za_relay_link_down(za_relay_t *relay, uint64_t uid, uint64_t now_ms)
{
    for (uint32_t i = 0; i < relay->count; i++) {
        if (relay->aparts[i].via == uid) {
            drop_via(relay, &relay->aparts[i], now_ms);
        }
    }
}

static void take_via(za_relay_t *relay, apart_t *apart, uint64_t via, uint64_t now_ms)
{
    apart->via = via;
    apart->retry_ms = UINT64_MAX;
    za_syslane_relay(relay->lane, apart->uid, za_view_self(relay->view), via, now_ms);
}

/* ---- frames ----------------------------------------------------------------------------------- */

uint8_t *za_relay_head_put(uint8_t *out, uint64_t from, uint64_t to, uint32_t size)
{
    *out++ = ZA_RELAY_TAG;
    out = za_member_fixed_put(out, FIELD_FROM, from);
    out = za_member_fixed_put(out, FIELD_TO, to);
    return size > 0 ? za_member_length_put(out, FIELD_FRAME, size) : out;
}

typedef struct route {
    uint64_t from, to;
    const uint8_t *bytes; // NULL: there is no way from here
    uint32_t size;
} route_t;

static bool route_get(const uint8_t *bytes, uint32_t size, route_t *route)
{
    const uint8_t *next = bytes;
    const uint8_t *end = bytes + size;
    za_member_field_t field;
    *route = (route_t){ 0 };
    while (za_member_field_get(&next, end, &field)) {
        if (field.key == KEY_FROM) {
            route->from = field.number;
        } else if (field.key == KEY_TO) {
            route->to = field.number;
        } else if (field.key == KEY_FRAME) {
            route->bytes = field.bytes;
            route->size = field.size;
        } else if (!za_member_field_later(&field, FIELD_LAST)) {
            return false;
        }
    }
    return next == end && route->from != 0 && route->to != 0 && route->from != route->to;
}

static void emit(uint64_t uid, const route_t *route, za_effects_t *out)
{
    if (!za_effects_have_room(out, 1, ZA_RELAY_HEAD_MAX + route->size)) {
        return; // lost, as on a path: its sender sends it again
    }
    uint8_t *start = za_effects_next(out);
    uint8_t *at = za_relay_head_put(start, route->from, route->to, route->size);
    if (route->size > 0) {
        memcpy(at, route->bytes, route->size);
    }
    uint32_t size = (uint32_t)(at - start) + route->size;
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SEND_FRAME);
    effect->uid = uid;
    effect->lane = ZA_LANE_CONTROL;
    effect->bytes = za_effects_alloc(out, size);
    effect->size = size;
}

/** Between two others. Only from the sender itself: so no frame is handed on twice. */
static za_relay_in_t hand_on(za_relay_t *relay, uint64_t uid, const route_t *route,
                             za_effects_t *out)
{
    if (route->from != uid || route->size == 0) {
        return ZA_RELAY_BAD;
    }
    if (linked(relay, route->to)) {
        relay->stats.handed_on++;
        emit(route->to, route, out);
    } else {
        emit(uid, &(route_t){ .from = route->from, .to = route->to }, out);
    }
    return ZA_RELAY_DONE;
}

/** The neighbour has no link to the other either. */
static za_relay_in_t no_way(za_relay_t *relay, uint64_t uid, const route_t *route, uint64_t now_ms)
{
    if (route->size > 0) {
        return ZA_RELAY_BAD; // what we sent, back
    }
    apart_t *apart = find(relay, route->to);
    if (apart == NULL || apart->via != uid) {
        return ZA_RELAY_DONE; // of a neighbour before
    }
    relay->stats.refused++;
    bool pause = ++apart->refusals % REFUSALS_MAX == 0;
    drop_via(relay, apart, pause ? now_ms + ZA_RELAY_RETRY_MS : now_ms);
    return ZA_RELAY_DONE;
}

za_relay_in_t za_relay_frame(za_relay_t *relay, uint64_t uid, const uint8_t *bytes, uint32_t size,
                             uint64_t now_ms, za_relayed_t *frame, za_effects_t *out)
{
    route_t route;
    uint64_t self = za_view_self(relay->view);
    if (!route_get(bytes, size, &route)) {
        return ZA_RELAY_BAD;
    }
    if (route.from == self) {
        return no_way(relay, uid, &route, now_ms);
    }
    if (route.to != self) {
        return hand_on(relay, uid, &route, out);
    }
    if (route.from == uid || route.size == 0) {
        return ZA_RELAY_BAD; // it has a link of its own
    }
    za_known_t known = za_view_known(relay->view, route.from);
    if ((known != ZA_KNOWN_LIVE && known != ZA_KNOWN_UP) || linked(relay, route.from)) {
        return ZA_RELAY_DONE;
    }
    apart_t *apart = find(relay, route.from);
    if (apart != NULL && apart->via == 0) {
        take_via(relay, apart, uid, now_ms); // this way there is one
    }
    *frame = (za_relayed_t){ route.from, route.bytes, route.size };
    return ZA_RELAY_FRAME;
}

/* ---- pump ------------------------------------------------------------------------------------- */

/** At random, and the last that failed only if there is no other. 0: none. */
static uint64_t choose(za_relay_t *relay, const apart_t *apart)
{
    uint64_t uids[CANDIDATES];
    uint32_t count =
        relay->view->sample_linked(relay->view->context, &relay->rng, uids, CANDIDATES);
    uint64_t chosen = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (uids[i] != apart->uid && (chosen == 0 || chosen == apart->unfit)) {
            chosen = uids[i];
        }
    }
    return chosen;
}

za_step_t za_relay_pump(za_relay_t *relay, uint64_t now_ms, za_effects_t *out)
{
    for (uint32_t i = 0; i < relay->count; i++) {
        apart_t *apart = &relay->aparts[i];
        if (apart->retry_ms > now_ms) {
            continue;
        }
        if (!za_effects_have_room(out, 1, 0)) {
            return ZA_STEP_MORE;
        }
        uint64_t via = choose(relay, apart);
        if (via == 0) {
            apart->retry_ms = now_ms + ZA_RELAY_RETRY_MS;
            continue;
        }
        take_via(relay, apart, via, now_ms);
        za_effects_add(out, ZA_EFFECT_MARK)->mark = ZA_MARK_RELAY;
    }
    return ZA_STEP_DONE;
}

uint64_t za_relay_deadline_ms(const za_relay_t *relay)
{
    uint64_t deadline = UINT64_MAX;
    for (uint32_t i = 0; i < relay->count; i++) {
        uint64_t retry_ms = relay->aparts[i].retry_ms;
        deadline = retry_ms < deadline ? retry_ms : deadline;
    }
    return deadline;
}

void za_relay_stats(const za_relay_t *relay, za_relay_stats_t *out)
{
    *out = relay->stats;
}
