/* SPDX-License-Identifier: MIT */
/*
 * See server.h. The main thread has a loop of its own, on which it sleeps: for signals (a signalfd,
 * there are no signal handlers), for messages of the workers, for its deadlines.
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
#include "server-private.h"
#include "settings.h"
#include "status.h"
#include "util.h"

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

static void notify_reload(struct reload *reload, const char *state)
{
	server_notify_status(container_of(reload, struct server, reload), state);
}

/* What this thread has taken from the settings before. */
static void on_settings(struct reload *reload)
{
	struct server *server = container_of(reload, struct server, reload);

	server->settings = server->setup.services.settings;
	guard_budget(server->settings->callback_budget_ms);
	loop_disarm(&server->loop, &server->idle);
	server_watch_idle(server);
}

static void on_settled(struct workers *workers)
{
	struct server *server = workers->owner;

	reload_settled(&server->reload);
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

	if (server->phase != STARTING)
		return; /* it is to end already: they wait for the next one */
	for (size_t i = 0; server->setup.handed.count > 0 && i < services->count; i++)
		listeners_find_changes(&server->setup.listeners, &services->list[i]);
	succession_take(&server->succession, &server->setup.handed);
	for (size_t i = 0; i < services->count; i++)
		service_release_former(&services->list[i]);
	activation_release(&server->setup.handed);
	server->has_taken = true;
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
	server_notify_status(server, "READY=1\n");
	watchdog_start(&server->watchdog, server->watchdog_ms, &server->loop, &server->workers,
		       &server->pool);
	server_watch_idle(server);
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

static void on_answered(struct workers *workers)
{
	struct server *server = workers->owner;

	watchdog_answered(&server->watchdog);
}

/* Between taking over and serving too: what was taken over is to go on. */
static bool may_hand_over(const struct server *server)
{
	return server->phase == SERVING || (server->phase == STARTING && server->has_taken);
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
	} else if (info.ssi_signo == SIGUSR1 && may_hand_over(server))
		server_hand_over(server);
	else if (server->phase == STARTING || server->phase == SERVING)
		server_drain(server);
	else if (server->phase != ABORTING)
		server_abort(server);
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

static int start_pool(struct server *server)
{
	unsigned flags = 0;

	for (size_t i = 0; i < server->setup.services.count; i++)
		flags |= server->setup.services.list[i].handler->flags;
	if (!(flags & SS_OFFLOADS))
		return 0;
	return pool_start(&server->pool, (unsigned)server->settings->pool_threads, &server->loop,
			  server_on_pool_busy);
}

static int start(struct server *server)
{
	static const struct workers_events events = {
		.greeted = on_greeted,
		.ready = on_ready,
		.touched = server_on_touched,
		.paused = server_on_paused,
		.settled = on_settled,
		.frozen = server_on_frozen,
		.drained = server_on_drained,
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
				    &server->loop, setup_files());
	return r < 0 ? r : workers_start(&server->workers);
}

static enum server_exit serve(struct server *server, int signal_fd)
{
	loop_source_init(&server->signals, signal_fd, on_signal);
	server_look_init(server);
	server_end_init(server);
	guard_start(server->settings->callback_budget_ms, server_watch_callbacks, server);
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
	struct server server = { .phase = STARTING, .loop = { .epoll_fd = -1, .wake.fd = -1 } };
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
