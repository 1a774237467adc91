/* SPDX-License-Identifier: MIT */
/*
 * Numbers and paths need nobody to look them up. What is a name is decided by its form alone, so
 * that a misspelt address is an error of the file and not a question to a name server.
 */
#include "forward-targets.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ITEM_MAX  (FORWARD_HOST_MAX + sizeof("[]:65535"))
#define LABEL_MAX 63
#define PATH_MOST (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
#define VSOCK     "vsock:"

struct parser {
	char item[ITEM_MAX]; /* what is being read */
	char *problem;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static int wrong(const struct parser *p, const char *format,
						       ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->problem, p->size, format, args);
	va_end(args);
	return -EINVAL;
}

/* A number without sign, blanks and leading zeros, up to `max`. */
static bool read_number(const char *text, unsigned long max, unsigned long *ret)
{
	char *end;

	if (!isdigit((unsigned char)*text) || (text[0] == '0' && text[1]))
		return false;
	errno = 0;
	*ret = strtoul(text, &end, 10);
	return !*end && errno == 0 && *ret <= max;
}

static int read_port(const struct parser *p, const char *text, uint16_t *ret)
{
	unsigned long port;

	if (!read_number(text, UINT16_MAX, &port) || port == 0)
		return wrong(p, "target \"%s\" has no port from 1 to 65535 at its end", p->item);
	*ret = (uint16_t)port;
	return 0;
}

/* '@' stands for the NUL that abstract addresses begin with. */
static int read_path(const struct parser *p, struct forward_target *ret)
{
	size_t length = strlen(p->item);

	if (length > PATH_MOST)
		return wrong(
			p,
			"target \"%.40s...\" has %zu characters; an address of AF_UNIX has %zu "
			"at most",
			p->item, length, PATH_MOST);
	if (length == 1)
		return wrong(p, "target \"%s\" is no path of a socket", p->item);
	ret->address.un.sun_family = AF_UNIX;
	memcpy(ret->address.un.sun_path, p->item, length);
	ret->address.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	if (p->item[0] == '@')
		ret->address.un.sun_path[0] = '\0';
	else
		ret->address.length++;
	return 0;
}

static int read_vsock(struct parser *p, struct forward_target *ret)
{
	char *cid_text = p->item + strlen(VSOCK), *colon = strchr(cid_text, ':');
	unsigned long cid, port;
	bool good = colon && read_number(colon + 1, UINT32_MAX - 1, &port);

	if (good) {
		*colon = '\0';
		good = read_number(cid_text, UINT32_MAX - 1, &cid);
		*colon = ':';
	}
	if (!good)
		return wrong(p, "target \"%s\" is not of the form vsock:CID:PORT, both numbers",
			     p->item);
	ret->address.vm.svm_family = AF_VSOCK;
	ret->address.vm.svm_cid = (unsigned)cid;
	ret->address.vm.svm_port = (unsigned)port;
	ret->address.length = sizeof(ret->address.vm);
	return 0;
}

/* The index of a zone's interface may change, so it is looked up as a name is. */
static bool is_zoned(const char *host)
{
	const char *zone = strchr(host, '%');
	char address[INET6_ADDRSTRLEN] = "";
	struct in6_addr any;

	if (!zone || (size_t)(zone - host) >= sizeof(address) || !zone[1] ||
	    strlen(zone + 1) >= IF_NAMESIZE)
		return false;
	memcpy(address, host, (size_t)(zone - host));
	return inet_pton(AF_INET6, address, &any) == 1;
}

static int read_bracketed(struct parser *p, struct forward_target *ret)
{
	char *host = p->item + 1, *end = strstr(host, "]:");
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (!end || read_port(p, end + 2, &ret->port) < 0)
		return wrong(p, "target \"%s\" is not of the form [ADDRESS]:PORT", p->item);
	*end = '\0';
	if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
		ret->address = forward_address_of((struct sockaddr *)&in6, ret->port);
		return 0;
	}
	if (!is_zoned(host))
		return wrong(p, "\"%s\" is not an address of IPv6", host);
	strcpy(ret->host, host); /* shorter than INET6_ADDRSTRLEN + IF_NAMESIZE */
	return 0;
}

/* Of letters, digits, '-' and '_'; the last label of a name has something else than digits. */
static bool is_name(const char *host)
{
	bool only_digits = true;

	if (strlen(host) > FORWARD_HOST_MAX)
		return false;
	while (*host) {
		size_t n = strcspn(host, ".");
		only_digits = true;
		for (size_t i = 0; i < n; i++) {
			if (!isalnum((unsigned char)host[i]) && host[i] != '-' && host[i] != '_')
				return false;
			only_digits = only_digits && isdigit((unsigned char)host[i]);
		}
		if (n == 0 || n > LABEL_MAX || host[0] == '-')
			return false;
		host += host[n] ? n + 1 : n;
	}
	return !only_digits;
}

