/* SPDX-License-Identifier: MIT */
/* See guard.h. */
#include "guard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <syslog.h>
#include <time.h>

#include "crash.h"
#include "journal.h"
#include "list.h"

/* In the flags of a handler; no bit of enum ss_flags. */
#define GUARDED (1u << 31)

struct visit {
	struct crash_place outer; /* a callback may lead to another: data() to open() of a target */
	int64_t outer_began_ms;
	int64_t began_ms;
};

/* What main's thread may see of another one. */
struct guard_thread {
	struct list link;
	const struct crash_place *place;
	_Atomic int64_t began_ms; /* 0: in no callback. Released after the place was written */
	int64_t reported_ms;      /* main's: the one that began then has been logged */
};

static _Thread_local struct guard_thread own;

static struct {
	pthread_mutex_t lock; /* of the list */
	struct list threads;
	_Atomic int budget_ms;
	void (*wake)(void *context);
	void *context;
	_Atomic bool watched; /* main will look */
} guards = { .lock = PTHREAD_MUTEX_INITIALIZER, .threads = { &guards.threads, &guards.threads } };

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static slow_path void ask_for_a_look(void)
{
	if (guards.wake && !atomic_exchange(&guards.watched, true))
		guards.wake(guards.context);
}

static struct visit enter(const struct ss_handler *handler, const char *socket, uint64_t connection,
			  const char *callback)
{
	struct visit visit = { .outer = crash_enter(handler->name, socket, callback, connection),
			       .outer_began_ms = own.began_ms,
			       .began_ms = now_ms() };

	atomic_store_explicit(&own.began_ms, visit.began_ms, memory_order_release);
	if (unlikely(!atomic_load_explicit(&guards.watched, memory_order_relaxed)))
		ask_for_a_look();
	return visit;
}

static slow_path void log_overstay(int64_t took_ms)
{
	struct journal_fields fields = { .socket = crash_place.socket,
					 .handler = crash_place.handler,
					 .connection = crash_place.connection };

	if (!journal_admit(JOURNAL_HANDLER))
		return;
	journal_log(JOURNAL_HANDLER, LOG_WARNING, &fields,
		    "handler %s (socket %s): %s() of connection %llu took %.3f s, and the other "
		    "connections of its worker waited; what blocks belongs into ss_offload()",
		    fields.handler, fields.socket, crash_place.callback,
		    (unsigned long long)fields.connection, (double)took_ms / 1000);
}

static void leave(const struct visit *visit)
{
	int64_t took_ms = now_ms() - visit->began_ms;
	int most_ms = atomic_load_explicit(&guards.budget_ms, memory_order_relaxed);

	if (unlikely(most_ms && took_ms > most_ms))
		log_overstay(took_ms);
	atomic_store_explicit(&own.began_ms, visit->outer_began_ms, memory_order_release);
	crash_leave(&visit->outer);
}

static const struct ss_handler *real(const struct ss_connection *connection)
{
	return &container_of(guard_handler_of(connection), const struct guard, handler)->real;
}

static struct visit enter_for(const struct ss_connection *connection, const char *callback)
{
	return enter(real(connection), ss_service_name(ss_service_of(connection)),
		     ss_id(connection), callback);
}

static int guarded_open(struct ss_connection *connection)
{
	struct visit visit = enter_for(connection, "open");
	int r = real(connection)->open(connection);

	leave(&visit);
	return r;
}

static size_t guarded_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	struct visit visit = enter_for(connection, "data");
	size_t used = real(connection)->data(connection, bytes, length);

	leave(&visit);
	return used;
}

static void guarded_writable(struct ss_connection *connection)
{
	struct visit visit = enter_for(connection, "writable");

	real(connection)->writable(connection);
	leave(&visit);
}

static void guarded_eof(struct ss_connection *connection)
{
	struct visit visit = enter_for(connection, "eof");

	real(connection)->eof(connection);
	leave(&visit);
}

static void guarded_timer(struct ss_connection *connection)
{
	struct visit visit = enter_for(connection, "timer");

	real(connection)->timer(connection);
	leave(&visit);
}

static void guarded_connected(struct ss_connection *connection, int error)
{
	struct visit visit = enter_for(connection, "connected");

	real(connection)->connected(connection, error);
	leave(&visit);
}

