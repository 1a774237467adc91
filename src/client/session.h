/* SPDX-License-Identifier: MIT */
/*
 * One connection as a client has it: it is opened, sends out of the pattern, compares what comes
 * with the pattern, has a deadline, ends. What it is for is up to its mode; what follows from its
 * end is up to its thread. The struct outlives its connections: when one is lost, the next one is
 * opened in it.
 *
 * A pool is what the sessions of one thread share. All belongs to that thread.
 */
#ifndef SIMPLE_CLIENT_SESSION_H
#define SIMPLE_CLIENT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "answer.h"
#include "loop.h"
#include "mode.h"
#include "pattern.h"
#include "plan.h"
#include "stats.h"
#include "syscall.h"

struct schedule;

#define SESSION_READABLE (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)

enum session_state {
	SESSION_CLOSED,
	SESSION_QUEUED, /* waits until fewer connects are under way */
	SESSION_CONNECTING,
	SESSION_OPEN,
	SESSION_ENDING, /* our FIN is out, and nothing but the server's is awaited */
};

/* What a read came to. After SESSION_LOST the session is closed, and the error counted. */
enum session_input { INPUT_BYTES, INPUT_NOTHING, INPUT_END, INPUT_RESET, INPUT_LOST };

struct pool {
	struct loop *loop;
	const struct plan *plan;
	const struct pattern *pattern; /* chargen: all its texts */
	struct stats *stats;
	unsigned char *buffer; /* PATTERN_WINDOW bytes, for a read */
	uint64_t random;
	struct answer_form daytime;
	bool counting;       /* the window is open: bytes of streams count */
	int64_t last_answer; /* in the window, CLOCK_MONOTONIC */
	unsigned connecting, most_connecting;
	bool pumping;
	struct list queue; /* SESSION_QUEUED */
	size_t next_address, next_source;

	/* It is established; the connect took so long. */
	void (*opened)(struct session *s, int64_t now, int64_t took);
	/* It failed, or has ended after session_finish(). */
	void (*lost)(struct session *s);
	/* The time of session_retry() has come. */
	void (*retry)(struct session *s);
};

/* A message under way. */
struct request {
	int64_t scheduled, sent; /* CLOCK_MONOTONIC; scheduled SESSION_UNMEASURED: not measured */
	size_t size;
};

#define SESSION_UNMEASURED INT64_MIN
#define SESSION_ANSWER_MAX 128

struct session {
	struct loop_source source;
	struct pool *pool;
	const struct mode *mode;
	struct schedule *schedule;
	const struct pattern *pattern; /* what is sent, and has to come */

	uint64_t received; /* bytes of the stream that came, and were right */
	uint64_t expected; /* bytes of the stream that may come: of an echo, what was sent */
	uint64_t answered; /* bytes of the requests that are complete */
	uint32_t in, out;  /* places in the pattern: of the next byte to come and to go */
	size_t unsent;     /* bytes of the message that is being sent */
	size_t piece;      /* of those, how many in this send() */
	unsigned pieces;   /* and in how many send() the rest goes */
	unsigned depth, first, under_way;
	struct request *requests; /* a ring of `depth`, borrowed */

	enum session_state state;
	bool is_unix;
	bool has_slot; /* counts among pool->connecting */
	bool settled;  /* the first try to open it has come to its end */
	bool done;     /* the window is over, and nothing is awaited of it */
	bool is_shut;  /* our FIN is out */
	bool is_gone;  /* the server has ended it, as it may */
	unsigned number;
	size_t address;   /* counts round the plan's */
	size_t tries;     /* addresses that did not answer, one after the other */
	struct list link; /* in the pool's queue or in schedule->free */
	int64_t since;    /* CLOCK_MONOTONIC: it connects, or is open */
	unsigned char answer[SESSION_ANSWER_MAX]; /* where it is short and no part of the pattern */
};

/* Gives the pool what all pools have; the callbacks and the rest are its owner's. */
void session_init(struct session *s, struct pool *pool, const struct mode *mode,
		  struct schedule *schedule, struct request *requests, unsigned depth,
		  unsigned number);

/* Connects as soon as there is room; pool->opened() or pool->lost() says how it came out. */
void session_open(struct session *s);

