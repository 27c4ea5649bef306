// Parents of children on other nodes: they fail, are restarted, stopped, and respawned elsewhere.

#include <stdio.h>

#include "work.h"

typedef enum poke { POKE_ANSWER, POKE_FAIL, POKE_STOP } poke_t;

enum {
    TICK_MS = 300,
    SLOTS = 3,
    RETRY_MS = 500,
    FAIL_ONE_IN = 8,
    STOP_ONE_IN = 60,
    HERE_ONE_IN = 4,
    NAMED_ONE_IN = 3,
    CARRY_ONE_IN = 4,
    PARENT_FAILS_ONE_IN = 100,
    PROBE_TIMEOUT_MS = 5000,
};

/* ---- the child ------------------------------------------------------------------------------------------- */

typedef struct child {
    uint32_t instance;
    uint64_t record;
} child_t;

static const char *child_name(char name[WORLD_NAME_BYTES], uint64_t record)
{
    snprintf(name, WORLD_NAME_BYTES, "child/%llu", (unsigned long long)record);
    return name;
}

static za_verdict_t on_child(za_ctx_t *ctx, child_t *self, const work_Child *child)
{
    char name[WORLD_NAME_BYTES];
    self->record = child->record;
    self->instance =
        world_born(ctx, KIND_CHILD, child->named ? child_name(name, child->record) : NULL);
    world_child_born(child->record, self->instance);
    return ZA_DONE;
}

static za_verdict_t on_poke(za_ctx_t *ctx, child_t *self, const work_Poke *poke)
{
    if (poke->record != self->record) {
        world_fail("a child got a message for another one");
    }
    switch (poke->how) {
    case POKE_FAIL:
        return ZA_FAIL;
    case POKE_STOP:
        return ZA_STOP;
    default:
        za_reply(ctx, ZA_MSG(work_Pong, .record = self->record, .probe = poke->probe));
        return ZA_DONE;
    }
}

static za_verdict_t on_child_name_lost(za_ctx_t *ctx, child_t *self, const za_NameLost *lost)
{
    (void)ctx;
    world_name_given_up(self->instance, lost->name);
    return ZA_DONE;
}

static za_verdict_t on_child_stopping(za_ctx_t *ctx, child_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    if (!stopping->restarts) {
        world_gone(self->instance);
    }
    return ZA_DONE;
}

ZA_ACTOR(work_child, child_t, (work_Child, on_child), (work_Poke, on_poke),
         (za_NameLost, on_child_name_lost), (za_Stopping, on_child_stopping));

/* ---- the parent -------------------------------------------------------------------------------------------- */

typedef struct slot {
    uint64_t record; // 0: none
    za_ref_t ref;    // none: not spawned yet
    uint64_t retry_ms;
} slot_t;

typedef struct parent {
    uint32_t instance, node;
    bool probed;
    uint64_t members[WORK_NODES_MAX];
    uint32_t member_count;
    slot_t slots[SLOTS];
} parent_t;

