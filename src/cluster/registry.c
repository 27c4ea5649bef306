#include "cluster/registry.h"

#include <stdlib.h>
#include <string.h>

#include <pb_decode.h>
#include <pb_encode.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/rng.h"
#include "cluster/table.h"

#include "zactor/registry.pb.h"

enum {
    OWNERS_MAX = ZA_MEMBERS_MAX,
    PEERS_MAX = ZA_PEERS_MAX,
    NAMES_MAX = ZA_REGISTRY_ENTRIES_MAX,
    WANTS_MAX = 64, // pulls of one peer that wait for their data; more come with the next sync
    PART_ENTRIES_MAX = 64,
    VERSIONS_MAX = 256,
    HLC_STEP = 1024, // per ms of uptime: room for changes within one
};

static_assert(za_RegistryFrame_size + 1 <= ZA_FRAME_BYTES_MAX, "a frame fits a frame");
static_assert((size_t)ZA_NAMES_PER_NODE_MAX + ZA_REGISTRY_REMOVALS_MAX < ZA_REGISTRY_ENTRIES_MAX,
              "a full node fits");

/** Far beyond any uptime: what lies above is no clock but an attempt to lose every conflict. */
#define HLC_MAX (UINT64_C(1) << 62)

/** A name that somebody holds, has just lost, or is about to hold. */
typedef struct name {
    za_ref_t answered;  // what the driver was told; none: cleared
    uint32_t uses;      // entries of all kinds
    bool changed;       // in the list of names to be looked at
    za_chain_t holders; // live entries, the winner first
    za_link_t change;
    char text[ZA_NAME_BYTES_MAX + 1];
} name_t;

typedef struct entry {
    uint64_t seq; // of the put, or of the removal
    uint64_t actor;
    uint64_t hlc;
    uint64_t lost_at_ms; // own entry that is not the winner: taken back then
    uint32_t name;
    uint32_t owner;
    bool removed;
    bool losing;     // in the list of losers
    za_link_t place; // in live, removals or the stage of its owner
    za_link_t holder, loser;
} entry_t;

typedef struct owner {
    uint64_t uid;
    uint64_t applied;
    uint64_t floor;  // removals up to this are forgotten
    uint64_t hash;   // over live entries
    za_chain_t live; // both by seq
    za_chain_t removals;
    uint64_t pull_until_ms; // a pull is under way
    uint64_t pull_from;     // peer asked
    uint64_t blocked_until_ms;
    struct { // parts of a transfer, taken as one
        za_chain_t entries;
        uint64_t peer, from, to, hash, until_ms;
        uint32_t parts; // received so far; 0: no stage
    } stage;
} owner_t;

typedef struct want {
    uint64_t owner, have;
} want_t;

typedef struct peer {
    uint64_t uid;
    uint64_t pushed; // own changes up to this were sent
    bool busy;
    bool greet; // a new link: compare what we hold
    struct {    // the transfer in the making
        uint64_t owner, from, to;
        uint32_t live, removal; // next entries
        uint32_t part;
        bool active;
    } job;
    uint32_t want_first, want_count;
    want_t wants[WANTS_MAX];
    za_link_t order, busy_link;
} peer_t;

struct za_registry {
    const za_view_t *view;
    za_rng_t rng;
    za_slots_t names, entries, owners, peers;
    uint32_t *sorted;   // owners by uid
    uint32_t *visit;    // scratch of each_name
    uint32_t self;      // our owner record
    za_chain_t changes; // names whose answer may have changed
    za_chain_t losers;  // own entries that lost, the first due first
    za_chain_t order;   // linked peers
    za_chain_t busy;    // peers with something to send
    uint64_t hlc;
    uint64_t push_at_ms; // 0: nothing to push
    uint64_t sync_at_ms;
    uint32_t sync_ms;
    bool met_unknown; // data of an unknown owner was seen
    za_registry_stats_t stats;
    za_RegistryFrame frame; // of the step, in or out
    za_RegistryFrame answer;
    uint8_t bytes[1 + za_RegistryFrame_size];
};

#define CHANGE offsetof(name_t, change)
#define PLACE offsetof(entry_t, place)
#define HOLDER offsetof(entry_t, holder)
#define LOSER offsetof(entry_t, loser)
#define ORDER offsetof(peer_t, order)
#define BUSY offsetof(peer_t, busy_link)

static uint32_t add_owner(za_registry_t *registry, uint64_t uid);

za_err_t za_registry_create(const za_view_t *view, uint32_t sync_ms, uint64_t seed, uint64_t now_ms,
                            za_registry_t **out)
{
    za_registry_t *registry = calloc(1, sizeof *registry);
    if (registry == NULL) {
        return ZA_ENOMEM;
    }
    registry->view = view;
    registry->sync_ms = sync_ms;
    za_rng_init(&registry->rng, seed);
    registry->sorted = calloc(OWNERS_MAX + 1, sizeof *registry->sorted);
    registry->visit = calloc(NAMES_MAX, sizeof *registry->visit);
    if (registry->sorted == NULL || registry->visit == NULL ||
        za_slots_init(&registry->names, NAMES_MAX, sizeof(name_t)) != ZA_OK ||
        za_slots_init(&registry->entries, ZA_REGISTRY_ENTRIES_MAX, sizeof(entry_t)) != ZA_OK ||
        za_slots_init(&registry->owners, OWNERS_MAX + 1, sizeof(owner_t)) != ZA_OK ||
        za_slots_init(&registry->peers, PEERS_MAX, sizeof(peer_t)) != ZA_OK) {
        za_registry_destroy(registry);
        return ZA_ENOMEM;
    }
    registry->self = add_owner(registry, za_view_self(view));
    // Nodes that start together would otherwise ask together for ever.
    uint64_t jitter = za_rng_below(&registry->rng, sync_ms + 1);
    registry->sync_at_ms = now_ms + sync_ms + jitter;
    *out = registry;
    return ZA_OK;
}

void za_registry_destroy(za_registry_t *registry)
{
    if (registry == NULL) {
        return;
    }
    za_slots_deinit(&registry->peers);
    za_slots_deinit(&registry->owners);
    za_slots_deinit(&registry->entries);
    za_slots_deinit(&registry->names);
    free(registry->visit);
    free(registry->sorted);
    free(registry);
}

static name_t *name_at(const za_registry_t *registry, uint32_t id)
{
    return za_slots_at(&registry->names, id);
}

