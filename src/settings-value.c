/* SPDX-License-Identifier: MIT */
/*
 * libconfig gives the wrong type as "not there" and converts when it may; so the type is looked at
 * here, and the value taken by the very function of its type. Any thread.
 */
#include "settings-value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "report.h"
#include "util.h"

const char *value_seconds(char out[VALUE_SECONDS_MAX], int64_t milliseconds)
{
	int n = snprintf(out, VALUE_SECONDS_MAX, "%" PRId64 ".%03d", milliseconds / 1000,
			 (int)(milliseconds % 1000));

	while (n > 2 && out[n - 1] == '0' && out[n - 2] != '.')
		out[--n] = '\0';
	return out;
}

static const char *expected_word(char out[VALUE_TEXT_MAX], const char *const *words)
{
	size_t n = 0;

	for (size_t i = 0; words[i] && n < VALUE_TEXT_MAX; i++)
		n += (size_t)snprintf(out + n, VALUE_TEXT_MAX - n, "%s\"%s\"", i ? " or " : "",
				      words[i]);
	return out;
}

static const char *expected_number(char out[VALUE_TEXT_MAX], const struct value_rule *rule)
{
	char min[VALUE_SECONDS_MAX], max[VALUE_SECONDS_MAX];
	bool seconds = rule->type == VALUE_SECONDS;

	if (seconds) {
		value_seconds(min, rule->min);
		value_seconds(max, rule->max);
	} else {
		snprintf(min, sizeof(min), "%" PRId64, rule->min);
		snprintf(max, sizeof(max), "%" PRId64, rule->max);
	}
	snprintf(out, VALUE_TEXT_MAX, "%s%s from %s to %s%s%s", rule->or_zero ? "0, or " : "",
		 seconds ? "a number" : "an integer", min, max, *rule->unit ? " " : "", rule->unit);
	return out;
}

const char *value_expected(char out[VALUE_TEXT_MAX], const struct value_rule *rule)
{
	switch (rule->type) {
	case VALUE_BOOL:
		return strcpy(out, "true or false");
	case VALUE_INTEGER:
	case VALUE_SECONDS:
		return expected_number(out, rule);
	case VALUE_WORD:
		return expected_word(out, rule->words);
	case VALUE_STRING:
		snprintf(out, VALUE_TEXT_MAX,
			 "a string of %" PRId64 " to %" PRId64
			 " ASCII characters without blanks, quotes and backslashes",
			 rule->min, rule->max);
		return out;
	case VALUE_TEXT:
		snprintf(out, VALUE_TEXT_MAX,
			 "a string of %" PRId64 " to %" PRId64 " printable ASCII characters",
			 rule->min, rule->max);
		return out;
	case VALUE_NAME:
		snprintf(out, VALUE_TEXT_MAX,
			 "a string of %" PRId64 " to %" PRId64
			 " printable ASCII characters without \":\"",
			 rule->min, rule->max);
		return out;
	case VALUE_PREFIX:
		return strcpy(out, "an address like \"192.0.2.1\", or a prefix like "
				   "\"2001:db8::/32\", or \"any\"");
	case VALUE_PREFIXES:
		return strcpy(out, "a list: ( \"192.0.2.0/24\", \"2001:db8::1\" )");
	case VALUE_INTEGERS:
		return strcpy(out, "a list: ( 1000, 1001 )");
	case VALUE_GROUP:
		return strcpy(out, "a group: { ... }");
	case VALUE_LIST:
		return strcpy(out, "a list: ( { ... }, { ... } )");
	}
	return strcpy(out, "");
}

static const char *kind(const config_setting_t *setting)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_GROUP:
		return "a group";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "an integer";
	case CONFIG_TYPE_FLOAT:
		return "a number with a fraction";
	case CONFIG_TYPE_STRING:
		return "a string";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_ARRAY:
		return "an array";
	case CONFIG_TYPE_LIST:
		return "a list";
	}
	return "empty";
}

static bool is_integer(const config_setting_t *setting)
{
	return config_setting_type(setting) == CONFIG_TYPE_INT ||
	       config_setting_type(setting) == CONFIG_TYPE_INT64;
}

static int64_t integer(const config_setting_t *setting)
{
	if (config_setting_type(setting) == CONFIG_TYPE_INT)
		return config_setting_get_int(setting);
	return config_setting_get_int64(setting);
}

static bool is_of_type(const config_setting_t *setting, enum value_type type)
{
	switch (type) {
	case VALUE_BOOL:
		return config_setting_type(setting) == CONFIG_TYPE_BOOL;
	case VALUE_INTEGER:
		return is_integer(setting);
	case VALUE_SECONDS:
		return is_integer(setting) || config_setting_type(setting) == CONFIG_TYPE_FLOAT;
	case VALUE_WORD:
	case VALUE_STRING:
	case VALUE_TEXT:
	case VALUE_NAME:
	case VALUE_PREFIX:
		return config_setting_type(setting) == CONFIG_TYPE_STRING;
	case VALUE_PREFIXES:
	case VALUE_INTEGERS:
		return config_setting_type(setting) == CONFIG_TYPE_LIST ||
		       config_setting_type(setting) == CONFIG_TYPE_ARRAY;
	case VALUE_GROUP:
		return config_setting_type(setting) == CONFIG_TYPE_GROUP;
	case VALUE_LIST:
		return config_setting_type(setting) == CONFIG_TYPE_LIST;
	}
	return false;
}

