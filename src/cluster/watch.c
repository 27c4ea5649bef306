#include "cluster/watch.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"

typedef enum side {
    OURS = 1, // a local watcher, a remote target
    THEIRS,   // a remote watcher, a local target
} side_t;

typedef enum news {
    NEWS_NONE,    // the far end knows all that we know
    NEWS_WATCH,   // ours: to be sent
    NEWS_UNWATCH, // ours: the watcher does not want it any more; the record goes with the frame
    NEWS_DOWN,    // theirs: the target ended; the record goes with the frame
} news_t;

typedef struct record {
    uint64_t uid; // of the far node
    uint64_t watcher;
    uint64_t id;
    uint64_t target;
    uint64_t after_user; // NEWS_DOWN, counted on the link `epoch`
    uint64_t until_ms;   // unknown uid: when to give up
    uint32_t epoch;
    za_Reason reason;
    side_t side;
    news_t news;
    bool links;   // a link: news of both ends
    bool ended;   // ours, not told yet: `reason` follows the watch
    bool unknown; // in the list of watches whose uid is unknown
    za_link_t all, pending, doubt;
} record_t;

typedef struct peer {
    uint64_t uid;
    za_chain_t ours; // in watch id order
    za_chain_t theirs;
    za_chain_t pending; // records with news
    bool busy;          // in the list of peers with news
    za_link_t busy_link;
} peer_t;

struct za_watch {
    const za_view_t *view;
    za_syslane_t *lane;
    za_slots_t records;
    za_slots_t peers;
    za_chain_t busy;
    za_chain_t doubts; // watches of unknown uids, the first due first
    za_watch_stats_t stats;
};

#define ALL offsetof(record_t, all)
#define PENDING offsetof(record_t, pending)
#define DOUBT offsetof(record_t, doubt)
#define BUSY offsetof(peer_t, busy_link)

enum {
    PEERS_MAX = ZA_MEMBERS_MAX,
    REFUSALS_MAX = ZA_SYSLANE_FRAMES_MAX, // records that only say "limit": one peer's whole window
};

za_err_t za_watch_create(const za_view_t *view, za_syslane_t *lane, za_watch_t **out)
{
    za_watch_t *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        return ZA_ENOMEM;
    }
    watch->view = view;
    watch->lane = lane;
    if (za_slots_init(&watch->records, ZA_WATCHES_MAX + REFUSALS_MAX, sizeof(record_t)) != ZA_OK ||
        za_slots_init(&watch->peers, PEERS_MAX, sizeof(peer_t)) != ZA_OK) {
        za_watch_destroy(watch);
        return ZA_ENOMEM;
    }
    *out = watch;
    return ZA_OK;
}

void za_watch_destroy(za_watch_t *watch)
{
    if (watch == NULL) {
        return;
    }
    za_slots_deinit(&watch->records);
    za_slots_deinit(&watch->peers);
    free(watch);
}

static record_t *record_at(const za_watch_t *watch, uint32_t id)
{
    return za_slots_at(&watch->records, id);
}

static peer_t *peer_at(const za_watch_t *watch, uint32_t id)
{
    return za_slots_at(&watch->peers, id);
}

static uint32_t find_peer(const za_watch_t *watch, uint64_t uid)
{
    uint32_t id = za_slots_first(&watch->peers, za_mix64(uid));
    while (id != 0 && peer_at(watch, id)->uid != uid) {
        id = za_slots_next(&watch->peers, id);
    }
    return id;
}

static uint32_t make_peer(za_watch_t *watch, uint64_t uid)
{
    uint32_t id = find_peer(watch, uid);
    if (id == 0) {
        id = za_slots_add(&watch->peers, za_mix64(uid));
        if (id != 0) {
            peer_at(watch, id)->uid = uid;
        }
    }
    return id;
}

/** `uid` only for their watches: a local (watcher, id) is unique by itself. */
static uint64_t key_hash(side_t side, uint64_t uid, uint64_t watcher, uint64_t id)
{
    uint64_t hash = za_mix64(watcher) + za_mix64(id ^ UINT64_C(0x9e3779b97f4a7c15));
    return za_mix64(side == THEIRS ? hash ^ za_mix64(~uid) : hash);
}

