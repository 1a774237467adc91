/* SPDX-License-Identifier: MIT */
/*
 * Counts, rates, and what is forgotten when. The clock is a number that the tests choose. How many
 * connections a source has is asked from outside: the limit at which one more is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "sources.h"
#include "util.h"

/* So many small tables, each with its own secret: in some of them two sources share a chain. */
#define IN_ONE_CHAIN 20

#define MANY 1000000 /* connections that no test has */

static struct peer peer_at(const char *text)
{
	struct peer peer = { .address.s6_addr = { [10] = 0xff, [11] = 0xff } };

	if (inet_pton(AF_INET, text, peer.address.s6_addr + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, &peer.address), 1);
	return peer;
}

static struct peer peer_number(uint32_t number)
{
	struct peer peer = peer_at("0.0.0.0");

	number = htonl(number);
	memcpy(peer.address.s6_addr + 12, &number, sizeof(number));
	return peer;
}

static struct source_limits at_most(unsigned connections)
{
	return (struct source_limits){ connections, .prefix_v4 = 32, .prefix_v6 = 64 };
}

static struct source_limits at_rate(unsigned rate, unsigned burst)
{
	return (struct source_limits){ 0, rate, burst, .prefix_v4 = 32, .prefix_v6 = 64 };
}

static enum source_answer enter(struct sources *sources, const struct source_limits *limits,
				const char *address)
{
	struct peer peer = peer_at(address);

	return sources_enter(sources, limits, &peer, 1000);
}

static void leave(struct sources *sources, const struct source_limits *limits, const char *address)
{
	struct peer peer = peer_at(address);

	sources_leave(sources, limits, &peer);
}

/* Whether exactly `n` connections are counted. */
static bool has(struct sources *sources, const struct peer *peer, unsigned n)
{
	struct source_limits limits = at_most(n);

	if (n > 0 && sources_enter(sources, &limits, peer, 1000) != SOURCE_TOO_MANY)
		return false;
	limits = at_most(n + 1);
	if (sources_enter(sources, &limits, peer, 1000) != SOURCE_OK)
		return false;
	sources_leave(sources, &limits, peer);
	return true;
}

static unsigned random_number(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 8) % n;
}

static void a_bucket_gives_a_burst_and_then_its_rate(void **state)
{
	struct bucket bucket = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(bucket_take(&bucket, 10, 3, 5000), 0);
	assert_int_equal(bucket_take(&bucket, 10, 3, 5000), 100);
	assert_int_equal(bucket_take(&bucket, 10, 3, 5000), 100);
	assert_int_equal(bucket_take(&bucket, 10, 3, 5099), 1);
	assert_int_equal(bucket_take(&bucket, 10, 3, 5100), 0);
	assert_int_equal(bucket_take(&bucket, 10, 3, 5100), 100);
	for (int i = 0; i < 2; i++)
		assert_int_equal(bucket_take(&bucket, 10, 3, 5300), 0);
	assert_int_equal(bucket_take(&bucket, 10, 3, 5300), 100);
}

static void a_zeroed_bucket_is_full_at_any_time(void **state)
{
	static const int64_t times[] = { 0, 1, 1000, INT64_C(1) << 40, INT64_MAX / 2 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		struct bucket bucket = { 0 };

		for (int n = 0; n < 5; n++)
			assert_int_equal(bucket_take(&bucket, 1, 5, times[i]), 0);
		assert_int_equal(bucket_take(&bucket, 1, 5, times[i]), 1000);
	}
}

/* Ten seconds of greed give a burst and ten times the rate; neither one less nor one more. */
static void a_rate_is_exact(void **state)
{
	static const unsigned rates[] = { 1,    2,    3,    7,    10,    99,    333,   999,
					  1000, 1001, 1500, 7777, 30000, 65537, 99999, 100000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		unsigned rate = rates[i], burst = 1 + rate, taken = 0;
		struct bucket bucket = { 0 };

		for (int64_t now = 123456; now <= 123456 + 10000; now++)
			while (bucket_take(&bucket, rate, burst, now) == 0)
				taken++;
		assert_int_equal(taken, burst + 10 * rate);
	}
}

/* One that waits as long as it is told comes through then, and a ms earlier would not have. */
static void the_wait_is_exact(void **state)
{
	unsigned seed = 3;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		unsigned rate = 1 + random_number(&seed, i % 2 ? 100000 : 20);
		unsigned burst = 1 + random_number(&seed, 50);
		struct bucket bucket = { 0 }, early;
		int64_t now = random_number(&seed, 1000000), wait;

		while ((wait = bucket_take(&bucket, rate, burst, now)) == 0)
			;
		assert_in_range(wait, 1, (1000 + rate - 1) / rate);
		early = bucket;
		assert_int_equal(bucket_take(&early, rate, burst, now + wait - 1), 1);
		assert_int_equal(bucket_take(&bucket, rate, burst, now + wait), 0);
	}
}

