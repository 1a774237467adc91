/* SPDX-License-Identifier: MIT */
/*
 * See loop.h for the model. The kernel facts behind it:
 * - epoll_data holds the pointer of the source. It cannot dangle: EPOLL_CTL_DEL comes before the
 * memory is given up, and memory is given up only after the batch that might still name it.
 * - EPOLLEXCLUSIVE, EPOLLET and the rest are the caller's choice; the loop passes the mask on.
 * - CLOCK_MONOTONIC_COARSE is a read of memory (vDSO), at most one tick (1 to 10 ms) old.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <time.h>

#include "loop.h"
#include "syscall.h"

/*
 * The clock stands still for milliseconds, over many turns of a busy loop. It is read into the loop
 * and not into a local, which the compiler would clear first.
 */
static inline void read_clock(struct loop *loop)
{
	const struct timespec *t = &loop->read;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &loop->read);
	if (t->tv_nsec == loop->tick.tv_nsec && t->tv_sec == loop->tick.tv_sec)
		return;
	loop->tick = *t;
	loop->now = (int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

/* The one place that calls a source. */
static inline void call(struct loop *loop, struct loop_source *source)
{
	atomic_store_explicit(&loop->called, source->fd, memory_order_relaxed);
	source->ready(loop, source);
}

void loop_call(struct loop *loop, struct loop_source *source)
{
	int outer = atomic_load_explicit(&loop->called, memory_order_relaxed);

	call(loop, source);
	atomic_store_explicit(&loop->called, outer, memory_order_relaxed);
}

static void take_messages(struct loop *loop)
{
	struct loop_message *newest = atomic_exchange(&loop->inbox, NULL), *oldest = NULL;

	while (newest) {
		struct loop_message *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct loop_message *message = oldest;
		oldest = message->next;
		atomic_store(&message->under_way, false); /* from here on it may be posted again */
		message->deliver(loop, message);
	}
}

/* The eventfd is emptied before the inbox, so that a message posted in between wakes the next turn.
 */
static void on_wake(struct loop *loop, struct loop_source *source)
{
	eventfd_t ignored;

	source->events = 0;
	eventfd_read(source->fd, &ignored);
	take_messages(loop);
}

void loop_post(struct loop *loop, struct loop_message *message)
{
	struct loop_message *head = atomic_load(&loop->inbox);

	if (atomic_exchange(&message->under_way, true))
		return;
	do
		message->next = head;
	while (!atomic_compare_exchange_weak(&loop->inbox, &head, message));
	if (!head)
		eventfd_write(loop->wake.fd, 1);
}

int loop_init(struct loop *loop)
{
	*loop = (struct loop){
		.epoll_fd = -1, .wake.fd = -1, .tick.tv_nsec = -1, .busy = INT64_MAX
	};
	read_clock(loop);
	list_init(&loop->again);
	list_init(&loop->due);
	list_init(&loop->removed);
	timer_wheel_init(&loop->timers, loop->now);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	loop_source_init(&loop->wake, fd, on_wake);
	return loop_add(loop, &loop->wake, EPOLLIN);
}

static void release_removed(struct loop *loop)
{
	while (unlikely(!list_empty(&loop->removed))) {
		struct loop_source *source = container_of(list_pop(&loop->removed),
							  struct loop_source, link);
		source->release(source);
	}
}

void loop_deinit(struct loop *loop)
{
	release_removed(loop);
	loop->wake.fd = close_fd(loop->wake.fd);
	loop->epoll_fd = close_fd(loop->epoll_fd);
}

void loop_source_init(struct loop_source *source, int fd, loop_source_fn *ready)
{
	*source = (struct loop_source){ .ready = ready, .fd = fd };
	list_init(&source->link);
	timer_init(&source->timer);
}

int loop_add(struct loop *loop, struct loop_source *source, uint32_t mask)
{
	struct epoll_event event = { .events = mask, .data.ptr = source };

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0 ? -errno : 0;
}

void loop_change(struct loop *loop, struct loop_source *source, uint32_t mask)
{
	struct epoll_event event = { .events = mask, .data.ptr = source };
	int r = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);

	assert(r == 0);
	(void)r;
}