static uint32_t find_record(const za_watch_t *watch, side_t side, uint64_t uid, uint64_t watcher,
                            uint64_t id)
{
    uint64_t hash = key_hash(side, uid, watcher, id);
    for (uint32_t at = za_slots_first(&watch->records, hash); at != 0;
         at = za_slots_next(&watch->records, at)) {
        const record_t *record = record_at(watch, at);
        if (record->side == side && record->watcher == watcher && record->id == id &&
            (side == OURS || record->uid == uid)) {
            return at;
        }
    }
    return 0;
}

/* ---- records and their lists ------------------------------------------------------------------ */

static void set_news(za_watch_t *watch, uint32_t at, news_t news)
{
    record_t *record = record_at(watch, at);
    uint32_t peer_id = find_peer(watch, record->uid);
    peer_t *peer = peer_at(watch, peer_id);
    if ((record->news == NEWS_NONE) != (news == NEWS_NONE)) {
        if (news == NEWS_NONE) {
            za_chain_remove(&peer->pending, &watch->records, PENDING, at);
        } else {
            za_chain_append(&peer->pending, &watch->records, PENDING, at);
        }
    }
    record->news = news;
    bool busy = peer->pending.count > 0;
    if (busy && !peer->busy) {
        za_chain_append(&watch->busy, &watch->peers, BUSY, peer_id);
    } else if (!busy && peer->busy) {
        za_chain_remove(&watch->busy, &watch->peers, BUSY, peer_id);
    }
    peer->busy = busy;
}

static void end_doubt(za_watch_t *watch, uint32_t at)
{
    record_t *record = record_at(watch, at);
    if (record->unknown) {
        record->unknown = false;
        za_chain_remove(&watch->doubts, &watch->records, DOUBT, at);
    }
}

static void drop_peer_if_idle(za_watch_t *watch, uint32_t peer_id)
{
    const peer_t *peer = peer_at(watch, peer_id);
    if (peer->ours.count == 0 && peer->theirs.count == 0) {
        za_slots_remove(&watch->peers, peer_id);
    }
}

static void drop_record(za_watch_t *watch, uint32_t at)
{
    record_t *record = record_at(watch, at);
    set_news(watch, at, NEWS_NONE);
    end_doubt(watch, at);
    uint32_t peer_id = find_peer(watch, record->uid);
    peer_t *peer = peer_at(watch, peer_id);
    if (record->side == OURS) {
        za_chain_remove(&peer->ours, &watch->records, ALL, at);
    } else {
        za_chain_remove(&peer->theirs, &watch->records, ALL, at);
    }
    za_slots_remove(&watch->records, at);
    drop_peer_if_idle(watch, peer_id);
}

static void link_ours(za_watch_t *watch, peer_t *peer, uint32_t at)
{
    const record_t *record = record_at(watch, at);
    uint32_t after = peer->ours.last; // ids grow, so the place is nearly always the end
    while (after != 0) {
        const record_t *other = record_at(watch, after);
        if (other->id < record->id ||
            (other->id == record->id && other->watcher < record->watcher)) {
            break;
        }
        after = za_chain_prev(&watch->records, ALL, after);
    }
    za_chain_insert(&peer->ours, &watch->records, ALL, after, at);
}

/** A new record in its lists; 0: a table is full. */
static uint32_t add_record(za_watch_t *watch, side_t side, uint64_t uid, uint64_t watcher,
                           uint64_t id, uint64_t target)
{
    uint32_t peer_id = make_peer(watch, uid);
    if (peer_id == 0) {
        return 0;
    }
    uint32_t at = za_slots_add(&watch->records, key_hash(side, uid, watcher, id));
    if (at == 0) {
        drop_peer_if_idle(watch, peer_id);
        return 0;
    }
    record_t *record = record_at(watch, at);
    record->side = side;
    record->uid = uid;
    record->watcher = watcher;
    record->id = id;
    record->target = target;
    peer_t *peer = peer_at(watch, peer_id);
    if (side == OURS) {
        link_ours(watch, peer, at);
    } else {
        za_chain_append(&peer->theirs, &watch->records, ALL, at);
    }
    return at;
}

/* ---- our watches ------------------------------------------------------------------------------ */