static entry_t *entry_at(const za_registry_t *registry, uint32_t id)
{
    return za_slots_at(&registry->entries, id);
}

static owner_t *owner_at(const za_registry_t *registry, uint32_t id)
{
    return za_slots_at(&registry->owners, id);
}

static peer_t *peer_at(const za_registry_t *registry, uint32_t id)
{
    return za_slots_at(&registry->peers, id);
}

static uint32_t find_owner(const za_registry_t *registry, uint64_t uid)
{
    uint32_t id = za_slots_first(&registry->owners, za_mix64(uid));
    while (id != 0 && owner_at(registry, id)->uid != uid) {
        id = za_slots_next(&registry->owners, id);
    }
    return id;
}

static uint32_t find_peer(const za_registry_t *registry, uint64_t uid)
{
    uint32_t id = za_slots_first(&registry->peers, za_mix64(uid));
    while (id != 0 && peer_at(registry, id)->uid != uid) {
        id = za_slots_next(&registry->peers, id);
    }
    return id;
}

/* ---- names ------------------------------------------------------------------------------------ */

static uint32_t find_name(const za_registry_t *registry, const char *text)
{
    uint64_t hash = za_mix64(za_fnv64(ZA_FNV64_INIT, text, strlen(text)));
    uint32_t id = za_slots_first(&registry->names, hash);
    while (id != 0 && strcmp(name_at(registry, id)->text, text) != 0) {
        id = za_slots_next(&registry->names, id);
    }
    return id;
}

static uint32_t make_name(za_registry_t *registry, const char *text)
{
    uint32_t id = find_name(registry, text);
    if (id == 0) {
        size_t size = strlen(text);
        id = za_slots_add(&registry->names, za_mix64(za_fnv64(ZA_FNV64_INIT, text, size)));
        if (id != 0) {
            memcpy(name_at(registry, id)->text, text, size + 1);
        }
    }
    return id;
}

static void release_name(za_registry_t *registry, uint32_t id)
{
    const name_t *name = name_at(registry, id);
    if (name->uses == 0 && !name->changed) {
        za_slots_remove(&registry->names, id);
    }
}

static void name_changed(za_registry_t *registry, uint32_t id)
{
    name_t *name = name_at(registry, id);
    if (!name->changed) {
        name->changed = true;
        za_chain_append(&registry->changes, &registry->names, CHANGE, id);
    }
}

static za_ref_t ref_of(const za_registry_t *registry, uint32_t entry_id)
{
    const entry_t *entry = entry_at(registry, entry_id);
    uint64_t uid = owner_at(registry, entry->owner)->uid;
    return (za_ref_t){ entry->owner == registry->self ? 0 : uid, entry->actor };
}

static za_ref_t winner_of(const za_registry_t *registry, const name_t *name)
{
    return name->holders.first != 0 ? ref_of(registry, name->holders.first) : ZA_REF_NONE;
}

/* ---- entries ---------------------------------------------------------------------------------- */

static uint64_t entry_hash(const za_registry_t *registry, const entry_t *entry)
{
    const char *text = name_at(registry, entry->name)->text;
    uint64_t hash = za_mix64(za_fnv64(ZA_FNV64_INIT, text, strlen(text)));
    hash = za_mix64(hash ^ entry->seq);
    hash = za_mix64(hash ^ entry->actor);
    return za_mix64(hash ^ entry->hlc);
}

/** Our own entries are found by actor. Others are not, and only need to be spread. */
static uint64_t entry_key(const za_registry_t *registry, uint32_t owner, uint64_t actor,
                          uint32_t name)
{
    return owner == registry->self ? za_mix64(actor) : za_mix64((uint64_t)owner << 32 | name);
}

/** A new entry in no list; 0: a table is full. */
static uint32_t make_entry(za_registry_t *registry, uint32_t owner, const char *text,
                           const entry_t *from)
{
    uint32_t name_id = make_name(registry, text);
    if (name_id == 0) {
        return 0;
    }
    uint64_t key = entry_key(registry, owner, from->actor, name_id);
    uint32_t id = za_slots_add(&registry->entries, key);
    if (id == 0) {
        release_name(registry, name_id);
        return 0;
    }
    entry_t *entry = entry_at(registry, id);
    entry->seq = from->seq;
    entry->actor = from->actor;
    entry->hlc = from->hlc;
    entry->removed = from->removed;
    entry->name = name_id;
    entry->owner = owner;
    name_at(registry, name_id)->uses++;
    return id;
}

static void free_entry(za_registry_t *registry, uint32_t id)
{
    uint32_t name_id = entry_at(registry, id)->name;
    za_slots_remove(&registry->entries, id);
    name_at(registry, name_id)->uses--;
    release_name(registry, name_id);
}

static bool wins(const za_registry_t *registry, uint32_t a, uint32_t b)
{
    const entry_t *one = entry_at(registry, a);
    const entry_t *other = entry_at(registry, b);
    if (one->hlc != other->hlc) {
        return one->hlc < other->hlc;
    }
    return owner_at(registry, one->owner)->uid < owner_at(registry, other->owner)->uid;
}

static void link_holder(za_registry_t *registry, uint32_t id)
{
    uint32_t name_id = entry_at(registry, id)->name;
    name_t *name = name_at(registry, name_id);
    uint32_t after = name->holders.last;
    while (after != 0 && wins(registry, id, after)) {
        after = za_chain_prev(&registry->entries, HOLDER, after);
    }
    za_chain_insert(&name->holders, &registry->entries, HOLDER, after, id);
    name_changed(registry, name_id);
}

static void end_losing(za_registry_t *registry, uint32_t id)
{
    entry_t *entry = entry_at(registry, id);
    if (entry->losing) {
        entry->losing = false;
        za_chain_remove(&registry->losers, &registry->entries, LOSER, id);
    }
}

static void unlink_holder(za_registry_t *registry, uint32_t id)
{
    uint32_t name_id = entry_at(registry, id)->name;
    end_losing(registry, id);
    za_chain_remove(&name_at(registry, name_id)->holders, &registry->entries, HOLDER, id);
    name_changed(registry, name_id);
}

/** Puts an entry into its owner's map and the index. */
static void put_live(za_registry_t *registry, uint32_t id)
{
    const entry_t *entry = entry_at(registry, id);
    owner_t *owner = owner_at(registry, entry->owner);
    owner->hash ^= entry_hash(registry, entry);
    za_chain_append(&owner->live, &registry->entries, PLACE, id);
    link_holder(registry, id);
}

