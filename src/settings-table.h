/* SPDX-License-Identifier: MIT */
/*
 * The table of all keys but the socket options, which sockopt_table has. Pure data.
 */
#ifndef SIMPLE_SERVER_SETTINGS_TABLE_H
#define SIMPLE_SERVER_SETTINGS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "settings-value.h"
#include "sockopt.h"

/* Where a key may stand. */
enum settings_scope {
	SETTINGS_IN_FILE = 1, /* at the top level */
	SETTINGS_IN_DEFAULTS = 2,
	SETTINGS_IN_SOCKET = 4, /* in an entry of sockets */
	SETTINGS_IN_SECTIONS = SETTINGS_IN_DEFAULTS | SETTINGS_IN_SOCKET,
};

/* Group of sections whose keys are the rows of sockopt_table. */
#define SETTINGS_OPTIONS "options"
#define SETTINGS_LIMITS  "limits"
#define SETTINGS_ACCESS  "access"
#define SETTINGS_PROXY   "proxy"

/* Group of entries of sockets whose keys are the handler's. */
#define SETTINGS_HANDLER "settings"

struct settings_row {
	unsigned scopes;
	const char *group; /* "" for those that stand in no group of the scope */
	const char *name;
	struct value_rule rule;
	bool required;
	bool restart;    /* a reload leaves what is in force; see settings-diff.h */
	int64_t initial; /* of numbers */
	size_t offset; /* in struct settings for the file, in struct settings_socket for sections */
	size_t size;   /* of the member: a number may be a bool, an int or an int64_t */
	bool allow, gids; /* of the lists of access rules, all of which are in one member */
	const char *help;
};

extern const struct settings_row settings_table[];
extern const size_t settings_table_count;

/* The row of a key in a scope and a group of it, or NULL. */
const struct settings_row *settings_row_find(unsigned scope, const char *group, const char *name);

/*
 * The message for a key that is not known in a place: the place that has one of this name, or the
 * nearest name of this place, or the names that there are. Those are the ones of the table if
 * `own_names` is NULL; it ends with NULL.
 */
#define SETTINGS_UNKNOWN_MAX 768
const char *settings_unknown(char out[SETTINGS_UNKNOWN_MAX], unsigned scope, const char *group,
			     const char *const *own_names, const char *name);

/* What the value of a socket option must be. */
struct value_rule settings_option_rule(const struct sockopt *option);

/* What a row means in its struct: a number, a string or word, or the rules of its section. */
int64_t settings_row_number(const struct settings_row *row, const void *target);
const char *settings_row_string(const struct settings_row *row, const void *target);
struct access_rules *settings_row_rules(const struct settings_row *row, const void *target);

/* Whether there is a value: a string may not be there. What there is, as the file would say it. */
bool settings_row_is_set(const struct settings_row *row, const void *target);
void settings_dump_value(const struct settings_row *row, const void *target, FILE *out);

/* Stores a number or a string, which is copied. 0 or -ENOMEM. */
int settings_row_store(const struct settings_row *row, void *target, const struct value *value);

#endif
