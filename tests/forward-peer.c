/* SPDX-License-Identifier: MIT */
/*
 * A client or a target that keeps to a script, for the tests of a server between the two. `usage`
 * below is the manual.
 *
 * One thread, blocking; a target has a process for each connection. Byte number `o` of a stream is
 * a function of `o`, the same for both sides, so that each can prove what it reads. Whatever should
 * not happen ends the program with one line that says at which step.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <ctype.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "util.h"

static const char usage[] =
	"usage: forward-peer [OPTION...] ADDRESS STEP...\n"
	"       forward-peer [OPTION...] --listen ADDRESS STEP...\n"
	"       forward-peer [OPTION...] --full ADDRESS\n"
	"       forward-peer [OPTION...] --use-up-pipes\n"
	"\n"
	"ADDRESS: 127.0.0.1:80, [::1]:80, unix:/path or unix:@abstract.\n"
	"The first makes a connection and goes through the steps. --listen does so with each\n"
	"connection that comes. --full listens with a backlog that is full: connections to it are\n"
	"never made. --use-up-pipes takes all pages for pipes that this user may have.\n"
	"The last three print \"ready ADDRESS\" and die with whoever has started them.\n"
	"  --from ADDRESS:PORT  what to connect from\n"
	"  --count N            --listen: ends after N connections; exit status 1 if one went wrong\n"
	"  --timeout SECONDS    for each wait (20)\n"
	"\n"
	"Steps:\n"
	"  say:TEXT     sends it; \\r \\n \\\\ and \\xHH are understood\n"
	"  hear:TEXT    reads exactly that\n"
	"  line         reads a line and prints it\n"
	"  peer         prints the address of the other end\n"
	"  send:N       sends the next N bytes of the pattern\n"
	"  take:N       reads the next N bytes of the pattern\n"
	"  both:N       sends and reads N bytes at the same time\n"
	"  fill         sends the pattern until nothing goes out any more, and prints how much\n"
	"  flood        sends anything until the connection is reset\n"
	"  rest         reads the pattern to the end of the stream, and prints how much\n"
	"  echo         sends back what comes, to the end of the stream\n"
	"  fin          shuts down for writing\n"
	"  eof          reads the end of the stream\n"
	"  rst          resets the connection\n"
	"  reset        reads that the connection is reset\n"
	"  broken       reads anything, and then that the connection is reset\n"
	"  gone         reads either of the two\n"
	"  make:FILE    makes an empty file\n"
	"  wait:FILE    waits until there is such a file\n"
	"  nap:MS       waits so long\n"
	"Exit status: 0, 1 a step went wrong, 2 usage, 3 time-out.\n";

enum {
	PEER_WRONG = 1,
	PEER_USAGE = 2,
	PEER_TIMEOUT = 3,
	PIECE = 65536,
	TEXT_MAX = 4096,
	QUIET_MS = 300,
	FILL_MAX = 256 << 20, /* more than any kernel's buffers */
	PIPES_MAX = 1024,
	PIPE_BYTES = 1 << 20,
};

struct address {
	struct sockaddr_storage any;
	socklen_t length;
};

struct peer {
	int fd, timeout_ms;
	const char *step;
	uint64_t sent, taken; /* of the pattern */
};

/* --- the end */

#define wrong(peer, ...) wrong_(peer, PEER_WRONG, __VA_ARGS__)

static void __attribute__((format(printf, 3, 4), noreturn))
wrong_(const struct peer *peer, int status, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	errx(status, "%s (%" PRIu64 " sent, %" PRIu64 " taken): %s", peer->step, peer->sent,
	     peer->taken, text);
}

/* The events that there are; 0 when there was none in time. */
static short await(const struct peer *peer, short events, int timeout_ms)
{
	struct pollfd p = { .fd = peer->fd, .events = events };

	return poll(&p, 1, timeout_ms) > 0 ? p.revents : 0;
}

static void await_or_die(const struct peer *peer, short events)
{
	if (!await(peer, events, peer->timeout_ms))
		wrong_(peer, PEER_TIMEOUT, "nothing in %d ms", peer->timeout_ms);
}

/* --- bytes */

