/* SPDX-License-Identifier: MIT */
/*
 * The options of a listener: what the file says, on top of what the unit had set. A listener
 * outlives its process, and so do its options; what it had before a file was first applied to it is
 * kept, and an option that no line sets (any more) goes back to that.
 *
 * The start and a reload are the same here: from the section that a service has to the one that is
 * coming (service_coming()). What a reload sets and cannot set whole is undone. Main's thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "journal.h"
#include "listener.h"
#include "service-next.h"
#include "util.h"

/* The bits of SO_BUF_LOCK, which only the kernel's own headers name. */
#define SNDBUF_LOCK 1
#define RCVBUF_LOCK 2

#define OUT_OF_TURN 64

/* O_NONBLOCK belongs to the open socket, which PID 1 shares: it is set anew at each start. */
static int make_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

static void cannot_set(const struct listener *listener, const struct sockopt *row,
		       const struct settings_option *option, int error, struct report *report)
{
	char value[SOCKOPT_FORMAT_MAX];
	bool unit_can = error == EPERM && *row->directive;

	sockopt_format(value, row, &option->value);
	if (!option->where.file) {
		/* Our own default, and a kernel that has no such option: the service can live
		 * without. */
		struct journal_fields fields = { .socket = listener->service->name,
						 .error = error };
		journal_log(JOURNAL_OPTION_DIFFERS, LOG_NOTICE, &fields,
			    "%s: %s: %s = %s cannot be set: %s", fields.socket, listener->address,
			    row->name, value, strerror(error));
		return;
	}
	report_add(report, "%s:%d: %s = %s cannot be set on %s: %s%s%s%s%s", option->where.file,
		   option->where.line, row->name, value, listener->address, strerror(error),
		   error == EPERM && *row->privilege ? "; it needs " : "",
		   error == EPERM ? row->privilege : "",
		   unit_can ? "; use instead in the .socket unit: " : "",
		   unit_can ? row->directive : "");
}

static void read_back(const struct listener *listener, const struct sockopt *row,
		      const struct settings_option *option)
{
	char want[SOCKOPT_FORMAT_MAX], got[SOCKOPT_FORMAT_MAX];
	struct sockopt_value value;

	if (sockopt_get(listener->fd, row, &value) < 0 || sockopt_same(row, &option->value, &value))
		return;
	struct journal_fields fields = { .socket = listener->service->name };
	journal_log(JOURNAL_OPTION_DIFFERS, LOG_NOTICE, &fields,
		    "%s: %s: %s = %s was asked for, the kernel took %s", fields.socket,
		    listener->address, row->name, sockopt_format(want, row, &option->value),
		    sockopt_format(got, row, &value));
}

static bool is_pace(const struct sockopt *row)
{
	return row->level == SOL_SOCKET && row->option == SO_MAX_PACING_RATE;
}

/* An option as a section has it. What we send is paced by the kernel: limits.bandwidth is an
 * option. */
struct settings_option listener_option_in(const struct settings_socket *section, size_t i)
{
	const struct sockopt *row = &sockopt_table[i];
	struct settings_option option = section->options[i];

	if (!option.set && section->limits.bandwidth && is_pace(row))
		option = (struct settings_option){ .set = true,
						   .value.number = section->limits.bandwidth,
						   .where = section->where };
	return option;
}

static bool same_value(const struct sockopt_value *a, const struct sockopt_value *b)
{
	return a->number == b->number && strncmp(a->string, b->string, SOCKOPT_STRING_MAX) == 0;
}

static bool same_option(const struct settings_option *a, const struct settings_option *b)
{
	return a->set == b->set && (!a->set || same_value(&a->value, &b->value));
}

/* Each size that a section sets is locked by that, whatever else so_buf_lock goes back to. */
static bool is_lock(const struct sockopt *row)
{
	return row->level == SOL_SOCKET && row->option == SO_BUF_LOCK;
}

static struct sockopt_reading unit_with_locks(const struct sockopt_reading *unit,
					      const struct settings_socket *section, size_t i)
{
	struct sockopt_reading reading = *unit;

	if (!is_lock(&sockopt_table[i]))
		return reading;
	if (section->options[sockopt_find("so_sndbuf") - sockopt_table].set)
		reading.value.number |= SNDBUF_LOCK;
	if (section->options[sockopt_find("so_rcvbuf") - sockopt_table].set)
		reading.value.number |= RCVBUF_LOCK;
	return reading;
}

static bool can_set(const struct listener *listener, const struct sockopt *row)
{
	return listener_fits(listener, row) && row->stage != SOCKOPT_BEFORE_BIND;
}

