/* SPDX-License-Identifier: MIT */
/*
 * The succession: live connections come from the process before this one, and go to the one after
 * it. After a restart or an upgrade they were frozen; after a crash the keeper has given what could
 * go on. Both have the form of handover.h, and systemd keeps it in between.
 *
 * Main's thread.
 */
#ifndef SIMPLE_SERVER_SUCCESSION_H
#define SIMPLE_SERVER_SUCCESSION_H

#include <stddef.h>
#include <stdint.h>

#include "activation.h"
#include "keeper.h"
#include "loop.h"
#include "worker.h"

struct succession;

/* `error`: 0 when systemd has the connections; else they are back with the workers, which pause. */
typedef void succession_done_fn(struct succession *succession, int error);

struct succession {
	const struct services *services; /* borrowed, as the next two */
	struct workers *workers;
	struct loop *loop;
	unsigned files;        /* descriptors that there may be */
	int error;             /* why nothing can be given: -errno */
	struct ledger *ledger; /* owned, as all that follows; NULL: there is no keeper */
	struct handover_service *described; /* services as a hand-over names them */
	struct handover_out *out;
	struct keeper keeper;
	struct loop_source keeper_died;
	struct loop_source timer;
	succession_done_fn *done;
	enum { SUCCESSION_NONE, SUCCESSION_LOOKING, SUCCESSION_FREEZING, SUCCESSION_CUTTING } step;
	int64_t since_ns; /* when giving began: CLOCK_MONOTONIC */
	int64_t deadline; /* of the step: loop time */
	int linger_ms;
	bool given; /* systemd has the connections */
};

/*
 * Between workers_init() and workers_start(). `files`: descriptors that there may be. 0 or -ENOMEM.
 * Where there can be no keeper an entry in the journal says so, and that is no error.
 */
int succession_init(struct succession *succession, const struct services *services,
		    struct workers *workers, struct loop *loop, unsigned files);
void succession_deinit(struct succession *succession); /* accepts a zeroed one */

/*
 * Takes over what systemd has kept, of one process or more: one may have died before it took what
 * it was given. Tells in the journal what came of it. When the handlers have started in all
 * workers.
 */
void succession_take(struct succession *succession, const struct passed_fds *fds);

/*
 * When the workers have paused: freezes the connections and gives them to systemd. Those that
 * cannot be frozen are served on for `drain_ms`, then ended politely within `linger_ms`, then cut
 * off.
 */
void succession_give(struct succession *succession, int drain_ms, int linger_ms,
		     succession_done_fn *done);

/* The event `frozen` of the workers. */
void succession_frozen(struct succession *succession, unsigned left);

/* The connections are not given any more: those that are frozen end with the process. */
void succession_stop(struct succession *succession);

/* From now on a crash is the end of all connections. */
void succession_end(struct succession *succession);

#endif
