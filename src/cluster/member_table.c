#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "cluster/membership_internal.h"

enum {
    NOT_SHOWN = 0xff,
    EVIDENCE_JITTER_MS = 200,
    BUCKETS_MIN = 64,
    PURGE_MS = 600000,
    LEFT_KNOWN_MS = 60000, // to all: rumours and syncs have ended long before
};

/* ---- memory -------------------------------------------------------------------------------- */

static uint8_t *divide(uint8_t *base, size_t *used, size_t count, size_t bytes)
{
    size_t at = (*used + 63) & ~(size_t)63;
    *used = at + count * bytes;
    return base != NULL ? base + at : NULL;
}

size_t za_member_table_init(za_membership_t *m, uint32_t capacity, uint8_t *memory)
{
    uint32_t buckets = BUCKETS_MIN;
    while (buckets < 2 * capacity) {
        buckets *= 2;
    }
    size_t used = 0;
    // What probes touch lies together.
    m->members = (za_member_t *)(void *)divide(memory, &used, capacity, sizeof *m->members);
    m->live = (uint16_t *)(void *)divide(memory, &used, capacity, sizeof *m->live);
    m->by_uid = (uint16_t *)(void *)divide(memory, &used, buckets, sizeof *m->by_uid);
    m->rests = (za_member_rest_t *)(void *)divide(memory, &used, capacity, sizeof *m->rests);
    m->doubts = (za_member_doubt_t *)(void *)divide(memory, &used, capacity, sizeof *m->doubts);
    m->by_name = (uint16_t *)(void *)divide(memory, &used, buckets, sizeof *m->by_name);
    m->sorted = (uint16_t *)(void *)divide(memory, &used, capacity + 1u, sizeof *m->sorted);
    m->scratch = (uint16_t *)(void *)divide(memory, &used, capacity, sizeof *m->scratch);
    m->timers = (uint16_t *)(void *)divide(memory, &used, capacity, sizeof *m->timers);
    m->census.answered_ms =
        (uint64_t *)(void *)divide(memory, &used, capacity, sizeof *m->census.answered_ms);
    m->links = (za_member_link_t *)(void *)divide(memory, &used, ZA_PEERS_MAX, sizeof *m->links);
    m->connects = (za_member_connect_t *)(void *)divide(memory, &used, ZA_MEMBER_CONNECTS_MAX,
                                                        sizeof *m->connects);
    m->seeds =
        (za_member_seed_t *)(void *)divide(memory, &used, ZA_MEMBER_SEEDS_MAX, sizeof *m->seeds);
    if (memory != NULL) {
        m->sorted_count = &m->sorted[capacity];
        *m->sorted_count = ZA_MEMBER_NONE;
        m->capacity = (uint16_t)capacity;
        m->free = ZA_MEMBER_NONE;
        m->doubt_free = ZA_MEMBER_NONE;
        m->mask = BUCKETS_MIN - 1;
        m->mask_max = buckets - 1; // twice the capacity or more
        m->names_ms = ZA_MEMBER_NEVER;
        m->connects_ms = ZA_MEMBER_NEVER;
        m->purge_ms = m->now_ms + PURGE_MS;
    }
    return used + 64;
}

void za_member_table_deinit(za_membership_t *m)
{
    for (uint32_t at = 0; at < m->fresh; at++) {
        const za_member_t *member = za_member_slot(m, at);
        if (member != NULL) {
            za_member_texts_release(m->texts, member->texts);
        }
    }
}

/* ---- by uid and by name -------------------------------------------------------------------- */

za_member_t *za_member_slot(const za_membership_t *m, uint32_t at)
{
    return m->members[at].uid != 0 ? &m->members[at] : NULL;
}

static uint16_t *name_bucket(const za_membership_t *m, uint32_t hash)
{
    return &m->by_name[hash & m->mask];
}

