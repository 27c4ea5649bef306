#include "counter.h"

#include <stdlib.h>

#include "wordcount.za.h"
#include "words.h"

enum {
    KEPT_MAX = 8, // batches in work at once; the driver sends no more
};

typedef struct counter {
    za_message_t *kept[KEPT_MAX]; // a ring, oldest first
    uint32_t first;
    uint32_t count;
} counter_t;

/** A wc_Counts with the words of `words`, to be moved or discarded; NULL if there is no memory. */
static void *make_counts(za_ctx_t *ctx, const words_t *words)
{
    size_t size = words_packed_bytes(words);
    uint8_t *packed = malloc(size + 1); // never malloc(0), which may be NULL
    if (packed == NULL) {
        return NULL;
    }
    words_pack(words, packed);
    void *message = za_new(ctx, &wc_Counts_type, size);
    if (message != NULL) {
        wc_Counts *counts = message;
        if (za_bytes_put(counts, &counts->packed, packed, size) != ZA_OK) {
            za_discard(ctx, &message);
        }
    }
    free(packed);
    return message;
}

/** Counts one batch; NULL if that cannot be done now. */
static void *count_batch(za_ctx_t *ctx, const wc_Batch *batch)
{
    words_t *words = NULL;
    void *counts = NULL;
    za_err_t err = words_create(&words);
    if (err == ZA_OK) {
        err = words_count(words, za_bytes_data(&batch->text), batch->text.size);
    }
    if (err == ZA_OK) {
        counts = make_counts(ctx, words);
    } else {
        za_log(ctx, ZA_WARN, "a batch of %u bytes was not counted: %s", batch->text.size,
               za_err_text(err));
    }
    words_destroy(words);
    return counts;
}

/** Puts the batch being handled aside until its time has come. False if it cannot be. */
static bool try_put_aside(za_ctx_t *ctx, counter_t *self, uint32_t work_ms)
{
    if (self->count == KEPT_MAX ||
        za_after(ctx, work_ms, ZA_MSG(wc_Due, .work_ms = work_ms), NULL) != ZA_OK) {
        return false;
    }
    za_message_t *kept = za_keep(ctx);
    if (kept == NULL) {
        return false;
    }
    self->kept[(self->first + self->count) % KEPT_MAX] = kept;
    self->count++;
    return true;
}

static za_verdict_t on_batch(za_ctx_t *ctx, counter_t *self, const wc_Batch *batch)
{
    if (batch->work_ms > 0 && try_put_aside(ctx, self, batch->work_ms)) {
        return ZA_DONE;
    }
    void *counts = count_batch(ctx, batch);
    if (counts != NULL) {
        za_reply_send(ctx, &counts);
    } // else the driver's ask fails at once, and it sends the batch again
    return ZA_DONE;
}

static za_verdict_t on_due(za_ctx_t *ctx, counter_t *self, const wc_Due *due)
{
    (void)due;
    if (self->count == 0) {
        return ZA_DONE; // its batch was counted at once, for want of memory to put it aside
    }
    za_message_t *kept = self->kept[self->first];
    self->first = (self->first + 1) % KEPT_MAX;
    self->count--;

    void *counts = count_batch(ctx, za_kept_body(kept));
    if (counts == NULL) {
        za_release(ctx, &kept);
        return ZA_DONE;
    }
    za_reply_kept(ctx, &kept, &wc_Counts_type, counts);
    za_discard(ctx, &counts);
    return ZA_DONE;
}

ZA_ACTOR(wordcount_counter, counter_t, (wc_Batch, on_batch), (wc_Due, on_due));
