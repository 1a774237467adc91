/* SPDX-License-Identifier: MIT */
/* Its key is a member that its settings have no room for. */
#include "simple-server.h"

struct bad {
	int first, second;
};

static const struct ss_key keys[] = {
	SS_INTEGER(struct bad, second, 0, 10, 5, "", "beyond the end"),
	SS_NO_MORE_KEYS,
};

static size_t bad_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	(void)connection;
	(void)bytes;
	return length;
}

static const struct ss_handler handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "bad-keys",
	.keys = keys,
	.settings_size = sizeof(int),
	.data = bad_data,
};

SS_MODULE(handler);
