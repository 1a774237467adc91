/* SPDX-License-Identifier: MIT */
/*
 * One row for each key and each group. A new key is a row here and a member of its struct: parser,
 * messages, --dump and --list-options follow, and tests ask for it in the shipped file.
 */
#include "settings-table.h"

#include <stdio.h>
#include <string.h>

#include "report.h"
#include "settings.h"
#include "util.h"

#define PLACE_MAX     64
#define PLACES_MAX    (3 * PLACE_MAX)
#define NAMES_IN_LINE 10 /* known keys that a message can name */

#define GROUP(scopes_, name_)                                                                      \
	{                                                                                          \
		.scopes = (scopes_), .group = "", .name = (name_), .rule = {                       \
			.type = VALUE_GROUP,                                                       \
			.unit = ""                                                                 \
		}                                                                                  \
	}

/* Where a key stands, and the member that it sets. */
#define IN_FILE(name_, member_)                                                                    \
	.scopes = SETTINGS_IN_FILE, .group = "", .name = (name_),                                  \
	.offset = offsetof(struct settings, member_),                                              \
	.size = sizeof(((struct settings *)0)->member_)
#define IN_SECTION(scopes_, group_, name_, member_)                                                \
	.scopes = (scopes_), .group = (group_), .name = (name_),                                   \
	.offset = offsetof(struct settings_socket, member_),                                       \
	.size = sizeof(((struct settings_socket *)0)->member_)
#define IN_LIMITS(name_)   IN_SECTION(SETTINGS_IN_SECTIONS, SETTINGS_LIMITS, #name_, limits.name_)
#define IN_TIMEOUTS(name_) IN_SECTION(SETTINGS_IN_SECTIONS, "timeouts", #name_, timeouts.name_##_ms)
#define IN_ACCESS(name_)   IN_SECTION(SETTINGS_IN_SECTIONS, SETTINGS_ACCESS, #name_, access)

/* What its value must be. */
#define INTEGER(min_, max_, unit_)                                                                 \
	{                                                                                          \
		.type = VALUE_INTEGER, .min = (min_), .max = (max_), .unit = (unit_)               \
	}
#define SECONDS(min_ms, max_ms)                                                                    \
	{                                                                                          \
		.type = VALUE_SECONDS, .min = (min_ms), .max = (max_ms), .unit = "s"               \
	}
#define TIMEOUT                                                                                    \
	{                                                                                          \
		.type = VALUE_SECONDS, .min = 100, .max = TIMEOUT_MAX_MS, .unit = "s",             \
		.or_zero = true                                                                    \
	}
#define BUDGET(max_ms)                                                                             \
	{                                                                                          \
		.type = VALUE_SECONDS, .min = 1, .max = (max_ms), .unit = "s", .or_zero = true     \
	}
#define TYPE(type_, min_, max_)                                                                    \
	{                                                                                          \
		.type = (type_), .min = (min_), .max = (max_), .unit = ""                          \
	}
#define PREFIXES TYPE(VALUE_PREFIXES, 0, 0)
#define IDS      TYPE(VALUE_INTEGERS, 0, ID_MAX)

#define COUNT_MAX      1000000
#define TIMEOUT_MAX_MS (24 * 86400 * 1000) /* an int has milliseconds for 24 days */
#define KIB            ((int64_t)1 << 10)
#define MIB            ((int64_t)1 << 20)
#define GIB            ((int64_t)1 << 30)
#define TIB            ((int64_t)1 << 40)
#define ID_MAX         (UINT32_MAX - (int64_t)1) /* the highest number is no id: chown(2), -1 */

static const char *const at_limit_words[] = { "wait", "refuse", NULL };
static const char *const preserve_words[] = { "never", "restart", "always", NULL };

