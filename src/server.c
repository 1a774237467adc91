/* SPDX-License-Identifier: MIT */
/*
 * See server.h. The main thread has a loop of its own, on which it sleeps: for signals (a signalfd,
 * there are no signal handlers), for messages of the workers, for its deadlines.
 *
 * The end in three steps: draining (no new connections, the others go on, until drain_timeout),
 * finishing (each gets its FIN and its lingering close), aborting (what is left is cut).
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <syslog.h>
#include <unistd.h>

#include "config.h"

#include "activation.h"
#include "crash.h"
#include "guard.h"
#include "journal.h"
#include "loop.h"
#include "pool.h"
#include "reload.h"
#include "server.h"
#include "settings.h"
#include "setup.h"
#include "status.h"
#include "succession.h"
#include "util.h"
#include "watchdog.h"
#include "worker.h"

#define STATUS_INTERVAL_MS 5000
#define CUT_AFTER_MS       1000 /* beyond the longest lingering close */
#define GIVE_UP_AFTER_MS   5000 /* on what does not return */
#define LOOK_MS            1000
#define COUNTDOWN_MS       1000
#define EXTEND_MS          5000 /* of the end, which systemd cuts short after so long a silence */

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
	enum phase phase;
};

/* For a person who asked: as compilers print it. */
static void print_report(const struct report *report)
{
	for (size_t i = 0; i < report->n_lines; i++)
		fprintf(stderr, "%s\n", report->lines[i]);
}

static void log_report(const struct report *report)
{
	for (size_t i = 0; i < report->n_lines; i++)
		journal_log(JOURNAL_ERROR, LOG_ERR, NULL, "%s", report->lines[i]);
	if (report->n_lines)
		activation_notify("STATUS=%s", report->lines[0]);
}

enum server_exit server_check(const struct setup_options *options)
{
	struct report report = REPORT_NULL;
	struct setup setup;

	setup_make(&setup, options, &report);
	bool good = report.n_lines == 0;
	print_report(&report);
	if (good)
		printf("%s: no errors\n", options->config);
	report_deinit(&report);
	setup_deinit(&setup);
	return good ? SERVER_EXIT_OK : SERVER_EXIT_CONFIG;
}

enum server_exit server_dump(const struct setup_options *options)
{
	struct report report = REPORT_NULL;
	struct setup setup;

	setup_make(&setup, options, &report);
	if (!report.n_lines && setup.has_sockets)
		setup_remember(&setup, &report);
	if (!report.n_lines)
		listeners_apply(&setup.listeners, &report);
	bool good = report.n_lines == 0;
	print_report(&report);
	if (good) {
		settings_dump(setup.services.settings, stdout);
		printf("\n// connections at once in effect: %u, with %u open files\n",
		       setup.services.capacity->max_connections, setup_files());
		listeners_dump(&setup.listeners, stdout);
	}
	report_deinit(&report);
	setup_deinit(&setup);
	return good ? SERVER_EXIT_OK : SERVER_EXIT_CONFIG;
}

static bool has_pool(const struct server *server)
{
	return server->pool.threads != NULL;
}

/* Until the next step of the end; -1: there is none. */
static int seconds_left(const struct server *server)
{
	int64_t left_ms = server->deadline.timer.due - server->loop.now;

	if (!timer_armed(&server->deadline.timer))
		return -1;
	return left_ms > 0 ? (int)((left_ms + 999) / 1000) : 0;
}

static void notify_status(struct server *server, const char *state)
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
				 .pool = has_pool(server) ? &server->pool : NULL,
				 .note = server->reload.outcome };
	char text[STATUS_MAX];

	activation_notify("%sSTATUS=%s", state, status_format(text, &status));
}

static void notify_reload(struct reload *reload, const char *state)
{
	notify_status(container_of(reload, struct server, reload), state);
}

