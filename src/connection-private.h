/* SPDX-License-Identifier: MIT */
/*
 * The inside of a connection, for connection.c (its turns, and what comes in), connection-out.c
 * (what goes out), connection-job.c (work in the pool), connection-end.c (time-outs and the end),
 * connection-freeze.c (to another process) and connection-api.c (what handlers ask). Nobody else
 * includes this.
 */
#ifndef SIMPLE_SERVER_CONNECTION_PRIVATE_H
#define SIMPLE_SERVER_CONNECTION_PRIVATE_H

#include "connection.h"
#include "pace.h"
#include "util.h"

#define CONNECTION_MASK (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | (uint32_t)EPOLLET)

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
	PAUSED = 1 << 11,  /* ss_pause() */
	RESUMED = 1 << 12, /* what waits is to be delivered again */
	JOINED = 1 << 13,  /* ss_join(): connection-relay.c has it */
	CUT = 1 << 14,     /* it ends by a reset */
	HEADER = 1 << 15,  /* not admitted before its PROXY header has come */
};

enum leg_flags {
	LEG_PEER_EOF = 1 << 0,      /* the peer has finished, */
	LEG_TARGET_FIN = 1 << 1,    /* and the target knows */
	LEG_TARGET_EOF = 1 << 2,    /* the target has finished, */
	LEG_PEER_FIN = 1 << 3,      /* and the peer knows */
	LEG_PEER_BROKEN = 1 << 4,   /* reset */
	LEG_TARGET_BROKEN = 1 << 5, /* reset */
	LEG_CONNECTING = 1 << 6,
	LEG_UNIX = 1 << 7,        /* or AF_VSOCK: not TCP, which alone tells a reset from an end */
	LEG_PEER_DEAF = 1 << 8,   /* no event for what it sends */
	LEG_TARGET_DEAF = 1 << 9, /* the same */
};

/* Of these, what lasts in another process. */
#define LEG_LASTING (LEG_PEER_EOF | LEG_TARGET_FIN | LEG_TARGET_EOF | LEG_PEER_FIN | LEG_UNIX)

struct connection_job;

struct relay_bulk;

/* The second leg of a connection whose handler connects to others; behind struct ss_connection. */
struct connection_leg {
	struct loop_source source; /* fd -1: there is none */
	struct buffer *output;     /* for the target */
	union {
		struct relay_bulk *bulk;    /* once joined */
		struct connection_job *job; /* before that */
	};
	uint32_t timer_due;
	uint16_t connect_ms;
	uint16_t flags;
};

/* What most connections do not need: those with a bandwidth, a timer or jobs have it; at the end.
 */
struct connection_more {
	struct pace pace;
	struct connection_job *job;
	uint32_t timer_due; /* of ss_set_timer(): loop time, ms, the lower half; 0: not set */
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
	uint64_t began : 39; /* loop time, ms: for 17 years */
	uint64_t epoch : 1;  /* of the section that it goes by */
	uint64_t reason : 6; /* enum ss_reason */
	uint64_t stays : 1;  /* it could not be frozen */
	uint64_t thawed : 1; /* thaw() in place of open(); until then `state` is what it gets */
	uint64_t flags : 16;
	struct peer peer;
	uint32_t active; /* when bytes moved last: loop time, ms, the lower half */
};

/* Memory of an idle connection: this and malloc's header of 8 bytes, rounded up to 16. */
_Static_assert(sizeof(struct ss_connection) <= 168, "an idle connection has grown");
_Static_assert(sizeof(struct ss_connection) + sizeof(struct connection_leg) <= 248,
	       "an idle pair has grown");

/*
 * connection.c: a connection that nobody knows yet, NULL without memory; and the loop is to know
 * it. 0, or -errno of loop_add().
 */
struct ss_connection *connection_new(struct connection_set *set, struct service *service,
				     const struct settings_socket *section, int fd,
				     const struct peer *peer);
int connection_add(struct ss_connection *c);

/* connection.c: gives the handler what it has left over. */
void connection_deliver_waiting(struct ss_connection *c);

/* connection.c: not more than a second's worth where there is a bandwidth; and what was taken. */
size_t connection_paced_size(const struct ss_connection *c, size_t most);
void connection_pace(struct ss_connection *c, uint64_t bytes);

/* connection-header.c: reads on; true when the peer is known and admitted. */
bool connection_read_header(struct ss_connection *c);

