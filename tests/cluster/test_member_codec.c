// Bytes of membership: what the straight-line code writes nanopb reads, and the other way round.
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "cluster/member_codec.h"
#include "pb_decode.h"
#include "pb_encode.h"
#include "support/za_test.h"

enum { DRAWS = 20000 };

static void draw_text(za_rng_t *rng, char *out, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++) {
        out[i] = (char)('a' + za_rng_below(rng, 26));
    }
    out[bytes] = '\0';
}

static void draw_set(za_rng_t *rng, uint64_t *uids, pb_size_t *count)
{
    uint64_t size = za_rng_below(rng, ZA_MEMBER_EVIDENCE_MAX + 1);
    uint64_t last = 0;
    for (*count = 0; *count < size;) {
        last += 1 + za_rng_below(rng, UINT64_MAX / 8);
        uids[(*count)++] = last;
    }
}

/** Numbers of every length. */
static uint64_t draw_number(za_rng_t *rng)
{
    uint64_t bits = za_rng_below(rng, 63);
    uint64_t number = za_rng_next(rng);
    return (number >> 1) >> bits;
}

static void draw_texts(za_rng_t *rng, za_MemberRecord *record)
{
    record->joined = draw_number(rng);
    draw_text(rng, record->name, 1 + za_rng_below(rng, ZA_NODE_NAME_BYTES_MAX));
    draw_text(rng, record->address, 1 + za_rng_below(rng, ZA_ADDRESS_BYTES_MAX));
    if (za_rng_below(rng, 2) == 0) {
        draw_text(rng, record->roles, 1 + za_rng_below(rng, ZA_ROLE_BYTES_MAX));
        record->meta.size = (pb_size_t)za_rng_below(rng, ZA_MEMBER_META_BYTES_MAX + 1);
        for (uint32_t i = 0; i < record->meta.size; i++) {
            record->meta.bytes[i] = (uint8_t)za_rng_below(rng, 256);
        }
    }
}

static za_MemberRecord draw_record(za_rng_t *rng)
{
    za_MemberRecord record = za_MemberRecord_init_zero;
    record.uid = 1 + (za_rng_next(rng) >> 1);
    record.attributes = 1 + (draw_number(rng) >> 1);
    record.inc = record.attributes + (draw_number(rng) >> 1);
    record.inc = record.inc > ZA_MEMBER_LOGICAL_MAX ? ZA_MEMBER_LOGICAL_MAX : record.inc;
    record.terminal = (za_MemberTerminal)za_rng_below(rng, 3);
    record.reason = (za_MemberReason)za_rng_below(rng, 5);
    record.leaving = za_rng_below(rng, 2) == 0;
    if (record.terminal == za_MemberTerminal_MEMBER_TERMINAL_NONE && za_rng_below(rng, 2) == 0) {
        record.rank = (za_MemberRank)(1 + za_rng_below(rng, 2));
        draw_set(rng, record.suspecters, &record.suspecters_count);
        draw_set(rng, record.refused, &record.refused_count);
    }
    if (za_rng_below(rng, 2) == 0) {
        draw_texts(rng, &record);
    }
    return record;
}

static bool same_set(const za_member_evidence_t *ours, const uint64_t *uids, pb_size_t count)
{
    return ours->count == count && memcmp(ours->uids, uids, count * sizeof *uids) == 0;
}

static bool same_text(const void *ours, uint32_t bytes, const char *text)
{
    return bytes == strlen(text) && (bytes == 0 || memcmp(ours, text, bytes) == 0);
}

static bool same(const za_member_news_t *news, const za_MemberRecord *record)
{
    const za_member_opinion_t *opinion = &news->opinion;
    const za_member_profile_t *profile = &news->profile;
    return news->uid == record->uid && opinion->inc == record->inc &&
           opinion->terminal == record->terminal && opinion->rank == record->rank &&
           opinion->reason == record->reason && opinion->leaving == record->leaving &&
           same_set(&opinion->suspecters, record->suspecters, record->suspecters_count) &&
           same_set(&opinion->refused, record->refused, record->refused_count) &&
           profile->joined == record->joined && profile->attributes == record->attributes &&
           news->brief == (record->name[0] == '\0') &&
           same_text(profile->name, profile->name_bytes, record->name) &&
           same_text(profile->address, profile->address_bytes, record->address) &&
           same_text(profile->roles, profile->roles_bytes, record->roles) &&
           profile->meta_bytes == record->meta.size &&
           memcmp(profile->meta_bytes > 0 ? profile->meta : (const uint8_t *)"", record->meta.bytes,
                  profile->meta_bytes) == 0;
}

static uint8_t *put(uint8_t *at, const za_member_news_t *news)
{
    za_member_line_t line = { news->uid, &news->opinion, &news->profile, news->brief };
    return za_member_record_put(at, ZA_MEMBER_DATAGRAM_RECORDS, &line,
                                za_member_record_bytes(&line));
}

/** Our bytes of a datagram that nanopb's bytes were read as; 0 if they could not be read. */
static size_t rewrite(const uint8_t *bytes, size_t size, const za_MembershipDatagram *drawn,
                      uint8_t *out)
{
    za_member_datagram_t datagram;
    cr_assert(za_member_datagram_get(bytes, size, &datagram), "nanopb's bytes were refused");
    cr_assert(datagram.kind == drawn->kind && datagram.seq == drawn->seq &&
                  datagram.target == drawn->target && datagram.view_hash == drawn->view_hash &&
                  datagram.record_count == drawn->records_count,
              "another head");
    uint8_t *at = za_member_datagram_put(out, &datagram);
    za_member_news_t news;
    for (uint32_t i = 0; i < drawn->records_count; i++) {
        cr_assert(za_member_datagram_record(&datagram, &news), "record %u is missing", i);
        cr_assert(same(&news, &drawn->records[i]), "record %u is another", i);
        at = put(at, &news);
    }
    cr_assert(!za_member_datagram_record(&datagram, &news), "a record too many");
    return (size_t)(at - out);
}

