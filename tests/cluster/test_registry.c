#include "base/rng.h"
#include "cluster/registry.h"
#include "fake_view.h"
#include "support/resident.h"
#include "support/seeds.h"
#include "support/za_test.h"

#include <pb_decode.h>
#include <pb_encode.h>

#include "zactor/registry.pb.h"

enum { SELF = 1, FAR = 50, OTHER = 60, SYNC_MS = 1000, SIDES_MAX = 4 };

static za_effects_t effects;

static za_registry_t *registry_new(fake_view_t *fake, uint64_t uid)
{
    fake_init(fake, uid);
    za_registry_t *registry = NULL;
    za_registry_options_t options = { .sync_ms = SYNC_MS, .seed = uid };
    cr_assert(za_registry_create(&fake->view, &options, 0, &registry) == ZA_OK);
    return registry;
}

static const za_effect_t *find_effect(za_effect_type_t type)
{
    for (uint32_t i = 0; i < effects.count; i++) {
        if (effects.items[i].type == type) {
            return &effects.items[i];
        }
    }
    return NULL;
}

static uint32_t pump(za_registry_t *registry, uint64_t now_ms)
{
    za_effects_reset(&effects);
    cr_assert(za_registry_pump(registry, now_ms, &effects) == ZA_STEP_DONE);
    return effects.count;
}

static void take(za_registry_t *registry, const char *name, uint64_t actor, uint64_t now_ms)
{
    za_effects_reset(&effects);
    za_claim_t claim = { .name = name, .kind = ZA_NAME_UNIQUE, .actor = actor };
    za_registry_register(registry, &claim, now_ms, &effects);
}

static void give_back(za_registry_t *registry, const char *name, uint64_t actor, uint64_t now_ms)
{
    za_registry_unregister(registry, ZA_NAME_UNIQUE, name, actor, now_ms);
}

static za_err_t whereis(const za_registry_t *registry, const char *name, za_ref_t *ref)
{
    za_name_answer_t answer;
    za_err_t err = za_registry_whereis(registry, name, 0, &answer);
    if (err == ZA_OK) {
        *ref = answer.ref;
    }
    return err;
}

Test(registry, a_name_is_answered_until_it_is_given_back)
{
    fake_view_t fake;
    za_registry_t *registry = registry_new(&fake, SELF);
    take(registry, "db", 7, 0);
    za_ref_t ref;
    cr_assert(whereis(registry, "db", &ref) == ZA_OK && ref.node == 0 && ref.actor == 7);
    cr_assert(pump(registry, 0) == 1 && find_effect(ZA_EFFECT_NAME_SET) != NULL);
    cr_expect(strcmp(effects.items[0].name, "db") == 0 && effects.items[0].ref.actor == 7);
    give_back(registry, "db", 8, 1);
    cr_expect(pump(registry, 1) == 0, "not the holder");
    give_back(registry, "db", 7, 1);
    cr_assert(pump(registry, 1) == 1 && find_effect(ZA_EFFECT_NAME_CLEARED) != NULL);
    cr_expect(whereis(registry, "db", &ref) == ZA_ENOENT);
    za_registry_destroy(registry);
}

Test(registry, no_effect_when_the_answer_stays)
{
    fake_view_t fake;
    za_registry_t *registry = registry_new(&fake, SELF);
    take(registry, "db", 7, 0);
    give_back(registry, "db", 7, 0);
    cr_expect(pump(registry, 0) == 0, "nobody saw it");
    za_registry_destroy(registry);
}

Test(registry, names_of_an_actor_that_ends_go)
{
    fake_view_t fake;
    za_registry_t *registry = registry_new(&fake, SELF);
    take(registry, "a", 7, 0);
    take(registry, "b", 8, 0);
    take(registry, "c", 7, 0);
    za_registry_actor_stopped(registry, 7, 0);
    za_ref_t ref;
    cr_expect(whereis(registry, "a", &ref) == ZA_ENOENT);
    cr_expect(whereis(registry, "b", &ref) == ZA_OK);
    cr_expect(whereis(registry, "c", &ref) == ZA_ENOENT);
    za_registry_destroy(registry);
}

