#include "cluster/registry_internal.h"

/* ---- what is known to be right ---------------------------------------------------------------- */

/** Of an owner that cannot be reached only its own word counts: others can be as far from it. */
void za_reg_confirm(za_registry_t *registry, za_reg_owner_t *owner, uint64_t uid)
{
    if (!owner->unreachable || owner->uid == uid) {
        owner->confirmed_ms = registry->now_ms;
    }
}

static za_reg_node_t *node_at(za_registry_t *registry, uint32_t level, uint32_t prefix)
{
    return &registry->nodes[za_reg_node_index(level, prefix)];
}

/* ---- going through owners --------------------------------------------------------------------- */

typedef struct walk {
    uint32_t leaf, end;
    uint32_t next; // owner
} walk_t;

/** Over the owners under a node of the tree. */
static walk_t walk_from(uint32_t level, uint32_t prefix)
{
    uint32_t shift = 4 * (ZA_REG_DEPTH - level);
    return (walk_t){ prefix << shift, (prefix + 1) << shift, 0 };
}

/** The next owner with data; 0: none is left. */
static uint32_t walk_next(const za_registry_t *registry, walk_t *walk)
{
    for (;;) {
        if (walk->next == 0) {
            if (walk->leaf == walk->end) {
                return 0;
            }
            walk->next = registry->leaves[walk->leaf++].first;
            continue;
        }
        uint32_t id = walk->next;
        walk->next = za_chain_next(&registry->owners, ZA_REG_LEAF, id);
        if (za_reg_owner_at(registry, id)->applied > 0) {
            return id;
        }
    }
}

/* ---- versions --------------------------------------------------------------------------------- */

static za_RegDigest *begin_digest(za_registry_t *registry, uint32_t level, uint32_t prefix,
                                  bool reply)
{
    registry->answer.which_body = za_RegistryFrame_digest_tag;
    za_RegDigest *digest = &registry->answer.body.digest;
    digest->level = level;
    digest->prefix = prefix;
    digest->reply = reply;
    digest->versions_count = 0;
    return digest;
}

/** Adds a line, and sends what is full. False: `out` has no room. */
static bool add_version(za_registry_t *registry, uint64_t uid, const za_reg_owner_t *owner,
                        za_effects_t *out)
{
    za_RegDigest *digest = &registry->answer.body.digest;
    bool room = true;
    if (digest->versions_count == ZA_REG_VERSIONS_MAX) {
        room = za_reg_emit(registry, uid, out);
        digest->versions_count = 0;
        digest->reply = true; // an absence in one part says nothing of the others
    }
    digest->versions[digest->versions_count++] =
        (za_RegVersion){ owner->uid, owner->applied, owner->hash };
    return room;
}

static void send_versions(za_registry_t *registry, uint64_t uid, uint32_t level, uint32_t prefix,
                          za_effects_t *out)
{
    // More than a frame holds, and the peer cannot see what we lack: it gets no question, only lines.
    bool reply = node_at(registry, level, prefix)->count > ZA_REG_VERSIONS_MAX;
    begin_digest(registry, level, prefix, reply);
    walk_t walk = walk_from(level, prefix);
    for (uint32_t id = walk_next(registry, &walk); id != 0; id = walk_next(registry, &walk)) {
        if (!add_version(registry, uid, za_reg_owner_at(registry, id), out)) {
            return; // the rest comes with the next sync
        }
    }
    bool sent = za_reg_emit(registry, uid, out);
    (void)sent; // no room: the next sync asks again
}

static void send_tree(za_registry_t *registry, uint64_t uid, uint32_t level, uint32_t prefix,
                      za_effects_t *out)
{
    registry->answer.which_body = za_RegistryFrame_tree_tag;
    za_RegTree *tree = &registry->answer.body.tree;
    tree->level = level;
    tree->prefix = prefix;
    tree->hashes_count = ZA_REG_DIGITS;
    for (uint32_t i = 0; i < ZA_REG_DIGITS; i++) {
        tree->hashes[i] = node_at(registry, level + 1, prefix * ZA_REG_DIGITS + i)->hash;
    }
    bool sent = za_reg_emit(registry, uid, out);
    (void)sent; // no room: the next sync asks again
}

