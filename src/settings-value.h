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

#include "access.h"

enum value_type {
	VALUE_BOOL,
	VALUE_INTEGER,
	VALUE_SECONDS, /* with a fraction in the file; in milliseconds here */
	VALUE_WORD,    /* one of a few; its index here. Up to this one, a value is a number */
	VALUE_STRING,  /* printable ASCII without blanks, quotes and backslashes */
	VALUE_TEXT,    /* printable ASCII */
	VALUE_NAME,    /* a FileDescriptorName: printable ASCII without a colon */
	VALUE_PREFIX,  /* of addresses; an element of the next */
	VALUE_PREFIXES,
	VALUE_INTEGERS, /* a list of them. Up to this one, a key has a value of its own */
	VALUE_GROUP,
	VALUE_LIST, /* of groups */
};

struct value_rule {
	enum value_type type;
	int64_t min, max; /* of numbers; of the length for strings; of each element for integers */
	bool or_zero;     /* 0 is possible as well, below `min` */
	const char *unit; /* "" without one */
	const char *const *words; /* of VALUE_WORD; with a NULL at the end */
};

struct value {
	int64_t number;
	const char *string; /* owned by the setting */
	struct access_prefix prefix;
};

/* "an integer from 0 to 1024", "true or false", ... */
#define VALUE_TEXT_MAX 128
const char *value_expected(char out[VALUE_TEXT_MAX], const struct value_rule *rule);

/* Milliseconds as seconds with at least one digit after the point. */
#define VALUE_SECONDS_MAX 32
const char *value_seconds(char out[VALUE_SECONDS_MAX], int64_t milliseconds);

/*
 * Whether `setting` is as the rule says; then *ret_value has it, except for groups and lists, whose
 * elements are not looked at. If not, `problem` is the end of a message that begins with the name:
 * "is a string; write true or false".
 */
#define VALUE_PROBLEM_MAX 320
bool value_get(const config_setting_t *setting, const struct value_rule *rule,
	       struct value *ret_value, char problem[VALUE_PROBLEM_MAX]);

#endif
