/* SPDX-License-Identifier: MIT */
/* A connection over real sockets, driven turn by turn, with a handler that does what each test
 * needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
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

static struct settings_socket section = { .name = (char *)"test", .timeouts.linger_ms = 50 };
static struct capacity capacity = { .max_connections = 1000, .max_output = 1 << 24 };
static struct service service = {
	.section = &section,
	.name = "test",
	.handler = &handler,
	.capacity = &capacity,
	.max_connections = 1000,
};

static int setup(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	seen.consume = SIZE_MAX;
	service.handler = &handler;
	section.timeouts = (struct settings_timeouts){ .linger_ms = 50 };
	section.limits = (struct settings_limits){ .output = 1 << 20 };
	service.max_connections = 1000;
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
	assert_int_equal(capacity.connections, 0);
	assert_int_equal(capacity.output, 0);
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
	assert_true(service_reserve(&service));
	assert_int_equal(connection_place(&set, &service, &section, fd, &peer), 0);
	close(listener);
	return ours;
}

static int connect_unix(void)
{
	int pair[2];
	struct peer peer = { .is_unix = true, .by_unix = true };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			 0);
	assert_true(service_reserve(&service));
	assert_int_equal(connection_place(&set, &service, &section, pair[1], &peer), 0);
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
	section.timeouts.linger_ms = 60000;
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
	for (seen.consume = 0; seen.consume < 2; seen.consume++) {
		seen.closed = 0;
		int fd = connect_tcp(0, 0);
		for (int i = 0; i < 1000 && !seen.closed; i++) {
			send(fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL);
			turns(1);
		}
		assert_int_equal(seen.reason, SS_INPUT_FULL);
		close(fd);
	}
}

/* The bytes are the handler's until it returns, although it has closed the connection by then. */
static void close_while_waiting_bytes_are_delivered(void **state)
{
	(void)state;
	seen.consume = 0;
	int fd = connect_tcp(0, 0);
	assert_int_equal(send(fd, "ab", 2, 0), 2);
	turns(1);
	seen.close_in_data = true;
	seen.consume = 4;
	assert_int_equal(send(fd, "cd", 2, 0), 2);
	turns(2);
	reads(fd, "abcd");
	reads_eof(fd);
	close(fd);
	turns(1);
	assert_int_equal(seen.reason, SS_HANDLER_CLOSED);
}

static size_t only_consume(struct ss_connection *c, const void *bytes, size_t length)
{
	(void)c;
	(void)bytes;
	seen.bytes += length;
	return length;
}

static const struct ss_handler consumes = {
	.size = sizeof(consumes), .abi = SS_ABI, .name = "consumes", .data = only_consume
};

/* One connection with much to read does not keep another waiting for more than its share of a turn.
 */
static void a_turn_is_shared(void **state)
{
	static char junk[1 << 20];
	int size = 4 << 20;
	size_t sent = 0;

	(void)state;
	service.handler = &consumes;
	int greedy = connect_unix();
	setsockopt(greedy, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	turns(1);
	for (ssize_t n; (n = send(greedy, junk, sizeof(junk), MSG_DONTWAIT)) > 0;)
		sent += (size_t)n;
	assert_true(sent > 5 * CONNECTION_READ_SIZE);
	loop_turn(&loop, 0);
	assert_int_equal(seen.bytes, 4 * CONNECTION_READ_SIZE);
	turns((int)(sent / CONNECTION_READ_SIZE));
	assert_int_equal(seen.bytes, sent);
	close(greedy);
	turns(1);
}

/* What follows a message with a descriptor has no edge of its own. */
static void bytes_behind_a_descriptor(void **state)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { (void *)"abcd", 4 };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	(void)state;
	int fd = connect_unix();
	turns(1);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	assert_int_equal(sendmsg(fd, &message, 0), 4);
	assert_int_equal(send(fd, "efgh", 4, 0), 4);
	turns(1);
	assert_int_equal(seen.bytes, 8);
	close(fd);
	turns(1);
}

