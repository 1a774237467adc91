/* SPDX-License-Identifier: MIT */
/*
 * The table of socket options against the kernel that runs: each row is set on real sockets, read
 * back, and looked for on accepted connections. A row without a sample value fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "sockopt.h"
#include "util.h"

#define NOBODY      65534
#define CANNOT_DROP 77 /* exit status of a child that could not become NOBODY */

/* A value unlike the default; rows of SOCKOPT_BOOL need none, theirs is the opposite. */
struct sample {
	const char *name;
	int64_t number;
	const char *string;
	bool below, above; /* the kernel refuses min - 1, max + 1 */
	int since;         /* Linux 6.15 as 615; kernels may be built without the NEVER ones */
	enum { FREE, MAY_BE_REFUSED, PRIVILEGED } privilege;
};

#define NEVER INT32_MAX

static const struct sample samples[] = {
	{ "ip_minttl", 5, .below = true, .above = true },
	{ "ip_mtu_discover", 2, .below = true, .above = true },
	{ "ip_tos", .number = 0x20 },
	{ "ip_transparent", .privilege = PRIVILEGED },
	{ "ip_ttl", 33, .below = true, .above = true },
	{ "ipv6_minhopcount", 5, .below = true, .above = true },
	{ "ipv6_mtu_discover", 2, .below = true, .above = true },
	{ "ipv6_tclass", 0x20, .above = true },
	{ "ipv6_transparent", .privilege = PRIVILEGED },
	{ "ipv6_unicast_hops", 33, .above = true },
	{ "so_bindtodevice", .string = "lo" },
	{ "so_buf_lock", 2, .below = true, .above = true },
	{ "so_busy_poll", 50, .below = true, .since = NEVER, .privilege = MAY_BE_REFUSED },
	{ "so_busy_poll_budget", 16, .below = true, .since = NEVER, .privilege = PRIVILEGED },
	{ "so_incoming_cpu", .number = 0 },
	{ "so_linger", .number = 5 },
	{ "so_mark", 7, .privilege = PRIVILEGED },
	{ "so_max_pacing_rate", .number = 5000000000 },
	{ "so_prefer_busy_poll", .since = NEVER, .privilege = PRIVILEGED },
	{ "so_priority", .number = 5 },
	{ "so_rcvbuf", .number = 40000 },
	{ "so_rcvlowat", .number = 100 },
	{ "so_sndbuf", .number = 50000 },
	{ "tcp_congestion", .privilege = MAY_BE_REFUSED },
	{ "tcp_defer_accept", .number = 4 },
	{ "tcp_delack_max_us", 50000, .below = true, .above = true, .since = 615 },
	{ "tcp_fastopen", 16, .below = true },
	{ "tcp_keepcnt", 4, .below = true, .above = true },
	{ "tcp_keepidle", 61, .below = true, .above = true },
	{ "tcp_keepintvl", 11, .below = true, .above = true },
	{ "tcp_linger2", .number = 30 },
	{ "tcp_maxseg", 1000, .below = true, .above = true },
	{ "tcp_notsent_lowat", .number = 16384 },
	{ "tcp_rto_max_ms", 2000, .below = true, .above = true, .since = 615 },
	{ "tcp_rto_min_us", 50000, .below = true, .above = true, .since = 615 },
	{ "tcp_syncnt", 3, .below = true, .above = true },
	{ "tcp_user_timeout", 30000, .below = true },
	{ "tcp_window_clamp", .number = 8192 },
};

static const struct sample *sample_of(const struct sockopt *row)
{
	static const struct sample none = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		if (strcmp(samples[i].name, row->name) == 0)
			return &samples[i];
	return row->type == SOCKOPT_BOOL ? &none : NULL;
}

/* Says it once for each name. */
static void say_skipped(const char *name, const char *why)
{
	static const char *said[128];
	size_t i = 0;

	while (i < ARRAY_SIZE(said) - 1 && said[i] && strcmp(said[i], name) != 0)
		i++;
	if (!said[i])
		print_message("# skipped: %s: %s\n", name, why);
	said[i] = name;
}

/* ---- sockets */

static const struct kind {
	const char *name;
	enum sockopt_family family;
	int domain, client_domain;
} kinds[] = {
	{ "IPv4", SOCKOPT_INET4, AF_INET, AF_INET },
	{ "IPv6", SOCKOPT_INET6, AF_INET6, AF_INET6 },
	{ "IPv4 on IPv6", SOCKOPT_INET6, AF_INET6, AF_INET },
	{ "AF_UNIX", SOCKOPT_UNIX, AF_UNIX, AF_UNIX },
};

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static bool fits(const struct sockopt *row, const struct kind *kind)
{
	return (row->families & kind->family) != 0;
}

