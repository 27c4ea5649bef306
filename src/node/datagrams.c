// Datagrams of the failure detector: sealed and by UDP where that works, else over the link's control
// lane. Runs in the owner.

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/secret.h"
#include "node/state.h"

enum {
    REPORT_MS = 10 * 1000,   // between two lines of the log about datagrams that were refused
    DEGRADED_MS = 10 * 1000, // of nothing by UDP, until that is said
    UNANSWERED_MAX = 3,      // sent by UDP without a word by UDP: also over the link from now on
    ROUNDS_MAX = 2,          // ... if the first of them is so many probe intervals old
};

za_err_t za_node_datagrams_start(za_node_t *node)
{
    node->wants_material = node->params.random != NULL;
    if (!node->params.datagrams || node->params.transport.ops->send_datagram == NULL) {
        return ZA_OK;
    }
    za_datagrams_config_t config = { .cluster = node->cluster_name,
                                     .uid = za_node_uid(node),
                                     .senders_max = ZA_MEMBERS_MAX };
    return za_datagrams_create(&config, &node->datagrams);
}

/* ---- keys -------------------------------------------------------------------------------------- */

void za_node_datagrams_service(za_node_t *node)
{
    if (node->wants_material) {
        uint8_t material[ZA_EPOCH_SECRET_BYTES];
        node->wants_material = false;
        if (!node->params.random(node->params.random_context, material, sizeof material)) {
            za_node_log(node, ZA_ERROR,
                        "the system gives no random bytes: this node makes no keys "
                        "for datagrams");
            return;
        }
        za_node_step(node, &(za_cluster_event_t){ .type = ZA_CLUSTER_KEYS,
                                                  .bytes = material,
                                                  .size = sizeof material });
        za_secret_zero(material, sizeof material);
    }
    if (node->rotation_due) {
        node->rotation_due = false;
        za_node_step(node, &(za_cluster_event_t){ .type = ZA_CLUSTER_ROTATE_KEYS });
    }
}

void za_node_datagrams_on_keys(za_node_t *node, const za_effect_t *effect)
{
    za_epoch_key_t ring[ZA_EPOCH_KEYS_MAX];
    uint32_t count = effect->size / (uint32_t)sizeof *ring;
    memcpy(ring, effect->bytes, effect->size);
    za_secret_zero((void *)effect->bytes, effect->size); // they lie in node->effects
    uint64_t epoch = ring[effect->id].epoch;
    if (node->datagrams != NULL) {
        za_err_t err = za_datagrams_set_keys(node->datagrams, ring, count, (uint32_t)effect->id);
        if (err != ZA_OK) {
            za_node_log(node, ZA_ERROR, "cannot use the keys for datagrams: %s", za_err_text(err));
        } else if (epoch != node->epoch) {
            za_node_log(node, ZA_INFO, "datagrams are sealed with the key of epoch %" PRIu64,
                        epoch);
        }
    }
    node->epoch = epoch;
    za_secret_zero(ring, sizeof ring);
}

/* ---- members ----------------------------------------------------------------------------------- */

void za_node_datagrams_on_member(za_node_t *node, uint64_t uid, za_member_state_t state)
{
    if (node->datagrams == NULL || uid == za_node_uid(node)) {
        return;
    }
    if (state >= ZA_MEMBER_LEFT) {
        za_datagrams_remove(node->datagrams, uid);
    } else if (za_datagrams_add(node->datagrams, uid) != ZA_OK) {
        za_node_log(node, ZA_ERROR, "no room for the datagrams of node %016" PRIx64, uid);
    }
}

void za_node_datagrams_on_reborn(za_node_t *node, uint64_t uid)
{
    if (node->datagrams == NULL) {
        return;
    }
    za_err_t err = za_datagrams_set_uid(node->datagrams, uid);
    if (err != ZA_OK) {
        // The old uid's key must not serve the new one: links carry everything from now on.
        za_node_log(node, ZA_ERROR, "no key for datagrams: %s", za_err_text(err));
        za_datagrams_destroy(node->datagrams);
        node->datagrams = NULL;
    }
}

/* ---- out --------------------------------------------------------------------------------------- */

/** Whether what is sent by UDP may not arrive, by what was heard. */
static bool is_doubtful(const za_node_t *node, const za_peer_t *peer)
{
    return peer->udp_heard_ms == 0 ||
           (peer->udp_unanswered >= UNANSWERED_MAX &&
            node->now_ms - peer->udp_since_ms >=
                (uint64_t)ROUNDS_MAX * node->params.timing.probe_interval_ms);
}

static void note_sent(za_node_t *node, za_peer_t *peer)
{
    if (peer->udp_unanswered == 0) {
        peer->udp_since_ms = node->now_ms;
    }
    if (peer->udp_unanswered < UNANSWERED_MAX) {
        peer->udp_unanswered++;
    }
}

static bool send_by_udp(za_node_t *node, const za_effect_t *effect)
{
    uint8_t sealed[ZA_DATAGRAM_SEALED_BYTES_MAX];
    size_t size = 0;
    if (node->datagrams == NULL || effect->address == NULL ||
        za_datagrams_seal(node->datagrams, effect->uid, effect->bytes, effect->size, sealed,
                          &size) != ZA_OK) {
        return false;
    }
    node->rotation_due |= za_datagrams_spent(node->datagrams);
    const za_transport_t *transport = &node->params.transport;
    za_err_t err = transport->ops->send_datagram(transport->context, effect->address, sealed, size);
    if (err != ZA_OK) {
        ZA_COUNT(node, datagrams_unsent, 1);
        return false;
    }
    ZA_COUNT(node, datagrams_out, 1);
    return true;
}

