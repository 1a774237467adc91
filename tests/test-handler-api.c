/* SPDX-License-Identifier: MIT */
/* What a handler may ask of the server beyond bytes: timer, jobs, counters; and what it must not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "connection.h"
#include "guard.h"

static struct loop loop;
static struct connection_set set;
static struct pool pool;

/* What the handler under test does on each line, by its first letter, and what it saw. */
static struct {
	int timers, done, done_alone, closed, eofs;
	enum ss_reason reason;
	int64_t timer_ms;
	int offload_again, write_in_close, worker_starts, worker_stops;
	size_t rest;
	char rest_bytes[64];
	char lines[256];
	struct ss_connection *last;
} seen;

/* A gate at which jobs wait. */
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static bool gate_open;

static void open_gate(void)
{
	pthread_mutex_lock(&gate_lock);
	gate_open = true;
	pthread_cond_broadcast(&gate_changed);
	pthread_mutex_unlock(&gate_lock);
}

static void wait_at_gate(void *job)
{
	pthread_mutex_lock(&gate_lock);
	while (!gate_open)
		pthread_cond_wait(&gate_changed, &gate_lock);
	pthread_mutex_unlock(&gate_lock);
	*(int *)job += 1;
}

static void job_done(struct ss_connection *c, void *job)
{
	assert_int_equal(*(int *)job, 42);
	free(job);
	seen.done++;
	if (c)
		ss_write(c, "done\n", 5);
	else
		seen.done_alone++;
}

static void offload(struct ss_connection *c)
{
	int *job = malloc(sizeof(*job));

	*job = 41;
	assert_int_equal(ss_offload(c, wait_at_gate, job_done, job), 0);
	seen.offload_again = ss_offload(c, wait_at_gate, job_done, job);
}

static void big_answer(struct ss_connection *c)
{
	static char bytes[400000];

	assert_int_equal(ss_write(c, bytes, sizeof(bytes)), 0);
}

static void close_behind_a_big_answer(struct ss_connection *c)
{
	static char bytes[4 << 20];

	assert_int_equal(ss_write(c, bytes, sizeof(bytes)), -ENOBUFS);
	ss_close(c);
}

static void each_line(struct ss_connection *c, const char *line, size_t length)
{
	if (!line) {
		ss_write(c, "too long\n", 9);
		return;
	}
	strncat(seen.lines, line, length);
	if (line[0] == 'j')
		offload(c);
	else if (line[0] == 't')
		ss_set_timer(c, 1);
	else if (line[0] == 'c')
		ss_close(c);
	else if (line[0] == 'n')
		ss_count(c, 1, 5);
	else if (line[0] == 'm')
		ss_count(c, 2, 5);
	else if (line[0] == 'b')
		big_answer(c);
	else if (line[0] == 'B')
		close_behind_a_big_answer(c);
	else
		ss_write(c, "ok\n", 3);
}

static int test_open(struct ss_connection *c)
{
	seen.last = c;
	return 0;
}

static size_t test_data(struct ss_connection *c, const void *bytes, size_t length)
{
	return ss_lines(c, bytes, length, 100, each_line);
}

static size_t greedy_data(struct ss_connection *c, const void *bytes, size_t length)
{
	(void)c;
	(void)bytes;
	return length + 1;
}

static void test_timer(struct ss_connection *c)
{
	seen.timers++;
	ss_write(c, "time\n", 5);
}

static void test_eof(struct ss_connection *c)
{
	const void *rest;

	seen.eofs++;
	seen.rest = ss_rest(c, &rest);
	ss_close(c);
	if (seen.rest)
		memcpy(seen.rest_bytes, rest, seen.rest);
}

static void test_close(struct ss_connection *c, enum ss_reason reason)
{
	seen.closed++;
	seen.reason = reason;
	seen.write_in_close = ss_write(c, "x", 1);
}

static int test_worker_start(struct ss_worker *worker)
{
	assert_int_equal(ss_worker_index(worker), 3);
	assert_string_equal(ss_service_name(ss_worker_service(worker)), "test");
	ss_set_worker_state(worker, &seen);
	return seen.worker_starts++ ? EIO : 0; /* the sign was forgotten */
}

