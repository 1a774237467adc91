/* SPDX-License-Identifier: MIT */
/*
 * Only `size` and `abi` stand in the same place in every version; so they are looked at first. What
 * is beyond the size that this program knows belongs to a newer header: all zero, it is not used,
 * and the handler does not miss what is not there.
 */
#include "module-private.h"

#include <string.h>

#include "util.h"

/* Of the first header. It stays as it is when callbacks are added. */
#define FIRST_SIZE (offsetof(struct ss_handler, close) + sizeof(((struct ss_handler *)0)->close))

/* More is no struct, but a member that was never set. */
#define SIZE_LIMIT          4096
#define SETTINGS_SIZE_LIMIT (1 << 20)
#define WORD_LIMIT          64
#define COUNTERS_LIMIT      64
#define KNOWN_FLAGS         (SS_SPEAKS_FIRST | SS_OFFLOADS | SS_CONNECTS | SS_STATELESS)

bool module_is_text(const char *string, size_t max)
{
	size_t n = strnlen(string, max + 1);

	for (size_t i = 0; i < n; i++)
		if (string[i] < 0x20 || string[i] > 0x7e)
			return false;
	return n <= max;
}

static bool is_word(const char *string)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	size_t n = strnlen(string, WORD_LIMIT + 1);

	return n > 0 && n <= WORD_LIMIT && strspn(string, allowed) == n;
}

static bool check_version(const struct ss_handler *given, char *problem)
{
	if (!given)
		return module_wrong(problem, "its ss_module() returns NULL; return the handler, as "
					     "SS_MODULE() does");
	if (given->abi != SS_ABI)
		return module_wrong(
			problem,
			"was built for version %u of the interface, and this server has "
			"version %d; build it with the header of this server",
			given->abi, SS_ABI);
	if (given->size < FIRST_SIZE || given->size > SIZE_LIMIT ||
	    given->size % _Alignof(struct ss_handler) != 0)
		return module_wrong(problem,
				    "says that its handler has a size of %zu bytes; write .size = "
				    "sizeof(struct ss_handler)",
				    given->size);
	return true;
}

static bool check_tail(const struct ss_handler *given, char *problem)
{
	const char *bytes = (const char *)given;

	for (size_t i = sizeof(*given); i < given->size; i++)
		if (bytes[i])
			return module_wrong(
				problem,
				"uses callbacks of a newer header, which this server does not "
				"know; update simple-server, or build it with the header of "
				"this server");
	return true;
}

static bool check_members(const struct ss_handler *handler, char *problem)
{
	if (!handler->name || !is_word(handler->name))
		return module_wrong(
			problem,
			"its handler has %s; write .name = \"...\", 1 to %d letters, digits "
			"and \"_.-\"",
			handler->name ? "a name that is not possible" : "no name", WORD_LIMIT);
	if (!handler->data)
		return module_wrong(problem,
				    "its handler has no data(), which is required; write one");
	if (handler->flags & ~(unsigned)KNOWN_FLAGS)
		return module_wrong(
			problem,
			"its handler has flags that this server does not know, 0x%x; build it "
			"with the header of this server",
			handler->flags & ~(unsigned)KNOWN_FLAGS);
	if (handler->flags & SS_CONNECTS && !handler->connected)
		return module_wrong(
			problem,
			"its handler has the flag SS_CONNECTS and no connected(); write one");
	if (!handler->freeze != !handler->thaw)
		return module_wrong(problem, "its handler has %s; write both, or none",
				    handler->freeze ? "a freeze() and no thaw()"
						    : "a thaw() and no freeze()");
	if (handler->freeze && handler->flags & SS_STATELESS)
		return module_wrong(problem,
				    "its handler has the flag SS_STATELESS and a freeze(); "
				    "remove one of the two");
	if (handler->settings_size > SETTINGS_SIZE_LIMIT)
		return module_wrong(
			problem,
			"says that its settings have a size of %zu bytes; at most %d are "
			"possible",
			handler->settings_size, SETTINGS_SIZE_LIMIT);
	return true;
}

static bool check_counters(const struct ss_handler *handler, char *problem)
{
	const char *const *names = handler->counters;

	for (size_t i = 0; names && names[i]; i++) {
		if (i == COUNTERS_LIMIT)
			return module_wrong(problem,
					    "has more than %d counters; end the list with NULL",
					    COUNTERS_LIMIT);
		if (!is_word(names[i]))
			return module_wrong(
				problem,
				"its counter %zu has a name that is not possible; write 1 to "
				"%d letters, digits and \"_.-\", and NULL after the last",
				i, WORD_LIMIT);
		for (size_t k = 0; k < i; k++)
			if (strcmp(names[k], names[i]) == 0)
				return module_wrong(
					problem, "has two counters of the name \"%s\"; rename one",
					names[i]);
	}
	return true;
}

bool module_check(const struct ss_handler *given, struct ss_handler *ret_handler,
		  char problem[MODULE_PROBLEM_MAX])
{
	struct ss_handler copy = { 0 };

	if (!check_version(given, problem) || !check_tail(given, problem))
		return false;
	memcpy(&copy, given, given->size < sizeof(copy) ? given->size : sizeof(copy));
	copy.size = sizeof(copy);
	if (!check_members(&copy, problem) || !check_counters(&copy, problem) ||
	    !module_check_keys(&copy, problem))
		return false;
	*ret_handler = copy;
	return true;
}
