/* SPDX-License-Identifier: MIT */
/*
 * See access.h. The prefixes are sorted by falling length, "any" last, and within one length by
 * address; the ids by kind, uid before gid, and then by number. A look-up is one binary search for
 * each length that occurs, so that long lists of networks stay cheap.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "access.h"
#include "util.h"

#define V4_IN_V6 96 /* length of ::ffff:0:0/96, which is IPv4 */

static bool parse_address(const char *text, size_t n, struct access_prefix *ret, unsigned *ret_bits)
{
	char address[INET6_ADDRSTRLEN];

	if (n >= sizeof(address))
		return false;
	memcpy(address, text, n);
	address[n] = '\0';
	*ret = (struct access_prefix){ .address.s6_addr = { [10] = 0xff, [11] = 0xff } };
	*ret_bits = 32;
	if (inet_pton(AF_INET, address, ret->address.s6_addr + 12) == 1)
		return true;
	*ret_bits = 128;
	return inet_pton(AF_INET6, address, &ret->address) == 1;
}

/* A decimal number without sign and leading zeros. */
static bool parse_length(const char *text, unsigned max, unsigned *ret)
{
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 3 || text[n] != '\0' || (n > 1 && text[0] == '0'))
		return false;
	*ret = (unsigned)strtoul(text, NULL, 10);
	return *ret <= max;
}

static struct in6_addr masked(const struct in6_addr *address, unsigned length)
{
	struct in6_addr result = { 0 };

	memcpy(&result, address, length / 8);
	if (length % 8)
		result.s6_addr[length / 8] = (uint8_t)(address->s6_addr[length / 8] &
						       (0xff00 >> length % 8));
	return result;
}

