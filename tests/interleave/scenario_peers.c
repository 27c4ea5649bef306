/** node/peer_index.c: senders find peers beside the one writer, in slots that are used again and in a larger table. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "node/peer_index.c" // its slots are its own
#include "scenarios.h"

struct za_peer {
    uint64_t uid; // written before the index is
};

enum { STAYS, GOES, COMES, MORE, PEERS };

/** In memory that the checker puts back: threads change it. */
static struct town {
    za_peer_index_t index;
    struct za_peer peers[PEERS];
} * town;
static uint64_t uids[PEERS];

static uint64_t home_of(uint64_t uid)
{
    return za_mix64(uid) % 4;
}

/** The first uid from `from` on whose first slot is that of `like`. */
static uint64_t uid_like(uint64_t like, uint64_t from)
{
    while (home_of(from) != home_of(like)) {
        from++;
    }
    return from;
}

static void put_peer(int which)
{
    town->peers[which].uid = uids[which];
    ZC_MUST(za_peer_index_put(&town->index, uids[which], &town->peers[which]) == ZA_OK, "memory");
}

static void setup_peers(void)
{
    town = aligned_alloc(_Alignof(za_peer_table_t), sizeof *town);
    ZC_MUST(town != NULL, "memory");
    memset(town, 0, sizeof *town);
    uids[GOES] = 1;
    uids[STAYS] = uid_like(1, 2); // behind the one that goes
    uids[COMES] = uid_like(1, uids[STAYS] + 1);
    uids[MORE] = uid_like(1, uids[COMES] + 1);
    ZC_MUST(za_peer_index_init(&town->index, 4) == ZA_OK, "memory");
    put_peer(GOES);
    put_peer(STAYS);
}

static void write_peers(void)
{
    za_peer_index_remove(&town->index, uids[GOES]);
    put_peer(COMES); // in the slot of the one that went
    put_peer(MORE);  // in a table of twice the size
}

static void find_who_stays(void)
{
    const struct za_peer *found = za_peer_index_find(&town->index, uids[STAYS]);
    ZC_MUST(found == &town->peers[STAYS], "a peer that stays is not found");
}

static void find_who_comes(void)
{
    const struct za_peer *found = za_peer_index_find(&town->index, uids[COMES]);
    ZC_MUST(found == NULL || found == &town->peers[COMES], "another peer");
    ZC_MUST(found == NULL || found->uid == uids[COMES], "half a peer");
    found = za_peer_index_find(&town->index, uids[MORE]);
    ZC_MUST(found == NULL || found->uid == uids[MORE], "half a peer");
}

static void finish_peers(void)
{
    ZC_MUST(za_peer_index_find(&town->index, uids[GOES]) == NULL, "it went");
    for (int i = 0; i < PEERS; i++) {
        ZC_MUST(i == GOES || za_peer_index_find(&town->index, uids[i]) == &town->peers[i],
                "it is there");
    }
    za_peer_index_deinit(&town->index);
    free(town);
}

const zc_scenario_t zc_peers = {
    .name = "peers",
    .promise = "a peer that stays is found, whole, while others go, come, and the index grows",
    .setup = setup_peers,
    .threads = { { "writer", write_peers },
                 { "reader", find_who_stays },
                 { "other", find_who_comes } },
    .finish = finish_peers,
    .preemptions = 3,
    .stale = 2,
};
