#include "cluster/registry_internal.h"

#include <string.h>

/* ---- entries of ours, by actor ---------------------------------------------------------------- */

static za_reg_actor_t *actor_at(const za_registry_t *registry, uint32_t id)
{
    return za_slots_at(&registry->actors, id);
}

static uint32_t find_actor(const za_registry_t *registry, uint64_t actor)
{
    uint32_t id = za_slots_first(&registry->actors, za_mix64(actor));
    while (id != 0 && actor_at(registry, id)->actor != actor) {
        id = za_slots_next(&registry->actors, id);
    }
    return id;
}

/** Room is sure: there are as many records as an owner may have entries. */
static void add_own(za_registry_t *registry, uint32_t entry_id)
{
    za_reg_entry_t *entry = za_reg_entry_at(registry, entry_id);
    uint32_t actor_id = find_actor(registry, entry->actor);
    if (actor_id == 0) {
        actor_id = za_slots_add(&registry->actors, za_mix64(entry->actor));
        actor_at(registry, actor_id)->actor = entry->actor;
    }
    uint32_t id = za_slots_add(&registry->owns, entry_id);
    za_reg_own_t *own = za_reg_own_at(registry, id);
    own->entry = entry_id;
    own->actor = actor_id;
    za_chain_append(&actor_at(registry, actor_id)->entries, &registry->owns, ZA_REG_SIBLING, id);
    entry->own = id;
}

static void drop_own(za_registry_t *registry, uint32_t entry_id)
{
    za_reg_entry_t *entry = za_reg_entry_at(registry, entry_id);
    uint32_t id = entry->own;
    uint32_t actor_id = za_reg_own_at(registry, id)->actor;
    za_chain_t *entries = &actor_at(registry, actor_id)->entries;
    za_reg_end_losing(registry, id);
    za_chain_remove(entries, &registry->owns, ZA_REG_SIBLING, id);
    za_slots_remove(&registry->owns, id);
    if (entries->count == 0) {
        za_slots_remove(&registry->actors, actor_id);
    }
    entry->own = 0;
}

/* ---- clocks ----------------------------------------------------------------------------------- */

static uint64_t clock_ms(const za_registry_t *registry)
{
    return registry->now_ms + (uint64_t)registry->wall_ms;
}

static uint64_t next_hlc(za_registry_t *registry)
{
    uint64_t clock = clock_ms(registry) * ZA_REG_HLC_STEP;
    registry->hlc = clock > registry->hlc ? clock : registry->hlc + 1;
    registry->hlc = registry->hlc < ZA_REG_HLC_MAX ? registry->hlc : ZA_REG_HLC_MAX - 1;
    return registry->hlc;
}

void za_registry_wall(za_registry_t *registry, uint64_t now_ms, uint64_t wall_ms)
{
    if (wall_ms < ZA_REG_HLC_MAX / ZA_REG_HLC_STEP) {
        registry->wall_ms = (int64_t)wall_ms - (int64_t)now_ms;
        registry->wall_known = true;
    }
}

/** A stamp orders claims and nothing else: one from a clock that runs ahead is not followed. */
void za_reg_saw_hlc(za_registry_t *registry, uint32_t owner_id, uint64_t hlc, za_effects_t *out)
{
    uint64_t there_ms = hlc / ZA_REG_HLC_STEP;
    if (there_ms <= clock_ms(registry) + ZA_REGISTRY_SKEW_MS) {
        registry->hlc = hlc > registry->hlc ? hlc : registry->hlc;
        return;
    }
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    if (registry->wall_known && !owner->skewed) {
        owner->skewed = true;
        registry->stats.skewed++;
        if (za_effects_have_room(out, 1, 128)) {
            za_effect_t *effect = za_effects_add(out, ZA_EFFECT_LOG);
            effect->name = za_effects_text(
                out, "the clock of %016llx is %llu ms ahead: its claims of names lose",
                (unsigned long long)owner->uid,
                (unsigned long long)(there_ms - clock_ms(registry)));
        }
    }
}

/* ---- register --------------------------------------------------------------------------------- */

static void refuse(za_registry_t *registry, const za_claim_t *claim, za_ref_t holder, za_err_t err,
                   const char *why, za_effects_t *out)
{
    const char *name = claim->name != NULL ? claim->name : "";
    bool group = claim->kind == ZA_NAME_GROUP;
    registry->stats.refused++;
    za_effects_add(out, ZA_EFFECT_LOG)->name = za_effects_text(
        out, "%s %.64s is not registered: %s", group ? "member of group" : "name", name, why);
    if (group) {
        return; // a member on its own node alone
    }
    za_effect_t *lost = za_effects_add(out, ZA_EFFECT_NAME_LOST);
    lost->name = za_effects_text(out, "%.*s", ZA_NAME_BYTES_MAX, name);
    lost->ref = holder;
    lost->actor = claim->actor;
    lost->err = err;
}