static bool equal(const struct in6_addr *a, const struct in6_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static void suggest(char problem[ACCESS_PROBLEM_MAX], const struct access_prefix *prefix)
{
	struct access_prefix network = *prefix, host = *prefix;
	char network_text[ACCESS_PREFIX_MAX], host_text[ACCESS_PREFIX_MAX];

	network.address = masked(&prefix->address, prefix->length);
	host.length = 128;
	snprintf(problem, ACCESS_PROBLEM_MAX, "has bits beyond its length; write %s or %s",
		 access_format_prefix(network_text, &network),
		 access_format_prefix(host_text, &host));
}

static bool fail(char problem[ACCESS_PROBLEM_MAX], const char *what)
{
	snprintf(problem, ACCESS_PROBLEM_MAX, "%s", what);
	return false;
}

/* Reads the text, without a look at the bits beyond the length. */
static bool parse(const char *text, struct access_prefix *ret, char problem[ACCESS_PROBLEM_MAX])
{
	const char *slash = strchrnul(text, '/');
	unsigned bits, length;

	if (memchr(text, '%', (size_t)(slash - text)))
		return fail(problem, "has a zone; a rule is for addresses of all interfaces");
	if (!parse_address(text, (size_t)(slash - text), ret, &bits))
		return fail(problem, "is not possible; write an address, a prefix as 192.0.2.0/24 "
				     "or 2001:db8::/32, or \"any\"");
	length = bits;
	if (*slash && !parse_length(slash + 1, bits, &length))
		return fail(problem,
			    bits == 32
				    ? "has a wrong length; write a number from 0 to 32 after /"
				    : "has a wrong length; write a number from 0 to 128 after /");
	if (bits == 128 && length < V4_IN_V6 && IN6_IS_ADDR_V4MAPPED(&ret->address))
		return fail(problem, "is IPv4 with a length of IPv6 below 96; write it as IPv4, as "
				     "192.0.2.0/24");
	ret->length = (uint8_t)(length + 128 - bits);
	return true;
}

int access_parse_prefix(const char *text, struct access_prefix *ret_prefix,
			char problem[ACCESS_PROBLEM_MAX])
{
	struct access_prefix prefix = { .any = true };
	struct in6_addr network;

	if (strcmp(text, "any") != 0 && !parse(text, &prefix, problem))
		return -EINVAL;
	network = masked(&prefix.address, prefix.length);
	if (!equal(&network, &prefix.address)) {
		suggest(problem, &prefix);
		return -EINVAL;
	}
	*ret_prefix = prefix;
	return 0;
}

const char *access_format_prefix(char out[ACCESS_PREFIX_MAX], const struct access_prefix *prefix)
{
	bool v4 = prefix->length >= V4_IN_V6 && IN6_IS_ADDR_V4MAPPED(&prefix->address);
	char address[INET6_ADDRSTRLEN];

	if (v4)
		inet_ntop(AF_INET, prefix->address.s6_addr + 12, address, sizeof(address));
	else
		inet_ntop(AF_INET6, &prefix->address, address, sizeof(address));
	if (prefix->any)
		snprintf(out, ACCESS_PREFIX_MAX, "any");
	else if (prefix->length == 128)
		snprintf(out, ACCESS_PREFIX_MAX, "%s", address);
	else
		snprintf(out, ACCESS_PREFIX_MAX, "%s/%d", address,
			 prefix->length - (v4 ? V4_IN_V6 : 0));
	return out;
}

/* < 0: `a` stands before `b`; 0: they are for the same peers. */
static int compare_prefixes(const void *a, const void *b)
{
	const struct access_prefix *x = a, *y = b;

	if (x->any || y->any)
		return x->any - y->any;
	if (x->length != y->length)
		return y->length - x->length;
	return memcmp(&x->address, &y->address, sizeof(x->address));
}

static int compare_ids(const void *a, const void *b)
{
	const struct access_id *x = a, *y = b;

	if (x->is_gid != y->is_gid)
		return x->is_gid - y->is_gid;
	return (x->id > y->id) - (x->id < y->id);
}

typedef int compare_fn(const void *a, const void *b);

/* The first of `n` members that does not stand before `key`; n if there is none. */
static size_t lower_bound(const void *array, size_t n, size_t size, const void *key,
			  compare_fn *compare)
{
	size_t from = 0;

	while (from < n) {
		size_t middle = from + (n - from) / 2;

		if (compare((const char *)array + middle * size, key) < 0)
			from = middle + 1;
		else
			n = middle;
	}
	return from;
}

/* Puts a copy of `member` where it belongs; `*array` and `*n` are a sorted array. */
static int insert(void **array, size_t *n, size_t size, const void *member, compare_fn *compare)
{
	size_t at = lower_bound(*array, *n, size, member, compare);
	char *larger = *array, *place;

	if (at < *n && compare(larger + at * size, member) == 0)
		return -EEXIST;
	larger = reallocarray(*array, *n + 1, size);
	if (!larger)
		return -ENOMEM;
	place = larger + at * size;
	memmove(place + size, place, (*n - at) * size);
	memcpy(place, member, size);
	*array = larger;
	*n += 1;
	return 0;
}

int access_add_prefix(struct access_rules *rules, const struct access_prefix *prefix)
{
	void *prefixes = rules->prefixes;
	int r = insert(&prefixes, &rules->n_prefixes, sizeof(*prefix), prefix, compare_prefixes);

	rules->prefixes = prefixes;
	if (r == 0 && prefix->allow)
		rules->some_prefix_allows = true;
	return r;
}

int access_add_id(struct access_rules *rules, const struct access_id *id)
{
	void *ids = rules->ids;
	int r = insert(&ids, &rules->n_ids, sizeof(*id), id, compare_ids);

	rules->ids = ids;
	if (r == 0 && id->allow)
		rules->some_id_allows = true;
	return r;
}

static const struct access_prefix *find_prefix(const struct access_rules *rules,
					       const struct in6_addr *address)
{
	const struct access_prefix *prefixes = rules->prefixes;
	bool v4 = IN6_IS_ADDR_V4MAPPED(address);
	size_t n = rules->n_prefixes, at = 0;

	while (at < n && !prefixes[at].any) {
		unsigned length = prefixes[at].length;
		struct access_prefix key = { .address = masked(address, length) };

		if (v4 && length < V4_IN_V6)
			break; /* what is left is IPv6, and perhaps "any" */
		key.length = (uint8_t)length;
		at += lower_bound(prefixes + at, n - at, sizeof(key), &key, compare_prefixes);
		if (at < n && compare_prefixes(&prefixes[at], &key) == 0)
			return &prefixes[at];
		if (length == 0)
			break;
		key = (struct access_prefix){ .length = (uint8_t)(length - 1) };
		at += lower_bound(prefixes + at, n - at, sizeof(key), &key, compare_prefixes);
	}
	return n > 0 && prefixes[n - 1].any ? &prefixes[n - 1] : NULL;
}

static bool address_allowed(const struct access_rules *rules, const struct in6_addr *address)
{
	const struct access_prefix *prefix = find_prefix(rules, address);

	return prefix ? prefix->allow : !rules->some_prefix_allows;
}

static const struct access_id *find_id(const struct access_rules *rules, uint32_t id, bool is_gid)
{
	struct access_id key = { .id = id, .is_gid = is_gid };
	size_t at = lower_bound(rules->ids, rules->n_ids, sizeof(key), &key, compare_ids);

	if (at < rules->n_ids && compare_ids(&rules->ids[at], &key) == 0)
		return &rules->ids[at];
	return NULL;
}

static bool credentials_allowed(const struct access_rules *rules, uint32_t uid, uint32_t gid)
{
	const struct access_id *id = find_id(rules, uid, false) ?: find_id(rules, gid, true);

	return id ? id->allow : !rules->some_id_allows;
}

bool access_allowed(const struct access_rules *rules, const struct peer *peer)
{
	if (peer->is_unix)
		return credentials_allowed(rules, peer->uid, peer->gid);
	return address_allowed(rules, &peer->address);
}

static int duplicate(void **ret, const void *array, size_t size)
{
	*ret = NULL;
	if (size == 0)
		return 0;
	*ret = malloc(size);
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, array, size);
	return 0;
}

int access_copy(struct access_rules *to, const struct access_rules *from)
{
	void *prefixes = NULL, *ids = NULL;

	*to = (struct access_rules){ 0 };
	if (duplicate(&prefixes, from->prefixes, from->n_prefixes * sizeof(*from->prefixes)) < 0 ||
	    duplicate(&ids, from->ids, from->n_ids * sizeof(*from->ids)) < 0) {
		free(prefixes);
		return -ENOMEM;
	}
	*to = *from;
	to->prefixes = prefixes;
	to->ids = ids;
	return 0;
}

void access_deinit(struct access_rules *rules)
{
	free(rules->prefixes);
	free(rules->ids);
	*rules = (struct access_rules){ 0 };
}
