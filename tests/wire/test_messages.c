#include "support/za_test.h"

#include <string.h>

#include <zactor/system.za.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/rng.h"
#include "part.za.h"
#include "probe.za.h"

enum { BLOCK = 4096 };

typedef union block {
    max_align_t align;
    uint8_t bytes[BLOCK];
} block_t;

static block_t block;
static uint8_t wire[BLOCK];

/** Encodes, checks the announced size, decodes into `block`. */
static size_t round_trip(const za_type_t *type, const void *message)
{
    size_t expected = 0;
    size_t size = 0;
    cr_assert(type->encoded_size(message, &expected) == ZA_OK);
    cr_assert(type->encode(message, wire, expected, &size) == ZA_OK);
    cr_assert(size == expected, "%zu announced, %zu written", expected, size);
    memset(block.bytes, 0xa5, BLOCK);
    cr_assert(type->decode(block.bytes, type->size + size, wire, size) == ZA_OK);
    for (size_t i = type->size + size; i < BLOCK; i++) {
        cr_assert(block.bytes[i] == 0xa5, "byte %zu behind the block was written", i);
    }
    return size;
}

static za_err_t decode(const za_type_t *type, const void *bytes, size_t size)
{
    return type->decode(block.bytes, BLOCK, bytes, size);
}

/** Appends `text` to the block of `message`, as za_bytes_put does. */
static void append(void *message, size_t *end, za_bytes_t *field, const char *text)
{
    memcpy((char *)message + *end, text, strlen(text));
    field->offset = (uint32_t)((char *)message + *end - (char *)field);
    field->size = (uint32_t)strlen(text);
    *end += strlen(text);
}

static bool holds(const za_bytes_t *field, const char *text)
{
    return field->size == strlen(text) && memcmp(za_bytes_data(field), text, field->size) == 0;
}

Test(messages, type_says_what_the_proto_says)
{
    const za_type_t *type = &probe_Bounded_type;
    cr_assert(strcmp(type->name, "probe.Bounded") == 0);
    cr_assert(type->id == za_fnv32(ZA_FNV32_INIT, "probe.Bounded", 13));
    cr_assert(type->size == sizeof(probe_Bounded));
    cr_assert(type->field_count == 7);
    cr_assert(strcmp(type->fields[2].name, "numbers") == 0 && type->fields[2].number == 3);
    cr_assert(type->fields[2].repeated == 1 && type->fields[2].kind == 13);
    cr_assert(type->extent == NULL && type->refs == NULL);
    cr_assert(za_type_extent(type, block.bytes) == sizeof(probe_Bounded));
    cr_assert(strcmp(za_Down_type.fields[0].message, "za.Ref") == 0);
    cr_assert(probe_Empty_type.field_count == 0);
}

// number (4), kind, repeated, message name and NUL of each field, and a part's own fingerprint.
Test(messages, fingerprint_is_over_the_field_table)
{
    static const uint8_t table[] = "\1\0\0\0\x06\0\0"
                                   "\2\0\0\0\x09\0\0"
                                   "\3\0\0\0\x09\0\0"
                                   "\4\0\0\0\x09\0";
    uint64_t expected = za_fnv64(ZA_FNV64_INIT, table, sizeof table);
    cr_assert(za_MemberUp_type.fingerprint == expected);
    cr_assert(za_MemberDown_type.fingerprint == expected);
    cr_assert(za_Down_type.fingerprint != za_Spawned_type.fingerprint);
}

Test(messages, scalars_survive)
{
    probe_Scalars in = {
        .b = true,
        .d = -1.5e300,
        .f = 0.25f,
        .f32 = UINT32_MAX,
        .f64 = UINT64_MAX,
        .sf32 = INT32_MIN,
        .sf64 = INT64_MIN,
        .i32 = -1,
        .i64 = INT64_MIN,
        .s32 = INT32_MIN,
        .s64 = INT64_MIN,
        .u32 = UINT32_MAX,
        .u64 = UINT64_MAX,
        .color = probe_Color_COLOR_FAR,
        .negative = probe_Signed_SIGNED_BELOW,
        .has_maybe = true,
        .maybe = 0,
    };
    round_trip(&probe_Scalars_type, &in);
    const probe_Scalars *out = (const probe_Scalars *)block.bytes;
    cr_assert(out->b && out->d == in.d && out->f == in.f);
    cr_assert(out->f32 == in.f32 && out->f64 == in.f64);
    cr_assert(out->sf32 == in.sf32 && out->sf64 == in.sf64);
    cr_assert(out->i32 == in.i32 && out->i64 == in.i64);
    cr_assert(out->s32 == in.s32 && out->s64 == in.s64);
    cr_assert(out->u32 == in.u32 && out->u64 == in.u64);
    cr_assert(out->color == in.color && out->negative == in.negative);
    cr_assert(out->has_maybe && out->maybe == 0);
}

