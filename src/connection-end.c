/* SPDX-License-Identifier: MIT */
/*
 * How a connection ends, and when: errors, time-outs, the polite close, the entry in the journal.
 *
 * A time-out costs an active connection nothing but the time that it stores with each piece of
 * bytes. Its timer is armed for the nearest deadline that there may be; when that comes, the
 * deadlines are looked at as they are then, and if none has passed the timer is armed for what
 * remains.
 */
#include <errno.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include "connection-private.h"
#include "journal.h"

void connection_fail(struct ss_connection *c, enum ss_reason reason)
{
	if (c->flags & FAILED)
		return;
	c->flags |= FAILED;
	c->reason = reason & 0x3f;
	loop_again(c->set->loop, &c->source); /* it may not be its turn now */
}

void connection_fail_errno(struct ss_connection *c, int error)
{
	switch (error) {
	case ECONNRESET:
	case EPIPE:
		connection_fail(c, SS_RESET);
		break;
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
		connection_fail(c, SS_PEER_TIMEOUT);
		break;
	case ENOMEM:
	case ENOBUFS:
		connection_fail(c, SS_NO_MEMORY);
		break;
	default:
		connection_fail(c, SS_ERROR);
	}
}

static uint64_t connect_us(const struct ss_connection *c)
{
	return connection_has_leg(c->service) ? connection_leg(c)->connect_ms * UINT64_C(1000) : 0;
}

static const char *target_of(const struct ss_connection *c)
{
	const struct ss_handler *handler = c->service->handler;

	return handler->target && c->flags & OPENED ? handler->target(c) : NULL;
}

static void log_end(const struct ss_connection *c, int64_t duration_ms)
{
	char peer[PEER_MAX];
	const char *target = target_of(c);
	const struct settings_socket *section = c->service->section;

	if (!section->log_connections || !journal_admit(JOURNAL_CONNECTION))
		return;
	struct journal_fields fields = {
		.socket = c->service->name,
		.handler = c->service->handler->name,
		.peer = peer_format(peer, &c->peer),
		.reason = connection_reason_name(c->reason),
		.connection = c->id,
		.bytes_in = c->bytes_in,
		.bytes_out = c->bytes_out,
		.duration_us = (uint64_t)duration_ms * 1000,
		.target = target,
		.connect_us = connect_us(c),
	};
	journal_log(JOURNAL_CONNECTION, LOG_INFO, &fields,
		    "%s: connection %llu from %s%s%s ended: %s; %llu bytes in, %llu out, %.3f s",
		    fields.socket, (unsigned long long)c->id, peer, target ? " to " : "",
		    target ? target : "", fields.reason, (unsigned long long)c->bytes_in,
		    (unsigned long long)c->bytes_out, (double)duration_ms / 1000);
}

static void release(struct loop_source *source)
{
	free(container_of(source, struct ss_connection, source));
}

/*
 * Bytes that were to go out are lost: a FIN would tell the peer that it has them all. It also frees
 * what the kernel still holds for a peer that takes nothing.
 */
