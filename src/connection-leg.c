/* SPDX-License-Identifier: MIT */
/*
 * The second leg of a connection: a socket of ours to a target, made by ss_connect(). It belongs to
 * the connection and its worker, and ends with it; all of it is in the connection's own memory.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "connection-private.h"
#include "sockopt.h"

static struct ss_connection *connection_of(struct loop_source *source)
{
	struct connection_leg *leg = container_of(source, struct connection_leg, source);

	return (struct ss_connection *)leg - 1;
}

void connection_leg_close(struct ss_connection *c)
{
	struct connection_leg *leg = connection_leg(c);
	int fd = leg->source.fd;

	if (fd < 0)
		return;
	loop_remove(c->set->loop, &leg->source, NULL);
	if (c->flags & CUT ||
	    !(c->flags & JOINED)) /* a FIN would be a whole stream, an empty one */
		connection_reset_fd(fd);
	close(fd);
	leg->flags = 0;
}

/* What the file says for the connections of the section holds for this leg as well. */
static int set_options(const struct settings_socket *section, int fd, enum sockopt_family family)
{
	for (size_t i = 0; i < sockopt_count; i++) {
		const struct sockopt *row = &sockopt_table[i];
		int r = 0;
		if (section->options[i].set && row->families & family &&
		    row->stage >= SOCKOPT_INHERITED)
			r = sockopt_set(fd, row, &section->options[i].value);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ip(7), IP_TRANSPARENT: the target sees the peer's own address. */
static int take_address_of_peer(const struct ss_connection *c, int fd, int family)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
				   .sin6_addr = c->peer.address,
				   .sin6_port = c->peer.port };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = c->peer.port };
	bool is_v4 = IN6_IS_ADDR_V4MAPPED(&c->peer.address);
	int level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
	int option = family == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT, on = 1;

	if (c->peer.is_unix || is_v4 != (family == AF_INET))
		return -EAFNOSUPPORT;
	memcpy(&v4.sin_addr, &c->peer.address.s6_addr[12], 4);
	if (setsockopt(fd, level, option, &on, sizeof(on)) < 0)
		return -errno;
	if (is_v4)
		return bind(fd, (struct sockaddr *)&v4, sizeof(v4)) < 0 ? -errno : 0;
	return bind(fd, (struct sockaddr *)&v6, sizeof(v6)) < 0 ? -errno : 0;
}

static void note_connected(struct ss_connection *c)
{
	struct connection_leg *leg = connection_leg(c);
	int64_t took_ms = c->set->loop->now - (int64_t)c->began;

	leg->flags &= (uint16_t)~LEG_CONNECTING;
	leg->connect_ms = (uint16_t)(took_ms < UINT16_MAX ? took_ms : UINT16_MAX);
}

/* The handler hears of it once, whichever way it went. */
static void tell_connected(struct ss_connection *c, int error)
{
	struct connection_leg *leg = connection_leg(c);

	loop_disarm(c->set->loop, &leg->source);
	if (error)
		connection_leg_close(c);
	else
		note_connected(c);
	if (!(c->flags & (CLOSING | FAILED)))
		c->service->handler->connected(c, error);
}

/*
 * epoll_ctl(2): a failure is EPOLLERR as well. A reset in answer to connect() is ECONNREFUSED;
 * these two came behind it, perhaps behind bytes.
 */
static int outcome(const struct loop_source *source)
{
	socklen_t size = sizeof(int);
	int error = 0;

	if (!(source->events & (EPOLLERR | EPOLLHUP)))
		return 0;
	if (getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return error == ECONNRESET || error == EPIPE ? 0 : -error;
}

/* Until it is joined, what comes on a connected leg waits. */
static void on_leg_ready(struct loop *loop, struct loop_source *source)
{
	struct ss_connection *c = connection_of(source);
	struct connection_leg *leg = connection_leg(c);

	(void)loop;
	if (!(leg->flags & LEG_CONNECTING))
		return;
	if (source->events & LOOP_EXPIRED) {
		source->events &= ~LOOP_EXPIRED;
		tell_connected(c, -ETIMEDOUT);
	} else if (source->events & WRITABLE) {
		tell_connected(c, outcome(source));
	}
}

static int open_socket(struct ss_connection *c, const struct sockaddr *address, unsigned flags)
{
	int family = address->sa_family, r;
	enum sockopt_family kind = family == AF_INET    ? SOCKOPT_INET4
				   : family == AF_INET6 ? SOCKOPT_INET6
							: SOCKOPT_UNIX;
	int fd auto_close = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	r = family == AF_VSOCK ? 0 : set_options(c->service->section, fd, kind);
	if (r == 0 && flags & SS_AS_PEER)
		r = take_address_of_peer(c, fd, family);
	return r < 0 ? r : steal_fd(&fd);
}

static int begin(struct ss_connection *c, int fd, int family, int64_t timeout_ms)
{
	struct connection_leg *leg = connection_leg(c);

	loop_source_init(&leg->source, fd, on_leg_ready);
	leg->flags = LEG_CONNECTING;
	if (family != AF_INET && family != AF_INET6)
		leg->flags |= LEG_UNIX;
	int r = loop_add(c->set->loop, &leg->source, CONNECTION_MASK);
	if (r < 0)
		leg->source.fd = -1;
	else
		loop_arm(c->set->loop, &leg->source, timeout_ms);
	return r;
}

static int check_call(struct ss_connection *c)
{
	if (!connection_is_own(c)) {
		connection_foreign_call(c, "ss_connect");
		return -EPERM;
	}
	if (c->flags & ENDED || !connection_has_leg(c->service)) {
		connection_misuse(c, "ss_connect() %s",
				  c->flags & ENDED ? "in close()" : "without the flag SS_CONNECTS");
		connection_fail(c, SS_MISUSE);
		return -EPERM;
	}
	if (c->flags & (CLOSING | FAILED))
		return -EPIPE;
	return connection_leg(c)->source.fd >= 0 ? -EALREADY : 0;
}

int ss_connect(struct ss_connection *c, const struct sockaddr *address, size_t length,
	       int64_t timeout_ms, unsigned int flags)
{
	int r = check_call(c);
	if (r < 0)
		return r;
	int fd auto_close = open_socket(c, address, flags);
	if (fd < 0)
		return fd;
	do
		r = connect(fd, address, (socklen_t)length) < 0 ? -errno : 0;
	while (r == -EINTR);
	if (r < 0 && r != -EINPROGRESS)
		return r;
	r = begin(c, fd, address->sa_family, timeout_ms);
	if (r == 0)
		steal_fd(&fd);
	return r;
}

int connection_leg_go_on(struct ss_connection *c)
{
	struct connection_leg *leg = connection_leg(c);
	uint16_t flags = leg->flags;
	int fd = leg->source.fd;

	loop_source_init(&leg->source, fd, on_leg_ready);
	leg->flags = flags;
	int r = loop_add(c->set->loop, &leg->source, CONNECTION_MASK);
	if (r < 0) {
		leg->source.fd = -1;
		close(fd);
	}
	return r;
}

int ss_target_write(struct ss_connection *c, const void *bytes, size_t length)
{
	if (!connection_is_own(c)) {
		connection_foreign_call(c, "ss_target_write");
		return -EPERM;
	}
	struct connection_leg *leg = connection_has_leg(c->service) ? connection_leg(c) : NULL;
	if (c->flags & (CLOSING | FAILED))
		return -EPIPE;
	if (!leg || leg->source.fd < 0 || leg->flags & LEG_CONNECTING || c->flags & JOINED)
		return -ENOTCONN;
	return connection_queue(c, &leg->output, bytes, length);
}
