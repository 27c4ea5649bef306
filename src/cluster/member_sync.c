#include <string.h>

#include "base/assert.h"
#include "cluster/membership_internal.h"
#include "wire/varint.h"

enum {
    FRAME_HEAD = 5, // tag, key, and room for a length of three bytes
    DIGEST_LOW = 1 << 3 | 1,
    DIGEST_HIGH = 2 << 3 | 1,
    DIGEST_BRIEF = ZA_MEMBER_DIGEST_BRIEFS << 3 | 2,
    DIGEST_VIEW_HASH = 4 << 3 | 1,
    DIGEST_LAST = 4,
    RECORDS_RECORD = ZA_MEMBER_RECORDS_RECORDS << 3 | 2,
    RECORDS_WANT = ZA_MEMBER_RECORDS_WANT << 3 | 2,
    RECORDS_WANT_ONE = ZA_MEMBER_RECORDS_WANT << 3 | 1,
    RECORDS_LAST = 2,
    WANT_BYTES_MAX = 4 + 8 * ZA_MEMBER_DIGEST_PAGE,
};

static_assert(FRAME_HEAD + 2 * 9 + ZA_MEMBER_DIGEST_PAGE * ZA_MEMBER_BRIEF_BYTES_MAX <
                  ZA_MEMBER_FRAME_BYTES_MAX,
              "a page of a digest fits a frame");

/** Tombstones are handed on for half their life, so that two nodes do not keep one alive. */
static bool travels(const za_membership_t *m, const za_member_t *member)
{
    if (member->voided || (member == &m->members[m->self] && m->phase == ZA_PHASE_JOINING)) {
        return false;
    }
    return !za_member_terminal(member) ||
           m->now_ms - za_member_rest(m, member)->since_ms < ZA_MEMBER_TOMBSTONE_MS / 2;
}

/* ---- frames -------------------------------------------------------------------------------- */

bool za_member_frame_begin(za_membership_t *m, uint64_t uid, uint32_t body,
                           za_member_frame_t *frame, za_effects_t *out)
{
    // A frame that finds no room is made up for by the next sync or the peer's next question.
    if (za_member_link(m, uid) == NULL || !za_membership_room(m, out, ZA_MEMBER_FRAME_BYTES_MAX)) {
        return false;
    }
    frame->uid = uid;
    frame->start = za_effects_next(out);
    frame->start[0] = ZA_MEMBERSHIP_TAG;
    frame->start[1] = (uint8_t)(body << 3 | 2);
    frame->at = frame->start + FRAME_HEAD;
    return true;
}

void za_member_frame_end(za_member_frame_t *frame, za_effects_t *out)
{
    uint32_t bytes = (uint32_t)(frame->at - frame->start) - FRAME_HEAD;
    ZA_ASSERT(bytes + FRAME_HEAD <= ZA_MEMBER_FRAME_BYTES_MAX);
    uint8_t *body = za_varint_put(frame->start + 2, bytes);
    memmove(body, frame->start + FRAME_HEAD, bytes);
    uint32_t size = (uint32_t)(body - frame->start) + bytes;
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SEND_FRAME);
    effect->uid = frame->uid;
    effect->lane = ZA_LANE_CONTROL;
    effect->bytes = za_effects_alloc(out, size);
    effect->size = size;
}

static uint8_t *put_member(const za_membership_t *m, uint8_t *at, uint32_t field,
                           const za_member_t *member)
{
    za_member_opinion_t opinion;
    za_member_profile_t profile;
    za_member_line_t line;
    za_member_line(m, member, &opinion, &profile, false, &line);
    return za_member_record_put(at, field, &line, za_member_record_bytes(&line));
}

void za_member_send_record(za_membership_t *m, uint64_t uid, uint32_t body,
                           const za_member_t *member, za_effects_t *out)
{
    za_member_frame_t frame;
    if (za_member_frame_begin(m, uid, body, &frame, out)) {
        frame.at = put_member(m, frame.at, ZA_MEMBER_ME, member);
        za_member_frame_end(&frame, out);
    }
}

/* ---- pages of records ---------------------------------------------------------------------- */

typedef struct page {
    uint64_t uid;
    uint32_t records, wants;
    bool open, lost;
    za_member_frame_t frame;
    uint64_t want[ZA_MEMBER_DIGEST_PAGE];
} page_t;

