#include "core/router.h"

#include <string.h>

#include "base/hash.h"
#include "base/role.h"
#include "base/sort.h"
#include "core/group.h"
#include "core/worker.h"

enum {
    LOOK_AT_ALL_MAX = 4, // members; above, the less loaded of two is nearly as good
    GONE_MAX = 8,        // owners of a key that ended since we looked
    REDRAWS_MAX = 8,     // of a member of a node that can be reached, before the next one is taken
    NEAR_MAX = 64,       // receivers of a broadcast that fit on the stack
};

/** Odd, and no pattern of slots and generations is one of its multiples (2^64 / golden ratio). */
#define SPREAD UINT64_C(0x9e3779b97f4a7c15)

typedef struct route {
    za_worker_t *worker;
    za_ctx_t *ctx; // NULL: no handler sends
    const za_routed_t *routed;
    const za_ask_opts_t *ask; // NULL: no answer is expected
    const za_group_key_t *key;
    za_policy_t policy; // without ZA_ANYWHERE
    bool anywhere;
    uint64_t role; // bit of the role that members' nodes must have; 0: any
    bool choosy;   // a node is unreachable: members of others are preferred
    bool begun;
    uint32_t first; // whom to try first, modulo the number of members
} route_t;

/** Among whom one is chosen: members of a look at the group, or of a copy. */
typedef struct field {
    const za_group_view_t *view; // NULL: refs
    const za_ref_t *refs;
    uint32_t count;  // > 0
    uint32_t locals; // the first of them are of this node
} field_t;

static za_ref_t member_at(const field_t *field, uint32_t index)
{
    return field->view != NULL ? za_group_member(field->view, index) : field->refs[index];
}

/** True if the member is to be passed over as long as there are others. */
static bool is_away(const route_t *route, za_ref_t member)
{
    const za_runtime_t *runtime = route->worker->runtime;
    return route->choosy && member.node != 0 &&
           runtime->remote.unreachable(runtime->config.remote_context, member.node);
}

static za_err_t send_to(const route_t *route, za_ref_t to)
{
    const za_routed_t *routed = route->routed;
    if (route->ask != NULL) {
        return za_ask_with(route->ctx, to, routed->type, routed->body, route->ask);
    }
    if (route->ctx != NULL) {
        return za_tell(route->ctx, to, routed->type, routed->body);
    }
    return za_runtime_tell(
        route->worker, &(za_outgoing_t){ .to = to, .type = routed->type, .body = routed->body });
}

/* ---- whom first --------------------------------------------------------------------------- */

/**
 * How much a member has to do: what waits, and one more if it is at work. Racy, as any load is by the
 * time one acts on it. Of another node nothing is known: it comes after those that are here.
 */
static uint32_t load_of(const route_t *route, za_ref_t member)
{
    za_cell_t *cell = za_node_is_here(route->worker->runtime, member.node)
                          ? za_cell_find(route->worker->runtime, member.actor)
                          : NULL;
    if (cell == NULL) {
        return UINT32_MAX;
    }
    // relaxed, both: an estimate
    uint32_t bound = atomic_load_explicit(&cell->bound, memory_order_relaxed) & ZA_BOUND_COUNT;
    bool busy = atomic_load_explicit(&cell->mailbox.newest, memory_order_relaxed) != NULL;
    return za_mailbox_count(&cell->mailbox, bound) + busy;
}

/** How many members are preferred: those of this node, if there are some and it matters. */
static uint32_t preferred(const route_t *route, const field_t *field)
{
    return route->anywhere || field->locals == 0 ? field->count : field->locals;
}

/** Those of a role take their own turns: in the group's, others may always come between. */
static uint32_t next_turn(const route_t *route, const field_t *field)
{
    return field->view != NULL
               ? za_group_turn(field->view)
               : za_groups_turn(route->worker->runtime->groups, route->key->hash ^ route->role);
}

/** The least loaded of `count` members of `among` from `from` on; of equal ones the first. */
static uint32_t least_loaded(const route_t *route, const field_t *field, uint32_t among,
                             uint32_t from, uint32_t step, uint32_t count)
{
    uint32_t best = from;
    uint32_t best_load = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = (from + i * step) % among;
        uint32_t load = load_of(route, member_at(field, index));
        if (load < best_load) {
            best = index;
            best_load = load;
        }
    }
    return best;
}

