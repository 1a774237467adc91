/* SPDX-License-Identifier: MIT */
/* A connection over real sockets, driven turn by turn, with a handler that does what each test
 * needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "connection.h"

static struct loop loop;
static struct connection_set set;

/* What the handler under test does and what it saw. */
static struct {
	int opened, eofs, closed, writables, datas;
	enum ss_reason reason;
	size_t bytes, consume; /* consume: at most so many each time */
	int open_result;
	bool close_in_open, close_in_data, write_at_eof;
	struct ss_connection *last;
	char got[64];
} seen;

static int test_open(struct ss_connection *c)
{
	seen.opened++;
	seen.last = c;
	if (seen.close_in_open) {
		assert_int_equal(ss_write(c, "bye", 3), 0);
		ss_close(c);
		assert_int_equal(ss_write(c, "more", 4), -EPIPE);
	}
	return seen.open_result;
}

static size_t test_data(struct ss_connection *c, const void *bytes, size_t length)
{
	size_t used = length < seen.consume ? length : seen.consume;

	seen.datas++;
	seen.bytes += used;
	if (length < sizeof(seen.got)) {
		memcpy(seen.got, bytes, length);
		seen.got[length] = '\0';
	}
	ss_write(c, bytes, used);
	if (seen.close_in_data)
		ss_close(c);
	return used;
}

static void test_writable(struct ss_connection *c)
{
	assert_int_equal(ss_queued(c), 0);
	seen.writables++;
}

static void test_eof(struct ss_connection *c)
{
	seen.eofs++;
	if (seen.write_at_eof)
		assert_int_equal(ss_write(c, "last", 4), 0);
	ss_close(c);
}

static void test_close(struct ss_connection *c, enum ss_reason reason)
{
	assert_ptr_equal(ss_state(c), NULL);
	seen.closed++;
	seen.reason = reason;
}

static const struct ss_handler handler = {
	.size = sizeof(handler),
	.abi = SS_ABI,
	.name = "test",
	.open = test_open,
	.data = test_data,
	.writable = test_writable,
	.eof = test_eof,
	.close = test_close,
};

static struct settings_socket section = { .name = (char *)"test", .linger_ms = 50 };
static struct service service = { .section = &section, .handler = &handler };

static int setup(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	seen.consume = SIZE_MAX;
	assert_int_equal(loop_init(&loop), 0);
	return connection_set_init(&set, &loop);
}

static int teardown(void **state)
{
	(void)state;
	connection_set_abort(&set);
	assert_int_equal(set.count, 0);
	loop_turn(&loop, 0);
	connection_set_deinit(&set);
	loop_deinit(&loop);
	return 0;
}

static void turns(int n)
{
	while (n-- > 0)
		loop_turn(&loop, 0);
}

/* Our end of a TCP connection over loopback; the other end is placed into the set. */
static int connect_tcp(int receive_buffer, int send_buffer)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	union peer_address from;

	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	if (send_buffer)
		setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(int));
	if (receive_buffer)
		setsockopt(ours, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(int));
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	assert_int_equal(connect(ours, (struct sockaddr *)&address, length), 0);
	length = sizeof(from);
	int fd = accept4(listener, &from.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	struct peer peer = peer_of(fd, &from);
	assert_int_equal(connection_place(&set, &service, fd, &peer), 0);
	close(listener);
	return ours;
}

static int connect_unix(void)
{
	int pair[2];
	struct peer peer = { .is_unix = true };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			 0);
	assert_int_equal(connection_place(&set, &service, pair[1], &peer), 0);
	return pair[0];
}

static void reads(int fd, const char *expected)
{
	char got[256];
	size_t length = strlen(expected);

	assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), (ssize_t)length);
	assert_memory_equal(got, expected, length);
}

static void reads_eof(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
}

static void joins_and_answers(void **state)
{
	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		int fd = kind ? connect_unix() : connect_tcp(0, 0);
		assert_int_equal(set.count, 1);
		turns(1);
		assert_int_equal(seen.opened, kind + 1);
		assert_int_equal(send(fd, "hello", 5, 0), 5);
		turns(1);
		reads(fd, "hello");
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		turns(1);
		reads_eof(fd);
		assert_int_equal(seen.closed, kind + 1);
		assert_int_equal(seen.reason, SS_PEER_CLOSED);
		assert_int_equal(set.count, 0);
		close(fd);
	}
}

/* Bytes and FIN are there before the first turn; one turn does it all, and the FIN is not missed.
 */