void connection_reset_fd(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void end_leg(struct ss_connection *c)
{
	connection_leg_close(c);
	connection_drop(c, &connection_leg(c)->output);
	if (c->flags & JOINED)
		connection_relay_end(c);
}

/* The only place where a connection ends: EPOLL_CTL_DEL first, memory after the batch. */
void connection_end(struct ss_connection *c, enum ss_reason reason)
{
	struct connection_set *set = c->set;
	int fd = c->source.fd;

	c->reason = reason & 0x3f;
	connection_leave_job(c);
	if (c->flags & JOINED && (reason == SS_WRITE_TIMEOUT || connection_relay_waits(c)))
		c->flags |= CUT; /* a FIN would tell that this was all */
	c->flags |= ENDED | FAILED;
	if (!(c->flags & HEADER))
		log_end(c, set->loop->now -
				   (int64_t)c->began); /* close() may release the target's text */
	if (c->flags & OPENED && c->service->handler->close)
		c->service->handler->close(c, reason);
	connection_forget(c);
	loop_remove(set->loop, &c->source, release);
	if (c->output || reason == SS_WRITE_TIMEOUT || c->flags & CUT)
		connection_reset_fd(fd);
	close(fd);
	list_del(&c->member);
	connection_drop(c, &c->output);
	if (connection_has_leg(c->service))
		end_leg(c);
	if (!(c->flags & CLOSING))
		buffer_free(&c->input);
	if (c->flags & HEADER)
		service_unreserve(c->service);
	else
		service_left(c->service, c->epoch, &c->peer, c->bytes_in, c->bytes_out);
	atomic_fetch_sub_explicit(&set->count, 1, memory_order_relaxed);
	if (set->ended)
		set->ended(set, c->service);
}

/* Our FIN goes out; then the peer has its time to finish. */
static void shut(struct ss_connection *c)
{
	c->flags |= SHUT;
	shutdown(c->source.fd, SHUT_WR);
	loop_arm(c->set->loop, &c->source, c->service->section->timeouts.linger_ms);
}

void connection_settle(struct ss_connection *c)
{
	if ((c->flags & (JOINED | FAILED)) == JOINED)
		return; /* the relay ends it, behind the bytes of both sides */
	if (c->flags & FAILED || (!c->output && c->flags & EOF_SEEN))
		connection_end(c, c->reason);
	else if (!c->output && !(c->flags & SHUT))
		shut(c);
}

/* No more callbacks; queued bytes still go out. */
void connection_close(struct ss_connection *c, enum ss_reason reason)
{
	if (c->flags & (CLOSING | FAILED)) /* why it failed stays the reason */
		return;
	buffer_free(&c->input);
	c->dropped = 0;
	c->flags |= CLOSING;
	c->flags &= (uint16_t)~PACED;
	c->reason = reason & 0x3f;
	loop_again(c->set->loop, &c->source); /* it may not be its turn now */
	connection_note(c);
	if (c->flags & JOINED) /* there is no shut() of ours that would begin it */
		loop_arm(c->set->loop, &c->source, c->service->section->timeouts.linger_ms);
}

void connection_finish(struct ss_connection *c, enum ss_reason reason)
{
	if (c->flags & HEADER) { /* there is nothing yet to be polite about */
		connection_fail(c, reason);
		return;
	}
	connection_close(c, reason);
	loop_arm(c->set->loop, &c->source, c->service->section->timeouts.linger_ms);
}

void ss_close(struct ss_connection *c)
{
	if (!connection_is_own(c)) {
		connection_foreign_call(c, "ss_close");
		return;
	}
	connection_close(c, c->flags & EOF_SEEN ? SS_PEER_CLOSED : SS_HANDLER_CLOSED);
}

/* What is nearest, and what happens then. */
struct deadline {
	int64_t left_ms;
	enum ss_reason reason;
};

static void consider(struct deadline *nearest, int timeout_ms, int64_t passed_ms,
		     enum ss_reason reason)
{
	if (timeout_ms && timeout_ms - passed_ms < nearest->left_ms)
		*nearest = (struct deadline){ timeout_ms - passed_ms, reason };
}

static bool is_blocked(const struct ss_connection *c)
{
	return c->output || (c->flags & WANTS && !(c->source.events & EPOLLOUT)) ||
	       (c->flags & JOINED && connection_relay_waits((struct ss_connection *)c));
}

static struct deadline nearest_deadline(const struct ss_connection *c)
{
	const struct settings_timeouts *timeouts = &c->service->section->timeouts;
	int64_t now = c->set->loop->now;
	int64_t age = now - (int64_t)c->began, quiet = (uint32_t)now - c->active;
	struct deadline nearest = { INT64_MAX, SS_ERROR };

	if (is_blocked(c))
		consider(&nearest, timeouts->write_ms, quiet, SS_WRITE_TIMEOUT);
	else if (c->flags & (BUSY | PAUSED))
		; /* the peer waits for us */
	else if (timeouts->first_byte_ms && c->bytes_in == 0 &&
		 !(c->flags & JOINED && c->bytes_out)) /* the target speaks first */
		consider(&nearest, timeouts->first_byte_ms, age, SS_FIRST_BYTE_TIMEOUT);
	else
		consider(&nearest, service_idle_ms(c->service), quiet, SS_IDLE_TIMEOUT);
	if (c->flags & JOINED && connection_leg(c)->flags & (LEG_TARGET_FIN | LEG_PEER_FIN))
		consider(&nearest, timeouts->half_closed_ms, quiet, SS_HALF_CLOSED_TIMEOUT);
	consider(&nearest, timeouts->lifetime_ms, age, SS_LIFETIME);
	return nearest;
}

/* Until timer() of the handler is due; INT64_MAX: it is not set. */
static int64_t timer_left(const struct ss_connection *c)
{
	if (!c->service->handler->timer || !*connection_timer(c) ||
	    c->flags & (CLOSING | FAILED | JOINED))
		return INT64_MAX;
	return (int32_t)(*connection_timer(c) - (uint32_t)c->set->loop->now);
}

static void tell_timer(struct ss_connection *c)
{
	if (timer_left(c) > 0)
		return;
	*connection_timer(c) = 0;
	connection_note(c);
	c->service->handler->timer(c);
}

/*
 * Which deadline is the nearest may change until then without a call here: bytes come, and the idle
 * time counts instead of that for the first byte; the service fills up, and the idle time shrinks
 * to a part of itself. So the timer comes at least four times in an idle time.
 */
static void arm(struct ss_connection *c, int64_t left_ms)
{
	int idle_ms = c->service->section->timeouts.idle_ms;
	int64_t timer_ms = timer_left(c);

	if (idle_ms && idle_ms / 4 < left_ms)
		left_ms = idle_ms / 4;
	if (timer_ms < left_ms)
		left_ms = timer_ms;
	if (left_ms != INT64_MAX)
		loop_arm(c->set->loop, &c->source, left_ms > 0 ? left_ms : 0);
}

void connection_watch(struct ss_connection *c)
{
	int64_t left = nearest_deadline(c).left_ms, timer_ms = timer_left(c);

	if (c->flags & (SHUT | PACED))
		return; /* armed for that, and soon */
	if (timer_ms < left)
		left = timer_ms;
	if (!timer_armed(&c->source.timer) || c->source.timer.due - c->set->loop->now > left)
		arm(c, left);
}

/* Who does not take what is left within the time of the lingering close is cut off. */
static void run_out(struct ss_connection *c, enum ss_reason reason)
{
	if (reason == SS_WRITE_TIMEOUT) {
		connection_fail(c, reason);
		return;
	}
	connection_finish(c, reason);
	c->reason = reason & 0x3f; /* also where the handler had closed before */
}

void connection_give_up(struct ss_connection *c)
{
	connection_fail(c, connection_is_wished(c) ? SS_LINGER_TIMEOUT : c->reason);
}

/*
 * EPOLLOUT comes when a third of the send buffer is free (tcp(7) does not say so), and that may
 * have grown to megabytes: a peer that reads slowly has taken much by then. Trying tells.
 */
static void try_to_write(struct ss_connection *c)
{
	c->source.events |= EPOLLOUT;
	if (c->flags & JOINED)
		connection_relay_try(c);
	else if (c->output)
		connection_flush(c);
	else if (c->flags & WANTS)
		connection_tell_writable(c);
}

void connection_expired(struct ss_connection *c)
{
	c->source.events &= ~LOOP_EXPIRED;
	if (c->flags & PACED) {
		c->flags &= (uint16_t)~PACED;
		if (!(c->flags & WANTS))
			connection_moved(c); /* it was the server that did not read */
	}
	if (c->flags & SHUT || (c->flags & CLOSING && !connection_is_wished(c))) {
		connection_give_up(c);
		return;
	}
	tell_timer(c);
	if (c->flags & FAILED)
		return;
	struct deadline nearest = nearest_deadline(c);
	if (nearest.left_ms <= 0 && nearest.reason == SS_WRITE_TIMEOUT) {
		try_to_write(c);
		nearest = nearest_deadline(c);
	}
	if (c->flags & FAILED)
		return;
	if (nearest.left_ms <= 0)
		run_out(c, nearest.reason);
	else
		arm(c, nearest.left_ms);
}

void ss_set_timer(struct ss_connection *c, int64_t in_ms)
{
	if (!connection_is_own(c)) {
		connection_foreign_call(c, "ss_set_timer");
	} else if (!c->service->handler->timer || c->flags & ENDED) {
		connection_misuse(c, "ss_set_timer() %s",
				  c->flags & ENDED ? "in close()" : "without a timer()");
		connection_fail(c, SS_MISUSE);
	} else if (!(c->flags & (CLOSING | FAILED))) {
		/* 0 is "not set"; a millisecond late is no time at all. */
		uint32_t due = (uint32_t)(c->set->loop->now + in_ms);
		*connection_timer(c) = in_ms < 0 ? 0 : due ? due : 1;
		connection_note(c);
		connection_watch(c);
	}
}

const char *connection_reason_name(enum ss_reason reason)
{
	static const char *const names[] = {
		[SS_PEER_CLOSED] = "peer-closed",
		[SS_HANDLER_CLOSED] = "handler-closed",
		[SS_LINGER_TIMEOUT] = "linger-timeout",
		[SS_RESET] = "reset",
		[SS_PEER_TIMEOUT] = "peer-timeout",
		[SS_REFUSED] = "refused",
		[SS_INPUT_FULL] = "input-full",
		[SS_NO_MEMORY] = "no-memory",
		[SS_OUTPUT_FULL] = "output-full",
		[SS_FIRST_BYTE_TIMEOUT] = "first-byte-timeout",
		[SS_IDLE_TIMEOUT] = "idle-timeout",
		[SS_WRITE_TIMEOUT] = "write-timeout",
		[SS_LIFETIME] = "lifetime",
		[SS_DRAIN] = "drain",
		[SS_ERROR] = "error",
		[SS_MISUSE] = "misuse",
		[SS_CONNECT_FAILED] = "connect-failed",
		[SS_HALF_CLOSED_TIMEOUT] = "half-closed-timeout",
	};

	return names[reason];
}
