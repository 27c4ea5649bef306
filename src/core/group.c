#include "core/group.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hash.h"
#include "core/worker.h"

enum {
    GROUP_SLOTS = 2 * ZA_GROUPS_MAX, // at most half full: probes stay short
    PROBES_MAX = 64,
    SEATS_MIN = 8,
    SEAT_CLASSES = 12, // 8, 16 ... 16384 seats
    TURNS = 256,    // of parts of groups; two that share one are still taken in turn, less evenly
    TRIES_MAX = 16, // looks at a group that keeps changing, before the lock is taken
};

static_assert((GROUP_SLOTS & (GROUP_SLOTS - 1)) == 0, "a mask");
static_assert(SEATS_MIN << (SEAT_CLASSES - 1) == ZA_GROUP_MEMBERS_MAX, "the largest class");

// Values of side_t.hash that no name has.
#define NEVER_USED UINT64_C(0)
#define VACANT UINT64_C(1) // its group is gone; later ones may lie behind it

/**
 * An actor is in a group: at its seat, and under the slot in a table of its own; one of another node
 * under its reference in the table of the group.
 */
typedef struct membership {
    za_block_t block;
    uint32_t slot;
    uint32_t index; // of its seat
} membership_t;

/** One of the two copies of a group. Readers use one while the other is written. */
typedef struct side {
    _Atomic uint64_t hash;
    _Atomic(za_group_seat_t *) seats;
    _Atomic uint32_t count;
    _Atomic uint32_t locals; // the first of them
    _Atomic uint64_t word[ZA_GROUP_WORDS];
} side_t;

struct za_group {
    _Alignas(64) _Atomic uint64_t sequence; // the low bit is the side for readers
    side_t sides[2];
    // Writers, under the lock.
    za_block_t *storage;
    uint32_t seat_class;
    za_table_t remotes; // (node, actor): memberships
    // Whoever takes turns: away from what readers share.
    _Alignas(64) _Atomic uint32_t turn;
};

struct za_groups {
    pthread_mutex_t lock; // writers; and a reader that looked in vain too often
    uint32_t count;
    za_block_t *spare[SEAT_CLASSES]; // seats that nobody uses, linked by next
    _Atomic uint32_t turns[TURNS];
    za_group_t groups[GROUP_SLOTS];
};

static_assert(sizeof(za_block_t) +
                      ZA_GROUP_MEMBERS_MAX * (2 * sizeof(za_group_seat_t) + sizeof(void *)) <=
                  ZA_POOL_BLOCK_BYTES_MAX,
              "the seats of a group are one block");

/* ---- life --------------------------------------------------------------------------------- */

