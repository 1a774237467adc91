/* SPDX-License-Identifier: MIT */
/*
 * Handlers in shared objects. A module is loaded once and never leaves: what was handed out lives
 * until the process ends. What makes a file trustworthy is where it is and whose, for its code runs
 * when it is loaded; so that is looked at first. Main's thread.
 */
#ifndef SIMPLE_SERVER_MODULE_H
#define SIMPLE_SERVER_MODULE_H

#include <stdbool.h>

#include "report.h"
#include "settings.h"
#include "simple-server.h"

/* Where modules come from. */
struct module_place {
	const char *directory; /* of those that are written as a plain file name */
	bool allow_own; /* files and directories may be of the effective user, not only root */
};

/*
 * The handler in the module of a section, in a form that this program knows: callbacks that the
 * module has none of are NULL, be it older or newer. Two sections with one file get the same
 * handler. NULL after a line in `report` that says what is wrong.
 */
const struct ss_handler *module_load(const struct module_place *place,
				     const struct settings_socket *section, struct report *report);

#endif
