/* SPDX-License-Identifier: MIT */
/*
 * See sockopt.h. The ranges are the kernel's own. Where one ends in INT32_MAX or UINT32_MAX, the
 * kernel takes every number; it may cut it in silence, which reading back shows.
 *
 * Not in the table, on purpose: options that show only in recvmsg(), that choose addresses for
 * connect(), that do not last (TCP_QUICKACK), and TCP_CORK, which, handed down to each connection,
 * would hold back the end of every answer.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "sockopt.h"
#include "util.h"

/* Newer than the oldest headers that are supported; a kernel without them says ENOPROTOOPT. */
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
#ifndef TCP_RTO_MIN_US
#define TCP_RTO_MIN_US 45
#endif
#ifndef TCP_DELACK_MAX_US
#define TCP_DELACK_MAX_US 46
#endif

/* The columns of a row. */
#define OPTION(l, o)      .level = (l), .option = (o)
#define BOOL              .type = SOCKOPT_BOOL, .max = 1, .unit = ""
#define INT(lo, hi, u)    .type = SOCKOPT_INT, .min = (lo), .max = (hi), .unit = (u)
#define UINT64(lo, hi, u) .type = SOCKOPT_UINT64, .min = (lo), .max = (hi), .unit = (u)
#define STRING(lo, hi)    .type = SOCKOPT_STRING, .min = (lo), .max = (hi), .unit = ""
#define LINGER(u)         .type = SOCKOPT_LINGER, .min = -1, .max = INT32_MAX, .unit = (u)
#define STAGE(s, f)       .stage = SOCKOPT_##s, .families = SOCKOPT_##f
#define READS(r)          .readback = SOCKOPT_##r
#define NEEDS(p)          .privilege = (p)
#define DIRECTIVE(d)      .directive = (d)
#define BUILT_IN(b)       .built_in = (b)
#define HELP(h)           .help = (h)

/*
 * IP_ options fit AF_INET6 as well, for the IPv4 connections of a dual-stack listener; not so
 * FREEBIND and TRANSPARENT, which are one flag of the socket under two names. AF_UNIX takes most
 * SO_ options, but only SO_SNDBUF does something there. Priority= sets SO_PRIORITY on the listener
 * alone, hence it is not named as the directive.
 */
