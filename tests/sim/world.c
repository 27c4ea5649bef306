#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "core/runtime.h"
#include "map.h"
#include "node/node.h"

enum {
    FAILURE_BYTES = 512,
    BACKLOG_MS = 5,
    TOPICS_MAX = 32,  // bits of instance_t.topics
    HOLDERS_MAX = 64, // of one name: at most one on each side of any split, with room
};

typedef struct process {
    uint32_t node;
    bool alive;
    uint64_t uid;       // the present one
    uint64_t reborn_ms; // when it took that; 0: with its start
} process_t;

typedef struct instance {
    uint32_t process;
    kind_t kind;
    uint64_t actor;
    uint32_t life; // from 1
    bool alive;
    uint64_t record; // KIND_CHILD
    uint32_t topics; // KIND_FAN: bits
} instance_t;

typedef struct stream {
    uint32_t sender, receiver, seq;
} stream_t;

typedef struct ask {
    uint32_t asker, life;
    uint64_t deadline_ms;
    bool refused, ended;
} ask_t;

typedef struct watch {
    uint32_t watcher, life;
    za_ref_t target;
    enum { WATCH_ACTIVE, WATCH_FIRED, WATCH_ENDED } state;
} watch_t;

typedef struct name {
    char text[WORLD_NAME_BYTES];
    uint32_t holders[HOLDERS_MAX];
    uint32_t holder_count;
} name_t;

typedef struct record {
    uint32_t parent;
    uint32_t epoch;
    bool open;
    za_ref_t ref;           // of the last za_Spawned, as the parent sees it
    uint32_t child_process; // and whom that means
    uint64_t child_actor;
    uint32_t living; // while the end is checked
} record_t;

/** An array that grows; index 0 is not used, so that 0 is nobody. */
#define BOOK(type)                                                                                 \
    struct {                                                                                       \
        type *items;                                                                               \
        uint32_t count, capacity;                                                                  \
    }

typedef struct world {
    za_sim_t *sim;
    phase_t phase;
    uint64_t hash;
    bool failed;
    char failure[FAILURE_BYTES];
    uint32_t running[ZA_SIM_NODES_MAX]; // the process of each node
    BOOK(process_t) processes;
    BOOK(instance_t) instances;
    BOOK(stream_t) streams;
    BOOK(ask_t) asks;
    BOOK(watch_t) watches;
    BOOK(name_t) names;
    BOOK(record_t) records;
    map_t uids;        // uid -> process
    map_t ended_uids;  // process, uid -> ms when its members were told
    map_t fired_uids;  // process, uid -> ms when a watch said so
    map_t actors;      // process, actor id -> instance
    map_t watch_index; // watcher and life, target -> watch
    map_t name_index;
    map_t flyers;              // publisher, receiver -> last seq
    uint32_t keys[TOPICS_MAX]; // whose the key of a topic is
    uint64_t probes_sent, probes_arrived;
} world_t;

static world_t world;
world_counts_t world_counts;

static void *grow(void *items, uint32_t *count, uint32_t *capacity, size_t item_bytes)
{
    if (*count + 1 >= *capacity) {
        *capacity = *capacity == 0 ? 256 : *capacity * 2;
        items = realloc(items, *capacity * item_bytes);
        ZA_ASSERT(items != NULL); // no memory is the end of the test
    }
    *count += 1;
    memset((char *)items + *count * item_bytes, 0, item_bytes);
    return items;
}

#define BOOK_ADD(book)                                                                             \
    ((book).items = grow((book).items, &(book).count, &(book).capacity, sizeof *(book).items),     \
     &(book).items[(book).count])

void world_init(za_sim_t *sim)
{
    world_deinit();
    world.sim = sim;
    world.hash = 1;
}

void world_deinit(void)
{
    free(world.processes.items);
    free(world.instances.items);
    free(world.streams.items);
    free(world.asks.items);
    free(world.watches.items);
    free(world.names.items);
    free(world.records.items);
    map_deinit(&world.uids);
    map_deinit(&world.ended_uids);
    map_deinit(&world.fired_uids);
    map_deinit(&world.actors);
    map_deinit(&world.watch_index);
    map_deinit(&world.name_index);
    map_deinit(&world.flyers);
    world = (world_t){ 0 };
    world_counts = (world_counts_t){ 0 };
}

