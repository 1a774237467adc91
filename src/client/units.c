/* SPDX-License-Identifier: MIT */
#include "units.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "util.h"

/* How many digits behind the point make three in all; the bounds are those of rounding. */
static int decimals(double value)
{
	return value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
}

/* Each unit but the last is for less than 1000 of it. The first one has no fractions. */
static const char *scaled(char out[UNITS_MAX], double value, const char *const *units)
{
	bool is_first = true;

	while (value >= 999.5 && units[1]) {
		value /= 1000;
		units++;
		is_first = false;
	}
	snprintf(out, UNITS_MAX, "%.*f %s", is_first ? 0 : decimals(value), value, *units);
	return out;
}

const char *units_time(char out[UNITS_MAX], double ns)
{
	static const char *const units[] = { "ns", "µs", "ms", "s", NULL };

	return scaled(out, ns, units);
}

const char *units_bytes(char out[UNITS_MAX], double bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", NULL };

	return scaled(out, bytes, units);
}

const char *units_count(char out[UNITS_MAX], uint64_t count)
{
	char digits[UNITS_MAX];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, count);
	char *next = out;

	for (int i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			*next++ = ' ';
		*next++ = digits[i];
	}
	*next = '\0';
	return out;
}

const char *units_of(char out[UNITS_MAX], uint64_t count, const char *unit)
{
	char digits[UNITS_MAX];

	snprintf(out, UNITS_MAX, "%.26s %.16s%s", units_count(digits, count), unit,
		 count == 1 ? "" : "s");
	return out;
}

const char *units_number(char out[UNITS_MAX], double number)
{
	if (!(number > 0))
		return units_count(out, 0);
	if (number >= 99.95)
		return units_count(out, number < 1e18 ? (uint64_t)(number + 0.5) : UINT64_MAX);
	if (number < 0.1)
		snprintf(out, UNITS_MAX, "%.2g", number);
	else
		snprintf(out, UNITS_MAX, "%.*f", decimals(number), number);
	return out;
}

int units_width(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}
