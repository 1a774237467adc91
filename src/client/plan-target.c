/* SPDX-License-Identifier: MIT */
/* Where to connect to: a name or an address with a port, or an AF_UNIX socket. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "peer.h"
#include "plan-private.h"
#include "util.h"

#define HOST_LENGTH 256 /* a name in the DNS has 253 characters at most */
#define PORT_MAX    65535

static const struct {
	unsigned family;
	const char *name;
} families[] = {
	{ SOCKOPT_INET4, "IPv4" },
	{ SOCKOPT_INET6, "IPv6" },
	{ SOCKOPT_UNIX, "AF_UNIX" },
};

const char *plan_family_name(unsigned family)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (families[i].family & family)
			return families[i].name;
	return "";
}

unsigned plan_families(const struct plan_address *addresses, size_t n)
{
	unsigned all = 0;

	for (size_t i = 0; i < n; i++) {
		sa_family_t family = addresses[i].address.ss_family;

		all |= family == AF_INET    ? SOCKOPT_INET4
		       : family == AF_INET6 ? SOCKOPT_INET6
					    : SOCKOPT_UNIX;
	}
	return all;
}

const char *plan_address_format(char out[PLAN_ADDRESS_MAX], const struct plan_address *address)
{
	union peer_address copy;

	_Static_assert(PLAN_ADDRESS_MAX >= PEER_ADDRESS_MAX, "too short for an address");
	memcpy(&copy, &address->address, sizeof(copy));
	return peer_format_address(out, &copy, address->length);
}

/* Grows by doubling, whenever the number is a power of two. */
int plan_address_add(struct plan_address **addresses, size_t *n, const void *address,
		     socklen_t length)
{
	struct plan_address *place;

	if ((*n & (*n - 1)) == 0) {
		place = reallocarray(*addresses, *n ? 2 * *n : 1, sizeof(*place));
		if (!place)
			return -ENOMEM;
		*addresses = place;
	}
	place = *addresses + (*n)++;
	*place = (struct plan_address){ .length = length };
	memcpy(&place->address, address, length);
	return 0;
}

/* A path, or with @ in front an abstract name, which has a NUL there instead. */
static void read_unix(struct plan *plan, struct report *report)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = strlen(plan->target);
	bool abstract = *plan->target == '@';

	if (n >= sizeof(un.sun_path)) {
		report_add(report,
			   "the name of an AF_UNIX socket has at most %zu bytes, and this one %zu",
			   sizeof(un.sun_path) - 1, n);
		return;
	}
	if (abstract && n == 1) {
		report_add(report, "there is no name behind the @ of an abstract socket");
		return;
	}
	memcpy(un.sun_path, plan->target, n);
	if (abstract)
		un.sun_path[0] = '\0';
	/* The final NUL of a path is part of it; in an abstract name it would be one more byte. */
	if (plan_address_add(&plan->addresses, &plan->n_addresses, &un,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n +
					 (abstract ? 0 : 1))) < 0)
		report_add(report, "out of memory");
}

/*
 * Cuts HOST:PORT and [IPV6]:PORT. NULL and the host in `host`, its port in *ret_port; or what is
 * wrong.
 */
static const char *split(const char *target, char host[HOST_LENGTH], const char **ret_port)
{
	bool bracket = *target == '[';
	const char *begin = target + (bracket ? 1 : 0);
	const char *end = bracket ? strchr(begin, ']') : strchr(begin, ':');
	const char *many = "has too many colons; write an IPv6 address as [::1]:7";

	if (!end)
		return bracket ? "has no ]; write [::1]:7"
			       : "has no port; write HOST:PORT, a path with a slash, or @NAME";
	if (!bracket && strchr(end + 1, ':'))
		return many;
	if (end == begin)
		return "has no host; write localhost:7";
	if (end - begin >= HOST_LENGTH)
		return "has a host that is too long";
	snprintf(host, HOST_LENGTH, "%.*s", (int)(end - begin), begin);
	if (bracket && *++end != ':')
		return "has no port behind the ]; write [::1]:7";
	*ret_port = end + 1;
	if (strchr(*ret_port, ':'))
		return many;
	return **ret_port ? NULL : "has no port; write a number or a service behind the colon";
}

/* The C library cuts the number of a port to 16 bits in silence. */
static bool is_port(const char *port)
{
	int64_t number;

	return !plan_value_integer(port, &number) || (number > 0 && number <= PORT_MAX);
}

static const char *reason(int error)
{
	if (error == EAI_SERVICE)
		return "there is no such service; write a number from 1 to 65535";
	return error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error);
}

static void resolve(struct plan *plan, const char *host, const char *port, struct report *report)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	char shown[REPORT_ESCAPED_MAX];
	int r;

	if (*plan->target == '[') {
		hints.ai_family = AF_INET6;
		hints.ai_flags = AI_NUMERICHOST;
	}
	r = getaddrinfo(host, port, &hints, &found);
	if (r != 0) {
		report_add(report, "\"%s\": %s", report_escape(shown, plan->target), reason(r));
		return;
	}
	for (const struct addrinfo *a = found; a && r == 0; a = a->ai_next)
		r = plan_address_add(&plan->addresses, &plan->n_addresses, a->ai_addr,
				     a->ai_addrlen);
	freeaddrinfo(found);
	if (r < 0)
		report_add(report, "out of memory");
}

void plan_target_read(struct plan *plan, struct report *report)
{
	char host[HOST_LENGTH], shown[REPORT_ESCAPED_MAX];
	const char *port = NULL, *wrong;

	if (*plan->target == '@' || strchr(plan->target, '/')) {
		read_unix(plan, report);
		return;
	}
	wrong = split(plan->target, host, &port);
	if (!wrong && !is_port(port))
		wrong = "has a port that is not from 1 to 65535";
	if (wrong)
		report_add(report, "\"%s\" %s", report_escape(shown, plan->target), wrong);
	else
		resolve(plan, host, port, report);
}
