/* SPDX-License-Identifier: MIT */
/*
 * A byte queue: bytes are appended at the end and consumed from the front; what waits is always in
 * one piece. An empty queue is a NULL pointer and costs nothing, which is the state of nearly every
 * connection nearly always. Belongs to whoever owns the pointer; one thread.
 */
#ifndef SIMPLE_SERVER_BUFFER_H
#define SIMPLE_SERVER_BUFFER_H

#include <stddef.h>

struct buffer {
	size_t start, end, capacity; /* the bytes that wait: bytes[start .. end) */
	unsigned char bytes[];
};

/* Appends a copy of `length` bytes. 0 or -ENOMEM, and then the queue is as it was. */
int buffer_append(struct buffer **queue, const void *bytes, size_t length);

/* Removes `length` of the waiting bytes; a queue that becomes empty is freed. */
void buffer_consume(struct buffer **queue, size_t length);

void buffer_free(struct buffer **queue);

static inline size_t buffer_size(const struct buffer *queue)
{
	return queue ? queue->end - queue->start : 0;
}

/* The first waiting byte; only for a queue that is not empty. */
static inline const unsigned char *buffer_bytes(const struct buffer *queue)
{
	return queue->bytes + queue->start;
}

#endif
