/* SPDX-License-Identifier: MIT */
/* Every job runs once, in its order, and is told to its own loop; the pool sleeps when it has
 * nothing to do; a job that does not come back is reported, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "crash.h"
#include "journal.h"
#include "pool.h"
#include "util.h"

#define THREADS 16

static struct loop loop; /* main's */
static struct pool pool;
static int times_busy, finished;
static sem_t entered, gate; /* of jobs that wait in their work */

static char entries[100][1024];
static int n_entries;

static int capture(const struct iovec *parts, int n)
{
	char *to = entries[n_entries++];

	for (int i = 0; i < n; i++) {
		memcpy(to, parts[i].iov_base, parts[i].iov_len);
		to += parts[i].iov_len;
		*to++ = '\n';
	}
	*to = '\0';
	return 0;
}

static void on_busy(struct pool *p)
{
	assert_ptr_equal(p, &pool);
	times_busy++;
}

static void on_finished(struct loop *l, struct loop_message *message)
{
	(void)message;
	assert_ptr_equal(l, &loop);
	finished++;
}

static int setup(void **state)
{
	(void)state;
	times_busy = finished = n_entries = 0;
	memset(entries, 0, sizeof(entries));
	journal_open(capture);
	sem_init(&entered, 0, 0);
	sem_init(&gate, 0, 0);
	return loop_init(&loop);
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < THREADS; i++) /* for a test that failed before it opened the gate */
		sem_post(&gate);
	pool_stop(&pool);
	loop_deinit(&loop);
	return 0;
}

static void start(unsigned threads)
{
	assert_int_equal(pool_start(&pool, threads, &loop, on_busy), 0);
}

static struct pool_job job_of(void (*work)(void *argument), void *argument)
{
	return (struct pool_job){ .work = work,
				  .argument = argument,
				  .loop = &loop,
				  .finished.deliver = on_finished,
				  .socket = "web",
				  .handler = "lines",
				  .connection = 7 };
}

static void wait_at_the_gate(void *unused)
{
	(void)unused;
	sem_post(&entered);
	sem_wait(&gate);
}

static void do_nothing(void *unused)
{
	(void)unused;
}

static void wait_until_finished(int n)
{
	while (finished < n)
		loop_turn(&loop, -1);
}

static struct pool_counts counts(void)
{
	struct pool_counts c;

	pool_counts(&pool, &c);
	return c;
}

#define JOBS 1000

static int order[JOBS], n_ordered;

static void note_the_order(void *argument)
{
	order[n_ordered++] = *(int *)argument;
}

static void jobs_begin_in_their_order(void **state)
{
	struct pool_job first = job_of(wait_at_the_gate, NULL), jobs[JOBS];
	int numbers[JOBS];

	(void)state;
	n_ordered = 0;
	start(1);
	pool_submit(&pool, &first);
	sem_wait(&entered);
	for (int i = 0; i < JOBS; i++) {
		numbers[i] = i;
		jobs[i] = job_of(note_the_order, &numbers[i]);
		pool_submit(&pool, &jobs[i]);
	}
	sem_post(&gate);
	wait_until_finished(JOBS + 1);
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(order[i], i);
}

static struct crash_place during;
static char name_during[16];

static void look_around(void *unused)
{
	(void)unused;
	during = crash_place;
	pthread_getname_np(pthread_self(), name_during, sizeof(name_during));
}

static void a_crash_would_name_the_job(void **state)
{
	struct pool_job job = job_of(look_around, NULL);

	(void)state;
	start(1);
	pool_submit(&pool, &job);
	wait_until_finished(1);
	assert_string_equal(during.handler, "lines");
	assert_string_equal(during.socket, "web");
	assert_string_equal(during.callback, "work");
	assert_int_equal(during.connection, 7);
	assert_string_equal(name_during, "pool-0");
}

#define LOOPS      3
#define SUBMITTERS 4
#define EACH       2000

struct post_office {
	struct loop loop;
	pthread_t thread;
	int delivered;
};

struct parcel {
	struct pool_job job;
	struct post_office *office;
	_Atomic int runs;
};

static struct post_office offices[LOOPS];
static _Atomic int all_runs;

static void run_parcel(void *argument)
{
	struct parcel *parcel = argument;

	parcel->runs++;
	all_runs++;
}

