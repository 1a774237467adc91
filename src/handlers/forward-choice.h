/* SPDX-License-Identifier: MIT */
/*
 * The back ends of one service, one for each address, and which of them a connection is given.
 *
 * Health is passive: a back end that a connect to it fails for is down, and left out for a time
 * that doubles with each further failure. When that time is over, one connection at a time finds
 * out whether it is up again; the others go on leaving it out. Where nothing else is left, those
 * that are down are tried as well, the one whose time is over soonest first: so there is always
 * one to try.
 *
 * All of it is guarded by one lock, which is held for as long as it takes to look at the list: when
 * an address is taken, when its connect has an outcome, when the connection ends. Any thread.
 *
 * A back end that was taken stays where it is, text and address included, until it is given back,
 * also when its name no longer has that address.
 */
#ifndef SIMPLE_SERVER_FORWARD_CHOICE_H
#define SIMPLE_SERVER_FORWARD_CHOICE_H

#include <stdint.h>

#include "forward-targets.h"

#define FORWARD_BACKENDS_MAX 256 /* of one service */

enum forward_balance {
	FORWARD_ROUND_ROBIN,
	FORWARD_LEAST, /* connections, those being made included */
	FORWARD_FIRST, /* in the order of the file */
};

/* What a connection holds: see forward.c. */
struct forward_held {
	bool is_backend;
};

struct forward_backend {
	struct forward_held held;
	bool is_listed, is_down;
	bool is_told; /* that it is down */
	uint8_t slot;
	struct forward_address address;
	char text[FORWARD_TEXT_MAX];
	unsigned connections;           /* at this moment */
	uint64_t made, failed, stalled; /* connections; connects; ended by a time-out */
	int64_t left_out_until, left_out_for, told_at; /* ms */
};

/* What one connection has tried in this round. */
struct forward_tries {
	uint64_t slots[FORWARD_BACKENDS_MAX / 64];
	bool is_probe; /* what was taken last is down, and this connection finds out */
};

struct forward_choice;

/* With room for so many targets. NULL: no memory. */
struct forward_choice *forward_choice_new(size_t n_targets);
void forward_choice_free(struct forward_choice *choice);

/*
 * The addresses that a target, counted from 0, has from now on. 0, -ENOMEM, or -ENOBUFS when there
 * are more than FORWARD_BACKENDS_MAX in all; then those that fit are used.
 */
int forward_choice_set(struct forward_choice *choice, size_t target,
		       const struct forward_address *addresses, size_t n);

/* One that is not among `tries`, which it then is; NULL if there is none. */
struct forward_backend *forward_choice_take(struct forward_choice *choice,
					    enum forward_balance balance,
					    struct forward_tries *tries, int64_t now);
/* One of this address, in the list or not, that a connection has from another process; or NULL. */
struct forward_backend *forward_choice_adopt(struct forward_choice *choice,
					     const struct forward_address *address);
void forward_choice_give_back(struct forward_choice *choice, struct forward_backend *backend,
			      bool stalled);

/*
 * The outcome of the connect to what was taken. True when that is worth a line in the journal: it
 * is down, at most once in 10 seconds; or it is up again, after a line that said it was down.
 */
bool forward_choice_failed(struct forward_choice *choice, struct forward_backend *backend,
			   const struct forward_tries *tries, int dead_time, int64_t now);
bool forward_choice_connected(struct forward_choice *choice, struct forward_backend *backend);

/* Calls `each` for all back ends, under the lock. */
void forward_choice_each(struct forward_choice *choice,
			 void (*each)(const struct forward_backend *backend, void *argument),
			 void *argument);

#endif
