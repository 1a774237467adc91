/* SPDX-License-Identifier: MIT */
/*
 * The forward handler and its parts against a server, a name server and a clock that are made up
 * here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "handlers/forward-choice.h"
#include "handlers/forward-names.h"
#include "handlers/forward-settings.h"
#include "handlers/forward-targets.h"
#include "simple-server.h"

#define LINES_MAX    128
#define CONNECTS_MAX 512
#define PENDING      1 /* in a script: ss_connect() returns 0, and the test goes on */

extern const struct ss_handler forward_handler;

/* --- the clock */

static _Atomic int64_t now = 1000000;

/* In place of the C library's. */
int clock_gettime(clockid_t id, struct timespec *ret)
{
	if (id != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, id, ret);
	*ret = (struct timespec){ .tv_sec = now / 1000, .tv_nsec = now % 1000 * 1000000 };
	return 0;
}

/* --- the journal */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char lines[LINES_MAX][400];
static size_t n_lines;

void ss_log(const struct ss_connection *connection, int priority, const char *format, ...)
{
	va_list args;

	(void)connection;
	(void)priority;
	pthread_mutex_lock(&log_lock);
	assert_true(n_lines < LINES_MAX);
	va_start(args, format);
	vsnprintf(lines[n_lines++], sizeof(lines[0]), format, args);
	va_end(args);
	pthread_mutex_unlock(&log_lock);
}

static size_t logged(const char *part)
{
	size_t n = 0;

	pthread_mutex_lock(&log_lock);
	for (size_t i = 0; i < n_lines; i++)
		n += strstr(lines[i], part) != NULL;
	pthread_mutex_unlock(&log_lock);
	return n;
}

/* --- the name server: each name is answered by a text of addresses, "" by an error */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char answer[256];
	bool is_stuck;
	unsigned asked;
} dns = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static struct addrinfo *answer_of(const char *address, struct addrinfo *next)
{
	struct addrinfo *info = calloc(1, sizeof(*info) + sizeof(struct sockaddr_in6));
	struct sockaddr_in *in = (struct sockaddr_in *)(info + 1);
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(info + 1);

	info->ai_addr = (struct sockaddr *)(info + 1);
	info->ai_next = next;
	if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
	} else {
		assert_int_equal(inet_pton(AF_INET6, address, &in6->sin6_addr), 1);
		in6->sin6_family = AF_INET6;
	}
	return info;
}

/* In place of the C library's, as is the next. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	char answer[256], *word, *rest = answer, *words[64];
	size_t n = 0;

	assert_null(service);
	assert_int_equal(hints->ai_socktype, SOCK_STREAM);
	pthread_mutex_lock(&dns.lock);
	dns.asked++;
	pthread_cond_broadcast(&dns.changed);
	while (dns.is_stuck)
		pthread_cond_wait(&dns.changed, &dns.lock);
	strcpy(answer, *host == 'x' ? "" : dns.answer);
	pthread_mutex_unlock(&dns.lock);
	while ((word = strsep(&rest, " ")) && *word)
		words[n++] = word;
	if (n == 0)
		return EAI_AGAIN;
	for (*ret = NULL; n > 0; n--)
		*ret = answer_of(words[n - 1], *ret);
	return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
	while (list) {
		struct addrinfo *next = list->ai_next;
		free(list);
		list = next;
	}
}

static void set_dns(const char *answer, bool is_stuck)
{
	pthread_mutex_lock(&dns.lock);
	strcpy(dns.answer, answer);
	dns.is_stuck = is_stuck;
	pthread_cond_broadcast(&dns.changed);
	pthread_mutex_unlock(&dns.lock);
}

static unsigned asked(void)
{
	pthread_mutex_lock(&dns.lock);
	unsigned n = dns.asked;
	pthread_mutex_unlock(&dns.lock);
	return n;
}

static void wait_for_question(unsigned n)
{
	pthread_mutex_lock(&dns.lock);
	while (dns.asked < n)
		pthread_cond_wait(&dns.changed, &dns.lock);
	pthread_mutex_unlock(&dns.lock);
}

/* --- the server */

struct ss_service {
	void *state;
	struct forward_settings settings;
};

struct ss_connection {
	struct ss_service *service;
	void *state;
	bool is_opening, is_paused, is_joined, has_failed, was_reset;
	enum ss_reason reason;
	int64_t timer; /* -1: not set */
	char written[SS_PROXY_HEADER_MAX];
	size_t n_written;
	unsigned flags;
	int64_t timeout;
};

static struct ss_service service;
static int64_t counted[8];

/* What ss_connect() returns, one after the other; the last for all that follow. */
static const int *script;
static size_t n_connects;
static char connects[CONNECTS_MAX][FORWARD_TEXT_MAX];
static int write_result, join_result;

int ss_connect(struct ss_connection *c, const struct sockaddr *address, size_t length,
	       int64_t timeout, unsigned int flags)
{
	struct forward_address copy = { .length = (socklen_t)length };

	assert_true(c->is_paused && !c->is_joined && !c->has_failed);
	assert_true(n_connects < CONNECTS_MAX);
	memcpy(&copy.any, address, length);
	forward_address_format(connects[n_connects++], &copy);
	c->timeout = timeout;
	c->flags = flags;
	int r = *script;
	if (script[1])
		script++;
	return r == PENDING ? 0 : r;
}

size_t ss_proxy_header(const struct ss_connection *c, unsigned int version,
		       char out[SS_PROXY_HEADER_MAX])
{
	assert_true(c->is_opening); /* later not all of it is known */
	return (size_t)snprintf(out, SS_PROXY_HEADER_MAX, "PROXY %u\r\n", version);
}

int ss_target_write(struct ss_connection *c, const void *bytes, size_t length)
{
	assert_false(c->is_joined);
	memcpy(c->written, bytes, length);
	c->n_written = length;
	return write_result;
}

int ss_join(struct ss_connection *c)
{
	c->is_joined = join_result == 0;
	return join_result;
}

void ss_pause(struct ss_connection *c)
{
	c->is_paused = true;
}

void ss_fail(struct ss_connection *c, enum ss_reason reason, int reset)
{
	assert_false(c->has_failed);
	c->has_failed = true;
	c->reason = reason;
	c->was_reset = reset;
}