static unsigned char pattern_at(uint64_t offset)
{
	uint64_t x = (offset >> 3) * UINT64_C(0x9e3779b97f4a7c15);

	x ^= x >> 29;
	return (unsigned char)(x >> 8 * (offset & 7));
}

static void compare(struct peer *peer, const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++, peer->taken++)
		if (bytes[i] != pattern_at(peer->taken))
			wrong(peer, "byte %" PRIu64 " is %02x, not %02x", peer->taken, bytes[i],
			      pattern_at(peer->taken));
}

/* How many, up to `most`; 0: it takes none now. */
static size_t send_pattern(struct peer *peer, uint64_t most)
{
	static unsigned char piece[PIECE];
	size_t size = most < PIECE ? (size_t)most : PIECE;

	for (size_t i = 0; i < size; i++)
		piece[i] = pattern_at(peer->sent + i);
	ssize_t n = send(peer->fd, piece, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN)
		wrong(peer, "send: %s", strerror(errno));
	peer->sent += n > 0 ? (uint64_t)n : 0;
	return n > 0 ? (size_t)n : 0;
}

/* How many; 0: there is none now, or the end, which is told by `ended` or else is wrong. */
static size_t take_pattern(struct peer *peer, uint64_t most, bool *ended)
{
	static unsigned char piece[PIECE];
	ssize_t n = recv(peer->fd, piece, most < PIECE ? (size_t)most : PIECE, MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN)
		wrong(peer, "recv: %s", strerror(errno));
	if (n == 0 && !ended)
		wrong(peer, "the stream has ended");
	if (n == 0)
		*ended = true;
	if (n <= 0)
		return 0;
	compare(peer, piece, (size_t)n);
	return (size_t)n;
}

static void move(struct peer *peer, uint64_t to_send, uint64_t to_take)
{
	while (to_send || to_take) {
		size_t out = to_send ? send_pattern(peer, to_send) : 0;
		size_t in = to_take ? take_pattern(peer, to_take, NULL) : 0;

		to_send -= out;
		to_take -= in;
		if (!out && !in)
			await_or_die(peer,
				     (short)((to_send ? POLLOUT : 0) | (to_take ? POLLIN : 0)));
	}
}

static void fill(struct peer *peer)
{
	while (await(peer, POLLOUT, QUIET_MS) && peer->sent < FILL_MAX)
		send_pattern(peer, PIECE);
	if (peer->sent >= FILL_MAX)
		wrong(peer, "it goes out for ever");
	printf("sent %" PRIu64 "\n", peer->sent);
}

