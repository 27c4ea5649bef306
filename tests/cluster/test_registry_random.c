// Random work under random faults, and what must hold after every step (R1 to R8 of docs/cluster.md).
#include "registry_net.h"

#include "cluster/registry_internal.h"
#include "support/seeds.h"

enum { NODES = 6, NAMES = 12, GROUPS = 3, ACTORS = 10, SEQ_MAX = 4096, KEYS = NODES * ACTORS + 1 };

typedef struct model {
    uint64_t seed;
    uint64_t canonical[NODES][SEQ_MAX]; // hash of a map by owner and applied; 0: not seen yet
    uint64_t last[NODES][NODES];        // applied, by node and owner
    bool ever[NODES][NAMES + GROUPS][ACTORS + 1];
    bool held[NODES][NAMES + GROUPS][ACTORS + 1]; // registered, and neither removed nor lost
    uint32_t answers[NODES][NAMES];               // key of the reference, by the effects
    bool members[NODES][GROUPS][KEYS];
    uint32_t lost, steps;
} model_t;

/** References as small numbers: 0 is none. */
static uint32_t key_of(const rn_t *net, uint32_t node, za_ref_t ref)
{
    uint32_t owner = ref.node == 0 ? node : rn_index(net, ref.node);
    cr_assert(owner < NODES && ref.actor >= 1 && ref.actor <= ACTORS, "R4: a known reference");
    return owner * ACTORS + (uint32_t)ref.actor;
}

static uint32_t thing_of(const char *name)
{
    uint32_t thing = (uint32_t)atoi(name + 1) + (name[0] == 'g' ? NAMES : 0);
    cr_assert(thing < NAMES + GROUPS, "R4: a known name");
    return thing;
}

static void check_ever(const model_t *model, uint32_t key, uint32_t thing)
{
    cr_assert(model->ever[(key - 1) / ACTORS][thing][(key - 1) % ACTORS + 1],
              "seed %" PRIu64 ": R4: its owner never registered it", model->seed);
}

static void on_effect(rn_t *net, uint32_t node, const za_effect_t *effect)
{
    model_t *model = net->context;
    if (effect->type == ZA_EFFECT_NAME_LOST) {
        bool *held = &model->held[node][thing_of(effect->name)][effect->actor];
        bool expected = *held || effect->err == ZA_EEXIST; // refused: it was never held
        cr_assert(expected, "seed %" PRIu64 ": R6: lost once", model->seed);
        model->lost++;
        *held = false;
        return;
    }
    bool group = effect->type == ZA_EFFECT_GROUP_ADDED || effect->type == ZA_EFFECT_GROUP_REMOVED;
    bool name = effect->type == ZA_EFFECT_NAME_SET || effect->type == ZA_EFFECT_NAME_CLEARED;
    if (!group && !name) {
        return;
    }
    uint32_t thing = thing_of(effect->name);
    bool cleared = effect->type == ZA_EFFECT_NAME_CLEARED;
    uint32_t key = cleared ? 0 : key_of(net, node, effect->ref);
    if (name) {
        cr_assert(model->answers[node][thing] != key, "seed %" PRIu64 ": R7: no news", model->seed);
        model->answers[node][thing] = key;
    } else {
        bool *member = &model->members[node][thing - NAMES][key];
        bool added = effect->type == ZA_EFFECT_GROUP_ADDED;
        cr_assert(*member != added, "seed %" PRIu64 ": R7: no news", model->seed);
        *member = added;
    }
    if (key != 0) {
        check_ever(model, key, thing);
    }
}

static void on_step(rn_t *net, uint32_t node)
{
    model_t *model = net->context;
    const za_registry_t *registry = net->nodes[node].registry;
    if (++model->steps % 8 == 0) { // it walks everything
        cr_assert(za_reg_sound(registry), "seed %" PRIu64 ": lists and hashes fit", model->seed);
    }
    for (uint32_t owner = 0; owner < NODES; owner++) {
        uint64_t applied = 0;
        uint64_t hash = 0;
        if (!za_registry_version(registry, rn_uid(owner), &applied, &hash) || applied == 0) {
            continue;
        }
        cr_assert(applied < SEQ_MAX, "the model has room");
        cr_assert(applied >= model->last[node][owner], "seed %" PRIu64 ": R2", model->seed);
        model->last[node][owner] = applied;
        uint64_t *canonical = &model->canonical[owner][applied];
        cr_assert(*canonical == 0 || *canonical == (hash | 1), "seed %" PRIu64 ": R1", model->seed);
        *canonical = hash | 1;
    }
}

static bool check_answer(const char *name, za_ref_t ref, void *context)
{
    const rn_node_t *node = context;
    model_t *model = node->net->context;
    uint32_t key = key_of(node->net, node->index, ref);
    cr_assert(model->answers[node->index][thing_of(name)] == key, "seed %" PRIu64 ": R7",
              model->seed);
    cr_assert(model->held[(key - 1) / ACTORS][thing_of(name)][(key - 1) % ACTORS + 1],
              "seed %" PRIu64 ": R4: it was removed", model->seed);
    model->answers[node->index][thing_of(name)] = 0; // seen
    return true;
}

