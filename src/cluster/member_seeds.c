// Seeds that come while the node runs, from names that are resolved and files that are read again.
#include <string.h>

#include "cluster/membership_internal.h"

static void add_seed(za_membership_t *m, const char *address, size_t size)
{
    bool fits = size > 0 && size <= ZA_ADDRESS_BYTES_MAX && m->seed_count < ZA_MEMBER_SEEDS_MAX;
    bool own = size == strlen(m->address) && memcmp(address, m->address, size) == 0;
    if (fits && !own) {
        za_member_seed_t *seed = &m->seeds[m->seed_count++];
        memcpy(seed->address, address, size);
        seed->address[size] = '\0';
        seed->member = 0;
    }
}

/**
 * Whether this node may be the first of all can change while it waits: an address that comes before ours
 * may appear, whose node then is. Once it was a member it may go on alone whatever the seeds are.
 */
static void permit(za_membership_t *m, bool may_found)
{
    bool allowed = za_member_downing_may_found(m);
    if (may_found && !m->may_found) {
        m->may_found = m->told_to_found = true;
    } else if (!may_found && m->told_to_found) {
        m->may_found = m->told_to_found = false;
    }
    bool allows = za_member_downing_may_found(m);
    if (allows != allowed) {
        m->alone_ms = allows ? m->now_ms + za_member_alone_wait_ms(m) : ZA_MEMBER_NEVER;
    }
}

void za_member_on_seeds(za_membership_t *m, const za_cluster_event_t *event)
{
    const char *at = (const char *)event->bytes;
    const char *end = at + event->size;
    m->seed_count = 0;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL ? newline : end;
        add_seed(m, at, (size_t)(stop - at));
        at = stop + 1;
    }
    if (m->phase == ZA_PHASE_JOINING) {
        permit(m, event->id != 0);
        m->join_retry_ms = m->now_ms;
    } else if (m->phase == ZA_PHASE_UP) {
        m->seed_ms = m->now_ms; // those that are no members are tried at the next tick
    }
}
