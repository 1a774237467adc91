/* SPDX-License-Identifier: MIT */
/* How a session comes to its socket, and how it lets go of it. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "random.h"
#include "session-private.h"
#include "sockopt.h"

#define SESSION_MASK    (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | (uint32_t)EPOLLET)
#define RETRY_MS        10
#define FULL_BACKLOG_MS 1
#define FINISH_PATIENCE CLOCK_SECOND

void session_init(struct session *s, struct pool *pool, const struct mode *mode,
		  struct schedule *schedule, struct request *requests, unsigned depth,
		  unsigned number)
{
	*s = (struct session){
		.pool = pool,
		.mode = mode,
		.schedule = schedule,
		.requests = requests,
		.depth = depth,
		.number = number,
	};
	list_init(&s->link);
	loop_source_init(&s->source, -1, session_on_event);
}

void session_arm(struct session *s, int64_t ns)
{
	loop_arm(s->pool->loop, &s->source, (ns + CLOCK_MS - 1) / CLOCK_MS);
}

/* TCP listens to SO_LINGER with 0 seconds and sends RST instead of FIN. */
static void set_reset(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
		   sizeof(struct linger));
}

static unsigned family_of(const struct plan_address *address)
{
	switch (address->address.ss_family) {
	case AF_INET:
		return SOCKOPT_INET4;
	case AF_INET6:
		return SOCKOPT_INET6;
	default:
		return SOCKOPT_UNIX;
	}
}

static int set_options(const struct plan *plan, int fd, unsigned family)
{
	int r = 0;

	for (size_t i = 0; i < plan->n_options && r == 0; i++)
		if (plan->options[i].row->families & family)
			r = sockopt_set(fd, plan->options[i].row, &plan->options[i].value);
	return r;
}

/*
 * Without IP_BIND_ADDRESS_NO_PORT, bind() takes a port that no other connection from this address
 * may have, whoever it goes to; with it, connect() chooses one for this destination.
 */
static int bind_source(struct pool *pool, int fd)
{
	const struct plan *plan = pool->plan;

	if (plan->n_sources == 0)
		return 0;
	const struct plan_address *from = &plan->sources[pool->next_source++ % plan->n_sources];
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
	return bind(fd, (const struct sockaddr *)&from->address, from->length) < 0 ? -errno : 0;
}

static const struct plan_address *address_of(const struct session *s)
{
	const struct plan *plan = s->pool->plan;

	return &plan->addresses[s->address % plan->n_addresses];
}

/* A socket that connects. 0 when it is connected already, or -errno; -EINPROGRESS is the rule. */
static int make_socket(struct session *s)
{
	const struct plan_address *to = address_of(s);
	unsigned family = family_of(to);
	auto_close int fd = socket(to->address.ss_family,
				   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	int r = set_options(s->pool->plan, fd, family);
	if (r == 0)
		r = bind_source(s->pool, fd);
	if (r == 0 && connect(fd, (const struct sockaddr *)&to->address, to->length) < 0)
		r = -errno;
	if (r < 0 && r != -EINPROGRESS)
		return r;

	/* Registered before connect(), a socket reports EPOLLHUP. */
	s->source.fd = fd;
	int added = loop_add(s->pool->loop, &s->source, SESSION_MASK);
	if (added < 0) {
		s->source.fd = -1;
		return added;
	}
	s->is_unix = family == SOCKOPT_UNIX;
	steal_fd(&fd);
	return r;
}

static enum stats_error kind_of(int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
	case ENOSPC:
	case EADDRNOTAVAIL:
	case EADDRINUSE:
	case EAGAIN:
		return STATS_SYSTEM;
	default:
		return STATS_CONNECT;
	}
}

static void fail_connect(struct session *s, enum stats_error kind, const char *why)
{
	char address[PLAN_ADDRESS_MAX];

	plan_address_format(address, address_of(s));
	session_fail(s, kind, "connection %u: connect to %s: %s", s->number, address, why);
}

static void established(struct session *s)
{
	struct stats *stats = s->pool->stats;
	unsigned open = atomic_load_explicit(&stats->open, memory_order_relaxed) + 1;
	int64_t now = clock_ns();

	atomic_store_explicit(&stats->open, open, memory_order_relaxed);
	if (stats->most_open < open)
		stats->most_open = open;
	s->state = SESSION_OPEN;
	int64_t began = s->since;
	s->since = now;
	s->pool->opened(s, now, now - began);
}

