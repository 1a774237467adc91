/* SPDX-License-Identifier: MIT */
/*
 * See service.h. tcp_defer_accept is the one option that a handler decides: where the server speaks
 * first, the client waits for it in silence, and the kernel would hold the connection back for a
 * second and more. Written in the section it is an error; from the defaults it is left out.
 */
#include <assert.h>
#include <limits.h>
#include <string.h>
#include <syslog.h>

#include "crash.h"
#include "journal.h"
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

static bool count_up(_Atomic unsigned *count, unsigned max)
{
	if (atomic_fetch_add_explicit(count, 1, memory_order_relaxed) < max)
		return true;
	atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
	return false;
}

static void count_down(_Atomic unsigned *count)
{
	atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
}

/* NULL, or the mark of those who wait for room where there is none. */
static _Atomic bool *reserve(struct service *service)
{
	struct capacity *capacity = service->capacity;

	if (!count_up(&service->open, service->max_connections))
		return &service->full;
	if (count_up(&capacity->connections, capacity->max_connections))
		return NULL;
	count_down(&service->open);
	return &capacity->full;
}

bool service_reserve(struct service *service)
{
	_Atomic bool *full = reserve(service);

	if (!full || service->section->limits.refuse)
		return !full;
	/* A connection that ends in between would not see who waits: so the second look. */
	atomic_store(full, true);
	return !reserve(service);
}

void service_unreserve(struct service *service)
{
	count_down(&service->capacity->connections);
	count_down(&service->open);
}

static bool take(_Atomic bool *full)
{
	return atomic_load_explicit(full, memory_order_relaxed) && atomic_exchange(full, false);
}

bool service_take_full(struct service *service)
{
	bool own = take(&service->full), all = take(&service->capacity->full);

	return own || all;
}

int64_t service_take_rate(struct service *service, int64_t now_ms)
{
	const struct settings_limits *limits = &service->section->limits;

	if (!limits->rate)
		return 0;
	pthread_mutex_lock(&service->rate_lock);
	int64_t wait = bucket_take(&service->rate, (unsigned)limits->rate, (unsigned)limits->burst,
				   now_ms);
	pthread_mutex_unlock(&service->rate_lock);
	return wait;
}

void service_give_back_rate(struct service *service)
{
	if (!service->section->limits.rate)
		return;
	pthread_mutex_lock(&service->rate_lock);
	bucket_give_back(&service->rate, (unsigned)service->section->limits.rate);
	pthread_mutex_unlock(&service->rate_lock);
}

static enum service_verdict judge(struct service *service, const struct settings_socket *section,
				  const struct peer *peer, int64_t now_ms)
{
	struct service_sources *sources = &service->sources[section->epoch];

	if (!access_allowed(&section->access, peer))
		return SERVICE_DENIED;
	if (!sources->table)
		return SERVICE_ADMITTED;
	switch (sources_enter(sources->table, &sources->limits, peer, now_ms)) {
	case SOURCE_OK:
		return SERVICE_ADMITTED;
	case SOURCE_TOO_MANY:
		return SERVICE_TOO_MANY;
	default:
		return SERVICE_TOO_FAST;
	}
}

/* Whatever the limits are: it was let in before them. False where the table is full. */
static bool count_source(const struct service_sources *sources, const struct peer *peer)
{
	struct source_limits none = sources->limits;

	none.connections = UINT_MAX;
	none.rate = 0;
	return !sources->table || sources_enter(sources->table, &none, peer, 0) == SOURCE_OK;
}

int service_take_over(struct service *service, const struct settings_socket *section,
		      const struct peer *peer)
{
	if (peer && !count_source(&service->sources[section->epoch], peer))
		return -ENOBUFS;
	atomic_fetch_add_explicit(&service->open, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&service->capacity->connections, 1, memory_order_relaxed);
	return 0;
}

void service_turned_away(struct service *service, enum service_verdict verdict)
{
	atomic_fetch_add_explicit(&service->turned_away[verdict], 1, memory_order_relaxed);
}

void service_log_turned_away(const struct service *service, const struct peer *peer,
			     enum service_verdict verdict, const char *detail)
{
	char text[PEER_MAX];

	if (!journal_admit(JOURNAL_TURNED_AWAY))
		return;
	struct journal_fields fields = {
		.socket = service->name,
		.handler = service->handler->name,
		.peer = peer_format(text, peer),
		.reason = service_verdict_name(verdict),
	};
	journal_log(JOURNAL_TURNED_AWAY, LOG_NOTICE, &fields, "%s: %s was turned away: %s%s%s",
		    fields.socket, text, fields.reason, detail ? ", " : "", detail ? detail : "");
}

enum service_verdict service_admit(struct service *service, const struct settings_socket *section,
				   const struct peer *peer, int64_t now_ms)
{
	enum service_verdict verdict = judge(service, section, peer, now_ms);

	if (verdict != SERVICE_ADMITTED) {
		service_turned_away(service, verdict);
		return verdict;
	}
	atomic_fetch_add_explicit(&service->accepted, 1, memory_order_relaxed);
	return verdict;
}

static void uncount(struct service_sources *sources, const struct peer *peer)
{
	if (sources->table)
		sources_leave(sources->table, &sources->limits, peer);
}

void service_recount(struct service *service, unsigned epoch, const struct peer *peer)
{
	struct service_sources *from = &service->sources[epoch], *to = &service->sources[!epoch];

	if (from->table == to->table)
		return;
	uncount(from, peer);
	bool counted = count_source(to, peer);
	assert(counted); /* the table was made with room for all */
	(void)counted;
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

void service_left(struct service *service, unsigned epoch, const struct peer *peer,
		  uint64_t bytes_in, uint64_t bytes_out)
{
	uncount(&service->sources[epoch], peer);
	atomic_fetch_add_explicit(&service->bytes_in, bytes_in, memory_order_relaxed);
	atomic_fetch_add_explicit(&service->bytes_out, bytes_out, memory_order_relaxed);
	service_unreserve(service);
}

/* In thousandths. */
static unsigned fill(const _Atomic unsigned *count, unsigned max)
{
	uint64_t open = atomic_load_explicit(count, memory_order_relaxed);

	return max ? (unsigned)(open * 1000 / max) : 0;
}

/* From all of it at three quarters to a tenth at the limit. */
int service_idle_ms(const struct service *service)
{
	int idle_ms = service->section->timeouts.idle_ms;
	unsigned own = fill(&service->open, service->max_connections);
	unsigned all = fill(&service->capacity->connections, service->capacity->max_connections);
	unsigned full = own > all ? own : all;

	if (full <= 750)
		return idle_ms;
	if (full > 1000)
		full = 1000;
	return (int)((int64_t)idle_ms * (1000 - (full - 750) * 900 / 250) / 1000);
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

const char *service_verdict_name(enum service_verdict verdict)
{
	static const char *const names[] = {
		[SERVICE_ADMITTED] = "admitted",
		[SERVICE_DENIED] = "denied",
		[SERVICE_TOO_MANY] = "too-many",
		[SERVICE_TOO_FAST] = "too-fast",
		[SERVICE_FULL] = "full",
		[SERVICE_NO_PROXY] = "no-proxy",
		[SERVICE_BAD_HEADER] = "bad-header",
	};

	return names[verdict];
}