/** Says what we hold under a node where the peer holds something else. */
static void offer(za_registry_t *registry, uint64_t uid, uint32_t level, uint32_t prefix,
                  za_effects_t *out)
{
    uint32_t few = level == 0 ? ZA_REG_FLAT_OWNERS : ZA_REG_LEAF_OWNERS;
    if (level == ZA_REG_DEPTH || node_at(registry, level, prefix)->count <= few) {
        send_versions(registry, uid, level, prefix, out);
    } else {
        send_tree(registry, uid, level, prefix, out);
    }
}

/* ---- comparing -------------------------------------------------------------------------------- */

bool za_reg_send_root(za_registry_t *registry, uint64_t uid, za_effects_t *out)
{
    registry->answer.which_body = za_RegistryFrame_root_tag;
    registry->answer.body.root.root = za_registry_hash(registry);
    return za_reg_emit(registry, uid, out);
}

void za_reg_take_root(za_registry_t *registry, uint64_t uid, const za_RegRoot *root,
                      za_effects_t *out)
{
    za_reg_node_t *node = node_at(registry, 0, 0);
    if (root->root == node->hash) {
        node->agreed_ms = registry->now_ms;
    } else if (za_reg_find_peer(registry, uid) != 0) {
        za_reg_wake(registry);
        offer(registry, uid, 0, 0, out);
    }
}

bool za_reg_take_tree(za_registry_t *registry, uint64_t uid, const za_RegTree *tree,
                      za_effects_t *out)
{
    if (tree->level >= ZA_REG_DEPTH || tree->prefix >= UINT32_C(1) << (4 * tree->level) ||
        tree->hashes_count != ZA_REG_DIGITS) {
        return false;
    }
    uint32_t few = tree->level == 0 ? ZA_REG_FLAT_OWNERS : ZA_REG_LEAF_OWNERS;
    if (node_at(registry, tree->level, tree->prefix)->count <= few) {
        send_versions(registry, uid, tree->level, tree->prefix, out);
        return true;
    }
    for (uint32_t i = 0; i < ZA_REG_DIGITS; i++) {
        uint32_t prefix = tree->prefix * ZA_REG_DIGITS + i;
        za_reg_node_t *node = node_at(registry, tree->level + 1, prefix);
        if (node->hash == tree->hashes[i]) {
            node->agreed_ms = registry->now_ms;
        } else {
            offer(registry, uid, tree->level + 1, prefix, out);
        }
    }
    return true;
}

/** Compares one line of a digest. */
static void compare(za_registry_t *registry, uint64_t uid, const za_RegVersion *theirs)
{
    uint32_t id = za_reg_find_owner(registry, theirs->owner);
    if (id == 0) {
        if (theirs->applied > 0) {
            za_reg_hear_of(registry, theirs->owner, theirs->applied, uid);
        }
        return;
    }
    za_reg_owner_t *owner = za_reg_owner_at(registry, id);
    owner->round = registry->round;
    if (id == registry->self) {
        return; // nobody tells us what we have written
    }
    if (theirs->applied == owner->applied && theirs->hash == owner->hash) {
        za_reg_confirm(registry, owner, uid);
    } else if (theirs->applied == owner->applied) {
        za_reg_diverged(registry, id);
    }
    za_reg_want(registry, id, theirs->applied, uid);
}

/** What the sender of a digest lacks, back to it, so that it can pull. */
static void reply_digest(za_registry_t *registry, uint64_t uid, const za_RegDigest *digest,
                         za_effects_t *out)
{
    za_RegDigest *reply = begin_digest(registry, digest->level, digest->prefix, true);
    for (uint32_t i = 0; i < digest->versions_count; i++) {
        const za_RegVersion *theirs = &digest->versions[i];
        uint32_t id = za_reg_find_owner(registry, theirs->owner);
        const za_reg_owner_t *owner = id != 0 ? za_reg_owner_at(registry, id) : NULL;
        bool wrong = id == registry->self && owner->hash != theirs->hash;
        if (owner != NULL && (theirs->applied < owner->applied || wrong) &&
            !add_version(registry, uid, owner, out)) {
            return;
        }
    }
    walk_t walk = walk_from(digest->level, digest->prefix);
    for (uint32_t id = walk_next(registry, &walk); id != 0; id = walk_next(registry, &walk)) {
        const za_reg_owner_t *owner = za_reg_owner_at(registry, id);
        if (owner->round != registry->round && !add_version(registry, uid, owner, out)) {
            return;
        }
    }
    if (reply->versions_count > 0) {
        bool sent = za_reg_emit(registry, uid, out);
        (void)sent; // no room: the next sync asks again
    }
}

