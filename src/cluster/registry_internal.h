/**
 * The rooms of the registry see one struct. Each room is one .c file and owns the fields that stand
 * under its name; the tables are read by all.
 *
 *   registry_map.c    entries, the map of each owner, the digest tree over the maps
 *   registry_names.c  names and groups over all maps, and the news of them for the driver
 *   registry_own.c    our own map: register, conflicts lost, rebirth
 *   registry_push.c   peers; what is sent to them: pushes, rumours, answers to pulls
 *   registry_pull.c   what we lack: wants, pulls, staging, taking it as one step
 *   registry_digest.c comparing with a peer: roots, tree, versions; echoes
 *   registry_look.c   lookups, listings, figures
 *   registry.c        create, frames, pump, deadline
 */
#pragma once

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/rng.h"
#include "cluster/registry.h"
#include "cluster/table.h"

#include "zactor/registry.pb.h"

enum {
    ZA_REG_OWNERS_MAX = ZA_MEMBERS_MAX,
    ZA_REG_PEERS_MAX = ZA_PEERS_MAX,
    ZA_REG_TEXT_BYTES_MEAN = 64, // of a name, its meta included; longer ones fill the table sooner
    ZA_REG_WANTS_MAX = 64,    // answers and rumours that wait for one peer; more are repaired later
    ZA_REG_PART_ENTRIES = 64, // as in registry.options, like the next two
    ZA_REG_VERSIONS_MAX = 256,
    ZA_REG_PULL_OWNERS = 16, // few, so that the maps for a newcomer come from several peers
    ZA_REG_PULLS_MAX = 4,
    ZA_REG_STAGES_MAX = 64,   // transfers in parts, under way at once
    ZA_REG_PARKED_MAX = 64,   // uids that membership does not know yet
    ZA_REG_FLAT_OWNERS = 128, // up to here all versions are compared, above that the tree
    ZA_REG_LEAF_OWNERS = 16,  // the same below the root
    ZA_REG_FANOUT = 6,        // peers told of a rumour: 99 % of 1,000 nodes in 48 ms
    ZA_REG_QUIET_MAX = 3,     // the interval of comparisons doubles so often while nothing changes
    ZA_REG_DIRECT_MAX = 128,  // members up to which the owner tells all itself
    ZA_REG_ECHO_PEERS = 2,
    ZA_REG_DIGITS = 16, // of the tree
    ZA_REG_LEAVES = ZA_REG_DIGITS * ZA_REG_DIGITS,
    ZA_REG_NODES = 1 + ZA_REG_DIGITS + ZA_REG_LEAVES,
    ZA_REG_DEPTH = 2,
    ZA_REG_HLC_STEP = 1024, // per ms: room for changes within one
};

static_assert(za_RegistryFrame_size + 1 <= ZA_FRAME_BYTES_MAX, "a frame fits a frame");
static_assert((size_t)ZA_NAMES_PER_NODE_MAX + ZA_REGISTRY_REMOVALS_MAX < ZA_REGISTRY_ENTRIES_MAX,
              "a full node fits");
static_assert((size_t)ZA_NAME_BYTES_MAX < ZA_TEXT_BYTES_MAX, "a name fits a text, with its end");

/** Far beyond any clock: what lies above is no clock but an attempt to lose every conflict. */
#define ZA_REG_HLC_MAX (UINT64_C(1) << 62)

typedef enum za_reg_state {
    ZA_REG_STAGED,  // in no map, or in a stage
    ZA_REG_LIVE,    // in its owner's map and in the index
    ZA_REG_REMOVED, // a removal that its owner's map remembers
    ZA_REG_GONE,    // left a group, and the driver is to be told; `seq` is the owner's uid, ours 0
} za_reg_state_t;

/** A name or a group that somebody holds, has just lost, or is about to hold. */
typedef struct za_reg_name {
    za_ref_t answered;   // of a unique name, what the driver was told; none: cleared
    uint32_t text;       // NUL-terminated
    uint32_t uses;       // entries of all states
    za_chain_t holders;  // live entries; of a unique name the winner first
    za_link_t change;    // unique names to be looked at
    za_link_t contested; // unique names with several holders
    uint8_t text_bytes;  // without the NUL
    uint8_t kind;
    bool changed;
} za_reg_name_t;

