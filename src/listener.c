/* SPDX-License-Identifier: MIT */
/* See listener.h. */
#include <errno.h>
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
					 i ? ", " : "", services->list[i].name);
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

bool listener_fits(const struct listener *listener, const struct sockopt *row)
{
	return row->families & listener->family;
}

void listeners_deinit(struct listeners *listeners)
{
	for (size_t i = 0; i < listeners->count; i++) {
		listener_free_options(&listeners->list[i]);
		close_fd(listeners->list[i].fd);
	}
	free(listeners->list);
	*listeners = (struct listeners){ 0 };
}

/* More often than needed does no harm. */
static bool is_early(struct listener *listener)
{
	return unlikely(atomic_load_explicit(&listener->early, memory_order_relaxed) > 0) &&
	       atomic_fetch_sub(&listener->early, 1) > 0;
}

int listener_accept(struct listener *listener, struct peer *ret_peer)
{
	union peer_address address = { 0 };
	socklen_t length = sizeof(address);
	int fd = accept4(listener->fd, &address.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_peer = peer_of(fd, &address);
	const struct listener_options *options = listener->per_connection;
	bool early = is_early(listener);
	for (size_t i = 0; options && i < options->count; i++)
		/* It worked on the listener; here only a connection that is gone already can fail.
		 */
		if (early || !options->list[i].inherited)
			sockopt_set(fd, options->list[i].row, &options->list[i].value);
	return fd;
}
