/* SPDX-License-Identifier: MIT */
/*
 * See service-next.h. What other threads read of a service is changed last, the section after all
 * that goes with it; so who sees the new section sees the rest as well.
 */
#include "service-next.h"

#include <errno.h>
#include <string.h>

#include "util.h"

static struct settings_socket *find_section(const struct settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->n_sockets; i++)
		if (strcmp(settings->sockets[i].name, name) == 0)
			return &settings->sockets[i];
	return NULL;
}

static void find_for(struct service *service, const struct settings *settings, bool unknown_ok,
		     struct report *report)
{
	service->next = find_section(settings, service->name);
	if (service->next)
		service->next->epoch = !service->section->epoch;
	else if (!unknown_ok)
		report_add(report,
			   "%s: there is no section any more for the socket \"%s\", which is being "
			   "served; stop its .socket unit and restart the service, or keep the "
			   "section",
			   settings->path, service->name);
}

void services_find_next(const struct services *services, struct settings *settings, bool unknown_ok,
			struct report *report)
{
	for (size_t i = 0; i < services->count; i++)
		find_for(&services->list[i], settings, unknown_ok, report);
	for (size_t i = 0; i < settings->n_sockets && !unknown_ok; i++) {
		const struct settings_socket *section = &settings->sockets[i];

		if (!services_find(services, section->name))
			report_add(report,
				   "%s:%d: no socket with the name \"%s\" was passed when the "
				   "service started; start its .socket unit with "
				   "FileDescriptorName=%s and restart the service, or remove the "
				   "section",
				   section->where.file, section->where.line, section->name,
				   section->name);
	}
}

/* The prefixes are what a source is; the rest of the limits may change under a table. */
static bool same_sources(const struct service_sources *a, const struct source_limits *limits)
{
	return a->limits.prefix_v4 == limits->prefix_v4 && a->limits.prefix_v6 == limits->prefix_v6;
}

/*
 * A table that fits goes on, with what it knows of rates. For another one there has to be room for
 * all who are there and all who may still come by the old section.
 */
static int prepare(struct service *service, unsigned max_connections)
{
	struct service_sources *now = &service->sources[service->section->epoch];
	struct service_sources *next = &service->sources[service->next->epoch];
	unsigned max = service_max(service->next, max_connections), old = service->max_connections;
	unsigned room = (max > old ? max : old) + service->open;

	int r = service_sources_init(next, &service->next->limits, room);
	if (r < 0 || !now->table || !next->table || now->room < next->room - service->open ||
	    !same_sources(now, &next->limits))
		return r;
	sources_free(next->table);
	next->table = now->table;
	next->room = now->room;
	return 0;
}

int services_prepare_next(const struct services *services, unsigned max_connections)
{
	int r = 0;

	for (size_t i = 0; i < services->count && r == 0; i++)
		if (services->list[i].next)
			r = prepare(&services->list[i], max_connections);
	return r;
}

static void take(struct service *service, struct settings *settings, unsigned max_connections)
{
	service->former = service->settings;
	service->settings = settings_ref(settings);
	service->max_connections = service_max(service->next, max_connections);
	service->section = service->next;
	service->next = NULL;
}

void services_take_next(struct services *services, struct settings *settings,
			unsigned max_connections)
{
	services->capacity->max_connections = max_connections;
	services->capacity->max_output = settings->max_output;
	for (size_t i = 0; i < services->count; i++)
		if (services->list[i].next)
			take(&services->list[i], settings, max_connections);
	settings_ref(settings);
	settings_unref(services->settings);
	services->settings = settings;
}

void services_drop_next(const struct services *services)
{
	for (size_t i = 0; i < services->count; i++) {
		struct service *service = &services->list[i];

		if (service->next)
			service_release_former(service);
		service->next = NULL;
	}
}

void service_release_former(struct service *service)
{
	unsigned epoch = service->section->epoch;
	struct service_sources *former = &service->sources[!epoch];

	if (former->table != service->sources[epoch].table)
		sources_free(former->table);
	*former = (struct service_sources){ 0 };
	if (service->lent)
		service->lent->handler_settings = NULL;
	service->lent = NULL;
	free(service->changes);
	service->changes = NULL;
	service->n_changes = 0;
	service->former = settings_unref(service->former);
}
