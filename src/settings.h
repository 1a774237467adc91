/* SPDX-License-Identifier: MIT */
/*
 * The configuration file as a validated, immutable object. Loaded in one thread; then read by all,
 * without locks, until the last settings_unref().
 *
 * One table (settings-table.c) declares every key: scope, type, unit, range, default, help. It
 * gives the parser, the error messages, --dump and --list-options. Nothing is defaulted in silence:
 * an unknown key, a wrong type, a value out of range is an error with file:line.
 */
#ifndef SIMPLE_SERVER_SETTINGS_H
#define SIMPLE_SERVER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "access.h"
#include "report.h"
#include "sockopt.h"

struct ss_handler; /* simple-server.h */

/* Where a value comes from; `file` is NULL for a built-in default. */
struct settings_where {
	const char *file; /* owned by the settings */
	int line;
};

/* One socket option of a section. `set` false: the kernel's own value is left alone. */
struct settings_option {
	bool set;
	bool explicit; /* written in this very section, not in defaults and not built in */
	struct sockopt_value value;
	struct settings_where where;
};

/* What may be used at once, and how fast; where a key says so, 0 is no limit. */
struct settings_limits {
	int connections; /* 0: none but that of the process */
	bool refuse; /* too many: accept and close them, instead of leaving them in the backlog */
	int per_source; /* connections; 0: no limit */
	int source_prefix_v4, source_prefix_v6;
	int rate, burst;               /* new connections a second, 0: any; at once */
	int source_rate, source_burst; /* the same for each source */
	int64_t bandwidth;             /* bytes a second that a connection may send; 0: any */
	int64_t output;                /* bytes that may wait in memory for a connection */
};

/* In milliseconds; 0 is none, but not for the lingering close, which always ends. */
struct settings_timeouts {
	int first_byte_ms, idle_ms, write_ms, half_closed_ms, lifetime_ms, linger_ms;
	int header_ms; /* of the PROXY protocol */
};

/* When live connections go to the next process. */
enum settings_preserve { SETTINGS_NEVER, SETTINGS_RESTART, SETTINGS_ALWAYS };

/* One entry of `sockets`: what is done with the connections of one file descriptor name. */
struct settings_socket {
	char *name;
	char *handler;
	char *module;                        /* the file that has the handler; NULL: built in */
	struct settings_where where;         /* of the entry */
	struct settings_where handler_where; /* of its handler key */
	struct settings_where module_where;  /* of its module key */
	const struct ss_handler *found;      /* by settings_hooks; lives for ever */
	void *handler_settings;              /* the struct of its keys; NULL: it has none */
	bool log_connections;
	int preserve; /* enum settings_preserve */
	struct settings_limits limits;
	struct settings_timeouts timeouts;
	struct access_rules access;
	struct access_rules
		proxies; /* whose connections begin with a PROXY header; none: nobody's */
	struct settings_option *options; /* sockopt_count of them, same index as sockopt_table */
	unsigned epoch;                  /* 0 or 1: see service.h */
};

struct settings {
	_Atomic unsigned refs;
	char *path;
	int workers;         /* 0: one for each CPU of the process */
	int drain_ms;        /* from SIGTERM to the end of the last connection */
	int idle_exit_ms;    /* without a connection; 0: never */
	int max_connections; /* 0: as many as the limit of open files allows */
	int64_t max_output;  /* bytes that may wait in memory for all connections */
	int pool_threads;
	int callback_budget_ms; /* a callback of a module that takes longer is logged; 0: none is */
	int job_budget_ms;      /* the same of a job in the pool */
	struct settings_socket *sockets;
	size_t n_sockets;
	char **files; /* the main file and all that it includes: what `where.file` points to */
	size_t n_files;
};

/* What is known above the settings. What is wrong is added to `report`. */
struct settings_hooks {
	/*
	 * The handler of a section of which no more than name, handler and module are known, or
	 * NULL. Its keys are then those of the group `settings`.
	 */
	const struct ss_handler *(*find)(void *context, const struct settings_socket *section,
					 struct report *report);
	/* Looks at a whole section whose handler was found, for what the table cannot know. */
	void (*check)(const struct settings_socket *section, struct report *report);
	void *context;
};

/*
 * Reads and validates `path`. Without `hooks` no handler is found. 0 and one reference
 * in *ret_settings, or -EINVAL (-ENOMEM) and at least one more line in `report`. Built-in socket
 * option defaults are filled in by their rows; those that depend on the handler are for the caller
 * to take back (see service.h).
 */
int settings_load(const char *path, const struct settings_hooks *hooks,
		  struct settings **ret_settings, struct report *report);

/* The same for bytes in memory, which include nothing; `name` stands for the file in messages. */
int settings_load_bytes(const char *name, const char *bytes, size_t n,
			const struct settings_hooks *hooks, struct settings **ret_settings,
			struct report *report);

/* Frees what the handler of a section would be given. */
void settings_drop_keys(struct settings_socket *socket);

struct settings *settings_ref(struct settings *settings);
struct settings *settings_unref(struct settings *settings); /* accepts NULL; returns NULL */

/* The section for a file descriptor name, or NULL. */
const struct settings_socket *settings_find(const struct settings *settings, const char *name);

/*
 * All keys with their effective values, in the file's own syntax; a socket option that is not there
 * is left to the kernel. What this writes loads again, to the same values.
 */
void settings_dump(const struct settings *settings, FILE *out);

/* One line for each key: name, where it may stand, type, range, unit, default, change, help. */
void settings_list_options(FILE *out);

#endif