static void everything_at_once(void **state)
{
	(void)state;
	seen.write_at_eof = true;
	int fd = connect_tcp(0, 0);
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	turns(1);
	reads(fd, "hellolast");
	reads_eof(fd);
	assert_int_equal(seen.eofs, 1);
	assert_int_equal(seen.reason, SS_PEER_CLOSED);
	close(fd);
}

static void refused_by_open(void **state)
{
	(void)state;
	seen.open_result = -EACCES;
	int fd = connect_tcp(0, 0);
	turns(1);
	reads_eof(fd);
	assert_int_equal(seen.closed, 0);
	assert_int_equal(set.count, 0);
	close(fd);
}

/* The server ends it; the client has sent what nobody reads, and gets the answer all the same. */
static void polite_close_with_unread_input(void **state)
{
	char junk[30000] = { 0 };

	(void)state;
	seen.close_in_open = true;
	int fd = connect_tcp(0, 0);
	assert_int_equal(send(fd, junk, sizeof(junk), 0), sizeof(junk));
	turns(1);
	assert_int_equal(seen.datas, 0);
	turns(2);
	reads(fd, "bye");
	reads_eof(fd);
	assert_int_equal(seen.closed, 0);
	close(fd);
	while (set.count)
		loop_turn(&loop, -1);
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.reason, SS_HANDLER_CLOSED);
}

static void lingering_close_has_an_end(void **state)
{
	(void)state;
	seen.close_in_open = true;
	int fd = connect_tcp(0, 0);
	turns(1);
	reads(fd, "bye");
	int64_t start = loop.now;
	while (set.count) /* the client neither sends nor closes */
		loop_turn(&loop, -1);
	assert_true(loop.now - start >= 50);
	assert_int_equal(seen.reason, SS_LINGER_TIMEOUT);
	close(fd);
}

static void lingering_close_drops_only_so_much(void **state)
{
	static char junk[200000];

	(void)state;
	seen.close_in_open = true;
	int fd = connect_tcp(0, 0);
	turns(1);
	while (set.count) {
		send(fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL);
		turns(1);
	}
	assert_int_equal(seen.reason, SS_LINGER_TIMEOUT);
	close(fd);
}

static void reset_by_the_peer(void **state)
{
	struct linger now = { .l_onoff = 1 };

	(void)state;
	int fd = connect_tcp(0, 0);
	turns(1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	turns(1);
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.reason, SS_RESET);
}

/* A client that sends and never reads: output is bounded, input pauses; then every byte comes. */
static void back_pressure(void **state)
{
	static uint8_t out[65536], in[65536];
	size_t sent = 0, received = 0;
	uint8_t next = 0;

	(void)state;
	int fd = connect_tcp(4096, 4096);
	for (int stalled = 0; stalled < 50;) {
		for (size_t i = 0; i < sizeof(out); i++)
			out[i] = (uint8_t)((sent + i) % 251);
		ssize_t n = send(fd, out, sizeof(out), MSG_DONTWAIT);
		sent += n > 0 ? (size_t)n : 0;
		stalled = n > 0 ? 0 : stalled + 1;
		turns(1);
		assert_true(ss_queued(seen.last) <= CONNECTION_READ_SIZE);
	}
	assert_true(ss_queued(seen.last) > 0);
	assert_int_equal(seen.writables, 0);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	while (received < sent) {
		ssize_t n = recv(fd, in, sizeof(in), MSG_DONTWAIT);
		for (ssize_t i = 0; i < n; i++, next = (uint8_t)((next + 1) % 251))
			assert_int_equal(in[i], next);
		received += n > 0 ? (size_t)n : 0;
		loop_turn(&loop, n > 0 ? 0 : 20);
	}
	turns(2);
	reads_eof(fd);
	assert_true(seen.writables > 0);
	assert_int_equal(seen.reason, SS_PEER_CLOSED);
	close(fd);
}

/* The client goes away while output waits: nobody reads the socket then, the edge must still be
 * acted on. */
static void reset_while_output_waits(void **state)
{
	static char junk[65536];
	struct linger now = { .l_onoff = 1 };

	(void)state;
	int fd = connect_tcp(4096, 4096);
	while (!seen.last || !ss_queued(seen.last)) {
		send(fd, junk, sizeof(junk), MSG_DONTWAIT);
		turns(1);
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	turns(2);
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.reason, SS_RESET);
}

