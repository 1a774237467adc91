/* SPDX-License-Identifier: MIT */
/*
 * See pool.h. One mutex for everything; it is held for a few lines at a time, never over work, a
 * system call of a message or an entry of the journal.
 *
 * A thread finds its job in the queue when it wakes, it is not handed one: a thread that has just
 * become free may have been faster, and then the woken one goes back to sleep.
 */
#include "pool.h"

#include <errno.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>

#include "crash.h"
#include "journal.h"
#include "util.h"

struct pool_thread {
	struct pool *pool;
	pthread_t thread;
	pthread_cond_t wake;
	struct list link;     /* among the idle ones */
	struct pool_job *job; /* that runs here */
};

/* What the journal says of a job, which may be gone by then. */
struct overdue {
	struct journal_fields fields;
	unsigned queued;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void raise_to(int64_t *max, int64_t value)
{
	if (value > *max)
		*max = value;
}

static bool too_long(const struct pool *pool, int64_t took_ns)
{
	return pool->budget_ns && took_ns > pool->budget_ns;
}

/* With the lock held. */
static struct overdue describe(const struct pool *pool, const struct pool_job *job, int64_t took_ns)
{
	return (struct overdue){
		.fields = { .socket = job->socket,
			    .handler = job->handler,
			    .connection = job->connection,
			    .duration_us = (uint64_t)(took_ns / 1000) },
		.queued = pool->counts.queued,
	};
}

static void log_overdue(const struct overdue *overdue, const char *verb)
{
	const struct journal_fields *fields = &overdue->fields;

	journal_log(JOURNAL_HANDLER, LOG_WARNING, fields,
		    "handler %s (socket %s): a job of connection %llu %s %.2f s; %u jobs wait",
		    fields->handler, fields->socket, (unsigned long long)fields->connection, verb,
		    (double)fields->duration_us / 1e6, overdue->queued);
}

/* The oldest job, as soon as there is one; NULL when the pool stops and all are done. */
static struct pool_job *next_job(struct pool_thread *thread)
{
	struct pool *pool = thread->pool;

	pthread_mutex_lock(&pool->lock);
	while (list_empty(&pool->queue) && !pool->stopping) {
		list_add_tail(&pool->idle, &thread->link);
		pthread_cond_wait(&thread->wake, &pool->lock);
		list_del(&thread->link); /* nobody took it out if the wake-up was spurious */
	}
	struct pool_job *job = NULL;
	if (!list_empty(&pool->queue)) {
		job = container_of(list_pop(&pool->queue), struct pool_job, link);
		job->begun_ns = now_ns();
		int64_t waited_ns = job->begun_ns - job->queued_ns;
		raise_to(&pool->counts.queue_max_ns, waited_ns);
		pool->counts.queue_sum_ns += waited_ns;
		pool->counts.queued--;
		pool->counts.running++;
	}
	thread->job = job;
	pthread_mutex_unlock(&pool->lock);
	return job;
}

static void finish_job(struct pool_thread *thread, struct pool_job *job)
{
	struct pool *pool = thread->pool;
	int64_t took_ns = now_ns() - job->begun_ns;

	pthread_mutex_lock(&pool->lock);
	thread->job = NULL;
	raise_to(&pool->counts.work_max_ns, took_ns);
	pool->counts.work_sum_ns += took_ns;
	pool->counts.running--;
	pool->counts.done++;
	bool late = !job->reported && too_long(pool, took_ns);
	struct overdue report = describe(pool, job, took_ns);
	pthread_mutex_unlock(&pool->lock);
	if (unlikely(late) && journal_admit(JOURNAL_HANDLER))
		log_overdue(&report, "took");
	loop_post(job->loop, &job->finished); /* from here on it is not ours */
}

static void run_job(const struct pool_job *job)
{
	crash_place = (struct crash_place){ .handler = job->handler,
					    .socket = job->socket,
					    .callback = "work",
					    .connection = job->connection };
	job->work(job->argument);
	crash_place = (struct crash_place){ 0 };
}

static void *run_thread(void *argument)
{
	struct pool_thread *thread = argument;
	struct pool_job *job;
	char name[16];

	snprintf(name, sizeof(name), "pool-%u", (unsigned)(thread - thread->pool->threads));
	pthread_setname_np(pthread_self(), name);
	if (crash_enter_thread() < 0)
		journal_log(
			JOURNAL_ERROR, LOG_WARNING, NULL,
			"%s: no memory for a second stack: an overflow of the first will not be "
			"reported",
			name);
	while ((job = next_job(thread))) {
		run_job(job);
		finish_job(thread, job);
	}
	crash_leave_thread();
	return NULL;
}

static void on_busy(struct loop *loop, struct loop_message *message)
{
	struct pool *pool = container_of(message, struct pool, on_busy);

	(void)loop;
	if (pool->threads) /* it may have been stopped meanwhile */
		pool->busy(pool);
}

static int start_thread(struct pool *pool)
{
	struct pool_thread *thread = &pool->threads[pool->counts.threads];

	*thread = (struct pool_thread){ .pool = pool };
	pthread_cond_init(&thread->wake, NULL);
	list_init(&thread->link);
	int r = pthread_create(&thread->thread, NULL, run_thread, thread);
	if (r == 0)
		pool->counts.threads++;
	return -r;
}

int pool_start(struct pool *pool, unsigned threads, struct loop *main_loop,
	       void (*busy)(struct pool *pool))
{
	int r = 0;

	*pool = (struct pool){ .main_loop = main_loop, .on_busy.deliver = on_busy, .busy = busy };
	list_init(&pool->queue);
	list_init(&pool->idle);
	pool->threads = calloc(threads, sizeof(*pool->threads));
	if (!pool->threads)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	while (r == 0 && pool->counts.threads < threads)
		r = start_thread(pool);
	if (r < 0)
		pool_stop(pool);
	return r;
}

void pool_submit(struct pool *pool, struct pool_job *job)
{
	struct pool_thread *sleeper = NULL;

	job->reported = false;
	job->queued_ns = now_ns();
	pthread_mutex_lock(&pool->lock);
	list_add_tail(&pool->queue, &job->link);
	pool->counts.queued++;
	if (!list_empty(&pool->idle)) {
		sleeper = container_of(pool->idle.prev, struct pool_thread, link);
		list_del(&sleeper->link);
	}
	bool watched = pool->watched;
	pool->watched = true;
	pthread_mutex_unlock(&pool->lock);
	if (sleeper)
		pthread_cond_signal(&sleeper->wake);
	if (!watched)
		loop_post(pool->main_loop, &pool->on_busy);
}

void pool_stop(struct pool *pool)
{
	if (!pool->threads)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	while (!list_empty(&pool->idle))
		pthread_cond_signal(
			&container_of(list_pop(&pool->idle), struct pool_thread, link)->wake);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->counts.threads; i++) {
		pthread_join(pool->threads[i].thread, NULL);
		pthread_cond_destroy(&pool->threads[i].wake);
	}
	pthread_mutex_destroy(&pool->lock);
	free(steal(&pool->threads));
	pool->counts.threads = 0;
}

