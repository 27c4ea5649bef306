#include "cluster/registry_internal.h"

#include <string.h>

#include <pb_encode.h>

/* ---- frames ----------------------------------------------------------------------------------- */

static bool emit_bytes(za_registry_t *registry, uint64_t uid, uint32_t size, za_effects_t *out)
{
    if (!za_effects_have_room(out, 1, size)) {
        return false;
    }
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SEND_FRAME);
    uint8_t *copy = za_effects_alloc(out, size);
    memcpy(copy, registry->bytes, size);
    effect->uid = uid;
    effect->lane = ZA_LANE_CONTROL;
    effect->bytes = copy;
    effect->size = size;
    registry->stats.frames_out++;
    registry->stats.bytes_out += size;
    return true;
}

/** Encodes `answer`; its size with the tag. */
static uint32_t encode_answer(za_registry_t *registry)
{
    registry->cached.size = 0;
    registry->bytes[0] = ZA_REGISTRY_TAG;
    pb_ostream_t stream = pb_ostream_from_buffer(registry->bytes + 1, sizeof registry->bytes - 1);
    bool encoded = pb_encode(&stream, za_RegistryFrame_fields, &registry->answer);
    ZA_ASSERT(encoded); // every field is bounded by its struct
    return (uint32_t)stream.bytes_written + 1;
}

bool za_reg_emit(za_registry_t *registry, uint64_t uid, za_effects_t *out)
{
    return emit_bytes(registry, uid, encode_answer(registry), out);
}

/* ---- peers ------------------------------------------------------------------------------------ */

uint32_t za_reg_find_peer(const za_registry_t *registry, uint64_t uid)
{
    uint32_t id = za_slots_first(&registry->peers, za_mix64(uid));
    while (id != 0 && za_reg_peer_at(registry, id)->uid != uid) {
        id = za_slots_next(&registry->peers, id);
    }
    return id;
}

