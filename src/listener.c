/* SPDX-License-Identifier: MIT */
/* See listener.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include "journal.h"
#include "listener.h"
#include "util.h"

static int socket_int(int fd, int option)
{
	int value = 0;
	socklen_t length = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0 ? -errno : value;
}

static bool is_connected(int fd)
{
	union peer_address address;
	socklen_t length = sizeof(address);

	return getpeername(fd, &address.any, &length) == 0;
}

/* Why this descriptor cannot be served, or NULL. */
static const char *wrong_kind(int fd)
{
	int type = socket_int(fd, SO_TYPE);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return "is not open";
	if (type < 0)
		return "is not a socket; simple-server takes listening stream sockets (ListenStream=)";
	if (type == SOCK_DGRAM)
		return "is a datagram socket; use ListenStream= instead of ListenDatagram=";
	if (type != SOCK_STREAM)
		return "is not a stream socket; use ListenStream=";
	if (sockopt_family_of(fd) < 0)
		return "is of a family that is not served; TCP over IPv4 or IPv6 and AF_UNIX are";
	if (socket_int(fd, SO_ACCEPTCONN) > 0)
		return NULL;
	if (is_connected(fd))
		return "is a connection: Accept=yes is not supported; set Accept=no in the .socket "
		       "unit";
	return "is a stream socket that does not listen";
}

static void unknown_name(int fd, const char *name, const struct services *services,
			 struct report *report)
{
	char escaped[REPORT_ESCAPED_MAX], list[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < services->count && used < sizeof(list); i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s\"%s\"",
					 i ? ", " : "", services->list[i].section->name);
	report_add(report,
		   "fd %d: the file has no section for the name \"%s\"; it has %s: change "
		   "FileDescriptorName= in the .socket unit, or add the section",
		   fd, report_escape(escaped, name), list);
}

static void format_own_address(struct listener *listener)
{
	union peer_address address = { 0 };
	socklen_t length = sizeof(address);

	if (getsockname(listener->fd, &address.any, &length) == 0)
		peer_format_address(listener->address, &address, length);
}

/* O_NONBLOCK belongs to the open socket, which PID 1 shares: it is set anew at each start. */
static int make_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

int listeners_add(struct listeners *listeners, int fd, const char *name,
		  const struct services *services, bool unknown_ok, struct report *report)
{
	char escaped[REPORT_ESCAPED_MAX];
	struct service *service = services_find(services, name);

	if (!service && unknown_ok)
		return 0;
	const char *wrong = wrong_kind(fd);
	if (wrong) {
		report_add(report, "fd %d (%s) %s", fd, report_escape(escaped, name), wrong);
		return -EINVAL;
	}
	if (!service) {
		unknown_name(fd, name, services, report);
		return -EINVAL;
	}
	size_t size = (listeners->count + 1) * sizeof(*listeners->list);
	struct listener *list = realloc(listeners->list, size);
	if (!list) {
		report_add(report, "fd %d (%s): %s", fd, report_escape(escaped, name),
			   strerror(ENOMEM));
		return -EINVAL;
	}
	listeners->list = list;
	struct listener *listener = &list[listeners->count++];
	*listener = (struct listener){
		.fd = fd,
		.family = (enum sockopt_family)sockopt_family_of(fd),
		.service = service,
		.paused_logged = INT64_MIN / 2,
	};
	format_own_address(listener);
	return 0;
}

static const struct settings_option *option_of(const struct listener *listener, size_t i)
{
	return &listener->service->section->options[i];
}

static bool fits(const struct listener *listener, const struct sockopt *row)
{
	return row->families & listener->family;
}

/* Too late for us to set: the unit and the file must agree. */
static void check_before_bind(const struct listener *listener, const struct sockopt *row,
			      const struct settings_option *option, struct report *report)
{
	char want[SOCKOPT_FORMAT_MAX], has[SOCKOPT_FORMAT_MAX];
	struct sockopt_value value;

	if (sockopt_get(listener->fd, row, &value) < 0 || sockopt_same(row, &option->value, &value))
		return;
	report_add(report,
		   "%s:%d: %s = %s, but the socket %s was bound with %s; it can only be set before "
		   "bind()%s%s%s",
		   option->where.file, option->where.line, row->name,
		   sockopt_format(want, row, &option->value), listener->address,
		   sockopt_format(has, row, &value), *row->directive ? ": use " : "",
		   row->directive,
		   *row->directive ? " in the .socket unit" : ", and systemd decides it");
}

static const char *family_name(enum sockopt_family family)
{
	return family == SOCKOPT_UNIX ? "AF_UNIX" : family == SOCKOPT_INET4 ? "IPv4" : "IPv6";
}

static void check_fit(const struct listeners *listeners, const struct service *service, size_t i,
		      struct report *report)
{
	const struct settings_option *option = &service->section->options[i];
	const struct sockopt *row = &sockopt_table[i];
	const struct listener *misfit = NULL;
	bool fits_one = false;