za_groups_t *za_groups_create(void)
{
    // Zero pages until used: most programs have few groups.
    za_groups_t *groups = mmap(NULL, sizeof *groups, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (groups == MAP_FAILED) {
        return NULL;
    }
    pthread_mutex_init(&groups->lock, NULL);
    return groups;
}

void za_groups_destroy(za_groups_t *groups)
{
    if (groups != NULL) {
        pthread_mutex_destroy(&groups->lock);
        munmap(groups, sizeof *groups);
    }
}

za_err_t za_group_key(const char *name, za_group_key_t *out)
{
    size_t length = name == NULL ? 0 : strnlen(name, ZA_NAME_BYTES_MAX + 1);
    if (length == 0 || length > ZA_NAME_BYTES_MAX) {
        return length == 0 ? ZA_EINVAL : ZA_ETOOBIG;
    }
    out->words = (uint32_t)(length + 7) / 8;
    out->word[out->words - 1] = 0;
    memcpy(out->word, name, length);
    uint64_t hash = length;
    for (uint32_t i = 0; i < out->words; i++) {
        hash = za_mix64(hash ^ out->word[i]);
    }
    out->hash = hash > VACANT ? hash : VACANT + 1;
    return ZA_OK;
}

/* ---- seats -------------------------------------------------------------------------------- */

static uint32_t seat_count(uint32_t seat_class)
{
    return (uint32_t)SEATS_MIN << seat_class;
}

/** The seats of a side in a block, or behind those of both sides the memberships. */
static za_group_seat_t *seats_in(za_block_t *storage, uint32_t seat_class, uint32_t side)
{
    return (za_group_seat_t *)(void *)(storage + 1) + (size_t)side * seat_count(seat_class);
}

static membership_t **memberships_in(za_block_t *storage, uint32_t seat_class)
{
    return (membership_t **)(void *)seats_in(storage, seat_class, 2);
}

static za_block_t *take_storage(za_worker_t *worker, za_groups_t *groups, uint32_t seat_class)
{
    za_block_t *storage = groups->spare[seat_class];
    if (storage != NULL) {
        // relaxed: under the lock
        groups->spare[seat_class] = atomic_load_explicit(&storage->next, memory_order_relaxed);
        return storage;
    }
    size_t bytes = seat_count(seat_class) * (2 * sizeof(za_group_seat_t) + sizeof(membership_t *));
    return za_pool_alloc(&worker->pool, sizeof *storage + bytes, ZA_POOL_BOUNDED);
}

/** Never back to the pool: a reader may still look at it. */
static void spare_storage(za_groups_t *groups, za_block_t *storage, uint32_t seat_class)
{
    // relaxed: under the lock
    atomic_store_explicit(&storage->next, groups->spare[seat_class], memory_order_relaxed);
    groups->spare[seat_class] = storage;
}

/* ---- changes ------------------------------------------------------------------------------ */

/** What is done to both sides of a group. */
typedef struct change {
    enum { FOUND, FORGET, MOVE, SEAT, UNSEAT } what;
    uint64_t hash;             // FORGET: what the slot is then
    const za_group_key_t *key; // FOUND
    za_block_t *storage;       // FOUND, MOVE
    uint32_t seat_class;
    za_ref_t ref;   // SEAT
    uint32_t index; // SEAT, UNSEAT
} change_t;

static void set_name(side_t *side, const za_group_key_t *key)
{
    // release, all of them: see write_both
    for (uint32_t i = 0; i < key->words; i++) {
        atomic_store_explicit(&side->word[i], key->word[i], memory_order_release);
    }
    for (uint32_t i = key->words; i < ZA_GROUP_WORDS; i++) {
        atomic_store_explicit(&side->word[i], 0, memory_order_release);
    }
    atomic_store_explicit(&side->hash, key->hash, memory_order_release);
}

static void copy_seat(za_group_seat_t *to, const za_group_seat_t *from)
{
    // relaxed: under the lock. release: see write_both
    atomic_store_explicit(&to->node, atomic_load_explicit(&from->node, memory_order_relaxed),
                          memory_order_release);
    atomic_store_explicit(&to->actor, atomic_load_explicit(&from->actor, memory_order_relaxed),
                          memory_order_release);
}

static void move_seats(side_t *side, za_group_seat_t *to)
{
    // relaxed, both: under the lock
    const za_group_seat_t *from = atomic_load_explicit(&side->seats, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&side->count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        copy_seat(&to[i], &from[i]);
    }
    atomic_store_explicit(&side->seats, to, memory_order_release); // see write_both
}

/** Who sits at the index moves to the end. */
static void write_seat(side_t *side, const change_t *change)
{
    // relaxed, all loads: under the lock. release, all stores: see write_both
    za_group_seat_t *seats = atomic_load_explicit(&side->seats, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&side->count, memory_order_relaxed);
    uint32_t locals = atomic_load_explicit(&side->locals, memory_order_relaxed);
    za_group_seat_t *seat = &seats[change->index];
    if (change->index < count) {
        copy_seat(&seats[count], seat);
    }
    atomic_store_explicit(&seat->node, change->ref.node, memory_order_release);
    atomic_store_explicit(&seat->actor, change->ref.actor, memory_order_release);
    atomic_store_explicit(&side->count, count + 1, memory_order_release);
    atomic_store_explicit(&side->locals, locals + (change->ref.node == 0), memory_order_release);
}

/** The last local one fills the gap, if it was a local one's, and the last of all the gap then left. */
static void write_gap(side_t *side, uint32_t index)
{
    // relaxed, all loads: under the lock. release, all stores: see write_both
    za_group_seat_t *seats = atomic_load_explicit(&side->seats, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&side->count, memory_order_relaxed);
    uint32_t locals = atomic_load_explicit(&side->locals, memory_order_relaxed);
    if (index < locals) {
        copy_seat(&seats[index], &seats[locals - 1]);
        index = locals - 1;
        atomic_store_explicit(&side->locals, locals - 1, memory_order_release);
    }
    copy_seat(&seats[index], &seats[count - 1]);
    atomic_store_explicit(&side->count, count - 1, memory_order_release);
}

static void write_side(side_t *side, uint32_t which, const change_t *change)
{
    za_group_seat_t *seats;
    switch (change->what) {
    case FOUND:
        set_name(side, change->key);
        seats = seats_in(change->storage, change->seat_class, which);
        atomic_store_explicit(&side->seats, seats, memory_order_release); // see write_both
        break;
    case FORGET:
        atomic_store_explicit(&side->hash, change->hash, memory_order_release); // see write_both
        break;
    case MOVE:
        move_seats(side, seats_in(change->storage, change->seat_class, which));
        break;
    case SEAT:
        write_seat(side, change);
        break;
    case UNSEAT:
        write_gap(side, change->index);
        break;
    }
}

/**
 * Sends readers to the one side, writes the other, and the same once more. The stores to a side are
 * releases so that the sequence is before them: who sees one of them sees that the sides changed.
 */
static void write_both(za_group_t *group, const change_t *change)
{
    for (int i = 0; i < 2; i++) {
        // relaxed: under the lock
        uint64_t sequence = atomic_load_explicit(&group->sequence, memory_order_relaxed) + 1;
        atomic_store_explicit(&group->sequence, sequence,
                              memory_order_release); // pairs: group-side
        uint32_t which = (sequence & 1) == 0;
        write_side(&group->sides[which], which, change);
    }
}

/* ---- finding ------------------------------------------------------------------------------ */

static bool has_name(const side_t *side, const za_group_key_t *key)
{
    // acquire, all here: keeps the second look at the sequence behind them
    for (uint32_t i = 0; i < key->words; i++) {
        if (atomic_load_explicit(&side->word[i], memory_order_acquire) != key->word[i]) {
            return false;
        }
    }
    return key->words == ZA_GROUP_WORDS ||
           atomic_load_explicit(&side->word[key->words], memory_order_acquire) == 0;
}

static bool is_unchanged(const za_group_t *group, uint64_t sequence)
{
    // relaxed: behind the acquires of what was read
    return atomic_load_explicit(&group->sequence, memory_order_relaxed) == sequence;
}

typedef enum probe {
    PROBE_FOUND,
    PROBE_OTHER,   // another group, or a vacant slot
    PROBE_NOWHERE, // never used: the group is not there
} probe_t;

/** A consistent look at one slot, for one group. */
static probe_t probe_slot(za_group_t *group, const za_group_key_t *key, za_group_view_t *out)
{
    for (;;) {
        uint64_t sequence =
            atomic_load_explicit(&group->sequence, memory_order_acquire); // pairs: group-side
        const side_t *side = &group->sides[sequence & 1];
        // acquire, all here: keeps the second look at the sequence behind them
        uint64_t hash = atomic_load_explicit(&side->hash, memory_order_acquire);
        bool found = hash == key->hash && has_name(side, key);
        out->seats = atomic_load_explicit(&side->seats, memory_order_acquire);
        out->count = atomic_load_explicit(&side->count, memory_order_acquire);
        out->locals = atomic_load_explicit(&side->locals, memory_order_acquire);
        if (is_unchanged(group, sequence)) {
            out->group = group;
            out->sequence = sequence;
            return found ? PROBE_FOUND : hash == NEVER_USED ? PROBE_NOWHERE : PROBE_OTHER;
        }
    }
}

static bool find(za_groups_t *groups, const za_group_key_t *key, za_group_view_t *out)
{
    for (uint32_t i = 0; i < PROBES_MAX; i++) {
        za_group_t *group = &groups->groups[(key->hash + i) & (GROUP_SLOTS - 1)];
        probe_t probe = probe_slot(group, key, out);
        out->probes = i + 1;
        if (probe != PROBE_OTHER) {
            return probe == PROBE_FOUND;
        }
    }
    return false;
}

bool za_group_look(za_groups_t *groups, const za_group_key_t *key, za_group_view_t *out)
{
    out->groups = groups;
    if (!out->held && out->tries++ >= TRIES_MAX) {
        pthread_mutex_lock(&groups->lock);
        out->held = true;
    }
    if (find(groups, key, out) && out->count > 0) {
        return true;
    }
    if (out->held) {
        out->held = false;
        pthread_mutex_unlock(&groups->lock);
    }
    return false;
}

bool za_group_is_same(za_group_view_t *view)
{
    bool same = is_unchanged(view->group, view->sequence);
    if (view->held) {
        view->held = false;
        pthread_mutex_unlock(&view->groups->lock);
    }
    return same;
}

uint32_t za_group_turn(const za_group_view_t *view)
{
    // relaxed: a number for each, no order
    return atomic_fetch_add_explicit(&view->group->turn, 1, memory_order_relaxed);
}

uint32_t za_groups_turn(za_groups_t *groups, uint64_t which)
{
    _Atomic uint32_t *turn = &groups->turns[za_mix64(which) % TURNS];
    return atomic_fetch_add_explicit(turn, 1, memory_order_relaxed); // relaxed: a number
}

uint32_t za_group_copy(za_groups_t *groups, const za_group_key_t *key, za_ref_t *out, uint32_t max,
                       uint32_t *locals)
{
    za_group_view_t view = { .tries = 0 };
    do {
        *locals = 0;
        if (!za_group_look(groups, key, &view)) {
            return 0;
        }
        *locals = view.locals;
        for (uint32_t i = 0; i < view.count && i < max; i++) {
            out[i] = za_group_member(&view, i);
        }
    } while (!za_group_is_same(&view));
    return view.count;
}

/* ---- joining ------------------------------------------------------------------------------ */

static uint64_t hash_of(const za_group_t *group)
{
    // relaxed: under the lock
    return atomic_load_explicit(&group->sides[0].hash, memory_order_relaxed);
}

static uint32_t count_of(const za_group_t *group)
{
    // relaxed: under the lock
    return atomic_load_explicit(&group->sides[0].count, memory_order_relaxed);
}

static uint32_t locals_of(const za_group_t *group)
{
    // relaxed: under the lock
    return atomic_load_explicit(&group->sides[0].locals, memory_order_relaxed);
}

/** A slot for a group that is not there; NULL: none is near enough. */
static za_group_t *vacant_slot(za_groups_t *groups, const za_group_key_t *key)
{
    for (uint64_t i = 0; i < PROBES_MAX; i++) {
        za_group_t *group = &groups->groups[(key->hash + i) & (GROUP_SLOTS - 1)];
        if (hash_of(group) <= VACANT) {
            return group;
        }
    }
    return NULL;
}

/** The group of that name, made if it is not there. */
static za_group_t *find_or_found(za_worker_t *worker, za_groups_t *groups,
                                 const za_group_key_t *key)
{
    za_group_view_t view = { .tries = 0 };
    if (find(groups, key, &view)) {
        return view.group;
    }
    za_group_t *group = groups->count < ZA_GROUPS_MAX ? vacant_slot(groups, key) : NULL;
    za_block_t *storage = group == NULL ? NULL : take_storage(worker, groups, 0);
    if (storage == NULL) {
        return NULL;
    }
    group->storage = storage;
    group->seat_class = 0;
    write_both(group, &(change_t){ .what = FOUND, .key = key, .storage = storage });
    atomic_store_explicit(&group->turn, 0, memory_order_relaxed); // relaxed: a number
    groups->count++;
    return group;
}

/** Forgets a group without members, and marks behind which nothing lies any more. */
static void forget_empty(za_worker_t *worker, za_groups_t *groups, za_group_t *group)
{
    if (count_of(group) > 0) {
        return;
    }
    za_table_clear(&group->remotes, &worker->pool);
    groups->count--;
    spare_storage(groups, group->storage, group->seat_class);
    group->storage = NULL;
    write_both(group, &(change_t){ .what = FORGET, .hash = VACANT });
    size_t slot = (size_t)(group - groups->groups);
    for (int i = 0; i < PROBES_MAX; i++) {
        size_t next = (slot + 1) & (GROUP_SLOTS - 1);
        if (hash_of(&groups->groups[slot]) != VACANT ||
            hash_of(&groups->groups[next]) != NEVER_USED) {
            return;
        }
        write_both(&groups->groups[slot], &(change_t){ .what = FORGET, .hash = NEVER_USED });
        slot = (slot - 1) & (GROUP_SLOTS - 1);
    }
}

/** Room for one more. False: the limit, or no memory. */
static bool make_room(za_worker_t *worker, za_groups_t *groups, za_group_t *group)
{
    uint32_t count = count_of(group);
    if (count < seat_count(group->seat_class)) {
        return true;
    }
    uint32_t larger = group->seat_class + 1;
    za_block_t *storage = larger < SEAT_CLASSES ? take_storage(worker, groups, larger) : NULL;
    if (storage == NULL) {
        return false;
    }
    memcpy(memberships_in(storage, larger), memberships_in(group->storage, group->seat_class),
           count * sizeof(membership_t *));
    write_both(group, &(change_t){ .what = MOVE, .storage = storage, .seat_class = larger });
    spare_storage(groups, group->storage, group->seat_class);
    group->storage = storage;
    group->seat_class = larger;
    return true;
}

static void take_seat(za_groups_t *groups, za_group_t *group, membership_t *membership,
                      za_ref_t ref)
{
    membership_t **all = memberships_in(group->storage, group->seat_class);
    uint32_t count = count_of(group);
    uint32_t index = ref.node == 0 ? locals_of(group) : count; // those of this node are the first
    if (index < count) {
        all[count] = all[index];
        all[count]->index = count;
    }
    membership->slot = (uint32_t)(group - groups->groups);
    membership->index = index;
    all[index] = membership;
    write_both(group, &(change_t){ .what = SEAT, .ref = ref, .index = index });
}

static void move_to(membership_t **all, uint32_t from, uint32_t to)
{
    all[to] = all[from];
    all[to]->index = to;
}

/** The seat is filled as write_gap says. */
static void leave_seat(za_worker_t *worker, za_groups_t *groups, const membership_t *membership)
{
    za_group_t *group = &groups->groups[membership->slot];
    membership_t **all = memberships_in(group->storage, group->seat_class);
    uint32_t last = count_of(group) - 1;
    uint32_t locals = locals_of(group);
    uint32_t index = membership->index;
    write_both(group, &(change_t){ .what = UNSEAT, .index = index });
    if (index < locals) {
        move_to(all, locals - 1, index);
        index = locals - 1;
    }
    if (index != last) {
        move_to(all, last, index);
    }
    forget_empty(worker, groups, group);
}

/** Room for one more in the group of that name, and its record, which is not seated yet. */
static membership_t *make_membership(za_worker_t *worker, za_groups_t *groups, za_group_t *group)
{
    membership_t *membership = NULL;
    if (make_room(worker, groups, group)) {
        membership = (membership_t *)(void *)za_pool_alloc(&worker->pool, sizeof *membership,
                                                           ZA_POOL_BOUNDED);
    }
    return membership;
}

static za_err_t join_locked(za_worker_t *worker, za_extra_t *extra, uint64_t id,
                            const za_group_key_t *key)
{
    za_groups_t *groups = worker->runtime->groups;
    za_group_t *group = find_or_found(worker, groups, key);
    if (group == NULL) {
        return ZA_ENOBUFS;
    }
    uint64_t slot = (uint64_t)(group - groups->groups);
    if (za_table_get(&extra->groups, slot, 0) != NULL) {
        return ZA_OK;
    }
    membership_t *membership = make_membership(worker, groups, group);
    if (membership == NULL) {
        goto fail_room;
    }
    if (!za_table_put(&extra->groups, &worker->pool, slot, 0, membership)) {
        goto fail_put;
    }
    take_seat(groups, group, membership, (za_ref_t){ 0, id });
    return ZA_OK;

fail_put:
    za_pool_free(&worker->pool, &membership->block);
fail_room:
    forget_empty(worker, groups, group);
    return ZA_ENOBUFS;
}

/** Leaves the one group; false: it is no member. */
static bool leave_one(za_worker_t *worker, za_cell_t *cell, const za_group_key_t *key)
{
    if (cell->extra == NULL) {
        return false;
    }
    za_groups_t *groups = worker->runtime->groups;
    za_group_view_t view = { .tries = 0 };
    membership_t *membership = NULL;
    pthread_mutex_lock(&groups->lock);
    if (find(groups, key, &view)) {
        uint64_t slot = (uint64_t)(view.group - groups->groups);
        membership = za_table_remove(&cell->extra->groups, slot, 0);
    }
    if (membership != NULL) {
        leave_seat(worker, groups, membership);
    }
    pthread_mutex_unlock(&groups->lock);
    if (membership != NULL) {
        za_pool_free(&worker->pool, &membership->block);
    }
    return membership != NULL;
}

za_err_t za_group_join(za_worker_t *worker, za_cell_t *cell, uint64_t id, const char *name,
                       const za_join_opts_t *opts)
{
    za_group_key_t key;
    za_err_t err = za_group_key(name, &key);
    if (err != ZA_OK) {
        return err;
    }
    za_extra_t *extra = za_cell_extra(worker, cell);
    if (extra == NULL) {
        return ZA_ENOBUFS;
    }
    uint32_t before = extra->groups.count;
    pthread_mutex_lock(&worker->runtime->groups->lock);
    err = join_locked(worker, extra, id, &key);
    pthread_mutex_unlock(&worker->runtime->groups->lock);
    const za_remote_t *remote = &worker->runtime->remote;
    bool again = extra->groups.count == before;
    if (err != ZA_OK || (again && opts == NULL) || remote->joined == NULL) {
        return err;
    }
    static const za_join_opts_t none = { .size = sizeof none };
    err = remote->joined(worker->runtime->config.remote_context, worker, (za_ref_t){ 0, id }, name,
                         opts != NULL ? opts : &none);
    if (err != ZA_OK && !again) {
        leave_one(worker, cell, &key);
    }
    return err;
}

void za_group_leave(za_worker_t *worker, za_cell_t *cell, uint64_t id, const char *name)
{
    za_group_key_t key;
    if (za_group_key(name, &key) != ZA_OK || !leave_one(worker, cell, &key)) {
        return;
    }
    const za_remote_t *remote = &worker->runtime->remote;
    if (remote->left != NULL) {
        remote->left(worker->runtime->config.remote_context, worker, (za_ref_t){ 0, id }, name);
    }
}

void za_groups_leave(za_worker_t *worker, za_cell_t *cell)
{
    if (cell->extra == NULL) {
        return;
    }
    if (cell->extra->groups.count == 0) { // it left each by itself, or never was in one
        za_table_clear(&cell->extra->groups, &worker->pool);
        return;
    }
    za_groups_t *groups = worker->runtime->groups;
    uint32_t index = 0;
    const za_table_entry_t *entry;
    pthread_mutex_lock(&groups->lock);
    while ((entry = za_table_next(&cell->extra->groups, &index)) != NULL) {
        membership_t *membership = entry->value;
        leave_seat(worker, groups, membership);
        za_pool_free(&worker->pool, &membership->block);
    }
    pthread_mutex_unlock(&groups->lock);
    za_table_clear(&cell->extra->groups, &worker->pool);
}

/* ---- members of other nodes --------------------------------------------------------------- */

static za_err_t add_locked(za_worker_t *worker, za_groups_t *groups, const za_group_key_t *key,
                           za_ref_t member)
{
    za_group_t *group = find_or_found(worker, groups, key);
    if (group == NULL) {
        return ZA_ENOBUFS;
    }
    if (za_table_get(&group->remotes, member.node, member.actor) != NULL) {
        return ZA_OK;
    }
    membership_t *membership = make_membership(worker, groups, group);
    if (membership == NULL) {
        goto fail_room;
    }
    if (!za_table_put(&group->remotes, &worker->pool, member.node, member.actor, membership)) {
        goto fail_put;
    }
    take_seat(groups, group, membership, member);
    return ZA_OK;

fail_put:
    za_pool_free(&worker->pool, &membership->block);
fail_room:
    forget_empty(worker, groups, group);
    return ZA_ENOBUFS;
}

za_err_t za_runtime_group_add(za_worker_t *worker, const char *name, za_ref_t member)
{
    za_group_key_t key;
    za_err_t err = za_group_key(name, &key);
    if (err != ZA_OK || member.node == 0 || za_ref_is_none(member)) {
        return err != ZA_OK ? err : ZA_EINVAL;
    }
    za_groups_t *groups = worker->runtime->groups;
    pthread_mutex_lock(&groups->lock);
    err = add_locked(worker, groups, &key, member);
    pthread_mutex_unlock(&groups->lock);
    return err;
}

void za_runtime_group_remove(za_worker_t *worker, const char *name, za_ref_t member)
{
    za_group_key_t key;
    if (za_group_key(name, &key) != ZA_OK) {
        return;
    }
    za_groups_t *groups = worker->runtime->groups;
    za_group_view_t view = { .tries = 0 };
    membership_t *membership = NULL;
    pthread_mutex_lock(&groups->lock);
    if (find(groups, &key, &view)) {
        membership = za_table_remove(&view.group->remotes, member.node, member.actor);
    }
    if (membership != NULL) {
        leave_seat(worker, groups, membership);
    }
    pthread_mutex_unlock(&groups->lock);
    if (membership != NULL) {
        za_pool_free(&worker->pool, &membership->block);
    }
}

/* ---- actor.h ------------------------------------------------------------------------------ */

static za_err_t join(za_ctx_t *ctx, const char *group, const za_join_opts_t *opts)
{
    return ctx->stopping ? ZA_ESTOPPING
                         : za_group_join(ctx->worker, ctx->cell, ctx->id, group, opts);
}

za_err_t za_join(za_ctx_t *ctx, const char *group)
{
    return ctx == NULL ? ZA_EINVAL : join(ctx, group, NULL);
}

za_err_t za_join_with(za_ctx_t *ctx, const char *group, const za_join_opts_t *opts)
{
    if (ctx == NULL || opts == NULL || opts->size < sizeof *opts ||
        (opts->meta == NULL && opts->meta_size > 0)) {
        return ZA_EINVAL;
    }
    return opts->meta_size > ZA_NAME_META_BYTES_MAX ? ZA_ETOOBIG : join(ctx, group, opts);
}

void za_leave(za_ctx_t *ctx, const char *group)
{
    if (ctx != NULL) {
        za_group_leave(ctx->worker, ctx->cell, ctx->id, group);
    }
}

za_err_t za_members(za_ctx_t *ctx, const char *group, za_ref_t *refs, uint32_t max, uint32_t *count)
{
    za_group_key_t key;
    if (ctx == NULL || count == NULL || (refs == NULL && max > 0)) {
        return ZA_EINVAL;
    }
    za_err_t err = za_group_key(group, &key);
    if (err == ZA_OK) {
        uint32_t locals;
        *count = za_group_copy(ctx->worker->runtime->groups, &key, refs, max, &locals);
    }
    return err;
}
