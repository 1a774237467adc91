/* SPDX-License-Identifier: MIT */
/*
 * A listener: a socket that systemd bound, joined to the service of its name, with the options of
 * the file applied and read back. PID 1 and the next process share the socket: it is never shut
 * down, its path never unlinked; closing our descriptor is all that is done to it.
 *
 * Made by main's thread before the workers start; then constant but for the options, which a
 * reload changes, and listener_accept() is for any thread.
 */
#ifndef SIMPLE_SERVER_LISTENER_H
#define SIMPLE_SERVER_LISTENER_H

#include <stdbool.h>
#include <stdio.h>

#include "baseline.h"
#include "peer.h"
#include "report.h"
#include "service.h"

/* What is set on a connection. Constant. */
struct listener_options {
	size_t count;
	struct listener_option {
		const struct sockopt *row;
		struct sockopt_value value;
		bool inherited; /* accept() hands it down, but for who was there before it was set
				 */
	} list[];
};

struct listener {
	int fd; /* owned */
	enum sockopt_family family;
	struct service *service;
	char address[PEER_ADDRESS_MAX];
	_Atomic(const struct listener_options *) per_connection; /* owned; NULL: none yet */
	_Atomic int early; /* connections that may have been there before their options were */
	_Atomic int64_t paused_logged; /* loop time of the last "paused" entry, ms */
	_Atomic unsigned paused_count; /* pauses since then */

	/* Main's; owned. By row of sockopt_table: what was there before a file was applied, */
	struct sockopt_reading *unit;
	/* and while it reloads: before that; what will take the place of per_connection; and what
	   some worker may still use. */
	struct sockopt_reading *before;
	struct listener_options *next;
	const struct listener_options *former;
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
 * Takes what is remembered of the sockets for what their units had set, and has the rest of it
 * read, for the next time. Before an option is set. 0 or -ENOMEM.
 */
int listeners_remember(struct listeners *listeners, const struct baseline *baseline);

/*
 * Makes all listeners ready: non-blocking, close-on-exec, with the options of the file; what cannot
 * be set is added to `report`.
 */
void listeners_apply(struct listeners *listeners, struct report *report);

/*
 * The same in steps, from the sections that the services have to the next ones: sets the options,
 * then either keeps them or undoes all of it; and lets go of what workers may have used until then.
 */
void listeners_stage(struct listeners *listeners, struct report *report);
void listeners_commit(struct listeners *listeners);
void listeners_undo(struct listeners *listeners);
void listeners_release_former(struct listeners *listeners);

/*
 * What that means for the connections that a service has: makes service->changes; where no section
 * is coming, of all options that its section sets. An option that is taken back and was set on each
 * connection stays there. 0 or -ENOMEM.
 */
int listeners_find_changes(const struct listeners *listeners, struct service *service);

/*
 * For listener*.c: an option as a section has it; whether a family has this option; the end of what
 * is owned.
 */
struct settings_option listener_option_in(const struct settings_socket *section, size_t i);
bool listener_fits(const struct listener *listener, const struct sockopt *row);
void listener_free_options(struct listener *listener);

/*
 * For each listener its address, and for every option that fits it what the unit had, what the file
 * says and what the kernel has. After listeners_apply().
 */
void listeners_dump(const struct listeners *listeners, FILE *out);

void listeners_deinit(struct listeners *listeners);

/*
 * The next connection: its fd (non-blocking, close-on-exec, options set) and its peer, or -errno of
 * accept4().
 */
int listener_accept(struct listener *listener, struct peer *ret_peer);

#endif
