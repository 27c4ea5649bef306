// Parts of membership alone: one instance, and a test that plays its peers by hand.
#include <stdio.h>
#include <string.h>

#include "cluster/member.h"
#include "cluster/membership.h"
#include "pb_decode.h"
#include "pb_encode.h"
#include "support/za_test.h"

enum { T = 500, KEPT_MAX = 2048 };

static za_effects_t effects;
static za_membership_t *self;
static uint64_t now_ms;
static za_step_t last_step;

// What the last send() or run() caused.
static uint32_t member_count, frame_count, datagram_count, closed_count, connect_count;
static za_effect_t members[KEPT_MAX];
static za_MembershipFrame frames[32];
static za_MembershipDatagram datagrams[32];
static uint64_t frame_to[32], datagram_to[32], closed[512];
static char connects[64][ZA_ADDRESS_BYTES_MAX + 1];
static bool datagram_over_link[32], datagram_asks[32];
static char datagram_address[32][ZA_ADDRESS_BYTES_MAX + 1];
static uint32_t reborn, refused;
static uint64_t sent_datagrams;

static void forget(void)
{
    member_count = frame_count = datagram_count = closed_count = connect_count = 0;
    reborn = refused = 0;
    sent_datagrams = 0;
}

static void keep_frame(const za_effect_t *effect)
{
    if (frame_count == 32) {
        return;
    }
    pb_istream_t stream = pb_istream_from_buffer(effect->bytes + 1, effect->size - 1);
    cr_assert(effect->bytes[0] == ZA_MEMBERSHIP_TAG && effect->lane == ZA_LANE_CONTROL, "tag");
    cr_assert(pb_decode(&stream, za_MembershipFrame_fields, &frames[frame_count]), "its frame");
    frame_to[frame_count++] = effect->uid;
}

static void keep_datagram(const za_effect_t *effect)
{
    sent_datagrams++;
    if (datagram_count == 32) {
        return;
    }
    pb_istream_t stream = pb_istream_from_buffer(effect->bytes, effect->size);
    cr_assert(effect->size <= ZA_DATAGRAM_BYTES_MAX, "%u bytes", effect->size);
    cr_assert(pb_decode(&stream, za_MembershipDatagram_fields, &datagrams[datagram_count]), "its");
    snprintf(datagram_address[datagram_count], sizeof datagram_address[0], "%s",
             effect->address != NULL ? effect->address : "");
    datagram_over_link[datagram_count] = effect->over_link;
    datagram_asks[datagram_count] = effect->asks;
    datagram_to[datagram_count++] = effect->uid;
}

static bool mesh_only; // of the connects

static void keep(const za_effect_t *effect)
{
    switch (effect->type) {
    case ZA_EFFECT_MEMBER:
        cr_assert(member_count < KEPT_MAX, "too many");
        members[member_count++] = *effect;
        break;
    case ZA_EFFECT_SEND_FRAME:
        keep_frame(effect);
        break;
    case ZA_EFFECT_SEND_DATAGRAM:
        keep_datagram(effect);
        break;
    case ZA_EFFECT_CLOSE_LINK:
        closed[closed_count++ % 512] = effect->uid;
        break;
    case ZA_EFFECT_CONNECT:
        if (!mesh_only || effect->uid != 0) {
            snprintf(connects[connect_count++ % 64], sizeof connects[0], "%s", effect->address);
        }
        break;
    case ZA_EFFECT_REBORN:
        reborn++;
        break;
    case ZA_EFFECT_REFUSED:
        refused++;
        break;
    default:
        break;
    }
}

static uint32_t step(za_cluster_event_t event)
{
    uint32_t steps = 0;
    event.now_ms = now_ms;
    do {
        za_effects_reset(&effects);
        last_step = za_membership_step(self, &event, &effects);
        for (uint32_t i = 0; i < effects.count; i++) {
            keep(&effects.items[i]);
        }
        event.type = ZA_CLUSTER_CONTINUE;
        steps++;
        cr_assert(steps < 1000, "it always wants more");
    } while (last_step == ZA_STEP_MORE);
    return steps;
}

