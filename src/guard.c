/* SPDX-License-Identifier: MIT */
/* See guard.h. */
#include "guard.h"

#include <stdatomic.h>
#include <syslog.h>
#include <time.h>

#include "crash.h"
#include "journal.h"
#include "util.h"

/* In the flags of a handler; no bit of enum ss_flags. */
#define GUARDED (1u << 31)

struct visit {
	struct crash_place outer; /* a callback may lead to another: data() to open() of a target */
	int64_t began_ms;
};

static _Atomic int budget_ms;

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static struct visit enter(const struct ss_handler *handler, const char *socket, uint64_t connection,
			  const char *callback)
{
	return (struct visit){ .outer = crash_enter(handler->name, socket, callback, connection),
			       .began_ms = now_ms() };
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
	int most_ms = atomic_load_explicit(&budget_ms, memory_order_relaxed);

	if (unlikely(most_ms && took_ms > most_ms))
		log_overstay(took_ms);
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

static void guarded_close(struct ss_connection *connection, enum ss_reason reason)
{
	struct visit visit = enter_for(connection, "close");

	real(connection)->close(connection, reason);
	leave(&visit);
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
}

void guard_set_budget(int ms)
{
	atomic_store(&budget_ms, ms);
}
