#include "readers.h"

enum { TEXT = 100000, FAN_OUT = 1000 };

/* ---- an actor that reads ------------------------------------------------------------------- */

typedef za_verdict_t on_frozen_fn(za_ctx_t *ctx, reader_t *self, const probe_Open *m);

static struct {
    uint32_t count;
    uint32_t copies; // that were not where the frozen one is
    uint64_t tag;    // of the last
    za_ref_t sender;
    on_frozen_fn *behave;
} seen;

static za_frozen_t *frozen; // of the maker, with one reference

static uint32_t refs(void)
{
    return atomic_load_explicit(&((za_message_t *)frozen)->refs, memory_order_relaxed);
}

static za_verdict_t on_open(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    cr_assert(refs() >= 2, "the maker's and the message's own");
    cr_assert(m->text.size == TEXT && m->between == 5, "what it says");
    seen.count++;
    self->count++;
    seen.copies += m != za_frozen_body(frozen);
    seen.tag = za_tag(ctx);
    seen.sender = za_sender(ctx);
    return seen.behave != NULL ? seen.behave(ctx, self, m) : ZA_DONE;
}

static void make(za_ctx_t *ctx)
{
    static char text[TEXT];
    memset(text, 'x', TEXT);
    probe_Open *m = za_new(ctx, &probe_Open_type, TEXT);
    cr_assert(m != NULL && za_bytes_put(m, &m->text, text, TEXT) == ZA_OK, "a message");
    m->between = 5;
    void *body = m;
    cr_assert(za_freeze(ctx, &body, &frozen) == ZA_OK && body == NULL, "frozen");
    cr_assert(za_frozen_body(frozen) == m, "where it was");
}

static void begin(za_runtime_config_t config)
{
    memset(&seen, 0, sizeof seen);
    begin_readers(config);
    let(make);
}

static void let_go(za_ctx_t *ctx)
{
    za_frozen_release(ctx, &frozen);
    cr_assert(frozen == NULL, "no longer ours");
}

static void end(const char *name)
{
    world_advance(&world, 100);
    cr_assert(refs() == 1, "%s: %d references", name, (int)refs());
    let(let_go);
    za_runtime_stop_all(world.guest);
    world_run(&world);
    uint64_t left = za_pools_blocks_in_use(&world.runtime->pools);
    cr_assert(left == 0, "%s: %d blocks are left", name, (int)left);
    za_runtime_destroy(world.runtime);
}

static void walk(const char *name, step_fn *what, on_frozen_fn *behave)
{
    begin((za_runtime_config_t){ .mailbox_default = 4 });
    seen.behave = behave;
    let(what);
    end(name);
    cr_assert(seen.copies == 0, "%s: all read the same memory", name);
}

/* ---- sharing -------------------------------------------------------------------------------- */

static za_ref_t fan[FAN_OUT];

static void share_with_all(za_ctx_t *ctx)
{
    for (uint32_t i = 0; i < FAN_OUT; i++) {
        cr_assert(za_share(ctx, fan[i], frozen) == ZA_OK, "to %d", (int)i);
    }
    cr_assert(refs() == FAN_OUT + 1, "each has its own");
}

// 100 KB to a thousand actors: 100 MB if they were copied.
Test(freeze, fan_out_copies_nothing)
{
    begin((za_runtime_config_t){ 0 });
    for (uint32_t i = 0; i < FAN_OUT; i++) {
        fan[i] = spawn_reader((za_spawn_opts_t){ 0 });
    }
    world_run(&world);
    uint64_t before = world_counters(&world).pool_bytes;
    let(share_with_all);
    uint64_t grown = world_counters(&world).pool_bytes - before;
    cr_assert(seen.count == FAN_OUT && seen.copies == 0, "%d read it", (int)seen.count);
    cr_assert(grown <= FAN_OUT * 256, "%d bytes", (int)grown);
    end("fan out");
}

static void share_one(za_ctx_t *ctx)
{
    cr_assert(za_share(ctx, peer, frozen) == ZA_OK, "shared");
}

static za_verdict_t check_sender(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    (void)self;
    (void)m;
    cr_assert(za_ref_equal(za_sender(ctx), maker), "who shared it");
    return ZA_FAIL;
}

Test(freeze, is_a_message_like_any_other)
{
    walk("one", share_one, check_sender);
    cr_assert(seen.count == 1, "handled once, though its handler failed");
}

