/* SPDX-License-Identifier: MIT */
/*
 * Messages and their echo over connections that stay: echo, with `depth` requests under way; idle,
 * where a request is the proof that a connection lives; drip, a byte now and then; and the probe
 * that stands beside those who misbehave.
 */
#include "clock.h"
#include "session.h"
#include "thread.h"

#define READS_PER_TURN 4 /* 256 KiB; then it is another connection's turn */

static inline bool can_take(const struct session *s)
{
	return s->under_way < s->depth && !s->unsent;
}

/* false when the session is lost. */
static inline bool send_message(struct session *s, size_t size, int64_t scheduled, int64_t now)
{
	*session_push(s) = (struct request){ .scheduled = scheduled, .sent = now, .size = size };
	int r = session_send(s, size, s->pool->plan->writes);
	if (unlikely(r < 0))
		session_fail_send(s, r);
	return r == 0;
}

/* Who could begin one more waits for it behind the others: they are used in turn. */
static void begin(struct session *s, int64_t scheduled, int64_t now)
{
	if (send_message(s, session_size(s), scheduled, now) && can_take(s))
		schedule_wait(s->schedule, &s->link);
}

static void take_closed(struct session *s, int64_t now)
{
	int64_t scheduled;

	while (schedule_take(s->schedule, now, &scheduled)) {
		if (!send_message(s, session_size(s), scheduled, now) || !can_take(s))
			return;
		now = clock_ns();
	}
}

/* Whatever the session may begin now. */
static inline void take(struct session *s, int64_t now)
{
	if (s->schedule->is_open) {
		if (can_take(s))
			schedule_wait(s->schedule, &s->link);
		schedule_dispatch(s->schedule, now);
	} else if (can_take(s)) {
		take_closed(s, now);
	}
	if (!s->under_way)
		thread_idle(s);
}

/* An answer is complete with its last byte; several may be so by one read. */
static inline void complete(struct session *s)
{
	if (s->received - s->answered < session_first(s)->size)
		return;
	int64_t now = clock_ns();
	do {
		thread_record(s, now, session_first(s)->size);
		session_pop(s);
	} while (s->under_way && s->received - s->answered >= session_first(s)->size);
	if (unlikely(s->has_slot))
		thread_settle(s);
	take(s, now);
}

/* false when there is nothing more to read, or nobody to read it. */
static inline bool read_once(struct session *s)
{
	enum session_input input = session_receive(s, PATTERN_WINDOW);

	if (likely(input == INPUT_BYTES)) {
		complete(s);
		return s->source.events & SESSION_READABLE;
	}
	if (input != INPUT_NOTHING && input != INPUT_LOST)
		session_fail_input(s, input);
	return false;
}

/* false when the session is lost. */
static bool send_more(struct session *s)
{
	int r = session_send_rest(s);

	if (r < 0)
		session_fail_send(s, r);
	else if (can_take(s))
		take(s, clock_ns());
	return r == 0;
}

static void ready(struct session *s)
{
	if (unlikely(s->unsent) && s->source.events & EPOLLOUT && !send_more(s))
		return;
	for (unsigned i = 0; s->source.events & SESSION_READABLE; i++) {
		if (i == READS_PER_TURN) {
			loop_again(s->pool->loop, &s->source);
			return;
		}
		if (!read_once(s))
			return;
	}
}

static void end(struct session *s, int64_t now)
{
	(void)now;
	if (!s->under_way)
		thread_done(s);
}

/* A proof outside of the schedule. */
static void prove(struct session *s, int64_t now)
{
	send_message(s, session_size(s), SESSION_UNMEASURED, now);
}

/* At the end all prove once more that they live, unless a proof is under way. */
static void end_idle(struct session *s, int64_t now)
{
	if (!s->under_way)
		prove(s, now);
}

/* The time of a byte is the server's pleasure; what others feel of it is measured by the probe. */
static void begin_drip(struct session *s, int64_t scheduled, int64_t now)
{
	(void)scheduled;
	send_message(s, 1, SESSION_UNMEASURED, now);
}

const struct mode mode_echo = {
	.finishes = true,
	.start = take,
	.begin = begin,
	.ready = ready,
	.end = end,
};

const struct mode mode_idle = {
	.proves = true,
	.paced = true,
	.finishes = true,
	.opened = prove,
	.start = take,
	.begin = begin,
	.ready = ready,
	.end = end_idle,
};

const struct mode mode_drip = {
	.paced = true,
	.probes = true,
	.finishes = true,
	.start = take,
	.begin = begin_drip,
	.ready = ready,
	.end = end,
};

const struct mode mode_probe = {
	.finishes = true,
	.start = take,
	.begin = begin,
	.ready = ready,
	.end = end,
};
