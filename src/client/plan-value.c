/* SPDX-License-Identifier: MIT */
/*
 * Numbers of the command line. Nothing is skipped and nothing is left over: no blanks, no plus, no
 * exponent, no locale.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plan-private.h"

#define DIGITS     "0123456789"
#define HEX_DIGITS DIGITS "abcdefABCDEF"
#define DIGITS_MAX 9 /* on each side of a point: the product fits into 64 bits */

static bool all_of(const char *text, const char *characters)
{
	return *text && text[strspn(text, characters)] == '\0';
}

bool plan_value_integer(const char *text, int64_t *ret_number)
{
	const char *digits = text + (*text == '-');
	bool hex = strncmp(digits, "0x", 2) == 0;

	if (hex ? !all_of(digits + 2, HEX_DIGITS) : !all_of(digits, DIGITS))
		return false;
	errno = 0;
	*ret_number = strtoll(text, NULL, hex ? 16 : 10);
	return errno == 0;
}

bool plan_value_decimal(const char *text, int64_t *ret_billionths)
{
	size_t whole = strspn(text, DIGITS), n = 0;
	const char *rest = text + whole;
	int64_t value = 0;

	if (*rest == '.') {
		n = strspn(++rest, DIGITS);
		if (n == 0)
			return false;
	}
	if (whole + n == 0 || whole > DIGITS_MAX || n > DIGITS_MAX || rest[n])
		return false;
	for (size_t i = 0; i < whole; i++)
		value = value * 10 + (text[i] - '0');
	for (size_t i = 0; i < DIGITS_MAX; i++)
		value = value * 10 + (i < n ? rest[i] - '0' : 0);
	*ret_billionths = value;
	return true;
}

/* A size of the first `n` bytes. */
static bool read_size(const char *text, size_t n, int64_t *ret)
{
	size_t digits = strspn(text, DIGITS);
	int64_t unit = 1;

	if (digits == 0 || digits > DIGITS_MAX || digits > n || n > digits + 1)
		return false;
	if (n > digits) {
		if (!strchr("kKM", text[digits]))
			return false;
		unit = text[digits] == 'M' ? 1024 * 1024 : 1024;
	}
	*ret = strtoll(text, NULL, 10) * unit;
	return true;
}

bool plan_value_sizes(const char *text, int64_t *ret_min, int64_t *ret_max)
{
	size_t n = strcspn(text, "-");

	if (!read_size(text, n, ret_min))
		return false;
	*ret_max = *ret_min;
	return text[n] == '\0' || read_size(text + n + 1, strlen(text + n + 1), ret_max);
}