static void try_connect(struct session *s);

/* A name may stand for addresses that nobody serves: the next one is tried before it is an error.
 */
static void connect_failed(struct session *s, int error)
{
	if (++s->tries == s->pool->plan->n_addresses) {
		fail_connect(s, kind_of(error), strerror(error));
		return;
	}
	s->address++;
	try_connect(s);
}

static void drop_socket(struct session *s)
{
	int fd = s->source.fd;

	loop_remove(s->pool->loop, &s->source, NULL);
	close_fd(fd);
	loop_source_init(&s->source, -1, session_on_event);
}

/* connect(2): AF_UNIX does not wait for room in the backlog by itself when it must not block. */
static void try_connect(struct session *s)
{
	int r;

	drop_socket(s);
	r = make_socket(s);
	if (r == -EAGAIN && family_of(address_of(s)) == SOCKOPT_UNIX)
		loop_arm(s->pool->loop, &s->source, FULL_BACKLOG_MS);
	else if (r < 0 && r != -EINPROGRESS)
		connect_failed(s, -r);
	else
		session_arm(s, s->pool->plan->timeout_ns);
	if (r == 0)
		established(s);
}

void session_connect_ready(struct session *s)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (s->source.events & (EPOLLERR | EPOLLHUP))
		getsockopt(s->source.fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error) {
		connect_failed(s, error);
		return;
	}
	if (!(s->source.events & EPOLLOUT))
		return;
	established(s);
	/* A server that speaks first may be in the same event. */
	if (s->state == SESSION_OPEN && s->source.events & SESSION_READABLE)
		s->mode->ready(s);
}

void session_connect_late(struct session *s)
{
	int64_t wait = s->since + s->pool->plan->timeout_ns - clock_ns();

	if (wait <= 0)
		fail_connect(s, STATS_CONNECT_TIMEOUT, "no answer");
	else if (s->source.fd < 0)
		try_connect(s);
	else
		session_arm(s, wait);
}

static void start_connect(struct session *s)
{
	struct pool *pool = s->pool;

	s->state = SESSION_CONNECTING;
	s->has_slot = true;
	pool->connecting++;
	s->address = pool->next_address++;
	s->tries = 0;
	s->pattern = pool->pattern;
	s->in = s->out = (uint32_t)random_below(&pool->random, s->pattern->period);
	s->received = s->expected = s->answered = 0;
	s->unsent = 0;
	s->is_shut = s->is_gone = false;
	s->since = clock_ns();
	try_connect(s);
}

/* A connect that fails at once frees its place within the loop: hence no recursion. */
static void pump(struct pool *pool)
{
	if (pool->pumping)
		return;
	pool->pumping = true;
	while (pool->connecting < pool->most_connecting && !list_empty(&pool->queue))
		start_connect(container_of(list_pop(&pool->queue), struct session, link));
	pool->pumping = false;
}

void session_open(struct session *s)
{
	s->state = SESSION_QUEUED;
	list_add_tail(&s->pool->queue, &s->link);
	pump(s->pool);
}

void session_release_slot(struct session *s)
{
	if (!s->has_slot)
		return;
	s->has_slot = false;
	s->pool->connecting--;
	pump(s->pool);
}

void session_close(struct session *s)
{
	struct stats *stats = s->pool->stats;
	unsigned open = atomic_load_explicit(&stats->open, memory_order_relaxed);

	if (s->state == SESSION_OPEN || s->state == SESSION_ENDING)
		atomic_store_explicit(&stats->open, open - 1, memory_order_relaxed);
	list_del(&s->link);
	drop_socket(s);
	s->state = SESSION_CLOSED;
	s->under_way = 0;
	s->first = 0;
	s->unsent = 0;
	session_release_slot(s);
}

void session_reset(struct session *s)
{
	set_reset(s->source.fd);
	session_close(s);
}

void session_shutdown(struct session *s)
{
	shutdown(s->source.fd, SHUT_WR);
	s->is_shut = true;
}

void session_finish(struct session *s)
{
	s->state = SESSION_ENDING;
	session_shutdown(s);
	session_arm(s, FINISH_PATIENCE);
}

void session_retry(struct session *s)
{
	loop_arm(s->pool->loop, &s->source, RETRY_MS);
}

void session_no_retry(struct session *s)
{
	loop_disarm(s->pool->loop, &s->source);
}