const struct settings_row settings_table[] = {
	{ IN_FILE("workers", workers), .rule = INTEGER(0, 1024, ""), .restart = true,
	  .help = "threads that serve connections; 0: one for each CPU of the process" },
	{ IN_FILE("drain_timeout", drain_ms), .rule = SECONDS(0, 3600 * 1000), .initial = 5000,
	  .help = "how long connections may go on after a stop was asked for" },
	{ IN_FILE("idle_exit", idle_exit_ms), .rule = BUDGET(TIMEOUT_MAX_MS),
	  .help = "leave when there was no connection for so long; the next one starts the service again; 0: never" },
	{ IN_FILE("max_connections", max_connections), .rule = INTEGER(0, COUNT_MAX, ""),
	  .help = "connections at once, of all sockets; 0: what the limit of open files allows" },
	{ IN_FILE("max_output", max_output), .rule = INTEGER(64 * KIB, 64 * GIB, "bytes"),
	  .initial = 64 * MIB, .help = "output that may wait in memory, of all connections" },
	{ IN_FILE("pool_threads", pool_threads), .rule = INTEGER(1, 1024, ""), .initial = 8,
	  .restart = true, .help = "threads for handlers' work that blocks" },
	{ IN_FILE("callback_budget", callback_budget_ms), .rule = BUDGET(3600 * 1000),
	  .initial = 100,
	  .help = "how long a callback of a module may take before that is logged; 0: any time" },
	{ IN_FILE("job_budget", job_budget_ms), .rule = BUDGET(86400 * 1000), .initial = 10000,
	  .help = "how long a job in the pool may run before that is logged; 0: any time" },
	GROUP(SETTINGS_IN_FILE, "defaults"),
	{ .scopes = SETTINGS_IN_FILE,
	  .group = "",
	  .name = "sockets",
	  .rule = TYPE(VALUE_LIST, 0, 0) },

	{ IN_SECTION(SETTINGS_IN_SOCKET, "", "name", name), .rule = TYPE(VALUE_NAME, 1, 255),
	  .required = true, .restart = true, .help = "FileDescriptorName= of the .socket unit" },
	{ IN_SECTION(SETTINGS_IN_SOCKET, "", "handler", handler), .rule = TYPE(VALUE_STRING, 1, 64),
	  .required = true, .restart = true, .help = "what serves the connections" },
	{ IN_SECTION(SETTINGS_IN_SOCKET, "", "module", module), .rule = TYPE(VALUE_TEXT, 1, 4095),
	  .restart = true, .help = "the file that has the handler, for handler = \"module\"" },
	{ .scopes = SETTINGS_IN_SOCKET,
	  .group = "",
	  .name = SETTINGS_HANDLER,
	  .rule = TYPE(VALUE_GROUP, 0, 0),
	  .help = "keys of the handler's own; --dump has them all" },

	{ IN_SECTION(SETTINGS_IN_SECTIONS, "", "preserve", preserve),
	  .rule = { .type = VALUE_WORD, .unit = "", .words = preserve_words },
	  .initial = SETTINGS_ALWAYS, .restart = true,
	  .help = "when live connections go on in the next process: never, after a restart, or after a crash too" },

	GROUP(SETTINGS_IN_SECTIONS, SETTINGS_LIMITS),
	{ IN_LIMITS(connections), .rule = INTEGER(0, COUNT_MAX, ""),
	  .help = "connections at once; 0: only max_connections counts" },
	{ IN_SECTION(SETTINGS_IN_SECTIONS, SETTINGS_LIMITS, "at_limit", limits.refuse),
	  .rule = { .type = VALUE_WORD, .unit = "", .words = at_limit_words },
	  .help = "what is too many: left in the queue of the kernel, or closed at once" },
	{ IN_LIMITS(per_source), .rule = INTEGER(0, COUNT_MAX, ""),
	  .help = "connections of one source at once; more are closed; 0: no limit" },
	{ IN_LIMITS(source_prefix_v4), .rule = INTEGER(0, 32, "bits"), .initial = 32,
	  .help = "IPv4 addresses that agree in so much are one source" },
	{ IN_LIMITS(source_prefix_v6), .rule = INTEGER(0, 128, "bits"), .initial = 64,
	  .help = "IPv6 addresses that agree in so much are one source" },
	{ IN_LIMITS(rate), .rule = INTEGER(0, 100000, ""),
	  .help = "new connections a second; more wait in the queue of the kernel; 0: no limit" },
	{ IN_LIMITS(burst), .rule = INTEGER(1, 100000, ""), .initial = 100,
	  .help = "new connections that may come at once, after a quiet time" },
	{ IN_LIMITS(source_rate), .rule = INTEGER(0, 100000, ""),
	  .help = "new connections a second of one source; more are closed; 0: no limit" },
	{ IN_LIMITS(source_burst), .rule = INTEGER(1, 100000, ""), .initial = 10,
	  .help = "new connections of one source that may come at once, after a quiet time" },
	{ IN_LIMITS(bandwidth),
	  .rule = { .type = VALUE_INTEGER,
		    .min = 64,
		    .max = TIB,
		    .unit = "bytes/s",
		    .or_zero = true },
	  .help = "what one connection may send, and as much to it; 0: no limit" },
	{ IN_LIMITS(output), .rule = INTEGER(64 * KIB, GIB, "bytes"), .initial = MIB,
	  .help = "output that may wait in memory, of one connection" },

	GROUP(SETTINGS_IN_SECTIONS, "timeouts"),
	{ IN_TIMEOUTS(first_byte), .rule = TIMEOUT,
	  .help = "how long a peer may send nothing after it has connected; 0: no limit" },
	{ IN_TIMEOUTS(idle), .rule = TIMEOUT,
	  .help = "how long nothing may be received or sent; 0: no limit" },
	{ IN_TIMEOUTS(write), .rule = TIMEOUT, .initial = 30000,
	  .help = "how long the peer may take nothing of what waits for it; 0: no limit" },
	{ IN_TIMEOUTS(half_closed), .rule = TIMEOUT,
	  .help = "how long nothing may move when one side of a forwarded connection has finished; 0: no limit" },
	{ IN_TIMEOUTS(lifetime), .rule = TIMEOUT,
	  .help = "how long a connection may last, whatever it does; 0: no limit" },
	{ IN_TIMEOUTS(linger), .rule = SECONDS(100, 60 * 1000), .initial = 1000,
	  .help = "how long a connection that the server ends may still read what the peer sends" },

	GROUP(SETTINGS_IN_SECTIONS, SETTINGS_ACCESS),
	{ IN_ACCESS(allow), .rule = PREFIXES, .allow = true,
	  .help = "addresses and prefixes that may connect, and then no others" },
	{ IN_ACCESS(deny), .rule = PREFIXES,
	  .help = "addresses and prefixes that may not connect" },
	{ IN_ACCESS(allow_uids), .rule = IDS, .allow = true,
	  .help = "users that may connect by AF_UNIX, and then no others" },
	{ IN_ACCESS(deny_uids), .rule = IDS, .help = "users that may not connect by AF_UNIX" },
	{ IN_ACCESS(allow_gids), .rule = IDS, .allow = true, .gids = true,
	  .help = "groups that may connect by AF_UNIX, as allow_uids; a rule for a user comes first" },
	{ IN_ACCESS(deny_gids), .rule = IDS, .gids = true,
	  .help = "groups that may not connect by AF_UNIX" },

	GROUP(SETTINGS_IN_SECTIONS, SETTINGS_PROXY),
	{ IN_SECTION(SETTINGS_IN_SECTIONS, SETTINGS_PROXY, "from", proxies), .rule = PREFIXES,
	  .allow = true,
	  .help = "proxies: each of their connections begins with a PROXY header; others may not connect" },
	{ IN_SECTION(SETTINGS_IN_SECTIONS, SETTINGS_PROXY, "header_timeout", timeouts.header_ms),
	  .rule = SECONDS(100, 60 * 1000), .initial = 3000,
	  .help = "how long the PROXY header may take" },

	GROUP(SETTINGS_IN_SECTIONS, "log"),
	{ IN_SECTION(SETTINGS_IN_SECTIONS, "log", "connections", log_connections),
	  .rule = TYPE(VALUE_BOOL, 0, 1), .initial = true,
	  .help = "one journal entry for each connection, when it has ended" },

	GROUP(SETTINGS_IN_SECTIONS, SETTINGS_OPTIONS),
};

