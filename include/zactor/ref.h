/**
 * Reference: names one actor, on this node or on another.
 *
 * A value of 16 bytes: copy it freely, put it into messages (za.Ref), never free it. A reference
 * never comes to mean another actor: ids carry a generation, node uids are drawn anew at each start.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct za_ref {
    uint64_t node;  // 0: this node; else the uid of a process start
    uint64_t actor; // slot (low 28 bits) and generation (high 36 bits); 0: no actor
} za_ref_t;

#define ZA_REF_NONE ((za_ref_t){ 0, 0 })

/** `node` of a logical reference; no process has this uid. */
#define ZA_NODE_NAMED UINT64_MAX

/** Room for the text form of any reference, with its NUL. */
#define ZA_REF_TEXT_BYTES 40

static inline bool za_ref_equal(za_ref_t a, za_ref_t b)
{
    return a.node == b.node && a.actor == b.actor;
}

static inline bool za_ref_is_none(za_ref_t ref)
{
    return ref.actor == 0;
}

/** True for what za_named made, here or on another node. */
static inline bool za_ref_is_named(za_ref_t ref)
{
    return ref.node == ZA_NODE_NAMED;
}

/**
 * A logical reference: whoever holds the cluster-wide `name`, looked up anew at each send on the node
 * that sends. So it follows its target through restarts, respawns and moves, while a reference of an
 * actor dies with it. It is a value like any other: it may be stored, and sent to other nodes in
 * messages. ZA_REF_NONE if `name` is none (1..255 bytes). Costs a hash, needs no node, any thread.
 *
 * tell, send, ask, forward, exit, link and watch take it; the last four and an ask that is under way
 * stay with the actor that held the name then. Nobody holds it, as far as this node knows: ZA_ENOENT.
 * za_resolve says who it is now.
 *
 * za_ref_equal compares values: logical references of one name are equal on all nodes, and none is
 * equal to a reference of the actor that holds the name. za_sender is never a logical one.
 *
 * (Erlang's {via, Registry, Name}; the grains of Orleans, Bykov et al. 2011, which are named and not
 * placed by whoever sends to them.)
 */
ZA_API za_ref_t za_named(const char *name);

/** Writes "<node uid, 16 hex digits>/<slot, hex>:<generation, decimal>"; uid 0 is written "local"; a logical
 * reference is "named/<16 hex digits>". */
ZA_API const char *za_ref_format(za_ref_t ref, char text[ZA_REF_TEXT_BYTES]);

/** Reads what za_ref_format wrote. ZA_EINVAL if `text` is no reference; `out` is untouched then. */
ZA_MUST_USE ZA_API za_err_t za_ref_parse(const char *text, za_ref_t *out);

#ifdef __cplusplus
}
#endif
