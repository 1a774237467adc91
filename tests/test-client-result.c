/* SPDX-License-Identifier: MIT */
/*
 * A result is summed, judged and shown: the table says what happened and nothing else, JSON, SVG
 * and the columns of HdrHistogram hold whatever was measured, and nothing is lost in silence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/result.h"
#include "client/units.h"

#define THREADS_MAX 20
#define SECOND      INT64_C(1000000000)

static struct plan_address address;
static struct plan plan;
static struct stats stats[THREADS_MAX];
static struct result result;
static char *shown;

/* Two threads of an echo in a closed loop that did nothing in ten seconds. */
static int setup(void **state)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&address.address;

	(void)state;
	address.length = sizeof(*in);
	in->sin_family = AF_INET;
	in->sin_port = htons(7);
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	plan = (struct plan){
		.mode = MODE_ECHO,
		.target = "localhost:7",
		.addresses = &address,
		.n_addresses = 1,
		.threads = 2,
		.connections = 64,
		.connecting = 128,
		.depth = 1,
		.size_min = 64,
		.size_max = 64,
		.writes = 1,
		.duration_ns = 10 * SECOND,
		.interval_ns = SECOND,
		.timeout_ns = SECOND,
		.seed = 1,
	};
	memset(stats, 0, sizeof(stats));
	for (int i = 0; i < THREADS_MAX; i++) {
		histogram_init(&stats[i].corrected);
		histogram_init(&stats[i].uncorrected);
		histogram_init(&stats[i].connecting);
		stats[i].window_ns = 10 * SECOND;
	}
	result.plan = &plan;
	result.threads = stats;
	result.server_cpu_ns = result.client_cpu_ns = -1;
	result.cpu_window_ns = 10 * SECOND;
	result.time_wait_before = result.time_wait_after = -1;
	result.interrupted = false;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(shown);
	shown = NULL;
	return 0;
}

static void requests(unsigned thread, int count, int64_t ns)
{
	for (int i = 0; i < count; i++) {
		histogram_record(&stats[thread].corrected, ns);
		histogram_record(&stats[thread].uncorrected, ns);
	}
	stats[thread].requests += (uint64_t)count;
	stats[thread].bytes_out += 64 * (uint64_t)count;
	stats[thread].bytes_in += 64 * (uint64_t)count;
	stats[thread].most_open = 32;
}

/* What `print` writes of the sum. */
static const char *show(void (*print)(const struct result *, FILE *))
{
	size_t size;
	FILE *out;

	free(shown);
	out = open_memstream(&shown, &size);
	assert_non_null(out);
	result_sum(&result);
	print(&result, out);
	assert_int_equal(ferror(out), 0);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(strlen(shown), size);
	return shown;
}

static void assert_has(const char *text)
{
	if (!strstr(shown, text))
		fail_msg("no \"%s\" in:\n%s", text, shown);
}

static void assert_has_not(const char *text)
{
	if (strstr(shown, text))
		fail_msg("\"%s\" is in:\n%s", text, shown);
}

static void test_sum(void **state)
{
	(void)state;
	requests(0, 10, 1000);
	requests(1, 30, 2000);
	stats[0].connects = 3;
	stats[1].connects = 4;
	stats[0].errors[STATS_RESET] = 1;
	stats[1].errors[STATS_RESET] = 2;
	stats[1].errors[STATS_SHORT] = 5;
	stats[0].closed_by_server = 1;
	stats[1].closed_by_server = 1;
	stats[0].unsent = 7;
	stats[1].unsent = 8;
	stats[0].open = 2;
	stats[1].open = 3;
	stats[1].window_ns = 11 * SECOND;
	histogram_record(&stats[1].connecting, 5000);
	histogram_record(&stats[0].uncorrected, 500);
	strcpy(stats[1].first_error, "it was so");
	memset(&result.total, 0xff, sizeof(result.total));
	result_sum(&result);

	assert_int_equal(result.total.requests, 40);
	assert_int_equal(result.total.connects, 7);
	assert_int_equal(result.total.bytes_in, 40 * 64);
	assert_int_equal(result.total.bytes_out, 40 * 64);
	assert_int_equal(result.total.errors[STATS_RESET], 3);
	assert_int_equal(result.total.errors[STATS_SHORT], 5);
	assert_int_equal(result.total.errors[STATS_CONNECT], 0);
	assert_int_equal(result.total.most_open, 64);
	assert_int_equal(result.total.open, 5);
	assert_int_equal(result.total.closed_by_server, 2);
	assert_int_equal(result.total.unsent, 15);
	assert_int_equal(result.total.window_ns, 11 * SECOND);
	assert_int_equal(result.total.corrected.count, 40);
	assert_int_equal(result.total.corrected.min, 1000);
	assert_int_equal(result.total.corrected.max, 2000);
	assert_int_equal(result.total.uncorrected.count, 41);
	assert_int_equal(result.total.connecting.max, 5000);
	assert_string_equal(result.total.first_error, "it was so");
}

