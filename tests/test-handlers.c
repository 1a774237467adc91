/* SPDX-License-Identifier: MIT */
/*
 * The built-in handlers against a server that is made up here: the calls of
 * simple-server.h note what was asked for, and the clock stands where a test
 * puts it. tests/handlers.sh has the same handlers in the whole server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "handler.h"

#define RING   95
#define LINE   74
#define PERIOD 7030

struct ss_blob {
	size_t length;
	char *bytes;
};

struct ss_connection {
	char sent[8 * PERIOD];
	size_t n_sent;
	size_t room; /* a peer that takes no more than this at a time */
	bool closed, discards, wants_turn, short_send;
	void *state;
};

static struct ss_connection peer;
static struct ss_blob blob;
static time_t clock_now;
static bool no_blobs;

/* In place of the C library's. */
time_t time(time_t *ret)
{
	if (ret)
		*ret = clock_now;
	return clock_now;
}

static void take(struct ss_connection *c, const char *bytes, size_t length)
{
	if (length > sizeof(c->sent) - c->n_sent)
		length = sizeof(c->sent) - c->n_sent;
	memcpy(c->sent + c->n_sent, bytes, length);
	c->n_sent += length;
}

int ss_write(struct ss_connection *c, const void *bytes, size_t length)
{
	assert_false(c->closed);
	take(c, bytes, length);
	return 0;
}

void ss_close(struct ss_connection *c)
{
	c->closed = true;
}

void ss_discard(struct ss_connection *c)
{
	c->discards = true;
}

struct ss_blob *ss_blob_new(const void *bytes, size_t length)
{
	errno = ENFILE;
	if (no_blobs)
		return NULL;
	blob = (struct ss_blob){ .length = length, .bytes = malloc(length) };
	memcpy(blob.bytes, bytes, length);
	return &blob;
}

size_t ss_send_blob(struct ss_connection *c, const struct ss_blob *b, size_t offset, size_t length)
{
	size_t n = length < c->room ? length : c->room;

	assert_true(length > 0 && offset < b->length && length <= b->length - offset);
	take(c, b->bytes + offset, n);
	c->short_send = n < length;
	return n;
}

void ss_want_writable(struct ss_connection *c)
{
	c->wants_turn = true;
}

void ss_set_state(struct ss_connection *c, void *state)
{
	c->state = state;
}

void *ss_state(const struct ss_connection *c)
{
	return c->state;
}

/* What forward calls; tests/test-forward.c and tests/test-relay.c are about that. */
int ss_connect(struct ss_connection *c, const struct sockaddr *address, size_t length,
	       int64_t timeout_ms, unsigned int flags)
{
	(void)c, (void)address, (void)length, (void)timeout_ms, (void)flags;
	abort();
}

int ss_join(struct ss_connection *c)
{
	(void)c;
	abort();
}

void ss_fail(struct ss_connection *c, enum ss_reason reason, int reset)
{
	(void)c, (void)reason, (void)reset;
	abort();
}

void ss_pause(struct ss_connection *c)
{
	(void)c;
	abort();
}

void ss_set_timer(struct ss_connection *c, int64_t in_ms)
{
	(void)c, (void)in_ms;
	abort();
}

int ss_target_write(struct ss_connection *c, const void *bytes, size_t length)
{
	(void)c, (void)bytes, (void)length;
	abort();
}

size_t ss_proxy_header(const struct ss_connection *c, unsigned int version,
		       char out[SS_PROXY_HEADER_MAX])
{
	(void)c, (void)version, (void)out;
	abort();
}

void ss_log(const struct ss_connection *c, int priority, const char *format, ...)
{
	(void)c, (void)priority, (void)format;
	abort();
}

void ss_count(struct ss_connection *c, unsigned int counter, int64_t n)
{
	(void)c, (void)counter, (void)n;
	abort();
}

struct ss_service *ss_service_of(const struct ss_connection *c)
{
	(void)c;
	abort();
}

const void *ss_settings(const struct ss_service *service)
{
	(void)service;
	abort();
}

const char *ss_service_name(const struct ss_service *service)
{
	(void)service;
	abort();
}

void ss_set_service_state(struct ss_service *service, void *state)
{
	(void)service, (void)state;
	abort();
}

void *ss_service_state(const struct ss_service *service)
{
	(void)service;
	abort();
}