Test(registry, refuses_a_second_holder_on_this_node)
{
    fake_view_t fake;
    za_registry_t *registry = registry_new(&fake, SELF);
    take(registry, "a", 7, 0);
    take(registry, "a", 7, 0);
    cr_expect(effects.count == 0, "the same again is fine");
    take(registry, "a", 8, 0);
    const za_effect_t *lost = find_effect(ZA_EFFECT_NAME_LOST);
    cr_assert(lost != NULL && lost->actor == 8 && lost->ref.actor == 7);
    za_registry_destroy(registry);
}

Test(registry, refuses_what_is_no_name_or_too_many)
{
    fake_view_t fake;
    za_registry_t *registry = registry_new(&fake, SELF);
    char name[300];
    memset(name, 'x', sizeof name);
    name[256] = '\0';
    take(registry, name, 7, 0);
    cr_expect(find_effect(ZA_EFFECT_LOG) != NULL, "too long");
    take(registry, "", 7, 0);
    cr_expect(find_effect(ZA_EFFECT_LOG) != NULL, "empty");
    for (int i = 0; i < ZA_NAMES_PER_NODE_MAX; i++) {
        snprintf(name, sizeof name, "n%d", i);
        take(registry, name, 7, 0);
        cr_assert(effects.count == 0);
    }
    take(registry, "one more", 7, 0);
    cr_expect(find_effect(ZA_EFFECT_LOG) != NULL, "full");
    za_registry_stats_t stats;
    za_registry_stats(registry, &stats);
    cr_expect(stats.refused == 3);
    za_registry_destroy(registry);
}

// There is no room for another meta: the name is not lost for that.
Test(registry, a_holder_stays_one_when_what_it_says_again_has_no_room)
{
    enum { FEW = 4 };
    fake_view_t fake;
    fake_init(&fake, SELF);
    za_registry_t *registry = NULL;
    za_registry_options_t options = { .limits = { .names_per_node_max = FEW, .entries_max = FEW },
                                      .sync_ms = SYNC_MS,
                                      .seed = SELF };
    cr_assert(za_registry_create(&fake.view, &options, 0, &registry) == ZA_OK);
    take(registry, "a", 7, 0);
    take(registry, "b", 7, 0);
    take(registry, "c", 7, 0);
    take(registry, "d", 7, 0);
    cr_assert(effects.count == 0, "there was room");
    za_effects_reset(&effects);
    za_claim_t claim = { .name = "a", .kind = ZA_NAME_UNIQUE, .actor = 7, .prio = 1 };
    za_registry_register(registry, &claim, 0, &effects);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_LOG, "said in the log");
    cr_expect(strstr(effects.items[0].name, "stays as it was") != NULL, "%s",
              effects.items[0].name);
    za_name_answer_t answer;
    cr_assert(za_registry_whereis(registry, "a", 0, &answer) == ZA_OK && answer.prio == 0, "held");
    za_registry_stats_t stats;
    za_registry_stats(registry, &stats);
    cr_expect(stats.refused == 1, "and counted");
    za_registry_destroy(registry);
}

static void join(za_registry_t *registry, const char *group, uint64_t actor, const char *meta)
{
    za_claim_t claim = { group, ZA_NAME_GROUP,         0,
                         actor, (const uint8_t *)meta, (uint32_t)strlen(meta) };
    za_effects_reset(&effects);
    za_registry_register(registry, &claim, 0, &effects);
    cr_assert(effects.count == 0, "accepted");
}

static uint32_t count_effects(za_effect_type_t type)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < effects.count; i++) {
        count += effects.items[i].type == type;
    }
    return count;
}

Test(registry, a_group_has_many_members_and_each_is_told_once)
{
    fake_view_t fake;
    za_registry_t *registry = registry_new(&fake, SELF);
    join(registry, "workers", 7, "zone=a");
    join(registry, "workers", 8, "");
    join(registry, "workers", 7, "zone=a");
    pump(registry, 0);
    cr_assert(count_effects(ZA_EFFECT_GROUP_ADDED) == 2 && effects.count == 2);
    cr_expect(effects.items[0].ref.actor == 7 && effects.items[0].size == 6);
    cr_expect(memcmp(effects.items[0].bytes, "zone=a", 6) == 0);
    cr_expect(pump(registry, 1) == 0, "the same again is no news");
    za_registry_unregister(registry, ZA_NAME_GROUP, "workers", 7, 1);
    pump(registry, 1);
    cr_assert(effects.count == 1 && count_effects(ZA_EFFECT_GROUP_REMOVED) == 1);
    cr_expect(effects.items[0].ref.actor == 7);
    za_registry_destroy(registry);
}