static void release_before_it_is_read(za_ctx_t *ctx)
{
    za_frozen_t *mine = za_frozen_retain(frozen);
    cr_assert(za_share(ctx, peer, mine) == ZA_OK, "shared");
    za_frozen_release(ctx, &mine);
    za_frozen_release(ctx, &mine); // of NULL
    cr_assert(mine == NULL && refs() == 2, "the message's and ours");
}

Test(freeze, lives_until_its_last_reader)
{
    walk("released", release_before_it_is_read, NULL);
    cr_assert(seen.count == 1, "read");
}

static void flood(za_ctx_t *ctx)
{
    uint32_t accepted = 0;
    while (za_share(ctx, peer, frozen) == ZA_OK) {
        accepted++;
    }
    cr_assert(accepted == 4 && za_share(ctx, peer, frozen) == ZA_EFULL, "%d", (int)accepted);
    za_ref_t drops = spawn_reader((za_spawn_opts_t){ .mailbox = 1, .overflow = ZA_DROP_NEWEST });
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(za_share(ctx, drops, frozen) == ZA_OK, "accepted, and lost but for the first");
    }
    cr_assert(refs() == 1 + 4 + 1, "%d references", (int)refs());
}

Test(freeze, keeps_to_the_bound_of_the_mailbox)
{
    walk("flood", flood, NULL);
    cr_assert(seen.count == 5, "%d", (int)seen.count);
}

static void share_with_the_dead(za_ctx_t *ctx)
{
    za_ref_t child;
    const za_ask_opts_t opts = { .size = sizeof opts, .timeout_ms = 50, .tag = 9 };
    cr_assert(za_spawn(ctx, reader, &child) == ZA_OK, "a child");
    cr_assert(za_share(ctx, child, frozen) == ZA_OK, "while it lives");
    cr_assert(za_ask_share(ctx, child, frozen, &opts) == ZA_OK, "an ask, too");
    cr_assert(za_stop(ctx, child) == ZA_OK, "stop overtakes");
}

Test(freeze, is_let_go_by_dead_letters_and_failed_asks)
{
    walk("dead letters", share_with_the_dead, NULL);
    cr_assert(seen.count == 0, "not handled");
    cr_assert(world_count('D', 0) == 1 && world_nth('D', 0, 0)->tag == 9, "the ask failed");
}

static za_verdict_t forward_once(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    (void)m;
    if (self->count == 1) {
        cr_assert(za_forward(ctx, peer) == ZA_OK && refs() == 3, "shared once more");
    }
    return ZA_DONE;
}

Test(freeze, is_forwarded_without_a_copy)
{
    walk("forward", share_one, forward_once);
    cr_assert(seen.count == 2 && za_ref_equal(seen.sender, maker), "twice, of its first sender");
}

static void share_three(za_ctx_t *ctx)
{
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(za_share(ctx, peer, frozen) == ZA_OK, "shared");
    }
}

static za_verdict_t keep(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    if (self->kept == NULL) {
        self->kept = za_keep(ctx);
        cr_assert(self->kept != NULL && za_kept_body(self->kept) == m, "kept, where it is");
        return ZA_DONE;
    }
    if (self->count == 2) {
        za_release(ctx, &self->kept);
        self->kept = za_keep(ctx);
    }
    return self->count == 3 ? ZA_STOP : ZA_DONE;
}

Test(freeze, is_held_by_a_kept_message)
{
    walk("keep", share_three, keep);
}

static za_verdict_t stash(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    (void)m;
    if (self->count == 3) {
        za_unstash_all(ctx);
    }
    return self->count < 3 ? ZA_STASH : self->count < 5 ? ZA_DONE : ZA_STOP;
}

Test(freeze, is_held_by_a_stashed_message)
{
    walk("stash", share_three, stash);
    cr_assert(seen.count == 5, "%d times", (int)seen.count);
}

static za_verdict_t answer(za_ctx_t *ctx, reader_t *self, const probe_Open *m)
{
    (void)self;
    (void)m;
    za_reply(ctx, ZA_MSG(t_Num, .n = 3));
    return ZA_DONE;
}

static void ask_one(za_ctx_t *ctx)
{
    const za_ask_opts_t opts = { .size = sizeof opts, .timeout_ms = 50, .tag = 4 };
    cr_assert(za_ask_share(ctx, peer, frozen, &opts) == ZA_OK, "asked");
}

Test(freeze, may_be_asked_and_answered)
{
    walk("ask", ask_one, answer);
    const event_t *reply = world_nth('N', maker.actor, 0);
    cr_assert(reply != NULL && reply->n == 3 && reply->tag == 4, "answered");
}