/* clang-format off */
const struct sockopt sockopt_table[] = {
	{ .name = "ip_freebind", OPTION(IPPROTO_IP, IP_FREEBIND), BOOL,
	  STAGE(BEFORE_BIND, INET4), READS(EXACT), NEEDS(""), DIRECTIVE("FreeBind="), BUILT_IN(""),
	  HELP("bind to an address that no interface has yet") },
	{ .name = "ip_minttl", OPTION(IPPROTO_IP, IP_MINTTL), INT(0, 255, ""),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("drop packets that arrive with a smaller TTL; 255: from the same link only (GTSM)") },
	{ .name = "ip_mtu_discover", OPTION(IPPROTO_IP, IP_MTU_DISCOVER), INT(0, 5, ""),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("path MTU: 0 never DF, 1 by route, 2 always DF, 3 probe, 4 interface, 5 omit") },
	{ .name = "ip_tos", OPTION(IPPROTO_IP, IP_TOS), INT(0, 255, ""),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE("IPTOS="), BUILT_IN(""),
	  HELP("type of service (DSCP * 4) of IPv4 packets; the kernel keeps the two ECN bits") },
	{ .name = "ip_transparent", OPTION(IPPROTO_IP, IP_TRANSPARENT), BOOL,
	  STAGE(INHERITED, INET4), READS(EXACT), NEEDS("CAP_NET_ADMIN or CAP_NET_RAW"),
	  DIRECTIVE("Transparent="), BUILT_IN(""),
	  HELP("take connections to foreign addresses that a TPROXY rule sends here") },
	{ .name = "ip_ttl", OPTION(IPPROTO_IP, IP_TTL), INT(1, 255, ""),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE("IPTTL="), BUILT_IN(""),
	  HELP("TTL of IPv4 packets") },
	{ .name = "ipv6_autoflowlabel", OPTION(IPPROTO_IPV6, IPV6_AUTOFLOWLABEL), BOOL,
	  STAGE(INHERITED, INET6), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("flow labels made from a hash of the connection") },
	{ .name = "ipv6_freebind", OPTION(IPPROTO_IPV6, IPV6_FREEBIND), BOOL,
	  STAGE(BEFORE_BIND, INET6), READS(EXACT), NEEDS(""), DIRECTIVE("FreeBind="), BUILT_IN(""),
	  HELP("bind to an address that no interface has yet") },
	{ .name = "ipv6_minhopcount", OPTION(IPPROTO_IPV6, IPV6_MINHOPCOUNT), INT(0, 255, ""),
	  STAGE(INHERITED, INET6), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("drop packets with a smaller hop limit; 255: from the same link only (GTSM)") },
	{ .name = "ipv6_mtu_discover", OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER), INT(0, 5, ""),
	  STAGE(INHERITED, INET6), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("path MTU: 0 never, 1 by route, 2 always, 3 probe, 4 interface, 5 omit") },
	{ .name = "ipv6_tclass", OPTION(IPPROTO_IPV6, IPV6_TCLASS), INT(0, 255, ""),
	  STAGE(INHERITED, INET6), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("traffic class (DSCP * 4) of IPv6 packets; the kernel keeps the two ECN bits") },
	{ .name = "ipv6_transparent", OPTION(IPPROTO_IPV6, IPV6_TRANSPARENT), BOOL,
	  STAGE(INHERITED, INET6), READS(EXACT), NEEDS("CAP_NET_ADMIN or CAP_NET_RAW"),
	  DIRECTIVE("Transparent="), BUILT_IN(""),
	  HELP("take connections to foreign addresses that a TPROXY rule sends here") },
	{ .name = "ipv6_unicast_hops", OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS), INT(1, 255, ""),
	  STAGE(INHERITED, INET6), READS(EXACT), NEEDS(""), DIRECTIVE("IPTTL="), BUILT_IN(""),
	  HELP("hop limit of IPv6 packets") },
	{ .name = "ipv6_v6only", OPTION(IPPROTO_IPV6, IPV6_V6ONLY), BOOL,
	  STAGE(BEFORE_BIND, INET6), READS(EXACT), NEEDS(""), DIRECTIVE("BindIPv6Only="),
	  BUILT_IN(""),
	  HELP("no IPv4 connections on an IPv6 socket") },
	{ .name = "so_bindtodevice", OPTION(SOL_SOCKET, SO_BINDTODEVICE),
	  STRING(0, SOCKOPT_STRING_MAX - 1),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS("CAP_NET_RAW to change it once set"),
	  DIRECTIVE("BindToDevice="), BUILT_IN(""),
	  HELP("packets of this interface only; \"\": of any") },
	{ .name = "so_busy_poll", OPTION(SOL_SOCKET, SO_BUSY_POLL), INT(0, INT32_MAX, "µs"),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS("CAP_NET_ADMIN before Linux 6.4"),
	  DIRECTIVE(""), BUILT_IN(""),
	  HELP("poll the network device for so long when there is nothing to read") },
	{ .name = "so_busy_poll_budget", OPTION(SOL_SOCKET, SO_BUSY_POLL_BUDGET),
	  INT(0, UINT16_MAX, ""),
	  STAGE(INHERITED, TCP), READS(OPAQUE), NEEDS("CAP_NET_ADMIN"), DIRECTIVE(""), BUILT_IN(""),
	  HELP("packets to take at most in one round of busy polling") },
	{ .name = "so_dontroute", OPTION(SOL_SOCKET, SO_DONTROUTE), BOOL,
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("send to directly connected hosts only, never through a gateway") },
	{ .name = "so_incoming_cpu", OPTION(SOL_SOCKET, SO_INCOMING_CPU), INT(-1, INT32_MAX, ""),
	  STAGE(LISTENER, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("of several ReusePort= sockets, prefer this one for packets of this CPU; -1: any") },
	{ .name = "so_keepalive", OPTION(SOL_SOCKET, SO_KEEPALIVE), BOOL,
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE("KeepAlive="), BUILT_IN(""),
	  HELP("probe silent peers, and end the connection when they do not answer") },
	{ .name = "so_linger", OPTION(SOL_SOCKET, SO_LINGER), LINGER("s"),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("close(): 0 resets, more blocks a worker until all is sent or so long; -1: off") },
	{ .name = "so_mark", OPTION(SOL_SOCKET, SO_MARK), INT(0, UINT32_MAX, ""),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS("CAP_NET_ADMIN or CAP_NET_RAW"),
	  DIRECTIVE("Mark="), BUILT_IN(""),
	  HELP("firewall mark of outgoing packets, for routing and filters") },
	{ .name = "so_max_pacing_rate", OPTION(SOL_SOCKET, SO_MAX_PACING_RATE),
	  UINT64(1, INT64_MAX, "bytes/s"),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("upper bound of the rate at which a connection sends") },
	{ .name = "so_oobinline", OPTION(SOL_SOCKET, SO_OOBINLINE), BOOL,
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("urgent data is read in its place in the stream; else it is left out") },
	{ .name = "so_prefer_busy_poll", OPTION(SOL_SOCKET, SO_PREFER_BUSY_POLL), BOOL,
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS("CAP_NET_ADMIN"), DIRECTIVE(""), BUILT_IN(""),
	  HELP("busy polling comes before the interrupts of the device") },
	{ .name = "so_priority", OPTION(SOL_SOCKET, SO_PRIORITY), INT(0, UINT32_MAX, ""),
	  STAGE(ACCEPTED, TCP), READS(EXACT), NEEDS("CAP_NET_ADMIN or CAP_NET_RAW above 6"),
	  DIRECTIVE(""), BUILT_IN(""),
	  HELP("queueing class of outgoing packets; Priority= does not reach connections") },
	{ .name = "so_rcvbuf", OPTION(SOL_SOCKET, SO_RCVBUF), INT(1, INT32_MAX / 2, "bytes"),
	  STAGE(INHERITED, TCP), READS(DOUBLED), NEEDS(""), DIRECTIVE("ReceiveBuffer="),
	  BUILT_IN(""),
	  HELP("size of the receive buffer, up to net.core.rmem_max; ends its automatic growth") },
	{ .name = "so_rcvlowat", OPTION(SOL_SOCKET, SO_RCVLOWAT), INT(1, INT32_MAX, "bytes"),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("readable only when so much has arrived; less waits until the peer closes") },
	{ .name = "so_reuseaddr", OPTION(SOL_SOCKET, SO_REUSEADDR), BOOL,
	  STAGE(BEFORE_BIND, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("bind while old connections are in TIME_WAIT; systemd always sets it") },
	{ .name = "so_reuseport", OPTION(SOL_SOCKET, SO_REUSEPORT), BOOL,
	  STAGE(BEFORE_BIND, TCP), READS(EXACT), NEEDS(""), DIRECTIVE("ReusePort="), BUILT_IN(""),
	  HELP("several sockets listen on one address, and the kernel spreads over them") },
	{ .name = "so_sndbuf", OPTION(SOL_SOCKET, SO_SNDBUF), INT(1, INT32_MAX / 2, "bytes"),
	  STAGE(INHERITED, ANY), READS(DOUBLED), NEEDS(""), DIRECTIVE("SendBuffer="), BUILT_IN(""),
	  HELP("size of the send buffer, up to net.core.wmem_max; ends its automatic growth") },
	{ .name = "so_buf_lock", OPTION(SOL_SOCKET, SO_BUF_LOCK), INT(0, 3, ""),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("buffers whose size stays: 1 send, 2 receive, 3 both; 0: both may grow again") },
	{ .name = "so_txrehash", OPTION(SOL_SOCKET, SO_TXREHASH), BOOL,
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("take another hash, so another path, after retransmissions") },
	{ .name = "tcp_congestion", OPTION(IPPROTO_TCP, TCP_CONGESTION),
	  STRING(1, SOCKOPT_STRING_MAX - 1),
	  STAGE(INHERITED, TCP), READS(EXACT),
	  NEEDS("CAP_NET_ADMIN where net.ipv4.tcp_allowed_congestion_control lacks it"),
	  DIRECTIVE("TCPCongestion="), BUILT_IN(""),
	  HELP("congestion control, such as cubic, reno, bbr") },
	{ .name = "tcp_defer_accept", OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT), INT(0, 29887, "s"),
	  STAGE(LISTENER, TCP), READS(ROUNDED), NEEDS(""), DIRECTIVE("DeferAcceptSec="),
	  BUILT_IN("1"),
	  HELP("accept a connection with its first bytes, or after so long; 0: at once") },
	{ .name = "tcp_delack_max_us", OPTION(IPPROTO_TCP, TCP_DELACK_MAX_US),
	  INT(1001, 200000, "µs"),
	  STAGE(INHERITED, TCP), READS(TICKS), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("longest delay of an acknowledgement (Linux 6.15)") },
	{ .name = "tcp_fastopen", OPTION(IPPROTO_TCP, TCP_FASTOPEN), INT(0, INT32_MAX, ""),
	  STAGE(LISTENER, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("Fast Open: how many requests may wait; net.ipv4.tcp_fastopen must include 2") },
	{ .name = "tcp_fastopen_no_cookie", OPTION(IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE), BOOL,
	  STAGE(LISTENER, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("Fast Open without a cookie, so from forged addresses too: private networks only") },
	{ .name = "tcp_keepcnt", OPTION(IPPROTO_TCP, TCP_KEEPCNT), INT(1, 127, ""),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE("KeepAliveProbes="),
	  BUILT_IN(""),
	  HELP("keepalive probes without an answer before the connection ends") },
	{ .name = "tcp_keepidle", OPTION(IPPROTO_TCP, TCP_KEEPIDLE), INT(1, 32767, "s"),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE("KeepAliveTimeSec="),
	  BUILT_IN(""),
	  HELP("silence before the first keepalive probe") },
	{ .name = "tcp_keepintvl", OPTION(IPPROTO_TCP, TCP_KEEPINTVL), INT(1, 32767, "s"),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE("KeepAliveIntervalSec="),
	  BUILT_IN(""),
	  HELP("time between keepalive probes") },
	{ .name = "tcp_linger2", OPTION(IPPROTO_TCP, TCP_LINGER2), INT(-1, 120, "s"),
	  STAGE(INHERITED, TCP), READS(OR_OWN), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("life of a closed connection in FIN_WAIT2; -1: none, 0: net.ipv4.tcp_fin_timeout") },
	{ .name = "tcp_maxseg", OPTION(IPPROTO_TCP, TCP_MAXSEG), INT(88, 32767, "bytes"),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("largest segment, TCP options included") },
	{ .name = "tcp_nodelay", OPTION(IPPROTO_TCP, TCP_NODELAY), BOOL,
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE("NoDelay="), BUILT_IN("true"),
	  HELP("send small segments at once (no Nagle algorithm)") },
	{ .name = "tcp_notsent_lowat", OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT),
	  INT(0, UINT32_MAX, "bytes"),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("writable while less than this is unsent; 0: net.ipv4.tcp_notsent_lowat") },
	{ .name = "tcp_rto_max_ms", OPTION(IPPROTO_TCP, TCP_RTO_MAX_MS), INT(1000, 120000, "ms"),
	  STAGE(INHERITED, TCP), READS(TICKS), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("longest time between retransmissions (Linux 6.15)") },
	{ .name = "tcp_rto_min_us", OPTION(IPPROTO_TCP, TCP_RTO_MIN_US), INT(1001, 200000, "µs"),
	  STAGE(INHERITED, TCP), READS(TICKS), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("shortest time before a retransmission (Linux 6.15)") },
	{ .name = "tcp_syncnt", OPTION(IPPROTO_TCP, TCP_SYNCNT), INT(1, 127, ""),
	  STAGE(LISTENER, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("retransmissions of the SYN-ACK before a half-open connection is forgotten") },
	{ .name = "tcp_thin_linear_timeouts", OPTION(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS), BOOL,
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("no doubling of the first six retransmission times while little is sent") },
	{ .name = "tcp_user_timeout", OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT),
	  INT(0, INT32_MAX, "ms"),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("end the connection when sent data stays unacknowledged so long; 0: no limit") },
	{ .name = "tcp_window_clamp", OPTION(IPPROTO_TCP, TCP_WINDOW_CLAMP),
	  INT(1, INT32_MAX, "bytes"),
	  STAGE(INHERITED, TCP), READS(EXACT), NEEDS(""), DIRECTIVE(""), BUILT_IN(""),
	  HELP("upper bound of the advertised receive window") },
};
/* clang-format on */

const size_t sockopt_count = ARRAY_SIZE(sockopt_table);

const struct sockopt *sockopt_find(const char *name)
{
	for (size_t i = 0; i < sockopt_count; i++)
		if (strcmp(sockopt_table[i].name, name) == 0)
			return &sockopt_table[i];
	return NULL;
}

int sockopt_family_of(int fd)
{
	int domain;
	socklen_t length = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0)
		return -errno;
	switch (domain) {
	case AF_INET:
		return SOCKOPT_INET4;
	case AF_INET6:
		return SOCKOPT_INET6;
	case AF_UNIX:
		return SOCKOPT_UNIX;
	default:
		return -EAFNOSUPPORT;
	}
}