Test(registry, new_meta_of_a_member_is_told)
{
    fake_view_t fake;
    za_registry_t *registry = registry_new(&fake, SELF);
    join(registry, "workers", 7, "free=2");
    pump(registry, 0);
    join(registry, "workers", 7, "free=1");
    pump(registry, 0);
    cr_assert(effects.count == 1 && count_effects(ZA_EFFECT_GROUP_ADDED) == 1);
    cr_expect(memcmp(effects.items[0].bytes, "free=1", 6) == 0);
    za_registry_destroy(registry);
}

Test(registry, a_group_and_a_name_may_be_called_the_same)
{
    fake_view_t fake;
    za_registry_t *registry = registry_new(&fake, SELF);
    take(registry, "db", 7, 0);
    join(registry, "db", 8, "");
    pump(registry, 0);
    za_ref_t ref;
    cr_expect(whereis(registry, "db", &ref) == ZA_OK && ref.actor == 7);
    za_registry_unregister(registry, ZA_NAME_UNIQUE, "db", 7, 0);
    pump(registry, 0);
    cr_expect(effects.count == 1 && count_effects(ZA_EFFECT_NAME_CLEARED) == 1);
    za_registry_destroy(registry);
}

Test(registry, an_actor_that_ends_leaves_its_names_and_groups_in_one_step)
{
    fake_view_t fake;
    za_registry_t *registry = registry_new(&fake, SELF);
    take(registry, "a", 7, 0);
    join(registry, "g", 7, "");
    join(registry, "h", 7, "");
    join(registry, "h", 8, "");
    pump(registry, 0);
    za_registry_actor_stopped(registry, 7, 0);
    pump(registry, 0);
    cr_expect(count_effects(ZA_EFFECT_NAME_CLEARED) == 1);
    cr_expect(count_effects(ZA_EFFECT_GROUP_REMOVED) == 2 && effects.count == 3);
    za_registry_destroy(registry);
}

/** What a subscriber makes of the effects. */
typedef struct members {
    uint32_t count;
    za_ref_t refs[64];
} members_t;

static void follow(members_t *members)
{
    for (uint32_t i = 0; i < effects.count; i++) {
        const za_effect_t *effect = &effects.items[i];
        uint32_t at = 0;
        while (at < members->count && !za_ref_equal(members->refs[at], effect->ref)) {
            at++;
        }
        if (effect->type == ZA_EFFECT_GROUP_ADDED && at == members->count) {
            members->refs[members->count++] = effect->ref;
        } else if (effect->type == ZA_EFFECT_GROUP_REMOVED) {
            cr_assert(at < members->count, "it was a member");
            members->refs[at] = members->refs[--members->count];
        }
    }
}

/* ---- several registries ----------------------------------------------------------------------- */

typedef struct net {
    za_rng_t rng;
    int count;
    fake_view_t fakes[SIDES_MAX];
    za_registry_t *sides[SIDES_MAX];
    bool linked[SIDES_MAX][SIDES_MAX];
    uint64_t now_ms;
    uint64_t lost; // NAME_LOST effects
    int frames;
    members_t *members; // as side 1 hears of them
} net_t;

static uint64_t uid_of(int side)
{
    return 100 + (uint64_t)side * 10;
}

static void net_init(net_t *net, int count, uint64_t seed)
{
    *net = (net_t){ .count = count };
    za_rng_init(&net->rng, seed);
    for (int i = 0; i < count; i++) {
        net->sides[i] = registry_new(&net->fakes[i], uid_of(i));
        for (int k = 0; k < count; k++) {
            if (k != i) {
                fake_set(&net->fakes[i], uid_of(k), ZA_KNOWN_UP);
                za_registry_member(net->sides[i], uid_of(k), 0);
            }
        }
    }
}

