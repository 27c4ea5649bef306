#include <string.h>

#include "base/assert.h"
#include "cluster/membership_internal.h"
#include "pb_decode.h"
#include "pb_encode.h"

/** Tombstones are handed on for half their life, so that two nodes do not keep one alive. */
static bool travels(const za_membership_t *m, const za_member_t *member)
{
    if (member->voided || (member == &m->members[m->self] && m->phase == ZA_PHASE_JOINING)) {
        return false;
    }
    return !za_member_terminal(member) || m->now_ms - member->since_ms < ZA_MEMBER_TOMBSTONE_MS / 2;
}

void za_member_send_frame(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    if (za_member_link(m, uid) == NULL) {
        return;
    }
    size_t size = 0;
    bool sized = pb_get_encoded_size(&size, za_MembershipFrame_fields, &m->frame_out);
    ZA_ASSERT(sized && size < ZA_MEMBER_FRAME_BYTES_MAX);
    // A frame that finds no room is made up for by the next sync or the peer's next question.
    if (!za_membership_room(m, out, (uint32_t)size + 1)) {
        return;
    }
    uint8_t *bytes = za_effects_alloc(out, (uint32_t)size + 1);
    bytes[0] = ZA_MEMBERSHIP_TAG;
    pb_ostream_t stream = pb_ostream_from_buffer(bytes + 1, size);
    bool encoded = pb_encode(&stream, za_MembershipFrame_fields, &m->frame_out);
    ZA_ASSERT(encoded);
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SEND_FRAME);
    effect->uid = uid;
    effect->lane = ZA_LANE_CONTROL;
    effect->bytes = bytes;
    effect->size = (uint32_t)size + 1;
}

/* ---- digest -------------------------------------------------------------------------------- */

void za_member_send_digest(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    uint64_t low = 0;
    uint32_t at = 0;
    do {
        m->frame_out.which_body = za_MembershipFrame_digest_tag;
        za_MembershipDigest *digest = &m->frame_out.body.digest;
        digest->low = low;
        digest->high = UINT64_MAX;
        digest->briefs_count = 0;
        for (; at < m->count; at++) {
            const za_member_t *member = &m->members[m->by_uid[at]];
            if (!travels(m, member)) {
                continue;
            }
            if (digest->briefs_count == ZA_MEMBER_DIGEST_PAGE) {
                digest->high = member->record.uid - 1; // the next page begins with it
                low = member->record.uid;
                break;
            }
            const za_MemberRecord *record = &member->record;
            digest->briefs[digest->briefs_count++] =
                (za_MemberBrief){ record->uid, record->inc, record->terminal, record->rank };
        }
        za_member_send_frame(m, uid, out);
    } while (at < m->count);
}

static void records_begin(za_membership_t *m)
{
    m->frame_out.which_body = za_MembershipFrame_records_tag;
    m->frame_out.body.records.records_count = 0;
    m->frame_out.body.records.want_count = 0;
}

static void records_flush(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    za_MembershipRecords *page = &m->frame_out.body.records;
    if (page->records_count > 0 || page->want_count > 0) {
        za_member_send_frame(m, uid, out);
    }
    records_begin(m);
}

static void records_add(za_membership_t *m, uint64_t uid, const za_MemberRecord *record,
                        za_effects_t *out)
{
    za_MembershipRecords *page = &m->frame_out.body.records;
    if (page->records_count == ZA_MEMBER_PAGE) {
        records_flush(m, uid, out);
    }
    page->records[page->records_count++] = *record;
}

static void records_want(za_membership_t *m, uint64_t uid, uint64_t wanted, za_effects_t *out)
{
    za_MembershipRecords *page = &m->frame_out.body.records;
    if (page->want_count == ZA_MEMBER_DIGEST_PAGE) {
        records_flush(m, uid, out);
    }
    page->want[page->want_count++] = wanted;
}

void za_member_send_all(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    records_begin(m);
    for (uint32_t i = 0; i < m->count; i++) {
        const za_member_t *member = &m->members[m->by_uid[i]];
        if (travels(m, member)) {
            records_add(m, uid, &member->record, out);
        }
    }
    records_flush(m, uid, out);
}

