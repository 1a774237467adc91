/* SPDX-License-Identifier: MIT */
/*
 * The watchdog: systemd is told WATCHDOG=1 only when everything in here has moved since the last
 * time. Twice in WatchdogSec= main's timer asks all workers, by a message to each loop; that the
 * timer came shows that main and its timers move, and when the last answer is in, the pool and the
 * log are looked at.
 *
 * What waits for somebody else does not hang: a log whose reader stands still, and threads of the
 * pool whose jobs take long. A job waits for something outside, that is what it is for; no time
 * tells a dead name server from a deadlock, and a new process would meet the same. So it is named
 * after job_budget, and ends nothing.
 *
 * A worker that does not answer ends the process, shortly before systemd would: by SIGABRT to the
 * very thread, so that the line of crash.h and the core are about what hangs. If main hangs itself,
 * systemd's own time-out is left.
 *
 * Main's thread. Without WatchdogSec= it does nothing and wakes nobody.
 */
#ifndef SIMPLE_SERVER_WATCHDOG_H
#define SIMPLE_SERVER_WATCHDOG_H

#include <stdint.h>

#include "loop.h"
#include "pool.h"
#include "worker.h"

struct watchdog {
	struct loop *loop;
	struct workers *workers;
	struct pool *pool; /* may be one that was never started */
	struct loop_source timer;
	int64_t limit_ms; /* WatchdogSec=; 0: nobody watches */
	int64_t asked_ms; /* loop time */
	enum { WATCHDOG_RESTS, WATCHDOG_ASKS, WATCHDOG_DOUBTS } state;
};

/* When the server is ready. */
void watchdog_start(struct watchdog *watchdog, int limit_ms, struct loop *loop,
		    struct workers *workers, struct pool *pool);

/* After workers_ask(): all have answered. */
void watchdog_answered(struct watchdog *watchdog);

#endif