static void guarded_close(struct ss_connection *connection, enum ss_reason reason)
{
	struct visit visit = enter_for(connection, "close");

	real(connection)->close(connection, reason);
	leave(&visit);
}

static int guarded_freeze(struct ss_connection *connection, void *state, size_t size,
			  size_t *ret_length)
{
	struct visit visit = enter_for(connection, "freeze");
	int r = real(connection)->freeze(connection, state, size, ret_length);

	leave(&visit);
	return r;
}

static int guarded_thaw(struct ss_connection *connection, const void *state, size_t length)
{
	struct visit visit = enter_for(connection, "thaw");
	int r = real(connection)->thaw(connection, state, length);

	leave(&visit);
	return r;
}

void guard_done(const struct ss_handler *handler, const char *socket,
		struct ss_connection *connection,
		void (*done)(struct ss_connection *connection, void *job), void *job)
{
	if (!(handler->flags & GUARDED)) {
		done(connection, job);
		return;
	}
	struct visit visit = enter(handler, socket, connection ? ss_id(connection) : 0, "done");
	done(connection, job);
	leave(&visit);
}

void guard_init(struct guard *guard)
{
	const struct ss_handler *real_handler = &guard->real;
	struct ss_handler *handler = &guard->handler;

	*handler = *real_handler;
	handler->flags |= GUARDED;
	handler->data = guarded_data;
	if (real_handler->open)
		handler->open = guarded_open;
	if (real_handler->writable)
		handler->writable = guarded_writable;
	if (real_handler->eof)
		handler->eof = guarded_eof;
	if (real_handler->timer)
		handler->timer = guarded_timer;
	if (real_handler->close)
		handler->close = guarded_close;
	if (real_handler->connected)
		handler->connected = guarded_connected;
	if (real_handler->freeze)
		handler->freeze = guarded_freeze;
	if (real_handler->thaw)
		handler->thaw = guarded_thaw;
}

void guard_start(int budget_ms, void (*wake)(void *context), void *context)
{
	guards.budget_ms = budget_ms;
	guards.wake = wake;
	guards.context = context;
	atomic_store(&guards.watched, false);
}

void guard_budget(int budget_ms)
{
	guards.budget_ms = budget_ms;
}

void guard_enter_thread(void)
{
	own = (struct guard_thread){ .place = &crash_place };
	pthread_mutex_lock(&guards.lock);
	list_add_tail(&guards.threads, &own.link);
	pthread_mutex_unlock(&guards.lock);
}

void guard_leave_thread(void)
{
	pthread_mutex_lock(&guards.lock);
	list_del(&own.link);
	pthread_mutex_unlock(&guards.lock);
}

static void log_stuck(const struct crash_place *place, int64_t since_ms)
{
	struct journal_fields fields = { .socket = place->socket,
					 .handler = place->handler,
					 .connection = place->connection };

	journal_log(JOURNAL_HANDLER, LOG_WARNING, &fields,
		    "handler %s (socket %s): %s() of connection %llu has not returned for %.3f s; "
		    "the other connections of its worker wait",
		    fields.handler, fields.socket, place->callback,
		    (unsigned long long)fields.connection, (double)since_ms / 1000);
}

/* Whether it is in a callback. */
static bool look_at(struct guard_thread *thread, bool all)
{
	int64_t began_ms = atomic_load_explicit(&thread->began_ms, memory_order_acquire);
	int64_t since_ms = now_ms() - began_ms;
	bool late = guards.budget_ms && since_ms > guards.budget_ms;

	if (!began_ms)
		return false;
	if (thread->reported_ms == began_ms)
		late = false;
	if (!all && !late)
		return true;
	struct crash_place place = *thread->place;
	/* It may have returned in between: then what was copied is worth nothing. */
	if (atomic_load_explicit(&thread->began_ms, memory_order_acquire) != began_ms)
		return true;
	thread->reported_ms = began_ms;
	log_stuck(&place, since_ms);
	return true;
}

bool guard_look(bool all)
{
	bool any = false;

	atomic_store(&guards.watched, false);
	pthread_mutex_lock(&guards.lock);
	list_for_each (l, &guards.threads)
		any |= look_at(container_of(l, struct guard_thread, link), all);
	pthread_mutex_unlock(&guards.lock);
	return any;
}
