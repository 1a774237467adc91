/* SPDX-License-Identifier: MIT */
/*
 * A listener: a socket that systemd bound, joined to the service of its name, with the options of
 * the file applied and read back. PID 1 and the next process share the socket: it is never shut
 * down, its path never unlinked; closing our descriptor is all that is done to it.
 *
 * Made by main's thread before the workers start; then constant, and listener_accept() is for any
 * thread.
 */
#ifndef SIMPLE_SERVER_LISTENER_H
#define SIMPLE_SERVER_LISTENER_H

#include <stdbool.h>
#include <stdio.h>

#include "peer.h"
#include "report.h"
#include "service.h"

struct listener {
	int fd; /* owned */
	enum sockopt_family family;
	struct service *service;
	char address[PEER_ADDRESS_MAX];
	const struct sockopt **per_connection; /* owned: options that accept() does not hand down */
	size_t n_per_connection;
	_Atomic int64_t paused_logged; /* loop time of the last "paused" entry, ms */
	_Atomic unsigned paused_count; /* pauses since then */
};

struct listeners {
	struct listener *list;
	size_t count;
};

/*
 * Takes over `fd`, which systemd passed as `name`, when it is a listening stream socket of a family
 * that can be served and its name has a section. Otherwise it says why in `report`, leaves the fd
 * alone and returns -EINVAL. `unknown_ok`: a name without a section is no error, the fd is left
 * out; 0.
 */
int listeners_add(struct listeners *listeners, int fd, const char *name,
		  const struct services *services, bool unknown_ok, struct report *report);

/*
 * Holds all listeners against the file: options that were to be set before bind(), options that fit
 * none of a section's sockets, and (unless `unknown_ok`) sections without a socket. Changes
 * nothing.
 */
void listeners_check(const struct listeners *listeners, const struct services *services,
		     bool unknown_ok, struct report *report);

/*
 * Makes all listeners ready: non-blocking, close-on-exec, with the options of the file; what cannot
 * be set is added to `report`.
 */
void listeners_apply(struct listeners *listeners, struct report *report);

/* For each listener its address and what the kernel says of every option that fits it. */
void listeners_dump(const struct listeners *listeners, FILE *out);

void listeners_deinit(struct listeners *listeners);

/*
 * The next connection: its fd (non-blocking, close-on-exec, options set) and its peer, or -errno of
 * accept4().
 */
int listener_accept(const struct listener *listener, struct peer *ret_peer);

#endif
