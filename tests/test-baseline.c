/* SPDX-License-Identifier: MIT */
/* What is remembered of a socket comes back whole, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "baseline.h"
#include "journal.h"
#include "util.h"

static char directory[64], path[128];
static struct baseline baseline;
static int fd, other;
static unsigned said;

static int on_entry(const struct iovec *parts, int n)
{
	(void)parts;
	(void)n;
	said++;
	return 0;
}

static int setup(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/test-baseline.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/baseline", directory);
	baseline = (struct baseline){ 0 };
	fd = socket(AF_INET, SOCK_STREAM, 0);
	other = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(baseline_add(&baseline, fd), 0);
	said = 0;
	journal_open(on_entry);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	baseline_deinit(&baseline);
	close(fd);
	close(other);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static struct sockopt_reading *of(const char *name)
{
	struct sockopt_reading *values = baseline_of(&baseline, fd);

	assert_non_null(values);
	return &values[sockopt_find(name) - sockopt_table];
}

/* What is known now is another process's to find. */
static void forget(void)
{
	baseline_deinit(&baseline);
	assert_int_equal(baseline_add(&baseline, fd), 0);
	assert_false(of("so_keepalive")->known);
}

static void write_file(const char *text, size_t length)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(file >= 0);
	assert_int_equal(write(file, text, length), (ssize_t)length);
	close(file);
}

/* `format` has the cookie of the socket in it. */
static const char *with_cookie(const char *format)
{
	static char text[4096];
	uint64_t cookie;
	socklen_t length = sizeof(cookie);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length), 0);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	/* cppcheck-suppress wrongPrintfScanfArgNum ; it does not see the callers' formats */
	snprintf(text, sizeof(text), format, cookie);
#pragma GCC diagnostic pop
	return text;
}

static void comes_back(void **state)
{
	(void)state;
	*of("so_keepalive") = (struct sockopt_reading){ true, { .number = 1 } };
	*of("so_max_pacing_rate") = (struct sockopt_reading){ true, { .number = -1 } };
	*of("so_mark") = (struct sockopt_reading){ true, { .number = UINT32_MAX } };
	*of("tcp_congestion") = (struct sockopt_reading){ true, { .string = "reno" } };
	*of("so_bindtodevice") = (struct sockopt_reading){ true, { .string = "" } };
	baseline_save(&baseline, directory);
	forget();
	baseline_load(&baseline, directory);
	assert_int_equal(said, 0);
	assert_true(of("so_keepalive")->known);
	assert_int_equal(of("so_keepalive")->value.number, 1);
	assert_int_equal(of("so_max_pacing_rate")->value.number, -1);
	assert_int_equal(of("so_mark")->value.number, UINT32_MAX);
	assert_string_equal(of("tcp_congestion")->value.string, "reno");
	assert_true(of("so_bindtodevice")->known);
	assert_string_equal(of("so_bindtodevice")->value.string, "");
	assert_false(of("so_priority")->known);
}

