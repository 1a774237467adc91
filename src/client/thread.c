/* SPDX-License-Identifier: MIT */
/* See thread.h. How it is made and unmade is in thread-make.c. */
#include "alarm.h"
#include "clock.h"
#include "thread-private.h"

#define DRAIN_SLACK_NS (100 * CLOCK_MS) /* the deadlines of the loop come first */
#define INTERRUPT_NS   (500 * CLOCK_MS)

/* The schedule whose requests the plan counts. */
static struct schedule *counted(struct thread *t)
{
	return t->mode->probes && !t->mode->connects ? &t->probing : &t->schedule;
}

static void check_set_up(struct thread *t)
{
	if (t->phase != THREAD_SETUP || t->unsettled)
		return;
	t->phase = THREAD_READY;
	t->has_connected = t->pool.stats->most_open > 0;
	loop_post(t->boss, &t->ready);
}

static void note_settled(struct session *s)
{
	struct thread *t = thread_of(s);

	if (s->settled || t->phase != THREAD_SETUP)
		return;
	s->settled = true;
	t->unsettled--;
	check_set_up(t);
}

void thread_settle(struct session *s)
{
	session_release_slot(s);
	note_settled(s);
}

static void set_up(struct thread *t)
{
	unsigned from = t->mode->connects ? t->n : 0;

	t->unsettled = t->n_all - from;
	for (unsigned i = from; i < t->n_all; i++)
		session_open(&t->sessions[i]);
	check_set_up(t);
}

/* Looks at the time in the next turn: the caller may stand in the midst of a session. */
static void look_at_clock(struct thread *t)
{
	loop_again(&t->loop, &t->clock);
}

void thread_spent(struct schedule *schedule)
{
	struct thread *t = container_of(schedule->loop, struct thread, loop);

	if (schedule == counted(t))
		look_at_clock(t);
}

void thread_give(struct schedule *schedule, struct list *link, int64_t scheduled)
{
	struct session *s = container_of(link, struct session, link);

	(void)schedule;
	s->mode->begin(s, scheduled, clock_ns());
}

void thread_next(struct session *s, int64_t now)
{
	struct schedule *schedule = s->schedule;
	int64_t scheduled;

	if (schedule->is_open) {
		schedule_wait(schedule, &s->link);
		schedule_dispatch(schedule, now);
	} else if (schedule_take(schedule, now, &scheduled)) {
		s->mode->begin(s, scheduled, now);
		return;
	}
	thread_idle(s);
}

/* A request that is a connection begins with connect(), in a closed loop when there is room. */
static void note_connected(struct session *s, int64_t began)
{
	struct request *request = session_first(s);

	request->sent = began;
	if (!s->schedule->is_open && request->scheduled != SESSION_UNMEASURED)
		request->scheduled = began;
}

static void on_opened(struct session *s, int64_t now, int64_t took)
{
	struct thread *t = thread_of(s);
	struct stats *stats = s->pool->stats;
	bool in_window = t->phase == THREAD_RUN && now - took >= t->begin;

	if (in_window)
		stats_add(&stats->connects, 1);
	if (in_window || t->phase == THREAD_SETUP)
		histogram_record(&stats->connecting, took);
	if (s->mode->connects)
		note_connected(s, now - took);
	if (!s->mode->proves)
		thread_settle(s);
	if (s->mode->opened)
		s->mode->opened(s, now);
	if (t->phase == THREAD_RUN && !s->mode->connects && s->state == SESSION_OPEN)
		s->mode->start(s, now);
}

static void note_closed(struct thread *t)
{
	if (--t->unclosed > 0)
		return;
	loop_post(t->boss, &t->closed);
	loop_stop(&t->loop);
}

static void on_lost(struct session *s)
{
	struct thread *t = thread_of(s);

	note_settled(s);
	if (t->phase < THREAD_DRAIN)
		session_retry(s);
	else if (t->phase == THREAD_CLOSE)
		note_closed(t);
	else
		thread_done(s);
}

/* Where only a number of requests ends the run, a server that has died must end it too. */
static bool is_server_dead(const struct thread *t, int64_t now)
{
	int64_t last = t->pool.last_answer > t->begin ? t->pool.last_answer : t->begin;

	return t->phase == THREAD_RUN && t->pool.plan->count &&
	       now - last > t->pool.plan->timeout_ns;
}

static void on_retry(struct session *s)
{
	struct thread *t = thread_of(s);
	int64_t now = clock_ns();

	if (is_server_dead(t, now)) {
		t->deadline = now;
		look_at_clock(t);
	} else if (!s->mode->connects) {
		session_open(s);
	} else if (t->phase == THREAD_RUN) {
		s->mode->start(s, now);
	}
}

static bool can_start(const struct session *s)
{
	return s->state == SESSION_OPEN || (s->mode->connects && s->state == SESSION_CLOSED);
}

static void run(struct thread *t, int64_t now)
{
	const struct plan *plan = t->pool.plan;
	bool own = counted(t) == &t->schedule;

	t->phase = THREAD_RUN;
	t->begin = t->start + plan->warmup_ns;
	if (!plan->count) {
		t->end = t->begin + plan->duration_ns;
		t->deadline = t->end + plan->timeout_ns;
	}
	schedule_start(&t->schedule, t->start + (int64_t)t->offset, t->begin, t->end,
		       own ? t->share : UINT64_MAX);
	schedule_start(&t->probing, t->start, t->begin, t->end, own ? UINT64_MAX : t->share);
	for (unsigned i = 0; i < t->n_all; i++)
		if (can_start(&t->sessions[i]))
			t->sessions[i].mode->start(&t->sessions[i], now);
}