static void net_deinit(net_t *net)
{
    for (int i = 0; i < net->count; i++) {
        za_registry_destroy(net->sides[i]);
    }
}

static void set_link(net_t *net, int a, int b, bool up)
{
    if (net->linked[a][b] == up) {
        return;
    }
    net->linked[a][b] = net->linked[b][a] = up;
    for (int side = 0; side < 2; side++) {
        int here = side == 0 ? a : b;
        int there = side == 0 ? b : a;
        if (up) {
            za_registry_link_up(net->sides[here], uid_of(there));
        } else {
            za_registry_link_down(net->sides[here], uid_of(there));
        }
    }
}

static int side_of(const net_t *net, uint64_t uid)
{
    int side = (int)((uid - 100) / 10);
    cr_assert(side >= 0 && side < net->count && uid_of(side) == uid);
    return side;
}

enum { QUEUE_MAX = 4096 };
typedef struct queued {
    int from, to;
    uint32_t size;
    uint8_t *bytes;
} queued_t;

static queued_t queue[QUEUE_MAX];
static int queue_first, queue_count;

static void collect(net_t *net, int from)
{
    if (net->members != NULL && from == 1) {
        follow(net->members);
    }
    for (uint32_t i = 0; i < effects.count; i++) {
        const za_effect_t *effect = &effects.items[i];
        net->lost += effect->type == ZA_EFFECT_NAME_LOST;
        if (effect->type != ZA_EFFECT_SEND_FRAME) {
            continue;
        }
        int to = side_of(net, effect->uid);
        cr_assert(queue_count < QUEUE_MAX, "the model has room");
        queued_t *item = &queue[(queue_first + queue_count++) % QUEUE_MAX];
        *item = (queued_t){ from, to, effect->size, malloc(effect->size) };
        memcpy(item->bytes, effect->bytes, effect->size);
    }
    za_effects_reset(&effects);
}

/** Lets everything run for `ms`; frames need no time. */
static void net_run(net_t *net, uint64_t ms)
{
    for (uint64_t end = net->now_ms + ms; net->now_ms < end; net->now_ms += 5) {
        for (int i = 0; i < net->count; i++) {
            za_step_t step = ZA_STEP_MORE;
            while (step == ZA_STEP_MORE) {
                za_effects_reset(&effects);
                step = za_registry_pump(net->sides[i], net->now_ms, &effects);
                collect(net, i);
            }
        }
        while (queue_count > 0) {
            queued_t item = queue[queue_first];
            queue_first = (queue_first + 1) % QUEUE_MAX;
            queue_count--;
            if (net->linked[item.from][item.to]) {
                cr_assert(item.bytes[0] == ZA_REGISTRY_TAG);
                cr_assert(za_registry_frame(net->sides[item.to], uid_of(item.from), item.bytes + 1,
                                            item.size - 1, net->now_ms, &effects));
                collect(net, item.to);
                net->frames++;
            }
            free(item.bytes);
        }
    }
}

static bool equal(const net_t *net)
{
    for (int i = 1; i < net->count; i++) {
        if (za_registry_hash(net->sides[i]) != za_registry_hash(net->sides[0])) {
            return false;
        }
    }
    return true;
}

static void check_divergence(const net_t *net)
{
    for (int i = 0; i < net->count; i++) {
        za_registry_stats_t stats;
        za_registry_stats(net->sides[i], &stats);
        cr_assert(stats.divergence == 0, "side %d diverged", i);
    }
}

Test(registry, a_change_is_pushed_to_linked_members_at_once)
{
    net_t net;
    net_init(&net, 2, 1);
    set_link(&net, 0, 1, true);
    net_run(&net, 10);
    take(net.sides[0], "db", 7, net.now_ms);
    net_run(&net, 15);
    za_ref_t ref = { 0 };
    cr_assert(whereis(net.sides[1], "db", &ref) == ZA_OK);
    cr_expect(ref.node == uid_of(0) && ref.actor == 7);
    net_deinit(&net);
}

