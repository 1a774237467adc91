/* SPDX-License-Identifier: MIT */
/* What one process gives and the next one takes, with a datagram socket in the place of PID 1. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "activation.h"
#include "handover.h"
#include "util.h"

#define MANY  600    /* more than two batches */
#define FILES 150000 /* two queues */

static struct handover_out out;
static int kept[64];
static size_t n_kept;
static bool keeps;
static int notify = -1;

static const struct handover_service services[] = {
	{ .socket = "echo", .handler = "echo" },
	{ .socket = "second", .handler = "other" },
};

/* Takes one message, and keeps what it is given if `keeps`. */
static void play_pid_1(void)
{
	char text[256] = "";
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 64)];
	} control;
	struct iovec part = { .iov_base = text, .iov_len = sizeof(text) - 1 };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control) };

	assert_true(recvmsg(notify, &message, MSG_CMSG_CLOEXEC) > 0);
	assert_true(strncmp(text, "FDSTORE=1\nFDNAME=" HANDOVER_NAME, 39) == 0);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	size_t n = header ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
	assert_true(n > 0);
	for (size_t i = 0; i < n; i++) {
		int fd;
		memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
		if (keeps)
			kept[n_kept++] = fd;
		else
			close(fd);
	}
}

static int setup(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char text[64];
	int n = snprintf(text, sizeof(text), "@test-handover-%d", getpid());

	(void)state;
	n_kept = 0;
	keeps = true;
	memcpy(address.sun_path + 1, text + 1, (size_t)n - 1);
	notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(notify, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)) < 0)
		return -1;
	setenv("NOTIFY_SOCKET", text, 1);
	return activation_open_notify();
}

static int teardown(void **state)
{
	(void)state;
	handover_close(&out);
	activation_close_notify();
	notify = close_fd(notify);
	for (size_t i = 0; i < n_kept; i++)
		close(kept[i]);
	return 0;
}

/* A record with these bytes as its output, and a pipe's end that tells it from others. */
struct sample {
	struct handover_record record;
	char held[16];
};

static struct sample sample_of(unsigned i)
{
	struct sample sample = { .record = { .size = sizeof(sample),
					     .version = HANDOVER_RECORD,
					     .service = i % 2,
					     .n_fds = 1,
					     .id = 1000 + i,
					     .output = 16 } };

	snprintf(sample.held, sizeof(sample.held), "bytes of %u", i);
	return sample;
}

/* An fd that says which it is: a memfd with the number in it. */
static int numbered_fd(unsigned i)
{
	int fd = memfd_create("numbered", MFD_CLOEXEC);

	assert_true(fd >= 0 && write(fd, &i, sizeof(i)) == sizeof(i));
	return fd;
}

static void give(unsigned many)
{
	assert_int_equal(handover_open(&out, FILES), 0);
	play_pid_1(); /* the file, */
	play_pid_1(); /* and the queues */
	assert_int_equal(handover_begin(&out, HANDOVER_CRASH, 42, services, 2), 0);
	for (unsigned i = 0; i < many; i++) {
		struct sample sample = sample_of(i);
		int fd = numbered_fd(i); /* open until the end, as connections are */
		assert_int_equal(handover_add(&out, &sample.record, &fd), 0);
	}
	handover_lose(&out, 7);
	handover_lose(&out, 9);
}

static void what_is_given_is_taken(void **state)
{
	struct handover_in in;
	unsigned refused, n = 0;
	int fds[2];

	(void)state;
	give(MANY);
	assert_int_equal(handover_finish(&out), 0);
	assert_int_equal(handover_read(&in, kept, n_kept, &refused), 0);
	assert_int_equal(refused, 0);
	assert_int_equal(in.head->cause, HANDOVER_CRASH);
	assert_int_equal(in.head->pid, 42);
	assert_int_equal(in.head->n_connections, MANY);
	assert_int_equal(in.head->n_lost, 2);
	assert_int_equal(in.head->lost[1], 9);
	assert_string_equal(in.services[1].handler, "other");
	for (const struct handover_record *record; (record = handover_next(&in, fds)); n++) {
		struct sample sample = sample_of(n);
		unsigned number = 0;
		assert_memory_equal(record, &sample, sizeof(sample));
		assert_int_equal(pread(fds[0], &number, sizeof(number), 0), sizeof(number));
		assert_int_equal(number, n);
		assert_int_equal(fds[1], -1);
		close(fds[0]);
	}
	assert_int_equal(n, MANY);
	handover_deinit(&in);
}

static void nobody_keeps_it(void **state)
{
	(void)state;
	keeps = false;
	give(3);
	assert_int_equal(handover_finish(&out), -ENOSPC);
}

static void nobody_listens(void **state)
{
	(void)state;
	activation_close_notify();
	assert_int_equal(handover_open(&out, FILES), -ENOTCONN);
}

/* Its process had no connections, or no time. */
static void it_is_not_filled(void **state)
{
	struct handover_in in;
	unsigned refused;

	(void)state;
	assert_int_equal(handover_open(&out, FILES), 0);
	play_pid_1(); /* the file, */
	play_pid_1(); /* and the queues */
	assert_int_equal(handover_read(&in, kept, n_kept, &refused), -ENODATA);
	assert_int_equal(refused, 0);
	handover_deinit(&in);
}

/* ---- what is wrong with it */

/* In place of what was given: it may be cut. */
static int copy_of(int file, size_t length)
{
	static unsigned char bytes[1 << 20];
	ssize_t n = pread(file, bytes, sizeof(bytes), 0);
	int copy = memfd_create("copy", MFD_CLOEXEC);

	assert_true(copy >= 0 && n > 0 && (size_t)n < sizeof(bytes));
	if (length > (size_t)n)
		length = (size_t)n;
	assert_int_equal(pwrite(copy, bytes, length, 0), length);
	close(file);
	return copy;
}

