/* SPDX-License-Identifier: MIT */
/*
 * daytime, RFC 867: one line with the date and time of day, then the end. The RFC leaves the form
 * open; this one is xinetd's, in local time with the name of the zone:
 *
 *      23 NOV 2026 15:44:37 UTC
 *
 * The zone is that of the start: tzset() replaces what other threads may be reading.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "simple-server.h"

static int daytime_load(void)
{
	tzset();
	return 0;
}

static int daytime_open(struct ss_connection *connection)
{
	static const char months[12][4] = { "JAN", "FEB", "MAR", "APR", "MAY", "JUN",
					    "JUL", "AUG", "SEP", "OCT", "NOV", "DEC" };
	time_t now = time(NULL);
	char line[96];
	struct tm tm;

	if (!localtime_r(&now, &tm))
		return -errno;
	int length = snprintf(line, sizeof(line), "%02d %s %d %02d:%02d:%02d %.32s\r\n", tm.tm_mday,
			      months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
			      tm.tm_sec, tm.tm_zone);
	ss_write(connection, line, (size_t)length); /* an error ends the connection by itself */
	ss_close(connection);
	return 0;
}

/* Required of every handler; after ss_close() it is not called. */
static size_t daytime_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	(void)connection;
	(void)bytes;
	return length;
}

const struct ss_handler daytime_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "daytime",
	.flags = SS_SPEAKS_FIRST | SS_STATELESS,
	.load = daytime_load,
	.open = daytime_open,
	.data = daytime_data,
};