static bool page_open(za_membership_t *m, page_t *page, za_effects_t *out)
{
    if (!page->open && !page->lost) {
        page->open =
            za_member_frame_begin(m, page->uid, za_MembershipFrame_records_tag, &page->frame, out);
        page->lost = !page->open;
    }
    return page->open;
}

static void page_flush(page_t *page, za_effects_t *out)
{
    if (!page->open) {
        return;
    }
    if (page->wants > 0) {
        uint8_t *at = za_member_length_put(page->frame.at, ZA_MEMBER_RECORDS_WANT, 8 * page->wants);
        for (uint32_t i = 0; i < page->wants; i++) {
            at = za_member_word_put(at, page->want[i]);
        }
        page->frame.at = at;
    }
    za_member_frame_end(&page->frame, out);
    page->records = 0;
    page->wants = 0;
    page->open = false;
}

static bool page_add(za_membership_t *m, page_t *page, const za_member_t *member, za_effects_t *out)
{
    uint32_t used = page->open ? (uint32_t)(page->frame.at - page->frame.start) : 0;
    if (page->records == ZA_MEMBER_PAGE ||
        used + ZA_MEMBER_RECORD_BYTES_MAX + WANT_BYTES_MAX > ZA_MEMBER_FRAME_BYTES_MAX) {
        page_flush(page, out);
    }
    if (!page_open(m, page, out)) {
        return false;
    }
    page->frame.at = put_member(m, page->frame.at, ZA_MEMBER_RECORDS_RECORDS, member);
    page->records++;
    return true;
}

static void page_want(za_membership_t *m, page_t *page, uint64_t wanted, za_effects_t *out)
{
    if (page->wants == ZA_MEMBER_DIGEST_PAGE) {
        page_flush(page, out);
    }
    if (page_open(m, page, out)) {
        page->want[page->wants++] = wanted;
    }
}

/* ---- all of it, to a joiner ---------------------------------------------------------------- */

/** Goes on with one; false if the step has no room for the rest. */
static bool dump_step(za_membership_t *m, za_member_dump_t *dump, za_effects_t *out)
{
    page_t page = { .uid = dump->uid };
    for (; dump->at < m->fresh; dump->at++) {
        const za_member_t *member = za_member_slot(m, dump->at);
        if (member != NULL && travels(m, member) && !page_add(m, &page, member, out)) {
            return false;
        }
    }
    page_flush(&page, out);
    if (!za_membership_room(m, out, ZA_MEMBER_FRAME_BYTES_MAX)) {
        return false;
    }
    za_member_accept(m, dump->uid, dump->joined, out);
    return true;
}

void za_member_dumps_tick(za_membership_t *m, za_effects_t *out)
{
    while (m->dump_count > 0) {
        za_member_dump_t *dump = &m->dumps[0];
        if (za_member_link(m, dump->uid) != NULL && !dump_step(m, dump, out)) {
            m->more = true;
            return;
        }
        m->dump_count--;
        memmove(&m->dumps[0], &m->dumps[1], m->dump_count * sizeof *m->dumps);
    }
}

void za_member_send_all(za_membership_t *m, uint64_t uid, uint64_t joined, za_effects_t *out)
{
    if (m->dump_count < ZA_MEMBER_DUMPS_MAX) { // else it asks again
        m->dumps[m->dump_count++] = (za_member_dump_t){ .uid = uid, .joined = joined };
        za_member_dumps_tick(m, out);
    }
}

/* ---- digest -------------------------------------------------------------------------------- */

void za_member_send_view_hash(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    za_member_frame_t frame;
    if (za_member_frame_begin(m, uid, za_MembershipFrame_digest_tag, &frame, out)) {
        frame.at = za_member_fixed_put(frame.at, 2, UINT64_MAX);
        frame.at = za_member_fixed_put(frame.at, 4, m->view_hash);
        za_member_frame_end(&frame, out);
    }
}

/** Slots that travel, in order of uid, into `order`; returns how many. */
static uint32_t order_by_uid(const za_membership_t *m, uint16_t *order)
{
    uint32_t count = 0;
    for (uint16_t at = 0; at < m->fresh; at++) {
        const za_member_t *member = za_member_slot(m, at);
        if (member != NULL && travels(m, member)) {
            order[count++] = at;
        }
    }
    // Heap sort: no recursion, and no bad case that a peer could make.
    for (uint32_t built = count / 2, last = count; last > 1;) {
        uint16_t slot;
        if (built > 0) {
            slot = order[--built];
        } else {
            last--;
            slot = order[last];
            order[last] = order[0];
        }
        uint32_t at = built;
        for (uint32_t child = 2 * at + 1; child < last; child = 2 * at + 1) {
            if (child + 1 < last &&
                m->members[order[child]].uid < m->members[order[child + 1]].uid) {
                child++;
            }
            if (m->members[order[child]].uid <= m->members[slot].uid) {
                break;
            }
            order[at] = order[child];
            at = child;
        }
        order[at] = slot;
    }
    return count;
}