/* From now on, if there is no connection, and as long as nobody touches the workers. */
static void watch_idle(struct server *server)
{
	int idle_ms = server->settings->idle_exit_ms;

	if (idle_ms && server->phase == SERVING)
		loop_arm(&server->loop, &server->idle, idle_ms);
}

/* What this thread has taken from the settings before. */
static void on_settings(struct reload *reload)
{
	struct server *server = container_of(reload, struct server, reload);

	server->settings = server->setup.services.settings;
	guard_budget(server->settings->callback_budget_ms);
	loop_disarm(&server->loop, &server->idle);
	watch_idle(server);
}

static void on_settled(struct workers *workers)
{
	struct server *server = workers->owner;

	reload_settled(&server->reload);
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
		watch_idle(server);
	else if (server->phase == SERVING && workers_connections(&server->workers) == 0)
		workers_pause(&server->workers);
}

static int longest_linger_ms(const struct server *server)
{
	int longest = 0;

	for (size_t i = 0; i < server->settings->n_sockets; i++)
		if (server->settings->sockets[i].timeouts.linger_ms > longest)
			longest = server->settings->sockets[i].timeouts.linger_ms;
	return longest;
}

static succession_done_fn on_handed_over;

/*
 * What came in meanwhile is served, and the others with it. If nothing did, whoever connects from
 * now on waits in the queue of the socket, and systemd starts the next process for it.
 */
static void on_paused(struct workers *workers)
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
	notify_status(server, "STOPPING=1\n");
	journal_log(JOURNAL_STOPPING, LOG_INFO, NULL,
		    "stopping: there was no connection for %g s; the next one starts it again",
		    server->settings->idle_exit_ms / 1000.0);
	workers_drain(workers);
}

/* STATUS= follows the counts at a distance, and an idle server sends none. */
static void on_status_due(struct loop *loop, struct loop_source *source)
{
	struct server *server = container_of(source, struct server, status);

	loop_disarm(loop, source);
	server->status_sent = loop->now;
	workers_untouch(&server->workers); /* before the counts are read: nothing is missed */
	notify_status(server, "");
	watch_idle(server);
}

static void on_touched(struct workers *workers)
{
	struct server *server = workers->owner;
	int64_t wait = server->status_sent + STATUS_INTERVAL_MS - server->loop.now;

	watch_idle(server);
	loop_arm(&server->loop, &server->status, wait > 0 ? wait : 0);
}

/*
 * Before new connections come: one of these that is the death of the process is not the end of
 * those that are about to be taken over. They have the options that the file had when they were
 * accepted; where memory is short they keep these.
 */
static void on_greeted(struct workers *workers)
{
	struct server *server = workers->owner;
	const struct services *services = &server->setup.services;

	for (size_t i = 0; server->setup.handed.count > 0 && i < services->count; i++)
		listeners_find_changes(&server->setup.listeners, &services->list[i]);
	succession_take(&server->succession, &server->setup.handed);
	for (size_t i = 0; i < services->count; i++)
		service_release_former(&services->list[i]);
	activation_release(&server->setup.handed);
}

static void on_ready(struct workers *workers)
{
	struct server *server = workers->owner;

	if (server->phase != STARTING)
		return;
	if (workers->failed) {
		loop_stop(&server->loop);
		return;
	}
	server->phase = SERVING;
	notify_status(server, "READY=1\n");
	watchdog_start(&server->watchdog, server->watchdog_ms, &server->loop, &server->workers,
		       &server->pool);
	watch_idle(server);
	for (size_t i = 0; i < server->setup.listeners.count; i++) {
		const struct listener *listener = &server->setup.listeners.list[i];
		struct journal_fields fields = {
			.socket = listener->service->name,
			.handler = listener->service->handler->name,
		};
		journal_log(JOURNAL_READY, LOG_INFO, &fields,
			    "serving %s on %s (socket %s, %u workers)", fields.handler,
			    listener->address, fields.socket, server->workers.count);
	}
	reload_ready(&server->reload);
}