static void test_worker_stop(struct ss_worker *worker)
{
	assert_ptr_equal(ss_worker_state(worker), &seen);
	seen.worker_stops++;
}

static const char *const counters[] = { "zero", "one", NULL };

static const struct ss_handler handler = {
	.size = sizeof(handler),
	.abi = SS_ABI,
	.name = "test",
	.flags = SS_OFFLOADS,
	.counters = counters,
	.worker_start = test_worker_start,
	.worker_stop = test_worker_stop,
	.open = test_open,
	.data = test_data,
	.timer = test_timer,
	.eof = test_eof,
	.close = test_close,
};

static struct settings_socket section = { .name = (char *)"test" };
static struct capacity capacity = { .max_connections = 1000, .max_output = 1 << 24 };
static struct service service = {
	.section = &section, .name = "test", .capacity = &capacity, .max_connections = 1000
};
static const struct services services = { .list = &service, .count = 1, .capacity = &capacity };

static void on_busy(struct pool *unused)
{
	(void)unused;
}

static int setup(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	gate_open = false;
	service.handler = &handler;
	section.timeouts = (struct settings_timeouts){ .linger_ms = 50 };
	section.limits = (struct settings_limits){ .output = 1 << 20 };
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(pool_start(&pool, 2, &loop, on_busy), 0);
	connection_set_enter(&set);
	return connection_set_init(&set, &loop, &services, 3, &pool);
}

static int teardown(void **state)
{
	(void)state;
	open_gate();
	connection_set_abort(&set);
	while (set.jobs)
		loop_turn(&loop, -1);
	pool_stop(&pool);
	assert_int_equal(service.open, 0);
	loop_turn(&loop, 0);
	connection_set_deinit(&set);
	loop_deinit(&loop);
	return 0;
}

static int connect_unix(void)
{
	int pair[2];
	struct peer peer = { .is_unix = true, .by_unix = true, .pid = 1 };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			 0);
	assert_true(service_reserve(&service));
	assert_int_equal(connection_place(&set, &service, &section, pair[1], &peer), 0);
	return pair[0];
}

static void turns(int n)
{
	while (n-- > 0)
		loop_turn(&loop, 0);
}

static int say(const char *text)
{
	int fd = connect_unix();

	assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	turns(2);
	return fd;
}

static void reads(int fd, const char *expected)
{
	char got[256] = "";

	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
	assert_true(n >= 0 || *expected == '\0');
	assert_string_equal(got, expected);
}

static void timer_comes_once(void **state)
{
	(void)state;
	int fd = say("t\n");
	while (!seen.timers)
		loop_turn(&loop, -1);
	reads(fd, "time\n");
	ss_set_timer(seen.last, 100000);
	ss_set_timer(seen.last, -1);
	assert_true(timer_wheel_next(&loop.timers) == INT64_MAX || seen.timers == 1);
	close(fd);
}

/* The idle time is the nearer one at first, and then is still kept. */
static void timer_and_timeout(void **state)
{
	(void)state;
	section.timeouts.idle_ms = 60;
	int fd = say("t\n");
	while (!seen.closed)
		loop_turn(&loop, -1);
	assert_int_equal(seen.timers, 1);
	assert_int_equal(seen.reason, SS_IDLE_TIMEOUT);
	reads(fd, "time\n");
	close(fd);
}

static void job_holds_back_what_follows(void **state)
{
	(void)state;
	int fd = say("j\nx\ny\n");
	assert_string_equal(seen.lines, "j");
	assert_int_equal(seen.offload_again, -EBUSY);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	turns(3);
	assert_int_equal(seen.eofs, 0);
	reads(fd, "");
	open_gate();
	while (!seen.closed)
		loop_turn(&loop, -1);
	assert_string_equal(seen.lines, "jxy");
	reads(fd, "done\nok\nok\n");
	assert_int_equal(seen.reason, SS_PEER_CLOSED);
	close(fd);
}

static void job_outlives_its_connection(void **state)
{
	(void)state;
	int fd = say("j\n");
	connection_set_abort(&set);
	turns(1);
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.done, 0);
	open_gate();
	while (set.jobs)
		loop_turn(&loop, -1);
	assert_int_equal(seen.done_alone, 1);
	close(fd);
}

