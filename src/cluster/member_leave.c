#include "base/fixed.h"
#include "cluster/membership_internal.h"

enum {
    NUMBER_1 = 1 << 3 | 0,
};

static void tell_leave(za_membership_t *m, za_effects_t *out)
{
    for (uint32_t i = 0; i < m->link_count; i++) {
        za_member_t *member = za_member_find(m, m->links[i].uid);
        if (member == NULL || !member->in_view) {
            continue;
        }
        member->leave_acked = false;
        za_member_send_record(m, member->uid, za_MembershipFrame_leave_tag, za_member_self(m), out);
    }
}

static bool all_acked(za_membership_t *m)
{
    for (uint32_t i = 0; i < m->link_count; i++) {
        const za_member_t *member = za_member_find(m, m->links[i].uid);
        if (member != NULL && member->in_view && !member->leave_acked) {
            return false;
        }
    }
    return true;
}

static void finish_leave(za_membership_t *m, za_effects_t *out)
{
    if (!za_effects_have_room(out, 1, 0)) {
        m->more = true;
        return;
    }
    m->phase = ZA_PHASE_LEFT;
    za_member_probe_stop(m);
    za_effects_add(out, ZA_EFFECT_LEFT);
}

/**
 * With a full mesh whoever acknowledged is everybody. Above it the others hear it by gossip, and one that
 * probes us before would find a port that refuses, and say so: we answer until they have heard.
 */
static uint64_t parting_wait_ms(const za_membership_t *m)
{
    uint32_t rounds = m->live_count > ZA_MEMBER_MESH_MAX ? za_ln_ceil(m->live_count) + 1 : 0;
    return (uint64_t)m->timing.gossip_interval_ms * rounds;
}

static void say_left(za_membership_t *m, za_effects_t *out)
{
    za_member_t *self = za_member_self(m);
    m->phase = ZA_PHASE_PARTING;
    m->parting_ms = m->now_ms + parting_wait_ms(m);
    za_member_probe_stop(m); // who knows that we left does not answer, and is none the worse for it
    self->terminal = (unsigned)za_MemberTerminal_MEMBER_TERMINAL_LEFT;
    tell_leave(m, out);
    za_member_changed(m, self, out);
}

void za_member_leave(za_membership_t *m, za_effects_t *out)
{
    if (m->phase > ZA_PHASE_UP) {
        return;
    }
    za_member_t *self = za_member_self(m);
    // The last quarter is for LEFT, so that all of it ends within the limit.
    m->leave_end_ms = m->now_ms + m->timing.leave_timeout_ms - m->timing.leave_timeout_ms / 4;
    if (m->phase == ZA_PHASE_JOINING) {
        m->phase = ZA_PHASE_LEAVING; // nobody knows us
        say_left(m, out);
        return;
    }
    m->phase = ZA_PHASE_LEAVING;
    self->leaving = true;
    za_member_rest(m, self)->inc++;
    tell_leave(m, out);
    za_member_changed(m, self, out);
}

void za_member_leave_check(za_membership_t *m, za_effects_t *out)
{
    bool late = m->now_ms >= m->leave_end_ms;
    if (m->phase == ZA_PHASE_LEAVING && (late || all_acked(m))) {
        say_left(m, out);
        // A moment more, so that LEFT reaches those who did not answer in time.
        m->leave_end_ms = m->now_ms + m->timing.leave_timeout_ms / 4;
        late = false;
    }
    bool heard = m->now_ms >= m->parting_ms;
    if (m->phase == ZA_PHASE_PARTING && (late || (heard && all_acked(m)))) {
        finish_leave(m, out);
    }
}

static void send_leave_ack(za_membership_t *m, uint64_t uid, uint32_t terminal, za_effects_t *out)
{
    za_member_frame_t frame;
    if (za_member_frame_begin(m, uid, za_MembershipFrame_leave_ack_tag, &frame, out)) {
        frame.at = za_member_number_put(frame.at, 1, terminal);
        za_member_frame_end(&frame, out);
    }
}

void za_member_on_leave(za_membership_t *m, uint64_t uid, const za_member_body_t *body,
                        za_effects_t *out)
{
    za_member_joiner_t leave;
    if (!za_member_joiner_get(body, uid, &leave)) {
        m->counters.frames_bad++; // only the owner says that it leaves
        return;
    }
    // The ack first: LEFT closes the link.
    send_leave_ack(m, uid, leave.me.opinion.terminal, out);
    za_member_learn(m, &leave.me, out);
}

void za_member_on_leave_ack(za_membership_t *m, uint64_t uid, const za_member_body_t *body)
{
    uint64_t terminal;
    if (!za_member_single_get(body, NUMBER_1, &terminal)) {
        m->counters.frames_bad++;
        return;
    }
    za_member_t *member = za_member_find(m, uid);
    bool left = m->phase == ZA_PHASE_PARTING;
    bool said = terminal == za_MemberTerminal_MEMBER_TERMINAL_LEFT;
    if (member != NULL && left == said) {
        member->leave_acked = true;
    }
}
