/* SPDX-License-Identifier: MIT */
/*
 * See worker.h. Main orders by messages, workers answer by messages; an order is carried out by all
 * before the next one that needs it. Draining takes two: first nobody accepts, then nobody can be
 * given a connection any more, and only then "no connections left" is final.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "journal.h"
#include "util.h"
#include "worker.h"

#define ACCEPT_BURST_MAX 64 /* in one turn: running connections wait for no longer */
#define PAUSE_MIN_MS     50
#define PAUSE_MAX_MS     500
#define PAUSE_LOG_MS     10000
#define SURPLUS          2 /* connections; below that it is not worth a cold cache */

enum order { ORDER_HELLO, ORDER_QUIET, ORDER_DRAIN, ORDER_FINISH, ORDER_ABORT, ORDER_STOP, ORDERS };

/* One worker's watch over one listener. */
struct acceptor {
	struct loop_source source;
	struct worker *worker;
	struct listener *listener;
	unsigned burst;    /* connections to accept in this turn */
	uint64_t turn;     /* of the loop, when it last accepted */
	unsigned pause_ms; /* 0 while accepting goes well */
	bool watching;
};

struct worker {
	struct loop loop;
	struct connection_set set;
	struct workers *workers;
	struct acceptor *acceptors;
	size_t n_acceptors;
	pthread_t thread;
	bool started, draining;
	struct loop_message orders[ORDERS];
	struct loop_message answers[ORDERS];
};

static unsigned connections_of(struct worker *worker)
{
	return atomic_load_explicit(&worker->set.count, memory_order_relaxed);
}

/* Costs a load of a shared line that is rarely written. */
static void touch(struct workers *workers)
{
	if (atomic_load_explicit(&workers->touched, memory_order_relaxed))
		return;
	if (!atomic_exchange(&workers->touched, true))
		loop_post(workers->main_loop, &workers->on_touched);
}

static struct worker *place_for_next(struct worker *self)
{
	struct worker *best = self;
	unsigned own = connections_of(self), fewest = own;

	for (unsigned i = 0; i < self->workers->count; i++) {
		struct worker *other = &self->workers->list[i];
		unsigned count = connections_of(other);
		if (count + SURPLUS < own && count < fewest) {
			best = other;
			fewest = count;
		}
	}
	return best;
}

static void log_paused(struct acceptor *acceptor, int error)
{
	struct listener *listener = acceptor->listener;
	int64_t now = acceptor->worker->loop.now;
	int64_t last = atomic_load(&listener->paused_logged);

	atomic_fetch_add(&listener->paused_count, 1);
	if (now - last < PAUSE_LOG_MS ||
	    !atomic_compare_exchange_strong(&listener->paused_logged, &last, now))
		return;
	struct journal_fields fields = { .socket = listener->service->section->name,
					 .error = error };
	journal_log(
		JOURNAL_ACCEPT_PAUSED, LOG_WARNING, &fields,
		"%s: accepting on %s pauses and goes on by itself: %s (%u pauses since the last "
		"such entry)",
		fields.socket, listener->address, strerror(error),
		atomic_exchange(&listener->paused_count, 0));
}

static int watch(struct acceptor *acceptor)
{
	acceptor->source.fd = acceptor->listener->fd;
	/* Level-triggered: what a turn leaves in the backlog is reported again. */
	int r = loop_add(&acceptor->worker->loop, &acceptor->source, EPOLLIN | EPOLLEXCLUSIVE);
	acceptor->watching = r == 0;
	if (r < 0)
		acceptor->source.fd = -1;
	return r;
}

/* The listener leaves the epoll set for a while: nothing spins, and waiting clients stay in the
 * backlog. */
static void pause_accepting(struct acceptor *acceptor, int error)
{
	unsigned ms = acceptor->pause_ms * 2;

	if (ms < PAUSE_MIN_MS)
		ms = PAUSE_MIN_MS;
	if (ms > PAUSE_MAX_MS)
		ms = PAUSE_MAX_MS;
	acceptor->pause_ms = ms;
	loop_remove(&acceptor->worker->loop, &acceptor->source, NULL);
	acceptor->watching = false;
	/* Not all workers at the same moment. */
	loop_arm(&acceptor->worker->loop, &acceptor->source,
		 ms + (unsigned)(acceptor->worker - acceptor->worker->workers->list) % 8);
	log_paused(acceptor, error);
}