/** Takes a live entry out of both; it is in no list then. */
static void take_live(za_registry_t *registry, uint32_t id)
{
    const entry_t *entry = entry_at(registry, id);
    owner_t *owner = owner_at(registry, entry->owner);
    unlink_holder(registry, id);
    owner->hash ^= entry_hash(registry, entry);
    za_chain_remove(&owner->live, &registry->entries, PLACE, id);
}

static void put_removal(za_registry_t *registry, uint32_t id, uint64_t seq)
{
    entry_t *entry = entry_at(registry, id);
    owner_t *owner = owner_at(registry, entry->owner);
    entry->seq = seq;
    entry->removed = true;
    za_chain_append(&owner->removals, &registry->entries, PLACE, id);
    if (owner->removals.count > ZA_REGISTRY_REMOVALS_MAX) {
        uint32_t oldest = owner->removals.first;
        owner->floor = entry_at(registry, oldest)->seq;
        za_chain_remove(&owner->removals, &registry->entries, PLACE, oldest);
        free_entry(registry, oldest);
    }
}

static uint32_t find_holder(const za_registry_t *registry, uint32_t name_id, uint32_t owner)
{
    uint32_t id = name_id != 0 ? name_at(registry, name_id)->holders.first : 0;
    while (id != 0 && entry_at(registry, id)->owner != owner) {
        id = za_chain_next(&registry->entries, HOLDER, id);
    }
    return id;
}

/* ---- owners ----------------------------------------------------------------------------------- */

static void clear_chain(za_registry_t *registry, za_chain_t *chain)
{
    while (chain->first != 0) {
        uint32_t id = chain->first;
        za_chain_remove(chain, &registry->entries, PLACE, id);
        free_entry(registry, id);
    }
}

static void clear_stage(za_registry_t *registry, owner_t *owner)
{
    clear_chain(registry, &owner->stage.entries);
    owner->stage.parts = 0;
}

static void clear_map(za_registry_t *registry, owner_t *owner)
{
    while (owner->live.first != 0) {
        uint32_t id = owner->live.first;
        take_live(registry, id);
        free_entry(registry, id);
    }
    clear_chain(registry, &owner->removals);
    owner->applied = 0;
    owner->floor = 0;
    ZA_ASSERT(owner->hash == 0);
}

