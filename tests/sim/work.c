#include "work.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

enum { NODES_AT_FULL_RATE = 4 };

const za_class_t *const work_classes[] = { &work_child_class, NULL };

typedef struct root {
    const za_class_t *class_;
    const char *prefix; // registered as "<prefix>/n<node>"; NULL: not
    uint32_t mailbox;
    uint32_t max_restarts;
    za_overflow_t overflow;
} root_t;

static const root_t roots[] = {
    { &work_peer_class, "peer", 0, 0, ZA_REJECT },
    { &work_small_class, "small", 4, 0, ZA_REJECT },
    { &work_small_class, "drop", 4, 0, ZA_DROP_NEWEST },
    { &work_flooder_class, NULL, 0, 0, ZA_REJECT },
    { &work_answerer_class, "answer", 0, 1000000, ZA_REJECT },
    { &work_asker_class, NULL, 0, 1000000, ZA_REJECT },
    { &work_watcher_class, "watch", 0, 1000000, ZA_REJECT },
    { &work_nursery_class, NULL, 0, 0, ZA_REJECT },
    { &work_namer_class, NULL, 0, 0, ZA_REJECT },
    { &work_parent_class, "parent", 0, 1000000, ZA_REJECT },
    { &work_clockwork_class, NULL, 0, 1000000, ZA_REJECT },
    { &work_fan_class, NULL, 0, 0, ZA_REJECT },
    { &work_fan_class, NULL, 0, 0, ZA_REJECT },
};

void work_start(za_sim_t *sim, uint32_t node)
{
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        const root_t *root = &roots[i];
        char name[WORLD_NAME_BYTES];
        za_spawn_opts_t opts = {
            .size = sizeof opts,
            .name = root->prefix != NULL ? work_name(name, root->prefix, node) : NULL,
            .mailbox = root->mailbox,
            .max_restarts = root->max_restarts,
            .overflow = root->overflow,
            ZA_ARGS(work_Root, .node = node, .drops = root->overflow == ZA_DROP_NEWEST),
        };
        za_err_t err = za_sim_spawn_with(sim, node, root->class_, NULL, &opts);
        if (err != ZA_OK) {
            world_fail("n%u cannot start %s: %s", node, root->class_->name, za_err_text(err));
        }
    }
}

uint32_t work_draw(za_ctx_t *ctx, uint32_t bound)
{
    uint64_t number = za_random(ctx);
    return (uint32_t)(number % bound);
}

bool work_once_in(za_ctx_t *ctx, uint32_t n)
{
    return work_draw(ctx, n) == 0;
}

uint32_t work_draw_size(za_ctx_t *ctx, uint32_t most)
{
    uint32_t bits = 0;
    while (most >> bits > 1) {
        bits++;
    }
    uint32_t octave = 1u << work_draw(ctx, bits + 1);
    uint32_t size = octave + work_draw(ctx, octave);
    return size < most ? size : most;
}

void work_tick(za_ctx_t *ctx, uint32_t ms)
{
    uint32_t nodes = world_node_count();
    if (nodes > NODES_AT_FULL_RATE && world_phase() == PHASE_WORK) {
        ms = ms * nodes / NODES_AT_FULL_RATE; // as much work, whatever the number of nodes
    }
    uint32_t jitter = work_draw(ctx, ms + 1);
    za_err_t err = za_after(ctx, ms / 2 + jitter, ZA_MSG(work_Tick, .lap = 1), NULL);
    if (err != ZA_OK) {
        world_fail("an actor's clock was refused: %s", za_err_text(err));
    }
}

const char *work_name(char name[WORLD_NAME_BYTES], const char *prefix, uint32_t node)
{
    snprintf(name, WORLD_NAME_BYTES, "%s/n%u", prefix, node);
    return name;
}

bool work_find(za_ctx_t *ctx, const char *prefix, uint32_t node, za_ref_t *out)
{
    char name[WORLD_NAME_BYTES];
    if (za_whereis(ctx, work_name(name, prefix, node), out) != ZA_OK) {
        return false;
    }
    world_looked_up(ctx, name, *out);
    return true;
}

bool work_find_any(za_ctx_t *ctx, const char *prefix, za_ref_t *out)
{
    uint32_t node = work_draw(ctx, world_node_count());
    return work_find(ctx, prefix, node, out);
}

void work_keep_name(za_ctx_t *ctx, uint32_t instance, const char *name)
{
    if (!world_holds(instance, name) && za_register(ctx, name) == ZA_OK) {
        world_name_held(instance, name);
    }
}

bool work_sent(za_err_t err)
{
    switch (err) {
    case ZA_OK:
        return true;
    case ZA_EFULL:
        world_counts.refused_full++;
        return false;
    case ZA_EGONE:
    case ZA_ENOROUTE:
    case ZA_ENOBUFS:
        world_counts.refused_other++;
        return false;
    default:
        world_fail("a send answered: %s", za_err_text(err));
        return false;
    }
}

static uint64_t pattern_word(uint64_t pattern, uint32_t at)
{
    return pattern + at * UINT64_C(0x9e3779b97f4a7c15);
}

void work_fill(void *message, za_bytes_t *field, uint64_t pattern, uint32_t size)
{
    static uint8_t bytes[WORK_BYTES_MAX + 8];
    ZA_ASSERT(size <= WORK_BYTES_MAX);
    for (uint32_t at = 0; at < size; at += 8) {
        uint64_t word = pattern_word(pattern, at);
        memcpy(bytes + at, &word, 8);
    }
    if (za_bytes_put(message, field, bytes, size) != ZA_OK) {
        world_fail("there is no room for %u bytes in a message made for them", size);
    }
}

void work_check(const za_bytes_t *field, uint64_t pattern, const char *what)
{
    const uint8_t *bytes = za_bytes_data(field);
    uint32_t whole = field->size & ~UINT32_C(7);
    uint64_t wrong = 0;
    for (uint32_t at = 0; at < whole; at += 8) {
        uint64_t word;
        memcpy(&word, bytes + at, 8);
        wrong |= word ^ pattern_word(pattern, at);
    }
    uint64_t last = pattern_word(pattern, whole);
    if (wrong != 0 || memcmp(bytes + whole, &last, field->size - whole) != 0) {
        world_fail("%s of %u bytes arrived damaged", what, field->size);
    }
}

static uint64_t item_pattern(uint64_t stream, uint32_t seq)
{
    return za_mix64(stream << 32 | seq);
}

bool work_send_item(za_ctx_t *ctx, work_line_t *line, uint32_t sender, za_ref_t to, uint32_t size,
                    bool probe)
{
    if (!za_ref_equal(line->to, to)) {
        *line = (work_line_t){ .to = to, .stream = world_stream(sender) };
    }
    void *message = za_new(ctx, &work_Item_type, size);
    if (message == NULL) {
        world_counts.refused_other++;
        return false;
    }
    work_Item *item = message;
    item->stream = line->stream;
    item->seq = ++line->seq;
    item->probe = probe;
    work_fill(item, &item->data, item_pattern(item->stream, item->seq), size);
    if (!work_sent(za_send(ctx, to, &message))) {
        if (message == NULL) {
            world_fail("a refused message was taken all the same");
        }
        za_discard(ctx, &message);
        return false;
    }
    world_counts.item_bytes += size;
    return true;
}

void work_take_item(uint32_t receiver, const work_Item *item)
{
    world_stream_arrived(item->stream, item->seq, receiver);
    work_check(&item->data, item_pattern(item->stream, item->seq), "a message of a stream");
    if (item->probe) {
        world_probe_arrived();
    }
}