static size_t encode(const za_MembershipDatagram *datagram, uint8_t *out, size_t capacity)
{
    pb_ostream_t stream = pb_ostream_from_buffer(out, capacity);
    cr_assert(pb_encode(&stream, za_MembershipDatagram_fields, datagram), "encode");
    return stream.bytes_written;
}

Test(member_codec, writes_what_nanopb_writes_and_reads_it)
{
    static uint8_t theirs[8192];
    static uint8_t ours[8192];
    static za_MembershipDatagram datagram;
    za_rng_t rng;
    za_rng_init(&rng, 7);
    for (int draw = 0; draw < DRAWS; draw++) {
        datagram = (za_MembershipDatagram){ .kind = (za_DatagramKind)za_rng_below(&rng, 5) };
        datagram.seq = draw_number(&rng);
        datagram.target = za_rng_next(&rng);
        datagram.view_hash = za_rng_next(&rng);
        uint64_t records = za_rng_below(&rng, 5);
        for (uint64_t i = 0; i < records; i++) {
            datagram.records[datagram.records_count++] = draw_record(&rng);
        }
        size_t size = encode(&datagram, theirs, sizeof theirs);
        size_t again = rewrite(theirs, size, &datagram, ours);
        cr_assert(again == size && memcmp(ours, theirs, size) == 0, "draw %d: other bytes", draw);
    }
}

Test(member_codec, a_cut_datagram_is_none)
{
    static uint8_t bytes[8192];
    static za_MembershipDatagram datagram;
    za_rng_t rng;
    za_rng_init(&rng, 8);
    datagram.kind = za_DatagramKind_DATAGRAM_KIND_PING;
    datagram.seq = 1;
    datagram.target = 2;
    datagram.records_count = 1;
    datagram.records[0] = draw_record(&rng);
    draw_texts(&rng, &datagram.records[0]);
    size_t size = encode(&datagram, bytes, sizeof bytes);
    za_member_datagram_t out;
    uint32_t good = 0;
    for (size_t cut = 0; cut < size; cut++) {
        good += za_member_datagram_get(bytes, cut, &out);
    }
    cr_assert(good == 4, "%u: only before each field is a datagram whole", good);
}

/** Whether a datagram with this one record is taken. */
static bool taken(const za_MemberRecord *record)
{
    static uint8_t bytes[8192];
    static za_MembershipDatagram datagram;
    datagram.records_count = 1;
    datagram.records[0] = *record;
    size_t size = encode(&datagram, bytes, sizeof bytes);
    za_member_datagram_t out;
    return za_member_datagram_get(bytes, size, &out);
}

Test(member_codec, a_record_out_of_bounds_is_refused)
{
    za_MemberRecord sound = { .uid = 1, .inc = 1, .attributes = 1, .name = "n", .address = "h:1" };
    cr_assert(taken(&sound), "a sound one");
    za_MemberRecord bad = sound;
    bad.uid = 0;
    cr_expect(!taken(&bad), "no uid");
    bad.uid = ZA_NODE_NAMED;
    cr_expect(!taken(&bad), "what stands for names in references");
    bad = sound;
    bad.inc = UINT64_MAX;
    cr_expect(!taken(&bad), "an incarnation that would wrap");
    bad = sound;
    bad.attributes = 2;
    cr_expect(!taken(&bad), "attributes of a later incarnation");
    bad = sound;
    bad.rank = (za_MemberRank)256; // would be ALIVE in a byte
    cr_expect(!taken(&bad), "a rank that nobody knows");
    bad = sound;
    bad.terminal = za_MemberTerminal_MEMBER_TERMINAL_DOWN;
    bad.rank = za_MemberRank_MEMBER_RANK_SUSPECT;
    cr_expect(!taken(&bad), "a second form of the same opinion");
    bad = sound;
    bad.suspecters_count = 1;
    bad.suspecters[0] = 5;
    cr_expect(!taken(&bad), "evidence against a member that is not doubted");
    bad.rank = za_MemberRank_MEMBER_RANK_SUSPECT;
    cr_expect(taken(&bad), "evidence");
    bad.suspecters_count = 2;
    bad.suspecters[1] = 5;
    cr_expect(!taken(&bad), "evidence out of order");
    bad = sound;
    bad.address[0] = '\0';
    cr_expect(!taken(&bad), "no address");
    bad = sound;
    strcpy(bad.roles, "a,,b");
    cr_expect(!taken(&bad), "an empty role");
    strcpy(bad.roles, "a,b,c,d,e,f,g,h,i");
    cr_expect(!taken(&bad), "nine roles");
    strcpy(bad.roles, "a,b,c,d,e,f,g,h");
    cr_expect(taken(&bad), "eight roles");
    bad = sound;
    strcpy(bad.name, "n\n");
    cr_expect(!taken(&bad), "a name that breaks a line of a log");
}

Test(member_codec, fields_of_a_later_version_are_passed_over)
{
    // kind = 1, field 9 = 5 as a varint, field 10 = bytes "x", seq = 3
    const uint8_t later[] = { 0x08, 1, 9 << 3, 5, 10 << 3 | 2, 1, 'x', 0x10, 3 };
    za_member_datagram_t out;
    cr_assert(za_member_datagram_get(later, sizeof later, &out) && out.seq == 3, "refused");
    // seq as bytes is no field of a later version.
    const uint8_t wrong[] = { 0x08, 1, 2 << 3 | 2, 1, 3 };
    cr_assert(!za_member_datagram_get(wrong, sizeof wrong, &out), "taken");
}
