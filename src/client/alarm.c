/* SPDX-License-Identifier: MIT */
/* The timerfd is edge-triggered and never read: setting it anew takes its expirations back. */
#include <errno.h>
#include <sys/timerfd.h>

#include "alarm.h"
#include "clock.h"

int alarm_init(struct loop_source *source, struct loop *loop, loop_source_fn *ready)
{
	auto_close int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	loop_source_init(source, fd, ready);
	if (fd < 0)
		return -errno;
	int r = loop_add(loop, source, EPOLLIN | (uint32_t)EPOLLET);
	if (r < 0)
		source->fd = -1;
	else
		steal_fd(&fd);
	return r;
}

void alarm_deinit(struct loop_source *source, struct loop *loop)
{
	int fd = source->fd;

	if (fd < 0)
		return;
	loop_remove(loop, source, NULL);
	close_fd(fd);
}

void alarm_set(struct loop_source *source, struct loop *loop, int64_t time)
{
	struct itimerspec at = { .it_value = { .tv_sec = time / CLOCK_SECOND,
					       .tv_nsec = time % CLOCK_SECOND } };
	int64_t in_ms = time / CLOCK_MS + 1 - loop->now;

	timerfd_settime(source->fd, TFD_TIMER_ABSTIME, &at, NULL);
	loop_arm(loop, source, in_ms > 0 ? in_ms : 0);
}
