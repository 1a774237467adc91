/* SPDX-License-Identifier: MIT */
/*
 * See reload.h. All that can fail comes first, and the last of it is setting options of the
 * listening sockets, which is undone when one of them does not take its own. From then on nothing
 * fails: handlers say whether they take their keys, each service gets its section by one store, and
 * a message goes round to all workers before the former settings are released.
 */
#include "reload.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "crash.h"
#include "journal.h"
#include "service-next.h"
#include "settings-diff.h"
#include "util.h"

#define LINES_MAX 64 /* of one kind, in the journal */

static void log_lines(const struct report *report, int priority, const char *what)
{
	for (size_t i = 0; i < report->n_lines && i < LINES_MAX; i++)
		journal_log(JOURNAL_RELOAD, priority, NULL, "%s%s", what, report->lines[i]);
	if (report->n_lines > LINES_MAX)
		journal_log(JOURNAL_RELOAD, priority, NULL, "%sand %zu more", what,
			    report->n_lines - LINES_MAX);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void tell_success(struct reload *reload, const struct settings_diff *diff)
{
	size_t changed = diff->changed.n_lines, waiting = diff->waiting.n_lines;

	log_lines(&diff->changed, LOG_INFO, "reloaded: ");
	log_lines(&diff->waiting, LOG_WARNING, "needs a restart: ");
	snprintf(reload->outcome, sizeof(reload->outcome),
		 "reloaded with %zu change%s, and %zu that need%s a restart", changed,
		 plural(changed), waiting, waiting == 1 ? "s" : "");
	journal_log(JOURNAL_RELOAD, LOG_NOTICE, NULL, "%s: %s", reload->options->config,
		    reload->outcome);
}

static void tell_failure(struct reload *reload, const struct report *report)
{
	size_t n = report->n_lines;

	log_lines(report, LOG_ERR, "");
	journal_log(JOURNAL_RELOAD, LOG_ERR, NULL,
		    "the reload has failed with %zu error%s, and nothing was changed", n,
		    plural(n));
	snprintf(reload->outcome, sizeof(reload->outcome), "the reload has failed: %.200s",
		 report->lines[0]);
}

/* A handler is code, and what it has made stays: another one takes a restart. */
static void keep_handlers(const struct services *services)
{
	for (size_t i = 0; i < services->count; i++) {
		struct service *service = &services->list[i];

		if (!service->next)
			continue;
		if (service->next->found != service->handler) {
			settings_drop_keys(service->next);
			service->next->found = service->handler;
		}
		service_fit_options(service->next);
	}
}

static void compare(struct reload *reload, struct settings *settings, struct settings_diff *diff)
{
	const struct services *services = &reload->setup->services;

	settings_diff_file(diff, services->settings, settings);
	for (size_t i = 0; i < services->count; i++) {
		const struct service *service = &services->list[i];

		if (!service->next)
			report_add(&diff->waiting, "%s: it has no section any more", service->name);
		else
			settings_diff_section(diff, service->section, service->next);
	}
}

/* A module whose file was replaced has the same name and is another one all the same. */
static void tell_new_modules(const struct services *services, struct settings_diff *diff)
{
	for (size_t i = 0; i < services->count; i++) {
		const struct service *service = &services->list[i];
		const struct settings_socket *next = service->next;

		if (next && next->found != service->handler && next->module &&
		    service->section->module && strcmp(next->module, service->section->module) == 0)
			report_add(&diff->waiting, "%s: the file of its module was replaced",
				   service->name);
	}
}

/* All that can fail. What it leaves behind when it does, services_drop_next() takes away. */
static void prepare(struct reload *reload, struct settings *settings, struct settings_diff *diff,
		    unsigned *ret_max, struct report *report)
{
	struct services *services = &reload->setup->services;
	struct listeners *listeners = &reload->setup->listeners;
	bool unknown_ok = reload->options->ignore_unknown_sockets;
	int r = 0;

	services_find_next(services, settings, unknown_ok, report);
	if (report->n_lines)
		return;
	compare(reload, settings, diff);
	*ret_max = services_check_limits(settings, setup_files(),
					 setup_reserved_files(settings, listeners->count), report);
	tell_new_modules(services, diff);
	keep_handlers(services);
	listeners_check(listeners, services, unknown_ok, report);
	if (report->n_lines)
		return;
	r = services_prepare_next(services, *ret_max);
	for (size_t i = 0; i < services->count && r == 0; i++)
		if (services->list[i].next)
			r = listeners_find_changes(listeners, &services->list[i]);
	if (r < 0) {
		report_add(report, "%s", strerror(-r));
		return;
	}
	listeners_stage(listeners, report);
	if (report->n_lines)
		listeners_undo(listeners);
}

static bool takes_keys(struct service *service)
{
	const struct ss_handler *handler = service->handler;
	struct crash_place outer = crash_enter(handler->name, service->name, "reload", 0);
	bool taken = handler->reload &&
		     handler->reload(service_public(service), service->next->handler_settings) == 0;

	crash_leave(&outer);
	return taken;
}

/* The next section has the keys in force, which the present one has as long as it is used. */
static void keep_keys(struct service *service)
{
	struct settings_socket *next = service->next;

	settings_drop_keys(next);
	service->lent = (struct settings_socket *)(uintptr_t)service->section;
	next->handler_settings = service->lent->handler_settings;
}

/* So that the next reload compares with what is in force. Nobody but this thread reads the two. */
static void keep_names(struct service *service)
{
	struct settings_socket *next = service->next;
	struct settings_socket *now = (struct settings_socket *)(uintptr_t)service->section;
	char *handler = steal(&next->handler), *module = steal(&next->module);

	next->handler = now->handler;
	next->module = now->module;
	now->handler = handler;
	now->module = module;
}

static void give_keys(struct service *service, struct settings_diff *diff)
{
	struct settings_socket *next = service->next;

	keep_names(service);
	if (!service->section->handler_settings)
		return;
	if (!next->handler_settings) { /* they were for another handler */
		keep_keys(service);
		return;
	}
	if (settings_same_keys(service->section, next)) {
		keep_keys(service);
		return;
	}
	bool taken = takes_keys(service);
	settings_diff_keys(diff, service->section, next, !taken);
	if (!taken)
		keep_keys(service);
}

static void take(struct reload *reload, struct settings *settings, unsigned max,
		 struct settings_diff *diff)
{
	struct services *services = &reload->setup->services;

	for (size_t i = 0; i < services->count; i++)
		if (services->list[i].next)
			give_keys(&services->list[i], diff);
	listeners_commit(&reload->setup->listeners);
	services_take_next(services, settings, max);
	reload->changed(reload);
	reload->settling = true;
	workers_settle(reload->workers);
}

static void notify_begin(struct reload *reload)
{
	struct timespec now;
	char state[80];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld\n",
		 (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	reload->notify(reload, state);
}

/* Whether there is something to wait for. */
static bool try(struct reload *reload)
{
	struct settings_diff diff = { 0 };
	struct report report = REPORT_NULL;
	struct settings *settings = NULL;
	unsigned max = 0;

	if (setup_load(reload->options, &settings, &report) == 0)
		prepare(reload, settings, &diff, &max, &report);
	if (report.n_lines) {
		services_drop_next(&reload->setup->services);
		tell_failure(reload, &report);
	} else {
		take(reload, settings, max, &diff);
		tell_success(reload, &diff);
	}
	settings_unref(settings);
	settings_diff_deinit(&diff);
	report_deinit(&report);
	return reload->settling;
}

static void run(struct reload *reload)
{
	while (reload->ready && reload->asked_for && !reload->settling) {
		reload->asked_for = false;
		notify_begin(reload);
		if (!try(reload))
			reload->notify(reload, "READY=1\n");
	}
}

void reload_ask(struct reload *reload)
{
	reload->asked_for = true;
	run(reload);
}

void reload_ready(struct reload *reload)
{
	reload->ready = true;
	run(reload);
}

static void release(struct reload *reload)
{
	const struct services *services = &reload->setup->services;

	listeners_release_former(&reload->setup->listeners);
	for (size_t i = 0; i < services->count; i++)
		service_release_former(&services->list[i]);
	reload->settling = false;
}

void reload_settled(struct reload *reload)
{
	release(reload);
	if (!reload->ready)
		return;
	reload->notify(reload, "READY=1\n");
	run(reload);
}

void reload_stop(struct reload *reload)
{
	reload->ready = false;
}