Test(registry, a_large_map_travels_in_parts_and_arrives_whole)
{
    net_t net;
    net_init(&net, 2, 1);
    for (int i = 0; i < 3000; i++) {
        char name[32];
        snprintf(name, sizeof name, "name-%d", i);
        take(net.sides[0], name, 7 + (uint64_t)i, 0);
    }
    set_link(&net, 0, 1, true);
    net_run(&net, 50);
    cr_assert(equal(&net));
    uint64_t applied, hash;
    cr_assert(za_registry_version(net.sides[1], uid_of(0), &applied, &hash) && applied == 3000);
    check_divergence(&net);
    net_deinit(&net);
}

Test(registry, who_missed_forgotten_removals_gets_a_snapshot)
{
    net_t net;
    net_init(&net, 2, 1);
    set_link(&net, 0, 1, true);
    take(net.sides[0], "stays", 7, 0);
    take(net.sides[0], "goes", 7, 0);
    net_run(&net, 50);
    set_link(&net, 0, 1, false);
    give_back(net.sides[0], "goes", 7, net.now_ms);
    for (int i = 0; i < ZA_REGISTRY_REMOVALS_MAX + 5; i++) {
        take(net.sides[0], "churn", 9, net.now_ms);
        give_back(net.sides[0], "churn", 9, net.now_ms);
    }
    set_link(&net, 0, 1, true);
    net_run(&net, 50);
    za_ref_t ref;
    cr_assert(equal(&net));
    cr_expect(whereis(net.sides[1], "goes", &ref) == ZA_ENOENT);
    cr_expect(whereis(net.sides[1], "stays", &ref) == ZA_OK);
    check_divergence(&net);
    net_deinit(&net);
}

Test(registry, any_node_serves_what_it_holds)
{
    net_t net;
    net_init(&net, 3, 1);
    set_link(&net, 0, 1, true);
    set_link(&net, 1, 2, true); // 0 and 2 never meet
    take(net.sides[0], "db", 7, 0);
    net_run(&net, 3000);
    za_ref_t ref;
    cr_assert(whereis(net.sides[2], "db", &ref) == ZA_OK && ref.node == uid_of(0));
    cr_expect(equal(&net));
    net_deinit(&net);
}

Test(registry, a_conflict_is_settled_by_the_losers_owner)
{
    net_t net;
    net_init(&net, 2, 1);
    net.now_ms = 100;
    take(net.sides[1], "db", 9, 100);
    take(net.sides[0], "db", 7, 200); // later: it loses
    set_link(&net, 0, 1, true);
    net_run(&net, 500);
    za_ref_t ref;
    cr_assert(whereis(net.sides[0], "db", &ref) == ZA_OK && ref.actor == 9);
    cr_assert(whereis(net.sides[1], "db", &ref) == ZA_OK && ref.actor == 9);
    cr_expect(net.lost == 0, "not before it has settled");
    net_run(&net, 1500);
    cr_expect(net.lost == 1);
    cr_expect(equal(&net));
    net_deinit(&net);
}

Test(registry, a_terminal_owner_is_forgotten_at_once_and_stays_so)
{
    net_t net;
    net_init(&net, 3, 1);
    set_link(&net, 0, 1, true);
    set_link(&net, 1, 2, true);
    take(net.sides[0], "db", 7, 0);
    net_run(&net, 3000);
    fake_set(&net.fakes[1], uid_of(0), ZA_KNOWN_DOWN);
    za_registry_gone(net.sides[1], uid_of(0));
    za_ref_t ref;
    cr_assert(whereis(net.sides[1], "db", &ref) == ZA_ENOENT);
    set_link(&net, 0, 1, false);
    net_run(&net, 3000); // side 2 still has it, and must not bring it back
    cr_expect(whereis(net.sides[1], "db", &ref) == ZA_ENOENT);
    net_deinit(&net);
}

