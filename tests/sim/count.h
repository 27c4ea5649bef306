/**
 * Count: the word count of examples/wordcount as a part of the workload, and its right result.
 *
 * The texts are drawn word by word, so the result is known without counting.
 */
#pragma once

#include <zactor/sim.h>

extern const za_class_t wordcount_counter_class;
extern const za_class_t wordcount_driver_class;

/** Writes texts drawn from `seed` below `folder` and starts the driver on `node`. False: no file. */
bool count_start(za_sim_t *sim, uint32_t node, uint64_t seed, const char *folder);
/** True when the driver has ended, and when none was started. */
bool count_is_over(za_sim_t *sim);
/** The driver's result is right, or that is a violation. Removes the files. */
void count_check(void);
