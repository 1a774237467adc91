/* SPDX-License-Identifier: MIT */
/*
 * A key that is wrong would be stored over something else. What can be told from numbers comes
 * first: behind a table without an end stands anything, and what would be its names is no pointer.
 */
#include <stdint.h>
#include <string.h>

#include "module-private.h"
#include "util.h"

#define KEYS_LIMIT   256
#define NAME_LIMIT   64
#define STRING_LIMIT 65536
#define TEXT_LIMIT   120
#define WORDS_LIMIT  64

/* Up to here every ms is a number of its own as a double, which the file has seconds in. */
#define SECONDS_LIMIT_MS (INT64_C(1) << 53)

struct member {
	size_t size, alignment;
};

static const struct member bool_member = { sizeof(bool), _Alignof(bool) };
static const struct member int_member = { sizeof(int), _Alignof(int) };
static const struct member int64_member = { sizeof(int64_t), _Alignof(int64_t) };
static const struct member string_member = { sizeof(char *), _Alignof(char *) };

/* What a key of each type may set. */
static const struct {
	const struct member *members[2];
	const char *names;
} types[] = {
	[SS_KEY_BOOL] = { { &bool_member, &int_member }, "bool or int" },
	[SS_KEY_INTEGER] = { { &int_member, &int64_member }, "int or int64_t" },
	[SS_KEY_SECONDS] = { { &int_member, &int64_member }, "int or int64_t" },
	[SS_KEY_WORD] = { { &int_member }, "int" },
	[SS_KEY_STRING] = { { &string_member }, "const char *" },
};

/* What says nothing of which key it is, for its name may be none. */
static bool check_row(const struct ss_key *key, size_t i, char *problem)
{
	bool reserved = false;

	for (size_t k = 0; k < ARRAY_SIZE(key->reserved); k++)
		reserved = reserved || key->reserved[k];
	if ((unsigned)key->type >= ARRAY_SIZE(types) || reserved)
		return module_wrong(
			problem,
			"row %zu of its keys is of a kind that this server does not know; end "
			"the table with SS_NO_MORE_KEYS, and build it with the header of this "
			"server",
			i);
	return true;
}

static bool check_name(const struct ss_key *key, size_t i, char *problem)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	size_t n = strnlen(key->name, NAME_LIMIT + 1);

	if (n == 0 || n > NAME_LIMIT || strspn(key->name, allowed) != n || key->name[0] < 'a' ||
	    strcmp(key->name, "true") == 0 || strcmp(key->name, "false") == 0)
		return module_wrong(
			problem,
			"row %zu of its keys has a name that no key of the file can have; "
			"write a letter, then up to %d small letters, digits and \"_\"",
			i, NAME_LIMIT - 1);
	return true;
}

static bool check_member(const struct ss_key *key, const struct ss_handler *handler, char *problem)
{
	const struct member *const *members = types[key->type].members;
	const struct member *member = members[1] && key->size == members[1]->size ? members[1]
										  : members[0];

	if (key->size != member->size || key->offset % member->alignment != 0)
		return module_wrong(problem,
				    "its key \"%s\" sets a member of another type; make it %s",
				    key->name, types[key->type].names);
	if (key->offset > handler->settings_size ||
	    key->size > handler->settings_size - key->offset)
		return module_wrong(
			problem,
			"its key \"%s\" lies beyond its settings_size of %zu bytes; write "
			".settings_size = sizeof of the struct that the keys are members of",
			key->name, handler->settings_size);
	return true;
}

static bool check_number(const struct ss_key *key, char *problem)
{
	int64_t least = INT64_MIN, most = INT64_MAX;

	if (key->size == sizeof(int)) {
		least = INT_MIN;
		most = INT_MAX;
	}
	if (key->type == SS_KEY_SECONDS) {
		least = 0;
		most = most > SECONDS_LIMIT_MS ? SECONDS_LIMIT_MS : most;
	}
	if (key->min > key->max || key->min < least || key->max > most)
		return module_wrong(
			problem,
			"its key \"%s\" goes from %lld to %lld%s; its member can hold a range "
			"within %lld to %lld",
			key->name, (long long)key->min, (long long)key->max,
			key->type == SS_KEY_SECONDS ? " ms" : "", (long long)least,
			(long long)most);
	if (key->initial < key->min || key->initial > key->max)
		return module_wrong(
			problem,
			"its key \"%s\" is %lld at first, which is not from %lld to %lld; "
			"change the one or the other",
			key->name, (long long)key->initial, (long long)key->min,
			(long long)key->max);
	return true;
}