static bool is_good(void)
{
	result_sum(&result);
	return result_is_good(&result);
}

static void test_good_needs_something_done_and_no_error(void **state)
{
	(void)state;
	assert_false(is_good());
	stats[0].most_open = 10;
	stats[0].bytes_out = 1000;
	stats[0].connects = 10;
	assert_false(is_good());
	plan.mode = MODE_DISCARD;
	assert_true(is_good());
	plan.mode = MODE_SILENT;
	assert_true(is_good());
	plan.mode = MODE_IDLE;
	assert_false(is_good());
	plan.mode = MODE_CHURN;
	assert_false(is_good());
	requests(1, 1, 1);
	for (enum plan_mode mode = 0; mode < MODES; mode++) {
		plan.mode = mode;
		assert_true(is_good());
	}
	for (enum stats_error error = 0; error < STATS_ERRORS; error++) {
		stats[1].errors[error] = 1;
		assert_false(is_good());
		stats[1].errors[error] = 0;
	}
	assert_true(is_good());
}

static void test_error_names_are_there_and_differ(void **state)
{
	(void)state;
	for (enum stats_error i = 0; i < STATS_ERRORS; i++) {
		assert_true(strlen(stats_error_name(i)) > 0);
		for (enum stats_error j = 0; j < i; j++)
			assert_string_not_equal(stats_error_name(i), stats_error_name(j));
	}
}

static void test_table_of_a_closed_loop(void **state)
{
	(void)state;
	requests(0, 1000, 50000);
	requests(1, 3000, 2000000);
	show(result_print);
	assert_int_equal(strncmp(shown, "echo to localhost:7 (127.0.0.1:7)\n", 34), 0);
	assert_has("2 threads, 64 connections, 64 bytes, closed loop\n");
	assert_has("10.0 s measured\n");
	assert_has("requests               4 000             400/s\n");
	assert_has("sent                  256 kB         25.6 kB/s\n");
	assert_has("received              256 kB         25.6 kB/s\n");
	assert_has("latency       50.0 µs  2.00 ms  2.00 ms  2.00 ms  2.00 ms  2.00 ms  1.51 ms\n");
	assert_has("  2                    3 000          75.0 %              32\n");
	assert_has("the busiest has 75.0 % (even: 50.0 %)\n");
	assert_has("open at most  64\n");
	for (const char *const *word =
		     (const char *const[]){ "corrected", "beside", "connect  ", "errors",
					    "TIME_WAIT", "CPU", "warm-up", "interrupted", "unsent",
					    "closed  ", "NOT", NULL };
	     *word; word++)
		assert_has_not(*word);
	assert_string_equal(shown + strlen(shown) - 6, "\ngood\n");
}

