/* SPDX-License-Identifier: MIT */
/*
 * One text made of the lines of several files, and for each of its lines where it came from.
 * Built and owned by one thread. When memory runs out, `failed` is set and stays set: the builder
 * asks once, at the end.
 */
#ifndef SIMPLE_SERVER_TEXT_H
#define SIMPLE_SERVER_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text_line {
	const char *file; /* not owned */
	int line;
	bool reported; /* something is known to be wrong with a setting of this line */
};

struct text {
	char *bytes; /* ends with a NUL; NULL while there is no line */
	size_t n_bytes, bytes_capacity;
	struct text_line *lines;
	size_t n_lines, lines_capacity;
	bool failed;
};

/* Ends the line at the end, if there is one, and begins the next, which stands in `file` at `line`.
 */
void text_begin_line(struct text *text, const char *file, int line);

/* Adds to the line at the end; `bytes` contain no newline and no NUL. */
void text_add(struct text *text, const char *bytes, size_t n);

/* The line with number 1, 2, ..., as others count newlines; the nearest one for any other number.
 */
struct text_line *text_line(const struct text *text, size_t number);

/*
 * What makes the bytes no text (a NUL, a byte order mark, bytes that are no UTF-8, a control
 * character), and where the first of it is; NULL for a text.
 */
const char *text_fault(const char *bytes, size_t n, size_t *ret_offset);

void text_deinit(struct text *text);

#endif
