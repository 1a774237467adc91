/* SPDX-License-Identifier: MIT */
/*
 * See server.h. The main thread has a loop of its own, on which it sleeps: for signals (a signalfd,
 * there are no signal handlers), for messages of the workers, for its deadlines.
 *
 * The end in three steps: draining (no new connections, the others go on, until drain_timeout),
 * finishing (each gets its FIN and its lingering close), aborting (what is left is cut).
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <syslog.h>
#include <unistd.h>

#include "config.h"

#include "activation.h"
#include "journal.h"
#include "listener.h"
#include "loop.h"
#include "server.h"
#include "service.h"
#include "settings.h"
#include "util.h"
#include "worker.h"

#define STATUS_INTERVAL_MS 5000
#define FILES_BASE         16
#define CUT_AFTER_MS       1000 /* beyond the longest lingering close */

enum phase { STARTING, SERVING, DRAINING, FINISHING, ABORTING };

/* What the file and the environment make together. */
struct plan {
	struct services services;
	struct listeners listeners;
	bool has_sockets;
};

struct server {
	struct plan plan;
	const struct settings *settings;
	struct loop loop;
	struct workers workers;
	struct loop_source signals;
	struct loop_source status;   /* a timer: STATUS= is due */
	struct loop_source deadline; /* a timer: the next step of the end is due */
	int64_t status_sent;         /* loop time, ms */
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

static void add_sockets(struct plan *plan, struct passed_fds *fds,
			const struct server_options *options, struct report *report)
{
	bool unknown_ok = options->ignore_unknown_sockets;

	for (size_t i = 0; i < fds->count; i++) {
		struct passed_fd *passed = &fds->list[i];
		size_t before = plan->listeners.count;
		listeners_add(&plan->listeners, passed->fd, passed->name, &plan->services,
			      unknown_ok, report);
		if (plan->listeners.count > before)
			steal_fd(&passed->fd);
	}
	if (report->n_lines)
		return;
	listeners_check(&plan->listeners, &plan->services, unknown_ok, report);
	if (!plan->listeners.count)
		report_add(
			report,
			"no socket that was passed has a section in the file: there is nothing to serve");
}

/* The soft limit is low for the sake of select(2), which is not used here. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		journal_log(JOURNAL_ERROR, LOG_NOTICE, NULL, "cannot raise RLIMIT_NOFILE: %s",
			    strerror(errno));
}

static unsigned number_of_workers(const struct settings *settings)
{
	cpu_set_t cpus;

	if (settings->workers > 0)
		return (unsigned)settings->workers;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0) /* EINVAL: more than 1024 CPUs */
		return (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	return (unsigned)CPU_COUNT(&cpus);
}

static unsigned file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
		return INT_MAX;
	return (unsigned)limit.rlim_cur;
}

/* Descriptors that are not connections: two for each loop, the listeners, the journal and the rest.
 */
static unsigned reserved_files(const struct settings *settings, const struct passed_fds *fds)
{
	return FILES_BASE + 2 * (number_of_workers(settings) + 1) + (unsigned)fds->count;
}

/*
 * Everything that can be wrong is found here, and all of it is reported. The passed descriptors are
 * taken first: a descriptor opened before that could be one of their numbers.
 */
static void plan_make(struct plan *plan, const struct server_options *options,
		      struct report *report)
{
	struct settings *settings = NULL;
	struct passed_fds fds;

	*plan = (struct plan){ 0 };
	activation_take(&fds, report);
	raise_file_limit();
	plan->has_sockets = fds.count > 0;
	if (settings_load(options->config, services_check, &settings, report) == 0) {
		if (services_init(&plan->services, settings, file_limit(),
				  reserved_files(settings, &fds), report) < 0)
			report_add(report, "%s", strerror(ENOMEM));
		settings_unref(settings);
		if (plan->has_sockets && !report->n_lines)
			add_sockets(plan, &fds, options, report);
	}
	activation_release(&fds);
}

static void plan_deinit(struct plan *plan)
{
	listeners_deinit(&plan->listeners);
	services_deinit(&plan->services);
}

enum server_exit server_check(const struct server_options *options)
{
	struct report report = REPORT_NULL;
	struct plan plan;

