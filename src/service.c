/* SPDX-License-Identifier: MIT */
/*
 * See service.h. tcp_defer_accept is the one option that a handler decides: where the server speaks
 * first, the client waits for it in silence, and the kernel would hold the connection back for a
 * second and more. Written in the section it is an error; from the defaults it is left out.
 */
#include <string.h>

#include "crash.h"
#include "service.h"
#include "util.h"

/* The most that max_connections may say. */
#define CONNECTIONS_MAX 1000000

/* Sources without a connection that are remembered for their rate. */
#define SOURCES_IDLE 4096

static const struct sockopt *defer_accept(void)
{
	return sockopt_find("tcp_defer_accept");
}

static void unknown_handler(const struct settings_socket *section, struct report *report)
{
	char escaped[REPORT_ESCAPED_MAX];
	const char *near = report_nearest(section->handler, handler_names());

	report_add(report, "%s:%d: there is no handler \"%s\"; %s%s%s", section->handler_where.file,
		   section->handler_where.line, report_escape(escaped, section->handler),
		   near ? "did you mean \"" : "for one that is in a module write handler = \"",
		   near ? near : "module\"; module = \"NAME.so", near ? "\"?" : "\"");
}

static const struct ss_handler *find_handler(void *context, const struct settings_socket *section,
					     struct report *report)
{
	const struct ss_handler *handler;

	if (section->module)
		return module_load(context, section, report);
	handler = handler_find(section->handler);
	if (!handler)
		unknown_handler(section, report);
	return handler;
}

static void check_options(const struct settings_socket *section, struct report *report)
{
	const struct ss_handler *handler = section->found;
	const struct settings_option *option = &section->options[defer_accept() - sockopt_table];

	if (handler->flags & SS_SPEAKS_FIRST && option->explicit && option->value.number != 0)
		report_add(report,
			   "%s:%d: tcp_defer_accept does not fit the handler \"%s\", which speaks "
			   "first: the client would wait for nothing; remove the line",
			   option->where.file, option->where.line, handler->name);
}

struct settings_hooks services_hooks(const struct module_place *place)
{
	return (struct settings_hooks){ .find = find_handler,
					.check = check_options,
					.context = (void *)place };
}

/* A handler that connects to others has a second descriptor for each connection. */
static unsigned files_each(const struct settings *settings)
{
	for (size_t i = 0; i < settings->n_sockets; i++)
		if (settings->sockets[i].found->flags & SS_CONNECTS)
			return 2;
	return 1;
}

/* More than there are files for cannot hold; nothing said means as many as there are. */
static unsigned connections_for(const struct settings *settings, unsigned files, unsigned reserved,
				struct report *report)
{
	unsigned room = files > reserved ? (files - reserved) / files_each(settings) : 0;
	if (room > CONNECTIONS_MAX)
		room = CONNECTIONS_MAX; /* the limit of files may be without bounds */
	unsigned wanted = (unsigned)settings->max_connections;

	if (room == 0)
		report_add(
			report,
			"the limit of open files is %u, and %u are needed beside the connections: "
			"none is left for these; raise LimitNOFILE= of the unit",
			files, reserved);
	else if (wanted > room)
		report_add(
			report,
			"%s: max_connections = %u cannot hold: the limit of open files is %u, and "
			"%u are needed beside the connections; raise LimitNOFILE= of the unit, or "
			"lower max_connections to %u",
			settings->path, wanted, files, reserved, room);
	return wanted ? wanted : room;
}

static void check_limits(const struct settings_socket *section, unsigned max, struct report *report)
{
	if ((unsigned)section->limits.connections > max)
		report_add(
			report,
			"%s:%d: limits.connections = %d of \"%s\" cannot hold: all together may have "
			"%u connections (max_connections, LimitNOFILE= of the unit)",
			section->where.file, section->where.line, section->limits.connections,
			section->name, max);
}

unsigned services_check_limits(const struct settings *settings, unsigned files, unsigned reserved,
			       struct report *report)
{
	unsigned max = connections_for(settings, files, reserved, report);

	for (size_t i = 0; i < settings->n_sockets; i++)
		check_limits(&settings->sockets[i], max, report);
	return max;
}

unsigned service_max(const struct settings_socket *section, unsigned max)
{
	return section->limits.connections ? (unsigned)section->limits.connections : max;
}

void service_fit_options(const struct settings_socket *section)
{
	if (section->found->flags & SS_SPEAKS_FIRST)
		section->options[defer_accept() - sockopt_table].set = false;
}

int service_sources_init(struct service_sources *sources, const struct settings_limits *limits,
			 unsigned connections)
{
	*sources = (struct service_sources){
		.limits = { .connections = (unsigned)limits->per_source,
			    .rate = (unsigned)limits->source_rate,
			    .burst = (unsigned)limits->source_burst,
			    .prefix_v4 = (unsigned)limits->source_prefix_v4,
			    .prefix_v6 = (unsigned)limits->source_prefix_v6 },
		.room = connections + SOURCES_IDLE,
	};
	if (!limits->per_source && !limits->source_rate)
		return 0;
	sources->table = sources_new(sources->room);
	return sources->table ? 0 : -errno;
}

