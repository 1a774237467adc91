/* SPDX-License-Identifier: MIT */
/*
 * daytime and time: connect, read until the server closes, look at what it said, and again. A
 * request is a connection.
 */
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "clock.h"
#include "session.h"
#include "thread.h"

_Static_assert(SESSION_ANSWER_MAX >= ANSWER_DAYTIME_MAX, "no room for a line");

static size_t most_of(const struct session *s)
{
	return s->mode == &mode_time ? ANSWER_TIME_SIZE : ANSWER_DAYTIME_MAX;
}

static void begin(struct session *s, int64_t scheduled, int64_t now)
{
	*session_push(s) = (struct request){ .scheduled = scheduled, .sent = now };
	session_open(s);
}

/* False when the session is lost. */
static bool keep(struct session *s, size_t n)
{
	size_t most = most_of(s), room = most - (size_t)s->received;

	if (n > room) {
		session_fail(
			s, STATS_EXTRA_BYTES,
			"connection %u: byte %zu of the answer is 0x%02x, and %zu are the most",
			s->number, most, s->pool->buffer[room], most);
		return false;
	}
	memcpy(s->answer + s->received, s->pool->buffer, n);
	s->received += n;
	return true;
}

static const char *what_is_wrong(const struct session *s)
{
	time_t now = time(NULL);

	return s->mode == &mode_time
		       ? answer_wrong_time(s->answer, s->received, now)
		       : answer_wrong_daytime(s->answer, s->received, now, &s->pool->daytime);
}

static void fail_wrong(struct session *s, const char *wrong)
{
	char hex[3 * 16 + 1] = "";

	for (size_t i = 0; i < s->received && i < 16; i++)
		snprintf(hex + 3 * i, sizeof(hex) - 3 * i, " %02x", s->answer[i]);
	session_fail(s, STATS_WRONG_BYTES, "connection %u: the answer begins%s: %s", s->number, hex,
		     wrong);
}

static void finish(struct session *s)
{
	const char *wrong = what_is_wrong(s);
	int64_t now = clock_ns();

	if (s->received == 0 || (s->mode == &mode_time && s->received < ANSWER_TIME_SIZE)) {
		session_fail_input(s, INPUT_END);
		return;
	}
	if (wrong) {
		fail_wrong(s, wrong);
		return;
	}
	thread_record(s, now, s->received);
	session_close(s);
	thread_next(s, now);
}

static void ready(struct session *s)
{
	while (s->source.events & SESSION_READABLE) {
		size_t n = 0;
		enum session_input input = session_read(s, PATTERN_WINDOW, &n);

		if (input == INPUT_BYTES && keep(s, n))
			continue;
		if (input == INPUT_END)
			finish(s);
		else if (input == INPUT_RESET)
			session_fail_input(s, input);
		return;
	}
}

/* The request of the session ends by itself. */
static void end(struct session *s, int64_t now)
{
	(void)s;
	(void)now;
}

const struct mode mode_daytime = {
	.connects = true,
	.start = thread_next,
	.begin = begin,
	.ready = ready,
	.end = end,
};

const struct mode mode_time = {
	.connects = true,
	.start = thread_next,
	.begin = begin,
	.ready = ready,
	.end = end,
};