static int bind_to_any_port(int fd, const struct kind *kind)
{
	union address address = { .any.sa_family = (sa_family_t)kind->domain };
	socklen_t length = sizeof(address.in);

	if (kind->domain == AF_INET)
		address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (kind->domain == AF_INET6) {
		length = sizeof(address.in6);
		if (kind->client_domain == AF_INET6)
			address.in6.sin6_addr = in6addr_loopback;
	}
	if (kind->domain == AF_UNIX) /* a free name in the abstract name space, unix(7) */
		length = sizeof(sa_family_t);
	return bind(fd, &address.any, length);
}

/* An unbound socket, or -1 where this machine has no such family. */
static int new_socket(const struct kind *kind)
{
	int no = 0;
	auto_close int fd = socket(kind->domain, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		assert_int_equal(errno, EAFNOSUPPORT);
	if (fd >= 0 && kind->domain != kind->client_domain)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no)), 0);
	return steal_fd(&fd);
}

/* Binds and listens; 0, or -1 where this machine has no such address. */
static int make_listen(int fd, const struct kind *kind)
{
	if (bind_to_any_port(fd, kind) < 0) {
		assert_int_equal(errno, EADDRNOTAVAIL);
		return -1;
	}
	assert_int_equal(listen(fd, 5), 0);
	return 0;
}

static int new_listener(const struct kind *kind)
{
	auto_close int fd = new_socket(kind);

	if (fd >= 0 && make_listen(fd, kind) == 0)
		return steal_fd(&fd);
	say_skipped(kind->name, "not on this machine");
	return -1;
}

struct connection {
	int client, accepted;
};

static void close_connection(struct connection *connection)
{
	close_fd(connection->client);
	close_fd(connection->accepted);
}