static void a_jump_of_the_clock_fills_no_more_than_the_bucket(void **state)
{
	struct bucket bucket = { 0 };
	int64_t now = 1;

	(void)state;
	for (int jump = 0; jump < 40; jump++) {
		now += INT64_C(1) << (jump + 13);
		for (int i = 0; i < 4; i++)
			assert_int_equal(bucket_take(&bucket, 2, 4, now), 0);
		assert_int_equal(bucket_take(&bucket, 2, 4, now), 500);
	}
}

/* Threads read the clock in one order and come in another. */
static void a_clock_that_goes_back_gives_nothing(void **state)
{
	struct bucket bucket = { 0 };
	unsigned taken = 0;

	(void)state;
	for (int i = 0; i < 10000; i++)
		taken += bucket_take(&bucket, 1000, 10, 5000 - i % 5) == 0;
	assert_int_equal(taken, 10);
	assert_int_equal(bucket_take(&bucket, 1000, 10, 4990), 11);
	assert_int_equal(bucket_take(&bucket, 1000, 10, 5001), 0);
}

static void other_limits_end_an_old_wait(void **state)
{
	struct bucket bucket = { 0 };

	(void)state;
	for (int i = 0; i < 100000; i++)
		assert_int_equal(bucket_take(&bucket, 1, 100000, 5000), 0);
	assert_int_equal(bucket_take(&bucket, 10, 1, 5000), 100);
	assert_int_equal(bucket_take(&bucket, 10, 1, 5100), 0);
	/* The fraction that is left is of a finer unit than the new one. */
	bucket = (struct bucket){ 0 };
	for (int i = 0; i < 99; i++)
		assert_int_equal(bucket_take(&bucket, 99999, 100, 5000), 0);
	assert_int_equal(bucket_take(&bucket, 1, 1, 5000), 0);
	assert_int_equal(bucket_take(&bucket, 1, 1, 5000), 1000);
}

static void the_largest_numbers_do_not_overflow(void **state)
{
	struct bucket bucket = { 0 };

	(void)state;
	assert_int_equal(bucket_take(&bucket, UINT32_MAX, UINT32_MAX, 0), 0);
	assert_int_equal(bucket_take(&bucket, UINT32_MAX, UINT32_MAX, INT64_MAX / 2), 0);
	assert_int_equal(bucket_take(&bucket, 1, UINT32_MAX, INT64_MAX / 2), 0);
	assert_int_equal(bucket_take(&bucket, UINT32_MAX, 1, 0), 0);
	assert_int_equal(bucket_take(&bucket, 1, UINT32_MAX, 0), 0);
}

static void each_address_has_its_own_count(void **state)
{
	struct source_limits limits = at_most(2);
	struct sources *sources = sources_new(16);

	(void)state;
	assert_int_equal(enter(sources, &limits, "192.0.2.1"), SOURCE_OK);
	assert_int_equal(enter(sources, &limits, "192.0.2.1"), SOURCE_OK);
	assert_int_equal(enter(sources, &limits, "192.0.2.1"), SOURCE_TOO_MANY);
	assert_int_equal(enter(sources, &limits, "::ffff:192.0.2.1"), SOURCE_TOO_MANY);
	assert_int_equal(enter(sources, &limits, "192.0.2.2"), SOURCE_OK);
	leave(sources, &limits, "::ffff:192.0.2.1");
	assert_int_equal(enter(sources, &limits, "192.0.2.1"), SOURCE_OK);
	assert_int_equal(enter(sources, &limits, "192.0.2.1"), SOURCE_TOO_MANY);
	sources_free(sources);
}