static void test_table_of_an_open_loop(void **state)
{
	(void)state;
	plan.rate = 50000;
	plan.warmup_ns = SECOND;
	plan.threads = 1;
	plan.depth = 4;
	plan.size_max = 4096;
	plan.writes = 2;
	requests(0, 999, 50000);
	histogram_record(&stats[0].corrected, SECOND);
	histogram_record(&stats[0].uncorrected, 70000);
	histogram_record(&stats[0].connecting, 30000);
	stats[0].unsent = 12;
	stats[0].connects = 1;
	show(result_print);
	assert_has("1 thread, 64 connections, 64 to 4 096 bytes in 2 writes, depth 4, "
		   "open loop at 50 000 requests/s\n");
	assert_has("10.0 s measured after 1.00 s of warm-up\n");
	assert_has("\ncorrected     50.0 µs  50.2 µs  50.2 µs  50.2 µs  50.2 µs   1.00 s");
	assert_has("\nuncorrected   50.0 µs  50.2 µs  50.2 µs  50.2 µs  50.2 µs  70.0 µs");
	assert_has("corrected: from the time at which a request was due");
	assert_has("\nconnect       30.0 µs");
	assert_has("unsent        12 that were due");
	assert_has_not("thread  ");
}

static void test_table_without_latency(void **state)
{
	(void)state;
	plan.mode = MODE_DISCARD;
	plan.threads = THREADS_MAX;
	for (int i = 0; i < THREADS_MAX; i++)
		requests((unsigned)i, 1, 5);
	show(result_print);
	assert_has("messages                  20            2.00/s\n");
	assert_has("threads       128 B to 128 B each; the busiest has 5.0 % (even: 5.0 %)\n");
	assert_has_not("latency");
	assert_has_not("p50");
	assert_has_not("share");
	assert_has_not("loop");
}

static void test_table_names_what_is_counted(void **state)
{
	(void)state;
	requests(0, 10, 5000);
	plan.mode = MODE_CHURN;
	plan.close = CLOSE_SERVER;
	stats[0].connects = 9;
	show(result_print);
	assert_has("\nconnections ");
	assert_has("64 bytes, the server closes, closed loop\n");
	assert_has_not("requests");
	assert_has_not("connects");

	plan.mode = MODE_SILENT;
	stats[1].most_open = 500;
	show(result_print);
	histogram_record(&stats[0].uncorrected, 4000);
	show(result_print);
	assert_has("\ncorrected     5.00 µs");
	assert_has("\nuncorrected   4.00 µs");
	assert_has("of a well-behaved connection beside the others");
	assert_has("connects                   9            0.90/s\n");
	assert_has("open at most  532\n");
	assert_has_not("64 bytes");
}

static void test_table_of_the_machine(void **state)
{
	(void)state;
	requests(0, 1000000, 5000);
	result.server_cpu_ns = 5 * SECOND;
	result.client_cpu_ns = 4 * SECOND;
	result.time_wait_before = 0;
	result.time_wait_after = 28231;
	result.interrupted = true;
	stats[0].closed_by_server = 34;
	show(result_print);
	assert_has("10.0 s measured, interrupted\n");
	assert_has("server CPU    5.00 s, 0.50 of one CPU; 5.00 µs per request; 39.1 s per GB\n");
	assert_has("client CPU    4.00 s, 0.40 of one CPU\n");
	assert_has("TIME_WAIT     0 before, 28 231 after: on this machine, of whichever side");
	assert_has("closed        34 by the server\n");
	assert_has_not("limits");

	result.client_cpu_ns = 19 * SECOND;
	show(result_print);
	assert_has("1.90 of one CPU; it may be the client that limits\n");

	result.cpu_window_ns = 20 * SECOND; /* what it took to read what was left */
	show(result_print);
	assert_has("server CPU    5.00 s, 0.25 of one CPU; 5.00 µs per request; ");
	assert_has("client CPU    19.0 s, 0.95 of one CPU\n");
}

static void test_table_of_errors(void **state)
{
	(void)state;
	requests(0, 10, 5000);
	stats[0].errors[STATS_RESET] = 2;
	stats[1].errors[STATS_RESET] = 1;
	stats[1].errors[STATS_WRONG_BYTES] = 1234;
	strcpy(stats[1].first_error, "byte 17 of the answer is 0x41, not 0x42");
	show(result_print);
	assert_has("errors                 1 237\n");
	assert_has("                       1 234  wrong bytes\n");
	assert_has("                           3  reset by the server\n");
	assert_has("  first: byte 17 of the answer is 0x41, not 0x42\n");
	assert_has("\nNOT good: reset by the server (3), wrong bytes (1 234)\n");
	assert_has_not("in time");
	assert_has_not("\ngood");
}

