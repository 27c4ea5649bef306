#include <unistd.h>

#include "readers.h"

enum { BIG = 1 << 20, SMALL = 1000 };

/* ---- an actor that reads ------------------------------------------------------------------- */

typedef za_verdict_t on_blob_fn(za_ctx_t *ctx, reader_t *self, const probe_Open *m);

static struct {
    uint32_t count;   // messages read
    const void *data; // of the last
    uint32_t others;  // messages whose bytes were not where the first's were
    on_blob_fn *behave;
} seen;

static za_blob_t *blob; // of the maker, with one reference

static uint32_t refs(void)
{
    return atomic_load_explicit(&blob->refs, memory_order_relaxed);
}

static za_verdict_t on_open(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    const void *data = za_bytes_data(&m->data);
    seen.others += seen.count > 0 && data != seen.data;
    cr_assert(refs() >= 3, "the maker's and the message's own two");
    seen.data = data;
    seen.count++;
    self->count++;
    return seen.behave != NULL ? seen.behave(ctx, self, m) : ZA_DONE;
}

static void begin(za_runtime_config_t config)
{
    memset(&seen, 0, sizeof seen);
    blob = NULL;
    begin_readers(config);
}

static za_blob_t *make(za_ctx_t *ctx, size_t size)
{
    za_blob_t *made = NULL;
    cr_assert(za_blob_create(ctx, size, &made) == ZA_OK, "%zu bytes", size);
    memset(za_blob_edit(made), 7, size);
    cr_assert(za_blob_seal(made) == ZA_OK, "sealed");
    return made;
}

static void make_big(za_ctx_t *ctx)
{
    blob = make(ctx, BIG);
}

static void make_small(za_ctx_t *ctx)
{
    blob = make(ctx, SMALL);
}

static void let_go(za_ctx_t *ctx)
{
    za_blob_release(ctx, &blob);
    cr_assert(blob == NULL, "no longer ours");
}

static probe_Open *message_of(za_ctx_t *ctx)
{
    probe_Open *m = za_new(ctx, &probe_Open_type, 3 * ZA_BLOB_EXTRA_BYTES);
    cr_assert(m != NULL, "a message");
    m->between = 5;
    m->has_inner = true;
    cr_assert(za_bytes_put_blob(m, &m->data, blob) == ZA_OK, "the blob");
    cr_assert(za_bytes_put_blob(m, &m->inner.blob, blob) == ZA_OK, "once more, in a part");
    return m;
}

static uint64_t blob_bytes(void)
{
    return world_counters(&world).blob_bytes;
}

/** Ends all actors: then the maker's reference alone is left, and after it nothing. */
static void end(const char *name)
{
    world_advance(&world, 100);
    cr_assert(refs() == 1, "%s: %d references", name, (int)refs());
    let(let_go);
    cr_assert(blob_bytes() == 0, "%s: all freed", name);
    za_runtime_stop_all(world.guest);
    world_run(&world);
    cr_assert(za_pools_blocks_in_use(&world.runtime->pools) == 0, "%s: no block is left", name);
    za_runtime_destroy(world.runtime);
}

/* ---- sharing -------------------------------------------------------------------------------- */

enum { FAN_OUT = 10000, HUGE_BYTES = 64 << 20 };

static za_ref_t fan[FAN_OUT];

static void make_huge(za_ctx_t *ctx)
{
    blob = make(ctx, HUGE_BYTES);
}

static void tell_all(za_ctx_t *ctx)
{
    void *m = message_of(ctx);
    for (uint32_t i = 0; i < FAN_OUT; i++) {
        cr_assert(za_tell(ctx, fan[i], &probe_Open_type, m) == ZA_OK, "to %d", (int)i);
    }
}

// 64 MiB to ten thousand actors: 625 GiB if they were copied.
Test(blob, fan_out_copies_nothing)
{
    begin((za_runtime_config_t){ .actors_max = FAN_OUT + 10 });
    for (uint32_t i = 0; i < FAN_OUT; i++) {
        fan[i] = spawn_reader((za_spawn_opts_t){ 0 });
    }
    world_run(&world);
    let(make_huge);
    za_counters_t before = world_counters(&world);
    cr_assert(before.blob_bytes == HUGE_BYTES, "one");
    step = tell_all;
    world_go(&world, maker, 0, ZA_REF_NONE);
    world_run(&world);
    za_counters_t after = world_counters(&world);
    cr_assert(seen.count == FAN_OUT, "%d read it", (int)seen.count);
    cr_assert(seen.others == 0 && seen.data == za_blob_data(blob), "all at the same place");
    cr_assert(after.blob_bytes == HUGE_BYTES, "still one");
    cr_assert(after.pool_bytes - before.pool_bytes < FAN_OUT * 512,
              "%d bytes for the messages themselves", (int)(after.pool_bytes - before.pool_bytes));
    end("fan out");
}

