/* SPDX-License-Identifier: MIT */
/*
 * The bytes that are sent, and that what comes is compared with: an endless text of which one
 * period is in memory, and behind it the begin once more, so that PATTERN_WINDOW bytes from any
 * place are in one piece and go to send() and memcmp() as they are. Made by main's thread, then
 * only read.
 *
 * The period is no power of two: a server that mixes up its blocks or buffers, whose sizes are, is
 * seen.
 */
#ifndef SIMPLE_CLIENT_PATTERN_H
#define SIMPLE_CLIENT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_WINDOW 65536u

struct pattern {
	unsigned char *bytes; /* owned; period + PATTERN_WINDOW of them */
	uint32_t period;      /* not less than PATTERN_WINDOW */
};

/* Random bytes; the same ones for the same seed. 0 or -ENOMEM. */
int pattern_init_random(struct pattern *pattern, uint64_t seed);

/*
 * The texts of chargen, lines of 72 characters that go round in a ring: that of RFC 864, of all 95
 * printable ones, and that of xinetd, of 93. 0 or -ENOMEM.
 */
#define PATTERN_CHARGENS 2
int pattern_init_chargen(struct pattern texts[PATTERN_CHARGENS]);

void pattern_deinit(struct pattern *pattern);

/* The place `n` bytes further; at most PATTERN_WINDOW. */
static inline uint32_t pattern_after(const struct pattern *pattern, uint32_t place, size_t n)
{
	place += (uint32_t)n;
	return place < pattern->period ? place : place - pattern->period;
}

/* How many of the `n` bytes, at most PATTERN_WINDOW, are those from `place` on; `n`: all are. */
size_t pattern_same(const struct pattern *pattern, uint32_t place, const void *bytes, size_t n);

#define PATTERN_CHARGEN_LINE 74u /* with CR LF */

/*
 * Which text it is, and where in it the server goes on, is told by what has come: `before` bytes,
 * all of them those of `text` up to its place *place, and `n` more. The text that agrees for
 * longest is returned, and *place moves to it. Begins with `before` 0, and may be called as long as
 * pattern_is_open(); NULL when no line begins so.
 */
const struct pattern *pattern_find_line(const struct pattern texts[PATTERN_CHARGENS],
					const struct pattern *text, size_t before,
					const void *bytes, size_t n, uint32_t *place);

/* Whether the texts may still be mistaken for one another after so many bytes. */
static inline bool pattern_is_open(uint64_t before)
{
	return before < PATTERN_WINDOW / 4;
}

#endif
