/**
 * Blobs and frozen messages that wander between workers: forwarded, kept, shared anew, let go anywhere.
 * Afterwards none is left, and nobody read what was not written.
 */
#include "core/worker.h"
#include "stress_world.h"

enum { ACTORS = 32, WORKERS = 3, SMALL = 600, MAP_BYTES = 4096, LARGE = 3 * MAP_BYTES };

typedef struct s_Blob {
    uint64_t hops;
    za_bytes_t data;
} s_Blob;

static uint32_t blob_extent(const void *message)
{
    const s_Blob *m = message;
    return (uint32_t)(offsetof(s_Blob, data) + (m->data.offset & ~ZA_BYTES_BLOB) +
                      sizeof(za_blob_slot_t));
}

static void blob_bytes(void *message, void (*visit)(za_bytes_t *field, void *context),
                       void *context)
{
    visit(&((s_Blob *)message)->data, context);
}

static const za_type_t s_Blob_type = {
    .name = "s.Blob", .id = 202, .size = sizeof(s_Blob), .extent = blob_extent, .bytes = blob_bytes
};

static za_ref_t actors[ACTORS];
static _Atomic uint64_t finished;

typedef struct wanderer {
    za_message_t *kept;
} wanderer_t;

static za_ref_t anybody(za_ctx_t *ctx)
{
    return actors[za_random(ctx) % ACTORS];
}

static void check(const s_Blob *m)
{
    const unsigned char *data = za_bytes_data(&m->data);
    MUST(m->data.size == SMALL || m->data.size == LARGE);
    MUST(data[0] == data[m->data.size - 1] && data[0] == data[m->data.size / 2]);
}

/** A new message with the blob of another, or with a new one. */
static void *make(za_ctx_t *ctx, const s_Blob *from, uint64_t hops)
{
    za_blob_t *blob = from == NULL ? NULL : za_blob_retain(za_bytes_blob(&from->data));
    if (blob == NULL) {
        size_t size = za_random(ctx) % 2 == 0 ? SMALL : LARGE;
        MUST(za_blob_create(ctx, size, &blob) == ZA_OK);
        memset(za_blob_edit(blob), (int)(za_random(ctx) % 256), size);
        MUST(za_blob_seal(blob) == ZA_OK);
    }
    s_Blob *m = za_new(ctx, &s_Blob_type, ZA_BLOB_EXTRA_BYTES);
    MUST(m != NULL);
    m->hops = hops;
    MUST(za_bytes_put_blob(m, &m->data, blob) == ZA_OK);
    za_blob_release(ctx, &blob);
    return m;
}

/** By reference; ours is gone before it is read. */
static void share(za_ctx_t *ctx, void *message)
{
    za_frozen_t *frozen = NULL;
    MUST(za_freeze(ctx, &message, &frozen) == ZA_OK);
    MUST(za_share(ctx, anybody(ctx), frozen) == ZA_OK);
    za_frozen_release(ctx, &frozen);
}

static za_verdict_t on_blob(za_ctx_t *ctx, wanderer_t *self, const s_Blob *m)
{
    check(m);
    if (self->kept != NULL) {
        check(za_kept_body(self->kept));
        za_release(ctx, &self->kept);
    }
    if (m->hops == 0) {
        atomic_fetch_add_explicit(&finished, 1, memory_order_release);
        return ZA_DONE;
    }
    bool again = za_random(ctx) % 4 != 0; // the same blob
    void *message = make(ctx, again ? m : NULL, m->hops - 1);
    if (za_random(ctx) % 2 == 0) {
        share(ctx, message);
    } else if (za_random(ctx) % 2 == 0) {
        MUST(za_send(ctx, anybody(ctx), &message) == ZA_OK);
    } else {
        MUST(za_tell(ctx, anybody(ctx), &s_Blob_type, message) == ZA_OK);
    }
    if (za_random(ctx) % 4 == 0) {
        self->kept = za_keep(ctx);
    }
    return ZA_DONE;
}

static za_verdict_t on_num(za_ctx_t *ctx, wanderer_t *self, const s_Num *m)
{
    (void)self;
    void *message = make(ctx, NULL, m->n);
    MUST(za_send(ctx, anybody(ctx), &message) == ZA_OK);
    return ZA_DONE;
}

ZA_ACTOR(wanderer, wanderer_t, (s_Blob, on_blob), (s_Num, on_num));

int main(int argc, char **argv)
{
    uint64_t hops = stress_rounds(argc, argv, 2000);
    stress_t stress;
    MUST(za_threads_create(NULL, &stress.threads) == ZA_OK);
    const za_runtime_config_t config = { .workers = WORKERS,
                                         .actors_max = 1000,
                                         .pool_bytes_max = 64 << 20,
                                         .blob_map_bytes = MAP_BYTES,
                                         .mailbox_default = 1000,
                                         .seed = 1,
                                         .host = za_threads_host(),
                                         .host_context = stress.threads };
    MUST(za_runtime_create(&config, &stress.runtime) == ZA_OK);
    MUST(za_threads_start(stress.threads, stress.runtime) == ZA_OK);
    za_worker_t *guest = za_runtime_guest(stress.runtime);
    for (uint32_t i = 0; i < ACTORS; i++) {
        actors[i] = stress_spawn(guest, &wanderer_class);
    }
    for (uint32_t i = 0; i < ACTORS; i++) {
        MUST(stress_tell(guest, actors[i], (s_Num){ .n = hops }) == ZA_OK);
    }
    while (atomic_load_explicit(&finished, memory_order_acquire) < ACTORS) {
        sched_yield();
    }
    za_runtime_stop_all(guest);
    za_counters_t counters;
    do {
        sched_yield();
        za_runtime_counters(stress.runtime, &counters);
    } while (counters.actors > 0);
    za_threads_stop(stress.threads);
    za_runtime_counters(stress.runtime, &counters);
    MUST(counters.blob_bytes == 0);
    MUST(za_pools_blocks_in_use(&stress.runtime->pools) == 0);
    za_runtime_destroy(stress.runtime);
    za_threads_destroy(stress.threads);
    printf("%d blobs and what came of them made %llu hops each\n", ACTORS,
           (unsigned long long)hops);
    return 0;
}
