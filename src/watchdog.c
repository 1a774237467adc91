/* SPDX-License-Identifier: MIT */
/*
 * See watchdog.h. A round has until shortly before the end of WatchdogSec=. Then main doubts first,
 * and gives another moment: a process that stood still as a whole, starved or frozen, finds its
 * time over when it goes on, and its workers have not had theirs.
 */
#include "watchdog.h"

#include <poll.h>
#include <stdlib.h>
#include <syslog.h>

#include "activation.h"
#include "crash.h"
#include "journal.h"

#define MARGIN_MAX_MS 1000
#define PATIENCE_MS   1000 /* with a thread that cannot take its signal */

static int64_t half_ms(const struct watchdog *watchdog)
{
	return watchdog->limit_ms / 2;
}

/* Before systemd's own time-out. */
static int64_t margin_ms(const struct watchdog *watchdog)
{
	int64_t margin = watchdog->limit_ms / 8;

	return margin < MARGIN_MAX_MS ? margin : MARGIN_MAX_MS;
}

static bool all_move(const struct watchdog *watchdog)
{
	return workers_silent(watchdog->workers, 0) == watchdog->workers->count &&
	       pool_moves(watchdog->pool, half_ms(watchdog) * 1000000) &&
	       journal_moves(half_ms(watchdog));
}

static void feed(struct watchdog *watchdog)
{
	activation_notify("WATCHDOG=1");
	watchdog->state = WATCHDOG_RESTS;
	loop_arm(watchdog->loop, &watchdog->timer, half_ms(watchdog));
}

static void log_silent(const struct watchdog *watchdog, unsigned index)
{
	struct crash_place place = workers_place(watchdog->workers, index);
	int64_t silent_ms = watchdog->loop->now - watchdog->asked_ms;
	struct journal_fields fields = { .socket = place.socket,
					 .handler = place.handler,
					 .connection = place.connection,
					 .duration_us = (uint64_t)silent_ms * 1000 };

	if (place.handler)
		journal_log(JOURNAL_WATCHDOG, LOG_CRIT, &fields,
			    "worker-%u has not answered for %.1f s: it is in %s() of handler %s "
			    "(socket %s), connection %llu; the process ends itself",
			    index, (double)silent_ms / 1000, place.callback, place.handler,
			    place.socket, (unsigned long long)place.connection);
	else
		journal_log(JOURNAL_WATCHDOG, LOG_CRIT, &fields,
			    "worker-%u has not answered for %.1f s: it is in no callback of a "
			    "module; the process ends itself",
			    index, (double)silent_ms / 1000);
}

/* The journal gets its second to take the entries; then nothing is waited for any more. */
static _Noreturn void bite(const struct watchdog *watchdog)
{
	const struct workers *workers = watchdog->workers;
	unsigned first = workers_silent(workers, 0);

	for (unsigned i = first; i < workers->count; i = workers_silent(workers, i + 1))
		log_silent(watchdog, i);
	if (first == workers->count)
		journal_log(JOURNAL_WATCHDOG, LOG_CRIT, NULL,
			    "the workers answer, but %s; the process ends itself",
			    pool_moves(watchdog->pool, half_ms(watchdog) * 1000000)
				    ? "nobody writes the log"
				    : "jobs wait although threads of the pool are free");
	journal_stop();
	if (first < workers->count) {
		workers_abort_thread(workers, first);
		poll(NULL, 0, PATIENCE_MS);
	}
	abort();
}

static void on_timer(struct loop *loop, struct loop_source *source)
{
	struct watchdog *watchdog = container_of(source, struct watchdog, timer);

	loop_disarm(loop, source);
	switch (watchdog->state) {
	case WATCHDOG_RESTS:
		watchdog->state = WATCHDOG_ASKS;
		watchdog->asked_ms = loop->now;
		loop_arm(loop, source, half_ms(watchdog) - margin_ms(watchdog));
		workers_ask(watchdog->workers);
		break;
	case WATCHDOG_ASKS:
		watchdog->state = WATCHDOG_DOUBTS;
		loop_arm(loop, source, margin_ms(watchdog) / 2);
		break;
	case WATCHDOG_DOUBTS:
		if (!all_move(watchdog))
			bite(watchdog);
		feed(watchdog);
		break;
	}
}

void watchdog_answered(struct watchdog *watchdog)
{
	if (all_move(watchdog))
		feed(watchdog);
}

void watchdog_start(struct watchdog *watchdog, int limit_ms, struct loop *loop,
		    struct workers *workers, struct pool *pool)
{
	*watchdog = (struct watchdog){
		.loop = loop, .workers = workers, .pool = pool, .limit_ms = limit_ms
	};
	loop_source_init(&watchdog->timer, -1, on_timer);
	if (limit_ms)
		loop_arm(loop, &watchdog->timer, half_ms(watchdog));
}
