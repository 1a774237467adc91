/* SPDX-License-Identifier: MIT */
/*
 * The good client, and the bad ones that are not to disturb it. `usage` below is the manual.
 *
 * One thread, one level-triggered epoll. A bad client is what its options make of it: what it sends
 * and how fast, whether it reads, how it ends. The good one measures how long each answer takes; at
 * the same moments it has a child of its own answer by a pipe, which tells what the machine alone
 * takes just then.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "util.h"

static const char usage[] =
	"usage: abuse-client [OPTION...] ADDRESS good\n"
	"       abuse-client [OPTION...] ADDRESS bad [N]\n"
	"\n"
	"ADDRESS: 127.0.0.1:80, [::1]:80 or unix:/path.\n"
	"  --from ADDRESS   what to connect from, without a port\n"
	"  --sources N      ... and the N-1 addresses after it, in turn\n"
	"\n"
	"good: 20 round trips of 16 bytes a second on one connection, and each 250 ms a new one with a\n"
	"round trip and a half-close. Prints \"open\" after the first answer, goes on until its standard\n"
	"input ends, then prints what it saw. Exit status 1 if anything went wrong.\n"
	"  --p99 MS         4 if the 99th percentile is worse than that and worse than twice that of a\n"
	"                   pipe in the same time\n"
	"\n"
	"bad: N connections (1).\n"
	"  --rate N         so many new ones a second; else all at once\n"
	"  --send BYTES     each sends so much as soon as it can\n"
	"  --drip MS        ... one byte each MS\n"
	"  --deaf           never reads, and has a small receive buffer\n"
	"  --half-close     shuts down for writing when all is sent\n"
	"  --reset          ends by a reset when all is sent\n"
	"  --close          ends when as much has come as was sent\n"
	"  --late           reads nothing before standard input ends\n"
	"  --hold           leaves off when standard input ends, else when all have ended\n"
	"Prints \"open\" when each is connected or has failed (--deaf: and nothing moves any more), and at\n"
	"the end done=N (ended by themselves) fin=N reset=N (by the server) failed=N (to connect) open=N\n"
	"in=BYTES out=BYTES min_ms=N max_ms=N (from the connect to the end by the server; 0 for none).\n"
	"Exit status: 0, 2 usage, 3 after 30 s.\n";

enum {
	ABUSE_BAD = 1,
	ABUSE_USAGE = 2,
	ABUSE_TIMEOUT = 3,
	ABUSE_SLOW = 4,
	TIMEOUT_MS = 30000,
	TICK_MS = 5,
	MESSAGE = 16,
	BEAT_MS = 50,    /* the good client's round trips */
	VISIT_BEATS = 5, /* of these each has a new connection as well */
	SAMPLES = 32768,
	DEAF_BUFFER = 4096,
	DEAF_QUIET_MS = 300,
};

enum state { NEW, CONNECTING, OPEN, DONE, FIN, RESET, FAILED, STATES };

struct client {
	int fd;
	enum state state;
	uint32_t armed; /* epoll mask */
	int64_t began;  /* us */
	int64_t due;    /* us: when to send again */
	size_t want, out, in;
	bool shut;
};

struct samples {
	unsigned n;
	uint32_t us[SAMPLES];
};

struct options {
	struct sockaddr_storage address, from;
	socklen_t address_length, from_length;
	unsigned sources, n, rate;
	size_t send;
	int64_t drip_us;
	double p99_ms;
	bool deaf, half_close, reset, close, late, hold;
};

struct abuse {
	struct options options;
	int epoll_fd;
	int64_t now, began, progress; /* us */
	struct client *clients;
	unsigned n, started;
	unsigned count[STATES];
	uint64_t in, out;
	int64_t min_us, max_us;
	bool told, released;
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static bool input_ended(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&input, 1, 0) != 0;
}

static void tell_open(void)
{
	puts("open");
	fflush(stdout);
}

/* ---- one connection ---- */

