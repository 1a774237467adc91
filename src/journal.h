/* SPDX-License-Identifier: MIT */
/*
 * The log: structured entries to the journal, or readable lines to stderr. One for the process; any
 * thread may write to it and none ever waits for it: an entry is copied into a bounded ring that
 * one thread empties. A stalled journald (sd_journal_send() blocks for ever) fills the ring, and
 * then entries are counted instead of kept; the count is told when the ring moves again.
 *
 * What a client can cause is limited to JOURNAL_RATE entries a second for each event. Bytes that
 * come from a peer never get here; names are escaped by whoever made them.
 */
#ifndef SIMPLE_SERVER_JOURNAL_H
#define SIMPLE_SERVER_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define JOURNAL_RATE 10

enum journal_event {
	JOURNAL_READY,
	JOURNAL_STOPPING,
	JOURNAL_STOPPED,
	JOURNAL_HANDED_OVER,
	JOURNAL_TAKEN_OVER,
	JOURNAL_RELOAD,
	JOURNAL_CONNECTION,
	JOURNAL_ACCEPT_PAUSED,
	JOURNAL_TURNED_AWAY,
	JOURNAL_OPTION_DIFFERS,
	JOURNAL_BASELINE,
	JOURNAL_HANDLER,
	JOURNAL_WATCHDOG,
	JOURNAL_SUPPRESSED,
	JOURNAL_ERROR,
	JOURNAL_EVENTS,
};

/* Fields beside the message; what is NULL or 0 is left out. Copied. */
struct journal_fields {
	const char *socket, *handler, *peer;
	const char *reason; /* static */
	uint64_t connection;
	uint64_t bytes_in, bytes_out, duration_us;
	const char *target; /* of a forwarded connection */
	uint64_t connect_us;
	/* of JOURNAL_CONNECTION never left out */
	int error; /* an errno */
};

/* Sends one entry of `n` "FIELD=value" parts to the journal; 0 or -errno. It may block. */
typedef int journal_send_fn(const struct iovec *parts, int n);

/* Says where entries go: to `send`, or to stderr for NULL. Before anything is logged. */
void journal_open(journal_send_fn *send);

/* Starts the thread; before that, and after the stop, entries are written at once. 0 or -errno. */
int journal_start(void);

/* Writes out what waits, for at most a second, and ends the thread. */
void journal_stop(void);

/* `priority` as in syslog(3). `fields` may be NULL. */
void journal_log(enum journal_event event, int priority, const struct journal_fields *fields,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * false: entries have waited for longer than `patience_ms` and the thread is not even trying to
 * write one. That it cannot get rid of one, because nobody reads, is the reader's affair.
 */
bool journal_moves(int64_t patience_ms);

/*
 * Whether an entry of this event is within its rate; if not, it is counted as left out. For callers
 * that have work to do before they can write one; journal_log() does not ask again.
 */
bool journal_admit(enum journal_event event);

#endif
