/* SPDX-License-Identifier: MIT */
/* Calls what no server has; that must not wait for the first connection. */
#include "simple-server.h"

void ss_not_there_yet(struct ss_connection *connection);

static size_t bad_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	(void)bytes;
	ss_not_there_yet(connection);
	return length;
}

static const struct ss_handler handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "bad-symbol",
	.data = bad_data,
};

SS_MODULE(handler);
