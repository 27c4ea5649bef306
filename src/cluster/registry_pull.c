#include "cluster/registry_internal.h"

#include <string.h>

/* ---- what we lack ----------------------------------------------------------------------------- */

static void set_sourcing(za_registry_t *registry, uint32_t peer_id)
{
    za_reg_peer_t *peer = za_reg_peer_at(registry, peer_id);
    bool sourcing = peer->needs.count > 0;
    if (sourcing && !peer->sourcing) {
        za_chain_append(&registry->sources, &registry->peers, ZA_REG_SOURCE, peer_id);
    } else if (!sourcing && peer->sourcing) {
        za_chain_remove(&registry->sources, &registry->peers, ZA_REG_SOURCE, peer_id);
    }
    peer->sourcing = sourcing;
}

/** The owner is to be pulled from nobody. */
static void drop_source(za_registry_t *registry, uint32_t owner_id)
{
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    uint32_t peer_id = owner->source;
    if (peer_id != 0) {
        za_chain_t *needs = &za_reg_peer_at(registry, peer_id)->needs;
        za_chain_remove(needs, &registry->owners, ZA_REG_NEED, owner_id);
        owner->source = 0;
        set_sourcing(registry, peer_id);
    }
}

/** Whatever keeps it from answering, it would be asked again and again as long as it tells what it has. */
static bool is_deaf(const za_registry_t *registry, uint32_t peer_id)
{
    const za_reg_peer_t *peer = za_reg_peer_at(registry, peer_id);
    return registry->linked_count > 1 && peer->deaf_until_ms > registry->now_ms;
}

void za_reg_want(za_registry_t *registry, uint32_t owner_id, uint64_t applied, uint64_t uid)
{
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    uint32_t peer_id = za_reg_find_peer(registry, uid);
    if (owner_id == registry->self || applied <= owner->applied || peer_id == 0 ||
        owner->blocked_until_ms > registry->now_ms || is_deaf(registry, peer_id)) {
        return;
    }
    if (applied > owner->target) {
        owner->target = applied;
        owner->teller = uid;
    }
    if (owner->pull != 0) {
        return; // one at a time; its answer may bring it
    }
    // Each of those who could serve is as likely to be asked: a newcomer loads all evenly.
    owner->tellers++;
    if (owner->source != 0 && za_rng_below(&registry->rng, owner->tellers) != 0) {
        return;
    }
    drop_source(registry, owner_id);
    owner->source = peer_id;
    za_chain_append(&za_reg_peer_at(registry, peer_id)->needs, &registry->owners, ZA_REG_NEED,
                    owner_id);
    set_sourcing(registry, peer_id);
}

static void park(za_registry_t *registry, uint64_t owner, uint64_t applied, uint64_t uid)
{
    za_reg_parked_t *place = NULL;
    for (uint32_t i = 0; i < ZA_REG_PARKED_MAX; i++) {
        za_reg_parked_t *parked = &registry->parked[i];
        if (parked->uid == owner) {
            place = parked;
            break;
        }
        if (place == NULL && (parked->uid == 0 || parked->until_ms <= registry->now_ms)) {
            place = parked;
        }
    }
    if (place == NULL) {
        registry->stats.refused++; // comparing brings it up again
        return;
    }
    registry->parked_count += place->uid == 0;
    *place = (za_reg_parked_t){ owner, uid, applied, registry->now_ms + ZA_REGISTRY_PARK_MS };
}

void za_reg_hear_of(za_registry_t *registry, uint64_t owner, uint64_t applied, uint64_t uid)
{
    uint32_t id = za_reg_adopt(registry, owner);
    if (id != 0) {
        za_reg_want(registry, id, applied, uid);
    } else if (za_view_known(registry->view, owner) == ZA_KNOWN_NOT) {
        park(registry, owner, applied, uid);
    }
}

/* ---- stages ----------------------------------------------------------------------------------- */

static za_reg_stage_t *stage_at(const za_registry_t *registry, uint32_t id)
{
    return za_slots_at(&registry->stages, id);
}

static void drop_stage(za_registry_t *registry, za_reg_owner_t *owner)
{
    if (owner->stage != 0) {
        za_reg_clear_chain(registry, &stage_at(registry, owner->stage)->entries);
        za_slots_remove(&registry->stages, owner->stage);
        owner->stage = 0;
    }
}