void ss_set_timer(struct ss_connection *c, int64_t in_ms)
{
	assert_false(c->is_joined);
	c->timer = in_ms;
}

void ss_count(struct ss_connection *c, unsigned int counter, int64_t n)
{
	(void)c;
	assert_non_null(forward_handler.counters[counter]);
	counted[counter] += n;
}

struct ss_service *ss_service_of(const struct ss_connection *c)
{
	return c->service;
}

const void *ss_settings(const struct ss_service *s)
{
	return &s->settings;
}

const char *ss_service_name(const struct ss_service *s)
{
	(void)s;
	return "web";
}

void ss_set_service_state(struct ss_service *s, void *state)
{
	s->state = state;
}

void *ss_service_state(const struct ss_service *s)
{
	return s->state;
}

void ss_set_state(struct ss_connection *c, void *state)
{
	c->state = state;
}

void *ss_state(const struct ss_connection *c)
{
	return c->state;
}

/* --- for all tests */

static int setup(void **state)
{
	(void)state;
	n_lines = n_connects = 0;
	memset(counted, 0, sizeof(counted));
	write_result = join_result = 0;
	dns.asked = 0;
	set_dns("", false);
	return 0;
}

static void start(const char *target)
{
	char problem[256] = "";

	service.settings = (struct forward_settings){
		.target = target, .connect_timeout = 5000, .dead_time = 1000, .resolve_every = 60000
	};
	if (forward_handler.check(&service.settings, problem, sizeof(problem)) < 0)
		fail_msg("%s", problem);
	assert_int_equal(forward_handler.start(&service), 0);
}

static void stop(void)
{
	forward_handler.stop(&service);
}

static struct ss_connection *open_connection(const int *connect_script)
{
	struct ss_connection *c = calloc(1, sizeof(*c));

	c->service = &service;
	c->timer = -1;
	script = connect_script;
	c->is_opening = true;
	assert_int_equal(forward_handler.open(c), 0);
	c->is_opening = false;
	return c;
}

static void close_connection(struct ss_connection *c, enum ss_reason reason)
{
	forward_handler.close(c, reason);
	free(c);
}

/* Its timer comes when it is due. */
static void let_wait(struct ss_connection *c)
{
	assert_true(c->timer >= 0 && !c->has_failed);
	now += c->timer;
	c->timer = -1;
	forward_handler.timer(c);
}

static const int takes[] = { PENDING, 0 };

/* --- targets */

static void targets_are_read(void **state)
{
	static const char *const good[][2] = {
		{ "127.0.0.1:8080", "127.0.0.1:8080" },
		{ "255.255.255.255:65535", "255.255.255.255:65535" },
		{ "1.2.3.4:1", "1.2.3.4:1" },
		{ "[::1]:8080", "[::1]:8080" },
		{ "[2001:DB8:0:0::7]:80", "[2001:db8::7]:80" },
		{ "[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.1]:80" },
		{ "/run/app.sock", "/run/app.sock" },
		{ "/run/with blank:and=colon", "/run/with blank:and=colon" },
		{ "@app", "@app" },
		{ "@", NULL },
		{ "vsock:2:1234", "vsock:2:1234" },
		{ "vsock:4294967294:4294967294", "vsock:4294967294:4294967294" },
		{ "  10.0.0.1:80  ", "10.0.0.1:80" },
	};
	char text[FORWARD_TEXT_MAX], problem[256];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const char *list = good[i][0];
		struct forward_target target;
		int r = forward_targets_next(&list, &target, problem, sizeof(problem));
		assert_int_equal(r, good[i][1] ? 1 : -EINVAL);
		if (r < 0)
			continue;
		assert_string_equal(forward_address_format(text, &target.address), good[i][1]);
		assert_string_equal(target.host, "");
		assert_int_equal(forward_targets_next(&list, &target, problem, sizeof(problem)), 0);
	}
}

static void names_are_read(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} good[] = {
		{ "db.example.org:5432", "db.example.org", 5432 },
		{ "localhost:1", "localhost", 1 },
		{ "a-b_c.x1.:80", "a-b_c.x1.", 80 },
		{ "4you.example:80", "4you.example", 80 },
		{ "vsocket:80", "vsocket", 80 },
		{ "[fe80::1%eth0]:80", "fe80::1%eth0", 80 },
		{ "[fe80::1%2]:80", "fe80::1%2", 80 },
	};
	struct forward_target target;
	char problem[256];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const char *list = good[i].text;
		assert_int_equal(forward_targets_next(&list, &target, problem, sizeof(problem)), 1);
		assert_string_equal(target.host, good[i].host);
		assert_int_equal(target.port, good[i].port);
		assert_int_equal(target.address.length, 0);
	}
}