/* The `index`th of the sources: consecutive addresses. */
static void bind_source(const struct options *options, int fd, unsigned index)
{
	struct sockaddr_storage from = options->from;
	struct sockaddr_in *in = (struct sockaddr_in *)&from;
	int on = 1;

	if (!options->from_length)
		return;
	if (from.ss_family == AF_INET)
		in->sin_addr.s_addr = htonl(ntohl(in->sin_addr.s_addr) + index % options->sources);
	/* The port is chosen by connect(), which knows that a port may serve several peers. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&from, options->from_length) < 0)
		err(ABUSE_USAGE, "bind");
}

static void arm(struct abuse *abuse, struct client *client)
{
	bool deaf = abuse->options.deaf || (abuse->options.late && !abuse->released);
	bool sends = client->state == CONNECTING ||
		     (client->state == OPEN && client->out < client->want && !client->due);
	uint32_t mask = (deaf ? 0 : EPOLLIN) | (sends ? EPOLLOUT : 0);
	struct epoll_event event = { .events = mask, .data.ptr = client };

	if (client->armed != mask &&
	    epoll_ctl(abuse->epoll_fd, EPOLL_CTL_MOD, client->fd, &event) < 0)
		err(ABUSE_USAGE, "epoll_ctl");
	client->armed = mask;
}

static void enter(struct abuse *abuse, struct client *client, enum state state)
{
	abuse->count[client->state]--;
	client->state = state;
	abuse->count[state]++;
	abuse->progress = abuse->now;
}

static void end(struct abuse *abuse, struct client *client, enum state state)
{
	struct linger now = { .l_onoff = 1 };
	int64_t lasted = abuse->now - client->began;

	if (abuse->options.reset)
		setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(client->fd);
	client->fd = -1;
	if (state == FIN || state == RESET) {
		if (!abuse->min_us || lasted < abuse->min_us)
			abuse->min_us = lasted;
		if (lasted > abuse->max_us)
			abuse->max_us = lasted;
	}
	enter(abuse, client, state);
}

static void open_client(struct abuse *abuse, struct client *client, unsigned index)
{
	const struct options *options = &abuse->options;
	struct epoll_event event = { .events = EPOLLOUT, .data.ptr = client };
	int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, size = DEAF_BUFFER;

	client->began = abuse->now;
	client->fd = socket(options->address.ss_family, type, 0);
	if (client->fd < 0)
		err(ABUSE_USAGE, "socket");
	bind_source(options, client->fd, index);
	if (options->deaf)
		setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	enter(abuse, client, CONNECTING);
	int r = connect(client->fd, (const struct sockaddr *)&options->address,
			options->address_length);
	if (r < 0 && errno != EINPROGRESS) {
		end(abuse, client, FAILED);
		return;
	}
	client->armed = event.events;
	if (epoll_ctl(abuse->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
		err(ABUSE_USAGE, "epoll_ctl");
}

/* What follows from the bytes that have moved. */
static void advance(struct abuse *abuse, struct client *client)
{
	const struct options *options = &abuse->options;
	bool all_out = client->out == client->want;

	if (all_out && options->half_close && !client->shut) {
		client->shut = true;
		shutdown(client->fd, SHUT_WR);
	}
	if ((all_out && options->reset) || (all_out && options->close && client->in >= client->out))
		end(abuse, client, DONE);
	else
		arm(abuse, client);
}

/* False: the client has ended. */
static bool send_some(struct abuse *abuse, struct client *client)
{
	static const char bytes[65536] = "abuse";
	size_t left = client->want - client->out;
	ssize_t n;

	if (left > sizeof(bytes))
		left = sizeof(bytes);
	if (abuse->options.drip_us && left)
		left = 1;
	n = left ? send(client->fd, bytes, left, MSG_NOSIGNAL) : 0;
	if (n < 0 && errno == ECONNRESET) {
		end(abuse, client, RESET); /* told once: recv() would say that it is the end */
		return false;
	}
	if (n > 0) {
		client->out += (size_t)n;
		abuse->out += (uint64_t)n;
		abuse->progress = abuse->now;
	}
	if (abuse->options.drip_us)
		client->due = abuse->now + abuse->options.drip_us;
	return true;
}

/* False: the client has ended. */
static bool receive_some(struct abuse *abuse, struct client *client)
{
	static char bytes[262144];
	ssize_t n = recv(client->fd, bytes, sizeof(bytes), 0);

	if (n > 0) {
		client->in += (size_t)n;
		abuse->in += (uint64_t)n;
		return true;
	}
	if (n < 0 && errno == EAGAIN)
		return true;
	end(abuse, client, n == 0 ? FIN : RESET);
	return false;
}

static void handle(struct abuse *abuse, struct client *client, uint32_t events)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (client->state == CONNECTING) {
		getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length);
		if (error) {
			end(abuse, client, error == ECONNRESET ? RESET : FAILED);
			return;
		}
		enter(abuse, client, OPEN);
	}
	if (events & EPOLLOUT && !send_some(abuse, client))
		return;
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP) && !receive_some(abuse, client))
		return;
	advance(abuse, client);
}