static void flood(struct peer *peer)
{
	ssize_t n;

	do {
		await_or_die(peer, POLLOUT);
		n = send(peer->fd, usage, sizeof(usage), MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n >= 0 || errno == EAGAIN);
	if (errno != ECONNRESET && errno != EPIPE)
		wrong(peer, "send: %s", strerror(errno));
}

static void take_rest(struct peer *peer)
{
	bool ended = false;

	while (!ended)
		if (!take_pattern(peer, UINT64_MAX, &ended) && !ended)
			await_or_die(peer, POLLIN);
	printf("taken %" PRIu64 "\n", peer->taken);
}

static void send_all(struct peer *peer, const char *bytes, size_t length)
{
	while (length) {
		await_or_die(peer, POLLOUT);
		ssize_t n = send(peer->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			wrong(peer, "send: %s", strerror(errno));
		bytes += n > 0 ? n : 0;
		length -= n > 0 ? (size_t)n : 0;
	}
}

static size_t receive(struct peer *peer, char *bytes, size_t size)
{
	await_or_die(peer, POLLIN);
	ssize_t n = recv(peer->fd, bytes, size, 0);

	if (n < 0)
		wrong(peer, "recv: %s", strerror(errno));
	return (size_t)n;
}

static void echo(struct peer *peer)
{
	static char bytes[PIECE];
	size_t n;

	while ((n = receive(peer, bytes, sizeof(bytes))))
		send_all(peer, bytes, n);
}

/* --- text */

static size_t unescape(const struct peer *peer, const char *text, char ret[TEXT_MAX])
{
	size_t n = 0;

	for (; *text && n < TEXT_MAX; n++, text++) {
		unsigned value = (unsigned char)*text;
		if (*text == '\\' && *++text == 'x') {
			if (sscanf(text + 1, "%2x", &value) != 1)
				wrong_(peer, PEER_USAGE, "\\x without two digits");
			text += 2;
		} else if (value == '\\') {
			value = *text == 'r' ? '\r' : *text == 'n' ? '\n' : (unsigned char)*text;
		}
		ret[n] = (char)value;
	}
	return n;
}

static void say(struct peer *peer, const char *text)
{
	char bytes[TEXT_MAX];

	send_all(peer, bytes, unescape(peer, text, bytes));
}

static void hear(struct peer *peer, const char *text)
{
	char expected[TEXT_MAX], bytes[TEXT_MAX] = "";
	size_t length = unescape(peer, text, expected), n = 0;

	while (n < length) {
		size_t more = receive(peer, bytes + n, length - n);
		if (!more)
			wrong(peer, "the stream has ended after %zu bytes", n);
		n += more;
	}
	if (memcmp(bytes, expected, length) != 0)
		wrong(peer, "it was \"%.*s\"", (int)length, bytes);
}

/* Byte by byte: what is behind the line is for the next step. */
static void print_line(struct peer *peer)
{
	char c = 0;

	while (c != '\n' && receive(peer, &c, 1))
		if (isprint((unsigned char)c) || c == '\n')
			putchar(c);
}

static void print_address(const struct address *address)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&address->any;
	char host[64], port[8];

	if (address->any.ss_family == AF_UNIX)
		printf("unix:%s%s\n", un->sun_path[0] ? "" : "@", un->sun_path + !un->sun_path[0]);
	else if (getnameinfo((const struct sockaddr *)&address->any, address->length, host,
			     sizeof(host), port, sizeof(port),
			     NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		printf(strchr(host, ':') ? "[%s]:%s\n" : "%s:%s\n", host, port);
}

static void print_peer(struct peer *peer)
{
	struct address address = { .length = sizeof(address.any) };

	if (getpeername(peer->fd, (struct sockaddr *)&address.any, &address.length) < 0)
		wrong(peer, "getpeername: %s", strerror(errno));
	print_address(&address);
}

/* --- ends */

static void reset(struct peer *peer)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	peer->fd = close_fd(peer->fd);
}

enum { BY_EOF = 1, BY_RESET = 2 };

static void expect_end(struct peer *peer, int how)
{
	char byte;

	await_or_die(peer, POLLIN);
	ssize_t n = recv(peer->fd, &byte, 1, 0);
	if (n > 0)
		wrong(peer, "more bytes have come: %02x", (unsigned char)byte);
	if (n == 0 && !(how & BY_EOF))
		wrong(peer, "the stream has ended");
	if (n < 0 && !(how & BY_RESET && errno == ECONNRESET))
		wrong(peer, "recv: %s", strerror(errno));
}

static void expect_break(struct peer *peer)
{
	char bytes[1024];
	ssize_t n;

	do {
		await_or_die(peer, POLLIN);
		n = recv(peer->fd, bytes, sizeof(bytes), 0);
	} while (n > 0);
	if (n == 0 || errno != ECONNRESET)
		wrong(peer, "recv: %s", n == 0 ? "the stream has ended" : strerror(errno));
}

/* --- files */

static void make_file(struct peer *peer, const char *path)
{
	int fd auto_close = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);

	if (fd < 0)
		wrong(peer, "open: %s", strerror(errno));
}

static void nap(int ms)
{
	poll(NULL, 0, ms);
}

static void wait_for_file(struct peer *peer, const char *path)
{
	struct stat found;

	for (int left = peer->timeout_ms; stat(path, &found) < 0; left -= 5) {
		if (left <= 0)
			wrong_(peer, PEER_TIMEOUT, "it is not there");
		nap(5);
	}
}

/* --- the script */

static uint64_t number(const struct peer *peer, const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	if (end == text || *end)
		wrong_(peer, PEER_USAGE, "not a number");
	return n;
}

static void do_step(struct peer *peer, const char *step)
{
	const char *colon = strchr(step, ':'), *text = colon ? colon + 1 : "";
	size_t length = colon ? (size_t)(colon - step) : strlen(step);
#define IS(word) (length == strlen(word) && memcmp(step, word, length) == 0)

	peer->step = step;
	if (IS("say"))
		say(peer, text);
	else if (IS("hear"))
		hear(peer, text);
	else if (IS("line"))
		print_line(peer);
	else if (IS("peer"))
		print_peer(peer);
	else if (IS("send"))
		move(peer, number(peer, text), 0);
	else if (IS("take"))
		move(peer, 0, number(peer, text));
	else if (IS("both"))
		move(peer, number(peer, text), number(peer, text));
	else if (IS("fill"))
		fill(peer);
	else if (IS("flood"))
		flood(peer);
	else if (IS("rest"))
		take_rest(peer);
	else if (IS("echo"))
		echo(peer);
	else if (IS("fin"))
		shutdown(peer->fd, SHUT_WR);
	else if (IS("eof"))
		expect_end(peer, BY_EOF);
	else if (IS("rst"))
		reset(peer);
	else if (IS("reset"))
		expect_end(peer, BY_RESET);
	else if (IS("broken"))
		expect_break(peer);
	else if (IS("gone"))
		expect_end(peer, BY_EOF | BY_RESET);
	else if (IS("make"))
		make_file(peer, text);
	else if (IS("wait"))
		wait_for_file(peer, text);
	else if (IS("nap"))
		nap((int)number(peer, text));
	else
		wrong_(peer, PEER_USAGE, "there is no such step");
#undef IS
	fflush(stdout);
}

static void do_steps(struct peer *peer, char *const *steps)
{
	for (; *steps; steps++)
		do_step(peer, *steps);
	close_fd(peer->fd);
}

/* --- addresses */

static struct address unix_address(const char *path)
{
	struct address ret = { .length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
						     strlen(path)) };
	struct sockaddr_un *un = (struct sockaddr_un *)&ret.any;

	if (strlen(path) >= sizeof(un->sun_path))
		errx(PEER_USAGE, "%s is too long", path);
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, path);
	if (path[0] == '@')
		un->sun_path[0] = '\0';
	else
		ret.length++;
	return ret;
}

