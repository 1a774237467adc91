/* SPDX-License-Identifier: MIT */
/* The report: lines, nearest words, printable bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "report.h"
#include "util.h"

static void test_collects_lines(void **state)
{
	struct report report = REPORT_NULL;

	(void)state;
	for (int i = 0; i < 1000; i++)
		report_add(&report, "%s:%d: %s", "file", i, "wrong");
	assert_int_equal(report.n_lines, 1000);
	assert_string_equal(report.lines[0], "file:0: wrong");
	assert_string_equal(report.lines[999], "file:999: wrong");

	report_deinit(&report);
	assert_int_equal(report.n_lines, 0);
	assert_null(report.lines);
	report_deinit(&report);
}

static void test_lines_have_no_control_characters(void **state)
{
	struct report report = REPORT_NULL;

	(void)state;
	report_add(&report, "%s", "a\nb\033[1m\tc\x7f \xc3\xa4");
	assert_string_equal(report.lines[0], "a?b?[1m?c? \xc3\xa4");
	report_deinit(&report);
}

static void test_nearest(void **state)
{
	static const char *const words[] = { "workers", "drain_timeout", "tcp_nodelay", "log",
					     "ip_tos",  "ip_ttl",        NULL };
	static const char *const none[] = { NULL };
	char endless[1000] = "";

	(void)state;
	assert_string_equal(report_nearest("workers", words), "workers");
	assert_string_equal(report_nearest("worker", words), "workers");
	assert_string_equal(report_nearest("wrokers", words), "workers");
	assert_string_equal(report_nearest("drain-timeout", words), "drain_timeout");
	assert_string_equal(report_nearest("drain_timeuot", words), "drain_timeout");
	assert_string_equal(report_nearest("TCP_NODELAY", words), "tcp_nodelay");
	assert_string_equal(report_nearest("tcp_no_delay", words), "tcp_nodelay");
	assert_string_equal(report_nearest("lgo", words), "log");
	assert_string_equal(report_nearest("ip_tol", words), "ip_tos");
	/* Both differ in two letters of six: the first one stays. */
	assert_string_equal(report_nearest("ip_txx", words), "ip_tos");

	assert_null(report_nearest("", words));
	assert_null(report_nearest("xy", words));
	assert_null(report_nearest("banana", words));
	assert_null(report_nearest("cat", words));
	assert_null(report_nearest("workers", none));
	memset(endless, 'w', sizeof(endless) - 1);
	assert_null(report_nearest(endless, words));
}

static void test_nearest_at_the_bound(void **state)
{
	static const char *const words[] = { "abcdefghi", NULL };

	(void)state;
	/* Nine letters: three may be wrong. */
	assert_non_null(report_nearest("abcdefxyz", words));
	assert_null(report_nearest("abcdewxyz", words));
}

static void test_nearest_of_long_words(void **state)
{
	char longest[65], longer[66];
	const char *words[] = { longer, longest, NULL };

	(void)state;
	memset(longest, 'a', 64);
	longest[64] = '\0';
	memset(longer, 'a', 65);
	longer[65] = '\0';
	assert_ptr_equal(report_nearest(longest, words), longest);
}

static void test_escape(void **state)
{
	char out[REPORT_ESCAPED_MAX], bytes[200];

	(void)state;
	assert_string_equal(report_escape(out, "plain ~text"), "plain ~text");
	assert_string_equal(report_escape(out, ""), "");
	assert_string_equal(report_escape(out, "a\n\x1b\xff"), "a\\x0a\\x1b\\xff");

	memset(bytes, 1, sizeof(bytes) - 1);
	bytes[sizeof(bytes) - 1] = '\0';
	report_escape(out, bytes);
	assert_int_equal(strlen(out), REPORT_ESCAPED_MAX - 1);
	assert_string_equal(out + 64 * 4, "...");
	bytes[64] = '\0';
	assert_int_equal(strlen(report_escape(out, bytes)), 64 * 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_collects_lines),
		cmocka_unit_test(test_lines_have_no_control_characters),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_nearest_at_the_bound),
		cmocka_unit_test(test_nearest_of_long_words),
		cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