static void emit_fire(za_watch_t *watch, bool links, uint64_t watcher, uint64_t id, za_ref_t target,
                      za_Reason reason, za_effects_t *out)
{
    za_effect_t *effect = za_effects_add(out, links ? ZA_EFFECT_EXIT_LOCAL : ZA_EFFECT_FIRE);
    effect->watcher = (za_ref_t){ 0, watcher };
    effect->actor = links ? watcher : 0;
    effect->id = id;
    effect->ref = target;
    effect->reason = reason;
    watch->stats.fired++;
}

static za_Reason reason_of(za_known_t terminal)
{
    return terminal == ZA_KNOWN_LEFT ? za_Reason_REASON_NODE_LEFT : za_Reason_REASON_NODE_DOWN;
}

static void fire(za_watch_t *watch, uint32_t at, za_Reason reason, za_effects_t *out)
{
    const record_t *record = record_at(watch, at);
    if (record->news != NEWS_UNWATCH && !record->ended) {
        emit_fire(watch, record->links, record->watcher, record->id,
                  (za_ref_t){ record->uid, record->target }, reason, out);
    }
    drop_record(watch, at);
}

static void add_ours(za_watch_t *watch, bool links, za_ref_t watcher, uint64_t id, za_ref_t target,
                     uint64_t now_ms, za_effects_t *out)
{
    if (find_record(watch, OURS, 0, watcher.actor, id) != 0) {
        return; // the same watch twice is one watch
    }
    za_known_t known = za_view_known(watch->view, target.node);
    if (known == ZA_KNOWN_DOWN || known == ZA_KNOWN_LEFT) {
        emit_fire(watch, links, watcher.actor, id, target, reason_of(known), out);
        return;
    }
    uint32_t at = 0;
    if (watch->records.count < ZA_WATCHES_MAX) {
        at = add_record(watch, OURS, target.node, watcher.actor, id, target.actor);
    }
    if (at == 0) {
        watch->stats.refused++;
        emit_fire(watch, links, watcher.actor, id, target, za_Reason_REASON_LIMIT, out);
        return;
    }
    record_at(watch, at)->links = links;
    set_news(watch, at, NEWS_WATCH);
    if (known == ZA_KNOWN_NOT) {
        record_t *record = record_at(watch, at);
        record->unknown = true;
        record->until_ms = now_ms + ZA_WATCH_UNKNOWN_MS;
        za_chain_append(&watch->doubts, &watch->records, DOUBT, at);
    }
}

void za_watch_add(za_watch_t *watch, za_ref_t watcher, uint64_t id, za_ref_t target,
                  uint64_t now_ms, za_effects_t *out)
{
    add_ours(watch, false, watcher, id, target, now_ms, out);
}

void za_watch_link(za_watch_t *watch, za_ref_t watcher, uint64_t id, za_ref_t target,
                   uint64_t now_ms, za_effects_t *out)
{
    add_ours(watch, true, watcher, id, target, now_ms, out);
}

void za_watch_remove(za_watch_t *watch, za_ref_t watcher, uint64_t id, za_ref_t target)
{
    uint32_t at = find_record(watch, OURS, 0, watcher.actor, id);
    if (at == 0 || record_at(watch, at)->uid != target.node) {
        return; // it has fired
    }
    if (record_at(watch, at)->news == NEWS_WATCH) {
        drop_record(watch, at); // the far end never heard of it
        return;
    }
    set_news(watch, at, NEWS_UNWATCH);
}

void za_watch_unlink(za_watch_t *watch, za_ref_t watcher, uint64_t id, za_ref_t target,
                     za_Reason reason, uint64_t after_user)
{
    uint32_t at = find_record(watch, OURS, 0, watcher.actor, id);
    if (at == 0 || record_at(watch, at)->uid != target.node) {
        return; // the other end was first
    }
    record_t *record = record_at(watch, at);
    if (reason == za_Reason_REASON_NONE && record->news == NEWS_WATCH) {
        drop_record(watch, at); // the far end never heard of it
        return;
    }
    record->reason = reason;
    record->after_user = after_user;
    record->epoch = za_syslane_epoch(watch->lane, record->uid);
    if (record->news == NEWS_WATCH) {
        record->ended = true; // the far end hears of the link first, and then of this
    } else {
        set_news(watch, at, NEWS_UNWATCH);
    }
}

