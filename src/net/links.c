#include "net/links.h"

#include <stdlib.h>

#include "base/assert.h"

typedef struct entry {
    uint64_t peer;  // 0: free
    uint64_t used;  // when it was last asked for, in operations: the oldest makes room
    void *link;     // NULL: none now
    uint32_t epoch; // of `link`
    uint32_t seen;  // the greatest proposed or established between the two
    bool ours;      // we connected `link`
} entry_t;

struct za_links {
    uint64_t uid;
    uint64_t operations;
    uint32_t peers_max;
    entry_t entries[];
};

za_err_t za_links_create(uint32_t peers_max, uint64_t uid, za_links_t **out)
{
    ZA_ASSERT(peers_max > 0 && uid != 0 && out != NULL);
    za_links_t *links = calloc(1, sizeof *links + peers_max * sizeof links->entries[0]);
    if (links == NULL) {
        return ZA_ENOMEM;
    }
    links->uid = uid;
    links->peers_max = peers_max;
    *out = links;
    return ZA_OK;
}

void za_links_destroy(za_links_t *links)
{
    free(links);
}

void za_links_reset(za_links_t *links, uint64_t uid)
{
    ZA_ASSERT(uid != 0);
    links->uid = uid;
    for (uint32_t i = 0; i < links->peers_max; i++) {
        links->entries[i] = (entry_t){ 0 };
    }
}

// A walk over at most ZA_PEERS_MAX entries, and only when connections come and go.
static entry_t *find(za_links_t *links, uint64_t peer)
{
    for (uint32_t i = 0; i < links->peers_max; i++) {
        if (links->entries[i].peer == peer) {
            return &links->entries[i];
        }
    }
    return NULL;
}

/** The peer's entry, a free one, or that of the peer without a link that was longest not asked for. */
static entry_t *find_or_add(za_links_t *links, uint64_t peer)
{
    entry_t *entry = find(links, peer);
    if (entry == NULL) {
        for (uint32_t i = 0; i < links->peers_max; i++) {
            entry_t *other = &links->entries[i];
            if (other->link == NULL && (entry == NULL || other->used < entry->used)) {
                entry = other;
            }
        }
        if (entry == NULL) {
            return NULL;
        }
        *entry = (entry_t){ .peer = peer };
    }
    entry->used = ++links->operations;
    return entry;
}

za_links_verdict_t za_links_propose(za_links_t *links, uint64_t peer, uint32_t *epoch)
{
    ZA_ASSERT(peer != 0 && epoch != NULL);
    if (peer == links->uid) {
        return ZA_LINKS_SELF;
    }
    entry_t *entry = find_or_add(links, peer);
    if (entry == NULL) {
        return ZA_LINKS_FULL;
    }
    if (entry->link != NULL) {
        return ZA_LINKS_REFUSE;
    }
    // At the end it stays there: of two equal connections the later is taken for the newer.
    entry->seen += entry->seen < UINT32_MAX;
    *epoch = entry->seen;
    return ZA_LINKS_ACCEPT;
}

/** Whether a connection orders behind the entry's link, so that it is the one to stay. */
static bool is_greater(const za_links_t *links, const entry_t *entry, uint32_t epoch, bool ours)
{
    if (epoch != entry->epoch) {
        return epoch > entry->epoch;
    }
    if (ours == entry->ours) {
        return true;
    }
    bool we_are_lower = links->uid < entry->peer;
    return ours == we_are_lower; // the lower uid connected it
}

za_links_verdict_t za_links_establish(za_links_t *links, uint64_t peer, uint32_t epoch,
                                      za_side_t side, void *link, void **old)
{
    ZA_ASSERT(peer != 0 && link != NULL && old != NULL);
    if (peer == links->uid) {
        return ZA_LINKS_SELF;
    }
    entry_t *entry = find_or_add(links, peer);
    if (entry == NULL) {
        return ZA_LINKS_FULL;
    }
    bool ours = side == ZA_SIDE_CLIENT;
    entry->seen = epoch > entry->seen ? epoch : entry->seen;
    if (entry->link != NULL && !is_greater(links, entry, epoch, ours)) {
        return ZA_LINKS_REFUSE;
    }
    void *before = entry->link;
    entry->link = link;
    entry->epoch = epoch;
    entry->ours = ours;
    if (before == NULL) {
        return ZA_LINKS_ACCEPT;
    }
    *old = before;
    return ZA_LINKS_REPLACE;
}

void za_links_remove(za_links_t *links, uint64_t peer, const void *link)
{
    entry_t *entry = peer == 0 ? NULL : find(links, peer);
    if (entry != NULL && entry->link == link) {
        entry->link = NULL; // `seen` stays: the next connection is newer than this one was
    }
}

void *za_links_find(const za_links_t *links, uint64_t peer)
{
    // find does not write; it gives out what other callers write.
    const entry_t *entry = peer == 0 ? NULL : find((za_links_t *)links, peer);
    return entry == NULL ? NULL : entry->link;
}
