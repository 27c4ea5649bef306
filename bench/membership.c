// Membership by itself: what one step costs, and what a member takes. One node among 128, which are
// played by this program: it answers each probe, and sends pings and gossip.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cluster/member_codec.h"
#include "cluster/membership.h"
#include "report.h"

enum { MEMBERS = 128, ROUNDS = 200000, RUNS = 5, UPDATES = 10, LARGE = 10000, LINKS = 8 };

static za_effects_t effects;
static za_membership_t *self;
static uint64_t now_ms = 1000;

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "bench_membership: %s\n", what);
    exit(1);
}

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static void step(za_cluster_event_t event)
{
    event.now_ms = now_ms;
    za_effects_reset(&effects);
    if (za_membership_step(self, &event, &effects) != ZA_STEP_DONE) {
        fail("a step that is not done");
    }
}

static void datagram(uint64_t from, const uint8_t *bytes, const uint8_t *end)
{
    step((za_cluster_event_t){ .type = ZA_CLUSTER_DATAGRAM,
                               .uid = from,
                               .bytes = bytes,
                               .size = (uint32_t)(end - bytes) });
}

static uint8_t *put_member(uint8_t *at, uint64_t uid, uint64_t inc, bool brief)
{
    char text[64];
    snprintf(text, sizeof text, "node-%05u10.0.%u.%u:7464", (unsigned)uid,
             (unsigned)uid / 256 % 256, (unsigned)uid % 256);
    za_member_opinion_t opinion = { .inc = inc };
    za_member_profile_t profile = { .joined = 1,
                                    .attributes = 1,
                                    .name = text,
                                    .address = text + 10,
                                    .name_bytes = 10,
                                    .address_bytes = (uint32_t)strlen(text + 10) };
    za_member_line_t line = { uid, &opinion, &profile, brief };
    return za_member_record_put(at, ZA_MEMBER_DATAGRAM_RECORDS, &line,
                                za_member_record_bytes(&line));
}

static void create(uint32_t members, uint32_t members_max)
{
    za_cluster_config_t config = { .cluster = "c",
                                   .name = "self",
                                   .address = "self:1",
                                   .random_seed = 1,
                                   .timing = za_cluster_timing_lan,
                                   .datagrams = true,
                                   .members_max = members_max };
    if (za_membership_create(&config, now_ms, &self) != ZA_OK) {
        fail("create");
    }
    step((za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
    for (uint64_t uid = 1; uid < members; uid++) {
        uint8_t bytes[ZA_DATAGRAM_BYTES_MAX];
        datagram(uid, bytes, put_member(bytes, uid, 1, false));
    }
    for (uint64_t uid = 1; uid <= LINKS; uid++) {
        step((za_cluster_event_t){ .type = ZA_CLUSTER_LINK_UP, .uid = uid });
    }
    if (za_membership_up_count(self) != members) {
        fail("not all are up");
    }
}

/** A tick, and the ack if it was a probe. Returns the steps. */
static uint32_t probe_and_answer(void)
{
    uint64_t deadline_ms = za_membership_deadline_ms(self);
    now_ms = deadline_ms > now_ms ? deadline_ms : now_ms;
    step((za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
    uint32_t count = effects.count;
    uint64_t uids[8];
    uint64_t seqs[8];
    uint32_t pings = 0;
    for (uint32_t i = 0; i < count; i++) {
        za_member_datagram_t ping;
        const za_effect_t *effect = &effects.items[i];
        if (effect->type == ZA_EFFECT_SEND_DATAGRAM && pings < 8 &&
            za_member_datagram_get(effect->bytes, effect->size, &ping) &&
            ping.kind == za_DatagramKind_DATAGRAM_KIND_PING) {
            uids[pings] = effect->uid;
            seqs[pings++] = ping.seq;
        }
    }
    for (uint32_t i = 0; i < pings; i++) {
        uint8_t bytes[ZA_DATAGRAM_BYTES_MAX];
        za_member_datagram_t ack = { .kind = za_DatagramKind_DATAGRAM_KIND_ACK,
                                     .seq = seqs[i],
                                     .view_hash = za_membership_view_hash(self) };
        datagram(uids[i], bytes, za_member_datagram_put(bytes, &ack));
    }
    return 1 + pings;
}

/** Until all news are told: what is measured then is a cluster at rest. */
static void settle(void)
{
    for (uint64_t end_ms = now_ms + 30000; now_ms < end_ms;) {
        probe_and_answer();
    }
}

/** Of a ping that is answered. */
static double measure_ping(void)
{
    za_member_datagram_t head = { .kind = za_DatagramKind_DATAGRAM_KIND_PING,
                                  .target = za_membership_uid(self),
                                  .view_hash = za_membership_view_hash(self) };
    uint8_t bytes[ZA_DATAGRAM_BYTES_MAX];
    double begin = cpu_ns();
    for (uint64_t i = 0; i < ROUNDS; i++) {
        head.seq = i;
        datagram(1 + i % (MEMBERS - 1), bytes, za_member_datagram_put(bytes, &head));
        if (effects.count != 1) {
            fail("no ack");
        }
    }
    return (cpu_ns() - begin) / ROUNDS;
}

/** Of a tick that probes and of the ack that it gets: half of both. */
static double measure_round(void)
{
    uint64_t steps = 0;
    double begin = cpu_ns();
    for (uint64_t i = 0; i < ROUNDS; i++) {
        steps += probe_and_answer();
    }
    if (za_membership_up_count(self) != MEMBERS) {
        fail("somebody was doubted");
    }
    return (cpu_ns() - begin) / (double)steps;
}

/** Of a datagram with ten updates that are news, a later incarnation each. */
static double measure_gossip(void)
{
    uint8_t bytes[ZA_DATAGRAM_BYTES_MAX];
    static uint64_t inc = 1;
    uint64_t rounds = ROUNDS / UPDATES;
    double spent = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        inc++;
        uint8_t *at = bytes;
        for (uint64_t k = 0; k < UPDATES; k++) {
            at = put_member(at, 1 + (i * UPDATES + k) % (MEMBERS - 1), inc, true);
        }
        double begin = cpu_ns();
        datagram(1, bytes, at);
        spent += cpu_ns() - begin;
    }
    return spent / (double)rounds;
}

static void report(const char *id, double (*measure)(void))
{
    bench_report_t line = { .id = id, .impl = "zactor", .unit = "ns" };
    for (int run = 0; run < RUNS; run++) {
        bench_report_run(&line, measure());
    }
    bench_report_print(&line);
}

static uint64_t resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total = 0;
    unsigned long resident = 0;
    if (file == NULL || fscanf(file, "%lu %lu", &total, &resident) != 2) {
        fail("no statm");
    }
    fclose(file);
    return resident * 4;
}

int main(void)
{
    uint64_t before = resident_kib();
    create(LARGE, 2 * LARGE);
    bench_report_t line = { .id = "membership.member", .impl = "zactor", .unit = "bytes" };
    bench_report_run(&line, 1024.0 * (double)(resident_kib() - before) / LARGE);
    bench_report_print(&line);
    za_membership_destroy(self);
    create(MEMBERS, 0);
    settle();
    report("membership.ping", measure_ping);
    report("membership.round", measure_round);
    report("membership.gossip10", measure_gossip);
    za_membership_destroy(self);
    return 0;
}
