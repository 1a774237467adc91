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
#include <sys/mman.h>
#include <syslog.h>

#include "acceptor.h"
#include "crash.h"
#include "guard.h"
#include "journal.h"
#include "util.h"
#include "worker.h"

#define SURPLUS 2 /* connections; below that it is not worth a cold cache */

#define FOLLOW_SLICE 128 /* connections in one turn; the others wait for no longer than that */

enum order {
	ORDER_HELLO,
	ORDER_ACCEPT,
	ORDER_QUIET,
	ORDER_RESUME,
	ORDER_FREEZE,
	ORDER_DRAIN,
	ORDER_FINISH,
	ORDER_ABORT,
	ORDER_ROOM,
	ORDER_ANSWER,
	ORDER_SETTLE,
	ORDER_FOLLOW,
	ORDER_STOP,
	ORDERS
};

struct worker {
	struct loop loop;
	struct connection_set set;
	struct workers *workers;
	const struct listeners *listeners;
	struct acceptor *acceptors;
	size_t n_acceptors; /* that accept */
	pthread_t thread;
	const struct crash_place *place; /* its thread's, from the hello on */
	bool started, quiet, draining, failed;
	unsigned left; /* connections that could not be frozen */
	struct frozen frozen;
	bool silent;        /* main's: it owes an answer */
	bool following;     /* there is more to do for ORDER_FOLLOW */
	unsigned to_follow; /* connections that are still to be looked at */
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

static struct connection_set *place_for_next(struct acceptor *acceptor)
{
	struct worker *self = acceptor->owner, *best = self;
	unsigned own = connections_of(self), fewest = own;

	for (unsigned i = 0; i < self->workers->count; i++) {
		struct worker *other = &self->workers->list[i];
		unsigned count = connections_of(other);
		if (count + SURPLUS < own && count < fewest) {
			best = other;
			fewest = count;
		}
	}
	touch(self->workers);
	return &best->set;
}

static void order_all(struct workers *workers, enum order order)
{
	for (unsigned i = 0; i < workers->count; i++)
		loop_post(&workers->list[i].loop, &workers->list[i].orders[order]);
}

static void post_answer(struct worker *worker, enum order order)
{
	loop_post(worker->workers->main_loop, &worker->answers[order]);
}

static void answer_if_drained(struct worker *worker)
{
	if (worker->draining && connections_of(worker) == 0 && worker->set.jobs == 0) {
		worker->draining = false;
		post_answer(worker, ORDER_DRAIN);
	}
}

/* Who waits for room is told, in all workers: any of them may be the one that waits. */
static void note_room(struct workers *workers, struct service *service)
{
	if (unlikely(service_take_full(service)))
		order_all(workers, ORDER_ROOM);
	touch(workers);
}

static void on_freed(struct acceptor *acceptor)
{
	struct worker *worker = acceptor->owner;

	note_room(worker->workers, acceptor->listener->service);
}

static void on_ended(struct connection_set *set, struct service *service)
{
	struct worker *worker = container_of(set, struct worker, set);

	if (service)
		note_room(worker->workers, service);
	answer_if_drained(worker);
}

static void on_counted(struct connection_set *set)
{
	touch(container_of(set, struct worker, set)->workers);
}

static void on_hello(struct loop *loop, struct loop_message *message)
{
	(void)loop;
	post_answer(container_of(message, struct worker, orders[ORDER_HELLO]), ORDER_HELLO);
}

static void accept_all(struct worker *worker)
{
	int r = 0;

	for (size_t i = 0; i < worker->listeners->count && !worker->quiet && r == 0; i++) {
		r = acceptor_start(&worker->acceptors[i], &worker->loop,
				   &worker->listeners->list[i], place_for_next, on_freed, worker);
		worker->n_acceptors++;
	}
	if (r < 0) {
		journal_log(JOURNAL_ERROR, LOG_ERR, &(struct journal_fields){ .error = -r },
			    "cannot watch the sockets: %s", strerror(-r));
		worker->failed = true;
	}
}

/* There is no connection before every handler has started in every worker. */
static void on_accept(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, orders[ORDER_ACCEPT]);

