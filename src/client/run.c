/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "alarm.h"
#include "clock.h"
#include "measure.h"
#include "pattern.h"
#include "progress.h"
#include "run.h"
#include "thread.h"

#define START_IN (2 * CLOCK_MS) /* until then all threads have heard of it */

struct run {
	struct loop loop;
	const struct plan *plan;
	struct result *result;
	struct pattern patterns[PATTERN_CHARGENS]; /* the first one, or all of chargen */
	struct stats *stats;                       /* owned until they are handed over */
	struct thread *threads;                    /* owned; the first n_made are made */
	pthread_t *ids;                            /* owned; the first n_started have started */
	unsigned n_made, n_started;
	unsigned unready, undrained, unclosed; /* threads that have not said so */
	bool is_unconnected;                   /* nobody answers */
	int64_t begin;                         /* of the window */
	struct loop_source clock;              /* an alarm: that time */
	struct loop_source signals;
	int64_t server_cpu, client_cpu; /* at the begin of the window, */
	int64_t cpu_read;               /* and the time of that */
	struct progress progress;
};

static struct run *run_of(struct loop *loop)
{
	return container_of(loop, struct run, loop);
}

/* ---- the window */

static void begin_window(struct run *run)
{
	run->cpu_read = clock_ns();
	run->server_cpu = measure_cpu_of(run->plan->server_pid);
	run->client_cpu = measure_cpu();
}

static int64_t spent(int64_t before, int64_t after)
{
	return before < 0 || after < before ? -1 : after - before;
}

static void end_window(struct run *run)
{
	run->result->server_cpu_ns = spent(run->server_cpu, measure_cpu_of(run->plan->server_pid));
	run->result->client_cpu_ns = spent(run->client_cpu, measure_cpu());
	run->result->cpu_window_ns = clock_ns() - run->cpu_read;
}

/* ---- from phase to phase */

static void on_clock(struct loop *loop, struct loop_source *source)
{
	struct run *run = run_of(loop);

	source->events = 0;
	if (run->client_cpu < 0 && clock_ns() >= run->begin)
		begin_window(run);
}

static void go(struct run *run)
{
	const struct plan *plan = run->plan;
	int64_t start = clock_ns() + START_IN;

	run->begin = start + plan->warmup_ns;
	if (plan->warmup_ns)
		alarm_set(&run->clock, &run->loop, run->begin);
	else
		begin_window(run);
	if (!plan->count)
		run->progress.end = run->begin + plan->duration_ns;
	for (unsigned i = 0; i < plan->threads; i++) {
		run->threads[i].start = start;
		loop_post(&run->threads[i].loop, &run->threads[i].go);
	}
}

static void close_all(struct run *run)
{
	progress_stop(&run->progress);
	for (unsigned i = 0; i < run->plan->threads; i++)
		loop_post(&run->threads[i].loop, &run->threads[i].close);
}

/* Where requests are connections, none is opened before the start. */
static bool may_start(const struct run *run)
{
	bool may = false;

	for (unsigned i = 0; i < run->plan->threads; i++)
		may |= run->threads[i].has_connected || run->threads[i].mode->connects;
	return may;
}

static void on_ready(struct loop *loop, struct loop_message *message)
{
	struct run *run = run_of(loop);

	(void)message;
	if (--run->unready || run->result->interrupted)
		return;
	run->is_unconnected = !may_start(run);
	if (run->is_unconnected)
		close_all(run);
	else
		go(run);
}

static void on_drained(struct loop *loop, struct loop_message *message)
{
	struct run *run = run_of(loop);

	(void)message;
	if (--run->undrained)
		return;
	end_window(run);
	close_all(run);
}

static void on_shown(struct loop *loop, struct loop_message *message)
{
	progress_heard(&run_of(loop)->progress, container_of(message, struct thread, shown));
}

static void on_closed(struct loop *loop, struct loop_message *message)
{
	(void)message;
	if (--run_of(loop)->unclosed == 0)
		loop_stop(loop);
}

/* ---- signals */

/* As if nobody had asked to hear of it. */
static void die(int signal_number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal_number);
	signal(signal_number, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(signal_number);
}

static void on_signal(struct loop *loop, struct loop_source *source)
{
	struct run *run = run_of(loop);
	struct signalfd_siginfo info;

	source->events = 0;
	while (read(source->fd, &info, sizeof(info)) == sizeof(info)) {
		if (run->result->interrupted)
			die((int)info.ssi_signo);
		run->result->interrupted = run->undrained > 0;
		for (unsigned i = 0; i < run->plan->threads; i++)
			loop_post(&run->threads[i].loop, &run->threads[i].stop);
	}
}

