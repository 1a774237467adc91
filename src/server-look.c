/* SPDX-License-Identifier: MIT */
/*
 * What main's thread looks after while the workers serve: STATUS=, the time without a connection
 * after which the process leaves, jobs and callbacks that do not return. All of it by timers that
 * are armed when there is something to look at: an idle server sleeps.
 */
#include <string.h>

#include "activation.h"
#include "guard.h"
#include "server-private.h"
#include "settings.h"
#include "status.h"
#include "util.h"

#define STATUS_INTERVAL_MS 5000
#define LOOK_MS            1000

/* Until the next step of the end; -1: there is none. */
static int seconds_left(const struct server *server)
{
	int64_t left_ms = server->deadline.timer.due - server->loop.now;

	if (!timer_armed(&server->deadline.timer))
		return -1;
	return left_ms > 0 ? (int)((left_ms + 999) / 1000) : 0;
}

void server_notify_status(struct server *server, const char *state)
{
	static const char *const verbs[] = {
		[STARTING] = "Starting", [SERVING] = "Serving",  [HANDING_OVER] = "Handing over",
		[DRAINING] = "Stopping", [FINISHING] = "Ending", [ABORTING] = "Ending",
	};
	struct status status = { .verb = verbs[server->phase],
				 .services = &server->setup.services,
				 .n_sockets = server->setup.listeners.count,
				 .left_s = seconds_left(server),
				 .workers = &server->workers,
				 .pool = server_has_pool(server) ? &server->pool : NULL,
				 .note = server->reload.outcome };
	char text[STATUS_MAX];

	activation_notify("%sSTATUS=%s", state, status_format(text, &status));
}

void server_watch_idle(struct server *server)
{
	int idle_ms = server->settings->idle_exit_ms;

	if (idle_ms && server->phase == SERVING)
		loop_arm(&server->loop, &server->idle, idle_ms);
}

/*
 * Whoever touched the workers since the first may have been the last one, a moment ago: then the
 * time begins anew. A connection may be on its way in: nobody accepts any more, and then there is a
 * last look.
 */
static void on_idle_due(struct loop *loop, struct loop_source *source)
{
	struct server *server = container_of(source, struct server, idle);

	loop_disarm(loop, source);
	if (workers_untouch(&server->workers))
		server_watch_idle(server);
	else if (server->phase == SERVING && workers_connections(&server->workers) == 0)
		workers_pause(&server->workers);
}

/* STATUS= follows the counts at a distance, and an idle server sends none. */
static void on_status_due(struct loop *loop, struct loop_source *source)
{
	struct server *server = container_of(source, struct server, status);

	loop_disarm(loop, source);
	server->status_sent = loop->now;
	workers_untouch(&server->workers); /* before the counts are read: nothing is missed */
	server_notify_status(server, "");
	server_watch_idle(server);
}

void server_on_touched(struct workers *workers)
{
	struct server *server = workers->owner;
	int64_t wait = server->status_sent + STATUS_INTERVAL_MS - server->loop.now;

	server_watch_idle(server);
	loop_arm(&server->loop, &server->status, wait > 0 ? wait : 0);
}

/* At once, and then once a second as long as there are jobs; never without. */
static void look_at_pool(struct server *server)
{
	loop_disarm(&server->loop, &server->jobs);
	if (pool_look(&server->pool, (int64_t)server->settings->job_budget_ms * 1000000))
		loop_arm(&server->loop, &server->jobs, LOOK_MS);
	server_on_touched(&server->workers); /* what it does is in STATUS= */
}

static void on_jobs_due(struct loop *loop, struct loop_source *source)
{
	(void)loop;
	look_at_pool(container_of(source, struct server, jobs));
}

void server_on_pool_busy(struct pool *pool)
{
	look_at_pool(container_of(pool, struct server, pool));
}

/* A second after a callback there is a look, and none where there was no callback. */
void server_watch_callbacks(void *context)
{
	struct server *server = context;

	loop_post(&server->loop, &server->on_callback);
}

static void on_callback(struct loop *loop, struct loop_message *message)
{
	struct server *server = container_of(message, struct server, on_callback);

	loop_arm(loop, &server->callbacks, LOOK_MS);
}

static void on_callbacks_due(struct loop *loop, struct loop_source *source)
{
	loop_disarm(loop, source);
	if (guard_look(false))
		loop_arm(loop, source, LOOK_MS);
}

void server_look_init(struct server *server)
{
	server->status_sent = -STATUS_INTERVAL_MS;
	loop_source_init(&server->status, -1, on_status_due);
	loop_source_init(&server->idle, -1, on_idle_due);
	loop_source_init(&server->jobs, -1, on_jobs_due);
	loop_source_init(&server->callbacks, -1, on_callbacks_due);
	server->on_callback.deliver = on_callback;
}