/*
 * The window lasts until the last answer to what began in it. Not so for a closed loop that was
 * warm: there as many answers of the warm-up came in the window, which do not count, as come behind
 * it.
 */
static int64_t end_of_window(struct thread *t)
{
	const struct plan *plan = t->pool.plan;
	bool was_warm = plan->warmup_ns && !plan->count && !counted(t)->is_open;

	return was_warm || t->pool.last_answer < t->end ? t->end : t->pool.last_answer;
}

static void say_drained(struct thread *t)
{
	int64_t end = end_of_window(t);

	t->phase = THREAD_DRAINED;
	t->pool.stats->window_ns = end > t->begin ? end - t->begin : 0;
	loop_post(t->boss, &t->drained);
}

void thread_done(struct session *s)
{
	struct thread *t = thread_of(s);

	if (s->done || t->phase != THREAD_DRAIN)
		return;
	s->done = true;
	if (--t->undone == 0)
		say_drained(t);
}

/* What waits to be opened again stays away; a request that is a connection goes on. */
static void end_session(struct session *s, int64_t now)
{
	if (s->state == SESSION_OPEN) {
		s->mode->end(s, now);
	} else if (s->state == SESSION_CLOSED || !s->mode->connects) {
		session_close(s);
		thread_done(s);
	}
}

static void drain(struct thread *t, int64_t now)
{
	t->phase = THREAD_DRAIN;
	t->pool.counting = false;
	t->pool.stats->unsent = schedule_stop(&t->schedule, now) + schedule_stop(&t->probing, now);
	if (t->end > now)
		t->end = now;
	if (!t->is_interrupted)
		t->deadline = now + t->pool.plan->timeout_ns + DRAIN_SLACK_NS;
	if (!t->mode->connects)
		t->pool.most_connecting = 0;
	t->undone = t->n_all;
	for (unsigned i = 0; i < t->n_all; i++)
		if (!t->sessions[i].done)
			end_session(&t->sessions[i], now);
}

/* After an interrupt nobody has had the time that was promised. */
static void give_up(struct thread *t)
{
	for (unsigned i = 0; i < t->n_all; i++) {
		struct session *s = &t->sessions[i];

		if (!s->done && s->under_way && !t->is_interrupted)
			session_fail(s, STATS_ANSWER_TIMEOUT,
				     "connection %u: no answer when the run ended", s->number);
		thread_done(s);
	}
}

/* Whether no request begins any more; those that are late at the end still do. */
static bool is_over(struct thread *t, int64_t now)
{
	if (now >= t->deadline || counted(t)->left == 0)
		return true;
	return now >= t->end && !schedule_has_more(&t->schedule) && !schedule_has_more(&t->probing);
}

static void set_clock(struct thread *t, int64_t now)
{
	int64_t times[] = { t->start, t->begin, t->end, t->deadline }, next = INT64_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (times[i] > now && times[i] < next)
			next = times[i];
	if (next != INT64_MAX)
		alarm_set(&t->clock, &t->loop, next);
}

void thread_on_clock(struct loop *loop, struct loop_source *source)
{
	struct thread *t = container_of(source, struct thread, clock);
	int64_t now = clock_ns();

	(void)loop;
	source->events = 0;
	if (t->phase == THREAD_READY && now >= t->start)
		run(t, now);
	if (t->phase == THREAD_RUN)
		t->pool.counting = now >= t->begin;
	if (t->phase == THREAD_RUN && is_over(t, now))
		drain(t, now);
	if (t->phase == THREAD_DRAIN && now >= t->deadline)
		give_up(t);
	set_clock(t, now);
}

static void on_go(struct loop *loop, struct loop_message *message)
{
	struct thread *t = container_of(message, struct thread, go);

	(void)loop;
	look_at_clock(t);
}

static void cut(int64_t *time, int64_t at)
{
	if (*time > at)
		*time = at;
}

static void on_stop(struct loop *loop, struct loop_message *message)
{
	struct thread *t = container_of(message, struct thread, stop);
	int64_t now = clock_ns();

	(void)loop;
	t->is_interrupted = true;
	if (t->phase >= THREAD_DRAINED)
		return;
	cut(&t->end, now);
	cut(&t->deadline, now + INTERRUPT_NS);
	cut(&t->schedule.end, now);
	cut(&t->probing.end, now);
	if (t->phase < THREAD_RUN)
		say_drained(t);
	look_at_clock(t);
}

static void on_close(struct loop *loop, struct loop_message *message)
{
	struct thread *t = container_of(message, struct thread, close);

	(void)loop;
	t->phase = THREAD_CLOSE;
	t->pool.most_connecting = 0; /* whoever is closed makes room for no other */
	t->unclosed = t->n_all;
	for (unsigned i = 0; i < t->n_all; i++) {
		struct session *s = &t->sessions[i];

		if (s->state == SESSION_OPEN && s->mode->finishes) {
			session_finish(s);
			continue;
		}
		session_close(s);
		note_closed(t);
	}
}

static void on_show(struct loop *loop, struct loop_message *message)
{
	struct thread *t = container_of(message, struct thread, show);

	(void)loop;
	*t->so_far = t->pool.stats->corrected;
	loop_post(t->boss, &t->shown);
}

void *thread_main(void *arg)
{
	struct thread *t = arg;
	struct stats *stats = t->pool.stats;

	set_up(t);
	loop_run(&t->loop);
	if (stats->uncorrected.count == 0)
		stats->uncorrected = stats->corrected;
	return NULL;
}

void thread_bind(struct thread *t)
{
	t->pool.opened = on_opened;
	t->pool.lost = on_lost;
	t->pool.retry = on_retry;
	t->go.deliver = on_go;
	t->stop.deliver = on_stop;
	t->close.deliver = on_close;
	t->show.deliver = on_show;
}
