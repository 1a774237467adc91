/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "answer.h"

#define ZONE_STEP_S       (15 * 60)
#define FROM_1900_TO_1970 2208988800u /* 70 years, 17 of them leap years */

const char *answer_wrong_time(const unsigned char *bytes, size_t n, time_t now)
{
	uint32_t said, ours = (uint32_t)now + FROM_1900_TO_1970; /* goes round in 2036, as theirs */

	if (n != ANSWER_TIME_SIZE)
		return "4 bytes are wanted";
	said = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
	return said - ours + ANSWER_SKEW_S <= 2 * ANSWER_SKEW_S ? NULL
								: "it is not the time that we have";
}

static bool is_printable(const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i] < ' ' || bytes[i] > '~')
			return false;
	return true;
}

static const char *const forms[] = { "%d %b %Y %H:%M:%S", "%a %b %d %H:%M:%S %Y" };

enum { NO_ANSWER, FREE_TEXT, FIRST_FORM }; /* of struct answer_form */

/* The number of the line's form, and what stands behind the date. */
static int form_of(const char *line, struct tm *ret_tm, const char **ret_tail)
{
	for (int i = 0; i < (int)(sizeof(forms) / sizeof(forms[0])); i++) {
		*ret_tm = (struct tm){ 0 };
		*ret_tail = strptime(line, forms[i], ret_tm);
		if (*ret_tail)
			return FIRST_FORM + i;
	}
	*ret_tail = "";
	return FREE_TEXT;
}

/* In whatever zone it is: all of them are some quarters of an hour away from UTC. */
static bool is_about_now(struct tm *tm, time_t now)
{
	int weekday = tm->tm_wday;
	int64_t apart = (int64_t)timegm(tm) - now; /* and tm_wday is that of the date */
	int64_t beyond = (apart % ZONE_STEP_S + ZONE_STEP_S) % ZONE_STEP_S;

	return weekday == tm->tm_wday && apart >= -ANSWER_DAY_SKEW_S &&
	       apart <= ANSWER_DAY_SKEW_S &&
	       (beyond <= ANSWER_SKEW_S || beyond >= ZONE_STEP_S - ANSWER_SKEW_S);
}

static const char *wrong_text(const char *line, time_t now, struct answer_form *form)
{
	const char *tail;
	struct tm tm;
	int number = form_of(line, &tm, &tail);

	if (form->number == NO_ANSWER) {
		form->number = number;
		snprintf(form->tail, sizeof(form->tail), "%s", tail);
	}
	if (number != form->number || strcmp(tail, form->tail) != 0)
		return "it is not of the form that the first one had";
	return number == FREE_TEXT || is_about_now(&tm, now) ? NULL
							     : "it is not the time that we have";
}

const char *answer_wrong_daytime(const unsigned char *bytes, size_t n, time_t now,
				 struct answer_form *form)
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
	return wrong_text(line, now, form);
}
