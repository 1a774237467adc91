/* SPDX-License-Identifier: MIT */
/*
 * An echo server whose choices are on the command line, for findings.sh: how threads share the
 * listening socket, how epoll reports, what the socket options are, how an answer is written. All
 * else is the least that works: what a send() leaves behind ends the connection, so messages have
 * to fit the socket buffer.
 *
 * lab [OPTION VALUE]...: writes "ready" when it listens on 127.0.0.1, and at SIGTERM one line of
 * NAME=VALUE: the connections of each thread, and enum count.
 *
 *   --port PORT       7777
 *   --threads N       each has its own epoll and its own connections
 *   --accept HOW      shared      the listener is in each epoll: all are woken
 *                     exclusive   ... with EPOLLEXCLUSIVE
 *                     placed      ... and a connection goes to the thread that has clearly fewer
 *                     reuseport   each thread has a listener of its own
 *                     handover    the first thread accepts for all, in turn
 *   --trigger HOW     level, oneshot (armed again after each event),
 *                     edge (reads until a short read), edge-drain (reads until EAGAIN)
 *   --answer HOW      one send(), or two: two, cork (TCP_CORK around them), more (MSG_MORE),
 *                     corked (TCP_CORK on the listener, never taken away)
 *   --nodelay yes|no  TCP_NODELAY
 *   --quickack WHEN   TCP_QUICKACK after each recv(): read, or after each answer: answer
 *   --defer SECONDS   TCP_DEFER_ACCEPT
 *   --whole BYTES     answers when so much has come, 256 at most
 *   --once yes        closes after one answer, before the client does
 */
#include <arpa/inet.h>
#include <err.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "util.h"

#define MAX_THREADS 64
#define MAX_EVENTS  256
#define WHOLE_MAX   256
#define WHOLE_FDS   1024 /* descriptors of connections whose requests are collected */
#define SURPLUS     2    /* connections; below that none is placed elsewhere */

enum { SHARED, EXCLUSIVE, PLACED, REUSEPORT, HANDOVER };
enum { LEVEL, ONESHOT, EDGE, EDGE_DRAIN };
enum { ONE, TWO, CORK, MORE, CORKED };
enum { AFTER_NONE, AFTER_READ, AFTER_ANSWER };

static const char *const accept_words[] = { "shared",    "exclusive", "placed",
					    "reuseport", "handover",  NULL };
static const char *const trigger_words[] = { "level", "oneshot", "edge", "edge-drain", NULL };
static const char *const answer_words[] = { "one", "two", "cork", "more", "corked", NULL };
static const char *const quickack_words[] = { "no", "read", "answer", NULL };
static const char *const yes_words[] = { "no", "yes", NULL };

static int n_threads = 1, port = 7777;
static int accept_how, trigger, answer_how, nodelay = 1, quickack, defer, whole, once;

static const struct option_row {
	const char *name;
	int *value;
	const char *const *words; /* or NULL: a number */
	int min, max;
} option_table[] = {
	{ "--threads", &n_threads, NULL, 1, MAX_THREADS },
	{ "--accept", &accept_how, accept_words, 0, 0 },
	{ "--trigger", &trigger, trigger_words, 0, 0 },
	{ "--answer", &answer_how, answer_words, 0, 0 },
	{ "--nodelay", &nodelay, yes_words, 0, 0 },
	{ "--quickack", &quickack, quickack_words, 0, 0 },
	{ "--defer", &defer, NULL, 0, 29887 },
	{ "--whole", &whole, NULL, 0, WHOLE_MAX },
	{ "--once", &once, yes_words, 0, 0 },
	{ "--port", &port, NULL, 0, 65535 },
};

/* The calls that a thread made, and what they brought. */
enum count {
	WAITS,    /* epoll_wait() that returned events */
	ACCEPTED, /* accept4() with a connection */
	VAIN,     /* ... with EAGAIN */
	RECVS,    /* recv(), with EAGAIN too */
	SENDS,
	CONTROLS, /* epoll_ctl() beside the ADD of a connection */
	FAILURES, /* connections ended by an error */
	COUNTS
};

static const char *const count_names[COUNTS] = { "waits", "accepted", "vain",    "recvs",
						 "sends", "controls", "failures" };