Test(messages, nothing_is_no_bytes)
{
    cr_assert(round_trip(&probe_Empty_type, &(const probe_Empty){ 0 }) == 0);
    cr_assert(round_trip(&probe_Refs_type, &(const probe_Refs){ .one = ZA_REF_NONE }) == 0);
    cr_assert(round_trip(&probe_Open_type, &(const probe_Open){ .between = 0 }) == 0);
    const probe_Open *out = (const probe_Open *)block.bytes;
    cr_assert(out->text.size == 0 && out->data.size == 0 && !out->has_inner);
}

Test(messages, bounded_fields_survive)
{
    probe_Bounded in = {
        .name = "12345678",
        .key = { 5, { 0, 255, 0, 1, 2 } },
        .numbers_count = 4,
        .numbers = { 1, 0, 300, UINT32_MAX },
        .words_count = 2,
        .words = { "", "w\xc3\xb6" },
        .blocks_count = 2,
        .blocks = { { 3, { 1, 2, 3 } }, { 0, { 0 } } },
        .colors_count = 1,
        .colors = { probe_Color_COLOR_RED },
        .scores_count = 1,
        .scores = { { .key = "four", .value = 7 } },
    };
    round_trip(&probe_Bounded_type, &in);
    const probe_Bounded *out = (const probe_Bounded *)block.bytes;
    cr_assert(strcmp(out->name, in.name) == 0);
    cr_assert(out->key.size == 5 && memcmp(out->key.bytes, in.key.bytes, 5) == 0);
    cr_assert(out->numbers_count == 4 && memcmp(out->numbers, in.numbers, sizeof in.numbers) == 0);
    cr_assert(out->words_count == 2 && strcmp(out->words[1], in.words[1]) == 0);
    cr_assert(out->blocks_count == 2 && out->blocks[0].size == 3 && out->blocks[1].size == 0);
    cr_assert(out->colors_count == 1 && out->colors[0] == probe_Color_COLOR_RED);
    cr_assert(strcmp(out->scores[0].key, "four") == 0 && out->scores[0].value == 7);
}

Test(messages, open_fields_lie_behind_the_struct)
{
    static block_t source;
    probe_Open *in = (probe_Open *)source.bytes;
    size_t end = sizeof *in;
    append(in, &end, &in->text, "some text");
    append(in, &end, &in->data, "data");
    in->between = 9;
    in->has_inner = true;
    in->inner.n = 1;
    append(in, &end, &in->inner.blob, "inner");
    in->inners_count = 3;
    append(in, &end, &in->inners[0].blob, "first");
    append(in, &end, &in->inners[2].blob, "third, longer");
    cr_assert(za_type_extent(&probe_Open_type, in) == end);

    round_trip(&probe_Open_type, in);
    const probe_Open *out = (const probe_Open *)block.bytes;
    cr_assert(holds(&out->text, "some text") && holds(&out->data, "data"));
    cr_assert(holds(&out->inner.blob, "inner") && out->inner.n == 1 && out->between == 9);
    cr_assert(out->inners_count == 3 && holds(&out->inners[0].blob, "first"));
    cr_assert(out->inners[1].blob.size == 0 && holds(&out->inners[2].blob, "third, longer"));
    cr_assert(za_type_extent(&probe_Open_type, out) == end);

    // The block moves as a whole: nothing in it knows where it lies.
    static block_t moved;
    memcpy(moved.bytes, block.bytes, end);
    memset(block.bytes, 0, BLOCK);
    cr_assert(holds(&((const probe_Open *)moved.bytes)->inners[2].blob, "third, longer"));
}

Test(messages, extent_of_a_broken_field_is_over_every_limit)
{
    probe_Open message = { .text = { UINT32_MAX & ~ZA_BYTES_BLOB, UINT32_MAX } };
    cr_assert(za_type_extent(&probe_Open_type, &message) == UINT32_MAX);
    message.text.offset = UINT32_MAX; // as if a blob
    cr_assert(za_type_extent(&probe_Open_type, &message) > ZA_MESSAGE_BYTES_MAX);
}

static void collect(za_ref_t *ref, void *context)
{
    *(uint64_t *)context = *(uint64_t *)context * 10 + ref->actor;
    ref->node = 77;
}