	(void)loop;
	accept_all(worker);
	post_answer(worker, ORDER_ACCEPT);
}

static void on_resume(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, orders[ORDER_RESUME]);

	(void)loop;
	worker->quiet = false;
	worker->n_acceptors = 0;
	accept_all(worker);
}

static void on_quiet(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, orders[ORDER_QUIET]);

	(void)loop;
	worker->quiet = true;
	for (size_t i = 0; i < worker->n_acceptors; i++)
		acceptor_stop(&worker->acceptors[i]);
	post_answer(worker, ORDER_QUIET);
}

static void on_room(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, orders[ORDER_ROOM]);

	(void)loop;
	for (size_t i = 0; i < worker->n_acceptors; i++)
		acceptor_room(&worker->acceptors[i]);
}

static void on_freeze(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, orders[ORDER_FREEZE]);

	(void)loop;
	worker->left = connection_set_stuck(&worker->set, worker->workers->freezing_since_ns);
	if (worker->workers->freezing) {
		connection_set_freeze(&worker->set, &worker->frozen);
		worker->left = connections_of(worker);
	}
	post_answer(worker, ORDER_FREEZE);
}

/* Here it is between two callbacks; what it took from a service before, it has no more. */
static void on_settle(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, orders[ORDER_SETTLE]);

	(void)loop;
	for (size_t i = 0; i < worker->n_acceptors; i++)
		acceptor_try(&worker->acceptors[i]);
	post_answer(worker, ORDER_SETTLE);
}

/*
 * In slices, with a turn for each. A connection that another worker accepted by the old section was
 * added to this epoll before the order was given; its first event, which brings it up to date by
 * itself, is older than the wake-up for the last turn, and so it is seen before the answer.
 */
static void on_follow(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, orders[ORDER_FOLLOW]);

	if (!worker->following) {
		worker->following = true;
		worker->to_follow = connections_of(worker);
	} else if (worker->to_follow == 0) {
		worker->following = false;
		post_answer(worker, ORDER_FOLLOW);
		return;
	}
	unsigned n = worker->to_follow < FOLLOW_SLICE ? worker->to_follow : FOLLOW_SLICE;
	connection_set_follow(&worker->set, n);
	worker->to_follow -= n;
	loop_post(loop, message);
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

static void on_answer(struct loop *loop, struct loop_message *message)
{
	(void)loop;
	post_answer(container_of(message, struct worker, orders[ORDER_ANSWER]), ORDER_ANSWER);
}

static void on_stop(struct loop *loop, struct loop_message *message)
{
	(void)message;
	loop_stop(loop);
}

static void on_hello_answer(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, answers[ORDER_HELLO]);
	struct workers *workers = worker->workers;

	(void)loop;
	workers->failed |= worker->failed;
	if (++workers->greeted < workers->count)
		return;
	if (workers->failed) {
		workers->events->ready(workers);
		return;
	}
	workers->events->greeted(workers);
	order_all(workers, ORDER_ACCEPT);
}

static void on_accept_answer(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, answers[ORDER_ACCEPT]);
	struct workers *workers = worker->workers;

	(void)loop;
	workers->failed |= worker->failed;
	if (++workers->ready == workers->count)
		workers->events->ready(workers);
}

static void on_quiet_answer(struct loop *loop, struct loop_message *message)
{
	struct workers *workers =
		container_of(message, struct worker, answers[ORDER_QUIET])->workers;

	(void)loop;
	if (++workers->quiet < workers->count)
		return;
	if (workers->state == WORKERS_DRAINING) {
		order_all(workers, ORDER_DRAIN);
	} else {
		workers->state = WORKERS_PAUSED;
		workers->events->paused(workers);
	}
}

static void on_freeze_answer(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, answers[ORDER_FREEZE]);
	struct workers *workers = worker->workers;

	(void)loop;
	workers->left += worker->left;
	if (++workers->frozen == workers->count)
		workers->events->frozen(workers, workers->left);
}

