#include "cluster/registry_internal.h"

#include <string.h>

/* ---- entries ---------------------------------------------------------------------------------- */

static uint64_t entry_hash(const za_registry_t *registry, const za_reg_entry_t *entry)
{
    const za_reg_name_t *name = za_reg_name_at(registry, entry->name);
    uint64_t hash = za_fnv64(ZA_FNV64_INIT, za_reg_text(registry, name), name->text_bytes);
    hash = za_mix64(hash ^ entry->seq);
    hash = za_mix64(hash ^ entry->actor);
    hash = za_mix64(hash ^ entry->hlc);
    hash = za_mix64(hash ^ ((uint64_t)entry->prio << 8 | name->kind));
    if (entry->meta_bytes > 0) {
        const void *meta = za_texts_at(&registry->texts, entry->meta);
        hash = za_mix64(za_fnv64(hash, meta, entry->meta_bytes));
    }
    return hash;
}

/** Of a group an owner has an entry per member, of a unique name one. */
static uint64_t live_key(const za_registry_t *registry, uint32_t owner, uint32_t name_id,
                         uint64_t actor)
{
    bool group = za_reg_name_at(registry, name_id)->kind == ZA_NAME_GROUP;
    uint64_t member = group ? za_mix64(actor) : 0;
    return za_mix64(((uint64_t)owner << 32 | name_id) ^ member);
}

/** Entries that are not live are never looked for: their keys only spread them. */
static uint64_t idle_key(uint64_t seq, uint32_t owner)
{
    return za_mix64(seq ^ (uint64_t)owner << 40);
}

uint32_t za_reg_entry_make(za_registry_t *registry, uint32_t owner, const za_reg_fields_t *fields)
{
    uint32_t name_id = za_reg_make_name(registry, fields->kind, fields->name);
    if (name_id == 0) {
        return 0;
    }
    uint32_t meta = 0;
    if (fields->meta_bytes > 0) {
        meta = za_texts_put(&registry->texts, fields->meta, fields->meta_bytes);
        if (meta == 0) {
            za_reg_release_name(registry, name_id);
            return 0;
        }
    }
    uint32_t id = za_slots_add(&registry->entries, idle_key(fields->seq, owner));
    if (id == 0) {
        if (meta != 0) {
            za_texts_free(&registry->texts, meta, fields->meta_bytes);
        }
        za_reg_release_name(registry, name_id);
        return 0;
    }
    za_reg_entry_t *entry = za_reg_entry_at(registry, id);
    entry->seq = fields->seq;
    entry->actor = fields->actor;
    entry->hlc = fields->hlc;
    entry->prio = fields->prio;
    entry->meta = meta;
    entry->meta_bytes = (uint8_t)fields->meta_bytes;
    entry->name = name_id;
    entry->owner = owner;
    za_reg_name_at(registry, name_id)->uses++;
    return id;
}

static void drop_meta(za_registry_t *registry, za_reg_entry_t *entry)
{
    if (entry->meta_bytes > 0) {
        za_texts_free(&registry->texts, entry->meta, entry->meta_bytes);
        entry->meta_bytes = 0;
        entry->meta = 0;
    }
}

void za_reg_entry_free(za_registry_t *registry, uint32_t id)
{
    za_reg_entry_t *entry = za_reg_entry_at(registry, id);
    uint32_t name_id = entry->name;
    ZA_ASSERT(entry->state != ZA_REG_LIVE && entry->own == 0);
    drop_meta(registry, entry);
    za_slots_remove(&registry->entries, id);
    za_reg_name_at(registry, name_id)->uses--;
    za_reg_release_name(registry, name_id);
}

void za_reg_entry_retire(za_registry_t *registry, uint32_t id)
{
    za_reg_entry_t *entry = za_reg_entry_at(registry, id);
    if (!entry->told) {
        za_reg_drop_news(registry, id);
        za_reg_entry_free(registry, id);
        return;
    }
    drop_meta(registry, entry);
    bool ours = entry->owner == registry->self;
    entry->seq = ours ? 0 : za_reg_owner_at(registry, entry->owner)->uid;
    entry->owner = 0; // its record may be gone before the driver hears of this
    entry->state = ZA_REG_GONE;
    za_reg_add_news(registry, id);
}

bool za_reg_same_meta(const za_registry_t *registry, const za_reg_entry_t *entry,
                      const uint8_t *meta, uint32_t meta_bytes)
{
    return entry->meta_bytes == meta_bytes &&
           (meta_bytes == 0 ||
            memcmp(za_texts_at(&registry->texts, entry->meta), meta, meta_bytes) == 0);
}

