/* SPDX-License-Identifier: MIT */
/*
 * The configuration's files, read and checked, as one text for config_read_string(): each @include
 * is replaced by its file, comments are gone, and each line knows where it came from. Used by one
 * thread.
 */
#ifndef SIMPLE_SERVER_SOURCE_H
#define SIMPLE_SERVER_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "report.h"
#include "text.h"

#define SOURCE_BYTES_MAX   (1024 * 1024) /* of all files together */
#define SOURCE_FILES_MAX   64
#define SOURCE_NESTING_MAX 10 /* files that include each other below the main one */

struct source {
	char **files; /* the main file first; owned, and all that `text` names as a file */
	size_t n_files;
	struct text text;
	bool usable; /* the text may be parsed, even if some of its values are wrong */
};

/*
 * Reads `path` and all that it includes. 0, or -EINVAL (-ENOMEM) with at least one more line in
 * `report`; then the text may be there nevertheless, see `usable`, for the other checks. In all
 * cases source_deinit() is to be called.
 */
int source_load(struct source *source, const char *path, struct report *report);

/* The same for bytes in memory, which include nothing; `name` stands for the file in messages. */
int source_load_bytes(struct source *source, const char *name, const char *bytes, size_t n,
		      struct report *report);

void source_deinit(struct source *source);

#endif
