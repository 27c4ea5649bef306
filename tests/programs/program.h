/**
 * Program: a few actors that do random things to each other, drawn from one seed.
 *
 * What a handler does depends on the seed, the actor and the number of its events alone, so that a
 * replay with fewer kinds of operations, or fewer operations, stays close to the original.
 */
#pragma once

#include "base/rng.h"
#include "model.h"

typedef enum p_op {
    P_OP_TELL,
    P_OP_BURST, // several to one actor: the runtime may push them together
    P_OP_MOVE,  // za_new, za_send
    P_OP_ASK,
    P_OP_REPLY,
    P_OP_FORWARD,
    P_OP_KEEP,
    P_OP_REPLY_KEPT,
    P_OP_RELEASE,
    P_OP_AFTER,
    P_OP_EVERY,
    P_OP_CANCEL,
    P_OP_UNSTASH,
    P_OP_BECOME,
    P_OP_WATCH,
    P_OP_UNWATCH,
    P_OP_SPAWN,
    P_OP_STOP_CHILD,
    P_OP_STOP_SELF,
    P_OP_QUIET, // receive timeout
    P_OP_GROUP, // joins or leaves
    P_OP_PUBLISH,
    // Verdicts.
    P_OP_STASH,
    P_OP_FAIL,
    P_OP_STOP,
    P_OPS,
} p_op_t;

enum { P_OPS_MAX = 240 }; // operations of one program

typedef struct p_program {
    uint64_t seed;
    uint32_t allowed;                     // kinds of operations, by bit
    uint64_t skipped[P_OPS_MAX / 64 + 1]; // operations by their number
    uint32_t budget;                      // operations at most
    uint32_t done;                        // operations so far, the skipped ones included
    za_worker_t *guest;
    bool joined[P_ACTORS_MAX];
    p_model_t model;
} p_program_t;

const char *p_op_name(p_op_t op);
/** The program that runs: handlers find it here. */
p_program_t *p_program(void);
/** Spawns the first actors. `program->model` is initialised. */
void p_program_begin(p_program_t *program, uint32_t actors);
/** A message from outside to one of the actors. */
void p_program_tell(p_program_t *program, za_rng_t *rng);
