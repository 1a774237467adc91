/* SPDX-License-Identifier: MIT */
/*
 * The parts of loading a module, for module*.c: the file, before its code runs, and what the module
 * says of its handler, which is another program's word. Each returns false with the end of a
 * message in `problem`: what is wrong, and what would be right. Main's thread.
 */
#ifndef SIMPLE_SERVER_MODULE_PRIVATE_H
#define SIMPLE_SERVER_MODULE_PRIVATE_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "module.h"
#include "simple-server.h"

#define MODULE_PROBLEM_MAX (PATH_MAX + 512)

#define module_wrong(problem, ...) (snprintf(problem, MODULE_PROBLEM_MAX, __VA_ARGS__), false)

struct module_file {
	char path[PATH_MAX]; /* absolute, without symbolic links */
	dev_t device;
	ino_t inode;
};

/* Finds the file of a module, which nobody else may change and which is whole. */
bool module_find_file(const struct module_place *place, const char *name,
		      struct module_file *ret_file, char problem[MODULE_PROBLEM_MAX]);

/*
 * Copies a handler of any version of the header that can run here. What its module does not know is
 * NULL in the copy, which keeps pointing to the module's names and tables.
 */
bool module_check(const struct ss_handler *given, struct ss_handler *ret_handler,
		  char problem[MODULE_PROBLEM_MAX]);

/* A part of that: its table of keys. */
bool module_check_keys(const struct ss_handler *handler, char problem[MODULE_PROBLEM_MAX]);

/* Printable ASCII of at most `max` characters. */
bool module_is_text(const char *string, size_t max);

#endif