/**
 * Few: all of them, each time from another one on, so that idle ones take turns. Many: two at random,
 * which already makes the longest queue exponentially shorter than one does (Mitzenmacher 2001).
 */
static uint32_t pick_least_loaded(const route_t *route, const field_t *field)
{
    uint32_t among = preferred(route, field);
    if (among <= LOOK_AT_ALL_MAX) {
        return least_loaded(route, field, among, next_turn(route, field) % among, 1, among);
    }
    uint32_t one = (uint32_t)za_rng_below(&route->worker->rng, among);
    uint32_t other = 1 + (uint32_t)za_rng_below(&route->worker->rng, among - 1);
    return least_loaded(route, field, among, one, other, 2);
}

/** See pick_by_hash. Answers `field->count` if all are passed over. */
static uint32_t heaviest(const route_t *route, const field_t *field)
{
    uint64_t key = za_mix64(route->routed->key);
    uint64_t own = za_uid_now(route->worker->runtime);
    uint32_t best = field->count;
    uint64_t best_weight = 0;
    for (uint32_t i = 0; i < field->count; i++) {
        za_ref_t member = member_at(field, i);
        uint64_t node = member.node == 0 ? own : member.node;
        uint64_t weight = za_mix64(key ^ (member.actor * SPREAD + node));
        // Of n, only some ln n are asked about: each that is the heaviest so far.
        if (weight >= best_weight && !is_away(route, member)) {
            best = i;
            best_weight = weight;
        }
    }
    return best;
}

/**
 * Highest random weight (Thaler, Ravishankar 1998): the key is the member's whose hash with it is the
 * largest. One that joins takes its share of keys from all others, one that leaves gives its own to
 * all others, and no other key moves: no ring with virtual nodes is as even, or needs less memory. All
 * nodes that see the same members give a key to the same one: a member is known by its node's uid.
 * While its node is unreachable the key is the next one's, as if it had left, and then its own again.
 */
static uint32_t pick_by_hash(const route_t *route, const field_t *field)
{
    uint32_t best = heaviest(route, field);
    if (best == field->count) { // none can be reached: all are as good
        route_t all = *route;
        all.choosy = false;
        best = heaviest(&all, field);
    }
    return best;
}

static uint32_t draw(const route_t *route, const field_t *field)
{
    switch (route->policy) {
    case ZA_RANDOM:
        return (uint32_t)za_rng_below(&route->worker->rng, preferred(route, field));
    case ZA_HASH:
        return pick_by_hash(route, field);
    case ZA_LEAST_LOADED:
        return pick_least_loaded(route, field);
    default:
        return next_turn(route, field);
    }
}

/** Whom to try as the nth: the preferred ones in turn, and then the others in turn. */
static uint32_t nth_index(const route_t *route, const field_t *field, uint32_t nth)
{
    if (route->policy == ZA_HASH) {
        return route->first;
    }
    uint32_t among = preferred(route, field);
    if (nth < among || among == field->count) {
        return (route->first % among + nth) % among;
    }
    uint32_t others = field->count - among;
    return among + (route->first % others + nth - among) % others;
}

/**
 * Who is unreachable loses the turn, and the next turn counts: were the member behind it taken instead,
 * that one would do the work of two.
 */
__attribute__((noinline)) static void redraw(route_t *route, const field_t *field)
{
    for (int i = 0; i < REDRAWS_MAX; i++) {
        if (!is_away(route, member_at(field, nth_index(route, field, 0)))) {
            return;
        }
        route->first = draw(route, field);
    }
}

/** Whom to try first. */
static inline void pick_first(route_t *route, const field_t *field)
{
    route->first = draw(route, field);
    if (route->choosy && route->policy != ZA_HASH) {
        redraw(route, field);
    }
}

/** As pick, among these. */
static uint32_t pick_of(route_t *route, const field_t *field, uint32_t nth, za_ref_t *out)
{
    if (!route->begun) {
        pick_first(route, field);
        route->begun = true;
    }
    *out = member_at(field, nth_index(route, field, nth));
    return field->count;
}

