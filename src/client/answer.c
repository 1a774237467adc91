/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"

#define FROM_1900_TO_1970 2208988800u /* 70 years, 17 of them leap years */

const char *answer_wrong_time(const unsigned char *bytes, size_t n, time_t now)
{
	uint32_t said, ours = (uint32_t)now + FROM_1900_TO_1970; /* goes round in 2036, as theirs */

	if (n != ANSWER_TIME_SIZE)
		return "4 bytes are wanted";
	said = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
	return abs((int32_t)(said - ours)) <= ANSWER_SKEW_S ? NULL
							    : "it is not the time that we have";
}

static bool is_printable(const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i] < ' ' || bytes[i] > '~')
			return false;
	return true;
}

/* Whether the line begins with a date of this form that is not about today, by any clock. */
static bool is_other_day(const char *line, const char *form, time_t now)
{
	struct tm tm = { 0 };
	int64_t apart;

	if (!strptime(line, form, &tm))
		return false;
	apart = (int64_t)timegm(&tm) - now;
	return apart < -ANSWER_DAY_SKEW_S || apart > ANSWER_DAY_SKEW_S;
}

const char *answer_wrong_daytime(const unsigned char *bytes, size_t n, time_t now)
{
	char line[ANSWER_DAYTIME_MAX + 1];

	if (n > ANSWER_DAYTIME_MAX)
		return "it is longer than a line of daytime";
	if (n < 3 || bytes[n - 2] != '\r' || bytes[n - 1] != '\n')
		return "it is no line that ends with CR LF";
	if (!is_printable(bytes, n - 2))
		return "there is a byte in the line that cannot be printed";
	memcpy(line, bytes, n - 2);
	line[n - 2] = '\0';
	if (is_other_day(line, "%d %b %Y %H:%M:%S", now) ||
	    is_other_day(line, "%a %b %d %H:%M:%S %Y", now))
		return "it is not the day that we have";
	return NULL;
}