static za_verdict_t on_root(za_ctx_t *ctx, parent_t *self, const work_Root *root)
{
    char name[WORLD_NAME_BYTES];
    self->node = root->node;
    self->instance = world_born(ctx, KIND_PARENT, work_name(name, "parent", root->node));
    uint64_t records[SLOTS];
    uint32_t count = world_open_records(self->instance, records, SLOTS);
    for (uint32_t i = 0; i < count; i++) { // of a former life: they went on
        self->slots[i] = (slot_t){ .record = records[i], .ref = world_record_ref(records[i]) };
    }
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static uint64_t choose_node(za_ctx_t *ctx, const parent_t *self)
{
    bool here = work_once_in(ctx, HERE_ONE_IN);
    if (here || self->member_count == 0) {
        return 0;
    }
    uint32_t which = work_draw(ctx, self->member_count);
    return self->members[which];
}

static void spawn_child(za_ctx_t *ctx, parent_t *self, slot_t *slot)
{
    uint64_t node = choose_node(ctx, self);
    bool named = work_once_in(ctx, NAMED_ONE_IN);
    bool patient = work_once_in(ctx, 2);
    uint64_t record = world_record(self->instance);
    char name[WORLD_NAME_BYTES];
    za_err_t err =
        za_spawn_on(ctx, node, work_child, .name = named ? child_name(name, record) : NULL,
                    .tag = record, .max_restarts = patient ? 1000000 : 2,
                    .backoff_min_ms = patient ? 0 : 10, .on_node_down = ZA_NODE_DOWN_RESPAWN,
                    ZA_ARGS(work_Child, .record = record, .named = named));
    if (err == ZA_OK) {
        *slot = (slot_t){ .record = record };
        return;
    }
    work_sent(err);
    world_record_ended(record, self->instance);
    slot->retry_ms = za_now_ms(ctx) + RETRY_MS;
}

static void poke_child(za_ctx_t *ctx, const slot_t *slot)
{
    uint32_t how = POKE_ANSWER;
    if (work_once_in(ctx, FAIL_ONE_IN)) {
        how = POKE_FAIL;
    } else if (work_once_in(ctx, STOP_ONE_IN)) {
        how = POKE_STOP;
    }
    work_sent(za_tell(ctx, slot->ref, ZA_MSG(work_Poke, .record = slot->record, .how = how)));
}

static void send_travelling(za_ctx_t *ctx, const parent_t *self, const slot_t *slot)
{
    za_ref_t carrier;
    uint32_t here = world_here(ctx);
    if (work_find_any(ctx, "peer", &carrier)) {
        work_sent(
            za_tell(ctx, carrier,
                    ZA_MSG(work_Carry, .process = here, .node = self->node, .record = slot->record,
                           .child = slot->ref, .instance = world_find(here, slot->ref))));
    }
}

static void work_slot(za_ctx_t *ctx, parent_t *self, slot_t *slot)
{
    if (slot->record == 0) {
        if (za_now_ms(ctx) >= slot->retry_ms) {
            spawn_child(ctx, self, slot);
        }
        return;
    }
    if (za_ref_is_none(slot->ref)) {
        return;
    }
    poke_child(ctx, slot);
    if (work_once_in(ctx, CARRY_ONE_IN)) {
        send_travelling(ctx, self, slot);
    }
    if (work_once_in(ctx, STOP_ONE_IN)) {
        za_err_t err = za_stop(ctx, slot->ref);
        if (err != ZA_OK && err != ZA_ENOBUFS) {
            world_fail("a parent may not stop its child: %s", za_err_text(err));
        }
    }
}

/** Each child answers its parent, by the reference that the parent was told. */
static void probe_children(za_ctx_t *ctx, const parent_t *self)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        const slot_t *slot = &self->slots[i];
        if (slot->record == 0) {
            continue;
        }
        world_probe_sent();
        za_err_t err =
            za_ask(ctx, slot->ref, ZA_MSG(work_Poke, .record = slot->record, .probe = true),
                   .timeout_ms = PROBE_TIMEOUT_MS, .tag = slot->record);
        if (err != ZA_OK) {
            world_fail("n%u cannot reach its child of record %llu: %s", self->node,
                       (unsigned long long)slot->record, za_err_text(err));
        }
    }
}

static za_verdict_t on_tick(za_ctx_t *ctx, parent_t *self, const work_Tick *tick)
{
    (void)tick;
    char name[WORLD_NAME_BYTES];
    work_keep_name(ctx, self->instance, work_name(name, "parent", self->node));
    if (world_phase() == PHASE_WORK) {
        uint32_t which = work_draw(ctx, SLOTS);
        work_slot(ctx, self, &self->slots[which]);
        if (work_once_in(ctx, PARENT_FAILS_ONE_IN)) {
            return ZA_FAIL;
        }
    } else if (world_phase() == PHASE_PROBE && !self->probed) {
        self->probed = true;
        probe_children(ctx, self);
    }
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static za_verdict_t on_pong(za_ctx_t *ctx, parent_t *self, const work_Pong *pong)
{
    (void)ctx;
    (void)self;
    if (pong->probe) {
        world_probe_arrived();
    }
    return ZA_DONE;
}

static slot_t *find_slot(parent_t *self, uint64_t record)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (self->slots[i].record == record) {
            return &self->slots[i];
        }
    }
    return NULL;
}