	plan_make(&plan, options, &report);
	bool good = report.n_lines == 0;
	print_report(&report);
	if (good)
		printf("%s: no errors\n", options->config);
	report_deinit(&report);
	plan_deinit(&plan);
	return good ? SERVER_EXIT_OK : SERVER_EXIT_CONFIG;
}

enum server_exit server_dump(const struct server_options *options)
{
	struct report report = REPORT_NULL;
	struct plan plan;

	plan_make(&plan, options, &report);
	if (!report.n_lines)
		listeners_apply(&plan.listeners, &report);
	bool good = report.n_lines == 0;
	print_report(&report);
	if (good) {
		settings_dump(plan.services.settings, stdout);
		printf("\n// connections at once in effect: %u, with %u open files\n",
		       plan.services.capacity->max_connections, file_limit());
		listeners_dump(&plan.listeners, stdout);
	}
	report_deinit(&report);
	plan_deinit(&plan);
	return good ? SERVER_EXIT_OK : SERVER_EXIT_CONFIG;
}

static uint64_t accepted_in_all(const struct server *server)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < server->plan.services.count; i++)
		sum += atomic_load(&server->plan.services.list[i].accepted);
	return sum;
}

static uint64_t turned_away_in_all(const struct server *server)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < server->plan.services.count; i++)
		for (int verdict = 0; verdict < SERVICE_VERDICTS; verdict++)
			sum += atomic_load(&server->plan.services.list[i].turned_away[verdict]);
	return sum;
}

static void notify_status(const struct server *server, const char *state)
{
	static const char *const verbs[] = {
		[STARTING] = "Starting", [SERVING] = "Serving", [DRAINING] = "Stopping",
		[FINISHING] = "Ending",  [ABORTING] = "Ending",
	};

	activation_notify(
		"%sSTATUS=%s: %u connections open of at most %u, %llu accepted and %llu turned away "
		"since the start; %zu sockets, %u workers",
		state, verbs[server->phase], workers_connections(&server->workers),
		server->plan.services.capacity->max_connections,
		(unsigned long long)accepted_in_all(server),
		(unsigned long long)turned_away_in_all(server), server->plan.listeners.count,
		server->workers.count);
}

/* STATUS= follows the counts at a distance, and an idle server sends none. */
static void on_status_due(struct loop *loop, struct loop_source *source)
{
	struct server *server = container_of(source, struct server, status);

	loop_disarm(loop, source);
	server->status_sent = loop->now;
	workers_untouch(&server->workers); /* before the counts are read: nothing is missed */
	notify_status(server, "");
}

static void on_touched(struct workers *workers)
{
	struct server *server = workers->owner;
	int64_t wait = server->status_sent + STATUS_INTERVAL_MS - server->loop.now;

	loop_arm(&server->loop, &server->status, wait > 0 ? wait : 0);
}

static void on_ready(struct workers *workers)
{
	struct server *server = workers->owner;

	if (server->phase != STARTING)
		return;
	server->phase = SERVING;
	notify_status(server, "READY=1\n");
	for (size_t i = 0; i < server->plan.listeners.count; i++) {
		const struct listener *listener = &server->plan.listeners.list[i];
		struct journal_fields fields = {
			.socket = listener->service->section->name,
			.handler = listener->service->handler->name,
		};
		journal_log(JOURNAL_READY, LOG_INFO, &fields,
			    "serving %s on %s (socket %s, %u workers)", fields.handler,
			    listener->address, fields.socket, server->workers.count);
	}
}

static void on_drained(struct workers *workers)
{
	struct server *server = workers->owner;

	loop_stop(&server->loop);
}

static int longest_linger_ms(const struct server *server)
{
	int longest = 0;

	for (size_t i = 0; i < server->settings->n_sockets; i++)
		if (server->settings->sockets[i].timeouts.linger_ms > longest)
			longest = server->settings->sockets[i].timeouts.linger_ms;
	return longest;
}

static void begin_drain(struct server *server)
{
	int64_t most_ms = (int64_t)server->settings->drain_ms + longest_linger_ms(server) +
			  CUT_AFTER_MS;
	char state[80];

	server->phase = DRAINING;
	/* The file decides how long it takes; systemd waits for that long, whatever TimeoutStopSec=
	 * is. */
	snprintf(state, sizeof(state), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld\n",
		 (long long)(most_ms + CUT_AFTER_MS) * 1000);
	notify_status(server, state);
	journal_log(
		JOURNAL_STOPPING, LOG_INFO, NULL,
		"stopping: %u connections have %.1f s to end; a second signal ends them at once",
		workers_connections(&server->workers), server->settings->drain_ms / 1000.0);
	workers_drain(&server->workers);
	loop_arm(&server->loop, &server->deadline, server->settings->drain_ms);
}