/* The job is freed as soon as that is allowed, for the sanitizers to see who touches it later. */
static void on_parcel(struct loop *l, struct loop_message *message)
{
	struct parcel *parcel = container_of(message, struct parcel, job.finished);
	struct post_office *office = parcel->office;

	assert_ptr_equal(l, &office->loop);
	assert_true(pthread_equal(pthread_self(), office->thread));
	assert_int_equal(parcel->runs, 1);
	free(parcel);
	if (++office->delivered == SUBMITTERS * EACH)
		loop_stop(l);
}

static void *run_office(void *argument)
{
	loop_run(&((struct post_office *)argument)->loop);
	return NULL;
}

static void *submit_parcels(void *unused)
{
	(void)unused;
	for (int i = 0; i < EACH * LOOPS; i++) {
		struct parcel *parcel = calloc(1, sizeof(*parcel));
		parcel->office = &offices[i % LOOPS];
		parcel->job = job_of(run_parcel, parcel);
		parcel->job.loop = &parcel->office->loop;
		parcel->job.finished.deliver = on_parcel;
		pool_submit(&pool, &parcel->job);
	}
	return NULL;
}

static void many_submit_for_several_loops(void **state)
{
	pthread_t submitters[SUBMITTERS];

	(void)state;
	all_runs = 0;
	start(THREADS);
	for (int i = 0; i < LOOPS; i++) {
		offices[i].delivered = 0;
		assert_int_equal(loop_init(&offices[i].loop), 0);
		assert_int_equal(pthread_create(&offices[i].thread, NULL, run_office, &offices[i]),
				 0);
	}
	for (int i = 0; i < SUBMITTERS; i++)
		assert_int_equal(pthread_create(&submitters[i], NULL, submit_parcels, NULL), 0);
	while (counts().done < LOOPS * SUBMITTERS * EACH) {
		pool_look(&pool, INT64_MAX);
		sched_yield();
	}
	for (int i = 0; i < SUBMITTERS; i++)
		pthread_join(submitters[i], NULL);
	for (int i = 0; i < LOOPS; i++)
		pthread_join(offices[i].thread, NULL);
	pool_stop(&pool);
	for (int i = 0; i < LOOPS; i++)
		loop_deinit(&offices[i].loop);
	assert_int_equal(all_runs, LOOPS * SUBMITTERS * EACH);
	assert_int_equal(counts().done, LOOPS * SUBMITTERS * EACH);
}

/* Until pool_stop() has begun; there is no event for that. */
static void wait_for_the_stop(void *unused)
{
	bool stopping = false;

	(void)unused;
	sem_post(&entered);
	while (!stopping) {
		sched_yield();
		pthread_mutex_lock(&pool.lock);
		stopping = pool.stopping;
		pthread_mutex_unlock(&pool.lock);
	}
}

static _Atomic int runs;

static void count_a_run(void *unused)
{
	(void)unused;
	runs++;
}

static void stop_runs_what_is_queued(void **state)
{
	struct pool_job blockers[2], jobs[JOBS];

	(void)state;
	runs = 0;
	start(2);
	for (int i = 0; i < 2; i++) {
		blockers[i] = job_of(wait_for_the_stop, NULL);
		pool_submit(&pool, &blockers[i]);
	}
	for (int i = 0; i < 2; i++)
		sem_wait(&entered);
	for (int i = 0; i < JOBS; i++) {
		jobs[i] = job_of(count_a_run, NULL);
		pool_submit(&pool, &jobs[i]);
	}
	assert_int_equal(counts().queued, JOBS);
	pool_stop(&pool);
	assert_int_equal(runs, JOBS);
	loop_turn(&loop, -1); /* one turn: all have been posted */
	assert_int_equal(finished, JOBS + 2);
	assert_int_equal(times_busy, 0); /* it came too late */
}

static void stop_without_a_start(void **state)
{
	struct pool never = { 0 };
	struct pool_counts c;

	(void)state;
	pool_stop(&never);
	pool_counts(&never, &c);
	assert_int_equal(c.threads, 0);
	start(THREADS);
	pool_stop(&pool);
	pool_stop(&pool);
}