static bool in_range(int64_t number, const struct value_rule *rule)
{
	return (number >= rule->min && number <= rule->max) || (rule->or_zero && number == 0);
}

static bool get_integer(const config_setting_t *setting, const struct value_rule *rule,
			struct value *ret_value, char problem[VALUE_PROBLEM_MAX])
{
	char expected[VALUE_TEXT_MAX];

	ret_value->number = integer(setting);
	if (in_range(ret_value->number, rule))
		return true;
	snprintf(problem, VALUE_PROBLEM_MAX, "= %" PRId64 " is out of range; write %s",
		 ret_value->number, value_expected(expected, rule));
	return false;
}

/* Compared as it was written: 60.0004 is over 60, though both are 60000 ms. */
static bool get_seconds(const config_setting_t *setting, const struct value_rule *rule,
			struct value *ret_value, char problem[VALUE_PROBLEM_MAX])
{
	char expected[VALUE_TEXT_MAX];
	double seconds = is_integer(setting) ? (double)integer(setting)
					     : config_setting_get_float(setting);

	if ((seconds >= (double)rule->min / 1000 && seconds <= (double)rule->max / 1000) ||
	    (rule->or_zero && seconds >= 0 && seconds <= 0)) {
		ret_value->number = (int64_t)(seconds * 1000 + 0.5);
		return true;
	}
	snprintf(problem, VALUE_PROBLEM_MAX, "= %.10g is out of range; write %s", seconds,
		 value_expected(expected, rule));
	return false;
}

static bool is_allowed(char c, enum value_type type)
{
	if (c < 0x20 || c > 0x7e)
		return false;
	return type == VALUE_TEXT || !strchr(type == VALUE_NAME ? ":" : " \"\\", c);
}

static bool get_string(const config_setting_t *setting, const struct value_rule *rule,
		       struct value *ret_value, char problem[VALUE_PROBLEM_MAX])
{
	const char *string = config_setting_get_string(setting);
	char expected[VALUE_TEXT_MAX], shown[REPORT_ESCAPED_MAX];
	bool fits = in_range((int64_t)strlen(string), rule);

	for (const char *c = string; fits && *c; c++)
		fits = is_allowed(*c, rule->type);
	ret_value->string = string;
	if (!fits)
		snprintf(problem, VALUE_PROBLEM_MAX, "= \"%.100s\" is not possible; write %s",
			 report_escape(shown, string), value_expected(expected, rule));
	return fits;
}

static bool get_word(const config_setting_t *setting, const struct value_rule *rule,
		     struct value *ret_value, char problem[VALUE_PROBLEM_MAX])
{
	const char *string = config_setting_get_string(setting), *near;
	char expected[VALUE_TEXT_MAX], shown[REPORT_ESCAPED_MAX];

	for (int64_t i = 0; rule->words[i]; i++)
		if (strcmp(rule->words[i], string) == 0) {
			ret_value->number = i;
			return true;
		}
	near = report_nearest(string, rule->words);
	if (near)
		snprintf(expected, sizeof(expected), "did you mean \"%s\"?", near);
	snprintf(problem, VALUE_PROBLEM_MAX, "= \"%.100s\" is not possible; %s%s",
		 report_escape(shown, string), near ? "" : "write ",
		 near ? expected : value_expected(expected, rule));
	return false;
}

static bool get_prefix(const config_setting_t *setting, struct value *ret_value,
		       char problem[VALUE_PROBLEM_MAX])
{
	const char *string = config_setting_get_string(setting);
	char shown[REPORT_ESCAPED_MAX], why[ACCESS_PROBLEM_MAX];

	if (access_parse_prefix(string, &ret_value->prefix, why) == 0)
		return true;
	snprintf(problem, VALUE_PROBLEM_MAX, "= \"%.100s\" %s", report_escape(shown, string), why);
	return false;
}

bool value_get(const config_setting_t *setting, const struct value_rule *rule,
	       struct value *ret_value, char problem[VALUE_PROBLEM_MAX])
{
	char expected[VALUE_TEXT_MAX];

	*ret_value = (struct value){ 0 };
	if (!is_of_type(setting, rule->type)) {
		snprintf(problem, VALUE_PROBLEM_MAX, "is %s; write %s", kind(setting),
			 value_expected(expected, rule));
		return false;
	}
	switch (rule->type) {
	case VALUE_BOOL:
		ret_value->number = config_setting_get_bool(setting) != CONFIG_FALSE;
		return true;
	case VALUE_INTEGER:
		return get_integer(setting, rule, ret_value, problem);
	case VALUE_SECONDS:
		return get_seconds(setting, rule, ret_value, problem);
	case VALUE_STRING:
	case VALUE_TEXT:
	case VALUE_NAME:
		return get_string(setting, rule, ret_value, problem);
	case VALUE_WORD:
		return get_word(setting, rule, ret_value, problem);
	case VALUE_PREFIX:
		return get_prefix(setting, ret_value, problem);
	case VALUE_PREFIXES:
	case VALUE_INTEGERS:
	case VALUE_GROUP:
	case VALUE_LIST:
		return true;
	}
	return false;
}