/* ---- the bad clients ---- */

static void start_bad(struct abuse *abuse)
{
	uint64_t due = abuse->n;

	if (abuse->options.rate)
		due = 1 + (uint64_t)(abuse->now - abuse->began) * abuse->options.rate / 1000000;
	while (abuse->started < abuse->n && abuse->started < due) {
		struct client *client = &abuse->clients[abuse->started];

		client->want = abuse->options.send;
		open_client(abuse, client, abuse->started++);
	}
}

static void drip(struct abuse *abuse)
{
	for (unsigned i = 0; i < abuse->started; i++) {
		struct client *client = &abuse->clients[i];

		if (client->state == OPEN && client->out < client->want &&
		    client->due <= abuse->now && send_some(abuse, client))
			advance(abuse, client);
	}
}

static void release(struct abuse *abuse)
{
	abuse->released = true;
	for (unsigned i = 0; i < abuse->started; i++)
		if (abuse->clients[i].state == OPEN)
			arm(abuse, &abuse->clients[i]);
}

/* `n` events have come; where standard input has ended, those that are there are still taken. */
static bool bad_goes_on(struct abuse *abuse, int n)
{
	bool all = !abuse->count[NEW] && !abuse->count[CONNECTING];
	bool moves = abuse->options.deaf && abuse->now - abuse->progress < DEAF_QUIET_MS * 1000;

	if (!abuse->told && all && !moves) {
		abuse->told = true;
		tell_open();
	}
	if (!abuse->released && input_ended() && abuse->options.late)
		release(abuse);
	if (abuse->options.hold && !abuse->options.late)
		return n > 0 || !input_ended();
	return !all || abuse->count[OPEN];
}

static int run_bad(struct abuse *abuse)
{
	struct epoll_event events[256];
	int n;

	abuse->n = abuse->options.n;
	abuse->clients = calloc(abuse->n, sizeof(*abuse->clients));
	if (!abuse->clients)
		err(ABUSE_USAGE, "calloc");
	abuse->count[NEW] = abuse->n;
	do {
		abuse->now = now_us();
		start_bad(abuse);
		if (abuse->options.drip_us)
			drip(abuse);
		n = epoll_wait(abuse->epoll_fd, events, ARRAY_SIZE(events), TICK_MS);
		abuse->now = now_us();
		for (int i = 0; i < n; i++)
			handle(abuse, events[i].data.ptr, events[i].events);
	} while (bad_goes_on(abuse, n) && abuse->now - abuse->began < TIMEOUT_MS * 1000);
	if (!abuse->told)
		tell_open();
	printf("done=%u fin=%u reset=%u failed=%u open=%u in=%ju out=%ju min_ms=%jd max_ms=%jd\n",
	       abuse->count[DONE], abuse->count[FIN], abuse->count[RESET], abuse->count[FAILED],
	       abuse->count[NEW] + abuse->count[CONNECTING] + abuse->count[OPEN],
	       (uintmax_t)abuse->in, (uintmax_t)abuse->out, (intmax_t)(abuse->min_us / 1000),
	       (intmax_t)(abuse->max_us / 1000));
	free(abuse->clients);
	return abuse->now - abuse->began < TIMEOUT_MS * 1000 ? 0 : ABUSE_TIMEOUT;
}

/* ---- the good client ---- */

