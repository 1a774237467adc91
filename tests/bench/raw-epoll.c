/* SPDX-License-Identifier: MIT */
/*
 * The baseline of the benchmark: the least that can echo many connections. One thread, one
 * level-triggered epoll, accept4, recv, send and nothing else: no timeouts, no counters, no pending
 * output. What a send leaves behind is an error here, so messages have to fit the socket buffer.
 *
 * raw-epoll [PORT]: serves fd 3 when LISTEN_FDS is set, else 127.0.0.1:PORT. Ends by a signal.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PASSED_FD  3
#define MAX_EVENTS 512

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

static void watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		err(EXIT_FAILURE, "epoll_ctl");
}

static void accept_one(int epoll, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		watch(epoll, fd);
	else if (errno != EAGAIN && errno != ECONNABORTED)
		err(EXIT_FAILURE, "accept4");
}

static void echo(int fd)
{
	ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

	if (n <= 0 || send(fd, buffer, (size_t)n, MSG_NOSIGNAL) != n)
		close(fd);
}

int main(int argc, char **argv)
{
	static struct epoll_event events[MAX_EVENTS];
	int listener = getenv("LISTEN_FDS") ? PASSED_FD : listen_on(argc > 1 ? argv[1] : "7777");
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	/* Accepted sockets inherit TCP_NODELAY: no call per connection. */
	if (epoll < 0 || setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)))
		err(EXIT_FAILURE, "set-up");
	watch(epoll, listener);
	for (;;) {
		int n = epoll_wait(epoll, events, MAX_EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_one(epoll, listener);
			else
				echo(events[i].data.fd);
		}
		if (n < 0 && errno != EINTR)
			err(EXIT_FAILURE, "epoll_wait");
	}
}
