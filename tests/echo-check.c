/* SPDX-License-Identifier: MIT */
/*
 * A client that proves an echo service byte by byte. `usage` below is the manual.
 *
 * One thread, one level-triggered epoll. Byte number `o` of connection `c` is a function of (seed,
 * c, o), so that nothing sent has to be remembered and each run with one seed sends and pauses
 * alike. A client's life: connect; talk (send up to `target` bytes, compare what comes back); then
 * either the end, or parked until all are, and talk again. Whatever should not happen ends the
 * program with one line that says which connection, where in its stream, and the seed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "list.h"
#include "util.h"

static const char usage[] =
	"usage: echo-check [--hold] [--timeout SECONDS] ADDRESS MODE [N [SEED]]\n"
	"\n"
	"ADDRESS: 127.0.0.1:80, [::1]:80 or unix:/path.\n"
	"  idle    N connections open at once; each echoes 16 bytes at the begin and at the end\n"
	"  random  N connections at once, 1 byte to 1 MiB each, with random pauses and pieces;\n"
	"          every second one half-closes as soon as it has sent all\n"
	"  churn   N short connections of 1 to 4096 bytes, 64 at a time\n"
	"  reset   as churn, but each ends by a reset\n"
	"  slow    N connections that send without reading until nothing goes out any more\n"
	"  crowd   N connections that all send 16 bytes at once; those that got them back end when\n"
	"          released, until all are done\n"
	"  urgent  as crowd, with TCP urgent data in the middle, which is no part of the stream\n"
	"  drain   N idle connections that the server has to end, each by a clean FIN\n"
	"\n"
	"Prints \"open N\" when all are open (idle, crowd, drain) or stuck (slow). With --hold it then\n"
	"waits for the end of its standard input before it goes on.\n"
	"Exit status: 0 every byte right, 1 not so, 2 usage, 3 time-out (60 s).\n";

enum {
	CHECK_WRONG = 1,
	CHECK_USAGE = 2,
	CHECK_TIMEOUT = 3,
	MESSAGE = 16,
	PIECE_MAX = 65536,
	SIZE_MAX_RANDOM = 1 << 20,
	SLOW_MAX = 256 << 20, /* more than any kernel's buffers: it has to stop before */
	SLOW_BUFFER = 65536,
	SLOW_QUIET_MS = 300,
	PAUSE_SLOTS = 32, /* one for each ms; pauses are shorter than that */
};

enum phase {
	PHASE_NEW,
	PHASE_CONNECTING,
	PHASE_TALKING,
	PHASE_PARKED,
	PHASE_ENDING, /* shut down for writing: all that is left has to come, then EOF */
	PHASE_DONE,
};

struct client {
	int fd;
	enum phase phase;
	bool half_close;
	uint32_t armed; /* epoll mask */
	uint64_t key, random;
	size_t target, sent, got;
	struct list pause;
};

struct mode {
	const char *name;
	size_t min, max; /* bytes of the first talk */
	size_t at_once;  /* connections not yet served; 0: no limit */
	bool pauses, parks, crowds, urgent, awaits_fin, resets, deaf;
};

static const struct mode modes[] = {
	{ .name = "idle", .min = MESSAGE, .max = MESSAGE, .at_once = 512, .parks = true },
	{ .name = "random", .min = 1, .max = SIZE_MAX_RANDOM, .pauses = true },
	{ .name = "churn", .min = 1, .max = 4096, .at_once = 64 },
	{ .name = "reset", .min = 1, .max = 4096, .at_once = 64, .resets = true },
	{ .name = "slow", .min = SLOW_MAX, .max = SLOW_MAX, .deaf = true },
	{ .name = "crowd", .min = MESSAGE, .max = MESSAGE, .parks = true, .crowds = true },
	{ .name = "urgent",
	  .min = MESSAGE,
	  .max = MESSAGE,
	  .parks = true,
	  .crowds = true,
	  .urgent = true },
	{ .name = "drain",
	  .min = MESSAGE,
	  .max = MESSAGE,
	  .at_once = 512,
	  .parks = true,
	  .awaits_fin = true },
};