static void what_is_wrong_is_said(void **state)
{
	static const char *const bad[][2] = {
		{ "", "target is empty" },
		{ " ", "with nothing in it" },
		{ "127.0.0.1:80,", "ends with a comma" },
		{ "127.0.0.1:80, ", "with nothing in it" },
		{ ",127.0.0.1:80", "with nothing in it" },
		{ "127.0.0.1:80,,127.0.0.2:80", "with nothing in it" },
		{ "127.0.0.1", "has no port; write 127.0.0.1:PORT" },
		{ "127.0.0.1:", "no port from 1 to 65535" },
		{ "127.0.0.1:0", "no port from 1 to 65535" },
		{ "127.0.0.1:65536", "no port from 1 to 65535" },
		{ "127.0.0.1:080", "no port from 1 to 65535" },
		{ "127.0.0.1:+80", "no port from 1 to 65535" },
		{ "127.0.0.1:-80", "no port from 1 to 65535" },
		{ "127.0.0.1:8 0", "no port from 1 to 65535" },
		{ "127.0.0.1:http", "no port from 1 to 65535" },
		{ "127.0.0.1:99999999999999999999", "no port from 1 to 65535" },
		{ "127.0.0.256:80", "neither an address of IPv4 nor the name" },
		{ "127.1:80", "neither an address of IPv4 nor the name" },
		{ "10:80", "neither an address of IPv4 nor the name" },
		{ "a..b:80", "neither an address of IPv4 nor the name" },
		{ ".a:80", "neither an address of IPv4 nor the name" },
		{ "-a:80", "neither an address of IPv4 nor the name" },
		{ "a b:80", "neither an address of IPv4 nor the name" },
		{ ":80", "neither an address of IPv4 nor the name" },
		{ "*:80", "neither an address of IPv4 nor the name" },
		{ "::1:80", "write [ADDRESS]:PORT for IPv6" },
		{ "http://a:80", "too many colons" },
		{ "[::1]", "not of the form [ADDRESS]:PORT" },
		{ "[::1]80", "not of the form [ADDRESS]:PORT" },
		{ "[::1]:", "not of the form [ADDRESS]:PORT" },
		{ "[::1:80", "not of the form [ADDRESS]:PORT" },
		{ "[127.0.0.1]:80", "not an address of IPv6" },
		{ "[fe80::1%]:80", "not an address of IPv6" },
		{ "[fe80::1%a234567890123456]:80", "not an address of IPv6" },
		{ "[x%eth0]:80", "not an address of IPv6" },
		{ "/", "no path of a socket" },
		{ "@", "no path of a socket" },
		{ "vsock:2", "not of the form vsock:CID:PORT" },
		{ "vsock:2:", "not of the form vsock:CID:PORT" },
		{ "vsock::2", "not of the form vsock:CID:PORT" },
		{ "vsock:2:1:1", "not of the form vsock:CID:PORT" },
		{ "vsock:4294967295:1", "not of the form vsock:CID:PORT" },
		{ "127.0.0.1:80, 127.0.0.1:81, 127.0.0.1:80", "repeats \"127.0.0.1:80\"" },
		{ "[::1]:80, [0:0::1]:80", "repeats \"[0:0::1]:80\"" },
		{ "a.example:80,A.Example:80", "repeats \"A.Example:80\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char problem[256] = "nothing";
		int r = forward_targets_check(bad[i][0], problem, sizeof(problem));
		if (r != -EINVAL || !strstr(problem, bad[i][1]))
			fail_msg("\"%s\": %d, %s", bad[i][0], r, problem);
	}
}

static char *fill(char *out, char first, size_t length, const char *end)
{
	memset(out, 'a', length);
	out[0] = first;
	strcpy(out + length, end);
	return out;
}

/* Paths of AF_UNIX, names and their labels, items, lists. */
static void lengths_are_held(void **state)
{
	char text[1024], problem[256], label[65], expected[FORWARD_TEXT_MAX];
	struct forward_target target;
	const char *list;

	(void)state;
	for (int i = 0; i < 2; i++) {
		list = fill(text, "/@"[i], 107, "");
		assert_int_equal(forward_targets_next(&list, &target, problem, sizeof(problem)), 1);
		assert_string_equal(forward_address_format(expected, &target.address), text);
		assert_int_equal(target.address.length, i == 0 ? 110 : 109);
		fill(text, "/@"[i], 108, "");
		assert_int_equal(forward_targets_check(text, problem, sizeof(problem)), -EINVAL);
		assert_non_null(strstr(problem, "has 108 characters"));
	}
	fill(text, '/', 600, "");
	assert_int_equal(forward_targets_check(text, problem, sizeof(problem)), -EINVAL);
	assert_non_null(strstr(problem, "longer than any address"));
	assert_int_equal(forward_targets_check(fill(text, 'a', 63, ":80"), problem, 256), 0);
	assert_int_equal(forward_targets_check(fill(text, 'a', 64, ":80"), problem, 256), -EINVAL);
	fill(label, 'a', 62, ".");
	for (unsigned n = 250; n <= 256; n++) {
		*text = '\0';
		while (strlen(text) + 63 < n)
			strcat(text, label);
		size_t length = strlen(text);
		memset(text + length, 'b', n - length);
		strcpy(text + n, ":80");
		int r = forward_targets_check(text, problem, sizeof(problem));
		assert_int_equal(r, n <= FORWARD_HOST_MAX ? 0 : -EINVAL);
	}
}

static void a_list_has_an_end(void **state)
{
	char text[2048] = "", problem[256];

	(void)state;
	for (int i = 0; i < FORWARD_TARGETS_MAX; i++)
		sprintf(text + strlen(text), "%s10.0.0.%d:80", i ? "," : "", i);
	assert_int_equal(forward_targets_check(text, problem, sizeof(problem)), 0);
	strcat(text, ",10.0.1.1:80");
	assert_int_equal(forward_targets_check(text, problem, sizeof(problem)), -EINVAL);
	assert_non_null(strstr(problem, "more than 64 items"));
}

static void settings_are_checked(void **state)
{
	struct forward_settings settings = { 0 };
	char problem[256];

	(void)state;
	assert_int_equal(forward_check(&settings, problem, sizeof(problem)), -EINVAL);
	assert_non_null(strstr(problem, "target is missing"));
	settings.source = FORWARD_SOURCE_PEER;
	settings.target = "127.0.0.1:80, [::1]:80, a.example:80";
	assert_int_equal(forward_check(&settings, problem, sizeof(problem)), 0);
	settings.target = "127.0.0.1:80, /run/app";
	assert_int_equal(forward_check(&settings, problem, sizeof(problem)), -EINVAL);
	assert_non_null(strstr(problem, "does not fit the target /run/app"));
	settings.target = "vsock:2:1";
	assert_int_equal(forward_check(&settings, problem, sizeof(problem)), -EINVAL);
	settings.source = FORWARD_SOURCE_OWN;
	assert_int_equal(forward_check(&settings, problem, sizeof(problem)), 0);
}

/* --- the choice */

static struct forward_address v4(unsigned last)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(0x0a000000u + last) };

	return forward_address_of((struct sockaddr *)&in, 80);
}

/* 10.0.0.1 to 10.0.0.n, each a target of its own. */
static struct forward_choice *choice_of(size_t n)
{
	struct forward_choice *choice = forward_choice_new(n);

	for (unsigned i = 0; i < n; i++) {
		struct forward_address address = v4(i + 1);
		assert_int_equal(forward_choice_set(choice, i, &address, 1), 0);
	}
	return choice;
}