Test(messages, refs_finds_each_reference)
{
    probe_Refs in = {
        .one = { 0, 1 },
        .many_count = 2,
        .many = { { 0, 2 }, { 0, 3 }, { 0, 9 } },
        .has_holder = true,
        .holder = { "label", { 0, 4 } },
        .holders_count = 1,
        .holders = { { "", { 0, 5 } } },
        .which_which = probe_Refs_held_tag,
        .which.held = { "", { 0, 6 } },
        .has_far = true,
        .far = { .inside = { 0, 7 }, .note = "note" },
    };
    round_trip(&probe_Refs_type, &in);
    uint64_t seen = 0;
    probe_Refs_type.refs(block.bytes, collect, &seen);
    cr_assert(seen == 1234567, "%" PRIu64, seen);
    const probe_Refs *out = (const probe_Refs *)block.bytes;
    cr_assert(out->far.inside.node == 77 && out->which.held.ref.node == 77);
    cr_assert(strcmp(out->holder.label, "label") == 0 && strcmp(out->far.note, "note") == 0);

    in.which_which = probe_Refs_none_tag; // the same bytes are no reference now
    in.many_count = 60000;                // and nothing outside the array is one
    seen = 0;
    probe_Refs_type.refs(&in, collect, &seen);
    cr_assert(seen == 1239457, "%" PRIu64, seen);
}

Test(messages, sparse_numbers_work)
{
    probe_Sparse in = { .last = 1, .first = 2, .middle = "mid" };
    round_trip(&probe_Sparse_type, &in);
    const probe_Sparse *out = (const probe_Sparse *)block.bytes;
    cr_assert(out->last == 1 && out->first == 2 && strcmp(out->middle, "mid") == 0);
}

Test(messages, unknown_fields_are_skipped)
{
    static const uint8_t bytes[] = { 0xa0, 0x06, 1, 0xaa, 0x06, 2, 'h', 'i', 0x08, 5 };
    cr_assert(decode(&za_Timeout_type, bytes, sizeof bytes) == ZA_OK);
    cr_assert(((const za_Timeout *)block.bytes)->tag == 5);
}

Test(messages, last_of_a_repeated_singular_wins)
{
    static const uint8_t bytes[] = { 0x0a, 6, 'a', 'b', 'c', 'd', 'e', 'f', 0x0a, 2, 'x', 'y' };
    cr_assert(decode(&probe_Bounded_type, bytes, sizeof bytes) == ZA_OK);
    cr_assert(strcmp(((const probe_Bounded *)block.bytes)->name, "xy") == 0);
    cr_assert(decode(&probe_Open_type, bytes, sizeof bytes) == ZA_OK);
    cr_assert(holds(&((const probe_Open *)block.bytes)->text, "xy"));
}

typedef struct bad {
    const za_type_t *type;
    const char *bytes;
    size_t size;
} bad_t;
#define BAD(type, text)                                                                            \
    {                                                                                              \
        &type##_type, text, sizeof text - 1                                                        \
    }

