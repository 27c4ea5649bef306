// Frames against the registry. Three registries hold names and groups; the input says who does what,
// which frames are delivered, repeated or lost, and writes frames of its own. Whatever comes, a
// registry's lists, indexes and hashes fit together; and as long as nobody wrote a frame of its own no
// copy diverges, and all are equal in the end.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cluster/registry_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIDES = 3, QUEUE_MAX = 64, NAMES_MAX = 48, ENTRIES_MAX = 512 };

typedef struct queued {
    uint8_t from, to;
    uint32_t size;
    uint8_t *bytes;
} queued_t;

typedef struct world {
    const uint8_t *at, *end;
    uint64_t now_ms;
    bool forged; // the input wrote a frame
    za_registry_t *sides[SIDES];
    bool linked[SIDES][SIDES];
    bool known[SIDES][SIDES];
    queued_t queue[QUEUE_MAX];
    uint32_t count;
    za_effects_t *effects;
} world_t;

typedef struct eye {
    world_t *world;
    uint8_t side;
} eye_t;

static uint64_t uid_of(uint32_t side)
{
    return za_mix64(side + 1);
}

static uint64_t view_self(const void *context)
{
    return uid_of(((const eye_t *)context)->side);
}

static za_known_t view_known(const void *context, uint64_t uid)
{
    const eye_t *eye = context;
    for (uint32_t i = 0; i < SIDES; i++) {
        if (uid == uid_of(i)) {
            return eye->world->known[eye->side][i] ? ZA_KNOWN_UP : ZA_KNOWN_NOT;
        }
    }
    return ZA_KNOWN_NOT;
}

static uint32_t view_up_count(const void *context)
{
    (void)context;
    return SIDES;
}

static uint8_t take(world_t *world)
{
    return world->at < world->end ? *world->at++ : 0;
}

static void check(world_t *world)
{
    for (uint32_t i = 0; i < SIDES; i++) {
        ZA_ASSERT(za_reg_sound(world->sides[i]));
        za_registry_stats_t stats;
        za_registry_stats(world->sides[i], &stats);
        ZA_ASSERT(stats.divergence == 0 || world->forged);
        ZA_ASSERT(stats.entries <= ENTRIES_MAX);
    }
}

static void collect(world_t *world, uint8_t from)
{
    for (uint32_t i = 0; i < world->effects->count; i++) {
        const za_effect_t *effect = &world->effects->items[i];
        if (effect->type != ZA_EFFECT_SEND_FRAME || world->count == QUEUE_MAX) {
            continue;
        }
        for (uint8_t to = 0; to < SIDES; to++) {
            if (effect->uid == uid_of(to)) {
                uint8_t *bytes = malloc(effect->size);
                ZA_ASSERT(bytes != NULL);
                memcpy(bytes, effect->bytes, effect->size);
                world->queue[world->count++] = (queued_t){ from, to, effect->size, bytes };
                break;
            }
        }
    }
    za_effects_reset(world->effects);
}

static void pump(world_t *world, uint8_t side)
{
    za_step_t more = ZA_STEP_MORE;
    while (more == ZA_STEP_MORE) {
        more = za_registry_pump(world->sides[side], world->now_ms, world->effects);
        collect(world, side);
    }
}

static void frame_in(world_t *world, uint8_t from, uint8_t to, const uint8_t *bytes, uint32_t size)
{
    za_registry_frame(world->sides[to], uid_of(from), bytes, size, world->now_ms, world->effects);
    collect(world, to);
    pump(world, to);
}

/** Frames of a link keep their order: the oldest of one is delivered, twice or never. */
static void deliver(world_t *world, uint8_t how)
{
    if (world->count == 0) {
        return;
    }
    uint32_t pick = how % world->count;
    for (uint32_t i = 0; i < pick; i++) {
        if (world->queue[i].from == world->queue[pick].from &&
            world->queue[i].to == world->queue[pick].to) {
            pick = i;
        }
    }
    queued_t frame = world->queue[pick];
    memmove(&world->queue[pick], &world->queue[pick + 1],
            (--world->count - pick) * sizeof world->queue[0]);
    bool lost = how >= 240 || !world->linked[frame.from][frame.to];
    for (int i = 0; i < (lost ? 0 : how >= 220 ? 2 : 1); i++) {
        frame_in(world, frame.from, frame.to, frame.bytes + 1, frame.size - 1);
    }
    free(frame.bytes);
}

static void write_frame(world_t *world)
{
    uint8_t bytes[512];
    uint8_t from = take(world) % SIDES;
    uint8_t to = take(world) % SIDES;
    uint32_t size = take(world) | (uint32_t)(take(world) & 1) << 8;
    for (uint32_t i = 0; i < size; i++) {
        bytes[i] = take(world);
    }
    world->forged = true;
    frame_in(world, from, to, bytes, size);
}

/** A frame that one wrote, with a byte changed. */
static void garble(world_t *world)
{
    if (world->count > 0) {
        queued_t *frame = &world->queue[take(world) % world->count];
        frame->bytes[1 + (take(world) | (uint32_t)take(world) << 8) % (frame->size - 1)] =
            take(world);
        world->forged = true;
    }
}