Test(registry, an_unknown_owner_waits_for_membership)
{
    net_t net;
    net_init(&net, 3, 1);
    fake_set(&net.fakes[2], uid_of(0), ZA_KNOWN_NOT); // side 2 does not know side 0 yet
    set_link(&net, 0, 1, true);
    set_link(&net, 1, 2, true);
    take(net.sides[0], "db", 7, 0);
    net_run(&net, 2500);
    za_ref_t ref;
    cr_assert(whereis(net.sides[2], "db", &ref) == ZA_ENOENT);
    fake_set(&net.fakes[2], uid_of(0), ZA_KNOWN_UP);
    za_registry_member(net.sides[2], uid_of(0), net.now_ms);
    net_run(&net, 50);
    cr_expect(whereis(net.sides[2], "db", &ref) == ZA_OK, "asked for at once");
    net_deinit(&net);
}

Test(registry, names_survive_a_rebirth_under_the_new_uid)
{
    fake_view_t fake;
    za_registry_t *registry = registry_new(&fake, SELF);
    take(registry, "a", 7, 0);
    take(registry, "b", 8, 0);
    give_back(registry, "b", 8, 0);
    take(registry, "c", 9, 0);
    pump(registry, 0);
    fake.self = 999;
    za_registry_reborn(registry, 10);
    uint64_t applied, hash;
    cr_expect(!za_registry_version(registry, SELF, &applied, &hash));
    cr_assert(za_registry_version(registry, 999, &applied, &hash) && applied == 2);
    za_ref_t ref;
    cr_assert(whereis(registry, "c", &ref) == ZA_OK && ref.node == 0);
    cr_expect(pump(registry, 10) == 0, "the answers have not changed");
    za_registry_actor_stopped(registry, 9, 10);
    cr_expect(whereis(registry, "c", &ref) == ZA_ENOENT);
    za_registry_destroy(registry);
}

Test(registry, bad_frames_are_refused)
{
    fake_view_t fake;
    za_registry_t *registry = registry_new(&fake, SELF);
    const uint8_t garbage[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 };
    cr_expect(!za_registry_frame(registry, FAR, garbage, sizeof garbage, 0, &effects));
    cr_expect(!za_registry_frame(registry, FAR, garbage, 0, 0, &effects), "empty");
    za_registry_destroy(registry);
}

/** A registry with a link to FAR, which has been greeted. */
static za_registry_t *linked_new(fake_view_t *fake)
{
    za_registry_t *registry = registry_new(fake, SELF);
    fake_set(fake, FAR, ZA_KNOWN_UP);
    za_registry_link_up(registry, FAR);
    cr_assert(pump(registry, 0) == 1, "the root");
    return registry;
}

static uint32_t pulls_of(za_registry_t *registry, uint64_t now_ms)
{
    static za_RegistryFrame frame;
    uint32_t pulls = 0;
    pump(registry, now_ms);
    for (uint32_t i = 0; i < effects.count; i++) {
        if (effects.items[i].type == ZA_EFFECT_SEND_FRAME) {
            pb_istream_t stream =
                pb_istream_from_buffer(effects.items[i].bytes + 1, effects.items[i].size - 1);
            cr_assert(pb_decode(&stream, za_RegistryFrame_fields, &frame));
            pulls += frame.which_body == za_RegistryFrame_pull_tag;
        }
    }
    return pulls;
}

static void data_in(za_registry_t *registry, uint64_t from, uint64_t to, uint64_t hash,
                    uint64_t now_ms)
{
    static za_RegistryFrame frame;
    static uint8_t bytes[1024];
    frame.which_body = za_RegistryFrame_data_tag;
    za_RegData *data = &frame.body.data;
    *data = (za_RegData){ .owner = FAR, .from = from, .to = to, .hash = hash, .last = true };
    data->entries_count = 1;
    data->entries[0].seq = to;
    data->entries[0].actor = 5;
    memcpy(data->entries[0].name, "db", 3);
    pb_ostream_t stream = pb_ostream_from_buffer(bytes, sizeof bytes);
    cr_assert(pb_encode(&stream, za_RegistryFrame_fields, &frame));
    za_effects_reset(&effects);
    cr_assert(za_registry_frame(registry, FAR, bytes, stream.bytes_written, now_ms, &effects));
}