/* Connects, and says a byte: TCP_DEFER_ACCEPT waits for it. */
static int connect_to(int listener, const struct kind *kind)
{
	union address address;
	socklen_t length = sizeof(address);
	int fd = socket(kind->client_domain, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(getsockname(listener, &address.any, &length), 0);
	if (kind->domain == AF_INET6 && kind->client_domain == AF_INET) {
		in_port_t port = address.in6.sin6_port;
		address.in = (struct sockaddr_in){
			.sin_family = AF_INET,
			.sin_port = port,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		};
		length = sizeof(address.in);
	}
	assert_int_equal(connect(fd, &address.any, length), 0);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
	return fd;
}

static int accept_one(int listener)
{
	struct pollfd waiting = { .fd = listener, .events = POLLIN };

	assert_int_equal(poll(&waiting, 1, 10000), 1);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static struct connection new_connection(int listener, const struct kind *kind)
{
	int client = connect_to(listener, kind);

	return (struct connection){ client, accept_one(listener) };
}

#define auto_connection cleanup(close_connection) struct connection

/* ---- what this machine can forbid */

static bool has_all_privileges(void)
{
	uint64_t capabilities = 0, first = 1, outside = 1, count = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %" SCNx64, &capabilities) == 1)
			break;
	if (f)
		fclose(f);
	f = fopen("/proc/self/uid_map", "re");
	if (!f || fscanf(f, "%" SCNu64 " %" SCNu64 " %" SCNu64, &first, &outside, &count) != 3)
		count = 0;
	if (f)
		fclose(f);
	/* CAP_NET_ADMIN and CAP_NET_RAW; in a user namespace some options are refused all the same.
	 */
	return (capabilities >> 12 & 3) == 3 && first == 0 && outside == 0 && count == UINT32_MAX;
}

static int kernel_version(void)
{
	struct utsname names;
	int major = 0, minor = 0;

	assert_int_equal(uname(&names), 0);
	assert_int_equal(sscanf(names.release, "%d.%d", &major, &minor), 2);
	return major * 100 + minor;
}

/* Sets the value. False if this machine may refuse it and does; any other refusal is a failure. */
static bool set_or_skip(int fd, const struct sockopt *row, const struct sockopt_value *value)
{
	int r = sockopt_set(fd, row, value);

	if ((r == -EPERM && *row->privilege && !has_all_privileges()) ||
	    (r == -ENOPROTOOPT && kernel_version() < sample_of(row)->since)) {
		say_skipped(row->name, strerror(-r));
		return false;
	}
	if (r < 0)
		fail_msg("%s: %s", row->name, strerror(-r));
	return true;
}

/* ---- samples, and looking for them */

/* One that the kernel has and this process may use. No assertions: see without_privileges(). */
static void sample_congestion(int fd, const struct sockopt *row, struct sockopt_value *ret_value)
{
	static const char *const names[] = { "reno", "cubic", "bbr" };
	struct sockopt_value now = { 0 };

	sockopt_get(fd, row, &now);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct sockopt_value value = { 0 };
		strcpy(value.string, names[i]);
		*ret_value = value;
		if (strcmp(names[i], now.string) == 0 || sockopt_set(fd, row, &value) < 0)
			continue;
		sockopt_set(fd, row, &now);
		return;
	}
}

static struct sockopt_value sample_value(int fd, const struct sockopt *row)
{
	const struct sample *sample = sample_of(row);
	struct sockopt_value value = { 0 };

	if (row->type == SOCKOPT_BOOL) {
		if (sockopt_get(fd, row, &value) == 0)
			value.number = !value.number;
	} else if (strcmp(row->name, "tcp_congestion") == 0) {
		sample_congestion(fd, row, &value);
	} else {
		value.number = sample->number;
		snprintf(value.string, sizeof(value.string), "%s",
			 sample->string ? sample->string : "");
	}
	return value;
}

static bool has(int fd, const struct sockopt *row, const struct sockopt_value *want)
{
	struct sockopt_value got = { 0 };
	int r = sockopt_get(fd, row, &got);

	if (row->readback == SOCKOPT_OPAQUE) {
		assert_int_equal(r, -ENOPROTOOPT);
		return true;
	}
	if (r < 0)
		fail_msg("%s: %s", row->name, strerror(-r));
	return sockopt_same(row, want, &got);
}

/* The segment size of a connection is without the TCP options, 40 bytes at most. */
static bool accepted_has(int fd, const struct sockopt *row, const struct sockopt_value *want)
{
	struct sockopt_value got;

	if (strcmp(row->name, "tcp_maxseg") != 0)
		return has(fd, row, want);
	assert_int_equal(sockopt_get(fd, row, &got), 0);
	return got.number <= want->number && got.number >= want->number - 40;
}

static void expect_has(bool it_has, const struct kind *kind, const char *where,
		       const struct sockopt *row)
{
	if (!it_has)
		fail_msg("%s, %s: %s has another value", row->name, kind->name, where);
}

/* Sets the sample on a new listener and reads it back; -1: skipped. */
static int listener_with(const struct kind *kind, const struct sockopt *row,
			 struct sockopt_value *ret_value)
{
	auto_close int fd = new_listener(kind);

	if (fd < 0)
		return -1;
	*ret_value = sample_value(fd, row);
	if (row->readback != SOCKOPT_OPAQUE && set_or_skip(fd, row, ret_value)) {
		auto_close int fresh = new_listener(kind);
		if (has(fresh, row, ret_value))
			fail_msg("%s: the sample is the default", row->name);
	}
	if (!set_or_skip(fd, row, ret_value))
		return -1;
	expect_has(has(fd, row, ret_value), kind, "the listener", row);
	return steal_fd(&fd);
}

/* ---- the table by itself */

static void names_are_in_order(void **state)
{
	const struct sockopt *lock = sockopt_find("so_buf_lock");
	const char *last = "";

	(void)state;
	assert_non_null(lock);
	assert_true(lock > sockopt_find("so_rcvbuf") && lock > sockopt_find("so_sndbuf"));
	for (const struct sockopt *row = sockopt_table; row < sockopt_table + sockopt_count;
	     row++) {
		if (row == lock)
			continue;
		if (strcmp(last, row->name) >= 0)
			fail_msg("%s stands after %s", row->name, last);
		last = row->name;
	}
}

static void options_are_unique(void **state)
{
	(void)state;
	for (size_t i = 0; i < sockopt_count; i++)
		for (size_t k = 0; k < i; k++)
			if (sockopt_table[i].level == sockopt_table[k].level &&
			    sockopt_table[i].option == sockopt_table[k].option)
				fail_msg("%s is the same option as %s", sockopt_table[i].name,
					 sockopt_table[k].name);
}

static void rows_are_complete(void **state)
{
	(void)state;
	for (const struct sockopt *row = sockopt_table; row < sockopt_table + sockopt_count;
	     row++) {
		if (!sample_of(row))
			fail_msg("%s: no sample", row->name);
		assert_non_null(row->unit);
		assert_non_null(row->privilege);
		assert_non_null(row->directive);
		assert_non_null(row->built_in);
		if (!row->help || strlen(row->help) < 10 || strlen(row->help) > 90)
			fail_msg("%s: help of another length", row->name);
		assert_true(row->min < row->max);
		assert_true(row->families && !(row->families & ~(unsigned)SOCKOPT_ANY));
		if (row->type == SOCKOPT_BOOL)
			assert_true(row->min == 0 && row->max == 1);
		if (*row->directive)
			assert_int_equal(row->directive[strlen(row->directive) - 1], '=');
	}
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		if (!sockopt_find(samples[i].name))
			fail_msg("%s: no row", samples[i].name);
}

static void built_in_defaults(void **state)
{
	(void)state;
	for (const struct sockopt *row = sockopt_table; row < sockopt_table + sockopt_count;
	     row++) {
		const char *want = strcmp(row->name, "tcp_nodelay") == 0        ? "true"
				   : strcmp(row->name, "tcp_defer_accept") == 0 ? "1"
										: "";
		assert_string_equal(row->built_in, want);
	}
}

static void find(void **state)
{
	(void)state;
	for (const struct sockopt *row = sockopt_table; row < sockopt_table + sockopt_count; row++)
		assert_ptr_equal(sockopt_find(row->name), row);
	assert_null(sockopt_find(""));
	assert_null(sockopt_find("so_keepaliv"));
	assert_null(sockopt_find("so_keepalive_"));
	assert_null(sockopt_find("SO_KEEPALIVE"));
}

static void family_of(void **state)
{
	int ends[2];

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		auto_close int fd = new_socket(&kinds[k]);
		if (fd >= 0)
			assert_int_equal(sockopt_family_of(fd), kinds[k].family);
	}
	auto_close int other = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_true(other >= 0);
	assert_int_equal(sockopt_family_of(other), -EAFNOSUPPORT);
	assert_int_equal(sockopt_family_of(-1), -EBADF);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(sockopt_family_of(ends[0]), -ENOTSOCK);
	close_fd(ends[0]);
	close_fd(ends[1]);
}

