/* SPDX-License-Identifier: MIT */
#include "stats.h"

const char *stats_error_name(enum stats_error error)
{
	static const char *const names[STATS_ERRORS] = {
		[STATS_CONNECT] = "connect",
		[STATS_CONNECT_TIMEOUT] = "connect-timeout",
		[STATS_ANSWER_TIMEOUT] = "answer-timeout",
		[STATS_RESET] = "reset",
		[STATS_SHORT] = "short",
		[STATS_WRONG_BYTES] = "wrong-bytes",
		[STATS_EXTRA_BYTES] = "extra-bytes",
		[STATS_SYSTEM] = "system",
	};

	return names[error];
}
