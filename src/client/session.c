/* SPDX-License-Identifier: MIT */
/* Events and bytes; opening and closing is in session-open.c. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "random.h"
#include "session-private.h"

size_t session_size(struct session *s)
{
	const struct plan *plan = s->pool->plan;

	if (likely(plan->size_min == plan->size_max))
		return plan->size_min;
	return plan->size_min + random_below(&s->pool->random, plan->size_max - plan->size_min + 1);
}

static inline void next_piece(struct session *s)
{
	s->piece = s->pieces > 1 ? s->unsent / s->pieces-- : s->unsent;
}

/* After a send() of what `unsent` and `piece` say: a result, or -errno. As session_send_rest(). */
static int note_sent(struct session *s, ssize_t n)
{
	if (n < 0) {
		s->source.events &= ~(uint32_t)EPOLLOUT;
		return n == -EAGAIN ? 0 : (int)n;
	}
	s->out = pattern_after(s->pattern, s->out, (size_t)n);
	s->expected += (uint64_t)n;
	s->unsent -= (size_t)n;
	s->piece -= (size_t)n;
	if (s->piece == 0)
		next_piece(s);
	return 0;
}

int session_send_rest(struct session *s)
{
	int r = 0;

	while (s->unsent && s->source.events & EPOLLOUT && r == 0) {
		size_t most = s->piece < PATTERN_WINDOW ? s->piece : PATTERN_WINDOW;
		r = note_sent(s, sys_send(s->source.fd, s->pattern->bytes + s->out, most));
	}
	return r;
}

static void begin_message(struct session *s, size_t size, unsigned pieces)
{
	s->unsent = size;
	s->pieces = pieces;
	next_piece(s);
}

int session_send_pieces(struct session *s, size_t size, unsigned pieces)
{
	begin_message(s, size, pieces);
	return session_send_rest(s);
}

int session_send_part(struct session *s, size_t size, ssize_t n)
{
	begin_message(s, size, 1);
	int r = note_sent(s, n);
	return r < 0 ? r : session_send_rest(s);
}

/* recv() gave no bytes: the end (0), nothing for now, or an error (-errno). */
enum session_input session_read_nothing(struct session *s, ssize_t n)
{
	s->source.events &= ~(uint32_t)SESSION_READABLE;
	if (n == 0)
		return INPUT_END;
	return n == -EAGAIN ? INPUT_NOTHING : INPUT_RESET;
}

static enum session_input fail_wrong(struct session *s, size_t n)
{
	const struct pattern *pattern = s->pattern;
	size_t same = pattern_same(pattern, s->in, s->pool->buffer, n);

	session_fail(s, STATS_WRONG_BYTES,
		     "connection %u: byte %llu of the stream is 0x%02x, and has to be 0x%02x",
		     s->number, (unsigned long long)(s->received + same), s->pool->buffer[same],
		     pattern->bytes[s->in + same]);
	return INPUT_LOST;
}

static enum session_input fail_extra(struct session *s, size_t n)
{
	size_t right = (size_t)(s->expected - s->received);

	session_fail(
		s, STATS_EXTRA_BYTES,
		"connection %u: byte %llu of the stream is 0x%02x, and has to be none (%zu too "
		"many so far)",
		s->number, (unsigned long long)s->expected, s->pool->buffer[right], n - right);
	return INPUT_LOST;
}

enum session_input session_fail_verify(struct session *s, size_t n)
{
	uint64_t may = s->expected - s->received;
	size_t checked = n <= may ? n : (size_t)may;

	if (pattern_same(s->pattern, s->in, s->pool->buffer, checked) < checked)
		return fail_wrong(s, checked);
	return fail_extra(s, n);
}

void session_fail(struct session *s, enum stats_error kind, const char *format, ...)
{
	struct stats *stats = s->pool->stats;
	va_list arguments;

	stats_add(&stats->errors[kind], 1);
	if (!*stats->first_error) {
		va_start(arguments, format);
		vsnprintf(stats->first_error, sizeof(stats->first_error), format, arguments);
		va_end(arguments);
	}
	session_close(s);
	s->pool->lost(s);
}

void session_fail_send(struct session *s, int error)
{
	enum stats_error kind = error == -ENOMEM || error == -ENOBUFS ? STATS_SYSTEM : STATS_RESET;

	session_fail(s, kind, "connection %u: send: %s, behind byte %llu of the stream", s->number,
		     strerror(-error), (unsigned long long)s->expected);
}

void session_fail_input(struct session *s, enum session_input input)
{
	if (input == INPUT_END)
		session_fail(s, STATS_SHORT,
			     "connection %u: the server closed behind byte %llu of the stream",
			     s->number, (unsigned long long)s->received);
	else
		session_fail(s, STATS_RESET,
			     "connection %u: the server reset behind byte %llu of the stream",
			     s->number, (unsigned long long)s->received);
}

/* A server may end as it likes when all answers have come, but say no more. */
static void end_ready(struct session *s)
{
	while (s->source.events & SESSION_READABLE) {
		enum session_input input = session_receive(s, PATTERN_WINDOW);
		if (input == INPUT_LOST || input == INPUT_NOTHING)
			return;
		if (input == INPUT_BYTES)
			continue;
		session_close(s);
		s->pool->lost(s);
		return;
	}
}

/* An active session never touches its timer: what remains is found when it falls due. */
static void check_answer(struct session *s)
{
	int64_t timeout = s->pool->plan->timeout_ns, wait = timeout;

	if (s->under_way) {
		int64_t sent = session_first(s)->sent;
		wait = (sent > s->since ? sent : s->since) + timeout - clock_ns();
	}
	if (wait > 0)
		session_arm(s, wait);
	else
		session_fail(s, STATS_ANSWER_TIMEOUT,
			     "connection %u: no answer behind byte %llu of the stream", s->number,
			     (unsigned long long)s->received);
}

static void on_expired(struct session *s)
{
	s->source.events &= ~LOOP_EXPIRED;
	switch (s->state) {
	case SESSION_CLOSED:
		s->pool->retry(s);
		break;
	case SESSION_CONNECTING:
		session_connect_late(s);
		break;
	case SESSION_OPEN:
		check_answer(s);
		break;
	case SESSION_ENDING:
		session_close(s);
		s->pool->lost(s);
		break;
	case SESSION_QUEUED:
		break;
	}
}

/* Urgent data is beside the stream: not a byte of it was sent, and none may come. */
static void on_urgent(struct session *s)
{
	s->source.events &= ~(uint32_t)EPOLLPRI;
	session_fail(s, STATS_EXTRA_BYTES,
		     "connection %u: urgent data behind byte %llu of the stream", s->number,
		     (unsigned long long)s->received);
}

static slow_path void on_rare(struct session *s)
{
	if (s->source.events & LOOP_EXPIRED)
		on_expired(s);
	else
		on_urgent(s);
}

void session_on_event(struct loop *loop, struct loop_source *source)
{
	struct session *s = container_of(source, struct session, source);

	(void)loop;
	if (unlikely(source->events & (LOOP_EXPIRED | EPOLLPRI)))
		on_rare(s);
	else if (likely(s->state == SESSION_OPEN))
		s->mode->ready(s);
	else if (s->state == SESSION_CONNECTING)
		session_connect_ready(s);
	else if (s->state == SESSION_ENDING)
		end_ready(s);
}