static void check_contents(za_ctx_t *ctx)
{
    probe_Open *m = message_of(ctx);
    cr_assert(m->data.size == SMALL && m->inner.blob.size == SMALL, "sizes");
    cr_assert(za_bytes_data(&m->data) == za_blob_data(blob), "the blob's own bytes");
    cr_assert(za_bytes_blob(&m->data) == blob && za_bytes_blob(&m->text) == NULL, "the blob");
    cr_assert(refs() == 3, "one for each field");
    uint32_t extent = za_type_extent(&probe_Open_type, m);
    cr_assert(extent == sizeof *m + 2 * sizeof(za_blob_slot_t), "%d bytes", (int)extent);
    cr_assert(za_bytes_put(m, &m->text, "hi", 2) == ZA_OK, "bytes beside it");
    cr_assert(memcmp(za_bytes_data(&m->text), "hi", 2) == 0, "and they are there");
}

Test(blob, reads_as_bytes_do)
{
    begin((za_runtime_config_t){ 0 });
    let(make_small);
    let(check_contents);
    end("contents");
}

static uint8_t inline_wire[BIG + 100], blob_wire[BIG + 100];

// What goes to another node is the bytes; whoever reads them cannot tell what they were.
static void encode_both(za_ctx_t *ctx)
{
    probe_Open *with = message_of(ctx);
    probe_Open *without = za_new(ctx, &probe_Open_type, 2 * SMALL);
    without->between = 5;
    without->has_inner = true;
    cr_assert(za_bytes_put(without, &without->data, za_blob_data(blob), SMALL) == ZA_OK, "data");
    cr_assert(za_bytes_put(without, &without->inner.blob, za_blob_data(blob), SMALL) == ZA_OK, "");
    size_t size = 0;
    size_t written[2];
    cr_assert(probe_Open_type.encoded_size(with, &size) == ZA_OK, "its size");
    cr_assert(probe_Open_type.encode(with, blob_wire, sizeof blob_wire, &written[0]) == ZA_OK, "");
    cr_assert(
        probe_Open_type.encode(without, inline_wire, sizeof inline_wire, &written[1]) == ZA_OK, "");
    cr_assert(written[0] == size && written[1] == size, "same size");
    cr_assert(memcmp(blob_wire, inline_wire, size) == 0, "same bytes");
    union {
        probe_Open message;
        uint8_t bytes[sizeof(probe_Open) + 3 * SMALL];
    } block;
    cr_assert(probe_Open_type.decode(&block, sizeof block, blob_wire, size) == ZA_OK, "decoded");
    cr_assert(za_bytes_blob(&block.message.data) == NULL && block.message.data.size == SMALL, "");
    cr_assert(memcmp(za_bytes_data(&block.message.data), za_blob_data(blob), SMALL) == 0, "bytes");
}

Test(blob, goes_to_other_nodes_as_bytes)
{
    begin((za_runtime_config_t){ 0 });
    let(make_small);
    let(encode_both);
    end("encoded");
}

/* ---- every way that a message may take ------------------------------------------------------- */

static void walk(const char *name, step_fn *what, on_blob_fn *behave)
{
    for (int big = 0; big < 2; big++) {
        begin((za_runtime_config_t){ .mailbox_default = 4 });
        let(big ? make_big : make_small);
        seen.behave = behave;
        let(what);
        end(name);
    }
}

static void send_one(za_ctx_t *ctx)
{
    void *m = message_of(ctx);
    cr_assert(za_send(ctx, peer, &m) == ZA_OK, "moved");
    cr_assert(refs() == 3, "moved, not copied");
}

Test(blob, is_let_go_when_it_was_handled)
{
    walk("send", send_one, NULL);
}

static za_verdict_t fail(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    return ZA_FAIL;
}

Test(blob, is_let_go_by_a_handler_that_fails)
{
    walk("fail", send_one, fail);
}

static void discard_one(za_ctx_t *ctx)
{
    void *m = message_of(ctx);
    za_discard(ctx, &m);
    cr_assert(refs() == 1, "discarded");
    cr_assert(message_of(ctx) != NULL, "and one that is forgotten");
}

Test(blob, is_let_go_with_a_message_that_is_not_sent)
{
    walk("discard", discard_one, NULL);
}

