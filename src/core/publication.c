/**
 * Publications: what another node published to a group arrives once, and is delivered from here to
 * each member of this node, in order with what its sender sends them otherwise.
 */
#include <string.h>

#include "core/group.h"
#include "core/worker.h"

enum { NEAR_MAX = 64 }; // members that fit on the stack

/** The publication, in a block with the bytes it refers to; NULL: no memory, or no such thing. */
static za_message_t *decode(za_worker_t *worker, const void *bytes, size_t size, za_err_t *err)
{
    *err = ZA_ENOBUFS;
    size_t room = sizeof(za_Publication) + size;
    za_message_t *block = za_message_make(worker, ZA_KIND_FREE, room, ZA_POOL_BOUNDED);
    if (block == NULL) {
        return NULL;
    }
    memset(za_body(block), 0, sizeof(za_Publication));
    *err = za_Publication_type.decode(za_body(block), room, bytes, size);
    if (*err != ZA_OK) {
        za_message_drop(worker, block);
        return NULL;
    }
    return block;
}

static za_err_t key_of(const za_Publication *publication, za_group_key_t *out)
{
    char name[ZA_NAME_BYTES_MAX + 1];
    uint32_t size = publication->group.size;
    const void *bytes = za_bytes_data(&publication->group);
    if (size == 0 || size > ZA_NAME_BYTES_MAX || memchr(bytes, '\0', size) != NULL) {
        return ZA_EINVAL;
    }
    memcpy(name, bytes, size);
    name[size] = '\0';
    return za_group_key(name, out);
}

/** A copy of the body for one member. False: no memory. */
static bool deliver_to(za_worker_t *worker, const za_incoming_t *incoming, uint64_t actor,
                       const za_Publication *publication)
{
    za_message_t *copy = za_message_alloc(worker, publication->body.size);
    if (copy == NULL) {
        return false;
    }
    if (publication->body.size > 0) {
        memcpy(za_body(copy), za_bytes_data(&publication->body), publication->body.size);
    }
    za_incoming_t one = *incoming;
    one.actor = actor;
    one.type_id = publication->type;
    za_runtime_deliver(worker, &one, copy, publication->body.size);
    return true;
}

static void deliver_to_all(za_worker_t *worker, const za_incoming_t *incoming,
                           const za_ref_t *members, uint32_t count,
                           const za_Publication *publication)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!deliver_to(worker, incoming, members[i].actor, publication)) {
            za_dead_letter(worker, za_Reason_REASON_LIMIT);
        }
    }
}

/** To the members that this node has now; others are at most those that it just had. */
static void deliver(za_worker_t *worker, const za_incoming_t *incoming, const za_group_key_t *key,
                    const za_Publication *publication)
{
    za_groups_t *groups = worker->runtime->groups;
    za_ref_t near[NEAR_MAX];
    uint32_t locals = 0;
    za_group_copy(groups, key, near, NEAR_MAX, &locals);
    if (locals == 0) {
        za_dead_letter(worker, za_Reason_REASON_NO_ACTOR); // the last one left meanwhile
        return;
    }
    if (locals <= NEAR_MAX) {
        deliver_to_all(worker, incoming, near, locals, publication);
        return;
    }
    size_t bytes = sizeof(za_block_t) + ZA_GROUP_MEMBERS_MAX * sizeof(za_ref_t);
    za_block_t *block = za_pool_alloc(&worker->pool, bytes, ZA_POOL_BOUNDED);
    if (block == NULL) {
        za_dead_letter(worker, za_Reason_REASON_LIMIT);
        return;
    }
    za_ref_t *members = (za_ref_t *)(void *)(block + 1);
    za_group_copy(groups, key, members, ZA_GROUP_MEMBERS_MAX, &locals);
    deliver_to_all(worker, incoming, members, locals, publication);
    za_pool_free(&worker->pool, block);
}

void za_publication_deliver(za_worker_t *worker, const za_incoming_t *incoming,
                            za_message_t *message, size_t size)
{
    za_err_t err;
    za_group_key_t key;
    za_message_t *block = decode(worker, za_body(message), size, &err);
    const za_Publication *publication = block == NULL ? NULL : za_body(block);
    if (publication != NULL) {
        err = key_of(publication, &key);
    }
    if (err == ZA_OK && (publication->type == za_Publication_type.id ||
                         publication->type == za_ExitSignal_type.id)) {
        err = ZA_EPROTO; // these have no receiver that could be a member
    }
    if (err == ZA_OK) {
        deliver(worker, incoming, &key, publication);
    } else {
        za_dead_letter(worker,
                       err == ZA_ENOBUFS ? za_Reason_REASON_LIMIT : za_Reason_REASON_BAD_MESSAGE);
    }
    if (block != NULL) {
        za_message_drop(worker, block);
    }
    za_message_drop(worker, message);
}
