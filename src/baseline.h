/* SPDX-License-Identifier: MIT */
/*
 * What the passed sockets had set before a file of ours was first applied to them. The sockets
 * outlive the process, and their options with them: who comes later cannot tell an option that the
 * unit has set from one that an earlier process has. So it is remembered, in a file of the unit's
 * runtime directory, by the cookie that the kernel gives a socket for life.
 *
 * It is a convenience: whatever is wrong with the file or its directory is a line in the journal,
 * and the sockets are taken as they are. Main's thread.
 */
#ifndef SIMPLE_SERVER_BASELINE_H
#define SIMPLE_SERVER_BASELINE_H

#include <stddef.h>
#include <stdint.h>

#include "sockopt.h"

struct baseline_socket {
	uint64_t cookie;
	struct sockopt_reading *values; /* by row of sockopt_table; owned */
};

struct baseline {
	struct baseline_socket *list; /* the sockets that there are */
	size_t count;
};

/* Adds a socket of which nothing is known yet. 0 or -errno. */
int baseline_add(struct baseline *baseline, int fd);

/* What is known of a socket that was added, to be filled in; NULL if it was not. */
struct sockopt_reading *baseline_of(const struct baseline *baseline, int fd);

/* Fills in what is remembered of the sockets that were added; others are forgotten. */
void baseline_load(struct baseline *baseline, const char *directory);

/* Remembers all of it. */
void baseline_save(const struct baseline *baseline, const char *directory);

void baseline_deinit(struct baseline *baseline);

#endif