static za_verdict_t on_spawned(za_ctx_t *ctx, parent_t *self, const za_Spawned *spawned)
{
    (void)ctx;
    world_mix(spawned->tag << 8 | spawned->epoch);
    world_child_spawned(spawned->tag, self->instance, spawned->ref, spawned->epoch);
    slot_t *slot = find_slot(self, spawned->tag);
    if (slot != NULL) {
        slot->ref = spawned->ref;
    }
    return ZA_DONE;
}

static za_verdict_t on_spawn_failed(za_ctx_t *ctx, parent_t *self, const za_SpawnFailed *failed)
{
    world_mix(failed->tag << 8 | failed->reason);
    world_record_ended(failed->tag, self->instance);
    slot_t *slot = find_slot(self, failed->tag);
    if (slot != NULL) {
        *slot = (slot_t){ .retry_ms = za_now_ms(ctx) + RETRY_MS };
    }
    return ZA_DONE;
}

/** A reference to a local child is local when it comes home, whatever uid it left under. */
static za_verdict_t on_carried(za_ctx_t *ctx, parent_t *self, const work_Carried *carried)
{
    uint32_t here = world_here(ctx);
    if (carried->process != here || carried->instance == 0) {
        return ZA_DONE;
    }
    if (world_find(here, carried->child) != carried->instance) {
        world_fail("n%u: a reference means another actor after a journey", self->node);
    }
    if (world_instance_process(carried->instance) != here) {
        return ZA_DONE;
    }
    if (carried->child.node != 0) {
        world_fail("n%u: a local reference is not local after a journey", self->node);
    }
    world_counts.carried_home++;
    za_err_t err = za_tell(ctx, carried->child, ZA_MSG(work_Poke, .record = carried->record));
    if (err == ZA_ENOROUTE) { // it may have ended, that is another thing
        world_fail("n%u: a local child is out of reach after a journey: %s", self->node,
                   za_err_text(err));
    }
    work_sent(err);
    return ZA_DONE;
}

static za_verdict_t on_up(za_ctx_t *ctx, parent_t *self, const za_MemberUp *member)
{
    (void)ctx;
    for (uint32_t i = 0; i < self->member_count; i++) {
        if (self->members[i] == member->node) {
            return ZA_DONE;
        }
    }
    if (self->member_count < WORK_NODES_MAX) {
        self->members[self->member_count++] = member->node;
    }
    return ZA_DONE;
}

static void forget_member(parent_t *self, uint64_t uid)
{
    for (uint32_t i = 0; i < self->member_count; i++) {
        if (self->members[i] == uid) {
            self->members[i] = self->members[--self->member_count];
            return;
        }
    }
}

static za_verdict_t on_member_down(za_ctx_t *ctx, parent_t *self, const za_MemberDown *member)
{
    (void)ctx;
    forget_member(self, member->node);
    return ZA_DONE;
}

static za_verdict_t on_member_left(za_ctx_t *ctx, parent_t *self, const za_MemberLeft *member)
{
    (void)ctx;
    forget_member(self, member->node);
    return ZA_DONE;
}

static za_verdict_t on_name_lost(za_ctx_t *ctx, parent_t *self, const za_NameLost *lost)
{
    (void)ctx;
    world_name_given_up(self->instance, lost->name);
    return ZA_DONE;
}

static za_verdict_t on_down(za_ctx_t *ctx, parent_t *self, const za_Down *down)
{
    (void)ctx;
    world_fail("n%u: its child of record %llu did not answer (reason %d)", self->node,
               (unsigned long long)down->tag, (int)down->reason);
    return ZA_DONE;
}

static za_verdict_t on_stopping(za_ctx_t *ctx, parent_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    if (!stopping->restarts) {
        world_records_forget(self->instance);
        world_gone(self->instance);
    }
    return ZA_DONE;
}

ZA_ACTOR(work_parent, parent_t, (work_Root, on_root), (work_Tick, on_tick), (work_Pong, on_pong),
         (za_Spawned, on_spawned), (za_SpawnFailed, on_spawn_failed), (work_Carried, on_carried),
         (za_MemberUp, on_up), (za_MemberDown, on_member_down), (za_MemberLeft, on_member_left),
         (za_NameLost, on_name_lost), (za_Down, on_down), (za_Stopping, on_stopping));