typedef struct za_reg_entry {
    uint64_t seq; // of the put, or of the removal
    uint64_t actor;
    uint64_t hlc;
    uint32_t name;
    uint32_t owner;
    uint32_t prio;
    uint32_t meta;
    uint32_t own;     // record beside an entry of ours
    za_link_t place;  // in live, removals or the stage of its owner
    za_link_t holder; // of its name
    za_link_t news;   // group entries that the driver is to be told of
    uint8_t meta_bytes;
    uint8_t state;
    bool removal; // staged: to be a removal
    bool told;    // the driver knows this membership
    bool has_news;
} za_reg_entry_t;

/** Beside an entry of ours. */
typedef struct za_reg_own {
    uint64_t lost_at_ms; // it is not the winner: taken back then
    uint32_t entry;
    uint32_t actor;    // record
    za_link_t sibling; // entries of one actor
    za_link_t loser;
    bool losing;
} za_reg_own_t;

typedef struct za_reg_actor {
    uint64_t actor;
    za_chain_t entries;
} za_reg_actor_t;

typedef struct za_reg_owner {
    uint64_t uid;
    uint64_t applied;
    uint64_t floor;  // removals up to this are forgotten
    uint64_t hash;   // over live entries
    uint64_t folded; // its part of the digest tree
    za_chain_t live; // both by seq
    za_chain_t removals;
    za_link_t leaf;
    bool counted;     // in the tree
    bool unreachable; // as membership says
    bool skewed;      // its clock was complained of
    bool echoing;     // in the list of echoes
    uint32_t stage;   // of a transfer in parts; 0: none
    uint32_t pull;    // 1 + index of the pull under way; 0: none
    uint32_t source;  // peer it is to be pulled from; 0: none
    uint32_t tellers; // peers that could have been that
    uint32_t round;   // of comparing versions
    uint64_t target;  // newest version anybody told of
    uint64_t teller;  // who did
    uint64_t giver;   // who brought the present version
    uint64_t blocked_until_ms;
    uint64_t confirmed_ms; // last word that our copy is right
    uint64_t unreachable_ms;
    za_link_t need; // of its source
    za_link_t echo;
} za_reg_owner_t;

/** Parts of a transfer, taken as one. */
typedef struct za_reg_stage {
    za_chain_t entries;
    uint32_t owner;
    uint32_t parts; // received so far
    uint64_t peer, from, to, hash, until_ms;
    bool rumour, answer;
} za_reg_stage_t;

typedef struct za_reg_want {
    uint64_t owner, have;
    bool rumour; // nobody asked: nothing is sent if nothing is new
} za_reg_want_t;

typedef struct za_reg_peer {
    uint64_t uid;
    bool busy;
    bool greet; // a new link: compare what we hold
    bool push;  // own changes after push_from are to be sent
    bool push_rumour;
    bool sourcing;          // in the list of sources
    bool pulling;           // a pull of ours is under way
    uint64_t deaf_until_ms; // it did not answer the last one: others are asked first
    uint64_t push_from;
    struct { // the transfer in the making
        uint64_t owner, from, to;
        uint32_t live, removal; // next entries
        uint32_t part;
        bool active, rumour;
        bool asked; // an answer to a pull: paced
    } job;
    uint32_t want_first, want_count;
    za_reg_want_t wants[ZA_REG_WANTS_MAX];
    za_chain_t needs; // owners to be pulled from it
    za_link_t busy_link, source_link;
} za_reg_peer_t;

typedef struct za_reg_pull {
    uint64_t peer; // 0: free
    uint64_t until_ms;
    uint32_t left; // owners not answered yet
    uint32_t count;
    uint64_t owners[ZA_REG_PULL_OWNERS];
} za_reg_pull_t;

typedef struct za_reg_parked {
    uint64_t uid; // 0: free
    uint64_t teller;
    uint64_t applied;
    uint64_t until_ms;
} za_reg_parked_t;