// A map whose hash is not what its owner says is not kept, whoever is wrong.
Test(registry, a_wrong_hash_drops_the_map_and_asks_again)
{
    fake_view_t fake;
    za_registry_t *registry = linked_new(&fake);
    data_in(registry, 0, 1, 12345, 0);
    za_ref_t ref;
    cr_expect(whereis(registry, "db", &ref) == ZA_ENOENT);
    cr_expect(pulls_of(registry, 0) == 1);
    cr_expect(find_effect(ZA_EFFECT_NAME_SET) == NULL, "and nobody saw the name");
    za_registry_stats_t stats;
    za_registry_stats(registry, &stats);
    cr_expect(stats.divergence == 1);
    za_registry_destroy(registry);
}

Test(registry, a_gap_is_never_applied)
{
    fake_view_t fake;
    za_registry_t *registry = linked_new(&fake);
    data_in(registry, 6, 7, 0, 0);
    uint64_t applied, hash;
    cr_assert(za_registry_version(registry, FAR, &applied, &hash) && applied == 0);
    cr_expect(pulls_of(registry, 0) == 1);
    data_in(registry, 6, 7, 0, 1);
    cr_expect(pulls_of(registry, 1) == 0, "one pull at a time");
    za_registry_destroy(registry);
}

typedef struct names {
    char last[16];
    int count;
} names_t;

static bool visit_name(const char *name, za_ref_t ref, void *context)
{
    names_t *names = context;
    cr_assert(strcmp(names->last, name) < 0, "sorted");
    cr_assert(ref.actor != 0);
    snprintf(names->last, sizeof names->last, "%s", name);
    names->count++;
    return true;
}

Test(registry, lists_names_sorted)
{
    fake_view_t fake;
    za_registry_t *registry = registry_new(&fake, SELF);
    take(registry, "pear", 1, 0);
    take(registry, "apple", 2, 0);
    take(registry, "fig", 3, 0);
    names_t names = { .count = 0 };
    za_registry_each_name(registry, visit_name, &names);
    cr_expect(names.count == 3);
    za_registry_destroy(registry);
}

static bool count_member(const char *group, za_ref_t ref, const uint8_t *meta, uint32_t meta_bytes,
                         void *context)
{
    (void)meta;
    (void)meta_bytes;
    const members_t *members = context;
    bool found = false;
    for (uint32_t i = 0; i < members->count; i++) {
        found = found || za_ref_equal(members->refs[i], ref);
    }
    cr_assert(strcmp(group, "g") == 0 && found, "who is a member was told");
    return true;
}

// R7: the effects of adding and removing add up to the present set, also of an owner that goes.
Test(registry, the_news_of_a_group_add_up_to_its_members)
{
    net_t net;
    net_init(&net, 2, 1);
    set_link(&net, 0, 1, true);
    members_t seen = { 0 };
    for (uint64_t round = 0; round < 200; round++) {
        uint64_t actor = 1 + za_rng_below(&net.rng, 20);
        if (za_rng_below(&net.rng, 3) > 0) {
            join(net.sides[0], "g", actor, "");
        } else {
            za_registry_unregister(net.sides[0], ZA_NAME_GROUP, "g", actor, net.now_ms);
        }
        net.members = &seen;
        net_run(&net, 10);
    }
    cr_assert(seen.count > 3);
    za_registry_each_member(net.sides[1], "g", count_member, &seen);
    fake_set(&net.fakes[1], uid_of(0), ZA_KNOWN_DOWN);
    za_registry_gone(net.sides[1], uid_of(0));
    pump(net.sides[1], net.now_ms);
    follow(&seen);
    cr_expect(seen.count == 0, "one effect each");
    net_deinit(&net);
}

