/* SPDX-License-Identifier: MIT */
/*
 * A service: one section of the file with its handler found, its limits and its counts. Several
 * listeners may feed one service. Made at the start by main's thread; the counts any thread may
 * touch: where a connection comes and where it ends, never for a read or a write.
 *
 * The section is the only thing that a reload changes, and what follows from it. It is constant
 * itself; main's thread puts another in its place, and the one before it is released when every
 * worker has been between two callbacks since (reload.c). So whoever takes it from here may use it
 * until he returns to his loop, and takes it once where two answers have to agree.
 *
 * What a connection was counted by may not be what counts now. So sections have an epoch, 0 and 1
 * in turn, and a connection has that of the section under which it is counted, until it is moved:
 * service_recount(). There is no reload before all of them were, so two are enough.
 *
 * A connection is let in in three steps: service_reserve(), before accept() so that what does not
 * fit stays in the backlog, or after it where at_limit is to refuse; service_admit() when its
 * address is known; service_left() when it has ended.
 */
#ifndef SIMPLE_SERVER_SERVICE_H
#define SIMPLE_SERVER_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "handler.h"
#include "module.h"
#include "peer.h"
#include "report.h"
#include "settings.h"
#include "sources.h"

/* What all services share. */
struct capacity {
	_Atomic unsigned max_connections;
	unsigned pipes;             /* that each worker may have */
	_Atomic int64_t max_output; /* bytes */
	_Alignas(64) _Atomic unsigned connections;
	_Atomic bool full;      /* somebody waits for a connection of any service to end */
	_Atomic int64_t output; /* bytes queued for all connections */
};

enum service_verdict {
	SERVICE_ADMITTED,
	SERVICE_DENIED,     /* access */
	SERVICE_TOO_MANY,   /* connections of this source */
	SERVICE_TOO_FAST,   /* new connections of this source */
	SERVICE_FULL,       /* connections in all, where at_limit = "refuse" */
	SERVICE_NO_PROXY,   /* none of the proxies that may connect */
	SERVICE_BAD_HEADER, /* of the PROXY protocol, or none in time */
	SERVICE_VERDICTS,
};

/* Who counts the sources of the connections of an epoch. */
struct service_sources {
	struct sources *table; /* NULL: there is no limit by source */
	struct source_limits limits;
	size_t room; /* of the table */
};

/* A socket option that a reload has changed, for the connections that are there. */
struct service_option {
	const struct sockopt *row;
	struct sockopt_value value;
	bool restored; /* the value is one that was read, from before any file */
};

struct service {
	_Atomic(const struct settings_socket *) section;
	const struct ss_handler *handler;
	const char *name; /* of the section, and of all that come after it; owned */
	struct capacity *capacity;
	struct service_sources sources[2]; /* by epoch */
	_Atomic unsigned max_connections;
	unsigned index; /* in `services` */
	bool started;   /* stop() of the handler is due */
	void *state;    /* the handler's */

	/* Main's, while it reloads. */
	struct settings *settings;      /* one reference: `section` is in it */
	struct settings_socket *next;   /* is about to take the place of `section` */
	struct settings *former;        /* one reference: what some worker may still use */
	struct service_option *changes; /* owned; constant while there are connections to change */
	size_t n_changes;
	struct settings_socket *lent; /* its handler_settings belong to `section` now */

	_Alignas(64) _Atomic unsigned open;
	_Atomic bool full; /* somebody waits for a connection to end */
	_Atomic uint64_t accepted;
	_Atomic uint64_t turned_away[SERVICE_VERDICTS];
	_Atomic uint64_t bytes_in, bytes_out;
	pthread_mutex_t rate_lock; /* guards `rate` */
	struct bucket rate;
};

struct services {
	struct settings *settings; /* one reference */
	struct capacity *capacity; /* owned */
	struct service *list;
	size_t count;
};

