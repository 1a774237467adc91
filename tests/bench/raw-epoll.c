/* SPDX-License-Identifier: MIT */
/*
 * The baseline of the benchmark: the least that can echo, discard or generate over many
 * connections. One thread, one level-triggered epoll, accept4, recv, send and nothing else: no
 * timeouts, no counters, no pending output. What a send of an echo leaves behind is an error here,
 * so messages have to fit the socket buffer.
 *
 * raw-epoll [echo | discard | chargen [PORT]]: serves fd 3 when LISTEN_FDS is set, else
 * 127.0.0.1:PORT. Ends by a signal.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PASSED_FD  3
#define MAX_EVENTS 512
#define AT_ONCE    16 /* blocks of a one-way service in one turn */

static char buffer[65536];

static int listen_on(const char *port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, SOMAXCONN))
		err(EXIT_FAILURE, "127.0.0.1:%s", port);
	return fd;
}

static void watch(int epoll, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		err(EXIT_FAILURE, "epoll_ctl");
}

static void accept_one(int epoll, int listener, uint32_t events)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		watch(epoll, fd, events);
	else if (errno != EAGAIN && errno != ECONNABORTED)
		err(EXIT_FAILURE, "accept4");
}

static void echo(int fd)
{
	ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

	if (n <= 0 || send(fd, buffer, (size_t)n, MSG_NOSIGNAL) != n)
		close(fd);
}

/* A block that was not full has emptied the socket. */
static void discard(int fd)
{
	ssize_t n = sizeof(buffer);

	for (int i = 0; i < AT_ONCE && n == sizeof(buffer); i++)
		n = recv(fd, buffer, sizeof(buffer), 0);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		close(fd);
}

/* Bytes of the right number; which ones costs the same. */
static void chargen(int fd)
{
	ssize_t n = sizeof(buffer);

	for (int i = 0; i < AT_ONCE && n == sizeof(buffer); i++)
		n = send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		close(fd);
}

static const struct service {
	const char *name;
	void (*serve)(int fd);
	uint32_t events;
} services[] = {
	{ "echo", echo, EPOLLIN },
	{ "discard", discard, EPOLLIN },
	{ "chargen", chargen, EPOLLOUT },
};

static const struct service *find_service(const char *name)
{
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
		if (!strcmp(services[i].name, name))
			return &services[i];
	errx(64, "usage: raw-epoll [echo | discard | chargen [PORT]]");
}

int main(int argc, char **argv)
{
	static struct epoll_event events[MAX_EVENTS];
	const struct service *service = find_service(argc > 1 ? argv[1] : "echo");
	int listener = getenv("LISTEN_FDS") ? PASSED_FD : listen_on(argc > 2 ? argv[2] : "7777");
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	/* Accepted sockets inherit TCP_NODELAY: no call per connection. */
	if (epoll < 0 || setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)))
		err(EXIT_FAILURE, "set-up");
	watch(epoll, listener, EPOLLIN);
	for (;;) {
		int n = epoll_wait(epoll, events, MAX_EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_one(epoll, listener, service->events);
			else
				service->serve(events[i].data.fd);
		}
		if (n < 0 && errno != EINTR)
			err(EXIT_FAILURE, "epoll_wait");
	}
}
