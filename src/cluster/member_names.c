#include <string.h>

#include "cluster/membership_internal.h"

static bool joined_before(const za_membership_t *m, const za_member_t *a, const za_member_t *b)
{
    uint64_t left = za_member_text(m, a)->joined;
    uint64_t right = za_member_text(m, b)->joined;
    return left < right || (left == right && a->uid < b->uid);
}

/**
 * Of two under one name and address, the one that is gone; NULL if that is not known here. The one
 * with a new link is there, even if the other's link is not broken yet. The times of their joins say
 * nothing: a process that founded a cluster anew has a low one. Its own word ends the other soon.
 * That is waited for also where the other has just come up: a link that took its time may be to a
 * process whose place it took meanwhile.
 */
static za_member_t *gone_of_two(const za_membership_t *m, za_member_t *news, za_member_t *other)
{
    if (other == &m->members[m->self]) {
        return news;
    }
    bool just_up =
        other->in_alive && m->now_ms - za_member_rest(m, other)->since_ms < za_member_settle_ms(m);
    return news->linked && !just_up ? other : NULL;
}

static bool share_address(const za_membership_t *m, const za_member_t *a, const za_member_t *b)
{
    return strcmp(za_member_address(m, a), za_member_address(m, b)) == 0;
}

/** Two processes cannot have one name and one address: one of them is gone. */
void za_member_replace_by_address(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    const za_member_text_t *text = za_member_text(m, member);
    uint32_t bytes = text->address_at - 1u;
    za_member_t *other = za_member_first_named(m, text->name, bytes);
    for (; other != NULL && !za_member_terminal(member);
         other = za_member_named(m, za_member_rest(m, other)->next, text->name, bytes)) {
        if (other == member || !other->in_view || !share_address(m, member, other)) {
            continue;
        }
        za_member_t *gone = gone_of_two(m, member, other);
        if (gone != NULL) {
            za_member_down(m, gone, za_MemberReason_MEMBER_REASON_REPLACED, out);
        }
    }
}

za_member_t *za_member_holder(const za_membership_t *m, const char *name, uint32_t bytes,
                              uint64_t not_uid)
{
    za_member_t *member = za_member_first_named(m, name, bytes);
    for (; member != NULL;
         member = za_member_named(m, za_member_rest(m, member)->next, name, bytes)) {
        bool self = member == &m->members[m->self]; // not in view while it joins
        if (member->uid != not_uid && (member->in_view || self)) {
            return member;
        }
    }
    return NULL;
}

static void look_again(za_membership_t *m)
{
    m->names_ms = m->now_ms + m->timing.probe_interval_ms;
}

/** Whether there is a link to it that was made when the other was there already, and was not any more. */
static bool has_outlived(const za_membership_t *m, const za_member_t *member,
                         const za_member_t *other)
{
    const za_member_link_t *link = za_member_link(m, member->uid);
    return member == &m->members[m->self] ||
           (link != NULL && link->up_ms > za_member_rest(m, other)->since_ms);
}

/**
 * Of two under one name and address that both seem to be up one has gone, and its end was not heard of
 * here: who joined first says nothing of that, a link does, or in the end that nobody answers.
 */
static void resolve_address(za_membership_t *m, za_member_t *a, za_member_t *b, za_effects_t *out)
{
    za_member_t *gone = has_outlived(m, a, b) ? b : has_outlived(m, b, a) ? a : NULL;
    if (gone != NULL) {
        za_member_down(m, gone, za_MemberReason_MEMBER_REASON_REPLACED, out);
    } else {
        look_again(m);
    }
}

static void resolve_name(za_membership_t *m, za_member_t *a, za_member_t *b, za_effects_t *out)
{
    // Joins are checked against the acceptor's view alone; this is for names that met later.
    uint64_t since_ms[2] = { za_member_rest(m, a)->since_ms, za_member_rest(m, b)->since_ms };
    if (!a->in_alive || !b->in_alive || m->now_ms - since_ms[0] < za_member_settle_ms(m) ||
        m->now_ms - since_ms[1] < za_member_settle_ms(m)) {
        look_again(m);
        return;
    }
    if (share_address(m, a, b)) {
        resolve_address(m, a, b, out);
        return;
    }
    za_member_t *later = joined_before(m, a, b) ? b : a;
    const za_member_t *first = later == a ? b : a;
    uint64_t both_ms = since_ms[0] > since_ms[1] ? since_ms[0] : since_ms[1];
    bool lives = first == &m->members[m->self] ||
                 (first->heard_ms != ZA_MEMBER_NEVER && first->heard_ms > both_ms);
    if (!lives) {
        // Who was away for long may tell of one that is gone: nobody yields to a name in a table.
        look_again(m);
        return;
    }
    if (later == za_member_self(m)) {
        m->rebirth_due = true;
        m->rebirth_by = 0;
        return;
    }
    za_member_down(m, later, za_MemberReason_MEMBER_REASON_REPLACED, out);
}

void za_member_check_names(za_membership_t *m, za_effects_t *out)
{
    if (m->now_ms < m->names_ms) {
        return;
    }
    m->names_ms = ZA_MEMBER_NEVER;
    for (uint16_t at = 0; at < m->fresh; at++) {
        za_member_t *member = za_member_slot(m, at);
        if (member == NULL || !member->in_view) {
            continue;
        }
        const za_member_text_t *text = za_member_text(m, member);
        uint32_t bytes = text->address_at - 1u;
        za_member_t *other = za_member_named(m, za_member_rest(m, member)->next, text->name, bytes);
        for (; other != NULL;
             other = za_member_named(m, za_member_rest(m, other)->next, text->name, bytes)) {
            if (other->in_view && member->in_view) {
                resolve_name(m, member, other, out);
            }
        }
    }
}
