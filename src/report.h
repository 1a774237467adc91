/* SPDX-License-Identifier: MIT */
/*
 * The list of everything that is wrong with a start: all problems are collected and shown at once.
 * Owned by whoever loads (main, and later a reload); one thread.
 */
#ifndef SIMPLE_SERVER_REPORT_H
#define SIMPLE_SERVER_REPORT_H

#include <stddef.h>

struct report {
	char **lines; /* owned; each without a newline */
	size_t n_lines;
};

#define REPORT_NULL                                                                                \
	(struct report)                                                                            \
	{                                                                                          \
		0                                                                                  \
	}

/* Adds one line; where it does not fit into memory the process ends (start-up only). */
void report_add(struct report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

void report_deinit(struct report *report);

/*
 * The candidate that a person probably meant by `word`, or NULL when none is near. `candidates`
 * ends with NULL.
 */
const char *report_nearest(const char *word, const char *const *candidates);

/*
 * `bytes` with everything outside of printable ASCII as \xNN, cut to 64 bytes of input; for names
 * and other foreign bytes in messages. Writes to `out` (at least REPORT_ESCAPED_MAX) and returns
 * it.
 */
#define REPORT_ESCAPED_MAX (64 * 4 + 4)
const char *report_escape(char out[REPORT_ESCAPED_MAX], const char *bytes);

#endif
