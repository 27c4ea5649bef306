/**
 * Alarm: a one-shot timer that one thread waits for and any may set.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zactor/err.h>

typedef struct za_alarm {
    int fd;
} za_alarm_t;

/** ZA_EIO: the system has no timer left. */
za_err_t za_alarm_init(za_alarm_t *alarm);
void za_alarm_deinit(za_alarm_t *alarm);
/** Rings once, `delay_ns` (> 0) from now. */
void za_alarm_set(za_alarm_t *alarm, uint64_t delay_ns);
/** Rests until it rings. */
void za_alarm_wait(za_alarm_t *alarm);