/** Of the digest tree: 16 children each, by the digits of the uid's hash. */
typedef struct za_reg_node {
    uint64_t hash;
    uint64_t agreed_ms; // when a peer last had the same
    uint32_t count;     // owners with data
} za_reg_node_t;

struct za_registry {
    const za_view_t *view;
    za_registry_limits_t limits;
    za_rng_t rng;
    za_slots_t names, entries, owners, peers, stages, owns, actors;
    za_texts_t texts;
    uint64_t now_ms;
    uint32_t sync_ms;
    // registry_map.c
    uint32_t self; // our owner record
    za_reg_node_t nodes[ZA_REG_NODES];
    za_chain_t leaves[ZA_REG_LEAVES];
    // registry_names.c
    za_chain_t changes;   // names whose answer may have changed
    za_chain_t news;      // group entries to be told of
    za_chain_t contested; // names
    // registry_own.c
    za_chain_t losers; // own entries that lost, the first due first
    uint64_t hlc;
    int64_t wall_ms; // what the wall's clock is ahead of the driver's
    bool wall_known;
    // registry_push.c
    uint32_t linked[ZA_REG_PEERS_MAX]; // peers by uid
    uint32_t linked_count;
    za_chain_t busy;      // peers with something to send
    uint64_t published;   // own changes up to this were pushed
    uint64_t push_at_ms;  // 0: nothing to push
    int64_t serve_bytes;  // that may be served now
    uint64_t serve_at_ms; // when there may be more
    bool starved;         // somebody waits for that
    struct {              // the frame in `bytes`, for the next peer that gets the same
        uint64_t owner, from, to;
        uint32_t size; // 0: none
        bool rumour, asked;
    } cached;
    // registry_pull.c
    za_chain_t sources; // peers to pull from
    za_reg_pull_t pulls[ZA_REG_PULLS_MAX];
    uint32_t pull_count;
    za_reg_parked_t parked[ZA_REG_PARKED_MAX];
    uint32_t parked_count;
    // registry_digest.c
    uint64_t sync_at_ms;
    uint32_t quiet;      // comparisons since anything changed or differed, up to ZA_REG_QUIET_MAX
    uint64_t echo_at_ms; // 0: none
    za_chain_t echoes;   // owners that changed
    uint32_t round;
    // all
    uint32_t *visit; // scratch of listings
    za_registry_stats_t stats;
    za_RegistryFrame frame;  // in
    za_RegistryFrame answer; // out
    uint8_t bytes[1 + za_RegistryFrame_size];
};

#define ZA_REG_CHANGE offsetof(za_reg_name_t, change)
#define ZA_REG_CONTESTED offsetof(za_reg_name_t, contested)
#define ZA_REG_PLACE offsetof(za_reg_entry_t, place)
#define ZA_REG_HOLDER offsetof(za_reg_entry_t, holder)
#define ZA_REG_NEWS offsetof(za_reg_entry_t, news)
#define ZA_REG_SIBLING offsetof(za_reg_own_t, sibling)
#define ZA_REG_LOSER offsetof(za_reg_own_t, loser)
#define ZA_REG_LEAF offsetof(za_reg_owner_t, leaf)
#define ZA_REG_NEED offsetof(za_reg_owner_t, need)
#define ZA_REG_ECHO offsetof(za_reg_owner_t, echo)
#define ZA_REG_BUSY offsetof(za_reg_peer_t, busy_link)
#define ZA_REG_SOURCE offsetof(za_reg_peer_t, source_link)

static inline za_reg_name_t *za_reg_name_at(const za_registry_t *registry, uint32_t id)
{
    return za_slots_at(&registry->names, id);
}

static inline za_reg_entry_t *za_reg_entry_at(const za_registry_t *registry, uint32_t id)
{
    return za_slots_at(&registry->entries, id);
}

static inline za_reg_owner_t *za_reg_owner_at(const za_registry_t *registry, uint32_t id)
{
    return za_slots_at(&registry->owners, id);
}