/** Looks at every stage: there are few. */
static void drop_stages_if(za_registry_t *registry,
                           bool (*doomed)(const za_reg_stage_t *stage, uint64_t key), uint64_t key)
{
    for (uint32_t id = 1; id <= registry->stages.fresh && registry->stages.count > 0; id++) {
        const za_reg_stage_t *stage = stage_at(registry, id);
        if (stage->owner == 0) {
            continue;
        }
        za_reg_owner_t *owner = za_reg_owner_at(registry, stage->owner);
        if (owner->stage == id && doomed(stage, key)) {
            drop_stage(registry, owner);
        }
    }
}

static bool stage_of_peer(const za_reg_stage_t *stage, uint64_t uid)
{
    return stage->peer == uid;
}

static bool stage_is_late(const za_reg_stage_t *stage, uint64_t now_ms)
{
    return stage->until_ms <= now_ms;
}

/* ---- pulls ------------------------------------------------------------------------------------ */

static void end_pull(za_registry_t *registry, za_reg_pull_t *pull)
{
    uint32_t peer_id = za_reg_find_peer(registry, pull->peer);
    if (peer_id != 0) {
        za_reg_peer_at(registry, peer_id)->pulling = false;
    }
    for (uint32_t i = 0; i < pull->count; i++) {
        uint32_t id = za_reg_find_owner(registry, pull->owners[i]);
        za_reg_owner_t *owner = id != 0 ? za_reg_owner_at(registry, id) : NULL;
        if (owner != NULL && owner->pull == (uint32_t)(pull - registry->pulls) + 1) {
            owner->pull = 0;
        }
    }
    *pull = (za_reg_pull_t){ 0 };
    registry->pull_count--;
}

/** `uid` has answered for the owner. */
static void answered(za_registry_t *registry, uint32_t owner_id, uint64_t uid, bool progress)
{
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    if (owner->pull == 0 || registry->pulls[owner->pull - 1].peer != uid) {
        return;
    }
    za_reg_pull_t *pull = &registry->pulls[owner->pull - 1];
    owner->pull = 0;
    if (--pull->left == 0) {
        end_pull(registry, pull);
    }
    if (owner->target > owner->applied && (progress || owner->teller != uid)) {
        za_reg_want(registry, owner_id, owner->target, owner->teller);
    } else {
        owner->target = 0;
    }
}

void za_reg_forget_wants(za_registry_t *registry, uint32_t owner_id)
{
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    drop_source(registry, owner_id);
    drop_stage(registry, owner);
    owner->target = 0;
    if (owner->pull != 0) {
        answered(registry, owner_id, registry->pulls[owner->pull - 1].peer, false);
    }
}

void za_reg_forget_source(za_registry_t *registry, uint32_t peer_id)
{
    const za_reg_peer_t *peer = za_reg_peer_at(registry, peer_id);
    bool asked = peer->pulling || peer->needs.count > 0;
    while (peer->needs.first != 0) {
        drop_source(registry, peer->needs.first);
    }
    for (uint32_t i = 0; i < ZA_REG_PULLS_MAX; i++) {
        if (registry->pulls[i].peer == peer->uid) {
            end_pull(registry, &registry->pulls[i]);
        }
    }
    drop_stages_if(registry, stage_of_peer, peer->uid);
    if (asked) {
        registry->sync_at_ms = 0; // another may have it
    }
}

static void send_pull(za_registry_t *registry, uint32_t peer_id, za_reg_pull_t *pull,
                      za_effects_t *out)
{
    za_reg_peer_t *peer = za_reg_peer_at(registry, peer_id);
    *pull =
        (za_reg_pull_t){ .peer = peer->uid, .until_ms = registry->now_ms + ZA_REGISTRY_PULL_MS };
    registry->answer.which_body = za_RegistryFrame_pull_tag;
    za_RegPull *frame = &registry->answer.body.pull;
    frame->wants_count = 0;
    while (peer->needs.first != 0 && pull->count < ZA_REG_PULL_OWNERS) {
        uint32_t owner_id = peer->needs.first;
        za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
        drop_source(registry, owner_id);
        owner->tellers = 0;
        if (owner->target <= owner->applied) {
            continue; // somebody else was faster
        }
        owner->pull = (uint32_t)(pull - registry->pulls) + 1;
        pull->owners[pull->count++] = owner->uid;
        frame->wants[frame->wants_count++] = (za_RegWant){ owner->uid, owner->applied };
    }
    pull->left = pull->count;
    registry->pull_count++;
    peer->pulling = true;
    if (pull->count == 0 || !za_reg_emit(registry, peer->uid, out)) {
        end_pull(registry, pull);
    }
}

