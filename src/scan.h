/* SPDX-License-Identifier: MIT */
/*
 * Reads the bytes of configuration files, token by token, into one text without comments and
 * without
 * @include. What libconfig would get wrong in silence is reported here: numbers that it wraps,
 * strings that it cuts, bytes that are no text.
 */
#ifndef SIMPLE_SERVER_SCAN_H
#define SIMPLE_SERVER_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "grammar.h"
#include "report.h"
#include "text.h"

#define SCAN_STRING_MAX 4096
#define SCAN_NAME_MAX   64

struct scan {
	struct report *report;
	struct text *text;
	struct grammar grammar;
	/*
	 * Called at an @include, to scan() what it names in its place; `path` is not terminated.
	 * False when it makes no sense to go on, with the reason in the report.
	 */
	bool (*include)(struct scan *scan, const char *path, size_t length, const char *file,
			int line);
	void *include_data;
};

/* The bytes of all files must stay where they are until the scan is dropped. */
void scan_init(struct scan *scan, struct report *report, struct text *text);

/* One whole file. False when it makes no sense to go on, with the reason in the report. */
bool scan_file(struct scan *scan, const char *file, const char *bytes, size_t n);

#endif
