/* SPDX-License-Identifier: MIT */
/*
 * A place: a service in a worker, with what the handler keeps for each worker and what it counts
 * there. It is what a handler sees as struct ss_worker.
 *
 * Made by main's thread; then it belongs to the worker's, but for the counters, which any thread
 * may read.
 */
#ifndef SIMPLE_SERVER_PLACE_H
#define SIMPLE_SERVER_PLACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "service.h"

struct ss_worker {
	struct service *service;
	unsigned index; /* of the worker */
	bool started;   /* worker_stop() is due */
	void *state;    /* the handler's */
	unsigned n_counters;
	_Atomic int64_t *counters; /* owned */
};

/* One for each of the services, in their order; NULL when there is no memory. */
struct ss_worker *places_new(const struct services *services, unsigned worker);

void places_free(struct ss_worker *places, size_t count); /* accepts NULL */

/*
 * In the worker's thread: worker_start() and worker_stop() of the handlers. 0, or -errno after an
 * entry in the journal.
 */
int places_start(struct ss_worker *places, size_t count);
void places_stop(struct ss_worker *places, size_t count);

#endif