static void end_late_pulls(za_registry_t *registry)
{
    for (uint32_t i = 0; i < ZA_REG_PULLS_MAX && registry->pull_count > 0; i++) {
        if (registry->pulls[i].peer != 0 && registry->pulls[i].until_ms <= registry->now_ms) {
            uint32_t peer_id = za_reg_find_peer(registry, registry->pulls[i].peer);
            if (peer_id != 0) {
                za_reg_peer_at(registry, peer_id)->deaf_until_ms =
                    registry->now_ms + ZA_REGISTRY_PULL_MS;
            }
            end_pull(registry, &registry->pulls[i]);
            registry->quiet = 0;
            registry->sync_at_ms = registry->now_ms; // another may answer
        }
    }
}

static za_reg_pull_t *free_pull(za_registry_t *registry)
{
    for (uint32_t i = 0; i < ZA_REG_PULLS_MAX; i++) {
        if (registry->pulls[i].peer == 0) {
            return &registry->pulls[i];
        }
    }
    return NULL;
}

void za_reg_pump_pulls(za_registry_t *registry, za_effects_t *out)
{
    end_late_pulls(registry);
    if (registry->stages.count > 0) {
        drop_stages_if(registry, stage_is_late, registry->now_ms);
    }
    uint32_t peer_id = registry->sources.first;
    while (peer_id != 0 && registry->pull_count < ZA_REG_PULLS_MAX) {
        uint32_t next = za_chain_next(&registry->peers, ZA_REG_SOURCE, peer_id);
        if (!za_reg_peer_at(registry, peer_id)->pulling) {
            send_pull(registry, peer_id, free_pull(registry), out);
        }
        peer_id = next;
    }
}

uint64_t za_reg_pull_deadline(const za_registry_t *registry)
{
    uint64_t deadline = UINT64_MAX;
    for (uint32_t i = 0; i < ZA_REG_PULLS_MAX && registry->pull_count > 0; i++) {
        const za_reg_pull_t *pull = &registry->pulls[i];
        if (pull->peer != 0 && pull->until_ms < deadline) {
            deadline = pull->until_ms;
        }
    }
    return deadline;
}

/* ---- data ------------------------------------------------------------------------------------- */

static bool entry_valid(const za_RegEntry *entry, uint64_t after, uint64_t to)
{
    return entry->seq > after && entry->seq <= to && entry->name[0] != '\0' && entry->actor != 0 &&
           entry->hlc < ZA_REG_HLC_MAX && entry->kind <= ZA_NAME_GROUP;
}

typedef enum staged {
    STAGED_OK,
    STAGED_BAD,  // breaks the protocol
    STAGED_FULL, // does not fit here
} staged_t;

/** Copies the entries of one part to `chain`. */
static staged_t stage_part(za_registry_t *registry, uint32_t owner_id, const za_RegData *data,
                           za_chain_t *chain)
{
    uint64_t after = chain->last != 0 ? za_reg_entry_at(registry, chain->last)->seq : data->from;
    for (uint32_t i = 0; i < data->entries_count; i++) {
        const za_RegEntry *from = &data->entries[i];
        if (!entry_valid(from, after, data->to)) {
            return STAGED_BAD;
        }
        after = from->seq;
        za_reg_fields_t fields = {
            from->name, from->meta.bytes, from->meta.size, (za_name_kind_t)from->kind,
            from->prio, from->seq,        from->actor,     from->hlc,
        };
        uint32_t id = 0;
        if (chain->count < ZA_NAMES_PER_NODE_MAX + (uint32_t)ZA_REGISTRY_REMOVALS_MAX) {
            id = za_reg_entry_make(registry, owner_id, &fields);
        }
        if (id == 0) {
            return STAGED_FULL;
        }
        za_reg_entry_at(registry, id)->removal = from->removed;
        za_chain_append(chain, &registry->entries, ZA_REG_PLACE, id);
    }
    return STAGED_OK;
}

