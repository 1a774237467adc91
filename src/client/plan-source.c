/* SPDX-License-Identifier: MIT */
/*
 * Where to connect from: addresses, ranges of them and prefixes. TCP has a port of 16 bits for each
 * pair of addresses, so that many connections to one address need several sources.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "plan-private.h"
#include "util.h"

#define SOURCES_MAX   65536
#define SOURCE_LENGTH (INET6_ADDRSTRLEN + IF_NAMESIZE)
#define WRONG                                                                                      \
	"is not possible; write an address, a range as 127.0.0.1-127.0.0.8, or a prefix as "       \
	"127.0.1.0/28"

/* An address as the number that it is, the highest byte first. */
struct host {
	int family;
	size_t length; /* in bytes */
	uint8_t bytes[16];
	uint32_t scope;
};

static bool read_scope(const char *zone, struct host *host)
{
	host->scope = if_nametoindex(zone);
	return host->scope != 0;
}

static bool read_host(const char *text, size_t n, struct host *host)
{
	char copy[SOURCE_LENGTH], *zone;

	*host = (struct host){ .family = AF_INET, .length = 4 };
	if (n >= sizeof(copy))
		return false;
	memcpy(copy, text, n);
	copy[n] = '\0';
	if (inet_pton(AF_INET, copy, host->bytes) == 1)
		return true;

	host->family = AF_INET6;
	host->length = 16;
	zone = strchr(copy, '%');
	if (zone)
		*zone++ = '\0';
	return inet_pton(AF_INET6, copy, host->bytes) == 1 && (!zone || read_scope(zone, host));
}

/* To the last address of the prefix of so many bits; false if `host` is not its first. */
static bool end_of_prefix(const struct host *host, size_t bits, struct host *last)
{
	*last = *host;
	for (size_t bit = bits; bit < host->length * 8; bit++) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);

		if (host->bytes[bit / 8] & mask)
			return false;
		last->bytes[bit / 8] |= mask;
	}
	return true;
}

static void next(struct host *host)
{
	for (size_t i = host->length; i > 0 && ++host->bytes[i - 1] == 0; i--)
		;
}

static int add(struct plan *plan, const struct host *host)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_scope_id = host->scope };
	bool v4 = host->family == AF_INET;

	memcpy(v4 ? (void *)&in.sin_addr : (void *)&in6.sin6_addr, host->bytes, host->length);
	return plan_address_add(&plan->sources, &plan->n_sources, v4 ? (void *)&in : (void *)&in6,
				v4 ? sizeof(in) : sizeof(in6));
}

/* NULL, or what is wrong. */
static const char *add_all(struct plan *plan, const struct host *first, const struct host *last)
{
	struct host host = *first;

	if (memcmp(first->bytes, last->bytes, sizeof(first->bytes)) > 0)
		return "ends before it begins";
	while (plan->n_sources < SOURCES_MAX) {
		if (add(plan, &host) < 0)
			return "needs more memory than there is";
		if (memcmp(host.bytes, last->bytes, sizeof(host.bytes)) == 0)
			return NULL;
		next(&host);
	}
	return "is more than the 65536 sources that there may be";
}

static const char *read_prefix(struct plan *plan, const char *text, const char *slash)
{
	struct host first, last;
	int64_t bits;

	if (!read_host(text, (size_t)(slash - text), &first))
		return WRONG;
	if (!plan_value_integer(slash + 1, &bits) || bits < 0 || bits > (int64_t)first.length * 8)
		return first.family == AF_INET ? "has a wrong length; write 0 to 32 behind the /"
					       : "has a wrong length; write 0 to 128 behind the /";
	if (!end_of_prefix(&first, (size_t)bits, &last))
		return "is not the first address of the prefix; the bits behind it must be 0";
	return add_all(plan, &first, &last);
}

static const char *read_range(struct plan *plan, const char *text, const char *dash)
{
	struct host first, last;

	if (!read_host(text, (size_t)(dash - text), &first))
		return WRONG;
	last = first;
	if (*dash && !read_host(dash + 1, strlen(dash + 1), &last))
		return WRONG;
	if (first.family != last.family || first.scope != last.scope)
		return "is a range from one kind of addresses to another";
	return add_all(plan, &first, &last);
}

void plan_source_read(const char *text, struct plan *plan, struct report *report)
{
	const char *slash = strchr(text, '/');
	const char *wrong = slash ? read_prefix(plan, text, slash)
				  : read_range(plan, text, strchrnul(text, '-'));
	char shown[REPORT_ESCAPED_MAX];

	if (wrong)
		report_add(report, "--source: \"%s\" %s", report_escape(shown, text), wrong);
}

void plan_sources_match(struct plan *plan, struct report *report)
{
	unsigned sources = plan_families(plan->sources, plan->n_sources);
	unsigned targets = plan_families(plan->addresses, plan->n_addresses);
	size_t n = 0;

	if (!sources || !targets)
		return;
	if (targets & SOCKOPT_UNIX) {
		report_add(report, "--source is for TCP; the target is an AF_UNIX socket");
		return;
	}
	if (sources == SOCKOPT_TCP) {
		report_add(report,
			   "--source: there are IPv4 and IPv6 ones; write those of one kind");
		return;
	}
	if (!(sources & targets)) {
		report_add(report, "--source: the sources are %s, and the target is %s",
			   plan_family_name(sources), plan_family_name(targets));
		return;
	}
	for (size_t i = 0; i < plan->n_addresses; i++)
		if (plan_families(&plan->addresses[i], 1) == sources)
			plan->addresses[n++] = plan->addresses[i];
	plan->n_addresses = n;
}
