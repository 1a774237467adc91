/* SPDX-License-Identifier: MIT */
/*
 * time, RFC 868: the seconds since 1900-01-01 00:00:00 UTC as 32 bits, the highest byte first, then
 * the end.
 *
 * 32 bits are full at 2036-02-07 06:28:15 UTC; a second later the count goes on from 0, as that of
 * NTP does. A client knows by its own clock which of the rounds of 136 years is meant.
 */
#include <stdint.h>
#include <time.h>

#include "simple-server.h"

#define FROM_1900_TO_1970 2208988800u /* 70 years, 17 of them leap years */

static int time_open(struct ss_connection *connection)
{
	uint32_t seconds = (uint32_t)time(NULL) + FROM_1900_TO_1970; /* wraps in 2036 */
	const unsigned char answer[] = {
		(unsigned char)(seconds >> 24),
		(unsigned char)(seconds >> 16),
		(unsigned char)(seconds >> 8),
		(unsigned char)seconds,
	};

	ss_write(connection, answer, sizeof(answer)); /* an error ends the connection by itself */
	ss_close(connection);
	return 0;
}

/* Required of every handler; after ss_close() it is not called. */
static size_t time_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	(void)connection;
	(void)bytes;
	return length;
}

const struct ss_handler time_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "time",
	.flags = SS_SPEAKS_FIRST | SS_STATELESS,
	.open = time_open,
	.data = time_data,
};
