#include "cluster/registry_internal.h"

#include <pb_decode.h>

#include "base/pages.h"

za_err_t za_registry_create(const za_view_t *view, const za_registry_options_t *options,
                            uint64_t now_ms, za_registry_t **out)
{
    za_registry_limits_t limits = options->limits;
    limits.names_per_node_max =
        limits.names_per_node_max != 0 ? limits.names_per_node_max : ZA_NAMES_PER_NODE_MAX;
    limits.entries_max = limits.entries_max != 0 ? limits.entries_max : ZA_REGISTRY_ENTRIES_MAX;
    if (limits.names_per_node_max > ZA_NAMES_PER_NODE_MAX ||
        limits.entries_max > ZA_REGISTRY_ENTRIES_MAX ||
        limits.names_per_node_max > limits.entries_max) {
        return ZA_EINVAL;
    }
    za_registry_t *registry = za_pages_alloc(sizeof *registry);
    if (registry == NULL) {
        return ZA_ENOMEM;
    }
    registry->view = view;
    registry->limits = limits;
    registry->sync_ms = options->sync_ms;
    registry->now_ms = now_ms;
    za_rng_init(&registry->rng, options->seed);
    uint32_t entries = limits.entries_max;
    uint32_t own = limits.names_per_node_max;
    registry->visit = za_pages_alloc(entries * sizeof *registry->visit);
    if (registry->visit == NULL ||
        za_texts_init(&registry->texts, (size_t)entries * ZA_REG_TEXT_BYTES_MEAN) != ZA_OK ||
        za_slots_init(&registry->names, entries, sizeof(za_reg_name_t)) != ZA_OK ||
        za_slots_init(&registry->entries, entries, sizeof(za_reg_entry_t)) != ZA_OK ||
        za_slots_init(&registry->owns, own, sizeof(za_reg_own_t)) != ZA_OK ||
        za_slots_init(&registry->actors, own, sizeof(za_reg_actor_t)) != ZA_OK ||
        za_slots_init(&registry->stages, ZA_REG_STAGES_MAX, sizeof(za_reg_stage_t)) != ZA_OK ||
        za_slots_init(&registry->owners, ZA_REG_OWNERS_MAX + 1, sizeof(za_reg_owner_t)) != ZA_OK ||
        za_slots_init(&registry->peers, ZA_REG_PEERS_MAX, sizeof(za_reg_peer_t)) != ZA_OK) {
        za_registry_destroy(registry);
        return ZA_ENOMEM;
    }
    registry->self = za_reg_add_owner(registry, za_view_self(view));
    // Nodes that start together would otherwise ask together for ever.
    uint64_t jitter = za_rng_below(&registry->rng, registry->sync_ms + UINT64_C(1));
    registry->sync_at_ms = now_ms + registry->sync_ms + jitter;
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
    za_slots_deinit(&registry->stages);
    za_slots_deinit(&registry->actors);
    za_slots_deinit(&registry->owns);
    za_slots_deinit(&registry->entries);
    za_slots_deinit(&registry->names);
    za_texts_deinit(&registry->texts);
    za_pages_free(registry->visit, registry->limits.entries_max * sizeof *registry->visit);
    za_pages_free(registry, sizeof *registry);
}

/** The head of a transfer: fields that come before its entries. */
typedef struct head {
    uint64_t owner, from, to, hash;
} head_t;

/** False: not a transfer with its fields in order, as we write it; it is decoded as a whole. */
static bool read_head(const uint8_t *bytes, size_t size, head_t *head)
{
    pb_istream_t stream = pb_istream_from_buffer(bytes, size);
    pb_wire_type_t type;
    uint32_t tag;
    uint64_t length;
    bool eof;
    if (!pb_decode_tag(&stream, &type, &tag, &eof) || tag != za_RegistryFrame_data_tag ||
        type != PB_WT_STRING || !pb_decode_varint(&stream, &length)) {
        return false;
    }
    *head = (head_t){ 0 };
    while (pb_decode_tag(&stream, &type, &tag, &eof) && tag <= za_RegData_hash_tag) {
        uint64_t *field = tag == za_RegData_owner_tag  ? &head->owner
                          : tag == za_RegData_from_tag ? &head->from
                          : tag == za_RegData_to_tag   ? &head->to
                                                       : &head->hash;
        bool fixed = tag == za_RegData_owner_tag || tag == za_RegData_hash_tag;
        if (type != (fixed ? PB_WT_64BIT : PB_WT_VARINT) ||
            !(fixed ? pb_decode_fixed64(&stream, field) : pb_decode_varint(&stream, field))) {
            return false;
        }
    }
    return head->owner != 0 && head->to != 0 && head->hash != 0;
}

