/* SPDX-License-Identifier: MIT */
/*
 * The end, in three steps: draining (no new connections, the others go on, until drain_timeout),
 * finishing (each gets its FIN and its lingering close), aborting (what is left is cut). At a
 * restart handing over takes the place of the first two, and where that fails they follow.
 */
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

#include "guard.h"
#include "journal.h"
#include "server-private.h"
#include "settings.h"
#include "util.h"

#define CUT_AFTER_MS     1000 /* beyond the longest lingering close */
#define GIVE_UP_AFTER_MS 5000 /* on what does not return */
#define COUNTDOWN_MS     1000
#define EXTEND_MS        5000 /* of the end, which systemd cuts short after so long a silence */

static int longest_linger_ms(const struct server *server)
{
	int longest = 0;

	for (size_t i = 0; i < server->settings->n_sockets; i++)
		if (server->settings->sockets[i].timeouts.linger_ms > longest)
			longest = server->settings->sockets[i].timeouts.linger_ms;
	return longest;
}

void server_on_drained(struct workers *workers)
{
	struct server *server = workers->owner;

	loop_stop(&server->loop);
}

/*
 * The file decides how long the end takes, and systemd waits for that long, whatever
 * TimeoutStopSec= is: it is asked in small steps, so that it soon sees to a process that does not
 * take them.
 */
static void count_down(struct server *server, const char *state)
{
	char extended[80];

	snprintf(extended, sizeof(extended), "%sEXTEND_TIMEOUT_USEC=%d\n", state, EXTEND_MS * 1000);
	server_notify_status(server, extended);
	loop_arm(&server->loop, &server->countdown, COUNTDOWN_MS);
}

static void on_countdown_due(struct loop *loop, struct loop_source *source)
{
	loop_disarm(loop, source);
	count_down(container_of(source, struct server, countdown), "");
}

void server_drain(struct server *server)
{
	server->phase = DRAINING;
	reload_stop(&server->reload);
	succession_end(&server->succession);
	loop_arm(&server->loop, &server->deadline, server->settings->drain_ms);
	count_down(server, "STOPPING=1\n");
	journal_log(
		JOURNAL_STOPPING, LOG_INFO, NULL,
		"stopping: %u connections have %.1f s to end; a second signal ends them at once",
		workers_connections(&server->workers), server->settings->drain_ms / 1000.0);
	workers_drain(&server->workers);
}

static void begin_finish(struct server *server)
{
	server->phase = FINISHING;
	loop_arm(&server->loop, &server->deadline, longest_linger_ms(server) + CUT_AFTER_MS);
	count_down(server, "");
	workers_finish(&server->workers);
}

void server_hand_over(struct server *server)
{
	server->phase = HANDING_OVER;
	reload_stop(&server->reload);
	loop_arm(&server->loop, &server->deadline,
		 (int64_t)server->settings->drain_ms + longest_linger_ms(server) + CUT_AFTER_MS +
			 GIVE_UP_AFTER_MS);
	count_down(server, "STOPPING=1\n");
	journal_log(JOURNAL_STOPPING, LOG_INFO, NULL,
		    "restarting: %u connections go to the next process",
		    workers_connections(&server->workers));
	workers_pause(&server->workers);
}

/* The next process has the connections, and must not wait for jobs whose connections were cut off.
 */
static _Noreturn void leave_jobs(struct server *server)
{
	succession_end(&server->succession);
	journal_log(JOURNAL_STOPPED, LOG_NOTICE, NULL,
		    "stopped; jobs in the pool that have not returned end with the process");
	journal_stop();
	_exit(SERVER_EXIT_OK);
}

static void on_handed_over(struct succession *succession, int error)
{
	struct server *server = container_of(succession, struct server, succession);

	if (error != 0)
		server_drain(server);
	else if (server_has_pool(server) && pool_look(&server->pool, INT64_MAX))
		leave_jobs(server);
	else
		loop_stop(&server->loop);
}

void server_abort(struct server *server)
{
	if (server->phase == HANDING_OVER) {
		succession_stop(&server->succession);
		workers_drain(&server->workers);
	}
	server->phase = ABORTING;
	loop_arm(&server->loop, &server->deadline, GIVE_UP_AFTER_MS);
	count_down(server, "");
	workers_abort(&server->workers);
}

/*
 * Something does not come back: a callback of a module, or a job. Only the end of the process ends
 * it; threads that run on must not see their memory go.
 */
static _Noreturn void leave_behind(struct server *server)
{
	guard_look(true);
	if (server_has_pool(server))
		pool_look(&server->pool, 1);
	journal_log(JOURNAL_ERROR, LOG_ERR, NULL,
		    "a handler's callback or job does not return: it ends with the process");
	journal_stop();
	_exit(SERVER_EXIT_INTERNAL);
}

static void on_deadline(struct loop *loop, struct loop_source *source)
{
	struct server *server = container_of(source, struct server, deadline);

	loop_disarm(loop, source);
	if (server->phase == DRAINING)
		begin_finish(server);
	else if (server->phase == FINISHING)
		server_abort(server);
	else
		leave_behind(server);
}

void server_on_frozen(struct workers *workers, unsigned left)
{
	struct server *server = workers->owner;

	if (server->phase == HANDING_OVER)
		succession_frozen(&server->succession, left);
}

/*
 * What came in meanwhile is served, and the others with it. If nothing did, whoever connects from
 * now on waits in the queue of the socket, and systemd starts the next process for it.
 */
void server_on_paused(struct workers *workers)
{
	struct server *server = workers->owner;

	if (server->phase == HANDING_OVER) {
		succession_give(&server->succession, server->settings->drain_ms,
				longest_linger_ms(server), on_handed_over);
		return;
	}
	if (server->phase != SERVING)
		return;
	if (workers_connections(workers) > 0) {
		workers_resume(workers);
		return;
	}
	server->phase = DRAINING;
	reload_stop(&server->reload);
	server_notify_status(server, "STOPPING=1\n");
	journal_log(JOURNAL_STOPPING, LOG_INFO, NULL,
		    "stopping: there was no connection for %g s; the next one starts it again",
		    server->settings->idle_exit_ms / 1000.0);
	workers_drain(workers);
}

void server_end_init(struct server *server)
{
	loop_source_init(&server->deadline, -1, on_deadline);
	loop_source_init(&server->countdown, -1, on_countdown_due);
}