static struct forward_backend *take(struct forward_choice *choice, enum forward_balance balance)
{
	return forward_choice_take(choice, balance, &(struct forward_tries){ 0 }, now);
}

/* The last number of the address of the one that is taken; 0: none. */
static unsigned taken(struct forward_choice *choice, enum forward_balance balance)
{
	struct forward_backend *backend = take(choice, balance);

	if (!backend)
		return 0;
	unsigned number = ntohl(backend->address.in.sin_addr.s_addr) & 0xffffff;
	forward_choice_give_back(choice, backend, false);
	return number;
}

static void round_robin_goes_round(void **state)
{
	struct forward_choice *choice = choice_of(3);

	(void)state;
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(taken(choice, FORWARD_ROUND_ROBIN), i % 3 + 1);
	forward_choice_free(choice);
}

static void first_is_the_first(void **state)
{
	struct forward_choice *choice = choice_of(3);
	struct forward_tries tries = { 0 };

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(taken(choice, FORWARD_FIRST), 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(forward_choice_take(choice, FORWARD_FIRST, &tries, now)
					 ->address.in.sin_addr.s_addr,
				 htonl(0x0a000001u + i));
	assert_null(forward_choice_take(choice, FORWARD_FIRST, &tries, now));
	forward_choice_free(choice);
}

static void least_evens_out(void **state)
{
	struct forward_choice *choice = choice_of(3);
	struct forward_backend *held[30];

	(void)state;
	for (size_t i = 0; i < 30; i++)
		held[i] = take(choice, FORWARD_LEAST);
	for (size_t i = 0; i < 30; i++)
		assert_int_equal(held[i]->connections, 10);
	forward_choice_give_back(choice, held[4], false);
	assert_ptr_equal(take(choice, FORWARD_LEAST), held[4]);
	forward_choice_give_back(choice, held[8], false);
	forward_choice_give_back(choice, held[8], false);
	assert_ptr_equal(take(choice, FORWARD_LEAST), held[8]);
	assert_ptr_equal(take(choice, FORWARD_LEAST), held[8]);
	forward_choice_free(choice);
}

/* A connect to the one that is taken next has this outcome. */
static bool fails(struct forward_choice *choice, enum forward_balance balance, unsigned *ret)
{
	struct forward_tries tries = { 0 };
	struct forward_backend *backend = forward_choice_take(choice, balance, &tries, now);
	bool tell = forward_choice_failed(choice, backend, &tries, 1000, now);

	*ret = ntohl(backend->address.in.sin_addr.s_addr) & 0xffffff;
	forward_choice_give_back(choice, backend, false);
	return tell;
}

static void what_is_down_is_left_out(void **state)
{
	struct forward_choice *choice = choice_of(3);
	unsigned which;

	(void)state;
	assert_true(fails(choice, FORWARD_FIRST, &which));
	assert_int_equal(which, 1);
	for (int i = 0; i < 10; i++)
		assert_int_not_equal(taken(choice, FORWARD_ROUND_ROBIN), 1);
	assert_int_equal(taken(choice, FORWARD_FIRST), 2);
	now += 999;
	assert_int_equal(taken(choice, FORWARD_FIRST), 2);
	now += 1;
	assert_int_equal(taken(choice, FORWARD_FIRST), 1);
	forward_choice_free(choice);
}

/* The time doubles up to a minute, and begins anew after a success. */
static void the_time_doubles(void **state)
{
	static const int64_t times[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000 };
	struct forward_choice *choice = choice_of(2);
	struct forward_backend *backend;
	unsigned which;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
			fails(choice, FORWARD_FIRST, &which);
			assert_int_equal(which, 1);
			now += times[i] - 1;
			assert_int_equal(taken(choice, FORWARD_FIRST), 2);
			now++;
		}
		backend = take(choice, FORWARD_FIRST);
		assert_int_equal(ntohl(backend->address.in.sin_addr.s_addr), 0x0a000001);
		assert_true(forward_choice_connected(choice, backend));
		forward_choice_give_back(choice, backend, false);
	}
	forward_choice_free(choice);
}

static void one_at_a_time_finds_out(void **state)
{
	struct forward_choice *choice = choice_of(2);
	struct forward_backend *probe;
	unsigned which;

	(void)state;
	fails(choice, FORWARD_FIRST, &which);
	now += 1000;
	probe = take(choice, FORWARD_FIRST);
	assert_int_equal(ntohl(probe->address.in.sin_addr.s_addr), 0x0a000001);
	assert_int_equal(taken(choice, FORWARD_FIRST), 2);
	forward_choice_connected(choice, probe);
	assert_int_equal(taken(choice, FORWARD_FIRST), 1);
	forward_choice_free(choice);
}

/* One that never says what came of it does not leave the back end out for ever. */
static void the_next_one_finds_out_later(void **state)
{
	struct forward_choice *choice = choice_of(2);
	unsigned which;

	(void)state;
	fails(choice, FORWARD_FIRST, &which);
	now += 1000;
	assert_int_equal(taken(choice, FORWARD_FIRST), 1);
	assert_int_equal(taken(choice, FORWARD_FIRST), 2);
	now += 1000;
	assert_int_equal(taken(choice, FORWARD_FIRST), 1);
	forward_choice_free(choice);
}

static void failures_at_the_same_time_are_one(void **state)
{
	struct forward_choice *choice = choice_of(2);
	struct forward_tries tries[5] = { 0 };
	struct forward_backend *backend = NULL;

	(void)state;
	for (size_t i = 0; i < 5; i++)
		backend = forward_choice_take(choice, FORWARD_FIRST, &tries[i], now);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(forward_choice_failed(choice, backend, &tries[i], 1000, now),
				 i == 0);
	now += 1000;
	assert_int_equal(taken(choice, FORWARD_FIRST), 1);
	forward_choice_free(choice);
}