/* ---- the stages */

static void each_row_on(const struct kind *kind, enum sockopt_stage stage,
			void (*test)(const struct kind *, const struct sockopt *))
{
	for (const struct sockopt *row = sockopt_table; row < sockopt_table + sockopt_count; row++)
		if (fits(row, kind) && sockopt_stage_on(row, kind->family) == stage)
			test(kind, row);
}

static void each_row(enum sockopt_stage stage,
		     void (*test)(const struct kind *, const struct sockopt *))
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		each_row_on(&kinds[k], stage, test);
}

static void check_inherited(const struct kind *kind, const struct sockopt *row)
{
	struct sockopt_value value;
	auto_close int listener = listener_with(kind, row, &value);

	if (listener < 0)
		return;
	auto_connection connection = new_connection(listener, kind);
	expect_has(accepted_has(connection.accepted, row, &value), kind, "the connection", row);
}

static void inherited_reach_connections(void **state)
{
	(void)state;
	each_row(SOCKOPT_INHERITED, check_inherited);
}

static void check_accepted(const struct kind *kind, const struct sockopt *row)
{
	struct sockopt_value value;
	auto_close int listener = listener_with(kind, row, &value);

	if (listener < 0)
		return;
	auto_connection connection = new_connection(listener, kind);
	if (has(connection.accepted, row, &value))
		fail_msg("%s, %s: the connection has it from the listener", row->name, kind->name);
	assert_int_equal(sockopt_set(connection.accepted, row, &value), 0);
	expect_has(has(connection.accepted, row, &value), kind, "the connection", row);
}

static void accepted_must_be_set_on_connections(void **state)
{
	const struct sockopt *priority = sockopt_find("so_priority");
	const struct sockopt *send_buffer = sockopt_find("so_sndbuf");

	(void)state;
	assert_int_equal(sockopt_stage_on(priority, SOCKOPT_INET4), SOCKOPT_ACCEPTED);
	assert_int_equal(send_buffer->families, SOCKOPT_ANY);
	assert_int_equal(sockopt_stage_on(send_buffer, SOCKOPT_UNIX), SOCKOPT_ACCEPTED);
	assert_int_equal(sockopt_stage_on(send_buffer, SOCKOPT_INET6), SOCKOPT_INHERITED);
	each_row(SOCKOPT_ACCEPTED, check_accepted);
}

