/* SPDX-License-Identifier: MIT */
/*
 * An acceptor: one worker's watch over one listener. It takes connections from the backlog within
 * the limits of the service, turns away whom the file does not let in, and pauses when there is no
 * room, no rate or no resource left; it goes on by itself. Belongs to the thread of its worker's
 * loop.
 */
#ifndef SIMPLE_SERVER_ACCEPTOR_H
#define SIMPLE_SERVER_ACCEPTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "connection.h"
#include "listener.h"
#include "loop.h"

struct acceptor;

/* Into which set of connections the next one goes. */
typedef struct connection_set *acceptor_place_fn(struct acceptor *acceptor);

/* A place that was reserved is free again: nothing came, or who came was turned away. */
typedef void acceptor_freed_fn(struct acceptor *acceptor);

struct acceptor {
	struct loop_source source;
	struct loop *loop;
	struct listener *listener;
	acceptor_place_fn *place;
	acceptor_freed_fn *freed;
	void *owner;
	unsigned burst;       /* connections to accept in this turn */
	uint64_t turn;        /* of the loop, when it last accepted */
	int64_t rate_wait_ms; /* what limits.rate answered last */
	unsigned pause_ms;    /* 0 while accepting goes well */
	bool watching;        /* the listener is in the loop */
	bool waiting;         /* not watching, until acceptor_room() */
};

/* 0 or -errno. */
int acceptor_start(struct acceptor *acceptor, struct loop *loop, struct listener *listener,
		   acceptor_place_fn *place, acceptor_freed_fn *freed, void *owner);

/* For good; the listener stays open. */
void acceptor_stop(struct acceptor *acceptor);

/* A connection of the service has ended: goes on if it waited for that. */
void acceptor_room(struct acceptor *acceptor);

/* The limits are other ones: goes on if it paused for whatever ends by itself. */
void acceptor_try(struct acceptor *acceptor);

#endif
