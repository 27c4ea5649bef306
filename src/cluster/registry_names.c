#include "cluster/registry_internal.h"

#include <string.h>

static uint64_t name_key(za_name_kind_t kind, const char *text, size_t size)
{
    return za_mix64(za_fnv64(ZA_FNV64_INIT, text, size) + (uint64_t)kind);
}

static uint32_t find_name(const za_registry_t *registry, uint64_t key, za_name_kind_t kind,
                          const char *text)
{
    uint32_t id = za_slots_first(&registry->names, key);
    while (id != 0) {
        const za_reg_name_t *name = za_reg_name_at(registry, id);
        if (name->kind == kind && strcmp(za_reg_text(registry, name), text) == 0) {
            break;
        }
        id = za_slots_next(&registry->names, id);
    }
    return id;
}

uint32_t za_reg_find_name(const za_registry_t *registry, za_name_kind_t kind, const char *text)
{
    return find_name(registry, name_key(kind, text, strlen(text)), kind, text);
}

uint32_t za_reg_make_name(za_registry_t *registry, za_name_kind_t kind, const char *text)
{
    size_t size = strlen(text);
    uint64_t key = name_key(kind, text, size);
    uint32_t id = find_name(registry, key, kind, text);
    if (id != 0) {
        return id;
    }
    uint32_t stored = za_texts_put(&registry->texts, text, size + 1);
    id = stored != 0 ? za_slots_add(&registry->names, key) : 0;
    if (id == 0) {
        if (stored != 0) {
            za_texts_free(&registry->texts, stored, size + 1);
        }
        return 0;
    }
    za_reg_name_t *name = za_reg_name_at(registry, id);
    name->text = stored;
    name->text_bytes = (uint8_t)size;
    name->kind = (uint8_t)kind;
    return id;
}

void za_reg_release_name(za_registry_t *registry, uint32_t id)
{
    const za_reg_name_t *name = za_reg_name_at(registry, id);
    if (name->uses == 0 && !name->changed) {
        za_texts_free(&registry->texts, name->text, (size_t)name->text_bytes + 1);
        za_slots_remove(&registry->names, id);
    }
}

static void name_changed(za_registry_t *registry, uint32_t id)
{
    za_reg_name_t *name = za_reg_name_at(registry, id);
    if (!name->changed) {
        name->changed = true;
        za_chain_append(&registry->changes, &registry->names, ZA_REG_CHANGE, id);
    }
}

za_ref_t za_reg_ref_of(const za_registry_t *registry, const za_reg_entry_t *entry)
{
    if (entry->state == ZA_REG_GONE) {
        return (za_ref_t){ entry->seq, entry->actor };
    }
    uint64_t uid = za_reg_owner_at(registry, entry->owner)->uid;
    return (za_ref_t){ entry->owner == registry->self ? 0 : uid, entry->actor };
}

/** Membership has done with it, and za_registry_gone comes later in this step. */
static bool is_over(const za_registry_t *registry, const za_reg_entry_t *entry)
{
    if (entry->owner == registry->self) {
        return false;
    }
    za_known_t known = za_view_known(registry->view, za_reg_owner_at(registry, entry->owner)->uid);
    return known == ZA_KNOWN_DOWN || known == ZA_KNOWN_LEFT;
}

uint32_t za_reg_best(const za_registry_t *registry, const za_reg_name_t *name)
{
    uint32_t id = name->holders.first;
    while (id != 0 && is_over(registry, za_reg_entry_at(registry, id))) {
        id = za_chain_next(&registry->entries, ZA_REG_HOLDER, id);
    }
    return id;
}

za_ref_t za_reg_winner(const za_registry_t *registry, const za_reg_name_t *name)
{
    uint32_t id = za_reg_best(registry, name);
    return id != 0 ? za_reg_ref_of(registry, za_reg_entry_at(registry, id)) : ZA_REF_NONE;
}

/* ---- holders ---------------------------------------------------------------------------------- */

/** The order that all nodes agree on, but that who cannot be reached comes last. */
static bool wins(const za_registry_t *registry, uint32_t a, uint32_t b)
{
    const za_reg_entry_t *one = za_reg_entry_at(registry, a);
    const za_reg_entry_t *other = za_reg_entry_at(registry, b);
    const za_reg_owner_t *owner = za_reg_owner_at(registry, one->owner);
    const za_reg_owner_t *rival = za_reg_owner_at(registry, other->owner);
    if (owner->unreachable != rival->unreachable) {
        return rival->unreachable;
    }
    if (one->prio != other->prio) {
        return one->prio > other->prio;
    }
    if (one->hlc != other->hlc) {
        return one->hlc < other->hlc;
    }
    return owner->uid < rival->uid;
}

static void insert_holder(za_registry_t *registry, za_reg_name_t *name, uint32_t id)
{
    uint32_t after = name->holders.last;
    while (after != 0 && wins(registry, id, after)) {
        after = za_chain_prev(&registry->entries, ZA_REG_HOLDER, after);
    }
    za_chain_insert(&name->holders, &registry->entries, ZA_REG_HOLDER, after, id);
}

void za_reg_link_holder(za_registry_t *registry, uint32_t id)
{
    uint32_t name_id = za_reg_entry_at(registry, id)->name;
    za_reg_name_t *name = za_reg_name_at(registry, name_id);
    if (name->kind == ZA_NAME_GROUP) {
        za_chain_append(&name->holders, &registry->entries, ZA_REG_HOLDER, id);
        za_reg_add_news(registry, id);
        return;
    }
    insert_holder(registry, name, id);
    name_changed(registry, name_id);
    if (name->holders.count == 2) {
        za_chain_append(&registry->contested, &registry->names, ZA_REG_CONTESTED, name_id);
    }
}