static void index_add(za_membership_t *m, uint16_t index)
{
    za_member_t *member = &m->members[index];
    uint32_t at = za_member_bucket(m, member->uid);
    while (m->by_uid[at] != 0) {
        at = (at + 1) & m->mask;
    }
    m->by_uid[at] = (uint16_t)(index + 1);
    uint16_t *bucket = name_bucket(m, za_member_text(m, member)->name_hash);
    m->rests[index].next = *bucket;
    *bucket = (uint16_t)(index + 1);
}

/** Doubles the buckets before they are half full. */
static void index_grow(za_membership_t *m)
{
    if (2u * (m->count + 1u) <= m->mask || m->mask == m->mask_max) {
        return;
    }
    m->mask = 2 * m->mask + 1;
    memset(m->by_uid, 0, (m->mask + 1) * sizeof *m->by_uid);
    memset(m->by_name, 0, (m->mask + 1) * sizeof *m->by_name);
    for (uint16_t at = 0; at < m->fresh; at++) {
        if (za_member_slot(m, at) != NULL) {
            index_add(m, at);
        }
    }
}

static void unlink_uid(za_membership_t *m, uint16_t index)
{
    uint32_t hole = za_member_bucket(m, m->members[index].uid);
    while (m->by_uid[hole] != index + 1) {
        hole = (hole + 1) & m->mask;
    }
    // Whatever follows without a gap moves up, unless it would pass its own bucket.
    for (uint32_t at = (hole + 1) & m->mask; m->by_uid[at] != 0; at = (at + 1) & m->mask) {
        uint32_t home = za_member_bucket(m, m->members[m->by_uid[at] - 1].uid);
        if (((at - home) & m->mask) >= ((at - hole) & m->mask)) {
            m->by_uid[hole] = m->by_uid[at];
            hole = at;
        }
    }
    m->by_uid[hole] = 0;
}

static void unlink_name(za_membership_t *m, uint16_t index)
{
    uint16_t *place = name_bucket(m, za_member_text(m, &m->members[index])->name_hash);
    while (*place != index + 1) {
        place = &m->rests[*place - 1].next;
    }
    *place = m->rests[index].next;
}

/** The next member with that name from `slot` (+ 1) of a bucket on; NULL if there is none. */
za_member_t *za_member_named(const za_membership_t *m, uint16_t slot, const char *name,
                             uint32_t bytes)
{
    for (; slot != 0; slot = m->rests[slot - 1].next) {
        const za_member_text_t *text = za_member_text(m, &m->members[slot - 1]);
        if (text->address_at == bytes + 1 && memcmp(text->name, name, bytes) == 0) {
            return &m->members[slot - 1];
        }
    }
    return NULL;
}

za_member_t *za_member_first_named(const za_membership_t *m, const char *name, uint32_t bytes)
{
    return za_member_named(m, *name_bucket(m, za_member_text_hash(name, bytes)), name, bytes);
}

/* ---- order of (name, uid) ------------------------------------------------------------------ */

static bool sorts_before(const za_membership_t *m, uint16_t a, uint16_t b)
{
    const za_member_t *left = &m->members[a];
    const za_member_t *right = &m->members[b];
    int order = strcmp(za_member_name(m, left), za_member_name(m, right));
    return order < 0 || (order == 0 && left->uid < right->uid);
}

static void sift(const za_membership_t *m, uint32_t at, uint32_t count)
{
    uint16_t slot = m->sorted[at];
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && sorts_before(m, m->sorted[child], m->sorted[child + 1])) {
            child++;
        }
        if (!sorts_before(m, slot, m->sorted[child])) {
            break;
        }
        m->sorted[at] = m->sorted[child];
        at = child;
    }
    m->sorted[at] = slot;
}

const uint16_t *za_member_sorted(const za_membership_t *m)
{
    if (*m->sorted_count != ZA_MEMBER_NONE) {
        return m->sorted;
    }
    uint32_t count = 0;
    for (uint16_t at = 0; at < m->fresh; at++) {
        if (za_member_slot(m, at) != NULL) {
            m->sorted[count++] = at;
        }
    }
    for (uint32_t at = count / 2; at-- > 0;) {
        sift(m, at, count);
    }
    for (uint32_t last = count; last-- > 1;) {
        uint16_t slot = m->sorted[0];
        m->sorted[0] = m->sorted[last];
        m->sorted[last] = slot;
        sift(m, 0, last);
    }
    *m->sorted_count = (uint16_t)count;
    return m->sorted;
}

