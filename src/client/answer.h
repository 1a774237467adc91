/* SPDX-License-Identifier: MIT */
/*
 * What the servers of daytime (RFC 867) and time (RFC 868) say before they close, and whether it is
 * right. Pure functions, for any thread.
 */
#ifndef SIMPLE_CLIENT_ANSWER_H
#define SIMPLE_CLIENT_ANSWER_H

#include <stddef.h>
#include <time.h>

#define ANSWER_TIME_SIZE   4
#define ANSWER_DAYTIME_MAX 128
#define ANSWER_SKEW_S      2               /* of the clocks, in time */
#define ANSWER_DAY_SKEW_S  (2 * 24 * 3600) /* in daytime, where any zone may be meant */

/* NULL for a right answer, else what is wrong with it, in words. `now` is our own clock. */
const char *answer_wrong_time(const unsigned char *bytes, size_t n, time_t now);

/* How a server writes its daytime, as its first answer shows. Zeroed: none has come. */
struct answer_form {
	int number;                        /* of the form; which these are, answer.c knows */
	char tail[ANSWER_DAYTIME_MAX + 1]; /* what stands behind the date: the zone */
};

/*
 * One line of printable ASCII that ends with CR LF. Where its form is that of xinetd or of ctime(3)
 * the date must be ours but for the zone, and all answers must have one form; RFC 867 leaves that
 * open, so another text is only looked at as a line.
 */
const char *answer_wrong_daytime(const unsigned char *bytes, size_t n, time_t now,
				 struct answer_form *form);

#endif