static void the_prefix_says_what_a_source_is(void **state)
{
	static const struct {
		unsigned v4, v6;
		const char *first, *same, *other;
	} samples[] = {
		{ 32, 64, "192.0.2.1", "192.0.2.1", "192.0.2.0" },
		{ 32, 64, "2001:db8::1", "2001:db8::ffff:0:0:1", "2001:db8:0:1::1" },
		{ 24, 64, "192.0.2.1", "192.0.2.255", "192.0.3.1" },
		{ 25, 64, "192.0.2.1", "192.0.2.127", "192.0.2.129" },
		{ 0, 64, "0.0.0.0", "255.255.255.255", "::" },
		{ 32, 0, "2001:db8::1", "::1", "127.0.0.1" },
		{ 32, 1, "2001:db8::1", "7fff::", "8000::" },
		{ 32, 48, "2001:db8:1:2::1", "2001:db8:1:ffff::1", "2001:db8:2:2::1" },
		{ 32, 63, "2001:db8:0:2::1", "2001:db8:0:3::1", "2001:db8:0:4::1" },
		{ 32, 65, "2001:db8::1", "2001:db8::7fff:0:0:0", "2001:db8::8000:0:0:0" },
		{ 32, 128, "2001:db8::1", "2001:db8::1", "2001:db8::" },
		{ 32, 128, "2001:db8::1", "2001:db8::1", "2001:db9::1" },
		{ 0, 0, "0.0.0.0", "192.0.2.1", "2001:db8::" },
	};

	(void)state;
	for (size_t n = 0; n < IN_ONE_CHAIN * ARRAY_SIZE(samples); n++) {
		size_t i = n % ARRAY_SIZE(samples);
		struct source_limits limits = { 1, .prefix_v4 = samples[i].v4,
						.prefix_v6 = samples[i].v6 };
		struct sources *sources = sources_new(2);

		assert_int_equal(enter(sources, &limits, samples[i].first), SOURCE_OK);
		assert_int_equal(enter(sources, &limits, samples[i].same), SOURCE_TOO_MANY);
		assert_int_equal(enter(sources, &limits, samples[i].other), SOURCE_OK);
		leave(sources, &limits, samples[i].same);
		assert_int_equal(enter(sources, &limits, samples[i].first), SOURCE_OK);
		sources_free(sources);
	}
}

static void local_peers_are_told_apart_by_uid(void **state)
{
	struct source_limits limits = { 1, .prefix_v4 = 0, .prefix_v6 = 0 };

	(void)state;
	for (int i = 0; i < IN_ONE_CHAIN; i++) {
		struct peer peer = { .is_unix = true, .pid = 7, .uid = 1000, .gid = 100 };
		struct sources *sources = sources_new(4);

		assert_int_equal(sources_enter(sources, &limits, &peer, 1), SOURCE_OK);
		peer.pid = 8;
		peer.gid = 101;
		assert_int_equal(sources_enter(sources, &limits, &peer, 1), SOURCE_TOO_MANY);
		peer.uid = 0;
		assert_int_equal(sources_enter(sources, &limits, &peer, 1), SOURCE_OK);
		assert_int_equal(enter(sources, &limits, "::"), SOURCE_OK);
		assert_int_equal(enter(sources, &limits, "0.0.0.0"), SOURCE_OK);
		sources_leave(sources, &limits, &peer);
		assert_int_equal(sources_enter(sources, &limits, &peer, 1), SOURCE_OK);
		sources_free(sources);
	}
}

static void without_limits_nothing_is_counted(void **state)
{
	struct source_limits limits = at_most(0);

	(void)state;
	assert_int_equal(enter(NULL, &limits, "192.0.2.1"), SOURCE_OK);
	leave(NULL, &limits, "192.0.2.1");
}

static void the_rate_goes_on_without_connections(void **state)
{
	struct source_limits limits = at_rate(10, 2);
	struct sources *sources = sources_new(16);
	struct peer peer = peer_at("2001:db8::1");

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sources_enter(sources, &limits, &peer, 5000), SOURCE_OK);
		sources_leave(sources, &limits, &peer);
	}
	assert_int_equal(sources_enter(sources, &limits, &peer, 5000), SOURCE_TOO_FAST);
	assert_int_equal(sources_enter(sources, &limits, &peer, 5099), SOURCE_TOO_FAST);
	assert_int_equal(enter(sources, &limits, "2001:db8:1::1"), SOURCE_OK);
	assert_int_equal(sources_enter(sources, &limits, &peer, 5100), SOURCE_OK);
	assert_true(has(sources, &peer, 1));
	sources_free(sources);
}

static void a_refused_connection_takes_no_token(void **state)
{
	struct source_limits limits = at_rate(1, 3);
	struct sources *sources = sources_new(16);
	struct peer peer = peer_at("192.0.2.1");

	(void)state;
	limits.connections = 2;
	for (int i = 0; i < 2; i++)
		assert_int_equal(sources_enter(sources, &limits, &peer, 5000), SOURCE_OK);
	for (int i = 0; i < 10; i++)
		assert_int_equal(sources_enter(sources, &limits, &peer, 5000), SOURCE_TOO_MANY);
	sources_leave(sources, &limits, &peer);
	assert_int_equal(sources_enter(sources, &limits, &peer, 5000), SOURCE_OK);
	sources_leave(sources, &limits, &peer);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(sources_enter(sources, &limits, &peer, 5000 + i), SOURCE_TOO_FAST);
	assert_int_equal(sources_enter(sources, &limits, &peer, 6000), SOURCE_OK);
	sources_free(sources);
}

