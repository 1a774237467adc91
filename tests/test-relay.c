/* SPDX-License-Identifier: MIT */
/* A connection with a second leg: both ways, back-pressure, ends and resets, copied and spliced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "connection.h"

#define BULK (8 << 20)

static struct loop loop;
static struct connection_set set;
static unsigned char *pattern; /* BULK bytes */

static struct {
	int connected, error, closed;
	enum ss_reason reason;
	struct ss_connection *last;
	bool late, leave;
	const char *greeting;
} seen;

static int target_listener;
static union peer_address target_address;
static socklen_t target_length;

static int test_open(struct ss_connection *c)
{
	seen.last = c;
	if (!seen.late)
		ss_pause(c);
	int r = ss_connect(c, &target_address.any, target_length, 1000, 0);
	if (r < 0)
		seen.error = r;
	return 0;
}

static void test_connected(struct ss_connection *c, int error)
{
	seen.connected++;
	seen.error = error;
	if (error)
		ss_fail(c, SS_CONNECT_FAILED, 1);
	else if (seen.greeting && ss_target_write(c, seen.greeting, strlen(seen.greeting)) < 0)
		ss_fail(c, SS_ERROR, 1);
	else if (seen.leave)
		ss_close(c);
	else
		assert_int_equal(ss_join(c), 0);
}

/* Nothing is consumed: it is for the target. */
static size_t test_data(struct ss_connection *c, const void *bytes, size_t length)
{
	(void)c;
	(void)bytes;
	(void)length;
	return 0;
}

static void test_close(struct ss_connection *c, enum ss_reason reason)
{
	(void)c;
	seen.closed++;
	seen.reason = reason;
}

static const struct ss_handler handler = { .size = sizeof(handler),
					   .abi = SS_ABI,
					   .name = "test",
					   .flags = SS_CONNECTS,
					   .open = test_open,
					   .data = test_data,
					   .connected = test_connected,
					   .close = test_close };

static struct settings_socket section = { .name = (char *)"test" };
static struct capacity capacity = { .max_connections = 1000, .max_output = 1 << 24 };
static struct service service = { .section = &section,
				  .name = "test",
				  .handler = &handler,
				  .capacity = &capacity,
				  .max_connections = 1000 };

static int listen_tcp(union peer_address *ret_address, socklen_t *ret_length)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret_length = sizeof(ret_address->in);
	ret_address->in = (struct sockaddr_in){ .sin_family = AF_INET,
						.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, &ret_address->any, *ret_length), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, &ret_address->any, ret_length), 0);
	return fd;
}

static int setup(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	section.timeouts = (struct settings_timeouts){ .linger_ms = 50 };
	section.limits = (struct settings_limits){ .output = 1 << 20 };
	section.options = calloc(sockopt_count, sizeof(*section.options));
	target_listener = listen_tcp(&target_address, &target_length);
	assert_int_equal(loop_init(&loop), 0);
	connection_set_enter(&set);
	return connection_set_init(&set, &loop, NULL, 0, NULL);
}

static int teardown(void **state)
{
	(void)state;
	connection_set_abort(&set);
	assert_int_equal(set.count, 0);
	assert_int_equal(service.open, 0);
	assert_int_equal(capacity.output, 0);
	loop_turn(&loop, 0);
	assert_int_equal(loop.stale, 0);
	connection_set_deinit(&set);
	assert_int_equal(set.pipes.count, 0);
	loop_deinit(&loop);
	close(target_listener);
	free(section.options);
	return 0;
}

static void turns(int n)
{
	while (n-- > 0)
		loop_turn(&loop, 0);
}

struct pair {
	int peer, target;
};

static int connect_peer(void)
{
	union peer_address address, from;
	socklen_t length;
	int listener = listen_tcp(&address, &length);
	int ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(ours, &address.any, length), 0);
	length = sizeof(from);
	int fd = accept4(listener, &from.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct peer peer = peer_of(fd, &from);
	assert_true(service_reserve(&service));
	assert_int_equal(connection_place(&set, &service, &section, fd, &peer), 0);
	close(listener);
	fcntl(ours, F_SETFL, O_NONBLOCK);
	return ours;
}

static void ends(void)
{
	while (!seen.closed)
		loop_turn(&loop, -1);
}

static struct pair make_pair(void)
{
	struct pair pair = { .peer = connect_peer() };