static void check_listener(const struct kind *kind, const struct sockopt *row)
{
	struct sockopt_value value;
	auto_close int listener = listener_with(kind, row, &value);

	if (listener < 0)
		return;
	auto_connection connection = new_connection(listener, kind);
	assert_true(connection.accepted >= 0);
	expect_has(has(listener, row, &value), kind, "the listener after accept", row);
}

static void listener_rows_take_after_listen(void **state)
{
	(void)state;
	each_row(SOCKOPT_LISTENER, check_listener);
}

static void check_before_bind(const struct kind *kind, const struct sockopt *row)
{
	auto_close int fd = new_socket(kind);

	if (fd < 0)
		return;
	struct sockopt_value value = sample_value(fd, row);
	struct sockopt_value other = { .number = !value.number };
	if (!set_or_skip(fd, row, &value) || make_listen(fd, kind) < 0)
		return;
	expect_has(has(fd, row, &value), kind, "the listener", row);
	assert_false(has(fd, row, &other));
}

static void before_bind_is_read_back(void **state)
{
	(void)state;
	each_row(SOCKOPT_BEFORE_BIND, check_before_bind);
}

static void v6only_is_too_late_after_bind(void **state)
{
	const struct sockopt *row = sockopt_find("ipv6_v6only");
	auto_close int fd = new_listener(&kinds[1]);

	(void)state;
	if (fd < 0)
		return;
	struct sockopt_value value = sample_value(fd, row);
	assert_int_equal(sockopt_set(fd, row, &value), -EINVAL);
}

/*
 * The sample of so_buf_lock lets the send buffer grow again, and a connection begins with as much
 * as its first segments need: that follows the reordering that the kernel has seen, at any time and
 * of anybody, on the way to this address (`ip tcp_metrics`).
 */
static bool has_or_grew(int accepted, const struct sockopt *row, const struct sockopt_value *want)
{
	struct sockopt_value got = { 0 };

	if (strcmp(row->name, "so_sndbuf") != 0)
		return accepted_has(accepted, row, want);
	assert_int_equal(sockopt_get(accepted, row, &got), 0);
	return got.number >= 2 * want->number;
}

/* In the order of the table no option changes another that came before. */
static void check_all_at_once(const struct kind *kind)
{
	static struct sockopt_value values[128];
	static bool set[128];
	auto_close int listener = new_listener(kind);

	assert_true(sockopt_count <= ARRAY_SIZE(set));
	memset(set, 0, sizeof(set));
	if (listener < 0)
		return;
	for (size_t i = 0; i < sockopt_count; i++) {
		const struct sockopt *row = &sockopt_table[i];
		if (!fits(row, kind) || row->stage == SOCKOPT_BEFORE_BIND)
			continue;
		values[i] = sample_value(listener, row);
		set[i] = set_or_skip(listener, row, &values[i]);
	}
	auto_connection connection = new_connection(listener, kind);
	for (size_t i = 0; i < sockopt_count; i++) {
		const struct sockopt *row = &sockopt_table[i];
		if (!set[i])
			continue;
		expect_has(has(listener, row, &values[i]), kind, "the listener with all", row);
		if (sockopt_stage_on(row, kind->family) == SOCKOPT_INHERITED)
			expect_has(has_or_grew(connection.accepted, row, &values[i]), kind,
				   "the connection with all", row);
	}
}

static void all_at_once(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		check_all_at_once(&kinds[k]);
}

/* ---- values */

static void expect_refused(int fd, const struct sockopt *row, int64_t number)
{
	struct sockopt_value value = { .number = number };
	int r = sockopt_set(fd, row, &value);

	if (r == -ENOPROTOOPT && kernel_version() < sample_of(row)->since)
		return;
	if (r != -EINVAL)
		fail_msg("%s = %" PRId64 ": %s", row->name, number, strerror(-r));
}

static void out_of_range_is_refused(void **state)
{
	(void)state;
	for (size_t k = 0; k < 2; k++) {
		auto_close int fd = new_listener(&kinds[k]);
		if (fd < 0)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
			const struct sockopt *row = sockopt_find(samples[i].name);
			if (fits(row, &kinds[k]) && samples[i].below)
				expect_refused(fd, row, row->min - 1);
			if (fits(row, &kinds[k]) && samples[i].above)
				expect_refused(fd, row, row->max + 1);
		}
		expect_refused(fd, sockopt_find("tcp_keepidle"), INT64_C(0x10000003c));
		expect_refused(fd, sockopt_find("so_linger"), INT64_C(0x100000001));
		expect_refused(fd, sockopt_find("so_max_pacing_rate"), -1);
	}
}