/* 0, or -errno where the kernel has another value and does not take this one. */
static int go_back(const struct listener *listener, size_t i, const struct sockopt_reading *to)
{
	const struct sockopt *row = &sockopt_table[i];
	struct sockopt_value value;

	if (!to->known || sockopt_get(listener->fd, row, &value) < 0 ||
	    same_value(&value, &to->value))
		return 0;
	return sockopt_restore(listener->fd, row, &to->value);
}

static void go_back_to_unit(const struct listener *listener, size_t i)
{
	const struct settings_socket *section = service_coming(listener->service);
	const struct sockopt *row = &sockopt_table[i];
	struct sockopt_reading unit = unit_with_locks(&listener->unit[i], section, i);
	int r = go_back(listener, i, &unit);

	if (r == 0)
		return;
	struct journal_fields fields = { .socket = listener->service->name, .error = -r };
	journal_log(JOURNAL_OPTION_DIFFERS, LOG_NOTICE, &fields,
		    "%s: %s: %s cannot go back to what the unit had set: %s; restart its .socket "
		    "unit",
		    fields.socket, listener->address, row->name, strerror(-r));
}

/* Whether it is set. */
static bool set(const struct listener *listener, size_t i, const struct settings_option *option,
		struct report *report)
{
	const struct sockopt *row = &sockopt_table[i];
	int r = sockopt_set(listener->fd, row, &option->value);

	if (r < 0)
		cannot_set(listener, row, option, -r, report);
	else
		read_back(listener, row, option);
	return r == 0;
}

static void stage_one(struct listener *listener, size_t i, struct report *report)
{
	const struct service *service = listener->service;
	const struct sockopt *row = &sockopt_table[i];
	struct settings_option was = listener_option_in(service->section, i);
	struct settings_option option = listener_option_in(service_coming(service), i);
	struct listener_options *next = listener->next;
	bool first = !listener->per_connection;

	if (!option.set) {
		go_back_to_unit(listener, i);
		return;
	}
	if ((first || !same_option(&was, &option)) && !set(listener, i, &option, report))
		return;
	enum sockopt_stage stage = sockopt_stage_on(row, listener->family);
	if (stage >= SOCKOPT_INHERITED)
		next->list[next->count++] = (struct listener_option){
			.row = row, .value = option.value, .inherited = stage == SOCKOPT_INHERITED
		};
}

/* Those that are not known yet. */
static void read_options(const struct listener *listener, struct sockopt_reading *readings)
{
	for (size_t i = 0; i < sockopt_count; i++) {
		const struct sockopt *row = &sockopt_table[i];
		if (!readings[i].known && listener_fits(listener, row))
			readings[i].known = sockopt_get(listener->fd, row, &readings[i].value) == 0;
	}
}

/* The kernel's own where nobody remembers anything else. */
static int find_unit(struct listener *listener, const struct sockopt_reading *remembered)
{
	size_t size = sockopt_count * sizeof(*listener->unit);

	listener->unit = calloc(1, size);
	if (!listener->unit)
		return -ENOMEM;
	if (remembered)
		memcpy(listener->unit, remembered, size);
	read_options(listener, listener->unit);
	return 0;
}

int listeners_remember(struct listeners *listeners, const struct baseline *baseline)
{
	for (size_t k = 0; k < listeners->count; k++) {
		struct listener *listener = &listeners->list[k];
		struct sockopt_reading *values = baseline_of(baseline, listener->fd);
		int r = find_unit(listener, values);
		if (r < 0)
			return r;
		if (values)
			memcpy(values, listener->unit, sockopt_count * sizeof(*values));
	}
	return 0;
}

static int prepare(struct listener *listener)
{
	size_t size = sizeof(struct listener_options) +
		      sockopt_count * sizeof(struct listener_option);

	listener->next = calloc(1, size);
	listener->before = calloc(sockopt_count, sizeof(*listener->before));
	if (!listener->next || !listener->before)
		return -ENOMEM;
	read_options(listener, listener->before);
	int r = listener->unit ? 0 : find_unit(listener, NULL);
	return r < 0 ? r : make_nonblocking(listener->fd);
}

void listeners_stage(struct listeners *listeners, struct report *report)
{
	for (size_t k = 0; k < listeners->count; k++) {
		struct listener *listener = &listeners->list[k];
		int r = prepare(listener);
		if (r < 0) {
			report_add(report, "%s: %s", listener->address, strerror(-r));
			return;
		}
		for (size_t i = 0; i < sockopt_count; i++)
			if (can_set(listener, &sockopt_table[i]))
				stage_one(listener, i, report);
	}
}