static bool check_words(const struct ss_key *key, char *problem)
{
	int64_t n = 0;

	while (key->words && n <= WORDS_LIMIT && key->words[n]) {
		if (!module_is_text(key->words[n], NAME_LIMIT))
			return module_wrong(
				problem,
				"word %lld of its key \"%s\" is not possible; write up to %d "
				"printable ASCII characters, and NULL after the last word",
				(long long)n, key->name, NAME_LIMIT);
		n++;
	}
	if (n == 0 || n > WORDS_LIMIT)
		return module_wrong(problem,
				    "its key \"%s\" has %s words; write 1 to %d, and then NULL",
				    key->name, n ? "too many" : "no", WORDS_LIMIT);
	if (key->initial < 0 || key->initial >= n)
		return module_wrong(
			problem,
			"its key \"%s\" is word %lld at first, and it has %lld; count from 0",
			key->name, (long long)key->initial, (long long)n);
	return true;
}

static bool check_string(const struct ss_key *key, char *problem)
{
	if (key->min > key->max || key->min < 0 || key->max > STRING_LIMIT)
		return module_wrong(
			problem,
			"its key \"%s\" has %lld to %lld characters; a range within 0 to %d is "
			"possible",
			key->name, (long long)key->min, (long long)key->max, STRING_LIMIT);
	if (key->string && (!module_is_text(key->string, (size_t)key->max) ||
			    strlen(key->string) < (size_t)key->min))
		return module_wrong(
			problem,
			"its key \"%s\" at first has a string that the file could not give it; "
			"write %lld to %lld printable ASCII characters, or NULL",
			key->name, (long long)key->min, (long long)key->max);
	return true;
}

static bool check_value(const struct ss_key *key, char *problem)
{
	switch (key->type) {
	case SS_KEY_BOOL:
		if (key->initial == 0 || key->initial == 1)
			return true;
		return module_wrong(problem, "its key \"%s\" is %lld at first; write 0 or 1",
				    key->name, (long long)key->initial);
	case SS_KEY_WORD:
		return check_words(key, problem);
	case SS_KEY_STRING:
		return check_string(key, problem);
	default:
		return check_number(key, problem);
	}
}

/* They end up in a line of --dump, which has to load again. */
static bool check_texts(const struct ss_key *key, char *problem)
{
	if ((key->unit && !module_is_text(key->unit, TEXT_LIMIT)) ||
	    (key->help && !module_is_text(key->help, TEXT_LIMIT)))
		return module_wrong(
			problem,
			"its key \"%s\" has a unit or a help that is not possible; write up to "
			"%d printable ASCII characters",
			key->name, TEXT_LIMIT);
	return true;
}

static bool check_apart(const struct ss_key *a, const struct ss_key *b, char *problem)
{
	if (strcmp(a->name, b->name) == 0)
		return module_wrong(problem, "has two keys of the name \"%s\"; remove one",
				    a->name);
	if (a->offset < b->offset + b->size && b->offset < a->offset + a->size)
		return module_wrong(problem,
				    "its keys \"%s\" and \"%s\" set the same member; remove one",
				    a->name, b->name);
	return true;
}

bool module_check_keys(const struct ss_handler *handler, char problem[MODULE_PROBLEM_MAX])
{
	const struct ss_key *keys = handler->keys;

	for (size_t i = 0; keys && keys[i].name; i++) {
		if (i == KEYS_LIMIT)
			return module_wrong(
				problem,
				"has more than %d keys; end the table with SS_NO_MORE_KEYS",
				KEYS_LIMIT);
		if (!check_row(&keys[i], i, problem) || !check_name(&keys[i], i, problem) ||
		    !check_member(&keys[i], handler, problem) || !check_value(&keys[i], problem) ||
		    !check_texts(&keys[i], problem))
			return false;
		for (size_t k = 0; k < i; k++)
			if (!check_apart(&keys[k], &keys[i], problem))
				return false;
	}
	return true;
}