static void resume_accepting(struct acceptor *acceptor)
{
	acceptor->source.events = 0;
	int r = watch(acceptor);
	if (r < 0) {
		loop_arm(&acceptor->worker->loop, &acceptor->source, PAUSE_MAX_MS);
		log_paused(acceptor, -r);
	}
}

/* accept(2): errors of one connection, reported by the listener. The next one may be well. */
static bool concerns_one_connection(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

static void accept_failed(struct acceptor *acceptor, int error)
{
	struct journal_fields fields = { .socket = acceptor->listener->service->section->name,
					 .error = error };

	switch (error) {
	case EAGAIN:
		return;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case ENOSPC: /* of epoll_ctl(): fs.epoll.max_user_watches */
		pause_accepting(acceptor, error);
		return;
	default:
		loop_remove(&acceptor->worker->loop, &acceptor->source, NULL);
		acceptor->watching = false;
		if (journal_admit(JOURNAL_ERROR))
			journal_log(
				JOURNAL_ERROR, LOG_ERR, &fields,
				"%s: the listening socket %s is broken, it accepts no more: %s; "
				"restart its .socket unit",
				fields.socket, acceptor->listener->address, strerror(error));
	}
}

/* 0, or -errno after which this turn accepts no more. */
static int accept_one(struct acceptor *acceptor)
{
	struct worker *worker = acceptor->worker;
	struct peer peer;
	int fd = listener_accept(acceptor->listener, &peer);

	if (fd < 0)
		return concerns_one_connection(-fd) ? 0 : fd;
	return connection_place(&place_for_next(worker)->set, acceptor->listener->service, fd,
				&peer);
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
		resume_accepting(acceptor);
		return;
	}
	source->events = 0;
	for (unsigned n = burst_of(acceptor, loop->turns); n > 0; n--) {
		int r = accept_one(acceptor);
		if (r < 0) {
			acceptor->burst = 1;
			accept_failed(acceptor, -r);
			break;
		}
		acceptor->pause_ms = 0;
	}
	touch(acceptor->worker->workers);
}

static void post_answer(struct worker *worker, enum order order)
{
	loop_post(worker->workers->main_loop, &worker->answers[order]);
}

static void answer_if_drained(struct worker *worker)
{
	if (worker->draining && connections_of(worker) == 0) {
		worker->draining = false;
		post_answer(worker, ORDER_DRAIN);
	}
}

static void on_ended(struct connection_set *set)
{
	struct worker *worker = container_of(set, struct worker, set);

	touch(worker->workers);
	answer_if_drained(worker);
}

static void on_hello(struct loop *loop, struct loop_message *message)
{
	(void)loop;
	post_answer(container_of(message, struct worker, orders[ORDER_HELLO]), ORDER_HELLO);
}

static void on_quiet(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, orders[ORDER_QUIET]);

	for (size_t i = 0; i < worker->n_acceptors; i++)
		loop_remove(loop, &worker->acceptors[i].source, NULL);
	post_answer(worker, ORDER_QUIET);
}

static void on_drain(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, orders[ORDER_DRAIN]);

	(void)loop;
	worker->draining = true;
	answer_if_drained(worker);
}

static void on_finish(struct loop *loop, struct loop_message *message)
{
	(void)loop;
	connection_set_finish(&container_of(message, struct worker, orders[ORDER_FINISH])->set);
}

static void on_abort(struct loop *loop, struct loop_message *message)
{
	(void)loop;
	connection_set_abort(&container_of(message, struct worker, orders[ORDER_ABORT])->set);
}

static void on_stop(struct loop *loop, struct loop_message *message)
{
	(void)message;
	loop_stop(loop);
}

static void on_hello_answer(struct loop *loop, struct loop_message *message)
{
	struct workers *workers =
		container_of(message, struct worker, answers[ORDER_HELLO])->workers;

	(void)loop;
	if (++workers->answers[ORDER_HELLO] == workers->count)
		workers->events->ready(workers);
}

static void order_all(struct workers *workers, enum order order)
{
	for (unsigned i = 0; i < workers->count; i++)
		loop_post(&workers->list[i].loop, &workers->list[i].orders[order]);
}

static void on_quiet_answer(struct loop *loop, struct loop_message *message)
{
	struct workers *workers =
		container_of(message, struct worker, answers[ORDER_QUIET])->workers;

	(void)loop;
	if (++workers->answers[ORDER_QUIET] == workers->count)
		order_all(workers, ORDER_DRAIN);
}