static void job_of_a_closed_connection(void **state)
{
	(void)state;
	int fd = say("j\n");
	ss_close(seen.last);
	turns(1);
	open_gate();
	while (set.jobs)
		loop_turn(&loop, -1);
	assert_int_equal(seen.done_alone, 1);
	close(fd);
}

/* What stands behind an answer that the peer does not take waits, however much it is. */
static void output_holds_back_what_follows(void **state)
{
	static char got[500000];
	size_t n = 0;

	(void)state;
	int fd = say("b\nx\n");
	assert_string_equal(seen.lines, "b");
	while (n < 400003) {
		ssize_t more = recv(fd, got + n, sizeof(got) - n, 0);
		if (more > 0)
			n += (size_t)more;
		loop_turn(&loop, 0);
	}
	assert_int_equal(n, 400003);
	assert_memory_equal(got + 400000, "ok\n", 3);
	close(fd);
}

/* What has no end of line is there at the end, also behind ss_close(). */
static void rest_at_the_end(void **state)
{
	(void)state;
	int fd = say("x\nabc");
	reads(fd, "ok\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	turns(2);
	assert_int_equal(seen.eofs, 1);
	assert_int_equal(seen.rest, 3);
	assert_memory_equal(seen.rest_bytes, "abc", 3);
	close(fd);
}

/* An answer that is too large is cut off, and a close behind it does not hide that. */
static void failure_stays_the_reason(void **state)
{
	(void)state;
	section.limits.output = 65536;
	int fd = say("B\n");
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.reason, SS_OUTPUT_FULL);
	close(fd);
}

static void overlong_line(void **state)
{
	char line[150];

	(void)state;
	memset(line, 'a', sizeof(line));
	line[149] = '\0';
	int fd = say(line);
	reads(fd, "too long\n");
	close(fd);
	while (!seen.closed)
		loop_turn(&loop, -1);
	assert_int_equal(seen.closed, 1);
}

static void counters_count(void **state)
{
	(void)state;
	int fd = say("n\nn\n");
	assert_int_equal(set.places[0].counters[1], 10);
	assert_int_equal(set.places[0].counters[0], 0);
	close(fd);
	fd = say("m\n"); /* out of range: named, and nothing else */
	assert_int_equal(send(fd, "x\n", 2, 0), 2);
	turns(2);
	reads(fd, "ok\n");
	close(fd);
}

static void took_too_much(void **state)
{
	struct ss_handler greedy = handler;

	(void)state;
	greedy.data = greedy_data;
	service.handler = &greedy;
	int fd = say("x\n");
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.reason, SS_MISUSE);
	service.handler = &handler;
	close(fd);
}

static void writes_too_late(void **state)
{
	(void)state;
	int fd = say("c\n");
	assert_int_equal(ss_write(seen.last, "late", 4), -EPIPE);
	close(fd);
	while (!seen.closed)
		loop_turn(&loop, -1);
	assert_int_equal(seen.write_in_close, -EPIPE);
	assert_int_equal(seen.reason, SS_HANDLER_CLOSED);
}

static void *call_from_elsewhere(void *argument)
{
	struct ss_connection *c = argument;

	assert_int_equal(ss_write(c, "x", 1), -EPIPE);
	assert_int_equal(ss_offload(c, wait_at_gate, job_done, NULL), -EPERM);
	ss_close(c);
	ss_discard(c);
	ss_set_timer(c, 1);
	ss_want_writable(c);
	return NULL;
}

static void foreign_thread(void **state)
{
	pthread_t thread;

	(void)state;
	int fd = say("x\n");
	reads(fd, "ok\n");
	assert_int_equal(pthread_create(&thread, NULL, call_from_elsewhere, seen.last), 0);
	pthread_join(thread, NULL);
	assert_int_equal(send(fd, "x\n", 2, 0), 2);
	turns(2);
	reads(fd, "ok\n");
	assert_int_equal(seen.timers, 0);
	close(fd);
}