void world_fail(const char *format, ...)
{
    if (world.failed) {
        return;
    }
    world.failed = true;
    int at = snprintf(world.failure, sizeof world.failure, "at %" PRIu64 " ms: ", world_now_ms());
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(world.failure + at, sizeof world.failure - (size_t)at, format, arguments);
    va_end(arguments);
}

const char *world_failure(void)
{
    return world.failed ? world.failure : NULL;
}

void world_set_phase(phase_t phase)
{
    world.phase = phase;
}

phase_t world_phase(void)
{
    return world.phase;
}

uint64_t world_now_ms(void)
{
    return world.sim == NULL ? 0 : za_sim_now_ms(world.sim);
}

uint64_t world_hash(void)
{
    return world.hash;
}

void world_mix(uint64_t value)
{
    world.hash = za_mix64(world.hash ^ value);
}

uint32_t world_node_count(void)
{
    return za_sim_node_count(world.sim);
}

/* ---- processes --------------------------------------------------------------------------------- */

static process_t *process_at(uint32_t process)
{
    return &world.processes.items[process];
}

uint32_t world_process_began(uint32_t node)
{
    process_t *process = BOOK_ADD(world.processes);
    *process = (process_t){ .node = node, .alive = true };
    world.running[node] = world.processes.count;
    world_watch_uids();
    return world.processes.count;
}

void world_process_ended(uint32_t node)
{
    uint32_t process = world.running[node];
    if (process == 0) {
        return;
    }
    process_at(process)->alive = false;
    world.running[node] = 0;
    for (uint32_t i = 1; i <= world.instances.count; i++) {
        if (world.instances.items[i].process == process) {
            world.instances.items[i].alive = false;
        }
    }
}

uint32_t world_process(uint32_t node)
{
    return world.running[node];
}

uint32_t world_process_node(uint32_t process)
{
    return process_at(process)->node;
}

uint32_t world_here(const za_ctx_t *ctx)
{
    const za_node_t *node = za_ctx_node(ctx);
    for (uint32_t i = 0; i < world_node_count(); i++) {
        if (za_sim_node(world.sim, i) == node) {
            return world.running[i];
        }
    }
    ZA_ASSERT(!"a handler runs on a node that runs");
    return 0;
}

uint32_t world_process_of(uint64_t uid)
{
    return map_get(&world.uids, uid, 0);
}

static void note_uid(uint32_t id, uint64_t uid)
{
    process_t *process = process_at(id);
    if (process->uid != 0) {
        world_counts.rebirths++;
        process->reborn_ms = world_now_ms();
    }
    if (map_get(&world.uids, uid, 0) != 0) {
        world_fail("node n%u takes uid %016" PRIx64 ", which was taken before", process->node, uid);
    }
    process->uid = uid;
    map_put(&world.uids, uid, 0, id);
}

void world_watch_uids(void)
{
    for (uint32_t i = 0; i < world_node_count(); i++) {
        const za_node_t *node = za_sim_node(world.sim, i);
        uint32_t process = world.running[i];
        if (node == NULL || process == 0) {
            continue;
        }
        uint64_t uid = za_node_uid(node);
        if (process_at(process)->uid != uid) {
            note_uid(process, uid);
        }
    }
}

void world_uid_ended(uint32_t process, uint64_t uid)
{
    map_put(&world.ended_uids, process, uid, (uint32_t)world_now_ms() + 1);
}

static bool still_holds(const map_t *map, uint32_t process, uint64_t uid)
{
    // What was said just before a rebirth may be heard just after it.
    uint32_t at_ms = map_get(map, process, uid);
    uint64_t reborn_ms = process_at(process)->reborn_ms;
    return at_ms != 0 && (reborn_ms == 0 || at_ms > reborn_ms + BACKLOG_MS);
}

bool world_uid_has_ended(uint32_t process, uint64_t uid)
{
    return still_holds(&world.ended_uids, process, uid);
}

/* ---- instances --------------------------------------------------------------------------------- */

static const char *kind_name(kind_t kind)
{
    static const char *const names[KIND_COUNT] = {
        "nobody", "peer",    "small", "flooder", "asker", "answerer",  "nursery",
        "mortal", "watcher", "namer", "parent",  "child", "clockwork", "fan",
    };
    return names[kind];
}

static instance_t *instance_at(uint32_t instance)
{
    return &world.instances.items[instance];
}

