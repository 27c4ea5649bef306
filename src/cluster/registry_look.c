#include "cluster/registry_internal.h"

#include <stdlib.h>
#include <string.h>

/** The last word that the owner's copy here is right. */
static uint64_t confirmed_ms(const za_registry_t *registry, const za_reg_owner_t *owner)
{
    uint64_t best = owner->confirmed_ms;
    for (uint32_t level = 0; level <= ZA_REG_DEPTH; level++) {
        uint32_t index = za_reg_node_index(level, za_reg_prefix(owner->uid, level));
        uint64_t agreed = registry->nodes[index].agreed_ms;
        if (owner->unreachable && agreed > owner->unreachable_ms) {
            agreed = owner->unreachable_ms;
        }
        best = agreed > best ? agreed : best;
    }
    return best;
}

za_err_t za_registry_whereis(const za_registry_t *registry, const char *name, uint64_t now_ms,
                             za_name_answer_t *out)
{
    uint32_t id = name != NULL ? za_reg_find_name(registry, ZA_NAME_UNIQUE, name) : 0;
    uint32_t best = id != 0 ? za_reg_best(registry, za_reg_name_at(registry, id)) : 0;
    if (best == 0) {
        return ZA_ENOENT;
    }
    const za_reg_name_t *found = za_reg_name_at(registry, id);
    const za_reg_entry_t *entry = za_reg_entry_at(registry, best);
    const za_reg_owner_t *owner = za_reg_owner_at(registry, entry->owner);
    uint64_t word_ms = entry->owner == registry->self ? now_ms : confirmed_ms(registry, owner);
    *out = (za_name_answer_t){ .ref = za_reg_ref_of(registry, entry),
                               .age_ms = now_ms > word_ms ? now_ms - word_ms : 0,
                               .unreachable = owner->unreachable,
                               .holders = found->holders.count,
                               .prio = entry->prio,
                               .meta_bytes = entry->meta_bytes };
    if (entry->meta_bytes > 0) {
        out->meta = za_texts_at(&registry->texts, entry->meta);
    }
    return ZA_OK;
}

static int compare_names(const void *a, const void *b, void *context)
{
    const za_registry_t *registry = context;
    const za_reg_name_t *one = za_reg_name_at(registry, *(const uint32_t *)a);
    const za_reg_name_t *other = za_reg_name_at(registry, *(const uint32_t *)b);
    return strcmp(za_reg_text(registry, one), za_reg_text(registry, other));
}

/** The names of a kind that are held, sorted, in `visit`. */
static uint32_t sort_names(const za_registry_t *registry, za_name_kind_t kind)
{
    uint32_t count = 0;
    for (uint32_t id = 1; id <= registry->names.fresh; id++) {
        if (za_slots_used(&registry->names, id) && za_reg_name_at(registry, id)->kind == kind &&
            za_reg_name_at(registry, id)->holders.first != 0) {
            registry->visit[count++] = id;
        }
    }
    qsort_r(registry->visit, count, sizeof *registry->visit, compare_names, (void *)registry);
    return count;
}

void za_registry_each_name(const za_registry_t *registry,
                           bool (*visit)(const char *name, za_ref_t ref, void *context),
                           void *context)
{
    uint32_t count = sort_names(registry, ZA_NAME_UNIQUE);
    for (uint32_t i = 0; i < count; i++) {
        const za_reg_name_t *name = za_reg_name_at(registry, registry->visit[i]);
        if (!visit(za_reg_text(registry, name), za_reg_winner(registry, name), context)) {
            return;
        }
    }
}

static bool visit_members(const za_registry_t *registry, const za_reg_name_t *name,
                          za_group_visit_t visit, void *context)
{
    for (uint32_t id = name->holders.first; id != 0;
         id = za_chain_next(&registry->entries, ZA_REG_HOLDER, id)) {
        const za_reg_entry_t *entry = za_reg_entry_at(registry, id);
        const void *meta =
            entry->meta_bytes > 0 ? za_texts_at(&registry->texts, entry->meta) : NULL;
        if (!visit(za_reg_text(registry, name), za_reg_ref_of(registry, entry), meta,
                   entry->meta_bytes, context)) {
            return false;
        }
    }
    return true;
}

