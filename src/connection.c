/* SPDX-License-Identifier: MIT */
/*
 * See connection.h. What always holds between two turns of a connection:
 * - source.events has one of READABLE exactly when another recv() may tell something new;
 * - `output` is empty, or the kernel takes no more and EPOLLOUT will come: a short send() has told
 * it to report room. While it is not empty the connection is not read;
 * - a connection that may go on without a new edge is on the loop's list to be called again.
 *
 * The registration is edge-triggered in both directions and never changed. A read that does not
 * fill the buffer has emptied the socket, which saves the recv() that would say EAGAIN. Two things
 * end a read early and make no edge of their own for what is behind them: the end of the stream and
 * the mark of urgent data. While EPOLLRDHUP or EPOLLPRI is known, a short read proves nothing.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include "connection.h"
#include "journal.h"
#include "syscall.h"

#define CONNECTION_MASK (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | (uint32_t)EPOLLET)
#define ENDING          ((uint32_t)(EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
#define READABLE        ((uint32_t)EPOLLIN | ENDING)
#define WRITABLE        ((uint32_t)(EPOLLOUT | EPOLLHUP | EPOLLERR))

#define READS_PER_TURN 4     /* 256 KiB; then it is another connection's turn */
#define LINGER_BYTES   65536 /* dropped after the polite close; who sends more is reset */

enum connection_flags {
	OPENED = 1 << 0,   /* a member; open() has returned 0 */
	CLOSING = 1 << 1,  /* no more callbacks but close(); there is no input any more */
	FAILED = 1 << 2,   /* to be ended at the end of this turn, for `reason` */
	EOF_SEEN = 1 << 3, /* recv() has returned 0 */
	SHUT = 1 << 4,     /* our FIN is out: dropping what still comes */
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
	int64_t began; /* loop time, ms */
	struct peer peer;
	uint16_t flags;
	uint8_t reason; /* enum ss_reason */
};

/* Memory of an idle connection: this and malloc's header of 8 bytes, rounded up to 16. */
_Static_assert(sizeof(struct ss_connection) <= 168, "an idle connection has grown");

static _Atomic uint64_t last_id;

static void fail(struct ss_connection *c, enum ss_reason reason)
{
	if (c->flags & FAILED)
		return;
	c->flags |= FAILED;
	c->reason = (uint8_t)reason;
}

static slow_path void fail_errno(struct ss_connection *c, int error)
{
	switch (error) {
	case ECONNRESET:
	case EPIPE:
		fail(c, SS_RESET);
		break;
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
		fail(c, SS_PEER_TIMEOUT);
		break;
	case ENOMEM:
	case ENOBUFS:
		fail(c, SS_NO_MEMORY);
		break;
	default:
		fail(c, SS_ERROR);
	}
}

static void log_end(const struct ss_connection *c, int64_t duration_ms)
{
	char peer[PEER_MAX];
	const struct settings_socket *section = c->service->section;

	if (!section->log_connections || !journal_admit(JOURNAL_CONNECTION))
		return;
	struct journal_fields fields = {
		.socket = section->name,
		.handler = c->service->handler->name,
		.peer = peer_format(peer, &c->peer),
		.reason = connection_reason_name(c->reason),
		.connection = c->id,
		.bytes_in = c->bytes_in,
		.bytes_out = c->bytes_out,
		.duration_us = (uint64_t)duration_ms * 1000,
	};
	journal_log(JOURNAL_CONNECTION, LOG_INFO, &fields,
		    "%s: connection %llu from %s ended: %s; %llu bytes in, %llu out, %.3f s",
		    fields.socket, (unsigned long long)c->id, peer, fields.reason,
		    (unsigned long long)c->bytes_in, (unsigned long long)c->bytes_out,
		    (double)duration_ms / 1000);
}

static void release(struct loop_source *source)
{
	free(container_of(source, struct ss_connection, source));
}

/* The only place where a connection ends: EPOLL_CTL_DEL first, memory after the batch. */
static void end(struct ss_connection *c, enum ss_reason reason)
{
	struct connection_set *set = c->set;
	int fd = c->source.fd;

	c->reason = (uint8_t)reason;
	if (c->flags & OPENED && c->service->handler->close)
		c->service->handler->close(c, reason);
	log_end(c, set->loop->now - c->began);
	loop_remove(set->loop, &c->source, release);
	close(fd);
	list_del(&c->member);
	buffer_free(&c->output);
	if (!(c->flags & CLOSING))
		buffer_free(&c->input);
	atomic_fetch_add_explicit(&c->service->bytes_in, c->bytes_in, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->service->bytes_out, c->bytes_out, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->service->ended, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&set->count, 1, memory_order_relaxed);
	if (set->ended)
		set->ended(set);
}

/* Gives all that waits in c->input to the handler, and takes out what it consumed. */
static void deliver_waiting(struct ss_connection *c)
{
	size_t waiting = buffer_size(c->input);
	size_t used = c->service->handler->data(c, buffer_bytes(c->input), waiting);

	assert(used <= waiting);
	if (c->flags & CLOSING)
		return;
	if (used == 0 && waiting >= SS_INPUT_MAX)
		fail(c, SS_INPUT_FULL);
	buffer_consume(&c->input, used);
}