enum sockopt_stage sockopt_stage_on(const struct sockopt *row, enum sockopt_family family)
{
	if (family == SOCKOPT_UNIX && row->stage == SOCKOPT_INHERITED)
		return SOCKOPT_ACCEPTED;
	return row->stage;
}

static int set_raw(int fd, const struct sockopt *row, const void *bytes, size_t length)
{
	return setsockopt(fd, row->level, row->option, bytes, (socklen_t)length) < 0 ? -errno : 0;
}

/* `*length` is the room in `bytes`, then what the kernel has written. */
static int get_raw(int fd, const struct sockopt *row, void *bytes, socklen_t *length)
{
	return getsockopt(fd, row->level, row->option, bytes, length) < 0 ? -errno : 0;
}

/* Rows without negative values are unsigned in the kernel: SO_MARK takes all 32 bits. */
static int set_int(int fd, const struct sockopt *row, int64_t number)
{
	int value = (int)(uint32_t)number;

	if (number < INT32_MIN || number > UINT32_MAX)
		return -EINVAL;
	return set_raw(fd, row, &value, sizeof(value));
}

static int get_int(int fd, const struct sockopt *row, int64_t *ret_number)
{
	int value = 0;
	socklen_t length = sizeof(value);
	int r = get_raw(fd, row, &value, &length);

	if (r < 0)
		return r;
	if (row->type == SOCKOPT_BOOL)
		*ret_number = value != 0;
	else
		*ret_number = row->min < 0 ? value : (int64_t)(uint32_t)value;
	return 0;
}