static void a_source_with_connections_is_never_forgotten(void **state)
{
	struct source_limits limits = at_most(1);
	struct sources *sources = sources_new(3);

	(void)state;
	assert_int_equal(enter(sources, &limits, "192.0.2.1"), SOURCE_OK);
	assert_int_equal(enter(sources, &limits, "192.0.2.2"), SOURCE_OK);
	assert_int_equal(enter(sources, &limits, "192.0.2.3"), SOURCE_OK);
	assert_int_equal(enter(sources, &limits, "192.0.2.4"), SOURCE_TOO_MANY);
	leave(sources, &limits, "192.0.2.2");
	for (uint32_t i = 0; i < 1000; i++) {
		struct peer peer = peer_number(i);
		assert_int_equal(sources_enter(sources, &limits, &peer, 1000), SOURCE_OK);
		sources_leave(sources, &limits, &peer);
	}
	assert_int_equal(enter(sources, &limits, "192.0.2.1"), SOURCE_TOO_MANY);
	assert_int_equal(enter(sources, &limits, "192.0.2.3"), SOURCE_TOO_MANY);
	assert_int_equal(enter(sources, &limits, "192.0.2.4"), SOURCE_OK);
	assert_int_equal(enter(sources, &limits, "192.0.2.5"), SOURCE_TOO_MANY);
	sources_free(sources);
}

static bool remembered(struct sources *sources, uint32_t number)
{
	struct source_limits limits = at_rate(1, 1);
	struct peer peer = peer_number(number);

	return sources_enter(sources, &limits, &peer, 1000) == SOURCE_TOO_FAST;
}

static void visit(struct sources *sources, uint32_t number)
{
	struct source_limits limits = at_rate(1, 1);
	struct peer peer = peer_number(number);

	assert_int_equal(sources_enter(sources, &limits, &peer, 1000), SOURCE_OK);
	sources_leave(sources, &limits, &peer);
}

/* Which is the one that was away for the longest; to be refused is not to be away. */
static void the_longest_idle_is_forgotten_first(void **state)
{
	struct sources *sources = sources_new(4);

	(void)state;
	for (uint32_t i = 1; i <= 4; i++)
		visit(sources, i);
	assert_true(remembered(sources, 1));
	visit(sources, 5); /* instead of 2 */
	visit(sources, 6); /* instead of 3 */
	assert_true(remembered(sources, 1));
	assert_true(remembered(sources, 4));
	assert_true(remembered(sources, 5));
	assert_true(remembered(sources, 6));
	visit(sources, 2); /* instead of 1 */
	visit(sources, 3); /* instead of 4 */
	assert_true(remembered(sources, 5));
	visit(sources, 1); /* instead of 6 */
	visit(sources, 6); /* instead of 2 */
	assert_true(remembered(sources, 3));
	assert_true(remembered(sources, 5));
	sources_free(sources);
}

static void one_entry_is_a_table_too(void **state)
{
	struct source_limits limits = at_most(2);
	struct sources *sources = sources_new(1);

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(enter(sources, &limits, "::1"), SOURCE_OK);
		assert_int_equal(enter(sources, &limits, "::1"), SOURCE_OK);
		assert_int_equal(enter(sources, &limits, "::1"), SOURCE_TOO_MANY);
		assert_int_equal(enter(sources, &limits, "127.0.0.1"), SOURCE_TOO_MANY);
		leave(sources, &limits, "::1");
		assert_int_equal(enter(sources, &limits, "127.0.0.1"), SOURCE_TOO_MANY);
		leave(sources, &limits, "::1");
		assert_int_equal(enter(sources, &limits, "127.0.0.1"), SOURCE_OK);
		leave(sources, &limits, "127.0.0.1");
	}
	sources_free(sources);
	assert_null(sources_free(NULL));
	assert_null(sources_new(0));
	assert_int_equal(errno, EINVAL);
}