// Random changes and links; afterwards all hold the same, and what was never removed is there.
static void run_random(uint64_t seed)
{
    net_t net;
    net_init(&net, 4, seed);
    for (int i = 0; i < 400; i++) {
        uint64_t side = za_rng_below(&net.rng, 4);
        uint64_t other = za_rng_below(&net.rng, 4);
        uint64_t what = za_rng_below(&net.rng, 10);
        uint64_t which = za_rng_below(&net.rng, 40);
        char name[16];
        snprintf(name, sizeof name, "n%d", (int)which);
        if (what < 4) {
            take(net.sides[side], name, 100 + which, net.now_ms);
        } else if (what < 7) {
            give_back(net.sides[side], name, 100 + which, net.now_ms);
        } else if (what < 8) {
            za_registry_actor_stopped(net.sides[side], 100 + which, net.now_ms);
        } else if (side != other) {
            set_link(&net, (int)side, (int)other, !net.linked[side][other]);
        }
        uint64_t pause = za_rng_below(&net.rng, 6);
        net_run(&net, pause * 5);
    }
    for (int a = 0; a < 4; a++) {
        for (int b = a + 1; b < 4; b++) {
            set_link(&net, a, b, true);
        }
    }
    net_run(&net, 6000);
    cr_assert(equal(&net), "seed %" PRIu64, seed);
    check_divergence(&net);
    net_deinit(&net);
}

Test(registry, converges_after_any_changes, .timeout = 120)
{
    za_seeds_t seeds = za_seeds(100);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        run_random(seed);
    }
}

static za_registry_t *fill_new(fake_view_t *fake, uint64_t uid, int first, int names)
{
    za_registry_t *registry = registry_new(fake, uid);
    for (int i = first; i < first + names; i++) {
        char name[32];
        snprintf(name, sizeof name, "service-%d-%d", i / 1000, i % 1000);
        take(registry, name, 1 + (uint64_t)i, 0);
        cr_assert(effects.count == 0);
    }
    return registry;
}

/** Lets one send all it has to the other. */
static void copy_all(za_registry_t *from, uint64_t from_uid, za_registry_t *to, uint64_t to_uid)
{
    static za_effects_t one;
    za_registry_link_up(from, to_uid);
    za_registry_link_up(to, from_uid);
    for (uint64_t now_ms = 1; now_ms < 3000; now_ms++) {
        za_registry_t *sides[2] = { from, to };
        uint64_t uids[2] = { from_uid, to_uid };
        for (int side = 0; side < 2; side++) {
            za_step_t more = ZA_STEP_MORE;
            while (more == ZA_STEP_MORE) {
                za_effects_reset(&effects);
                more = za_registry_pump(sides[side], now_ms, &effects);
                for (uint32_t i = 0; i < effects.count; i++) {
                    const za_effect_t *effect = &effects.items[i];
                    za_effects_reset(&one);
                    if (effect->type == ZA_EFFECT_SEND_FRAME) {
                        cr_assert(za_registry_frame(sides[1 - side], uids[side], effect->bytes + 1,
                                                    effect->size - 1, now_ms, &one));
                    }
                }
            }
        }
    }
    cr_assert(za_registry_hash(from) == za_registry_hash(to));
}

// Two nodes of 50,000 names each; what the second takes to hold all of them. The figure is printed.
Test(registry, a_hundred_thousand_names_take_less_than_30_MiB, .timeout = 120)
{
    if (ZA_SANITIZED) {
        return; // its shadow counts, too
    }
    enum { NAMES = 50000 };
    fake_view_t fakes[2];
    za_registry_t *far = fill_new(&fakes[0], FAR, 0, NAMES);
    uint64_t least = resident_bytes();
    za_registry_t *near = fill_new(&fakes[1], SELF, NAMES, NAMES);
    fake_set(&fakes[0], SELF, ZA_KNOWN_UP);
    fake_set(&fakes[1], FAR, ZA_KNOWN_UP);
    uint64_t half = resident_bytes();
    copy_all(far, FAR, near, SELF);
    uint64_t both = resident_bytes(); // `far` has learnt as much as `near`
    za_registry_stats_t stats;
    za_registry_stats(near, &stats);
    cr_assert(stats.names == 2 * NAMES);
    uint64_t own = half - least;
    uint64_t learnt = (both - half) / 2;
    printf("100,000 names: %.1f MiB, %.0f bytes each (own %.0f, learnt %.0f)\n",
           (double)(own + learnt) / 1048576, (double)(own + learnt) / (2 * NAMES),
           (double)own / NAMES, (double)learnt / NAMES);
    cr_expect(own + learnt <= UINT64_C(30) << 20);
    za_registry_destroy(far);
    za_registry_destroy(near);
}