/* The kernel's type is unsigned long; "unlimited", all bits set, is beyond int64_t. */
static int set_long(int fd, const struct sockopt *row, int64_t number)
{
	unsigned long value = (unsigned long)number;

	if (number < 0 || (int64_t)value != number)
		return -EINVAL;
	return set_raw(fd, row, &value, sizeof(value));
}

static int get_long(int fd, const struct sockopt *row, int64_t *ret_number)
{
	unsigned long value = 0;
	socklen_t length = sizeof(value);
	int r = get_raw(fd, row, &value, &length);

	if (r == 0)
		*ret_number = value == ULONG_MAX ? -1 : (int64_t)value;
	return r;
}

static int set_linger(int fd, const struct sockopt *row, int64_t seconds)
{
	struct linger linger = { 0 };

	if (seconds > INT_MAX)
		return -EINVAL;
	if (seconds >= 0)
		linger = (struct linger){ .l_onoff = 1, .l_linger = (int)seconds };
	return set_raw(fd, row, &linger, sizeof(linger));
}

static int get_linger(int fd, const struct sockopt *row, int64_t *ret_seconds)
{
	struct linger linger = { 0 };
	socklen_t length = sizeof(linger);
	int r = get_raw(fd, row, &linger, &length);

	if (r == 0)
		*ret_seconds = linger.l_onoff ? linger.l_linger : -1;
	return r;
}