/** "child 17 of n2", for messages; one at a time. */
static const char *who(uint32_t instance)
{
    static char texts[2][64];
    static unsigned turn;
    char *text = texts[turn++ % 2];
    if (instance == 0) {
        return "nobody";
    }
    const instance_t *it = instance_at(instance);
    snprintf(text, sizeof texts[0], "%s #%u on n%u", kind_name(it->kind), instance,
             process_at(it->process)->node);
    return text;
}

uint32_t world_born(za_ctx_t *ctx, kind_t kind, const char *name)
{
    uint32_t process = world_here(ctx);
    uint64_t actor = za_self(ctx).actor;
    uint32_t id = map_get(&world.actors, process, actor);
    if (id == 0) {
        instance_t *instance = BOOK_ADD(world.instances);
        id = world.instances.count;
        *instance = (instance_t){ .process = process, .kind = kind, .actor = actor, .alive = true };
        map_put(&world.actors, process, actor, id);
    }
    instance_t *instance = instance_at(id);
    if (!instance->alive || instance->kind != kind) {
        world_fail("%s begins again as %s: its id was used twice", who(id), kind_name(kind));
    }
    instance->life++;
    if (name != NULL && instance->life == 1) {
        world_name_held(id, name);
    }
    world_mix(id);
    return id;
}

void world_gone(uint32_t id)
{
    if (id == 0 || !instance_at(id)->alive) {
        world_fail("%s ends twice", who(id));
        return;
    }
    instance_at(id)->alive = false;
    world_mix(id);
}

bool world_alive(uint32_t instance)
{
    return instance != 0 && instance_at(instance)->alive;
}

uint32_t world_life(uint32_t instance)
{
    return instance_at(instance)->life;
}

uint32_t world_instance_process(uint32_t instance)
{
    return instance_at(instance)->process;
}

kind_t world_kind(uint32_t instance)
{
    return instance_at(instance)->kind;
}

uint32_t world_find(uint32_t here, za_ref_t ref)
{
    uint32_t process = ref.node == 0 ? here : world_process_of(ref.node);
    return process == 0 ? 0 : map_get(&world.actors, process, ref.actor);
}

uint32_t world_instance_count(void)
{
    return world.instances.count;
}

/* ---- streams ------------------------------------------------------------------------------------- */

uint64_t world_stream(uint32_t sender)
{
    stream_t *stream = BOOK_ADD(world.streams);
    stream->sender = sender;
    return world.streams.count;
}

void world_stream_arrived(uint64_t id, uint32_t seq, uint32_t receiver)
{
    world_mix(id << 32 | seq);
    if (id == 0 || id > world.streams.count) {
        world_fail("%s got a message of stream %" PRIu64 ", which there is not", who(receiver), id);
        return;
    }
    stream_t *stream = &world.streams.items[id];
    if (stream->receiver == 0) {
        stream->receiver = receiver;
    }
    if (stream->receiver != receiver) {
        world_fail("a message for %s came to %s", who(stream->receiver), who(receiver));
    } else if (seq <= stream->seq) {
        world_fail("%s: message %u of %s came after message %u", who(receiver), seq,
                   who(stream->sender), stream->seq);
    }
    stream->seq = seq;
    world_counts.items++;
}

void world_probe_sent(void)
{
    world.probes_sent++;
}

void world_probe_arrived(void)
{
    world.probes_arrived++;
}

bool world_probes_complete(void)
{
    return world.probes_arrived == world.probes_sent;
}

/* ---- asks ------------------------------------------------------------------------------------------ */

uint64_t world_asked(uint32_t asker, uint64_t deadline_ms)
{
    ask_t *ask = BOOK_ADD(world.asks);
    *ask = (ask_t){ .asker = asker, .life = instance_at(asker)->life, .deadline_ms = deadline_ms };
    return world.asks.count;
}

void world_ask_refused(uint64_t ask)
{
    world.asks.items[ask].refused = true;
}

