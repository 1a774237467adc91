/* SPDX-License-Identifier: MIT */
/*
 * The table of socket options: what a stream listener or its connections take, by the kernel's own
 * names in lower case. Pure data and getsockopt()/setsockopt(); it knows neither files nor loops.
 * Any thread may call; the table never changes.
 */
#ifndef SIMPLE_SERVER_SOCKOPT_H
#define SIMPLE_SERVER_SOCKOPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sockopt_type {
	SOCKOPT_BOOL,
	SOCKOPT_INT,
	SOCKOPT_UINT64, /* so_max_pacing_rate: as many bytes as the kernel takes */
	SOCKOPT_STRING, /* tcp_congestion, so_bindtodevice */
	SOCKOPT_LINGER, /* seconds in struct linger; -1: off */
};

/* When an option takes effect on a socket that systemd has already bound and made to listen. */
enum sockopt_stage {
	SOCKOPT_BEFORE_BIND, /* too late for us: compared with what the unit did */
	SOCKOPT_LISTENER,    /* set on the listener; means nothing to accepted sockets */
	SOCKOPT_INHERITED,   /* set once on the listener; accept() hands it down */
	SOCKOPT_ACCEPTED,    /* not handed down: set on each accepted socket */
};

enum sockopt_family {
	SOCKOPT_INET4 = 1,
	SOCKOPT_INET6 = 2, /* a dual-stack listener is of this family */
	SOCKOPT_UNIX = 4,
	SOCKOPT_TCP = SOCKOPT_INET4 | SOCKOPT_INET6,
	SOCKOPT_ANY = SOCKOPT_TCP | SOCKOPT_UNIX,
};

/* What getsockopt() gives for a value that was taken. */
enum sockopt_readback {
	SOCKOPT_EXACT,
	SOCKOPT_OR_OWN,  /* exact, but 0 asks for the kernel's own value, which is read instead */
	SOCKOPT_DOUBLED, /* SO_RCVBUF, SO_SNDBUF: twice the value (socket(7)) */
	SOCKOPT_ROUNDED, /* TCP_DEFER_ACCEPT: up to the next retransmission time */
	SOCKOPT_TICKS,   /* up to the next tick of the kernel's clock, 10 ms at most */
	SOCKOPT_OPAQUE,  /* cannot be read back */
};

struct sockopt {
	const char *name; /* the key in the file */
	int level, option;
	enum sockopt_type type;
	enum sockopt_stage stage;
	enum sockopt_readback readback;
	unsigned families;     /* enum sockopt_family bits */
	int64_t min, max;      /* of numbers; of the length for strings */
	const char *unit;      /* "", "s", "ms", "bytes", "bytes/s", "µs", ... */
	const char *privilege; /* what setting it needs: "", "CAP_NET_ADMIN", ... */
	const char *directive; /* the .socket directive of the same effect, or "" */
	const char *built_in;  /* our default in the file's syntax; "": the kernel's value */
	const char *help;      /* one line */
};

#define SOCKOPT_STRING_MAX 16 /* TCP_CA_NAME_MAX and IFNAMSIZ, with the final NUL */

struct sockopt_value {
	int64_t number; /* bool, int, uint64, linger */
	char string[SOCKOPT_STRING_MAX];
};

/* What was read of a socket, if it could be. */
struct sockopt_reading {
	bool known;
	struct sockopt_value value;
};

/*
 * In the order in which to set them: by name, except for so_buf_lock. It follows so_rcvbuf and
 * so_sndbuf, each of which changes the lock.
 */
extern const struct sockopt sockopt_table[];
extern const size_t sockopt_count;

/* Row by key, or NULL. */
const struct sockopt *sockopt_find(const char *name);

/* The family bit of a socket: SOCKOPT_INET4, _INET6, _UNIX; -errno, or -EAFNOSUPPORT for others. */
int sockopt_family_of(int fd);

/*
 * The stage on a socket of one family: nothing is handed down to the connections of an AF_UNIX
 * listener, so there SOCKOPT_INHERITED becomes SOCKOPT_ACCEPTED.
 */
enum sockopt_stage sockopt_stage_on(const struct sockopt *row, enum sockopt_family family);

/*
 * 0 or -errno of setsockopt(). A value that the socket has already is never -EPERM: SO_MARK and
 * SO_BINDTODEVICE want the privilege even then, and the unit or an earlier start may have set it.
 */
int sockopt_set(int fd, const struct sockopt *row, const struct sockopt_value *value);

/*
 * Sets what sockopt_get() has read on this socket or one like it; where the kernel gives its own
 * value for "none", or one that it doubles, what makes it give that again.
 */
int sockopt_restore(int fd, const struct sockopt *row, const struct sockopt_value *read);

/* 0 or -errno of getsockopt(). */
int sockopt_get(int fd, const struct sockopt *row, struct sockopt_value *ret_value);

/*
 * Whether `got`, read back, is what the kernel gives for a `want` that it took. A value that it cut
 * to a bound of its own (net.core.rmem_max, net.core.somaxconn, ...) differs.
 */
bool sockopt_same(const struct sockopt *row, const struct sockopt_value *want,
		  const struct sockopt_value *got);

/*
 * Writes the value as the file would say it (true, 60, 5000000000L, "reno"); returns `out`. A
 * pacing rate without a limit, which only the kernel has, is written as unlimited.
 */
#define SOCKOPT_FORMAT_MAX (4 * SOCKOPT_STRING_MAX)
const char *sockopt_format(char out[SOCKOPT_FORMAT_MAX], const struct sockopt *row,
			   const struct sockopt_value *value);

#endif
