/* SPDX-License-Identifier: MIT */
/*
 * What the file, the environment and the passed sockets make together. Everything that can be wrong
 * with a start is found here, and all of it is reported. Main's thread, before the others start.
 */
#ifndef SIMPLE_SERVER_SETUP_H
#define SIMPLE_SERVER_SETUP_H

#include <stdbool.h>

#include "baseline.h"
#include "activation.h"
#include "listener.h"
#include "report.h"
#include "service.h"

struct setup_options {
	const char *config;
	bool ignore_unknown_sockets; /* and sections without a socket */
	bool allow_own_modules;      /* of the user who runs the server, not of root alone */
};

struct setup {
	struct services services;
	struct listeners listeners;
	struct baseline baseline; /* all sockets that were passed, whether they are served or not */
	struct passed_fds handed; /* owned: what systemd kept for succession_take() */
	bool has_sockets;         /* some were passed, whether they fit or not */
};

/*
 * The passed descriptors are taken first: a descriptor opened before that could be one of their
 * numbers. It is complete when nothing was added to `report`.
 */
void setup_make(struct setup *setup, const struct setup_options *options, struct report *report);

/*
 * Finds out what the units of the sockets had set, and remembers it: before an option is set. What
 * fails is added to `report`.
 */
void setup_remember(struct setup *setup, struct report *report);

void setup_deinit(struct setup *setup);

/* Loads the file alone: 0 and one reference, or -errno and why in `report`. */
int setup_load(const struct setup_options *options, struct settings **ret_settings,
	       struct report *report);

/*
 * Descriptors that are not connections: two for each loop, the listeners, the journal and the rest.
 */
unsigned setup_reserved_files(const struct settings *settings, size_t n_sockets);

/* How many workers the settings ask for: one for each CPU that the process may use, if none. */
unsigned setup_workers(const struct settings *settings);

/* How many descriptors the process may have. */
unsigned setup_files(void);

#endif