static void is_for_its_owner_alone(void **state)
{
	struct stat st;

	(void)state;
	baseline_save(&baseline, directory);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void forgets_sockets_that_are_gone(void **state)
{
	(void)state;
	assert_int_equal(baseline_add(&baseline, other), 0);
	*of("so_keepalive") = (struct sockopt_reading){ true, { .number = 1 } };
	baseline_save(&baseline, directory);
	baseline_deinit(&baseline);
	assert_int_equal(baseline_add(&baseline, other), 0);
	assert_null(baseline_of(&baseline, fd));
	baseline_load(&baseline, directory);
	baseline_save(&baseline, directory);
	forget();
	baseline_load(&baseline, directory);
	assert_false(of("so_keepalive")->known);
	assert_int_equal(said, 0);
}

static void one_socket_under_two_descriptors(void **state)
{
	int twin = dup(fd);

	(void)state;
	assert_int_equal(baseline_add(&baseline, twin), 0);
	assert_int_equal(baseline.count, 1);
	assert_ptr_equal(baseline_of(&baseline, twin), baseline_of(&baseline, fd));
	close(twin);
	assert_int_equal(baseline_add(&baseline, -1), -EBADF);
}

static void options_of_a_newer_version_are_passed_over(void **state)
{
	const char *text = with_cookie("simple-server baseline 1\nsocket %" PRIx64
				       "\nso_newer 1\nso_newest \"x\"\nso_keepalive 1\nend\n");

	(void)state;
	write_file(text, strlen(text));
	baseline_load(&baseline, directory);
	assert_true(of("so_keepalive")->known);
	assert_int_equal(said, 0);
}

static const char *const damaged[] = {
	"", /* no head */
	"\n",
	"simple-server baseline 2\nend\n",
	"simple-server baseline 1\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1\n", /* no end */
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1\nend",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1\nend\nso_mark 1\n",
	"simple-server baseline 1\nso_keepalive 1\nsocket %" PRIx64 "\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1 \nend\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive  1\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1\nso_mark 0x1\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1\nso_mark -\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1\nso_mark \"1\"\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64
	"\nso_keepalive 1\nso_mark 99999999999999999999\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1\ntcp_congestion reno\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1\ntcp_congestion 1\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1\ntcp_congestion \"\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64
	"\nso_keepalive 1\ntcp_congestion \"a\"b\"\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64
	"\nso_keepalive 1\ntcp_congestion \"0123456789abcdef\"\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1\nsocket xyz\nend\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1\nsocket \nend\n",
	"simple-server baseline 1\nsocket %" PRIx64 "\nso_keepalive 1\n\nend\n",
};

static void what_is_damaged_is_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++) {
		const char *text = with_cookie(damaged[i]);

		write_file(text, strlen(text));
		said = 0;
		baseline_load(&baseline, directory);
		if (of("so_keepalive")->known || said != 1)
			fail_msg("taken, or %u lines: %s", said, text);
	}
	/* A NUL ends no file. */
	write_file("simple-server baseline 1\nend\n\0", 30);
	said = 0;
	baseline_load(&baseline, directory);
	assert_int_equal(said, 1);
}

static void what_is_no_file_is_nothing(void **state)
{
	(void)state;
	baseline_load(&baseline, directory);
	assert_int_equal(said, 0); /* none yet: the first start */
	assert_int_equal(mkfifo(path, 0600), 0);
	baseline_load(&baseline, directory); /* does not wait for a writer */
	assert_int_equal(said, 1);
	unlink(path);
	assert_int_equal(symlink("/dev/zero", path), 0);
	baseline_load(&baseline, directory);
	assert_int_equal(said, 2);
	unlink(path);
	write_file("", 0);
	assert_int_equal(truncate(path, 2 << 20), 0);
	baseline_load(&baseline, directory);
	assert_int_equal(said, 3);
}

static void a_directory_that_cannot_be_written_is_a_line(void **state)
{
	(void)state;
	baseline_save(&baseline, "/nonexistent");
	assert_int_equal(said, 1);
	assert_int_equal(mkdir(path, 0700), 0);
	baseline_save(&baseline, directory);
	assert_int_equal(said, 2);
	rmdir(path);
	/* A disk that is full. */
	char beside[160];
	snprintf(beside, sizeof(beside), "%s.new", path);
	write_file("old", 3);
	if (mknod(beside, S_IFCHR | 0600, makedev(1, 7)) < 0) /* /dev/full */
		return;
	baseline_save(&baseline, directory);
	assert_int_equal(said, 3);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 3); /* the old one is still there */
	assert_int_equal(access(beside, F_OK), -1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(comes_back),
		TEST(is_for_its_owner_alone),
		TEST(forgets_sockets_that_are_gone),
		TEST(one_socket_under_two_descriptors),
		TEST(options_of_a_newer_version_are_passed_over),
		TEST(what_is_damaged_is_nothing),
		TEST(what_is_no_file_is_nothing),
		TEST(a_directory_that_cannot_be_written_is_a_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