static void test_table_of_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		stats[i].window_ns = 0;
	result.server_cpu_ns = result.client_cpu_ns = result.cpu_window_ns = 0;
	show(result_print);
	assert_has("requests                   0               0/s\n");
	assert_has("\nNOT good: nothing was done\n");
	assert_has_not("nan");
	assert_has_not("inf");
}

/* ---- JSON: read by the grammar of RFC 8259; each function returns what is behind, or NULL */

static const char *read_value(const char *at);

static const char *blanks(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

static const char *read_string(const char *at)
{
	if (*at++ != '"')
		return NULL;
	for (; *at != '"'; at++) {
		if ((unsigned char)*at < 0x20)
			return NULL;
		if (*at != '\\')
			continue;
		at++;
		if (*at == 'u' && strspn(at + 1, "0123456789abcdef") >= 4)
			at += 4;
		else if (!*at || !strchr("\"\\/bfnrt", *at))
			return NULL;
	}
	return at + 1;
}

static const char *read_number(const char *at)
{
	const char *begin;

	at += *at == '-';
	begin = at;
	if (!isdigit((unsigned char)*at) || (at[0] == '0' && isdigit((unsigned char)at[1])))
		return NULL;
	at += strspn(at, "0123456789");
	if (*at == '.') {
		if (!isdigit((unsigned char)*++at))
			return NULL;
		at += strspn(at, "0123456789");
	}
	if (*at == 'e') {
		at++;
		at += *at == '+' || *at == '-';
		if (!isdigit((unsigned char)*at))
			return NULL;
		at += strspn(at, "0123456789");
	}
	return at > begin ? at : NULL;
}

static const char *read_group(const char *at, char end)
{
	at = blanks(at + 1);
	if (*at == end)
		return at + 1;
	for (;;) {
		if (end == '}') {
			at = read_string(blanks(at));
			if (!at || *(at = blanks(at)) != ':')
				return NULL;
			at++;
		}
		at = read_value(blanks(at));
		if (!at)
			return NULL;
		at = blanks(at);
		if (*at == end)
			return at + 1;
		if (*at++ != ',')
			return NULL;
	}
}

static const char *read_value(const char *at)
{
	static const char *const words[] = { "null", "true", "false" };

	if (*at == '{' || *at == '[')
		return read_group(at, *at == '{' ? '}' : ']');
	if (*at == '"')
		return read_string(at);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strncmp(at, words[i], strlen(words[i])) == 0)
			return at + strlen(words[i]);
	return read_number(at);
}

static void show_json(void)
{
	const char *end;

	show(result_print_json);
	end = read_value(shown);
	if (!end || strcmp(end, "\n") != 0)
		fail_msg("no JSON:\n%s", shown);
}

static void test_json_of_an_open_loop(void **state)
{
	(void)state;
	plan.rate = 12345.5;
	plan.server_pid = 42;
	requests(0, 1000, 123);
	histogram_record(&stats[1].corrected, SECOND);
	stats[1].errors[STATS_ANSWER_TIMEOUT] = 9;
	strcpy(stats[1].first_error, "no answer");
	result.client_cpu_ns = 77;
	result.time_wait_before = 1;
	show_json();
	for (const char *const *part =
		     (const char *const[]){
			     "{\n  \"format_version\": 1,\n  \"good\": false,\n  \"interrupted\": false,",
			     "\"mode\": \"echo\"", "\"target\": \"localhost:7\"",
			     "\"addresses\": [\n      \"127.0.0.1:7\"\n    ]", "\"sources\": [],",
			     "\"options\": {},", "\"rate\": 12345.5", "\"server_pid\": 42",
			     "\"requests\": 1000,", "\"requests_per_second\": 100,",
			     "\"corrected\": {\n      \"count\": 1001,\n      \"beyond\": 0,\n"
			     "      \"min_ns\": 123,\n      \"max_ns\": 1000000000,",
			     "\"p99_9\": 123,", "\"p99_99\": 1000000000,",
			     "\"uncorrected\": {\n      \"count\": 1000,", "\"connect\": null",
			     "\"answer_timeout\": 9,", "\"first_error\": \"no answer\"",
			     "\"server_cpu_ns\": null,\n  \"client_cpu_ns\": 77,\n"
			     "  \"cpu_window_ns\": 10000000000,\n"
			     "  \"time_wait_before\": 1,\n  \"time_wait_after\": null\n}\n",
			     NULL };
	     *part; part++)
		assert_has(*part);
}

