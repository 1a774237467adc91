/* SPDX-License-Identifier: MIT */
/* The environment of sd_listen_fds(3): what is right is taken, what is wrong is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "activation.h"
#include "util.h"

static struct report report;
static struct passed_fds fds;

static int setup(void **state)
{
	(void)state;
	report = REPORT_NULL;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	activation_release(&fds);
	report_deinit(&report);
	return 0;
}

static void set_pid(int pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	setenv("LISTEN_PID", text, 1);
}

static void set(const char *count, const char *names)
{
	set_pid((int)getpid());
	setenv("LISTEN_FDS", count, 1);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
}

/* Descriptors 3 and 4 are sockets, whatever was there. */
static void open_3_and_4(void)
{
	for (int fd = 3; fd <= 4; fd++) {
		int s = socket(AF_UNIX, SOCK_STREAM, 0);
		if (s != fd) {
			assert_int_equal(dup2(s, fd), fd);
			close(s);
		}
	}
}

static void nothing_passed_is_no_error(void **state)
{
	(void)state;
	assert_int_equal(activation_take(&fds, &report), 0);
	assert_int_equal(fds.count, 0);
	assert_int_equal(report.n_lines, 0);
}

static void takes_names_and_unsets(void **state)
{
	(void)state;
	open_3_and_4();
	set("2", "echo:other");
	assert_int_equal(activation_take(&fds, &report), 0);
	assert_int_equal(fds.count, 2);
	assert_int_equal(fds.list[0].fd, 3);
	assert_string_equal(fds.list[0].name, "echo");
	assert_string_equal(fds.list[1].name, "other");
	assert_true(fcntl(3, F_GETFD) & FD_CLOEXEC);
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDNAMES"));
}

static void says(const char *text)
{
	assert_int_equal(report.n_lines, 1);
	if (!strstr(report.lines[0], text))
		fail_msg("\"%s\" is not in \"%s\"", text, report.lines[0]);
	report_deinit(&report);
	report = REPORT_NULL;
	assert_int_equal(fds.count, 0);
}

static void for_another_process(void **state)
{
	(void)state;
	set("1", "echo");
	set_pid(1);
	assert_true(activation_take(&fds, &report) < 0);
	says("for another process: LISTEN_PID=1");
}

static void wrong_counts(void **state)
{
	static const char *const counts[] = { "0", "abc", "-1", "99999999999", "1000000", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		char expected[64];
		set(counts[i], NULL);
		assert_true(activation_take(&fds, &report) < 0);
		snprintf(expected, sizeof(expected), "LISTEN_FDS=%s,", counts[i]);
		says(expected);
	}
}

static void closed_descriptor(void **state)
{
	(void)state;
	open_3_and_4();
	close(3);
	set("1", "echo");
	assert_true(activation_take(&fds, &report) < 0);
	says("Bad file descriptor");
	close(4);
}

static void wrong_names(void **state)
{
	(void)state;
	open_3_and_4();
	set("2", "one");
	assert_true(activation_take(&fds, &report) < 0);
	says("LISTEN_FDNAMES=one");
	set("1", "one\033:two");
	assert_true(activation_take(&fds, &report) < 0);
	says("LISTEN_FDNAMES=one\\x1b:two");
	close(3);
	close(4);
}

static void notifies(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char got[64] = { 0 };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/test-activation.%d",
		 (int)getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	assert_int_equal(activation_open_notify(), 0);
	activation_notify("READY=1\nSTATUS=%d open", 3);
	unlink(address.sun_path);
	assert_true(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(got, "READY=1\nSTATUS=3 open");
	close(fd);
	activation_notify("READY=1"); /* nobody listens any more: nothing happens */
	activation_close_notify();
	activation_notify("READY=1");
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(activation_open_notify(), -EINVAL);
	setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
	assert_int_equal(activation_open_notify(), -ENOENT);
	setenv("NOTIFY_SOCKET", "", 1);
	assert_int_equal(activation_open_notify(), 0);
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(activation_open_notify(), 0);
}

static int watchdog_of(const char *usec, const char *pid)
{
	setenv("WATCHDOG_USEC", usec, 1);
	if (pid)
		setenv("WATCHDOG_PID", pid, 1);
	else
		unsetenv("WATCHDOG_PID");
	int ms = activation_take_watchdog();
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
	return ms;
}

static void watchdog_is_taken(void **state)
{
	char pid[16];

	(void)state;
	unsetenv("WATCHDOG_USEC");
	assert_int_equal(activation_take_watchdog(), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_int_equal(watchdog_of("30000000", NULL), 30000);
	assert_int_equal(watchdog_of("30000000", pid), 30000);
	assert_int_equal(watchdog_of("30000000", "1"), 0);
	assert_int_equal(watchdog_of("30s", NULL), -EINVAL);
	assert_int_equal(watchdog_of("1", NULL), 16); /* no wait of 0 ms, in a circle */
	assert_int_equal(watchdog_of("9000000000000000", NULL), INT_MAX);
}

static void journal_is_known_by_its_stream(void **state)
{
	struct stat st;
	char value[64];

	(void)state;
	unsetenv("JOURNAL_STREAM");
	assert_false(activation_has_journal());
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(value, sizeof(value), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", value, 1);
	assert_true(activation_has_journal());
	setenv("JOURNAL_STREAM", "1:1", 1);
	assert_false(activation_has_journal());
	setenv("JOURNAL_STREAM", "garbage", 1);
	assert_false(activation_has_journal());
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_passed_is_no_error),
		TEST(takes_names_and_unsets),
		TEST(for_another_process),
		TEST(wrong_counts),
		TEST(closed_descriptor),
		TEST(wrong_names),
		TEST(notifies),
		TEST(watchdog_is_taken),
		TEST(journal_is_known_by_its_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
