/* SPDX-License-Identifier: MIT */
/*
 * What server*.c share: the process as main's thread has it. server.c makes it and serves,
 * server-look.c looks after it meanwhile, server-end.c ends it.
 */
#ifndef SIMPLE_SERVER_SERVER_PRIVATE_H
#define SIMPLE_SERVER_SERVER_PRIVATE_H

#include "loop.h"
#include "pool.h"
#include "reload.h"
#include "server.h"
#include "setup.h"
#include "succession.h"
#include "watchdog.h"
#include "worker.h"

enum phase { STARTING, SERVING, HANDING_OVER, DRAINING, FINISHING, ABORTING };

struct server {
	struct setup setup;
	const struct settings *settings; /* in force: those of the last reload */
	struct reload reload;
	struct loop loop;
	struct workers workers;
	struct pool pool;
	struct succession succession;
	struct watchdog watchdog;
	int watchdog_ms; /* WatchdogSec=; 0: none */
	struct loop_source signals;
	struct loop_source status;    /* a timer: STATUS= is due */
	struct loop_source deadline;  /* a timer: the next step of the end is due */
	struct loop_source countdown; /* a timer: until then, to say how long */
	struct loop_source idle;      /* a timer, while there is no connection: to leave */
	struct loop_source jobs; /* a timer, while the pool has work: for jobs that are stuck */
	struct loop_source callbacks; /* a timer, while modules have work: for callbacks that are */
	struct loop_message on_callback;
	int64_t status_sent; /* loop time, ms */
	bool has_taken;      /* what the process before had */
	enum phase phase;
};

/* --- server-look.c: STATUS=, idle_exit, what hangs */

void server_look_init(struct server *server);

static inline bool server_has_pool(const struct server *server)
{
	return server->pool.threads != NULL;
}

/* Tells systemd `state`, lines that end with a newline, and with them STATUS=. */
void server_notify_status(struct server *server, const char *state);

/* From now on, if there is no connection, and as long as nobody touches the workers. */
void server_watch_idle(struct server *server);

/* Whoever is stuck in a callback or a job is seen a second after the first of them. */
void server_watch_callbacks(void *server);
void server_on_pool_busy(struct pool *pool);

/* Events of the workers. */
void server_on_touched(struct workers *workers);

/* --- server-end.c: the steps of the end */

void server_end_init(struct server *server);

/* Those that are there have drain_timeout to end. */
void server_drain(struct server *server);

/* The next process goes on with them. */
void server_hand_over(struct server *server);

/* At once. */
void server_abort(struct server *server);

/* Events of the workers. */
void server_on_paused(struct workers *workers);
void server_on_frozen(struct workers *workers, unsigned left);
void server_on_drained(struct workers *workers);

#endif
