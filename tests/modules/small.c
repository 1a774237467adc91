/* SPDX-License-Identifier: MIT */
/* A good module that calls nothing, so that it can be loaded into a program without the server. */
#include "simple-server.h"

static size_t small_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	(void)connection;
	(void)bytes;
	return length;
}

static const struct ss_handler handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "small",
	.data = small_data,
};

SS_MODULE(handler);