/** Most copies of a rumour come to those who have it: they are known by their heads. */
static bool is_old_news(za_registry_t *registry, uint64_t uid, const uint8_t *bytes, size_t size)
{
    head_t head;
    if (!read_head(bytes, size, &head) || head.from >= head.to) {
        return false;
    }
    uint32_t id = za_reg_find_owner(registry, head.owner);
    za_reg_owner_t *owner = id != 0 ? za_reg_owner_at(registry, id) : NULL;
    if (owner == NULL || owner->pull != 0 || owner->applied < head.to ||
        (owner->applied == head.to && owner->hash != head.hash)) {
        return false;
    }
    if (owner->applied == head.to) {
        za_reg_confirm(registry, owner, uid);
    }
    return true;
}

/** Where the body `tag` lies, and what is in it; NULL: no body of ours. */
static void *body_of(za_RegistryFrame *frame, uint32_t tag, const pb_msgdesc_t **fields)
{
    switch (tag) {
    case za_RegistryFrame_root_tag:
        *fields = za_RegRoot_fields;
        return &frame->body.root;
    case za_RegistryFrame_tree_tag:
        *fields = za_RegTree_fields;
        return &frame->body.tree;
    case za_RegistryFrame_digest_tag:
        *fields = za_RegDigest_fields;
        return &frame->body.digest;
    case za_RegistryFrame_pull_tag:
        *fields = za_RegPull_fields;
        return &frame->body.pull;
    case za_RegistryFrame_data_tag:
        *fields = za_RegData_fields;
        return &frame->body.data;
    default:
        return NULL;
    }
}

/**
 * As pb_decode does it, but for one thing: that zeroes the largest body, tens of kilobytes, for each
 * frame of a few bytes. Here only the counts and scalars of the body that comes are set first.
 */
static bool read_frame(za_RegistryFrame *frame, const uint8_t *bytes, size_t size)
{
    pb_istream_t stream = pb_istream_from_buffer(bytes, size);
    pb_wire_type_t type;
    uint32_t tag;
    bool end;
    frame->which_body = 0;
    while (pb_decode_tag(&stream, &type, &tag, &end)) {
        const pb_msgdesc_t *fields;
        void *body = body_of(frame, tag, &fields);
        if (body == NULL) {
            if (!pb_skip_field(&stream, type)) {
                return false;
            }
            continue;
        }
        pb_istream_t part;
        if (type != PB_WT_STRING || !pb_make_string_substream(&stream, &part) ||
            !pb_decode(&part, fields, body) || !pb_close_string_substream(&stream, &part)) {
            return false;
        }
        frame->which_body = (pb_size_t)tag;
    }
    return end;
}

bool za_registry_frame(za_registry_t *registry, uint64_t uid, const uint8_t *bytes, size_t size,
                       uint64_t now_ms, za_effects_t *out)
{
    registry->now_ms = now_ms;
    if (is_old_news(registry, uid, bytes, size)) {
        return true;
    }
    if (!read_frame(&registry->frame, bytes, size)) {
        return false;
    }
    const za_RegistryFrame *frame = &registry->frame;
    switch (frame->which_body) {
    case za_RegistryFrame_root_tag:
        za_reg_take_root(registry, uid, &frame->body.root, out);
        return true;
    case za_RegistryFrame_tree_tag:
        return za_reg_take_tree(registry, uid, &frame->body.tree, out);
    case za_RegistryFrame_digest_tag:
        return za_reg_take_digest(registry, uid, &frame->body.digest, out);
    case za_RegistryFrame_pull_tag:
        za_reg_take_pull(registry, uid, &frame->body.pull);
        return true;
    case za_RegistryFrame_data_tag:
        return za_reg_take_data(registry, uid, &frame->body.data, out);
    default:
        return false;
    }
}

za_step_t za_registry_pump_names(za_registry_t *registry, uint64_t now_ms, za_effects_t *out)
{
    registry->now_ms = now_ms;
    return za_reg_pump_changes(registry, out);
}

za_step_t za_registry_pump(za_registry_t *registry, uint64_t now_ms, za_effects_t *out)
{
    registry->now_ms = now_ms;
    if (za_reg_pump_changes(registry, out) == ZA_STEP_MORE ||
        za_reg_give_up_lost(registry, out) == ZA_STEP_MORE ||
        za_reg_pump_changes(registry, out) == ZA_STEP_MORE) {
        return ZA_STEP_MORE;
    }
    za_reg_push_own(registry);
    za_reg_pump_pulls(registry, out);
    if (!za_reg_serve(registry, out)) {
        return ZA_STEP_MORE;
    }
    return za_reg_sync(registry, out);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t za_registry_deadline_ms(const za_registry_t *registry)
{
    uint64_t deadline = registry->linked_count > 0 ? registry->sync_at_ms : UINT64_MAX;
    if (registry->push_at_ms != 0) {
        deadline = earlier(deadline, registry->push_at_ms);
    }
    if (registry->echo_at_ms != 0) {
        deadline = earlier(deadline, registry->echo_at_ms);
    }
    if (registry->starved) {
        deadline = earlier(deadline, registry->serve_at_ms);
    }
    if (registry->losers.first != 0) {
        deadline = earlier(deadline, za_reg_own_at(registry, registry->losers.first)->lost_at_ms);
    }
    return earlier(deadline, za_reg_pull_deadline(registry));
}