static int setup(void **state)
{
	(void)state;
	memset(&peer, 0, sizeof(peer));
	blob = (struct ss_blob){ 0 };
	no_blobs = false;
	setenv("TZ", "UTC", 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(blob.bytes);
	return 0;
}

static const struct ss_handler *find(const char *name)
{
	const struct ss_handler *handler = handler_find(name);

	assert_non_null(handler);
	assert_int_equal(handler->size, sizeof(*handler));
	assert_int_equal(handler->abi, SS_ABI);
	assert_string_equal(handler->name, name);
	assert_non_null(handler->data);
	return handler;
}

static void each_is_registered(void **state)
{
	static const char *const names[] = { "echo",    "discard", "chargen",
					     "daytime", "time",    "forward" };
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		find(names[i]);
	while (handler_names()[n])
		find(handler_names()[n++]);
	assert_int_equal(n, sizeof(names) / sizeof(names[0]));
	assert_null(handler_find("qotd"));
}

/* The kernel would keep a silent client from a server that speaks first. */
static void who_speaks_first_says_so(void **state)
{
	(void)state;
	assert_int_equal(find("echo")->flags & SS_SPEAKS_FIRST, 0);
	assert_int_equal(find("discard")->flags & SS_SPEAKS_FIRST, 0);
	assert_int_equal(find("chargen")->flags & SS_SPEAKS_FIRST, SS_SPEAKS_FIRST);
	assert_int_equal(find("daytime")->flags & SS_SPEAKS_FIRST, SS_SPEAKS_FIRST);
	assert_int_equal(find("time")->flags & SS_SPEAKS_FIRST, SS_SPEAKS_FIRST);
	assert_int_equal(find("forward")->flags & SS_SPEAKS_FIRST, SS_SPEAKS_FIRST);
}

static void discard_never_answers(void **state)
{
	const struct ss_handler *discard = find("discard");

	(void)state;
	assert_int_equal(discard->open(&peer), 0);
	assert_true(peer.discards);
	assert_int_equal(discard->data(&peer, "late", 4), 4);
	assert_int_equal(peer.n_sent, 0);
	assert_null(discard->eof); /* the end of the one is that of the other */
}

/* RFC 864: line n has 72 characters of the ring from number n on. */
static char rfc864(size_t place)
{
	size_t line = place / LINE, column = place % LINE;

	return column == 72 ? '\r' : column == 73 ? '\n' : (char)(32 + (line + column) % RING);
}

static void load_chargen(void)
{
	assert_int_equal(find("chargen")->load(), 0);
	assert_true(blob.length > PERIOD);
	assert_int_equal(blob.length % PERIOD, 0);
}

static void chargen_is_the_rfc_at_every_size(void **state)
{
	static const size_t rooms[] = { 1, 71, 72, 73, 74, 75, 997, PERIOD - 1, PERIOD, 8192 };
	const struct ss_handler *chargen = find("chargen");

	(void)state;
	for (size_t r = 0; r < sizeof(rooms) / sizeof(rooms[0]); r++) {
		setup(NULL);
		load_chargen();
		peer.room = rooms[r];
		assert_int_equal(chargen->open(&peer), 0);
		while (peer.n_sent < sizeof(peer.sent)) {
			assert_true(peer.short_send && !peer.wants_turn);
			chargen->writable(&peer);
		}
		for (size_t i = 0; i < sizeof(peer.sent); i++)
			if (peer.sent[i] != rfc864(i))
				fail_msg("byte %zu at %zu a time: %d", i, rooms[r], peer.sent[i]);
		if (r + 1 < sizeof(rooms) / sizeof(rooms[0]))
			teardown(NULL);
	}
}

/* All of the blob is right, to its last byte and over its end. */
static void chargen_goes_on_at_the_end_of_the_blob(void **state)
{
	const struct ss_handler *chargen = find("chargen");

	(void)state;
	load_chargen();
	for (size_t i = 0; i < blob.length; i++)
		assert_int_equal(blob.bytes[i], rfc864(i));
	peer.room = 3;
	assert_int_equal(chargen->open(&peer), 0);
	peer.room = SIZE_MAX;
	peer.n_sent = 0;
	chargen->writable(&peer);
	assert_false(peer.short_send);
	assert_true(peer.wants_turn);
	peer.n_sent = 0;
	chargen->writable(&peer);
	for (size_t i = 0; i < PERIOD; i++)
		assert_int_equal(peer.sent[i], rfc864(i));
}

/* A peer that takes everything gets a share and then waits for its turn. */
static void chargen_shares(void **state)
{
	(void)state;
	load_chargen();
	peer.room = SIZE_MAX;
	assert_int_equal(find("chargen")->open(&peer), 0);
	assert_true(peer.wants_turn);
	assert_true(blob.length <= 1 << 20);
}

static void chargen_ignores_what_comes(void **state)
{
	const struct ss_handler *chargen = find("chargen");

	(void)state;
	load_chargen();
	assert_int_equal(chargen->open(&peer), 0);
	assert_true(peer.discards);
	chargen->eof(&peer);
	assert_false(peer.closed);
}

static void chargen_without_a_blob_does_not_start(void **state)
{
	(void)state;
	no_blobs = true;
	assert_int_equal(find("chargen")->load(), -ENFILE);
}

static void answers(const char *name, const void *bytes, size_t length)
{
	peer.n_sent = 0;
	peer.closed = false;
	assert_int_equal(find(name)->open(&peer), 0);
	assert_true(peer.closed);
	assert_int_equal(peer.n_sent, length);
	assert_memory_equal(peer.sent, bytes, length);
}

static void daytime_is(const char *zone, time_t when, const char *line)
{
	setenv("TZ", zone, 1);
	assert_int_equal(find("daytime")->load(), 0);
	clock_now = when;
	answers("daytime", line, strlen(line));
}

static void daytime_is_a_line_as_of_xinetd(void **state)
{
	static const char *const months = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC";
	char line[] = "15 JAN 2025 00:00:00 UTC\r\n";
	struct tm tm = { .tm_year = 125, .tm_mday = 15 };

	(void)state;
	daytime_is("UTC", 1795448677, "23 NOV 2026 15:44:37 UTC\r\n");
	daytime_is("UTC", 0, "01 JAN 1970 00:00:00 UTC\r\n");
	daytime_is("UTC", 1709251199, "29 FEB 2024 23:59:59 UTC\r\n");
	daytime_is("UTC", INT64_C(4102444800), "01 JAN 2100 00:00:00 UTC\r\n");
	for (tm.tm_mon = 0; tm.tm_mon < 12; tm.tm_mon++) {
		struct tm copy = tm;
		memcpy(line + 3, months + tm.tm_mon * 3, 3);
		daytime_is("UTC", timegm(&copy), line);
	}
}

/* Rules instead of the names of zones, which need not be installed. */
static void daytime_is_local(void **state)
{
	(void)state;
	daytime_is("CET-1CEST,M3.5.0,M10.5.0/3", 1795448677, "23 NOV 2026 16:44:37 CET\r\n");
	daytime_is("CET-1CEST,M3.5.0,M10.5.0/3", 1782000000, "21 JUN 2026 02:00:00 CEST\r\n");
	daytime_is("<-0330>3:30", 1795448677, "23 NOV 2026 12:14:37 -0330\r\n");
	daytime_is("UTC", 1795448677, "23 NOV 2026 15:44:37 UTC\r\n");
}

static void daytime_of_no_date_is_refused(void **state)
{
	(void)state;
	clock_now = INT64_MAX;
	assert_int_equal(find("daytime")->open(&peer), -EOVERFLOW);
	assert_int_equal(peer.n_sent, 0);
}

/* The first four are examples of RFC 868 itself. */
static void time_is_since_1900_and_wraps_in_2036(void **state)
{
	static const struct {
		time_t now;
		uint32_t answer;
	} cases[] = {
		{ 0, 2208988800 },
		{ 189302400, 2398291200 },
		{ 315532800, 2524521600 },
		{ 420595200, 2629584000 },
		{ 1795448677, 4004437477 },
		{ 2085978495, UINT32_MAX }, /* 2036-02-07 06:28:15 */
		{ 2085978496, 0 },
		{ 2085978497, 1 },
		{ INT64_C(4294967296), 2208988800 }, /* 2106, as in 1970 */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t wire = htonl(cases[i].answer);
		clock_now = cases[i].now;
		answers("time", &wire, sizeof(wire));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_is_registered),
		TEST(who_speaks_first_says_so),
		TEST(discard_never_answers),
		TEST(chargen_is_the_rfc_at_every_size),
		TEST(chargen_goes_on_at_the_end_of_the_blob),
		TEST(chargen_shares),
		TEST(chargen_ignores_what_comes),
		TEST(chargen_without_a_blob_does_not_start),
		TEST(daytime_is_a_line_as_of_xinetd),
		TEST(daytime_is_local),
		TEST(daytime_of_no_date_is_refused),
		TEST(time_is_since_1900_and_wraps_in_2036),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