static int set(int fd, const struct sockopt *row, const struct sockopt_value *value)
{
	switch (row->type) {
	case SOCKOPT_UINT64:
		return set_long(fd, row, value->number);
	case SOCKOPT_STRING:
		return set_raw(fd, row, value->string, strnlen(value->string, SOCKOPT_STRING_MAX));
	case SOCKOPT_LINGER:
		return set_linger(fd, row, value->number);
	case SOCKOPT_BOOL:
	case SOCKOPT_INT:
		break;
	}
	return set_int(fd, row, value->number);
}

int sockopt_set(int fd, const struct sockopt *row, const struct sockopt_value *value)
{
	struct sockopt_value has;
	int r = set(fd, row, value);

	if (r == -EPERM && sockopt_get(fd, row, &has) == 0 && sockopt_same(row, value, &has))
		return 0;
	return r;
}

/* What to set on a listener to have what was read: without a limit is not always what is read. */
static int64_t settable(const struct sockopt *row, int64_t read)
{
	if (row->readback == SOCKOPT_DOUBLED)
		return read / 2;
	if (row->readback == SOCKOPT_OR_OWN && !*row->directive)
		return 0;
	if (row->level == IPPROTO_TCP && row->option == TCP_MAXSEG)
		return 0; /* read is a guess of the kernel's, which it would take for a wish */
	if (row->level == IPPROTO_TCP && row->option == TCP_WINDOW_CLAMP && read == 0)
		return INT32_MAX; /* 0 is refused once it listens; the window is never so large */
	return read;
}