void za_reg_unlink_holder(za_registry_t *registry, uint32_t id)
{
    const za_reg_entry_t *entry = za_reg_entry_at(registry, id);
    uint32_t name_id = entry->name;
    za_reg_name_t *name = za_reg_name_at(registry, name_id);
    za_chain_remove(&name->holders, &registry->entries, ZA_REG_HOLDER, id);
    if (name->kind == ZA_NAME_GROUP) {
        return;
    }
    if (entry->own != 0) {
        za_reg_end_losing(registry, entry->own);
    }
    name_changed(registry, name_id);
    if (name->holders.count == 1) {
        za_chain_remove(&registry->contested, &registry->names, ZA_REG_CONTESTED, name_id);
    }
}

void za_reg_reorder(za_registry_t *registry, uint32_t owner_id)
{
    for (uint32_t name_id = registry->contested.first; name_id != 0;
         name_id = za_chain_next(&registry->names, ZA_REG_CONTESTED, name_id)) {
        uint32_t id = za_reg_find_live(registry, owner_id, name_id, 0);
        if (id != 0) {
            za_reg_name_t *name = za_reg_name_at(registry, name_id);
            za_chain_remove(&name->holders, &registry->entries, ZA_REG_HOLDER, id);
            insert_holder(registry, name, id);
            name_changed(registry, name_id);
        }
    }
}

/* ---- what the driver is told ------------------------------------------------------------------ */

void za_reg_add_news(za_registry_t *registry, uint32_t entry_id)
{
    za_reg_entry_t *entry = za_reg_entry_at(registry, entry_id);
    if (!entry->has_news) {
        entry->has_news = true;
        za_chain_append(&registry->news, &registry->entries, ZA_REG_NEWS, entry_id);
    }
}

void za_reg_drop_news(za_registry_t *registry, uint32_t entry_id)
{
    za_reg_entry_t *entry = za_reg_entry_at(registry, entry_id);
    if (entry->has_news) {
        entry->has_news = false;
        za_chain_remove(&registry->news, &registry->entries, ZA_REG_NEWS, entry_id);
    }
}

static void add_text(za_effect_t *effect, const char *text, uint32_t bytes, za_effects_t *out)
{
    char *copy = za_effects_alloc(out, bytes + 1);
    memcpy(copy, text, bytes + 1);
    effect->name = copy;
}

static void add_meta(const za_registry_t *registry, za_effect_t *effect,
                     const za_reg_entry_t *entry, za_effects_t *out)
{
    if (entry->meta_bytes > 0) {
        uint8_t *copy = za_effects_alloc(out, entry->meta_bytes);
        memcpy(copy, za_texts_at(&registry->texts, entry->meta), entry->meta_bytes);
        effect->bytes = copy;
        effect->size = entry->meta_bytes;
    }
}

/** Tells the driver if the answer changed, and watches our own entry if it is not the winner. */
static void settle_name(za_registry_t *registry, uint32_t id, za_effects_t *out)
{
    za_reg_judge_own(registry, id);
    za_reg_name_t *name = za_reg_name_at(registry, id);
    za_ref_t winner = za_reg_winner(registry, name);
    if (!za_ref_equal(winner, name->answered)) {
        bool cleared = za_ref_is_none(winner);
        za_effect_t *effect =
            za_effects_add(out, cleared ? ZA_EFFECT_NAME_CLEARED : ZA_EFFECT_NAME_SET);
        add_text(effect, za_reg_text(registry, name), name->text_bytes, out);
        effect->ref = cleared ? name->answered : winner;
        if (!cleared) {
            uint32_t best = za_reg_best(registry, name);
            add_meta(registry, effect, za_reg_entry_at(registry, best), out);
        }
        name->answered = winner;
    }
    za_chain_remove(&registry->changes, &registry->names, ZA_REG_CHANGE, id);
    name->changed = false;
    za_reg_release_name(registry, id);
}

static void tell_member(za_registry_t *registry, uint32_t id, za_effects_t *out)
{
    za_reg_entry_t *entry = za_reg_entry_at(registry, id);
    const za_reg_name_t *name = za_reg_name_at(registry, entry->name);
    bool gone = entry->state == ZA_REG_GONE;
    if (!gone && is_over(registry, entry)) {
        za_reg_drop_news(registry, id); // it goes in this step
        return;
    }
    za_effect_t *effect =
        za_effects_add(out, gone ? ZA_EFFECT_GROUP_REMOVED : ZA_EFFECT_GROUP_ADDED);
    add_text(effect, za_reg_text(registry, name), name->text_bytes, out);
    effect->ref = za_reg_ref_of(registry, entry);
    add_meta(registry, effect, entry, out);
    za_reg_drop_news(registry, id);
    entry->told = !gone;
    if (gone) {
        za_reg_entry_free(registry, id);
    }
}

za_step_t za_reg_pump_changes(za_registry_t *registry, za_effects_t *out)
{
    enum { BYTES = ZA_NAME_BYTES_MAX + 1 + ZA_NAME_META_BYTES_MAX + 16 };
    while (registry->changes.first != 0) {
        if (!za_effects_have_room(out, 1, BYTES)) {
            return ZA_STEP_MORE;
        }
        settle_name(registry, registry->changes.first, out);
    }
    while (registry->news.first != 0) {
        if (!za_effects_have_room(out, 1, BYTES)) {
            return ZA_STEP_MORE;
        }
        tell_member(registry, registry->news.first, out);
    }
    return ZA_STEP_DONE;
}
