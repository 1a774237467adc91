/* SPDX-License-Identifier: MIT */
/*
 * A request is a connection with one message and its echo: churn, where the plan says who closes
 * first; half-close, where our FIN comes before the answer; reset, which breaks off in the midst of
 * it.
 */
#include "clock.h"
#include "session.h"
#include "thread.h"

static void begin(struct session *s, int64_t scheduled, int64_t now)
{
	*session_push(s) =
		(struct request){ .scheduled = scheduled, .sent = now, .size = session_size(s) };
	session_open(s);
}

/* After a send: 0 or its -errno. False when the session is lost. */
static bool sent(struct session *s, int r)
{
	if (r < 0)
		session_fail_send(s, r);
	else if (!s->unsent && s->mode == &mode_half_close)
		session_shutdown(s);
	return r == 0;
}

static void opened(struct session *s, int64_t now)
{
	(void)now;
	sent(s, session_send(s, session_first(s)->size, s->pool->plan->writes));
}

static void complete(struct session *s, void (*close)(struct session *))
{
	int64_t now = clock_ns();

	thread_record(s, now, session_first(s)->size);
	close(s);
	thread_next(s, now);
}

/*
 * Whoever closes first cannot see what would have come later; but what has come behind the answer
 * is seen.
 */
static void close_first(struct session *s, void (*close)(struct session *))
{
	enum session_input input = session_receive(s, PATTERN_WINDOW);

	if (input == INPUT_RESET)
		session_fail_input(s, input);
	else if (input != INPUT_LOST)
		complete(s, close);
}

/* The whole echo is there. */
static void answered(struct session *s)
{
	enum plan_close close = s->mode == &mode_half_close ? CLOSE_SERVER : s->pool->plan->close;

	switch (close) {
	case CLOSE_CLIENT:
		close_first(s, session_close);
		break;
	case CLOSE_RESET:
		close_first(s, session_reset);
		break;
	case CLOSE_HALF:
		session_shutdown(s);
		break;
	case CLOSE_SERVER:
		break;
	}
}

static void ended(struct session *s, enum session_input input)
{
	if (input == INPUT_END && s->received == session_first(s)->size)
		complete(s, session_close);
	else
		session_fail_input(s, input);
}

/* A session that is closed has no events. */
static void ready(struct session *s)
{
	if (s->unsent && s->source.events & EPOLLOUT && !sent(s, session_send_rest(s)))
		return;
	while (s->source.events & SESSION_READABLE) {
		enum session_input input = session_receive(s, PATTERN_WINDOW);

		if (input == INPUT_NOTHING || input == INPUT_LOST)
			return;
		if (input != INPUT_BYTES) {
			ended(s, input);
			return;
		}
		if (s->received == session_first(s)->size)
			answered(s);
	}
}

/* The request of the session ends by itself. */
static void end(struct session *s, int64_t now)
{
	(void)s;
	(void)now;
}

const struct mode mode_churn = {
	.connects = true,
	.start = thread_next,
	.begin = begin,
	.opened = opened,
	.ready = ready,
	.end = end,
};

const struct mode mode_half_close = {
	.connects = true,
	.start = thread_next,
	.begin = begin,
	.opened = opened,
	.ready = ready,
	.end = end,
};

/* ---- reset: what others feel of it is measured by the probe */

static void begin_reset(struct session *s, int64_t scheduled, int64_t now)
{
	(void)scheduled;
	begin(s, SESSION_UNMEASURED, now);
}

/* Some of the echo is read, and is right; then RST, with the rest unread or on its way. */
static void ready_reset(struct session *s)
{
	size_t part = session_first(s)->size / 2;
	enum session_input input = INPUT_NOTHING;

	if (s->unsent && s->source.events & EPOLLOUT && !sent(s, session_send_rest(s)))
		return;
	if (s->source.events & SESSION_READABLE)
		input = session_receive(s, part == 0               ? 1
					   : part < PATTERN_WINDOW ? part
								   : PATTERN_WINDOW);
	if (input == INPUT_BYTES) {
		thread_count_bytes(s, s->expected, s->received);
		session_reset(s);
		thread_next(s, clock_ns());
	} else if (input == INPUT_END || input == INPUT_RESET) {
		session_fail_input(s, input);
	}
}

const struct mode mode_reset = {
	.connects = true,
	.probes = true,
	.start = thread_next,
	.begin = begin_reset,
	.opened = opened,
	.ready = ready_reset,
	.end = end,
};
