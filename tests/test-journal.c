/* SPDX-License-Identifier: MIT */
/* Entries arrive whole and in order; a reader that stalls, or a flood, costs entries and never
 * time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "journal.h"
#include "util.h"

#define FLOOD 1000 /* more than the ring holds */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held: the reader stalls */
static char entries[2 * FLOOD][1024];
static int n_entries, result;

static int capture(const struct iovec *parts, int n)
{
	pthread_mutex_lock(&gate);
	char *to = entries[n_entries++];
	for (int i = 0; i < n; i++) {
		memcpy(to, parts[i].iov_base, parts[i].iov_len);
		to += parts[i].iov_len;
		*to++ = '\n';
	}
	*to = '\0';
	pthread_mutex_unlock(&gate);
	return result;
}

static int setup(void **state)
{
	(void)state;
	n_entries = result = 0;
	memset(entries, 0, sizeof(entries));
	journal_open(capture);
	return 0;
}

static const struct journal_fields all_fields = {
	.socket = "echo",
	.handler = "echo",
	.peer = "127.0.0.1:4242",
	.reason = "reset",
	.connection = 7,
	.bytes_in = 5,
	.bytes_out = 6,
	.duration_us = 1500,
};

static void entry_has_its_fields(void **state)
{
	(void)state;
	journal_log(JOURNAL_CONNECTION, LOG_INFO, &all_fields, "ended %d", 1);
	assert_int_equal(n_entries, 1);
	assert_string_equal(entries[0], "MESSAGE=ended 1\n"
					"PRIORITY=6\n"
					"SYSLOG_IDENTIFIER=simple-server\n"
					"MESSAGE_ID=d0f5c5176444474b89ddbd75b68b4c68\n"
					"EVENT=connection\n"
					"SOCKET=echo\n"
					"HANDLER=echo\n"
					"PEER=127.0.0.1:4242\n"
					"REASON=reset\n"
					"CONNECTION=7\n"
					"BYTES_IN=5\n"
					"BYTES_OUT=6\n"
					"DURATION_USEC=1500\n");
}

static void fields_that_are_not_there(void **state)
{
	(void)state;
	journal_log(JOURNAL_ERROR, LOG_ERR, &(struct journal_fields){ .error = 24 }, "no files");
	assert_non_null(strstr(entries[0], "ERRNO=24\n"));
	assert_null(strstr(entries[0], "SOCKET="));
	assert_null(strstr(entries[0], "CONNECTION="));
}

static void long_message_is_cut(void **state)
{
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	journal_log(JOURNAL_ERROR, LOG_ERR, NULL, "%s", text);
	assert_int_equal(strchr(entries[0], '\n') - entries[0], strlen("MESSAGE=") + 511);
	assert_non_null(strstr(entries[0], "\nEVENT=error\n"));
}

static void thread_keeps_the_order(void **state)
{
	char expected[32];

	(void)state;
	assert_int_equal(journal_start(), 0);
	for (int i = 0; i < 100; i++)
		journal_log(JOURNAL_ERROR, LOG_ERR, NULL, "entry %d", i);
	journal_stop();
	assert_int_equal(n_entries, 100);
	for (int i = 0; i < 100; i++) {
		snprintf(expected, sizeof(expected), "MESSAGE=entry %d\n", i);
		assert_memory_equal(entries[i], expected, strlen(expected));
	}
}

/* Would hang, were the caller to wait for the reader. */
static void stalled_reader_stalls_nobody(void **state)
{
	unsigned long long left_out = 0;

	(void)state;
	pthread_mutex_lock(&gate);
	assert_int_equal(journal_start(), 0);
	for (int i = 0; i < FLOOD; i++)
		journal_log(JOURNAL_ERROR, LOG_ERR, NULL, "entry %d", i);
	pthread_mutex_unlock(&gate);
	journal_stop();
	assert_true(n_entries < FLOOD);
	int kept = 0;
	for (int i = 0; i < n_entries; i++) {
		unsigned long long n;
		if (strncmp(entries[i], "MESSAGE=entry ", 14) == 0)
			kept++;
		else if (sscanf(entries[i], "MESSAGE=%llu more entries of the kind \"error\"",
				&n) == 1)
			left_out += n;
	}
	assert_int_equal(kept + (int)left_out, FLOOD);
}

/* A thread that is in the middle of an entry is not to blame, however long it is there. */
static void stalled_reader_is_no_hang(void **state)
{
	(void)state;
	assert_int_equal(journal_start(), 0);
	assert_true(journal_moves(-1));
	pthread_mutex_lock(&gate);
	journal_log(JOURNAL_ERROR, LOG_ERR, NULL, "one that nobody takes");
	journal_log(JOURNAL_ERROR, LOG_ERR, NULL, "one that waits behind it");
	while (!journal_moves(-1)) /* until the thread is at it */
		sched_yield();
	assert_true(journal_moves(-1));
	pthread_mutex_unlock(&gate);
	journal_stop();
	assert_int_equal(n_entries, 2);
}

static void flood_is_limited_and_counted(void **state)
{
	unsigned long long left_out = 0;
	int admitted = 0;

	(void)state;
	assert_int_equal(journal_start(), 0);
	for (int i = 0; i < FLOOD; i++)
		admitted += journal_admit(JOURNAL_CONNECTION);
	journal_stop();
	assert_true(admitted >= JOURNAL_RATE && admitted <= 3 * JOURNAL_RATE);
	for (int i = 0; i < n_entries; i++) {
		unsigned long long n;
		assert_non_null(strstr(entries[i], "\nEVENT=suppressed\n"));
		assert_int_equal(sscanf(entries[i],
					"MESSAGE=%llu more entries of the kind \"connection\"", &n),
				 1);
		left_out += n;
	}
	assert_int_equal(admitted + (int)left_out, FLOOD);
}

static void without_a_journal_it_goes_to_stderr(void **state)
{
	int saved = dup(STDERR_FILENO), pipes[2];
	char line[128] = { 0 };

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[1], STDERR_FILENO);
	journal_open(NULL);
	journal_log(JOURNAL_READY, LOG_INFO, NULL, "plain");
	journal_open(capture);
	result = -1; /* the journal's socket is gone: its stream on stderr is still there */
	journal_log(JOURNAL_READY, LOG_INFO, NULL, "stream");
	dup2(saved, STDERR_FILENO);
	close_fd(saved);
	close_fd(pipes[1]);
	assert_true(read(pipes[0], line, sizeof(line) - 1) > 0);
	assert_string_equal(line, "simple-server: plain\n<6>stream\n");
	close_fd(pipes[0]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(entry_has_its_fields),         TEST(fields_that_are_not_there),
		TEST(long_message_is_cut),          TEST(thread_keeps_the_order),
		TEST(stalled_reader_stalls_nobody), TEST(stalled_reader_is_no_hang),
		TEST(flood_is_limited_and_counted), TEST(without_a_journal_it_goes_to_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
