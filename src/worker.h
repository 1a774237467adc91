/* SPDX-License-Identifier: MIT */
/*
 * The workers: threads, each with a loop and the connections that it owns. All workers watch all
 * listeners; whoever accepts a connection keeps it unless another worker has clearly fewer, and
 * then it goes straight into that worker's epoll: no queue, no wake-up, no lock.
 *
 * Main's thread makes, starts and stops them. They tell main what happens by messages to its loop,
 * on which the callbacks of struct workers_events run.
 */
#ifndef SIMPLE_SERVER_WORKER_H
#define SIMPLE_SERVER_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "connection.h"
#include "listener.h"
#include "loop.h"
#include "pool.h"

struct worker;
struct crash_place;

struct workers {
	struct worker *list; /* in memory that the keeper shares */
	size_t size;
	unsigned count;
	struct loop *main_loop;
	const struct workers_events *events;
	void *owner;   /* of the events */
	bool freezing; /* what workers_freeze() asked for, */
	int64_t freezing_since_ns;
	unsigned left; /* connections, of the answers to that so far */
	enum { WORKERS_ACCEPT, WORKERS_PAUSING, WORKERS_PAUSED, WORKERS_DRAINING } state;
	unsigned greeted, ready, quiet, frozen, drained; /* workers that have answered so */
	unsigned silent;            /* workers that owe the answer to workers_ask() */
	unsigned settled, followed; /* the same, of the last workers_settle() */
	bool failed;                /* worker_start() of a handler, in any of them */
	_Atomic bool touched;
	struct loop_message on_touched;
};

/* All in main's thread. */
struct workers_events {
	/* The handlers have started in every worker, and nobody accepts yet. */
	void (*greeted)(struct workers *workers);
	void (*ready)(
		struct workers *workers); /* every worker waits for connections, or has `failed` */
	void (*touched)(
		struct workers *workers); /* connections came or went since workers_untouch() */
	/* After workers_pause(): nobody accepts; what is open now stays the last. */
	void (*paused)(struct workers *workers);
	/* After workers_freeze(): so many connections could not be frozen and are served on. */
	void (*frozen)(struct workers *workers, unsigned left);
	/* After workers_settle(). */
	void (*settled)(struct workers *workers);
	/* After workers_drain(): the last connection is gone, and the last job. */
	void (*drained)(struct workers *workers);
	/* After workers_ask(): every worker has come round to it. */
	void (*answered)(struct workers *workers);
};

/*
 * Makes `count` workers for all `listeners`, `services` and the `pool`, which must outlive them. 0
 * or -errno.
 */
int workers_init(struct workers *workers, unsigned count, const struct listeners *listeners,
		 const struct services *services, struct pool *pool, struct loop *main_loop,
		 const struct workers_events *events, void *owner);

/* Starts the threads, and when the handlers have started in all of them, accepting; `ready`
 * follows. 0 or -errno. */
int workers_start(struct workers *workers);

/* Stops accepting, and when `paused` has come, begins again. */
void workers_pause(struct workers *workers);
void workers_resume(struct workers *workers);

/*
 * When `paused` has come: freezes the connections that can be, or only counts those that cannot, as
 * `frozen` tells: in that case a job is waited for if it was there before `since_ns`, a time of
 * CLOCK_MONOTONIC. May be repeated for those that are left.
 */
void workers_freeze(struct workers *workers, bool for_good, int64_t since_ns);

/* What a worker has frozen so far; when `frozen` has come. */
struct frozen *workers_frozen(struct workers *workers, unsigned worker);

/* The worker that has the fewest connections: where one from another process goes. */
struct connection_set *workers_quietest(struct workers *workers);

/* Notes in `ledger` what may go on after a crash; between workers_init() and workers_start(). */
void workers_set_ledger(struct workers *workers, struct ledger *ledger);

/*
 * In another process, which shares the memory of the workers, after the end of this one: whether
 * some worker had this descriptor in its hands then.
 */
bool workers_in_turn(const struct workers *workers, int fd);

/*
 * Stops accepting, if that is not done, and lets the connections go on; `drained` follows when
 * there are none. For good: `paused` does not come any more.
 */
void workers_drain(struct workers *workers);

/*
 * The services have other sections. `settled` follows when nobody uses the former ones any more:
 * each worker has been between two callbacks, and then all connections go by the new ones. Not
 * again before that.
 */
void workers_settle(struct workers *workers);

/* Ends all connections politely, or at once; after workers_drain(). */
void workers_finish(struct workers *workers);
void workers_abort(struct workers *workers);

/* Ends and joins the threads; then workers_deinit() is allowed. */
void workers_stop(struct workers *workers);
void workers_deinit(struct workers *workers);

/*
 * Asks each worker for an answer, which it gives as soon as its loop turns; `answered` follows when
 * all have. Not again before that.
 */
void workers_ask(struct workers *workers);

/* The first worker from `index` on that owes its answer; `count` if there is none. */
unsigned workers_silent(const struct workers *workers, unsigned index);

/* Which callback of a module it is in; worth something as long as it hangs there. */
struct crash_place workers_place(const struct workers *workers, unsigned index);

/* SIGABRT for its thread: what hangs is what the last words and the core are about. */
void workers_abort_thread(const struct workers *workers, unsigned index);

/* Asks for another `touched` at the next connection that comes or goes; whether one did. */
bool workers_untouch(struct workers *workers);

/* The sum of a counter of a service. */
int64_t workers_counter(const struct workers *workers, const struct service *service,
			unsigned counter);

/* Connections that are open now; an approximation while they come and go. */
unsigned workers_connections(const struct workers *workers);

#endif
