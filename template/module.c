/* SPDX-License-Identifier: MIT */
/*
 * @NAME@ - answers each line with its number, a greeting and the line itself.
 *
 * A place to start from: it has a key of its own, a counter, and a state for each connection. Take
 * away what you do not need. simple-server-handler(3) has all that there is.
 */
#include <errno.h>
#include <simple-server.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#define LINE_LONGEST     1000 /* bytes, without the end of the line */
#define GREETING_LONGEST 64

/* What the group `settings` of the file may have. */
struct @NAME@_settings {
	const char *greeting;
};

static const struct ss_key keys[] = {
	SS_STRING(struct @NAME@_settings, greeting, 1, GREETING_LONGEST, "hello",
		  "what is put in front of each line"),
	SS_NO_MORE_KEYS,
};

/* What is counted; `systemctl status` shows the sums. */
enum { LINES };
static const char *const counters[] = { "lines", NULL };

/* The state of a connection. */
struct session {
	unsigned int lines;
};

static int @NAME@_open(struct ss_connection *connection)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return -ENOMEM; /* the connection is refused */
	ss_set_state(connection, session);
	return 0;
}

static void on_line(struct ss_connection *connection, const char *line, size_t length)
{
	const struct @NAME@_settings *settings = ss_settings(ss_service_of(connection));
	struct session *session = ss_state(connection);
	char answer[LINE_LONGEST + GREETING_LONGEST + 32];
	int n;

	if (!line) { /* and after this ss_lines() closes the connection */
		ss_log(connection, LOG_NOTICE, "line %u is too long", session->lines + 1);
		return;
	}
	/* `line` is no string: it ends where `length` says, and may have any bytes. */
	n = snprintf(answer, sizeof(answer), "%u %s ", ++session->lines, settings->greeting);
	memcpy(answer + n, line, length);
	answer[(size_t)n + length] = '\n';
	ss_write(connection, answer, (size_t)n + length + 1);
	ss_count(connection, LINES, 1);
}

static size_t @NAME@_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	return ss_lines(connection, bytes, length, LINE_LONGEST, on_line);
}

static void @NAME@_close(struct ss_connection *connection, enum ss_reason reason)
{
	(void)reason;
	free(ss_state(connection));
}

/*
 * The file has changed. The settings are asked for with each line, so the new ones may take the place
 * of the old ones; what was made of the old ones would be made again here, with a lock if others read
 * it. Without this callback a changed `settings` waits for a restart.
 */
static int @NAME@_reload(struct ss_service *service, const void *settings)
{
	(void)service;
	(void)settings;
	return 0;
}

static const struct ss_handler @NAME@_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "@NAME@",
	.keys = keys,
	.settings_size = sizeof(struct @NAME@_settings),
	.counters = counters,
	.open = @NAME@_open,
	.data = @NAME@_data,
	.close = @NAME@_close,
	.reload = @NAME@_reload,
};

SS_MODULE(@NAME@_handler);