/** Ticks at each deadline for so long. */
static void run(uint64_t for_ms)
{
    uint64_t end_ms = now_ms + for_ms;
    while (za_membership_deadline_ms(self) <= end_ms) {
        uint64_t deadline_ms = za_membership_deadline_ms(self);
        now_ms = deadline_ms > now_ms ? deadline_ms : now_ms;
        step((za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
    }
    now_ms = end_ms;
}

static bool with_plain_swim;
static bool with_datagrams;
static uint32_t with_members;

static void start_with(const char *const *seeds, uint32_t seed_count)
{
    za_cluster_config_t config = { .cluster = "c",
                                   .name = "self",
                                   .address = "self:1",
                                   .seeds = seeds,
                                   .seed_count = seed_count,
                                   .random_seed = 42,
                                   .timing = za_cluster_timing_lan,
                                   .datagrams = with_datagrams,
                                   .plain_swim = with_plain_swim,
                                   .members_max = with_members };
    now_ms = 1000;
    cr_assert(za_membership_create(&config, now_ms, &self) == ZA_OK, "create");
    forget();
    step((za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
}

static void start(void)
{
    start_with(NULL, 0);
    cr_assert(member_count == 2 && members[1].state == ZA_MEMBER_UP, "joining, then up");
    forget();
}

static void stop(void)
{
    za_membership_destroy(self);
    self = NULL;
}

static uint32_t send_frame(uint64_t from, const za_MembershipFrame *frame)
{
    static uint8_t bytes[ZA_FRAME_BYTES_MAX];
    bytes[0] = ZA_MEMBERSHIP_TAG;
    pb_ostream_t stream = pb_ostream_from_buffer(bytes + 1, sizeof bytes - 1);
    cr_assert(pb_encode(&stream, za_MembershipFrame_fields, frame), "encode");
    return step((za_cluster_event_t){ .type = ZA_CLUSTER_FRAME,
                                      .uid = from,
                                      .lane = ZA_LANE_CONTROL,
                                      .bytes = bytes,
                                      .size = (uint32_t)stream.bytes_written + 1 });
}

static bool sent_over_link; // how what we send next comes

static void send_datagram(uint64_t from, const za_MembershipDatagram *datagram)
{
    static uint8_t bytes[ZA_DATAGRAM_BYTES_MAX];
    pb_ostream_t stream = pb_ostream_from_buffer(bytes, sizeof bytes);
    cr_assert(pb_encode(&stream, za_MembershipDatagram_fields, datagram), "encode");
    step((za_cluster_event_t){ .type = ZA_CLUSTER_DATAGRAM,
                               .uid = from,
                               .over_link = sent_over_link,
                               .bytes = bytes,
                               .size = (uint32_t)stream.bytes_written });
}

static za_MemberRecord record(uint64_t uid, const char *name, const char *address)
{
    za_MemberRecord made = za_MemberRecord_init_zero;
    made.uid = uid;
    made.inc = 1;
    made.joined = 1;
    made.attributes = 1;
    snprintf(made.name, sizeof made.name, "%s", name);
    snprintf(made.address, sizeof made.address, "%s", address);
    return made;
}

static za_MemberRecord numbered(uint64_t uid)
{
    char name[24];
    char address[32];
    snprintf(name, sizeof name, "m%" PRIu64, uid);
    snprintf(address, sizeof address, "m%" PRIu64 ":1", uid);
    return record(uid, name, address);
}

/** Of uids that come in ascending order. */
static void add_evidence(uint64_t *uids, pb_size_t *count, uint64_t uid)
{
    uids[(*count)++] = uid;
}

static void tell(uint64_t from, za_MemberRecord news)
{
    static za_MembershipFrame frame;
    frame = (za_MembershipFrame){ .which_body = za_MembershipFrame_records_tag };
    frame.body.records.records_count = 1;
    frame.body.records.records[0] = news;
    send_frame(from, &frame);
}

static void link_up(uint64_t uid)
{
    za_MemberRecord peer = numbered(uid);
    step((za_cluster_event_t){
        .type = ZA_CLUSTER_LINK_UP, .uid = uid, .name = peer.name, .address = peer.address });
}

/** A linked member. */
static void peer(uint64_t uid)
{
    link_up(uid);
    tell(uid, numbered(uid));
}

static za_member_state_t state(uint64_t uid)
{
    za_member_info_t info;
    return za_membership_find(self, uid, &info) ? info.state : ZA_MEMBER_JOINING;
}

/** As run; every ping is answered, so that nobody is doubted, but those of `silent`. */
static void answer_all_but(uint64_t silent, uint64_t for_ms)
{
    for (uint64_t end_ms = now_ms + for_ms; now_ms < end_ms;) {
        uint32_t seen = datagram_count = 0;
        run(10);
        for (uint32_t count = datagram_count; seen < count; seen++) {
            za_MembershipDatagram ack = { .kind = za_DatagramKind_DATAGRAM_KIND_ACK,
                                          .seq = datagrams[seen].seq,
                                          .view_hash = za_membership_view_hash(self) };
            if (datagrams[seen].kind == za_DatagramKind_DATAGRAM_KIND_PING &&
                datagram_to[seen] != silent) {
                send_datagram(datagram_to[seen], &ack);
            }
        }
    }
}

static void run_answered(uint64_t for_ms)
{
    answer_all_but(0, for_ms);
}

static const za_MembershipDatagram *find_datagram(uint64_t to, za_DatagramKind kind)
{
    for (uint32_t i = 0; i < datagram_count; i++) {
        if (datagram_to[i] == to && datagrams[i].kind == kind) {
            return &datagrams[i];
        }
    }
    return NULL;
}

static const za_MembershipFrame *find_frame(uint64_t to, pb_size_t body)
{
    for (uint32_t i = 0; i < frame_count; i++) {
        if (frame_to[i] == to && frames[i].which_body == body) {
            return &frames[i];
        }
    }
    return NULL;
}

static bool count_one(const za_member_info_t *info, void *context)
{
    (void)info;
    (*(uint32_t *)context)++;
    return true;
}

static uint32_t count_all(void)
{
    uint32_t count = 0;
    za_membership_each_member(self, count_one, &count);
    return count;
}

/* ---- probes ---------------------------------------------------------------------------------- */

Test(membership_parts, answers_a_ping_for_its_uid_and_no_other)
{
    start();
    peer(1);
    forget();
    za_MembershipDatagram ping = { .kind = za_DatagramKind_DATAGRAM_KIND_PING,
                                   .seq = 9,
                                   .target = za_membership_uid(self) };
    send_datagram(1, &ping);
    const za_MembershipDatagram *ack = find_datagram(1, za_DatagramKind_DATAGRAM_KIND_ACK);
    cr_assert(ack != NULL && ack->seq == 9, "no ack");
    forget();
    ping.target++;
    send_datagram(1, &ping);
    cr_assert(find_datagram(1, za_DatagramKind_DATAGRAM_KIND_ACK) == NULL, "an ack for another");
    stop();
}

Test(membership_parts, a_helper_relays_the_ack)
{
    start();
    peer(1);
    peer(2);
    forget();
    za_MembershipDatagram ask = { .kind = za_DatagramKind_DATAGRAM_KIND_PING_REQ,
                                  .seq = 77,
                                  .target = 2 };
    send_datagram(1, &ask);
    const za_MembershipDatagram *ping = find_datagram(2, za_DatagramKind_DATAGRAM_KIND_PING);
    cr_assert(ping != NULL, "it did not ping");
    za_MembershipDatagram ack = { .kind = za_DatagramKind_DATAGRAM_KIND_ACK, .seq = ping->seq };
    forget();
    send_datagram(2, &ack);
    const za_MembershipDatagram *relayed = find_datagram(1, za_DatagramKind_DATAGRAM_KIND_ACK);
    cr_assert(relayed != NULL && relayed->seq == 77 && relayed->target == 2, "not relayed");
    stop();
}

Test(membership_parts, a_helper_without_an_answer_says_so_in_time)
{
    start();
    peer(1);
    peer(2);
    forget();
    za_MembershipDatagram ask = { .kind = za_DatagramKind_DATAGRAM_KIND_PING_REQ,
                                  .seq = 77,
                                  .target = 2 };
    send_datagram(1, &ask);
    run(T / 2 - 1);
    const za_MembershipDatagram *nack = find_datagram(1, za_DatagramKind_DATAGRAM_KIND_NACK);
    cr_assert(nack != NULL && nack->seq == 77, "no nack");
    stop();
}

/** Pings to member 2, which we know by member 1 and have no link to. */
static uint32_t pings_without_a_link(bool by_udp)
{
    with_datagrams = by_udp;
    start();
    peer(1);
    tell(1, numbered(2));
    uint32_t pings = 0;
    for (uint64_t end_ms = now_ms + 4 * T; now_ms < end_ms;) {
        forget();
        run(10);
        for (uint32_t i = 0; i < datagram_count; i++) {
            bool ping =
                datagram_to[i] == 2 && datagrams[i].kind == za_DatagramKind_DATAGRAM_KIND_PING;
            cr_expect(!ping || strcmp(datagram_address[i], "m2:1") == 0, "%s", datagram_address[i]);
            pings += ping;
        }
    }
    stop();
    with_datagrams = false;
    return pings;
}

Test(membership_parts, datagrams_need_no_link)
{
    cr_assert(pings_without_a_link(true) > 0, "no ping");
    cr_assert(pings_without_a_link(false) == 0, "a ping without a way to go");
}

// The driver takes silence after a datagram for a sign of a broken path only if there is an answer to it.
Test(membership_parts, pings_and_requests_ask_and_nothing_else_does)
{
    bool seen[_za_DatagramKind_ARRAYSIZE] = { false };
    with_datagrams = true;
    start();
    for (uint64_t uid = 1; uid <= 3; uid++) {
        peer(uid);
    }
    za_MembershipDatagram ping = { .kind = za_DatagramKind_DATAGRAM_KIND_PING, .seq = 7 };
    ping.target = za_membership_uid(self);
    for (int round = 0; round < 20; round++) {
        forget();
        send_datagram(2, &ping); // is answered; ours are not: helpers are asked
        run(T / 2);
        for (uint32_t i = 0; i < datagram_count; i++) {
            za_DatagramKind kind = datagrams[i].kind;
            bool asks = kind == za_DatagramKind_DATAGRAM_KIND_PING ||
                        kind == za_DatagramKind_DATAGRAM_KIND_PING_REQ;
            cr_expect(datagram_asks[i] == asks, "kind %d", (int)kind);
            seen[kind] = true;
        }
    }
    cr_assert(seen[za_DatagramKind_DATAGRAM_KIND_GOSSIP], "news was sent");
    cr_assert(seen[za_DatagramKind_DATAGRAM_KIND_PING_REQ], "helpers were asked");
    cr_assert(seen[za_DatagramKind_DATAGRAM_KIND_ACK], "it answered");
    stop();
    with_datagrams = false;
}

/** For so long, member 1 answers what comes over its link, and by UDP only if `udp`. */
static void answer_for(uint64_t for_ms, bool udp)
{
    for (uint64_t end_ms = now_ms + for_ms; now_ms < end_ms;) {
        forget();
        run(10);
        for (uint32_t i = 0, count = datagram_count; i < count; i++) {
            za_MembershipDatagram ack = { .kind = za_DatagramKind_DATAGRAM_KIND_ACK,
                                          .seq = datagrams[i].seq };
            sent_over_link = datagram_over_link[i];
            if (datagrams[i].kind == za_DatagramKind_DATAGRAM_KIND_PING &&
                (udp || datagram_over_link[i])) {
                send_datagram(datagram_to[i], &ack);
            }
            sent_over_link = false;
        }
    }
}

static bool degraded(void)
{
    za_member_info_t info;
    cr_assert(za_membership_find(self, 1, &info), "it is there");
    return info.udp_degraded;
}

// A member that only its link reaches stays up, and somebody is told why.
Test(membership_parts, a_member_that_udp_does_not_reach_is_degraded_after_three_rounds_and_stays_up)
{
    with_datagrams = true;
    start();
    peer(1);
    answer_for(2 * T + T / 2, false);
    cr_assert(!degraded(), "too early");
    answer_for(3 * T, false);
    cr_assert(degraded() && state(1) == ZA_MEMBER_UP, "%s", za_member_state_name(state(1)));
    za_cluster_counters_t counters = { 0 };
    za_membership_counters(self, &counters);
    cr_assert(counters.udp_degraded == 1 && counters.suspects == 0, "counted");
    answer_for(2 * T, true);
    cr_assert(!degraded(), "an answer by UDP ends it");
    stop();
    with_datagrams = false;
}

Test(membership_parts, a_link_is_made_for_a_member_that_does_not_answer_by_udp)
{
    with_datagrams = true;
    start();
    peer(1);
    tell(1, numbered(2));
    bool asked = false;
    for (uint64_t end_ms = now_ms + 4 * T; now_ms < end_ms && !asked;) {
        forget();
        run(10);
        bool waits = false;
        for (uint32_t i = 0; i < datagram_count; i++) {
            waits = waits || datagrams[i].kind == za_DatagramKind_DATAGRAM_KIND_PING_REQ;
            za_MembershipDatagram ack = { .kind = za_DatagramKind_DATAGRAM_KIND_ACK,
                                          .seq = datagrams[i].seq };
            if (datagram_to[i] == 1 && !waits) {
                send_datagram(1, &ack);
            }
        }
        for (uint32_t i = 0; i < connect_count && waits; i++) {
            asked = asked || strcmp(connects[i], "m2:1") == 0;
        }
    }
    cr_assert(asked, "no connection in the second half of a round");
    stop();
    with_datagrams = false;
}

/** Probes within 30 s while member 2 is silent and helper 1 answers pings and, or not, requests. */
static uint64_t probes_in_30_s(bool nacks)
{
    start();
    peer(1);
    peer(2);
    uint64_t end_ms = now_ms + 30000;
    while (now_ms < end_ms) {
        forget();
        run(10);
        for (uint32_t i = 0; i < datagram_count; i++) {
            za_MembershipDatagram answer = { .seq = datagrams[i].seq };
            bool ping = datagrams[i].kind == za_DatagramKind_DATAGRAM_KIND_PING;
            bool ask = datagrams[i].kind == za_DatagramKind_DATAGRAM_KIND_PING_REQ;
            answer.kind =
                ping ? za_DatagramKind_DATAGRAM_KIND_ACK : za_DatagramKind_DATAGRAM_KIND_NACK;
            if (datagram_to[i] == 1 && (ping || (ask && nacks))) {
                send_datagram(1, &answer);
            }
        }
    }
    za_cluster_counters_t counters = { 0 };
    za_membership_counters(self, &counters);
    stop();
    return counters.probe_failures;
}

// Lifeguard: who gets no nack either is perhaps deaf itself, and takes its time.
Test(membership_parts, silence_of_the_helpers_slows_us_down)
{
    uint64_t with_nacks = probes_in_30_s(true);
    uint64_t without = probes_in_30_s(false);
    cr_assert(without < with_nacks, "%" PRIu64 " failures without nacks, %" PRIu64 " with", without,
              with_nacks);
}

/* ---- suspicion ------------------------------------------------------------------------------- */

static uint64_t time_to_unreachable(uint32_t suspecters)
{
    start();
    for (uint64_t uid = 1; uid <= 8; uid++) {
        peer(uid);
    }
    za_MemberRecord suspect = numbered(8);
    suspect.rank = za_MemberRank_MEMBER_RANK_SUSPECT;
    for (uint32_t i = 0; i < suspecters; i++) {
        add_evidence(suspect.suspecters, &suspect.suspecters_count, i + 1);
    }
    uint64_t from_ms = now_ms;
    tell(1, suspect);
    cr_assert(state(8) == ZA_MEMBER_SUSPECT, "no suspect");
    while (state(8) == ZA_MEMBER_SUSPECT && now_ms < from_ms + 60000) {
        run_answered(10); // so that our health and the count of members stay as they are
    }
    uint64_t elapsed = now_ms - from_ms;
    cr_assert(state(8) == ZA_MEMBER_UNREACHABLE, "%s", za_member_state_name(state(8)));
    stop();
    return elapsed;
}

Test(membership_parts, confirmations_shorten_a_suspicion)
{
    uint64_t alone = time_to_unreachable(1);
    uint64_t two = time_to_unreachable(2);
    uint64_t four = time_to_unreachable(4);
    // max = 6 x min = 12 s; one confirmation of three: max - (max - min) ln 2 / ln 4 = 7 s.
    cr_assert(alone >= 12000 && alone <= 12020, "%" PRIu64, alone);
    cr_assert(two >= 7000 && two <= 7020, "%" PRIu64, two);
    cr_assert(four >= 2000 && four <= 2020, "%" PRIu64, four);
}

// What simulations compare with: the same time for any number of members that agree.
Test(membership_parts, plain_swim_waits_for_nobody_to_agree)
{
    with_plain_swim = true;
    uint64_t alone = time_to_unreachable(1);
    with_plain_swim = false;
    cr_assert(alone >= 2000 && alone <= 2020, "%" PRIu64, alone);
}

/** 1 tells that it and 3 suspect 2, and then we stall. */
static za_MemberRecord stall_with_a_suspect(void)
{
    start();
    peer(1);
    peer(2);
    za_MemberRecord suspect = numbered(2);
    suspect.rank = za_MemberRank_MEMBER_RANK_SUSPECT;
    add_evidence(suspect.suspecters, &suspect.suspecters_count, 1);
    add_evidence(suspect.suspecters, &suspect.suspecters_count, 3);
    tell(1, suspect);
    now_ms += 20000;
    return suspect;
}

Test(membership_parts, a_stall_moves_the_suspicion)
{
    stall_with_a_suspect();
    step((za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
    cr_assert(state(2) == ZA_MEMBER_SUSPECT, "blamed for our own stall: %s",
              za_member_state_name(state(2)));
    run(3000);
    cr_assert(state(2) == ZA_MEMBER_UNREACHABLE, "forgotten");
    stop();
}

// What came in a stall is taken before the tick that was due: each of it tells of the same stall.
Test(membership_parts, a_stall_moves_the_suspicion_once)
{
    za_MemberRecord suspect = stall_with_a_suspect();
    for (int i = 0; i < 20; i++) {
        tell(1, suspect);
    }
    run(3000);
    cr_assert(state(2) == ZA_MEMBER_UNREACHABLE, "%s", za_member_state_name(state(2)));
    stop();
}

/** Stalls of ours, more of them than rounds of probes. */
static void stall_again_and_again(uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        run(T / 2);
        uint64_t due_ms = za_membership_deadline_ms(self);
        now_ms = (due_ms > now_ms ? due_ms : now_ms) + T / 3;
        step((za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
    }
}

// A machine that is busy for long must not be the reason why nobody is missed.
Test(membership_parts, who_is_gone_is_missed_by_one_that_stalls_all_the_time)
{
    start();
    peer(1);
    stall_again_and_again(60); // with a health that lets a round last nine intervals
    cr_assert(state(1) != ZA_MEMBER_UP, "nobody missed it");
    stop();
}

// The owner refuted the first doubt, which was not heard of here, and is doubted again: it has all of
// the time of a new suspicion to refute that one, too.
Test(membership_parts, a_doubt_of_a_later_incarnation_begins_anew)
{
    start();
    for (uint64_t uid = 1; uid <= 8; uid++) {
        peer(uid);
    }
    za_MemberRecord suspect = numbered(8);
    suspect.rank = za_MemberRank_MEMBER_RANK_SUSPECT;
    for (uint64_t uid = 1; uid <= 4; uid++) {
        add_evidence(suspect.suspecters, &suspect.suspecters_count, uid);
    }
    tell(1, suspect); // confirmed by so many: 2 s
    run_answered(1900);
    suspect.inc = 2;
    tell(1, suspect);
    run_answered(1900);
    cr_assert(state(8) == ZA_MEMBER_SUSPECT, "%s: the first doubt's time is not the second's",
              za_member_state_name(state(8)));
    tell(2, suspect); // of the same incarnation: evidence, and no more time
    run_answered(200);
    cr_assert(state(8) == ZA_MEMBER_UNREACHABLE, "%s", za_member_state_name(state(8)));
    stop();
}

Test(membership_parts, a_broken_link_makes_its_member_the_next_to_be_probed)
{
    with_datagrams = true;
    for (uint64_t gone = 1; gone <= 8; gone++) {
        start();
        for (uint64_t uid = 1; uid <= 8; uid++) {
            peer(uid);
        }
        run_answered(T);
        step((za_cluster_event_t){ .type = ZA_CLUSTER_LINK_DOWN, .uid = gone, .err = ZA_ECLOSED });
        forget();
        for (uint64_t end_ms = now_ms + 2 * T; now_ms < end_ms && datagram_count == 0;) {
            run(1);
        }
        cr_expect(find_datagram(gone, za_DatagramKind_DATAGRAM_KIND_PING) != NULL, "%d", (int)gone);
        stop();
    }
    with_datagrams = false;
}

Test(membership_parts, one_refused_connection_alone_is_no_proof)
{
    start();
    peer(1);
    peer(2);
    peer(3);
    step((za_cluster_event_t){ .type = ZA_CLUSTER_LINK_DOWN, .uid = 3, .err = ZA_ECLOSED });
    step((za_cluster_event_t){
        .type = ZA_CLUSTER_CONNECT_FAILED, .address = "m3:1", .err = ZA_EREFUSED });
    cr_assert(state(3) == ZA_MEMBER_SUSPECT, "no suspect");
    run(2 * T);
    cr_assert(state(3) == ZA_MEMBER_SUSPECT, "downed by one opinion");
    za_MemberRecord confirmed = numbered(3);
    confirmed.rank = za_MemberRank_MEMBER_RANK_SUSPECT;
    confirmed.refused_count = 1;
    confirmed.refused[0] = 1;
    tell(1, confirmed);
    run(10);
    cr_assert(state(3) == ZA_MEMBER_DOWN, "not downed by two");
    stop();
}

Test(membership_parts, a_refused_connection_of_a_linked_member_means_nothing)
{
    start();
    peer(1);
    step((za_cluster_event_t){
        .type = ZA_CLUSTER_CONNECT_FAILED, .address = "m1:1", .err = ZA_EREFUSED });
    cr_assert(state(1) == ZA_MEMBER_UP, "suspected");
    stop();
}

/* ---- names ----------------------------------------------------------------------------------- */

static void ask_to_join(uint64_t uid, const char *name, const char *address)
{
    step((za_cluster_event_t){
        .type = ZA_CLUSTER_LINK_UP, .uid = uid, .name = name, .address = address });
    za_MembershipFrame frame = { .which_body = za_MembershipFrame_join_tag };
    frame.body.join.has_me = true;
    frame.body.join.me = record(uid, name, address);
    frame.body.join.me.joined = 0;
    send_frame(uid, &frame);
}

Test(membership_parts, a_join_under_the_same_name_and_address_replaces_at_once)
{
    start();
    tell(5, numbered(1));
    forget();
    ask_to_join(2, "m1", "m1:1");
    cr_assert(state(1) == ZA_MEMBER_DOWN, "the old uid lives");
    const za_MembershipFrame *ack = find_frame(2, za_MembershipFrame_join_ack_tag);
    cr_assert(ack != NULL && ack->body.join_ack.code == za_JoinCode_JOIN_CODE_OK, "not accepted");
    cr_assert(ack->body.join_ack.joined > 1, "its time of join is not later than the old one's");
    stop();
}

Test(membership_parts, a_join_under_another_name_than_the_certificate_is_bad)
{
    start();
    link_up(2);
    za_MembershipFrame frame = { .which_body = za_MembershipFrame_join_tag };
    frame.body.join.has_me = true;
    frame.body.join.me = record(2, "somebody", "m2:1");
    forget();
    send_frame(2, &frame);
    za_cluster_counters_t counters = { 0 };
    za_membership_counters(self, &counters);
    cr_assert(counters.frames_bad == 1 && frame_count == 0, "it was heard");
    stop();
}

// A process that founded a cluster anew has a low logical time and lives; its own word ends the other.
Test(membership_parts, of_two_processes_at_one_address_the_linked_one_lives)
{
    start();
    tell(5, numbered(1));
    now_ms += 6 * T;
    za_MemberRecord other = record(2, "m1", "m1:1");
    other.joined = 0;
    tell(5, other);
    cr_assert(state(1) == ZA_MEMBER_UP && state(2) == ZA_MEMBER_UP, "news alone decides nothing");
    link_up(2);
    cr_assert(state(1) == ZA_MEMBER_DOWN && state(2) == ZA_MEMBER_UP, "who answers is there");
    stop();
}

// Segments were lost in the handshake, and its process was started anew meanwhile.
Test(membership_parts, a_link_that_took_its_time_does_not_end_a_process_that_has_just_come_up)
{
    start();
    tell(5, record(2, "m1", "m1:1"));
    tell(5, numbered(1));
    link_up(2);
    cr_assert(state(1) == ZA_MEMBER_UP && state(2) == ZA_MEMBER_UP, "it says nothing of the other");
    stop();
}

Test(membership_parts, of_two_live_members_with_one_name_the_later_yields)
{
    start();
    peer(1);
    za_MemberRecord other = record(2, "m1", "elsewhere:1");
    other.joined = 2;
    tell(1, other);
    link_up(2);
    run_answered(5 * T);
    cr_assert(state(2) == ZA_MEMBER_UP, "before it could settle");
    run_answered(4 * T);
    cr_assert(state(2) == ZA_MEMBER_DOWN && state(1) == ZA_MEMBER_UP, "1 %s, 2 %s",
              za_member_state_name(state(1)), za_member_state_name(state(2)));
    stop();
}

// The end of the first was not heard of here: that it had joined first says nothing of who is there.
Test(membership_parts, of_two_at_one_address_the_one_that_joined_first_does_not_live_on_for_it)
{
    with_datagrams = true;
    start();
    tell(5, numbered(1));
    run_answered(T);
    za_MemberRecord next = record(2, "m1", "m1:1");
    next.joined = 9;
    tell(5, next);
    run_answered(12 * T);
    cr_assert(state(1) == ZA_MEMBER_UP && state(2) == ZA_MEMBER_UP, "1 %s, 2 %s",
              za_member_state_name(state(1)), za_member_state_name(state(2)));
    link_up(2);
    run_answered(2 * T);
    cr_assert(state(2) == ZA_MEMBER_UP && state(1) == ZA_MEMBER_DOWN, "1 %s, 2 %s",
              za_member_state_name(state(1)), za_member_state_name(state(2)));
    stop();
    with_datagrams = false;
}

// Whoever was away for long tells of one that is gone; it is doubted when it does not answer.
Test(membership_parts, nobody_yields_its_name_to_one_that_is_not_heard)
{
    with_datagrams = true;
    start();
    for (uint64_t uid = 10; uid < 50; uid++) {
        tell(5, numbered(uid)); // so many are probed before it
    }
    peer(2);
    za_MemberRecord gone = record(1, "m2", "elsewhere:1");
    gone.joined = 0;
    tell(5, gone);
    for (int i = 0; i < 100 && state(1) != ZA_MEMBER_DOWN; i++) {
        answer_all_but(1, T);
        cr_assert(state(2) == ZA_MEMBER_UP, "it %s", za_member_state_name(state(2)));
    }
    cr_expect(state(1) == ZA_MEMBER_DOWN, "the other %s", za_member_state_name(state(1)));
    stop();
    with_datagrams = false;
}

Test(membership_parts, a_uid_keeps_its_name)
{
    start();
    tell(5, numbered(1));
    za_MemberRecord renamed = record(1, "other", "m1:1");
    renamed.inc = 2;
    tell(5, renamed);
    za_member_info_t info;
    cr_assert(za_membership_find(self, 1, &info) && strcmp(info.name, "m1") == 0, "renamed");
    stop();
}

// Most of what is told is about members whose texts all know: it goes without them.
Test(membership_parts, a_brief_record_needs_the_texts_that_it_leaves_out)
{
    start();
    peer(1);
    za_MemberRecord brief = { .uid = 1, .inc = 2, .attributes = 1, .leaving = true };
    tell(1, brief);
    za_member_info_t info;
    cr_assert(za_membership_find(self, 1, &info) && info.incarnation == 2, "not taken");
    cr_assert(strcmp(info.name, "m1") == 0 && strcmp(info.address, "m1:1") == 0, "its texts");
    brief.inc = 3;
    brief.attributes = 3; // others than we know
    tell(1, brief);
    cr_assert(za_membership_find(self, 1, &info) && info.incarnation == 2, "taken without texts");
    brief.terminal = za_MemberTerminal_MEMBER_TERMINAL_DOWN;
    tell(1, brief);
    cr_assert(state(1) == ZA_MEMBER_DOWN, "an end needs no texts");
    brief.uid = 9;
    tell(1, brief);
    cr_assert(!za_membership_find(self, 9, &info), "a member without a name");
    stop();
}

Test(membership_parts, attributes_come_with_a_later_incarnation_only)
{
    start();
    peer(1);
    za_MemberRecord news = numbered(1);
    snprintf(news.roles, sizeof news.roles, "db,web");
    news.meta.size = 3;
    memcpy(news.meta.bytes, "a\0b", 3);
    tell(1, news);
    za_member_info_t info;
    cr_assert(za_membership_find(self, 1, &info) && strcmp(info.roles, "") == 0, "without inc + 1");
    uint64_t hash = za_membership_view_hash(self);
    news.inc = news.attributes = 2;
    tell(1, news);
    cr_assert(za_membership_find(self, 1, &info) && strcmp(info.roles, "db,web") == 0, "%s",
              info.roles);
    cr_assert(info.meta_bytes == 3 && memcmp(info.meta, "a\0b", 3) == 0, "its meta");
    cr_assert(za_membership_view_hash(self) != hash, "views with other attributes are other views");
    stop();
}

/* ---- the table ------------------------------------------------------------------------------- */

static void fill(uint64_t first, uint64_t count, za_MemberTerminal terminal, za_MemberRank rank)
{
    static za_MembershipFrame frame;
    for (uint64_t uid = first; uid < first + count;) {
        frame = (za_MembershipFrame){ .which_body = za_MembershipFrame_records_tag };
        for (; uid < first + count && frame.body.records.records_count < 48; uid++) {
            za_MemberRecord made = numbered(uid);
            made.terminal = terminal;
            made.rank = rank;
            frame.body.records.records[frame.body.records.records_count++] = made;
        }
        send_frame(UINT64_MAX - 1, &frame);
        forget();
    }
}

Test(membership_parts, a_full_table_drops_who_left_long_ago_first_then_the_oldest)
{
    with_members = 1024;
    start();
    fill(1, 10, za_MemberTerminal_MEMBER_TERMINAL_DOWN, 0);
    now_ms++;
    fill(100, 1013, za_MemberTerminal_MEMBER_TERMINAL_LEFT, 0);
    cr_assert(count_all() == with_members, "%u records", count_all());
    now_ms += 60000;
    fill(5000, 1000, 0, 0);
    cr_assert(count_all() == with_members, "%u records", count_all());
    cr_assert(state(1) == ZA_MEMBER_DOWN && state(5999) == ZA_MEMBER_UP, "the wrong ones went");
    cr_assert(state(100) == ZA_MEMBER_JOINING && state(1112) == ZA_MEMBER_LEFT, "not the oldest");
    fill(7000, 100, 0, 0);
    cr_assert(count_all() == with_members && state(1) == ZA_MEMBER_JOINING, "beyond the limit");
    cr_assert(state(7022) == ZA_MEMBER_UP && state(7023) == ZA_MEMBER_JOINING,
              "a live member was dropped, or a tombstone kept");
    stop();
    with_members = 0;
}

// Others have not heard of it, and tell of it as of a live one.
Test(membership_parts, a_full_table_keeps_who_has_just_left)
{
    with_members = 1024;
    start();
    fill(1, 1000, za_MemberTerminal_MEMBER_TERMINAL_DOWN, 0);
    now_ms += 60000;
    fill(2000, 23, za_MemberTerminal_MEMBER_TERMINAL_LEFT, 0);
    fill(5000, 100, 0, 0);
    cr_assert(count_all() == with_members, "%u records", count_all());
    cr_expect(state(2000) == ZA_MEMBER_LEFT, "who left was forgotten");
    fill(2000, 23, 0, 0);
    cr_expect(state(2000) == ZA_MEMBER_LEFT && state(2022) == ZA_MEMBER_LEFT, "it is up again");
    stop();
    with_members = 0;
}

// Two full tables have dropped different ones: they must not teach each other those for ever.
Test(membership_parts, a_tombstone_takes_no_other_ones_place)
{
    with_members = 1024;
    start();
    fill(1, 1023, za_MemberTerminal_MEMBER_TERMINAL_DOWN, 0);
    cr_assert(count_all() == with_members, "%u records", count_all());
    now_ms++;
    fill(5000, 10, za_MemberTerminal_MEMBER_TERMINAL_DOWN, 0);
    cr_expect(state(5000) == ZA_MEMBER_JOINING && state(1) == ZA_MEMBER_DOWN, "it took one");
    fill(6000, 1, 0, 0);
    cr_expect(state(6000) == ZA_MEMBER_UP, "a live one has no room");
    stop();
    with_members = 0;
}

// More effects than a step may have: it goes on with CONTINUE, and nothing is said twice or lost.
Test(membership_parts, a_thousand_members_that_go_down_together_take_several_steps)
{
    start();
    fill(1, 1000, 0, za_MemberRank_MEMBER_RANK_UNREACHABLE);
    forget();
    uint32_t most = 0;
    uint32_t downs = 0;
    uint64_t end_ms = now_ms + 60000;
    while (now_ms < end_ms && downs < 1000) {
        now_ms = za_membership_deadline_ms(self);
        forget();
        uint32_t steps = step((za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
        most = steps > most ? steps : most;
        for (uint32_t i = 0; i < member_count; i++) {
            downs += members[i].state == ZA_MEMBER_DOWN;
        }
    }
    cr_assert(downs == 1000, "%u", downs);
    cr_assert(most > 1, "it fitted into one step: the test tests nothing");
    stop();
}

Test(membership_parts, tombstones_go_after_a_day)
{
    start();
    fill(1, 2, za_MemberTerminal_MEMBER_TERMINAL_LEFT, 0);
    run(UINT64_C(23) * 3600 * 1000);
    cr_assert(count_all() == 3, "too early");
    run(UINT64_C(2) * 3600 * 1000);
    cr_assert(count_all() == 1, "%u records", count_all());
    stop();
}

Test(membership_parts, members_come_sorted_by_name)
{
    start();
    fill(1, 50, 0, 0);
    cr_assert(count_all() == 51 && za_membership_up_count(self) == 51, "%u", count_all());
    uint64_t uids[8];
    za_rng_t rng;
    za_rng_init(&rng, 1);
    cr_assert(za_membership_sample_linked(self, &rng, uids, 8) == 0, "a link to nobody");
    for (uint64_t uid = 1; uid <= 20; uid++) {
        link_up(uid);
    }
    cr_assert(za_membership_sample_linked(self, &rng, uids, 8) == 8, "fewer than there are");
    for (int i = 0; i < 8; i++) {
        cr_assert(za_membership_is_linked(self, uids[i]), "not linked");
        for (int j = 0; j < i; j++) {
            cr_assert(uids[i] != uids[j], "one twice");
        }
    }
    stop();
}

/* ---- sync ------------------------------------------------------------------------------------ */

Test(membership_parts, a_digest_covers_all_uids_in_pages)
{
    start();
    fill(1, 600, 0, 0);
    forget();
    link_up(UINT64_MAX); // the lower uid sends its digest
    uint64_t low = 0;
    uint32_t briefs = 0;
    uint32_t pages = 0;
    for (uint32_t i = 0; i < frame_count; i++) {
        const za_MembershipDigest *digest = &frames[i].body.digest;
        if (frames[i].which_body == za_MembershipFrame_digest_tag) {
            cr_assert(digest->low == low, "a gap or an overlap");
            low = digest->high + 1;
            briefs += digest->briefs_count;
            pages++;
        }
    }
    cr_assert(pages == 3 && briefs == 601 && low == 0, "%u pages, %u briefs", pages, briefs);
    stop();
}

Test(membership_parts, a_digest_is_answered_with_the_difference)
{
    start();
    link_up(1);
    fill(10, 4, 0, 0); // 10..13
    forget();
    static za_MembershipFrame frame;
    frame = (za_MembershipFrame){ .which_body = za_MembershipFrame_digest_tag };
    za_MembershipDigest *digest = &frame.body.digest;
    digest->low = 10;
    digest->high = 20;
    digest->briefs[digest->briefs_count++] = (za_MemberBrief){ .uid = 10, .inc = 1 }; // equal
    digest->briefs[digest->briefs_count++] = (za_MemberBrief){ .uid = 11, .inc = 2 }; // newer
    digest->briefs[digest->briefs_count++] = (za_MemberBrief){ .uid = 12, .inc = 0 }; // older
    digest->briefs[digest->briefs_count++] = (za_MemberBrief){ .uid = 14, .inc = 1 }; // unknown
    send_frame(1, &frame);
    const za_MembershipFrame *answer = find_frame(1, za_MembershipFrame_records_tag);
    cr_assert(answer != NULL, "no answer");
    const za_MembershipRecords *records = &answer->body.records;
    cr_assert(records->want_count == 2 && records->want[0] == 11 && records->want[1] == 14, "want");
    cr_assert(records->records_count == 2 && records->records[0].uid == 12 &&
                  records->records[1].uid == 13,
              "records");
    // Briefs out of order or of their range are no digest.
    digest->high = 11;
    forget();
    send_frame(1, &frame);
    za_cluster_counters_t counters = { 0 };
    za_membership_counters(self, &counters);
    cr_assert(frame_count == 0 && counters.frames_bad == 1, "a bad digest was answered");
    stop();
}

Test(membership_parts, wanted_records_are_sent)
{
    start();
    link_up(1);
    fill(10, 2, 0, 0);
    forget();
    static za_MembershipFrame frame;
    frame = (za_MembershipFrame){ .which_body = za_MembershipFrame_records_tag };
    frame.body.records.want_count = 2;
    frame.body.records.want[0] = 11;
    frame.body.records.want[1] = 999;
    send_frame(1, &frame);
    const za_MembershipFrame *answer = find_frame(1, za_MembershipFrame_records_tag);
    cr_assert(answer != NULL && answer->body.records.records_count == 1 &&
                  answer->body.records.records[0].uid == 11,
              "not sent");
    stop();
}

// A view that differs while all is quiet was missed by gossip: the ping's hash tells.
Test(membership_parts, another_view_hash_triggers_a_sync)
{
    start();
    peer(1);
    run_answered(2 * T + 100);
    forget();
    za_MembershipDatagram ping = { .kind = za_DatagramKind_DATAGRAM_KIND_PING,
                                   .view_hash = za_membership_view_hash(self) };
    send_datagram(1, &ping);
    cr_assert(find_frame(1, za_MembershipFrame_digest_tag) == NULL, "a sync without need");
    ping.view_hash++;
    send_datagram(1, &ping);
    cr_assert(find_frame(1, za_MembershipFrame_digest_tag) != NULL, "no sync");
    forget();
    send_datagram(1, &ping);
    cr_assert(frame_count == 0, "a sync for every ping");
    stop();
}

// Above the full mesh most of those that ping have no link for a digest.
Test(membership_parts, another_view_hash_of_one_without_a_link_makes_it_ask_a_neighbour)
{
    with_datagrams = true;
    start();
    peer(1);
    tell(1, numbered(2));
    run_answered(2 * T + 100);
    forget();
    za_MembershipDatagram ping = { .kind = za_DatagramKind_DATAGRAM_KIND_PING,
                                   .view_hash = za_membership_view_hash(self) + 1 };
    send_datagram(2, &ping);
    const za_MembershipFrame *frame = find_frame(1, za_MembershipFrame_digest_tag);
    cr_assert(frame != NULL && frame_count == 1, "asks nobody");
    cr_assert(frame->body.digest.view_hash == za_membership_view_hash(self), "more than a hash");
    with_datagrams = false;
    stop();
}

// Of ten thousand a digest is 200 KB: too much for each link that comes on demand.
Test(membership_parts, above_the_mesh_a_new_link_begins_with_a_record_and_a_hash)
{
    enum { MEMBERS = 70 };
    with_datagrams = true;
    start();
    uint64_t higher = za_membership_uid(self) + 5;
    peer(1);
    for (uint64_t uid = 2; uid <= MEMBERS; uid++) {
        tell(1, numbered(uid));
    }
    tell(1, numbered(higher));
    forget();
    link_up(higher);
    cr_assert(frame_count == 1, "%u frames while views change", frame_count);
    cr_assert(frames[0].which_body == za_MembershipFrame_records_tag, "not its record");
    cr_assert(frames[0].body.records.records_count == 1 &&
                  frames[0].body.records.records[0].uid == za_membership_uid(self),
              "not its own record alone");
    step((za_cluster_event_t){ .type = ZA_CLUSTER_LINK_DOWN, .uid = higher });
    run_answered(2 * T + 100);
    forget();
    link_up(higher);
    const za_MembershipFrame *frame = find_frame(higher, za_MembershipFrame_digest_tag);
    cr_assert(frame != NULL && frame->body.digest.briefs_count == 0, "no hash, or all of it");
    cr_assert(frame->body.digest.view_hash == za_membership_view_hash(self), "another hash");
    with_datagrams = false;
    stop();
}

Test(membership_parts, syncs_at_its_interval)
{
    start();
    peer(1);
    forget();
    run_answered(11000);
    cr_assert(find_frame(1, za_MembershipFrame_digest_tag) != NULL, "no digest");
    stop();
}

/* ---- links ----------------------------------------------------------------------------------- */

static bool connected_to(const char *address)
{
    for (uint32_t i = 0; i < connect_count && i < 64; i++) {
        if (strcmp(connects[i], address) == 0) {
            return true;
        }
    }
    return false;
}

Test(membership_parts, the_lower_uid_connects_at_once_and_the_higher_later)
{
    start();
    uint64_t own = za_membership_uid(self);
    tell(5, record(own + 1, "higher", "higher:1"));
    tell(5, record(own - 1, "lower", "lower:1"));
    run(1);
    cr_assert(connected_to("higher:1") && !connected_to("lower:1"), "at once");
    run(2 * T);
    cr_assert(connected_to("lower:1"), "never");
    stop();
}

// A lower one has many to connect to where there are many: two handshakes for one link help nobody.
Test(membership_parts, among_many_the_higher_uid_waits_longer)
{
    start();
    uint64_t own = za_membership_uid(self);
    for (uint64_t i = 1; i <= 20; i++) {
        tell(5, numbered(own + i));
    }
    tell(5, record(own - 1, "lower", "lower:1"));
    mesh_only = true; // a probe may want a link at any time
    run(2 * T);
    cr_assert(!connected_to("lower:1"), "early");
    connect_count = 0; // those to the higher, again and again
    run(10 * T);
    cr_assert(connected_to("lower:1"), "never");
    mesh_only = false;
    stop();
}

static uint64_t aparts(void)
{
    za_cluster_counters_t counters;
    za_membership_counters(self, &counters);
    return counters.aparts;
}

Test(membership_parts, a_mesh_of_many_has_time_before_its_members_are_apart)
{
    with_datagrams = true;
    start();
    uint64_t own = za_membership_uid(self);
    for (uint64_t i = 1; i <= 31; i++) {
        tell(5, numbered(own + i));
    }
    run_answered(25 * T);
    cr_expect(aparts() == 0, "%u early", (unsigned)aparts());
    run_answered(10 * T);
    cr_expect(aparts() == 31, "%u", (unsigned)aparts());
    stop();
    with_datagrams = false;
}

static uint32_t datagrams_to(uint64_t uid)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < datagram_count; i++) {
        count += datagram_to[i] == uid;
    }
    return count;
}

Test(membership_parts, who_took_a_member_in_tells_all_its_links_at_once)
{
    start();
    for (uint64_t uid = 1; uid <= 8; uid++) {
        peer(uid);
    }
    run_answered(10000); // nobody has news
    forget();
    link_up(9);
    tell(9, numbered(9));
    for (uint64_t uid = 1; uid <= 8; uid++) {
        cr_expect(datagrams_to(uid) == 1, "%u to %u", datagrams_to(uid), (unsigned)uid);
    }
    cr_expect(datagrams_to(9) == 0, "it knows itself");
    forget();
    tell(1, numbered(10)); // one that another has taken in
    cr_expect(datagram_count == 0, "gossip's work");
    stop();
}

Test(membership_parts, reconnects_to_the_down_and_to_the_seeds)
{
    const char *seeds[] = { "seed:1", "self:1" };
    start_with(seeds, 2);
    run(5000);
    cr_assert(state(za_membership_uid(self)) == ZA_MEMBER_UP, "a seed may found a cluster");
    za_MemberRecord down = numbered(1);
    down.terminal = za_MemberTerminal_MEMBER_TERMINAL_DOWN;
    tell(5, down);
    forget();
    run(31000);
    cr_assert(connected_to("m1:1") && connected_to("seed:1"), "not tried");
    cr_assert(!connected_to("self:1"), "connected to itself");
    // Somebody else lives there now.
    tell(5, record(2, "heir", "m1:1"));
    link_up(2);
    forget();
    run_answered(31000);
    cr_assert(!connected_to("m1:1"), "disturbs a live member");
    stop();
}

Test(membership_parts, a_link_to_itself_and_one_too_many_are_closed)
{
    start();
    step((za_cluster_event_t){ .type = ZA_CLUSTER_LINK_UP, .uid = za_membership_uid(self) });
    cr_assert(closed_count == 1 && closed[0] == za_membership_uid(self), "itself");
    for (uint64_t uid = 1; uid <= ZA_PEERS_MAX; uid++) {
        step((za_cluster_event_t){ .type = ZA_CLUSTER_LINK_UP, .uid = uid });
    }
    forget();
    step((za_cluster_event_t){ .type = ZA_CLUSTER_LINK_UP, .uid = 9999 });
    cr_assert(closed_count == 1 && closed[0] == 9999, "one too many");
    step((za_cluster_event_t){ .type = ZA_CLUSTER_LINK_DOWN, .uid = 9999, .err = ZA_ECLOSED });
    stop();
}

// Where a thousand join at once, each link that a seed keeps for longer keeps another joiner waiting.
Test(membership_parts, gives_links_back_the_faster_the_more_are_too_many)
{
    enum { LINKS = 200, KEPT = 96 }; // ZA_MEMBER_SPARSE_LINKS
    start();
    for (uint64_t uid = 1; uid <= LINKS; uid++) {
        peer(uid);
    }
    forget();
    run_answered(20000); // 40 rounds
    cr_assert(closed_count == LINKS - KEPT, "%u links are closed, not the %d too many",
              closed_count, LINKS - KEPT);
    stop();
}

Test(membership_parts, links_that_carry_messages_are_not_given_back)
{
    enum { LINKS = 200, USED = 40 };
    start();
    for (uint64_t uid = 1; uid <= LINKS; uid++) {
        peer(uid);
    }
    forget();
    for (int round = 0; round < 4; round++) {
        for (uint64_t uid = 1; uid <= USED; uid++) {
            step((za_cluster_event_t){ .type = ZA_CLUSTER_WANT_LINK, .uid = uid });
        }
        run_answered(5000);
    }
    cr_assert(closed_count > 0, "nothing is given back");
    for (uint32_t i = 0; i < closed_count; i++) {
        cr_assert(closed[i] > USED, "the link to %" PRIu64 " was in use", closed[i]);
    }
    stop();
}

// Whoever talks to more members than it may have links talks to one after the other.
Test(membership_parts, links_that_rest_make_room_for_those_that_come)
{
    enum { FULL = ZA_PEERS_MAX, NEWER = 20 };
    start();
    for (uint64_t uid = 1; uid <= FULL; uid++) {
        step((za_cluster_event_t){ .type = ZA_CLUSTER_LINK_UP, .uid = uid });
    }
    run(3000);
    // The second half of them carries messages still.
    for (uint64_t uid = FULL / 2; uid <= FULL; uid++) {
        tell(uid, numbered(uid));
        step((za_cluster_event_t){ .type = ZA_CLUSTER_WANT_LINK, .uid = uid });
    }
    forget();
    for (uint64_t uid = FULL + 1; uid <= FULL + NEWER; uid++) {
        step((za_cluster_event_t){ .type = ZA_CLUSTER_LINK_UP, .uid = uid });
    }
    cr_assert(closed_count == NEWER, "%u links made room", closed_count);
    for (uint32_t i = 0; i < closed_count; i++) {
        cr_assert(closed[i] < FULL / 2, "the link to %" PRIu64 " was closed", closed[i]);
    }
    stop();
}

Test(membership_parts, whoever_is_down_is_told_so_but_not_each_time)
{
    start();
    peer(1);
    za_MemberRecord down = numbered(1);
    down.terminal = za_MemberTerminal_MEMBER_TERMINAL_DOWN;
    forget();
    tell(5, down);
    cr_assert(find_frame(1, za_MembershipFrame_down_tag) != NULL && closed_count == 1, "not told");
    for (int i = 0; i < 5; i++) {
        forget();
        link_up(1);
        send_datagram(1, &(za_MembershipDatagram){ .kind = za_DatagramKind_DATAGRAM_KIND_PING });
        cr_assert(find_frame(1, za_MembershipFrame_down_tag) == NULL, "told again at once");
        cr_assert(closed_count == 1, "not closed");
    }
    now_ms += T / 8;
    run(T);
    forget();
    link_up(1);
    send_datagram(1, &(za_MembershipDatagram){ .kind = za_DatagramKind_DATAGRAM_KIND_PING });
    cr_assert(find_frame(1, za_MembershipFrame_down_tag) != NULL, "never told again");
    stop();
}

static bool answers_a_ping(uint64_t from)
{
    forget();
    send_datagram(from, &(za_MembershipDatagram){ .kind = za_DatagramKind_DATAGRAM_KIND_PING,
                                                  .seq = 7,
                                                  .target = za_membership_uid(self) });
    return find_datagram(from, za_DatagramKind_DATAGRAM_KIND_ACK) != NULL;
}

static void acknowledge_leave(uint64_t from, za_MemberTerminal terminal)
{
    za_MembershipFrame ack = { .which_body = za_MembershipFrame_leave_ack_tag };
    ack.body.leave_ack.terminal = terminal;
    send_frame(from, &ack);
}

// Whoever probes it before gossip has come meets a port that refuses, and doubts one that has left.
Test(membership_parts, above_the_mesh_who_leaves_answers_until_the_others_have_heard)
{
    enum { MEMBERS = 70 };
    with_datagrams = true;
    start();
    peer(1);
    for (uint64_t uid = 2; uid <= MEMBERS; uid++) {
        tell(1, numbered(uid));
    }
    step((za_cluster_event_t){ .type = ZA_CLUSTER_LEAVE });
    acknowledge_leave(1, za_MemberTerminal_MEMBER_TERMINAL_NONE);
    acknowledge_leave(1, za_MemberTerminal_MEMBER_TERMINAL_LEFT);
    cr_assert(answers_a_ping(2), "silent at once");
    forget();
    run(590); // (ceil(ln 71) + 1) rounds of gossip
    for (uint32_t i = 0; i < datagram_count; i++) {
        cr_assert(datagrams[i].kind != za_DatagramKind_DATAGRAM_KIND_PING,
                  "probes those that know");
    }
    cr_assert(answers_a_ping(2), "silent before all have heard");
    run(20);
    cr_assert(!answers_a_ping(2), "never ends");
    with_datagrams = false;
    stop();
}

/* ---- joining and rebirth --------------------------------------------------------------------- */

Test(membership_parts, a_joiner_hears_only_the_one_it_asked)
{
    const char *seeds[] = { "seed:1" };
    start_with(seeds, 1);
    link_up(1);
    link_up(2);
    cr_assert(find_frame(1, za_MembershipFrame_join_tag) != NULL, "asks the first");
    cr_assert(find_frame(2, za_MembershipFrame_join_tag) == NULL, "asks two at once");
    tell(2, numbered(2));
    cr_assert(state(2) == ZA_MEMBER_JOINING, "heard the other");
    tell(1, numbered(1));
    cr_assert(state(1) == ZA_MEMBER_UP, "did not hear it");
    za_MembershipFrame ack = { .which_body = za_MembershipFrame_join_ack_tag };
    ack.body.join_ack.joined = 8;
    send_frame(2, &ack);
    cr_assert(state(za_membership_uid(self)) == ZA_MEMBER_JOINING, "accepted by a stranger");
    send_frame(1, &ack);
    cr_assert(state(za_membership_uid(self)) == ZA_MEMBER_UP, "not up");
    stop();
}

static uint32_t refused_rounds(uint64_t for_ms)
{
    uint64_t end_ms = now_ms + for_ms;
    uint32_t rounds = 0;
    while (now_ms < end_ms) {
        forget();
        run(10);
        rounds += connect_count > 0;
        for (uint32_t i = connect_count; i > 0; i--) {
            step((za_cluster_event_t){
                .type = ZA_CLUSTER_CONNECT_FAILED, .address = "seed:1", .err = ZA_EREFUSED });
        }
    }
    return rounds;
}

// All of a cluster are started at once, and some listen a moment later than others.
Test(membership_parts, a_seed_that_refuses_is_tried_again_soon_and_then_ever_later)
{
    const char *seeds[] = { "seed:1" };
    start_with(seeds, 1);
    step((za_cluster_event_t){
        .type = ZA_CLUSTER_CONNECT_FAILED, .address = "seed:1", .err = ZA_EREFUSED });
    uint32_t soon = refused_rounds(T);
    cr_expect(soon >= 3 && soon <= 5, "%u in a probe interval", soon);
    refused_rounds(4 * T);
    uint32_t late = refused_rounds(20 * T);
    cr_expect(late >= 9 && late <= 11, "%u in 20", late);
    stop();
}

// Where thousands start at once, three handshakes for one join are two that others wait for.
Test(membership_parts, a_joiner_that_was_turned_away_asks_one_seed_at_a_time)
{
    const char *seeds[] = { "seed:1", "seed:2", "seed:3" };
    start_with(seeds, 3);
    cr_assert(connect_count == 3, "it begins with %u", connect_count);
    step((za_cluster_event_t){
        .type = ZA_CLUSTER_CONNECT_FAILED, .address = "seed:1", .err = ZA_ECLOSED });
    forget();
    run(40 * T); // each try takes two to four probe intervals
    cr_assert(connect_count >= 10 && connect_count <= 20, "%u tries", connect_count);
    cr_assert(connected_to("seed:1") && connected_to("seed:2") && connected_to("seed:3"),
              "one is never tried");
    link_up(1);
    cr_assert(find_frame(1, za_MembershipFrame_join_tag) != NULL, "does not ask");
    forget();
    run(5 * T);
    cr_assert(connect_count == 0, "asks others while one has its Join");
    run(4 * T);
    cr_assert(connect_count > 0, "waits for ever");
    stop();
}

Test(membership_parts, a_joiner_asks_another_when_the_first_is_silent)
{
    const char *seeds[] = { "seed:1" };
    start_with(seeds, 1);
    link_up(1);
    link_up(2);
    run(6 * T + 10);
    cr_assert(find_frame(2, za_MembershipFrame_join_tag) != NULL, "stuck");
    stop();
}

Test(membership_parts, a_refused_identity_is_said)
{
    const char *seeds[] = { "seed:1" };
    start_with(seeds, 1);
    step((za_cluster_event_t){
        .type = ZA_CLUSTER_CONNECT_FAILED, .address = "seed:1", .err = ZA_EAUTH });
    cr_assert(refused == 1, "not said");
    step((za_cluster_event_t){
        .type = ZA_CLUSTER_CONNECT_FAILED, .address = "seed:1", .err = ZA_EREFUSED });
    cr_assert(refused == 1, "a seed that is not there yet is no refusal");
    stop();
}

Test(membership_parts, a_reborn_node_asks_the_one_that_told_it_first)
{
    start();
    peer(1);
    peer(2);
    uint64_t was = za_membership_uid(self);
    za_MembershipFrame down = { .which_body = za_MembershipFrame_down_tag };
    down.body.down.uid = was + 1;
    send_frame(2, &down);
    cr_assert(reborn == 0, "told for another uid");
    down.body.down.uid = was;
    forget();
    send_frame(2, &down);
    cr_assert(reborn == 1 && za_membership_uid(self) != was, "not reborn");
    cr_assert(connect_count == 1 && connected_to("m2:1"), "asks another");
    cr_assert(state(was) == ZA_MEMBER_DOWN, "its old uid is not down");
    cr_assert(!za_membership_is_linked(self, 1) && !za_membership_is_linked(self, 2), "links");
    forget();
    link_up(1);
    cr_assert(find_frame(1, za_MembershipFrame_join_tag) == NULL, "joins its old side");
    link_up(2);
    cr_assert(find_frame(2, za_MembershipFrame_join_tag) != NULL, "does not join");
    stop();
}

// No incarnation is left to refute a lie with the last one.
Test(membership_parts, a_lie_about_our_incarnation_does_not_wrap_it)
{
    start();
    peer(1);
    za_MemberRecord lie = record(za_membership_uid(self), "self", "self:1");
    lie.inc = ZA_MEMBER_LOGICAL_MAX;
    lie.rank = za_MemberRank_MEMBER_RANK_SUSPECT;
    tell(1, lie);
    cr_assert(reborn == 1, "not reborn");
    stop();
}

Test(membership_parts, news_is_gossiped_often_enough_and_no_more)
{
    start();
    for (uint64_t uid = 1; uid <= 4; uid++) {
        peer(uid);
    }
    uint64_t gossips = 0;
    uint64_t carried = 0;
    za_MemberRecord left = numbered(9);
    left.terminal = za_MemberTerminal_MEMBER_TERMINAL_LEFT;
    tell(1, left);
    for (int i = 0; i < 300; i++) {
        forget();
        run(10);
        for (uint32_t j = 0; j < datagram_count; j++) {
            gossips += datagrams[j].kind == za_DatagramKind_DATAGRAM_KIND_GOSSIP;
            for (pb_size_t k = 0; k < datagrams[j].records_count; k++) {
                carried += datagrams[j].records[k].uid == 9;
            }
        }
    }
    cr_assert(carried == 2 + 12, "sent %" PRIu64 " times", carried); // ceil(ln 5) + 12
    cr_assert(gossips > 0, "not by gossip");
    stop();
}

// Of a flood each update has not the room that one has alone: who hears it again says it less often.
Test(membership_parts, of_many_updates_each_one_heard_again_is_said_less_often)
{
    enum { UPDATES = 100, FIRST = 1000 };
    start();
    for (uint64_t uid = 1; uid <= 4; uid++) {
        peer(uid);
    }
    run_answered(5000);                          // until those are old news
    for (uint64_t from = 1; from <= 4; from++) { // thrice again
        for (uint64_t uid = FIRST; uid < FIRST + UPDATES; uid++) {
            za_MemberRecord left = numbered(uid);
            left.terminal = za_MemberTerminal_MEMBER_TERMINAL_LEFT;
            tell(from, left);
        }
    }
    uint32_t carried = 0;
    for (int i = 0; i < 1000; i++) {
        forget();
        run(10);
        for (uint32_t j = 0; j < datagram_count; j++) {
            for (pb_size_t k = 0; k < datagrams[j].records_count; k++) {
                carried += datagrams[j].records[k].uid >= FIRST;
            }
        }
    }
    cr_assert(carried == UPDATES * (2 + 12 - 3 * 2), "sent %u times", carried);
    stop();
}

// After all gossip is spent, the next ping still tells a suspect that it is one.
Test(membership_parts, a_doubted_member_hears_of_it_with_every_ping)
{
    start();
    peer(1);
    peer(2);
    za_MemberRecord suspect = numbered(2);
    suspect.rank = za_MemberRank_MEMBER_RANK_SUSPECT;
    add_evidence(suspect.suspecters, &suspect.suspecters_count, 1);
    tell(1, suspect);
    run_answered(6000);
    cr_assert(state(2) == ZA_MEMBER_SUSPECT, "%s", za_member_state_name(state(2)));
    const za_MembershipDatagram *ping = NULL;
    for (int i = 0; i < 400 && ping == NULL; i++) {
        forget();
        run(10);
        ping = find_datagram(2, za_DatagramKind_DATAGRAM_KIND_PING);
    }
    cr_assert(ping != NULL, "never probed");
    cr_assert(ping->records_count > 0 && ping->records[0].uid == 2 && ping->records[0].rank == 1,
              "not told");
    stop();
}