bool za_reg_take_digest(za_registry_t *registry, uint64_t uid, const za_RegDigest *digest,
                        za_effects_t *out)
{
    if (digest->level > ZA_REG_DEPTH || digest->prefix >= UINT32_C(1) << (4 * digest->level)) {
        return false;
    }
    registry->round++;
    za_reg_wake(registry);
    for (uint32_t i = 0; i < digest->versions_count; i++) {
        compare(registry, uid, &digest->versions[i]);
    }
    if (!digest->reply) {
        reply_digest(registry, uid, digest, out);
    }
    return true;
}

/* ---- echoes: a second way for news that a push or a rumour did not bring ------------------------ */

void za_reg_wake(za_registry_t *registry)
{
    uint64_t at_ms = registry->now_ms + registry->sync_ms;
    registry->quiet = 0;
    registry->sync_at_ms = registry->sync_at_ms < at_ms ? registry->sync_at_ms : at_ms;
}

void za_reg_add_echo(za_registry_t *registry, uint32_t owner_id)
{
    za_reg_wake(registry);
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    if (!owner->echoing) {
        owner->echoing = true;
        za_chain_append(&registry->echoes, &registry->owners, ZA_REG_ECHO, owner_id);
    }
    if (registry->echo_at_ms == 0) {
        registry->echo_at_ms = registry->now_ms + ZA_REGISTRY_ECHO_MS;
    }
}

void za_reg_drop_echo(za_registry_t *registry, uint32_t owner_id)
{
    za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    if (owner->echoing) {
        owner->echoing = false;
        za_chain_remove(&registry->echoes, &registry->owners, ZA_REG_ECHO, owner_id);
    }
}

static void echo_to(za_registry_t *registry, uint64_t uid, za_effects_t *out)
{
    const za_RegDigest *digest = begin_digest(registry, 0, 0, true);
    for (uint32_t id = registry->echoes.first; id != 0;
         id = za_chain_next(&registry->owners, ZA_REG_ECHO, id)) {
        const za_reg_owner_t *owner = za_reg_owner_at(registry, id);
        if (owner->uid != uid && owner->giver != uid && owner->applied > 0 &&
            !add_version(registry, uid, owner, out)) {
            return;
        }
    }
    if (digest->versions_count > 0) {
        bool sent = za_reg_emit(registry, uid, out);
        (void)sent; // no room: the next sync finds it
    }
}

/**
 * Some time after a change each node names its version to its next neighbours in a ring of the uids.
 * Who missed the change hears of it from them, and then tells its own neighbours: a run of nodes
 * that all missed it is repaired from its end, without a random peer that happens to know.
 */
static void send_echoes(za_registry_t *registry, za_effects_t *out)
{
    registry->echo_at_ms = 0;
    uint32_t place = za_reg_linked_place(registry, za_reg_self(registry)->uid);
    uint32_t count = registry->linked_count < ZA_REG_ECHO_PEERS ? registry->linked_count
                                                                : (uint32_t)ZA_REG_ECHO_PEERS;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t peer = registry->linked[(place + i) % registry->linked_count];
        echo_to(registry, za_reg_peer_at(registry, peer)->uid, out);
    }
    while (registry->echoes.first != 0) {
        za_reg_drop_echo(registry, registry->echoes.first);
    }
}

/* ---- in time ---------------------------------------------------------------------------------- */

za_step_t za_reg_sync(za_registry_t *registry, za_effects_t *out)
{
    if (registry->echo_at_ms != 0 && registry->echo_at_ms <= registry->now_ms) {
        send_echoes(registry, out);
    }
    if (registry->linked_count == 0 || registry->sync_at_ms > registry->now_ms) {
        return ZA_STEP_DONE;
    }
    uint64_t place = za_rng_below(&registry->rng, registry->linked_count);
    if (!za_reg_send_root(registry, za_reg_peer_at(registry, registry->linked[place])->uid, out)) {
        return ZA_STEP_MORE;
    }
    // Who has a change compares often, and so finds those who have not heard of it.
    uint64_t interval_ms = (uint64_t)registry->sync_ms << registry->quiet;
    uint64_t jitter = za_rng_below(&registry->rng, interval_ms / 4 + 1);
    registry->sync_at_ms = registry->now_ms + interval_ms - interval_ms / 8 + jitter;
    registry->quiet += registry->quiet < ZA_REG_QUIET_MAX;
    return ZA_STEP_DONE;
}