/* ---- the live ones ------------------------------------------------------------------------- */

/** `live` is also the order of probes: those before pass_at were met in this pass. */
static void live_add(za_membership_t *m, za_member_t *member)
{
    m->live[m->live_size++] = za_member_index(m, member);
    member->live = true;
}

static void live_remove(za_membership_t *m, za_member_t *member)
{
    // Searched, because it is rare: a probe that moved places in the records, too, would touch two.
    uint16_t hole = 0;
    while (m->live[hole] != za_member_index(m, member)) {
        hole++;
    }
    member->live = false;
    if (hole < m->pass_at) {
        m->live[hole] = m->live[--m->pass_at];
        hole = m->pass_at;
    }
    m->live[hole] = m->live[--m->live_size];
}

za_member_state_t za_member_state_of(const za_member_t *member)
{
    za_member_opinion_t opinion;
    opinion.terminal = (uint8_t)member->terminal;
    opinion.rank = (uint8_t)member->rank;
    opinion.leaving = member->leaving;
    return za_member_state(&opinion);
}

static uint64_t member_hash(const za_membership_t *m, const za_member_t *member)
{
    uint64_t hash = za_mix64(za_member_text(m, member)->hash ^ member->uid);
    hash = za_mix64(hash ^ za_member_rest(m, member)->inc);
    uint64_t state =
        (uint64_t)member->terminal << 8 | (uint64_t)member->rank << 4 | member->leaving;
    return za_mix64(hash ^ state);
}

static void note_name(za_membership_t *m, const za_member_t *member)
{
    const za_member_text_t *text = za_member_text(m, member);
    uint32_t bytes = text->address_at - 1u;
    za_member_t *other = za_member_first_named(m, text->name, bytes);
    for (; other != NULL;
         other = za_member_named(m, za_member_rest(m, other)->next, text->name, bytes)) {
        if (other != member && other->in_view) {
            m->names_ms = za_ms_min(m->names_ms, m->now_ms + za_member_settle_ms(m));
        }
    }
}

static void recount(za_membership_t *m, za_member_t *member)
{
    bool self = member == za_member_self(m);
    bool terminal = za_member_terminal(member);
    bool in_view = !member->voided && !terminal && !(self && m->phase == ZA_PHASE_JOINING);
    bool in_alive = in_view && member->rank == za_MemberRank_MEMBER_RANK_ALIVE;
    bool in_dead =
        !member->voided && member->terminal == (unsigned)za_MemberTerminal_MEMBER_TERMINAL_DOWN;
    uint64_t hash = in_view ? member_hash(m, member) : 0;
    za_member_rest_t *rest = za_member_rest(m, member);
    if (hash != rest->hash) {
        m->changed_ms = m->now_ms;
    }
    // A sum does not depend on the order in which members were met.
    m->view_hash = m->view_hash - rest->hash + hash;
    m->live_count = (uint16_t)(m->live_count - member->in_view + in_view);
    m->alive_count = (uint16_t)(m->alive_count - member->in_alive + in_alive);
    m->dead_count = (uint16_t)(m->dead_count - member->in_dead + in_dead);
    if (in_view && !member->in_view) {
        note_name(m, member);
    }
    if (in_view != member->in_view) {
        za_member_ring_changed(m, member);
    }
    rest->hash = hash;
    member->in_view = in_view;
    member->in_alive = in_alive;
    member->in_dead = in_dead;
    bool live = in_view && !self;
    if (live && !member->live) {
        live_add(m, member);
    } else if (!live && member->live) {
        live_remove(m, member);
    }
}

/* ---- coming and going ---------------------------------------------------------------------- */