static void there_is_always_one(void **state)
{
	struct forward_choice *choice = choice_of(3);
	struct forward_tries tries = { 0 };
	unsigned which;

	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		fails(choice, FORWARD_FIRST, &which);
		assert_int_equal(which, i);
		now += 10;
	}
	for (int i = 0; i < 5; i++) /* the one that comes back first */
		assert_int_equal(taken(choice, FORWARD_ROUND_ROBIN), 1);
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(ntohl(forward_choice_take(choice, FORWARD_ROUND_ROBIN, &tries, now)
					       ->address.in.sin_addr.s_addr),
				 0x0a000000 + i);
	assert_null(forward_choice_take(choice, FORWARD_ROUND_ROBIN, &tries, now));
	forward_choice_free(choice);
}

/* Of those that are down, the one that has been left out for longest of its time. */
static void the_least_dead_is_tried(void **state)
{
	struct forward_choice *choice = choice_of(2);
	struct forward_tries tries = { 0 };
	unsigned which;

	(void)state;
	fails(choice, FORWARD_FIRST, &which);
	now += 1000;
	fails(choice, FORWARD_FIRST, &which); /* for 2 s, from now on */
	assert_int_equal(which, 1);
	fails(choice, FORWARD_FIRST, &which);
	assert_int_equal(which, 2);
	assert_string_equal(forward_choice_take(choice, FORWARD_FIRST, &tries, now)->text,
			    "10.0.0.2:80");
	assert_string_equal(forward_choice_take(choice, FORWARD_FIRST, &tries, now)->text,
			    "10.0.0.1:80");
	forward_choice_free(choice);
}

static void two_names_may_share_an_address(void **state)
{
	const struct forward_address addresses[] = { v4(1), v4(2), v4(3) };
	struct forward_choice *choice = forward_choice_new(2);

	(void)state;
	assert_int_equal(forward_choice_set(choice, 0, addresses, 2), 0);
	assert_int_equal(forward_choice_set(choice, 1, addresses + 1, 2), 0);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(taken(choice, FORWARD_ROUND_ROBIN), i % 3 + 1);
	forward_choice_free(choice);
}

static void without_a_dead_time_nothing_is_left_out(void **state)
{
	struct forward_choice *choice = choice_of(2);
	struct forward_tries tries = { 0 };
	struct forward_backend *backend = forward_choice_take(choice, FORWARD_FIRST, &tries, now);

	(void)state;
	for (int i = 0; i < 10; i++) {
		forward_choice_failed(choice, backend, &tries, 0, now);
		assert_int_equal(taken(choice, FORWARD_FIRST), 1);
	}
	forward_choice_free(choice);
}

/* A back end that comes and goes writes one pair of lines in 10 seconds. */
static void lines_are_few(void **state)
{
	struct forward_choice *choice = choice_of(1);
	struct forward_tries tries = { 0 };
	struct forward_backend *backend = forward_choice_take(choice, FORWARD_FIRST, &tries, now);
	unsigned down = 0, up = 0;

	(void)state;
	for (int i = 0; i < 600; i++, now += 100) {
		down += forward_choice_failed(choice, backend, &tries, 1000, now);
		up += forward_choice_connected(choice, backend);
	}
	assert_int_equal(down, 6);
	assert_int_equal(up, 6);
	forward_choice_free(choice);
}

static void the_list_follows_the_names(void **state)
{
	const struct forward_address before[] = { v4(1), v4(2) };
	const struct forward_address after[] = { v4(3), v4(2), v4(9) };
	struct forward_choice *choice = forward_choice_new(2);
	struct forward_address own = v4(9);
	struct forward_backend *gone, *stays;
	unsigned which;

	(void)state;
	assert_null(take(choice, FORWARD_FIRST));
	assert_int_equal(forward_choice_set(choice, 1, &own, 1), 0);
	assert_int_equal(forward_choice_set(choice, 0, before, 2), 0);
	gone = take(choice, FORWARD_ROUND_ROBIN); /* the turn is that of the target's place */
	stays = take(choice, FORWARD_ROUND_ROBIN);
	assert_string_equal(gone->text, "10.0.0.1:80");
	assert_string_equal(stays->text, "10.0.0.2:80");
	assert_int_equal(forward_choice_set(choice, 0, after, 3), 0);
	assert_string_equal(gone->text, "10.0.0.1:80"); /* it is still held */
	fails(choice, FORWARD_FIRST, &which);
	assert_int_equal(which, 3);
	assert_ptr_equal(take(choice, FORWARD_FIRST), stays);
	fails(choice, FORWARD_FIRST, &which);
	assert_int_equal(which, 2);
	assert_int_equal(taken(choice, FORWARD_FIRST), 9); /* the two are one */
	forward_choice_give_back(choice, gone, true);
	assert_int_equal(forward_choice_set(choice, 0, NULL, 0), 0);
	assert_int_equal(taken(choice, FORWARD_FIRST), 9);
	forward_choice_give_back(choice, stays, false);
	forward_choice_give_back(choice, stays, false);
	forward_choice_free(choice);
}

static void there_are_not_too_many(void **state)
{
	struct forward_address *addresses = calloc(300, sizeof(*addresses));
	struct forward_choice *choice = forward_choice_new(2);
	struct forward_tries tries = { 0 };
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 300; i++)
		addresses[i] = v4(i + 1);
	assert_int_equal(forward_choice_set(choice, 0, addresses, 300), -ENOBUFS);
	while (forward_choice_take(choice, FORWARD_ROUND_ROBIN, &tries, now))
		n++;
	assert_int_equal(n, FORWARD_BACKENDS_MAX);
	forward_choice_free(choice);
	free(addresses);
}

#define STRESS_ROUNDS 20000

static void *stress(void *argument)
{
	struct forward_choice *choice = argument;

	for (unsigned i = 0; i < STRESS_ROUNDS; i++) {
		struct forward_tries tries = { 0 };
		struct forward_backend *backend = forward_choice_take(
			choice, (enum forward_balance)(i % 3), &tries, now);
		assert_int_equal(strncmp(backend->text, "10.0.0.", 7), 0);
		if (i % 7 == 0)
			forward_choice_failed(choice, backend, &tries, 1, now);
		else
			forward_choice_connected(choice, backend);
		forward_choice_give_back(choice, backend, false);
		now++;
	}
	return NULL;
}

static void add_up(const struct forward_backend *backend, void *argument)
{
	assert_int_equal(backend->connections, 0);
	*(uint64_t *)argument += backend->made + backend->failed;
}