static inline za_reg_owner_t *za_reg_self(const za_registry_t *registry)
{
    return za_reg_owner_at(registry, registry->self);
}

static inline za_reg_peer_t *za_reg_peer_at(const za_registry_t *registry, uint32_t id)
{
    return za_slots_at(&registry->peers, id);
}

static inline za_reg_own_t *za_reg_own_at(const za_registry_t *registry, uint32_t id)
{
    return za_slots_at(&registry->owns, id);
}

static inline const char *za_reg_text(const za_registry_t *registry, const za_reg_name_t *name)
{
    return za_texts_at(&registry->texts, name->text);
}

/* ---- registry_map.c ---------------------------------------------------------------------------- */

/** What makes an entry; the name is NUL-terminated. */
typedef struct za_reg_fields {
    const char *name;
    const uint8_t *meta;
    uint32_t meta_bytes;
    za_name_kind_t kind;
    uint32_t prio;
    uint64_t seq, actor, hlc;
} za_reg_fields_t;

/** A new entry, staged and in no list; 0: a table is full. */
uint32_t za_reg_entry_make(za_registry_t *registry, uint32_t owner, const za_reg_fields_t *fields);
void za_reg_entry_free(za_registry_t *registry, uint32_t id);
/** Frees an entry that is in no list, once the driver was told of its end. */
void za_reg_entry_retire(za_registry_t *registry, uint32_t id);
bool za_reg_same_meta(const za_registry_t *registry, const za_reg_entry_t *entry,
                      const uint8_t *meta, uint32_t meta_bytes);
/** Live entry of `owner` for the name, of `actor` if it is a group; 0: none. */
uint32_t za_reg_find_live(const za_registry_t *registry, uint32_t owner, uint32_t name_id,
                          uint64_t actor);
/** Puts a staged entry into its owner's map and the index. */
void za_reg_put_live(za_registry_t *registry, uint32_t id);
/** Takes a live entry out of both; it is in no list then. */
void za_reg_take_live(za_registry_t *registry, uint32_t id);
/** Gives a live entry the fields of a staged one of the same holder, and frees that. */
void za_reg_update_live(za_registry_t *registry, uint32_t id, uint32_t from);
/** A staged entry becomes a removal that the map remembers. */
void za_reg_put_removal(za_registry_t *registry, uint32_t id);
void za_reg_clear_chain(za_registry_t *registry, za_chain_t *chain);
void za_reg_clear_map(za_registry_t *registry, uint32_t owner_id);

uint32_t za_reg_find_owner(const za_registry_t *registry, uint64_t uid);
uint32_t za_reg_add_owner(za_registry_t *registry, uint64_t uid);
/** The owner's record, made if membership knows the uid; 0: it does not, or the uid is terminal. */
uint32_t za_reg_adopt(za_registry_t *registry, uint64_t uid);
void za_reg_rename_self(za_registry_t *registry, uint64_t uid);
/** To be called when `applied` or `hash` have changed. */
void za_reg_refold(za_registry_t *registry, uint32_t owner_id);
/** Index of a node; level 0 is the root. */
uint32_t za_reg_node_index(uint32_t level, uint32_t prefix);
uint32_t za_reg_prefix(uint64_t uid, uint32_t level);
/** Whether all lists, indexes and hashes fit together. Walks everything: for tests. */
bool za_reg_sound(const za_registry_t *registry);

/* ---- registry_names.c -------------------------------------------------------------------------- */

uint32_t za_reg_find_name(const za_registry_t *registry, za_name_kind_t kind, const char *text);
/** Found or made; 0: a table is full. */
uint32_t za_reg_make_name(za_registry_t *registry, za_name_kind_t kind, const char *text);
/** Frees the name if nobody needs it. */
void za_reg_release_name(za_registry_t *registry, uint32_t id);
void za_reg_link_holder(za_registry_t *registry, uint32_t id);
void za_reg_unlink_holder(za_registry_t *registry, uint32_t id);
/** The order of `owner` among other holders may have changed. */
void za_reg_reorder(za_registry_t *registry, uint32_t owner_id);
void za_reg_add_news(za_registry_t *registry, uint32_t entry_id);
void za_reg_drop_news(za_registry_t *registry, uint32_t entry_id);
za_ref_t za_reg_ref_of(const za_registry_t *registry, const za_reg_entry_t *entry);
/** The holder that lookups answer; 0: none. */
uint32_t za_reg_best(const za_registry_t *registry, const za_reg_name_t *name);
za_ref_t za_reg_winner(const za_registry_t *registry, const za_reg_name_t *name);
za_step_t za_reg_pump_changes(za_registry_t *registry, za_effects_t *out);