/** The member of the group to try as the nth. Answers how many there are; 0: none. */
static inline uint32_t pick(route_t *route, uint32_t nth, za_ref_t *out)
{
    za_group_view_t view = { .tries = 0 };
    do {
        if (!za_group_look(route->worker->runtime->groups, route->key, &view)) {
            return 0;
        }
        const field_t field = { .view = &view, .count = view.count, .locals = view.locals };
        if (!route->begun || route->policy == ZA_HASH) {
            pick_first(route, &field);
        }
        *out = member_at(&field, nth_index(route, &field, nth));
    } while (!za_group_is_same(&view));
    route->begun = true;
    return view.count;
}

/* ---- to one ------------------------------------------------------------------------------- */

/** True if another member may be tried: this one has no room, or has just ended. */
static bool may_try_next(za_err_t err)
{
    return err == ZA_EFULL || err == ZA_EGONE || err == ZA_ENOROUTE;
}

/**
 * The first with room, from the one whose turn it is; `*passed`: some were passed over, see is_away.
 * In line, as are those it calls: most calls of za_route are nothing else.
 */
static inline __attribute__((always_inline)) za_err_t
route_along(route_t *route, const field_t *field, bool *passed)
{
    za_err_t answer = ZA_ENOENT;
    za_ref_t to;
    for (uint32_t i = 0; i < (field != NULL ? pick_of(route, field, i, &to) : pick(route, i, &to));
         i++) {
        if (is_away(route, to)) {
            *passed = true;
            continue;
        }
        za_err_t err = send_to(route, to);
        if (!may_try_next(err)) {
            return err;
        }
        answer = answer == ZA_EFULL ? answer : err; // room may come, an actor does not
    }
    return answer;
}

/**
 * To any of these members, or of the group's if `field` is NULL; to one of an unreachable node only if
 * none is of another.
 */
static inline __attribute__((always_inline)) za_err_t route_to_any(route_t *route,
                                                                   const field_t *field)
{
    for (;;) { // twice at most
        bool passed = false;
        za_err_t err = route_along(route, field, &passed);
        if (!passed || err == ZA_EFULL || !(err == ZA_ENOENT || may_try_next(err))) {
            return err;
        }
        route->choosy = false;
    }
}

/** The key's own member and no other: what is full stays full for this key. */
static za_err_t route_by_hash(route_t *route)
{
    za_err_t err = ZA_ENOENT;
    za_ref_t to;
    // An actor leaves its groups before it is gone: the next look gives the key to another.
    for (int i = 0; i < GONE_MAX && pick(route, 0, &to) > 0; i++) {
        err = send_to(route, to);
        if (err != ZA_EGONE) {
            return err;
        }
    }
    return err;
}

/* ---- to all ------------------------------------------------------------------------------- */

static za_Reason reason_of(za_err_t err)
{
    switch (err) {
    case ZA_EFULL:
        return za_Reason_REASON_MAILBOX_FULL;
    case ZA_EGONE:
        return za_Reason_REASON_NO_ACTOR;
    case ZA_ENOROUTE:
        return za_Reason_REASON_NO_NODE;
    default:
        return za_Reason_REASON_LIMIT;
    }
}

/** What became of a broadcast. */
typedef struct spread {
    uint32_t taken;
    uint32_t refused[16]; // by reason
    za_err_t first;       // refusal
} spread_t;

static void count_refused(spread_t *spread, za_err_t err, uint32_t count)
{
    spread->first = spread->first == ZA_OK ? err : spread->first;
    spread->refused[reason_of(err)] += count;
}

static bool node_before(const void *a, const void *b)
{
    return ((const za_ref_t *)a)->node < ((const za_ref_t *)b)->node;
}

static const za_sort_t by_node = { sizeof(za_ref_t), node_before };

