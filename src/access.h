/* SPDX-License-Identifier: MIT */
/*
 * Who may connect: rules by address prefix, and for AF_UNIX by uid and gid of the peer. The most
 * specific rule wins. IPv4 and IPv4-mapped IPv6 addresses are the same (see peer.h); a prefix of
 * either family, ::/0 as well, says nothing about the other.
 *
 * Built at the start, then constant; any thread.
 */
#ifndef SIMPLE_SERVER_ACCESS_H
#define SIMPLE_SERVER_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer.h"

struct access_prefix {
	struct in6_addr address; /* IPv4 as IPv4-mapped; the bits beyond `length` are zero */
	uint8_t length;          /* 0..128; of IPv4 96 more than written */
	bool any;                /* both families; address and length are zero */
	bool allow;
};

struct access_id {
	uint32_t id;
	bool is_gid; /* a rule for a uid is more specific than one for a gid */
	bool allow;
};

/* Zeroed there is no rule. Sorted; only access_add_*() writes. */
struct access_rules {
	struct access_prefix *prefixes;
	size_t n_prefixes;
	struct access_id *ids;
	size_t n_ids;
	bool some_prefix_allows, some_id_allows;
};

/*
 * Parses "192.0.2.0/24", "192.0.2.1", "2001:db8::/32", "::1", "::ffff:192.0.2.0/120" (which is the
 * first one), or "any". Bits beyond the prefix must be zero. *ret_prefix is a rule that denies.
 * 0; -EINVAL, and then `problem` goes on where a message has named the text: "has bits beyond its
 * length; write 192.0.2.0/24 or 192.0.2.1".
 */
#define ACCESS_PROBLEM_MAX 160
int access_parse_prefix(const char *text, struct access_prefix *ret_prefix,
			char problem[ACCESS_PROBLEM_MAX]);

/* The shortest text that is parsed as this prefix; returns `out`. */
#define ACCESS_PREFIX_MAX 64
const char *access_format_prefix(char out[ACCESS_PREFIX_MAX], const struct access_prefix *prefix);

/* Adds a rule. 0, -ENOMEM, or -EEXIST: there is a rule for the same prefix (id) already. */
int access_add_prefix(struct access_rules *rules, const struct access_prefix *prefix);
int access_add_id(struct access_rules *rules, const struct access_id *id);

/*
 * Whether this peer may connect. Where no rule matches: denied if there is any allow rule of its
 * kind (address; uid or gid), allowed if there are only deny rules, or none.
 */
bool access_allowed(const struct access_rules *rules, const struct peer *peer);

/* 0, or -ENOMEM and then `to` has no rules. What `to` had before is not freed. */
int access_copy(struct access_rules *to, const struct access_rules *from);
void access_deinit(struct access_rules *rules);

#endif