static void follow_timers(struct loop *loop)
{
	if (loop->busy)
		loop->busy = timer_wheel_next(&loop->timers);
}

void loop_remove(struct loop *loop, struct loop_source *source, loop_release_fn *release)
{
	if (source->fd >= 0) {
		int r = epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
		assert(r == 0);
		(void)r;
		source->fd = -1;
	}
	list_del(&source->link);
	timer_disarm(&loop->timers, &source->timer);
	follow_timers(loop);
	if (release) {
		source->release = release;
		list_add_tail(&loop->removed, &source->link);
		loop->busy = 0;
	}
}

void loop_arm(struct loop *loop, struct loop_source *source, int64_t in_ms)
{
	timer_arm(&loop->timers, &source->timer, loop->now, loop->now + in_ms);
	follow_timers(loop);
}

void loop_disarm(struct loop *loop, struct loop_source *source)
{
	timer_disarm(&loop->timers, &source->timer);
	follow_timers(loop);
	source->events &= ~LOOP_EXPIRED;
}

static void expire(struct timer *timer, void *loop)
{
	struct loop_source *source = container_of(timer, struct loop_source, timer);

	source->events |= LOOP_EXPIRED;
	call(loop, source);
}

/*
 * How long epoll_wait() may sleep. The clock lags by up to a tick, so that a timer may come as much
 * early or a turn find that it is not yet time.
 */
static int sleep_ms(const struct loop *loop, int most)
{
	if (likely(loop->busy == INT64_MAX))
		return most;
	int64_t wait = loop->busy > loop->now ? loop->busy - loop->now + 1 : 0;
	if (wait > INT_MAX)
		wait = INT_MAX;
	return most >= 0 && most < wait ? most : (int)wait;
}

/* `n` > 0 */
static inline void run_events(struct loop *loop, int n)
{
	const struct epoll_event *event = loop->batch, *end = event + n;

	do {
		struct loop_source *source = event->data.ptr;
		if (unlikely(source->fd < 0)) {
			loop->stale++;
			continue; /* with the next one */
		}
		source->events |= event->events;
		call(loop, source);
	} while (++event < end);
}

/* What a turn has to do after its events; seldom anything. */
static slow_path void finish_turn(struct loop *loop)
{
	while (!list_empty(&loop->due)) {
		struct loop_source *source = container_of(list_pop(&loop->due), struct loop_source,
							  link);
		call(loop, source);
	}
	if (timer_wheel_next(&loop->timers) <= loop->now)
		timer_wheel_run(&loop->timers, loop->now, expire, loop);
	release_removed(loop);
	list_take(&loop->due, &loop->again);
	loop->busy = list_empty(&loop->due) ? timer_wheel_next(&loop->timers) : 0;
}

/* Inlined for loop_run(): a request alone in its turn pays for all of it. */
static inline __attribute__((always_inline)) void turn(struct loop *loop, int timeout_ms)
{
	atomic_store_explicit(&loop->called, 0, memory_order_relaxed);
	int n = sys_epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, sleep_ms(loop, timeout_ms));

	read_clock(loop);
	loop->turns++;
	if (likely(n > 0))
		run_events(loop, n);
	else
		assert(n == 0 || n == -EINTR);
}

static inline bool is_busy(const struct loop *loop)
{
	return unlikely(loop->busy <= loop->now);
}

void loop_turn(struct loop *loop, int timeout_ms)
{
	turn(loop, timeout_ms);
	if (is_busy(loop))
		finish_turn(loop);
}

/* Whoever stops the loop makes it busy: a turn that has nothing else to do need not ask. */
void loop_run(struct loop *loop)
{
	do {
		do
			turn(loop, -1);
		while (!is_busy(loop));
		finish_turn(loop);
	} while (!loop->stopping);
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
	loop->busy = 0;
}
