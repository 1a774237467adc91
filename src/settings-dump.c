/* SPDX-License-Identifier: MIT */
/*
 * What is in force, in the syntax of the file, and the list of what can be: both read the tables,
 * so that no key is forgotten. Any thread that holds a reference.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "settings-keys.h"
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

/* An integer of over 32 bits is one for libconfig only with this mark. */
static void dump_integer(int64_t number, FILE *out)
{
	fprintf(out, "%" PRId64 "%s", number, number < INT32_MIN || number > INT32_MAX ? "L" : "");
}

static void dump_prefixes(const struct settings_row *row, const struct access_rules *rules,
			  FILE *out)
{
	const char *before = " ";
	char prefix[ACCESS_PREFIX_MAX];

	for (size_t i = 0; i < rules->n_prefixes; i++)
		if (rules->prefixes[i].allow == row->allow) {
			fprintf(out, "%s\"%s\"", before,
				access_format_prefix(prefix, &rules->prefixes[i]));
			before = ", ";
		}
	fputs(*before == ',' ? " " : "", out);
}

static void dump_ids(const struct settings_row *row, const struct access_rules *rules, FILE *out)
{
	const char *before = " ";

	for (size_t i = 0; i < rules->n_ids; i++)
		if (rules->ids[i].allow == row->allow && rules->ids[i].is_gid == row->gids) {
			fputs(before, out);
			dump_integer(rules->ids[i].id, out);
			before = ", ";
		}
	fputs(*before == ',' ? " " : "", out);
}

void settings_dump_value(const struct settings_row *row, const void *target, FILE *out)
{
	char seconds[VALUE_SECONDS_MAX];

	switch (row->rule.type) {
	case VALUE_BOOL:
		fputs(settings_row_number(row, target) ? "true" : "false", out);
		return;
	case VALUE_INTEGER:
		dump_integer(settings_row_number(row, target), out);
		return;
	case VALUE_SECONDS:
		fputs(value_seconds(seconds, settings_row_number(row, target)), out);
		return;
	case VALUE_PREFIXES:
		fputc('(', out);
		dump_prefixes(row, settings_row_rules(row, target), out);
		fputc(')', out);
		return;
	case VALUE_INTEGERS:
		fputc('(', out);
		dump_ids(row, settings_row_rules(row, target), out);
		fputc(')', out);
		return;
	default:
		dump_string(settings_row_string(row, target), out);
	}
}

/* A string that is not there has no form in the file. */
bool settings_row_is_set(const struct settings_row *row, const void *target)
{
	return row->rule.type < VALUE_STRING || row->rule.type > VALUE_NAME ||
	       settings_row_string(row, target);
}

static void dump_row(const struct settings_row *row, const void *target, const char *indent,
		     FILE *out)
{
	fprintf(out, "%s%s = ", indent, row->name);
	settings_dump_value(row, target, out);
	fputc(';', out);
}

