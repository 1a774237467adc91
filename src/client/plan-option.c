/* SPDX-License-Identifier: MIT */
/*
 * Socket options of the command line: the names, ranges and values of the server's file. They are
 * kept in the order of sockopt_table, which is the order to set them in.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "plan-private.h"
#include "util.h"

#define NAME_LENGTH 64

/* Of a listener TCP_SYNCNT bounds the SYN-ACKs, of a client its SYNs. */
static bool fits_client(const struct sockopt *row)
{
	return row->stage != SOCKOPT_LISTENER || row->option == TCP_SYNCNT;
}

static void complain_unknown(const char *name, struct report *report)
{
	auto_free const char **names = calloc(sockopt_count + 1, sizeof(*names));
	const char *near = NULL;
	char shown[REPORT_ESCAPED_MAX];

	for (size_t i = 0; names && i < sockopt_count; i++)
		names[i] = sockopt_table[i].name;
	if (names)
		near = report_nearest(name, names);
	if (near)
		report_add(report, "--option: there is no \"%s\"; did you mean %s?",
			   report_escape(shown, name), near);
	else
		report_add(report,
			   "--option: there is no \"%s\"; simple-server --list-options has all",
			   report_escape(shown, name));
}

static bool read_bool(const char *text, struct sockopt_value *value)
{
	value->number = strcmp(text, "true") == 0;
	return value->number || strcmp(text, "false") == 0;
}

/* The L that the file wants behind an integer of more than 32 bits may stay. */
static bool read_number(const struct sockopt *row, const char *text, struct sockopt_value *value)
{
	char digits[NAME_LENGTH];
	size_t n = strlen(text);

	if (n >= sizeof(digits))
		return false;
	if (n > 1 && text[n - 1] == 'L')
		n--;
	memcpy(digits, text, n);
	digits[n] = '\0';
	return plan_value_integer(digits, &value->number) && value->number >= row->min &&
	       value->number <= row->max;
}

/* The quotes of the file may stay: a shell takes them away. */
static bool read_string(const struct sockopt *row, const char *text, struct sockopt_value *value)
{
	size_t n = strlen(text);

	if (n >= 2 && text[0] == '"' && text[n - 1] == '"') {
		text++;
		n -= 2;
	}
	if ((int64_t)n < row->min || (int64_t)n > row->max)
		return false;
	for (size_t i = 0; i < n; i++)
		if (text[i] <= 0x20 || text[i] > 0x7e || strchr("\"\\", text[i]))
			return false;
	memcpy(value->string, text, n);
	value->string[n] = '\0';
	return true;
}

static bool read_value(const struct sockopt *row, const char *text, struct sockopt_value *value)
{
	if (row->type == SOCKOPT_BOOL)
		return read_bool(text, value);
	if (row->type == SOCKOPT_STRING)
		return read_string(row, text, value);
	return read_number(row, text, value);
}

static void complain_value(const struct sockopt *row, const char *text, struct report *report)
{
	struct plan_row number = {
		.type = PLAN_INTEGER, .min = row->min, .max = row->max, .unit = row->unit
	};
	char expected[PLAN_EXPECTED_MAX], shown[REPORT_ESCAPED_MAX];

	if (row->type == SOCKOPT_BOOL)
		snprintf(expected, sizeof(expected), "true or false");
	else if (row->type == SOCKOPT_STRING)
		snprintf(expected, sizeof(expected), "%d to %d characters without blanks",
			 (int)row->min, (int)row->max);
	else
		plan_row_expected(expected, &number);
	report_add(report, "--option %s: \"%s\" is not possible; write %s", row->name,
		   report_escape(shown, text), expected);
}

void plan_option_read(const char *text, struct plan *plan, struct report *report)
{
	const char *equals = strchrnul(text, '=');
	char name[NAME_LENGTH], shown[REPORT_ESCAPED_MAX];
	struct plan_option option = { 0 };

	if (*equals == '\0') {
		report_add(report, "--option: \"%s\" has no value; write NAME=VALUE",
			   report_escape(shown, text));
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
	option.row = sockopt_find(name);
	if (!option.row)
		complain_unknown(name, report);
	else if (!fits_client(option.row))
		report_add(report, "--option %s is for sockets that listen; a client has none",
			   name);
	else if (!read_value(option.row, equals + 1, &option.value))
		complain_value(option.row, equals + 1, report);
	else
		plan->options[option.row - sockopt_table] = option;
}

/* A small message must not wait for the acknowledgement of the one before. */
static void set_default(struct plan *plan, const char *name)
{
	const struct sockopt *row = sockopt_find(name);
	struct plan_option *option = &plan->options[row - sockopt_table];

	if (!option->row)
		*option = (struct plan_option){ .row = row, .value.number = true };
}

void plan_options_finish(struct plan *plan, struct report *report)
{
	unsigned families = plan_families(plan->addresses, plan->n_addresses);

	if (families && !(families & SOCKOPT_UNIX))
		set_default(plan, "tcp_nodelay");
	for (size_t i = 0; i < sockopt_count; i++) {
		const struct sockopt *row = plan->options[i].row;

		if (!row)
			continue;
		plan->options[plan->n_options++] = plan->options[i];
		if (families & ~row->families)
			report_add(report, "--option %s is not for %s, which the target has",
				   row->name, plan_family_name(families & ~row->families));
	}
}