static void remove_member(za_membership_t *m, uint16_t index)
{
    za_member_t *member = &m->members[index];
    za_member_gossip_remove(m, member);
    za_member_downing_forget(m, member);
    za_member_plan_connect(m, member, ZA_MEMBER_NEVER);
    if (member->doubt != ZA_MEMBER_NONE) {
        za_member_doubt_remove(m, member);
    }
    member->voided = true;
    recount(m, member);
    unlink_name(m, index);
    unlink_uid(m, index);
    za_member_texts_release(m->texts, member->texts);
    memset(member, 0, sizeof *member);
    m->rests[index] = (za_member_rest_t){ .next = m->free };
    m->free = index;
    m->count--;
    *m->sorted_count = ZA_MEMBER_NONE;
}

static bool left_long_ago(const za_membership_t *m, uint16_t at)
{
    return m->members[at].terminal == (unsigned)za_MemberTerminal_MEMBER_TERMINAL_LEFT &&
           m->now_ms - m->rests[at].since_ms >= LEFT_KNOWN_MS;
}

/**
 * Which of two tombstones goes first. Who left never comes back; but while others have not heard of it
 * they tell of a live one, and whoever forgot its end would believe them.
 */
static bool goes_before(const za_membership_t *m, uint16_t a, uint16_t b)
{
    bool first = left_long_ago(m, a);
    return first != left_long_ago(m, b) ? first : m->rests[a].since_ms < m->rests[b].since_ms;
}

/** The tombstone to give up first; ZA_MEMBER_NONE if there is none. */
static uint16_t least_tombstone(const za_membership_t *m)
{
    uint16_t least = ZA_MEMBER_NONE;
    for (uint16_t at = 0; at < m->fresh; at++) {
        const za_member_t *member = za_member_slot(m, at);
        if (member != NULL && za_member_terminal(member) && at != m->self &&
            (least == ZA_MEMBER_NONE || goes_before(m, at, least))) {
            least = at;
        }
    }
    return least;
}

static bool make_room(za_membership_t *m)
{
    if (m->count < m->capacity) {
        return true;
    }
    uint16_t index = least_tombstone(m);
    if (index == ZA_MEMBER_NONE) {
        return false;
    }
    remove_member(m, index);
    return true;
}

bool za_member_welcome(const za_membership_t *m, za_MemberTerminal terminal)
{
    return m->count < m->capacity || terminal == za_MemberTerminal_MEMBER_TERMINAL_NONE;
}

static uint16_t take_slot(za_membership_t *m)
{
    uint16_t index = m->free;
    if (index == ZA_MEMBER_NONE) {
        return m->fresh++;
    }
    m->free = m->rests[index].next;
    return index;
}

za_member_t *za_member_insert(za_membership_t *m, uint64_t uid, const za_member_opinion_t *opinion,
                              const za_member_profile_t *profile)
{
    uint32_t texts = make_room(m) ? za_member_texts_intern(m->texts, profile) : 0;
    if (texts == 0) {
        return NULL;
    }
    index_grow(m);
    uint16_t index = take_slot(m);
    za_member_t *member = &m->members[index];
    *member = (za_member_t){
        .uid = uid,
        .texts = texts,
        .heard_ms = ZA_MEMBER_NEVER,
        .doubt = ZA_MEMBER_NONE,
        .shown = NOT_SHOWN,
        .linked = za_member_link(m, uid) != NULL,
        .gossip_full = true,
    };
    m->rests[index] = (za_member_rest_t){ .since_ms = m->now_ms };
    za_member_set_opinion(m, member, opinion);
    index_add(m, index);
    m->count++;
    *m->sorted_count = ZA_MEMBER_NONE;
    return member;
}

bool za_member_set_texts(za_membership_t *m, za_member_t *member,
                         const za_member_profile_t *profile)
{
    uint32_t texts = za_member_texts_intern(m->texts, profile);
    if (texts == 0) {
        return false;
    }
    // The name stays the same, and with it the place in by_name.
    za_member_texts_release(m->texts, member->texts);
    member->texts = texts;
    member->gossip_full = true;
    return true;
}

/* ---- what the driver is told --------------------------------------------------------------- */