static int compare_samples(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void add_sample(struct samples *samples, int64_t us)
{
	if (samples->n < SAMPLES)
		samples->us[samples->n++] = (uint32_t)us;
}

/* In ms, of sorted samples. */
static double percentile(const struct samples *samples, unsigned percent)
{
	return samples->n ? samples->us[(samples->n - 1) * percent / 100] / 1000.0 : 0;
}

struct good {
	struct abuse abuse;
	struct samples answers, control;
	struct client *beat;
	int64_t next, asked; /* us */
	int64_t control_asked;
	int control_fd;
	uint64_t beats;
};

/* Answers each byte by a byte; ends with its parent. */
static int start_control(void)
{
	int pair[2];
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		err(ABUSE_USAGE, "socketpair");
	pid_t pid = fork();
	if (pid < 0)
		err(ABUSE_USAGE, "fork");
	if (pid > 0) {
		close(pair[1]);
		return pair[0];
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(pair[0]);
	while (read(pair[1], &byte, 1) == 1 && write(pair[1], &byte, 1) == 1)
		;
	_exit(0);
}

__attribute__((noreturn)) static void good_fails(const struct good *good, const char *what)
{
	fprintf(stderr, "good client: %s, after %u answers\n", what, good->answers.n);
	exit(ABUSE_BAD);
}

static struct client *good_opens(struct good *good)
{
	struct abuse *abuse = &good->abuse;
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		err(ABUSE_USAGE, "calloc");
	abuse->count[NEW]++;
	client->want = MESSAGE;
	open_client(abuse, client, abuse->started++);
	if (client->state == FAILED)
		good_fails(good, "connect failed");
	return client;
}

static void good_ends(struct good *good, struct client *client)
{
	if (client->state != FIN || client == good->beat || !client->shut)
		good_fails(good, client->state == FAILED  ? "connect failed"
				 : client->state == RESET ? "reset by the server"
							  : "early end");
	free(client);
}

static void good_answered(struct good *good, struct client *client)
{
	add_sample(&good->answers,
		   good->abuse.now - (client == good->beat ? good->asked : client->began));
	if (!good->abuse.told) {
		good->abuse.told = true;
		tell_open();
	}
	if (client == good->beat)
		return;
	client->shut = true;
	shutdown(client->fd, SHUT_WR);
}

static void good_handles(struct good *good, struct client *client, uint32_t events)
{
	size_t before = client->in;

	handle(&good->abuse, client, events);
	if (client->state > OPEN)
		good_ends(good, client);
	else if (client->in != before && client->in == client->want)
		good_answered(good, client);
}

/* The next round trip, unless the one before is not over: then it is late, and counts as such. */
static void good_beats(struct good *good)
{
	char byte = 0;

	if (good->abuse.now < good->next)
		return;
	good->next = good->abuse.now + BEAT_MS * 1000;
	if (good->beats++ % VISIT_BEATS == 0)
		good_opens(good);
	if (!good->control_asked && write(good->control_fd, &byte, 1) == 1)
		good->control_asked = good->abuse.now;
	if (good->beat->in != good->beat->want || good->beat->state != OPEN)
		return;
	good->asked = good->abuse.now;
	good->beat->want += MESSAGE;
	arm(&good->abuse, good->beat);
}

static void control_answered(struct good *good)
{
	char byte;

	if (read(good->control_fd, &byte, 1) != 1)
		good_fails(good, "its own child has ended");
	add_sample(&good->control, good->abuse.now - good->control_asked);
	good->control_asked = 0;
}

/* All that was asked is answered, and what was new has ended. */
static bool good_has_all(const struct good *good)
{
	return good->beat->in == good->beat->want && good->abuse.count[CONNECTING] == 0 &&
	       good->abuse.count[OPEN] == 1;
}

static int good_says(struct good *good)
{
	double limit = good->abuse.options.p99_ms;

	qsort(good->answers.us, good->answers.n, sizeof(uint32_t), compare_samples);
	qsort(good->control.us, good->control.n, sizeof(uint32_t), compare_samples);
	double p99 = percentile(&good->answers, 99), control = percentile(&good->control, 99);
	printf("%u answers, 0 errors, p50 %.1f ms, p99 %.1f ms, worst %.1f ms; a pipe: p99 %.1f ms\n",
	       good->answers.n, percentile(&good->answers, 50), p99,
	       percentile(&good->answers, 100), control);
	return limit > 0 && p99 > limit && p99 > 2 * control ? ABUSE_SLOW : 0;
}

static int run_good(struct good *good)
{
	struct abuse *abuse = &good->abuse;
	struct epoll_event events[64], event = { .events = EPOLLIN, .data.ptr = NULL };
	int64_t released = 0;

	good->control_fd = start_control();
	epoll_ctl(abuse->epoll_fd, EPOLL_CTL_ADD, good->control_fd, &event);
	good->asked = abuse->now = now_us();
	good->beat = good_opens(good);
	while (!released || !good_has_all(good)) {
		int n = epoll_wait(abuse->epoll_fd, events, ARRAY_SIZE(events), TICK_MS);

		abuse->now = now_us();
		for (int i = 0; i < n; i++)
			if (events[i].data.ptr)
				good_handles(good, events[i].data.ptr, events[i].events);
			else
				control_answered(good);
		if (!released && input_ended())
			released = abuse->now;
		if (!released)
			good_beats(good);
		if (abuse->now - (released ? released : abuse->began) > TIMEOUT_MS * 1000)
			good_fails(good, released ? "no answer" : "not stopped for too long");
	}
	return good_says(good);
}

/* ---- the command line ---- */

/* "127.0.0.1:80", "[::1]:80", "unix:/path"; without a port where `port` is false. */
static socklen_t parse(char *text, bool port, struct sockaddr_storage *address)
{
	struct addrinfo *found,
		hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct sockaddr_un *un = (struct sockaddr_un *)address;
	char *colon = port ? strrchr(text, ':') : NULL;
	socklen_t length;

	if (port && strncmp(text, "unix:", 5) == 0) {
		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof(un->sun_path), "%s", text + 5);
		return sizeof(*un);
	}
	if (port && !colon)
		return 0;
	if (colon)
		*colon++ = '\0';
	if (*text == '[' && strlen(text) > 2) {
		text++;
		text[strlen(text) - 1] = '\0';
	}
	if (getaddrinfo(text, colon, &hints, &found) != 0)
		return 0;
	length = found->ai_addrlen;
	memcpy(address, found->ai_addr, length);
	freeaddrinfo(found);
	return length;
}

static bool take_option(struct options *options, int option)
{
	unsigned long number = optarg ? strtoul(optarg, NULL, 10) : 0;

	switch (option) {
	case 'f':
		options->from_length = parse(optarg, false, &options->from);
		return options->from_length > 0;
	case 'n':
		options->sources = (unsigned)number;
		return number > 0;
	case 'p':
		options->p99_ms = (double)number;
		return true;
	case 'r':
		options->rate = (unsigned)number;
		return true;
	case 's':
		options->send = number;
		return true;
	case 'd':
		options->drip_us = (int64_t)number * 1000;
		return true;
	default:
		return option == 0;
	}
}

static bool take_options(struct options *options, int argc, char **argv)
{
	int deaf = 0, half_close = 0, reset = 0, ends = 0, late = 0, hold = 0, option;
	const struct option known[] = {
		{ "from", required_argument, NULL, 'f' },
		{ "sources", required_argument, NULL, 'n' },
		{ "p99", required_argument, NULL, 'p' },
		{ "rate", required_argument, NULL, 'r' },
		{ "send", required_argument, NULL, 's' },
		{ "drip", required_argument, NULL, 'd' },
		{ "deaf", no_argument, &deaf, 1 },
		{ "half-close", no_argument, &half_close, 1 },
		{ "reset", no_argument, &reset, 1 },
		{ "close", no_argument, &ends, 1 },
		{ "late", no_argument, &late, 1 },
		{ "hold", no_argument, &hold, 1 },
		{ 0 },
	};

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
		if (!take_option(options, option))
			return false;
	options->deaf = deaf;
	options->half_close = half_close;
	options->reset = reset;
	options->close = ends;
	options->late = late;
	options->hold = hold;
	if (argc - optind < 2 || argc - optind > 3)
		return false;
	if (argc - optind == 3)
		options->n = (unsigned)strtoul(argv[optind + 2], NULL, 10);
	options->address_length = parse(argv[optind], true, &options->address);
	return options->address_length && options->n;
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	static struct good good = { .abuse.options = { .sources = 1, .n = 1 } };
	struct abuse *abuse = &good.abuse;

	if (!take_options(&abuse->options, argc, argv)) {
		fputs(usage, stderr);
		return ABUSE_USAGE;
	}
	raise_file_limit();
	abuse->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (abuse->epoll_fd < 0)
		err(ABUSE_USAGE, "epoll_create1");
	abuse->began = abuse->now = abuse->progress = now_us();
	if (strcmp(argv[optind + 1], "good") == 0)
		return run_good(&good);
	if (strcmp(argv[optind + 1], "bad") == 0)
		return run_bad(abuse);
	fputs(usage, stderr);
	return ABUSE_USAGE;
}