/** The members of each other node together: what they get crosses the network once. */
static void fan_out(const route_t *route, za_ref_t *members, uint32_t count, spread_t *spread)
{
    const za_runtime_t *runtime = route->worker->runtime;
    if (runtime->remote.fan_out == NULL) {
        count_refused(spread, ZA_ENOROUTE, count);
        return;
    }
    za_outgoing_t message = { .type = route->routed->type, .body = route->routed->body };
    if (route->ctx != NULL) {
        message.sender = (za_ref_t){ 0, route->ctx->id };
    }
    za_sort(&by_node, members, count);
    for (uint32_t i = 0; i < count;) {
        uint32_t same = 1;
        while (i + same < count && members[i + same].node == members[i].node) {
            same++;
        }
        za_err_t err = ZA_OK;
        uint32_t taken =
            runtime->remote.fan_out(runtime->config.remote_context, route->worker, &message,
                                    route->routed->group, &members[i], same, &err);
        spread->taken += taken;
        if (taken < same) {
            count_refused(spread, err, same - taken);
        }
        i += same;
    }
    za_sent_remote(route->worker, spread->taken);
}

/** To each: what some refused after others took it is a dead letter; if all did, nothing was sent. */
static za_err_t send_to_all(route_t *route, za_ref_t *members, uint32_t count, uint32_t locals)
{
    spread_t spread = { .first = ZA_OK };
    if (locals < count) {
        fan_out(route, members + locals, count - locals, &spread);
    }
    for (uint32_t i = 0; i < locals; i++) {
        za_err_t err = send_to(route, members[i]);
        if (err == ZA_OK) {
            spread.taken++;
        } else {
            count_refused(&spread, err, 1);
        }
    }
    if (spread.taken == 0) {
        return spread.first;
    }
    for (uint32_t reason = 0; reason < 16; reason++) {
        if (spread.refused[reason] > 0) {
            ZA_TALLY_ADD(route->worker, dead_by_reason[reason], spread.refused[reason]);
        }
    }
    return ZA_OK;
}

/**
 * Those who are in the group now, each once, to `use`, which may change the list: a copy, because the
 * group may change.
 */
static za_err_t with_members(route_t *route, za_err_t (*use)(route_t *route, za_ref_t *members,
                                                             uint32_t count, uint32_t locals))
{
    za_groups_t *groups = route->worker->runtime->groups;
    za_ref_t near[NEAR_MAX];
    uint32_t locals;
    uint32_t count = za_group_copy(groups, route->key, near, NEAR_MAX, &locals);
    if (count <= NEAR_MAX) {
        return count == 0 ? ZA_ENOENT : use(route, near, count, locals);
    }
    za_pool_t *pool = &route->worker->pool;
    for (uint32_t room = count; room <= ZA_GROUP_MEMBERS_MAX;) {
        za_block_t *copy =
            za_pool_alloc(pool, sizeof *copy + room * sizeof(za_ref_t), ZA_POOL_BOUNDED);
        if (copy == NULL) {
            return ZA_ENOBUFS;
        }
        za_ref_t *members = (za_ref_t *)(void *)(copy + 1);
        count = za_group_copy(groups, route->key, members, room, &locals);
        za_err_t err = count == 0 ? ZA_ENOENT : ZA_OK;
        if (count > 0 && count <= room) {
            err = use(route, members, count, locals);
        }
        za_pool_free(pool, copy);
        if (count <= room) {
            return err;
        }
        room = count; // it grew meanwhile
    }
    return ZA_ENOBUFS;
}

/* ---- those of a role ----------------------------------------------------------------------- */

/** As route_by_hash. */
static za_err_t send_by_hash(route_t *route, za_ref_t *members, field_t *field)
{
    za_err_t err = ZA_ENOENT;
    for (int i = 0; i < GONE_MAX && field->count > 0; i++) {
        uint32_t own = pick_by_hash(route, field);
        err = send_to(route, members[own]);
        if (err != ZA_EGONE) {
            return err;
        }
        members[own] = members[--field->count];
    }
    return err;
}

static za_err_t send_in_role(route_t *route, za_ref_t *members, uint32_t count, uint32_t locals)
{
    const za_runtime_t *runtime = route->worker->runtime;
    void *context = runtime->config.remote_context;
    field_t field = { .refs = members };
    bool here = (runtime->remote.roles_of(context, 0) & route->role) != 0;
    for (uint32_t i = here ? 0 : locals; i < count; i++) {
        if (i < locals || (runtime->remote.roles_of(context, members[i].node) & route->role) != 0) {
            field.locals += i < locals;
            members[field.count++] = members[i];
        }
    }
    if (field.count == 0) {
        return ZA_ENOENT;
    }
    switch (route->policy) {
    case ZA_BROADCAST:
        return send_to_all(route, members, field.count, field.locals);
    case ZA_HASH:
        return send_by_hash(route, members, &field);
    default:
        return route_to_any(route, &field);
    }
}