static void on_frozen(struct workers *workers, unsigned left)
{
	struct server *server = workers->owner;

	if (server->phase == HANDING_OVER)
		succession_frozen(&server->succession, left);
}

static void on_answered(struct workers *workers)
{
	struct server *server = workers->owner;

	watchdog_answered(&server->watchdog);
}

static void on_drained(struct workers *workers)
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
	notify_status(server, extended);
	loop_arm(&server->loop, &server->countdown, COUNTDOWN_MS);
}

static void on_countdown_due(struct loop *loop, struct loop_source *source)
{
	loop_disarm(loop, source);
	count_down(container_of(source, struct server, countdown), "");
}

static void begin_drain(struct server *server)
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

/* The next process goes on with the connections. */
static void begin_handing_over(struct server *server)
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
		begin_drain(server);
	else if (has_pool(server) && pool_look(&server->pool, INT64_MAX))
		leave_jobs(server);
	else
		loop_stop(&server->loop);
}

static void begin_abort(struct server *server)
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
	if (has_pool(server))
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
		begin_abort(server);
	else
		leave_behind(server);
}

static void on_signal(struct loop *loop, struct loop_source *source)
{
	struct server *server = container_of(source, struct server, signals);
	struct signalfd_siginfo info;

	(void)loop;
	source->events = 0;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return; /* EAGAIN: nothing there after all */
	if (info.ssi_signo == SIGHUP) {
		if (server->phase == STARTING || server->phase == SERVING)
			reload_ask(&server->reload);
	} else if (info.ssi_signo == SIGUSR1 && server->phase == SERVING)
		begin_handing_over(server);
	else if (server->phase == STARTING || server->phase == SERVING)
		begin_drain(server);
	else if (server->phase != ABORTING)
		begin_abort(server);
}

/* Before the first thread, which inherits the mask: signals are only ever read from the signalfd.
 */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* At once, and then once a second as long as there are jobs; never without. */
static void look_at_pool(struct server *server)
{
	loop_disarm(&server->loop, &server->jobs);
	if (pool_look(&server->pool, (int64_t)server->settings->job_budget_ms * 1000000))
		loop_arm(&server->loop, &server->jobs, LOOK_MS);
	on_touched(&server->workers); /* what it does is in STATUS= */
}

static void on_jobs_due(struct loop *loop, struct loop_source *source)
{
	(void)loop;
	look_at_pool(container_of(source, struct server, jobs));
}

static void on_pool_busy(struct pool *pool)
{
	look_at_pool(container_of(pool, struct server, pool));
}

/* A second after a callback there is a look, and none where there was no callback. */
static void wake_for_callback(void *context)
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

static int start_pool(struct server *server)
{
	unsigned flags = 0;

	for (size_t i = 0; i < server->setup.services.count; i++)
		flags |= server->setup.services.list[i].handler->flags;
	if (!(flags & SS_OFFLOADS))
		return 0;
	return pool_start(&server->pool, (unsigned)server->settings->pool_threads, &server->loop,
			  on_pool_busy);
}

static int start(struct server *server)
{
	static const struct workers_events events = {
		.greeted = on_greeted,
		.ready = on_ready,
		.touched = on_touched,
		.paused = on_paused,
		.settled = on_settled,
		.frozen = on_frozen,
		.drained = on_drained,
		.answered = on_answered,
	};

	int r = loop_init(&server->loop);
	if (r == 0)
		r = loop_add(&server->loop, &server->signals, EPOLLIN);
	if (r == 0)
		r = journal_start();
	if (r == 0)
		r = start_pool(server);
	if (r == 0)
		r = workers_init(&server->workers, setup_workers(server->settings),
				 &server->setup.listeners, &server->setup.services, &server->pool,
				 &server->loop, &events, server);
	if (r == 0)
		r = succession_init(&server->succession, &server->setup.services, &server->workers,
				    &server->pool, &server->loop, setup_files());
	return r < 0 ? r : workers_start(&server->workers);
}