	while (!seen.connected)
		loop_turn(&loop, -1);
	pair.target = accept4(target_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(pair.target >= 0);
	assert_int_equal(seen.connected, 1);
	assert_int_equal(seen.error, 0);
	return pair;
}

static void drop(struct pair pair)
{
	close(pair.peer);
	close(pair.target);
}

static void says(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	turns(1);
}

/* The kernel delivers over loopback a little later when it is busy. */
static ssize_t receive(int fd, void *bytes, size_t size)
{
	ssize_t n = -1;

	for (int i = 0; i < 2000 && n < 0; i++) {
		n = recv(fd, bytes, size, 0);
		if (n < 0 && errno != EAGAIN)
			break;
		if (n < 0)
			loop_turn(&loop, 1);
	}
	return n;
}

static void reads(int fd, const char *expected)
{
	char got[256] = "";
	size_t length = strlen(expected), n = 0;

	while (n < length) {
		ssize_t more = receive(fd, got + n, length - n);
		assert_true(more > 0);
		n += (size_t)more;
	}
	assert_string_equal(got, expected);
}

static bool is_eof(int fd)
{
	char byte;

	return receive(fd, &byte, 1) == 0;
}

static bool is_silent(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN;
}

static int error_of(int fd)
{
	char byte;

	return receive(fd, &byte, 1) < 0 ? errno : 0;
}

static void resets(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void both_ways(void **state)
{
	(void)state;
	struct pair pair = make_pair();
	says(pair.peer, "question");
	reads(pair.target, "question");
	says(pair.target, "answer");
	reads(pair.peer, "answer");
	drop(pair);
	ends();
	assert_int_equal(seen.reason, SS_PEER_CLOSED);
}

/* A client that ends its question by a FIN gets the answer; and the other way round. */
static void half_close(void **state)
{
	(void)state;
	struct pair pair = make_pair();
	says(pair.peer, "question");
	assert_int_equal(shutdown(pair.peer, SHUT_WR), 0);
	turns(1);
	reads(pair.target, "question");
	assert_true(is_eof(pair.target));
	assert_true(is_silent(pair.peer));
	says(pair.target, "answer");
	reads(pair.peer, "answer");
	assert_int_equal(seen.closed, 0);
	close(pair.target);
	turns(1);
	assert_true(is_eof(pair.peer));
	ends();
	assert_int_equal(seen.reason, SS_PEER_CLOSED);
	close(pair.peer);
}

static void half_close_of_the_target(void **state)
{
	(void)state;
	struct pair pair = make_pair();
	assert_int_equal(shutdown(pair.target, SHUT_WR), 0);
	turns(1);
	assert_true(is_eof(pair.peer));
	says(pair.peer, "more");
	reads(pair.target, "more");
	assert_int_equal(shutdown(pair.peer, SHUT_WR), 0);
	turns(1);
	assert_true(is_eof(pair.target));
	assert_int_equal(seen.closed, 1);
	drop(pair);
}

/* All of it is there before the target is: bytes and FIN wait, behind the greeting. */
static void everything_before_the_target(void **state)
{
	(void)state;
	seen.greeting = "hi ";
	int peer = connect_peer();
	assert_int_equal(send(peer, "early", 5, 0), 5);
	assert_int_equal(shutdown(peer, SHUT_WR), 0);
	while (!seen.connected)
		loop_turn(&loop, -1);
	int target = accept4(target_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	reads(target, "hi early");
	assert_true(is_eof(target));
	close(target);
	turns(2);
	assert_true(is_eof(peer));
	close(peer);
}

/* A queue of nothing would never be emptied. */
static void nothing_is_no_greeting(void **state)
{
	(void)state;
	seen.greeting = "";
	struct pair pair = make_pair();
	says(pair.peer, "question");
	reads(pair.target, "question");
	drop(pair);
	ends();
}

/* A handler that looked at the bytes first leaves them to the target. */
static void unconsumed_bytes_go_first(void **state)
{
	(void)state;
	seen.late = true;
	int peer = connect_peer();
	assert_int_equal(send(peer, "looked at", 9, 0), 9);
	while (!seen.connected)
		loop_turn(&loop, -1);
	int target = accept4(target_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_int_equal(send(peer, ", more", 6, 0), 6);
	turns(2);
	reads(target, "looked at, more");
	close(peer);
	close(target);
}

static void target_refuses(void **state)
{
	(void)state;
	close(target_listener);
	int peer = connect_peer();
	while (!seen.error)
		loop_turn(&loop, -1);
	assert_int_equal(seen.error, -ECONNREFUSED);
	if (seen.connected) {
		ends();
		assert_int_equal(seen.reason, SS_CONNECT_FAILED);
		assert_int_equal(error_of(peer), ECONNRESET);
	}
	close(peer);
	target_listener = -1;
}

/* It is there for the target, but not yet for the loop. */
static int accept_before_the_loop(void)
{
	struct pollfd listener = { .fd = target_listener, .events = POLLIN };

	while (!seen.last)
		loop_turn(&loop, -1);
	assert_int_equal(poll(&listener, 1, 5000), 1);
	assert_int_equal(seen.connected, 0);
	return accept4(target_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* It took the connection and has said something: that is no target that cannot be reached. */
static void reset_behind_connect(void **state)
{
	(void)state;
	int peer = connect_peer(), target = accept_before_the_loop();
	assert_int_equal(send(target, "last words", 10, 0), 10);
	resets(target);
	ends();
	assert_int_equal(seen.connected, 1);
	assert_int_equal(seen.error, 0);
	assert_int_equal(seen.reason, SS_RESET);
	reads(peer, "last words");
	assert_int_equal(error_of(peer), ECONNRESET);
	close(peer);
}

/* A FIN would be a whole stream, an empty one. */
static void leg_that_was_never_joined(void **state)
{
	(void)state;
	seen.leave = true;
	int peer = connect_peer();
	while (!seen.connected)
		loop_turn(&loop, -1);
	int target = accept4(target_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	close(peer);
	ends();
	assert_int_equal(error_of(target), ECONNRESET);
	close(target);
}

static void reset_of_the_peer(void **state)
{
	(void)state;
	struct pair pair = make_pair();
	says(pair.peer, "x");
	reads(pair.target, "x");
	resets(pair.peer);
	turns(1);
	assert_int_equal(error_of(pair.target), ECONNRESET);
	assert_int_equal(seen.reason, SS_RESET);
	close(pair.target);
}

/* What the target had sent before comes first. */
static void reset_of_the_target(void **state)
{
	(void)state;
	struct pair pair = make_pair();
	assert_int_equal(send(pair.target, "last words", 10, 0), 10);
	resets(pair.target);
	ends();
	assert_int_equal(seen.reason, SS_RESET);
	reads(pair.peer, "last words");
	assert_int_equal(error_of(pair.peer), ECONNRESET);
	close(pair.peer);
}

/* Sends all of the pattern one way while `from` and `to` take turns; everything must arrive. */
static void flows(int from, int to, size_t piece, size_t most)
{
	unsigned char *got = malloc(most);
	size_t sent = 0, read = 0;

	while (read < most) {
		size_t size = most - sent < piece ? most - sent : piece;
		ssize_t n = size ? send(from, pattern + sent, size, MSG_NOSIGNAL) : 0;
		if (n > 0)
			sent += (size_t)n;
		loop_turn(&loop, 0);
		n = recv(to, got + read, most - read, 0);
		if (n > 0)
			read += (size_t)n;
	}
	assert_memory_equal(got, pattern, most);
	free(got);
}

static void much_both_ways(void **state)
{
	(void)state;
	struct pair pair = make_pair();
	flows(pair.peer, pair.target, 1 << 20, BULK);
	flows(pair.target, pair.peer, 1 << 20, BULK);
	flows(pair.peer, pair.target, 100, 100000);
	assert_int_equal(shutdown(pair.peer, SHUT_WR), 0);
	turns(3);
	assert_true(is_eof(pair.target));
	flows(pair.target, pair.peer, 1 << 20, BULK);
	drop(pair);
}

static void is_spliced(void **state)
{
	(void)state;
	struct pair pair = make_pair();
	unsigned most = 0;
	size_t sent = 0;
	unsigned char byte[65536];
	while (sent < BULK) {
		ssize_t n = send(pair.peer, pattern + sent, BULK - sent, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		loop_turn(&loop, 0);
		if (set.pipes.count > most)
			most = set.pipes.count;
		if (recv(pair.target, byte, sizeof(byte), 0) < 0)
			assert_int_equal(errno, EAGAIN);
	}
	assert_int_equal(most, 1);
	drop(pair);
}

/* Without pipes the same, by copying. */
static void no_pipes(void **state)
{
	(void)state;
	set.pipes.max = 0;
	struct pair pair = make_pair();
	flows(pair.peer, pair.target, 1 << 20, BULK);
	flows(pair.target, pair.peer, 1 << 20, BULK);
	drop(pair);
}

/* A side that takes nothing stops the reading of the other; memory is bounded. */
static void stalled(void **state)
{
	ssize_t n;

	(void)state;
	for (int pass = 0; pass < 2; pass++) {
		set.pipes.max = pass ? 4 : 0;
		struct pair pair = make_pair();
		do {
			n = send(pair.peer, pattern, 1 << 20, MSG_NOSIGNAL);
			turns(3);
		} while (n > 0);
		assert_true(capacity.output <= 65536);
		says(pair.target, "still");
		reads(pair.peer, "still");
		drop(pair);
		ends();
		seen.closed = seen.connected = 0;
	}
}

/* Until what is sent wakes nobody, though it has arrived; how much was sent. */
static size_t send_until_unheard(int from)
{
	struct pollfd events = { .fd = loop.epoll_fd, .events = POLLIN };
	size_t sent = 0;
	int unsent;

	for (;;) {
		ssize_t n = send(from, pattern + sent, 65536, MSG_NOSIGNAL);
		assert_true(n > 0);
		sent += (size_t)n;
		bool woken = poll(&events, 1, 20) > 0;
		assert_int_equal(ioctl(from, SIOCOUTQ, &unsent), 0);
		if (!woken && unsent == 0)
			return sent;
		turns(3);
	}
}

/* What comes while a pipe waits to be taken wakes nobody, and then goes on. */
static void stalled_bulk_is_not_woken(void **state)
{
	unsigned char *got = malloc(BULK);
	size_t read = 0;
	int small = 4096, large = 1 << 20;

	(void)state;
	/* Through the small window the megabytes that a kernel which paces takes would come for
	 * minutes. */
	section.options[sockopt_find("so_sndbuf") - sockopt_table] =
		(struct settings_option){ .set = true, .value.number = 65536 };
	struct pair pair = make_pair();
	setsockopt(pair.target, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	size_t sent = send_until_unheard(pair.peer);
	setsockopt(pair.target, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large));
	says(pair.target, "still");
	reads(pair.peer, "still");
	while (read < sent) {
		ssize_t n = receive(pair.target, got + read, BULK - read);
		assert_true(n > 0);
		read += (size_t)n;
	}
	assert_memory_equal(got, pattern, sent);
	free(got);
	says(pair.peer, "and on");
	reads(pair.target, "and on");
	drop(pair);
	ends();
}

static void stalled_for_too_long(void **state)
{
	(void)state;
	section.timeouts.write_ms = 50;
	struct pair pair = make_pair();
	while (send(pair.peer, pattern, 1 << 20, MSG_NOSIGNAL) > 0)
		turns(3);
	while (!seen.closed)
		loop_turn(&loop, -1);
	assert_int_equal(seen.reason, SS_WRITE_TIMEOUT);
	drop(pair);
}

/* The kernel says that there is room when a third of its buffer is free; a slow reader takes
 * longer. */
static void slow_reader_is_not_stalled(void **state)
{
	static unsigned char bytes[16384];
	int64_t begun;

	(void)state;
	section.timeouts.write_ms = 300;
	struct pair pair = make_pair();
	while (send(pair.target, pattern, 1 << 20, MSG_NOSIGNAL) > 0)
		turns(3);
	begun = loop.now;
	for (int64_t last = begun; loop.now - begun < 1200 && !seen.closed;) {
		loop_turn(&loop, 5);
		if (loop.now - last < 40)
			continue;
		last = loop.now;
		assert_true(recv(pair.peer, bytes, sizeof(bytes), 0) != 0);
	}
	assert_int_equal(seen.closed, 0);
	drop(pair);
}

static void idle_ends_it(void **state)
{
	(void)state;
	section.timeouts.idle_ms = 50;
	struct pair pair = make_pair();
	while (!seen.closed)
		loop_turn(&loop, -1);
	assert_int_equal(seen.reason, SS_IDLE_TIMEOUT);
	assert_true(is_eof(pair.peer));
	assert_true(is_eof(pair.target));
	drop(pair);
}

static void half_closed_ends_it(void **state)
{
	(void)state;
	section.timeouts.half_closed_ms = 50;
	struct pair pair = make_pair();
	assert_int_equal(shutdown(pair.peer, SHUT_WR), 0);
	while (!seen.closed)
		loop_turn(&loop, -1);
	assert_int_equal(seen.reason, SS_HALF_CLOSED_TIMEOUT);
	drop(pair);
}

/* The server stops: both ends get a FIN behind what waits. */
static void drain_is_polite(void **state)
{
	(void)state;
	struct pair pair = make_pair();
	says(pair.peer, "x");
	connection_set_finish(&set);
	turns(2);
	reads(pair.target, "x");
	assert_true(is_eof(pair.target));
	assert_true(is_eof(pair.peer));
	drop(pair);
	while (!seen.closed)
		loop_turn(&loop, -1);
	assert_int_equal(seen.reason, SS_DRAIN);
}

/* What had come and was not passed on: a FIN would tell that this was all. */
static void drain_of_much_is_a_reset(void **state)
{
	static unsigned char bytes[65536];
	ssize_t n;

	(void)state;
	section.timeouts.linger_ms = 1000;
	struct pair pair = make_pair();
	while (send(pair.target, pattern, 1 << 20, MSG_NOSIGNAL) > 0)
		turns(3);
	connection_set_finish(&set);
	do {
		loop_turn(&loop, 1);
		n = recv(pair.peer, bytes, sizeof(bytes), 0);
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	assert_int_equal(n, -1);
	assert_int_equal(errno, ECONNRESET);
	drop(pair);
}

/* The target of a truncated upload must not take it for complete. */
static void truncated_is_a_reset(void **state)
{
	static unsigned char bytes[65536];
	ssize_t n;

	(void)state;
	section.timeouts.write_ms = 50;
	for (int pass = 0; pass < 2; pass++) {
		set.pipes.max = pass ? 4 : 0;
		seen.closed = seen.connected = 0;
		struct pair pair = make_pair();
		while (send(pair.peer, pattern, 1 << 20, MSG_NOSIGNAL) > 0)
			turns(3);
		while (!seen.closed)
			loop_turn(&loop, -1);
		while ((n = recv(pair.target, bytes, sizeof(bytes), 0)) > 0)
			;
		assert_int_equal(n, -1);
		assert_int_equal(errno, ECONNRESET);
		drop(pair);
	}
}

/* A slow reader gets all that was on its way when the other end broke off. */
static void reset_behind_much(void **state)
{
	static unsigned char bytes[4096];
	size_t total = 300000, sent = 0, got = 0;
	int small = 4096;
	ssize_t n;

	(void)state;
	section.timeouts.linger_ms = 5000;
	struct pair pair = make_pair();
	setsockopt(pair.peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	while (sent < total) {
		n = send(pair.target, pattern + sent, total - sent, 0);
		sent += n > 0 ? (size_t)n : 0;
		turns(1);
	}
	turns(5);
	resets(pair.target);
	do {
		loop_turn(&loop, 1);
		n = recv(pair.peer, bytes, sizeof(bytes), 0);
		got += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(got, total);
	close(pair.peer);
}

/* It has finished, and then breaks off: the other end hears of that. */
static void reset_behind_a_fin(void **state)
{
	(void)state;
	struct pair pair = make_pair();
	says(pair.peer, "question");
	assert_int_equal(shutdown(pair.peer, SHUT_WR), 0);
	turns(2);
	reads(pair.target, "question");
	resets(pair.peer);
	ends();
	assert_int_equal(seen.reason, SS_RESET);
	close(pair.target);
}

static void bandwidth_of_the_peer(void **state)
{
	(void)state;
	section.limits.bandwidth = 1 << 20;
	struct pair pair = make_pair();
	flows(pair.peer, pair.target, 1 << 20, 3 << 19);
	drop(pair);
}

static int make_pattern(void **state)
{
	(void)state;
	pattern = malloc(BULK);
	for (size_t i = 0; i < BULK; i++)
		pattern[i] = (unsigned char)(i * 2654435761u >> 13);
	return pattern ? 0 : -1;
}

static int free_pattern(void **state)
{
	(void)state;
	free(pattern);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(both_ways),
		TEST(half_close),
		TEST(half_close_of_the_target),
		TEST(everything_before_the_target),
		TEST(nothing_is_no_greeting),
		TEST(unconsumed_bytes_go_first),
		TEST(target_refuses),
		TEST(reset_behind_connect),
		TEST(leg_that_was_never_joined),
		TEST(reset_of_the_peer),
		TEST(reset_of_the_target),
		TEST(much_both_ways),
		TEST(is_spliced),
		TEST(no_pipes),
		TEST(stalled),
		TEST(stalled_bulk_is_not_woken),
		TEST(stalled_for_too_long),
		TEST(slow_reader_is_not_stalled),
		TEST(idle_ends_it),
		TEST(half_closed_ends_it),
		TEST(drain_is_polite),
		TEST(drain_of_much_is_a_reset),
		TEST(truncated_is_a_reset),
		TEST(reset_behind_much),
		TEST(reset_behind_a_fin),
		TEST(bandwidth_of_the_peer),
	};

	return cmocka_run_group_tests(tests, make_pattern, free_pattern);
}
