/* SPDX-License-Identifier: MIT */
/*
 * What is in force, in the syntax of the file, and the list of what can be: both read the tables,
 * so that no key is forgotten. Any thread that holds a reference.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "settings-table.h"
#include "settings.h"
#include "util.h"

static void dump_string(const char *string, FILE *out)
{
	fputc('"', out);
	for (; *string; string++)
		fprintf(out, strchr("\"\\", *string) ? "\\%c" : "%c", *string);
	fputc('"', out);
}

static void dump_row(const struct settings_row *row, const void *target, const char *indent,
		     FILE *out)
{
	char seconds[VALUE_SECONDS_MAX];
	int64_t number = 0;

	fprintf(out, "%s%s = ", indent, row->name);
	if (row->rule.type <= VALUE_SECONDS)
		number = settings_row_number(row, target);
	if (row->rule.type == VALUE_BOOL)
		fputs(number ? "true" : "false", out);
	else if (row->rule.type == VALUE_SECONDS)
		fputs(value_seconds(seconds, number), out);
	else if (row->rule.type == VALUE_INTEGER)
		fprintf(out, "%" PRId64, number);
	else
		dump_string(settings_row_string(row, target), out);
	fputs(";\n", out);
}

static void dump_rows(unsigned scope, const char *group, const void *target, const char *indent,
		      FILE *out)
{
	for (size_t i = 0; i < settings_table_count; i++) {
		const struct settings_row *row = &settings_table[i];

		if (row->scopes & scope && strcmp(row->group, group) == 0 &&
		    row->rule.type < VALUE_GROUP)
			dump_row(row, target, indent, out);
	}
}

static void dump_options(const struct settings_socket *socket, FILE *out)
{
	char value[SOCKOPT_FORMAT_MAX], file[REPORT_ESCAPED_MAX];

	for (size_t i = 0; i < sockopt_count; i++) {
		const struct settings_option *option = &socket->options[i];

		if (!option->set)
			continue;
		fprintf(out, "\t\t\t%s = %s; ", sockopt_table[i].name,
			sockopt_format(value, &sockopt_table[i], &option->value));
		if (option->where.file)
			fprintf(out, "# %s:%d\n", report_escape(file, option->where.file),
				option->where.line);
		else
			fputs("# built in\n", out);
	}
}

static void dump_socket(const struct settings_socket *socket, FILE *out)
{
	fputs("\t{\n", out);
	dump_rows(SETTINGS_IN_SOCKET, "", socket, "\t\t", out);
	for (size_t i = 0; i < settings_table_count; i++) {
		const struct settings_row *row = &settings_table[i];

		if (!(row->scopes & SETTINGS_IN_SOCKET) || row->rule.type != VALUE_GROUP)
			continue;
		fprintf(out, "\t\t%s: {\n", row->name);
		if (strcmp(row->name, SETTINGS_OPTIONS) == 0)
			dump_options(socket, out);
		else
			dump_rows(SETTINGS_IN_SOCKET, row->name, socket, "\t\t\t", out);
		fputs("\t\t};\n", out);
	}
	fputs("\t}", out);
}

void settings_dump(const struct settings *settings, FILE *out)
{
	dump_rows(SETTINGS_IN_FILE, "", settings, "", out);
	fputs("sockets = (\n", out);
	for (size_t i = 0; i < settings->n_sockets; i++) {
		dump_socket(&settings->sockets[i], out);
		fputs(i + 1 < settings->n_sockets ? ",\n" : "\n", out);
	}
	fputs(");\n", out);
}

struct listed {
	const char *group, *name;
	unsigned scopes;
	struct value_rule rule;
	const char *initial, *help;
};

static const char *range(char out[VALUE_TEXT_MAX], const struct value_rule *rule)
{
	char min[VALUE_SECONDS_MAX], max[VALUE_SECONDS_MAX];

	if (rule->type == VALUE_SECONDS)
		snprintf(out, VALUE_TEXT_MAX, "%s..%s", value_seconds(min, rule->min),
			 value_seconds(max, rule->max));
	else if (rule->type != VALUE_BOOL)
		snprintf(out, VALUE_TEXT_MAX, "%" PRId64 "..%" PRId64, rule->min, rule->max);
	else
		strcpy(out, "-");
	return out;
}

/* The bytes of a column of `width` characters: those of "µs" are more. */
static int bytes_of(const char *text, int width)
{
	for (; *text; text++)
		width += (*text & 0xc0) == 0x80;
	return width;
}

static void list(const struct listed *key, FILE *out)
{
	static const char *const types[] = { "boolean", "integer", "number", "string", "string" };
	const char *unit = *key->rule.unit ? key->rule.unit : "-";
	char name[128], limits[VALUE_TEXT_MAX];

	snprintf(name, sizeof(name), "%s%s%s", key->group, *key->group ? "." : "", key->name);
	fprintf(out, "%-34s %-15s %-8s %-24s %-*s %-9s %s\n", name,
		key->scopes == SETTINGS_IN_FILE     ? "file"
		: key->scopes == SETTINGS_IN_SOCKET ? "socket"
						    : "defaults,socket",
		types[key->rule.type], range(limits, &key->rule), bytes_of(unit, 8), unit,
		key->initial, key->help);
}

static void list_row(const struct settings_row *row, FILE *out)
{
	struct listed key = { row->group, row->name, row->scopes, row->rule, NULL, row->help };
	char initial[VALUE_SECONDS_MAX];

	snprintf(initial, sizeof(initial), "%" PRId64, row->initial);
	key.initial = row->required                     ? "required"
		      : row->rule.type == VALUE_BOOL    ? row->initial ? "true" : "false"
		      : row->rule.type == VALUE_SECONDS ? value_seconds(initial, row->initial)
							: initial;
	list(&key, out);
}

void settings_list_options(FILE *out)
{
	for (size_t i = 0; i < settings_table_count; i++)
		if (settings_table[i].rule.type < VALUE_GROUP)
			list_row(&settings_table[i], out);
	for (size_t i = 0; i < sockopt_count; i++) {
		const struct sockopt *row = &sockopt_table[i];
		struct listed key = { SETTINGS_OPTIONS,
				      row->name,
				      SETTINGS_IN_SECTIONS,
				      settings_option_rule(row),
				      *row->built_in ? row->built_in : "kernel",
				      row->help };

		list(&key, out);
	}
}