/* Where the kernel refuses above max, max itself must pass; so must min. */
static void bounds_are_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		const struct sockopt *row = sockopt_find(samples[i].name);
		const struct kind *kind = fits(row, &kinds[0]) ? &kinds[0] : &kinds[1];
		auto_close int fd = new_listener(kind);
		struct sockopt_value low = { .number = row->min }, high = { .number = row->max };

		/* With fewer than 1000 ticks a second the kernel wants more than these minima. */
		if (fd < 0 || row->type == SOCKOPT_STRING ||
		    (row->readback == SOCKOPT_TICKS && row->min == 1001))
			continue;
		if (set_or_skip(fd, row, &low))
			set_or_skip(fd, row, &high);
	}
}

static void unknown_names_are_refused(void **state)
{
	auto_close int fd = new_listener(&kinds[0]);
	struct sockopt_value value = { .string = "nosuchthing" };

	(void)state;
	assert_int_equal(sockopt_set(fd, sockopt_find("so_bindtodevice"), &value), -ENODEV);
	assert_int_equal(sockopt_set(fd, sockopt_find("tcp_congestion"), &value), -ENOENT);
}

static void other_families_refuse(void **state)
{
	auto_close int local = new_listener(&kinds[3]);
	struct sockopt_value value = { .number = 1 };

	(void)state;
	assert_int_equal(sockopt_set(local, sockopt_find("tcp_nodelay"), &value), -EOPNOTSUPP);
	assert_int_equal(sockopt_get(local, sockopt_find("tcp_nodelay"), &value), -EOPNOTSUPP);
	assert_int_equal(sockopt_set(-1, sockopt_find("so_keepalive"), &value), -EBADF);
	assert_int_equal(sockopt_get(-1, sockopt_find("tcp_congestion"), &value), -EBADF);
}

static void defer_accept_is_rounded(void **state)
{
	static const int64_t seconds[] = { 0,  1,  2,   3,   4,   7,   8,    10,    15,   16,
					   60, 63, 100, 127, 128, 180, 1000, 29768, 29887 };
	const struct sockopt *row = sockopt_find("tcp_defer_accept");
	auto_close int fd = new_listener(&kinds[0]);
	struct sockopt_value got;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(seconds); i++) {
		struct sockopt_value value = { .number = seconds[i] };
		assert_int_equal(sockopt_set(fd, row, &value), 0);
		expect_has(has(fd, row, &value), &kinds[0], "the listener", row);
	}
	struct sockopt_value ten = { .number = 10 }, eight = { .number = 8 };
	assert_int_equal(sockopt_set(fd, row, &ten), 0);
	assert_int_equal(sockopt_get(fd, row, &got), 0);
	assert_int_equal(got.number, 15);
	assert_true(sockopt_same(row, &eight, &got));
	got.number = 10;
	assert_false(sockopt_same(row, &ten, &got));
	got.number = 31;
	assert_false(sockopt_same(row, &ten, &got));
}

static void buffers_are_doubled_or_cut(void **state)
{
	static const char *const names[] = { "so_rcvbuf", "so_sndbuf" };
	auto_close int fd = new_listener(&kinds[0]);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct sockopt *row = sockopt_find(names[i]);
		struct sockopt_value want = { .number = 40000 }, got;
		assert_int_equal(sockopt_set(fd, row, &want), 0);
		assert_int_equal(sockopt_get(fd, row, &got), 0);
		assert_int_equal(got.number, 80000);
		assert_true(sockopt_same(row, &want, &got));
		got.number = 40000;
		assert_false(sockopt_same(row, &want, &got));
		want.number = 1;
		assert_int_equal(sockopt_set(fd, row, &want), 0);
		assert_false(has(fd, row, &want));
	}
}

static void all_bits_of_a_mark(void **state)
{
	const struct sockopt *row = sockopt_find("so_mark");
	auto_close int fd = new_listener(&kinds[0]);
	struct sockopt_value value = { .number = 0xfffffff0 }, got;

	(void)state;
	if (!set_or_skip(fd, row, &value))
		return;
	assert_int_equal(sockopt_get(fd, row, &got), 0);
	assert_int_equal(got.number, 0xfffffff0);
	assert_true(sockopt_same(row, &value, &got));
}

static void linger_off_and_reset(void **state)
{
	const struct sockopt *row = sockopt_find("so_linger");
	auto_close int fd = new_listener(&kinds[0]);
	struct sockopt_value off = { .number = -1 }, reset = { .number = 0 };

	(void)state;
	assert_true(has(fd, row, &off));
	assert_int_equal(sockopt_set(fd, row, &reset), 0);
	assert_true(has(fd, row, &reset));
	assert_false(has(fd, row, &off));
	assert_int_equal(sockopt_set(fd, row, &off), 0);
	assert_true(has(fd, row, &off));
}