void world_ask_ended(uint64_t id, uint32_t asker, outcome_t outcome)
{
    world_mix(id << 8 | outcome);
    if (id == 0 || id > world.asks.count) {
        world_fail("%s: an ask %" PRIu64 " ends that there is not", who(asker), id);
        return;
    }
    ask_t *ask = &world.asks.items[id];
    if (ask->asker != asker || ask->life != instance_at(asker)->life) {
        world_fail("%s: the ask of %s, or of a former life, ends here", who(asker),
                   who(ask->asker));
    } else if (ask->refused || ask->ended) {
        world_fail("%s: ask %" PRIu64 " ends %s (outcome %d)", who(asker), id,
                   ask->refused ? "though it was refused" : "twice", (int)outcome);
    } else if (outcome == OUTCOME_TIMEOUT && world_now_ms() < ask->deadline_ms) {
        world_fail("%s: ask %" PRIu64 " timed out %" PRIu64 " ms too early", who(asker), id,
                   ask->deadline_ms - world_now_ms());
    }
    ask->ended = true;
    world_counts.answers += outcome == OUTCOME_ANSWER;
    world_counts.timeouts += outcome == OUTCOME_TIMEOUT;
    world_counts.downs += outcome == OUTCOME_DOWN;
}

static void check_asks(void)
{
    for (uint32_t i = 1; i <= world.asks.count; i++) {
        const ask_t *ask = &world.asks.items[i];
        bool lives = world_alive(ask->asker) && instance_at(ask->asker)->life == ask->life;
        if (lives && !ask->refused && !ask->ended) {
            world_fail("%s: ask %u never ended (its deadline was %" PRIu64 " ms)", who(ask->asker),
                       i, ask->deadline_ms);
        }
    }
}

/* ---- watches ---------------------------------------------------------------------------------------- */

static watch_t *find_watch(uint32_t watcher, za_ref_t target)
{
    uint64_t a = (uint64_t)watcher << 32 | instance_at(watcher)->life;
    uint32_t id = map_get(&world.watch_index, a, target.actor ^ za_mix64(target.node));
    return id == 0 ? NULL : &world.watches.items[id];
}

void world_watched(uint32_t watcher, za_ref_t target)
{
    const watch_t *old = find_watch(watcher, target);
    if (old != NULL && old->state == WATCH_ACTIVE) {
        return; // twice is one watch
    }
    uint32_t life = instance_at(watcher)->life;
    watch_t *watch = BOOK_ADD(world.watches);
    *watch = (watch_t){ .watcher = watcher, .life = life, .target = target };
    map_put(&world.watch_index, (uint64_t)watcher << 32 | life,
            target.actor ^ za_mix64(target.node), world.watches.count);
    world_counts.watches++;
}

void world_unwatched(uint32_t watcher, za_ref_t target)
{
    watch_t *watch = find_watch(watcher, target);
    if (watch != NULL && watch->state == WATCH_ACTIVE) {
        watch->state = WATCH_ENDED;
    }
}

static void check_reason(const watch_t *watch, za_Reason reason)
{
    uint32_t target = world_find(instance_at(watch->watcher)->process, watch->target);
    switch (reason) {
    case za_Reason_REASON_STOPPED:
    case za_Reason_REASON_FAILED:
    case za_Reason_REASON_NO_ACTOR:
        if (world_alive(target)) {
            world_fail("%s heard that %s ended (reason %d), and it lives", who(watch->watcher),
                       who(target), (int)reason);
        }
        break;
    case za_Reason_REASON_NODE_DOWN:
    case za_Reason_REASON_NODE_LEFT:
        world_counts.fired_node++;
        if (watch->target.node == 0) {
            world_fail("%s heard that its own node is down", who(watch->watcher));
        }
        map_put(&world.fired_uids, instance_at(watch->watcher)->process, watch->target.node,
                (uint32_t)world_now_ms() + 1);
        break;
    default:
        world_fail("%s: a watch on %s fired with reason %d", who(watch->watcher), who(target),
                   (int)reason);
        break;
    }
}

void world_watch_fired(uint32_t watcher, za_ref_t target, za_Reason reason)
{
    world_mix(target.actor);
    watch_t *watch = find_watch(watcher, target);
    if (watch == NULL) {
        world_fail("%s: za_Down of an actor that it does not watch", who(watcher));
        return;
    }
    if (watch->state != WATCH_ACTIVE) {
        world_fail("%s: za_Down of %s %s", who(watcher),
                   who(world_find(instance_at(watcher)->process, target)),
                   watch->state == WATCH_FIRED ? "a second time" : "after unwatch");
        return;
    }
    check_reason(watch, reason);
    watch->state = WATCH_FIRED;
    world_counts.fired++;
}

void world_heard(uint32_t watcher, za_ref_t sender)
{
    const watch_t *watch = find_watch(watcher, sender);
    if (watch != NULL && watch->state == WATCH_FIRED) {
        world_fail("%s: a message of %s after its za_Down", who(watcher),
                   who(world_find(instance_at(watcher)->process, sender)));
    }
}

