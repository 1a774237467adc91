/* SPDX-License-Identifier: MIT */
/*
 * A closed-loop load generator for an echo service on 127.0.0.1: each connection has one message on
 * its way and sends the next when it has all of the echo. Each echoed byte is compared.
 *
 *   echo   connections stay; a request is one message there and back
 *   churn  a request is connect, one message there and back, close by the client
 *   idle   one message over each connection, prints "ready", holds them until stdin has a line
 *          or ends
 *
 * Set-up and tear-down lie outside the measured window; it ends when the last message has come
 * home. With -p the processor time of that process and its children is read at both ends of the
 * window. The result is one line of NAME=VALUE.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tree-cpu.h"

#define MAX_MESSAGE  65536u
#define PATTERN_SIZE (1u << 20)
#define MAX_EVENTS   256
#define PATIENCE_S   20 /* a server that is being started, perhaps under valgrind */
#define SOURCES      64u

/* The latency histogram: 100 ns each, up to 100 ms. */
#define BUCKET_NS 100u
#define BUCKETS   1000000u

struct conn {
	int fd;
	size_t sent, got;
	const char *message; /* a place in the pattern */
	uint64_t start;
};

static struct {
	bool churn, idle;
	uint16_t port;
	unsigned connections;
	size_t size;
	double seconds;
	uint64_t requests; /* 0: as many as fit in seconds */
	pid_t pid;         /* of the server; 0: do not measure its processor time */
} opt = { .connections = 1, .size = 64, .seconds = 0.7 };

static char pattern[PATTERN_SIZE + MAX_MESSAGE], buffer[MAX_MESSAGE];
static struct conn *conns;
static int epoll;
static bool stopping;
static unsigned active; /* connections with a message on its way */
static uint64_t started, completed, errors, source;
static uint32_t histogram[BUCKETS];

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t random_next(void)
{
	static uint64_t x = 0x9e3779b97f4a7c15u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void count_echo(uint64_t ns)
{
	uint64_t bucket = ns / BUCKET_NS;

	histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
	completed++;
}

static double percentile_us(double part)
{
	uint64_t sum = histogram[0], wanted = (uint64_t)((double)completed * part);
	unsigned i = 0;

	while (i < BUCKETS - 1 && sum <= wanted)
		sum += histogram[++i];
	return i * (BUCKET_NS / 1e3);
}

/*
 * A blocking connect: on loopback the handshake is over when the call returns. Churn spreads over
 * many source addresses, for a closed connection keeps its port for a minute.
 */
static int connect_once(void)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(opt.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	uint32_t n = (uint32_t)(source++ % SOURCES);
	struct sockaddr_in from = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(0x7f000000u | (n % 8 + 1) << 8 | (n / 8 + 1)),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(EXIT_FAILURE, "socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)))
		err(EXIT_FAILURE, "bind");
	if (!connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return fd;
	if (errno != ECONNREFUSED)
		err(EXIT_FAILURE, "connect");
	close(fd);
	return -1;
}

static void open_conn(struct conn *c)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = c,
	};

	for (int i = 0; (c->fd = connect_once()) < 0; i++) {
		if (i == PATIENCE_S * 100)
			errx(EXIT_FAILURE, "nobody listens on port %u", opt.port);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event))
		err(EXIT_FAILURE, "epoll_ctl");
}