static void the_kernels_own_linger2(void **state)
{
	const struct sockopt *row = sockopt_find("tcp_linger2");
	auto_close int fd = new_listener(&kinds[0]);
	struct sockopt_value own = { 0 }, thirty = { .number = 30 }, none = { .number = -1 };

	(void)state;
	assert_int_equal(sockopt_set(fd, row, &thirty), 0);
	assert_true(has(fd, row, &thirty));
	assert_false(has(fd, row, &none));
	assert_int_equal(sockopt_set(fd, row, &own), 0);
	assert_true(has(fd, row, &own));
	assert_false(has(fd, row, &thirty));
	assert_int_equal(sockopt_set(fd, row, &none), 0);
	assert_true(has(fd, row, &none));
}

static bool same_numbers(const char *name, int64_t want, int64_t got)
{
	struct sockopt_value a = { .number = want }, b = { .number = got };

	return sockopt_same(sockopt_find(name), &a, &b);
}

static void same(void **state)
{
	const struct sockopt *congestion = sockopt_find("tcp_congestion");
	struct sockopt_value reno = { .string = "reno" }, ren = { .string = "ren" };

	(void)state;
	assert_true(sockopt_same(congestion, &reno, &reno));
	assert_false(sockopt_same(congestion, &reno, &ren));
	assert_false(sockopt_same(congestion, &ren, &reno));
	assert_true(same_numbers("tcp_keepidle", 60, 60));
	assert_false(same_numbers("tcp_keepidle", 60, 61));
	assert_true(same_numbers("tcp_rto_max_ms", 1001, 1004));
	assert_false(same_numbers("tcp_rto_max_ms", 1001, 1000));
	assert_false(same_numbers("tcp_rto_max_ms", 1001, 1011));
	assert_true(same_numbers("tcp_rto_min_us", 8001, 12000));
	assert_false(same_numbers("tcp_rto_min_us", 8001, 8000));
	assert_false(same_numbers("tcp_rto_min_us", 8001, 18001));
	assert_true(same_numbers("so_busy_poll_budget", 8, 0));
}

static void expect_format(const char *name, struct sockopt_value value, const char *want)
{
	char out[SOCKOPT_FORMAT_MAX];

	assert_string_equal(sockopt_format(out, sockopt_find(name), &value), want);
}

static void format(void **state)
{
	struct sockopt_value worst;
	char out[SOCKOPT_FORMAT_MAX];

	(void)state;
	expect_format("so_keepalive", (struct sockopt_value){ .number = 1 }, "true");
	expect_format("so_keepalive", (struct sockopt_value){ .number = 0 }, "false");
	expect_format("tcp_keepidle", (struct sockopt_value){ .number = 60 }, "60");
	expect_format("so_linger", (struct sockopt_value){ .number = -1 }, "-1");
	expect_format("so_mark", (struct sockopt_value){ .number = INT32_MAX }, "2147483647");
	expect_format("so_mark", (struct sockopt_value){ .number = UINT32_MAX }, "4294967295L");
	expect_format("so_max_pacing_rate", (struct sockopt_value){ .number = INT64_MAX },
		      "9223372036854775807L");
	expect_format("so_max_pacing_rate", (struct sockopt_value){ .number = -1 }, "unlimited");
	expect_format("tcp_congestion", (struct sockopt_value){ .string = "reno" }, "\"reno\"");
	expect_format("so_bindtodevice", (struct sockopt_value){ .string = "" }, "\"\"");
	expect_format("so_bindtodevice", (struct sockopt_value){ .string = "a\"\\\n\xff" },
		      "\"a\\x22\\x5c\\x0a\\xff\"");
	memset(&worst, 0xff, sizeof(worst));
	sockopt_format(out, sockopt_find("tcp_congestion"), &worst);
	assert_int_equal(strlen(out), SOCKOPT_FORMAT_MAX - 2);
}

/* The kernel's own "no limit" is not mistaken for a rate. */
static void pacing_is_unlimited_at_first(void **state)
{
	const struct sockopt *row = sockopt_find("so_max_pacing_rate");
	auto_close int fd = new_listener(&kinds[0]);
	struct sockopt_value got;

	(void)state;
	assert_int_equal(sockopt_get(fd, row, &got), 0);
	expect_format("so_max_pacing_rate", got, "unlimited");
}

