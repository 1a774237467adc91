/* SPDX-License-Identifier: MIT */
/*
 * What the ways to show a result share: what the modes measure, the words for what was run, the
 * percentiles. Used by main's thread alone.
 */
#ifndef SIMPLE_CLIENT_RESULT_PRIVATE_H
#define SIMPLE_CLIENT_RESULT_PRIVATE_H

#include <stdbool.h>

#include "plan.h"
#include "result.h"

enum result_latency {
	LATENCY_NONE,  /* a stream without answers */
	LATENCY_OWN,   /* of the requests that are counted */
	LATENCY_PROBE, /* of a well-behaved connection beside those that misbehave */
};

struct result_mode {
	const char *unit; /* what `requests` counts, in the singular */
	enum result_latency latency;
	bool sends; /* messages, of the plan's size */
	bool holds; /* connections: to have had them open is to have done something */
};

const struct result_mode *result_mode(enum plan_mode mode);

/*
 * Whether requests have times at which they are due, so that the two latencies differ: by a rate,
 * or those of proofs and of a probe.
 */
bool result_is_open_loop(const struct result *result);

/* Who closes first: "client", "half", ... */
const char *result_close_name(enum plan_close close);

/* The window in seconds, or 0. */
double result_seconds(const struct result *result);

/* For each second of the window, or 0. */
double result_per_second(const struct result *result, uint64_t count);

/* Errors of all kinds. */
uint64_t result_errors(const struct stats *stats);

/* "no answer in time", "wrong bytes", ... */
const char *result_error_words(enum stats_error error);

#define RESULT_TEXT_MAX 512

/* "echo to localhost:7 (127.0.0.1:7)" */
const char *result_title(char out[RESULT_TEXT_MAX], const struct plan *plan);

/* "2 threads, 64 connections, 64 bytes, depth 1, closed loop" */
const char *result_manner(char out[RESULT_TEXT_MAX], const struct plan *plan);

#endif