/** What is wrong with a claim by itself; NULL: nothing. */
static const char *fault_of(const za_claim_t *claim)
{
    if (claim->name == NULL || claim->name[0] == '\0' || strlen(claim->name) > ZA_NAME_BYTES_MAX) {
        return "not a name";
    }
    if (claim->kind != ZA_NAME_UNIQUE && claim->kind != ZA_NAME_GROUP) {
        return "not a kind of name";
    }
    if (claim->meta_bytes > ZA_NAME_META_BYTES_MAX) {
        return "its meta is too long";
    }
    return claim->actor == 0 ? "not an actor" : NULL;
}

static bool may_claim(const za_registry_t *registry)
{
    const za_view_t *view = registry->view;
    return view->may_claim == NULL || view->may_claim(view->context);
}

static void stamp_change(za_registry_t *registry)
{
    za_reg_refold(registry, registry->self);
    za_reg_own_changed(registry);
}

/** The same holder again: nothing, or a change of what stands beside the name. */
static void claim_again(za_registry_t *registry, uint32_t held, const za_claim_t *claim,
                        za_effects_t *out)
{
    const za_reg_entry_t *entry = za_reg_entry_at(registry, held);
    if (entry->prio == claim->prio &&
        za_reg_same_meta(registry, entry, claim->meta, claim->meta_bytes)) {
        return;
    }
    za_reg_fields_t fields = { claim->name,  claim->meta, claim->meta_bytes,
                               claim->kind,  claim->prio, za_reg_self(registry)->applied + 1,
                               claim->actor, entry->hlc }; // since it holds it, it does
    uint32_t staged = za_reg_entry_make(registry, registry->self, &fields);
    if (staged == 0) {
        registry->stats.refused++;
        za_effects_add(out, ZA_EFFECT_LOG)->name = za_effects_text(
            out, "what stands beside %.64s stays as it was: too many names", claim->name);
        return;
    }
    za_reg_self(registry)->applied++;
    za_reg_update_live(registry, held, staged);
    stamp_change(registry);
}

void za_registry_register(za_registry_t *registry, const za_claim_t *claim, uint64_t now_ms,
                          za_effects_t *out)
{
    registry->now_ms = now_ms;
    const char *fault = fault_of(claim);
    if (fault != NULL) {
        refuse(registry, claim, ZA_REF_NONE, ZA_EINVAL, fault, out);
        return;
    }
    uint32_t name_id = za_reg_find_name(registry, claim->kind, claim->name);
    uint32_t held = za_reg_find_live(registry, registry->self, name_id, claim->actor);
    if (held != 0 && za_reg_entry_at(registry, held)->actor == claim->actor) {
        claim_again(registry, held, claim, out);
        return;
    }
    if (held != 0) {
        za_ref_t holder = za_reg_ref_of(registry, za_reg_entry_at(registry, held));
        refuse(registry, claim, holder, ZA_EEXIST, "another actor of this node has it", out);
        return;
    }
    if (claim->kind == ZA_NAME_UNIQUE && !may_claim(registry)) {
        refuse(registry, claim, ZA_REF_NONE, ZA_EUNAVAILABLE,
               "this side of the cluster has no majority", out);
        return;
    }
    za_reg_owner_t *self = za_reg_self(registry);
    za_reg_fields_t fields = {
        claim->name, claim->meta,       claim->meta_bytes, claim->kind,
        claim->prio, self->applied + 1, claim->actor,      next_hlc(registry)
    };
    uint32_t id = 0;
    if (self->live.count < registry->limits.names_per_node_max) {
        id = za_reg_entry_make(registry, registry->self, &fields);
    }
    if (id == 0) {
        refuse(registry, claim, ZA_REF_NONE, ZA_ENOBUFS, "too many names", out);
        return;
    }
    self->applied++;
    add_own(registry, id);
    za_reg_put_live(registry, id);
    stamp_change(registry);
}

static void remove_own(za_registry_t *registry, uint32_t id)
{
    za_reg_owner_t *self = za_reg_self(registry);
    const za_reg_entry_t *entry = za_reg_entry_at(registry, id);
    const za_reg_name_t *name = za_reg_name_at(registry, entry->name);
    za_reg_fields_t fields = { .name = za_reg_text(registry, name),
                               .kind = (za_name_kind_t)name->kind,
                               .seq = ++self->applied,
                               .actor = entry->actor };
    drop_own(registry, id);
    za_reg_take_live(registry, id);
    uint32_t removal = za_reg_entry_make(registry, registry->self, &fields);
    za_reg_entry_retire(registry, id);
    if (removal != 0) {
        za_reg_put_removal(registry, removal);
    } else { // no room to remember it: who lacks this change gets a snapshot
        za_reg_clear_chain(registry, &self->removals);
        self->floor = self->applied;
    }
    stamp_change(registry);
}