static void compare_brief(za_membership_t *m, uint64_t uid, const za_MemberBrief *brief,
                          za_effects_t *out)
{
    const za_member_t *member = za_member_find(m, brief->uid);
    if (member == NULL || member->voided) {
        records_want(m, uid, brief->uid, out);
        return;
    }
    if (member == za_member_self(m) && m->phase == ZA_PHASE_JOINING) {
        return;
    }
    za_MemberRecord theirs = {
        .uid = brief->uid, .inc = brief->inc, .terminal = brief->terminal, .rank = brief->rank
    };
    int order = za_member_compare(&member->record, &theirs);
    if (order > 0) {
        records_add(m, uid, &member->record, out);
    } else if (order < 0) {
        records_want(m, uid, brief->uid, out);
    }
}

static bool in_briefs(const za_MembershipDigest *digest, uint64_t uid)
{
    uint32_t low = 0;
    uint32_t high = digest->briefs_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (digest->briefs[middle].uid < uid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < digest->briefs_count && digest->briefs[low].uid == uid;
}

static bool digest_valid(const za_MembershipDigest *digest)
{
    for (pb_size_t i = 0; i < digest->briefs_count; i++) {
        const za_MemberBrief *brief = &digest->briefs[i];
        if (brief->uid < digest->low || brief->uid > digest->high ||
            (i > 0 && digest->briefs[i - 1].uid >= brief->uid)) {
            return false;
        }
    }
    return true;
}

void za_member_on_digest(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    const za_MembershipDigest *digest = &m->frame_in.body.digest;
    if (!digest_valid(digest)) {
        m->counters.frames_bad++;
        return;
    }
    records_begin(m);
    for (pb_size_t i = 0; i < digest->briefs_count; i++) {
        compare_brief(m, uid, &digest->briefs[i], out);
    }
    for (uint32_t i = 0; i < m->count; i++) {
        const za_member_t *member = &m->members[m->by_uid[i]];
        uint64_t known = member->record.uid;
        if (known >= digest->low && known <= digest->high && travels(m, member) &&
            !in_briefs(digest, known)) {
            records_add(m, uid, &member->record, out);
        }
    }
    records_flush(m, uid, out);
}

void za_member_on_records(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    const za_MembershipRecords *page = &m->frame_in.body.records;
    for (pb_size_t i = 0; i < page->records_count; i++) {
        if (!za_member_valid(&page->records[i])) {
            m->counters.frames_bad++;
            return;
        }
    }
    records_begin(m);
    for (pb_size_t i = 0; i < page->want_count; i++) {
        const za_member_t *member = za_member_find(m, page->want[i]);
        if (member != NULL && travels(m, member)) {
            records_add(m, uid, &member->record, out);
        }
    }
    records_flush(m, uid, out);
    for (pb_size_t i = 0; i < page->records_count; i++) {
        za_member_learn(m, &page->records[i], out);
    }
}

/* ---- when ---------------------------------------------------------------------------------- */

void za_member_sync_tick(za_membership_t *m, za_effects_t *out)
{
    if (m->now_ms < m->sync_ms) {
        return;
    }
    uint64_t jitter = za_rng_below(&m->rng, m->timing.sync_interval_ms / 4 + 1);
    m->sync_ms = m->now_ms + m->timing.sync_interval_ms - jitter;
    uint64_t uid = 0;
    if (za_member_pick(m, &m->rng, 0, 0, true, &uid, 1) == 1) {
        za_member_send_digest(m, uid, out);
    }
}

/** A peer's view differs although nothing is under way: the cheap sign that gossip missed one. */
void za_member_sync_hash(za_membership_t *m, uint64_t uid, uint64_t hash, za_effects_t *out)
{
    uint64_t pause_ms = 2 * (uint64_t)m->timing.probe_interval_ms;
    if (m->phase != ZA_PHASE_UP || hash == m->view_hash || m->now_ms < m->changed_ms + pause_ms ||
        m->now_ms < m->hash_sync_ms + pause_ms) {
        return;
    }
    m->hash_sync_ms = m->now_ms;
    za_member_send_digest(m, uid, out);
}
