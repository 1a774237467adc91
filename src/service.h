/* SPDX-License-Identifier: MIT */
/*
 * A service: one section of the file with its handler found, and the counts of its connections.
 * Several listeners may feed one service. Made at the start by main's thread; afterwards constant
 * but for the counts, which any thread may touch.
 */
#ifndef SIMPLE_SERVER_SERVICE_H
#define SIMPLE_SERVER_SERVICE_H

#include <stdatomic.h>
#include <stdint.h>

#include "handler.h"
#include "report.h"
#include "settings.h"

struct service {
	const struct settings_socket *section; /* name, options, time-outs; of the settings below */
	const struct ss_handler *handler;
	/* Written where a connection comes and where it ends, never for a read or a write. */
	_Alignas(64) _Atomic uint64_t accepted;
	_Atomic uint64_t ended;
	_Atomic uint64_t bytes_in, bytes_out;
};

struct services {
	struct settings *settings; /* one reference */
	struct service *list;
	size_t count;
};

/* For settings_load(): the handler exists, and the options fit it. */
void services_check(const struct settings_socket *section, struct report *report);

/*
 * Makes a service of each section; the settings were loaded with services_check(). Takes its own
 * reference to them. 0 or -ENOMEM.
 */
int services_init(struct services *services, struct settings *settings);
void services_deinit(struct services *services);

/* By file descriptor name, or NULL. */
struct service *services_find(const struct services *services, const char *name);

#endif