static void count_state(za_membership_t *m, za_member_state_t state, za_effects_t *out)
{
    switch (state) {
    case ZA_MEMBER_SUSPECT:
        m->counters.suspects++;
        za_membership_mark(m, out, ZA_MARK_SUSPECT);
        break;
    case ZA_MEMBER_DOWN:
        m->counters.downs++;
        za_membership_mark(m, out, ZA_MARK_DOWN);
        break;
    default:
        break;
    }
}

za_effect_t *za_member_tell(const za_membership_t *m, const za_member_t *member,
                            za_effect_type_t type, za_effects_t *out)
{
    const za_member_text_t *text = za_member_text(m, member);
    const char *roles = za_member_text_roles(text);
    za_effect_t *effect = za_effects_add(out, type);
    effect->uid = member->uid;
    effect->name = za_effects_copy(out, text->name);
    effect->address = za_effects_copy(out, za_member_text_address(text));
    if (roles[0] != '\0') {
        effect->bytes = (const uint8_t *)za_effects_copy(out, roles);
        effect->size = (uint32_t)strlen(roles) + 1;
    }
    return effect;
}

void za_member_announce(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    if (member->voided) {
        return;
    }
    bool joining = member == za_member_self(m) && m->phase == ZA_PHASE_JOINING;
    za_member_state_t state = joining ? ZA_MEMBER_JOINING : za_member_state_of(member);
    za_member_check_apart(m, member, out);
    if (member->shown == state) {
        return;
    }
    if (member->shown != NOT_SHOWN && member->shown >= ZA_MEMBER_LEFT && state >= ZA_MEMBER_LEFT) {
        member->shown = (uint8_t)state; // LEFT here, DOWN elsewhere: its end was told, once
        return;
    }
    if (!za_membership_room(m, out, ZA_MEMBER_TOLD_BYTES_MAX)) {
        m->unannounced = true;
        return;
    }
    member->shown = (uint8_t)state;
    za_member_rest(m, member)->since_ms = m->now_ms;
    za_member_tell(m, member, ZA_EFFECT_MEMBER, out)->state = state;
    count_state(m, state, out);
}

void za_member_announce_all(za_membership_t *m, za_effects_t *out)
{
    m->unannounced = false;
    const uint16_t *sorted = za_member_sorted(m);
    for (uint32_t i = 0; i < m->count; i++) {
        za_member_announce(m, &m->members[sorted[i]], out);
    }
}

void za_member_changed(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    recount(m, member);
    za_member_downing_note(m, member);
    za_member_set_timer(m, member);
    za_member_gossip_add(m, member);
    za_member_announce(m, member, out);
    if (za_member_terminal(member) && member != za_member_self(m)) {
        za_member_plan_connect(m, member, ZA_MEMBER_NEVER);
        if (member->linked) {
            za_member_tell_down(m, member, out);
        }
    }
}

void za_member_purge(za_membership_t *m)
{
    if (m->now_ms < m->purge_ms) {
        return;
    }
    m->purge_ms = m->now_ms + PURGE_MS;
    for (uint16_t at = 0; at < m->fresh; at++) {
        const za_member_t *member = za_member_slot(m, at);
        if (member != NULL && (za_member_terminal(member) || member->voided) && at != m->self &&
            m->now_ms - m->rests[at].since_ms >= ZA_MEMBER_TOMBSTONE_MS) {
            remove_member(m, at);
        }
    }
}

void za_member_table_up(za_membership_t *m)
{
    for (uint16_t at = 0; at < m->fresh; at++) {
        za_member_t *member = za_member_slot(m, at);
        if (member != NULL && member->doubt != ZA_MEMBER_NONE) {
            za_member_doubt(m, member)->rank_ms = m->now_ms;
            za_member_set_timer(m, member);
        }
    }
}

