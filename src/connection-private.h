/* SPDX-License-Identifier: MIT */
/*
 * The inside of a connection, for connection.c (its turns, and what comes in), connection-out.c
 * (what goes out), connection-job.c (work in the pool), connection-end.c (time-outs and the end)
 * and connection-api.c (what handlers ask). Nobody else includes this.
 */
#ifndef SIMPLE_SERVER_CONNECTION_PRIVATE_H
#define SIMPLE_SERVER_CONNECTION_PRIVATE_H

#include "connection.h"
#include "pace.h"
#include "util.h"

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
	LIMITED = 1 << 7,  /* there is a `more->pace` */
	PACED = 1 << 8,    /* not read until the pace allows it */
	BUSY = 1 << 9,     /* a job is under way: not read */
	ENDED = 1 << 10,   /* close() of the handler is running, or has run */
};

struct connection_job;

/* What most connections do not need: those of a service with a bandwidth, a timer or jobs have it.
 */
struct connection_more {
	struct pace pace;
	int64_t timer_due; /* of ss_set_timer(): loop time, ms; 0: not set */
	struct connection_job *job;
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
	uint32_t active;               /* when bytes moved last: loop time, ms, the lower half */
	struct connection_more more[]; /* one, or none */
};

/* Memory of an idle connection: this and malloc's header of 8 bytes, rounded up to 16. */
_Static_assert(sizeof(struct ss_connection) <= 168, "an idle connection has grown");

/* connection.c: gives the handler what it has left over. */
void connection_deliver_waiting(struct ss_connection *c);

/* connection-out.c */
void connection_flush(struct ss_connection *c);
void connection_tell_writable(struct ss_connection *c);
void connection_drop_output(struct ss_connection *c);

/* connection-job.c: the connection ends; its job will find nobody. */
void connection_leave_job(struct ss_connection *c);

/* connection-api.c */
/* The handler broke a rule of its interface: it is named in the journal. */
void connection_misuse(struct ss_connection *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A call of this name from another thread than the connection's. */
void connection_foreign_call(const struct ss_connection *c, const char *call);

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

/* The set of this thread. The tests link no shared object: that is worth two instructions. */
extern _Thread_local struct connection_set *connection_own_set
	__attribute__((tls_model("local-exec")));

static inline bool connection_is_own(const struct ss_connection *c)
{
	return likely(c->set == connection_own_set);
}

/* For connections that have `more`. */
static inline bool connection_has_more(const struct service *service)
{
	return service->section->limits.bandwidth > 0 || service->handler->timer ||
	       service->handler->flags & SS_OFFLOADS;
}

/* It is the handler that closes, not the server: that is no reason of its own to be cut off. */
static inline bool connection_is_wished(const struct ss_connection *c)
{
	return c->reason == SS_HANDLER_CLOSED || c->reason == SS_PEER_CLOSED;
}

static inline void connection_moved(struct ss_connection *c)
{
	c->active = (uint32_t)c->set->loop->now;
}

#endif
