/* SPDX-License-Identifier: MIT */
/*
 * A TCP proxy on 127.0.0.1 that does one wrong thing, for the proof that a checker finds it. It
 * prints the port that it listens on, and serves until it is killed.
 *
 * The wrong thing is done at the byte OFFSET of the first connection that gets so far; `up` is from
 * the client to the server, `down` what comes back:
 *
 *   flip    one bit of the byte
 *   drop    the byte is left out
 *   insert  a byte in front of it, also at the end of the stream
 *   cut     the connection ends there
 *   reset   the same by a reset, for the client
 *   none    nothing
 *
 * Two threads for each connection, each with a blocking read and write; a thread ends with its
 * direction, and the connection with both.
 */
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "util.h"

static const char usage[] =
	"usage: corrupt-proxy up|down flip|drop|insert|cut|reset|none OFFSET PORT\n";

static bool wrong_up;
static enum { FLIP, DROP, INSERT, CUT, RESET, NONE } how;
static uint64_t offset;
static in_port_t server_port;
static atomic_flag is_done = ATOMIC_FLAG_INIT;

struct pair {
	int client, server;
	atomic_int directions; /* still open */
};

struct pump {
	struct pair *pair;
	bool up;
};

static bool send_all(int fd, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

		if (sent < 0)
			return false;
		bytes += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* Ends both directions; the client gets a reset when the descriptor is closed. */
static void break_off(const struct pair *pair)
{
	struct linger linger = { .l_onoff = 1 };

	if (how == CUT)
		shutdown(pair->client, SHUT_RDWR);
	else if (setsockopt(pair->client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
		err(1, "SO_LINGER");
	shutdown(pair->server, SHUT_RDWR);
}

/* Bytes of which the one at `at` is the one. False: the connection has ended. */
static bool send_wrong(const struct pump *pump, char *bytes, size_t n, size_t at)
{
	char wrong = (char)(bytes[at] ^ 1);
	int to = pump->up ? pump->pair->server : pump->pair->client;

	if (how == FLIP) {
		bytes[at] = wrong;
		return send_all(to, bytes, n);
	}
	if (!send_all(to, bytes, at))
		return false;
	if (how == DROP)
		return send_all(to, bytes + at + 1, n - at - 1);
	if (how == INSERT)
		return send_all(to, &wrong, 1) && send_all(to, bytes + at, n - at);
	break_off(pump->pair);
	return false;
}

/* Whether the wrong thing is to be done among these bytes; true once. */
static bool is_here(const struct pump *pump, uint64_t done, size_t n)
{
	return pump->up == wrong_up && offset >= done && offset - done < n &&
	       !atomic_flag_test_and_set(&is_done);
}

static void copy(const struct pump *pump)
{
	static _Thread_local char bytes[65536];
	int from = pump->up ? pump->pair->client : pump->pair->server;
	int to = pump->up ? pump->pair->server : pump->pair->client;
	uint64_t done = 0;
	bool sent = true;
	ssize_t n;

	for (; sent && (n = recv(from, bytes, sizeof(bytes), 0)) > 0; done += (size_t)n)
		sent = is_here(pump, done, (size_t)n)
			       ? send_wrong(pump, bytes, (size_t)n, (size_t)(offset - done))
			       : send_all(to, bytes, (size_t)n);
	if (sent && n == 0 && how == INSERT && is_here(pump, done, 1))
		send_all(to, bytes, 1);
}

/* The end of a direction is passed on, unless the client is to see a reset and nothing before. */
static void finish(const struct pump *pump)
{
	struct pair *pair = pump->pair;
	struct linger linger = { 0 };
	socklen_t length = sizeof(linger);

	getsockopt(pair->client, SOL_SOCKET, SO_LINGER, &linger, &length);
	if (pump->up)
		shutdown(pair->server, SHUT_WR);
	else if (!linger.l_onoff)
		shutdown(pair->client, SHUT_WR);
	else
		shutdown(pair->client, SHUT_RD);
	if (atomic_fetch_sub(&pair->directions, 1) > 1)
		return;
	close(pair->client);
	close(pair->server);
	free(pair);
}

static void *pump_run(void *argument)
{
	copy(argument);
	finish(argument);
	free(argument);
	return NULL;
}

static void start(struct pair *pair, bool up)
{
	struct pump *pump = malloc(sizeof(*pump));
	pthread_t thread;

	if (!pump)
		err(1, "malloc");
	*pump = (struct pump){ pair, up };
	errno = pthread_create(&thread, NULL, pump_run, pump);
	if (errno)
		err(1, "pthread_create");
	pthread_detach(thread);
}

static struct sockaddr_in loopback(in_port_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int connect_server(void)
{
	struct sockaddr_in address = loopback(server_port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return close_fd(fd);
	return fd;
}

static void serve(int listener)
{
	for (;;) {
		struct pair *pair = malloc(sizeof(*pair));
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0 || !pair)
			err(1, "accept");
		*pair = (struct pair){ client, connect_server(), 2 };
		if (pair->server < 0) {
			close(client);
			free(pair);
			continue;
		}
		start(pair, true);
		start(pair, false);
	}
}

static int listen_loopback(void)
{
	struct sockaddr_in address = loopback(0);
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 128) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		err(1, "listen");
	printf("%u\n", (unsigned)ntohs(address.sin_port));
	if (fflush(stdout) != 0)
		err(1, "standard output");
	return fd;
}

static bool parse(char **argv)
{
	static const char *const words[] = { "flip", "drop", "insert", "cut", "reset", "none" };

	wrong_up = strcmp(argv[1], "up") == 0;
	if (!wrong_up && strcmp(argv[1], "down") != 0)
		return false;
	while (how < ARRAY_SIZE(words) && strcmp(argv[2], words[how]) != 0)
		how++;
	offset = strtoull(argv[3], NULL, 10);
	server_port = (in_port_t)strtoul(argv[4], NULL, 10);
	if (how == NONE)
		(void)atomic_flag_test_and_set(&is_done);
	return how < ARRAY_SIZE(words) && server_port != 0;
}

int main(int argc, char **argv)
{
	if (argc != 5 || !parse(argv)) {
		fputs(usage, stderr);
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	serve(listen_loopback());
}
