/* SPDX-License-Identifier: MIT */
/*
 * The keeper: a process that shares the table of files with this one, and sleeps until that has
 * died. Then all descriptors are still open in it, and it hands over the connections that can go on
 * (ledger.h) in the form of handover.h. It costs nothing while it sleeps.
 *
 * It is cloned from a process with threads, and so it allocates nothing, locks nothing and logs
 * nothing: what it has to say is in the head of what it hands over. While this process lives it
 * closes nothing either, for the table is not its own.
 *
 * Main's thread.
 */
#ifndef SIMPLE_SERVER_KEEPER_H
#define SIMPLE_SERVER_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "handover.h"
#include "ledger.h"

struct keeper {
	struct ledger *ledger; /* borrowed, as the next three */
	const struct handover_service *services;
	unsigned n_services;
	struct handover_out *out; /* open */
	bool (*in_turn)(void *context, int fd);
	void *context;
	pid_t pid; /* 0: it is not there */
	int watch; /* a pidfd of it: readable when it has died; -1 */
	int own;   /* a pidfd of this process, for the keeper; -1 */
};

/* Starts it, or a new one in place of one that has died. 0 or -errno, and then there is none. */
int keeper_start(struct keeper *keeper);

/* Ends it; what happens to this process from now on is nobody's business. */
void keeper_stop(struct keeper *keeper);

/* keeper->watch is readable: it has died. Then keeper_start() is possible again. */
void keeper_bury(struct keeper *keeper);

#endif