static enum server_exit serve(struct server *server, int signal_fd)
{
	loop_source_init(&server->signals, signal_fd, on_signal);
	loop_source_init(&server->status, -1, on_status_due);
	loop_source_init(&server->deadline, -1, on_deadline);
	loop_source_init(&server->countdown, -1, on_countdown_due);
	loop_source_init(&server->idle, -1, on_idle_due);
	loop_source_init(&server->jobs, -1, on_jobs_due);
	loop_source_init(&server->callbacks, -1, on_callbacks_due);
	server->on_callback.deliver = on_callback;
	guard_start(server->settings->callback_budget_ms, wake_for_callback, server);
	int r = start(server);
	if (r < 0)
		journal_log(JOURNAL_ERROR, LOG_ERR, &(struct journal_fields){ .error = -r },
			    "cannot start: %s", strerror(-r));
	else
		loop_run(&server->loop);
	succession_end(&server->succession);
	workers_stop(&server->workers);
	pool_stop(&server->pool);
	services_stop(&server->setup.services);
	if (r == 0)
		journal_log(JOURNAL_STOPPED, LOG_INFO, NULL, "stopped after %llu connections",
			    (unsigned long long)status_accepted(&server->setup.services));
	journal_stop();
	succession_deinit(&server->succession);
	workers_deinit(&server->workers);
	loop_deinit(&server->loop);
	if (r < 0)
		return SERVER_EXIT_INTERNAL;
	return server->workers.failed ? SERVER_EXIT_CONFIG : SERVER_EXIT_OK;
}

enum server_exit server_run(const struct setup_options *options)
{
	struct report report = REPORT_NULL;
	struct server server = { .phase = STARTING,
				 .status_sent = -STATUS_INTERVAL_MS,
				 .loop = { .epoll_fd = -1, .wake.fd = -1 } };
	enum server_exit code = SERVER_EXIT_CONFIG;

	int alternate_stack = crash_enter_thread();
	if (alternate_stack < 0)
		report_add(&report, "sigaltstack: %s", strerror(-alternate_stack));
	setup_make(&server.setup, options, &report);
	int signal_fd auto_close = open_signals();
	int notify = activation_open_notify();
	if (notify < 0)
		report_add(&report, "NOTIFY_SOCKET: %s", strerror(-notify));
	server.watchdog_ms = activation_take_watchdog();
	if (server.watchdog_ms < 0)
		report_add(&report, "WATCHDOG_USEC, WATCHDOG_PID: %s",
			   strerror(-server.watchdog_ms));
	if (!report.n_lines && !server.setup.has_sockets)
		report_add(&report,
			   "no sockets were passed: this is started by systemd; use "
			   "`systemctl start simple-server.socket`, or systemd-socket-activate");
	if (!report.n_lines)
		services_start(&server.setup.services, &report);
	if (!report.n_lines)
		setup_remember(&server.setup, &report);
	if (!report.n_lines)
		listeners_apply(&server.setup.listeners, &report);
	log_report(&report);
	if (signal_fd < 0) {
		journal_log(JOURNAL_ERROR, LOG_ERR, NULL, "signalfd: %s", strerror(-signal_fd));
		code = SERVER_EXIT_INTERNAL;
	} else if (!report.n_lines) {
		server.settings = server.setup.services.settings;
		server.reload = (struct reload){ .setup = &server.setup,
						 .options = options,
						 .workers = &server.workers,
						 .changed = on_settings,
						 .notify = notify_reload };
		code = serve(&server, signal_fd);
	}
	services_stop(&server.setup.services); /* of those that had started where another failed */
	report_deinit(&report);
	setup_deinit(&server.setup);
	activation_close_notify();
	crash_leave_thread();
	return code;
}