static bool target_lives(const watch_t *watch)
{
    uint32_t here = instance_at(watch->watcher)->process;
    uint32_t target = world_find(here, watch->target);
    if (!world_alive(target)) {
        return false;
    }
    uint64_t uid = process_at(instance_at(target)->process)->uid;
    return watch->target.node == 0 || watch->target.node == uid; // else it was reborn since
}

static void check_watches(void)
{
    for (uint32_t i = 1; i <= world.watches.count; i++) {
        const watch_t *watch = &world.watches.items[i];
        bool waits = watch->state == WATCH_ACTIVE && world_alive(watch->watcher) &&
                     instance_at(watch->watcher)->life == watch->life;
        if (waits && !target_lives(watch)) {
            world_fail("%s: no za_Down of %s (uid %016" PRIx64 "), which does not live",
                       who(watch->watcher),
                       who(world_find(instance_at(watch->watcher)->process, watch->target)),
                       watch->target.node);
        }
    }
}

/* ---- names -------------------------------------------------------------------------------------------- */

static uint32_t name_of(const char *text)
{
    uint64_t key = za_fnv64(ZA_FNV64_INIT, text, strlen(text));
    uint32_t id = map_get(&world.name_index, key, 0);
    if (id == 0) {
        name_t *name = BOOK_ADD(world.names);
        id = world.names.count;
        snprintf(name->text, sizeof name->text, "%s", text);
        map_put(&world.name_index, key, 0, id);
    }
    return id;
}

/** Those that ended hold nothing any more. */
static name_t *living_name(uint32_t id)
{
    name_t *name = &world.names.items[id];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < name->holder_count; i++) {
        if (world_alive(name->holders[i])) {
            name->holders[kept++] = name->holders[i];
        }
    }
    name->holder_count = kept;
    return name;
}

bool world_holds(uint32_t instance, const char *text)
{
    const name_t *name = living_name(name_of(text));
    for (uint32_t i = 0; i < name->holder_count; i++) {
        if (name->holders[i] == instance) {
            return true;
        }
    }
    return false;
}

void world_name_held(uint32_t instance, const char *text)
{
    if (world_holds(instance, text)) {
        return;
    }
    name_t *name = living_name(name_of(text));
    if (name->holder_count == HOLDERS_MAX) {
        world_fail("%u actors hold the name %s", HOLDERS_MAX, text);
        return;
    }
    name->holders[name->holder_count++] = instance;
    world_counts.names++;
}

void world_name_given_up(uint32_t instance, const char *text)
{
    name_t *name = living_name(name_of(text));
    uint32_t kept = 0;
    for (uint32_t i = 0; i < name->holder_count; i++) {
        if (name->holders[i] != instance) {
            name->holders[kept++] = name->holders[i];
        }
    }
    name->holder_count = kept;
}

void world_looked_up(za_ctx_t *ctx, const char *name, za_ref_t ref)
{
    uint32_t here = world_here(ctx);
    if (ref.node != 0 && world_uid_has_ended(here, ref.node)) {
        world_fail("n%u: %s is looked up at uid %016" PRIx64 ", which is down there",
                   process_at(here)->node, name, ref.node);
    }
}

typedef struct name_check {
    uint32_t process, seen;
} name_check_t;

static bool check_name(const char *text, za_ref_t ref, void *context)
{
    name_check_t *check = context;
    const name_t *name = living_name(name_of(text));
    uint32_t answered = world_find(check->process, ref);
    if (name->holder_count == 0) {
        world_fail("n%u knows the name %s of %s, and nobody holds it",
                   process_at(check->process)->node, text, who(answered));
    } else if (name->holder_count > 1) {
        world_fail("%s: held by %s and by %s", text, who(name->holders[0]), who(name->holders[1]));
    } else if (name->holders[0] != answered) {
        world_fail("n%u answers %s for %s, which is held by %s", process_at(check->process)->node,
                   who(answered), text, who(name->holders[0]));
    }
    check->seen++;
    return true;
}

