// Datagrams and frames of membership on a node that knows four others, links that come and go, and what
// operators ask: whatever they say, no assertion fails, and what is read is written again as the same
// bytes' meaning.
#include <string.h>

#include "base/assert.h"
#include "cluster/member_codec.h"
#include "cluster/membership.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMBERS = 4, PARTS_MAX = 64 };

static za_effects_t effects;

static void step(za_membership_t *self, za_cluster_event_t event)
{
    for (int i = 0; i < 1000; i++) {
        za_effects_reset(&effects);
        if (za_membership_step(self, &event, &effects) == ZA_STEP_DONE) {
            return;
        }
        event.type = ZA_CLUSTER_CONTINUE;
    }
    ZA_ASSERT(event.type != ZA_CLUSTER_CONTINUE); // it always wants more
}

static void check_codec(const uint8_t *bytes, size_t size)
{
    za_member_datagram_t datagram;
    za_member_news_t news;
    if (!za_member_datagram_get(bytes, size, &datagram)) {
        return;
    }
    while (za_member_datagram_record(&datagram, &news)) {
        uint8_t out[ZA_MEMBER_RECORD_BYTES_MAX + 8];
        za_member_news_t again;
        za_member_line_t line = { news.uid, &news.opinion, &news.profile, news.brief };
        uint32_t bytes_out = za_member_record_bytes(&line);
        ZA_ASSERT(bytes_out <= ZA_MEMBER_RECORD_BYTES_MAX);
        uint8_t *end = za_member_record_put(out, ZA_MEMBER_DATAGRAM_RECORDS, &line, bytes_out);
        ZA_ASSERT(za_member_record_get(end - bytes_out, bytes_out, &again));
        ZA_ASSERT(again.uid == news.uid && za_member_compare(&again.opinion, &news.opinion) == 0);
    }
}

static za_membership_t *create(void)
{
    za_cluster_config_t config = { .cluster = "c",
                                   .name = "self",
                                   .address = "self:1",
                                   .random_seed = 1,
                                   .timing = za_cluster_timing_lan,
                                   .members_max = 16,
                                   .datagrams = true };
    za_membership_t *self;
    ZA_ASSERT(za_membership_create(&config, 1000, &self) == ZA_OK);
    step(self, (za_cluster_event_t){ .type = ZA_CLUSTER_TICK, .now_ms = 1000 });
    for (uint64_t uid = 1; uid <= MEMBERS; uid++) {
        char name[] = { 'm', (char)('0' + uid), '\0' };
        step(self, (za_cluster_event_t){ .type = ZA_CLUSTER_LINK_UP,
                                         .now_ms = 1000,
                                         .uid = uid,
                                         .name = name,
                                         .address = name });
        za_member_opinion_t opinion = { .inc = 1 };
        za_member_profile_t profile = { .joined = 1,
                                        .attributes = 1,
                                        .name = name,
                                        .address = name,
                                        .name_bytes = 2,
                                        .address_bytes = 2 };
        za_member_line_t line = { uid, &opinion, &profile, false };
        uint8_t bytes[256];
        uint8_t *end = za_member_record_put(bytes, ZA_MEMBER_DATAGRAM_RECORDS, &line,
                                            za_member_record_bytes(&line));
        step(self, (za_cluster_event_t){ .type = ZA_CLUSTER_DATAGRAM,
                                         .now_ms = 1000,
                                         .uid = uid,
                                         .bytes = bytes,
                                         .size = (uint32_t)(end - bytes) });
    }
    return self;
}

static const char *const addresses[] = { "self", "m1", "m2", "m3", "m4", "m5", "m6", "m7" };

/** What comes from no peer; `what` says which, and of whom. */
static za_cluster_event_t other_event(uint8_t what, const uint8_t *bytes, size_t size)
{
    static const za_cluster_event_type_t types[] = { ZA_CLUSTER_TICK, ZA_CLUSTER_LINK_UP,
                                                     ZA_CLUSTER_LINK_DOWN,
                                                     ZA_CLUSTER_CONNECT_FAILED };
    static const za_cluster_event_type_t rare[] = { ZA_CLUSTER_LEAVE, ZA_CLUSTER_DOWN_NODE,
                                                    ZA_CLUSTER_WANT_LINK, ZA_CLUSTER_SEEDS };
    bool refused = (what & 0x20) != 0;
    za_cluster_event_t event = { .type = (what & 0x80 ? rare : types)[what >> 3 & 3],
                                 .uid = what % 8,
                                 .name = addresses[what % 8],
                                 .address = addresses[what % 8],
                                 .err = refused ? ZA_EREFUSED : ZA_ETIMEOUT };
    if (event.type == ZA_CLUSTER_SEEDS) {
        event.bytes = bytes;
        event.size = (uint32_t)size;
        event.id = what & 1;
    }
    return event;
}

/** Each part: whom from and what it is (one byte), time that passed, length, bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    za_membership_t *self = create();
    uint64_t now_ms = 1000;
    for (int part = 0; part < PARTS_MAX && size >= 4; part++) {
        uint8_t what = data[0];
        now_ms += (uint64_t)data[1] * 16;
        size_t bytes = (size_t)data[2] | (size_t)data[3] << 8;
        data += 4;
        size -= 4;
        bytes = bytes < size ? bytes : size;
        za_cluster_event_t event = { .type = what & 0x80 ? ZA_CLUSTER_FRAME : ZA_CLUSTER_DATAGRAM,
                                     .lane = ZA_LANE_CONTROL,
                                     .uid = what % 8,
                                     .over_link = (what & 0x20) != 0,
                                     .bytes = data,
                                     .size = (uint32_t)bytes };
        if (what & 0x40) {
            event = other_event(what, data, bytes);
        } else {
            check_codec(data, bytes);
        }
        event.now_ms = now_ms;
        step(self, event);
        data += bytes;
        size -= bytes;
    }
    za_membership_destroy(self);
    return 0;
}
