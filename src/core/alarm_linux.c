#include "core/alarm.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

za_err_t za_alarm_init(za_alarm_t *alarm)
{
    alarm->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    return alarm->fd < 0 ? ZA_EIO : ZA_OK;
}

void za_alarm_deinit(za_alarm_t *alarm)
{
    if (alarm->fd >= 0) {
        close(alarm->fd);
        alarm->fd = -1;
    }
}

void za_alarm_set(za_alarm_t *alarm, uint64_t delay_ns)
{
    struct itimerspec when = { .it_value = { .tv_sec = (time_t)(delay_ns / 1000000000),
                                             .tv_nsec = (long)(delay_ns % 1000000000) } };
    timerfd_settime(alarm->fd, 0, &when, NULL);
}

void za_alarm_wait(za_alarm_t *alarm)
{
    uint64_t count;
    while (read(alarm->fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}