void za_member_send_digest(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    uint16_t *order = m->scratch;
    uint32_t count = order_by_uid(m, order);
    uint64_t low = 0;
    uint32_t at = 0;
    do {
        za_member_frame_t frame;
        if (!za_member_frame_begin(m, uid, za_MembershipFrame_digest_tag, &frame, out)) {
            return;
        }
        uint32_t end = count - at > ZA_MEMBER_DIGEST_PAGE ? at + ZA_MEMBER_DIGEST_PAGE : count;
        uint64_t next = end < count ? m->members[order[end]].uid : 0; // begins the next page
        frame.at = za_member_fixed_put(frame.at, 1, low);
        frame.at = za_member_fixed_put(frame.at, 2, next - 1);
        for (; at < end; at++) {
            const za_member_t *member = &m->members[order[at]];
            za_member_brief_t brief = { member->uid, m->rests[order[at]].inc,
                                        (uint8_t)member->terminal, (uint8_t)member->rank };
            frame.at = za_member_brief_put(frame.at, &brief);
        }
        za_member_frame_end(&frame, out);
        low = next;
    } while (at < count);
}

typedef struct digest {
    uint64_t low, high, view_hash;
    uint32_t count;
    za_member_brief_t briefs[ZA_MEMBER_DIGEST_PAGE];
} digest_t;

static bool get_brief(const za_member_field_t *field, digest_t *digest)
{
    if (digest->count == ZA_MEMBER_DIGEST_PAGE) {
        return false;
    }
    za_member_brief_t *brief = &digest->briefs[digest->count];
    if (!za_member_brief_get(field->bytes, field->size, brief) || brief->uid == 0 ||
        (digest->count > 0 && digest->briefs[digest->count - 1].uid >= brief->uid)) {
        return false;
    }
    digest->count++;
    return true;
}

static bool digest_get(const uint8_t *bytes, uint32_t size, digest_t *digest)
{
    const uint8_t *next = bytes;
    const uint8_t *end = bytes + size;
    za_member_field_t field;
    digest->low = digest->high = digest->view_hash = 0;
    digest->count = 0;
    while (za_member_field_get(&next, end, &field)) {
        switch (field.key) {
        case DIGEST_LOW:
            digest->low = field.number;
            break;
        case DIGEST_HIGH:
            digest->high = field.number;
            break;
        case DIGEST_VIEW_HASH:
            digest->view_hash = field.number;
            break;
        case DIGEST_BRIEF:
            if (!get_brief(&field, digest)) {
                return false;
            }
            break;
        default:
            if (!za_member_field_later(&field, DIGEST_LAST)) {
                return false;
            }
        }
    }
    return next == end &&
           (digest->count == 0 || (digest->briefs[0].uid >= digest->low &&
                                   digest->briefs[digest->count - 1].uid <= digest->high));
}

static void compare_brief(za_membership_t *m, page_t *page, const za_member_brief_t *brief,
                          za_effects_t *out)
{
    const za_member_t *member = za_member_find(m, brief->uid);
    if (member == NULL || member->voided) {
        if (member != NULL || za_member_welcome(m, brief->terminal)) {
            page_want(m, page, brief->uid, out);
        }
        return;
    }
    if (member == za_member_self(m) && m->phase == ZA_PHASE_JOINING) {
        return;
    }
    za_member_opinion_t ours;
    za_member_opinion(m, member, &ours);
    za_member_opinion_t theirs = { .inc = brief->inc,
                                   .terminal = brief->terminal,
                                   .rank = brief->rank };
    int order = za_member_compare(&ours, &theirs);
    if (order > 0) {
        page_add(m, page, member, out);
    } else if (order < 0) {
        page_want(m, page, brief->uid, out);
    }
}