struct thread {
	pthread_t id;
	int epoll, listener;
	_Atomic int open;       /* connections */
	_Atomic unsigned given; /* connections, ever */
	unsigned next;          /* thread to hand over to */
	uint64_t counts[COUNTS];
	char buffer[65536];
};

/* A request of which not all has come, by the descriptor. */
struct part {
	size_t got;
	char bytes[WHOLE_MAX];
};

static struct thread threads[MAX_THREADS];
static struct part parts[WHOLE_FDS];
static int stop_fd;

static void set_option(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)))
		err(EXIT_FAILURE, "setsockopt %d %d", level, option);
}

static int listen_on_port(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(EXIT_FAILURE, "socket");
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set_option(fd, SOL_SOCKET, SO_REUSEPORT, accept_how == REUSEPORT);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, SOMAXCONN))
		err(EXIT_FAILURE, "port %d", port);
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, nodelay);
	set_option(fd, IPPROTO_TCP, TCP_CORK, answer_how == CORKED);
	if (defer)
		set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, defer);
	return fd;
}

static void control(int epoll, int operation, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(epoll, operation, fd, &event))
		err(EXIT_FAILURE, "epoll_ctl");
}

static uint32_t connection_events(void)
{
	switch (trigger) {
	case LEVEL:
		return EPOLLIN;
	case ONESHOT:
		return EPOLLIN | EPOLLONESHOT;
	default:
		return EPOLLIN | EPOLLRDHUP | EPOLLET;
	}
}

static struct thread *fewest_of(struct thread *self)
{
	struct thread *best = self;
	int fewest = self->open - SURPLUS;

	for (int i = 0; i < n_threads; i++) {
		if (threads[i].open < fewest) {
			best = &threads[i];
			fewest = best->open;
		}
	}
	return best;
}

static struct thread *owner_of_next(struct thread *self)
{
	if (accept_how == PLACED)
		return fewest_of(self);
	if (accept_how == HANDOVER)
		return &threads[self->next++ % (unsigned)n_threads];
	return self;
}

/* One for each event: the listener is level-triggered, and an EAGAIN is a wake-up in vain. */
static void accept_one(struct thread *self)
{
	int fd = accept4(self->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno != EAGAIN && errno != ECONNABORTED)
			err(EXIT_FAILURE, "accept4");
		self->counts[VAIN]++;
		return;
	}
	struct thread *owner = owner_of_next(self);
	if (whole && fd >= WHOLE_FDS)
		errx(EXIT_FAILURE, "too many connections for --whole");
	if (whole)
		parts[fd].got = 0;
	self->counts[ACCEPTED]++;
	owner->open++;
	owner->given++;
	control(owner->epoll, EPOLL_CTL_ADD, fd, connection_events());
}

static bool send_all(struct thread *self, int fd, const char *bytes, size_t size, int flags)
{
	self->counts[SENDS]++;
	return send(fd, bytes, size, MSG_NOSIGNAL | flags) == (ssize_t)size;
}

static bool answer(struct thread *self, int fd, const char *bytes, size_t size)
{
	size_t half = answer_how == ONE || size < 2 ? size : size / 2;

	if (answer_how == CORK)
		set_option(fd, IPPROTO_TCP, TCP_CORK, 1);
	if (!send_all(self, fd, bytes, half, answer_how == MORE ? MSG_MORE : 0) ||
	    (half < size && !send_all(self, fd, bytes + half, size - half, 0)))
		return false;
	if (answer_how == CORK)
		set_option(fd, IPPROTO_TCP, TCP_CORK, 0);
	if (quickack == AFTER_ANSWER)
		set_option(fd, IPPROTO_TCP, TCP_QUICKACK, 1);
	return true;
}

static bool collect(struct thread *self, int fd, size_t size)
{
	struct part *part = &parts[fd];

	if (size > (size_t)whole - part->got)
		return false;
	memcpy(part->bytes + part->got, self->buffer, size);
	part->got += size;
	if (part->got < (size_t)whole)
		return true;
	part->got = 0;
	return answer(self, fd, part->bytes, (size_t)whole);
}

static bool take(struct thread *self, int fd, size_t size)
{
	if (quickack == AFTER_READ)
		set_option(fd, IPPROTO_TCP, TCP_QUICKACK, 1);
	return whole ? collect(self, fd, size) : answer(self, fd, self->buffer, size);
}

