/* SPDX-License-Identifier: MIT */
/* Built for an interface of another version. */
#include "simple-server.h"

static const struct ss_handler handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI + 1,
	.name = "bad-abi",
};

SS_MODULE(handler);