static void on_settle_answer(struct loop *loop, struct loop_message *message)
{
	struct workers *workers =
		container_of(message, struct worker, answers[ORDER_SETTLE])->workers;

	(void)loop;
	if (++workers->settled == workers->count)
		order_all(workers, ORDER_FOLLOW);
}

static void on_follow_answer(struct loop *loop, struct loop_message *message)
{
	struct workers *workers =
		container_of(message, struct worker, answers[ORDER_FOLLOW])->workers;

	(void)loop;
	if (++workers->followed == workers->count)
		workers->events->settled(workers);
}

static void on_drain_answer(struct loop *loop, struct loop_message *message)
{
	struct workers *workers =
		container_of(message, struct worker, answers[ORDER_DRAIN])->workers;

	(void)loop;
	if (++workers->drained == workers->count)
		workers->events->drained(workers);
}

static void on_answer_answer(struct loop *loop, struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, answers[ORDER_ANSWER]);
	struct workers *workers = worker->workers;

	(void)loop;
	worker->silent = false;
	if (--workers->silent == 0)
		workers->events->answered(workers);
}

static void on_touched(struct loop *loop, struct loop_message *message)
{
	struct workers *workers = container_of(message, struct workers, on_touched);

	(void)loop;
	workers->events->touched(workers);
}

static int worker_init(struct worker *worker, struct workers *workers, unsigned index,
		       const struct listeners *listeners, const struct services *services,
		       struct pool *pool)
{
	*worker = (struct worker){
		.workers = workers,
		.listeners = listeners,
		.orders = { [ORDER_HELLO].deliver = on_hello,
			    [ORDER_ACCEPT].deliver = on_accept,
			    [ORDER_QUIET].deliver = on_quiet,
			    [ORDER_RESUME].deliver = on_resume,
			    [ORDER_FREEZE].deliver = on_freeze,
			    [ORDER_DRAIN].deliver = on_drain,
			    [ORDER_FINISH].deliver = on_finish,
			    [ORDER_ABORT].deliver = on_abort,
			    [ORDER_ROOM].deliver = on_room,
			    [ORDER_ANSWER].deliver = on_answer,
			    [ORDER_SETTLE].deliver = on_settle,
			    [ORDER_FOLLOW].deliver = on_follow,
			    [ORDER_STOP].deliver = on_stop },
		.answers = { [ORDER_HELLO].deliver = on_hello_answer,
			     [ORDER_ACCEPT].deliver = on_accept_answer,
			     [ORDER_QUIET].deliver = on_quiet_answer,
			     [ORDER_FREEZE].deliver = on_freeze_answer,
			     [ORDER_ANSWER].deliver = on_answer_answer,
			     [ORDER_SETTLE].deliver = on_settle_answer,
			     [ORDER_FOLLOW].deliver = on_follow_answer,
			     [ORDER_DRAIN].deliver = on_drain_answer },
	};
	int r = loop_init(&worker->loop);
	if (r == 0)
		r = connection_set_init(&worker->set, &worker->loop, services, index, pool);
	worker->set.ended = on_ended;
	worker->set.counted = on_counted;
	worker->acceptors = calloc(listeners->count, sizeof(*worker->acceptors));
	return worker->acceptors ? r : -ENOMEM;
}

int workers_init(struct workers *workers, unsigned count, const struct listeners *listeners,
		 const struct services *services, struct pool *pool, struct loop *main_loop,
		 const struct workers_events *events, void *owner)
{
	size_t size = count * sizeof(struct worker);
	int r = 0;

	/* Shared, so that the keeper sees what each loop was doing (workers_in_turn()). */
	*workers = (struct workers){
		.size = size,
		.main_loop = main_loop,
		.events = events,
		.owner = owner,
		.on_touched.deliver = on_touched,
		.list = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
	};
	if (workers->list == MAP_FAILED) {
		workers->list = NULL;
		return -errno;
	}
	for (unsigned i = 0; i < count && r == 0; i++) {
		r = worker_init(&workers->list[i], workers, i, listeners, services, pool);
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
		frozen_deinit(&worker->frozen);
		free(worker->acceptors);
	}
	if (workers->list)
		munmap(workers->list, workers->size);
	workers->list = NULL;
	workers->count = 0;
}

