/* SPDX-License-Identifier: MIT */
/*
 * The line that `systemctl status` shows: connections, the pool, what handlers count. Main's
 * thread.
 */
#ifndef SIMPLE_SERVER_STATUS_H
#define SIMPLE_SERVER_STATUS_H

#include <stdint.h>

#include "pool.h"
#include "service.h"
#include "worker.h"

/* What does not fit is left out at its end. */
#define STATUS_MAX 1024

struct status {
	const char *verb; /* "Serving", ... */
	const struct services *services;
	size_t n_sockets;
	int left_s; /* until the next step of the end; -1: it does not end */
	const struct workers *workers;
	struct pool *pool; /* NULL: there is none */
	const char *note;  /* what else there is to say; "" for nothing */
};

/* Returns `out`. */
const char *status_format(char out[STATUS_MAX], const struct status *status);

uint64_t status_accepted(const struct services *services);

#endif