void za_registry_each_member(const za_registry_t *registry, const char *group,
                             za_group_visit_t visit, void *context)
{
    if (group != NULL) {
        uint32_t id = za_reg_find_name(registry, ZA_NAME_GROUP, group);
        if (id != 0) {
            visit_members(registry, za_reg_name_at(registry, id), visit, context);
        }
        return;
    }
    uint32_t count = sort_names(registry, ZA_NAME_GROUP);
    for (uint32_t i = 0; i < count; i++) {
        if (!visit_members(registry, za_reg_name_at(registry, registry->visit[i]), visit,
                           context)) {
            return;
        }
    }
}

uint64_t za_registry_hash(const za_registry_t *registry)
{
    return registry->nodes[0].hash;
}

bool za_registry_version(const za_registry_t *registry, uint64_t uid, uint64_t *applied,
                         uint64_t *hash)
{
    uint32_t id = za_reg_find_owner(registry, uid);
    if (id == 0) {
        return false;
    }
    *applied = za_reg_owner_at(registry, id)->applied;
    *hash = za_reg_owner_at(registry, id)->hash;
    return true;
}

/** Those of a leaf; false: `visit` ended it. */
static bool visit_leaf(const za_registry_t *registry, uint32_t leaf,
                       bool (*visit)(const za_owner_info_t *info, void *context), void *context)
{
    for (uint32_t id = registry->leaves[leaf].first; id != 0;
         id = za_chain_next(&registry->owners, ZA_REG_LEAF, id)) {
        const za_reg_owner_t *owner = za_reg_owner_at(registry, id);
        za_owner_info_t info = { owner->uid, owner->applied, owner->hash, owner->live.count,
                                 owner->unreachable };
        if (!visit(&info, context)) {
            return false;
        }
    }
    return true;
}

void za_registry_each_owner(const za_registry_t *registry,
                            bool (*visit)(const za_owner_info_t *info, void *context),
                            void *context)
{
    for (uint32_t leaf = 0; leaf < ZA_REG_LEAVES; leaf++) {
        if (!visit_leaf(registry, leaf, visit, context)) {
            return;
        }
    }
}

static_assert((int)ZA_REGISTRY_PARTS == (int)ZA_REG_NODES && ZA_REG_DEPTH == 2, "the same tree");

/** Whether a part is not as it was seen, which it is from now on. */
static bool changed(const za_registry_t *registry, uint64_t *seen, uint32_t level, uint32_t prefix)
{
    uint32_t at = za_reg_node_index(level, prefix);
    bool differs = registry->nodes[at].hash != seen[at];
    seen[at] = registry->nodes[at].hash;
    return differs;
}

void za_registry_each_changed(const za_registry_t *registry,
                              uint64_t seen[static ZA_REGISTRY_PARTS],
                              bool (*visit)(const za_owner_info_t *info, void *context),
                              void *context)
{
    if (!changed(registry, seen, 0, 0)) {
        return;
    }
    for (uint32_t digit = 0; digit < ZA_REG_DIGITS; digit++) {
        if (!changed(registry, seen, 1, digit)) {
            continue;
        }
        for (uint32_t leaf = digit * ZA_REG_DIGITS; leaf < (digit + 1) * ZA_REG_DIGITS; leaf++) {
            if (changed(registry, seen, 2, leaf) && !visit_leaf(registry, leaf, visit, context)) {
                return;
            }
        }
    }
}

void za_registry_stats(const za_registry_t *registry, za_registry_stats_t *out)
{
    *out = registry->stats;
    out->entries = registry->entries.count;
    out->names = registry->names.count;
    out->pulls = registry->pull_count;
    out->parked = registry->parked_count;
    const za_slots_t *tables[] = { &registry->names, &registry->entries, &registry->owners,
                                   &registry->peers, &registry->stages,  &registry->owns,
                                   &registry->actors };
    out->bytes = sizeof *registry + za_texts_bytes(&registry->texts);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        out->bytes += za_slots_bytes(tables[i]);
    }
}