static void expect_refused(int error)
{
	struct handover_in in;
	unsigned refused = 0;

	assert_int_equal(handover_read(&in, kept, n_kept, &refused), error);
	assert_int_equal(refused, 3); /* their descriptors are closed */
	handover_deinit(&in);
}

static void damaged(size_t place, const void *bytes, size_t n, int error)
{
	give(3);
	assert_int_equal(handover_finish(&out), 0);
	kept[0] = copy_of(kept[0], SIZE_MAX);
	assert_int_equal(pwrite(kept[0], bytes, n, (off_t)place), n);
	expect_refused(error);
}

static void another_magic(void **state)
{
	(void)state;
	damaged(0, "x", 1, -EBADMSG);
}

static void another_version(void **state)
{
	uint32_t version = HANDOVER_VERSION + 1;

	(void)state;
	damaged(offsetof(struct handover_head, version), &version, sizeof(version), -EPROTO);
}

static void a_wrong_byte(void **state)
{
	(void)state;
	damaged(sizeof(struct handover_head) + 700, "x", 1, -EBADMSG);
}

static void too_many_services(void **state)
{
	uint32_t n = UINT32_MAX;

	(void)state;
	damaged(offsetof(struct handover_head, n_services), &n, sizeof(n), -EBADMSG);
}

static void too_many_descriptors(void **state)
{
	uint32_t n = UINT32_MAX;

	(void)state;
	damaged(offsetof(struct handover_head, n_fds), &n, sizeof(n), -EBADMSG);
}

static void cut_off(void **state)
{
	static const size_t lengths[] = { 1, sizeof(struct handover_head) - 1,
					  sizeof(struct handover_head),
					  sizeof(struct handover_head) + 100 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		give(3);
		assert_int_equal(handover_finish(&out), 0);
		kept[0] = copy_of(kept[0], lengths[i]);
		expect_refused(-EBADMSG);
		teardown(state);
		setup(state);
	}
}

static void no_file(void **state)
{
	(void)state;
	give(3);
	assert_int_equal(handover_finish(&out), 0);
	close(kept[0]);
	memmove(kept, kept + 1, --n_kept * sizeof(int));
	expect_refused(-EBADMSG);
}

/* A record of a later version is passed over by its size; one that is not whole is the end. */
static void records(uint16_t version, uint32_t size, unsigned expected)
{
	struct handover_in in;
	unsigned refused, n = 0;
	int fds[2];

	assert_int_equal(handover_open(&out, FILES), 0);
	play_pid_1(); /* the file, */
	play_pid_1(); /* and the queues */
	assert_int_equal(handover_begin(&out, HANDOVER_RESTART, 1, services, 2), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct sample sample = sample_of(i);
		int fd = numbered_fd(i);
		if (i == 1) {
			sample.record.version = version;
			sample.record.output = 1 << 20;
		}
		assert_int_equal(handover_add(&out, &sample.record, &fd), 0);
		if (i == 1) /* only the word is wrong, not how much was written */
			memcpy(out.bytes + out.used - sizeof(sample), &size, sizeof(size));
	}
	assert_int_equal(handover_finish(&out), 0);
	assert_int_equal(handover_read(&in, kept, n_kept, &refused), 0);
	for (; handover_next(&in, fds); n++)
		close(fds[0]);
	assert_int_equal(n, expected);
	handover_deinit(&in);
}

static void a_record_of_another_version(void **state)
{
	(void)state;
	records(HANDOVER_RECORD + 1, sizeof(struct sample), 3);
}

static void a_record_that_holds_too_much(void **state)
{
	(void)state;
	records(HANDOVER_RECORD, sizeof(struct sample), 1);
}

static void a_record_without_a_size(void **state)
{
	(void)state;
	records(HANDOVER_RECORD + 1, 0, 1);
}

static void a_record_beyond_the_end(void **state)
{
	(void)state;
	records(HANDOVER_RECORD + 1, 1 << 20, 1);
}

/* As where the limit of open files is lower in the next process. */
static void descriptors_that_do_not_arrive(void **state)
{
	struct handover_in in;
	struct rlimit limit, low;
	unsigned refused, n = 0, gone = 0;
	int fds[2];

	(void)state;
	give(MANY);
	assert_int_equal(handover_finish(&out), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	int next = fcntl(notify, F_DUPFD_CLOEXEC, 0); /* the first that is free */
	close(next);
	low.rlim_cur = (rlim_t)next + MANY - 100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(handover_read(&in, kept, n_kept, &refused), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (; handover_next(&in, fds); n++) {
		unsigned number = 0;
		if (fds[0] < 0) {
			gone++;
			continue;
		}
		assert_int_equal(pread(fds[0], &number, sizeof(number), 0), sizeof(number));
		assert_int_equal(number, n);
		close(fds[0]);
	}
	assert_int_equal(n, MANY);
	assert_true(gone > 0 && gone < MANY);
	handover_deinit(&in);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_given_is_taken),
		TEST(nobody_keeps_it),
		TEST(nobody_listens),
		TEST(it_is_not_filled),
		TEST(another_magic),
		TEST(another_version),
		TEST(a_wrong_byte),
		TEST(too_many_services),
		TEST(too_many_descriptors),
		TEST(cut_off),
		TEST(no_file),
		TEST(a_record_of_another_version),
		TEST(a_record_that_holds_too_much),
		TEST(a_record_without_a_size),
		TEST(a_record_beyond_the_end),
		TEST(descriptors_that_do_not_arrive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