/* It has come so far that the next one may connect. Any number of times. */
void session_release_slot(struct session *s);

void session_close(struct session *s); /* from any state, silent */
void session_reset(struct session *s); /* the same by RST, where it is TCP */

/* FIN, then the server's FIN; nothing else may come. At last pool->lost(). */
void session_finish(struct session *s);

/* FIN. */
void session_shutdown(struct session *s);

/* A closed one: pool->retry() after a while, so that a dead server gives no busy loop. */
void session_retry(struct session *s);
void session_no_retry(struct session *s);

/* Sends what the socket takes. 0, also when something is left for EPOLLOUT; or -errno. */
int session_send_rest(struct session *s);

/* What is seldom: a message of more than one send(), of which the first has come to `n`. */
int session_send_pieces(struct session *s, size_t size, unsigned pieces);
int session_send_part(struct session *s, size_t size, ssize_t n);

/* Begins a message of so many send(); all of the last one must be sent. As session_send_rest(). */
static inline int session_send(struct session *s, size_t size, unsigned pieces)
{
	if (unlikely(pieces > 1 || size > PATTERN_WINDOW))
		return session_send_pieces(s, size, pieces);
	ssize_t n = sys_send(s->source.fd, s->pattern->bytes + s->out, size);
	if (unlikely(n != (ssize_t)size))
		return session_send_part(s, size, n);
	s->out = pattern_after(s->pattern, s->out, size);
	s->expected += size;
	return 0;
}

/* What is seldom: recv() gave no bytes but 0 or -errno; the bytes are not the right ones. */
enum session_input session_read_nothing(struct session *s, ssize_t n);
enum session_input session_fail_verify(struct session *s, size_t n);

/*
 * Reads up to `most` bytes, at most PATTERN_WINDOW, into pool->buffer. A session whose
 * source.events has none of SESSION_READABLE gives nothing before the next event.
 *
 * On TCP, a read that does not fill the buffer has emptied the socket, unless the end of the stream
 * is behind it, which makes no event of its own. On AF_UNIX it proves nothing.
 */
static inline enum session_input session_read(struct session *s, size_t most, size_t *ret_n)
{
	ssize_t n = sys_recv(s->source.fd, s->pool->buffer, most);

	if (unlikely(n <= 0))
		return session_read_nothing(s, n);
	if (likely((size_t)n < most && !s->is_unix &&
		   !(s->source.events & (SESSION_READABLE & ~EPOLLIN))))
		s->source.events &= ~(uint32_t)EPOLLIN;
	*ret_n = (size_t)n;
	return INPUT_BYTES;
}

/* Compares the bytes in pool->buffer with those that have to come. INPUT_BYTES or INPUT_LOST. */
static inline enum session_input session_verify(struct session *s, size_t n)
{
	const struct pattern *pattern = s->pattern;

	if (unlikely(n > s->expected - s->received ||
		     memcmp(s->pool->buffer, pattern->bytes + s->in, n) != 0))
		return session_fail_verify(s, n);
	s->in = pattern_after(pattern, s->in, n);
	s->received += n;
	return INPUT_BYTES;
}

/* Both. */
static inline enum session_input session_receive(struct session *s, size_t most)
{
	size_t n = 0;
	enum session_input input = session_read(s, most, &n);

	return likely(input == INPUT_BYTES) ? session_verify(s, n) : input;
}

/* Counts an error, closes, and tells pool->lost(). */
void session_fail(struct session *s, enum stats_error kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for the -errno of a send, and for INPUT_END or INPUT_RESET where neither may be. */
void session_fail_send(struct session *s, int error);
void session_fail_input(struct session *s, enum session_input input);

/* A size in the plan's range. */
size_t session_size(struct session *s);

/* The request that an answer has to come for next. */
static inline struct request *session_first(struct session *s)
{
	return s->requests + s->first;
}

static inline struct request *session_push(struct session *s)
{
	unsigned place = s->first + s->under_way++;

	return s->requests + (place < s->depth ? place : place - s->depth);
}

static inline void session_pop(struct session *s)
{
	s->answered += session_first(s)->size;
	s->first = s->first + 1 == s->depth ? 0 : s->first + 1;
	s->under_way--;
}

#endif