static void keep_open(struct ss_connection *c)
{
	(void)c;
	seen.eofs++;
}

static const struct ss_handler stays = { .size = sizeof(stays),
					 .abi = SS_ABI,
					 .name = "stays",
					 .data = only_consume,
					 .eof = keep_open,
					 .close = test_close };

/* A handler that goes on after the FIN is told when the peer has gone altogether. */
static void gone_after_its_fin(void **state)
{
	struct linger now = { .l_onoff = 1 };

	(void)state;
	service.handler = &stays;
	for (int kind = 0; kind < 2; kind++) {
		int fd = kind ? connect_unix() : connect_tcp(0, 0);
		turns(1);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		turns(1);
		assert_int_equal(seen.eofs, kind + 1);
		assert_int_equal(seen.closed, kind);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd);
		turns(1);
		assert_int_equal(seen.closed, kind + 1);
		assert_int_equal(seen.reason, kind ? SS_PEER_CLOSED : SS_RESET);
	}
}

/* The server closes while its answer waits for a peer that sends before it reads. */
static void close_with_output_reads_on(void **state)
{
	static char junk[65536];
	size_t received = 0;

	(void)state;
	section.timeouts.write_ms = 2000;
	int fd = connect_tcp(4096, 4096);
	while (!seen.last || !ss_queued(seen.last)) {
		send(fd, junk, sizeof(junk), MSG_DONTWAIT);
		turns(1);
	}
	ss_close(seen.last);
	for (int i = 0; i < 50; i++) {
		send(fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL);
		turns(2);
	}
	assert_int_equal(set.count, 1);
	for (ssize_t n = 1; n != 0;) {
		n = recv(fd, junk, sizeof(junk), MSG_DONTWAIT);
		assert_true(n >= 0 || errno == EAGAIN);
		received += n > 0 ? (size_t)n : 0;
		loop_turn(&loop, n > 0 ? 0 : 5);
	}
	assert_int_equal(received, seen.bytes);
	close(fd);
	turns(2);
	assert_int_equal(seen.reason, SS_HANDLER_CLOSED);
}

static int drop_open(struct ss_connection *c)
{
	seen.last = c;
	ss_discard(c);
	return 0;
}

static const struct ss_handler drops = {
	.size = sizeof(drops),
	.abi = SS_ABI,
	.name = "drops",
	.open = drop_open,
	.data = test_data,
	.close = test_close,
};

/* Nothing is delivered, all is counted, urgent data included, and the end is seen. */
static void discarded_bytes_are_counted(void **state)
{
	static char junk[300000];

	(void)state;
	service.handler = &drops;
	for (int kind = 0; kind < 2; kind++) {
		uint64_t before = service.bytes_in, sent = 0;
		int fd = kind ? connect_unix() : connect_tcp(0, 0);
		turns(1);
		for (int i = 0; i < 20; i++) {
			ssize_t n = send(fd, junk, sizeof(junk), MSG_DONTWAIT);
			sent += n > 0 ? (uint64_t)n : 0;
			turns(1);
		}
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		turns(10);
		assert_int_equal(seen.datas, 0);
		assert_int_equal(seen.closed, kind + 1);
		assert_int_equal(seen.reason, SS_PEER_CLOSED);
		assert_int_equal(service.bytes_in - before, sent);
		close(fd);
	}
}

#define BLOB_SIZE 70000

static struct ss_blob *blob;

static void blob_writable(struct ss_connection *c)
{
	size_t from = (size_t)ss_state(c);

	seen.writables++;
	from += ss_send_blob(c, blob, from, BLOB_SIZE - from);
	ss_set_state(c, (void *)(from % BLOB_SIZE));
	if (from == BLOB_SIZE)
		ss_want_writable(c);
}

static int blob_open(struct ss_connection *c)
{
	seen.last = c;
	ss_discard(c);
	ss_want_writable(c);
	return 0;
}

static const struct ss_handler produces = {
	.size = sizeof(produces),
	.abi = SS_ABI,
	.name = "produces",
	.open = blob_open,
	.data = test_data,
	.writable = blob_writable,
};