/* ---- their watches ---------------------------------------------------------------------------- */

void za_watch_local_down(za_watch_t *watch, za_ref_t watcher, uint64_t id, za_Reason reason,
                         uint64_t after_user)
{
    uint32_t at = find_record(watch, THEIRS, watcher.node, watcher.actor, id);
    if (at == 0 || record_at(watch, at)->news == NEWS_DOWN) {
        return; // unwatched meanwhile, or the watcher's node is gone
    }
    record_t *record = record_at(watch, at);
    record->reason = reason;
    record->after_user = after_user;
    record->epoch = za_syslane_epoch(watch->lane, record->uid);
    set_news(watch, at, NEWS_DOWN);
}

static void emit_local(const record_t *record, za_effect_type_t type, za_effects_t *out)
{
    za_effect_t *effect = za_effects_add(out, type);
    effect->watcher = (za_ref_t){ record->uid, record->watcher };
    effect->id = record->id;
    effect->actor = record->target;
}

/** What the remote watcher's end, or its not wanting it any more, is to our target. */
static void emit_unwatch(const record_t *record, za_Reason reason, za_effects_t *out)
{
    if (record->news == NEWS_DOWN) {
        return; // our end was first
    }
    if (!record->links) {
        emit_local(record, ZA_EFFECT_UNWATCH_LOCAL, out);
        return;
    }
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_EXIT_LOCAL);
    effect->actor = record->target;
    effect->id = record->id;
    effect->ref = (za_ref_t){ record->uid, record->watcher };
    effect->reason = reason;
}

static void take_watch(za_watch_t *watch, uint64_t uid, const za_SysWatch *frame, za_effects_t *out)
{
    if (find_record(watch, THEIRS, uid, frame->watcher, frame->id) != 0) {
        return;
    }
    bool room = watch->records.count < ZA_WATCHES_MAX;
    uint32_t at = add_record(watch, THEIRS, uid, frame->watcher, frame->id, frame->target);
    if (at == 0) {
        watch->stats.refused++; // the reserve for refusals is used up as well
        za_effects_add(out, ZA_EFFECT_LOG)->name = za_effects_text(
            out, "watch table full: a watch of node %016llx is lost", (unsigned long long)uid);
        return;
    }
    record_at(watch, at)->links = frame->link;
    if (!room) {
        watch->stats.refused++;
        record_at(watch, at)->reason = za_Reason_REASON_LIMIT;
        set_news(watch, at, NEWS_DOWN);
        return;
    }
    emit_local(record_at(watch, at), frame->link ? ZA_EFFECT_LINK_LOCAL : ZA_EFFECT_WATCH_LOCAL,
               out);
}

static void take_unwatch(za_watch_t *watch, uint64_t uid, const za_SysUnwatch *frame,
                         za_effects_t *out)
{
    uint32_t at = find_record(watch, THEIRS, uid, frame->watcher, frame->id);
    if (at == 0) {
        return;
    }
    emit_unwatch(record_at(watch, at), (za_Reason)frame->reason, out);
    drop_record(watch, at);
}

void za_watch_frame(za_watch_t *watch, uint64_t uid, const za_SysFrame *frame, za_effects_t *out)
{
    switch (frame->which_body) {
    case za_SysFrame_watch_tag:
        take_watch(watch, uid, &frame->body.watch, out);
        break;
    case za_SysFrame_unwatch_tag:
        take_unwatch(watch, uid, &frame->body.unwatch, out);
        break;
    case za_SysFrame_down_tag: {
        const za_SysDown *down = &frame->body.down;
        uint32_t at = find_record(watch, OURS, 0, down->watcher, down->id);
        if (at != 0 && record_at(watch, at)->uid == uid) { // only the target's node may say so
            fire(watch, at, (za_Reason)down->reason, out);
        }
        break;
    }
    default:
        break;
    }
}

/* ---- ends of uids ----------------------------------------------------------------------------- */

