/* SPDX-License-Identifier: MIT */
/*
 * The order of tokens in the configuration's syntax, for error messages that say what was expected
 * instead of "syntax error": brackets that match, a value for each key, no key twice, and bounds on
 * depth and number. libconfig parses the same text afterwards and has the last word.
 */
#ifndef SIMPLE_SERVER_GRAMMAR_H
#define SIMPLE_SERVER_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>

#include "report.h"

#define GRAMMAR_DEPTH_MAX    32
#define GRAMMAR_SETTINGS_MAX 4096
#define GRAMMAR_KEYS_MAX     256 /* of one group: libconfig compares each key with all others */

enum grammar_token {
	GRAMMAR_NAME,
	GRAMMAR_SCALAR, /* a number, true or false */
	GRAMMAR_STRING,
	GRAMMAR_ASSIGN,
	GRAMMAR_COMMA,
	GRAMMAR_SEMICOLON,
	GRAMMAR_OPEN,
	GRAMMAR_CLOSE,
};

/* What may come next. */
enum grammar_state {
	GRAMMAR_KEY,         /* a key, or the end of the group */
	GRAMMAR_ASSIGNMENT,  /* the sign between key and value */
	GRAMMAR_VALUE,       /* a value */
	GRAMMAR_FIRST,       /* a value, or the end of an empty list */
	GRAMMAR_AFTER_VALUE, /* what ends a setting of a group; the next key does as well */
	GRAMMAR_AFTER_ITEM,  /* a comma, or the end of the list */
};

struct grammar_place {
	const char *file; /* not owned */
	int line;
	size_t text_line;
};

struct grammar_key {
	const char *name; /* not owned, not terminated; valid as long as the grammar */
	size_t length;
	struct grammar_place place;
};

struct grammar_bracket {
	char opener, closer; /* the lowest is the file itself, without either */
	struct grammar_place place;
	size_t first_key; /* of its keys in `keys` */
};

/* Large: for the heap. */
struct grammar {
	struct report *report;
	enum grammar_state state;
	bool after_string; /* strings side by side are one */
	bool broken;       /* the text is not for libconfig */
	size_t n_settings; /* so far, values in lists included */
	size_t depth;
	struct grammar_bracket brackets[GRAMMAR_DEPTH_MAX + 1];
	size_t key_line; /* text line of the latest key */
	size_t n_keys;   /* of the groups that are open now */
	struct grammar_key keys[GRAMMAR_SETTINGS_MAX];
};

void grammar_init(struct grammar *grammar, struct report *report);

/*
 * The next token, whose bytes are `word`. False when it makes no sense to go on; then `report` has
 * the reason.
 */
bool grammar_take(struct grammar *grammar, enum grammar_token token, const char *word,
		  size_t length, struct grammar_place place);

/* The end of everything; reports what is unfinished. `place` is the end. */
void grammar_end(struct grammar *grammar, struct grammar_place place);

#endif
