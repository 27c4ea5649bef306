/** How far apart the two cores are at this minute: on a machine with other guests it varies, and
 * every figure of two workers with it. */
#pragma once

/** Median of some batches: nanoseconds of one cache line to the other core and back; 0 if this
 * process may use one core only. */
double bench_bounce_ns(void);
