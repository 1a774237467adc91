/* SPDX-License-Identifier: MIT */
/*
 * Room is made by doubling, and by moving the waiting bytes to the front once at least half of the
 * room has been consumed: each byte is moved a constant number of times.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"

#define BUFFER_MIN 512

static struct buffer *make_room(struct buffer *queue, size_t length)
{
	/* Twice the room, also when less would do: else a nearly full queue is copied each time. */
	size_t size = buffer_size(queue), capacity = queue ? queue->capacity * 2 : BUFFER_MIN;

	if (length > SIZE_MAX / 4 - size)
		return NULL;
	while (capacity < size + length)
		capacity *= 2;
	struct buffer *larger = malloc(sizeof(*larger) + capacity);
	if (!larger)
		return NULL;
	larger->capacity = capacity;
	larger->start = 0;
	larger->end = size;
	if (size)
		memcpy(larger->bytes, buffer_bytes(queue), size);
	free(queue);
	return larger;
}

static void move_to_front(struct buffer *queue)
{
	memmove(queue->bytes, queue->bytes + queue->start, buffer_size(queue));
	queue->end -= queue->start;
	queue->start = 0;
}

int buffer_append(struct buffer **queue, const void *bytes, size_t length)
{
	struct buffer *q = *queue;

	if (length == 0)
		return 0;
	if (q && length > q->capacity - q->end && q->start >= q->capacity / 2)
		move_to_front(q);
	if (!q || length > q->capacity - q->end) {
		q = make_room(q, length);
		if (!q)
			return -ENOMEM;
		*queue = q;
	}
	memcpy(q->bytes + q->end, bytes, length);
	q->end += length;
	return 0;
}

void buffer_consume(struct buffer **queue, size_t length)
{
	if (length < buffer_size(*queue))
		(*queue)->start += length;
	else
		buffer_free(queue);
}

void buffer_free(struct buffer **queue)
{
	free(*queue);
	*queue = NULL;
}
