/* SPDX-License-Identifier: MIT */
/*
 * The other end: when a connection ends whose peer is dead, and how many connections one host can
 * make to one address.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "facts.h"
#include "util.h"

/* ---- a dead peer */

static const struct dead_case {
	int idle, interval, count; /* of keepalive; 0: off */
	int user_timeout;          /* ms; 0: off */
	bool unacknowledged;       /* the server has sent what nobody acknowledges */
} dead_cases[] = {
	{ .unacknowledged = false },
	{ .idle = 1, .interval = 1, .count = 3 },
	{ .idle = 2, .interval = 1, .count = 5 },
	{ .idle = 1, .interval = 1, .count = 3, .unacknowledged = true },
	{ .user_timeout = 3000 },
	{ .user_timeout = 3000, .unacknowledged = true },
	{ .idle = 1, .interval = 1, .count = 3, .user_timeout = 8000 },
	{ .idle = 1, .interval = 1, .count = 8, .user_timeout = 3000 },
	{ .idle = 1, .interval = 1, .count = 3, .user_timeout = 8000, .unacknowledged = true },
};

#define DEAD_CASES   ARRAY_SIZE(dead_cases)
#define DEAD_LIMIT_S 20

/* The options stand on the listener, which hands them down. */
static int dead_listener(const struct dead_case *one)
{
	int fd = new_listener(AF_INET, 0);

	if (one->idle) {
		set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
		set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, one->idle);
		set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, one->interval);
		set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, one->count);
	}
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, one->user_timeout);
	return fd;
}

/*
 * The client drops all packets whose time to live is below 255, which is all: it is as if it had
 * lost its power, and no reset tells the server.
 */
static int connection_to_the_dead(const struct dead_case *one, int *ret_client)
{
	auto_close int listener = dead_listener(one);
	int accepted;

	*ret_client = new_client(listener);
	if (*ret_client < 0)
		err(EXIT_FAILURE, "connect");
	accepted = accept_from(listener);
	set_option(*ret_client, IPPROTO_IP, IP_MINTTL, 255);
	if (one->unacknowledged && send(accepted, "x", 1, MSG_NOSIGNAL) != 1)
		err(EXIT_FAILURE, "send");
	return accepted;
}

static void print_dead(const struct dead_case *one, int fd, double after)
{
	int error = 0;
	socklen_t length = sizeof(error);

	printf("| ");
	if (one->idle)
		printf("keepidle %d, intvl %d, cnt %d%s", one->idle, one->interval, one->count,
		       one->user_timeout ? ", " : "");
	if (one->user_timeout)
		printf("user_timeout %d ms", one->user_timeout);
	if (!one->idle && !one->user_timeout)
		printf("none");
	printf(" | %s | ", one->unacknowledged ? "yes" : "no");
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (after < 0)
		printf("not within %d s |\n", DEAD_LIMIT_S);
	else
		printf("after %.1f s, %s |\n", after, strerrorname_np(error));
}

/* All at the same time. */
void fact_dead_peer(void)
{
	struct pollfd fds[DEAD_CASES];
	int clients[DEAD_CASES];
	double start[DEAD_CASES], after[DEAD_CASES], end = now() + DEAD_LIMIT_S;

	for (size_t i = 0; i < DEAD_CASES; i++) {
		fds[i].fd = connection_to_the_dead(&dead_cases[i], &clients[i]);
		fds[i].events = 0;
		start[i] = now();
		after[i] = -1;
	}
	while (now() < end) {
		poll(fds, DEAD_CASES, 100);
		for (size_t i = 0; i < DEAD_CASES; i++) {
			if (after[i] < 0 && fds[i].revents) {
				after[i] = now() - start[i];
				fds[i].fd = ~fds[i].fd;
			}
		}
	}
	printf("| options | data unacknowledged | the server is told |\n|---|---|---|\n");
	for (size_t i = 0; i < DEAD_CASES; i++) {
		int fd = fds[i].fd < 0 ? ~fds[i].fd : fds[i].fd;

		print_dead(&dead_cases[i], fd, after[i]);
		close_fd(fd);
		close_fd(clients[i]);
	}
}

