/* SPDX-License-Identifier: MIT */
/*
 * The outcome of a run, and the ways to show it. Made and shown by main's thread when the others
 * have ended.
 */
#ifndef SIMPLE_CLIENT_RESULT_H
#define SIMPLE_CLIENT_RESULT_H

#include <stdbool.h>
#include <stdio.h>

#include "plan.h"
#include "stats.h"

struct result {
	const struct plan *plan;
	const struct stats *threads; /* plan->threads of them; borrowed */
	struct stats total;          /* all merged; window_ns is the longest */
	int64_t server_cpu_ns;       /* of plan->server_pid; -1: not measured */
	int64_t client_cpu_ns;       /* of this process */
	int64_t cpu_window_ns; /* both from the begin of the window until nothing is awaited */
	int time_wait_before,
		time_wait_after; /* sockets in TIME_WAIT in this network namespace; -1: unknown */
	bool interrupted;        /* by a signal, before the planned end */
};

/* Merges the threads' counts into result->total. */
void result_sum(struct result *result);

/* No error of any kind, and something was done: the exit status. */
bool result_is_good(const struct result *result);

/* The table for a person. */
void result_print(const struct result *result, FILE *out);

/* One JSON object, and a newline. */
void result_print_json(const struct result *result, FILE *out);

/* The percentile distribution as HdrHistogram prints it; the unit is microseconds. */
void result_print_histogram(const struct result *result, FILE *out);

/* The percentile curve as an SVG that needs nothing else. */
void result_print_plot(const struct result *result, FILE *out);

#endif