/** Applies one staged entry, which is in no list. */
static void apply_entry(za_registry_t *registry, uint32_t id, za_effects_t *out)
{
    const za_reg_entry_t *entry = za_reg_entry_at(registry, id);
    uint32_t old = za_reg_find_live(registry, entry->owner, entry->name, entry->actor);
    if (!entry->removal) {
        za_reg_saw_hlc(registry, entry->owner, entry->hlc, out);
        if (old != 0 && za_reg_entry_at(registry, old)->actor == entry->actor) {
            za_reg_update_live(registry, old, id);
            return;
        }
    }
    if (old != 0) {
        za_reg_take_live(registry, old);
        za_reg_entry_retire(registry, old);
    }
    if (entry->removal) {
        za_reg_put_removal(registry, id);
    } else {
        za_reg_put_live(registry, id);
    }
}

typedef struct transfer {
    uint64_t from, to, hash;
    bool rumour, answer;
} transfer_t;

/** Takes a whole transfer as one step. False: the map is not what it must be then. */
static bool commit(za_registry_t *registry, uint32_t owner_id, za_chain_t *chain,
                   transfer_t transfer, za_effects_t *out)
{
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    bool snapshot = transfer.from == 0;
    uint32_t kept = 0;
    if (snapshot) {
        za_reg_clear_chain(registry, &owner->removals);
    }
    while (chain->first != 0) {
        uint32_t id = chain->first;
        const za_reg_entry_t *entry = za_reg_entry_at(registry, id);
        za_chain_remove(chain, &registry->entries, ZA_REG_PLACE, id);
        if (!snapshot && entry->seq <= owner->applied) {
            za_reg_entry_free(registry, id);
            continue;
        }
        kept += !entry->removal;
        apply_entry(registry, id, out);
    }
    while (snapshot && owner->live.count > kept) { // what it does not name comes first
        uint32_t id = owner->live.first;
        za_reg_take_live(registry, id);
        za_reg_entry_retire(registry, id);
    }
    owner->applied = transfer.to;
    if (snapshot) {
        owner->floor = transfer.to; // removals before the snapshot are unknown here
    }
    za_reg_refold(registry, owner_id);
    return owner->hash == transfer.hash;
}

void za_reg_diverged(za_registry_t *registry, uint32_t owner_id)
{
    registry->stats.divergence++;
    za_reg_forget_wants(registry, owner_id); // an answer under way goes on from what was not right
    za_reg_clear_map(registry, owner_id);
}

static void block(za_registry_t *registry, uint32_t owner_id)
{
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    registry->stats.refused++;
    za_reg_forget_wants(registry, owner_id);
    owner->blocked_until_ms = registry->now_ms + ZA_REGISTRY_BLOCKED_MS;
}

static void finish(za_registry_t *registry, uint64_t uid, uint32_t owner_id, za_chain_t *chain,
                   transfer_t transfer, za_effects_t *out)
{
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    uint64_t before = owner->applied;
    bool right = commit(registry, owner_id, chain, transfer, out);
    if (owner->live.count > ZA_NAMES_PER_NODE_MAX) {
        za_reg_clear_map(registry, owner_id);
        block(registry, owner_id);
        return;
    }
    if (transfer.answer) {
        answered(registry, owner_id, uid, right);
    }
    if (!right) {
        za_reg_diverged(registry, owner_id);
        za_reg_want(registry, owner_id, transfer.to, uid);
        return;
    }
    owner->giver = uid;
    za_reg_confirm(registry, owner, uid);
    za_reg_add_echo(registry, owner_id);
    if (transfer.rumour) {
        za_reg_forward(registry, uid, owner->uid, before);
    }
}

