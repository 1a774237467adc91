/* SPDX-License-Identifier: MIT */
/* An acceptor in a loop of its own: limits hold, pauses end by themselves, nothing spins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "acceptor.h"

static struct loop loop;
static struct connection_set set;
static struct acceptor acceptor;
static struct settings_socket section;
static struct capacity capacity;
static struct service service;
static struct listener listener;
static union peer_address address;
static socklen_t length;

static const struct ss_handler handler = { .size = sizeof(handler), .name = "test" };

static struct connection_set *place(struct acceptor *a)
{
	(void)a;
	return &set;
}

/* What the workers do when there is room again. */
static void on_freed(struct acceptor *a)
{
	if (service_take_full(&service))
		acceptor_room(a);
}

static void on_ended(struct connection_set *s, struct service *of)
{
	(void)s;
	assert_ptr_equal(of, &service);
	on_freed(&acceptor);
}

static int setup(void **state)
{
	(void)state;
	section = (struct settings_socket){ .name = (char *)"test", .timeouts.linger_ms = 50 };
	section.limits.output = 1 << 20;
	capacity = (struct capacity){ .max_connections = 100, .max_output = 1 << 24 };
	service = (struct service){
		.section = &section,
		.name = "test",
		.handler = &handler,
		.capacity = &capacity,
		.max_connections = 100,
		.rate_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	listener = (struct listener){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
				      .service = &service,
				      .paused_logged = INT64_MIN / 2 };
	address.in = (struct sockaddr_in){ .sin_family = AF_INET,
					   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	length = sizeof(address.in);
	assert_int_equal(bind(listener.fd, &address.any, length), 0);
	assert_int_equal(listen(listener.fd, 200), 0);
	assert_int_equal(getsockname(listener.fd, &address.any, &length), 0);
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(connection_set_init(&set, &loop, NULL, 0, NULL), 0);
	connection_set_enter(&set);
	set.ended = on_ended;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	acceptor_stop(&acceptor);
	connection_set_abort(&set);
	loop_turn(&loop, 0);
	connection_set_deinit(&set);
	loop_deinit(&loop);
	service.sources[0].table = sources_free(service.sources[0].table);
	close(listener.fd);
	assert_int_equal(service.open, 0);
	assert_int_equal(capacity.connections, 0);
	return 0;
}

static void start(void)
{
	assert_int_equal(acceptor_start(&acceptor, &loop, &listener, place, on_freed, NULL), 0);
}

static int connect_from(const char *source)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(inet_pton(AF_INET, source, &from.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, &address.any, length), 0);
	return fd;
}

static int connect_one(void)
{
	return connect_from("127.0.0.1");
}

/* Until nothing is left to do at once. */
static void settle(void)
{
	for (int i = 0; i < 20; i++)
		loop_turn(&loop, 0);
}

static bool is_closed(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void who_waits_since_before_the_start_is_served(void **state)
{
	int fds[30];

	(void)state;
	for (int i = 0; i < 30; i++)
		fds[i] = connect_one();
	start();
	settle();
	assert_int_equal(set.count, 30);
	assert_int_equal(service.accepted, 30);
	for (int i = 0; i < 30; i++)
		close(fds[i]);
}

static void at_the_limit_they_wait_in_the_backlog(void **state)
{
	int fds[5];

	(void)state;
	service.max_connections = 3;
	start();
	for (int i = 0; i < 5; i++)
		fds[i] = connect_one();
	settle();
	assert_int_equal(set.count, 3);
	assert_false(acceptor.watching);
	for (int i = 0; i < 5; i++)
		assert_false(is_closed(fds[i]));
	close(fds[0]);
	close(fds[1]);
	settle(); /* no time passes: the end of a connection lets the next one in */
	assert_int_equal(set.count, 3);
	assert_int_equal(service.accepted, 5);
	for (int i = 2; i < 5; i++)
		close(fds[i]);
}

/* The process is full with connections of another service: nobody tells, so it looks itself. */
static void room_elsewhere_is_found_by_itself(void **state)
{
	(void)state;
	capacity.max_connections = 1;
	capacity.connections = 1;
	start();
	int fd = connect_one();
	settle();
	assert_int_equal(set.count, 0);
	capacity.connections = 0;
	service_take_full(&service); /* as if nobody had told */
	while (!set.count)
		loop_turn(&loop, -1);
	close(fd);
}

/* The last connection of another service ends, and with it its mark that the process was full. */
static void room_in_the_process_is_told(void **state)
{
	struct service other = { .section = &section, .capacity = &capacity, .max_connections = 9 };

	(void)state;
	capacity.max_connections = 1;
	assert_true(service_reserve(&other));
	start();
	int fd = connect_one();
	settle();
	assert_int_equal(set.count, 0);
	service_unreserve(&other);
	assert_true(service_take_full(&other));
	acceptor_room(&acceptor);
	settle();
	assert_int_equal(set.count, 1);
	close(fd);
}

static void at_the_limit_they_are_refused(void **state)
{
	(void)state;
	section.limits.refuse = true;
	service.max_connections = 1;
	start();
	int first = connect_one(), second = connect_one();
	settle();
	assert_int_equal(set.count, 1);
	assert_false(is_closed(first));
	assert_true(is_closed(second));
	assert_int_equal(service.turned_away[SERVICE_FULL], 1);
	close(first);
	close(second);
}

static void each_source_has_its_own_limit(void **state)
{
	(void)state;
	service.sources[0].limits =
		(struct source_limits){ .connections = 2, .prefix_v4 = 32, .prefix_v6 = 64 };
	service.sources[0].table = sources_new(16);
	start();
	int bad[3], good;
	for (int i = 0; i < 3; i++)
		bad[i] = connect_from("127.0.0.2");
	good = connect_from("127.0.0.3");
	settle();
	assert_int_equal(set.count, 3);
	assert_true(is_closed(bad[2]));
	assert_false(is_closed(good));
	assert_int_equal(service.turned_away[SERVICE_TOO_MANY], 1);
	close(bad[0]);
	close(bad[2]);
	settle();
	bad[0] = connect_from("127.0.0.2");
	settle();
	assert_false(is_closed(bad[0]));
	close(bad[0]);
	close(bad[1]);
	close(good);
}

static void who_is_denied_is_closed_and_counted(void **state)
{
	struct access_prefix prefix;
	char problem[ACCESS_PROBLEM_MAX];

	(void)state;
	assert_int_equal(access_parse_prefix("127.0.0.2", &prefix, problem), 0);
	prefix.allow = false;
	assert_int_equal(access_add_prefix(&section.access, &prefix), 0);
	start();
	int denied = connect_from("127.0.0.2"), allowed = connect_from("127.0.0.3");
	settle();
	assert_int_equal(set.count, 1);
	assert_true(is_closed(denied));
	assert_false(is_closed(allowed));
	assert_int_equal(service.turned_away[SERVICE_DENIED], 1);
	close(denied);
	close(allowed);
	access_deinit(&section.access);
}

/* 20 a second, two at once: the third waits for about 50 ms, in the backlog, and is then served. */
static void the_rate_pauses_and_recovers(void **state)
{
	int fds[4];

	(void)state;
	section.limits.rate = 20;
	section.limits.burst = 2;
	start();
	for (int i = 0; i < 4; i++)
		fds[i] = connect_one();
	int64_t begin = loop.now;
	settle();
	assert_int_equal(set.count, 2);
	assert_false(acceptor.watching);
	while (set.count < 4)
		loop_turn(&loop, -1);
	assert_true(loop.now - begin >= 90);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

static void without_descriptors_it_backs_off(void **state)
{
	struct rlimit old, low;

	(void)state;
	start();
	int fd = connect_one(), next = dup(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = old.rlim_max };
	close(next);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	uint64_t turns = loop.turns;
	while (acceptor.pause_ms < 200)
		loop_turn(&loop, -1);
	assert_true(loop.turns - turns < 20); /* it slept in between */
	assert_int_equal(set.count, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	while (!set.count)
		loop_turn(&loop, -1);
	assert_int_equal(acceptor.pause_ms, 0);
	close(fd);
}

static void a_broken_listener_is_left_alone(void **state)
{
	(void)state;
	start();
	assert_int_equal(shutdown(listener.fd, SHUT_RDWR), 0);
	settle();
	assert_false(acceptor.watching);
	uint64_t turns = loop.turns;
	loop_turn(&loop, 20);
	assert_int_equal(loop.turns, turns + 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(who_waits_since_before_the_start_is_served),
		TEST(at_the_limit_they_wait_in_the_backlog),
		TEST(room_elsewhere_is_found_by_itself),
		TEST(room_in_the_process_is_told),
		TEST(at_the_limit_they_are_refused),
		TEST(each_source_has_its_own_limit),
		TEST(who_is_denied_is_closed_and_counted),
		TEST(the_rate_pauses_and_recovers),
		TEST(without_descriptors_it_backs_off),
		TEST(a_broken_listener_is_left_alone),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