static void set_link(world_t *world, uint8_t a, uint8_t b, bool up)
{
    if (a == b || world->linked[a][b] == up) {
        return;
    }
    world->linked[a][b] = world->linked[b][a] = up;
    for (uint32_t i = 0; !up && i < world->count;) {
        queued_t *frame = &world->queue[i];
        if ((frame->from == a && frame->to == b) || (frame->from == b && frame->to == a)) {
            free(frame->bytes);
            memmove(frame, frame + 1, (--world->count - i) * sizeof *frame);
        } else {
            i++;
        }
    }
    for (int end = 0; end < 2; end++) {
        uint8_t here = end == 0 ? a : b;
        uint8_t there = end == 0 ? b : a;
        if (up) {
            za_registry_link_up(world->sides[here], uid_of(there));
        } else {
            za_registry_link_down(world->sides[here], uid_of(there));
        }
        pump(world, here);
    }
}

static void set_known(world_t *world, uint8_t here, uint8_t there, bool known)
{
    if (here == there) {
        return;
    }
    world->known[here][there] = known;
    if (known) {
        za_registry_member(world->sides[here], uid_of(there), world->now_ms);
    } else {
        za_registry_gone(world->sides[here], uid_of(there));
    }
    pump(world, here);
}

static void register_one(world_t *world)
{
    uint8_t side = take(world) % SIDES;
    uint8_t which = take(world);
    uint8_t more = take(world);
    char name[8] = { 'n', (char)('a' + which % 16), '\0' };
    za_claim_t claim = { .name = name,
                         .kind = which & 16 ? ZA_NAME_GROUP : ZA_NAME_UNIQUE,
                         .prio = which >> 6,
                         .actor = UINT64_C(1) + more % 8,
                         .meta = &which,
                         .meta_bytes = more >> 7 };
    if (more & 64) {
        za_registry_unregister(world->sides[side], claim.kind, name, claim.actor, world->now_ms);
    } else {
        za_registry_register(world->sides[side], &claim, world->now_ms, world->effects);
        collect(world, side);
    }
    pump(world, side);
}

static void act(world_t *world)
{
    uint8_t what = take(world);
    uint8_t side = what % SIDES;
    switch (what >> 5) {
    case 0:
        register_one(world);
        break;
    case 1:
    case 2:
        deliver(world, take(world));
        break;
    case 3:
        world->now_ms += take(world) * UINT64_C(20);
        pump(world, side);
        break;
    case 4:
        set_link(world, side, take(world) % SIDES, (what & 16) != 0);
        break;
    case 5:
        write_frame(world);
        break;
    case 6:
        garble(world);
        break;
    default:
        if (what & 16) {
            set_known(world, side, take(world) % SIDES, (what & 8) != 0);
        } else {
            za_registry_actor_stopped(world->sides[side], UINT64_C(1) + take(world) % 8,
                                      world->now_ms);
            pump(world, side);
        }
    }
}

/** Everybody knows and is linked to everybody, and nothing is lost. */
static void settle(world_t *world)
{
    for (uint8_t a = 0; a < SIDES; a++) {
        for (uint8_t b = 0; b < SIDES; b++) {
            set_known(world, a, b, true);
            set_link(world, a, b, true);
        }
    }
    for (int i = 0; i < 40; i++) {
        world->now_ms += 500;
        for (uint8_t side = 0; side < SIDES; side++) {
            pump(world, side);
            while (world->count > 0) {
                deliver(world, 0);
            }
        }
    }
    uint64_t hash = za_registry_hash(world->sides[0]);
    ZA_ASSERT(za_registry_hash(world->sides[1]) == hash);
    ZA_ASSERT(za_registry_hash(world->sides[2]) == hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static za_effects_t effects; // large, and empty between two inputs
    world_t *world = calloc(1, sizeof *world);
    ZA_ASSERT(world != NULL);
    world->effects = &effects;
    za_effects_reset(&effects);
    world->at = data;
    world->end = data + size;
    eye_t eyes[SIDES];
    za_view_t views[SIDES];
    for (uint8_t i = 0; i < SIDES; i++) {
        eyes[i] = (eye_t){ world, i };
        views[i] = (za_view_t){
            .context = &eyes[i], .self = view_self, .known = view_known, .up_count = view_up_count
        };
        memset(world->known[i], true, sizeof world->known[i]);
        za_registry_options_t options = { .limits = { NAMES_MAX, ENTRIES_MAX },
                                          .sync_ms = 1000,
                                          .seed = i };
        ZA_ASSERT(za_registry_create(&views[i], &options, 0, &world->sides[i]) == ZA_OK);
    }
    while (world->at < world->end) {
        act(world);
        check(world);
    }
    if (!world->forged) {
        settle(world);
        check(world);
    }
    while (world->count > 0) {
        free(world->queue[--world->count].bytes);
    }
    for (uint32_t i = 0; i < SIDES; i++) {
        za_registry_destroy(world->sides[i]);
    }
    free(world);
    return 0;
}
