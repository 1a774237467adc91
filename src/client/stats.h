/* SPDX-License-Identifier: MIT */
/*
 * What one thread of simple-client counts. Written by that thread alone; the counts that the
 * progress line shows are atomic for that reader's sake, the histograms are read when the thread
 * has ended.
 */
#ifndef SIMPLE_CLIENT_STATS_H
#define SIMPLE_CLIENT_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "histogram.h"

/*
 * What went wrong, by kind. Each is the end of one connection, whose requests under way are lost
 * with it and counted no further.
 */
enum stats_error {
	STATS_CONNECT, /* connect() failed: refused, unreachable, ... */
	STATS_CONNECT_TIMEOUT,
	STATS_ANSWER_TIMEOUT, /* also a stream that stood still for so long */
	STATS_RESET,          /* by the server, where we did not ask for it */
	STATS_SHORT,          /* the server closed before all had come */
	STATS_WRONG_BYTES,    /* what came is not what had to come */
	STATS_EXTRA_BYTES,    /* more came than had to come */
	STATS_SYSTEM,         /* no descriptor, no memory, no local port */
	STATS_ERRORS
};

/*
 * `requests` are exchanges that came back complete; connections in churn, half-close, daytime and
 * time; messages sent in discard, lines received in chargen. In drip, deaf, reset and silent they
 * are those of the well-behaved connection beside, as are the latencies.
 */
struct stats {
	_Atomic uint64_t requests;             /* completed, begun in the window */
	_Atomic uint64_t connects;             /* established, begun in the window */
	_Atomic uint64_t bytes_out, bytes_in;  /* in the window */
	_Atomic uint64_t errors[STATS_ERRORS]; /* in the whole run */
	_Atomic unsigned open;                 /* connections open at this moment */
	unsigned most_open;
	uint64_t closed_by_server;    /* where that is an expected end */
	uint64_t unsent;              /* open loop: scheduled in the window, never sent */
	struct histogram corrected;   /* from the scheduled time to the answer */
	struct histogram uncorrected; /* from the send() to the answer; in a closed loop the same */
	struct histogram connecting;  /* from connect() to established; not of the warm-up */
	int64_t window_ns;            /* from the begin of the window to its end or last answer */
	char first_error[160];        /* what the first one was, in words; "" */
};

/* One thread writes: no need for the locked instruction of an atomic addition. */
static inline void stats_add(_Atomic uint64_t *count, uint64_t n)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* "connect", "wrong-bytes", ... */
const char *stats_error_name(enum stats_error error);

#endif
