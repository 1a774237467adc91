/* SPDX-License-Identifier: MIT */
/*
 * A connection: bytes in, bytes out, half-close, back-pressure, the polite close, the reason of the
 * end. It is what a handler sees as struct ss_connection.
 *
 * A connection set is the connections of one loop and what they share: the receive buffer and the
 * counts. A connection is made by whoever accepted it, given to a set by connection_place() from
 * any thread, and from its first event on belongs to the thread of that set's loop until it ends.
 *
 * An idle connection is this struct and nothing else.
 */
#ifndef SIMPLE_SERVER_CONNECTION_H
#define SIMPLE_SERVER_CONNECTION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "handover.h"
#include "ledger.h"
#include "loop.h"
#include "peer.h"
#include "pipes.h"
#include "place.h"
#include "pool.h"

/* Dropped after the polite close; who sends more is reset. */
#define CONNECTION_LINGER_BYTES 65536

/* One read; the buffer is shared by the connections of a set. */
#define CONNECTION_READ_SIZE 65536

struct connection_set {
	struct loop *loop;
	struct list members;      /* those that have had their first event */
	unsigned char *input;     /* CONNECTION_READ_SIZE bytes */
	struct buffer *rest;      /* for ss_rest() in eof(), while that runs */
	struct ss_worker *places; /* owned; of each service */
	size_t n_places;
	struct pool *pool;  /* for ss_offload(); borrowed */
	struct pipes pipes; /* for ss_join() */
	unsigned jobs;      /* in the pool, or on their way back */
	/* While open() runs: where the peer had connected to, by its header, and its id; else 0. */
	uint64_t destination_of;
	struct peer destination;
	bool finishing;                /* whoever still joins is ended politely at once, */
	bool aborting;                 /* or without */
	pthread_mutex_t arriving_lock; /* guards `arriving`: those from another process, */
	struct list arriving;          /* which this thread has not seen, */
	struct loop_message arrive;    /* and which this tells it of */
	struct ledger *ledger; /* NULL, or where is noted what may go on after a crash; borrowed */
	/* NULL, or called after each end; and after each job, with NULL. */
	void (*ended)(struct connection_set *set, struct service *service);
	/* NULL, or called when a handler has counted something. */
	void (*counted)(struct connection_set *set);
	_Alignas(64) _Atomic unsigned count; /* members, and those on their way here */
};

/* `services` may be NULL where no handler asks for its worker. */
int connection_set_init(struct connection_set *set, struct loop *loop,
			const struct services *services, unsigned worker, struct pool *pool);
void connection_set_deinit(struct connection_set *set); /* the set is empty */

/* The calling thread is the one that runs the set's loop; before anything else in it. */
void connection_set_enter(struct connection_set *set);

/*
 * Takes over `fd`, non-blocking and just accepted from `peer` as `section`, the one of the service
 * at that moment, says, and gives it to `set`. From any thread. 0, or -errno, and then the fd is
 * closed.
 */
int connection_place(struct connection_set *set, struct service *service,
		     const struct settings_socket *section, int fd, const struct peer *peer);

/*
 * Has up to `n` members go by the sections that their services have now. Those come to the end of
 * the list, so that calls for as many as there are reach everyone.
 */
void connection_set_follow(struct connection_set *set, unsigned n);

/* Connections on their way to another process: records of handover.h, and a descriptor for each. */
struct frozen {
	struct buffer *records, *fds;
	unsigned count;
};

void frozen_deinit(struct frozen *frozen); /* the descriptors stay open */

/*
 * How many members cannot be frozen now, or have a job since before that time of CLOCK_MONOTONIC,
 * and are served on.
 */
unsigned connection_set_stuck(struct connection_set *set, int64_t since_ns);

/*
 * Freezes those that can be: they are gone from the set, without an end that anybody hears of, and
 * their descriptors are open. In the set's thread, between two turns.
 */
void connection_set_freeze(struct connection_set *set, struct frozen *frozen);

/*
 * Notes what was frozen in the ledger, as long as it is not thawed: whoever dies over it takes no
 * more along than a state.
 */
void connection_note_frozen(struct ledger *ledger, const struct service *service,
			    const struct handover_record *record, int fd);

/*
 * The reverse of it, in this process or another: takes over the one or two descriptors and gives
 * the connection to `set`. From any thread. 0, or -errno, and then they are the caller's:
 * -EOPNOTSUPP where the handler takes no such state over.
 */
int connection_thaw(struct connection_set *set, struct service *service,
		    const struct handover_record *record, const int fds[2]);

/* New connections get ids above this one. */
void connection_ids_from(uint64_t id);

/* Ends all members politely (FIN), each with its lingering close. */
void connection_set_finish(struct connection_set *set);

/* Ends all members at once. */
void connection_set_abort(struct connection_set *set);

/* peer-closed, reset, ... */
const char *connection_reason_name(enum ss_reason reason);

#endif