static bool in_briefs(const digest_t *digest, uint64_t uid)
{
    uint32_t low = 0;
    uint32_t high = digest->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (digest->briefs[middle].uid < uid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < digest->count && digest->briefs[low].uid == uid;
}

void za_member_on_digest(za_membership_t *m, uint64_t uid, const uint8_t *bytes, uint32_t size,
                         za_effects_t *out)
{
    digest_t digest;
    if (!digest_get(bytes, size, &digest)) {
        m->counters.frames_bad++;
        return;
    }
    if (digest.view_hash != 0) {
        if (digest.view_hash != m->view_hash) {
            za_member_send_digest(m, uid, out);
        }
        return;
    }
    page_t page = { .uid = uid };
    for (uint32_t i = 0; i < digest.count; i++) {
        compare_brief(m, &page, &digest.briefs[i], out);
    }
    for (uint16_t at = 0; at < m->fresh; at++) {
        const za_member_t *member = za_member_slot(m, at);
        if (member != NULL && member->uid >= digest.low && member->uid <= digest.high &&
            travels(m, member) && !in_briefs(&digest, member->uid)) {
            page_add(m, &page, member, out);
        }
    }
    page_flush(&page, out);
}

/* ---- records ------------------------------------------------------------------------------- */

static bool check_records(const uint8_t *next, const uint8_t *end)
{
    za_member_field_t field;
    uint32_t records = 0;
    while (za_member_field_get(&next, end, &field)) {
        za_member_news_t news;
        bool good = true;
        switch (field.key) {
        case RECORDS_RECORD:
            good =
                ++records <= ZA_MEMBER_PAGE && za_member_record_get(field.bytes, field.size, &news);
            break;
        case RECORDS_WANT:
            good = field.size % 8 == 0;
            break;
        case RECORDS_WANT_ONE:
            break;
        default:
            good = za_member_field_later(&field, RECORDS_LAST);
        }
        if (!good) {
            return false;
        }
    }
    return next == end;
}

static void answer_want(za_membership_t *m, page_t *page, uint64_t uid, za_effects_t *out)
{
    const za_member_t *member = za_member_find(m, uid);
    if (member != NULL && travels(m, member)) {
        page_add(m, page, member, out);
    }
}

static void answer_wants(za_membership_t *m, uint64_t uid, const uint8_t *next, const uint8_t *end,
                         za_effects_t *out)
{
    page_t page = { .uid = uid };
    za_member_field_t field;
    while (za_member_field_get(&next, end, &field)) {
        if (field.key == RECORDS_WANT_ONE) {
            answer_want(m, &page, field.number, out);
        } else if (field.key == RECORDS_WANT) {
            for (uint32_t i = 0; i < field.size; i += 8) {
                answer_want(m, &page, za_member_word_get(field.bytes + i), out);
            }
        }
    }
    page_flush(&page, out);
}

void za_member_on_records(za_membership_t *m, uint64_t uid, const uint8_t *bytes, uint32_t size,
                          za_effects_t *out)
{
    const uint8_t *next = bytes;
    const uint8_t *end = bytes + size;
    if (!check_records(next, end)) {
        m->counters.frames_bad++;
        return;
    }
    answer_wants(m, uid, next, end, out);
    za_member_field_t field;
    za_member_news_t news;
    while (za_member_field_get(&next, end, &field)) {
        if (field.key == RECORDS_RECORD) {
            bool good = za_member_record_get(field.bytes, field.size, &news);
            ZA_ASSERT(good); // it was checked
            za_member_learn(m, &news, out);
        }
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
    if (za_member_pick_linked(m, &m->rng, 0, 0, true, &uid, 1) == 1) {
        za_member_send_view_hash(m, uid, out);
    }
}

/** A peer's view differs although nothing is under way: the cheap sign that gossip missed one. */
void za_member_sync_hash(za_membership_t *m, uint64_t uid, uint64_t hash, za_effects_t *out)
{
    uint64_t pause_ms = 2 * (uint64_t)m->timing.probe_interval_ms;
    if (hash == m->view_hash || m->phase != ZA_PHASE_UP || m->now_ms < m->changed_ms + pause_ms ||
        m->now_ms < m->hash_sync_ms + pause_ms) {
        return;
    }
    m->hash_sync_ms = m->now_ms;
    if (za_member_link(m, uid) != NULL) {
        za_member_send_digest(m, uid, out);
        return;
    }
    // Above the full mesh few of those that ping have a link: a neighbour may know what we missed.
    uint64_t neighbour = 0;
    if (za_member_pick_linked(m, &m->rng, 0, 0, true, &neighbour, 1) == 1) {
        za_member_send_view_hash(m, neighbour, out);
    }
}
