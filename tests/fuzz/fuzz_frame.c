// Bytes as a peer's stream: frames, their envelopes and chunks, with the tables of one connection.
// A message that decodes must encode, and decode again to the same.
#include <string.h>

#include "base/assert.h"
#include "wire/envelope.h"

static za_envelope_decoder_t decoder;
static za_envelope_decoder_t mirror_decoder;
static za_envelope_encoder_t mirror;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const za_wire_message_t *message)
{
    static uint8_t out[ZA_FRAME_BYTES_MAX];
    bool bulk = message->bulk != 0;
    if (!bulk && message->size > ZA_MESSAGE_INLINE_BYTES_MAX) {
        return; // a peer's envelope may be shorter than our bound for it
    }
    size_t head = bulk ? za_bulk_begin_encode(&mirror, message, out, sizeof out)
                       : za_message_frame_encode(&mirror, message, out, sizeof out);
    ZA_ASSERT(head > 0 && head <= ZA_MESSAGE_HEADER_BYTES_MAX);
    size_t body = bulk ? 0 : message->size;
    if (body > 0) {
        memcpy(out + head, message->body, body);
    }
    za_frame_t frame;
    size_t used;
    ZA_ASSERT(za_frame_split(out, head + body, &frame, &used) == ZA_SPLIT_FRAME);
    za_wire_message_t again;
    ZA_ASSERT(za_message_frame_decode(&mirror_decoder, &frame, &again) == ZA_OK);
    ZA_ASSERT(again.target == message->target && again.type_id == message->type_id);
    ZA_ASSERT(za_ref_equal(again.sender, message->sender) && again.size == message->size);
    ZA_ASSERT(again.ask == message->ask && again.reply == message->reply);
    ZA_ASSERT(again.failed == message->failed && again.budget_ms == message->budget_ms);
}

static bool take(const za_frame_t *frame)
{
    za_wire_message_t message;
    uint32_t bulk;
    const uint8_t *bytes;
    size_t size;
    switch (frame->kind) {
    case ZA_FRAME_MESSAGE:
    case ZA_FRAME_MESSAGE_RUN:
    case ZA_FRAME_BULK_BEGIN:
        if (za_message_frame_decode(&decoder, frame, &message) != ZA_OK) {
            return false;
        }
        check_again(&message);
        return true;
    case ZA_FRAME_BULK_CHUNK:
        return za_bulk_chunk_decode(frame, &bulk, &bytes, &size) == ZA_OK &&
               bytes + size == frame->payload + frame->size;
    default:
        return true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    za_envelope_decoder_init(&decoder);
    za_envelope_decoder_init(&mirror_decoder);
    za_envelope_encoder_init(&mirror);
    za_frame_t frame;
    size_t used = 0;
    while (za_frame_split(data, size, &frame, &used) == ZA_SPLIT_FRAME) {
        ZA_ASSERT(used <= size && frame.payload + frame.size == data + used);
        if (!take(&frame)) {
            break;
        }
        data += used;
        size -= used;
    }
    return 0;
}