/* `used` of the bytes are done with; or there was already input that waits, and they go behind it.
 */
static slow_path void deliver_rest(struct ss_connection *c, const unsigned char *bytes,
				   size_t length, size_t used)
{
	bool waited = c->input != NULL;

	assert(used <= length);
	if (buffer_append(&c->input, bytes + used, length - used) < 0)
		fail(c, SS_NO_MEMORY);
	else if (waited)
		deliver_waiting(c);
}

static void deliver(struct ss_connection *c, const unsigned char *bytes, size_t length)
{
	size_t used = likely(!c->input) ? c->service->handler->data(c, bytes, length) : 0;

	if (unlikely(used != length) && !(c->flags & CLOSING))
		deliver_rest(c, bytes, length, used);
}

static void deliver_eof(struct ss_connection *c)
{
	if (c->flags & EOF_SEEN)
		return;
	c->flags |= EOF_SEEN;
	if (c->flags & CLOSING)
		return;
	if (c->service->handler->eof)
		c->service->handler->eof(c);
	else
		ss_close(c);
}

static slow_path void drop(struct ss_connection *c, size_t length)
{
	c->dropped += length;
	if (c->dropped > LINGER_BYTES)
		fail(c, SS_LINGER_TIMEOUT);
}

/* recv() gave no bytes: the end (0), nothing for now, or an error (-errno). */
static slow_path void read_nothing(struct ss_connection *c, ssize_t n)
{
	if (n == 0 || n == -EAGAIN)
		c->source.events &= ~READABLE;
	if (n == 0)
		deliver_eof(c);
	else if (n != -EAGAIN && n != -EINTR)
		fail_errno(c, (int)-n);
}

static inline void read_once(struct ss_connection *c)
{
	unsigned char *input = c->set->input;
	ssize_t n = sys_recv(c->source.fd, input, CONNECTION_READ_SIZE);

	if (unlikely(n <= 0)) {
		read_nothing(c, n);
		return;
	}
	if (likely(n < CONNECTION_READ_SIZE && !(c->source.events & ENDING)))
		c->source.events &= ~READABLE;
	c->bytes_in += (uint64_t)n;
	if (likely(!(c->flags & CLOSING)))
		deliver(c, input, (size_t)n);
	else
		drop(c, (size_t)n);
}

/* How many bytes the kernel took; 0 also after an error, which is noted. */
static size_t send_some(struct ss_connection *c, const void *bytes, size_t length)
{
	ssize_t n;

	do
		n = sys_send(c->source.fd, bytes, length);
	while (n == -EINTR);
	if (n > 0)
		c->bytes_out += (uint64_t)n;
	else if (n < 0 && n != -EAGAIN)
		fail_errno(c, (int)-n);
	return n > 0 ? (size_t)n : 0;
}

static void flush(struct ss_connection *c)
{
	c->source.events &= ~(uint32_t)EPOLLOUT;
	while (c->output) {
		size_t sent = send_some(c, buffer_bytes(c->output), buffer_size(c->output));
		if (sent == 0)
			return;
		buffer_consume(&c->output, sent);
	}
	if (!(c->flags & CLOSING) && c->service->handler->writable)
		c->service->handler->writable(c);
	if (!(c->flags & (FAILED | CLOSING)) && c->input && !c->output)
		deliver_waiting(c);
}

/* Our FIN goes out; then the peer has its time to finish. */
static void shut(struct ss_connection *c)
{
	c->flags |= SHUT;
	shutdown(c->source.fd, SHUT_WR);
	loop_arm(c->set->loop, &c->source, c->service->section->linger_ms);
}

/* It has failed or is closing: the next step towards the end. */
static slow_path void settle(struct ss_connection *c)
{
	if (c->flags & FAILED || (!c->output && c->flags & EOF_SEEN))
		end(c, c->reason);
	else if (!c->output && !(c->flags & SHUT))
		shut(c);
}

/* No more callbacks; queued bytes still go out. */
static void begin_close(struct ss_connection *c, enum ss_reason reason)
{
	if (c->flags & CLOSING)
		return;
	buffer_free(&c->input);
	c->dropped = 0;
	c->flags |= CLOSING;
	c->reason = (uint8_t)reason;
	loop_again(c->set->loop, &c->source); /* it may not be its turn now */
}

/* The first event, in the thread that owns the connection from now on. */
static void join(struct ss_connection *c)
{
	const struct ss_handler *handler = c->service->handler;

	list_add_tail(&c->set->members, &c->member);
	c->began = c->set->loop->now;
	if (handler->open && handler->open(c) < 0) {
		fail(c, SS_REFUSED);
		return;
	}
	c->flags |= OPENED;
	if (c->set->finishing)
		begin_close(c, SS_DRAIN);
}

static void expired(struct ss_connection *c)
{
	c->source.events &= ~LOOP_EXPIRED;
	fail(c, c->reason == SS_DRAIN ? SS_DRAIN : SS_LINGER_TIMEOUT);
}