/* Three workers, and names that change meanwhile. */
static void threads_share_the_choice(void **state)
{
	struct forward_choice *choice = choice_of(4);
	pthread_t threads[3];
	uint64_t sum = 0;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, stress, choice), 0);
	for (unsigned i = 0; i < 500; i++) {
		struct forward_address addresses[] = { v4(100 + i % 50), v4(100 + i % 20) };
		assert_int_equal(forward_choice_set(choice, 0, addresses, 2), 0);
	}
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	forward_choice_each(choice, add_up, &sum);
	assert_true(sum > 0 && sum <= 3 * STRESS_ROUNDS);
	forward_choice_free(choice);
}

/* --- names */

static void let_resolver_run(struct forward_names *names)
{
	while (forward_names_need(names, 0)) /* nothing is due at 0: this only asks */
		sched_yield();
}

static struct forward_target name_of(const char *host)
{
	struct forward_target target = { .port = 80 };

	strcpy(target.host, host);
	return target;
}

static void numbers_need_no_thread(void **state)
{
	struct forward_target target = { .address = v4(1) };
	struct forward_names *names;

	(void)state;
	assert_int_equal(forward_names_start(&target, 1, NULL, "web", 60000, &names), 0);
	assert_null(names);
	assert_false(forward_names_need(names, now));
	assert_true(forward_names_stop(names));
}

static void all_addresses_of_a_name_are_used(void **state)
{
	struct forward_target targets[] = { { .address = v4(1) }, name_of("a.example") };
	struct forward_choice *choice = forward_choice_new(2);
	struct forward_tries tries = { 0 };
	struct forward_names *names;
	char found[256] = "";
	struct forward_backend *backend;

	(void)state;
	set_dns("10.0.0.2 2001:db8::1 10.0.0.2 10.0.0.3", false);
	assert_int_equal(forward_names_start(targets, 2, choice, "web", 60000, &names), 0);
	let_resolver_run(names);
	while ((backend = forward_choice_take(choice, FORWARD_FIRST, &tries, now)))
		sprintf(found + strlen(found), "%s ", backend->text);
	assert_string_equal(found, "10.0.0.2:80 [2001:db8::1]:80 10.0.0.3:80 ");
	assert_true(forward_names_stop(names));
	forward_choice_free(choice);
}

/* Asked again when they are old and somebody needs them, and not before. */
static void names_are_looked_up_again(void **state)
{
	struct forward_target target = name_of("a.example");
	struct forward_choice *choice = forward_choice_new(1);
	struct forward_names *names;

	(void)state;
	set_dns("10.0.0.1", false);
	assert_int_equal(forward_names_start(&target, 1, choice, "web", 60000, &names), 0);
	let_resolver_run(names);
	set_dns("10.0.0.2", false);
	now += 59999;
	assert_false(forward_names_need(names, now));
	assert_int_equal(taken(choice, FORWARD_FIRST), 1);
	assert_int_equal(asked(), 1);
	now += 1;
	assert_false(forward_names_need(names, now)); /* it has an address */
	wait_for_question(2);
	while (taken(choice, FORWARD_FIRST) != 2)
		sched_yield();
	assert_true(forward_names_stop(names));
	forward_choice_free(choice);
}

static void a_failure_keeps_the_addresses(void **state)
{
	struct forward_target target = name_of("a.example");
	struct forward_choice *choice = forward_choice_new(1);
	struct forward_names *names;

	(void)state;
	set_dns("10.0.0.1", false);
	assert_int_equal(forward_names_start(&target, 1, choice, "web", 60000, &names), 0);
	let_resolver_run(names);
	set_dns("", false);
	while (asked() < 5) {
		now += 1000;
		forward_names_need(names, now);
	}
	assert_int_equal(taken(choice, FORWARD_FIRST), 1);
	set_dns("10.0.0.2", false);
	while (taken(choice, FORWARD_FIRST) != 2) {
		now += 1000;
		forward_names_need(names, now);
	}
	assert_true(forward_names_stop(names));
	assert_int_equal(logged("a.example cannot be looked up"), 1);
	assert_int_equal(logged("keeps the addresses"), 1);
	assert_int_equal(logged("can be looked up again"), 1);
	forward_choice_free(choice);
}

/* Without any address it is tried again sooner, and connections that come meanwhile wait for it. */
static void a_name_without_address_is_tried_again(void **state)
{
	struct forward_target targets[] = { name_of("x.example"), name_of("a.example") };
	struct forward_choice *choice = forward_choice_new(2);
	struct forward_names *names;

	(void)state;
	set_dns("10.0.0.1", false);
	assert_int_equal(forward_names_start(targets, 2, choice, "web", 60000, &names), 0);
	let_resolver_run(names);
	assert_int_equal(asked(), 2);
	assert_false(forward_names_need(names, now + 999));
	set_dns("10.0.0.1", true);
	now += 1000;
	assert_true(forward_names_need(names, now));
	wait_for_question(3);
	assert_true(forward_names_need(names, now));
	set_dns("10.0.0.1", false);
	let_resolver_run(names);
	assert_int_equal(asked(), 3); /* the other one was not due */
	assert_int_equal(logged("x.example cannot be looked up"), 1);
	assert_int_equal(logged("no address yet"), 1);
	assert_true(forward_names_stop(names));
	forward_choice_free(choice);
}

/* The thread is left to itself; what it has stays until it comes back. */
static void a_dead_name_server_does_not_stop_the_stop(void **state)
{
	struct forward_target target = name_of("a.example");
	static struct forward_choice *choice; /* for leak checkers: it is not lost */
	struct forward_names *names;

	(void)state;
	set_dns("10.0.0.1", true);
	choice = forward_choice_new(1);
	assert_int_equal(forward_names_start(&target, 1, choice, "web", 60000, &names), 0);
	wait_for_question(1);
	assert_false(forward_names_stop(names));
	set_dns("10.0.0.1", false);
	while (taken(choice, FORWARD_FIRST) != 1)
		sched_yield();
}

/* --- the handler */