static void test_json_is_json_in_every_mode(void **state)
{
	(void)state;
	for (int full = 0; full < 2; full++) {
		for (enum plan_mode mode = 0; mode < MODES; mode++) {
			plan.mode = mode;
			show_json();
			assert_has(full ? "\"good\": true" : "\"good\": false");
		}
		requests(0, 10, 1000);
	}
	plan.mode = MODE_CHARGEN;
	show_json();
	assert_has("\"of\": null,\n    \"corrected\": null,\n    \"uncorrected\": null");
	plan.mode = MODE_DEAF;
	show_json();
	assert_has("\"of\": \"probe\",\n    \"corrected\": {");
}

static void test_json_escapes(void **state)
{
	(void)state;
	plan.target = "a\"b\\c\nd\x7f\xc3\xa4\xff\xc3/\x01";
	strcpy(stats[0].first_error, "\"\t\xe2\x82");
	show_json();
	assert_has("\"a\\\"b\\\\c\\u000ad\\u007f\xc3\xa4\\ufffd\\ufffd/\\u0001\"");
	assert_has("\"first_error\": \"\\\"\\u0009\\ufffd\\ufffd\"");
}

static void test_json_has_no_infinity(void **state)
{
	(void)state;
	plan.rate = INFINITY;
	stats[0].window_ns = stats[1].window_ns = 0;
	requests(0, 3, INT64_MAX);
	show_json();
	assert_has("\"rate\": null");
	assert_has("\"beyond\": 3");
	assert_has("\"requests_per_second\": 0");
}

/* ---- the columns of HdrHistogram */

/* The next line, or NULL at the end. */
static char *next_line(char **rest)
{
	return strsep(rest, "\n");
}

static void test_histogram_columns(void **state)
{
	double value = 0, part = 0, inverse = 0, last_value = 0, last_part = -1;
	double mean, deviation, max;
	unsigned long long count = 0, last_count = 0, total;
	char *rest, *line;
	int rows = 0, buckets, parts;

	(void)state;
	for (int i = 1; i <= 100000; i++)
		histogram_record(&stats[0].corrected, i * 1000);
	show(result_print_histogram);
	rest = shown;
	assert_string_equal(next_line(&rest),
			    "       Value   Percentile   TotalCount 1/(1-Percentile)");
	assert_string_equal(next_line(&rest), "");
	while ((line = next_line(&rest)) && *line != '#') {
		assert_int_equal(sscanf(line, "%lf %lf %llu %lf", &value, &part, &count, &inverse),
				 4);
		assert_true(value >= last_value && part >= last_part && count >= last_count);
		/* So many are not above this value, to the precision of a bucket. */
		assert_true(fabs(value - (double)count) <= value / 128 + 1);
		assert_true((double)count >= part * 100000 - 1);
		last_value = value;
		last_part = part;
		last_count = count;
		rows++;
	}
	assert_in_range(rows, 30, 60);
	assert_true(isinf(inverse) && count == 100000);
	assert_true(fabs(value - 100000) < 1e-9 && fabs(part - 1) < 1e-9);
	assert_int_equal(sscanf(line, "#[Mean = %lf, StdDeviation = %lf]", &mean, &deviation), 2);
	assert_true(fabs(mean - 50000.5) < 0.01 && fabs(deviation - 28867.513) < 0.01);
	assert_int_equal(sscanf(next_line(&rest), "#[Max = %lf, Total count = %llu]", &max, &total),
			 2);
	assert_true(fabs(max - 100000) < 1e-9 && total == 100000);
	assert_int_equal(
		sscanf(next_line(&rest), "#[Buckets = %d, SubBuckets = %d]", &buckets, &parts), 2);
	assert_string_equal(next_line(&rest), "");
	assert_null(rest);
}