uint32_t za_reg_find_live(const za_registry_t *registry, uint32_t owner, uint32_t name_id,
                          uint64_t actor)
{
    if (name_id == 0) {
        return 0;
    }
    bool group = za_reg_name_at(registry, name_id)->kind == ZA_NAME_GROUP;
    uint32_t id = za_slots_first(&registry->entries, live_key(registry, owner, name_id, actor));
    while (id != 0) {
        const za_reg_entry_t *entry = za_reg_entry_at(registry, id);
        if (entry->state == ZA_REG_LIVE && entry->owner == owner && entry->name == name_id &&
            (!group || entry->actor == actor)) {
            break;
        }
        id = za_slots_next(&registry->entries, id);
    }
    return id;
}

void za_reg_put_live(za_registry_t *registry, uint32_t id)
{
    za_reg_entry_t *entry = za_reg_entry_at(registry, id);
    za_reg_owner_t *owner = za_reg_owner_at(registry, entry->owner);
    entry->state = ZA_REG_LIVE;
    za_slots_rekey(&registry->entries, id,
                   live_key(registry, entry->owner, entry->name, entry->actor));
    owner->hash ^= entry_hash(registry, entry);
    za_chain_append(&owner->live, &registry->entries, ZA_REG_PLACE, id);
    za_reg_link_holder(registry, id);
}

void za_reg_take_live(za_registry_t *registry, uint32_t id)
{
    za_reg_entry_t *entry = za_reg_entry_at(registry, id);
    za_reg_owner_t *owner = za_reg_owner_at(registry, entry->owner);
    ZA_ASSERT(entry->state == ZA_REG_LIVE);
    za_reg_unlink_holder(registry, id);
    owner->hash ^= entry_hash(registry, entry);
    za_chain_remove(&owner->live, &registry->entries, ZA_REG_PLACE, id);
    entry->state = ZA_REG_STAGED;
    za_slots_rekey(&registry->entries, id, idle_key(entry->seq, entry->owner));
}

void za_reg_update_live(za_registry_t *registry, uint32_t id, uint32_t from)
{
    za_reg_entry_t *entry = za_reg_entry_at(registry, id);
    za_reg_entry_t *staged = za_reg_entry_at(registry, from);
    za_reg_owner_t *owner = za_reg_owner_at(registry, entry->owner);
    ZA_ASSERT(entry->actor == staged->actor && entry->name == staged->name);
    bool group = za_reg_name_at(registry, entry->name)->kind == ZA_NAME_GROUP;
    const uint8_t *meta =
        staged->meta_bytes > 0 ? za_texts_at(&registry->texts, staged->meta) : NULL;
    bool same = za_reg_same_meta(registry, entry, meta, staged->meta_bytes);
    owner->hash ^= entry_hash(registry, entry);
    if (!group) {
        za_reg_unlink_holder(registry, id);
    }
    drop_meta(registry, entry);
    entry->seq = staged->seq;
    entry->hlc = staged->hlc;
    entry->prio = staged->prio;
    entry->meta = staged->meta;
    entry->meta_bytes = staged->meta_bytes;
    staged->meta_bytes = 0; // its meta has moved
    za_reg_entry_free(registry, from);
    owner->hash ^= entry_hash(registry, entry);
    za_chain_remove(&owner->live, &registry->entries, ZA_REG_PLACE, id);
    za_chain_append(&owner->live, &registry->entries, ZA_REG_PLACE, id);
    if (!group) {
        za_reg_link_holder(registry, id);
    } else if (!same) {
        za_reg_add_news(registry, id);
    }
}

void za_reg_put_removal(za_registry_t *registry, uint32_t id)
{
    za_reg_entry_t *entry = za_reg_entry_at(registry, id);
    za_reg_owner_t *owner = za_reg_owner_at(registry, entry->owner);
    entry->state = ZA_REG_REMOVED;
    za_chain_append(&owner->removals, &registry->entries, ZA_REG_PLACE, id);
    if (owner->removals.count > ZA_REGISTRY_REMOVALS_MAX) {
        uint32_t oldest = owner->removals.first;
        owner->floor = za_reg_entry_at(registry, oldest)->seq;
        za_chain_remove(&owner->removals, &registry->entries, ZA_REG_PLACE, oldest);
        za_reg_entry_free(registry, oldest);
    }
}

void za_reg_clear_chain(za_registry_t *registry, za_chain_t *chain)
{
    while (chain->first != 0) {
        uint32_t id = chain->first;
        za_chain_remove(chain, &registry->entries, ZA_REG_PLACE, id);
        za_reg_entry_free(registry, id);
    }
}

