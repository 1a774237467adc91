/* SPDX-License-Identifier: MIT */
/*
 * See settings-diff.h. Values are compared as the texts that --dump has for them: what is not seen
 * there makes no difference.
 */
#include "settings-diff.h"

#include <stdio.h>
#include <string.h>

#include "settings-keys.h"
#include "settings-table.h"
#include "util.h"

#define SHOWN_MAX 80 /* characters of a value */

/* The caller frees it; NULL where there is no memory, which is then like any other text. */
static char *text_of(const struct settings_row *row, const void *target)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (settings_row_is_set(row, target))
		settings_dump_value(row, target, out);
	else
		fputs("not set", out);
	fclose(out);
	return text;
}

static char *text_of_option(size_t i, const struct settings_option *option)
{
	char text[SOCKOPT_FORMAT_MAX];

	return strdup(option->set ? sockopt_format(text, &sockopt_table[i], &option->value)
				  : "not set");
}

/* Where a key stands: `socket` is NULL for the top level. */
struct place {
	const char *socket, *group, *name;
};

static bool same_text(const char *from, const char *to)
{
	return from && to && strcmp(from, to) == 0;
}

static void tell(struct settings_diff *diff, const struct place *place, const char *from,
		 const char *to, bool waits)
{
	if (same_text(from, to))
		return;
	report_add(waits ? &diff->waiting : &diff->changed, "%s%s%s%s%s = %.*s (%s%.*s%s)",
		   place->socket ? place->socket : "", place->socket ? ": " : "", place->group,
		   *place->group ? "." : "", place->name, SHOWN_MAX, to ? to : "?",
		   waits ? "" : "was ", SHOWN_MAX, from ? from : "?", waits ? " is in force" : "");
}

static void compare(struct settings_diff *diff, const char *socket, const struct settings_row *row,
		    const void *from, const void *to, bool waits)
{
	struct place place = { socket, row->group, row->name };
	char *before auto_free = text_of(row, from);
	char *after auto_free = text_of(row, to);

	tell(diff, &place, before, after, waits);
}

void settings_diff_deinit(struct settings_diff *diff)
{
	report_deinit(&diff->changed);
	report_deinit(&diff->waiting);
}

static void keep(const struct settings_row *row, const void *from, void *to)
{
	struct value value = { .number = settings_row_number(row, from) };

	settings_row_store(row, to, &value);
}

void settings_diff_file(struct settings_diff *diff, const struct settings *from,
			struct settings *to)
{
	for (size_t i = 0; i < settings_table_count; i++) {
		const struct settings_row *row = &settings_table[i];

		if (row->scopes != SETTINGS_IN_FILE || row->rule.type >= VALUE_GROUP)
			continue;
		compare(diff, NULL, row, from, to, row->restart);
		if (row->restart)
			keep(row, from, to);
	}
}

void settings_diff_section(struct settings_diff *diff, const struct settings_socket *from,
			   struct settings_socket *to)
{
	for (size_t i = 0; i < settings_table_count; i++) {
		const struct settings_row *row = &settings_table[i];

		if (!(row->scopes & SETTINGS_IN_SOCKET) || row->rule.type >= VALUE_GROUP)
			continue;
		compare(diff, to->name, row, from, to, row->restart);
		if (row->restart && row->rule.type <= VALUE_WORD)
			keep(row, from, to);
	}
	for (size_t i = 0; i < sockopt_count; i++) {
		struct place place = { to->name, SETTINGS_OPTIONS, sockopt_table[i].name };
		char *before auto_free = text_of_option(i, &from->options[i]);
		char *after auto_free = text_of_option(i, &to->options[i]);

		tell(diff, &place, before, after, false);
	}
}

bool settings_same_keys(const struct settings_socket *from, const struct settings_socket *to)
{
	for (const struct ss_key *key = to->found->keys; key && key->name; key++) {
		struct settings_row row = settings_keys_row(key);
		char *before auto_free = text_of(&row, from->handler_settings);
		char *after auto_free = text_of(&row, to->handler_settings);

		if (!same_text(before, after))
			return false;
	}
	return true;
}

void settings_diff_keys(struct settings_diff *diff, const struct settings_socket *from,
			const struct settings_socket *to, bool waits)
{
	for (const struct ss_key *key = to->found->keys; key && key->name; key++) {
		struct settings_row row = settings_keys_row(key);

		compare(diff, to->name, &row, from->handler_settings, to->handler_settings, waits);
	}
}