static char blob_byte(size_t at)
{
	return (char)(at % BLOB_SIZE % 253);
}

/* A producer without end: bounded work in each turn, quiet while the peer takes nothing, every
 * byte. */
static void blob_goes_on_where_it_stopped(void **state)
{
	static char bytes[BLOB_SIZE], got[9999];
	size_t received = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = blob_byte(i);
	blob = ss_blob_new(bytes, sizeof(bytes));
	assert_non_null(blob);
	service.handler = &produces;
	for (int kind = 0; kind < 2; kind++) {
		int fd = kind ? connect_unix() : connect_tcp(4096, 4096);
		for (int calls = -1; calls != seen.writables;) {
			calls = seen.writables;
			turns(2);
			assert_true(seen.writables <= calls + 2);
		}
		assert_int_equal(ss_queued(seen.last), 0);
		for (received = 0; received < 3 * BLOB_SIZE;) {
			ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
			for (ssize_t i = 0; i < n; i++)
				assert_int_equal(got[i], blob_byte(received++));
			loop_turn(&loop, n > 0 ? 0 : 20);
		}
		close(fd);
		turns(3);
		assert_int_equal(set.count, 0);
	}
}

/* How long it takes until the connection has ended, when nothing more is done. */
static int64_t ends_by_itself(void)
{
	int64_t start = loop.now;

	while (set.count)
		loop_turn(&loop, -1);
	return loop.now - start;
}

static void silent_client_gets_its_fin(void **state)
{
	(void)state;
	section.timeouts.first_byte_ms = 60;
	section.timeouts.idle_ms = 10000;
	int fd = connect_tcp(0, 0);
	turns(1);
	int64_t took = ends_by_itself();
	assert_in_range(took, 60 + 50, 60 + 50 + 500); /* and the lingering close */
	assert_int_equal(seen.reason, SS_FIRST_BYTE_TIMEOUT);
	reads_eof(fd);
	close(fd);
}

static void first_byte_in_time_and_then_idle(void **state)
{
	(void)state;
	section.timeouts.first_byte_ms = 60;
	section.timeouts.idle_ms = 200;
	int fd = connect_tcp(0, 0);
	turns(1);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	int64_t took = ends_by_itself();
	assert_in_range(took, 200 + 50, 200 + 50 + 500);
	assert_int_equal(seen.reason, SS_IDLE_TIMEOUT);
	close(fd);
}

static void activity_moves_the_idle_time(void **state)
{
	char byte;

	(void)state;
	section.timeouts.idle_ms = 500; /* far more than a busy machine stands still */
	int fd = connect_tcp(0, 0);
	turns(1);
	int64_t start = loop.now, last = start;
	while (loop.now - start < 1000) {
		loop_turn(&loop, 5);
		if (loop.now - last < 50)
			continue;
		last = loop.now;
		assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
		turns(1);
		assert_int_equal(recv(fd, &byte, 1, 0), 1);
	}
	assert_int_equal(set.count, 1);
	ends_by_itself();
	assert_int_equal(seen.reason, SS_IDLE_TIMEOUT);
	close(fd);
}

/* Nearly full: a tenth to the whole of the idle time is left, as there is room. */
static void idle_time_shrinks_under_pressure(void **state)
{
	(void)state;
	section.timeouts.idle_ms = 1000;
	service.max_connections = 1;
	int fd = connect_tcp(0, 0);
	turns(1);
	assert_int_equal(service_idle_ms(&service), 100);
	ends_by_itself();
	assert_int_equal(seen.reason, SS_IDLE_TIMEOUT);
	close(fd);
	service.max_connections = 4;
	assert_int_equal(service_idle_ms(&service), 1000);
}

static void lifetime_ends_the_busiest(void **state)
{
	char byte;

	(void)state;
	section.timeouts.lifetime_ms = 100;
	int fd = connect_tcp(0, 0);
	turns(1);
	while (send(fd, "x", 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) != 0)
		loop_turn(&loop, 5);
	close(fd);
	ends_by_itself();
	assert_int_equal(seen.reason, SS_LIFETIME);
}

