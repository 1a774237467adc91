/* SPDX-License-Identifier: MIT */
/*
 * A peer of the benchmark: echo, discard and chargen with libevent's bufferevents, as one writes
 * them by its manual. One thread, one event base.
 *
 * peer-libevent echo | discard | chargen: serves fd 3, as systemd passes it. Ends by a signal.
 * peer-libevent --version: of the library
 */
#include <err.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PASSED_FD 3

static char block[65536];

static const struct service {
	const char *name;
	bufferevent_data_cb read, write;
} * service;

static void echo(struct bufferevent *bev, void *arg)
{
	(void)arg;
	bufferevent_write_buffer(bev, bufferevent_get_input(bev));
}

static void discard(struct bufferevent *bev, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(bev);

	(void)arg;
	evbuffer_drain(input, evbuffer_get_length(input));
}

/* Called when all has been sent. Bytes of the right number; which ones costs the same. */
static void chargen(struct bufferevent *bev, void *arg)
{
	(void)arg;
	bufferevent_write(bev, block, sizeof(block));
}

static const struct service services[] = {
	{ "echo", echo, NULL },
	{ "discard", discard, NULL },
	{ "chargen", discard, chargen },
};

static void ended(struct bufferevent *bev, short what, void *arg)
{
	(void)arg;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		bufferevent_free(bev);
}

static void accepted(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer,
		     int length, void *base)
{
	struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

	(void)listener, (void)peer, (void)length;
	if (!bev)
		errx(EXIT_FAILURE, "bufferevent_socket_new");
	bufferevent_setcb(bev, service->read, service->write, ended, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static const struct service *find_service(const char *name)
{
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
		if (!strcmp(services[i].name, name))
			return &services[i];
	errx(64, "usage: peer-libevent echo | discard | chargen | --version");
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "--version")) {
		printf("libevent %s\n", event_get_version());
		return EXIT_SUCCESS;
	}
	service = find_service(name);
	signal(SIGPIPE, SIG_IGN);

	/* Accepted sockets inherit TCP_NODELAY: no call per connection. */
	if (setsockopt(PASSED_FD, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)))
		err(EXIT_FAILURE, "fd %d", PASSED_FD);
	evutil_make_socket_nonblocking(PASSED_FD);
	struct event_base *base = event_base_new();
	/* A backlog of 0: it listens already. */
	if (!base || !evconnlistener_new(base, accepted, base, LEV_OPT_CLOSE_ON_EXEC, 0, PASSED_FD))
		errx(EXIT_FAILURE, "set-up");
	return event_base_dispatch(base) ? EXIT_FAILURE : EXIT_SUCCESS;
}
