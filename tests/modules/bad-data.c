/* SPDX-License-Identifier: MIT */
/* Has no data(). */
#include "simple-server.h"

static const struct ss_handler handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "bad-data",
};

SS_MODULE(handler);
