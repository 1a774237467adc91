/* SPDX-License-Identifier: MIT */
/*
 * The inside of a connection, for connection.c (its turns, and what comes in), connection-out.c
 * (what goes out) and connection-end.c (time-outs and the end). Nobody else includes this.
 */
#ifndef SIMPLE_SERVER_CONNECTION_PRIVATE_H
#define SIMPLE_SERVER_CONNECTION_PRIVATE_H

#include "connection.h"

/* While one of these is known, a short read does not mean that the socket is empty. */
#define UNSURE   ((uint32_t)(EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
#define READABLE ((uint32_t)EPOLLIN | UNSURE)
#define WRITABLE ((uint32_t)(EPOLLOUT | EPOLLHUP | EPOLLERR))

enum connection_flags {
	OPENED = 1 << 0,   /* a member; open() has returned 0 */
	CLOSING = 1 << 1,  /* no more callbacks but close(); there is no input any more */
	FAILED = 1 << 2,   /* to be ended at the end of this turn, for `reason` */
	EOF_SEEN = 1 << 3, /* recv() has returned 0 */
	SHUT = 1 << 4,     /* our FIN is out: dropping what still comes */
	DISCARD = 1 << 5,  /* ss_discard() */
	WANTS = 1 << 6,    /* writable() when there is room */
	LIMITED = 1 << 7,  /* there is a `pace` */
	PACED = 1 << 8,    /* not read until the pace allows it */
};

struct ss_connection {
	struct loop_source source;
	struct list member;
	struct connection_set *set;
	struct service *service;
	void *state;
	struct buffer *output; /* queued by ss_write() */
	union {
		struct buffer *input; /* not consumed by data() */
		size_t dropped;       /* once CLOSING */
	};
	uint64_t id;
	uint64_t bytes_in, bytes_out;
	uint64_t began : 40; /* loop time, ms: for 34 years */
	uint64_t reason : 8; /* enum ss_reason */
	uint64_t flags : 16;
	struct peer peer;
	uint32_t active;    /* when bytes moved last: loop time, ms, the lower half */
	struct pace pace[]; /* one, where the service has a bandwidth */
};

/* Memory of an idle connection: this and malloc's header of 8 bytes, rounded up to 16. */
_Static_assert(sizeof(struct ss_connection) <= 168, "an idle connection has grown");

/* connection.c: gives the handler what it has left over. */
void connection_deliver_waiting(struct ss_connection *c);

/* connection-out.c */
void connection_flush(struct ss_connection *c);
void connection_tell_writable(struct ss_connection *c);
void connection_drop_output(struct ss_connection *c);

/* connection-end.c */
void connection_fail(struct ss_connection *c, enum ss_reason reason);
void connection_fail_errno(struct ss_connection *c, int error);
void connection_close(struct ss_connection *c, enum ss_reason reason);
/* The server ends it: whatever it waits for, it has the time of the lingering close. */
void connection_finish(struct ss_connection *c, enum ss_reason reason);
void connection_settle(struct ss_connection *c);
void connection_give_up(struct ss_connection *c); /* of the polite close */
void connection_end(struct ss_connection *c, enum ss_reason reason);
void connection_expired(struct ss_connection *c);

/* A deadline has appeared that may be nearer than the armed one. */
void connection_watch(struct ss_connection *c);

static inline void connection_moved(struct ss_connection *c)
{
	c->active = (uint32_t)c->set->loop->now;
}

#endif
