/* SPDX-License-Identifier: MIT */
/*
 * The event loop: file descriptors, timers, messages from other threads. A callback runs because
 * something happened; nothing is polled, and a loop with nothing to do sleeps for good.
 *
 * Everything that can happen is a source: an fd that became ready, a time that came, or both (an fd
 * with a deadline). What happened is collected in source->events and stays there until the owner,
 * who alone knows when an fd is exhausted, clears it: edge-triggered below, "still ready" above.
 *
 * A loop belongs to the thread that runs it. Only loop_add() and loop_post() may be called from
 * other threads.
 *
 * One turn: wait; read the clock; call each source that has events; call each source that asked to
 * be called again; expire timers; release what was removed. Therefore:
 * - a source that loop_remove() took out gets no more calls, not even for an event of the same
 * batch (such an event is counted as stale), and its memory is good until its release callback,
 * which runs after the batch;
 * - a source that stopped early, its share of the turn used up, says so by loop_again() and is
 * called in the next turn although epoll has no new edge for it.
 */
#ifndef SIMPLE_SERVER_LOOP_H
#define SIMPLE_SERVER_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

#include "list.h"
#include "timer.h"

struct loop;
struct loop_source;
struct loop_message;

typedef void loop_source_fn(struct loop *loop, struct loop_source *source);
typedef void loop_release_fn(struct loop_source *source);
typedef void loop_message_fn(struct loop *loop, struct loop_message *message);

/* In source->events beside the EPOLL* bits: the time came. epoll never reports this bit. */
#define LOOP_EXPIRED ((uint32_t)EPOLLONESHOT)

struct loop_source {
	union {
		loop_source_fn *ready;
		loop_release_fn *release; /* once removed */
	};
	struct list link; /* among those to call again, or among the removed */
	struct timer timer;
	int fd;          /* borrowed; -1: a timer alone, or removed */
	uint32_t events; /* what happened; cleared by the owner */
};

/* Embedded in what the message is about. Posted again while it is under way, it is delivered once.
 */
struct loop_message {
	struct loop_message *next;
	loop_message_fn *deliver;
	_Atomic bool under_way;
};

#define LOOP_BATCH 256 /* events taken in one turn */

struct loop {
	int epoll_fd;
	bool stopping;
	int64_t now;                /* ms, CLOCK_MONOTONIC_COARSE, of this turn */
	struct timespec tick, read; /* of that, and as the clock was read last */
	int64_t busy; /* when there is more to do than events: 0, a timer's time, INT64_MAX */
	uint64_t turns;
	_Atomic int
		called; /* fd of the source that is being called, for who looks from outside; 0 */
	struct list again;   /* to be called in the next turn */
	struct list due;     /* to be called in this turn */
	struct list removed; /* to be released after this turn */
	uint64_t stale;      /* events for sources removed in the same batch */
	struct timer_wheel timers;
	struct loop_source wake; /* an eventfd: there are messages */
	_Alignas(64) _Atomic(struct loop_message *) inbox;
	struct epoll_event batch[LOOP_BATCH];
};

int loop_init(struct loop *loop);
void loop_deinit(struct loop *loop); /* accepts a loop whose loop_init() failed */

/* Runs turns until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* One turn; waits for at most `timeout_ms` (-1: as long as it takes). */
void loop_turn(struct loop *loop, int timeout_ms);

/* Makes a source that is on no loop yet; fd -1 for a timer alone. */
void loop_source_init(struct loop_source *source, int fd, loop_source_fn *ready);

/*
 * Watches source->fd for `mask`. From any thread: the source must be complete, because its first
 * event may come before the call returns. 0 or -errno of epoll_ctl().
 */
int loop_add(struct loop *loop, struct loop_source *source, uint32_t mask);

/* Watches it for another mask; what is ready by that comes as an event again. */
void loop_change(struct loop *loop, struct loop_source *source, uint32_t mask);

/*
 * Takes the source out, its timer too; the fd stays open and is the caller's. EPOLL_CTL_DEL is
 * always made: a duplicate of the fd elsewhere (systemd's fd store, a fork) would keep the
 * registration alive over close(). `release` may be NULL where the memory stays anyway.
 */
void loop_remove(struct loop *loop, struct loop_source *source, loop_release_fn *release);

static inline void loop_again(struct loop *loop, struct loop_source *source)
{
	if (!list_empty(&source->link))
		return;
	list_add_tail(&loop->again, &source->link);
	loop->busy = 0;
}

/* Calls the source without an event of it: from the delivery of a message. */
void loop_call(struct loop *loop, struct loop_source *source);

/* Calls the source with LOOP_EXPIRED in its events after `in_ms`, once; arming again moves the
 * time. */
void loop_arm(struct loop *loop, struct loop_source *source, int64_t in_ms);
void loop_disarm(struct loop *loop, struct loop_source *source);

/*
 * From any thread: has `message` delivered in the loop's own thread. Wakes the loop only if its
 * inbox was empty.
 */
void loop_post(struct loop *loop, struct loop_message *message);

#endif
