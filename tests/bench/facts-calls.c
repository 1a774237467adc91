/* SPDX-License-Identifier: MIT */
/*
 * What calls cost beside each other: accept4() and accept() with fcntl(), a timerfd for each
 * connection and a timer of the wheel. The two alternate; the median of the rounds is printed.
 */
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "facts.h"
#include "timer.h"
#include "util.h"

#define ROUNDS 41
#define BATCH  64
#define TIMERS 1000

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double values[static ROUNDS])
{
	qsort(values, ROUNDS, sizeof(values[0]), compare);
	return values[ROUNDS / 2];
}

static int accept_by_four_calls(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd >= 0) {
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	return fd;
}

static int accept_by_one_call(int listener)
{
	return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* ns for each of a batch that waits in the backlog. */
static double time_accept(int listener, int (*accept_it)(int listener))
{
	int clients[BATCH], accepted[BATCH];

	for (size_t i = 0; i < BATCH; i++)
		clients[i] = new_client(listener);
	double start = now();
	for (size_t i = 0; i < BATCH; i++)
		accepted[i] = accept_it(listener);
	double took = now() - start;
	for (size_t i = 0; i < BATCH; i++) {
		if (accepted[i] < 0)
			err(EXIT_FAILURE, "accept");
		close_fd(accepted[i]);
		close_fd(clients[i]);
	}
	return took / BATCH * 1e9;
}

static void ask_accept(void)
{
	auto_close int listener = new_listener(AF_INET, 0);
	double one[ROUNDS], four[ROUNDS];

	for (size_t i = 0; i < ROUNDS; i++) {
		one[i] = time_accept(listener, accept_by_one_call);
		four[i] = time_accept(listener, accept_by_four_calls);
	}
	printf("| accept a connection | accept4() | 1 | %.0f |\n", median(one));
	printf("| | accept(), fcntl() three times | 4 | %.0f |\n", median(four));
}

/* ns for each time that a connection was active, and its time-out begins anew. */
static double time_timerfd(const int fds[static TIMERS])
{
	double start = now();

	for (size_t i = 0; i < TIMERS; i++)
		timerfd_settime(fds[i], 0, &(struct itimerspec){ .it_value.tv_sec = 60 }, NULL);
	return (now() - start) / TIMERS * 1e9;
}

static double time_wheel(struct timer_wheel *wheel, struct timer timers[static TIMERS], int64_t at)
{
	double start = now();

	for (size_t i = 0; i < TIMERS; i++)
		timer_arm(wheel, &timers[i], at, at + 60000);
	return (now() - start) / TIMERS * 1e9;
}

static double time_store(volatile int64_t active[static TIMERS], int64_t at)
{
	double start = now();

	for (size_t i = 0; i < TIMERS; i++)
		active[i] = at;
	return (now() - start) / TIMERS * 1e9;
}

static void ask_timers(void)
{
	static int fds[TIMERS];
	static struct timer timers[TIMERS];
	static struct timer_wheel wheel;
	static volatile int64_t active[TIMERS];
	double timerfd[ROUNDS], armed[ROUNDS], stored[ROUNDS];

	timer_wheel_init(&wheel, 0);
	for (size_t i = 0; i < TIMERS; i++) {
		timer_init(&timers[i]);
		fds[i] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		if (fds[i] < 0)
			err(EXIT_FAILURE, "timerfd_create");
	}
	for (size_t i = 0; i < ROUNDS; i++) {
		timerfd[i] = time_timerfd(fds);
		armed[i] = time_wheel(&wheel, timers, (int64_t)i);
		stored[i] = time_store(active, (int64_t)i);
	}
	for (size_t i = 0; i < TIMERS; i++)
		close_fd(fds[i]);
	printf("| begin a time-out anew | timerfd_settime() | 1 | %.0f |\n", median(timerfd));
	printf("| | arm a timer of the wheel | 0 | %.1f |\n", median(armed));
	printf("| | note the time, as the server does | 0 | %.1f |\n", median(stored));
}

void fact_calls(void)
{
	printf("| to | by | system calls | ns |\n|---|---|---|---|\n");
	ask_accept();
	ask_timers();
}
