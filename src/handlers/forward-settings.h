/* SPDX-License-Identifier: MIT */
/*
 * The keys of the forward handler. The server owns a struct of this kind for each service, and
 * constant; any thread.
 */
#ifndef SIMPLE_SERVER_FORWARD_SETTINGS_H
#define SIMPLE_SERVER_FORWARD_SETTINGS_H

#include <stddef.h>

#include "simple-server.h"

enum forward_source {
	FORWARD_SOURCE_OWN,
	FORWARD_SOURCE_PEER,
};

enum forward_failure {
	FORWARD_RESET,
	FORWARD_CLOSE,
};

struct forward_settings {
	const char *target;
	int balance;                        /* enum forward_balance */
	int connect_timeout, connect_retry; /* ms, as all times */
	int proxy_protocol;                 /* the version; 0: none */
	int source;                         /* enum forward_source */
	int on_failure;                     /* enum forward_failure */
	int dead_time, resolve_every;
};

extern const struct ss_key forward_keys[];

/* check() of the handler. */
int forward_check(const void *settings, char *problem, size_t size);

#endif