static void on_drain_answer(struct loop *loop, struct loop_message *message)
{
	struct workers *workers =
		container_of(message, struct worker, answers[ORDER_DRAIN])->workers;

	(void)loop;
	if (++workers->answers[ORDER_DRAIN] == workers->count)
		workers->events->drained(workers);
}

static void on_touched(struct loop *loop, struct loop_message *message)
{
	struct workers *workers = container_of(message, struct workers, on_touched);

	(void)loop;
	workers->events->touched(workers);
}

static int worker_init(struct worker *worker, struct workers *workers,
		       const struct listeners *listeners)
{
	*worker = (struct worker){
		.workers = workers,
		.orders = { [ORDER_HELLO].deliver = on_hello,
			    [ORDER_QUIET].deliver = on_quiet,
			    [ORDER_DRAIN].deliver = on_drain,
			    [ORDER_FINISH].deliver = on_finish,
			    [ORDER_ABORT].deliver = on_abort,
			    [ORDER_STOP].deliver = on_stop },
		.answers = { [ORDER_HELLO].deliver = on_hello_answer,
			     [ORDER_QUIET].deliver = on_quiet_answer,
			     [ORDER_DRAIN].deliver = on_drain_answer },
	};
	int r = loop_init(&worker->loop);
	if (r == 0)
		r = connection_set_init(&worker->set, &worker->loop);
	worker->set.ended = on_ended;
	worker->acceptors = calloc(listeners->count, sizeof(*worker->acceptors));
	if (!worker->acceptors)
		return -ENOMEM;
	worker->n_acceptors = listeners->count;
	for (size_t i = 0; i < listeners->count && r == 0; i++) {
		struct acceptor *acceptor = &worker->acceptors[i];
		acceptor->worker = worker;
		acceptor->listener = &listeners->list[i];
		loop_source_init(&acceptor->source, -1, on_acceptable);
		r = watch(acceptor);
	}
	return r;
}

int workers_init(struct workers *workers, unsigned count, const struct listeners *listeners,
		 struct loop *main_loop, const struct workers_events *events, void *owner)
{
	size_t size = count * sizeof(struct worker);
	int r = 0;

	*workers = (struct workers){
		.main_loop = main_loop,
		.events = events,
		.owner = owner,
		.on_touched.deliver = on_touched,
		.list = aligned_alloc(_Alignof(struct worker), size),
	};
	if (!workers->list)
		return -ENOMEM;
	for (unsigned i = 0; i < count && r == 0; i++) {
		r = worker_init(&workers->list[i], workers, listeners);
		workers->count++;
	}
	return r;
}

void workers_deinit(struct workers *workers)
{
	for (unsigned i = 0; i < workers->count; i++) {
		struct worker *worker = &workers->list[i];
		loop_deinit(&worker->loop);
		connection_set_deinit(&worker->set);
		free(worker->acceptors);
	}
	free(workers->list);
	workers->list = NULL;
	workers->count = 0;
}

static void *worker_thread(void *argument)
{
	struct worker *worker = argument;

	loop_run(&worker->loop);
	return NULL;
}

int workers_start(struct workers *workers)
{
	for (unsigned i = 0; i < workers->count; i++) {
		struct worker *worker = &workers->list[i];
		int r = pthread_create(&worker->thread, NULL, worker_thread, worker);
		if (r != 0)
			return -r;
		worker->started = true;
		char name[16];
		snprintf(name, sizeof(name), "worker-%u", i % 1000);
		pthread_setname_np(worker->thread, name);
	}
	order_all(workers, ORDER_HELLO);
	return 0;
}

void workers_drain(struct workers *workers)
{
	order_all(workers, ORDER_QUIET);
}

void workers_finish(struct workers *workers)
{
	order_all(workers, ORDER_FINISH);
}

void workers_abort(struct workers *workers)
{
	order_all(workers, ORDER_ABORT);
}

void workers_stop(struct workers *workers)
{
	for (unsigned i = 0; i < workers->count; i++) {
		struct worker *worker = &workers->list[i];
		if (!worker->started)
			continue;
		loop_post(&worker->loop, &worker->orders[ORDER_STOP]);
		pthread_join(worker->thread, NULL);
		worker->started = false;
	}
}

void workers_untouch(struct workers *workers)
{
	atomic_store(&workers->touched, false);
}

unsigned workers_connections(const struct workers *workers)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < workers->count; i++)
		sum += connections_of(&workers->list[i]);
	return sum;
}