static void check_names(uint32_t process, const za_node_t *node)
{
    name_check_t check = { process, 0 };
    za_cluster_each_name(za_node_cluster(node), check_name, &check);
    uint32_t held = 0;
    for (uint32_t i = 1; i <= world.names.count; i++) {
        held += living_name(i)->holder_count > 0;
    }
    for (uint32_t i = 1; i <= world.names.count && check.seen < held; i++) {
        za_ref_t ref;
        const name_t *name = &world.names.items[i];
        if (name->holder_count > 0 &&
            za_cluster_whereis(za_node_cluster(node), name->text, &ref) != ZA_OK) {
            world_fail("n%u does not know the name %s of %s", process_at(process)->node, name->text,
                       who(name->holders[0]));
        }
    }
}

/* ---- topics ------------------------------------------------------------------------------------ */

void world_subscribed(uint32_t instance, uint32_t topic, bool is)
{
    ZA_ASSERT(topic < TOPICS_MAX);
    uint32_t *topics = &instance_at(instance)->topics;
    *topics = is ? *topics | 1u << topic : *topics & ~(1u << topic);
}

uint32_t world_subscribers(uint32_t topic)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i <= world.instances.count; i++) {
        count += world_alive(i) && instance_at(i)->topics >> topic & 1;
    }
    return count;
}

void world_flyer_arrived(uint32_t publisher, uint32_t seq, uint32_t receiver)
{
    world_mix((uint64_t)publisher << 32 | seq);
    uint32_t last = map_get(&world.flyers, publisher, receiver);
    if (publisher == 0 || publisher > world.instances.count || seq == 0) {
        world_fail("%s got a flyer of nobody", who(receiver));
    } else if (seq <= last) {
        world_fail("%s: flyer %u of %s came after flyer %u", who(receiver), seq, who(publisher),
                   last);
    } else {
        map_put(&world.flyers, publisher, receiver, seq);
        world_counts.flyers++;
    }
}

void world_key_went_to(uint32_t topic, uint32_t receiver)
{
    if (world.keys[topic] == 0) {
        world.keys[topic] = receiver;
    }
    if (world.keys[topic] != receiver) {
        world_fail("the key of topic %u is %s's for some and %s's for others", topic,
                   who(world.keys[topic]), who(receiver));
    }
}

/* ---- children -------------------------------------------------------------------------------------------- */

uint64_t world_record(uint32_t parent)
{
    record_t *record = BOOK_ADD(world.records);
    *record = (record_t){ .parent = parent, .open = true };
    return world.records.count;
}

void world_child_born(uint64_t record, uint32_t instance)
{
    if (record == 0 || record > world.records.count) {
        world_fail("%s belongs to record %" PRIu64 ", which there is not", who(instance), record);
        return;
    }
    world_counts.child_restarts += instance_at(instance)->life > 1;
    instance_at(instance)->record = record;
}

void world_child_spawned(uint64_t id, uint32_t parent, za_ref_t ref, uint32_t epoch)
{
    if (id == 0 || id > world.records.count) {
        world_fail("%s: za_Spawned with tag %" PRIu64 ", which it never gave", who(parent), id);
        return;
    }
    record_t *record = &world.records.items[id];
    uint32_t child = world_find(instance_at(parent)->process, ref);
    if (record->parent != parent) {
        world_fail("%s: za_Spawned for a child of %s", who(parent), who(record->parent));
    } else if (!record->open) {
        world_fail("%s: za_Spawned of record %" PRIu64 " after its za_SpawnFailed", who(parent),
                   id);
    } else if (epoch <= record->epoch) {
        world_fail("%s: epoch %u after epoch %u of record %" PRIu64, who(parent), epoch,
                   record->epoch, id);
    } else if (child != 0 && instance_at(child)->record != id) {
        world_fail("%s: za_Spawned of record %" PRIu64 " names %s of another one", who(parent), id,
                   who(child));
    }
    world_counts.spawned++;
    world_counts.respawned += epoch > 1;
    record->epoch = epoch;
    record->child_process =
        ref.node == 0 ? instance_at(parent)->process : world_process_of(ref.node);
    record->child_actor = ref.actor;
    record->ref = ref;
}

void world_record_ended(uint64_t id, uint32_t parent)
{
    if (id == 0 || id > world.records.count || world.records.items[id].parent != parent) {
        world_fail("%s: za_SpawnFailed with tag %" PRIu64 ", which it never gave", who(parent), id);
        return;
    }
    record_t *record = &world.records.items[id];
    if (!record->open) {
        world_fail("%s: record %" PRIu64 " fails twice", who(parent), id);
    }
    record->open = false;
    world_counts.children_ended++;
}