static struct address parse_address(const char *text)
{
	struct addrinfo *found,
		hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct address ret;
	char host[64] = "";

	if (strncmp(text, "unix:", 5) == 0)
		return unix_address(text + 5);
	const char *colon = strrchr(text, ':');
	bool bracket = text[0] == '[';
	if (colon && colon - text < (int)sizeof(host))
		memcpy(host, text + bracket, (size_t)(colon - text) - 2 * bracket);
	if (!colon || getaddrinfo(host, colon + 1, &hints, &found) != 0)
		errx(PEER_USAGE, "\"%s\" is no address", text);
	memcpy(&ret.any, found->ai_addr, found->ai_addrlen);
	ret.length = found->ai_addrlen;
	freeaddrinfo(found);
	return ret;
}

static int open_socket(const struct address *address)
{
	int fd = socket(address->any.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(PEER_USAGE, "socket");
	return fd;
}

static int listen_at(struct address *address, int backlog)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&address->any;
	int fd = open_socket(address), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->any.ss_family == AF_UNIX && un->sun_path[0])
		unlink(un->sun_path);
	if (bind(fd, (struct sockaddr *)&address->any, address->length) < 0 ||
	    listen(fd, backlog) < 0)
		err(PEER_USAGE, "bind and listen");
	socklen_t length = sizeof(address->any);
	if (address->any.ss_family != AF_UNIX &&
	    getsockname(fd, (struct sockaddr *)&address->any, &length) < 0)
		err(PEER_USAGE, "getsockname");
	return fd;
}

static void tell_ready(const struct address *address)
{
	printf("ready ");
	if (address)
		print_address(address);
	else
		putchar('\n');
	fflush(stdout);
}

/* --- what the program is asked to be */

static struct options {
	struct address from;
	int timeout_ms, count;
	bool listen, full, use_up_pipes;
} options = { .timeout_ms = 20000 };

