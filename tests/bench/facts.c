/* SPDX-License-Identifier: MIT */
/*
 * See facts.h.
 *
 * facts QUESTION
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "facts.h"
#include "util.h"

#define PATIENCE_MS 10000

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t length;
};

static struct address address_of(int fd)
{
	struct address address = { .length = sizeof(address) - sizeof(address.length) };

	if (getsockname(fd, &address.any, &address.length))
		err(EXIT_FAILURE, "getsockname");
	return address;
}

/* For AF_UNIX only the family: the kernel finds an abstract name. */
static struct address loopback(int domain, unsigned port)
{
	struct address address = { 0 };
	in_port_t net_port = htons((uint16_t)port);

	if (domain == AF_INET) {
		address.in = (struct sockaddr_in){ .sin_port = net_port };
		address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address.length = sizeof(address.in);
	} else if (domain == AF_INET6) {
		address.in6 = (struct sockaddr_in6){ .sin6_port = net_port };
		address.in6.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
		address.length = sizeof(address.in6);
	} else {
		address.length = sizeof(sa_family_t);
	}
	address.any.sa_family = (sa_family_t)domain;
	return address;
}

static int new_socket(int domain)
{
	int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(EXIT_FAILURE, "socket");
	return fd;
}

int bound_socket(int domain, unsigned port, bool reuseaddr, bool reuseport)
{
	auto_close int fd = new_socket(domain);
	struct address address = loopback(domain, port);

	if (domain != AF_UNIX) {
		set_option(fd, SOL_SOCKET, SO_REUSEADDR, reuseaddr);
		set_option(fd, SOL_SOCKET, SO_REUSEPORT, reuseport);
	}
	if (bind(fd, &address.any, address.length))
		return -errno;
	return steal_fd(&fd);
}

int new_listener(int domain, unsigned port)
{
	int fd = bound_socket(domain, port, true, false);

	if (fd < 0 || listen(fd, SOMAXCONN))
		errx(EXIT_FAILURE, "cannot listen on port %u: %s", port, strerror(-fd));
	return fd;
}

unsigned port_of(int fd)
{
	struct address address = address_of(fd);

	return ntohs(address.any.sa_family == AF_INET6 ? address.in6.sin6_port
						       : address.in.sin_port);
}

int new_client(int listener)
{
	struct address address = address_of(listener);
	auto_close int fd = new_socket(address.any.sa_family);

	if (connect(fd, &address.any, address.length))
		return -errno;
	return steal_fd(&fd);
}

bool comes(int fd, short events, int timeout_ms)
{
	struct pollfd wanted = { .fd = fd, .events = events };

	return poll(&wanted, 1, timeout_ms) == 1;
}

int accept_from(int listener)
{
	int fd = comes(listener, POLLIN, PATIENCE_MS)
			 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)
			 : -1;

	if (fd < 0)
		err(EXIT_FAILURE, "accept4");
	return fd;
}

void set_option(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)))
		err(EXIT_FAILURE, "setsockopt %d %d", level, option);
}

double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void write_setting(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		err(EXIT_FAILURE, "%s", path);
}

static const struct question {
	const char *name;
	void (*ask)(void);
} questions[] = {
	{ "inherit", fact_inherit }, { "defer", fact_defer }, { "siblings", fact_siblings },
	{ "rebind", fact_rebind },   { "ports", fact_ports }, { "dead-peer", fact_dead_peer },
	{ "calls", fact_calls },
};

static void raise_limit_of_files(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	raise_limit_of_files();
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		if (argc == 2 && strcmp(argv[1], questions[i].name) == 0) {
			questions[i].ask();
			return 0;
		}
	}
	fprintf(stderr, "usage: facts QUESTION, which is one of");
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++)
		fprintf(stderr, " %s", questions[i].name);
	fprintf(stderr, "\n");
	return 64;
}