	for (size_t k = 0; k < listeners->count; k++) {
		const struct listener *listener = &listeners->list[k];
		if (listener->service != service)
			continue;
		if (!fits(listener, row)) {
			misfit = listener;
			continue;
		}
		fits_one = true;
		if (row->stage == SOCKOPT_BEFORE_BIND && option->where.file)
			check_before_bind(listener, row, option, report);
	}
	if (misfit && !fits_one && option->explicit)
		report_add(
			report,
			"%s:%d: %s does not fit the socket of this section, %s (%s); remove the "
			"line, or put it into defaults, where it is used for sockets that it fits",
			option->where.file, option->where.line, row->name, misfit->address,
			family_name(misfit->family));
}

static bool has_listener(const struct listeners *listeners, const struct service *service)
{
	for (size_t i = 0; i < listeners->count; i++)
		if (listeners->list[i].service == service)
			return true;
	return false;
}

void listeners_check(const struct listeners *listeners, const struct services *services,
		     bool unknown_ok, struct report *report)
{
	for (size_t s = 0; s < services->count; s++) {
		const struct service *service = &services->list[s];
		const struct settings_socket *section = service->section;
		for (size_t i = 0; i < sockopt_count; i++)
			if (section->options[i].set)
				check_fit(listeners, service, i, report);
		if (!unknown_ok && !has_listener(listeners, service))
			report_add(
				report,
				"%s:%d: no socket with the name \"%s\" was passed; start its .socket "
				"unit with FileDescriptorName=%s, or remove the section",
				section->where.file, section->where.line, section->name,
				section->name);
	}
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
		struct journal_fields fields = { .socket = listener->service->section->name,
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
	struct journal_fields fields = { .socket = listener->service->section->name };
	journal_log(JOURNAL_OPTION_DIFFERS, LOG_NOTICE, &fields,
		    "%s: %s: %s = %s was asked for, the kernel took %s", fields.socket,
		    listener->address, row->name, sockopt_format(want, row, &option->value),
		    sockopt_format(got, row, &value));
}

static void apply_one(struct listener *listener, size_t i, struct report *report)
{
	const struct sockopt *row = &sockopt_table[i];
	const struct settings_option *option = option_of(listener, i);

	if (!option->set || !fits(listener, row) || row->stage == SOCKOPT_BEFORE_BIND)
		return;
	int r = sockopt_set(listener->fd, row, &option->value);
	if (r < 0)
		cannot_set(listener, row, option, -r, report);
	else
		read_back(listener, row, option);
	if (r == 0 && sockopt_stage_on(row, listener->family) == SOCKOPT_ACCEPTED)
		listener->per_connection[listener->n_per_connection++] = row;
}

/*
 * limits.bandwidth of what we send is the kernel's work. What cannot be paced by it (AF_UNIX) is
 * bounded by the pace of what we read.
 */
static void apply_bandwidth(const struct listener *listener, struct report *report)
{
	const struct settings_socket *section = listener->service->section;
	const struct sockopt *row = sockopt_find("so_max_pacing_rate");
	struct sockopt_value value = { .number = section->limits.bandwidth };

	if (!value.number || !fits(listener, row) || section->options[row - sockopt_table].set)
		return;
	int r = sockopt_set(listener->fd, row, &value);
	if (r < 0)
		report_add(report, "%s:%d: limits.bandwidth cannot be kept on %s: %s",
			   section->where.file, section->where.line, listener->address,
			   strerror(-r));
}

void listeners_apply(struct listeners *listeners, struct report *report)
{
	for (size_t k = 0; k < listeners->count; k++) {
		struct listener *listener = &listeners->list[k];
		listener->per_connection = calloc(sockopt_count, sizeof(struct sockopt *));
		int r = listener->per_connection ? make_nonblocking(listener->fd) : -ENOMEM;
		if (r < 0) {
			report_add(report, "%s: %s", listener->address, strerror(-r));
			return;
		}
		for (size_t i = 0; i < sockopt_count; i++)
			apply_one(listener, i, report);
		apply_bandwidth(listener, report);
	}
}

void listeners_dump(const struct listeners *listeners, FILE *out)
{
	for (size_t k = 0; k < listeners->count; k++) {
		const struct listener *listener = &listeners->list[k];
		fprintf(out, "\n// %s: %s, options as the kernel has them now:\n",
			listener->service->section->name, listener->address);
		for (size_t i = 0; i < sockopt_count; i++) {
			char text[SOCKOPT_FORMAT_MAX];
			struct sockopt_value value;
			const struct sockopt *row = &sockopt_table[i];
			if (fits(listener, row) && sockopt_get(listener->fd, row, &value) == 0)
				fprintf(out, "//   %s = %s\n", row->name,
					sockopt_format(text, row, &value));
		}
	}
}

void listeners_deinit(struct listeners *listeners)
{
	for (size_t i = 0; i < listeners->count; i++) {
		free(listeners->list[i].per_connection);
		close_fd(listeners->list[i].fd);
	}
	free(listeners->list);
	*listeners = (struct listeners){ 0 };
}

int listener_accept(const struct listener *listener, struct peer *ret_peer)
{
	union peer_address address = { 0 };
	socklen_t length = sizeof(address);
	int fd = accept4(listener->fd, &address.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_peer = peer_of(fd, &address);
	for (size_t i = 0; i < listener->n_per_connection; i++) {
		const struct sockopt *row = listener->per_connection[i];
		/* It worked on the listener; here only a connection that is gone already can fail.
		 */
		sockopt_set(fd, row, &option_of(listener, (size_t)(row - sockopt_table))->value);
	}
	return fd;
}