struct check {
	const struct mode *mode;
	struct sockaddr_storage address;
	socklen_t address_length;
	struct client *clients;
	size_t n, started, connected, parked, done;
	uint64_t seed, bytes;
	int epoll_fd;
	bool hold, opened, released;
	int64_t now, progress; /* ms; progress: the last time that bytes moved */
	int64_t slot;          /* pauses up to this ms are over */
	struct list pauses[PAUSE_SLOTS];
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The finaliser of splitmix64: any counter gives good bits. */
static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t draw(struct client *client, uint64_t below)
{
	client->random += UINT64_C(0x9e3779b97f4a7c15);
	return mix(client->random) % below;
}

/* The bytes of `client` from `offset` on. */
static void fill(const struct client *client, size_t offset, unsigned char *out, size_t length)
{
	for (size_t i = 0; i < length;) {
		size_t skip = (offset + i) % 8, n = length - i < 8 - skip ? length - i : 8 - skip;
		uint64_t word = mix(client->key + (offset + i) / 8);

		memcpy(out + i, (unsigned char *)&word + skip, n);
		i += n;
	}
}

__attribute__((format(printf, 3, 4), noreturn)) static void
fail(const struct check *check, const struct client *client, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "echo-check: connection %td: ", client - check->clients);
	vfprintf(stderr, format, args);
	fprintf(stderr, " (sent %zu, got %zu of %zu; seed %" PRIu64 ")\n", client->sent,
		client->got, client->target, check->seed);
	va_end(args);
	exit(CHECK_WRONG);
}

static void arm(struct check *check, struct client *client, uint32_t mask)
{
	struct epoll_event event = { .events = mask, .data.ptr = client };

	if (client->armed == mask)
		return;
	if (epoll_ctl(check->epoll_fd, EPOLL_CTL_MOD, client->fd, &event) < 0)
		err(CHECK_WRONG, "epoll_ctl");
	client->armed = mask;
}

/* Nobody reads yet: the server is to be stopped by what it cannot send. */
static bool is_deaf(const struct check *check)
{
	return check->mode->deaf && !check->released;
}

static void arm_wanted(struct check *check, struct client *client)
{
	bool sends = client->phase == PHASE_CONNECTING ||
		     (client->phase == PHASE_TALKING && client->sent < client->target);

	arm(check, client, (is_deaf(check) ? 0 : EPOLLIN) | (sends ? EPOLLOUT : 0));
}

/* Takes no part for `ms`, less than PAUSE_SLOTS. */
static void pause_client(struct check *check, struct client *client, uint64_t ms)
{
	list_add_tail(&check->pauses[((uint64_t)check->now + ms) % PAUSE_SLOTS], &client->pause);
	arm(check, client, 0);
}

static size_t draw_size(const struct mode *mode, struct client *client, size_t index)
{
	if (index == 0 || mode->min == mode->max)
		return mode->min;
	if (index == 1)
		return mode->max;
	/* Half of them spread over the orders of magnitude, half over the range. */
	if (draw(client, 2))
		return mode->min + (size_t)draw(client, mode->max - mode->min + 1);
	return mode->min + (size_t)draw(client, (mode->max - mode->min + 1) >> draw(client, 12));
}

static void init_client(struct check *check, size_t index)
{
	struct client *client = &check->clients[index];

	client->fd = -1;
	client->key = mix(check->seed * 1000003 + index + 1);
	client->random = mix(client->key);
	client->half_close = index % 2 == 1;
	client->target = draw_size(check->mode, client, index);
	list_init(&client->pause);
}