/* For settings_load(): the handlers exist, modules in `place`, and the options fit them. */
struct settings_hooks services_hooks(const struct module_place *place);

/*
 * Makes a service of each section; the settings were loaded with services_hooks(). `files` is how
 * many descriptors the process may have, of which `reserved` are not for connections: limits that
 * cannot hold are added to `report`. Takes its own reference to the settings. 0 or -ENOMEM.
 */
int services_init(struct services *services, struct settings *settings, unsigned files,
		  unsigned reserved, struct report *report);

/*
 * Parts of that which a reload needs again. Limits that cannot hold are added to `report`; how many
 * connections there may be in all, and of a section; options that do not fit a handler are taken
 * back; sources are counted for so many connections: 0 or -errno.
 */
unsigned services_check_limits(const struct settings *settings, unsigned files, unsigned reserved,
			       struct report *report);
unsigned service_max(const struct settings_socket *section, unsigned max_in_all);
void service_fit_options(const struct settings_socket *section);
int service_sources_init(struct service_sources *sources, const struct settings_limits *limits,
			 unsigned connections);

/* Nobody uses any more what was there before the last reload. */
void service_release_former(struct service *service);

/*
 * Has the handlers make what their connections share: load() of each, then start() of each service;
 * what fails is added to `report`. Then services_stop() is due, when the last worker has gone.
 */
void services_start(const struct services *services, struct report *report);
void services_stop(const struct services *services);

void services_deinit(struct services *services);

/* By file descriptor name, or NULL. */
struct service *services_find(const struct services *services, const char *name);

/*
 * Counts one more connection; false if that is one too many. Then, unless at_limit is to refuse,
 * who asked waits: see service_take_full().
 */
bool service_reserve(struct service *service);

/* Takes the reservation back: nothing came, or it was not admitted. */
void service_unreserve(struct service *service);

/*
 * Takes one of limits.rate, given back if there is no connection for it; or says how many ms to
 * accept nothing.
 */
int64_t service_take_rate(struct service *service, int64_t now_ms);
void service_give_back_rate(struct service *service);

/* Whether this peer may have the connection that was reserved; any verdict but admitted is counted.
 */
enum service_verdict service_admit(struct service *service, const struct settings_socket *section,
				   const struct peer *peer, int64_t now_ms);

/* Counts a connection that was turned away before service_admit(). */
void service_turned_away(struct service *service, enum service_verdict verdict);

/* And says so in the journal; `detail` may be NULL. */
void service_log_turned_away(const struct service *service, const struct peer *peer,
			     enum service_verdict verdict, const char *detail);

/*
 * Counts a connection that another process had admitted, whatever the limits are now: what is too
 * much ends by itself. NULL for `peer` where that is not known yet. 0, or -ENOBUFS where the table
 * of sources is full. Then service_left() is due, or service_unreserve() without a peer.
 */
int service_take_over(struct service *service, const struct settings_socket *section,
		      const struct peer *peer);

/* Whether the connections of a section begin with a PROXY header. */
static inline bool service_has_proxies(const struct settings_socket *section)
{
	return section->proxies.n_prefixes > 0;
}

/* An admitted connection has ended; `epoch` is that of the section that counts it. */
void service_left(struct service *service, unsigned epoch, const struct peer *peer,
		  uint64_t bytes_in, uint64_t bytes_out);

/* An admitted connection of another epoch is counted by this one from now on. */
void service_recount(struct service *service, unsigned epoch, const struct peer *peer);

/*
 * There is room again: whether anybody waits for it since service_reserve() said no. Asked once,
 * the answer is no again.
 */
bool service_take_full(struct service *service);

/* timeouts.idle, less of it when the service or the process is more than three quarters full. */
int service_idle_ms(const struct service *service);

/* The service as its handler sees it. */
static inline struct ss_service *service_public(struct service *service)
{
	return (struct ss_service *)service;
}

/* denied, too-many, ... */
const char *service_verdict_name(enum service_verdict verdict);

#endif
