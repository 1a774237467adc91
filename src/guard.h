/* SPDX-License-Identifier: MIT */
/*
 * What stands between the server and the callbacks of a module: it notes what a thread is doing,
 * for the line that a crash leaves behind, and how long that took, for the journal. The handlers
 * that are built in are not guarded, and pay nothing.
 *
 * A guarded handler is a handler like any other, whose callbacks call those of the real one. Made
 * by main's thread at the start; lives as long as the process.
 */
#ifndef SIMPLE_SERVER_GUARD_H
#define SIMPLE_SERVER_GUARD_H

#include <stdbool.h>

#include "simple-server.h"

struct guard {
	struct ss_handler handler; /* what the server calls */
	struct ss_handler real;    /* and what that calls */
};

/* Makes `handler` of `real`. */
void guard_init(struct guard *guard);

/*
 * How long a callback may take before that is logged, in ms; 0: any time. `wake` is called, from
 * whatever thread, at the first callback since the last guard_look().
 */
void guard_start(int budget_ms, void (*wake)(void *context), void *context);

/* Another budget. Main's thread. */
void guard_budget(int budget_ms);

/* A thread in which guarded callbacks run, from its begin to its end. */
void guard_enter_thread(void);
void guard_leave_thread(void);

/*
 * Logs each callback that has not returned for longer than the budget, once; `all`: each that has
 * not returned. Main's thread. Whether there is any, and so a reason to look again.
 */
bool guard_look(bool all);

/* done() of ss_offload(); `connection`, which may be NULL, is of `handler`. */
void guard_done(const struct ss_handler *handler, const char *socket,
		struct ss_connection *connection,
		void (*done)(struct ss_connection *connection, void *job), void *job);

/* The handler of a connection, guarded or not. */
const struct ss_handler *guard_handler_of(const struct ss_connection *connection);

#endif