static void forget_side(za_membership_t *m)
{
    for (uint16_t at = 0; at < m->fresh; at++) {
        za_member_t *member = za_member_slot(m, at);
        if (member == NULL) {
            continue;
        }
        za_member_gossip_remove(m, member);
        member->linked = false;
        member->apart = false; // ZA_EFFECT_REBORN says so
        bool down = member->terminal == (unsigned)za_MemberTerminal_MEMBER_TERMINAL_DOWN;
        bool doubted = member->doubt != ZA_MEMBER_NONE && za_member_downing_waits(m);
        if (doubted) { // the winning side knows better who can be reached
            za_member_doubt_remove(m, member);
        }
        member->voided = member->voided || doubted || (down && !member->was_self);
        recount(m, member);
    }
}

void za_member_table_reborn(za_membership_t *m, uint64_t uid)
{
    za_member_t *old = za_member_self(m);
    za_member_profile_t profile = za_member_profile(za_member_text(m, old));
    profile.joined = m->clock;
    profile.attributes = 1;
    old->terminal = (unsigned)za_MemberTerminal_MEMBER_TERMINAL_DOWN;
    old->rank = (unsigned)za_MemberRank_MEMBER_RANK_ALIVE;
    old->was_self = true;
    old->shown = ZA_MEMBER_DOWN; // ZA_EFFECT_REBORN says so
    za_member_rest(m, old)->since_ms = m->now_ms;
    old->heard_ms = ZA_MEMBER_NEVER;
    forget_side(m);
    uint32_t texts = za_member_texts_intern(m->texts, &profile);
    ZA_ASSERT(texts != 0);
    profile = za_member_profile(za_member_texts_at(m->texts, texts)); // outlives the old record
    bool full = m->count == m->capacity && least_tombstone(m) == ZA_MEMBER_NONE;
    if (full) {
        remove_member(m, m->self);
    }
    za_member_opinion_t opinion = { .inc = 1 };
    za_member_t *self = za_member_insert(m, uid, &opinion, &profile);
    ZA_ASSERT(self != NULL); // two texts of a node's own are counted in
    za_member_texts_release(m->texts, texts);
    za_member_set_self(m, self);
    if (!full) {
        recount(m, old);
    }
    recount(m, self);
}

/* ---- news ---------------------------------------------------------------------------------- */

static void learn_of_self(za_membership_t *m, const za_member_opinion_t *news, za_effects_t *out)
{
    za_member_t *self = za_member_self(m);
    if (news->terminal != za_MemberTerminal_MEMBER_TERMINAL_NONE) {
        if (m->phase <= ZA_PHASE_UP) {
            m->rebirth_due = true;
            m->rebirth_by = 0;
        }
        return;
    }
    bool doubted = news->rank != za_MemberRank_MEMBER_RANK_ALIVE;
    za_member_rest_t *rest = za_member_rest(m, self);
    if (m->phase == ZA_PHASE_JOINING || m->phase > ZA_PHASE_LEAVING || news->inc < rest->inc ||
        (news->inc == rest->inc && !doubted)) {
        return;
    }
    if (news->inc == ZA_MEMBER_LOGICAL_MAX) {
        m->rebirth_due = true; // a lie, and no incarnation is left to refute it
        m->rebirth_by = 0;
        return;
    }
    rest->inc = news->inc + 1;
    m->counters.refutes++;
    za_membership_mark(m, out, ZA_MARK_REFUTE);
    za_member_health(m, 1);
    za_member_changed(m, self, out);
}

static void learn_of_new(za_membership_t *m, const za_member_news_t *news, za_effects_t *out)
{
    if (news->brief || !za_member_welcome(m, news->opinion.terminal)) {
        return; // a sync brings its texts
    }
    za_member_t *member = za_member_insert(m, news->uid, &news->opinion, &news->profile);
    if (member == NULL) {
        return; // the table is full of live members
    }
    za_member_changed(m, member, out);
    za_member_replace_by_address(m, member, out);
    if (za_member_terminal(member)) {
        return;
    }
    if (member->linked) {
        za_member_herald(m, member, out); // it came to us: few or none know it yet
    } else {
        za_member_want_link(m, member);
    }
}