static za_step_t drop_theirs(za_watch_t *watch, uint32_t peer_id, za_Reason reason,
                             za_effects_t *out)
{
    uint32_t at = peer_at(watch, peer_id)->theirs.first;
    while (at != 0) {
        if (!za_effects_have_room(out, 1, 0)) {
            return ZA_STEP_MORE;
        }
        uint32_t next = za_chain_next(&watch->records, ALL, at);
        emit_unwatch(record_at(watch, at), reason, out);
        drop_record(watch, at);
        at = next;
    }
    return ZA_STEP_DONE;
}

za_step_t za_watch_gone(za_watch_t *watch, uint64_t uid, za_Reason reason, za_effects_t *out)
{
    for (uint32_t id = find_peer(watch, uid); id != 0; id = find_peer(watch, uid)) {
        uint32_t at = peer_at(watch, id)->ours.first;
        if (at == 0) {
            return drop_theirs(watch, id, reason, out);
        }
        if (!za_effects_have_room(out, 1, 0)) {
            return ZA_STEP_MORE;
        }
        fire(watch, at, reason, out);
    }
    return ZA_STEP_DONE;
}

/**
 * Watches of a peer that knows none of them: under our new uid, or because it has forgotten us. Links have
 * ended, for the actors there were told that we are gone, for the same reason.
 */
static za_step_t watch_again(za_watch_t *watch, uint32_t peer_id, za_Reason reason,
                             za_effects_t *out)
{
    uint32_t at = peer_at(watch, peer_id)->ours.first;
    while (at != 0) {
        if (!za_effects_have_room(out, 1, 0)) {
            return ZA_STEP_MORE;
        }
        uint32_t next = za_chain_next(&watch->records, ALL, at);
        if (record_at(watch, at)->news == NEWS_UNWATCH) {
            drop_record(watch, at);
        } else if (record_at(watch, at)->links) {
            fire(watch, at, reason, out);
        } else {
            set_news(watch, at, NEWS_WATCH);
        }
        at = next;
    }
    return ZA_STEP_DONE;
}

static bool peer_lives(const za_watch_t *watch, uint32_t id)
{
    return find_peer(watch, peer_at(watch, id)->uid) == id;
}

/** All of one peer anew. Its record may go with its last watch. */
static za_step_t begin_anew(za_watch_t *watch, uint32_t id, za_Reason reason, za_effects_t *out)
{
    if (peer_lives(watch, id) && drop_theirs(watch, id, reason, out) == ZA_STEP_MORE) {
        return ZA_STEP_MORE;
    }
    return peer_lives(watch, id) ? watch_again(watch, id, reason, out) : ZA_STEP_DONE;
}

za_step_t za_watch_reborn(za_watch_t *watch, za_effects_t *out)
{
    // By slot number: their order follows from the history alone.
    for (uint32_t id = 1; id <= watch->peers.fresh; id++) {
        if (begin_anew(watch, id, za_Reason_REASON_NODE_DOWN, out) == ZA_STEP_MORE) {
            return ZA_STEP_MORE;
        }
    }
    return ZA_STEP_DONE;
}

za_step_t za_watch_forgotten(za_watch_t *watch, uint64_t uid, za_effects_t *out)
{
    uint32_t id = find_peer(watch, uid);
    return id != 0 ? begin_anew(watch, id, za_Reason_REASON_NO_NODE, out) : ZA_STEP_DONE;
}

/* ---- pump ------------------------------------------------------------------------------------- */

static void write_news(const record_t *record, za_SysFrame *frame)
{
    switch (record->news) {
    case NEWS_WATCH:
        frame->which_body = za_SysFrame_watch_tag;
        frame->body.watch =
            (za_SysWatch){ record->watcher, record->id, record->target, record->links };
        break;
    case NEWS_UNWATCH:
        frame->which_body = za_SysFrame_unwatch_tag;
        frame->body.unwatch =
            (za_SysUnwatch){ record->watcher, record->id, (uint32_t)record->reason };
        break;
    case NEWS_DOWN:
        frame->which_body = za_SysFrame_down_tag;
        frame->body.down = (za_SysDown){ record->watcher, record->id, (uint32_t)record->reason };
        break;
    case NEWS_NONE:
        ZA_ASSERT(!"a pending record has news");
    }
}