void za_reg_clear_map(za_registry_t *registry, uint32_t owner_id)
{
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    while (owner->live.first != 0) {
        uint32_t id = owner->live.first;
        za_reg_take_live(registry, id);
        za_reg_entry_retire(registry, id);
    }
    za_reg_clear_chain(registry, &owner->removals);
    owner->applied = 0;
    owner->floor = 0;
    ZA_ASSERT(owner->hash == 0);
    za_reg_refold(registry, owner_id);
}

/* ---- the digest tree -------------------------------------------------------------------------- */

uint32_t za_reg_node_index(uint32_t level, uint32_t prefix)
{
    ZA_ASSERT(level <= ZA_REG_DEPTH && prefix < UINT32_C(1) << (4 * level));
    return (level == 0 ? 0 : level == 1 ? 1 : 1 + ZA_REG_DIGITS) + prefix;
}

uint32_t za_reg_prefix(uint64_t uid, uint32_t level)
{
    return level == 0 ? 0 : (uint32_t)(za_mix64(uid) >> (64 - 4 * level));
}

void za_reg_refold(za_registry_t *registry, uint32_t owner_id)
{
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    uint64_t part = 0;
    if (owner->applied > 0) {
        part = za_mix64(za_mix64(owner->uid ^ za_mix64(owner->applied)) ^ owner->hash);
    }
    bool counted = owner->applied > 0;
    for (uint32_t level = 0; level <= ZA_REG_DEPTH; level++) {
        za_reg_node_t *node =
            &registry->nodes[za_reg_node_index(level, za_reg_prefix(owner->uid, level))];
        node->hash ^= owner->folded ^ part;
        node->count += (uint32_t)counted - (uint32_t)owner->counted;
    }
    owner->folded = part;
    owner->counted = counted;
}

/* ---- owners ----------------------------------------------------------------------------------- */

uint32_t za_reg_find_owner(const za_registry_t *registry, uint64_t uid)
{
    uint32_t id = za_slots_first(&registry->owners, za_mix64(uid));
    while (id != 0 && za_reg_owner_at(registry, id)->uid != uid) {
        id = za_slots_next(&registry->owners, id);
    }
    return id;
}

static za_chain_t *leaf_of(za_registry_t *registry, uint64_t uid)
{
    return &registry->leaves[za_reg_prefix(uid, ZA_REG_DEPTH)];
}

uint32_t za_reg_add_owner(za_registry_t *registry, uint64_t uid)
{
    uint32_t id = za_slots_add(&registry->owners, za_mix64(uid));
    if (id != 0) {
        za_reg_owner_at(registry, id)->uid = uid;
        za_chain_append(leaf_of(registry, uid), &registry->owners, ZA_REG_LEAF, id);
    }
    return id;
}

static bool reachable(const za_registry_t *registry, uint64_t uid)
{
    const za_view_t *view = registry->view;
    return view->reachable == NULL || view->reachable(view->context, uid);
}

uint32_t za_reg_adopt(za_registry_t *registry, uint64_t uid)
{
    uint32_t id = za_reg_find_owner(registry, uid);
    if (id != 0) {
        return id;
    }
    za_known_t known = za_view_known(registry->view, uid);
    if (known != ZA_KNOWN_LIVE && known != ZA_KNOWN_UP) {
        return 0;
    }
    id = za_reg_add_owner(registry, uid);
    if (id == 0) {
        registry->stats.refused++; // membership has the same limit: its names stay unknown here
        return 0;
    }
    za_reg_owner_at(registry, id)->unreachable = !reachable(registry, uid);
    za_reg_owner_at(registry, id)->unreachable_ms = registry->now_ms;
    return id;
}

static void remove_owner(za_registry_t *registry, uint32_t id)
{
    za_reg_forget_wants(registry, id);
    za_reg_drop_echo(registry, id);
    za_reg_clear_map(registry, id);
    uint64_t uid = za_reg_owner_at(registry, id)->uid;
    za_chain_remove(leaf_of(registry, uid), &registry->owners, ZA_REG_LEAF, id);
    za_slots_remove(&registry->owners, id);
}

void za_registry_member(za_registry_t *registry, uint64_t uid, uint64_t now_ms)
{
    registry->now_ms = now_ms;
    for (uint32_t i = 0; i < ZA_REG_PARKED_MAX && registry->parked_count > 0; i++) {
        za_reg_parked_t parked = registry->parked[i];
        if (parked.uid == uid) {
            registry->parked[i] = (za_reg_parked_t){ 0 };
            registry->parked_count--;
            za_reg_hear_of(registry, uid, parked.applied, parked.teller);
        }
    }
    uint32_t id = za_reg_find_owner(registry, uid);
    if (id == 0 || id == registry->self) {
        return;
    }
    za_reg_owner_t *owner = za_reg_owner_at(registry, id);
    bool unreachable = !reachable(registry, uid);
    if (owner->unreachable != unreachable) {
        owner->unreachable = unreachable;
        owner->unreachable_ms = now_ms;
        za_reg_reorder(registry, id);
    }
}