/* Finds a job that has not been reported and takes it for reported. */
static bool take_overdue(struct pool *pool, struct overdue *ret)
{
	bool found = false;

	pthread_mutex_lock(&pool->lock);
	int64_t now = now_ns();
	for (unsigned i = 0; i < pool->counts.threads && !found; i++) {
		struct pool_job *job = pool->threads[i].job;
		if (!job || job->reported || !too_long(pool, now - job->begun_ns))
			continue;
		job->reported = found = true;
		*ret = describe(pool, job, now - job->begun_ns);
	}
	pthread_mutex_unlock(&pool->lock);
	return found;
}

/* journal_admit() is not asked: a handler that logs much must not hide one that is stuck. */
bool pool_look(struct pool *pool, int64_t budget_ns)
{
	struct overdue report;

	pthread_mutex_lock(&pool->lock);
	pool->budget_ns = budget_ns;
	pool->watched = pool->counts.running || pool->counts.queued;
	bool busy = pool->watched;
	pthread_mutex_unlock(&pool->lock);
	for (int i = 0; i < JOURNAL_RATE && take_overdue(pool, &report); i++)
		log_overdue(&report, "has been running for");
	return busy;
}

bool pool_moves(struct pool *pool, int64_t patience_ns)
{
	bool moves = true;

	if (!pool->threads)
		return true;
	pthread_mutex_lock(&pool->lock);
	if (!list_empty(&pool->queue) && pool->counts.running < pool->counts.threads) {
		struct pool_job *oldest = container_of(pool->queue.next, struct pool_job, link);
		moves = now_ns() - oldest->queued_ns <= patience_ns;
	}
	pthread_mutex_unlock(&pool->lock);
	return moves;
}

void pool_counts(struct pool *pool, struct pool_counts *ret)
{
	if (!pool->threads) {
		*ret = pool->counts;
		return;
	}
	pthread_mutex_lock(&pool->lock);
	*ret = pool->counts;
	int64_t now = now_ns();
	for (unsigned i = 0; i < pool->counts.threads; i++)
		if (pool->threads[i].job)
			raise_to(&ret->longest_ns, now - pool->threads[i].job->begun_ns);
	pthread_mutex_unlock(&pool->lock);
}
