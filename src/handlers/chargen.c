/* SPDX-License-Identifier: MIT */
/*
 * chargen, RFC 864: lines of 72 of the 95 printable ASCII characters, each line beginning one
 * character further, without end. What the peer sends is thrown away; that it has finished sending
 * says nothing about how long it wants to read, so only a connection that is closed or broken ends.
 *
 * A connection is a place in the text. After PERIOD bytes the text repeats itself, so that one blob
 * of whole periods serves all connections; the state pointer holds the place itself.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "simple-server.h"

#define RING   95 /* ' ' to '~' */
#define COLUMN 72
#define LINE   (COLUMN + 2) /* CR LF */
#define PERIOD ((size_t)RING * LINE)

/*
 * The share of one turn, a quarter of a MiB: a smaller one costs more calls for the same bytes, and
 * a larger one saves nothing more and lets the other connections of the thread wait.
 */
#define BLOB_SIZE (PERIOD * 37)

static struct ss_blob *text; /* made once, then only read: for all threads */

static char character(size_t place)
{
	size_t line = place / LINE, column = place % LINE;

	if (column < COLUMN)
		return (char)(' ' + (line + column) % RING);
	return column == COLUMN ? '\r' : '\n';
}

static int chargen_load(void)
{
	char *bytes = malloc(BLOB_SIZE);

	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < BLOB_SIZE; i++)
		bytes[i] = character(i);
	text = ss_blob_new(bytes, BLOB_SIZE);
	int r = text ? 0 : -errno;
	free(bytes);
	return r;
}

/* One share. Where the peer takes less, there is no turn to ask for: writable() comes by itself. */
static void chargen_send(struct ss_connection *connection)
{
	size_t place = (uintptr_t)ss_state(connection);
	size_t sent = ss_send_blob(connection, text, place, BLOB_SIZE - place);

	ss_set_state(connection, (void *)(uintptr_t)((place + sent) % PERIOD));
	if (place + sent == BLOB_SIZE)
		ss_want_writable(connection);
}

static int chargen_open(struct ss_connection *connection)
{
	ss_discard(connection);
	chargen_send(connection);
	return 0;
}

/* Required of every handler; after ss_discard() it is not called. */
static size_t chargen_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	(void)connection;
	(void)bytes;
	return length;
}

/* Present because without it the server would answer the peer's end with ours. */
static void chargen_eof(struct ss_connection *connection)
{
	(void)connection;
}

/* The place is all. What the server knows goes along: that input is dropped, that there is more. */
static int chargen_freeze(struct ss_connection *connection, void *state, size_t size,
			  size_t *ret_length)
{
	uint32_t place = (uint32_t)(uintptr_t)ss_state(connection);

	(void)size;
	memcpy(state, &place, sizeof(place));
	*ret_length = sizeof(place);
	return 0;
}

static int chargen_thaw(struct ss_connection *connection, const void *state, size_t length)
{
	uint32_t place;

	if (length != sizeof(place))
		return -EINVAL;
	memcpy(&place, state, sizeof(place));
	if (place >= PERIOD)
		return -EINVAL;
	ss_set_state(connection, (void *)(uintptr_t)place);
	return 0;
}

const struct ss_handler chargen_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "chargen",
	.flags = SS_SPEAKS_FIRST,
	.load = chargen_load,
	.open = chargen_open,
	.data = chargen_data,
	.writable = chargen_send,
	.eof = chargen_eof,
	.freeze = chargen_freeze,
	.thaw = chargen_thaw,
};
