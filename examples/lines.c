/* SPDX-License-Identifier: MIT */
/*
 * lines - answers each line with the same line in upper case: the smallest protocol of lines.
 *
 *      sockets = (
 *        { name = "lines"; handler = "module"; module = "lines.so"; }
 *      );
 *
 *      $ printf 'hello\nworld\n' | nc -N 127.0.0.1 7777
 *      HELLO
 *      WORLD
 */
#include <ctype.h>
#include <simple-server.h>

#define LONGEST 1024 /* bytes of a line, without its end */

static void answer(struct ss_connection *connection, const char *line, size_t length)
{
	static const char too_long[] = "LINE TOO LONG\n";
	char upper[LONGEST + 1];
	size_t i;

	if (!line) { /* and after this ss_lines() closes the connection */
		ss_write(connection, too_long, sizeof(too_long) - 1);
		return;
	}
	for (i = 0; i < length; i++)
		upper[i] = (char)toupper((unsigned char)line[i]);
	upper[length] = '\n';
	ss_write(connection, upper, length + 1); /* an error ends the connection by itself */
}

static size_t lines_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	return ss_lines(connection, bytes, length, LONGEST, answer);
}

static const struct ss_handler lines_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.flags = SS_STATELESS, /* a half line is kept by the server */
	.name = "lines",
	.data = lines_data,
};

SS_MODULE(lines_handler);