void za_registry_gone(za_registry_t *registry, uint64_t uid)
{
    for (uint32_t i = 0; i < ZA_REG_PARKED_MAX && registry->parked_count > 0; i++) {
        if (registry->parked[i].uid == uid) {
            registry->parked[i] = (za_reg_parked_t){ 0 };
            registry->parked_count--;
        }
    }
    uint32_t id = za_reg_find_owner(registry, uid);
    if (id != 0 && id != registry->self) {
        remove_owner(registry, id);
    }
}

void za_reg_rename_self(za_registry_t *registry, uint64_t uid)
{
    za_registry_gone(registry, uid); // nobody can have had it, but a stray record costs us our own
    uint32_t id = registry->self;
    za_reg_owner_t *self = za_reg_self(registry);
    za_reg_clear_chain(registry, &self->removals);
    self->applied = 0;
    za_reg_refold(registry, id); // out of the tree at its old place
    za_chain_remove(leaf_of(registry, self->uid), &registry->owners, ZA_REG_LEAF, id);
    self->uid = uid;
    za_slots_rekey(&registry->owners, id, za_mix64(uid));
    za_chain_append(leaf_of(registry, uid), &registry->owners, ZA_REG_LEAF, id);
    self->hash = 0;
    self->floor = 0;
    for (uint32_t entry_id = self->live.first; entry_id != 0;
         entry_id = za_chain_next(&registry->entries, ZA_REG_PLACE, entry_id)) {
        za_reg_entry_t *entry = za_reg_entry_at(registry, entry_id);
        entry->seq = ++self->applied;
        self->hash ^= entry_hash(registry, entry);
    }
    za_reg_refold(registry, id);
    za_reg_reorder(registry, id);
}

/* ---- for tests -------------------------------------------------------------------------------- */

static bool list_sound(const za_registry_t *registry, uint32_t owner_id, const za_chain_t *list,
                       za_reg_state_t state, uint64_t *hash)
{
    uint64_t seq = 0;
    uint32_t count = 0;
    for (uint32_t id = list->first; id != 0;
         id = za_chain_next(&registry->entries, ZA_REG_PLACE, id)) {
        const za_reg_entry_t *entry = za_reg_entry_at(registry, id);
        bool found = state != ZA_REG_LIVE ||
                     za_reg_find_live(registry, owner_id, entry->name, entry->actor) == id;
        if (entry->seq <= seq || entry->state != state || entry->owner != owner_id || !found ||
            (entry->own != 0) != (state == ZA_REG_LIVE && owner_id == registry->self)) {
            return false;
        }
        seq = entry->seq;
        *hash ^= entry_hash(registry, entry);
        count++;
    }
    return count == list->count && seq <= za_reg_owner_at(registry, owner_id)->applied;
}

static bool name_sound(const za_registry_t *registry, uint32_t name_id)
{
    const za_reg_name_t *name = za_reg_name_at(registry, name_id);
    uint32_t count = 0;
    for (uint32_t id = name->holders.first; id != 0;
         id = za_chain_next(&registry->entries, ZA_REG_HOLDER, id)) {
        const za_reg_entry_t *entry = za_reg_entry_at(registry, id);
        if (entry->name != name_id || entry->state != ZA_REG_LIVE) {
            return false;
        }
        count++;
    }
    return count == name->holders.count && count <= name->uses;
}

bool za_reg_sound(const za_registry_t *registry)
{
    uint64_t root = 0;
    uint32_t owners = 0;
    for (uint32_t leaf = 0; leaf < ZA_REG_LEAVES; leaf++) {
        for (uint32_t id = registry->leaves[leaf].first; id != 0;
             id = za_chain_next(&registry->owners, ZA_REG_LEAF, id)) {
            const za_reg_owner_t *owner = za_reg_owner_at(registry, id);
            uint64_t live = 0;
            uint64_t removed = 0;
            if (!list_sound(registry, id, &owner->live, ZA_REG_LIVE, &live) ||
                !list_sound(registry, id, &owner->removals, ZA_REG_REMOVED, &removed) ||
                live != owner->hash || za_reg_find_owner(registry, owner->uid) != id) {
                return false;
            }
            root ^= owner->folded;
            owners++;
        }
    }
    for (uint32_t id = 1; id <= registry->names.fresh; id++) {
        if (za_slots_used(&registry->names, id) && !name_sound(registry, id)) {
            return false;
        }
    }
    return root == registry->nodes[0].hash && owners == registry->owners.count &&
           registry->owns.count == za_reg_self(registry)->live.count;
}