static void flood(za_ctx_t *ctx)
{
    void *m = message_of(ctx);
    uint32_t accepted = 0;
    while (za_tell(ctx, peer, &probe_Open_type, m) == ZA_OK) {
        accepted++;
    }
    cr_assert(accepted == 4, "%d of 4", (int)accepted);
    cr_assert(za_send(ctx, peer, &m) == ZA_EFULL && m != NULL, "still ours");
    cr_assert(refs() == 1 + 2 + 4 * 2, "%d references", (int)refs());
}

Test(blob, is_not_taken_by_a_full_mailbox)
{
    walk("flood", flood, NULL);
}

static void drop_newest(za_ctx_t *ctx)
{
    peer = spawn_reader((za_spawn_opts_t){ .mailbox = 1, .overflow = ZA_DROP_NEWEST });
    for (uint32_t i = 0; i < 3; i++) {
        void *m = message_of(ctx);
        cr_assert(za_tell(ctx, peer, &probe_Open_type, m) == ZA_OK, "copied");
        cr_assert(za_send(ctx, peer, &m) == ZA_OK, "moved");
    }
}

Test(blob, is_let_go_by_a_mailbox_that_drops)
{
    walk("drop newest", drop_newest, NULL);
}

static void drop_oldest(za_ctx_t *ctx)
{
    peer = spawn_reader((za_spawn_opts_t){ .mailbox = 2, .overflow = ZA_DROP_OLDEST });
    for (uint32_t i = 0; i < 5; i++) {
        void *m = message_of(ctx);
        cr_assert(za_tell(ctx, peer, &probe_Open_type, m) == ZA_OK, "copied");
        const za_ask_opts_t opts = { .size = sizeof opts, .timeout_ms = 50 };
        cr_assert(za_ask_send(ctx, peer, &m, &opts) == ZA_OK, "moved");
    }
}

Test(blob, is_let_go_by_a_mailbox_that_drops_the_oldest)
{
    walk("drop oldest", drop_oldest, NULL);
    cr_assert(seen.count == 2, "%d were left", (int)seen.count);
}

static void send_to_the_dead(za_ctx_t *ctx)
{
    za_ref_t child;
    cr_assert(za_spawn(ctx, reader, &child) == ZA_OK, "a child");
    for (uint32_t i = 0; i < 3; i++) {
        void *m = message_of(ctx);
        za_err_t err = za_send(ctx, child, &m);
        cr_assert(err == (i < 2 ? ZA_OK : ZA_EFULL), "%s", za_err_name(err));
        m = message_of(ctx);
        const za_ask_opts_t opts = { .size = sizeof opts, .timeout_ms = 50 };
        err = za_ask_send(ctx, child, &m, &opts);
        cr_assert(err == (i < 2 ? ZA_OK : ZA_EFULL), "%s", za_err_name(err));
    }
    cr_assert(za_stop(ctx, child) == ZA_OK, "stop overtakes");
}

Test(blob, is_let_go_by_dead_letters_and_failed_asks)
{
    walk("dead letters", send_to_the_dead, NULL);
    cr_assert(seen.count == 0, "none was handled");
}

static za_verdict_t keep(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    if (self->kept == NULL) {
        self->kept = za_keep(ctx);
        cr_assert(self->kept != NULL && za_kept_body(self->kept) == m, "kept");
        return ZA_DONE;
    }
    const probe_Open *before = za_kept_body(self->kept);
    cr_assert(za_bytes_blob(&before->data) == blob, "still there");
    if (self->count == 2) {
        za_release(ctx, &self->kept);
        self->kept = za_keep(ctx);
    }
    return self->count == 3 ? ZA_STOP : ZA_DONE; // with one that is kept
}

static void send_three(za_ctx_t *ctx)
{
    for (uint32_t i = 0; i < 3; i++) {
        void *m = message_of(ctx);
        cr_assert(za_send(ctx, peer, &m) == ZA_OK, "moved");
    }
}

Test(blob, is_held_by_a_kept_message)
{
    walk("keep", send_three, keep);
}

static za_verdict_t stash_twice(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    cr_assert(za_bytes_blob(&m->inner.blob) == blob, "still there");
    if (self->count == 3) {
        za_unstash_all(ctx);
    }
    return self->count < 3 ? ZA_STASH : self->count < 5 ? ZA_DONE : ZA_STOP;
}

Test(blob, is_held_by_a_stashed_message)
{
    walk("stash", send_three, stash_twice);
    cr_assert(seen.count == 5, "%d times", (int)seen.count);
}

static za_verdict_t stash_always(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    (void)ctx;
    (void)m;
    return self->count < 3 ? ZA_STASH : ZA_STOP;
}

Test(blob, is_let_go_with_a_stash)
{
    walk("stash and stop", send_three, stash_always);
}