/* connection-follow.c: goes by the section that the service has now. */
void connection_follow(struct ss_connection *c);
/* Those of service->changes, on the socket and that of its leg. */
void connection_set_options(const struct ss_connection *c);

/* connection-out.c */
void connection_flush(struct ss_connection *c);
void connection_tell_writable(struct ss_connection *c);
/*
 * A queue of the connection, c->output or that of the leg: what is in it counts for max_output. 0,
 * or -errno, and then the connection fails.
 */
int connection_queue(struct ss_connection *c, struct buffer **queue, const void *bytes,
		     size_t length);
void connection_consume(struct ss_connection *c, struct buffer **queue, size_t length);
/* Of a connection that its thread has not seen, as the next: the clock is not looked at. */
void connection_forget_output(struct ss_connection *c, struct buffer **queue);
/* What had been queued in another process; no limit is asked. 0 or -ENOMEM. */
int connection_restore_output(struct ss_connection *c, struct buffer **queue, const void *bytes,
			      size_t length);
void connection_drop(struct ss_connection *c, struct buffer **queue);

/* connection-leg.c: there may be none. */
void connection_leg_close(struct ss_connection *c);

/* connection-relay.c: what data() left when it joined; whether bytes wait for one side; the end. */
int connection_relay_keep(struct ss_connection *c, const void *bytes, size_t length);
bool connection_relay_waits(struct ss_connection *c);
void connection_relay_try(struct ss_connection *c); /* to write what waits, edge or not */
void connection_relay_end(struct ss_connection *c);

/* connection-freeze.c: notes what a crash would leave of it, where that has changed; and nothing.
 */
void connection_note(const struct ss_connection *c);
void connection_forget(const struct ss_connection *c);

/* connection-freeze.c: those on their way from another process come; or are closed. */
loop_message_fn connection_set_arrive;
void connection_set_turn_back(struct connection_set *set);

/* connection-freeze.c: the first turn of one that was thawed; 0, or -errno to refuse it. */
int connection_thawed(struct ss_connection *c);

/* connection-leg.c, connection-relay.c: of a pair that was thawed; 0 or -errno. */
int connection_leg_go_on(struct ss_connection *c);
int connection_relay_go_on(struct ss_connection *c);

/* connection-relay.c: what is in pipes goes into the queues, which can be frozen; 0 or -errno. */
int connection_relay_empty(struct ss_connection *c);

/* connection-job.c: one that is BUSY, since before this time of CLOCK_MONOTONIC. */
bool connection_job_is_older(const struct ss_connection *c, int64_t since_ns);

/* The connection ends; its job will find nobody. */
void connection_leave_job(struct ss_connection *c);

/* connection-api.c */
/* The handler broke a rule of its interface: it is named in the journal. */
void connection_misuse(struct ss_connection *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A call of this name from another thread than the connection's. */
void connection_foreign_call(const struct ss_connection *c, const char *call);

/* connection-end.c */
void connection_reset_fd(int fd); /* its close() sends a reset */
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

static inline bool connection_has_leg(const struct service *service)
{
	return service->handler->flags & SS_CONNECTS;
}

static inline bool connection_has_more(const struct service *service,
				       const struct settings_socket *section)
{
	return section->limits.bandwidth > 0 ||
	       (!connection_has_leg(service) &&
		(service->handler->timer || service->handler->flags & SS_OFFLOADS));
}

static inline size_t connection_size(const struct service *service,
				     const struct settings_socket *section)
{
	return sizeof(struct ss_connection) +
	       (connection_has_leg(service) ? sizeof(struct connection_leg) : 0) +
	       (connection_has_more(service, section) ? sizeof(struct connection_more) : 0);
}

/* Only for connections that have one. */
static inline struct connection_leg *connection_leg(const struct ss_connection *c)
{
	return (struct connection_leg *)(uintptr_t)(c + 1);
}

static inline struct connection_more *connection_more(const struct ss_connection *c)
{
	struct connection_leg *leg = connection_leg(c);

	return (struct connection_more *)(connection_has_leg(c->service) ? leg + 1 : leg);
}

/* Where the job of a connection is kept, and when its timer is due. */
static inline struct connection_job **connection_job(const struct ss_connection *c)
{
	return connection_has_leg(c->service) ? &connection_leg(c)->job : &connection_more(c)->job;
}

static inline uint32_t *connection_timer(const struct ss_connection *c)
{
	return connection_has_leg(c->service) ? &connection_leg(c)->timer_due
					      : &connection_more(c)->timer_due;
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
