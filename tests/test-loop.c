/* SPDX-License-Identifier: MIT */
/* The promises of loop.h: one turn's order, stale events, release after the batch, messages,
 * timers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "loop.h"

struct probe {
	struct loop_source source;
	int calls, releases;
	uint32_t seen;
	struct probe *victim; /* removed by the callback */
	int again;            /* times to ask for another call */
};

static struct loop loop;

static void on_release(struct loop_source *source)
{
	container_of(source, struct probe, source)->releases++;
}

static void on_probe(struct loop *l, struct loop_source *source)
{
	struct probe *probe = container_of(source, struct probe, source);

	assert_int_equal(probe->releases, 0);
	probe->calls++;
	probe->seen |= source->events;
	source->events = 0;
	if (probe->victim) {
		loop_remove(l, &probe->victim->source, on_release);
		assert_int_equal(probe->victim->releases, 0);
		probe->victim = NULL;
	}
	if (probe->again-- > 0)
		loop_again(l, source);
}

static int setup(void **state)
{
	(void)state;
	return loop_init(&loop);
}

static int teardown(void **state)
{
	(void)state;
	loop_deinit(&loop);
	return 0;
}

static void probe_init(struct probe *probe, uint32_t mask)
{
	*probe = (struct probe){ 0 };
	int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(fd >= 0);
	loop_source_init(&probe->source, fd, on_probe);
	assert_int_equal(loop_add(&loop, &probe->source, mask), 0);
}

static void probe_deinit(struct probe *probe, int fd)
{
	if (probe->source.fd >= 0)
		loop_remove(&loop, &probe->source, NULL);
	close_fd(fd);
}

static void edge_comes_once(void **state)
{
	struct probe probe;

	(void)state;
	probe_init(&probe, EPOLLIN | (uint32_t)EPOLLET);
	int fd = probe.source.fd;
	loop_turn(&loop, 0);
	loop_turn(&loop, 0);
	assert_int_equal(probe.calls, 1);
	assert_true(probe.seen & EPOLLIN);
	eventfd_write(fd, 1);
	loop_turn(&loop, 0);
	assert_int_equal(probe.calls, 2);
	probe_deinit(&probe, fd);
}

/* Both are ready in one batch; whichever comes first removes the other, which must not be called.
 */
static void removed_in_the_same_batch(void **state)
{
	struct probe a, b;

	(void)state;
	probe_init(&a, EPOLLIN);
	probe_init(&b, EPOLLIN);
	int fd_a = a.source.fd, fd_b = b.source.fd;
	a.victim = &b;
	b.victim = &a;
	loop_turn(&loop, 0);
	assert_int_equal(a.calls + b.calls, 1);
	assert_int_equal(a.releases + b.releases, 1);
	assert_int_equal(loop.stale, 1);
	probe_deinit(&a, fd_a);
	probe_deinit(&b, fd_b);
}

static void removes_itself(void **state)
{
	struct probe probe;

	(void)state;
	probe_init(&probe, EPOLLIN);
	int fd = probe.source.fd;
	probe.victim = &probe;
	loop_turn(&loop, 0);
	loop_turn(&loop, 0);
	assert_int_equal(probe.calls, 1);
	assert_int_equal(probe.releases, 1);
	close_fd(fd);
}

/* Once in a turn, without a wait in between and without a new edge. */
static void again_is_the_next_turn(void **state)
{
	struct probe probe;

	(void)state;
	probe_init(&probe, EPOLLIN | (uint32_t)EPOLLET);
	int fd = probe.source.fd;
	probe.again = 3;
	loop_turn(&loop, -1);
	assert_int_equal(probe.calls, 1);
	for (int i = 2; i <= 4; i++) {
		loop_turn(&loop, -1); /* would hang if there were nothing to do */
		assert_int_equal(probe.calls, i);
	}
	loop_turn(&loop, 0);
	assert_int_equal(probe.calls, 4);
	probe_deinit(&probe, fd);
}

