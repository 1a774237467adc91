/* SPDX-License-Identifier: MIT */
/* Echo; but a line with a "!" alone is the end of the process. */
#include <simple-server.h>
#include <stdlib.h>
#include <string.h>

static size_t poison_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	if (length == 2 && memcmp(bytes, "!\n", 2) == 0)
		abort();
	ss_write(connection, bytes, length);
	return length;
}

static const struct ss_handler poison_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "poison",
	.flags = SS_STATELESS,
	.data = poison_data,
};

SS_MODULE(poison_handler);