static void unconsumed_bytes_come_again(void **state)
{
	(void)state;
	seen.consume = 0;
	int fd = connect_tcp(0, 0);
	assert_int_equal(send(fd, "ab", 2, 0), 2);
	turns(1);
	assert_string_equal(seen.got, "ab");
	assert_int_equal(send(fd, "cd", 2, 0), 2);
	turns(1);
	assert_string_equal(seen.got, "abcd");
	seen.consume = 3;
	assert_int_equal(send(fd, "e", 1, 0), 1);
	turns(1);
	assert_string_equal(seen.got, "abcde");
	reads(fd, "abc");
	assert_int_equal(send(fd, "f", 1, 0), 1);
	turns(1);
	assert_string_equal(seen.got, "def");
	reads(fd, "def");
	close(fd);
	turns(1);
	assert_int_equal(seen.closed, 1);
}

static void input_is_bounded(void **state)
{
	static char junk[SS_INPUT_MAX];

	(void)state;
	seen.consume = 0;
	int fd = connect_tcp(0, 0);
	for (int i = 0; i < 1000 && !seen.closed; i++) {
		send(fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL);
		turns(1);
	}
	assert_int_equal(seen.reason, SS_INPUT_FULL);
	close(fd);
}

/* One connection with much to read does not keep another waiting for more than its share of a turn.
 */
static void a_turn_is_shared(void **state)
{
	static char junk[1 << 20];
	int size = 4 << 20;

	(void)state;
	int greedy = connect_unix();
	setsockopt(greedy, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	turns(1);
	while (send(greedy, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	seen.bytes = 0;
	loop_turn(&loop, 0);
	assert_true(seen.bytes > 0);
	assert_true(seen.bytes <= 4 * CONNECTION_READ_SIZE);
	close(greedy);
}

static void close_from_outside_a_callback(void **state)
{
	(void)state;
	int fd = connect_tcp(0, 0);
	turns(1);
	ss_close(seen.last);
	turns(2); /* one to take note, one to act: it was not said in a turn */
	reads_eof(fd);
	close(fd);
	turns(1);
	assert_int_equal(seen.reason, SS_HANDLER_CLOSED);
}

static int ends;

static void count_end(struct connection_set *s)
{
	(void)s;
	ends++;
}

static void finish_sends_fin_to_all(void **state)
{
	int fds[10];

	(void)state;
	ends = 0;
	set.ended = count_end;
	for (int i = 0; i < 9; i++)
		fds[i] = connect_tcp(0, 0);
	turns(1);
	fds[9] = connect_tcp(0, 0); /* not joined yet */
	connection_set_finish(&set);
	turns(2);
	for (int i = 0; i < 10; i++) {
		reads_eof(fds[i]);
		close(fds[i]);
	}
	turns(2);
	assert_int_equal(ends, 10);
	assert_int_equal(set.count, 0);
	assert_int_equal(seen.reason, SS_DRAIN);
}

static void abort_ends_at_once(void **state)
{
	(void)state;
	int a = connect_tcp(0, 0), b = connect_tcp(0, 0);
	turns(1);
	connection_set_abort(&set);
	assert_int_equal(set.count, 0);
	assert_int_equal(seen.closed, 2);
	assert_int_equal(seen.reason, SS_DRAIN);
	close(a);
	close(b);
}

static void peers_are_named(void **state)
{
	char text[PEER_MAX];
	struct peer peer = { .port = htons(4242) };

	(void)state;
	peer.address = in6addr_loopback;
	assert_string_equal(peer_format(text, &peer), "[::1]:4242");
	memcpy(peer.address.s6_addr, "\0\0\0\0\0\0\0\0\0\0\377\377\177\0\0\1", 16);
	assert_string_equal(peer_format(text, &peer), "127.0.0.1:4242");
	peer = (struct peer){ .is_unix = true, .pid = 7, .uid = 1000 };
	assert_string_equal(peer_format(text, &peer), "pid 7 uid 1000");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(joins_and_answers),
		TEST(everything_at_once),
		TEST(refused_by_open),
		TEST(polite_close_with_unread_input),
		TEST(lingering_close_has_an_end),
		TEST(lingering_close_drops_only_so_much),
		TEST(reset_by_the_peer),
		TEST(back_pressure),
		TEST(reset_while_output_waits),
		TEST(unconsumed_bytes_come_again),
		TEST(input_is_bounded),
		TEST(a_turn_is_shared),
		TEST(close_from_outside_a_callback),
		TEST(finish_sends_fin_to_all),
		TEST(abort_ends_at_once),
		cmocka_unit_test(peers_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