static za_verdict_t forward(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    (void)m;
    if (seen.count == 1) {
        cr_assert(za_forward(ctx, peer) == ZA_OK, "to itself, once");
    }
    return self->count == 2 ? ZA_STOP : ZA_DONE;
}

Test(blob, is_shared_by_a_forwarded_message)
{
    walk("forward", send_one, forward);
    cr_assert(seen.count == 2 && seen.others == 0, "twice, the same");
}

static void spawn_with_args(za_ctx_t *ctx)
{
    void *m = message_of(ctx);
    za_ref_t child;
    const za_spawn_opts_t opts = {
        .size = sizeof opts, .max_restarts = 2, .args_type = &probe_Open_type, .args = m
    };
    cr_assert(za_spawn_with(ctx, &reader_class, &child, &opts) == ZA_OK, "a child");
}

// Three lives read them; after the last one they are gone.
Test(blob, is_held_by_arguments_over_restarts)
{
    walk("arguments", spawn_with_args, fail);
    cr_assert(seen.count == 3, "%d lives", (int)seen.count);
}

static void start_timers(za_ctx_t *ctx)
{
    za_timer_t timers[3];
    void *m = message_of(ctx);
    cr_assert(za_after(ctx, 10, &probe_Open_type, m, &timers[0]) == ZA_OK, "once");
    cr_assert(za_every(ctx, 10, &probe_Open_type, m, &timers[1]) == ZA_OK, "again and again");
    cr_assert(za_after(ctx, 20, &probe_Open_type, m, &timers[2]) == ZA_OK, "never");
    cr_assert(refs() == 1 + 5 * 2, "%d references", (int)refs());
    za_cancel(ctx, &timers[2]);
}

static za_verdict_t on_timer(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    cr_assert(za_bytes_blob(&m->data) == blob, "the blob");
    if (self->count == 1) {
        start_timers(ctx);
        return ZA_DONE;
    }
    return self->count == 5 ? ZA_STOP : ZA_DONE;
}

Test(blob, is_held_by_timers)
{
    walk("timers", send_one, on_timer);
    cr_assert(seen.count == 5, "%d times", (int)seen.count);
}

static za_verdict_t answer(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    if (za_ref_equal(za_self(ctx), peer)) { // the one that is asked
        za_reply(ctx, &probe_Open_type, m);
        void *late = message_of(ctx);
        za_reply_send(ctx, &late);
        return ZA_DONE;
    }
    if (self->count == 1) { // its arguments
        const za_ask_opts_t opts = { .size = sizeof opts, .timeout_ms = 50 };
        cr_assert(za_ask_with(ctx, peer, &probe_Open_type, m, &opts) == ZA_OK, "asked");
    }
    return self->count == 2 ? ZA_STOP : ZA_DONE; // its arguments go with it
}

Test(blob, is_shared_by_asks_and_answers)
{
    walk("ask", spawn_with_args, answer);
    cr_assert(seen.count == 3 && seen.others == 0, "arguments, ask, answer");
}

static void keep_in_state(za_ctx_t *ctx)
{
    probe_Open *m = message_of(ctx);
    za_blob_t *mine = za_blob_retain(za_bytes_blob(&m->data));
    void *gone = m;
    za_discard(ctx, &gone);
    cr_assert(refs() == 2 && ((const char *)za_blob_data(mine))[SMALL - 1] == 7, "it stays");
    za_blob_release(ctx, &mine);
    cr_assert(mine == NULL && refs() == 1, "until it is let go");
}

Test(blob, outlives_its_message_for_whoever_retains_it)
{
    walk("retain", keep_in_state, NULL);
}

/* ---- limits and mistakes --------------------------------------------------------------------- */

static void break_limits(za_ctx_t *ctx)
{
    za_blob_t *more = NULL;
    cr_assert(za_blob_create(ctx, BIG, &more) == ZA_ENOBUFS && more == NULL, "over the bound");
    cr_assert(za_blob_create(ctx, 0, &more) == ZA_EINVAL, "nothing");
    cr_assert(za_blob_create(ctx, (size_t)ZA_BLOB_BYTES_MAX + 1, &more) == ZA_ETOOBIG, "too big");
    cr_assert(za_blob_create(ctx, SIZE_MAX, &more) == ZA_ETOOBIG, "far too big");
    cr_assert(za_blob_create(NULL, 1, &more) == ZA_EINVAL, "nobody");
    cr_assert(za_blob_copy(ctx, NULL, 1, &more) == ZA_EINVAL && more == NULL, "of nothing");
    cr_assert(za_blob_create(ctx, SMALL, &more) == ZA_OK, "a small one still fits");
    za_blob_release(ctx, &more);
    cr_assert(za_blob_create(ctx, SMALL, &more) == ZA_OK, "and again");
    za_blob_release(ctx, &more);
}

