/* SPDX-License-Identifier: MIT */
/*
 * Connections that are in the way: deaf sends and never reads, silent does not even send. A server
 * may end them, which is counted and no error; a connection that was ended is not opened again.
 */
#include "session.h"
#include "thread.h"

#define STEPS_PER_TURN 4 /* 256 KiB; then it is another connection's turn */

static void note_gone(struct session *s)
{
	if (!s->is_gone)
		s->pool->stats->closed_by_server++;
	s->is_gone = true;
}

/* ---- deaf */

/* False when the socket takes no more. */
static bool send_step(struct session *s)
{
	uint64_t before = s->expected;
	int r = s->unsent ? session_send_rest(s) : session_send(s, PATTERN_WINDOW, 1);

	thread_count_bytes(s, s->expected - before, 0);
	if (r < 0)
		note_gone(s);
	return r == 0 && s->source.events & EPOLLOUT;
}

static void send_all(struct session *s)
{
	bool more = s->source.events & EPOLLOUT && !s->is_gone;

	for (unsigned i = 0; more && i < STEPS_PER_TURN; i++)
		more = send_step(s);
	if (more)
		loop_again(s->pool->loop, &s->source);
}

/* What there is must be the begin of what was sent, however the server has ended it. */
static void read_all(struct session *s)
{
	enum session_input input = INPUT_NOTHING;

	for (unsigned i = 0; i < STEPS_PER_TURN && s->source.events & SESSION_READABLE; i++) {
		input = session_receive(s, PATTERN_WINDOW);
		if (input != INPUT_BYTES)
			break;
	}
	if (input == INPUT_END || input == INPUT_RESET) {
		session_close(s);
		thread_done(s);
	} else if (input == INPUT_BYTES && s->source.events & SESSION_READABLE) {
		loop_again(s->pool->loop, &s->source);
	}
}

static void ready_deaf(struct session *s)
{
	enum thread_phase phase = thread_of(s)->phase;

	if (phase >= THREAD_DRAIN) {
		read_all(s);
		return;
	}
	if (s->source.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		note_gone(s);
	if (phase == THREAD_RUN)
		send_all(s);
}

static void start_deaf(struct session *s, int64_t now)
{
	(void)now;
	send_all(s);
}

/* The end of the stream bounds the answer: it ends by the server's FIN, or it is cut. */
static void end_deaf(struct session *s, int64_t now)
{
	(void)now;
	s->unsent = 0;
	session_shutdown(s);
	read_all(s);
}

const struct mode mode_deaf = {
	.probes = true,
	.start = start_deaf,
	.ready = ready_deaf,
	.end = end_deaf,
};

/* ---- silent */

static void start_silent(struct session *s, int64_t now)
{
	(void)s;
	(void)now;
}

static void ready_silent(struct session *s)
{
	enum session_input input = INPUT_NOTHING;

	if (s->source.events & SESSION_READABLE)
		input = session_receive(s, PATTERN_WINDOW);
	if (input == INPUT_END || input == INPUT_RESET) {
		note_gone(s);
		session_close(s);
	}
}

static void end_silent(struct session *s, int64_t now)
{
	(void)now;
	thread_done(s);
}

const struct mode mode_silent = {
	.probes = true,
	.start = start_silent,
	.ready = ready_silent,
	.end = end_silent,
};