static void begin_abort(struct server *server)
{
	server->phase = ABORTING;
	workers_abort(&server->workers);
	loop_arm(&server->loop, &server->deadline, CUT_AFTER_MS);
}

static void on_deadline(struct loop *loop, struct loop_source *source)
{
	struct server *server = container_of(source, struct server, deadline);

	loop_disarm(loop, source);
	if (server->phase == DRAINING) {
		server->phase = FINISHING;
		workers_finish(&server->workers);
		loop_arm(loop, source, longest_linger_ms(server) + CUT_AFTER_MS);
	} else {
		begin_abort(server);
	}
}

static void on_signal(struct loop *loop, struct loop_source *source)
{
	struct server *server = container_of(source, struct server, signals);
	struct signalfd_siginfo info;

	(void)loop;
	source->events = 0;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return; /* EAGAIN: nothing there after all */
	if (info.ssi_signo == SIGHUP)
		journal_log(JOURNAL_ERROR, LOG_NOTICE, NULL,
			    "SIGHUP: this version does not reload; restart the service to apply "
			    "a changed file");
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
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int start(struct server *server)
{
	static const struct workers_events events = { .ready = on_ready,
						      .touched = on_touched,
						      .drained = on_drained };

	int r = loop_init(&server->loop);
	if (r == 0)
		r = loop_add(&server->loop, &server->signals, EPOLLIN);
	if (r == 0)
		r = journal_start();
	if (r == 0)
		r = workers_init(&server->workers, number_of_workers(server->settings),
				 &server->plan.listeners, &server->loop, &events, server);
	return r < 0 ? r : workers_start(&server->workers);
}

static enum server_exit serve(struct server *server, int signal_fd)
{
	loop_source_init(&server->signals, signal_fd, on_signal);
	loop_source_init(&server->status, -1, on_status_due);
	loop_source_init(&server->deadline, -1, on_deadline);
	int r = start(server);
	if (r < 0)
		journal_log(JOURNAL_ERROR, LOG_ERR, &(struct journal_fields){ .error = -r },
			    "cannot start: %s", strerror(-r));
	else
		loop_run(&server->loop);
	workers_stop(&server->workers);
	if (r == 0)
		journal_log(JOURNAL_STOPPED, LOG_INFO, NULL, "stopped after %llu connections",
			    (unsigned long long)accepted_in_all(server));
	journal_stop();
	workers_deinit(&server->workers);
	loop_deinit(&server->loop);
	return r < 0 ? SERVER_EXIT_INTERNAL : SERVER_EXIT_OK;
}

enum server_exit server_run(const struct server_options *options)
{
	struct report report = REPORT_NULL;
	struct server server = { .phase = STARTING,
				 .status_sent = -STATUS_INTERVAL_MS,
				 .loop = { .epoll_fd = -1, .wake.fd = -1 } };
	enum server_exit code = SERVER_EXIT_CONFIG;

	plan_make(&server.plan, options, &report);
	int signal_fd auto_close = open_signals();
	int notify = activation_open_notify();
	if (notify < 0)
		report_add(&report, "NOTIFY_SOCKET: %s", strerror(-notify));
	if (!report.n_lines && !server.plan.has_sockets)
		report_add(&report,
			   "no sockets were passed: this is started by systemd; use "
			   "`systemctl start simple-server.socket`, or systemd-socket-activate");
	if (!report.n_lines)
		services_load(&server.plan.services, &report);
	if (!report.n_lines)
		listeners_apply(&server.plan.listeners, &report);
	log_report(&report);
	if (signal_fd < 0) {
		journal_log(JOURNAL_ERROR, LOG_ERR, NULL, "signalfd: %s", strerror(-signal_fd));
		code = SERVER_EXIT_INTERNAL;
	} else if (!report.n_lines) {
		server.settings = server.plan.services.settings;
		code = serve(&server, signal_fd);
	}
	report_deinit(&report);
	plan_deinit(&server.plan);
	activation_close_notify();
	return code;
}