void za_node_datagrams_send(za_node_t *node, const za_effect_t *effect)
{
    za_peer_t *peer = za_peer_find(node, effect->uid);
    bool linked = peer != NULL && atomic_load_explicit(&peer->link, memory_order_relaxed) != NULL;
    // What came over the link is answered over the link: its sender doubts UDP.
    bool over_link = effect->over_link || node->answering == effect->uid;
    bool sent = !effect->over_link && send_by_udp(node, effect);
    // Answers and news are answered by nobody: silence after them says nothing.
    if (sent && peer != NULL && effect->asks) {
        note_sent(node, peer);
    }
    if (linked && (over_link || !sent || is_doubtful(node, peer))) {
        ZA_COUNT(node, datagrams_linked, 1);
        za_peer_frame(node, peer, ZA_OUT_DATAGRAM, ZA_LANE_CONTROL, effect->bytes, effect->size);
    }
}

/* ---- in ---------------------------------------------------------------------------------------- */

/** One number for the hosts of an IPv6 network, which have more addresses than can be counted. */
static uint64_t source_of(const za_origin_t *from)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    bool v4 = memcmp(from->address, mapped, sizeof mapped) == 0;
    return za_fnv64(ZA_FNV64_INIT, v4 ? from->address + sizeof mapped : from->address, v4 ? 4 : 8);
}

static void print_origin(const za_origin_t *from, char *out, size_t out_bytes)
{
    char host[INET6_ADDRSTRLEN] = "?";
    inet_ntop(AF_INET6, from->address, host, sizeof host);
    snprintf(out, out_bytes, "[%s]:%u", host, from->port);
}

/** What strangers can bring about is counted; of it there is a line now and then. */
static void report_refused(za_node_t *node, za_datagram_verdict_t verdict, const za_origin_t *from)
{
    bool usual = verdict == ZA_DATAGRAM_REPLAYED || verdict == ZA_DATAGRAM_STRANGER ||
                 verdict == ZA_DATAGRAM_MISDIRECTED || verdict == ZA_DATAGRAM_EPOCH;
    if (usual) {
        return; // networks repeat, members come, go and change keys
    }
    node->refused_datagrams++;
    if (node->now_ms < node->refused_ms) {
        return;
    }
    char text[INET6_ADDRSTRLEN + 16];
    print_origin(from, text, sizeof text);
    za_node_log(node, ZA_WARN,
                "%" PRIu64 " bad datagrams since the last such line; one from %s: %s",
                node->refused_datagrams, text, za_datagram_verdict_name(verdict));
    node->refused_datagrams = 0;
    node->refused_ms = node->now_ms + REPORT_MS;
}

void za_node_datagrams_on_arrived(void *context, const uint8_t *bytes, size_t size,
                                  const za_origin_t *from)
{
    za_node_t *node = context;
    uint8_t plain[ZA_DATAGRAM_BYTES_MAX];
    size_t plain_size = 0;
    uint64_t uid = 0;
    if (node->datagrams == NULL) {
        return;
    }
    za_node_touch(node);
    za_datagram_verdict_t verdict = za_datagrams_open(
        node->datagrams, node->now_ms, source_of(from), bytes, size, plain, &plain_size, &uid);
    if (verdict != ZA_DATAGRAM_OPENED) {
        report_refused(node, verdict, from);
        return;
    }
    za_peer_t *peer = za_peer_find(node, uid);
    if (peer != NULL) {
        peer->udp_heard_ms = node->now_ms;
        peer->udp_unanswered = 0;
    }
    za_node_step(node, &(za_cluster_event_t){ .type = ZA_CLUSTER_DATAGRAM,
                                              .uid = uid,
                                              .bytes = plain,
                                              .size = (uint32_t)plain_size });
}

void za_node_datagrams_on_linked(za_node_t *node, const za_cluster_event_t *event)
{
    node->answering = event->uid;
    za_node_step(node, event);
    node->answering = 0;
}

void za_node_datagram_counters(const za_node_t *node, za_datagram_counters_t *out)
{
    *out = (za_datagram_counters_t){ 0 };
    if (node->datagrams != NULL) {
        za_datagrams_counters(node->datagrams, out);
    }
}

/* ---- peers whose UDP does not work ------------------------------------------------------------- */

void za_node_datagrams_sweep(za_node_t *node)
{
    uint64_t degraded = 0;
    for (uint32_t i = 0; i < node->peers_top && node->datagrams != NULL; i++) {
        za_peer_t *peer = za_peer_at(node, i);
        // relaxed: ours to change
        bool linked = atomic_load_explicit(&peer->link, memory_order_relaxed) != NULL;
        bool silent = linked && peer->udp_unanswered > 0 && is_doubtful(node, peer) &&
                      node->now_ms - peer->udp_since_ms >= DEGRADED_MS;
        if (silent && !peer->udp_degraded) {
            za_node_log(node, ZA_WARN,
                        "no datagram of node %s arrives by UDP: the link carries them; is UDP to "
                        "and from the nodes' port let through?",
                        peer->name);
        } else if (peer->udp_degraded && linked && !silent) {
            za_node_log(node, ZA_INFO, "datagrams of node %s arrive by UDP again", peer->name);
        }
        peer->udp_degraded = silent;
        degraded += silent;
    }
    atomic_store_explicit(&node->counters.udp_degraded, degraded,
                          memory_order_relaxed); // a statistic
}

bool za_node_datagrams_degraded(za_node_t *node, const za_member_info_t *info)
{
    const za_peer_t *peer = za_peer_find(node, info->uid);
    return info->udp_degraded || (peer != NULL && peer->udp_degraded);
}
