/* SPDX-License-Identifier: MIT */
/*
 * What a connection does: a table of modes, each with callbacks that its thread calls. A callback
 * that returns may have ended its session, by session_fail() or thread_next().
 */
#ifndef SIMPLE_CLIENT_MODE_H
#define SIMPLE_CLIENT_MODE_H

#include <stdbool.h>
#include <stdint.h>

#include "plan.h"

struct session;

struct mode {
	bool connects; /* each request is a connection of its own: nothing is opened before the
			  start */
	bool proves;   /* a connection counts as open when one exchange has come back */
	bool paced;    /* an open loop: a request of each connection in each plan->interval_ns */
	bool probes;   /* a well-behaved connection is kept beside, whose requests are measured */
	bool chargen;  /* what comes is chargen's text */
	bool finishes; /* at the very end, FINs are exchanged: nothing more may come before the
			  server's */

	/* The connection is established. May be NULL. */
	void (*opened)(struct session *s, int64_t now);
	/* The run is on, and the connection open; where `connects`, free for a request. */
	void (*start)(struct session *s, int64_t now);
	/* Begins a request. NULL where none is asked for. */
	void (*begin)(struct session *s, int64_t scheduled, int64_t now);
	/* Something happened: s->source.events, which are cleared by reading and sending. */
	void (*ready)(struct session *s);
	/* No request begins any more: calls thread_done() at once or when nothing is awaited. */
	void (*end)(struct session *s, int64_t now);
};

const struct mode *mode_find(enum plan_mode mode);

extern const struct mode mode_echo, mode_idle, mode_drip, mode_probe;
extern const struct mode mode_discard, mode_chargen;
extern const struct mode mode_daytime, mode_time;
extern const struct mode mode_churn, mode_half_close, mode_reset;
extern const struct mode mode_deaf, mode_silent;

#endif
