// Seeds: those that come while the node runs, from names that are resolved and files that are read again,
// and what became of the attempts to connect to them while it joins.
#include <stdio.h>
#include <string.h>

#include "cluster/membership_internal.h"

enum {
    FIRST_RETRY_INTERVALS = 2,  // after a refusal that does not pass by itself
    SECOND_LINE_INTERVALS = 20, // after the first that says that we still try: 10 s
    LINE_MS_MAX = 300000,
    LINE_BYTES_MAX = 400, // a line of the log has 512
    DOUBLINGS_MAX = 16,
};

static void add_seed(za_membership_t *m, const char *address, size_t size)
{
    bool fits = size > 0 && size <= ZA_ADDRESS_BYTES_MAX && m->seed_count < ZA_MEMBER_SEEDS_MAX;
    bool own = size == strlen(m->address) && memcmp(address, m->address, size) == 0;
    if (fits && !own) {
        za_member_seed_t *seed = &m->seeds[m->seed_count++];
        memcpy(seed->address, address, size);
        seed->address[size] = '\0';
        seed->member = 0;
        seed->tries = (za_member_tries_t){ 0 };
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

/* ---- attempts while we join ------------------------------------------------------------------- */

static za_member_seed_t *find_seed(za_membership_t *m, const char *address)
{
    for (uint32_t i = 0; i < m->seed_count; i++) {
        if (strcmp(m->seeds[i].address, address) == 0) {
            return &m->seeds[i];
        }
    }
    return NULL;
}

static za_member_tries_t *tries_of(za_membership_t *m, const char *address)
{
    za_member_seed_t *seed = find_seed(m, address);
    return seed != NULL ? &seed->tries : &m->others;
}

/** Capped where a member that was called down is met again at the latest: bounds of convergence know it. */
uint64_t za_member_backoff_ms(za_membership_t *m, uint64_t first_ms, uint32_t times)
{
    uint64_t most_ms =
        m->timing.seed_interval_ms > first_ms ? m->timing.seed_interval_ms : first_ms;
    uint64_t wait_ms =
        za_ms_min(first_ms << (times < DOUBLINGS_MAX ? times : DOUBLINGS_MAX), most_ms);
    return wait_ms - za_rng_below(&m->rng, wait_ms / 4 + 1);
}

void za_member_seed_failed(za_membership_t *m, const char *address, za_err_t err)
{
    za_member_tries_t *tries = tries_of(m, address);
    bool stays = err == ZA_EAUTH || err == ZA_EVERSION || err == ZA_ECLUSTER;
    if (stays) {
        uint64_t first_ms = (uint64_t)m->timing.probe_interval_ms * FIRST_RETRY_INTERVALS;
        tries->again_ms = m->now_ms + za_member_backoff_ms(m, first_ms, tries->refusals);
        tries->refusals++;
    } else if (err == ZA_EREFUSED) {
        tries->refusals = 0; // nobody is there now: who comes may be another
    }
    tries->err = err;
}

void za_member_seed_linked(za_membership_t *m, const char *address)
{
    *tries_of(m, address) = (za_member_tries_t){ 0 };
}

static const char *outcome(const za_membership_t *m, const za_member_seed_t *seed)
{
    if (za_member_linked_at(m, seed->address) != 0) {
        return "connected, and has not let this node in yet";
    }
    return seed->tries.err != ZA_OK ? za_err_text(seed->tries.err) : "no answer yet";
}

/** As many as a line has room for. */
static uint32_t list_seeds(const za_membership_t *m, char line[static LINE_BYTES_MAX])
{
    size_t used = 0;
    uint32_t listed = 0;
    line[0] = '\0';
    while (listed < m->seed_count) {
        const za_member_seed_t *seed = &m->seeds[listed];
        size_t left = LINE_BYTES_MAX - used;
        int bytes = snprintf(line + used, left, "%s%s (%s)", listed > 0 ? ", " : "", seed->address,
                             outcome(m, seed));
        if (bytes < 0 || (size_t)bytes >= left) {
            line[used] = '\0';
            break;
        }
        used += (size_t)bytes;
        listed++;
    }
    return listed;
}

void za_member_seeds_tell(za_membership_t *m, za_effects_t *out)
{
    if (m->now_ms < m->join_tell_ms || m->downing.fenced) {
        return; // who gave up in a split says for whom it waits
    }
    uint64_t wait_ms = (uint64_t)m->timing.probe_interval_ms * SECOND_LINE_INTERVALS;
    uint32_t times = m->join_told < DOUBLINGS_MAX ? m->join_told : DOUBLINGS_MAX;
    m->join_tell_ms = m->now_ms + za_ms_min(wait_ms << times, LINE_MS_MAX);
    m->join_told++;
    char line[LINE_BYTES_MAX];
    uint32_t listed = list_seeds(m, line);
    if (m->seed_count == 0) {
        za_membership_log(m, out, ZA_WARN, "no member of a cluster yet: no seed is known");
    } else if (listed == m->seed_count) {
        za_membership_log(m, out, ZA_WARN, "no member of a cluster yet, still trying: %s", line);
    } else {
        za_membership_log(m, out, ZA_WARN,
                          "no member of a cluster yet, still trying: %s and %u seeds more", line,
                          m->seed_count - listed);
    }
}
