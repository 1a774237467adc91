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
#define NAMES_IN_LINE 6 /* known keys that a message can name */

#define GROUP(scopes_, name_)                                                                      \
	{                                                                                          \
		.scopes = (scopes_), .group = "", .name = (name_), .rule = {                       \
			VALUE_GROUP,                                                               \
			0,                                                                         \
			0,                                                                         \
			""                                                                         \
		}                                                                                  \
	}

const struct settings_row settings_table[] = {
	{ .scopes = SETTINGS_IN_FILE,
	  .group = "",
	  .name = "workers",
	  .rule = { VALUE_INTEGER, 0, 1024, "" },
	  .initial = 0,
	  .offset = offsetof(struct settings, workers),
	  .help = "threads that serve connections; 0: one for each CPU of the process" },
	{ .scopes = SETTINGS_IN_FILE,
	  .group = "",
	  .name = "drain_timeout",
	  .rule = { VALUE_SECONDS, 0, 3600 * 1000, "s" },
	  .initial = 5000,
	  .offset = offsetof(struct settings, drain_ms),
	  .help = "how long connections may go on after a stop was asked for" },
	GROUP(SETTINGS_IN_FILE, "defaults"),
	{ .scopes = SETTINGS_IN_FILE,
	  .group = "",
	  .name = "sockets",
	  .rule = { VALUE_LIST, 0, 0, "" } },
	{ .scopes = SETTINGS_IN_SOCKET,
	  .group = "",
	  .name = "name",
	  .rule = { VALUE_NAME, 1, 255, "" },
	  .required = true,
	  .offset = offsetof(struct settings_socket, name),
	  .help = "FileDescriptorName= of the .socket unit" },
	{ .scopes = SETTINGS_IN_SOCKET,
	  .group = "",
	  .name = "handler",
	  .rule = { VALUE_STRING, 1, 64, "" },
	  .required = true,
	  .offset = offsetof(struct settings_socket, handler),
	  .help = "what serves the connections" },
	GROUP(SETTINGS_IN_SECTIONS, SETTINGS_OPTIONS),
	GROUP(SETTINGS_IN_SECTIONS, "timeouts"),
	{ .scopes = SETTINGS_IN_SECTIONS,
	  .group = "timeouts",
	  .name = "linger",
	  .rule = { VALUE_SECONDS, 100, 60 * 1000, "s" },
	  .initial = 1000,
	  .offset = offsetof(struct settings_socket, linger_ms),
	  .help = "how long a connection that the server ends may still read what the peer sends" },
	GROUP(SETTINGS_IN_SECTIONS, "log"),
	{ .scopes = SETTINGS_IN_SECTIONS,
	  .group = "log",
	  .name = "connections",
	  .rule = { VALUE_BOOL, 0, 1, "" },
	  .initial = true,
	  .offset = offsetof(struct settings_socket, log_connections),
	  .help = "one journal entry for each connection, when it has ended" },
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

/* Another place that has a key of this name. */
static const char *right_place(char out[PLACE_MAX], const char *name)
{
	if (sockopt_find(name))
		return place(out, SETTINGS_IN_SECTIONS, SETTINGS_OPTIONS);
	for (size_t i = 0; i < settings_table_count; i++)
		if (strcmp(settings_table[i].name, name) == 0)
			return place(out, settings_table[i].scopes, settings_table[i].group);
	return NULL;
}

/* The end of the message: what may have been meant. */
static void advise(char *out, size_t size, unsigned scope, const char *group, const char *name)
{
	auto_free const char **known = known_names(scope, group);
	const char *near = known ? report_nearest(name, known) : NULL;
	char there[PLACE_MAX];
	size_t n_known = 0, n;

	while (known && known[n_known])
		n_known++;
	if (right_place(there, name))
		snprintf(out, size, "write it %s", there);
	else if (near)
		snprintf(out, size, "did you mean \"%s\"?", near);
	else if (n_known == 0 || n_known > NAMES_IN_LINE)
		snprintf(out, size, "simple-server --list-options has all");
	else {
		n = (size_t)snprintf(out, size, "known there:");
		for (size_t i = 0; i < n_known && n < size; i++)
			n += (size_t)snprintf(out + n, size - n, "%s %s", i ? "," : "", known[i]);
	}
}

const char *settings_unknown(char out[SETTINGS_UNKNOWN_MAX], unsigned scope, const char *group,
			     const char *name)
{
	char here[PLACE_MAX], shown[REPORT_ESCAPED_MAX], advice[256];

	advise(advice, sizeof(advice), scope, group, name);
	snprintf(out, SETTINGS_UNKNOWN_MAX, "unknown key \"%s\" %s; %s", report_escape(shown, name),
		 place(here, scope, group), advice);
	return out;
}

struct value_rule settings_option_rule(const struct sockopt *option)
{
	struct value_rule rule = { VALUE_INTEGER, option->min, option->max, option->unit };

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
	if (row->rule.type == VALUE_BOOL)
		return *(bool *)member(row, target);
	return *(int *)member(row, target);
}

const char *settings_row_string(const struct settings_row *row, const void *target)
{
	return *(char **)member(row, target);
}

int settings_row_store(const struct settings_row *row, void *target, const struct value *value)
{
	char *copy;

	switch (row->rule.type) {
	case VALUE_BOOL:
		*(bool *)member(row, target) = value->number != 0;
		return 0;
	case VALUE_INTEGER:
	case VALUE_SECONDS:
		*(int *)member(row, target) = (int)value->number;
		return 0;
	case VALUE_STRING:
	case VALUE_NAME:
		copy = strdup(value->string);
		if (!copy)
			return -ENOMEM;
		*(char **)member(row, target) = copy;
		return 0;
	case VALUE_GROUP:
	case VALUE_LIST:
		return 0;
	}
	return 0;
}
