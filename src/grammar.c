/* SPDX-License-Identifier: MIT */
/*
 * A state machine over tokens with a stack of open brackets. It accepts a little more than
 * libconfig does (any value in an array): what it lets pass libconfig still refuses. It never
 * accepts a key twice in a group, and it accepts the same on all releases of libconfig, of which
 * the newer ones take more.
 *
 * Keys of open groups are kept in one array, those of an inner group behind those of the outer
 * ones.
 */
#include "grammar.h"

#include <stdio.h>
#include <string.h>

#include "util.h"

#define WORD_SIZE REPORT_ESCAPED_MAX

void grammar_init(struct grammar *g, struct report *report)
{
	/* The keys, which are most of it, are written before they are read. */
	memset(g, 0, offsetof(struct grammar, keys));
	g->report = report;
}

static const char *printable(char out[WORD_SIZE], const char *word, size_t length)
{
	char copy[66];

	/* One more than report_escape() shows, so that it sees that there is more. */
	snprintf(copy, sizeof(copy), "%.*s", (int)(length < 65 ? length : 65), word);
	return report_escape(out, copy);
}

static bool refuse(struct grammar *g)
{
	g->broken = true;
	return false;
}

static const struct grammar_bracket *innermost(const struct grammar *g)
{
	return &g->brackets[g->depth];
}

static bool unexpected(struct grammar *g, const char *word, size_t length,
		       struct grammar_place place)
{
	char shown[WORD_SIZE], key[WORD_SIZE], expected[WORD_SIZE + 64];
	char closer = innermost(g)->closer;
	const struct grammar_key *last = g->n_keys ? &g->keys[g->n_keys - 1] : NULL;

	switch (g->state) {
	case GRAMMAR_KEY:
	case GRAMMAR_AFTER_VALUE:
		snprintf(expected, sizeof(expected), "write %sa key%s",
			 g->state == GRAMMAR_KEY ? "" : "\";\", or ", closer ? " or \"}\"" : "");
		break;
	case GRAMMAR_ASSIGNMENT:
		snprintf(expected, sizeof(expected), "write \"=\" after the key \"%s\"",
			 last ? printable(key, last->name, last->length) : "");
		break;
	case GRAMMAR_VALUE:
		snprintf(expected, sizeof(expected),
			 "write a value: a number, true, false, a \"string\", { } or ( )");
		break;
	case GRAMMAR_FIRST:
		snprintf(expected, sizeof(expected), "write a value or \"%c\"", closer);
		break;
	case GRAMMAR_AFTER_ITEM:
		snprintf(expected, sizeof(expected), "write \",\" or \"%c\"", closer);
		break;
	}
	report_add(g->report, "%s:%d: unexpected %s%s%s; %s", place.file, place.line,
		   *word == '"' ? "" : "\"", printable(shown, word, length),
		   *word == '"' ? "" : "\"", expected);
	return refuse(g);
}

static bool count(struct grammar *g, struct grammar_place place)
{
	if (++g->n_settings <= GRAMMAR_SETTINGS_MAX)
		return true;
	report_add(g->report, "%s:%d: too many settings; there may be %d in all", place.file,
		   place.line, GRAMMAR_SETTINGS_MAX);
	return refuse(g);
}

static void look_for_duplicate(struct grammar *g, const struct grammar_key *key)
{
	char name[WORD_SIZE];

	for (size_t i = innermost(g)->first_key; i < g->n_keys; i++) {
		const struct grammar_key *other = &g->keys[i];

		if (other->length != key->length ||
		    memcmp(other->name, key->name, key->length) != 0)
			continue;
		report_add(
			g->report,
			"%s:%d: the key \"%s\" is already set in the same place at %s:%d; keep one "
			"of them",
			key->place.file, key->place.line, printable(name, key->name, key->length),
			other->place.file, other->place.line);
		g->broken = true;
		return;
	}
}

static bool take_key(struct grammar *g, const char *word, size_t length, struct grammar_place place)
{
	struct grammar_key key = { .name = word, .length = length, .place = place };

	if (!count(g, place))
		return false;
	if (g->n_keys - innermost(g)->first_key == GRAMMAR_KEYS_MAX) {
		report_add(g->report, "%s:%d: too many keys in one group; there may be %d",
			   place.file, place.line, GRAMMAR_KEYS_MAX);
		return refuse(g);
	}
	look_for_duplicate(g, &key);
	/* Never full: each key here has been counted. */
	g->keys[g->n_keys++] = key;
	g->key_line = place.text_line;
	g->state = GRAMMAR_ASSIGNMENT;
	return true;
}