/* In the order of the table, so that so_buf_lock comes after what changes it. */
static void undo(struct listener *listener)
{
	for (size_t i = 0; listener->before && i < sockopt_count; i++)
		if (can_set(listener, &sockopt_table[i]))
			go_back(listener, i, &listener->before[i]);
}

static void drop_stage(struct listener *listener)
{
	free(listener->next);
	free(listener->before);
	listener->next = NULL;
	listener->before = NULL;
}

void listeners_undo(struct listeners *listeners)
{
	for (size_t k = 0; k < listeners->count; k++) {
		undo(&listeners->list[k]);
		drop_stage(&listeners->list[k]);
	}
}

void listeners_commit(struct listeners *listeners)
{
	for (size_t k = 0; k < listeners->count; k++) {
		struct listener *listener = &listeners->list[k];
		listener->former = listener->per_connection;
		listener->per_connection = steal(&listener->next);
		drop_stage(listener);
	}
}

void listeners_release_former(struct listeners *listeners)
{
	for (size_t k = 0; k < listeners->count; k++) {
		struct listener *listener = &listeners->list[k];
		free((void *)(uintptr_t)listener->former);
		listener->former = NULL;
	}
}

void listener_free_options(struct listener *listener)
{
	drop_stage(listener);
	free((void *)(uintptr_t)listener->former);
	free((void *)(uintptr_t)listener->per_connection);
	free(listener->unit);
}

/*
 * A connection inherits what the listener has when its handshake ends, not when it is accepted:
 * whom systemd has started us for is there already. tcp_get_info() of a listener has the length of
 * the queue in tcpi_unacked. Workers may take those out of turn.
 */
static int count_early(const struct listener *listener)
{
	struct tcp_info info = { 0 };
	socklen_t length = sizeof(info);

	if (!(listener->family & SOCKOPT_TCP) ||
	    getsockopt(listener->fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 ||
	    info.tcpi_unacked == 0)
		return 0;
	return (int)info.tcpi_unacked + OUT_OF_TURN;
}

void listeners_apply(struct listeners *listeners, struct report *report)
{
	listeners_stage(listeners, report);
	listeners_commit(listeners);
	for (size_t k = 0; k < listeners->count; k++)
		listeners->list[k].early = count_early(&listeners->list[k]);
}

/* ---- the connections that are there */

/* What all listeners of a service had, for a connection does not know which one it came by. */
static const struct sockopt_reading *unit_of(const struct listeners *listeners,
					     const struct service *service, size_t i)
{
	const struct sockopt_reading *found = NULL;

	for (size_t k = 0; k < listeners->count; k++) {
		const struct listener *listener = &listeners->list[k];
		const struct sockopt *row = &sockopt_table[i];
		if (listener->service != service || !listener_fits(listener, row) ||
		    sockopt_stage_on(row, listener->family) != SOCKOPT_INHERITED)
			continue;
		const struct sockopt_reading *reading = &listener->unit[i];
		if (!reading->known || (found && !same_value(&found->value, &reading->value)))
			return NULL;
		found = reading;
	}
	return found;
}

static bool is_buffer(const struct sockopt *row)
{
	return row->level == SOL_SOCKET && (row->option == SO_RCVBUF || row->option == SO_SNDBUF);
}

static void add_change(const struct listeners *listeners, struct service *service, size_t i,
		       bool *buffers)
{
	const struct sockopt *row = &sockopt_table[i];
	struct settings_option was = { 0 };
	struct settings_option option = listener_option_in(service_coming(service), i);
	struct service_option change = { .row = row, .value = option.value };

	if (service->next)
		was = listener_option_in(service->section, i);
	else
		was.set = is_pace(row); /* a line that went since would slow them down for ever */
	if (row->stage < SOCKOPT_INHERITED ||
	    (same_option(&was, &option) && !(is_lock(row) && !option.set && *buffers)))
		return;
	if (!option.set) {
		const struct sockopt_reading *unit = unit_of(listeners, service, i);
		if (!unit)
			return;
		change.value = unit_with_locks(unit, service_coming(service), i).value;
		change.restored = true;
		*buffers |= is_buffer(row);
	}
	service->changes[service->n_changes++] = change;
}

int listeners_find_changes(const struct listeners *listeners, struct service *service)
{
	bool buffers = false;

	service->n_changes = 0;
	service->changes = calloc(sockopt_count, sizeof(*service->changes));
	if (!service->changes)
		return -ENOMEM;
	for (size_t i = 0; i < sockopt_count; i++)
		add_change(listeners, service, i, &buffers);
	return 0;
}
