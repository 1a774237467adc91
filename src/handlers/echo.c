/* SPDX-License-Identifier: MIT */
/*
 * echo, RFC 862: whatever comes is sent back, until the peer has finished; the last bytes still go
 * out.
 */
#include "simple-server.h"

static size_t echo_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	ss_write(connection, bytes, length); /* an error ends the connection by itself */
	return length;
}

const struct ss_handler echo_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.flags = SS_STATELESS,
	.name = "echo",
	.data = echo_data,
};