uint32_t world_open_records(uint32_t parent, uint64_t *records, uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i <= world.records.count && count < max; i++) {
        if (world.records.items[i].parent == parent && world.records.items[i].open) {
            records[count++] = i;
        }
    }
    return count;
}

za_ref_t world_record_ref(uint64_t id)
{
    return world.records.items[id].ref;
}

void world_records_forget(uint32_t parent)
{
    for (uint32_t i = 1; i <= world.records.count; i++) {
        if (world.records.items[i].parent == parent) {
            world.records.items[i].open = false;
        }
    }
}

static void check_child(uint32_t instance)
{
    record_t *record = &world.records.items[instance_at(instance)->record];
    record->living++;
    if (!record->open || !world_alive(record->parent)) {
        world_fail("%s lives, and its parent %s does not want it any more", who(instance),
                   who(record->parent));
    } else if (record->living > 1) {
        world_fail("%s lives beside another child of the same record %u", who(instance),
                   (unsigned)instance_at(instance)->record);
    } else if (record->child_process != instance_at(instance)->process ||
               record->child_actor != instance_at(instance)->actor) {
        world_fail("%s lives, and its parent %s was told of another one (epoch %u)", who(instance),
                   who(record->parent), record->epoch);
    }
}

static void check_children(void)
{
    for (uint32_t i = 1; i <= world.instances.count; i++) {
        if (world_alive(i) && instance_at(i)->kind == KIND_CHILD) {
            check_child(i);
        }
    }
    for (uint32_t i = 1; i <= world.records.count; i++) {
        const record_t *record = &world.records.items[i];
        if (record->open && world_alive(record->parent) && record->living == 0) {
            world_fail("%s has lost the child of record %u: epoch %u does not live, and no "
                       "za_SpawnFailed came",
                       who(record->parent), i, record->epoch);
        }
    }
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

typedef struct roll {
    uint32_t process, seen;
    map_t present;
} roll_t;

static bool check_actor(const za_actor_info_t *info, void *context)
{
    roll_t *roll = context;
    uint32_t instance = map_get(&world.actors, roll->process, info->ref.actor);
    if (!world_alive(instance)) {
        world_fail("n%u: an actor of class %s lives that should not (%s)",
                   process_at(roll->process)->node, info->class_name, who(instance));
    } else {
        map_put(&roll->present, instance, 0, 1);
    }
    return true;
}

/** The runtime's actors are those of the book. */
static void check_actors(uint32_t process, za_node_t *node)
{
    roll_t roll = { .process = process };
    uint64_t cursor = 0;
    za_runtime_each_actor(za_node_runtime(node), &cursor, check_actor, &roll);
    for (uint32_t i = 1; i <= world.instances.count; i++) {
        instance_t *instance = instance_at(i);
        if (instance->process != process || !instance->alive || map_get(&roll.present, i, 0) != 0) {
            continue;
        }
        instance->alive = false;
        // A child that is stopped while it waits to be restarted has nothing to say at its end.
        if (instance->kind != KIND_CHILD) {
            world_fail("%s is gone without its za_Stopping", who(i));
        }
    }
    map_deinit(&roll.present);
}

/** Nobody lives under a uid that another one saw end. */
static void check_uid(uint32_t node, uint64_t uid)
{
    for (uint32_t viewer = 0; viewer < world_node_count(); viewer++) {
        uint32_t process = world.running[viewer];
        if (process != 0 &&
            (world_uid_has_ended(process, uid) || still_holds(&world.fired_uids, process, uid))) {
            world_fail("n%u lives under uid %016" PRIx64 ", which n%u saw end", node, uid, viewer);
        }
    }
}

void world_check_end(void)
{
    for (uint32_t i = 0; i < world_node_count(); i++) {
        za_node_t *node = za_sim_node(world.sim, i);
        if (node == NULL) {
            continue;
        }
        check_uid(i, za_node_uid(node));
        check_actors(world.running[i], node);
    }
    for (uint32_t i = 0; i < world_node_count(); i++) {
        if (za_sim_node(world.sim, i) != NULL) {
            check_names(world.running[i], za_sim_node(world.sim, i));
        }
    }
    check_asks();
    check_watches();
    check_children();
    if (!world_probes_complete()) {
        world_fail("%" PRIu64 " of %" PRIu64 " messages between healthy nodes were lost",
                   world.probes_sent - world.probes_arrived, world.probes_sent);
    }
}