static int service_init(struct service *service, struct settings *settings, size_t i,
			struct capacity *capacity)
{
	const struct settings_socket *section = &settings->sockets[i];

	service->section = section;
	service->settings = settings_ref(settings);
	service->handler = section->found;
	service->capacity = capacity;
	service->index = (unsigned)i;
	service->max_connections = service_max(section, capacity->max_connections);
	pthread_mutex_init(&service->rate_lock, NULL);
	service_fit_options(section);
	service->name = strdup(section->name);
	if (!service->name)
		return -ENOMEM;
	return service_sources_init(&service->sources[0], &section->limits,
				    service->max_connections);
}

int services_init(struct services *services, struct settings *settings, unsigned files,
		  unsigned reserved, struct report *report)
{
	size_t size = settings->n_sockets * sizeof(struct service);
	int r = 0;

	*services = (struct services){
		.list = aligned_alloc(_Alignof(struct service), size),
		.capacity = aligned_alloc(_Alignof(struct capacity), sizeof(struct capacity)),
		.settings = settings_ref(settings),
	};
	if (!services->list || !services->capacity)
		return -ENOMEM;
	memset(services->list, 0, size);
	memset(services->capacity, 0, sizeof(*services->capacity));
	services->capacity->max_connections = services_check_limits(settings, files, reserved,
								    report);
	services->capacity->max_output = settings->max_output;
	for (size_t i = 0; i < settings->n_sockets && r == 0; i++) {
		services->count++;
		r = service_init(&services->list[i], settings, i, services->capacity);
	}
	return r;
}

static bool is_first_of_handler(const struct services *services, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (services->list[k].handler == services->list[i].handler)
			return false;
	return true;
}

static void cannot_start(const struct service *service, int error, struct report *report)
{
	report_add(report, "handler \"%s\" (socket \"%s\") cannot start: %s",
		   service->handler->name, service->name, strerror(error));
}

static void load(const struct services *services, size_t i, struct report *report)
{
	const struct service *service = &services->list[i];
	const struct ss_handler *handler = service->handler;
	struct crash_place outer = crash_enter(handler->name, service->name, "load", 0);
	int r = 0;

	if (handler->load && is_first_of_handler(services, i))
		r = handler->load();
	if (r != 0)
		cannot_start(service, abs(r), report);
	crash_leave(&outer);
}

static void start(struct service *service, struct report *report)
{
	const struct ss_handler *handler = service->handler;
	struct crash_place outer = crash_enter(handler->name, service->name, "start", 0);
	int r = 0;

	if (handler->start)
		r = handler->start(service_public(service));
	if (r != 0)
		cannot_start(service, abs(r), report);
	service->started = r == 0;
	crash_leave(&outer);
}

static void stop(struct service *service)
{
	const struct ss_handler *handler = service->handler;
	struct crash_place outer = crash_enter(handler->name, service->name, "stop", 0);

	if (service->started && handler->stop)
		handler->stop(service_public(service));
	service->started = false;
	crash_leave(&outer);
}

void services_start(const struct services *services, struct report *report)
{
	size_t before = report->n_lines;

	for (size_t i = 0; i < services->count; i++)
		load(services, i, report);
	for (size_t i = 0; i < services->count && report->n_lines == before; i++)
		start(&services->list[i], report);
}

void services_stop(const struct services *services)
{
	for (size_t i = 0; i < services->count; i++)
		stop(&services->list[i]);
}

void services_deinit(struct services *services)
{
	for (size_t i = 0; i < services->count; i++) {
		struct service *service = &services->list[i];
		service_release_former(service);
		sources_free(service->sources[service->section->epoch].table);
		settings_unref(service->settings);
		free((char *)(uintptr_t)service->name);
	}
	free(services->list);
	free(services->capacity);
	services->settings = settings_unref(services->settings);
	*services = (struct services){ 0 };
}

struct service *services_find(const struct services *services, const char *name)
{
	for (size_t i = 0; i < services->count; i++)
		if (strcmp(services->list[i].name, name) == 0)
			return &services->list[i];
	return NULL;
}

static struct service *private(const struct ss_service *service)
{
	return (struct service *)(uintptr_t)service;
}

const void *ss_settings(const struct ss_service *service)
{
	return private(service)->section->handler_settings;
}

const char *ss_service_name(const struct ss_service *service)
{
	return private(service)->section->name;
}

void ss_set_service_state(struct ss_service *service, void *state)
{
	private(service)->state = state;
}

void *ss_service_state(const struct ss_service *service)
{
	return private(service)->state;
}
