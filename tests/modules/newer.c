/* SPDX-License-Identifier: MIT */
/* Built with a header that has one more callback, which it does not use. */
#include "simple-server.h"

#ifndef USED
#define USED NULL
#endif

static size_t newer_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	(void)connection;
	(void)bytes;
	return length;
}

struct newer_handler {
	struct ss_handler handler;
	size_t (*more)(struct ss_connection *connection, const void *bytes, size_t length);
};

static const struct newer_handler newer = {
	.handler = {
		.size = sizeof(struct newer_handler),
		.abi = SS_ABI,
		.name = "newer",
		.data = newer_data,
	},
	.more = USED,
};

SS_MODULE(newer.handler);