/** Place of `uid` among the owners sorted by uid, or where it belongs. */
static uint32_t sorted_place(const za_registry_t *registry, uint64_t uid)
{
    uint32_t low = 0;
    uint32_t high = registry->owners.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (owner_at(registry, registry->sorted[middle])->uid < uid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t add_owner(za_registry_t *registry, uint64_t uid)
{
    uint32_t place = sorted_place(registry, uid);
    uint32_t count = registry->owners.count;
    uint32_t id = za_slots_add(&registry->owners, za_mix64(uid));
    ZA_ASSERT(id != 0); // za_registry_member leaves one free for a rebirth
    owner_at(registry, id)->uid = uid;
    memmove(&registry->sorted[place + 1], &registry->sorted[place],
            (count - place) * sizeof *registry->sorted);
    registry->sorted[place] = id;
    return id;
}

static void remove_owner(za_registry_t *registry, uint32_t id)
{
    owner_t *owner = owner_at(registry, id);
    clear_stage(registry, owner);
    clear_map(registry, owner);
    uint32_t place = sorted_place(registry, owner->uid);
    ZA_ASSERT(registry->sorted[place] == id);
    za_slots_remove(&registry->owners, id);
    memmove(&registry->sorted[place], &registry->sorted[place + 1],
            (registry->owners.count - place) * sizeof *registry->sorted);
}

void za_registry_member(za_registry_t *registry, uint64_t uid, uint64_t now_ms)
{
    if (find_owner(registry, uid) != 0) {
        return;
    }
    if (registry->owners.count >= OWNERS_MAX) {
        registry->stats.refused++; // membership has the same limit: its names stay unknown here
        return;
    }
    add_owner(registry, uid);
    if (registry->met_unknown) {
        registry->met_unknown = false; // its data may have passed by already
        registry->sync_at_ms = now_ms;
    }
}

void za_registry_gone(za_registry_t *registry, uint64_t uid)
{
    uint32_t id = find_owner(registry, uid);
    if (id != 0 && id != registry->self) {
        remove_owner(registry, id);
    }
}

/* ---- our own map ------------------------------------------------------------------------------ */

static void own_changed(za_registry_t *registry, uint64_t now_ms)
{
    if (registry->push_at_ms == 0) {
        registry->push_at_ms = now_ms + ZA_REGISTRY_BATCH_MS;
    }
}

static uint64_t next_hlc(za_registry_t *registry, uint64_t now_ms)
{
    uint64_t clock = now_ms * HLC_STEP;
    registry->hlc = clock > registry->hlc ? clock : registry->hlc + 1;
    registry->hlc = registry->hlc < HLC_MAX ? registry->hlc : HLC_MAX - 1;
    return registry->hlc;
}

static void refuse(za_registry_t *registry, const char *name, const char *why, za_effects_t *out)
{
    registry->stats.refused++;
    za_effects_add(out, ZA_EFFECT_LOG)->name =
        za_effects_text(out, "name %.64s is not registered: %s", name, why);
}

void za_registry_register(za_registry_t *registry, const char *text, uint64_t actor,
                          uint64_t now_ms, za_effects_t *out)
{
    if (text == NULL || text[0] == '\0' || strlen(text) > ZA_NAME_BYTES_MAX || actor == 0) {
        refuse(registry, text != NULL ? text : "", "not a name", out);
        return;
    }
    owner_t *self = owner_at(registry, registry->self);
    uint32_t held = find_holder(registry, find_name(registry, text), registry->self);
    if (held != 0) {
        if (entry_at(registry, held)->actor == actor) {
            return;
        }
        refuse(registry, text, "another actor of this node has it", out);
        za_effect_t *lost = za_effects_add(out, ZA_EFFECT_NAME_LOST);
        lost->name = za_effects_text(out, "%s", text);
        lost->ref = ref_of(registry, held);
        lost->actor = actor;
        return;
    }
    uint64_t hlc = next_hlc(registry, now_ms);
    entry_t fields = { .seq = self->applied + 1, .actor = actor, .hlc = hlc };
    uint32_t id = 0;
    if (self->live.count < ZA_NAMES_PER_NODE_MAX) {
        id = make_entry(registry, registry->self, text, &fields);
    }
    if (id == 0) {
        refuse(registry, text, "too many names", out);
        return;
    }
    self->applied++;
    put_live(registry, id);
    own_changed(registry, now_ms);
}

static void remove_own(za_registry_t *registry, uint32_t id, uint64_t now_ms)
{
    owner_t *self = owner_at(registry, registry->self);
    take_live(registry, id);
    put_removal(registry, id, ++self->applied);
    own_changed(registry, now_ms);
}

void za_registry_unregister(za_registry_t *registry, const char *name, uint64_t actor,
                            uint64_t now_ms)
{
    uint32_t name_id = name != NULL ? find_name(registry, name) : 0;
    uint32_t id = find_holder(registry, name_id, registry->self);
    if (id != 0 && entry_at(registry, id)->actor == actor) {
        remove_own(registry, id, now_ms);
    }
}

static bool has_names(const za_registry_t *registry, uint64_t actor)
{
    uint32_t id = za_slots_first(&registry->entries, za_mix64(actor));
    while (id != 0) {
        const entry_t *entry = entry_at(registry, id);
        if (entry->owner == registry->self && entry->actor == actor && !entry->removed) {
            return true;
        }
        id = za_slots_next(&registry->entries, id);
    }
    return false;
}

void za_registry_actor_stopped(za_registry_t *registry, uint64_t actor, uint64_t now_ms)
{
    if (!has_names(registry, actor)) {
        return;
    }
    const owner_t *self = owner_at(registry, registry->self);
    uint32_t id = self->live.first;
    while (id != 0) {
        uint32_t next = za_chain_next(&registry->entries, PLACE, id);
        if (entry_at(registry, id)->actor == actor) {
            remove_own(registry, id, now_ms);
        }
        id = next;
    }
}

void za_registry_reborn(za_registry_t *registry, uint64_t now_ms)
{
    while (registry->order.first != 0) {
        za_registry_link_down(registry, peer_at(registry, registry->order.first)->uid);
    }
    uint32_t was = registry->self;
    uint64_t uid = za_view_self(registry->view);
    za_registry_gone(registry, uid); // nobody can have had it, but a stray record costs us our own
    clear_chain(registry, &owner_at(registry, was)->removals);
    uint32_t now = add_owner(registry, uid);
    registry->self = now;
    owner_t *from = owner_at(registry, was);
    owner_t *self = owner_at(registry, now);
    while (from->live.first != 0) {
        uint32_t id = from->live.first;
        take_live(registry, id);
        entry_t *entry = entry_at(registry, id);
        entry->owner = now;
        entry->seq = ++self->applied;
        put_live(registry, id);
    }
    remove_owner(registry, was);
    own_changed(registry, now_ms);
}

/* ---- effects of names ------------------------------------------------------------------------- */

/** Our entry of a changed name: begins or ends to lose. */
static void judge_own(za_registry_t *registry, uint32_t name_id, uint64_t now_ms)
{
    uint32_t id = find_holder(registry, name_id, registry->self);
    if (id == 0) {
        return;
    }
    if (name_at(registry, name_id)->holders.first == id) {
        end_losing(registry, id);
    } else if (!entry_at(registry, id)->losing) {
        entry_t *entry = entry_at(registry, id);
        entry->losing = true;
        entry->lost_at_ms = now_ms + ZA_REGISTRY_SETTLE_MS;
        za_chain_append(&registry->losers, &registry->entries, LOSER, id);
    }
}

/** Tells the driver if the answer changed, and watches our own entry if it is not the winner. */
static void settle_name(za_registry_t *registry, uint32_t id, uint64_t now_ms, za_effects_t *out)
{
    judge_own(registry, id, now_ms);
    name_t *name = name_at(registry, id);
    za_ref_t winner = winner_of(registry, name);
    if (!za_ref_equal(winner, name->answered)) {
        bool cleared = za_ref_is_none(winner);
        za_effect_t *effect =
            za_effects_add(out, cleared ? ZA_EFFECT_NAME_CLEARED : ZA_EFFECT_NAME_SET);
        effect->name = za_effects_text(out, "%s", name->text);
        effect->ref = winner;
        name->answered = winner;
    }
    za_chain_remove(&registry->changes, &registry->names, CHANGE, id);
    name->changed = false;
    release_name(registry, id);
}

za_step_t za_registry_pump_names(za_registry_t *registry, uint64_t now_ms, za_effects_t *out)
{
    while (registry->changes.first != 0) {
        if (!za_effects_have_room(out, 1, ZA_NAME_BYTES_MAX + 1)) {
            return ZA_STEP_MORE;
        }
        settle_name(registry, registry->changes.first, now_ms, out);
    }
    return ZA_STEP_DONE;
}

static za_step_t give_up_lost(za_registry_t *registry, uint64_t now_ms, za_effects_t *out)
{
    while (registry->losers.first != 0 &&
           entry_at(registry, registry->losers.first)->lost_at_ms <= now_ms) {
        if (!za_effects_have_room(out, 2, ZA_NAME_BYTES_MAX + 1)) {
            return ZA_STEP_MORE;
        }
        uint32_t id = registry->losers.first;
        const entry_t *entry = entry_at(registry, id);
        const name_t *name = name_at(registry, entry->name);
        za_effect_t *effect = za_effects_add(out, ZA_EFFECT_NAME_LOST);
        effect->name = za_effects_text(out, "%s", name->text);
        effect->ref = winner_of(registry, name);
        effect->actor = entry->actor;
        za_effects_add(out, ZA_EFFECT_MARK)->mark = ZA_MARK_NAME_CONFLICT;
        registry->stats.conflicts++;
        remove_own(registry, id, now_ms);
    }
    return ZA_STEP_DONE;
}

/* ---- frames out ------------------------------------------------------------------------------- */

static bool emit_frame(za_registry_t *registry, uint64_t uid, const za_RegistryFrame *frame,
                       za_effects_t *out)
{
    registry->bytes[0] = ZA_REGISTRY_TAG;
    pb_ostream_t stream = pb_ostream_from_buffer(registry->bytes + 1, sizeof registry->bytes - 1);
    bool encoded = pb_encode(&stream, za_RegistryFrame_fields, frame);
    ZA_ASSERT(encoded); // every field is bounded by its struct
    uint32_t size = (uint32_t)stream.bytes_written + 1;
    if (!za_effects_have_room(out, 1, size)) {
        return false;
    }
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SEND_FRAME);
    uint8_t *copy = za_effects_alloc(out, size);
    memcpy(copy, registry->bytes, size);
    effect->uid = uid;
    effect->lane = ZA_LANE_CONTROL;
    effect->bytes = copy;
    effect->size = size;
    return true;
}

static bool send_root(za_registry_t *registry, uint64_t uid, za_effects_t *out)
{
    registry->answer.which_body = za_RegistryFrame_root_tag;
    registry->answer.body.root.root = za_registry_hash(registry);
    return emit_frame(registry, uid, &registry->answer, out);
}

/** Everything we hold, in parts that cover all uids. */
static void send_digests(za_registry_t *registry, uint64_t uid, za_effects_t *out)
{
    za_RegDigest *digest = &registry->answer.body.digest;
    registry->answer.which_body = za_RegistryFrame_digest_tag;
    uint64_t low = 0;
    uint32_t count = registry->owners.count;
    for (uint32_t at = 0; at < count || at == 0; at += VERSIONS_MAX) {
        uint32_t end = count - at < VERSIONS_MAX ? count : at + VERSIONS_MAX;
        digest->versions_count = 0;
        digest->reply = false;
        for (uint32_t i = at; i < end; i++) {
            const owner_t *owner = owner_at(registry, registry->sorted[i]);
            digest->versions[digest->versions_count++] =
                (za_RegVersion){ owner->uid, owner->applied, owner->hash };
        }
        digest->low = low;
        digest->high = UINT64_MAX;
        if (end < count) {
            digest->high = digest->versions[digest->versions_count - 1].owner;
        }
        low = digest->high + 1;
        if (!emit_frame(registry, uid, &registry->answer, out)) {
            return; // the rest comes with the next sync
        }
    }
}

/* ---- transfers out ---------------------------------------------------------------------------- */

static void set_busy(za_registry_t *registry, uint32_t id)
{
    peer_t *peer = peer_at(registry, id);
    uint64_t applied = owner_at(registry, registry->self)->applied;
    bool busy = peer->greet || peer->job.active || peer->want_count > 0 || peer->pushed < applied;
    if (busy && !peer->busy) {
        za_chain_append(&registry->busy, &registry->peers, BUSY, id);
    } else if (!busy && peer->busy) {
        za_chain_remove(&registry->busy, &registry->peers, BUSY, id);
    }
    peer->busy = busy;
}

/** The first entry of a list by seq that is newer than `seq`. New ones are at the end. */
static uint32_t first_after(const za_registry_t *registry, const za_chain_t *chain, uint64_t seq)
{
    uint32_t found = 0;
    for (uint32_t id = chain->last; id != 0 && entry_at(registry, id)->seq > seq;
         id = za_chain_prev(&registry->entries, PLACE, id)) {
        found = id;
    }
    return found;
}

static void start_job(za_registry_t *registry, peer_t *peer, uint32_t owner_id, uint64_t have,
                      za_effects_t *out)
{
    const owner_t *owner = owner_at(registry, owner_id);
    uint64_t from = have < owner->floor ? 0 : have;
    if (from == 0 && owner->applied > owner->live.count && za_effects_have_room(out, 1, 0)) {
        za_effects_add(out, ZA_EFFECT_MARK)->mark = ZA_MARK_REGISTRY_SNAPSHOT;
        registry->stats.snapshots++;
    }
    peer->job.owner = owner->uid;
    peer->job.from = from;
    peer->job.to = owner->applied;
    peer->job.live = first_after(registry, &owner->live, from);
    peer->job.removal = from == 0 ? 0 : first_after(registry, &owner->removals, from);
    peer->job.part = 0;
    peer->job.active = true;
}

/** Chooses what to send to the peer next: our own news first. */
static void next_job(za_registry_t *registry, peer_t *peer, za_effects_t *out)
{
    const owner_t *self = owner_at(registry, registry->self);
    if (peer->pushed < self->applied) {
        start_job(registry, peer, registry->self, peer->pushed, out);
        return;
    }
    while (peer->want_count > 0 && !peer->job.active) {
        want_t want = peer->wants[peer->want_first];
        peer->want_first = (peer->want_first + 1) % WANTS_MAX;
        peer->want_count--;
        uint32_t id = find_owner(registry, want.owner);
        if (id != 0 && owner_at(registry, id)->applied > want.have) {
            start_job(registry, peer, id, want.have, out);
        }
    }
}

static uint32_t pick_entry(const za_registry_t *registry, peer_t *peer)
{
    uint32_t live = peer->job.live;
    uint32_t removal = peer->job.removal;
    bool take_removal = removal != 0 && (live == 0 || entry_at(registry, removal)->seq <
                                                          entry_at(registry, live)->seq);
    uint32_t id = take_removal ? removal : live;
    if (id != 0 && take_removal) {
        peer->job.removal = za_chain_next(&registry->entries, PLACE, id);
    } else if (id != 0) {
        peer->job.live = za_chain_next(&registry->entries, PLACE, id);
    }
    return id;
}

static void write_entry(const za_registry_t *registry, uint32_t id, za_RegEntry *out)
{
    const entry_t *entry = entry_at(registry, id);
    const char *text = name_at(registry, entry->name)->text;
    memcpy(out->name, text, strlen(text) + 1);
    out->seq = entry->seq;
    out->actor = entry->actor;
    out->hlc = entry->hlc;
    out->removed = entry->removed;
}

/** Sends one part. False: `out` has no room. */
static bool send_part(za_registry_t *registry, peer_t *peer, const owner_t *owner,
                      za_effects_t *out)
{
    if (!za_effects_have_room(out, 1, za_RegistryFrame_size + 1)) {
        return false;
    }
    registry->answer.which_body = za_RegistryFrame_data_tag;
    za_RegData *data = &registry->answer.body.data;
    data->owner = owner->uid;
    data->from = peer->job.from;
    data->to = peer->job.to;
    data->hash = owner->hash;
    data->part = peer->job.part++;
    data->entries_count = 0;
    while (data->entries_count < PART_ENTRIES_MAX) {
        uint32_t id = pick_entry(registry, peer);
        if (id == 0) {
            break;
        }
        write_entry(registry, id, &data->entries[data->entries_count++]);
    }
    data->last = peer->job.live == 0 && peer->job.removal == 0;
    peer->job.active = !data->last;
    return emit_frame(registry, peer->uid, &registry->answer, out);
}

/** Sends what a peer lacks. False: `out` has no room. */
static bool pump_peer(za_registry_t *registry, uint32_t peer_id, za_effects_t *out)
{
    peer_t *peer = peer_at(registry, peer_id);
    if (peer->greet && !send_root(registry, peer->uid, out)) {
        return false;
    }
    peer->greet = false;
    for (;;) {
        if (!peer->job.active) {
            next_job(registry, peer, out);
        }
        if (!peer->job.active) {
            break;
        }
        uint32_t id = find_owner(registry, peer->job.owner);
        if (id == 0 || owner_at(registry, id)->applied != peer->job.to) {
            // The map moved on between two parts: only a state of its own may be sent. Begin again.
            peer->job.active = false;
            if (id != 0) {
                start_job(registry, peer, id, peer->job.from, out);
            }
            continue;
        }
        if (!send_part(registry, peer, owner_at(registry, id), out)) {
            return false;
        }
        if (!peer->job.active && id == registry->self && peer->pushed < peer->job.to) {
            peer->pushed = peer->job.to;
        }
    }
    set_busy(registry, peer_id);
    return true;
}

static void push_own(za_registry_t *registry, uint64_t now_ms)
{
    if (registry->push_at_ms != 0 && registry->push_at_ms <= now_ms) {
        registry->push_at_ms = 0;
        for (uint32_t id = registry->order.first; id != 0;
             id = za_chain_next(&registry->peers, ORDER, id)) {
            set_busy(registry, id);
        }
    }
}

/* ---- transfers in ----------------------------------------------------------------------------- */

typedef struct pulls {
    za_RegPull *pull;
    uint64_t uid;
} pulls_t;

static void flush_pulls(za_registry_t *registry, pulls_t *pulls, za_effects_t *out)
{
    if (pulls->pull->wants_count > 0) {
        registry->answer.which_body = za_RegistryFrame_pull_tag;
        bool sent = emit_frame(registry, pulls->uid, &registry->answer, out);
        (void)sent; // no room: the pull times out and the next sync asks again
        pulls->pull->wants_count = 0;
    }
}

static pulls_t begin_pulls(za_registry_t *registry, uint64_t uid)
{
    registry->answer.body.pull.wants_count = 0;
    return (pulls_t){ &registry->answer.body.pull, uid };
}

/** Asks for what `owner` has beyond our copy, unless somebody is asked already. */
static void add_pull(za_registry_t *registry, pulls_t *pulls, owner_t *owner, uint64_t now_ms,
                     za_effects_t *out)
{
    if (owner->pull_until_ms > now_ms || owner->blocked_until_ms > now_ms) {
        return;
    }
    if (pulls->pull->wants_count == WANTS_MAX) {
        flush_pulls(registry, pulls, out);
    }
    pulls->pull->wants[pulls->pull->wants_count++] = (za_RegWant){ owner->uid, owner->applied };
    owner->pull_until_ms = now_ms + ZA_REGISTRY_PULL_MS;
    owner->pull_from = pulls->uid;
}

static void pull_one(za_registry_t *registry, uint64_t uid, owner_t *owner, uint64_t now_ms,
                     za_effects_t *out)
{
    pulls_t pulls = begin_pulls(registry, uid);
    add_pull(registry, &pulls, owner, now_ms, out);
    flush_pulls(registry, &pulls, out);
}

static bool entry_valid(const za_RegEntry *entry, uint64_t after, uint64_t to)
{
    return entry->seq > after && entry->seq <= to && entry->name[0] != '\0' && entry->actor != 0 &&
           entry->hlc < HLC_MAX;
}

/** Copies the entries of one part to the owner's stage. False: bad, or a table is full. */
static bool stage_part(za_registry_t *registry, uint32_t owner_id, const za_RegData *data,
                       bool *valid)
{
    owner_t *owner = owner_at(registry, owner_id);
    uint64_t after = data->from;
    if (owner->stage.entries.last != 0) {
        after = entry_at(registry, owner->stage.entries.last)->seq;
    }
    *valid = true;
    for (uint32_t i = 0; i < data->entries_count; i++) {
        const za_RegEntry *from = &data->entries[i];
        *valid = entry_valid(from, after, data->to);
        if (!*valid || owner->stage.entries.count >=
                           ZA_NAMES_PER_NODE_MAX + (uint32_t)ZA_REGISTRY_REMOVALS_MAX) {
            return false;
        }
        after = from->seq;
        entry_t fields = { .seq = from->seq, .actor = from->actor, .hlc = from->hlc };
        fields.removed = from->removed;
        uint32_t id = make_entry(registry, owner_id, from->name, &fields);
        if (id == 0) {
            registry->stats.refused++;
            return false;
        }
        za_chain_append(&owner->stage.entries, &registry->entries, PLACE, id);
    }
    return true;
}

/** Applies one staged entry, which is in no list. False: more names than an owner may have. */
static bool apply_entry(za_registry_t *registry, uint32_t id)
{
    entry_t *entry = entry_at(registry, id);
    owner_t *owner = owner_at(registry, entry->owner);
    if (entry->seq <= owner->applied) {
        free_entry(registry, id);
        return true;
    }
    uint32_t old = find_holder(registry, entry->name, entry->owner);
    if (old != 0) {
        take_live(registry, old);
        free_entry(registry, old);
    }
    if (entry->removed) {
        put_removal(registry, id, entry->seq);
        return true;
    }
    if (owner->live.count >= ZA_NAMES_PER_NODE_MAX) {
        free_entry(registry, id);
        return false;
    }
    if (entry->hlc > registry->hlc) {
        registry->hlc = entry->hlc;
    }
    put_live(registry, id);
    return true;
}

/** Takes the whole stage as one step. False: the owner must be copied anew. */
static bool commit_stage(za_registry_t *registry, owner_t *owner)
{
    if (owner->stage.from == 0) {
        clear_map(registry, owner);
    }
    bool fits = true;
    while (owner->stage.entries.first != 0) {
        uint32_t id = owner->stage.entries.first;
        za_chain_remove(&owner->stage.entries, &registry->entries, PLACE, id);
        fits = apply_entry(registry, id) && fits;
    }
    owner->stage.parts = 0;
    owner->applied = owner->stage.to;
    if (owner->stage.from == 0) {
        owner->floor = owner->stage.to; // removals before the snapshot are unknown here
    }
    return fits && owner->hash == owner->stage.hash;
}

/** True if `data` is the next part of the transfer under way, or may begin one. */
static bool expects(const owner_t *owner, uint64_t uid, const za_RegData *data, uint64_t now_ms)
{
    if (data->part == 0) {
        return owner->stage.parts == 0 || owner->stage.peer == uid ||
               owner->stage.until_ms <= now_ms;
    }
    return owner->stage.parts == data->part && owner->stage.peer == uid &&
           owner->stage.from == data->from && owner->stage.to == data->to &&
           owner->stage.hash == data->hash;
}

static void end_pull(owner_t *owner, uint64_t uid)
{
    if (owner->pull_from == uid) {
        owner->pull_until_ms = 0;
    }
}

static bool take_data(za_registry_t *registry, uint64_t uid, const za_RegData *data,
                      uint64_t now_ms, za_effects_t *out)
{
    uint32_t id = find_owner(registry, data->owner);
    if (id == 0) {
        registry->met_unknown = true;
        return true;
    }
    owner_t *owner = owner_at(registry, id);
    if (id == registry->self || owner->blocked_until_ms > now_ms ||
        !expects(owner, uid, data, now_ms)) {
        return true;
    }
    if (data->to <= owner->applied) {
        end_pull(owner, uid); // old news: somebody else was faster
        return true;
    }
    if (data->from > owner->applied) {
        pull_one(registry, uid, owner, now_ms, out); // a gap: something before it was missed
        return true;
    }
    if (data->part == 0) {
        clear_stage(registry, owner);
        owner->stage.peer = uid;
        owner->stage.from = data->from;
        owner->stage.to = data->to;
        owner->stage.hash = data->hash;
    }
    bool valid;
    if (!stage_part(registry, id, data, &valid)) {
        clear_stage(registry, owner);
        owner->blocked_until_ms = now_ms + ZA_REGISTRY_BLOCKED_MS;
        return valid;
    }
    owner->stage.parts = data->part + 1;
    owner->stage.until_ms = now_ms + ZA_REGISTRY_PULL_MS;
    if (!data->last) {
        return true;
    }
    end_pull(owner, uid);
    if (!commit_stage(registry, owner)) {
        registry->stats.divergence++;
        clear_map(registry, owner);
        pull_one(registry, uid, owner, now_ms, out);
    }
    return true;
}

/* ---- anti-entropy ----------------------------------------------------------------------------- */

/** Compares one line of a digest: pulls what is newer there. */
static void compare(za_registry_t *registry, pulls_t *pulls, const za_RegVersion *theirs,
                    uint64_t now_ms, za_effects_t *out)
{
    uint32_t id = find_owner(registry, theirs->owner);
    if (id == 0) {
        registry->met_unknown = registry->met_unknown || theirs->applied > 0;
        return;
    }
    owner_t *owner = owner_at(registry, id);
    if (id == registry->self) {
        return; // nobody tells us what we have written
    }
    if (theirs->applied == owner->applied && theirs->hash != owner->hash) {
        registry->stats.divergence++;
        clear_stage(registry, owner);
        clear_map(registry, owner);
    }
    if (theirs->applied > owner->applied) {
        add_pull(registry, pulls, owner, now_ms, out);
    }
}

static bool listed(const za_RegDigest *digest, uint64_t uid)
{
    for (uint32_t i = 0; i < digest->versions_count; i++) {
        if (digest->versions[i].owner == uid) {
            return true;
        }
    }
    return false;
}

static void add_version(za_RegDigest *reply, const owner_t *owner)
{
    if (reply->versions_count < VERSIONS_MAX) {
        reply->versions[reply->versions_count++] =
            (za_RegVersion){ owner->uid, owner->applied, owner->hash };
    }
}

/** What the sender of a digest lacks, back to it, so that it can pull. */
static void reply_digest(za_registry_t *registry, uint64_t uid, const za_RegDigest *digest,
                         za_effects_t *out)
{
    za_RegDigest *reply = &registry->answer.body.digest;
    registry->answer.which_body = za_RegistryFrame_digest_tag;
    reply->versions_count = 0;
    reply->low = digest->low;
    reply->high = digest->high;
    reply->reply = true;
    for (uint32_t i = 0; i < digest->versions_count; i++) {
        const za_RegVersion *theirs = &digest->versions[i];
        uint32_t id = find_owner(registry, theirs->owner);
        const owner_t *owner = id != 0 ? owner_at(registry, id) : NULL;
        if (owner != NULL && (theirs->applied < owner->applied ||
                              (id == registry->self && theirs->hash != owner->hash))) {
            add_version(reply, owner);
        }
    }
    for (uint32_t i = sorted_place(registry, digest->low); i < registry->owners.count; i++) {
        const owner_t *owner = owner_at(registry, registry->sorted[i]);
        if (owner->uid > digest->high) {
            break;
        }
        if (owner->applied > 0 && !listed(digest, owner->uid)) {
            add_version(reply, owner);
        }
    }
    if (reply->versions_count > 0 && !emit_frame(registry, uid, &registry->answer, out)) {
        registry->sync_at_ms = 0; // no room now: again with the next pump
    }
}

static void take_digest(za_registry_t *registry, uint64_t uid, const za_RegDigest *digest,
                        uint64_t now_ms, za_effects_t *out)
{
    pulls_t pulls = begin_pulls(registry, uid);
    for (uint32_t i = 0; i < digest->versions_count; i++) {
        compare(registry, &pulls, &digest->versions[i], now_ms, out);
    }
    flush_pulls(registry, &pulls, out);
    if (!digest->reply) {
        reply_digest(registry, uid, digest, out);
    }
}

static void take_pull(za_registry_t *registry, uint64_t uid, const za_RegPull *pull)
{
    uint32_t id = find_peer(registry, uid);
    if (id == 0) {
        return;
    }
    peer_t *peer = peer_at(registry, id);
    for (uint32_t i = 0; i < pull->wants_count && peer->want_count < WANTS_MAX; i++) {
        uint32_t at = (peer->want_first + peer->want_count) % WANTS_MAX;
        peer->wants[at] = (want_t){ pull->wants[i].owner, pull->wants[i].have };
        peer->want_count++;
    }
    set_busy(registry, id);
}

bool za_registry_frame(za_registry_t *registry, uint64_t uid, const uint8_t *bytes, size_t size,
                       uint64_t now_ms, za_effects_t *out)
{
    pb_istream_t stream = pb_istream_from_buffer(bytes, size);
    if (!pb_decode(&stream, za_RegistryFrame_fields, &registry->frame)) {
        return false;
    }
    const za_RegistryFrame *frame = &registry->frame;
    switch (frame->which_body) {
    case za_RegistryFrame_root_tag:
        if (frame->body.root.root != za_registry_hash(registry)) {
            send_digests(registry, uid, out);
        }
        return true;
    case za_RegistryFrame_digest_tag:
        take_digest(registry, uid, &frame->body.digest, now_ms, out);
        return true;
    case za_RegistryFrame_pull_tag:
        take_pull(registry, uid, &frame->body.pull);
        return true;
    case za_RegistryFrame_data_tag:
        return take_data(registry, uid, &frame->body.data, now_ms, out);
    default:
        return false;
    }
}

void za_registry_link_up(za_registry_t *registry, uint64_t uid)
{
    za_registry_link_down(registry, uid); // a newer link: transfers of the old one are lost
    uint32_t id = za_slots_add(&registry->peers, za_mix64(uid));
    if (id == 0) {
        registry->stats.refused++; // beyond ZA_PEERS_MAX: its copies come through others
        return;
    }
    peer_t *peer = peer_at(registry, id);
    peer->uid = uid;
    // It learns by digests what it lacks up to now; pushes bring what comes later.
    peer->pushed = owner_at(registry, registry->self)->applied;
    za_chain_append(&registry->order, &registry->peers, ORDER, id);
    peer->greet = true;
    set_busy(registry, id);
}

void za_registry_link_down(za_registry_t *registry, uint64_t uid)
{
    uint32_t id = find_peer(registry, uid);
    if (id == 0) {
        return;
    }
    if (peer_at(registry, id)->busy) {
        za_chain_remove(&registry->busy, &registry->peers, BUSY, id);
    }
    za_chain_remove(&registry->order, &registry->peers, ORDER, id);
    za_slots_remove(&registry->peers, id);
    for (uint32_t i = 0; i < registry->owners.count; i++) {
        owner_t *owner = owner_at(registry, registry->sorted[i]);
        if (owner->stage.parts > 0 && owner->stage.peer == uid) {
            clear_stage(registry, owner);
        }
        end_pull(owner, uid);
    }
}

static za_step_t sync_one(za_registry_t *registry, uint64_t now_ms, za_effects_t *out)
{
    if (registry->sync_at_ms > now_ms) {
        return ZA_STEP_DONE;
    }
    uint32_t id = registry->order.first;
    if (id != 0) {
        uint64_t skip = za_rng_below(&registry->rng, registry->order.count);
        for (uint64_t i = 0; i < skip; i++) {
            id = za_chain_next(&registry->peers, ORDER, id);
        }
        if (!send_root(registry, peer_at(registry, id)->uid, out)) {
            return ZA_STEP_MORE;
        }
    }
    uint64_t jitter = za_rng_below(&registry->rng, registry->sync_ms / 4 + 1);
    registry->sync_at_ms = now_ms + registry->sync_ms - registry->sync_ms / 8 + jitter;
    return ZA_STEP_DONE;
}

za_step_t za_registry_pump(za_registry_t *registry, uint64_t now_ms, za_effects_t *out)
{
    if (za_registry_pump_names(registry, now_ms, out) == ZA_STEP_MORE ||
        give_up_lost(registry, now_ms, out) == ZA_STEP_MORE ||
        za_registry_pump_names(registry, now_ms, out) == ZA_STEP_MORE) {
        return ZA_STEP_MORE;
    }
    push_own(registry, now_ms);
    uint32_t id = registry->busy.first;
    while (id != 0) {
        uint32_t next = za_chain_next(&registry->peers, BUSY, id);
        if (!pump_peer(registry, id, out)) {
            return ZA_STEP_MORE;
        }
        id = next;
    }
    return sync_one(registry, now_ms, out);
}

/* ---- looking in ------------------------------------------------------------------------------- */

uint64_t za_registry_deadline_ms(const za_registry_t *registry)
{
    uint64_t deadline = registry->order.count > 0 ? registry->sync_at_ms : UINT64_MAX;
    if (registry->push_at_ms != 0 && registry->push_at_ms < deadline) {
        deadline = registry->push_at_ms;
    }
    if (registry->losers.first != 0 &&
        entry_at(registry, registry->losers.first)->lost_at_ms < deadline) {
        deadline = entry_at(registry, registry->losers.first)->lost_at_ms;
    }
    return deadline;
}

za_err_t za_registry_whereis(const za_registry_t *registry, const char *name, za_ref_t *out)
{
    uint32_t id = name != NULL ? find_name(registry, name) : 0;
    if (id == 0 || name_at(registry, id)->holders.first == 0) {
        return ZA_ENOENT;
    }
    *out = winner_of(registry, name_at(registry, id));
    return ZA_OK;
}

static int compare_names(const void *a, const void *b, void *context)
{
    const za_registry_t *registry = context;
    uint32_t one = *(const uint32_t *)a;
    uint32_t other = *(const uint32_t *)b;
    return strcmp(name_at(registry, one)->text, name_at(registry, other)->text);
}

void za_registry_each_name(const za_registry_t *registry,
                           bool (*visit)(const char *name, za_ref_t ref, void *context),
                           void *context)
{
    uint32_t count = 0;
    for (uint32_t id = 1; id <= registry->names.fresh; id++) {
        const name_t *name = name_at(registry, id);
        if (name->holders.first != 0 && find_name(registry, name->text) == id) {
            registry->visit[count++] = id;
        }
    }
    qsort_r(registry->visit, count, sizeof *registry->visit, compare_names, (void *)registry);
    for (uint32_t i = 0; i < count; i++) {
        const name_t *name = name_at(registry, registry->visit[i]);
        if (!visit(name->text, winner_of(registry, name), context)) {
            return;
        }
    }
}

uint64_t za_registry_hash(const za_registry_t *registry)
{
    uint64_t root = 0;
    for (uint32_t i = 0; i < registry->owners.count; i++) {
        const owner_t *owner = owner_at(registry, registry->sorted[i]);
        if (owner->applied > 0) {
            uint64_t hash = za_mix64(owner->uid ^ za_mix64(owner->applied));
            root ^= za_mix64(hash ^ owner->hash);
        }
    }
    return root;
}

bool za_registry_version(const za_registry_t *registry, uint64_t uid, uint64_t *applied,
                         uint64_t *hash)
{
    uint32_t id = find_owner(registry, uid);
    if (id == 0) {
        return false;
    }
    *applied = owner_at(registry, id)->applied;
    *hash = owner_at(registry, id)->hash;
    return true;
}

void za_registry_stats(const za_registry_t *registry, za_registry_stats_t *out)
{
    *out = registry->stats;
    out->entries = registry->entries.count;
}