/* ---- local ports */

#define PORT_RANGE  "40000 40999"
#define MOST        5000
#define BIND_ALWAYS 1 /* bind() chooses the port */
#define BIND_LATE   2 /* IP_BIND_ADDRESS_NO_PORT: connect() does */

static struct sockaddr_in loopback_address(unsigned last, unsigned port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + last),
	};
}

/* -1 when there is no port left. */
static int connect_from(unsigned source, unsigned port, int how)
{
	struct sockaddr_in from = loopback_address(source, 0), to = loopback_address(1, port);
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(EXIT_FAILURE, "socket");
	set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, how == BIND_LATE);
	if ((how && bind(fd, (struct sockaddr *)&from, sizeof(from))) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		if (errno != EADDRNOTAVAIL && errno != EADDRINUSE)
			err(EXIT_FAILURE, "connect");
		return -1;
	}
	return steal_fd(&fd);
}

struct pairs {
	unsigned count;
	int clients[MOST], accepted[MOST];
};

/* As many connections as there can be, from each source to each target. */
static void fill(struct pairs *pairs, unsigned sources, unsigned targets, int how)
{
	unsigned source = 1, target = 0;
	int listeners[2] = { new_listener(AF_INET, 7001), new_listener(AF_INET, 7002) };

	pairs->count = 0;
	while (source <= sources && pairs->count < MOST) {
		int fd = connect_from(source, 7001 + target, how);

		if (fd >= 0) {
			pairs->clients[pairs->count] = fd;
			pairs->accepted[pairs->count++] = accept_from(listeners[target]);
		} else if (++target == targets) {
			target = 0;
			source++;
		}
	}
	close_fd(listeners[0]);
	close_fd(listeners[1]);
}

static void close_all(const int *first, const int *second, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		close_fd(first[i]);
		close_fd(second[i]);
	}
}

/* By resets, which leave nothing behind. */
static void reset_all(struct pairs *pairs)
{
	struct linger at_once = { .l_onoff = 1 };

	for (unsigned i = 0; i < pairs->count; i++)
		setsockopt(pairs->clients[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close_all(pairs->clients, pairs->accepted, pairs->count);
}

static void count_ports(const char *text, unsigned sources, unsigned targets, int how)
{
	static struct pairs pairs;

	fill(&pairs, sources, targets, how);
	reset_all(&pairs);
	printf("| %s | %u |\n", text, pairs.count);
}

static void count_again(const char *text, const char *reuse, bool client_first, unsigned wait_ms)
{
	static struct pairs pairs;

	write_setting("tcp_tw_reuse", "0");
	fill(&pairs, 1, 1, 0);
	if (client_first)
		close_all(pairs.clients, pairs.accepted, pairs.count);
	else
		close_all(pairs.accepted, pairs.clients, pairs.count);
	write_setting("tcp_tw_reuse", reuse);
	usleep(wait_ms * 1000);
	count_ports(text, 1, 1, 0);
}

void fact_ports(void)
{
	write_setting("ip_local_port_range", PORT_RANGE);
	printf("| with 1000 local ports | connections |\n|---|---|\n");
	count_ports("1 source, 1 target", 1, 1, 0);
	count_ports("4 sources, 1 target", 4, 1, BIND_LATE);
	count_ports("1 source, 2 targets", 1, 2, 0);
	count_ports("1 source, bound, 2 targets", 1, 2, BIND_ALWAYS);
	count_ports("1 source, bound with IP_BIND_ADDRESS_NO_PORT, 2 targets", 1, 2, BIND_LATE);
	count_again("again, after the server closed 1000 first", "0", false, 0);
	write_setting("ip_local_port_range", "41000 41999");
	count_again("again, after the client closed 1000 first", "0", true, 0);
	write_setting("ip_local_port_range", "42000 42999");
	count_again("the same after 1.2 s, tcp_tw_reuse = 0", "0", true, 1200);
	write_setting("ip_local_port_range", "43000 43999");
	count_again("the same after 1.2 s, tcp_tw_reuse = 1", "1", true, 1200);
}
