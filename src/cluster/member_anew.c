// Those who gave up in a split look for each other: whoever of them has the lowest name begins a cluster
// anew once it has heard of enough of them (member_downing.c). In a small cluster each asks each. Where
// there are more than a node has links, nobody would ever have heard of enough within the time for which
// a word holds: so each seeks first, and again and again, the one with the lowest name that can be reached
// (the same choice on all sides, as the bully election makes it: Garcia-Molina, 1982).

#include <string.h>

#include "cluster/membership_internal.h"

enum {
    ASK_INTERVALS = 20, // between two questions to the first: a word holds three times as long
    PASSED_MAX = 64,    // names; then it begins with the lowest again
};

/** The lowest name above `above` and below our own; NULL: there is none. */
static const za_member_t *next_name(za_membership_t *m, const char *above)
{
    const za_member_t *lowest = NULL;
    for (uint32_t at = 0; at < m->fresh; at++) {
        const za_member_t *member = za_member_slot(m, at);
        bool counts = member != NULL && member != za_member_self(m) &&
                      (member->stable || !za_member_terminal(member));
        if (counts && strcmp(za_member_name(m, member), above) > 0 &&
            strcmp(za_member_name(m, member),
                   lowest == NULL ? m->name : za_member_name(m, lowest)) < 0) {
            lowest = member;
        }
    }
    return lowest;
}

static void ask_later(za_membership_t *m)
{
    m->anew.ask_ms = m->now_ms + ASK_INTERVALS * (uint64_t)m->timing.probe_interval_ms;
}

/** Whose turn it is; NULL: nobody's now, or this node has the lowest name itself. */
static const za_member_t *first_of_all(za_membership_t *m)
{
    za_member_anew_t *anew = &m->anew;
    if (!m->downing.fenced || m->now_ms < anew->ask_ms) {
        return NULL;
    }
    const za_member_t *first = next_name(m, "");
    for (uint32_t i = 0; i < anew->passed && first != NULL; i++) {
        first = next_name(m, za_member_name(m, first));
    }
    if (first == NULL) {
        anew->passed = 0;
        ask_later(m);
    }
    return first;
}

void za_member_anew_start(za_membership_t *m)
{
    m->anew = (za_member_anew_t){ 0 };
}

const char *za_member_anew_connect(za_membership_t *m)
{
    const za_member_t *first = first_of_all(m);
    const char *address = first != NULL ? za_member_address(m, first) : NULL;
    return address != NULL && za_member_linked_at(m, address) == 0 ? address : NULL;
}

uint64_t za_member_anew_ask(za_membership_t *m)
{
    const za_member_t *first = first_of_all(m);
    uint64_t uid = first != NULL ? za_member_linked_at(m, za_member_address(m, first)) : 0;
    if (uid != 0) {
        m->anew.asked = uid;
        ask_later(m);
    }
    return uid;
}

static void pass_over(za_membership_t *m)
{
    m->anew.passed = (m->anew.passed + 1) % PASSED_MAX;
    m->anew.ask_ms = m->now_ms;
}

void za_member_anew_failed(za_membership_t *m, const char *address, za_err_t err)
{
    const za_member_t *first = err != ZA_ECLOSED ? first_of_all(m) : NULL; // it was only busy
    if (first != NULL && strcmp(za_member_address(m, first), address) == 0) {
        pass_over(m);
    }
}

void za_member_anew_silent(za_membership_t *m, uint64_t uid)
{
    if (uid != 0 && uid == m->anew.asked) {
        pass_over(m);
    }
}
