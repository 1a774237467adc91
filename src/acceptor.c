/* SPDX-License-Identifier: MIT */
/* See acceptor.h. */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "acceptor.h"
#include "journal.h"
#include "util.h"

#define ACCEPT_BURST_MAX 64 /* in one turn: running connections wait for no longer */
#define PAUSE_MIN_MS     50
#define PAUSE_MAX_MS     500
#define LOG_INTERVAL_MS  10000

/* What one try to accept came to; -errno beside these. */
enum outcome { TOOK_ONE, TURNED_AWAY, NO_ROOM, NO_RATE };

/* Once in an interval for each listener, with the number of pauses that it stands for. */
static void log_paused(struct acceptor *acceptor, const char *why, int error)
{
	struct listener *listener = acceptor->listener;
	int64_t now = acceptor->loop->now;
	int64_t last = atomic_load(&listener->paused_logged);

	atomic_fetch_add(&listener->paused_count, 1);
	if (now - last < LOG_INTERVAL_MS ||
	    !atomic_compare_exchange_strong(&listener->paused_logged, &last, now))
		return;
	struct journal_fields fields = { .socket = listener->service->name, .error = error };
	journal_log(
		JOURNAL_ACCEPT_PAUSED, LOG_WARNING, &fields,
		"%s: accepting on %s pauses and goes on by itself: %s (pauses since the last such "
		"entry: %u)",
		fields.socket, listener->address, why, atomic_exchange(&listener->paused_count, 0));
}

static int watch(struct acceptor *acceptor)
{
	acceptor->source.fd = acceptor->listener->fd;
	/* Level-triggered: what a turn leaves in the backlog is reported again. */
	int r = loop_add(acceptor->loop, &acceptor->source, EPOLLIN | EPOLLEXCLUSIVE);
	acceptor->watching = r == 0;
	if (r < 0)
		acceptor->source.fd = -1;
	return r;
}

/* The listener leaves the epoll set: nothing spins, and waiting clients stay in the backlog. */
static void leave(struct acceptor *acceptor)
{
	loop_remove(acceptor->loop, &acceptor->source, NULL);
	acceptor->watching = false;
}

static void pause_for(struct acceptor *acceptor, int64_t ms)
{
	leave(acceptor);
	loop_arm(acceptor->loop, &acceptor->source, ms);
}

static void back_off(struct acceptor *acceptor, int error)
{
	unsigned ms = acceptor->pause_ms * 2;

	if (ms < PAUSE_MIN_MS)
		ms = PAUSE_MIN_MS;
	if (ms > PAUSE_MAX_MS)
		ms = PAUSE_MAX_MS;
	acceptor->pause_ms = ms;
	/* Workers that paused together do not all come back together. */
	pause_for(acceptor, ms + (unsigned)acceptor->turn % 8);
	log_paused(acceptor, strerror(error), error);
}

static void resume(struct acceptor *acceptor)
{
	acceptor->waiting = false;
	acceptor->source.events = 0;
	int r = watch(acceptor);
	if (r < 0) {
		loop_arm(acceptor->loop, &acceptor->source, PAUSE_MAX_MS);
		log_paused(acceptor, strerror(-r), -r);
	}
}

void acceptor_room(struct acceptor *acceptor)
{
	if (!acceptor->waiting)
		return;
	loop_disarm(acceptor->loop, &acceptor->source);
	resume(acceptor);
}

void acceptor_try(struct acceptor *acceptor)
{
	if (acceptor->watching || !timer_armed(&acceptor->source.timer))
		return;
	loop_disarm(acceptor->loop, &acceptor->source);
	resume(acceptor);
}

