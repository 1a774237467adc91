/* SPDX-License-Identifier: MIT */
/*
 * What a value of the file must be, and whether one is: exact types, ranges, and the words for
 * both.
 */
#ifndef SIMPLE_SERVER_SETTINGS_VALUE_H
#define SIMPLE_SERVER_SETTINGS_VALUE_H

#include <libconfig.h>
#include <stdbool.h>
#include <stdint.h>

enum value_type {
	VALUE_BOOL,
	VALUE_INTEGER,
	VALUE_SECONDS, /* with a fraction in the file; in milliseconds here */
	VALUE_STRING,  /* printable ASCII without quotes and backslashes */
	VALUE_NAME,    /* a FileDescriptorName: printable ASCII without a colon */
	VALUE_GROUP,
	VALUE_LIST,
};

struct value_rule {
	enum value_type type;
	int64_t min, max; /* of numbers; of the length for strings */
	const char *unit; /* "" without one */
};

struct value {
	int64_t number;
	const char *string; /* owned by the setting */
};

/* "an integer from 0 to 1024", "true or false", ... */
#define VALUE_TEXT_MAX 128
const char *value_expected(char out[VALUE_TEXT_MAX], const struct value_rule *rule);

/* Milliseconds as seconds with at least one digit after the point. */
#define VALUE_SECONDS_MAX 32
const char *value_seconds(char out[VALUE_SECONDS_MAX], int64_t milliseconds);

/*
 * Whether `setting` is as the rule says; then *ret_value has it, except for groups and lists. If
 * not, `problem` is the end of a message that begins with the name: "is a string; write true or
 * false".
 */
#define VALUE_PROBLEM_MAX 320
bool value_get(const config_setting_t *setting, const struct value_rule *rule,
	       struct value *ret_value, char problem[VALUE_PROBLEM_MAX]);

#endif
