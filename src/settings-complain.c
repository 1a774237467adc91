/* SPDX-License-Identifier: MIT */
/*
 * libconfig notes the line of an element of a list when it has the whole element; for a string that
 * is when it has seen the token behind it, which is no further string. Where this token begins a
 * line, the string stands on an earlier one. One thread.
 */
#include "settings-complain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t noted_line(const config_setting_t *setting)
{
	return (size_t)config_setting_source_line(setting);
}

static bool is_element(const config_setting_t *setting)
{
	const config_setting_t *parent = config_setting_parent(setting);

	return parent && !config_setting_is_group(parent);
}

/* The first byte of a line of the text that is not blank; a newline or NUL if all are. */
static char first_byte(const struct text *text, size_t number)
{
	const char *at = text->bytes;

	for (size_t i = 1; at && i < number; i++) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	return at ? at[strspn(at, " \t\r\f")] : '\0';
}

static size_t line_of(const struct complaints *c, const config_setting_t *at)
{
	size_t line = noted_line(at), before;
	const config_setting_t *parent = config_setting_parent(at);
	int index = config_setting_index(at);
	char first;

	if (!is_element(at) || config_setting_type(at) != CONFIG_TYPE_STRING)
		return line;
	before = noted_line(index > 0 ? config_setting_get_elem(parent, (unsigned)index - 1)
				      : parent);
	first = first_byte(c->text, line);
	/* What begins the line is behind the first element with this line, before all others. */
	if (line == before || (first != ',' && first != ')' && first != ']'))
		return line;
	do
		first = first_byte(c->text, --line);
	while (line > before && (first == '\n' || first == '\0'));
	return line;
}

struct settings_where complaints_where(const struct complaints *c, const config_setting_t *at)
{
	const struct text_line *line = text_line(c->text, line_of(c, at));

	return (struct settings_where){ line->file, line->line };
}

/* A number or string of a list is as its key: what stands in for a wrong one is not blamed. */
static bool is_known(const struct complaints *c, const config_setting_t *at)
{
	if (is_element(at) && config_setting_is_scalar(at))
		at = config_setting_parent(at);
	return text_line(c->text, noted_line(at))->reported;
}

void complain(const struct complaints *c, const config_setting_t *at, const char *format, ...)
{
	struct settings_where where;
	char text[1024];
	va_list args;

	if (c->silent || is_known(c, at))
		return;
	where = complaints_where(c, at);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_add(c->report, "%s:%d: %s", where.file, where.line, text);
}

bool complaints_get(const struct complaints *c, const config_setting_t *setting, const char *group,
		    const struct value_rule *rule, struct value *ret_value)
{
	char problem[VALUE_PROBLEM_MAX], name[REPORT_ESCAPED_MAX];

	if (value_get(setting, rule, ret_value, problem))
		return true;
	complain(c, setting, "%s%s%s %s", group, *group ? "." : "",
		 report_escape(name, config_setting_name(setting)), problem);
	return false;
}