/* The server ends it, and the client goes on sending: it is cut off, for the first reason. */
static void who_sends_on_after_the_end(void **state)
{
	static char junk[65536];

	(void)state;
	section.timeouts.lifetime_ms = 50;
	section.timeouts.linger_ms = 60000;
	int fd = connect_tcp(0, 0);
	turns(1);
	while (set.count) {
		loop_turn(&loop, 5);
		if (recv(fd, junk, 1, MSG_DONTWAIT) == 0)
			send(fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	assert_int_equal(seen.reason, SS_LIFETIME);
	close(fd);
}

/* It may not take what is left for longer than the lingering close: then it is told by a reset. */
static void lifetime_ends_the_deaf(void **state)
{
	static char junk[65536];

	(void)state;
	section.timeouts.lifetime_ms = 100;
	int fd = connect_tcp(4096, 4096);
	while (!seen.last || !ss_queued(seen.last)) {
		send(fd, junk, sizeof(junk), MSG_DONTWAIT);
		turns(1);
	}
	assert_in_range(ends_by_itself(), 100, 1000);
	assert_int_equal(seen.reason, SS_LIFETIME);
	while (recv(fd, junk, sizeof(junk), 0) > 0)
		;
	assert_int_equal(errno, ECONNRESET);
	close(fd);
}

/* Without a time for writing it is the lifetime that ends who does not take its answer. */
static void lifetime_ends_a_close_that_waits(void **state)
{
	static char junk[65536];

	(void)state;
	section.timeouts.lifetime_ms = 200;
	int fd = connect_tcp(4096, 4096);
	while (!seen.last || !ss_queued(seen.last)) {
		send(fd, junk, sizeof(junk), MSG_DONTWAIT);
		turns(1);
	}
	ss_close(seen.last);
	assert_in_range(ends_by_itself(), 100, 1000);
	assert_int_equal(seen.reason, SS_LIFETIME);
	close(fd);
}

/* A client that takes nothing is reset, so that the kernel's memory comes back too. */
static void who_takes_nothing_is_reset(void **state)
{
	static char junk[65536];

	(void)state;
	section.timeouts.write_ms = 80;
	section.timeouts.idle_ms = 10000;
	int fd = connect_tcp(4096, 4096);
	while (!seen.last || !ss_queued(seen.last)) {
		send(fd, junk, sizeof(junk), MSG_DONTWAIT);
		turns(1);
	}
	ends_by_itself();
	assert_int_equal(seen.reason, SS_WRITE_TIMEOUT);
	while (recv(fd, junk, sizeof(junk), 0) > 0)
		;
	assert_int_equal(errno, ECONNRESET);
	close(fd);
}

/* The same for a producer that queues nothing here. */
static void who_takes_no_blob_is_reset(void **state)
{
	(void)state;
	service.handler = &produces;
	section.timeouts.write_ms = 80;
	int fd = connect_tcp(4096, 4096);
	turns(1);
	assert_true(ends_by_itself() >= 80);
	close(fd);
}

/* That it sends does not help who takes nothing. */
static void sending_is_not_taking(void **state)
{
	(void)state;
	service.handler = &produces;
	section.timeouts.write_ms = 80;
	int fd = connect_tcp(4096, 4096);
	turns(1);
	int64_t start = loop.now;
	while (set.count && loop.now - start < 5000) {
		send(fd, "x", 1, MSG_NOSIGNAL);
		loop_turn(&loop, 10);
	}
	assert_int_equal(set.count, 0);
	close(fd);
}

static void output_has_a_limit(void **state)
{
	static char junk[65536];

	(void)state;
	section.limits.output = 1000;
	int fd = connect_tcp(4096, 4096);
	for (int i = 0; i < 1000 && !seen.closed; i++) {
		send(fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL);
		turns(1);
	}
	assert_int_equal(seen.reason, SS_OUTPUT_FULL);
	close(fd);
}

/* 100 000 bytes a second, a second's worth at once: 150 000 have to wait, and none is lost. */
static void bandwidth_is_kept(void **state)
{
	static char junk[150000], got[150000];
	size_t sent = 0, received = 0;

	(void)state;
	section.limits.bandwidth = 100000;
	int fd = connect_tcp(0, 0);
	turns(1);
	int64_t start = loop.now;
	while (received < sizeof(junk)) {
		ssize_t n = send(fd, junk + sent, sizeof(junk) - sent, MSG_DONTWAIT);
		sent += n > 0 ? (size_t)n : 0;
		loop_turn(&loop, 5);
		n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
		received += n > 0 ? (size_t)n : 0;
	}
	/* The piece that crosses the line comes whole: 64 KiB at most. */
	assert_true(loop.now - start >= 280);
	send(fd, "more", 4, 0);
	while (recv(fd, got, sizeof(got), MSG_DONTWAIT) < 0)
		loop_turn(&loop, 5);
	assert_true(loop.now - start >= 480);
	close(fd);
	turns(1);
}

/* The pace makes the client wait: that is not its idleness, and its end is seen at once. */
static void pace_and_time_outs(void **state)
{
	static char junk[6000], got[6000];
	size_t received = 0;
	struct linger now = { .l_onoff = 1 };

	(void)state;
	section.limits.bandwidth = 4000;
	section.timeouts.idle_ms = 200;
	int fd = connect_tcp(0, 0);
	assert_int_equal(send(fd, junk, sizeof(junk), 0), sizeof(junk));
	while (received < sizeof(junk)) {
		ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		received += n > 0 ? (size_t)n : 0;
		loop_turn(&loop, 5);
	}
	assert_int_equal(send(fd, junk, 100, 0), 100);
	turns(2); /* it waits for its pace now */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	turns(2);
	assert_int_equal(set.count, 0);
	assert_int_equal(seen.reason, SS_RESET);
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

static void count_end(struct connection_set *s, struct service *of)
{
	(void)s;
	assert_ptr_equal(of, &service);
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

/* It neither reads nor closes, and output waits for it: the lingering close bounds that too. */
static void finish_does_not_wait_for_the_deaf(void **state)
{
	static char junk[65536];

	(void)state;
	int fd = connect_tcp(4096, 4096);
	while (!seen.last || !ss_queued(seen.last)) {
		send(fd, junk, sizeof(junk), MSG_DONTWAIT);
		turns(1);
	}
	connection_set_finish(&set);
	assert_in_range(ends_by_itself(), 30, 1000);
	assert_int_equal(seen.reason, SS_DRAIN);
	close(fd);
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
	peer = (struct peer){ .is_unix = true, .by_unix = true, .pid = 7, .uid = 1000 };
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
		TEST(close_while_waiting_bytes_are_delivered),
		TEST(a_turn_is_shared),
		TEST(bytes_behind_a_descriptor),
		TEST(gone_after_its_fin),
		TEST(close_with_output_reads_on),
		TEST(discarded_bytes_are_counted),
		TEST(blob_goes_on_where_it_stopped),
		TEST(silent_client_gets_its_fin),
		TEST(first_byte_in_time_and_then_idle),
		TEST(activity_moves_the_idle_time),
		TEST(idle_time_shrinks_under_pressure),
		TEST(lifetime_ends_the_busiest),
		TEST(who_sends_on_after_the_end),
		TEST(lifetime_ends_the_deaf),
		TEST(lifetime_ends_a_close_that_waits),
		TEST(who_takes_nothing_is_reset),
		TEST(who_takes_no_blob_is_reset),
		TEST(sending_is_not_taking),
		TEST(output_has_a_limit),
		TEST(bandwidth_is_kept),
		TEST(pace_and_time_outs),
		TEST(close_from_outside_a_callback),
		TEST(finish_sends_fin_to_all),
		TEST(finish_does_not_wait_for_the_deaf),
		TEST(abort_ends_at_once),
		cmocka_unit_test(peers_are_named),
	};

	signal(SIGPIPE, SIG_IGN); /* as main() does: sendfile() has no MSG_NOSIGNAL */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