/* A million arrivals and as many departures at random, beside plain counters. */
static void a_million_connections(void **state)
{
	enum { CAPACITY = 65536, NUMBERS = 4 * CAPACITY, OPEN = CAPACITY, LIMIT = 3 };
	static uint8_t counts[NUMBERS];
	static uint32_t open[OPEN]; /* number + 1 */
	struct sources *sources = sources_new(CAPACITY);
	struct source_limits limits = at_most(LIMIT);
	unsigned seed = 1, wrong = 0, refused = 0;

	(void)state;
	for (int i = 0; i < 1000000; i++) {
		uint32_t number = random_number(&seed, NUMBERS);
		uint32_t *place = &open[random_number(&seed, OPEN)];
		struct peer peer;

		if (i % 2)
			number %= CAPACITY / 8; /* some sources come often */
		if (*place) {
			peer = peer_number(*place - 1);
			sources_leave(sources, &limits, &peer);
			counts[*place - 1]--;
			*place = 0;
		}
		peer = peer_number(number);
		bool expected = counts[number] < LIMIT;
		bool entered = sources_enter(sources, &limits, &peer, i) == SOURCE_OK;
		wrong += entered != expected;
		refused += !entered;
		if (entered) {
			*place = number + 1;
			counts[number]++;
		}
	}
	assert_int_equal(wrong, 0);
	assert_in_range(refused, 1000, 900000);
	for (uint32_t i = 0; i < OPEN; i++) {
		struct peer peer = peer_number(open[i] - 1);
		if (open[i])
			sources_leave(sources, &limits, &peer);
	}
	for (uint32_t i = 0; i < NUMBERS; i++) {
		struct peer peer = peer_number(i);
		wrong += !has(sources, &peer, 0);
	}
	assert_int_equal(wrong, 0);
	sources_free(sources);
}

enum { THREADS = 8, ROUNDS = 20000, SOURCES = 64, HELD = 16 };

static struct sources *shared;
static atomic_uint n_forgotten;

/*
 * There are fewer entries than sources: the threads also take idle ones from each other. But the
 * source with the number of the thread has a connection all the time, and is never refused.
 */
static void *come_and_go(void *argument)
{
	struct source_limits limits = at_most(MANY);
	unsigned own = *(unsigned *)argument, seed = own;
	uint32_t held[HELD] = { 0 }; /* number + 1 */

	for (int i = 0; i < ROUNDS + HELD; i++) {
		uint32_t *place =
			&held[i < ROUNDS ? random_number(&seed, HELD) : (unsigned)i % HELD];
		uint32_t number = random_number(&seed, SOURCES);
		struct peer peer = peer_number(*place ? *place - 1 : number);

		if (*place) {
			sources_leave(shared, &limits, &peer);
			*place = 0;
		} else if (i < ROUNDS) {
			if (sources_enter(shared, &limits, &peer, i) == SOURCE_OK)
				*place = number + 1;
			else if (number == own)
				atomic_fetch_add(&n_forgotten, 1);
		}
	}
	return NULL;
}

static void threads_share_a_table(void **state)
{
	struct source_limits limits = at_most(MANY);
	pthread_t threads[THREADS];
	unsigned numbers[THREADS];

	(void)state;
	shared = sources_new(SOURCES / 2);
	for (unsigned i = 0; i < THREADS; i++) {
		struct peer peer = peer_number(i);

		numbers[i] = i;
		assert_int_equal(sources_enter(shared, &limits, &peer, 0), SOURCE_OK);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &numbers[i]), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(n_forgotten, 0);
	for (uint32_t i = 0; i < SOURCES; i++) {
		struct peer peer = peer_number(i);

		if (i < THREADS) {
			assert_true(has(shared, &peer, 1));
			sources_leave(shared, &limits, &peer);
		}
		assert_true(has(shared, &peer, 0));
	}
	sources_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_gives_a_burst_and_then_its_rate),
		cmocka_unit_test(a_zeroed_bucket_is_full_at_any_time),
		cmocka_unit_test(a_rate_is_exact),
		cmocka_unit_test(the_wait_is_exact),
		cmocka_unit_test(a_jump_of_the_clock_fills_no_more_than_the_bucket),
		cmocka_unit_test(a_clock_that_goes_back_gives_nothing),
		cmocka_unit_test(other_limits_end_an_old_wait),
		cmocka_unit_test(the_largest_numbers_do_not_overflow),
		cmocka_unit_test(each_address_has_its_own_count),
		cmocka_unit_test(the_prefix_says_what_a_source_is),
		cmocka_unit_test(local_peers_are_told_apart_by_uid),
		cmocka_unit_test(without_limits_nothing_is_counted),
		cmocka_unit_test(the_rate_goes_on_without_connections),
		cmocka_unit_test(a_refused_connection_takes_no_token),
		cmocka_unit_test(a_source_with_connections_is_never_forgotten),
		cmocka_unit_test(the_longest_idle_is_forgotten_first),
		cmocka_unit_test(one_entry_is_a_table_too),
		cmocka_unit_test(a_million_connections),
		cmocka_unit_test(threads_share_a_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
