/* SPDX-License-Identifier: MIT */
/*
 * What goes out of a connection. A handler never waits: what the kernel does not take is queued,
 * within the limits of the service and of the process, and goes out when the kernel reports room.
 */
#include <errno.h>

#include "blob.h"
#include "connection-private.h"
#include "syscall.h"

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
		connection_fail_errno(c, (int)-n);
	return n > 0 ? (size_t)n : 0;
}

static void account(struct ss_connection *c, int64_t bytes)
{
	atomic_fetch_add_explicit(&c->service->capacity->output, bytes, memory_order_relaxed);
}

void connection_consume(struct ss_connection *c, struct buffer **queue, size_t length)
{
	buffer_consume(queue, length);
	account(c, -(int64_t)length);
	connection_moved(c);
}

void connection_drop(struct ss_connection *c, struct buffer **queue)
{
	if (*queue)
		connection_consume(c, queue, buffer_size(*queue));
}

void connection_forget_output(struct ss_connection *c, struct buffer **queue)
{
	account(c, -(int64_t)buffer_size(*queue));
	buffer_free(queue);
}

static bool may_queue(const struct ss_connection *c, const struct buffer *queue, size_t length)
{
	const struct capacity *capacity = c->service->capacity;
	int64_t in_all = atomic_load_explicit(&capacity->output, memory_order_relaxed);

	return (int64_t)(buffer_size(queue) + length) <= c->service->section->limits.output &&
	       in_all + (int64_t)length <= capacity->max_output;
}

int connection_queue(struct ss_connection *c, struct buffer **queue, const void *bytes,
		     size_t length)
{
	bool first = !*queue;

	if (!may_queue(c, *queue, length)) {
		connection_fail(c, SS_OUTPUT_FULL);
		return -ENOBUFS;
	}
	if (buffer_append(queue, bytes, length) < 0) {
		connection_fail(c, SS_NO_MEMORY);
		return -ENOMEM;
	}
	account(c, (int64_t)length);
	if (first) {
		connection_note(c);
		connection_moved(c);
		connection_watch(c);
	}
	return 0;
}

int connection_restore_output(struct ss_connection *c, struct buffer **queue, const void *bytes,
			      size_t length)
{
	int r = buffer_append(queue, bytes, length);

	if (r == 0)
		account(c, (int64_t)length);
	return r;
}

void connection_tell_writable(struct ss_connection *c)
{
	if (c->flags & WANTS) {
		c->flags &= (uint16_t)~WANTS;
		connection_note(c);
	}
	if (!(c->flags & (FAILED | CLOSING)) && c->service->handler->writable)
		c->service->handler->writable(c);
}

void connection_flush(struct ss_connection *c)
{
	c->source.events &= ~(uint32_t)EPOLLOUT;
	while (c->output) {
		size_t sent = send_some(c, buffer_bytes(c->output), buffer_size(c->output));
		if (sent == 0)
			return;
		connection_consume(c, &c->output, sent);
	}
	connection_note(c);
	connection_tell_writable(c);
	if (c->input && ss_ready(c))
		connection_deliver_waiting(c);
}

/* After a send() with the result `n`, less than all. What is left is tried once more, then queued.
 */
static slow_path int write_rest(struct ss_connection *c, const unsigned char *bytes, size_t length,
				ssize_t n)
{
	size_t done = n > 0 ? (size_t)n : 0;

	if (n < 0 && n != -EAGAIN && n != -EINTR) {
		connection_fail_errno(c, (int)-n);
		return (int)n;
	}
	c->bytes_out += done;
	if (!c->output)
		done += send_some(c, bytes + done, length - done);
	if (c->flags & FAILED)
		return -ECONNRESET;
	return done == length ? 0 : connection_queue(c, &c->output, bytes + done, length - done);
}

/*
 * Nothing can be sent any more. After ss_close() that is a mistake; after a failure, or where the
 * server ends the connection, it is not.
 */
static slow_path int refuse(struct ss_connection *c, const char *call)
{
	if (!connection_is_own(c))
		connection_foreign_call(c, call);
	else if (c->flags & ENDED)
		connection_misuse(c, "%s() in close()", call);
	else if (!(c->flags & FAILED) && connection_is_wished(c))
		connection_misuse(c, "%s() after ss_close()", call);
	return -EPIPE;
}

int ss_write(struct ss_connection *c, const void *bytes, size_t length)
{
	if (unlikely(!connection_is_own(c) || c->flags & (CLOSING | FAILED)))
		return refuse(c, "ss_write");
	if (unlikely(c->output))
		return connection_queue(c, &c->output, bytes, length);
	ssize_t n = sys_send(c->source.fd, bytes, length);
	if (unlikely(n != (ssize_t)length))
		return write_rest(c, bytes, length, n);
	c->bytes_out += length;
	return 0;
}

/* The peer takes no more: there will be an edge, and until then the time-out of writing runs. */
static void want_room(struct ss_connection *c)
{
	c->flags |= WANTS;
	connection_note(c);
	c->source.events &= ~(uint32_t)EPOLLOUT;
	connection_watch(c);
}

size_t ss_send_blob(struct ss_connection *c, const struct ss_blob *blob, size_t offset,
		    size_t length)
{
	if (!connection_is_own(c) || c->flags & (CLOSING | FAILED)) {
		refuse(c, "ss_send_blob");
		return 0;
	}
	if (!blob_has(blob, offset, length)) {
		connection_misuse(c, "ss_send_blob() of %zu bytes from %zu, beyond the end", length,
				  offset);
		connection_fail(c, SS_MISUSE);
		return 0;
	}
	ssize_t n = c->output ? -EAGAIN : blob_send(blob, c->source.fd, offset, length);
	if (n < 0 && n != -EAGAIN)
		connection_fail_errno(c, (int)-n);
	if (n > 0) {
		c->bytes_out += (uint64_t)n;
		connection_moved(c);
	}
	if (n != (ssize_t)length)
		want_room(c);
	return n > 0 ? (size_t)n : 0;
}

void ss_want_writable(struct ss_connection *c)
{
	if (!connection_is_own(c)) {
		connection_foreign_call(c, "ss_want_writable");
		return;
	}
	c->flags |= WANTS;
	connection_note(c);
	c->source.events |= EPOLLOUT;
	loop_again(c->set->loop, &c->source);
}