static const bad_t bad[] = {
    BAD(probe_Bounded, "\x0a\x03"
                       "a\0b"), // NUL inside
    BAD(probe_Bounded, "\x0a\x02"
                       "a\0"),                      // and at the end
    BAD(probe_Bounded, "\x0a\x01\xff"),             // no UTF-8
    BAD(probe_Bounded, "\x0a\x02\xc0\x80"),         // overlong
    BAD(probe_Bounded, "\x0a\x03\xed\xa0\x80"),     // surrogate
    BAD(probe_Bounded, "\x0a\x04\xf4\x90\x80\x80"), // above U+10FFFF
    BAD(probe_Bounded, "\x0a\x02"
                       "a\xc3"), // cut
    BAD(probe_Bounded, "\x0a\x09"
                       "123456789"), // over max_length
    BAD(probe_Bounded, "\x12\x06"
                       "123456"), // over max_size
    BAD(probe_Bounded, "\x2a\x04"
                       "1234"),               // over max_size, though padding would hold it
    BAD(probe_Bounded, "\x1a\x05\1\1\1\1\1"), // over max_count
    BAD(probe_Bounded, "\x22\x01"
                       "a\x22\x01"
                       "a\x22\x01"
                       "a\x22\x01"
                       "a"),
    BAD(probe_Bounded, "\x3a\x04\x0a\x02\xff\xff"), // in a map's key
    BAD(probe_Open, "\x0a\x01\xff"),
    BAD(probe_Open, "\x08\x05"), // a number where text is
    BAD(probe_Open, "\x1d\1\2\3\4"),
    BAD(probe_Open, "\x22\x02\x08\x05"),
    BAD(probe_Open, "\x0a\x05"
                    "abc"), // cut
    BAD(probe_Open, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    BAD(probe_Refs, "\x1a\x03\x0a\x01\xfe"),
    BAD(probe_Refs, "\x2b"), // group
    BAD(probe_Refs, "\x0a\x0a\x09\1\2\3\4\5\6\7\x08"),
    BAD(za_Timeout, "\x00"), // field number 0
    BAD(za_Timeout, "\x08"),
    BAD(za_Timeout, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
};

Test(messages, wrong_bytes_are_the_peers_fault)
{
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        za_err_t err = decode(bad[i].type, bad[i].bytes, bad[i].size);
        cr_expect(err == ZA_EPROTO, "row %zu: %s", i, za_err_name(err));
    }
}

Test(messages, message_out_of_its_bounds_is_the_authors_fault)
{
    size_t size;
    probe_Bounded count = { .numbers_count = 5 };
    cr_expect(probe_Bounded_type.encoded_size(&count, &size) == ZA_EINVAL);
    cr_expect(probe_Bounded_type.encode(&count, wire, BLOCK, &size) == ZA_EINVAL);
    probe_Bounded long_text = { .numbers_count = 0 };
    memset(long_text.name, 'x', sizeof long_text.name);
    cr_expect(probe_Bounded_type.encoded_size(&long_text, &size) == ZA_EINVAL);
    probe_Bounded no_text = { .name = "\xff" };
    cr_expect(probe_Bounded_type.encode(&no_text, wire, BLOCK, &size) == ZA_EINVAL);
    probe_Bounded blocks = { .blocks_count = 1, .blocks = { { .size = 4 } } };
    cr_expect(probe_Bounded_type.encode(&blocks, wire, BLOCK, &size) == ZA_EINVAL);
}

Test(messages, no_room_is_said)
{
    size_t size;
    cr_expect(za_Timeout_type.encode(&(const za_Timeout){ 1000 }, wire, 2, &size) == ZA_ETOOBIG);
    cr_expect(za_Timeout_type.decode(block.bytes, 7, wire, 0) == ZA_ETOOBIG);
    // The struct fits, the bytes behind it do not.
    cr_expect(probe_Open_type.decode(block.bytes, sizeof(probe_Open) + 2,
                                     (const uint8_t *)"\x0a\3abc", 5) == ZA_EPROTO);
}

static const za_type_t *const all_types[] = {
    &probe_Empty_type, &probe_Scalars_type, &probe_Bounded_type, &probe_Open_type,
    &probe_Refs_type,  &probe_Sparse_type,  &part_Part_type,     &za_Down_type,
};

// Whatever decodes, encodes again and decodes to the same; whatever does not is refused, and nothing
// outside the block is written. Mutated valid messages reach deeper than noise.
Test(messages, garbage_is_refused_or_sound)
{
    static const uint8_t seed_bytes[] =
        "\x0a\x12\x09\1\0\0\0\0\0\0\0\x11\2\0\0\0\0\0\0\0\x12\3abc\x1a\4\x0a\2hi\x22\5\x0a\3xyz\x10\7";
    za_rng_t rng;
    za_rng_init(&rng, 2026);
    for (uint32_t round = 0; round < 40000; round++) {
        uint8_t bytes[64];
        const za_type_t *type = all_types[za_rng_next(&rng) % 8];
        size_t size = za_rng_next(&rng) % (sizeof seed_bytes - 1);
        memcpy(bytes, seed_bytes, sizeof seed_bytes - 1);
        for (uint64_t changes = za_rng_next(&rng) % 6; changes > 0; changes--) {
            uint64_t draw = za_rng_next(&rng);
            bytes[draw % sizeof seed_bytes] = (uint8_t)(draw >> 32);
        }
        memset(block.bytes, 0xa5, BLOCK);
        size_t room = type->size + size;
        if (type->decode(block.bytes, room, bytes, size) != ZA_OK) {
            continue;
        }
        for (size_t i = room; i < BLOCK; i++) {
            cr_assert(block.bytes[i] == 0xa5, "round %u: byte %zu was written", round, i);
        }
        cr_assert(za_type_extent(type, block.bytes) <= room, "round %u", round);
        size_t once = 0;
        size_t twice = 0;
        static uint8_t again[BLOCK];
        cr_assert(type->encode(block.bytes, wire, BLOCK, &once) == ZA_OK, "round %u", round);
        cr_assert(type->decode(block.bytes, BLOCK, wire, once) == ZA_OK, "round %u", round);
        cr_assert(type->encode(block.bytes, again, BLOCK, &twice) == ZA_OK, "round %u", round);
        cr_assert(once == twice && memcmp(wire, again, once) == 0, "round %u", round);
    }
}
