/* SPDX-License-Identifier: MIT */
/*
 * Pipes for splice(2), a bounded number of them: a relay has one for a direction as long as it
 * moves much, and gives it back empty. A pipe with bytes in it is never given to anybody else.
 *
 * A pool belongs to one thread.
 */
#ifndef SIMPLE_SERVER_PIPES_H
#define SIMPLE_SERVER_PIPES_H

#include <stddef.h>

#include "list.h"

#define PIPE_SIZE (256 * 1024)
#define PIPES_MAX 64 /* of a worker */

struct spipe {
	struct list link;
	int read_fd, write_fd;
	size_t used;    /* bytes in it */
	unsigned small; /* for its user: how many small pieces came last */
};

struct pipes {
	struct list spare;
	unsigned count, max; /* that exist, and may */
};

void pipes_init(struct pipes *pipes, unsigned max);
void pipes_deinit(struct pipes *pipes);

/*
 * A pipe of a useful size, or NULL: too many are in use, no descriptor is left, or the pages that
 * the user may have in pipes are used up (pipe(7): then new ones are of two pages or one).
 */
struct spipe *pipes_take(struct pipes *pipes);

/* Accepts NULL; returns NULL. */
struct spipe *pipes_give_back(struct pipes *pipes, struct spipe *pipe);

#endif