/* Until nothing more is to be expected. False at the end of the connection. */
static bool echo(struct thread *self, int fd, uint32_t events)
{
	ssize_t n;

	do {
		self->counts[RECVS]++;
		n = recv(fd, self->buffer, sizeof(self->buffer), 0);
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0 || (n > 0 && !take(self, fd, (size_t)n)))
			self->counts[FAILURES]++;
		else if (n > 0 && !once)
			continue;
		return false;
	} while (trigger == EDGE_DRAIN || (trigger == EDGE && events & EPOLLRDHUP) ||
		 (trigger == EDGE && n == sizeof(self->buffer)));
	return true;
}

static void serve(struct thread *self, int fd, uint32_t events)
{
	if (!echo(self, fd, events)) {
		close(fd);
		self->open--;
	} else if (trigger == ONESHOT) {
		control(self->epoll, EPOLL_CTL_MOD, fd, connection_events());
		self->counts[CONTROLS]++;
	}
}

static void *run(void *arg)
{
	struct thread *self = arg;
	struct epoll_event events[MAX_EVENTS];

	for (;;) {
		int n = epoll_wait(self->epoll, events, MAX_EVENTS, -1);

		self->counts[WAITS]++;
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == stop_fd)
				return NULL;
			if (events[i].data.fd == self->listener)
				accept_one(self);
			else
				serve(self, events[i].data.fd, events[i].events);
		}
	}
}

static void prepare(struct thread *thread, int listener)
{
	bool exclusive = accept_how == EXCLUSIVE || accept_how == PLACED;

	thread->listener = listener;
	thread->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (thread->epoll < 0)
		err(EXIT_FAILURE, "epoll_create1");
	control(thread->epoll, EPOLL_CTL_ADD, stop_fd, EPOLLIN);
	if (accept_how != HANDOVER || thread == threads)
		control(thread->epoll, EPOLL_CTL_ADD, listener,
			EPOLLIN | (exclusive ? EPOLLEXCLUSIVE : 0));
}

static void start(void)
{
	int listener = listen_on_port();

	stop_fd = eventfd(0, EFD_CLOEXEC);
	for (int i = 0; i < n_threads; i++)
		prepare(&threads[i],
			i > 0 && accept_how == REUSEPORT ? listen_on_port() : listener);
	for (int i = 0; i < n_threads; i++)
		if (pthread_create(&threads[i].id, NULL, run, &threads[i]))
			errx(EXIT_FAILURE, "pthread_create");
}

static void print_counts(void)
{
	for (int i = 0; i < n_threads; i++)
		printf("%s%u", i ? "," : "balance=", threads[i].given);
	for (int count = 0; count < COUNTS; count++) {
		uint64_t sum = 0;

		for (int i = 0; i < n_threads; i++)
			sum += threads[i].counts[count];
		printf(" %s=%" PRIu64, count_names[count], sum);
	}
	printf("\n");
}

static const struct option_row *find_option(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(option_table); i++)
		if (strcmp(name, option_table[i].name) == 0)
			return &option_table[i];
	errx(64, "there is no %s; the beginning of lab.c has the options", name);
}

static int read_value(const struct option_row *row, const char *text)
{
	char *end;

	for (int i = 0; row->words && row->words[i]; i++)
		if (strcmp(text, row->words[i]) == 0)
			return i;
	long number = strtol(text, &end, 10);
	if (row->words || !*text || *end || number < row->min || number > row->max)
		errx(64, "%s: not \"%s\"", row->name, text);
	return (int)number;
}

static void read_options(char **argv)
{
	for (; argv[0]; argv += 2) {
		const struct option_row *row = find_option(argv[0]);

		if (!argv[1])
			errx(64, "%s: a value is missing", row->name);
		*row->value = read_value(row, argv[1]);
	}
}

int main(int argc, char **argv)
{
	sigset_t signals;
	int signal;

	(void)argc;
	read_options(argv + 1);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	start();
	puts("ready");
	fflush(stdout);
	sigwait(&signals, &signal);
	eventfd_write(stop_fd, 1);
	for (int i = 0; i < n_threads; i++)
		pthread_join(threads[i].id, NULL);
	print_counts();
}
