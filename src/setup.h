/* SPDX-License-Identifier: MIT */
/*
 * What the file, the environment and the passed sockets make together. Everything that can be wrong
 * with a start is found here, and all of it is reported. Main's thread, before the others start.
 */
#ifndef SIMPLE_SERVER_SETUP_H
#define SIMPLE_SERVER_SETUP_H

#include <stdbool.h>

#include "baseline.h"
#include "listener.h"
#include "report.h"
#include "service.h"

struct setup_options {
	const char *config;
	bool ignore_unknown_sockets; /* and sections without a socket */
	bool allow_own_modules;      /* of the user who runs the server, not of root alone */
};

#define SETUP_HANDED_MAX 32 /* of two hand-overs: a process may have died before it took one */

struct setup {
	struct services services;
	struct listeners listeners;
	struct baseline baseline; /* all sockets that were passed, whether they are served or not */
	int handed[SETUP_HANDED_MAX]; /* owned: what systemd kept for succession_take() */
	size_t n_handed;
	bool has_sockets; /* some were passed, whether they fit or not */
};

/*
 * The passed descriptors are taken first: a descriptor opened before that could be one of their
 * numbers. It is complete when nothing was added to `report`.
 */
void setup_make(struct setup *setup, const struct setup_options *options, struct report *report);

/* Closes what was handed over; systemd keeps its own until it is told. */
void setup_drop_handed(struct setup *setup);

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