static void *worker_thread(void *argument)
{
	struct worker *worker = argument;
	struct connection_set *set = &worker->set;

	worker->place = &crash_place;
	connection_set_enter(set);
	guard_enter_thread();
	worker->failed = crash_enter_thread() < 0 || places_start(set->places, set->n_places) < 0;
	loop_run(&worker->loop);
	places_stop(set->places, set->n_places);
	guard_leave_thread();
	crash_leave_thread();
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

static void quiet_all(struct workers *workers)
{
	workers->quiet = 0;
	order_all(workers, ORDER_QUIET);
}

void workers_pause(struct workers *workers)
{
	if (workers->state == WORKERS_PAUSING)
		return; /* `paused` is about to come */
	workers->state = WORKERS_PAUSING;
	quiet_all(workers);
}

void workers_resume(struct workers *workers)
{
	workers->state = WORKERS_ACCEPT;
	order_all(workers, ORDER_RESUME);
}

void workers_freeze(struct workers *workers, bool for_good, int64_t since_ns)
{
	workers->freezing_since_ns = since_ns;
	workers->freezing = for_good;
	workers->left = workers->frozen = 0;
	order_all(workers, ORDER_FREEZE);
}

struct frozen *workers_frozen(struct workers *workers, unsigned worker)
{
	return &workers->list[worker].frozen;
}

struct connection_set *workers_quietest(struct workers *workers)
{
	struct worker *best = workers->list;

	for (unsigned i = 1; i < workers->count; i++)
		if (connections_of(&workers->list[i]) < connections_of(best))
			best = &workers->list[i];
	return &best->set;
}

void workers_set_ledger(struct workers *workers, struct ledger *ledger)
{
	for (unsigned i = 0; i < workers->count; i++)
		workers->list[i].set.ledger = ledger;
}

bool workers_in_turn(const struct workers *workers, int fd)
{
	for (unsigned i = 0; i < workers->count; i++)
		if (atomic_load(&workers->list[i].loop.called) == fd)
			return true;
	return false;
}

/* Where the pause is being made already, what follows the last answer is the drain. */
void workers_drain(struct workers *workers)
{
	bool pausing = workers->state == WORKERS_PAUSING, paused = workers->state == WORKERS_PAUSED;

	workers->state = WORKERS_DRAINING;
	if (paused)
		order_all(workers, ORDER_DRAIN);
	else if (!pausing)
		quiet_all(workers);
}

void workers_settle(struct workers *workers)
{
	workers->settled = workers->followed = 0;
	order_all(workers, ORDER_SETTLE);
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

void workers_ask(struct workers *workers)
{
	workers->silent = workers->count;
	for (unsigned i = 0; i < workers->count; i++)
		workers->list[i].silent = true;
	order_all(workers, ORDER_ANSWER);
}

unsigned workers_silent(const struct workers *workers, unsigned index)
{
	while (index < workers->count && !workers->list[index].silent)
		index++;
	return index;
}

struct crash_place workers_place(const struct workers *workers, unsigned index)
{
	return *workers->list[index].place;
}

void workers_abort_thread(const struct workers *workers, unsigned index)
{
	pthread_kill(workers->list[index].thread, SIGABRT);
}

bool workers_untouch(struct workers *workers)
{
	return atomic_exchange(&workers->touched, false);
}

int64_t workers_counter(const struct workers *workers, const struct service *service,
			unsigned counter)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < workers->count; i++)
		sum += atomic_load_explicit(
			&workers->list[i].set.places[service->index].counters[counter],
			memory_order_relaxed);
	return sum;
}

unsigned workers_connections(const struct workers *workers)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < workers->count; i++)
		sum += connections_of(&workers->list[i]);
	return sum;
}
