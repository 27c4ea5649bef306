// A cluster that is there from the start: each process is told of all by one, as a joiner is.
#include <string.h>

#include "base/assert.h"
#include "cluster/member_codec.h"
#include "sim/realm_internal.h"
#include "wire/varint.h"

enum {
    FRAME_HEAD = 5, // tag, key, and room for a length of three bytes
    PAGE = 48,      // records of a frame
    PAGE_BYTES = FRAME_HEAD + PAGE * 128,
};

/** Who takes `host` in. */
static uint32_t acceptor_of(uint32_t host)
{
    return host == 0 ? 1 : 0;
}

/** Puts the head before a body that ends at `end`; the frame begins at *start. */
static uint32_t finish_frame(uint8_t *bytes, const uint8_t *end, uint32_t tag)
{
    uint32_t size = (uint32_t)(end - bytes) - FRAME_HEAD;
    bytes[0] = ZA_MEMBERSHIP_TAG;
    bytes[1] = (uint8_t)(tag << 3 | 2);
    uint8_t *body = za_varint_put(bytes + 2, size);
    memmove(body, bytes + FRAME_HEAD, size);
    return (uint32_t)(body - bytes) + size;
}

static uint8_t *put_host(const za_realm_t *realm, uint32_t index, uint8_t *at)
{
    const za_host_t *host = &realm->hosts[index];
    char address[24];
    za_address_text(host->address, address, sizeof address);
    za_member_opinion_t opinion = { .inc = 1 };
    za_member_profile_t profile = {
        .joined = index + 1u, // each at its own logical time
        .attributes = 1,
        .name = host->name,
        .address = address,
        .roles = "",
        .name_bytes = (uint32_t)strlen(host->name),
        .address_bytes = (uint32_t)strlen(address),
    };
    za_member_line_t line = { .uid = host->uid, .opinion = &opinion, .profile = &profile };
    return za_member_record_put(at, ZA_MEMBER_RECORDS_RECORDS, &line,
                                za_member_record_bytes(&line));
}

static void tell(za_realm_t *realm, uint32_t index, const uint8_t *bytes, uint32_t size)
{
    za_host_input(realm, index,
                  &(za_cluster_event_t){ .type = ZA_CLUSTER_FRAME,
                                         .uid = realm->hosts[acceptor_of(index)].uid,
                                         .lane = ZA_LANE_CONTROL,
                                         .bytes = bytes,
                                         .size = size });
}

static void link_to_acceptor(za_realm_t *realm, uint32_t index, za_cluster_event_type_t type)
{
    const za_host_t *acceptor = &realm->hosts[acceptor_of(index)];
    char address[24];
    za_address_text(acceptor->address, address, sizeof address);
    za_host_input(
        realm, index,
        &(za_cluster_event_t){
            .type = type, .uid = acceptor->uid, .name = acceptor->name, .address = address });
}

void za_realm_form(za_realm_t *realm)
{
    uint32_t count = realm->config.hosts;
    for (uint32_t i = 0; i < count; i++) {
        za_host_start(realm, i);
    }
    for (uint32_t i = 0; i < count && count > 1; i++) {
        link_to_acceptor(realm, i, ZA_CLUSTER_LINK_UP); // whereupon it asks to join
    }
    // Page by page, so that one page and its texts are in the cache for all.
    uint8_t bytes[PAGE_BYTES];
    for (uint32_t first = 0; first < count && count > 1; first += PAGE) {
        uint8_t *at = bytes + FRAME_HEAD;
        for (uint32_t i = first; i < count && i < first + PAGE; i++) {
            at = put_host(realm, i, at);
            ZA_ASSERT(at <= bytes + PAGE_BYTES);
        }
        uint32_t size = finish_frame(bytes, at, za_MembershipFrame_records_tag);
        for (uint32_t i = 0; i < count; i++) {
            tell(realm, i, bytes, size);
        }
    }
    for (uint32_t i = 0; i < count && count > 1; i++) {
        uint8_t *at = za_member_number_put(bytes + FRAME_HEAD, 2, i + 1u); // code 0: accepted
        tell(realm, i, bytes, finish_frame(bytes, at, za_MembershipFrame_join_ack_tag));
        link_to_acceptor(realm, i, ZA_CLUSTER_LINK_DOWN); // there never was a connection
    }
}