Test(blob, holds_the_bound_of_the_node)
{
    begin((za_runtime_config_t){ .blob_bytes_max = 2 * BIG - 1 });
    let(make_big);
    let(break_limits);
    cr_assert(world_counters(&world).blobs_refused == 1, "counted");
    end("bound");
}

static void make_mistakes(za_ctx_t *ctx)
{
    za_blob_t *open = NULL;
    probe_Open *m = za_new(ctx, &probe_Open_type, ZA_BLOB_EXTRA_BYTES);
    cr_assert(za_blob_create(ctx, 10, &open) == ZA_OK, "a blob");
    cr_assert(za_bytes_put_blob(m, &m->data, open) == ZA_EINVAL, "not sealed");
    cr_assert(za_blob_seal(open) == ZA_OK && za_blob_seal(open) == ZA_OK, "twice is once");
    cr_assert(za_blob_edit(open) == NULL, "sealed");
    za_bytes_t elsewhere;
    cr_assert(za_bytes_put_blob(m, &elsewhere, open) == ZA_EINVAL, "no field of it");
    cr_assert(za_bytes_put_blob(m, &m->data, open) == ZA_OK, "at last");
    cr_assert(za_bytes_put_blob(m, &m->data, open) == ZA_EINVAL, "taken");
    cr_assert(za_bytes_put(m, &m->data, "", 0) == ZA_EINVAL, "by a blob");
    cr_assert(za_bytes_put_blob(m, &m->text, open) == ZA_ETOOBIG, "no room");
    t_Text *text = za_new(ctx, &t_Text_type, 100);
    cr_assert(za_bytes_put_blob(text, &text->text, open) == ZA_EINVAL, "no generated type");
    za_blob_release(ctx, &open);
    za_blob_release(ctx, &open); // of NULL
    cr_assert(za_blob_seal(NULL) == ZA_EINVAL && za_blob_size(NULL) == 0, "nothing");
    cr_assert(za_blob_data(NULL) == NULL && za_blob_retain(NULL) == NULL, "nothing");
}

Test(blob, answers_mistakes)
{
    begin((za_runtime_config_t){ 0 });
    let(make_small);
    let(make_mistakes);
    end("mistakes");
}

static uint32_t mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    uint32_t count = 0;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        count += strstr(line, "zactor-blob") != NULL;
    }
    fclose(maps);
    return count;
}

// What has pages of its own is a matter of size; the end of a node leaves none behind.
Test(blob, large_ones_are_mapped_and_unmapped)
{
    begin((za_runtime_config_t){ .blob_map_bytes = 100000 });
    let(make_small);
    cr_assert(blob->place == ZA_BLOB_POOLED && mappings() == 0, "small");
    let(let_go);
    let(make_big);
    cr_assert(blob->place != ZA_BLOB_POOLED, "large");
    uint32_t before = mappings();
    let(let_go);
    cr_assert(mappings() == 0, "unmapped");
    let(make_big);
    let(make_big);
    cr_assert(mappings() == 2 * before, "two that nobody lets go");
    za_runtime_destroy(world.runtime);
    cr_assert(mappings() == 0, "unmapped by the end");
}

Test(blob, of_pages_cannot_be_written, .signal = SIGSEGV)
{
    signal(SIGSEGV, SIG_DFL); // not a sanitizer's
    begin((za_runtime_config_t){ 0 });
    let(make_big);
    *(volatile char *)(uintptr_t)za_blob_data(blob) = 1;
}

static bool refuse(void *context, size_t bytes, za_pool_bound_t bound)
{
    (void)bytes;
    return bound == ZA_POOL_BEYOND || !*(bool *)context;
}

static bool no_memory;

static void make_none(za_ctx_t *ctx)
{
    za_blob_t *none = NULL;
    no_memory = true;
    cr_assert(za_blob_create(ctx, SMALL, &none) == ZA_ENOBUFS && none == NULL, "small");
    cr_assert(za_blob_create(ctx, BIG, &none) == ZA_ENOBUFS && none == NULL, "large");
    no_memory = false;
}

Test(blob, takes_nothing_when_the_pool_is_empty)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    za_pools_guard(&world.runtime->pools, refuse, &no_memory);
    world_behave = run_step;
    maker = world_spawn(&world);
    let(make_none);
    cr_assert(blob_bytes() == 0, "given back");
    let(make_small);
    end("empty pool");
}
