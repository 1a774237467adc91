/* SPDX-License-Identifier: MIT */
/*
 * The ledger: in memory that another process shares, what is known of each connection that may go
 * on without this process. When that has died, the keeper (keeper.h) reads there which descriptors
 * are connections, and of which of them nothing was in user space: no byte that had been read and
 * not yet answered, no state. Only those can go on with nothing lost and nothing doubled.
 *
 * An entry of 8 bytes for each descriptor is written where a connection comes and goes, and where
 * bytes of it begin and cease to wait in memory: seldom. What happens within a turn is not in it;
 * for that there is loop->called, which is all that a request pays.
 *
 * Made by main's thread; an entry is written by whoever owns the connection, and read by the keeper
 * when nobody writes any more.
 */
#ifndef SIMPLE_SERVER_LEDGER_H
#define SIMPLE_SERVER_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum ledger_state {
	LEDGER_NONE, /* no connection, or one that is not preserved */
	LEDGER_LIVE, /* it can go on */
	LEDGER_HELD, /* something of it is in user space */
};

enum ledger_flags {
	LEDGER_DISCARDS = 1 << 0, /* ss_discard() */
	LEDGER_OPENED = 1 << 1,   /* the handler knows it */
};

struct ledger_entry {
	enum ledger_state state;
	unsigned flags;
	unsigned service; /* its index */
	uint64_t id;
};

struct ledger {
	_Atomic bool armed;  /* the keeper is to act */
	_Atomic int highest; /* descriptor that has had an entry */
	unsigned files;      /* entries */
	_Atomic uint64_t entries[];
};

/* For descriptors below `files`. NULL with errno set. Pages cost memory when they are written. */
struct ledger *ledger_new(unsigned files);
void ledger_free(struct ledger *ledger); /* accepts NULL */

/* A descriptor beyond the last entry is left out: it does not outlive the process. */
void ledger_set(struct ledger *ledger, int fd, const struct ledger_entry *entry);
void ledger_clear(struct ledger *ledger, int fd);
struct ledger_entry ledger_get(const struct ledger *ledger, int fd);

#endif