static void dump_rows(unsigned scope, const char *group, const void *target, const char *indent,
		      FILE *out)
{
	for (size_t i = 0; i < settings_table_count; i++) {
		const struct settings_row *row = &settings_table[i];

		if (row->scopes & scope && strcmp(row->group, group) == 0 &&
		    row->rule.type < VALUE_GROUP && settings_row_is_set(row, target)) {
			dump_row(row, target, indent, out);
			fputc('\n', out);
		}
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

/* What an author has declared is told here, for no list has it. */
static void dump_handler(const struct settings_socket *socket, FILE *out)
{
	const struct ss_handler *handler = socket->found;
	char expected[VALUE_TEXT_MAX];

	for (const char *const *counter = handler->counters; counter && *counter; counter++)
		fprintf(out, "%s%s%s", counter == handler->counters ? "\t\t# counters: " : ", ",
			*counter, counter[1] ? "" : "\n");
	if (!handler->keys)
		return;
	fprintf(out, "\t\t%s: {\n", SETTINGS_HANDLER);
	for (const struct ss_key *key = handler->keys; key->name; key++) {
		struct settings_row row = settings_keys_row(key);

		if (settings_row_is_set(&row, socket->handler_settings))
			dump_row(&row, socket->handler_settings, "\t\t\t", out);
		else
			fprintf(out, "\t\t\t// %s = ;", row.name);
		fprintf(out, " # %s: %s\n", row.help, value_expected(expected, &row.rule));
	}
	fputs("\t\t};\n", out);
}

static void dump_socket(const struct settings_socket *socket, FILE *out)
{
	fputs("\t{\n", out);
	dump_rows(SETTINGS_IN_SOCKET, "", socket, "\t\t", out);
	if (socket->found)
		dump_handler(socket, out);
	for (size_t i = 0; i < settings_table_count; i++) {
		const struct settings_row *row = &settings_table[i];

		if (!(row->scopes & SETTINGS_IN_SOCKET) || row->rule.type != VALUE_GROUP ||
		    strcmp(row->name, SETTINGS_HANDLER) == 0)
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

#define INITIAL_MAX VALUE_SECONDS_MAX

struct listed {
	const char *group, *name;
	unsigned scopes;
	struct value_rule rule;
	const char *initial, *change, *help;
};

static const char *words(char out[VALUE_TEXT_MAX], const char *const *words)
{
	size_t n = 0;

	for (size_t i = 0; words[i] && n < VALUE_TEXT_MAX; i++)
		n += (size_t)snprintf(out + n, VALUE_TEXT_MAX - n, "%s%s", i ? "|" : "", words[i]);
	return out;
}

static const char *range(char out[VALUE_TEXT_MAX], const struct value_rule *rule)
{
	const char *zero = rule->or_zero ? "0|" : "";
	char min[VALUE_SECONDS_MAX], max[VALUE_SECONDS_MAX];

	if (rule->type == VALUE_WORD)
		return words(out, rule->words);
	if (rule->type == VALUE_BOOL || rule->type == VALUE_PREFIXES || rule->type == VALUE_GROUP)
		return strcpy(out, "-");
	if (rule->type == VALUE_SECONDS)
		snprintf(out, VALUE_TEXT_MAX, "%s%s..%s", zero, value_seconds(min, rule->min),
			 value_seconds(max, rule->max));
	else
		snprintf(out, VALUE_TEXT_MAX, "%s%" PRId64 "..%" PRId64, zero, rule->min,
			 rule->max);
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
	static const char *const types[] = {
		[VALUE_BOOL] = "boolean",     [VALUE_INTEGER] = "integer",
		[VALUE_SECONDS] = "number",   [VALUE_WORD] = "string",
		[VALUE_STRING] = "string",    [VALUE_TEXT] = "string",
		[VALUE_NAME] = "string",      [VALUE_GROUP] = "group",
		[VALUE_PREFIXES] = "strings", [VALUE_INTEGERS] = "integers",
	};
	const char *unit = *key->rule.unit ? key->rule.unit : "-";
	char name[128], limits[VALUE_TEXT_MAX];

	snprintf(name, sizeof(name), "%s%s%s", key->group, *key->group ? "." : "", key->name);
	fprintf(out, "%-34s %-15s %-8s %-24s %-*s %-9s %-8s %s\n", name,
		key->scopes == SETTINGS_IN_FILE     ? "file"
		: key->scopes == SETTINGS_IN_SOCKET ? "socket"
						    : "defaults,socket",
		types[key->rule.type], range(limits, &key->rule), bytes_of(unit, 8), unit,
		key->initial, key->change, key->help);
}

static const char *initial(char out[INITIAL_MAX], const struct settings_row *row)
{
	if (row->required)
		return "required";
	switch (row->rule.type) {
	case VALUE_BOOL:
		return row->initial ? "true" : "false";
	case VALUE_SECONDS:
		return value_seconds(out, row->initial);
	case VALUE_WORD:
		snprintf(out, INITIAL_MAX, "\"%s\"", row->rule.words[row->initial]);
		return out;
	case VALUE_PREFIXES:
	case VALUE_INTEGERS:
		return "()";
	case VALUE_INTEGER:
		snprintf(out, INITIAL_MAX, "%" PRId64, row->initial);
		return out;
	default:
		return "-";
	}
}

static void list_row(const struct settings_row *row, FILE *out)
{
	char text[INITIAL_MAX];
	bool own = row->rule.type == VALUE_GROUP; /* that of the handler */
	const char *change = row->restart ? "restart" : own ? "handler" : "reload";
	struct listed key = { row->group,         row->name, row->scopes, row->rule,
			      initial(text, row), change,    row->help };

	list(&key, out);
}

void settings_list_options(FILE *out)
{
	for (size_t i = 0; i < settings_table_count; i++)
		if (settings_table[i].rule.type < VALUE_GROUP ||
		    strcmp(settings_table[i].name, SETTINGS_HANDLER) == 0)
			list_row(&settings_table[i], out);
	for (size_t i = 0; i < sockopt_count; i++) {
		const struct sockopt *row = &sockopt_table[i];
		struct listed key = { SETTINGS_OPTIONS,
				      row->name,
				      SETTINGS_IN_SECTIONS,
				      settings_option_rule(row),
				      *row->built_in ? row->built_in : "kernel",
				      row->stage == SOCKOPT_BEFORE_BIND ? "socket" : "reload",
				      row->help };

		list(&key, out);
	}
}