static void hold_a_blob(za_ctx_t *ctx)
{
    za_blob_t *blob = NULL;
    cr_assert(za_blob_copy(ctx, "payload", 7, &blob) == ZA_OK, "a blob");
    probe_Open *m = za_new(ctx, &probe_Open_type, ZA_BLOB_EXTRA_BYTES);
    cr_assert(za_bytes_put_blob(m, &m->data, blob) == ZA_OK, "in a message");
    za_blob_release(ctx, &blob);
    void *body = m;
    za_frozen_t *holder = NULL;
    cr_assert(za_freeze(ctx, &body, &holder) == ZA_OK, "frozen");
    const probe_Open *shown = za_frozen_body(holder);
    cr_assert(memcmp(za_bytes_data(&shown->data), "payload", 7) == 0, "it still has it");
    cr_assert(world_counters(&world).blob_bytes == 7, "alive");
    za_frozen_release(ctx, &holder);
    cr_assert(world_counters(&world).blob_bytes == 0, "gone with it");
}

Test(freeze, holds_blobs)
{
    walk("blob", hold_a_blob, NULL);
}

/* ---- mistakes ------------------------------------------------------------------------------- */

static void make_mistakes(za_ctx_t *ctx)
{
    probe_Open *m = za_new(ctx, &probe_Open_type, 10);
    void *body = m;
    void *none = NULL;
    za_frozen_t *out = NULL;
    cr_assert(za_freeze(ctx, &none, &out) == ZA_EINVAL && out == NULL, "nothing");
    cr_assert(za_freeze(ctx, &body, NULL) == ZA_EINVAL && body == m, "no place for it");
    cr_assert(za_freeze(ctx, &body, &out) == ZA_OK, "frozen");
    void *alias = m;
    za_frozen_t *twice = NULL;
    cr_assert(za_freeze(ctx, &alias, &twice) == ZA_EINVAL && twice == NULL, "it is already");
    cr_assert(za_send(ctx, peer, &alias) == ZA_EINVAL, "no message to be moved");
    cr_assert(za_bytes_put(m, &m->text, "hi", 2) == ZA_EINVAL, "nor to be filled");
    cr_assert(za_share(ctx, ZA_REF_NONE, out) == ZA_EINVAL, "to nobody");
    cr_assert(za_share(ctx, (za_ref_t){ 5, 5 }, out) == ZA_ENOROUTE, "to a node that is none");
    cr_assert(za_share(ctx, peer, NULL) == ZA_EINVAL && za_frozen_body(NULL) == NULL, "nothing");
    za_frozen_release(ctx, &out);
}

Test(freeze, answers_mistakes)
{
    walk("mistakes", make_mistakes, NULL);
}

static bool refuse(void *context, size_t bytes, za_pool_bound_t bound)
{
    (void)bytes;
    return bound == ZA_POOL_BEYOND || !*(bool *)context;
}

static bool no_memory;

static void share_without_memory(za_ctx_t *ctx)
{
    no_memory = true;
    const za_ask_opts_t opts = { .size = sizeof opts, .timeout_ms = 50 };
    cr_assert(za_share(ctx, peer, frozen) == ZA_ENOBUFS, "share");
    cr_assert(za_ask_share(ctx, peer, frozen, &opts) == ZA_ENOBUFS, "ask");
    no_memory = false;
    cr_assert(refs() == 1, "nothing was taken");
}

Test(freeze, takes_nothing_when_the_pool_is_empty)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    za_pools_guard(&world.runtime->pools, refuse, &no_memory);
    world_behave = run_step;
    maker = world_spawn(&world);
    peer = spawn_reader((za_spawn_opts_t){ 0 });
    let(make);
    let(share_without_memory);
    end("empty pool");
}

/* ---- to another node ------------------------------------------------------------------------ */

static struct {
    const za_type_t *type;
    const void *body;
    uint64_t ask;
} sent;

static za_err_t note_send(void *context, za_worker_t *worker, const za_outgoing_t *out)
{
    (void)context;
    (void)worker;
    sent.type = out->type;
    sent.body = out->body;
    sent.ask = out->ask;
    return ZA_OK;
}

static void share_far(za_ctx_t *ctx)
{
    cr_assert(za_share(ctx, (za_ref_t){ 77, 5 }, frozen) == ZA_OK, "shared");
}

Test(freeze, goes_to_other_nodes_as_itself)
{
    static const za_remote_t remote = { .send = note_send };
    begin((za_runtime_config_t){ .remote = &remote });
    let(share_far);
    cr_assert(sent.type == &probe_Open_type && sent.body == za_frozen_body(frozen), "to encode");
    end("far");
}
