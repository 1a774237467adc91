/* SPDX-License-Identifier: MIT */
/*
 * discard, RFC 863: whatever comes is thrown away, and nothing is ever sent, until the peer has
 * finished.
 */
#include "simple-server.h"

static int discard_open(struct ss_connection *connection)
{
	ss_discard(connection);
	return 0;
}

/* Required of every handler; after ss_discard() it is not called. */
static size_t discard_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	(void)connection;
	(void)bytes;
	return length;
}

const struct ss_handler discard_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.flags = SS_STATELESS,
	.name = "discard",
	.open = discard_open,
	.data = discard_data,
};
