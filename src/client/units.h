/* SPDX-License-Identifier: MIT */
/*
 * Numbers as a person reads them: three digits and a unit of a fitting size. Any thread.
 */
#ifndef SIMPLE_CLIENT_UNITS_H
#define SIMPLE_CLIENT_UNITS_H

#include <stdint.h>

#define UNITS_MAX 48

/* Nanoseconds: "850 ns", "12.3 µs", "1.02 s". Each writes to `out` and returns it. */
const char *units_time(char out[UNITS_MAX], double ns);

/* Decimal units, as networks are measured in: "64 B", "7.90 MB". */
const char *units_bytes(char out[UNITS_MAX], double bytes);

/* All digits, in groups of three: "1 234 567". */
const char *units_count(char out[UNITS_MAX], uint64_t count);

/* "1 request", "1 234 requests"; `unit` in the singular, of at most 16 bytes. */
const char *units_of(char out[UNITS_MAX], uint64_t count, const char *unit);

/* The digits, rounded; with a fraction where it has fewer than three digits: "0.25", "12.5". */
const char *units_number(char out[UNITS_MAX], double number);

/* How many characters of a terminal the UTF-8 text takes. */
int units_width(const char *text);

#endif