static void timer_without_a_callback(void **state)
{
	struct ss_handler other = handler;

	(void)state;
	other.timer = NULL;
	other.flags = 0;
	service.handler = &other;
	int fd = say("t\n");
	assert_int_equal(seen.reason, SS_MISUSE);
	service.handler = &handler;
	close(fd);
}

/* A guarded handler behaves as the real one. */
static void guarded(void **state)
{
	struct guard guard = { .real = handler };

	(void)state;
	guard_init(&guard);
	service.handler = &guard.handler;
	int fd = say("x\nj\n");
	reads(fd, "ok\n");
	open_gate();
	while (!seen.done)
		loop_turn(&loop, -1);
	reads(fd, "done\n");
	assert_int_equal(send(fd, "t\n", 2, 0), 2);
	while (!seen.timers)
		loop_turn(&loop, -1);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	while (!seen.closed)
		loop_turn(&loop, -1);
	assert_int_equal(seen.eofs, 1);
	assert_int_equal(seen.reason, SS_PEER_CLOSED);
	close(fd);
	service.handler = &handler;
}

static void workers_places(void **state)
{
	(void)state;
	assert_int_equal(places_start(set.places, 1), 0);
	assert_int_equal(places_start(set.places, 1), -EIO);
	places_stop(set.places, 1);
	assert_int_equal(seen.worker_stops, 0); /* the second start failed */
	seen.worker_starts = 0;
	assert_int_equal(places_start(set.places, 1), 0);
	places_stop(set.places, 1);
	places_stop(set.places, 1);
	assert_int_equal(seen.worker_stops, 1);
}

static void frames(void **state)
{
	struct ss_slice frame;
	static const unsigned char prefixed[] = { 0, 3, 'a', 'b', 'c', 0, 0 };

	(void)state;
	assert_int_equal(ss_frame_line("ab\r\ncd", 6, 2, &frame), 4);
	assert_int_equal(frame.length, 2);
	assert_int_equal(ss_frame_line("\n", 1, 0, &frame), 1);
	assert_int_equal(frame.length, 0);
	assert_int_equal(ss_frame_line("ab", 2, 2, &frame), 0);
	assert_int_equal(ss_frame_line("ab\r", 3, 2, &frame), 0);
	assert_int_equal(ss_frame_line("abc", 3, 2, &frame), SS_TOO_LONG);
	assert_int_equal(ss_frame_line("abc\n", 4, 2, &frame), SS_TOO_LONG);
	assert_int_equal(ss_frame_prefixed(prefixed, 1, 2, 3, &frame), 0);
	assert_int_equal(ss_frame_prefixed(prefixed, 4, 2, 3, &frame), 0);
	assert_int_equal(ss_frame_prefixed(prefixed, 5, 2, 3, &frame), 5);
	assert_int_equal(frame.length, 3);
	assert_memory_equal(frame.bytes, "abc", 3);
	assert_int_equal(ss_frame_prefixed(prefixed + 5, 2, 2, 3, &frame), 2);
	assert_int_equal(frame.length, 0);
	assert_int_equal(ss_frame_prefixed(prefixed, 2, 2, 2, &frame), SS_TOO_LONG);
	assert_int_equal(ss_frame_prefixed("\xff\xff\xff\xff\xff\xff\xff\xff", 8, 8, 9, &frame),
			 SS_TOO_LONG);
	assert_int_equal(ss_frame_exact("abc", 3, 4, &frame), 0);
	assert_int_equal(ss_frame_exact("abc", 3, 2, &frame), 2);
	assert_int_equal(frame.length, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(timer_comes_once),
		TEST(timer_and_timeout),
		TEST(job_holds_back_what_follows),
		TEST(job_outlives_its_connection),
		TEST(job_of_a_closed_connection),
		TEST(output_holds_back_what_follows),
		TEST(rest_at_the_end),
		TEST(failure_stays_the_reason),
		TEST(overlong_line),
		TEST(counters_count),
		TEST(took_too_much),
		TEST(writes_too_late),
		TEST(foreign_thread),
		TEST(timer_without_a_callback),
		TEST(guarded),
		TEST(workers_places),
		cmocka_unit_test(frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
