/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets: how long TCP_DEFER_ACCEPT keeps a client back, what becomes of the backlog
 * when a sibling closes, and when an address can be bound again.
 */
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "facts.h"
#include "util.h"

#define NOBODY  65534
#define CLIENTS 64

/* ---- TCP_DEFER_ACCEPT */

enum deed { SAYS_NOTHING, SAYS_A_BYTE, CLOSES, RESETS };

static const struct defer_case {
	int seconds;
	enum deed deed;
	const char *text;
} defer_cases[] = {
	{ 0, SAYS_NOTHING, "connects, says nothing" },
	{ 1, SAYS_NOTHING, "connects, says nothing" },
	{ 2, SAYS_NOTHING, "connects, says nothing" },
	{ 4, SAYS_NOTHING, "connects, says nothing" },
	{ 8, SAYS_NOTHING, "connects, says nothing" },
	{ 8, SAYS_A_BYTE, "connects, sends a byte" },
	{ 8, CLOSES, "connects, closes" },
	{ 8, RESETS, "connects, resets" },
};

#define DEFER_CASES   ARRAY_SIZE(defer_cases)
#define DEFER_LIMIT_S 17

static int defer_client(int listener, const struct defer_case *one)
{
	int fd = new_client(listener);

	if (fd < 0)
		err(EXIT_FAILURE, "connect");
	switch (one->deed) {
	case SAYS_NOTHING:
		return fd;
	case SAYS_A_BYTE:
		send(fd, "x", 1, MSG_NOSIGNAL);
		return fd;
	case RESETS:
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
			   sizeof(struct linger));
		break;
	case CLOSES:
		break;
	}
	return close_fd(fd);
}

static void print_defer(int listener, const struct defer_case *one, double accepted_after)
{
	int rounded;
	socklen_t length = sizeof(rounded);

	getsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &rounded, &length);
	printf("| %d | %d | %s | ", one->seconds, rounded, one->text);
	if (accepted_after < 0)
		printf("not within %d s |\n", DEFER_LIMIT_S);
	else
		printf("after %.2f s |\n", accepted_after);
}

/* All at the same time. */
void fact_defer(void)
{
	struct pollfd listeners[DEFER_CASES];
	int clients[DEFER_CASES];
	double start[DEFER_CASES], after[DEFER_CASES], end = now() + DEFER_LIMIT_S;

	for (size_t i = 0; i < DEFER_CASES; i++) {
		listeners[i] = (struct pollfd){ .fd = new_listener(AF_INET, 0), .events = POLLIN };
		set_option(listeners[i].fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, defer_cases[i].seconds);
		start[i] = now();
		after[i] = -1;
		clients[i] = defer_client(listeners[i].fd, &defer_cases[i]);
	}
	while (now() < end) {
		poll(listeners, DEFER_CASES, 100);
		for (size_t i = 0; i < DEFER_CASES; i++) {
			if (after[i] < 0 && listeners[i].revents) {
				after[i] = now() - start[i];
				listeners[i].events = 0;
			}
		}
	}
	printf("| TCP_DEFER_ACCEPT set | read back | client | accepted |\n|---|---|---|---|\n");
	for (size_t i = 0; i < DEFER_CASES; i++) {
		print_defer(listeners[i].fd, &defer_cases[i], after[i]);
		close_fd(listeners[i].fd);
		close_fd(clients[i]);
	}
}

/* ---- siblings: several sockets that listen on one address */

/* How many connections the backlog still has for accept(). */
static unsigned backlog_of(int listener)
{
	unsigned count = 0;

	while (comes(listener, POLLIN, 0)) {
		close_fd(accept_from(listener));
		count++;
	}
	return count;
}

static unsigned count_reset(const int *clients)
{
	unsigned count = 0;

	for (size_t i = 0; i < CLIENTS; i++) {
		int error = 0;
		socklen_t length = sizeof(error);

		getsockopt(clients[i], SOL_SOCKET, SO_ERROR, &error, &length);
		count += error == ECONNRESET;
	}
	return count;
}