static void a_connection_is_joined(void **state)
{
	(void)state;
	start("127.0.0.1:80");
	struct ss_connection *c = open_connection(takes);
	assert_true(c->is_paused && !c->is_joined);
	assert_string_equal(connects[0], "127.0.0.1:80");
	assert_int_equal(c->timeout, 5000);
	assert_int_equal(c->flags, 0);
	assert_string_equal(forward_handler.target(c), "127.0.0.1:80");
	forward_handler.connected(c, 0);
	assert_true(c->is_joined);
	assert_int_equal(c->n_written, 0);
	assert_int_equal(c->timer, -1);
	assert_string_equal(forward_handler.target(c), "127.0.0.1:80");
	close_connection(c, SS_IDLE_TIMEOUT);
	stop();
	assert_int_equal(
		logged("web: target 127.0.0.1:80: 1 connections, 1 of them ended by a time-out; 0"),
		1);
	assert_int_equal(n_lines, 1);
}

/* In any state, at any time. */
static void the_peer_may_leave(void **state)
{
	static const int refuses[] = { -ECONNREFUSED, 0 };

	(void)state;
	start("127.0.0.1:80");
	service.settings.connect_retry = 1000;
	struct ss_connection *c = open_connection(takes);
	close_connection(c, SS_RESET);
	c = open_connection(refuses);
	assert_null(forward_handler.target(c));
	close_connection(c, SS_RESET);
	c = open_connection(takes);
	forward_handler.connected(c, -ETIMEDOUT);
	assert_true(c->timer >= 0);
	close_connection(c, SS_DRAIN);
	stop();
	assert_int_equal(logged("0 connections, 0 of them ended by a time-out; 2 could not"), 1);
}

static void the_next_address_is_tried(void **state)
{
	static const int results[] = { -ECONNREFUSED, PENDING, -ENOENT, PENDING, 0 };

	(void)state;
	start("10.0.0.1:80, 10.0.0.2:80, /run/app, [::1]:80");
	struct ss_connection *c = open_connection(results);
	assert_int_equal(n_connects, 2);
	forward_handler.connected(c, -ETIMEDOUT);
	assert_int_equal(n_connects, 4);
	assert_string_equal(connects[3], "[::1]:80");
	forward_handler.connected(c, 0);
	assert_true(c->is_joined);
	close_connection(c, SS_PEER_CLOSED);
	c = open_connection(takes); /* the others are left out from now on */
	assert_string_equal(connects[4], "[::1]:80");
	close_connection(c, SS_PEER_CLOSED);
	stop();
	assert_int_equal(logged("web: target 10.0.0.1:80 is down: Connection refused"), 1);
	assert_int_equal(logged("web: target 10.0.0.2:80 is down: Connection timed out"), 1);
	assert_int_equal(logged("web: target /run/app is down: No such file"), 1);
	assert_int_equal(counted[0], 1);
	assert_int_equal(counted[1], 3);
}

/* Each is tried once, however many there are, and the client is ended as the file says. */
static void a_connection_is_given_up(void **state)
{
	static const int refuses[] = { -ECONNREFUSED, 0 };
	char list[2048] = "";

	(void)state;
	for (int i = 0; i < FORWARD_TARGETS_MAX; i++)
		sprintf(list + strlen(list), "%s10.0.0.%d:80", i ? "," : "", i);
	start(list);
	n_lines = 0;
	for (int how = FORWARD_RESET; how <= FORWARD_CLOSE; how++) {
		service.settings.on_failure = how;
		n_connects = n_lines = 0;
		struct ss_connection *c = open_connection(refuses);
		assert_int_equal(n_connects, FORWARD_TARGETS_MAX);
		assert_true(c->has_failed);
		assert_int_equal(c->reason, SS_CONNECT_FAILED);
		assert_int_equal(c->was_reset, how == FORWARD_RESET);
		assert_int_equal(n_lines, how == FORWARD_RESET ? FORWARD_TARGETS_MAX : 0);
		close_connection(c, SS_CONNECT_FAILED);
	}
	n_lines = 0;
	stop();
	assert_int_equal(counted[3], 2);
}

static void a_connection_waits_for_its_target(void **state)
{
	static const int results[] = { -ECONNREFUSED, -ENOENT, -ECONNREFUSED, PENDING, 0 };
	static const int64_t waits[] = { 20, 40, 80 };

	(void)state;
	start("127.0.0.1:80");
	service.settings.connect_retry = 10000;
	struct ss_connection *c = open_connection(results);
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		assert_int_equal(c->timer, waits[i]);
		let_wait(c);
	}
	forward_handler.connected(c, 0);
	assert_true(c->is_joined);
	close_connection(c, SS_PEER_CLOSED);
	stop();
	assert_int_equal(logged("is down"), 1);
	assert_int_equal(logged("is up again"), 1);
	assert_int_equal(counted[2], 3);
}

static void waiting_has_an_end(void **state)
{
	static const int refuses[] = { -ECONNREFUSED, 0 };
	int64_t began = now;

	(void)state;
	start("127.0.0.1:80");
	service.settings.connect_retry = 10000;
	struct ss_connection *c = open_connection(refuses);
	while (!c->has_failed) {
		assert_true(c->timer > 0 && c->timer <= 1000);
		let_wait(c);
	}
	assert_int_equal(now - began, 10000);
	assert_in_range(n_connects, 12, 20);
	close_connection(c, SS_CONNECT_FAILED);
	stop();
}

/* connect(2) to an AF_UNIX socket whose backlog is full does not wait, so that is done here. */
static void a_full_backlog_is_no_failure(void **state)
{
	static const int results[] = { -EAGAIN, -EAGAIN, PENDING, 0 };
	static const int full[] = { -EAGAIN, 0 };
	int64_t began;

	(void)state;
	start("/run/app");
	struct ss_connection *c = open_connection(results);
	let_wait(c);
	let_wait(c);
	forward_handler.connected(c, 0);
	assert_true(c->is_joined);
	close_connection(c, SS_PEER_CLOSED);
	began = now;
	c = open_connection(full);
	while (!c->has_failed)
		let_wait(c);
	assert_int_equal(now - began, service.settings.connect_timeout);
	close_connection(c, SS_CONNECT_FAILED);
	assert_int_equal(n_lines, 0);
	stop();
}