/** Another's suspicion: see for ourselves, and soon, so that it is confirmed or refuted. */
static void follow_suspicion(za_membership_t *m, za_member_t *member)
{
    if (!member->linked && m->live_count <= ZA_MEMBER_MESH_MAX) {
        uint64_t jitter = za_rng_below(&m->rng, EVIDENCE_JITTER_MS);
        za_member_plan_connect(m, member, m->now_ms + jitter);
    }
    // In a large cluster enough others probe it by chance, and all at once would be a burst.
    if (m->live_count <= ZA_MEMBER_URGENT_MAX) {
        m->probe.urgent = member->uid;
    }
}

static void learn_change(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    if (za_member_terminal(member)) {
        bool died = member->terminal == (unsigned)za_MemberTerminal_MEMBER_TERMINAL_DOWN;
        if (died && member->heard_ms != ZA_MEMBER_NEVER &&
            m->now_ms - member->heard_ms < 2 * (uint64_t)m->timing.probe_interval_ms) {
            m->counters.down_of_live++; // agreement beats our own opinion
        }
        member->heard_ms = ZA_MEMBER_NEVER;
    }
    za_member_changed(m, member, out);
    za_member_state_t state = za_member_state_of(member);
    if (state == ZA_MEMBER_SUSPECT) {
        follow_suspicion(m, member);
    }
    if ((state == ZA_MEMBER_UP || state == ZA_MEMBER_LEAVING) && !member->linked) {
        za_member_want_link(m, member);
    }
}

/**
 * Whether the news' texts are those that we have or, if it wins, may become them. A brief record about
 * other attributes says nothing to us: a sync brings all of it.
 */
static bool texts_agree(za_membership_t *m, za_member_t *member, const za_member_news_t *news,
                        bool wins)
{
    const za_member_text_t *text = za_member_text(m, member);
    bool same = text->attributes == news->profile.attributes;
    if (news->opinion.terminal != za_MemberTerminal_MEMBER_TERMINAL_NONE) {
        return true;
    }
    if (news->brief) {
        return same;
    }
    if (text->address_at != news->profile.name_bytes + 1 ||
        memcmp(text->name, news->profile.name, news->profile.name_bytes) != 0) {
        m->counters.frames_bad++; // a uid has one name for life
        return false;
    }
    return same || !wins || za_member_set_texts(m, member, &news->profile);
}

static void learn_of_known(za_membership_t *m, za_member_t *member, const za_member_news_t *news,
                           za_effects_t *out)
{
    za_member_opinion_t opinion;
    za_member_opinion(m, member, &opinion);
    za_merge_t merge = za_member_merge(&opinion, &news->opinion);
    if (merge == ZA_MERGE_OLD) {
        if (za_member_compare(&opinion, &news->opinion) == 0) {
            za_member_gossip_heard(m, member);
        }
        return;
    }
    if (!texts_agree(m, member, news, merge == ZA_MERGE_NEW)) {
        return;
    }
    bool terminal = za_member_terminal(member);
    za_member_set_opinion(m, member, &opinion);
    if (merge == ZA_MERGE_NEW) {
        learn_change(m, member, out);
    } else if (!terminal) {
        za_member_set_timer(m, member);
        za_member_gossip_add(m, member);
    }
}

void za_member_learn(za_membership_t *m, const za_member_news_t *news, za_effects_t *out)
{
    m->rest_stale = true;
    if (news->uid == za_membership_self_uid(m)) {
        learn_of_self(m, &news->opinion, out);
        return;
    }
    m->clock = news->profile.joined > m->clock ? news->profile.joined : m->clock;
    za_member_t *member = za_member_find(m, news->uid);
    if (member == NULL) {
        learn_of_new(m, news, out);
    } else if (!member->voided) {
        learn_of_known(m, member, news, out);
    } else if (texts_agree(m, member, news, true)) {
        member->voided = false;
        member->heard_ms = ZA_MEMBER_NEVER;
        za_member_set_opinion(m, member, &news->opinion);
        learn_change(m, member, out);
        za_member_replace_by_address(m, member, out);
    }
}
