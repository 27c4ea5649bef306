/** node/peer_index.c: senders find peers beside the one writer, in slots that are used again and in a larger table. */
#include "check.h"

#include "node/peer_index.c" // its slots are its own
#include "scenarios.h"

struct za_peer {
    uint64_t uid; // written before the index is
};

enum { STAYS, GOES, COMES, MORE, PEERS };

static za_peer_index_t peer_index;
static struct za_peer peers[PEERS];
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
    peers[which].uid = uids[which];
    ZC_MUST(za_peer_index_put(&peer_index, uids[which], &peers[which]) == ZA_OK, "memory");
}

static void setup_peers(void)
{
    memset(peers, 0, sizeof peers);
    uids[GOES] = 1;
    uids[STAYS] = uid_like(1, 2); // behind the one that goes
    uids[COMES] = uid_like(1, uids[STAYS] + 1);
    uids[MORE] = uid_like(1, uids[COMES] + 1);
    ZC_MUST(za_peer_index_init(&peer_index, 4) == ZA_OK, "memory");
    put_peer(GOES);
    put_peer(STAYS);
}

static void write_peers(void)
{
    za_peer_index_remove(&peer_index, uids[GOES]);
    put_peer(COMES); // in the slot of the one that went
    put_peer(MORE);  // in a table of twice the size
}

static void find_who_stays(void)
{
    const struct za_peer *found = za_peer_index_find(&peer_index, uids[STAYS]);
    ZC_MUST(found == &peers[STAYS], "a peer that stays is not found");
}

static void find_who_comes(void)
{
    const struct za_peer *found = za_peer_index_find(&peer_index, uids[COMES]);
    ZC_MUST(found == NULL || found == &peers[COMES], "another peer");
    ZC_MUST(found == NULL || found->uid == uids[COMES], "half a peer");
    found = za_peer_index_find(&peer_index, uids[MORE]);
    ZC_MUST(found == NULL || found->uid == uids[MORE], "half a peer");
}

static void finish_peers(void)
{
    ZC_MUST(za_peer_index_find(&peer_index, uids[GOES]) == NULL, "it went");
    for (int i = 0; i < PEERS; i++) {
        ZC_MUST(i == GOES || za_peer_index_find(&peer_index, uids[i]) == &peers[i], "it is there");
    }
    za_peer_index_deinit(&peer_index);
}

const zc_scenario_t zc_peers = {
    .name = "peers",
    .promise = "a peer that stays is found, whole, while others go, come, and the index grows",
    .setup = setup_peers,
    .threads = { { "writer", write_peers },
                 { "reader", find_who_stays },
                 { "other", find_who_comes } },
    .finish = finish_peers,
    .preemptions = 2,
    .stale = 1,
};