static int connect_and_do(const struct address *address, char *const *steps)
{
	struct peer peer = { .fd = open_socket(address),
			     .timeout_ms = options.timeout_ms,
			     .step = "connect" };
	int on = 1;

	setsockopt(peer.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (options.from.length &&
	    bind(peer.fd, (const struct sockaddr *)&options.from.any, options.from.length) < 0)
		wrong(&peer, "bind: %s", strerror(errno));
	if (connect(peer.fd, (const struct sockaddr *)&address->any, address->length) < 0)
		wrong(&peer, "connect: %s", strerror(errno));
	do_steps(&peer, steps);
	return 0;
}

/* In a process of its own. */
static void serve(int fd, char *const *steps)
{
	struct peer peer = { .fd = fd, .timeout_ms = options.timeout_ms, .step = "accept" };
	pid_t child = fork();

	if (child < 0)
		err(PEER_USAGE, "fork");
	if (child > 0) {
		close(fd);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	do_steps(&peer, steps);
	exit(0);
}

/* A bad one makes `status` 1. */
static void reap(int flags, int *status)
{
	int how;

	while (waitpid(-1, &how, flags) > 0)
		if (how != 0)
			*status = PEER_WRONG;
}

static int listen_and_do(struct address *address, char *const *steps)
{
	struct peer listener = { .fd = listen_at(address, 4096),
				 .timeout_ms = options.timeout_ms,
				 .step = "accept" };
	int accepted = 0, status = 0;

	tell_ready(address);
	while (!options.count || accepted < options.count) {
		if (options.count)
			await_or_die(&listener, POLLIN);
		int fd = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0) {
			serve(fd, steps);
			accepted++;
		}
		reap(WNOHANG, &status);
	}
	close(listener.fd);
	reap(0, &status);
	return status;
}

/* listen(2) with 0 takes one or two; then nobody answers. */
static int be_full(struct address *address)
{
	struct pollfd p = { .events = POLLOUT };

	listen_at(address, 0);
	do {
		p.fd = socket(address->any.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			      0);
		if (p.fd < 0)
			err(PEER_USAGE, "socket");
		if (connect(p.fd, (struct sockaddr *)&address->any, address->length) < 0 &&
		    errno == EAGAIN)
			break;
	} while (poll(&p, 1, QUIET_MS) > 0);
	tell_ready(address);
	return pause();
}

/* pipe(7), fs.pipe-user-pages-soft: at the limit a pipe cannot grow, and a new one has two pages.
 */
static int use_up_pipes(void)
{
	int fds[2], size = PIPE_BYTES, n = 0;

	while (n < PIPES_MAX && size > 8192 && pipe2(fds, O_CLOEXEC) == 0) {
		while (size > 8192 && fcntl(fds[1], F_SETPIPE_SZ, size) < 0)
			size /= 2;
		n++;
	}
	if (n == PIPES_MAX)
		errx(PEER_USAGE, "this user may have any number of pages");
	tell_ready(NULL);
	return pause();
}

static bool take_option(const char *name, const char *value)
{
	if (strcmp(name, "--from") == 0)
		options.from = parse_address(value);
	else if (strcmp(name, "--timeout") == 0)
		options.timeout_ms = 1000 * atoi(value);
	else if (strcmp(name, "--count") == 0)
		options.count = atoi(value);
	else
		return false;
	return true;
}

static bool take_flag(const char *name)
{
	if (strcmp(name, "--listen") == 0)
		options.listen = true;
	else if (strcmp(name, "--full") == 0)
		options.full = true;
	else if (strcmp(name, "--use-up-pipes") == 0)
		options.use_up_pipes = true;
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	argv++;
	while (--argc > 0 && strncmp(*argv, "--", 2) == 0)
		if (argc > 1 && take_option(argv[0], argv[1])) {
			argc--;
			argv += 2;
		} else if (take_flag(*argv)) {
			argv++;
		} else {
			break;
		}
	if (options.listen || options.full || options.use_up_pipes)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (options.use_up_pipes && argc == 0)
		return use_up_pipes();
	if (argc == 0 || strncmp(*argv, "--", 2) == 0) {
		fputs(usage, stderr);
		return PEER_USAGE;
	}
	struct address address = parse_address(*argv++);
	if (options.full)
		return be_full(&address);
	return options.listen ? listen_and_do(&address, argv) : connect_and_do(&address, argv);
}