static void close_conn(struct conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/* Sends what the socket takes; false when the connection is broken. */
static bool send_rest(struct conn *c)
{
	ssize_t n = send(c->fd, c->message + c->sent, opt.size - c->sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN;
	c->sent += (size_t)n;
	return true;
}

static bool begin_message(struct conn *c)
{
	c->message = pattern + random_next() % PATTERN_SIZE;
	c->sent = c->got = 0;
	c->start = now_ns();
	return send_rest(c);
}

/* Takes what has come; false on the end of the stream, an error or a wrong byte. */
static bool receive(struct conn *c, int flags)
{
	ssize_t n = recv(c->fd, buffer, opt.size - c->got, flags);

	if (n < 0)
		return errno == EAGAIN && flags & MSG_DONTWAIT;
	if (n == 0 || memcmp(buffer, c->message + c->got, (size_t)n) != 0)
		return false;
	c->got += (size_t)n;
	return true;
}

/* The next request of a connection that is at rest, unless enough have been started. */
static void next_request(struct conn *c)
{
	if (stopping || (opt.requests && started == opt.requests))
		return;
	if (opt.churn)
		open_conn(c);
	if (c->fd < 0)
		return;
	started++;
	if (begin_message(c)) {
		active++;
	} else {
		errors++;
		close_conn(c);
	}
}

static void handle_event(struct conn *c)
{
	if (c->fd < 0 || !c->message || c->got == opt.size)
		return;
	bool ok = receive(c, MSG_DONTWAIT);
	if (ok && c->sent < opt.size)
		ok = send_rest(c);
	if (ok && c->got < opt.size)
		return;
	active--;
	if (ok)
		count_echo(now_ns() - c->start);
	errors += !ok;
	if (!ok || opt.churn)
		close_conn(c);
	next_request(c);
}

static void poll_once(void)
{
	struct epoll_event events[MAX_EVENTS];
	int n = epoll_wait(epoll, events, MAX_EVENTS, PATIENCE_S * 1000);

	if (n == 0)
		errx(EXIT_FAILURE, "%u echoes are missing", active);
	for (int i = 0; i < n; i++)
		handle_event(events[i].data.ptr);
}

/* Opens all connections at once and sees one echo over each: the server has accepted them all. */
static void set_up(void)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (char)random_next();
	conns = calloc(opt.connections, sizeof(*conns));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!conns || epoll < 0)
		err(EXIT_FAILURE, "set-up");
	for (unsigned i = 0; i < opt.connections; i++) {
		conns[i].fd = -1;
		if (opt.churn)
			continue;
		open_conn(&conns[i]);
		setsockopt(conns[i].fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (!begin_message(&conns[i]))
			err(EXIT_FAILURE, "send");
	}
	for (struct conn *c = conns; c < conns + opt.connections && !opt.churn; c++)
		while (c->got < opt.size)
			if (!receive(c, 0) || (c->sent < opt.size && !send_rest(c)))
				errx(EXIT_FAILURE, "wrong echo, or none");
}

static void measure(void)
{
	uint64_t cpu = tree_cpu(opt.pid);
	uint64_t begin = now_ns(), end, deadline = begin + (uint64_t)(opt.seconds * 1e9);

	for (unsigned i = 0; i < opt.connections; i++)
		next_request(&conns[i]);
	while (active) {
		poll_once();
		if (!opt.requests && now_ns() >= deadline)
			stopping = true;
	}
	end = now_ns();
	/* The server has work after its last send: from rest to rest. */
	nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	cpu = tree_cpu(opt.pid) - cpu;
	printf("requests=%" PRIu64 " seconds=%.6f p50_us=%.1f p99_us=%.1f errors=%" PRIu64
	       " cpu_ns=%" PRIu64 "\n",
	       completed, (double)(end - begin) / 1e9, percentile_us(0.5), percentile_us(0.99),
	       errors, cpu);
}

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "c:n:p:s:t:")) != -1) {
		if (c == 'c')
			opt.connections = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'n')
			opt.requests = strtoull(optarg, NULL, 10);
		else if (c == 'p')
			opt.pid = atoi(optarg);
		else if (c == 's')
			opt.size = strtoul(optarg, NULL, 10);
		else if (c == 't')
			opt.seconds = strtod(optarg, NULL);
		else
			optind = argc;
	}
	if (argc - optind != 2 || !opt.connections || !opt.size || opt.size > MAX_MESSAGE)
		errx(64, "usage: echo-load [-c CONNECTIONS] [-s BYTES] [-t SECONDS | -n REQUESTS] "
			 "[-p PID] echo|churn|idle PORT");
	opt.churn = !strcmp(argv[optind], "churn");
	opt.idle = !strcmp(argv[optind], "idle");
	opt.port = (uint16_t)strtoul(argv[optind + 1], NULL, 10);
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	set_up();
	if (!opt.idle) {
		measure();
	} else {
		puts("ready");
		fflush(stdout);
		getchar();
	}
	for (unsigned i = 0; i < opt.connections; i++)
		close_conn(&conns[i]);
	return errors ? EXIT_FAILURE : EXIT_SUCCESS;
}
