// proto/vectors/messages.txt: our encoder writes each frame so, our decoder reads it back. What is
// in that file is what other languages' implementations are tested with, so it must not drift.
#include "support/za_test.h"

#include <string.h>

#include "wire/envelope.h"

#ifndef ZA_VECTORS
#error "ZA_VECTORS names the file of vectors"
#endif

enum { LINE = 1024, BYTES = 256 };

typedef struct vector {
    char what[16];
    za_wire_message_t message;
    uint8_t body[BYTES], frame[BYTES], trace[BYTES];
    size_t frame_size;
} vector_t;

static za_envelope_encoder_t encoder;
static za_envelope_decoder_t decoder;

static size_t hex(const char *text, uint8_t *out)
{
    size_t size = 0;
    unsigned byte;
    while (size < BYTES && sscanf(text + 2 * size, "%2x", &byte) == 1) {
        out[size++] = (uint8_t)byte;
    }
    return size;
}

static void set(vector_t *vector, const char *key, const char *text)
{
    za_wire_message_t *message = &vector->message;
    uint64_t value = strtoull(text, NULL, 0);
    if (strcmp(key, "lane") == 0) {
        message->lane = (za_lane_t)value;
    } else if (strcmp(key, "target") == 0) {
        message->target = value;
    } else if (strcmp(key, "sender") == 0) {
        message->sender.actor = value;
    } else if (strcmp(key, "node") == 0) {
        message->sender.node = value;
    } else if (strcmp(key, "type") == 0) {
        message->type_id = (uint32_t)value;
    } else if (strcmp(key, "ask") == 0) {
        message->ask = value;
    } else if (strcmp(key, "reply") == 0) {
        message->reply = value != 0;
    } else if (strcmp(key, "failed") == 0) {
        message->failed = value != 0;
    } else if (strcmp(key, "reason") == 0) {
        message->reason = (uint32_t)value;
    } else if (strcmp(key, "budget") == 0) {
        message->budget_ms = (uint32_t)value;
    } else if (strcmp(key, "bulk") == 0) {
        message->bulk = (uint32_t)value;
    } else if (strcmp(key, "size") == 0) {
        message->size = (uint32_t)value;
    } else if (strcmp(key, "trace") == 0) {
        cr_assert(hex(text, vector->trace) == ZA_TRACE_BYTES);
        message->trace = vector->trace;
    } else if (strcmp(key, "body") == 0) {
        message->size = (uint32_t)hex(text, vector->body);
    } else {
        cr_assert(strcmp(key, "frame") == 0, "unknown key %s", key);
        vector->frame_size = hex(text, vector->frame);
    }
}

/** False for a comment or an empty line. */
static bool parse(char *line, vector_t *vector)
{
    char *at = NULL;
    char *word = strtok_r(line, " \n", &at);
    if (word == NULL || word[0] == '#') {
        return false;
    }
    memset(vector, 0, sizeof *vector);
    snprintf(vector->what, sizeof vector->what, "%s", word);
    for (word = strtok_r(NULL, " \n", &at); word != NULL; word = strtok_r(NULL, " \n", &at)) {
        char *value = strchr(word, '=');
        cr_assert(value != NULL, "%s", word);
        *value = '\0';
        set(vector, word, value + 1);
    }
    return true;
}

static size_t encode(const vector_t *vector, uint8_t *out)
{
    const za_wire_message_t *message = &vector->message;
    size_t body = message->size;
    size_t head;
    if (strcmp(vector->what, "bulk") == 0) {
        head = za_bulk_begin_encode(&encoder, message, out, BYTES);
        body = 0;
    } else if (strcmp(vector->what, "chunk") == 0) {
        head = za_bulk_chunk_encode(message->lane, message->bulk, body, out, BYTES);
    } else {
        head = za_message_frame_encode(&encoder, message, out, BYTES);
    }
    cr_assert(head > 0 && head + body <= BYTES);
    memcpy(out + head, vector->body, body);
    return head + body;
}

static void check_decoded(const vector_t *vector, const za_frame_t *frame)
{
    const za_wire_message_t *want = &vector->message;
    if (strcmp(vector->what, "chunk") == 0) {
        uint32_t bulk = 0;
        size_t size = 0;
        const uint8_t *bytes = NULL;
        cr_assert(za_bulk_chunk_decode(frame, &bulk, &bytes, &size) == ZA_OK);
        cr_assert(bulk == want->bulk && size == want->size);
        cr_assert(memcmp(bytes, vector->body, size) == 0);
        return;
    }
    za_wire_message_t got;
    cr_assert(za_message_frame_decode(&decoder, frame, &got) == ZA_OK);
    cr_assert(got.lane == want->lane && got.target == want->target && got.ask == want->ask);
    cr_assert(za_ref_equal(got.sender, want->sender) && got.type_id == want->type_id);
    cr_assert(got.reply == want->reply && got.failed == want->failed);
    cr_assert(got.reason == want->reason && got.budget_ms == want->budget_ms);
    cr_assert(got.bulk == want->bulk && got.size == want->size);
    cr_assert((got.trace != NULL) == (want->trace != NULL));
    cr_assert(got.trace == NULL || memcmp(got.trace, want->trace, ZA_TRACE_BYTES) == 0);
    cr_assert(got.body == NULL || memcmp(got.body, vector->body, got.size) == 0);
}

Test(vectors, are_what_we_write_and_read)
{
    FILE *file = fopen(ZA_VECTORS, "r");
    cr_assert(file != NULL, "%s", ZA_VECTORS);
    za_envelope_encoder_init(&encoder);
    za_envelope_decoder_init(&decoder);
    char line[LINE];
    vector_t vector;
    uint32_t count = 0;
    for (uint32_t number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        if (!parse(line, &vector)) {
            continue;
        }
        uint8_t ours[BYTES];
        size_t size = encode(&vector, ours);
        char text[2 * BYTES + 1] = "";
        for (size_t i = 0; i < size; i++) {
            snprintf(text + 2 * i, 3, "%02x", ours[i]);
        }
        cr_expect(size == vector.frame_size && memcmp(ours, vector.frame, size) == 0,
                  "line %u: we write %s", number, text);
        za_frame_t frame;
        size_t used = 0;
        cr_assert(za_frame_split(ours, size, &frame, &used) == ZA_SPLIT_FRAME && used == size);
        check_decoded(&vector, &frame);
        count++;
    }
    fclose(file);
    cr_assert(count >= 15, "%u vectors", count);
}