/** A transfer in one part needs no stage. */
static bool take_whole(za_registry_t *registry, uint64_t uid, uint32_t owner_id,
                       const za_RegData *data, za_effects_t *out)
{
    za_chain_t chain = { 0 };
    staged_t staged = stage_part(registry, owner_id, data, &chain);
    if (staged != STAGED_OK) {
        za_reg_clear_chain(registry, &chain);
        block(registry, owner_id);
        return staged == STAGED_FULL;
    }
    transfer_t transfer = { data->from, data->to, data->hash, data->rumour, data->answer };
    finish(registry, uid, owner_id, &chain, transfer, out);
    return true;
}

/** The stage that `data` goes on with, or a new one; 0: it does not fit what is under way. */
static uint32_t open_stage(za_registry_t *registry, uint64_t uid, uint32_t owner_id,
                           const za_RegData *data)
{
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    const za_reg_stage_t *old = owner->stage != 0 ? stage_at(registry, owner->stage) : NULL;
    if (data->part > 0) {
        bool next = old != NULL && old->parts == data->part && old->peer == uid &&
                    old->from == data->from && old->to == data->to && old->hash == data->hash;
        return next ? owner->stage : 0;
    }
    if (old != NULL && old->peer != uid) {
        return 0; // the first comes to its end, or its time does
    }
    drop_stage(registry, owner);
    owner->stage = za_slots_add(&registry->stages, owner_id);
    if (owner->stage == 0) {
        registry->stats.refused++;
        return 0;
    }
    za_reg_stage_t *stage = stage_at(registry, owner->stage);
    stage->owner = owner_id;
    stage->peer = uid;
    stage->from = data->from;
    stage->to = data->to;
    stage->hash = data->hash;
    stage->rumour = data->rumour;
    stage->answer = data->answer;
    return owner->stage;
}

static bool take_part(za_registry_t *registry, uint64_t uid, uint32_t owner_id,
                      const za_RegData *data, za_effects_t *out)
{
    uint32_t id = open_stage(registry, uid, owner_id, data);
    if (id == 0) {
        return true;
    }
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    za_reg_stage_t *stage = stage_at(registry, id);
    staged_t staged = stage_part(registry, owner_id, data, &stage->entries);
    if (staged != STAGED_OK) {
        block(registry, owner_id);
        return staged == STAGED_FULL;
    }
    stage->parts = data->part + 1;
    stage->until_ms = registry->now_ms + ZA_REGISTRY_PULL_MS;
    if (owner->pull != 0 && registry->pulls[owner->pull - 1].peer == uid) {
        registry->pulls[owner->pull - 1].until_ms = stage->until_ms;
    }
    if (data->last) {
        transfer_t transfer = { stage->from, stage->to, stage->hash, stage->rumour, stage->answer };
        za_chain_t chain = stage->entries;
        stage->entries = (za_chain_t){ 0 };
        drop_stage(registry, owner);
        finish(registry, uid, owner_id, &chain, transfer, out);
    }
    return true;
}

bool za_reg_take_data(za_registry_t *registry, uint64_t uid, const za_RegData *data,
                      za_effects_t *out)
{
    if (data->from > data->to) {
        return false;
    }
    uint32_t id = za_reg_adopt(registry, data->owner);
    if (id == 0) {
        za_reg_hear_of(registry, data->owner, data->to, uid);
        return true;
    }
    za_reg_owner_t *owner = za_reg_owner_at(registry, id);
    if (id == registry->self || owner->blocked_until_ms > registry->now_ms) {
        return true;
    }
    if (data->to <= owner->applied) { // old news: somebody else was faster
        bool same = data->to == owner->applied && data->from < data->to;
        if (data->answer) {
            answered(registry, id, uid, false);
        }
        if (same && data->hash != owner->hash) {
            za_reg_diverged(registry, id);
            za_reg_want(registry, id, data->to, uid);
        } else if (same) {
            za_reg_confirm(registry, owner, uid);
        }
        return true;
    }
    if (data->from > owner->applied) { // a gap: something before it was missed
        if (data->answer) {            // our map was dropped meanwhile
            answered(registry, id, uid, false);
        }
        za_reg_want(registry, id, data->to, uid);
        return true;
    }
    if (data->part == 0 && data->last) {
        return take_whole(registry, uid, id, data, out);
    }
    return take_part(registry, uid, id, data, out);
}