/* ---- making and ending */

/* The threads inherit the mask: a signal comes to nobody but the fd. */
static int watch_signals(struct run *run)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	loop_source_init(&run->signals, fd, on_signal);
	return loop_add(&run->loop, &run->signals, EPOLLIN | (uint32_t)EPOLLET);
}

static int make_thread(struct run *run, unsigned i)
{
	struct thread *t = &run->threads[i];
	struct stats *stats = &run->stats[i];

	histogram_init(&stats->corrected);
	histogram_init(&stats->uncorrected);
	histogram_init(&stats->connecting);
	int r = thread_init(t, run->plan, run->patterns, stats, i, &run->loop);
	run->n_made++;
	t->ready.deliver = on_ready;
	t->drained.deliver = on_drained;
	t->shown.deliver = on_shown;
	t->closed.deliver = on_closed;
	return r;
}

static int make_threads(struct run *run)
{
	unsigned n = run->plan->threads;
	int r = 0;

	run->stats = calloc(n, sizeof(*run->stats));
	run->ids = calloc(n, sizeof(*run->ids));
	run->threads = aligned_alloc(_Alignof(struct thread), n * sizeof(*run->threads));
	if (!run->stats || !run->ids || !run->threads)
		return -ENOMEM;
	for (unsigned i = 0; i < n && r == 0; i++)
		r = make_thread(run, i);
	return r;
}

static int make(struct run *run)
{
	uint64_t seed = run->plan->seed;
	int r = loop_init(&run->loop);

	if (r == 0)
		r = mode_find(run->plan->mode)->chargen ? pattern_init_chargen(run->patterns)
							: pattern_init_random(run->patterns, seed);
	if (r == 0)
		r = alarm_init(&run->clock, &run->loop, on_clock);
	if (r == 0)
		r = watch_signals(run);
	return r < 0 ? r : make_threads(run);
}

static int start_threads(struct run *run)
{
	int r = 0;

	for (unsigned i = 0; i < run->plan->threads && r == 0; i++) {
		r = -pthread_create(&run->ids[i], NULL, thread_main, &run->threads[i]);
		run->n_started += r == 0;
	}
	run->unready = run->undrained = run->unclosed = run->plan->threads;
	return r;
}

static void join(struct run *run)
{
	for (unsigned i = 0; i < run->n_started; i++)
		pthread_join(run->ids[i], NULL);
}

static void unmake(struct run *run)
{
	for (unsigned i = 0; i < run->n_made; i++)
		thread_deinit(&run->threads[i]);
	free(run->threads);
	free(run->ids);
	free(run->stats);
	for (size_t i = 0; i < PATTERN_CHARGENS; i++)
		pattern_deinit(&run->patterns[i]);
	alarm_deinit(&run->clock, &run->loop);
	close_fd(run->signals.fd);
	loop_deinit(&run->loop);
}

static int lead(struct run *run)
{
	int r = make(run);

	if (r == 0)
		r = start_threads(run);
	if (r < 0) {
		/* Those that have started end; nobody hears what they say. */
		for (unsigned i = 0; i < run->n_started; i++)
			loop_post(&run->threads[i].loop, &run->threads[i].close);
		join(run);
		return r;
	}
	progress_start(&run->progress, &run->loop, run->plan, run->threads);
	run->result->time_wait_before = measure_time_wait();
	loop_run(&run->loop);
	join(run);
	run->result->time_wait_after = measure_time_wait();
	return run->is_unconnected ? -ENOTCONN : 0;
}

int run_plan(const struct plan *plan, struct result *result, struct stats **ret_stats)
{
	auto_free struct run *run = malloc(sizeof(*run)); /* with a histogram: much for a stack */
	int r;

	if (!run)
		return -ENOMEM;
	*run = (struct run){
		.plan = plan,
		.result = result,
		.clock.fd = -1,
		.signals.fd = -1,
		.server_cpu = -1,
		.client_cpu = -1,
	};
	*result = (struct result){
		.plan = plan,
		.server_cpu_ns = -1,
		.client_cpu_ns = -1,
	};
	r = lead(run);
	result->threads = *ret_stats = steal(&run->stats);
	unmake(run);
	return r;
}