static void own_faults_are_not_the_targets(void **state)
{
	static const int results[] = { -EMFILE, -EADDRNOTAVAIL, 0 };

	(void)state;
	start("10.0.0.1:80, 10.0.0.2:80");
	for (int i = 0; i < 3; i++) {
		struct ss_connection *c = open_connection(results);
		assert_true(c->has_failed);
		close_connection(c, SS_CONNECT_FAILED);
	}
	assert_int_equal(logged("this machine cannot connect to 10.0.0.1:80: Too many open"), 1);
	assert_int_equal(n_lines, 1);
	now += 10000;
	close_connection(open_connection(results), SS_CONNECT_FAILED);
	assert_int_equal(n_lines, 2);
	assert_int_equal(logged("is down"), 0);
	stop();
}

static void the_header_comes_first(void **state)
{
	(void)state;
	start("127.0.0.1:80");
	for (int version = 1; version <= 2; version++) {
		service.settings.proxy_protocol = version;
		struct ss_connection *c = open_connection(takes);
		assert_int_equal(c->n_written, 0);
		forward_handler.connected(c, 0);
		assert_int_equal(c->n_written, 9);
		assert_memory_equal(c->written, version == 1 ? "PROXY 1\r\n" : "PROXY 2\r\n", 9);
		assert_true(c->is_joined);
		close_connection(c, SS_PEER_CLOSED);
	}
	write_result = -ENOBUFS;
	struct ss_connection *c = open_connection(takes);
	forward_handler.connected(c, 0);
	assert_true(c->has_failed && c->was_reset && !c->is_joined);
	close_connection(c, SS_ERROR);
	stop();
}

static void the_peers_address_is_asked_for(void **state)
{
	(void)state;
	start("127.0.0.1:80");
	service.settings.source = FORWARD_SOURCE_PEER;
	struct ss_connection *c = open_connection(takes);
	assert_int_equal(c->flags, SS_AS_PEER);
	close_connection(c, SS_PEER_CLOSED);
	stop();
}

static void connections_wait_for_names(void **state)
{
	(void)state;
	set_dns("10.0.0.1 10.0.0.2", true);
	start("a.example:8080");
	wait_for_question(1);
	struct ss_connection *c = open_connection(takes);
	assert_int_equal(n_connects, 0);
	let_wait(c);
	assert_int_equal(n_connects, 0);
	set_dns("10.0.0.1 10.0.0.2", false);
	while (n_connects == 0) /* the clock stands: it is the name server that takes its time */
		forward_handler.timer(c);
	assert_string_equal(connects[0], "10.0.0.1:8080");
	forward_handler.connected(c, -ECONNREFUSED);
	assert_string_equal(connects[1], "10.0.0.2:8080");
	forward_handler.connected(c, 0);
	close_connection(c, SS_PEER_CLOSED);
	stop();
}

/* For as long as a connect may take, and then the client is told. */
static void waiting_for_names_has_an_end(void **state)
{
	int64_t began;

	(void)state;
	set_dns("10.0.0.1", true);
	start("a.example:8080");
	wait_for_question(1);
	began = now;
	struct ss_connection *c = open_connection(takes);
	while (!c->has_failed)
		let_wait(c);
	assert_int_equal(now - began, service.settings.connect_timeout);
	close_connection(c, SS_CONNECT_FAILED);
	set_dns("10.0.0.1", false);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(targets_are_read, setup),
		cmocka_unit_test_setup(names_are_read, setup),
		cmocka_unit_test_setup(what_is_wrong_is_said, setup),
		cmocka_unit_test_setup(lengths_are_held, setup),
		cmocka_unit_test_setup(a_list_has_an_end, setup),
		cmocka_unit_test_setup(settings_are_checked, setup),
		cmocka_unit_test_setup(round_robin_goes_round, setup),
		cmocka_unit_test_setup(first_is_the_first, setup),
		cmocka_unit_test_setup(least_evens_out, setup),
		cmocka_unit_test_setup(what_is_down_is_left_out, setup),
		cmocka_unit_test_setup(the_time_doubles, setup),
		cmocka_unit_test_setup(one_at_a_time_finds_out, setup),
		cmocka_unit_test_setup(the_next_one_finds_out_later, setup),
		cmocka_unit_test_setup(failures_at_the_same_time_are_one, setup),
		cmocka_unit_test_setup(there_is_always_one, setup),
		cmocka_unit_test_setup(the_least_dead_is_tried, setup),
		cmocka_unit_test_setup(two_names_may_share_an_address, setup),
		cmocka_unit_test_setup(without_a_dead_time_nothing_is_left_out, setup),
		cmocka_unit_test_setup(lines_are_few, setup),
		cmocka_unit_test_setup(the_list_follows_the_names, setup),
		cmocka_unit_test_setup(there_are_not_too_many, setup),
		cmocka_unit_test_setup(threads_share_the_choice, setup),
		cmocka_unit_test_setup(numbers_need_no_thread, setup),
		cmocka_unit_test_setup(all_addresses_of_a_name_are_used, setup),
		cmocka_unit_test_setup(names_are_looked_up_again, setup),
		cmocka_unit_test_setup(a_failure_keeps_the_addresses, setup),
		cmocka_unit_test_setup(a_name_without_address_is_tried_again, setup),
		cmocka_unit_test_setup(a_dead_name_server_does_not_stop_the_stop, setup),
		cmocka_unit_test_setup(a_connection_is_joined, setup),
		cmocka_unit_test_setup(the_peer_may_leave, setup),
		cmocka_unit_test_setup(the_next_address_is_tried, setup),
		cmocka_unit_test_setup(a_connection_is_given_up, setup),
		cmocka_unit_test_setup(a_connection_waits_for_its_target, setup),
		cmocka_unit_test_setup(waiting_has_an_end, setup),
		cmocka_unit_test_setup(a_full_backlog_is_no_failure, setup),
		cmocka_unit_test_setup(own_faults_are_not_the_targets, setup),
		cmocka_unit_test_setup(the_header_comes_first, setup),
		cmocka_unit_test_setup(the_peers_address_is_asked_for, setup),
		cmocka_unit_test_setup(connections_wait_for_names, setup),
		cmocka_unit_test_setup(waiting_for_names_has_an_end, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
