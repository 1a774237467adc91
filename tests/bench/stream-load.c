/* SPDX-License-Identifier: MIT */
/*
 * Load for one-way services on 127.0.0.1, as much as goes through.
 *
 *   send     for discard: each connection sends blocks of 64 KiB
 *   receive  for chargen: what comes is dropped in the kernel, so that the server is what limits
 *
 * The window begins when the buffers on the way have filled, and ends with as much in them: bytes
 * of the client in the window are bytes of the server. With -p the processor time of that process
 * and its children is read at both ends. The result is one line of NAME=VALUE.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tree-cpu.h"

#define BLOCK      65536u
#define MAX_EVENTS 256
#define PATIENCE_S 20 /* a server that is being started */
#define WARM_UP_NS 200000000u

static struct {
	bool receive;
	uint16_t port;
	unsigned connections;
	double seconds;
	pid_t pid; /* of the server; 0: do not measure its processor time */
} opt = { .connections = 1, .seconds = 0.7 };

static char block[BLOCK];
static int epoll;
static uint64_t bytes;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int connect_once(void)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(opt.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(EXIT_FAILURE, "socket");
	if (!connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return fd;
	if (errno != ECONNREFUSED)
		err(EXIT_FAILURE, "connect");
	close(fd);
	return -1;
}

static void open_connection(void)
{
	struct epoll_event event = { .events = opt.receive ? EPOLLIN : EPOLLOUT };

	for (int i = 0; (event.data.fd = connect_once()) < 0; i++) {
		if (i == PATIENCE_S * 100)
			errx(EXIT_FAILURE, "nobody listens on port %u", opt.port);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event))
		err(EXIT_FAILURE, "epoll_ctl");
}

static void transfer(int fd)
{
	ssize_t n = opt.receive ? recv(fd, NULL, 1 << 20, MSG_TRUNC | MSG_DONTWAIT)
				: send(fd, block, BLOCK, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		errx(EXIT_FAILURE, "the server has ended a connection");
	if (n > 0)
		bytes += (uint64_t)n;
}

static void run_until(uint64_t deadline)
{
	struct epoll_event events[MAX_EVENTS];

	while (now_ns() < deadline) {
		int n = epoll_wait(epoll, events, MAX_EVENTS, PATIENCE_S * 1000);

		if (n == 0)
			errx(EXIT_FAILURE, "nothing moves");
		for (int i = 0; i < n; i++)
			transfer(events[i].data.fd);
	}
}

static void measure(void)
{
	run_until(now_ns() + WARM_UP_NS);
	uint64_t cpu = tree_cpu(opt.pid), begin = now_ns();
	bytes = 0;
	run_until(begin + (uint64_t)(opt.seconds * 1e9));
	double seconds = (double)(now_ns() - begin) / 1e9;
	cpu = tree_cpu(opt.pid) - cpu;
	printf("bytes=%" PRIu64 " seconds=%.6f cpu_ns=%" PRIu64 "\n", bytes, seconds, cpu);
}

int main(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "c:p:t:")) != -1) {
		if (c == 'c')
			opt.connections = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'p')
			opt.pid = atoi(optarg);
		else if (c == 't')
			opt.seconds = strtod(optarg, NULL);
		else
			optind = argc;
	}
	if (argc - optind != 2 || !opt.connections)
		errx(64, "usage: stream-load [-c CONNECTIONS] [-t SECONDS] [-p PID] send|receive "
			 "PORT");
	opt.receive = !strcmp(argv[optind], "receive");
	opt.port = (uint16_t)strtoul(argv[optind + 1], NULL, 10);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; i < opt.connections; i++)
		open_connection();
	measure();
	return EXIT_SUCCESS;
}
