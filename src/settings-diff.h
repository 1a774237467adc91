/* SPDX-License-Identifier: MIT */
/*
 * What a new file changes, told in words: one line for each key, as the table has them. Keys that
 * only a restart can change are told in a report of their own. One thread; the old settings may be
 * in use.
 */
#ifndef SIMPLE_SERVER_SETTINGS_DIFF_H
#define SIMPLE_SERVER_SETTINGS_DIFF_H

#include "report.h"
#include "settings.h"

struct settings_diff {
	struct report changed; /* "echo: timeouts.idle = 60.0 (was 300.0)" */
	struct report waiting; /* for a restart: "workers = 4 (2 is in force)" */
};

void settings_diff_deinit(struct settings_diff *diff);

/* The keys at the top level; those that wait for a restart then have the old values in `to`. */
void settings_diff_file(struct settings_diff *diff, const struct settings *from,
			struct settings *to);

/* The keys of an entry of sockets, but for those of the handler's own; strings are not kept. */
void settings_diff_section(struct settings_diff *diff, const struct settings_socket *from,
			   struct settings_socket *to);

/* Those; both have the same handler. `waits`: it does not take them. */
bool settings_same_keys(const struct settings_socket *from, const struct settings_socket *to);
void settings_diff_keys(struct settings_diff *diff, const struct settings_socket *from,
			const struct settings_socket *to, bool waits);

#endif