static void removed_while_on_the_again_list(void **state)
{
	struct probe a, b;

	(void)state;
	probe_init(&a, EPOLLIN | (uint32_t)EPOLLET);
	probe_init(&b, EPOLLIN | (uint32_t)EPOLLET);
	int fd_a = a.source.fd, fd_b = b.source.fd;
	a.again = b.again = 1;
	loop_turn(&loop, 0);
	assert_int_equal(a.calls + b.calls, 2);
	a.victim = &b;
	b.victim = &a;
	loop_turn(&loop, 0);
	assert_int_equal(a.calls + b.calls, 3);
	assert_int_equal(a.releases + b.releases, 1);
	probe_deinit(&a, fd_a);
	probe_deinit(&b, fd_b);
}

static void timer_expires_once_and_ends_the_sleep(void **state)
{
	struct probe probe = { 0 };

	(void)state;
	loop_source_init(&probe.source, -1, on_probe);
	loop_arm(&loop, &probe.source, 20);
	int64_t start = loop.now;
	while (!probe.calls)
		loop_turn(&loop, -1);
	assert_true(loop.now - start >= 20);
	assert_int_equal(probe.seen, LOOP_EXPIRED);
	assert_false(timer_armed(&probe.source.timer));
	loop_turn(&loop, 0);
	assert_int_equal(probe.calls, 1);
}

static void fd_with_a_deadline_is_removed_with_it(void **state)
{
	struct probe probe;

	(void)state;
	probe_init(&probe, EPOLLPRI); /* nothing will happen on it */
	int fd = probe.source.fd;
	loop_arm(&loop, &probe.source, 5);
	loop_remove(&loop, &probe.source, NULL);
	assert_false(timer_armed(&probe.source.timer));
	loop_turn(&loop, 10);
	assert_int_equal(probe.calls, 0);
	close_fd(fd);
}

#define SENDERS  4
#define MESSAGES 2000

struct parcel {
	struct loop_message message;
	int sender, number;
};

static struct parcel parcels[SENDERS][MESSAGES];
static int next_of[SENDERS], delivered;

static void on_parcel(struct loop *l, struct loop_message *message)
{
	struct parcel *parcel = container_of(message, struct parcel, message);

	assert_int_equal(parcel->number, next_of[parcel->sender]++);
	if (++delivered == SENDERS * MESSAGES)
		loop_stop(l);
}

static void *sender(void *argument)
{
	struct parcel *mine = argument;

	for (int i = 0; i < MESSAGES; i++)
		loop_post(&loop, &mine[i].message);
	return NULL;
}

static void messages_keep_the_order_of_their_sender(void **state)
{
	pthread_t threads[SENDERS];

	(void)state;
	for (int s = 0; s < SENDERS; s++)
		for (int i = 0; i < MESSAGES; i++)
			parcels[s][i] = (struct parcel){ { .deliver = on_parcel }, s, i };
	for (int s = 0; s < SENDERS; s++)
		assert_int_equal(pthread_create(&threads[s], NULL, sender, parcels[s]), 0);
	loop_run(&loop);
	for (int s = 0; s < SENDERS; s++)
		pthread_join(threads[s], NULL);
	assert_int_equal(delivered, SENDERS * MESSAGES);
}

static int told;

static void on_told(struct loop *l, struct loop_message *message)
{
	if (++told == 2)
		loop_post(l, message); /* under way no longer: it may be posted again */
}

static void posted_twice_is_delivered_once(void **state)
{
	struct loop_message message = { .deliver = on_told }, other = { .deliver = on_told };

	(void)state;
	told = 0;
	loop_post(&loop, &message);
	loop_post(&loop, &other);
	loop_post(&loop, &message);
	loop_turn(&loop, -1);
	assert_int_equal(told, 2);
	loop_turn(&loop, -1);
	assert_int_equal(told, 3);
}

static void failed_init_is_clean(void **state)
{
	struct rlimit old, none;
	struct loop other;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int r = loop_init(&other);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	loop_deinit(&other);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(edge_comes_once),
		TEST(removed_in_the_same_batch),
		TEST(removes_itself),
		TEST(again_is_the_next_turn),
		TEST(removed_while_on_the_again_list),
		TEST(timer_expires_once_and_ends_the_sleep),
		TEST(fd_with_a_deadline_is_removed_with_it),
		TEST(messages_keep_the_order_of_their_sender),
		TEST(posted_twice_is_delivered_once),
		TEST(failed_init_is_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