static bool check_member(const char *group, za_ref_t ref, const uint8_t *meta, uint32_t meta_bytes,
                         void *context)
{
    const rn_node_t *node = context;
    model_t *model = node->net->context;
    (void)meta;
    (void)meta_bytes;
    uint32_t key = key_of(node->net, node->index, ref);
    uint32_t thing = thing_of(group);
    cr_assert(model->members[node->index][thing - NAMES][key], "seed %" PRIu64 ": R7", model->seed);
    cr_assert(model->held[(key - 1) / ACTORS][thing][(key - 1) % ACTORS + 1],
              "seed %" PRIu64 ": R4: it was removed", model->seed);
    model->members[node->index][thing - NAMES][key] = false;
    return true;
}

static void check_end(rn_t *net)
{
    model_t *model = net->context;
    cr_assert(rn_equal(net) == NODES, "seed %" PRIu64 ": R5: %u of %u", model->seed, rn_equal(net),
              (unsigned)NODES);
    for (uint32_t thing = 0; thing < NAMES; thing++) {
        uint32_t holders = 0;
        for (uint32_t owner = 0; owner < NODES; owner++) {
            for (uint32_t actor = 1; actor <= ACTORS; actor++) {
                holders += model->held[owner][thing][actor];
            }
        }
        cr_assert(holders <= 1, "seed %" PRIu64 ": R6: %u holders", model->seed, holders);
        cr_assert((model->answers[0][thing] != 0) == (holders == 1), "seed %" PRIu64 ": R5",
                  model->seed);
    }
    for (uint32_t node = 0; node < NODES; node++) {
        za_registry_each_name(net->nodes[node].registry, check_answer, &net->nodes[node]);
        za_registry_each_member(net->nodes[node].registry, NULL, check_member, &net->nodes[node]);
        for (uint32_t thing = 0; thing < NAMES; thing++) {
            cr_assert(model->answers[node][thing] == 0, "seed %" PRIu64 ": R7: listed",
                      model->seed);
        }
        for (uint32_t key = 0; key < GROUPS * KEYS; key++) {
            cr_assert(!model->members[node][key / KEYS][key % KEYS], "seed %" PRIu64 ": R7: listed",
                      model->seed);
        }
    }
}

static void work(rn_t *net)
{
    model_t *model = net->context;
    uint32_t node = (uint32_t)za_rng_below(&net->rng, NODES);
    uint64_t what = za_rng_below(&net->rng, 10);
    uint32_t thing = (uint32_t)za_rng_below(&net->rng, NAMES + GROUPS);
    uint64_t actor = 1 + za_rng_below(&net->rng, ACTORS);
    char name[16];
    snprintf(name, sizeof name, "%c%u", thing < NAMES ? 'n' : 'g',
             thing < NAMES ? thing : thing - NAMES);
    za_name_kind_t kind = thing < NAMES ? ZA_NAME_UNIQUE : ZA_NAME_GROUP;
    bool *held = &model->held[node][thing][actor];
    if (what < 5) {
        bool taken = false;
        for (uint64_t other = 1; other <= ACTORS; other++) {
            taken = taken || (other != actor && model->held[node][thing][other]);
        }
        model->ever[node][thing][actor] = true;
        *held = *held || kind == ZA_NAME_GROUP || !taken;
        uint32_t prio = (uint32_t)za_rng_below(&net->rng, 8) == 0;
        prio = kind == ZA_NAME_UNIQUE ? prio : 0;
        rn_register(net, node,
                    (za_claim_t){ .name = name, .kind = kind, .actor = actor, .prio = prio });
    } else if (what < 8) {
        *held = false;
        za_registry_unregister(net->nodes[node].registry, kind, name, actor, net->now_ms);
        rn_pump(net, node);
    } else {
        for (uint32_t i = 0; i < NAMES + GROUPS; i++) {
            model->held[node][i][actor] = false;
        }
        za_registry_actor_stopped(net->nodes[node].registry, actor, net->now_ms);
        rn_pump(net, node);
    }
}

static void disturb(rn_t *net)
{
    uint32_t a = (uint32_t)za_rng_below(&net->rng, NODES);
    uint32_t b = (uint32_t)za_rng_below(&net->rng, NODES);
    if (a == b) {
        return;
    }
    if (za_rng_below(&net->rng, 3) > 0) {
        rn_link(net, a, b, !net->nodes[a].linked[b]);
    } else {
        bool unreachable = !net->nodes[a].unreachable[b];
        rn_set_unreachable(net, a, b, unreachable);
    }
}

static void run_random(uint64_t seed)
{
    static model_t model;
    memset(&model, 0, sizeof model);
    model.seed = seed;
    rn_t *net = rn_create(NODES, seed);
    net->effect = on_effect;
    net->stepped = on_step;
    net->context = &model;
    net->push_loss_percent = (uint32_t)za_rng_below(&net->rng, 3) * 20;
    for (int i = 0; i < 400; i++) {
        if (za_rng_below(&net->rng, 4) > 0) {
            work(net);
        } else {
            disturb(net);
        }
        uint64_t pause = za_rng_below(&net->rng, 8);
        rn_run(net, pause == 7 ? 1500 : pause * 4);
    }
    for (uint32_t a = 0; a < NODES; a++) {
        for (uint32_t b = 0; b < NODES; b++) {
            if (a != b) {
                rn_set_unreachable(net, a, b, false);
            }
        }
    }
    rn_mesh(net);
    rn_run(net, 6000);
    check_end(net);
    rn_destroy(net);
}

Test(registry_random, keeps_its_promises_under_random_work_and_faults, .timeout = 200)
{
    za_seeds_t seeds = za_seeds(60);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        run_random(seed);
    }
}