/* ---- registry_own.c ---------------------------------------------------------------------------- */

/** Our entry of a changed name: begins or ends to lose. */
void za_reg_judge_own(za_registry_t *registry, uint32_t name_id);
void za_reg_end_losing(za_registry_t *registry, uint32_t own_id);
za_step_t za_reg_give_up_lost(za_registry_t *registry, za_effects_t *out);
/** Another's clock, by the stamp of an entry. */
void za_reg_saw_hlc(za_registry_t *registry, uint32_t owner_id, uint64_t hlc, za_effects_t *out);

/* ---- registry_push.c --------------------------------------------------------------------------- */

uint32_t za_reg_find_peer(const za_registry_t *registry, uint64_t uid);
/** Place among the linked peers by uid, or where it belongs. */
uint32_t za_reg_linked_place(const za_registry_t *registry, uint64_t uid);
bool za_reg_emit(za_registry_t *registry, uint64_t uid, za_effects_t *out);
/** Own changes are there to be pushed. */
void za_reg_own_changed(za_registry_t *registry);
/** Tells other peers than `uid` what it told us. */
void za_reg_forward(za_registry_t *registry, uint64_t uid, uint64_t owner, uint64_t from);
void za_reg_take_pull(za_registry_t *registry, uint64_t uid, const za_RegPull *pull);
void za_reg_push_own(za_registry_t *registry);
/** Sends what peers wait for. False: `out` has no room. */
bool za_reg_serve(za_registry_t *registry, za_effects_t *out);

/* ---- registry_pull.c --------------------------------------------------------------------------- */

/** `uid` told of version `applied`: it is pulled if we have less. */
void za_reg_want(za_registry_t *registry, uint32_t owner_id, uint64_t applied, uint64_t uid);
/** The same of an owner that we may not know. */
void za_reg_hear_of(za_registry_t *registry, uint64_t owner, uint64_t applied, uint64_t uid);
void za_reg_forget_wants(za_registry_t *registry, uint32_t owner_id);
void za_reg_forget_source(za_registry_t *registry, uint32_t peer_id);
void za_reg_diverged(za_registry_t *registry, uint32_t owner_id);
bool za_reg_take_data(za_registry_t *registry, uint64_t uid, const za_RegData *data,
                      za_effects_t *out);
void za_reg_pump_pulls(za_registry_t *registry, za_effects_t *out);
uint64_t za_reg_pull_deadline(const za_registry_t *registry);

/* ---- registry_digest.c ------------------------------------------------------------------------- */

void za_reg_confirm(za_registry_t *registry, za_reg_owner_t *owner, uint64_t uid);
void za_reg_add_echo(za_registry_t *registry, uint32_t owner_id);
/** Something changed or differs: comparisons come at their usual pace again. */
void za_reg_wake(za_registry_t *registry);
void za_reg_drop_echo(za_registry_t *registry, uint32_t owner_id);
bool za_reg_send_root(za_registry_t *registry, uint64_t uid, za_effects_t *out);
void za_reg_take_root(za_registry_t *registry, uint64_t uid, const za_RegRoot *root,
                      za_effects_t *out);
bool za_reg_take_tree(za_registry_t *registry, uint64_t uid, const za_RegTree *tree,
                      za_effects_t *out);
bool za_reg_take_digest(za_registry_t *registry, uint64_t uid, const za_RegDigest *digest,
                        za_effects_t *out);
za_step_t za_reg_sync(za_registry_t *registry, za_effects_t *out);