/* accept(2): errors of one connection, reported by the listener. The next one may be well. */
static bool concerns_one_connection(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

static void accept_failed(struct acceptor *acceptor, int error)
{
	struct journal_fields fields = { .socket = acceptor->listener->service->name,
					 .error = error };

	switch (error) {
	case EAGAIN:
		return;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case ENOSPC: /* of epoll_ctl(): fs.epoll.max_user_watches */
	case EPERM:  /* by a security module; the connection is still in the backlog */
		back_off(acceptor, error);
		return;
	default:
		leave(acceptor);
		if (journal_admit(JOURNAL_ERROR))
			journal_log(
				JOURNAL_ERROR, LOG_ERR, &fields,
				"%s: the listening socket %s is broken, it accepts no more: %s; "
				"restart its .socket unit",
				fields.socket, acceptor->listener->address, strerror(error));
	}
}

/* 0, or -errno when memory or the like ran out; any other failure costs this one connection. */
static int place_it(struct acceptor *acceptor, const struct settings_socket *section, int fd,
		    const struct peer *peer)
{
	struct service *service = acceptor->listener->service;
	int r = connection_place(acceptor->place(acceptor), service, section, fd, peer);

	if (r == 0)
		return TOOK_ONE;
	if (service_has_proxies(section))
		service_unreserve(service);
	else
		service_left(service, section->epoch, peer, 0, 0);
	acceptor->freed(acceptor);
	return r == -ENOMEM || r == -ENOSPC ? r : TURNED_AWAY;
}

/* No connection after all. Who is turned away uses up nothing of what the others may have. */
static int give_back(struct acceptor *acceptor, bool reserved, int outcome)
{
	struct service *service = acceptor->listener->service;

	service_give_back_rate(service);
	if (reserved)
		service_unreserve(service);
	acceptor->freed(acceptor);
	return outcome;
}

static int turn_away(struct acceptor *acceptor, int fd, const struct peer *peer, bool reserved,
		     enum service_verdict verdict)
{
	close_fd(fd);
	service_log_turned_away(acceptor->listener->service, peer, verdict, NULL);
	return give_back(acceptor, reserved, TURNED_AWAY);
}

/* What comes from a proxy is admitted when its header has said for whom. */
static enum service_verdict judge(struct service *service, const struct settings_socket *section,
				  const struct peer *peer, int64_t now_ms)
{
	if (!service_has_proxies(section))
		return service_admit(service, section, peer, now_ms);
	if (access_allowed(&section->proxies, peer))
		return SERVICE_ADMITTED;
	service_turned_away(service, SERVICE_NO_PROXY);
	return SERVICE_NO_PROXY;
}

/*
 * Takes the next one; `reserved` says whether there is a place for it already. Where at_limit is to
 * refuse the place is asked for now that there is somebody: workers that wake for one connection
 * would else reserve two places, and the last one be refused to the one who comes. From here on the
 * connection goes by one section, whatever a reload does meanwhile.
 */
static int accept_next(struct acceptor *acceptor, bool reserved)
{
	struct service *service = acceptor->listener->service;
	const struct settings_socket *section = service->section;
	struct peer peer;
	int fd = listener_accept(acceptor->listener, &peer);

	if (fd < 0)
		return give_back(acceptor, reserved, fd);
	if (!reserved && !service_reserve(service)) {
		service_turned_away(service, SERVICE_FULL);
		return turn_away(acceptor, fd, &peer, false, SERVICE_FULL);
	}
	enum service_verdict verdict = judge(service, section, &peer, acceptor->loop->now);
	if (verdict != SERVICE_ADMITTED)
		return turn_away(acceptor, fd, &peer, true, verdict);
	return place_it(acceptor, section, fd, &peer);
}

/* An outcome, or -errno. */
static int accept_one(struct acceptor *acceptor)
{
	struct service *service = acceptor->listener->service;
	bool refuse = service->section->limits.refuse;

	acceptor->rate_wait_ms = service_take_rate(service, acceptor->loop->now);
	if (acceptor->rate_wait_ms > 0)
		return NO_RATE;
	if (!refuse && !service_reserve(service)) {
		service_give_back_rate(service);
		return NO_ROOM;
	}
	return accept_next(acceptor, !refuse);
}

/* Until a connection of the service ends; and, since that may be one of another service, not for
 * ever. */
static void wait_for_room(struct acceptor *acceptor)
{
	acceptor->waiting = true;
	pause_for(acceptor, PAUSE_MAX_MS);
	log_paused(acceptor, "as many connections are open as may be", 0);
}

/* False: accept no more in this turn. */
static bool goes_on(struct acceptor *acceptor, int outcome)
{
	if (outcome == TOOK_ONE || outcome == TURNED_AWAY ||
	    (outcome < 0 && concerns_one_connection(-outcome)))
		return true;
	acceptor->burst = 1;
	if (outcome == NO_ROOM)
		wait_for_room(acceptor);
	else if (outcome == NO_RATE)
		pause_for(acceptor, acceptor->rate_wait_ms);
	else
		accept_failed(acceptor, -outcome);
	return false;
}

/*
 * One connection in a turn, unless the turn before had one too: then twice as many. A lone
 * connection so costs one accept4() and not a second one that says EAGAIN; a storm is taken in few
 * turns.
 */
static unsigned burst_of(struct acceptor *acceptor, uint64_t turn)
{
	bool again = acceptor->turn + 1 == turn;

	acceptor->turn = turn;
	acceptor->burst = again && acceptor->burst ? acceptor->burst * 2 : 1;
	if (acceptor->burst > ACCEPT_BURST_MAX)
		acceptor->burst = ACCEPT_BURST_MAX;
	return acceptor->burst;
}

static void on_acceptable(struct loop *loop, struct loop_source *source)
{
	struct acceptor *acceptor = container_of(source, struct acceptor, source);

	if (!acceptor->watching) {
		resume(acceptor);
		return;
	}
	source->events = 0;
	for (unsigned n = burst_of(acceptor, loop->turns); n > 0; n--) {
		int outcome = accept_one(acceptor);
		if (!goes_on(acceptor, outcome))
			return;
		if (outcome >= 0)
			acceptor->pause_ms = 0;
	}
}

int acceptor_start(struct acceptor *acceptor, struct loop *loop, struct listener *listener,
		   acceptor_place_fn *place, acceptor_freed_fn *freed, void *owner)
{
	*acceptor = (struct acceptor){
		.loop = loop,
		.listener = listener,
		.place = place,
		.freed = freed,
		.owner = owner,
	};
	loop_source_init(&acceptor->source, -1, on_acceptable);
	return watch(acceptor);
}

void acceptor_stop(struct acceptor *acceptor)
{
	acceptor->waiting = false;
	leave(acceptor);
}
