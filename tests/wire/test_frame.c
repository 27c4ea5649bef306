#include "support/za_test.h"

#include <string.h>

#include "base/rng.h"
#include "wire/frame.h"
#include "wire/varint.h"

static uint8_t stream[ZA_FRAME_BYTES_MAX + 16];

Test(frame, comes_out_as_it_went_in)
{
    static const size_t sizes[] = { 0, 1, 126, 127, 128, 16382, 16383, ZA_FRAME_PAYLOAD_BYTES_MAX };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t head = za_frame_header_encode(ZA_FRAME_CONTROL, ZA_LANE_BULK, sizes[i], stream,
                                             ZA_FRAME_HEADER_BYTES_MAX);
        cr_assert(head > 0, "%zu", sizes[i]);
        za_frame_t frame;
        size_t used = 0;
        cr_assert(za_frame_split(stream, head + sizes[i], &frame, &used) == ZA_SPLIT_FRAME);
        cr_assert(used == head + sizes[i] && used <= ZA_FRAME_BYTES_MAX);
        cr_assert(frame.kind == ZA_FRAME_CONTROL && frame.lane == ZA_LANE_BULK);
        cr_assert(frame.payload == stream + head && frame.size == sizes[i]);
        // Every shorter piece of it is only a beginning.
        cr_assert(za_frame_split(stream, head + sizes[i] - 1, &frame, &used) == ZA_SPLIT_MORE);
        cr_assert(za_frame_split(stream, head - 1, &frame, &used) == ZA_SPLIT_MORE);
        cr_assert(za_frame_split(stream, 0, &frame, &used) == ZA_SPLIT_MORE);
    }
}

Test(frame, refuses_what_is_too_long)
{
    za_frame_t frame;
    size_t used;
    cr_assert(za_frame_header_encode(ZA_FRAME_CONTROL, ZA_LANE_CONTROL,
                                     ZA_FRAME_PAYLOAD_BYTES_MAX + 1, stream, sizeof stream) == 0);
    uint8_t *end = za_varint_put(stream, ZA_FRAME_PAYLOAD_BYTES_MAX + 2);
    cr_assert(za_frame_split(stream, (size_t)(end - stream), &frame, &used) == ZA_SPLIT_BROKEN);
    cr_assert(za_frame_split((const uint8_t *)"\xff\xff\xff", 3, &frame, &used) == ZA_SPLIT_BROKEN);
    cr_assert(za_frame_split((const uint8_t *)"\0", 1, &frame, &used) == ZA_SPLIT_BROKEN);
}

Test(frame, unknown_kind_is_skipped_or_fatal_by_its_top_bit)
{
    za_frame_t frame = { .kind = ZA_FRAME_HELLO };
    size_t used = 0;
    cr_assert(za_frame_split((const uint8_t *)"\x03\x1fxy", 4, &frame, &used) == ZA_SPLIT_FRAME);
    cr_assert(frame.kind == ZA_FRAME_UNKNOWN && used == 4);
    cr_assert(za_frame_split((const uint8_t *)"\x03\x9fxy", 4, &frame, &used) == ZA_SPLIT_BROKEN);
    // Known to be fatal as soon as the kind is there.
    cr_assert(za_frame_split((const uint8_t *)"\x03\x9f", 2, &frame, &used) == ZA_SPLIT_BROKEN);
}

Test(frame, header_says_when_there_is_no_room)
{
    cr_assert(za_frame_header_encode(ZA_FRAME_ADMIN, ZA_LANE_CONTROL, 127, stream, 2) == 0);
    cr_assert(za_frame_header_encode(ZA_FRAME_ADMIN, ZA_LANE_CONTROL, 127, stream, 3) == 3);
}

// Noise is split into frames inside it, or waits, or is refused; a split always moves on.
Test(frame, noise_stays_in_bounds)
{
    za_rng_t rng;
    za_rng_init(&rng, 7);
    for (uint32_t round = 0; round < 100000; round++) {
        uint8_t bytes[40];
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)za_rng_next(&rng);
        }
        bytes[0] &= za_rng_next(&rng) % 2 == 0 ? 0x1f : 0xff;
        size_t at = 0;
        za_frame_t frame;
        size_t used = 0;
        while (za_frame_split(bytes + at, sizeof bytes - at, &frame, &used) == ZA_SPLIT_FRAME) {
            cr_assert(used >= 2 && used <= sizeof bytes - at, "round %u", round);
            cr_assert(frame.payload + frame.size == bytes + at + used, "round %u", round);
            at += used;
        }
    }
}
