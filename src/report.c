/* SPDX-License-Identifier: MIT */
/*
 * The list of what is wrong with a start, and the small text tools of its messages: the nearest
 * known word for a misspelled one, and a printable form for foreign bytes.
 *
 * A report belongs to one thread. Its lines never contain a control character, whatever a file name
 * or a value brought in: one problem is one line, and a terminal is never told what to do.
 */
#include "report.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "util.h"

#define WORD_MAX 64

static void __attribute__((noreturn)) out_of_memory(void)
{
	static const char text[] = "out of memory\n";

	/* Nobody is left to hear that standard error did not take it. */
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(EX_OSERR);
	_exit(EX_SOFTWARE);
}

static void append(struct report *report, char *line)
{
	char **lines = reallocarray(report->lines, report->n_lines + 1, sizeof(*lines));

	if (!lines)
		out_of_memory();
	lines[report->n_lines++] = line;
	report->lines = lines;
}

void report_add(struct report *report, const char *format, ...)
{
	va_list args;
	char *line;
	int n;

	va_start(args, format);
	n = vasprintf(&line, format, args);
	va_end(args);
	if (n < 0)
		out_of_memory();

	for (char *c = line; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	append(report, line);
}

void report_deinit(struct report *report)
{
	for (size_t i = 0; i < report->n_lines; i++)
		free(report->lines[i]);
	free(report->lines);
	*report = REPORT_NULL;
}

static int min3(int a, int b, int c)
{
	int least = a < b ? a : b;

	return least < c ? least : c;
}

/* A word in lower case, for comparing; of at most WORD_MAX bytes. */
struct folded {
	int length;
	char bytes[WORD_MAX];
};

static bool fold(struct folded *folded, const char *word)
{
	size_t length = strnlen(word, WORD_MAX + 1);

	if (length > WORD_MAX)
		return false;
	folded->length = (int)length;
	for (size_t i = 0; i < length; i++)
		folded->bytes[i] = (char)tolower((unsigned char)word[i]);
	return true;
}

/*
 * How many characters must be inserted, deleted, replaced or swapped with their neighbour to make
 * `a` into `b`; anything above `bound` once it is known to be more. A row of the matrix is the
 * start of `a` against all starts of `b`; from one row to the next but one nothing gets less than
 * the least of both.
 */
static int distance(const struct folded *a, const struct folded *b, int bound)
{
	int rows[3][WORD_MAX + 1];
	int *before = rows[0], *above = rows[1], *row = rows[2], *oldest;
	int least_above = 0, least;

	if (abs(a->length - b->length) > bound)
		return bound + 1;
	for (int j = 0; j <= b->length; j++)
		above[j] = j;

	for (int i = 1; i <= a->length; i++) {
		least = row[0] = i;
		for (int j = 1; j <= b->length; j++) {
			char x = a->bytes[i - 1], y = b->bytes[j - 1];

			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == b->bytes[j - 2] && y == a->bytes[i - 2] &&
			    before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
			if (row[j] < least)
				least = row[j];
		}
		if (least > bound && least_above > bound)
			return bound + 1;
		least_above = least;
		oldest = before;
		before = above;
		above = row;
		row = oldest;
	}
	return above[b->length];
}

const char *report_nearest(const char *word, const char *const *candidates)
{
	const char *nearest = NULL;
	struct folded wanted, known;
	int bound, d;

	if (!fold(&wanted, word) || wanted.length == 0)
		return NULL;
	/* A third of the word may be wrong; but of a very short one anything would be near. */
	bound = wanted.length < 3 ? 0 : wanted.length / 3;

	for (; *candidates && bound >= 0; candidates++) {
		if (!fold(&known, *candidates))
			continue;
		d = distance(&wanted, &known, bound);
		if (d > bound)
			continue;
		nearest = *candidates;
		bound = d - 1;
	}
	return nearest;
}

const char *report_escape(char out[REPORT_ESCAPED_MAX], const char *bytes)
{
	char *o = out;
	size_t n = strnlen(bytes, WORD_MAX + 1);
	bool cut = n > WORD_MAX;

	for (size_t i = 0; i < (cut ? WORD_MAX : n); i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c >= 0x20 && c < 0x7f)
			*o++ = (char)c;
		else
			o += sprintf(o, "\\x%02x", c);
	}
	/* REPORT_ESCAPED_MAX leaves room for the dots and the final NUL. */
	strcpy(o, cut ? "..." : "");
	return out;
}