int sockopt_restore(int fd, const struct sockopt *row, const struct sockopt_value *read)
{
	const unsigned long unlimited = ULONG_MAX;
	struct sockopt_value value = *read;

	if (row->type == SOCKOPT_UINT64 && read->number < 0)
		return set_raw(fd, row, &unlimited, sizeof(unlimited));
	value.number = settable(row, read->number);
	return sockopt_set(fd, row, &value);
}

int sockopt_get(int fd, const struct sockopt *row, struct sockopt_value *ret_value)
{
	struct sockopt_value value = { 0 };
	socklen_t length = sizeof(value.string);
	int r = 0;

	switch (row->type) {
	case SOCKOPT_BOOL:
	case SOCKOPT_INT:
		r = get_int(fd, row, &value.number);
		break;
	case SOCKOPT_UINT64:
		r = get_long(fd, row, &value.number);
		break;
	case SOCKOPT_STRING:
		r = get_raw(fd, row, value.string, &length);
		value.string[sizeof(value.string) - 1] = '\0';
		break;
	case SOCKOPT_LINGER:
		r = get_linger(fd, row, &value.number);
		break;
	}
	if (r == 0)
		*ret_value = value;
	return r;
}

/* The kernel counts SYN-ACKs, and gives the time of the last: after 1, 2, 4, ... 64, 120, 120 s. */
static int64_t defer_accept_rounded(int64_t seconds)
{
	int64_t sum = 0;

	for (int64_t step = 1; sum < seconds; step = step < 64 ? step * 2 : 120)
		sum += step;
	return sum;
}

bool sockopt_same(const struct sockopt *row, const struct sockopt_value *want,
		  const struct sockopt_value *got)
{
	int64_t more = got->number - want->number;

	if (row->type == SOCKOPT_STRING)
		return strncmp(want->string, got->string, SOCKOPT_STRING_MAX) == 0;
	switch (row->readback) {
	case SOCKOPT_OPAQUE:
		return true;
	case SOCKOPT_DOUBLED:
		return got->number == 2 * want->number;
	case SOCKOPT_ROUNDED:
		return got->number == defer_accept_rounded(want->number);
	case SOCKOPT_TICKS:
		return more >= 0 && more < (strcmp(row->unit, "ms") == 0 ? 10 : 10000);
	case SOCKOPT_OR_OWN:
		return want->number == 0 || more == 0;
	case SOCKOPT_EXACT:
		break;
	}
	return more == 0;
}

/* Every byte that the file cannot have inside of quotes is written as \xNN. */
static void format_string(char *out, const char *string)
{
	*out++ = '"';
	for (size_t i = 0; i < SOCKOPT_STRING_MAX - 1 && string[i]; i++) {
		unsigned char c = (unsigned char)string[i];

		if (c >= ' ' && c <= '~' && c != '"' && c != '\\')
			*out++ = (char)c;
		else
			out += sprintf(out, "\\x%02x", c);
	}
	strcpy(out, "\"");
}

const char *sockopt_format(char out[SOCKOPT_FORMAT_MAX], const struct sockopt *row,
			   const struct sockopt_value *value)
{
	/* Without an L libconfig 1.5 reads no integer of more than 32 bits. */
	const char *suffix = value->number > INT32_MAX || value->number < INT32_MIN ? "L" : "";

	if (row->type == SOCKOPT_STRING)
		format_string(out, value->string);
	else if (row->type == SOCKOPT_BOOL)
		strcpy(out, value->number ? "true" : "false");
	else if (row->type == SOCKOPT_UINT64 && value->number < 0)
		strcpy(out, "unlimited");
	else
		snprintf(out, SOCKOPT_FORMAT_MAX, "%" PRId64 "%s", value->number, suffix);
	return out;
}