static za_err_t route_in_role(route_t *route)
{
    const za_remote_t *remote = &route->worker->runtime->remote;
    if (!za_role_is_valid(route->routed->role, strlen(route->routed->role))) {
        return ZA_EINVAL;
    }
    if (remote->role != NULL) {
        void *context = route->worker->runtime->config.remote_context;
        route->role = remote->role(context, route->routed->role);
    }
    return route->role == 0 ? ZA_ENOENT : with_members(route, send_in_role);
}

/* ---- actor.h ------------------------------------------------------------------------------ */

static za_err_t route(za_worker_t *worker, za_ctx_t *ctx, const za_routed_t *routed,
                      const za_ask_opts_t *ask)
{
    unsigned policy = (unsigned)routed->policy & ~(unsigned)ZA_ANYWHERE;
    if (routed->type == NULL || routed->body == NULL || policy > ZA_BROADCAST) {
        return ZA_EINVAL;
    }
    za_group_key_t key;
    za_err_t err = za_group_key(routed->group, &key);
    if (err != ZA_OK) {
        return err;
    }
    route_t route = { .worker = worker,
                      .ctx = ctx,
                      .routed = routed,
                      .ask = ask,
                      .key = &key,
                      .policy = (za_policy_t)policy,
                      .anywhere = policy != (unsigned)routed->policy };
    if (route.policy == ZA_BROADCAST && ask != NULL) {
        return ZA_EINVAL; // an ask has one answer
    }
    const za_remote_t *remote = &worker->runtime->remote;
    if (policy != ZA_BROADCAST && remote->unreachable != NULL) {
        route.choosy = remote->unreachable(worker->runtime->config.remote_context, 0);
    }
    if (routed->role != NULL) {
        return route_in_role(&route);
    }
    switch (route.policy) {
    case ZA_BROADCAST:
        return with_members(&route, send_to_all);
    case ZA_HASH:
        return route_by_hash(&route);
    default:
        return route_to_any(&route, NULL);
    }
}

za_err_t za_route(za_ctx_t *ctx, const char *group, za_policy_t policy, uint64_t key,
                  const za_type_t *type, const void *message)
{
    const za_routed_t routed = { group, policy, key, type, message, NULL };
    return ctx == NULL ? ZA_EINVAL : route(ctx->worker, ctx, &routed, NULL);
}

za_err_t za_route_with(za_ctx_t *ctx, const char *group, const za_type_t *type, const void *message,
                       const za_route_opts_t *opts)
{
    if (ctx == NULL || opts == NULL || opts->size < sizeof *opts) {
        return ZA_EINVAL;
    }
    const za_routed_t routed = { group, opts->policy, opts->key, type, message, opts->role };
    return route(ctx->worker, ctx, &routed, opts->ask);
}

za_err_t za_route_ask_with(za_ctx_t *ctx, const char *group, za_policy_t policy, uint64_t key,
                           const za_type_t *type, const void *message, const za_ask_opts_t *opts)
{
    const za_routed_t routed = { group, policy, key, type, message, NULL };
    return ctx == NULL || opts == NULL ? ZA_EINVAL : route(ctx->worker, ctx, &routed, opts);
}

za_err_t za_publish(za_ctx_t *ctx, const char *topic, const za_type_t *type, const void *message)
{
    za_err_t err = za_route(ctx, topic, ZA_BROADCAST, 0, type, message);
    return err == ZA_ENOENT ? ZA_OK : err; // nobody listens
}

za_err_t za_subscribe(za_ctx_t *ctx, const char *topic)
{
    return za_join(ctx, topic);
}

void za_unsubscribe(za_ctx_t *ctx, const char *topic)
{
    za_leave(ctx, topic);
}

uint64_t za_key(const void *bytes, size_t size)
{
    return bytes == NULL ? 0 : za_fnv64(ZA_FNV64_INIT, bytes, size);
}

za_err_t za_runtime_route(za_worker_t *worker, const za_routed_t *routed)
{
    return route(worker, NULL, routed, NULL);
}