/* ---- privileges */

struct unprivileged {
	int listeners[ARRAY_SIZE(kinds)];
	int marked; /* a listener with SO_MARK 7, or -1 */
};

/* Whether a row is refused, or not, without privileges as the table says. */
static bool refused_as_said(int fd, const struct sockopt *row)
{
	const struct sample *sample = sample_of(row);
	struct sockopt_value value = sample_value(fd, row);
	int r = sockopt_set(fd, row, &value);

	if (r == -ENOPROTOOPT && kernel_version() < sample->since)
		return true;
	if (sample->privilege == PRIVILEGED)
		return r == -EPERM && *row->privilege;
	if (sample->privilege == MAY_BE_REFUSED && r == -EPERM)
		return *row->privilege;
	return r == 0;
}

static const char *values_that_are_there(const struct unprivileged *u)
{
	struct sockopt_value lo = { .string = "lo" }, any = { 0 };
	struct sockopt_value seven = { .number = 7 }, eight = { .number = 8 };

	if (sockopt_set(u->listeners[0], sockopt_find("so_priority"), &seven) != -EPERM)
		return "so_priority = 7";
	if (sockopt_set(u->listeners[0], sockopt_find("so_bindtodevice"), &lo) != 0 ||
	    sockopt_set(u->listeners[0], sockopt_find("so_bindtodevice"), &any) != -EPERM)
		return "so_bindtodevice, a second time";
	if (u->marked >= 0 && (sockopt_set(u->marked, sockopt_find("so_mark"), &seven) != 0 ||
			       sockopt_set(u->marked, sockopt_find("so_mark"), &eight) != -EPERM))
		return "so_mark, a second time";
	return NULL;
}

/* The name of a row that is not as said, or NULL. No assertions: this runs in a child process. */
static const char *without_privileges(const struct unprivileged *u)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (size_t i = 0; i < sockopt_count && u->listeners[k] >= 0; i++)
			if (fits(&sockopt_table[i], &kinds[k]) &&
			    sockopt_table[i].stage != SOCKOPT_BEFORE_BIND &&
			    !refused_as_said(u->listeners[k], &sockopt_table[i]))
				return sockopt_table[i].name;
	return values_that_are_there(u);
}

static void privileges_are_as_said(void **state)
{
	struct unprivileged u = { .marked = new_listener(&kinds[0]) };
	struct sockopt_value seven = { .number = 7 };
	char wrong[64] = "";
	int ends[2], status;

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		u.listeners[k] = new_listener(&kinds[k]);
	if (sockopt_set(u.marked, sockopt_find("so_mark"), &seven) < 0)
		u.marked = close_fd(u.marked);
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0)
			_exit(CANNOT_DROP);
		const char *name = without_privileges(&u);
		_exit(name && write(ends[1], name, strlen(name)) > 0 ? 1 : 0);
	}
	close_fd(ends[1]);
	assert_true(read(ends[0], wrong, sizeof(wrong) - 1) >= 0);
	close_fd(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		close_fd(u.listeners[k]);
	close_fd(u.marked);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_DROP) {
		say_skipped("privileges", "there is no other user to become");
		return;
	}
	if (status != 0)
		fail_msg("without privileges: %s", wrong);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_in_order),
		cmocka_unit_test(options_are_unique),
		cmocka_unit_test(rows_are_complete),
		cmocka_unit_test(built_in_defaults),
		cmocka_unit_test(find),
		cmocka_unit_test(family_of),
		cmocka_unit_test(inherited_reach_connections),
		cmocka_unit_test(accepted_must_be_set_on_connections),
		cmocka_unit_test(listener_rows_take_after_listen),
		cmocka_unit_test(before_bind_is_read_back),
		cmocka_unit_test(v6only_is_too_late_after_bind),
		cmocka_unit_test(all_at_once),
		cmocka_unit_test(out_of_range_is_refused),
		cmocka_unit_test(bounds_are_taken),
		cmocka_unit_test(unknown_names_are_refused),
		cmocka_unit_test(other_families_refuse),
		cmocka_unit_test(defer_accept_is_rounded),
		cmocka_unit_test(buffers_are_doubled_or_cut),
		cmocka_unit_test(all_bits_of_a_mark),
		cmocka_unit_test(linger_off_and_reset),
		cmocka_unit_test(the_kernels_own_linger2),
		cmocka_unit_test(same),
		cmocka_unit_test(format),
		cmocka_unit_test(pacing_is_unlimited_at_first),
		cmocka_unit_test(privileges_are_as_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