const size_t settings_table_count = ARRAY_SIZE(settings_table);

const struct settings_row *settings_row_find(unsigned scope, const char *group, const char *name)
{
	for (size_t i = 0; i < settings_table_count; i++) {
		const struct settings_row *row = &settings_table[i];

		if (row->scopes & scope && strcmp(row->group, group) == 0 &&
		    strcmp(row->name, name) == 0)
			return row;
	}
	return NULL;
}

static const char *place(char out[PLACE_MAX], unsigned scope, const char *group)
{
	const char *of = scope == SETTINGS_IN_FILE       ? "at the top level of the file"
			 : scope == SETTINGS_IN_DEFAULTS ? "in defaults"
			 : scope == SETTINGS_IN_SOCKET   ? "in an entry of sockets"
							 : "in defaults or an entry of sockets";

	if (*group)
		snprintf(out, PLACE_MAX, "in %s: { }", group);
	else
		snprintf(out, PLACE_MAX, "%s", of);
	return out;
}

/* The names of the keys of a place, with a NULL at the end; or NULL. */
static const char **known_names(unsigned scope, const char *group)
{
	bool options = strcmp(group, SETTINGS_OPTIONS) == 0;
	const char **names = calloc(settings_table_count + sockopt_count + 1, sizeof(*names));
	size_t n = 0;

	if (!names)
		return NULL;
	for (size_t i = 0; i < settings_table_count; i++)
		if (settings_table[i].scopes & scope && strcmp(settings_table[i].group, group) == 0)
			names[n++] = settings_table[i].name;
	for (size_t i = 0; options && i < sockopt_count; i++)
		names[n++] = sockopt_table[i].name;
	return names;
}