static bool in_list(const struct grammar *g)
{
	return innermost(g)->closer == ')' || innermost(g)->closer == ']';
}

static void value_ends(struct grammar *g)
{
	g->state = in_list(g) ? GRAMMAR_AFTER_ITEM : GRAMMAR_AFTER_VALUE;
}

static bool take_value(struct grammar *g, enum grammar_token token, const char *word,
		       struct grammar_place place)
{
	struct grammar_bracket *bracket;

	/* The value of a key has been counted with the key. */
	if (in_list(g) && !count(g, place))
		return false;
	if (token != GRAMMAR_OPEN) {
		value_ends(g);
		g->after_string = token == GRAMMAR_STRING;
		return true;
	}

	if (g->depth == GRAMMAR_DEPTH_MAX) {
		report_add(g->report, "%s:%d: \"%c\" is nested too deeply; at most %d may be open",
			   place.file, place.line, *word, GRAMMAR_DEPTH_MAX);
		return refuse(g);
	}
	bracket = &g->brackets[++g->depth];
	bracket->opener = *word;
	bracket->closer = *word == '{' ? '}' : *word == '(' ? ')' : ']';
	bracket->place = place;
	bracket->first_key = g->n_keys;
	g->state = *word == '{' ? GRAMMAR_KEY : GRAMMAR_FIRST;
	return true;
}

static bool take_close(struct grammar *g, char closer, struct grammar_place place)
{
	const struct grammar_bracket *bracket = innermost(g);

	if (g->depth == 0) {
		report_add(g->report, "%s:%d: \"%c\" closes nothing; take it away", place.file,
			   place.line, closer);
		return refuse(g);
	}
	if (bracket->closer != closer) {
		report_add(g->report,
			   "%s:%d: \"%c\" does not close the \"%c\" of %s:%d; write \"%c\"",
			   place.file, place.line, closer, bracket->opener, bracket->place.file,
			   bracket->place.line, bracket->closer);
		return refuse(g);
	}
	g->n_keys = bracket->first_key;
	g->depth--;
	value_ends(g);
	return true;
}

static bool is_value(enum grammar_token token)
{
	return token == GRAMMAR_SCALAR || token == GRAMMAR_STRING || token == GRAMMAR_OPEN;
}

static bool may_close(enum grammar_state state)
{
	return state != GRAMMAR_ASSIGNMENT && state != GRAMMAR_VALUE;
}

bool grammar_take(struct grammar *g, enum grammar_token token, const char *word, size_t length,
		  struct grammar_place place)
{
	bool after_string = g->after_string;

	g->after_string = false;
	if (token == GRAMMAR_CLOSE && may_close(g->state))
		return take_close(g, *word, place);

	switch (g->state) {
	case GRAMMAR_AFTER_VALUE:
		if (token == GRAMMAR_SEMICOLON || token == GRAMMAR_COMMA) {
			g->state = GRAMMAR_KEY;
			return true;
		}
		__attribute__((fallthrough));
	case GRAMMAR_KEY:
		if (token == GRAMMAR_NAME)
			return take_key(g, word, length, place);
		break;
	case GRAMMAR_ASSIGNMENT:
		if (token == GRAMMAR_ASSIGN) {
			g->state = GRAMMAR_VALUE;
			return true;
		}
		break;
	case GRAMMAR_VALUE:
	case GRAMMAR_FIRST:
		if (is_value(token))
			return take_value(g, token, word, place);
		break;
	case GRAMMAR_AFTER_ITEM:
		if (token == GRAMMAR_COMMA) {
			g->state = GRAMMAR_VALUE;
			return true;
		}
		break;
	}
	if (token == GRAMMAR_STRING && after_string) {
		g->after_string = true;
		return true;
	}
	return unexpected(g, word, length, place);
}

void grammar_end(struct grammar *g, struct grammar_place place)
{
	if (g->broken)
		return;
	for (size_t i = g->depth; i > 0; i--) {
		const struct grammar_bracket *b = &g->brackets[i];

		report_add(g->report, "%s:%d: \"%c\" is never closed; write \"%c\"", b->place.file,
			   b->place.line, b->opener, b->closer);
		g->broken = true;
	}
	if (!g->broken && (g->state == GRAMMAR_ASSIGNMENT || g->state == GRAMMAR_VALUE)) {
		report_add(g->report, "%s:%d: the file ends within a setting; write its value",
			   place.file, place.line);
		g->broken = true;
	}
}