static void test_histogram_columns_of_few(void **state)
{
	(void)state;
	show(result_print_histogram);
	assert_has("\n\n       0.000     1.000000            0          inf\n"
		   "#[Mean    =        0.000, StdDeviation   =        0.000]\n"
		   "#[Max     =        0.000, Total count    =            0]\n");

	requests(0, 1, 1234567);
	show(result_print_histogram);
	assert_has("\n\n    1234.567     0.000000            1         1.00\n"
		   "    1234.567     1.000000            1          inf\n#[Mean");
}

/* ---- SVG */

/* Each element is closed in its turn, each & begins an entity, no number is a NaN or infinite. */
static void assert_is_svg(void)
{
	int depth = 0;

	assert_int_equal(strncmp(shown, "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 40), 0);
	for (const char *at = shown; (at = strchr(at, '<')); at++) {
		const char *end = strchr(at, '>');

		assert_non_null(end);
		assert_null(memchr(at + 1, '<', (size_t)(end - at - 1)));
		depth += at[1] == '/' ? -1 : end[-1] == '/' ? 0 : 1;
		assert_true(depth >= 0);
	}
	assert_int_equal(depth, 0);
	for (const char *at = shown; (at = strchr(at, '&')); at++)
		assert_true(strncmp(at, "&amp;", 5) == 0 || strncmp(at, "&lt;", 4) == 0 ||
			    strncmp(at, "&gt;", 4) == 0);
	assert_string_equal(shown + strlen(shown) - 7, "</svg>\n");
	assert_has_not("nan");
	assert_has_not("inf");
	assert_has_not("<script");
	assert_has_not("http://www.w3.org/1999/xlink");
}

/* All points of all curves are inside of the picture. */
static void assert_points_inside(size_t curves)
{
	const char *at = shown;
	double x, y, last;
	int n;

	for (; (at = strstr(at, " points=\"")); curves--) {
		last = 0;
		for (at += 9; *at != '"'; at += n) {
			assert_int_equal(sscanf(at, "%lf,%lf %n", &x, &y, &n), 2);
			assert_true(x >= last && x >= 90 && x <= 820);
			assert_true(y >= 105 && y <= 495);
			last = x;
		}
	}
	assert_int_equal(curves, 0);
}

static void test_plot_of_a_closed_loop(void **state)
{
	(void)state;
	for (int i = 1; i <= 1000; i++)
		requests(0, 1, 40000 + i * 100);
	show(result_print_plot);
	assert_is_svg();
	assert_points_inside(1);
	assert_has(">echo to localhost:7 (127.0.0.1:7)<");
	assert_has(">2 threads, 64 connections, 64 bytes, closed loop<");
	assert_has(">1 000 requests in 10.0 s, 100/s<");
	assert_has(">percentile of the requests<");
	for (const char *const *tick = (const char *const[]){ ">50 %<", ">90 %<", ">99 %<",
							      ">99.9 %<", ">0<", ">100 µs<", NULL };
	     *tick; tick++)
		assert_has(*tick);
	assert_has(">latency<");
	assert_has(">140 µs<"); /* the maximum, beside the line */
	assert_has_not("corrected");
	assert_has_not("logarithmic");
	assert_has_not("99.99 %");
}

static void test_plot_of_an_open_loop(void **state)
{
	(void)state;
	plan.rate = 1000;
	requests(0, 1000, 40000);
	histogram_record(&stats[0].corrected, SECOND);
	histogram_record(&stats[0].uncorrected, 50000);
	show(result_print_plot);
	assert_is_svg();
	assert_points_inside(2);
	assert_has(">corrected<");
	assert_has(">uncorrected<");
	assert_has(">latency, logarithmic<");
	assert_has(">10 ms<");
}

static void test_plot_of_the_unusual(void **state)
{
	static const int64_t times[] = { 0, 1, 127, 50000, SECOND, INT64_MAX };

	(void)state;
	show(result_print_plot);
	assert_is_svg();
	assert_points_inside(0);
	assert_has("no latency was measured");

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		setup(NULL);
		requests(0, 1, times[i]);
		show(result_print_plot);
		assert_is_svg();
		assert_points_inside(1);
		requests(0, 100000, times[i]);
		requests(0, 1, 0);
		show(result_print_plot);
		assert_is_svg();
		assert_points_inside(1);
	}
	plan.mode = MODE_DISCARD;
	show(result_print_plot);
	assert_is_svg();
	assert_points_inside(0);
	plan.mode = MODE_RESET;
	plan.target = "<&>\"'\xff";
	show(result_print_plot);
	assert_is_svg();
	assert_points_inside(2);
	assert_has("latency of the probe");
	assert_has(">reset to &lt;&amp;&gt;\"'\\xff (127.0.0.1:7)<");
}

/* ---- all of them */

static void test_failed_writes_are_known(void **state)
{
	static void (*const prints[])(const struct result *, FILE *) = {
		result_print,
		result_print_json,
		result_print_histogram,
		result_print_plot,
	};

	(void)state;
	requests(0, 1000, 40000);
	result_sum(&result);
	for (size_t i = 0; i < ARRAY_SIZE(prints); i++) {
		FILE *full = fopen("/dev/full", "w");

		assert_non_null(full);
		prints[i](&result, full);
		assert_true(fflush(full) != 0 && ferror(full));
		fclose(full);
	}
}

static void test_units(void **state)
{
	static const struct {
		double ns;
		const char *text;
	} times[] = {
		{ 0, "0 ns" },           { 999, "999 ns" },
		{ 999.6, "1.00 µs" },    { 9994, "9.99 µs" },
		{ 9996, "10.0 µs" },     { 99960, "100 µs" },
		{ 999499, "999 µs" },    { 999501, "1.00 ms" },
		{ 123456789, "123 ms" }, { 1500000000, "1.50 s" },
		{ 4.4e12, "4400 s" },
	};
	char text[UNITS_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		assert_string_equal(units_time(text, times[i].ns), times[i].text);
	assert_string_equal(units_bytes(text, 64), "64 B");
	assert_string_equal(units_bytes(text, 7900000), "7.90 MB");
	assert_string_equal(units_bytes(text, 1e20), "100000 PB");
	assert_string_equal(units_count(text, 0), "0");
	assert_string_equal(units_count(text, 999), "999");
	assert_string_equal(units_count(text, 1000), "1 000");
	assert_string_equal(units_count(text, UINT64_MAX), "18 446 744 073 709 551 615");
	assert_string_equal(units_of(text, 1, "request"), "1 request");
	assert_string_equal(units_of(text, 0, "request"), "0 requests");
	assert_string_equal(units_of(text, UINT64_MAX, "connection"),
			    "18 446 744 073 709 551 615 connections");
	assert_string_equal(units_number(text, 0), "0");
	assert_string_equal(units_number(text, 0.001), "0.001");
	assert_string_equal(units_number(text, 0.25), "0.25");
	assert_string_equal(units_number(text, 12.5), "12.5");
	assert_string_equal(units_number(text, 99.97), "100");
	assert_string_equal(units_number(text, 1234567.8), "1 234 568");
	assert_string_equal(units_number(text, 1e300), "18 446 744 073 709 551 615");
	assert_int_equal(units_width("12.3 µs"), 7);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_sum),
		test(test_good_needs_something_done_and_no_error),
		test(test_error_names_are_there_and_differ),
		test(test_table_of_a_closed_loop),
		test(test_table_of_an_open_loop),
		test(test_table_without_latency),
		test(test_table_names_what_is_counted),
		test(test_table_of_the_machine),
		test(test_table_of_errors),
		test(test_table_of_nothing),
		test(test_json_of_an_open_loop),
		test(test_json_is_json_in_every_mode),
		test(test_json_escapes),
		test(test_json_has_no_infinity),
		test(test_histogram_columns),
		test(test_histogram_columns_of_few),
		test(test_plot_of_a_closed_loop),
		test(test_plot_of_an_open_loop),
		test(test_plot_of_the_unusual),
		test(test_failed_writes_are_known),
		test(test_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
