/* SPDX-License-Identifier: MIT */
/*
 * The table of sources: how many connections each address, or each prefix of addresses, has open,
 * and how fast it makes new ones. Of fixed size, with a cost per connection that does not depend on
 * how many sources there are; a lock of its own, taken when a connection comes and when it ends,
 * never for data.
 *
 * A source with open connections is never forgotten; of the others the one that was away for the
 * longest is, when the table is full. With room for as many sources as there may be connections
 * the table never overflows with sources that are in use.
 */
#ifndef SIMPLE_SERVER_SOURCES_H
#define SIMPLE_SERVER_SOURCES_H

#include <stddef.h>
#include <stdint.h>

#include "peer.h"

/*
 * A token bucket: `rate` a second, at most `burst` at once. Zeroed it is full. The owner locks.
 * Exact for every rate: the time is a whole number of ms and a fraction of one in units of 1/rate.
 */
struct bucket {
	int64_t full_ms;   /* when it will be full again */
	uint32_t fraction; /* 0..rate-1 */
};

/*
 * Takes one and returns 0; or takes none and returns how many ms to wait for it, > 0. `rate` and
 * `burst` >= 1; they may change between calls. The clock is monotonic and not negative; threads
 * that have read it one after the other may come in another order.
 */
int64_t bucket_take(struct bucket *bucket, unsigned rate, unsigned burst, int64_t now_ms);

/* Takes back a bucket_take() that had given a token. */
void bucket_give_back(struct bucket *bucket, unsigned rate);

/* What one source may do; 0 in `connections` or `rate`: no limit. */
struct source_limits {
	unsigned connections;
	unsigned rate, burst; /* new connections a second; burst >= 1 where rate is not 0 */
	unsigned prefix_v4, prefix_v6; /* addresses that count as one source: 0..32, 0..128 */
};

enum source_answer {
	SOURCE_OK,
	SOURCE_TOO_MANY, /* connections are open; or the table is full of sources in use */
	SOURCE_TOO_FAST,
};

struct sources;

/*
 * A table of `capacity` sources, at least 1; 64 bytes for each, of which those that were never used
 * take no memory. NULL, and errno says why: no memory, or no random numbers.
 */
struct sources *sources_new(size_t capacity);
struct sources *sources_free(struct sources *sources); /* accepts NULL; returns NULL */

/*
 * A connection of `peer` comes: with SOURCE_OK it is counted until sources_leave(). Connections are
 * looked at before the rate; one that is refused, for whichever reason, takes no token, so that a
 * source which goes on knocking gets in at its rate. AF_UNIX peers are sources by uid. Without any
 * limit nothing is counted, and `sources` may be NULL. Any thread.
 */
enum source_answer sources_enter(struct sources *sources, const struct source_limits *limits,
				 const struct peer *peer, int64_t now_ms);

/* With the limits and the peer of sources_enter(), once for each SOURCE_OK. Any thread. */
void sources_leave(struct sources *sources, const struct source_limits *limits,
		   const struct peer *peer);

#endif