static int read_host(struct parser *p, struct forward_target *ret)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	char *colon = strrchr(p->item, ':');

	if (colon && strchr(p->item, ':') != colon)
		return wrong(p, "target \"%s\" has too many colons; write [ADDRESS]:PORT for IPv6",
			     p->item);
	if (!colon)
		return wrong(p, "target \"%s\" has no port; write %s:PORT, or /PATH for AF_UNIX",
			     p->item, p->item);
	int r = read_port(p, colon + 1, &ret->port);
	if (r < 0)
		return r;
	*colon = '\0';
	if (inet_pton(AF_INET, p->item, &in.sin_addr) == 1) {
		ret->address = forward_address_of((struct sockaddr *)&in, ret->port);
		return 0;
	}
	if (!is_name(p->item))
		return wrong(p, "\"%s\" is neither an address of IPv4 nor the name of a host",
			     p->item);
	strcpy(ret->host, p->item); /* is_name() has looked at its length */
	return 0;
}

static int read_item(struct parser *p, struct forward_target *ret)
{
	*ret = (struct forward_target){ 0 };
	switch (p->item[0]) {
	case '\0':
		return wrong(p, "target has an item with nothing in it");
	case '/':
	case '@':
		return read_path(p, ret);
	case '[':
		return read_bracketed(p, ret);
	default:
		return strncmp(p->item, VSOCK, strlen(VSOCK)) == 0 ? read_vsock(p, ret)
								   : read_host(p, ret);
	}
}

int forward_targets_next(const char **list, struct forward_target *ret, char *problem, size_t size)
{
	struct parser p = { .problem = problem, .size = size };
	const char *begin = *list + strspn(*list, " ");
	size_t with_blanks = strcspn(begin, ","), n = with_blanks;

	if (!**list)
		return 0;
	while (n > 0 && begin[n - 1] == ' ')
		n--;
	if (n >= sizeof(p.item))
		return wrong(&p, "target \"%.40s...\" is longer than any address", begin);
	memcpy(p.item, begin, n);
	*list = begin + with_blanks;
	if (**list == ',' && *++*list == '\0')
		return wrong(&p, "target ends with a comma");
	int r = read_item(&p, ret);
	return r < 0 ? r : 1;
}

static bool equal(const struct forward_target *a, const struct forward_target *b)
{
	return a->port == b->port && strcasecmp(a->host, b->host) == 0 &&
	       forward_address_equal(&a->address, &b->address);
}

/* Whether one of the first `n` is this one. */
static bool is_among(const char *list, size_t n, const struct forward_target *target)
{
	struct forward_target other;
	char problem[1];

	while (n-- > 0 && forward_targets_next(&list, &other, problem, sizeof(problem)) > 0)
		if (equal(&other, target))
			return true;
	return false;
}

int forward_targets_check(const char *list, char *problem, size_t size)
{
	const struct parser p = { .problem = problem, .size = size };
	struct forward_target target;
	const char *rest = list, *begin = list;
	size_t n = 0;
	int r;

	while ((r = forward_targets_next(&rest, &target, problem, size)) > 0) {
		if (is_among(list, n, &target))
			return wrong(&p, "target repeats \"%.*s\"",
				     (int)strcspn(begin + strspn(begin, " "), ", "),
				     begin + strspn(begin, " "));
		if (++n > FORWARD_TARGETS_MAX)
			return wrong(&p, "target has more than %d items", FORWARD_TARGETS_MAX);
		begin = rest;
	}
	return r < 0 ? r : n > 0 ? 0 : wrong(&p, "target is empty");
}

struct forward_address forward_address_of(const struct sockaddr *address, uint16_t port)
{
	struct forward_address ret = { 0 };

	if (address->sa_family == AF_INET) {
		ret.length = sizeof(ret.in);
		memcpy(&ret.in, address, sizeof(ret.in));
		ret.in.sin_port = htons(port);
	} else if (address->sa_family == AF_INET6) {
		ret.length = sizeof(ret.in6);
		memcpy(&ret.in6, address, sizeof(ret.in6));
		ret.in6.sin6_port = htons(port);
	}
	return ret;
}

bool forward_address_equal(const struct forward_address *a, const struct forward_address *b)
{
	return a->length == b->length && memcmp(&a->any, &b->any, a->length) == 0;
}

static const char *format_in6(char out[FORWARD_TEXT_MAX], const struct sockaddr_in6 *in6)
{
	char text[INET6_ADDRSTRLEN], zone[16] = "";

	inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
	if (in6->sin6_scope_id)
		snprintf(zone, sizeof(zone), "%%%u", in6->sin6_scope_id);
	snprintf(out, FORWARD_TEXT_MAX, "[%s%s]:%u", text, zone, ntohs(in6->sin6_port));
	return out;
}

static const char *format_un(char out[FORWARD_TEXT_MAX], const struct forward_address *address)
{
	size_t length = address->length - offsetof(struct sockaddr_un, sun_path);
	bool abstract = !address->un.sun_path[0];

	snprintf(out, FORWARD_TEXT_MAX, "%s%.*s", abstract ? "@" : "", (int)(length - abstract),
		 address->un.sun_path + abstract);
	return out;
}

const char *forward_address_format(char out[FORWARD_TEXT_MAX],
				   const struct forward_address *address)
{
	char text[INET_ADDRSTRLEN];

	switch (address->any.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &address->in.sin_addr, text, sizeof(text));
		snprintf(out, FORWARD_TEXT_MAX, "%s:%u", text, ntohs(address->in.sin_port));
		return out;
	case AF_INET6:
		return format_in6(out, &address->in6);
	case AF_UNIX:
		return format_un(out, address);
	default:
		snprintf(out, FORWARD_TEXT_MAX, VSOCK "%u:%u", address->vm.svm_cid,
			 address->vm.svm_port);
		return out;
	}
}
