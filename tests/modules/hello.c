/* SPDX-License-Identifier: MIT */
/* A good module: says who it is and what it was told to say, and ends. It has a key of each type.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "simple-server.h"

#ifndef NAME
#define NAME "hello"
#endif

struct hello {
	const char *greeting, *farewell;
	int times;
	bool loud;
	int pause;
	int64_t limit;
	int ending;
};

static const char *const endings[] = { "lf", "crlf", NULL };

static const struct ss_key keys[] = {
	SS_STRING(struct hello, greeting, 0, 64, "hello world", "what is said"),
	SS_STRING(struct hello, farewell, 1, 64, NULL, "what is said at the end"),
	SS_INTEGER(struct hello, times, 1, 100, 1, "", "how often it is said"),
	SS_BOOL(struct hello, loud, false, "with an exclamation mark"),
	SS_SECONDS(struct hello, pause, 0, 60000, 1500, "how long to wait for nothing"),
	SS_INTEGER(struct hello, limit, 0, INT64_C(1) << 40, INT64_C(1) << 33, "bytes", "unused"),
	SS_WORD(struct hello, ending, endings, 1, "what ends a line"),
	SS_NO_MORE_KEYS,
};

static const char *const counters[] = { "greetings", "farewells", NULL };

/* Of the same name in each module that is made of this: each must get its own. */
const char *who_am_i(void);
const char *who_am_i(void)
{
	return NAME;
}

static int hello_check(const void *settings, char *problem, size_t size)
{
	const struct hello *hello = settings;

	if (*hello->greeting || hello->times == 1)
		return 0;
	snprintf(problem, size, "an empty greeting %d times; write 1", hello->times);
	return -EINVAL;
}

static int hello_open(struct ss_connection *connection)
{
	const struct hello *hello = ss_settings(ss_service_of(connection));
	char line[256];

	for (int i = 0; i < hello->times; i++) {
		int n = snprintf(line, sizeof(line), "%s: %s%s%s", who_am_i(), hello->greeting,
				 hello->loud ? "!" : "", hello->ending ? "\r\n" : "\n");
		ss_write(connection, line, (size_t)n);
	}
	ss_close(connection);
	return 0;
}

static int hello_reload(struct ss_service *service, const void *settings)
{
	const struct hello *hello = settings;

	(void)service;
	return hello->times > 5 ? -EBUSY : 0;
}

static size_t hello_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	(void)connection;
	(void)bytes;
	return length;
}

static const struct ss_handler handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.flags = SS_SPEAKS_FIRST,
	.name = NAME,
	.keys = keys,
	.settings_size = sizeof(struct hello),
	.counters = counters,
	.check = hello_check,
	.open = hello_open,
	.reload = hello_reload,
	.data = hello_data,
};

SS_MODULE(handler);