static bool may_read(const struct ss_connection *c)
{
	return c->source.events & READABLE && !c->output && !(c->flags & FAILED);
}

/* What there is to do before reading, seldom anything; and whether there is reading to do then. */
static slow_path bool prepare(struct ss_connection *c)
{
	if (!(c->flags & OPENED))
		join(c);
	if (c->source.events & LOOP_EXPIRED)
		expired(c);
	if (c->output && c->source.events & WRITABLE && !(c->flags & FAILED))
		flush(c);
	return may_read(c);
}

/* One read has not emptied the socket. What is left after its share waits for the next turn. */
static slow_path void read_more(struct ss_connection *c)
{
	for (int reads = 1; reads < READS_PER_TURN && may_read(c); reads++)
		read_once(c);
	if (may_read(c))
		loop_again(c->set->loop, &c->source);
}

static void on_ready(struct loop *loop, struct loop_source *source)
{
	struct ss_connection *c = container_of(source, struct ss_connection, source);
	bool special = !(c->flags & OPENED) || c->output || source->events & LOOP_EXPIRED;

	(void)loop;
	if (unlikely(special) ? prepare(c) : source->events & READABLE) {
		read_once(c);
		if (unlikely(source->events & READABLE))
			read_more(c);
	}
	if (unlikely(c->flags & (FAILED | CLOSING)))
		settle(c);
}

/* After a send() that took `sent` of the bytes, and maybe had an error: the rest is tried, then
 * queued. */
static slow_path int write_rest(struct ss_connection *c, const unsigned char *bytes, size_t length,
				ssize_t sent)
{
	size_t done = sent > 0 ? (size_t)sent : 0;

	c->bytes_out += done;
	if (!c->output && done < length)
		done += send_some(c, bytes + done, length - done); /* brings the error, or EAGAIN */
	if (c->flags & FAILED)
		return -ECONNRESET;
	if (buffer_append(&c->output, bytes + done, length - done) < 0) {
		fail(c, SS_NO_MEMORY);
		return -ENOMEM;
	}
	return 0;
}

int ss_write(struct ss_connection *c, const void *bytes, size_t length)
{
	if (unlikely(c->flags & (CLOSING | FAILED)))
		return -EPIPE;
	if (unlikely(c->output))
		return write_rest(c, bytes, length, 0);
	ssize_t n = sys_send(c->source.fd, bytes, length);
	if (unlikely(n != (ssize_t)length))
		return write_rest(c, bytes, length, n);
	c->bytes_out += length;
	return 0;
}

size_t ss_queued(const struct ss_connection *c)
{
	return buffer_size(c->output);
}

void ss_close(struct ss_connection *c)
{
	begin_close(c, c->flags & EOF_SEEN ? SS_PEER_CLOSED : SS_HANDLER_CLOSED);
}

void ss_set_state(struct ss_connection *c, void *state)
{
	c->state = state;
}

void *ss_state(const struct ss_connection *c)
{
	return c->state;
}

int connection_set_init(struct connection_set *set, struct loop *loop)
{
	*set = (struct connection_set){ .loop = loop, .input = malloc(CONNECTION_READ_SIZE) };
	list_init(&set->members);
	return set->input ? 0 : -ENOMEM;
}

void connection_set_deinit(struct connection_set *set)
{
	free(set->input);
	set->input = NULL;
}

/* An event finds the connection complete: everything is set before it is added. */
int connection_place(struct connection_set *set, struct service *service, int fd,
		     const struct peer *peer)
{
	struct ss_connection *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	loop_source_init(&c->source, fd, on_ready);
	list_init(&c->member);
	c->set = set;
	c->service = service;
	c->peer = *peer;
	c->id = 1 + atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&set->count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&service->accepted, 1, memory_order_relaxed);
	int r = loop_add(set->loop, &c->source, CONNECTION_MASK);
	if (r < 0) {
		atomic_fetch_sub_explicit(&set->count, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&service->accepted, 1, memory_order_relaxed);
		close(fd);
		free(c);
	}
	return r;
}

void connection_set_finish(struct connection_set *set)
{
	set->finishing = true;
	list_for_each (l, &set->members) {
		struct ss_connection *c = container_of(l, struct ss_connection, member);
		begin_close(c, SS_DRAIN);
		loop_arm(set->loop, &c->source, c->service->section->linger_ms);
	}
}

void connection_set_abort(struct connection_set *set)
{
	set->finishing = true;
	while (!list_empty(&set->members))
		end(container_of(set->members.next, struct ss_connection, member), SS_DRAIN);
}

const char *connection_reason_name(enum ss_reason reason)
{
	static const char *const names[] = {
		[SS_PEER_CLOSED] = "peer-closed",
		[SS_HANDLER_CLOSED] = "handler-closed",
		[SS_LINGER_TIMEOUT] = "linger-timeout",
		[SS_RESET] = "reset",
		[SS_PEER_TIMEOUT] = "peer-timeout",
		[SS_REFUSED] = "refused",
		[SS_INPUT_FULL] = "input-full",
		[SS_NO_MEMORY] = "no-memory",
		[SS_DRAIN] = "drain",
		[SS_ERROR] = "error",
	};

	return names[reason];
}