/* The other places that have a key of this name; NULL if there is none. */
static const char *right_places(char out[PLACES_MAX], const char *name)
{
	char there[PLACE_MAX];
	size_t n = 0;

	if (sockopt_find(name))
		return place(out, SETTINGS_IN_SECTIONS, SETTINGS_OPTIONS);
	for (size_t i = 0; i < settings_table_count && n < PLACES_MAX; i++)
		if (strcmp(settings_table[i].name, name) == 0)
			n += (size_t)snprintf(
				out + n, PLACES_MAX - n, "%s%s", n ? " or " : "",
				place(there, settings_table[i].scopes, settings_table[i].group));
	return n ? out : NULL;
}

/* The end of the message: what may have been meant. */
static void advise(char *out, size_t size, const char *group, const char *const *known,
		   const char *name)
{
	const char *near = known ? report_nearest(name, known) : NULL;
	bool own = strcmp(group, SETTINGS_HANDLER) == 0;
	char there[PLACES_MAX];
	size_t n_known = 0, n;

	while (known && known[n_known])
		n_known++;
	if (right_places(there, name))
		snprintf(out, size, "write it %s", there);
	else if (near)
		snprintf(out, size, "did you mean \"%s\"?", near);
	else if (own && n_known == 0)
		snprintf(out, size, "the handler has no keys of its own");
	else if (n_known == 0 || n_known > NAMES_IN_LINE)
		snprintf(out, size, "%s",
			 own ? "remove it, then simple-server --dump has all"
			     : "simple-server --list-options has all");
	else {
		n = (size_t)snprintf(out, size, "known there:");
		for (size_t i = 0; i < n_known && n < size; i++)
			n += (size_t)snprintf(out + n, size - n, "%s %s", i ? "," : "", known[i]);
	}
}

const char *settings_unknown(char out[SETTINGS_UNKNOWN_MAX], unsigned scope, const char *group,
			     const char *const *own_names, const char *name)
{
	auto_free const char **known = own_names ? NULL : known_names(scope, group);
	char here[PLACE_MAX], shown[REPORT_ESCAPED_MAX], advice[256];

	advise(advice, sizeof(advice), group, own_names ? own_names : known, name);
	snprintf(out, SETTINGS_UNKNOWN_MAX, "unknown key \"%s\" %s; %s", report_escape(shown, name),
		 place(here, scope, group), advice);
	return out;
}

struct value_rule settings_option_rule(const struct sockopt *option)
{
	struct value_rule rule = INTEGER(option->min, option->max, option->unit);

	if (option->type == SOCKOPT_BOOL)
		rule.type = VALUE_BOOL;
	if (option->type == SOCKOPT_STRING)
		rule.type = VALUE_STRING;
	return rule;
}

static void *member(const struct settings_row *row, const void *target)
{
	return (char *)target + row->offset;
}

int64_t settings_row_number(const struct settings_row *row, const void *target)
{
	if (row->size == sizeof(bool))
		return *(bool *)member(row, target);
	if (row->size == sizeof(int))
		return *(int *)member(row, target);
	return *(int64_t *)member(row, target);
}

static void store_number(const struct settings_row *row, void *target, int64_t number)
{
	if (row->size == sizeof(bool))
		*(bool *)member(row, target) = number != 0;
	else if (row->size == sizeof(int))
		*(int *)member(row, target) = (int)number;
	else
		*(int64_t *)member(row, target) = number;
}

const char *settings_row_string(const struct settings_row *row, const void *target)
{
	if (row->rule.type == VALUE_WORD)
		return row->rule.words[settings_row_number(row, target)];
	return *(char **)member(row, target);
}

struct access_rules *settings_row_rules(const struct settings_row *row, const void *target)
{
	return member(row, target);
}

int settings_row_store(const struct settings_row *row, void *target, const struct value *value)
{
	char *copy;

	if (row->rule.type <= VALUE_WORD) {
		store_number(row, target, value->number);
		return 0;
	}
	copy = strdup(value->string);
	if (!copy)
		return -ENOMEM;
	*(char **)member(row, target) = copy;
	return 0;
}