static void stuck_job_is_reported_once(void **state)
{
	struct pool_job stuck = job_of(wait_at_the_gate, NULL), waiting[2];

	(void)state;
	start(1);
	pool_submit(&pool, &stuck);
	sem_wait(&entered);
	for (int i = 0; i < 2; i++) {
		waiting[i] = job_of(do_nothing, NULL);
		pool_submit(&pool, &waiting[i]);
	}
	assert_true(pool_look(&pool, INT64_MAX));
	assert_true(pool_look(&pool, 0));
	assert_int_equal(n_entries, 0);
	assert_true(pool_look(&pool, 1));
	assert_int_equal(n_entries, 1);
	assert_non_null(strstr(entries[0], "MESSAGE=handler lines (socket web): a job of "
					   "connection 7 has been running for "));
	assert_non_null(strstr(entries[0], " s; 2 jobs wait\n"));
	assert_non_null(strstr(entries[0], "\nPRIORITY=4\n"));
	assert_non_null(strstr(entries[0], "\nEVENT=handler\nSOCKET=web\nHANDLER=lines\n"
					   "CONNECTION=7\nDURATION_USEC="));
	assert_true(pool_look(&pool, 1));
	pool_look(&pool, INT64_MAX); /* the others are not late */
	sem_post(&gate);
	wait_until_finished(3);
	assert_int_equal(n_entries, 1);
}

static void every_stuck_job_is_reported(void **state)
{
	struct pool_job jobs[THREADS];

	(void)state;
	start(THREADS);
	for (int i = 0; i < THREADS; i++) {
		jobs[i] = job_of(wait_at_the_gate, NULL);
		pool_submit(&pool, &jobs[i]);
	}
	for (int i = 0; i < THREADS; i++)
		sem_wait(&entered);
	pool_look(&pool, 1);
	assert_int_equal(n_entries, JOURNAL_RATE);
	pool_look(&pool, 1);
	assert_int_equal(n_entries, THREADS);
	pool_look(&pool, 1);
	assert_int_equal(n_entries, THREADS);
	for (int i = 0; i < THREADS; i++)
		sem_post(&gate);
	wait_until_finished(THREADS);
	assert_int_equal(n_entries, THREADS);
}

static void late_return_is_reported(void **state)
{
	struct pool_job early = job_of(wait_at_the_gate, NULL), late = early;

	(void)state;
	start(1);
	sem_post(&gate);
	pool_submit(&pool, &early);
	wait_until_finished(1);
	assert_int_equal(n_entries, 0); /* there is no budget before the first look */
	assert_false(pool_look(&pool, 1));
	pool_submit(&pool, &late);
	sem_post(&gate);
	wait_until_finished(2);
	assert_int_equal(n_entries, 1);
	assert_non_null(strstr(entries[0], "MESSAGE=handler lines (socket web): a job of "
					   "connection 7 took "));
	assert_non_null(strstr(entries[0], " s; 0 jobs wait\n"));
}

/* The longest of the jobs that run is one that this test keeps running. */
static void counts_are_told(void **state)
{
	struct pool_job jobs[3];

	(void)state;
	start(2);
	assert_int_equal(counts().threads, 2);
	for (int i = 0; i < 3; i++) {
		jobs[i] = job_of(wait_at_the_gate, NULL);
		pool_submit(&pool, &jobs[i]);
	}
	for (int i = 0; i < 2; i++)
		sem_wait(&entered);
	struct pool_counts c = counts();
	assert_int_equal(c.running, 2);
	assert_int_equal(c.queued, 1);
	assert_int_equal(c.done, 0);
	assert_true(c.longest_ns > 0);
	assert_true(counts().longest_ns > c.longest_ns);
	for (int i = 0; i < 3; i++)
		sem_post(&gate);
	wait_until_finished(3);
	c = counts();
	assert_int_equal(c.running, 0);
	assert_int_equal(c.queued, 0);
	assert_int_equal(c.done, 3);
	assert_int_equal(c.longest_ns, 0);
	assert_true(c.work_max_ns > 0 && c.work_sum_ns > c.work_max_ns);
	assert_true(c.work_sum_ns <= 3 * c.work_max_ns);
	assert_true(c.queue_max_ns > 0 && c.queue_sum_ns > c.queue_max_ns);
	assert_true(c.queue_sum_ns <= 3 * c.queue_max_ns);
}