uint32_t za_reg_linked_place(const za_registry_t *registry, uint64_t uid)
{
    uint32_t low = 0;
    uint32_t high = registry->linked_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (za_reg_peer_at(registry, registry->linked[middle])->uid < uid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void set_busy(za_registry_t *registry, uint32_t id)
{
    za_reg_peer_t *peer = za_reg_peer_at(registry, id);
    bool busy = peer->greet || peer->push || peer->job.active || peer->want_count > 0;
    if (busy && !peer->busy) {
        za_chain_append(&registry->busy, &registry->peers, ZA_REG_BUSY, id);
    } else if (!busy && peer->busy) {
        za_chain_remove(&registry->busy, &registry->peers, ZA_REG_BUSY, id);
    }
    peer->busy = busy;
}

void za_registry_link_up(za_registry_t *registry, uint64_t uid)
{
    za_registry_link_down(registry, uid); // a newer link: transfers of the old one are lost
    uint32_t id = za_slots_add(&registry->peers, za_mix64(uid));
    if (id == 0) {
        registry->stats.refused++; // beyond ZA_PEERS_MAX: its copies come through others
        return;
    }
    za_reg_peer_t *peer = za_reg_peer_at(registry, id);
    peer->uid = uid;
    // The lower uid compares what both hold up to now, for both; pushes bring what comes later.
    peer->greet = za_reg_self(registry)->uid < uid;
    uint32_t place = za_reg_linked_place(registry, uid);
    memmove(&registry->linked[place + 1], &registry->linked[place],
            (registry->linked_count - place) * sizeof *registry->linked);
    registry->linked[place] = id;
    registry->linked_count++;
    za_reg_wake(registry);
    set_busy(registry, id);
}

void za_registry_link_down(za_registry_t *registry, uint64_t uid)
{
    uint32_t id = za_reg_find_peer(registry, uid);
    if (id == 0) {
        return;
    }
    za_reg_forget_source(registry, id);
    if (za_reg_peer_at(registry, id)->busy) {
        za_chain_remove(&registry->busy, &registry->peers, ZA_REG_BUSY, id);
    }
    uint32_t place = za_reg_linked_place(registry, uid);
    ZA_ASSERT(registry->linked[place] == id);
    registry->linked_count--;
    memmove(&registry->linked[place], &registry->linked[place + 1],
            (registry->linked_count - place) * sizeof *registry->linked);
    za_slots_remove(&registry->peers, id);
}

/**
 * Puts the next ones in the ring of uids among the chosen, as RingCast does (Voulgaris and van Steen, 2007):
 * chance alone passes by who is linked to peers with many links, and to few of them.
 */
static void choose_next(const za_registry_t *registry, uint32_t skip, uint32_t *places,
                        uint32_t count)
{
    uint32_t first = za_reg_linked_place(registry, za_reg_self(registry)->uid);
    for (uint32_t i = 0; i < count && i < ZA_REG_ECHO_PEERS; i++) {
        uint32_t place = (first + i) % registry->linked_count;
        if (place == skip) {
            continue;
        }
        uint32_t at = i;
        while (at < count && places[at] != place) {
            at++;
        }
        if (at < count) {
            places[at] = places[i]; // it is among them, and trades places
        }
        places[i] = place;
    }
}

/**
 * Up to ZA_REG_FANOUT different linked peers, without that at place `skip`: the next ones, others at
 * random.
 */
static uint32_t draw_peers(za_registry_t *registry, uint32_t skip, uint32_t *places)
{
    uint32_t others = registry->linked_count - (skip < registry->linked_count ? 1 : 0);
    uint32_t count = others < ZA_REG_FANOUT ? others : ZA_REG_FANOUT;
    for (uint32_t i = 0; i < count; i++) { // Floyd's sample: `count` draws, no repeats
        uint32_t last = others - count + i;
        uint32_t pick = (uint32_t)za_rng_below(&registry->rng, last + UINT64_C(1));
        for (uint32_t k = 0; k < i; k++) {
            if (places[k] == pick) {
                pick = last;
                break;
            }
        }
        places[i] = pick;
    }
    for (uint32_t i = 0; i < count; i++) {
        places[i] += places[i] >= skip;
    }
    choose_next(registry, skip, places, count);
    return count;
}

/* ---- what is to be sent ----------------------------------------------------------------------- */

void za_reg_own_changed(za_registry_t *registry)
{
    za_reg_add_echo(registry, registry->self);
    uint64_t waiting = za_reg_self(registry)->applied - registry->published;
    if (waiting >= ZA_REG_PART_ENTRIES) {
        registry->push_at_ms = registry->now_ms; // a frame is full
    } else if (registry->push_at_ms == 0) {
        registry->push_at_ms = registry->now_ms + ZA_REGISTRY_BATCH_MS;
    }
}

static void queue_push(za_registry_t *registry, uint32_t place, bool rumour)
{
    uint32_t id = registry->linked[place];
    za_reg_peer_t *peer = za_reg_peer_at(registry, id);
    if (!peer->push || registry->published < peer->push_from) {
        peer->push_from = registry->published;
    }
    peer->push = true;
    peer->push_rumour = rumour;
    set_busy(registry, id);
}

void za_reg_push_own(za_registry_t *registry)
{
    if (registry->push_at_ms == 0 || registry->push_at_ms > registry->now_ms) {
        return;
    }
    registry->push_at_ms = 0;
    uint64_t applied = za_reg_self(registry)->applied;
    if (registry->published >= applied) {
        return;
    }
    // Alone we reach all only if we are linked to all; otherwise others must pass it on.
    uint32_t up = za_view_up_count(registry->view);
    if (up <= ZA_REG_DIRECT_MAX) {
        bool rumour = registry->linked_count + 1 < up;
        for (uint32_t place = 0; place < registry->linked_count; place++) {
            queue_push(registry, place, rumour);
        }
    } else {
        uint32_t places[ZA_REG_FANOUT];
        uint32_t count = draw_peers(registry, UINT32_MAX, places);
        for (uint32_t i = 0; i < count; i++) {
            queue_push(registry, places[i], true);
        }
    }
    registry->published = applied;
}

static void queue_want(za_registry_t *registry, uint32_t id, za_reg_want_t want)
{
    za_reg_peer_t *peer = za_reg_peer_at(registry, id);
    if (peer->want_count < ZA_REG_WANTS_MAX) {
        uint32_t at = (peer->want_first + peer->want_count) % ZA_REG_WANTS_MAX;
        peer->wants[at] = want;
        peer->want_count++;
        set_busy(registry, id);
    } else {
        registry->stats.refused++; // comparing repairs it
    }
}

void za_reg_forward(za_registry_t *registry, uint64_t uid, uint64_t owner, uint64_t from)
{
    uint32_t skip = UINT32_MAX;
    if (za_reg_find_peer(registry, uid) != 0) {
        skip = za_reg_linked_place(registry, uid);
    }
    uint32_t places[ZA_REG_FANOUT];
    uint32_t count = draw_peers(registry, skip, places);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = registry->linked[places[i]];
        if (za_reg_peer_at(registry, id)->uid != owner) {
            queue_want(registry, id, (za_reg_want_t){ owner, from, true });
        }
    }
}

void za_reg_take_pull(za_registry_t *registry, uint64_t uid, const za_RegPull *pull)
{
    uint32_t id = za_reg_find_peer(registry, uid);
    for (uint32_t i = 0; id != 0 && i < pull->wants_count; i++) {
        queue_want(registry, id,
                   (za_reg_want_t){ pull->wants[i].owner, pull->wants[i].have, false });
    }
}

/* ---- transfers -------------------------------------------------------------------------------- */

/** The first entry of a list by seq that is newer than `seq`. New ones are at the end. */
static uint32_t first_after(const za_registry_t *registry, const za_chain_t *chain, uint64_t seq)
{
    uint32_t found = 0;
    for (uint32_t id = chain->last; id != 0 && za_reg_entry_at(registry, id)->seq > seq;
         id = za_chain_prev(&registry->entries, ZA_REG_PLACE, id)) {
        found = id;
    }
    return found;
}

static void start_job(za_registry_t *registry, za_reg_peer_t *peer, uint32_t owner_id,
                      uint64_t have, za_effects_t *out)
{
    const za_reg_owner_t *owner = za_reg_owner_at(registry, owner_id);
    uint64_t from = have < owner->floor ? 0 : have;
    if (from == 0 && owner->applied > owner->live.count && za_effects_have_room(out, 1, 0)) {
        za_effects_add(out, ZA_EFFECT_MARK)->mark = ZA_MARK_REGISTRY_SNAPSHOT;
        registry->stats.snapshots++;
    }
    peer->job.owner = owner->uid;
    peer->job.from = from;
    peer->job.to = owner->applied;
    peer->job.live = first_after(registry, &owner->live, from);
    peer->job.removal = from == 0 ? 0 : first_after(registry, &owner->removals, from);
    peer->job.part = 0;
    peer->job.active = true;
}

/** A pull is answered in any case, so that the asker can go on. */
static bool answer_nothing(za_registry_t *registry, const za_reg_peer_t *peer, za_reg_want_t want,
                           za_effects_t *out)
{
    registry->answer.which_body = za_RegistryFrame_data_tag;
    za_RegData *data = &registry->answer.body.data;
    data->owner = want.owner;
    data->from = want.have;
    data->to = want.have;
    data->hash = 0;
    data->part = 0;
    data->last = true;
    data->rumour = false;
    data->answer = true;
    data->entries_count = 0;
    return za_reg_emit(registry, peer->uid, out);
}

/** Chooses what to send to the peer next, our own news first. False: `out` has no room. */
static bool next_job(za_registry_t *registry, za_reg_peer_t *peer, za_effects_t *out)
{
    if (peer->push) {
        peer->push = false;
        if (za_reg_self(registry)->applied > peer->push_from) {
            peer->job.rumour = peer->push_rumour;
            peer->job.asked = false;
            start_job(registry, peer, registry->self, peer->push_from, out);
            return true;
        }
    }
    while (peer->want_count > 0 && !peer->job.active) {
        za_reg_want_t want = peer->wants[peer->want_first];
        if (!want.rumour && registry->serve_bytes <= 0) {
            registry->starved = true;
            return true;
        }
        uint32_t id = za_reg_find_owner(registry, want.owner);
        bool newer = id != 0 && za_reg_owner_at(registry, id)->applied > want.have;
        if (!newer && !want.rumour && !answer_nothing(registry, peer, want, out)) {
            return false;
        }
        peer->want_first = (peer->want_first + 1) % ZA_REG_WANTS_MAX;
        peer->want_count--;
        if (newer) {
            peer->job.rumour = want.rumour;
            peer->job.asked = !want.rumour;
            start_job(registry, peer, id, want.have, out);
        }
    }
    return true;
}

static uint32_t pick_entry(const za_registry_t *registry, za_reg_peer_t *peer)
{
    uint32_t live = peer->job.live;
    uint32_t removal = peer->job.removal;
    bool take_removal = removal != 0 && (live == 0 || za_reg_entry_at(registry, removal)->seq <
                                                          za_reg_entry_at(registry, live)->seq);
    uint32_t id = take_removal ? removal : live;
    if (id != 0 && take_removal) {
        peer->job.removal = za_chain_next(&registry->entries, ZA_REG_PLACE, id);
    } else if (id != 0) {
        peer->job.live = za_chain_next(&registry->entries, ZA_REG_PLACE, id);
    }
    return id;
}

static void write_entry(const za_registry_t *registry, uint32_t id, za_RegEntry *out)
{
    const za_reg_entry_t *entry = za_reg_entry_at(registry, id);
    const za_reg_name_t *name = za_reg_name_at(registry, entry->name);
    memcpy(out->name, za_reg_text(registry, name), (size_t)name->text_bytes + 1);
    out->seq = entry->seq;
    out->actor = entry->actor;
    out->hlc = entry->hlc;
    out->removed = entry->state == ZA_REG_REMOVED;
    out->kind = name->kind;
    out->prio = entry->prio;
    out->meta.size = entry->meta_bytes;
    if (entry->meta_bytes > 0) {
        memcpy(out->meta.bytes, za_texts_at(&registry->texts, entry->meta), entry->meta_bytes);
    }
}

static void write_part(za_registry_t *registry, za_reg_peer_t *peer, const za_reg_owner_t *owner)
{
    registry->answer.which_body = za_RegistryFrame_data_tag;
    za_RegData *data = &registry->answer.body.data;
    data->owner = owner->uid;
    data->from = peer->job.from;
    data->to = peer->job.to;
    data->hash = owner->hash;
    data->part = peer->job.part++;
    data->rumour = peer->job.rumour;
    data->answer = peer->job.asked;
    data->entries_count = 0;
    while (data->entries_count < ZA_REG_PART_ENTRIES) {
        uint32_t id = pick_entry(registry, peer);
        if (id == 0) {
            break;
        }
        write_entry(registry, id, &data->entries[data->entries_count++]);
    }
    data->last = peer->job.live == 0 && peer->job.removal == 0;
    peer->job.active = !data->last;
}

static bool is_cached(const za_registry_t *registry, const za_reg_peer_t *peer)
{
    return registry->cached.size > 0 && peer->job.part == 0 &&
           registry->cached.owner == peer->job.owner && registry->cached.from == peer->job.from &&
           registry->cached.to == peer->job.to && registry->cached.rumour == peer->job.rumour &&
           registry->cached.asked == peer->job.asked;
}

/** Sends one part. False: `out` has no room. A push to many peers is encoded once. */
static bool send_part(za_registry_t *registry, za_reg_peer_t *peer, const za_reg_owner_t *owner,
                      za_effects_t *out)
{
    if (!za_effects_have_room(out, 1, za_RegistryFrame_size + 1)) {
        return false;
    }
    uint32_t size = registry->cached.size;
    if (is_cached(registry, peer)) {
        peer->job.active = false;
    } else {
        bool first = peer->job.part == 0;
        write_part(registry, peer, owner);
        size = encode_answer(registry);
        if (first && !peer->job.active) {
            registry->cached.owner = peer->job.owner;
            registry->cached.from = peer->job.from;
            registry->cached.to = peer->job.to;
            registry->cached.rumour = peer->job.rumour;
            registry->cached.asked = peer->job.asked;
            registry->cached.size = size;
        }
    }
    if (peer->job.asked) {
        registry->serve_bytes -= size;
    }
    return emit_bytes(registry, peer->uid, size, out);
}

/** Sends what a peer lacks. False: `out` has no room. */
static bool serve_peer(za_registry_t *registry, uint32_t peer_id, za_effects_t *out)
{
    za_reg_peer_t *peer = za_reg_peer_at(registry, peer_id);
    if (peer->greet && !za_reg_send_root(registry, peer->uid, out)) {
        return false;
    }
    peer->greet = false;
    for (;;) {
        if (!peer->job.active && !next_job(registry, peer, out)) {
            return false;
        }
        if (!peer->job.active) {
            break;
        }
        uint32_t id = za_reg_find_owner(registry, peer->job.owner);
        if (id == 0 || za_reg_owner_at(registry, id)->applied != peer->job.to) {
            // The map moved on between two parts: only a state of its own may be sent. Begin again.
            peer->job.active = false;
            if (id != 0) {
                start_job(registry, peer, id, peer->job.from, out);
            }
            continue;
        }
        if (!send_part(registry, peer, za_reg_owner_at(registry, id), out)) {
            return false;
        }
    }
    set_busy(registry, peer_id);
    return true;
}

bool za_reg_serve(za_registry_t *registry, za_effects_t *out)
{
    if (registry->serve_at_ms <= registry->now_ms) {
        registry->serve_bytes = ZA_REGISTRY_SERVE_BYTES;
        registry->serve_at_ms = registry->now_ms + ZA_REGISTRY_SERVE_MS;
        registry->starved = false;
    }
    uint32_t id = registry->busy.first;
    while (id != 0) {
        uint32_t next = za_chain_next(&registry->peers, ZA_REG_BUSY, id);
        if (!serve_peer(registry, id, out)) {
            return false;
        }
        id = next;
    }
    return true;
}
