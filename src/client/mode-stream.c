/* SPDX-License-Identifier: MIT */
/*
 * One-way streams, as fast as they go: discard, where nothing may come back; chargen, where all
 * that comes is compared. A stream is one request without an end: it has the deadline of an answer,
 * which each movement puts off.
 */
#include "clock.h"
#include "session.h"
#include "thread.h"

#define STEPS_PER_TURN 4 /* 256 KiB, or so many messages; then it is another connection's turn */

static void begin_stream(struct session *s, int64_t now)
{
	*session_push(s) = (struct request){ .scheduled = SESSION_UNMEASURED, .sent = now };
}

/* ---- discard: a request is a message that the kernel has taken */

/* Nothing that was sent may come back. */
static void expect_nothing(struct session *s)
{
	s->received = s->expected;
}

static void shut(struct session *s)
{
	session_first(s)->sent = clock_ns();
	session_shutdown(s);
}

static void count_message(struct session *s, int64_t now)
{
	const struct request *message = session_first(s);
	struct stats *stats = s->pool->stats;

	if (message->scheduled < s->schedule->begin)
		return;
	stats_add(&stats->requests, 1);
	stats_add(&stats->bytes_out, message->size);
	s->pool->last_answer = now;
}

/* What is left of a message, or the next one. False where the session is lost, or there is none. */
static bool send_step(struct session *s)
{
	struct request *message = session_first(s);
	int64_t now = clock_ns(), scheduled;
	int r;

	if (s->unsent) {
		r = session_send_rest(s);
	} else if (schedule_take(s->schedule, now, &scheduled)) {
		*message = (struct request){ .scheduled = scheduled, .size = session_size(s) };
		r = session_send(s, message->size, 1);
	} else {
		return false;
	}
	if (r < 0) {
		session_fail_send(s, r);
		return false;
	}
	message->sent = now;
	expect_nothing(s);
	if (!s->unsent)
		count_message(s, now);
	return true;
}

static void send_stream(struct session *s)
{
	bool sending = true;

	for (unsigned i = 0; sending && i < STEPS_PER_TURN && s->source.events & EPOLLOUT; i++)
		sending = send_step(s);
	if (sending && s->source.events & EPOLLOUT)
		loop_again(s->pool->loop, &s->source);
}

/* After our FIN, the server's is all that is wanted. */
static void read_discard(struct session *s)
{
	enum session_input input = session_receive(s, PATTERN_WINDOW);

	if (input == INPUT_END && s->is_shut) {
		session_close(s);
		thread_done(s);
	} else if (input == INPUT_END || input == INPUT_RESET) {
		session_fail_input(s, input);
	}
}

static void end_discard(struct session *s, int64_t now)
{
	(void)now;
	if (!s->unsent)
		shut(s);
}

static void ready_discard(struct session *s)
{
	if (s->source.events & SESSION_READABLE)
		read_discard(s);
	if (s->state != SESSION_OPEN || s->is_shut)
		return;
	send_stream(s);
	if (s->state == SESSION_OPEN && thread_of(s)->phase == THREAD_DRAIN && !s->unsent)
		shut(s);
}

/* Before the start nothing is asked of the server: the deadline begins here. */
static void start_discard(struct session *s, int64_t now)
{
	begin_stream(s, now);
	send_stream(s);
}

const struct mode mode_discard = {
	.start = start_discard,
	.ready = ready_discard,
	.end = end_discard,
};

/* ---- chargen: a request is a line */

static void open_chargen(struct session *s, int64_t now)
{
	begin_stream(s, now);
	s->expected = UINT64_MAX;
}

static void count_lines(struct session *s, uint64_t before, int64_t now)
{
	uint64_t lines = s->received / PATTERN_CHARGEN_LINE - before / PATTERN_CHARGEN_LINE;

	thread_count_bytes(s, 0, s->received - before);
	if (!s->pool->counting)
		return;
	stats_add(&s->pool->stats->requests, schedule_spend(s->schedule, lines));
	s->pool->last_answer = now;
}

static enum session_input check_chargen(struct session *s, size_t n)
{
	const unsigned char *bytes = s->pool->buffer;

	if (s->received == 0)
		s->in = 0;
	if (pattern_is_open(s->received))
		s->pattern = pattern_find_line(s->pool->pattern, s->pattern, (size_t)s->received,
					       bytes, n, &s->in);
	if (s->pattern)
		return session_verify(s, n);
	session_fail(s, STATS_WRONG_BYTES,
		     "connection %u: byte 0 of the stream is 0x%02x, and no line of chargen begins "
		     "so",
		     s->number, bytes[0]);
	return INPUT_LOST;
}

/* False when there is nothing more to read, or nobody to read it. */
static bool read_chargen(struct session *s)
{
	uint64_t before = s->received;
	size_t n = 0;
	enum session_input input = session_read(s, PATTERN_WINDOW, &n);

	if (input == INPUT_BYTES)
		input = check_chargen(s, n);
	if (input == INPUT_BYTES) {
		int64_t now = clock_ns();
		session_first(s)->sent = now;
		count_lines(s, before, now);
		return s->source.events & SESSION_READABLE;
	}
	if (input == INPUT_END || input == INPUT_RESET)
		session_fail_input(s, input);
	return false;
}

static void ready_chargen(struct session *s)
{
	bool more = s->source.events & SESSION_READABLE;

	for (unsigned i = 0; more && i < STEPS_PER_TURN; i++)
		more = read_chargen(s);
	if (more)
		loop_again(s->pool->loop, &s->source);
}

static void start_chargen(struct session *s, int64_t now)
{
	(void)now;
	ready_chargen(s);
}

static void end_chargen(struct session *s, int64_t now)
{
	(void)now;
	thread_done(s);
}

const struct mode mode_chargen = {
	.chargen = true,
	.opened = open_chargen,
	.start = start_chargen,
	.ready = ready_chargen,
	.end = end_chargen,
};
