// What reaches a node's UDP port: garbage, and datagrams of a member that were sealed with the real
// key and then changed, cut, repeated or sent to another. The input says which, in what order. What
// opens goes on to membership, as its text is the fuzzer's as well.
#include <string.h>

#include "base/assert.h"
#include "cluster/membership.h"
#include "net/datagram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMBER = 1, NODE = 2, OTHER = 3, STEPS_MAX = 64 };

typedef struct input {
    const uint8_t *bytes;
    size_t size;
} input_t;

typedef struct world {
    za_datagrams_t *member, *node;
    za_membership_t *membership;
    uint64_t now_ms;
    uint64_t opened;
    uint8_t last[ZA_DATAGRAM_SEALED_BYTES_MAX + 1]; // the one that may be repeated
    size_t last_size;
} world_t;

static uint8_t next(input_t *input)
{
    if (input->size == 0) {
        return 0;
    }
    input->size--;
    return *input->bytes++;
}

static size_t take(input_t *input, size_t size, uint8_t *out)
{
    size = size < input->size ? size : input->size;
    memcpy(out, input->bytes, size);
    input->bytes += size;
    input->size -= size;
    return size;
}

static void parse(world_t *w, const uint8_t *plain, size_t size)
{
    static za_effects_t effects;
    za_cluster_event_t event = { .type = ZA_CLUSTER_DATAGRAM,
                                 .now_ms = w->now_ms,
                                 .uid = MEMBER,
                                 .bytes = plain,
                                 .size = (uint32_t)size };
    za_step_t step = ZA_STEP_MORE;
    while (step == ZA_STEP_MORE) {
        za_effects_reset(&effects);
        step = za_membership_step(w->membership, &event, &effects);
        event = (za_cluster_event_t){ .type = ZA_CLUSTER_CONTINUE, .now_ms = w->now_ms };
    }
}

static za_datagram_verdict_t arrive(world_t *w, const uint8_t *bytes, size_t size)
{
    uint8_t plain[ZA_DATAGRAM_BYTES_MAX];
    size_t plain_size = 0;
    uint64_t uid = 0;
    za_datagram_verdict_t verdict =
        za_datagrams_open(w->node, w->now_ms, 1, bytes, size, plain, &plain_size, &uid);
    if (verdict == ZA_DATAGRAM_OPENED) {
        ZA_ASSERT(uid == MEMBER && plain_size <= sizeof plain);
        w->opened++;
        parse(w, plain, plain_size);
    }
    return verdict;
}

static void seal(world_t *w, uint64_t to, input_t *input, size_t size)
{
    uint8_t plain[ZA_DATAGRAM_BYTES_MAX];
    size = take(input, size, plain);
    ZA_ASSERT(za_datagrams_seal(w->member, to, plain, size, w->last, &w->last_size) == ZA_OK);
}

static void tamper(world_t *w, input_t *input)
{
    uint8_t changed[sizeof w->last];
    size_t at = (size_t)next(input) << 8;
    at = (at | next(input)) % w->last_size;
    uint8_t bits = next(input);
    memcpy(changed, w->last, w->last_size);
    changed[at] ^= bits != 0 ? bits : 1;
    ZA_ASSERT(arrive(w, changed, w->last_size) != ZA_DATAGRAM_OPENED);
}

static void exchange_keys(world_t *w, uint8_t epoch)
{
    za_epoch_key_t ring[2] = { { .epoch = epoch + 1u }, { .epoch = epoch } };
    memset(ring[0].secret, epoch + 1, sizeof ring[0].secret);
    memset(ring[1].secret, epoch, sizeof ring[1].secret);
    ZA_ASSERT(za_datagrams_set_keys(w->member, ring, 2, epoch & 1) == ZA_OK);
    ZA_ASSERT(za_datagrams_set_keys(w->node, ring, 2, 0) == ZA_OK);
}

static void act(world_t *w, input_t *input)
{
    uint8_t raw[sizeof w->last];
    uint8_t how = next(input);
    size_t size = (size_t)next(input) * (how & 0x80 ? 6 : 1);
    switch (how & 7) {
    case 0: // garbage
        size = take(input, size, raw);
        ZA_ASSERT(arrive(w, raw, size) != ZA_DATAGRAM_OPENED);
        break;
    case 1: // genuine, and once more
        seal(w, NODE, input, size);
        ZA_ASSERT(arrive(w, w->last, w->last_size) == ZA_DATAGRAM_OPENED);
        ZA_ASSERT(arrive(w, w->last, w->last_size) == ZA_DATAGRAM_REPLAYED);
        break;
    case 2: // changed on its way
        seal(w, NODE, input, size);
        tamper(w, input);
        break;
    case 3: // cut
        seal(w, NODE, input, size);
        ZA_ASSERT(arrive(w, w->last, w->last_size - 1 - next(input) % w->last_size) !=
                  ZA_DATAGRAM_OPENED);
        break;
    case 4: // for another
        seal(w, OTHER, input, size);
        ZA_ASSERT(arrive(w, w->last, w->last_size) != ZA_DATAGRAM_OPENED);
        break;
    case 5:
        exchange_keys(w, (uint8_t)size);
        break;
    case 6:
        w->now_ms += size;
        break;
    default:
        za_datagrams_remove(w->node, MEMBER);
        seal(w, NODE, input, size);
        ZA_ASSERT(arrive(w, w->last, w->last_size) != ZA_DATAGRAM_OPENED);
        ZA_ASSERT(za_datagrams_add(w->node, MEMBER) == ZA_OK);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input_t input = { data, size };
    world_t w = { .now_ms = 1000 };
    za_datagrams_config_t config = { .cluster = "prod", .uid = MEMBER, .senders_max = 4 };
    za_cluster_config_t cluster = { .cluster = "prod",
                                    .name = "n",
                                    .address = "n:1",
                                    .random_seed = 1,
                                    .timing = za_cluster_timing_lan,
                                    .datagrams = true };
    ZA_ASSERT(za_membership_create(&cluster, w.now_ms, &w.membership) == ZA_OK);
    ZA_ASSERT(za_datagrams_create(&config, &w.member) == ZA_OK);
    config.uid = NODE;
    ZA_ASSERT(za_datagrams_create(&config, &w.node) == ZA_OK);
    ZA_ASSERT(za_datagrams_add(w.node, MEMBER) == ZA_OK);
    exchange_keys(&w, 1);
    for (int i = 0; i < STEPS_MAX && input.size > 0; i++) {
        act(&w, &input);
    }
    za_datagram_counters_t counters;
    za_datagrams_counters(w.node, &counters);
    ZA_ASSERT(counters.verdicts[ZA_DATAGRAM_OPENED] == w.opened);
    za_datagrams_destroy(w.member);
    za_datagrams_destroy(w.node);
    za_membership_destroy(w.membership);
    return 0;
}
