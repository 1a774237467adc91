/* SPDX-License-Identifier: MIT */
/* Which texts are prefixes, and who may connect; at the end against the plainest way to find out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "access.h"
#include "util.h"

static struct peer peer_at(const char *text)
{
	struct peer peer = { .address.s6_addr = { [10] = 0xff, [11] = 0xff } };

	if (inet_pton(AF_INET, text, peer.address.s6_addr + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, &peer.address), 1);
	return peer;
}

static int add(struct access_rules *rules, const char *text, bool allow)
{
	char problem[ACCESS_PROBLEM_MAX];
	struct access_prefix prefix;

	assert_int_equal(access_parse_prefix(text, &prefix, problem), 0);
	prefix.allow = allow;
	return access_add_prefix(rules, &prefix);
}

static bool allowed(const struct access_rules *rules, const char *address)
{
	struct peer peer = peer_at(address);

	return access_allowed(rules, &peer);
}

static bool allowed_as(const struct access_rules *rules, uint32_t uid, uint32_t gid)
{
	struct peer peer = { .is_unix = true, .pid = 1, .uid = uid, .gid = gid };

	return access_allowed(rules, &peer);
}

/* What is accepted, and how it is written in the shortest way. */
static void prefixes_are_read(void **state)
{
	static const struct {
		const char *text, *shortest;
		unsigned length;
	} samples[] = {
		{ "192.0.2.0/24", "192.0.2.0/24", 120 },
		{ "192.0.2.1", "192.0.2.1", 128 },
		{ "192.0.2.1/32", "192.0.2.1", 128 },
		{ "192.0.2.128/25", "192.0.2.128/25", 121 },
		{ "0.0.0.0/0", "0.0.0.0/0", 96 },
		{ "128.0.0.0/1", "128.0.0.0/1", 97 },
		{ "2001:db8::/32", "2001:db8::/32", 32 },
		{ "2001:0DB8:0::/32", "2001:db8::/32", 32 },
		{ "2001:db8:0:0:0:0:0:1/128", "2001:db8::1", 128 },
		{ "::1", "::1", 128 },
		{ "::/0", "::/0", 0 },
		{ "8000::/1", "8000::/1", 1 },
		{ "fe80::/10", "fe80::/10", 10 },
		{ "::ffff:192.0.2.0/120", "192.0.2.0/24", 120 },
		{ "::ffff:c000:0201", "192.0.2.1", 128 },
		{ "::ffff:0:0/96", "0.0.0.0/0", 96 },
		{ "2001:db8:1111:2222:3333:4444:5555:6666/127",
		  "2001:db8:1111:2222:3333:4444:5555:6666/127", 127 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		char problem[ACCESS_PROBLEM_MAX], text[ACCESS_PREFIX_MAX];
		struct access_prefix prefix;

		assert_int_equal(access_parse_prefix(samples[i].text, &prefix, problem), 0);
		assert_int_equal(prefix.length, samples[i].length);
		assert_false(prefix.any);
		assert_false(prefix.allow);
		assert_string_equal(access_format_prefix(text, &prefix), samples[i].shortest);
	}
}

static void any_is_read(void **state)
{
	char problem[ACCESS_PROBLEM_MAX], text[ACCESS_PREFIX_MAX];
	struct access_prefix prefix;

	(void)state;
	assert_int_equal(access_parse_prefix("any", &prefix, problem), 0);
	assert_true(prefix.any);
	assert_string_equal(access_format_prefix(text, &prefix), "any");
}

static void others_are_refused(void **state)
{
	static const struct {
		const char *text, *problem;
	} samples[] = {
		{ "", "write an address" },
		{ " ", "write an address" },
		{ "Any", "write an address" },
		{ "any/0", "write an address" },
		{ "/", "write an address" },
		{ "/24", "write an address" },
		{ "localhost", "write an address" },
		{ "10", "write an address" },
		{ "10/8", "write an address" },
		{ "10.0.0/8", "write an address" },
		{ "10.0.0.0.0", "write an address" },
		{ "010.0.0.1", "write an address" },
		{ "10.0.00.1", "write an address" },
		{ "256.0.0.0/8", "write an address" },
		{ " 10.0.0.1", "write an address" },
		{ "10.0.0.1 ", "write an address" },
		{ "10.0.0.1:80", "write an address" },
		{ "0x7f.0.0.1", "write an address" },
		{ "[::1]", "write an address" },
		{ ":::", "write an address" },
		{ "2001:db8:12345::", "write an address" },
		{ "1:2:3:4:5:6:7:8:9", "write an address" },
		{ "2001:db8:1111:2222:3333:4444:5555:6666:7777:8888:9999", "write an address" },
		{ "fe80::1%lo", "has a zone" },
		{ "fe80::%2/64", "has a zone" },
		{ "10.0.0.0/", "0 to 32" },
		{ "10.0.0.0/33", "0 to 32" },
		{ "10.0.0.0/08", "0 to 32" },
		{ "10.0.0.0/+8", "0 to 32" },
		{ "10.0.0.0/-8", "0 to 32" },
		{ "10.0.0.0/ 8", "0 to 32" },
		{ "10.0.0.0/8 ", "0 to 32" },
		{ "10.0.0.0/8/8", "0 to 32" },
		{ "10.0.0.0/255.0.0.0", "0 to 32" },
		{ "10.0.0.0/99999999999999999999", "0 to 32" },
		{ "10.0.0.0/4294967304", "0 to 32" },
		{ "::/129", "0 to 128" },
		{ "::/00", "0 to 128" },
		{ "::/", "0 to 128" },
		{ "10.1.2.3/8", "write 10.0.0.0/8 or 10.1.2.3" },
		{ "10.0.0.1/31", "write 10.0.0.0/31 or 10.0.0.1" },
		{ "255.255.255.255/0", "write 0.0.0.0/0 or 255.255.255.255" },
		{ "2001:db8::1/32", "write 2001:db8::/32 or 2001:db8::1" },
		{ "2001:db8::/12", "write 2000::/12 or 2001:db8::" },
		{ "::1/0", "write ::/0 or ::1" },
		{ "::ffff:10.1.2.3/104", "write 10.0.0.0/8 or 10.1.2.3" },
		{ "::ffff:10.0.0.0/8", "write it as IPv4" },
		{ "::ffff:0:0/95", "write it as IPv4" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		char problem[ACCESS_PROBLEM_MAX] = "";
		struct access_prefix prefix;

		if (access_parse_prefix(samples[i].text, &prefix, problem) != -EINVAL)
			fail_msg("\"%s\" was accepted", samples[i].text);
		if (!strstr(problem, samples[i].problem))
			fail_msg("\"%s\": %s", samples[i].text, problem);
	}
}

/* The longest message that there can be is complete. */
static void long_problems_fit(void **state)
{
	char problem[ACCESS_PROBLEM_MAX];
	struct access_prefix prefix;

	(void)state;
	access_parse_prefix("2001:1db8:1111:2222:3333:4444:5555:6667/127", &prefix, problem);
	assert_string_equal(problem, "has bits beyond its length; write "
				     "2001:1db8:1111:2222:3333:4444:5555:6666/127 or "
				     "2001:1db8:1111:2222:3333:4444:5555:6667");
}

/* In any order of adding. */
static void the_most_specific_rule_wins(void **state)
{
	static const struct {
		const char *text;
		bool allow;
	} list[] = {
		{ "any", false },           { "10.0.0.0/8", true },      { "10.1.0.0/16", false },
		{ "10.1.2.0/24", true },    { "10.1.2.3", false },       { "::/0", true },
		{ "2001:db8::/32", false }, { "2001:db8:1::/48", true }, { "::1", false }
	};

	(void)state;
	for (size_t first = 0; first < ARRAY_SIZE(list); first++) {
		struct access_rules rules = { 0 };

		for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
			size_t j = (first + i) % ARRAY_SIZE(list);
			assert_int_equal(add(&rules, list[j].text, list[j].allow), 0);
		}
		assert_false(allowed(&rules, "192.0.2.1"));
		assert_true(allowed(&rules, "10.255.255.255"));
		assert_false(allowed(&rules, "10.1.255.255"));
		assert_true(allowed(&rules, "10.1.2.255"));
		assert_false(allowed(&rules, "10.1.2.3"));
		assert_false(allowed(&rules, "::ffff:10.1.2.3"));
		assert_true(allowed(&rules, "::ffff:10.1.2.4"));
		assert_true(allowed(&rules, "2001:db9::"));
		assert_false(allowed(&rules, "2001:db8:2::1"));
		assert_true(allowed(&rules, "2001:db8:1:ffff::1"));
		assert_false(allowed(&rules, "::1"));
		assert_true(allowed(&rules, "::2"));
		access_deinit(&rules);
	}
}

static void families_are_apart(void **state)
{
	struct access_rules v6 = { 0 }, v4 = { 0 };

	(void)state;
	assert_int_equal(add(&v6, "::/0", true), 0);
	assert_true(allowed(&v6, "2001:db8::1"));
	assert_true(allowed(&v6, "::"));
	assert_false(allowed(&v6, "192.0.2.1"));
	assert_false(allowed(&v6, "::ffff:192.0.2.1"));
	assert_int_equal(add(&v6, "::/64", true), 0);
	assert_false(allowed(&v6, "192.0.2.1"));
	assert_int_equal(add(&v6, "any", true), 0);
	assert_true(allowed(&v6, "192.0.2.1"));
	access_deinit(&v6);

	assert_int_equal(add(&v4, "0.0.0.0/0", false), 0);
	assert_false(allowed(&v4, "192.0.2.1"));
	assert_true(allowed(&v4, "2001:db8::1"));
	access_deinit(&v4);
}

static void without_a_match_the_kind_of_the_rules_decides(void **state)
{
	struct access_rules rules = { 0 };

	(void)state;
	assert_true(allowed(&rules, "192.0.2.1"));
	assert_true(allowed_as(&rules, 0, 0));
	add(&rules, "192.0.2.0/24", false);
	assert_true(allowed(&rules, "198.51.100.1"));
	assert_true(allowed(&rules, "::1"));
	add(&rules, "192.0.2.1", true);
	assert_false(allowed(&rules, "198.51.100.1"));
	assert_false(allowed(&rules, "::1"));
	assert_true(allowed(&rules, "192.0.2.1"));
	assert_true(allowed_as(&rules, 0, 0));
	access_deinit(&rules);
	assert_true(allowed(&rules, "198.51.100.1"));
}

static void uids_and_gids(void **state)
{
	struct access_rules rules = { 0 };
	struct access_id id = { .id = 100, .is_gid = true };

	(void)state;
	assert_int_equal(access_add_id(&rules, &id), 0);
	assert_false(allowed_as(&rules, 7, 100));
	assert_true(allowed_as(&rules, 100, 7));
	id = (struct access_id){ .id = 1000, .allow = true };
	assert_int_equal(access_add_id(&rules, &id), 0);
	assert_true(allowed_as(&rules, 1000, 100));
	assert_false(allowed_as(&rules, 7, 100));
	assert_false(allowed_as(&rules, 7, 8));
	id = (struct access_id){ .id = 4000000000, .is_gid = true, .allow = true };
	assert_int_equal(access_add_id(&rules, &id), 0);
	id = (struct access_id){ .id = 0 };
	assert_int_equal(access_add_id(&rules, &id), 0);
	assert_true(allowed_as(&rules, 7, 4000000000));
	assert_false(allowed_as(&rules, 0, 4000000000));
	assert_true(allowed(&rules, "192.0.2.1"));
	access_deinit(&rules);
}

static void a_second_rule_for_the_same_is_refused(void **state)
{
	struct access_rules rules = { 0 };
	struct access_id id = { .id = 100, .is_gid = true };

	(void)state;
	assert_int_equal(add(&rules, "192.0.2.0/24", true), 0);
	assert_int_equal(add(&rules, "192.0.2.0/25", true), 0);
	assert_int_equal(add(&rules, "::/0", true), 0);
	assert_int_equal(add(&rules, "any", true), 0);
	assert_int_equal(add(&rules, "0.0.0.0/0", true), 0);
	assert_int_equal(add(&rules, "192.0.2.0/24", false), -EEXIST);
	assert_int_equal(add(&rules, "::ffff:192.0.2.0/120", true), -EEXIST);
	assert_int_equal(add(&rules, "any", false), -EEXIST);
	assert_int_equal(add(&rules, "0:0::/0", false), -EEXIST);
	assert_int_equal(rules.n_prefixes, 5);

	assert_int_equal(access_add_id(&rules, &id), 0);
	id.allow = true;
	assert_int_equal(access_add_id(&rules, &id), -EEXIST);
	id.is_gid = false;
	assert_int_equal(access_add_id(&rules, &id), 0);
	assert_int_equal(rules.n_ids, 2);
	access_deinit(&rules);
}

static void a_copy_stands_alone(void **state)
{
	struct access_rules rules = { 0 }, copy, empty;
	struct access_id id = { .id = 100, .allow = true };

	(void)state;
	assert_int_equal(access_copy(&empty, &rules), 0);
	add(&rules, "192.0.2.0/24", true);
	access_add_id(&rules, &id);
	assert_int_equal(access_copy(&copy, &rules), 0);
	access_deinit(&rules);
	assert_int_equal(add(&copy, "192.0.2.1", false), 0);
	assert_true(allowed(&copy, "192.0.2.2"));
	assert_false(allowed(&copy, "192.0.2.1"));
	assert_false(allowed(&copy, "198.51.100.1"));
	assert_true(allowed_as(&copy, 100, 1));
	assert_false(allowed_as(&copy, 101, 1));
	access_deinit(&copy);
	assert_true(allowed(&empty, "198.51.100.1"));
	access_deinit(&empty);
}

static unsigned random_number(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % n;
}

/* Few different bits, so that many prefixes hold each other; every third is IPv4. */
static struct in6_addr random_address(unsigned *seed)
{
	struct in6_addr address = { 0 };

	for (int i = 0; i < 16; i++)
		if (random_number(seed, 4) == 0)
			address.s6_addr[i] = (uint8_t)(1 << random_number(seed, 8));
	if (random_number(seed, 3) == 0) {
		memset(&address, 0, 10);
		memset(address.s6_addr + 10, 0xff, 2);
	}
	return address;
}

static bool bit(const struct in6_addr *address, unsigned i)
{
	return address->s6_addr[i / 8] >> (7 - i % 8) & 1;
}

static struct access_prefix random_prefix(unsigned *seed)
{
	struct access_prefix prefix = { .address = random_address(seed) };
	bool v4 = IN6_IS_ADDR_V4MAPPED(&prefix.address);
	unsigned length = v4 ? 96 + random_number(seed, 33) : random_number(seed, 129);

	for (unsigned i = length; i < 128; i++)
		prefix.address.s6_addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	prefix.length = (uint8_t)length;
	prefix.allow = random_number(seed, 2);
	return prefix;
}

/* How specific a rule is for the address; -1: not for it. */
static int specificity(const struct access_prefix *rule, const struct in6_addr *address)
{
	bool rule_v4 = rule->length >= 96 && IN6_IS_ADDR_V4MAPPED(&rule->address);

	if (rule->any)
		return 0;
	if (rule_v4 != (bool)IN6_IS_ADDR_V4MAPPED(address))
		return -1;
	for (unsigned i = 0; i < rule->length; i++)
		if (bit(&rule->address, i) != bit(address, i))
			return -1;
	return 1 + rule->length;
}

static bool plainly_allowed(const struct access_prefix *list, size_t n,
			    const struct in6_addr *address)
{
	bool result = true;
	int best = -1;

	for (size_t i = 0; i < n; i++)
		if (list[i].allow)
			result = false;
	for (size_t i = 0; i < n; i++) {
		int s = specificity(&list[i], address);

		if (s > best) {
			best = s;
			result = list[i].allow;
		}
	}
	return result;
}

static void random_rules(void **state)
{
	unsigned seed = 11, denied = 0, total = 0;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct access_prefix list[40];
		struct access_rules rules = { 0 };
		size_t n = 0, tries = random_number(&seed, ARRAY_SIZE(list));

		for (size_t i = 0; i < tries; i++) {
			list[n] = random_prefix(&seed);
			if (random_number(&seed, 40) == 0)
				list[n] = (struct access_prefix){ .any = true };
			if (access_add_prefix(&rules, &list[n]) == 0)
				n++;
		}
		assert_int_equal(rules.n_prefixes, n);
		for (int i = 0; i < 50; i++) {
			struct peer peer = { .address = random_address(&seed) };
			bool expected = plainly_allowed(list, n, &peer.address);

			assert_int_equal(access_allowed(&rules, &peer), expected);
			denied += !expected;
			total++;
		}
		access_deinit(&rules);
	}
	assert_in_range(denied, total / 10, total - total / 10);
}

/* What is printed is read as the same. */
static void random_texts(void **state)
{
	unsigned seed = 5;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct access_prefix prefix = random_prefix(&seed), again;
		char problem[ACCESS_PROBLEM_MAX], text[ACCESS_PREFIX_MAX];

		access_format_prefix(text, &prefix);
		assert_int_equal(access_parse_prefix(text, &again, problem), 0);
		assert_int_equal(again.length, prefix.length);
		assert_memory_equal(&again.address, &prefix.address, sizeof(prefix.address));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes_are_read),
		cmocka_unit_test(any_is_read),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(long_problems_fit),
		cmocka_unit_test(the_most_specific_rule_wins),
		cmocka_unit_test(families_are_apart),
		cmocka_unit_test(without_a_match_the_kind_of_the_rules_decides),
		cmocka_unit_test(uids_and_gids),
		cmocka_unit_test(a_second_rule_for_the_same_is_refused),
		cmocka_unit_test(a_copy_stands_alone),
		cmocka_unit_test(random_rules),
		cmocka_unit_test(random_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