/* Clients wait in the backlogs; one of the two sockets is closed. */
static void close_one(const char *text, int first, int second, const char *migrate)
{
	int clients[CLIENTS];

	write_setting("tcp_migrate_req", migrate);
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = new_client(first);
		if (clients[i] < 0)
			err(EXIT_FAILURE, "connect");
	}
	close_fd(second);
	unsigned reset = count_reset(clients);
	printf("| %s, tcp_migrate_req = %s | %d | %u | %u |\n", text, migrate, CLIENTS, reset,
	       backlog_of(first));
	close_fd(first);
	for (size_t i = 0; i < CLIENTS; i++)
		close_fd(clients[i]);
}

static int sibling(unsigned port)
{
	int fd = bound_socket(AF_INET, port, true, true);

	if (fd < 0 || listen(fd, SOMAXCONN))
		errx(EXIT_FAILURE, "no sibling on port %u: %s", port, strerror(-fd));
	return fd;
}

void fact_siblings(void)
{
	printf("| one of two sockets is closed | waiting | reset | still accepted |\n"
	       "|---|---|---|---|\n");
	int first = sibling(0);
	close_one("SO_REUSEPORT siblings", first, sibling(port_of(first)), "0");
	first = sibling(0);
	close_one("SO_REUSEPORT siblings", first, sibling(port_of(first)), "1");
	first = new_listener(AF_INET, 0);
	close_one("one socket, held twice as by systemd and the service", first, dup(first), "0");
}

/* ---- SO_REUSEADDR and SO_REUSEPORT: who may bind */

static void print_bind(const char *before, const char *option, int fd)
{
	printf("| %s | %s | %s |\n", before, option, fd < 0 ? strerror(-fd) : "bound");
	if (fd > 0)
		close_fd(fd);
}

/* A port with a connection in TIME_WAIT, and nobody who listens. */
static unsigned port_in_time_wait(bool reuseaddr)
{
	auto_close int listener = bound_socket(AF_INET, 0, reuseaddr, false);

	if (listener < 0 || listen(listener, 1))
		err(EXIT_FAILURE, "listen");
	auto_close int client = new_client(listener);
	auto_close int accepted = accept_from(listener);
	shutdown(accepted, SHUT_WR);
	comes(client, POLLIN, -1);
	close_fd(steal_fd(&client));
	comes(accepted, POLLIN, -1);
	return port_of(listener);
}

/* What bind() says in a child that is another user: 0 or -errno. A user namespace may have none. */
static int bind_as_nobody(unsigned port)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		int fd = setuid(NOBODY) ? -errno : bound_socket(AF_INET, port, true, true);
		_exit(fd < 0 ? -fd : 0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		err(EXIT_FAILURE, "child");
	return -WEXITSTATUS(status);
}

void fact_rebind(void)
{
	printf("| what has the port | second socket | its bind() |\n|---|---|---|\n");
	unsigned port = port_in_time_wait(true);
	print_bind("TIME_WAIT, old socket with SO_REUSEADDR", "plain",
		   bound_socket(AF_INET, port, false, false));
	print_bind("TIME_WAIT, old socket with SO_REUSEADDR", "SO_REUSEADDR",
		   bound_socket(AF_INET, port, true, false));
	print_bind("TIME_WAIT, old socket without it", "SO_REUSEADDR",
		   bound_socket(AF_INET, port_in_time_wait(false), true, false));

	auto_close int listener = new_listener(AF_INET, 0);
	print_bind("a listener with SO_REUSEADDR", "SO_REUSEADDR",
		   bound_socket(AF_INET, port_of(listener), true, false));
	set_option(listener, SOL_SOCKET, SO_REUSEPORT, 1);
	print_bind("a listener, SO_REUSEPORT set after listen()", "SO_REUSEPORT",
		   bound_socket(AF_INET, port_of(listener), false, true));
	int other = bind_as_nobody(port_of(listener));
	if (other == -EINVAL)
		printf("| a listener with SO_REUSEPORT, of another user | | not tried |\n");
	else
		print_bind("a listener with SO_REUSEPORT, of another user", "SO_REUSEPORT", other);
}
