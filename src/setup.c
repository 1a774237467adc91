/* SPDX-License-Identifier: MIT */
/* See setup.h. */
#include "setup.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>
#include <unistd.h>

#include "activation.h"
#include "handover.h"
#include "journal.h"
#include "module.h"
#include "pipes.h"
#include "util.h"

#define FILES_BASE       16
#define FILES_FOR_A_PIPE 64

static bool is_handed(const struct passed_fd *passed)
{
	return strncmp(passed->name, HANDOVER_NAME, strlen(HANDOVER_NAME)) == 0;
}

/* What a process before has left with systemd is no socket to listen on. */
static void take_handed(struct setup *setup, struct passed_fds *fds, struct report *report)
{
	size_t left = 0;

	setup->handed.list = calloc(fds->count + 1, sizeof(*fds->list));
	if (!setup->handed.list) {
		report_add(report, "%s", strerror(ENOMEM));
		return;
	}
	for (size_t i = 0; i < fds->count; i++)
		if (is_handed(&fds->list[i]))
			setup->handed.list[setup->handed.count++] = fds->list[i];
		else
			fds->list[left++] = fds->list[i];
	fds->count = left;
}

static int note_sockets(struct baseline *baseline, const struct passed_fds *fds)
{
	int r = 0;

	for (size_t i = 0; i < fds->count && r != -ENOMEM; i++)
		r = baseline_add(baseline, fds->list[i].fd);
	return r == -ENOMEM ? r : 0; /* what is no socket has no options either */
}

static void add_sockets(struct setup *setup, struct passed_fds *fds,
			const struct setup_options *options, struct report *report)
{
	bool unknown_ok = options->ignore_unknown_sockets;

	for (size_t i = 0; i < fds->count; i++) {
		struct passed_fd *passed = &fds->list[i];
		size_t before = setup->listeners.count;
		listeners_add(&setup->listeners, passed->fd, passed->name, &setup->services,
			      unknown_ok, report);
		if (setup->listeners.count > before)
			steal_fd(&passed->fd);
	}
	if (report->n_lines)
		return;
	listeners_check(&setup->listeners, &setup->services, unknown_ok, report);
	if (!setup->listeners.count)
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

unsigned setup_workers(const struct settings *settings)
{
	cpu_set_t cpus;

	if (settings->workers > 0)
		return (unsigned)settings->workers;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0) /* EINVAL: more than 1024 CPUs */
		return (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	return (unsigned)CPU_COUNT(&cpus);
}

unsigned setup_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
		return INT_MAX;
	return (unsigned)limit.rlim_cur;
}

/* How many pipes a worker may have, of two descriptors each: a small part of all. */
static unsigned pipes_each(const struct settings *settings)
{
	unsigned most = setup_files() / FILES_FOR_A_PIPE / setup_workers(settings);

	for (size_t i = 0; i < settings->n_sockets; i++)
		if (settings->sockets[i].found->flags & SS_CONNECTS)
			return most < PIPES_MAX ? most : PIPES_MAX;
	return 0;
}

unsigned setup_reserved_files(const struct settings *settings, size_t n_sockets)
{
	unsigned workers = setup_workers(settings);

	return FILES_BASE + 2 * (workers + 1) + (unsigned)n_sockets +
	       2 * workers * pipes_each(settings) + handover_files(setup_files());
}

int setup_load(const struct setup_options *options, struct settings **ret_settings,
	       struct report *report)
{
	struct module_place place = { .directory = MODULE_DIR,
				      .allow_own = options->allow_own_modules };
	struct settings_hooks hooks = services_hooks(&place);

	return settings_load(options->config, &hooks, ret_settings, report);
}

void setup_make(struct setup *setup, const struct setup_options *options, struct report *report)
{
	struct settings *settings = NULL;
	struct passed_fds fds;

	*setup = (struct setup){ 0 };
	activation_take(&fds, report);
	take_handed(setup, &fds, report);
	raise_file_limit();
	setup->has_sockets = fds.count > 0;
	if (setup_load(options, &settings, report) == 0) {
		if (services_init(&setup->services, settings, setup_files(),
				  setup_reserved_files(settings, fds.count), report) < 0)
			report_add(report, "%s", strerror(ENOMEM));
		else
			setup->services.capacity->pipes = pipes_each(settings);
		settings_unref(settings);
		if (note_sockets(&setup->baseline, &fds) < 0)
			report_add(report, "%s", strerror(ENOMEM));
		if (setup->has_sockets && !report->n_lines)
			add_sockets(setup, &fds, options, report);
	}
	activation_release(&fds);
}

/* systemd.exec(5): a list, where the unit has several. */
static bool find_directory(char out[PATH_MAX])
{
	const char *list = getenv("RUNTIME_DIRECTORY");
	size_t length = list ? strcspn(list, ":") : 0;

	if (length == 0 || length >= PATH_MAX || *list != '/')
		return false;
	memcpy(out, list, length);
	out[length] = '\0';
	return true;
}

void setup_remember(struct setup *setup, struct report *report)
{
	char directory[PATH_MAX];
	bool found = find_directory(directory);

	if (found)
		baseline_load(&setup->baseline, directory);
	else
		journal_log(JOURNAL_BASELINE, LOG_NOTICE, NULL,
			    "there is no RuntimeDirectory=: after a restart, options that the file "
			    "no longer sets will stay on the sockets");
	if (listeners_remember(&setup->listeners, &setup->baseline) < 0)
		report_add(report, "%s", strerror(ENOMEM));
	else if (found)
		baseline_save(&setup->baseline, directory);
}

void setup_deinit(struct setup *setup)
{
	activation_release(&setup->handed);
	baseline_deinit(&setup->baseline);
	listeners_deinit(&setup->listeners);
	services_deinit(&setup->services);
}