static void open_socket(struct check *check, struct client *client)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.ptr = client };
	int size = SLOW_BUFFER;

	client->fd = socket(check->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			    0);
	if (client->fd < 0)
		err(CHECK_WRONG, "socket");
	if (check->mode->deaf) {
		setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		setsockopt(client->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	if (epoll_ctl(check->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
		err(CHECK_WRONG, "epoll_ctl");
	client->armed = event.events;
}

/* On AF_UNIX a full backlog is EAGAIN, and no event tells when there is room. */
static void connect_client(struct check *check, struct client *client)
{
	int r = connect(client->fd, (struct sockaddr *)&check->address, check->address_length);

	if (r < 0 && errno == EAGAIN) {
		pause_client(check, client, 1);
		return;
	}
	if (r < 0 && errno != EINPROGRESS)
		fail(check, client, "connect: %m");
	client->phase = PHASE_CONNECTING;
	arm_wanted(check, client);
}

static void finish_connect(struct check *check, struct client *client)
{
	int error = 0;
	socklen_t length = sizeof(error);

	getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	errno = error;
	if (error)
		fail(check, client, "connect: %m");
	client->phase = PHASE_TALKING;
	check->connected++;
}

static void end_client(struct check *check, struct client *client)
{
	struct linger abort = { .l_onoff = 1, .l_linger = 0 };

	if (check->mode->resets)
		setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
	check->bytes += client->got;
	close(client->fd);
	client->phase = PHASE_DONE;
	check->done++;
}

/* What follows from the bytes that have moved. */
static void advance(struct check *check, struct client *client)
{
	bool last_talk = !check->mode->parks || check->released;

	if (client->phase == PHASE_TALKING && client->sent == client->target && last_talk &&
	    client->half_close) {
		shutdown(client->fd, SHUT_WR);
		client->phase = PHASE_ENDING;
	}
	if (client->phase == PHASE_TALKING && client->got == client->target) {
		if (last_talk) {
			end_client(check, client);
			return;
		}
		client->phase = PHASE_PARKED;
		check->parked++;
	}
	arm_wanted(check, client);
}

static size_t draw_piece(const struct check *check, struct client *client)
{
	if (check->mode->urgent)
		return MESSAGE / 2;
	if (!check->mode->pauses)
		return PIECE_MAX;
	return 1 + (size_t)draw(client, PIECE_MAX >> draw(client, 14));
}

static void send_piece(struct check *check, struct client *client)
{
	static unsigned char piece[PIECE_MAX];
	size_t length = draw_piece(check, client);
	ssize_t n;

	if (length > client->target - client->sent)
		length = client->target - client->sent;
	fill(client, client->sent, piece, length);
	n = send(client->fd, piece, length, MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0)
		fail(check, client, "send: %m");
	client->sent += (size_t)n;
	check->progress = check->now;
	if (check->mode->deaf && client->sent == SLOW_MAX)
		fail(check, client, "the server takes all and never waits for its peer to read");
	if (check->mode->urgent && client->sent == MESSAGE / 2) {
		if (send(client->fd, "", 1, MSG_OOB | MSG_NOSIGNAL) < 0)
			fail(check, client, "send urgent data: %m");
		send_piece(check, client);
	}
}

static void at_eof(struct check *check, struct client *client)
{
	bool told = client->phase == PHASE_ENDING && client->got == client->target;
	bool drained = check->mode->awaits_fin && client->phase == PHASE_PARKED;

	if (!told && !drained)
		fail(check, client, "early end of the stream");
	end_client(check, client);
}

static void compare(const struct check *check, const struct client *client,
		    const unsigned char *got, size_t length)
{
	static unsigned char expected[PIECE_MAX];

	if (length > client->sent - client->got)
		fail(check, client, "more bytes than were sent");
	fill(client, client->got, expected, length);
	for (size_t i = 0; i < length; i++)
		if (got[i] != expected[i])
			fail(check, client, "byte %zu is 0x%02x, not 0x%02x", client->got + i,
			     got[i], expected[i]);
}

static void receive_piece(struct check *check, struct client *client)
{
	static unsigned char piece[PIECE_MAX];
	ssize_t n = recv(client->fd, piece, draw_piece(check, client), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0)
		fail(check, client, "recv: %m");
	if (n == 0) {
		at_eof(check, client);
		return;
	}
	compare(check, client, piece, (size_t)n);
	client->got += (size_t)n;
	check->progress = check->now;
}

static void handle(struct check *check, struct client *client, uint32_t events)
{
	list_del(&client->pause);
	if (client->phase == PHASE_NEW) {
		connect_client(check, client);
		return;
	}
	if (client->phase == PHASE_CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		finish_connect(check, client);
	if (client->phase == PHASE_TALKING && client->sent < client->target && events & EPOLLOUT)
		send_piece(check, client);
	if (events & (EPOLLERR | EPOLLHUP) || (events & EPOLLIN && !is_deaf(check)))
		receive_piece(check, client);
	if (client->phase == PHASE_DONE)
		return;
	advance(check, client);
	if (check->mode->pauses && client->phase != PHASE_DONE && draw(client, 8) == 0)
		pause_client(check, client, 1 + draw(client, PAUSE_SLOTS - 1));
}

static void start_clients(struct check *check)
{
	size_t served = check->mode->parks ? check->parked : check->done;

	while (check->started < check->n &&
	       (!check->mode->at_once || check->started - served < check->mode->at_once)) {
		struct client *client = &check->clients[check->started++];

		open_socket(check, client);
		connect_client(check, client);
	}
}

static void end_pauses(struct check *check)
{
	int64_t from = check->slot + 1;

	if (from < check->now - PAUSE_SLOTS + 1)
		from = check->now - PAUSE_SLOTS + 1;
	for (int64_t ms = from; ms <= check->now; ms++) {
		struct list due;

		list_take(&due, &check->pauses[ms % PAUSE_SLOTS]);
		while (!list_empty(&due)) {
			struct client *client = container_of(list_pop(&due), struct client, pause);

			if (client->phase == PHASE_NEW)
				connect_client(check, client);
			else
				arm_wanted(check, client);
		}
	}
	check->slot = check->now;
}

static bool is_open(const struct check *check)
{
	if (check->mode->deaf)
		return check->connected == check->n &&
		       check->now - check->progress >= SLOW_QUIET_MS;
	if (check->mode->crowds)
		return check->connected == check->n;
	return check->mode->parks && check->parked == check->n;
}

static void release(struct check *check)
{
	check->released = true;
	for (size_t i = 0; i < check->n; i++) {
		struct client *client = &check->clients[i];

		if (client->phase == PHASE_DONE || check->mode->awaits_fin)
			continue;
		if (check->mode->deaf)
			client->target = client->sent;
		else if (client->phase == PHASE_PARKED && !check->mode->crowds)
			client->target += MESSAGE;
		if (client->phase == PHASE_PARKED)
			client->phase = PHASE_TALKING;
		if (client->phase == PHASE_TALKING)
			advance(check, client);
	}
}

/* "open N" for whoever waits for it, then on when standard input says so. */
static void look_around(struct check *check)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

	if (!check->opened && is_open(check)) {
		size_t sent = 0;

		check->opened = true;
		for (size_t i = 0; i < check->n; i++)
			sent += check->clients[i].sent;
		printf("open %zu, %zu bytes sent\n", check->n, sent);
		fflush(stdout);
	}
	if (check->opened && !check->released && (!check->hold || poll(&input, 1, 0) != 0))
		release(check);
}

__attribute__((noreturn)) static void time_out(const struct check *check)
{
	static const char *const names[] = { "not connected", "connecting", "talking",
					     "parked",        "ending",     "done" };

	fprintf(stderr, "echo-check: time-out: %zu of %zu done, %zu connected (seed %" PRIu64 ")\n",
		check->done, check->n, check->connected, check->seed);
	for (size_t i = 0, shown = 0; i < check->started && shown < 5; i++) {
		const struct client *client = &check->clients[i];

		if (client->phase == PHASE_DONE)
			continue;
		fprintf(stderr, "echo-check: connection %zu: %s, sent %zu, got %zu of %zu\n", i,
			names[client->phase], client->sent, client->got, client->target);
		shown++;
	}
	exit(CHECK_TIMEOUT);
}

static void run(struct check *check, int64_t deadline)
{
	while (check->done < check->n) {
		struct epoll_event events[256];
		int n;

		check->now = now_ms();
		if (check->now >= deadline)
			time_out(check);
		end_pauses(check);
		start_clients(check);
		look_around(check);
		n = epoll_wait(check->epoll_fd, events, ARRAY_SIZE(events),
			       check->mode->pauses || check->connected < check->n ? 1 : 10);
		for (int i = 0; i < n; i++)
			handle(check, events[i].data.ptr, events[i].events);
	}
}

static int parse_address(struct check *check, char *text)
{
	struct sockaddr_un *path = (struct sockaddr_un *)&check->address;
	struct addrinfo *found,
		hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	char *colon = strrchr(text, ':');

	if (strncmp(text, "unix:", 5) == 0) {
		path->sun_family = AF_UNIX;
		check->address_length = sizeof(*path);
		if (strlen(text + 5) >= sizeof(path->sun_path))
			return -ENAMETOOLONG;
		strcpy(path->sun_path, text + 5);
		return 0;
	}
	if (!colon)
		return -EINVAL;
	*colon = '\0';
	if (*text == '[' && colon > text && colon[-1] == ']') {
		text++;
		colon[-1] = '\0';
	}
	if (getaddrinfo(text, colon + 1, &hints, &found) != 0)
		return -EINVAL;
	memcpy(&check->address, found->ai_addr, found->ai_addrlen);
	check->address_length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static void raise_nofile(const struct check *check)
{
	size_t at_once = check->mode->parks ? 0 : check->mode->at_once;
	size_t n = at_once && at_once < check->n ? at_once : check->n;
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < n + 16)
		errx(CHECK_USAGE, "%zu connections do not fit into a limit of %ju files", n,
		     (uintmax_t)limit.rlim_max);
}

static void init(struct check *check)
{
	raise_nofile(check);
	check->clients = calloc(check->n, sizeof(*check->clients));
	check->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!check->clients || check->epoll_fd < 0)
		err(CHECK_USAGE, "start");
	for (size_t i = 0; i < check->n; i++)
		init_client(check, i);
	for (size_t i = 0; i < PAUSE_SLOTS; i++)
		list_init(&check->pauses[i]);
	check->slot = check->progress = now_ms();
}

static const struct mode *find_mode(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "hold", no_argument, NULL, 'h' },
						 { "timeout", required_argument, NULL, 't' },
						 { 0 } };
	struct check check = { .n = 1, .seed = 1 };
	int64_t timeout = 60;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h')
			check.hold = true;
		else if (option == 't')
			timeout = strtol(optarg, NULL, 10);
		else
			break;
	}
	if (argc - optind >= 2)
		check.mode = find_mode(argv[optind + 1]);
	if (argc - optind >= 3)
		check.n = strtoul(argv[optind + 2], NULL, 10);
	if (argc - optind >= 4)
		check.seed = strtoull(argv[optind + 3], NULL, 10);
	if (option != -1 || !check.mode || check.n == 0 || argc - optind > 4 ||
	    parse_address(&check, argv[optind]) < 0) {
		fputs(usage, stderr);
		return CHECK_USAGE;
	}
	init(&check);
	run(&check, now_ms() + timeout * 1000);
	printf("%zu connections, %" PRIu64 " bytes, all right\n", check.n, check.bytes);
	free(check.clients);
	return 0;
}
