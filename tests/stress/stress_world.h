/** A runtime with worker threads, for the stress programs; exit status 1 on a broken promise. */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <zactor/actor.h>

#include "core/threads.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

typedef struct s_Num {
    uint64_t n;
    uint64_t from;
    za_ref_t ref;
} s_Num;

static const za_type_t s_Num_type = { .name = "s.Num", .id = 201, .size = sizeof(s_Num) };

typedef struct stress {
    za_threads_t *threads;
    za_runtime_t *runtime;
} stress_t;

static inline void stress_start(stress_t *stress, uint32_t workers, uint32_t mailbox)
{
    MUST(za_threads_create(NULL, &stress->threads) == ZA_OK);
    const za_runtime_config_t config = { .workers = workers,
                                         .actors_max = 1 << 20,
                                         .pool_bytes_max = 1u << 30,
                                         .mailbox_default = mailbox,
                                         .seed = 1,
                                         .host = za_threads_host(),
                                         .host_context = stress->threads };
    MUST(za_runtime_create(&config, &stress->runtime) == ZA_OK);
    MUST(za_threads_start(stress->threads, stress->runtime) == ZA_OK);
}

static inline za_ref_t stress_spawn(za_worker_t *guest, const za_class_t *class_)
{
    za_ref_t ref;
    const za_spawn_opts_t opts = { .size = sizeof opts };
    MUST(za_runtime_spawn(guest, class_, &opts, ZA_REF_NONE, &ref) == ZA_OK);
    return ref;
}

static inline za_err_t stress_tell(za_worker_t *guest, za_ref_t to, s_Num num)
{
    const za_outgoing_t out = { .to = to, .type = &s_Num_type, .body = &num };
    return za_runtime_tell(guest, &out);
}

static inline void stress_stop(stress_t *stress)
{
    za_threads_stop(stress->threads);
    za_runtime_destroy(stress->runtime);
    za_threads_destroy(stress->threads);
}

/** argv[1], or what takes a second or two. */
static inline uint64_t stress_rounds(int argc, char **argv, uint64_t usual)
{
    return argc > 1 ? strtoull(argv[1], NULL, 10) : usual;
}