/** Sends the news of one peer as far as its window goes. MORE: only `out` was too small. */
static za_step_t pump_peer(za_watch_t *watch, uint32_t peer_id, uint64_t now_ms, za_effects_t *out)
{
    uint64_t uid = peer_at(watch, peer_id)->uid;
    uint32_t at = peer_at(watch, peer_id)->pending.first;
    while (at != 0 && za_syslane_ready(watch->lane, uid)) {
        record_t *record = record_at(watch, at);
        uint32_t next = za_chain_next(&watch->records, PENDING, at);
        write_news(record, za_syslane_draft(watch->lane));
        if (!za_syslane_send(watch->lane, uid, record->after_user, record->epoch, now_ms, out)) {
            return za_effects_have_room(out, 1, 2 * ZA_BLOCK_BYTES) ? ZA_STEP_DONE : ZA_STEP_MORE;
        }
        if (record->news == NEWS_WATCH && record->ended) {
            set_news(watch, at, NEWS_UNWATCH);
            next = at;
        } else if (record->news == NEWS_WATCH) {
            set_news(watch, at, NEWS_NONE); // a doubt stays: a link is not yet a member
        } else {
            drop_record(watch, at);
        }
        at = next;
    }
    return ZA_STEP_DONE;
}

/**
 * The uid was not known for too long. A far end that was asked, as two that wait to join may do, serves the
 * watch until it hears that it is over.
 */
static void fire_unknown(za_watch_t *watch, uint32_t at, za_effects_t *out)
{
    const record_t *record = record_at(watch, at);
    if (record->news == NEWS_UNWATCH) {
        return; // on its way already
    }
    if (record->news == NEWS_WATCH || record->links || record->ended) {
        fire(watch, at, za_Reason_REASON_NO_NODE, out);
        return;
    }
    emit_fire(watch, false, record->watcher, record->id, (za_ref_t){ record->uid, record->target },
              za_Reason_REASON_NO_NODE, out);
    set_news(watch, at, NEWS_UNWATCH);
}

static za_step_t check_doubts(za_watch_t *watch, uint64_t now_ms, za_effects_t *out)
{
    while (watch->doubts.first != 0 && record_at(watch, watch->doubts.first)->until_ms <= now_ms) {
        uint32_t at = watch->doubts.first;
        if (!za_effects_have_room(out, 1, 0)) {
            return ZA_STEP_MORE;
        }
        za_known_t known = za_view_known(watch->view, record_at(watch, at)->uid);
        end_doubt(watch, at);
        if (known == ZA_KNOWN_NOT) {
            fire_unknown(watch, at, out);
        } else if (known == ZA_KNOWN_DOWN || known == ZA_KNOWN_LEFT) {
            fire(watch, at, reason_of(known), out);
        }
    }
    return ZA_STEP_DONE;
}

void za_watch_each_waiting(const za_watch_t *watch, void (*visit)(uint64_t uid, void *visitor),
                           void *visitor)
{
    for (uint32_t id = watch->busy.first; id != 0; id = za_chain_next(&watch->peers, BUSY, id)) {
        visit(peer_at(watch, id)->uid, visitor);
    }
}

za_step_t za_watch_pump(za_watch_t *watch, uint64_t now_ms, za_effects_t *out)
{
    if (check_doubts(watch, now_ms, out) == ZA_STEP_MORE) {
        return ZA_STEP_MORE;
    }
    uint32_t id = watch->busy.first;
    while (id != 0) {
        uint32_t next = za_chain_next(&watch->peers, BUSY, id);
        if (pump_peer(watch, id, now_ms, out) == ZA_STEP_MORE) {
            return ZA_STEP_MORE;
        }
        id = next;
    }
    return ZA_STEP_DONE;
}

uint64_t za_watch_deadline_ms(const za_watch_t *watch)
{
    uint32_t at = watch->doubts.first;
    return at != 0 ? record_at(watch, at)->until_ms : UINT64_MAX;
}

void za_watch_stats(const za_watch_t *watch, za_watch_stats_t *out)
{
    *out = watch->stats;
    out->active = 0;
    out->serving = 0;
    for (uint32_t id = 1; id <= watch->peers.fresh; id++) {
        if (peer_lives(watch, id)) {
            out->active += peer_at(watch, id)->ours.count;
            out->serving += peer_at(watch, id)->theirs.count;
        }
    }
}
