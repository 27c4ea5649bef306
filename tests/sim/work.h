/**
 * Work: the actors that a swarm runs on every node. They do what users do, with chance from their
 * context, and tell the world (world.h) what they did and what they saw.
 */
#pragma once

#include <zactor/sim.h>

#include "work.za.h"
#include "world.h"

enum {
    WORK_NODES_MAX = ZA_SIM_NODES_MAX,
    WORK_BYTES_MAX = 256 * 1024,
};

/** What nodes may spawn for each other; NULL-terminated. */
extern const za_class_t *const work_classes[];

/** Starts the actors that every node has, on a process that has just started. */
void work_start(za_sim_t *sim, uint32_t node);

extern const za_class_t work_peer_class;
extern const za_class_t work_small_class;
extern const za_class_t work_flooder_class;
extern const za_class_t work_asker_class;
extern const za_class_t work_answerer_class;
extern const za_class_t work_nursery_class;
extern const za_class_t work_mortal_class;
extern const za_class_t work_watcher_class;
extern const za_class_t work_namer_class;
extern const za_class_t work_parent_class;
extern const za_class_t work_child_class;
extern const za_class_t work_clockwork_class;
extern const za_class_t work_fan_class;

/* ---- what they share -------------------------------------------------------------------------- */

uint32_t work_draw(za_ctx_t *ctx, uint32_t bound);
/** True once in `n` times. */
bool work_once_in(za_ctx_t *ctx, uint32_t n);
/** Log-uniform from 1 to `most`, bytes. */
uint32_t work_draw_size(za_ctx_t *ctx, uint32_t most);
/** The next work_Tick of this actor comes in about `ms`, scaled with the number of nodes. */
void work_tick(za_ctx_t *ctx, uint32_t ms);

/** "peer/n3" */
const char *work_name(char name[WORLD_NAME_BYTES], const char *prefix, uint32_t node);
/** Finds that actor of that node. False: not known here. */
bool work_find(za_ctx_t *ctx, const char *prefix, uint32_t node, za_ref_t *out);
/** As work_find, on any node. */
bool work_find_any(za_ctx_t *ctx, const char *prefix, za_ref_t *out);
/** Registers the name again if it was lost. */
void work_keep_name(za_ctx_t *ctx, uint32_t instance, const char *name);

/** Counts the answer of a send; what a send must never answer is a violation. True if ZA_OK. */
bool work_sent(za_err_t err);

/** Puts `size` bytes of pattern into a field of a message of za_new. */
void work_fill(void *message, za_bytes_t *field, uint64_t pattern, uint32_t size);
/** A violation unless the field is of that pattern. */
void work_check(const za_bytes_t *field, uint64_t pattern, const char *what);

/** One direction between two actors. */
typedef struct work_line {
    za_ref_t to;
    uint64_t stream;
    uint32_t seq;
} work_line_t;

/** Sends the next message of a stream; a new stream if `to` is another than before. */
bool work_send_item(za_ctx_t *ctx, work_line_t *line, uint32_t sender, za_ref_t to, uint32_t size,
                    bool probe);
void work_take_item(uint32_t receiver, const work_Item *item);