void za_registry_unregister(za_registry_t *registry, za_name_kind_t kind, const char *name,
                            uint64_t actor, uint64_t now_ms)
{
    registry->now_ms = now_ms;
    uint32_t name_id = name != NULL ? za_reg_find_name(registry, kind, name) : 0;
    uint32_t id = za_reg_find_live(registry, registry->self, name_id, actor);
    if (id != 0 && za_reg_entry_at(registry, id)->actor == actor) {
        remove_own(registry, id);
    }
}

void za_registry_actor_stopped(za_registry_t *registry, uint64_t actor, uint64_t now_ms)
{
    registry->now_ms = now_ms;
    for (uint32_t id = find_actor(registry, actor); id != 0; id = find_actor(registry, actor)) {
        uint32_t own = actor_at(registry, id)->entries.first;
        remove_own(registry, za_reg_own_at(registry, own)->entry);
    }
}

/* ---- conflicts -------------------------------------------------------------------------------- */

void za_reg_end_losing(za_registry_t *registry, uint32_t own_id)
{
    za_reg_own_t *own = za_reg_own_at(registry, own_id);
    if (own->losing) {
        own->losing = false;
        za_chain_remove(&registry->losers, &registry->owns, ZA_REG_LOSER, own_id);
    }
}

void za_reg_judge_own(za_registry_t *registry, uint32_t name_id)
{
    uint32_t id = za_reg_find_live(registry, registry->self, name_id, 0);
    if (id == 0) {
        return;
    }
    uint32_t own_id = za_reg_entry_at(registry, id)->own;
    za_reg_own_t *own = za_reg_own_at(registry, own_id);
    if (za_reg_name_at(registry, name_id)->holders.first == id) {
        za_reg_end_losing(registry, own_id);
    } else if (!own->losing) {
        own->losing = true;
        own->lost_at_ms = registry->now_ms + ZA_REGISTRY_SETTLE_MS;
        za_chain_append(&registry->losers, &registry->owns, ZA_REG_LOSER, own_id);
    }
}

za_step_t za_reg_give_up_lost(za_registry_t *registry, za_effects_t *out)
{
    while (registry->losers.first != 0 &&
           za_reg_own_at(registry, registry->losers.first)->lost_at_ms <= registry->now_ms) {
        if (!za_effects_have_room(out, 2, ZA_NAME_BYTES_MAX + 1)) {
            return ZA_STEP_MORE;
        }
        uint32_t id = za_reg_own_at(registry, registry->losers.first)->entry;
        const za_reg_entry_t *entry = za_reg_entry_at(registry, id);
        const za_reg_name_t *name = za_reg_name_at(registry, entry->name);
        za_effect_t *effect = za_effects_add(out, ZA_EFFECT_NAME_LOST);
        effect->name = za_effects_text(out, "%s", za_reg_text(registry, name));
        effect->ref = za_reg_winner(registry, name);
        effect->actor = entry->actor;
        effect->err = ZA_EEXIST;
        za_effects_add(out, ZA_EFFECT_MARK)->mark = ZA_MARK_NAME_CONFLICT;
        registry->stats.conflicts++;
        remove_own(registry, id);
    }
    return ZA_STEP_DONE;
}

za_step_t za_registry_lose_names(za_registry_t *registry, uint64_t now_ms, za_effects_t *out)
{
    registry->now_ms = now_ms;
    uint32_t id = za_reg_self(registry)->live.first;
    while (id != 0) {
        uint32_t next = za_chain_next(&registry->entries, ZA_REG_PLACE, id);
        const za_reg_entry_t *entry = za_reg_entry_at(registry, id);
        const za_reg_name_t *name = za_reg_name_at(registry, entry->name);
        if (name->kind == ZA_NAME_UNIQUE) {
            if (!za_effects_have_room(out, 4, 2 * (ZA_NAME_BYTES_MAX + 1))) {
                return ZA_STEP_MORE;
            }
            za_effect_t *effect = za_effects_add(out, ZA_EFFECT_NAME_LOST);
            effect->name = za_effects_text(out, "%s", za_reg_text(registry, name));
            effect->actor = entry->actor;
            effect->err = ZA_EUNAVAILABLE;
            remove_own(registry, id);
        }
        id = next;
    }
    return ZA_STEP_DONE;
}

void za_registry_reborn(za_registry_t *registry, uint64_t now_ms)
{
    registry->now_ms = now_ms;
    while (registry->linked_count > 0) {
        uint32_t peer = registry->linked[registry->linked_count - 1];
        za_registry_link_down(registry, za_reg_peer_at(registry, peer)->uid);
    }
    za_reg_rename_self(registry, za_view_self(registry->view));
    registry->published = 0;
    za_reg_own_changed(registry);
}