static void busy_is_told_after_idle_alone(void **state)
{
	struct pool_job jobs[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		jobs[i] = job_of(wait_at_the_gate, NULL);
	start(2);
	for (int round = 1; round <= 2; round++) {
		pool_submit(&pool, &jobs[2 * round - 2]);
		while (times_busy < round)
			loop_turn(&loop, -1);
		pool_submit(&pool, &jobs[2 * round - 1]);
		assert_true(pool_look(&pool, 0));
		for (int i = 0; i < 2; i++)
			sem_post(&gate);
		wait_until_finished(2 * round);
		assert_int_equal(times_busy, round);
		assert_false(pool_look(&pool, 0));
	}
}

/* How often a thread went to sleep. */
static long sleeps_of(pid_t thread)
{
	char path[64], line[200];
	long n = -1;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)thread);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	while (n < 0 && fgets(line, sizeof(line), file))
		if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) != 1)
			n = -1;
	fclose(file);
	assert_true(n >= 0);
	return n;
}

static long sleeps_of_all(const pid_t ids[THREADS])
{
	long sum = 0;

	for (int i = 0; i < THREADS; i++)
		sum += sleeps_of(ids[i]);
	return sum;
}

static void tell_id_and_wait(void *id)
{
	*(pid_t *)id = gettid();
	wait_at_the_gate(NULL);
}

/*
 * All threads have worked and are idle. Then one job after the other wakes one or two of them, the
 * one before and, should that not be asleep again yet, another, but not all.
 */
static void a_job_wakes_one_thread(void **state)
{
	struct pool_job jobs[THREADS], single;
	pid_t ids[THREADS];

	(void)state;
	start(THREADS);
	for (int i = 0; i < THREADS; i++) {
		jobs[i] = job_of(tell_id_and_wait, &ids[i]);
		pool_submit(&pool, &jobs[i]);
	}
	for (int i = 0; i < THREADS; i++)
		sem_wait(&entered);
	for (int i = 0; i < THREADS; i++)
		sem_post(&gate);
	wait_until_finished(THREADS);
	long before = sleeps_of_all(ids);
	for (int i = 0; i < JOBS; i++) {
		single = job_of(do_nothing, NULL);
		pool_submit(&pool, &single);
		wait_until_finished(THREADS + i + 1);
	}
	assert_true(sleeps_of_all(ids) - before < 4 * JOBS);
}

/* That all threads are at work for long is nothing; that nobody takes a job is. */
static void pool_that_works_moves(void **state)
{
	struct pool_job running = job_of(wait_at_the_gate, NULL), waiting = running;

	(void)state;
	start(1);
	assert_true(pool_moves(&pool, 0));
	pool_submit(&pool, &running);
	sem_wait(&entered);
	pool_submit(&pool, &waiting);
	assert_true(pool_moves(&pool, -1));
	sem_post(&gate);
	sem_post(&gate);
	wait_until_finished(2);
}

static void pool_that_lets_a_job_wait_does_not_move(void **state)
{
	struct pool_job job = { .queued_ns = 1 };
	struct pool broken = { .lock = PTHREAD_MUTEX_INITIALIZER,
			       .threads = (struct pool_thread *)&job,
			       .counts = { .threads = 2, .running = 1 } };

	(void)state;
	list_init(&broken.queue);
	assert_true(pool_moves(&broken, 0));
	list_add_tail(&broken.queue, &job.link);
	assert_false(pool_moves(&broken, 0));
	assert_true(pool_moves(&broken, INT64_MAX));
	broken.counts.running = 2;
	assert_true(pool_moves(&broken, 0));
}

/* Of more threads than fit into the memory that is left, none remains. Sanitizers need all of it.
 */
static void start_that_fails_leaves_nothing(void **state)
{
	struct rlimit old, little;
	long size;
	FILE *statm = fopen("/proc/self/statm", "re");

	(void)state;
	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%ld", &size), 1);
	fclose(statm);
	if (CRASH_BY_SANITIZER)
		return;
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	little = old;
	little.rlim_cur = (rlim_t)size * 4096 + (64 << 20);
	assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
	int r = pool_start(&pool, 1000, &loop, on_busy);
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	assert_int_equal(r, -EAGAIN);
	assert_int_equal(counts().threads, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(jobs_begin_in_their_order),
		TEST(a_crash_would_name_the_job),
		TEST(many_submit_for_several_loops),
		TEST(stop_runs_what_is_queued),
		TEST(stop_without_a_start),
		TEST(stuck_job_is_reported_once),
		TEST(every_stuck_job_is_reported),
		TEST(late_return_is_reported),
		TEST(counts_are_told),
		TEST(busy_is_told_after_idle_alone),
		TEST(a_job_wakes_one_thread),
		TEST(pool_that_works_moves),
		TEST(pool_that_lets_a_job_wait_does_not_move),
		TEST(start_that_fails_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
