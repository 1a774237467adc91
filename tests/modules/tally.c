/* SPDX-License-Identifier: MIT */
/* Answers each line with its number; the number goes to the next process. TALLY_VERSION is that of
 * it. */
#include <errno.h>
#include <simple-server.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef TALLY_VERSION
#define TALLY_VERSION 1
#endif

struct tally {
	unsigned version, lines;
};

static int tally_open(struct ss_connection *connection)
{
	struct tally *tally = malloc(sizeof(*tally));

	if (!tally)
		return -ENOMEM;
	tally->version = TALLY_VERSION;
	tally->lines = 0;
	ss_set_state(connection, tally);
	return 0;
}

static void answer(struct ss_connection *connection, const char *line, size_t length)
{
	struct tally *tally = ss_state(connection);
	char text[64];
	int n = snprintf(text, sizeof(text), "%u: %.*s\n", ++tally->lines, line ? (int)length : 0,
			 line ? line : "");

	ss_write(connection, text, (size_t)n);
}

static size_t tally_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	return ss_lines(connection, bytes, length, 32, answer);
}

static void tally_close(struct ss_connection *connection, enum ss_reason reason)
{
	(void)reason;
	free(ss_state(connection));
}

static int tally_freeze(struct ss_connection *connection, void *state, size_t size,
			size_t *ret_length)
{
	struct tally *tally = ss_state(connection);

	(void)size;
	memcpy(state, tally, sizeof(*tally));
	*ret_length = sizeof(*tally);
	free(tally);
	return 0;
}

static int tally_thaw(struct ss_connection *connection, const void *state, size_t length)
{
	struct tally *tally = malloc(sizeof(*tally));

	if (!tally)
		return -ENOMEM;
	if (length == sizeof(*tally))
		memcpy(tally, state, length);
	if (length != sizeof(*tally) || tally->version != TALLY_VERSION) {
		free(tally);
		return -EINVAL;
	}
	ss_set_state(connection, tally);
	return 0;
}

static const struct ss_handler tally_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "tally",
	.open = tally_open,
	.data = tally_data,
	.close = tally_close,
	.freeze = tally_freeze,
	.thaw = tally_thaw,
};

SS_MODULE(tally_handler);
