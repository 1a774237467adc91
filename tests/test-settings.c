/* SPDX-License-Identifier: MIT */
/* The settings: what a file means, what is said about a wrong one, and the shipped file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "settings.h"
#include "simple-server.h"
#include "util.h"

#define SOCKETS "sockets = ( { name = \"echo\"; handler = \"echo\"; } );"

static struct settings *settings;
static struct report report;
static const struct settings_hooks *hooks;

static int setup(void **state)
{
	(void)state;
	settings = NULL;
	report = REPORT_NULL;
	hooks = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	settings = settings_unref(settings);
	report_deinit(&report);
	return 0;
}

static int load(const char *text)
{
	return settings_load_bytes("x", text, strlen(text), hooks, &settings, &report);
}

static void print_report(void)
{
	for (size_t i = 0; i < report.n_lines; i++)
		print_message("# %s\n", report.lines[i]);
}

static void must_load(const char *text)
{
	int r;

	teardown(NULL);
	r = load(text);
	print_report();
	assert_int_equal(r, 0);
	assert_int_equal(report.n_lines, 0);
	assert_non_null(settings);
}

static bool is_reported(const char *start, const char *words)
{
	for (size_t i = 0; i < report.n_lines; i++)
		if (strncmp(report.lines[i], start, strlen(start)) == 0 &&
		    strstr(report.lines[i] + strlen(start), words))
			return true;
	return false;
}

static void assert_reported(const char *start, const char *words)
{
	if (is_reported(start, words))
		return;
	print_report();
	fail_msg("missing: %s ... %s", start, words);
}

/* Refused with that one line. */
static void assert_refused(const char *text, const char *start, const char *words)
{
	teardown(NULL);
	assert_int_equal(load(text), -EINVAL);
	assert_null(settings);
	assert_reported(start, words);
	if (report.n_lines != 1)
		print_report();
	assert_int_equal(report.n_lines, 1);
	teardown(NULL);
}

/* The same for a text before good sockets. */
static void assert_top_refused(const char *top, const char *start, const char *words)
{
	auto_free char *text = NULL;

	assert_true(asprintf(&text, "%s\n%s", top, SOCKETS) > 0);
	assert_refused(text, start, words);
}

/* The same for the inner text of an entry that begins in line 2. */
static void assert_entry_refused(const char *inner, const char *start, const char *words)
{
	auto_free char *text = NULL;

	assert_true(asprintf(&text, "sockets = (\n{ name = \"a\"; handler = \"echo\";\n%s } );",
			     inner) > 0);
	assert_refused(text, start, words);
}

static const struct settings_option *option(const struct settings_socket *socket, const char *name)
{
	const struct sockopt *row = sockopt_find(name);

	assert_non_null(row);
	return &socket->options[row - sockopt_table];
}

static const struct settings_socket *find(const char *name)
{
	const struct settings_socket *socket = settings_find(settings, name);

	assert_non_null(socket);
	return socket;
}

static const struct settings_limits default_limits = { .source_prefix_v4 = 32,
						       .source_prefix_v6 = 64,
						       .burst = 100,
						       .source_burst = 10,
						       .output = 1 << 20 };
static const struct settings_timeouts default_timeouts = { .write_ms = 30000,
							   .linger_ms = 1000,
							   .header_ms = 3000 };

static void assert_limits(const struct settings_limits *a, const struct settings_limits *b)
{
	assert_int_equal(a->connections, b->connections);
	assert_int_equal(a->refuse, b->refuse);
	assert_int_equal(a->per_source, b->per_source);
	assert_int_equal(a->source_prefix_v4, b->source_prefix_v4);
	assert_int_equal(a->source_prefix_v6, b->source_prefix_v6);
	assert_int_equal(a->rate, b->rate);
	assert_int_equal(a->burst, b->burst);
	assert_int_equal(a->source_rate, b->source_rate);
	assert_int_equal(a->source_burst, b->source_burst);
	assert_true(a->bandwidth == b->bandwidth);
	assert_true(a->output == b->output);
}

static void assert_timeouts(const struct settings_timeouts *a, const struct settings_timeouts *b)
{
	assert_int_equal(a->first_byte_ms, b->first_byte_ms);
	assert_int_equal(a->idle_ms, b->idle_ms);
	assert_int_equal(a->write_ms, b->write_ms);
	assert_int_equal(a->half_closed_ms, b->half_closed_ms);
	assert_int_equal(a->lifetime_ms, b->lifetime_ms);
	assert_int_equal(a->header_ms, b->header_ms);
	assert_int_equal(a->linger_ms, b->linger_ms);
}

/* Rules are sorted: the same ones stand in the same order. */
static void assert_access(const struct access_rules *a, const struct access_rules *b)
{
	char x[ACCESS_PREFIX_MAX], y[ACCESS_PREFIX_MAX];

	assert_int_equal(a->n_prefixes, b->n_prefixes);
	for (size_t i = 0; i < a->n_prefixes; i++) {
		assert_string_equal(access_format_prefix(x, &a->prefixes[i]),
				    access_format_prefix(y, &b->prefixes[i]));
		assert_int_equal(a->prefixes[i].allow, b->prefixes[i].allow);
	}
	assert_int_equal(a->n_ids, b->n_ids);
	for (size_t i = 0; i < a->n_ids; i++) {
		assert_int_equal(a->ids[i].id, b->ids[i].id);
		assert_int_equal(a->ids[i].is_gid, b->ids[i].is_gid);
		assert_int_equal(a->ids[i].allow, b->ids[i].allow);
	}
}

static void test_defaults(void **state)
{
	const struct settings_socket *socket;

	(void)state;
	must_load("\n" SOCKETS);
	assert_string_equal(settings->path, "x");
	assert_int_equal(settings->workers, 0);
	assert_int_equal(settings->drain_ms, 5000);
	assert_int_equal(settings->max_connections, 0);
	assert_true(settings->max_output == 64 << 20);
	assert_int_equal(settings->pool_threads, 8);
	assert_int_equal(settings->callback_budget_ms, 100);
	assert_int_equal(settings->job_budget_ms, 10000);
	assert_int_equal(settings->n_sockets, 1);
	assert_int_equal(settings->n_files, 1);
	assert_string_equal(settings->files[0], "x");

	socket = find("echo");
	assert_ptr_equal(socket, settings->sockets);
	assert_string_equal(socket->handler, "echo");
	assert_null(socket->module);
	assert_null(socket->found);
	assert_null(socket->handler_settings);
	assert_true(socket->log_connections);
	assert_limits(&socket->limits, &default_limits);
	assert_timeouts(&socket->timeouts, &default_timeouts);
	assert_int_equal(socket->access.n_prefixes, 0);
	assert_int_equal(socket->access.n_ids, 0);
	assert_ptr_equal(socket->where.file, settings->files[0]);
	assert_int_equal(socket->where.line, 2);
	assert_int_equal(socket->handler_where.line, 2);
	assert_null(settings_find(settings, "ech"));

	for (size_t i = 0; i < sockopt_count; i++) {
		assert_int_equal(socket->options[i].set, *sockopt_table[i].built_in != '\0');
		assert_false(socket->options[i].explicit);
		assert_null(socket->options[i].where.file);
	}
	assert_true(option(socket, "tcp_nodelay")->set);
	assert_int_equal(option(socket, "tcp_nodelay")->value.number, 1);
}

static void test_built_in_values_are_what_they_say(void **state)
{
	char value[SOCKOPT_FORMAT_MAX];

	(void)state;
	must_load(SOCKETS);
	for (size_t i = 0; i < sockopt_count; i++)
		if (*sockopt_table[i].built_in)
			assert_string_equal(sockopt_format(value, &sockopt_table[i],
							   &find("echo")->options[i].value),
					    sockopt_table[i].built_in);
}

static void test_values(void **state)
{
	(void)state;
	must_load("workers = 1024; drain_timeout = 0.25;\n"
		  "sockets = ( { name = \"a b/~\"; handler = \"h\"; timeouts: { linger = 0.1; };\n"
		  "log: { connections = FALSE; }; } );");
	assert_int_equal(settings->workers, 1024);
	assert_int_equal(settings->drain_ms, 250);
	assert_int_equal(find("a b/~")->timeouts.linger_ms, 100);
	assert_false(find("a b/~")->log_connections);

	/* An integer is a number, and a wide one that fits is an integer. */
	must_load("workers = 7L; drain_timeout = 3600;" SOCKETS);
	assert_int_equal(settings->workers, 7);
	assert_int_equal(settings->drain_ms, 3600000);
	must_load("workers = 0x10; drain_timeout = 0L;" SOCKETS);
	assert_int_equal(settings->workers, 16);
	assert_int_equal(settings->drain_ms, 0);
	/* Rounded, not cut: 1.001 * 1000 is below 1001. */
	must_load("pool_threads = 1024; callback_budget = 3600; job_budget = 86400.0;" SOCKETS);
	assert_int_equal(settings->pool_threads, 1024);
	assert_int_equal(settings->callback_budget_ms, 3600000);
	assert_int_equal(settings->job_budget_ms, 86400000);
	must_load("pool_threads = 1; callback_budget = 0.001; job_budget = 0;" SOCKETS);
	assert_int_equal(settings->pool_threads, 1);
	assert_int_equal(settings->callback_budget_ms, 1);
	assert_int_equal(settings->job_budget_ms, 0);
	must_load("drain_timeout = 1.001;" SOCKETS);
	assert_int_equal(settings->drain_ms, 1001);
}

static void test_narrower_overrides_wider(void **state)
{
	const struct settings_socket *a, *b;

	(void)state;
	/* Where the defaults stand does not matter. */
	must_load(
		"sockets = (\n"
		" { name = \"a\"; handler = \"x\"; },\n"
		" { name = \"b\"; handler = \"y\"; timeouts: { linger = 3; };\n"
		"   options: { tcp_nodelay = true;\n so_keepalive = false; }; } );\n"
		"defaults: { timeouts: { linger = 2; }; log: { connections = false; };\n"
		"  options: { tcp_nodelay = false; so_keepalive = true; tcp_keepidle = 60; }; };\n");
	a = find("a");
	b = find("b");
	assert_int_equal(a->timeouts.linger_ms, 2000);
	assert_int_equal(b->timeouts.linger_ms, 3000);
	assert_false(a->log_connections);
	assert_false(b->log_connections);

	assert_int_equal(option(a, "tcp_nodelay")->value.number, 0);
	assert_int_equal(option(b, "tcp_nodelay")->value.number, 1);
	assert_int_equal(option(b, "so_keepalive")->value.number, 0);
	assert_true(option(b, "so_keepalive")->set);
	assert_int_equal(option(b, "tcp_keepidle")->value.number, 60);

	assert_false(option(a, "so_keepalive")->explicit);
	assert_true(option(b, "so_keepalive")->explicit);
	assert_false(option(b, "tcp_keepidle")->explicit);
	assert_int_equal(option(a, "so_keepalive")->where.line, 7);
	assert_int_equal(option(b, "so_keepalive")->where.line, 5);
	assert_int_equal(option(b, "tcp_keepidle")->where.line, 7);
	assert_ptr_equal(option(b, "tcp_keepidle")->where.file, settings->files[0]);
}

static void test_option_types(void **state)
{
	const struct settings_socket *socket;

	(void)state;
	must_load("sockets = ( { name = \"a\"; handler = \"echo\"; options: { so_linger = -1;\n"
		  "tcp_congestion = \"reno\"; so_max_pacing_rate = 5000000000L; }; } );");
	socket = find("a");
	assert_int_equal(option(socket, "so_linger")->value.number, -1);
	assert_string_equal(option(socket, "tcp_congestion")->value.string, "reno");
	assert_true(option(socket, "so_max_pacing_rate")->value.number == 5000000000);
}

static void test_unknown_keys(void **state)
{
	(void)state;
	assert_top_refused(
		"worker = 1;", "x:1: ",
		"unknown key \"worker\" at the top level of the file; did you mean \"workers\"?");
	assert_top_refused("\nDRAIN_TIMEOUT = 1;", "x:2: ", "did you mean \"drain_timeout\"?");
	assert_top_refused("banana = 1;", "x:1: ",
			   "known there: workers, drain_timeout, idle_exit, max_connections, "
			   "max_output, pool_threads, callback_budget, job_budget, defaults, "
			   "sockets");
	assert_top_refused(
		"defaults: {\nmax_conections = 1; };", "x:2: ",
		"unknown key \"max_conections\" in defaults; known there: preserve, limits, timeouts, access, "
		"proxy, log, options");
	assert_top_refused("defaults: { timeouts: { linge = 1; }; };",
			   "x:1: ", "in timeouts: { }; did you mean \"linger\"?");
	assert_top_refused("defaults: { options: { tcp_no_delay = true; }; };",
			   "x:1: ", "did you mean \"tcp_nodelay\"?");
	assert_top_refused(
		"defaults: { options: { banana = true; }; };", "x:1: ",
		"unknown key \"banana\" in options: { }; simple-server --list-options has all");
	assert_entry_refused("nmae = \"x\";", "x:3: ",
			     "unknown key \"nmae\" in an entry of sockets; did you mean \"name\"?");
	assert_entry_refused("log: { conections = true; };",
			     "x:3: ", "did you mean \"connections\"?");
}

static void test_keys_in_the_wrong_place(void **state)
{
	(void)state;
	assert_top_refused("tcp_nodelay = true;", "x:1: ", "write it in options: { }");
	assert_top_refused("linger = 1;", "x:1: ", "write it in timeouts: { }");
	assert_top_refused("connections = 1;", "x:1: ", "write it in limits: { } or in log: { }");
	assert_entry_refused("limits: { max_output = 70000; };",
			     "x:3: ", "in limits: { }; write it at the top level of the file");
	assert_top_refused("options: { };", "x:1: ", "write it in defaults or an entry of sockets");
	assert_top_refused("defaults: { name = \"x\"; };", "x:1: ",
			   "unknown key \"name\" in defaults; write it in an entry of sockets");
	assert_top_refused("defaults: { workers = 1; };",
			   "x:1: ", "write it at the top level of the file");
	assert_top_refused("defaults: { defaults: { }; };",
			   "x:1: ", "write it at the top level of the file");
	assert_entry_refused("so_keepalive = true;",
			     "x:3: ", "in an entry of sockets; write it in options: { }");
	assert_entry_refused("options: { linger = 1; };",
			     "x:3: ", "in options: { }; write it in timeouts: { }");
}

static void test_wrong_types(void **state)
{
	(void)state;
	assert_top_refused("workers = \"4\";",
			   "x:1: ", "workers is a string; write an integer from 0 to 1024");
	assert_top_refused("workers = 4.0;",
			   "x:1: ", "workers is a number with a fraction; write an integer");
	assert_top_refused("workers = true;",
			   "x:1: ", "workers is true or false; write an integer");
	assert_top_refused("workers = { };", "x:1: ", "workers is a group; write an integer");
	assert_top_refused("workers = (1);", "x:1: ", "workers is a list; write an integer");
	assert_top_refused("workers = [1];", "x:1: ", "workers is an array; write an integer");
	assert_top_refused("drain_timeout = \"5s\";", "x:1: ",
			   "drain_timeout is a string; write a number from 0.0 to 3600.0 s");
	assert_top_refused("drain_timeout = false;",
			   "x:1: ", "drain_timeout is true or false; write a number");
	assert_top_refused("defaults = ( );", "x:1: ", "defaults is a list; write a group");
	assert_top_refused("defaults = 1;", "x:1: ", "defaults is an integer; write a group");
	assert_top_refused("defaults: { options = (\n); };",
			   "x:1: ", "options is a list; write a group");
	assert_top_refused("defaults: { options: { tcp_nodelay = 1; }; };",
			   "x:1: ", "options.tcp_nodelay is an integer; write true or false");
	assert_top_refused("defaults: { options: { tcp_nodelay = \"yes\"; }; };",
			   "x:1: ", "is a string; write true or false");
	assert_top_refused(
		"defaults: { options: { tcp_keepidle = 60.0; }; };", "x:1: ",
		"options.tcp_keepidle is a number with a fraction; write an integer from 1 to ");
	assert_top_refused("defaults: { options: { tcp_keepidle = true; }; };",
			   "x:1: ", "write an integer");
	assert_top_refused("defaults: { options: { tcp_congestion = 1; }; };",
			   "x:1: ", "is an integer; write a string");
	assert_entry_refused("timeouts = 5;", "x:3: ", "timeouts is an integer; write a group");
	assert_entry_refused("log: { connections = 1; };",
			     "x:3: ", "log.connections is an integer; write true or false");
	assert_refused("sockets = { name = \"a\"; };", "x:1: ", "sockets is a group; write a list");
	assert_refused("sockets = [ ];", "x:1: ", "sockets is an array; write a list");
	assert_refused("sockets = ( { name = 5; handler = \"echo\"; } );",
		       "x:1: ", "name is an integer; write a string");
	assert_refused("sockets = ( { name = \"a\"; handler = echo; } );",
		       "x:1: ", "unexpected \"echo\"; write a value");
	assert_refused("sockets = (\n\"echo\" );",
		       "x:2: ", "an entry of sockets is a group; write { name");
	assert_refused("sockets = (\n( ) );", "x:2: ", "an entry of sockets is a group");
}

static void test_ranges(void **state)
{
	(void)state;
	assert_top_refused("workers = -1;", "x:1: ",
			   "workers = -1 is out of range; write an integer from 0 to 1024");
	assert_top_refused("workers = 1025;", "x:1: ", "out of range");
	assert_top_refused("workers = 2147483647;",
			   "x:1: ", "workers = 2147483647 is out of range");
	assert_top_refused("workers = 4294967297L;",
			   "x:1: ", "workers = 4294967297 is out of range");
	assert_top_refused(
		"drain_timeout = -0.1;", "x:1: ",
		"drain_timeout = -0.1 is out of range; write a number from 0.0 to 3600.0 s");
	assert_top_refused("drain_timeout = 3600.0001;", "x:1: ", "out of range");
	assert_top_refused("drain_timeout = 9223372036854775807L;", "x:1: ", "out of range");
	assert_top_refused("drain_timeout = 1e308;", "x:1: ", "out of range");
	assert_entry_refused(
		"timeouts: { linger = 0; };",
		"x:3: ", "timeouts.linger = 0 is out of range; write a number from 0.1 to 60.0 s");
	assert_entry_refused("timeouts: {\nlinger = 60.0004; };",
			     "x:4: ", "timeouts.linger = 60.0004 is out of range");
	assert_entry_refused(
		"options: { tcp_keepidle = 0; };",
		"x:3: ", "options.tcp_keepidle = 0 is out of range; write an integer from 1 to ");
	assert_entry_refused("options: { so_linger = -2; };", "x:3: ", "out of range");
}

static void test_numbers_that_libconfig_wraps(void **state)
{
	(void)state;
	assert_top_refused("workers = 4294967297;", "x:1: ", "32 bits; write 4294967297L");
	assert_top_refused("workers = 99999999999999999999L;", "x:1: ", "64 bits");
	assert_top_refused("workers = 0x100000001;", "x:1: ", "32 bits");
	assert_top_refused("drain_timeout = 1e400;", "x:1: ", "out of range");
	/* The key is not blamed for what stands in for its value. */
	assert_entry_refused("timeouts: { linger =\n1e400; };",
			     "x:4: ", "out of range of a double");
}

static void test_each_option_has_its_range(void **state)
{
	(void)state;
	for (size_t i = 0; i < sockopt_count; i++) {
		const struct sockopt *row = &sockopt_table[i];
		char text[128], start[] = "x:1: ";

		if (row->type == SOCKOPT_BOOL || row->type == SOCKOPT_STRING)
			continue;
		if (row->max < INT64_MAX) {
			snprintf(text, sizeof(text), "defaults: { options: { %s = %lldL; }; };",
				 row->name, (long long)row->max + 1);
			assert_top_refused(text, start, "out of range");
		}
		snprintf(text, sizeof(text), "defaults: { options: { %s = %lldL; }; };", row->name,
			 (long long)row->min - 1);
		assert_top_refused(text, start, "out of range");
		snprintf(text, sizeof(text), "defaults: { options: { %s = %lldL; }; };%s",
			 row->name, (long long)row->max, SOCKETS);
		must_load(text);
		assert_true(find("echo")->options[i].value.number == row->max);
	}
}

static void refuse_name(const char *name, const char *words)
{
	auto_free char *text = NULL;

	assert_true(asprintf(&text, "sockets = (\n{ name = \"%s\";\nhandler = \"echo\"; } );",
			     name) > 0);
	assert_refused(text, "x:2: ", words);
}

/* The group of an entry, the name of a key with a number, and its range. */
struct number {
	const char *group, *name, *min, *below, *max, *above;
	bool or_zero;
};

static const struct number numbers[] = {
	{ "limits", "connections", "0", "-1", "1000000", "1000001", false },
	{ "limits", "per_source", "0", "-1", "1000000", "1000001", false },
	{ "limits", "source_prefix_v4", "0", "-1", "32", "33", false },
	{ "limits", "source_prefix_v6", "0", "-1", "128", "129", false },
	{ "limits", "rate", "0", "-1", "100000", "100001", false },
	{ "limits", "burst", "1", "0", "100000", "100001", false },
	{ "limits", "source_rate", "0", "-1", "100000", "100001", false },
	{ "limits", "source_burst", "1", "0", "100000", "100001", false },
	{ "limits", "bandwidth", "64", "63", "1099511627776L", "1099511627777L", true },
	{ "limits", "output", "65536", "65535", "1073741824", "1073741825", false },
	{ "timeouts", "first_byte", "0.1", "0.099", "2073600.0", "2073600.1", true },
	{ "timeouts", "idle", "0.1", "0.0999", "2073600", "2073600.001", true },
	{ "timeouts", "write", "0.1", "-1", "2073600", "2073601", true },
	{ "timeouts", "half_closed", "0.1", "1e-300", "2073600", "1e10", true },
	{ "timeouts", "lifetime", "0.1", "1e-300", "2073600", "1e10", true },
	{ "proxy", "header_timeout", "0.1", "0.0999", "60", "60.001", false },
	{ "timeouts", "linger", "0.1", "0", "60", "60.1", false },
};

/* A burst needs a rate. */
static const char *partner(const char *name)
{
	return strcmp(name, "burst") == 0          ? "rate = 0; "
	       : strcmp(name, "source_burst") == 0 ? "source_rate = 0; "
						   : "";
}

static void load_number(const struct number *row, const char *value)
{
	auto_free char *text = NULL;

	assert_true(
		asprintf(&text,
			 "sockets = ( { name = \"a\"; handler = \"h\"; %s: { %s%s = %s; }; } );",
			 row->group, partner(row->name), row->name, value) > 0);
	must_load(text);
}

static void refuse_number(const struct number *row, const char *value, const char *words)
{
	auto_free char *text = NULL, *start = NULL;

	assert_true(asprintf(&text, "%s: { %s\n%s = %s; };", row->group, partner(row->name),
			     row->name, value) > 0);
	assert_true(asprintf(&start, "x:4: %s.%s ", row->group, row->name) > 0);
	assert_entry_refused(text, start, words);
}

static void test_each_limit_and_timeout_has_its_range(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		const struct number *row = &numbers[i];

		load_number(row, row->min);
		load_number(row, row->max);
		refuse_number(row, row->below, "is out of range; write ");
		refuse_number(row, row->above, "is out of range; write ");
		refuse_number(row, "\"1\"", "is a string; write ");
		refuse_number(row, "true", "is true or false; write ");
		refuse_number(row, "(1)", "is a list; write ");
		if (strcmp(row->group, "limits") == 0)
			refuse_number(row, "1.0", "is a number with a fraction; write ");
		if (row->or_zero)
			load_number(row, "0");
	}
	refuse_number(
		&numbers[8], "63",
		"= 63 is out of range; write 0, or an integer from 64 to 1099511627776 bytes/s");
	refuse_number(&numbers[10], "0.05",
		      "= 0.05 is out of range; write 0, or a number from 0.1 to 2073600.0 s");
	refuse_number(&numbers[11], "2073600.5", "= 2073600.5 is out of range");
	assert_entry_refused("limits: { bandwidth = 1099511627776; };",
			     "x:3: ", "32 bits; write 1099511627776L");

	assert_top_refused("max_connections = -1;", "x:1: ", "write an integer from 0 to 1000000");
	assert_top_refused("max_connections = 1000001;", "x:1: ", "out of range");
	assert_top_refused("max_connections = \"many\";", "x:1: ", "is a string");
	assert_top_refused(
		"max_output = 65535;", "x:1: ",
		"= 65535 is out of range; write an integer from 65536 to 68719476736 bytes");
	assert_top_refused("pool_threads = 0;", "x:1: ", "write an integer from 1 to 1024");
	assert_top_refused("callback_budget = 0.0009;",
			   "x:1: ", "write 0, or a number from 0.001 to 3600.0 s");
	assert_top_refused("job_budget = 86401;",
			   "x:1: ", "write 0, or a number from 0.001 to 86400.0 s");
	assert_top_refused("max_output = 68719476737L;", "x:1: ", "out of range");
	assert_top_refused("max_output = \"64M\";", "x:1: ", "is a string");
	assert_top_refused("max_output = 68719476736;", "x:1: ", "32 bits; write 68719476736L");
}

static void test_limits_and_timeouts(void **state)
{
	static const struct settings_limits limits = { .connections = 1,
						       .refuse = true,
						       .per_source = 1,
						       .source_prefix_v4 = 3,
						       .source_prefix_v6 = 4,
						       .rate = 5,
						       .burst = 6,
						       .source_rate = 7,
						       .source_burst = 8,
						       .bandwidth = 1LL << 40,
						       .output = 65537 };
	static const struct settings_timeouts timeouts = { .first_byte_ms = 100,
							   .idle_ms = 2000,
							   .half_closed_ms = 700,
							   .lifetime_ms = 2073600000,
							   .linger_ms = 5000,
							   .header_ms = 3000 };

	(void)state;
	must_load("max_connections = 7; max_output = 68719476736L;"
		  "sockets = ( { name = \"a\"; handler = \"h\"; limits: { connections = 1;\n"
		  "at_limit = \"refuse\"; per_source = 1; source_prefix_v4 = 3;\n"
		  "source_prefix_v6 = 4; rate = 5; burst = 6; source_rate = 7; source_burst = 8;\n"
		  "bandwidth = 1099511627776L; output = 65537; };\n"
		  "timeouts: { first_byte = 0.1; idle = 2; write = 0; lifetime = 2073600.0;\n"
		  "half_closed = 0.7; linger = 5; }; } );");
	assert_int_equal(settings->max_connections, 7);
	assert_true(settings->max_output == 1LL << 36);
	assert_limits(&find("a")->limits, &limits);
	assert_timeouts(&find("a")->timeouts, &timeouts);

	/* Key by key, not as a whole. */
	must_load("defaults: { limits: { at_limit = \"refuse\"; rate = 9; output = 70000; };\n"
		  "timeouts: { idle = 9; linger = 9; }; };\n"
		  "sockets = ( { name = \"a\"; handler = \"h\"; limits: { burst = 2; };\n"
		  "timeouts: { idle = 0; }; }, { name = \"b\"; handler = \"h\";\n"
		  "limits: { at_limit = \"wait\"; rate = 0; }; } );");
	assert_true(find("a")->limits.refuse);
	assert_int_equal(find("a")->limits.rate, 9);
	assert_int_equal(find("a")->limits.burst, 2);
	assert_true(find("a")->limits.output == 70000);
	assert_int_equal(find("a")->timeouts.idle_ms, 0);
	assert_int_equal(find("a")->timeouts.linger_ms, 9000);
	assert_false(find("b")->limits.refuse);
	assert_int_equal(find("b")->limits.rate, 0);
	assert_int_equal(find("b")->limits.burst, 100);
	assert_int_equal(find("b")->timeouts.idle_ms, 9000);
}

static void test_words(void **state)
{
	(void)state;
	assert_entry_refused(
		"limits: {\nat_limit = \"refus\"; };",
		"x:4: ", "limits.at_limit = \"refus\" is not possible; did you mean \"refuse\"?");
	assert_entry_refused("limits: { at_limit = \"Wait\"; };",
			     "x:3: ", "did you mean \"wait\"?");
	assert_entry_refused("limits: { at_limit = \"drop\"; };",
			     "x:3: ", "= \"drop\" is not possible; write \"wait\" or \"refuse\"");
	assert_entry_refused("limits: { at_limit = \"\"; };",
			     "x:3: ", "= \"\" is not possible; write \"wait\" or \"refuse\"");
	assert_entry_refused("limits: { at_limit = true; };", "x:3: ",
			     "limits.at_limit is true or false; write \"wait\" or \"refuse\"");
	assert_entry_refused("limits: { at_limit = 1; };",
			     "x:3: ", "is an integer; write \"wait\"");
}

static void test_limits_that_do_not_fit(void **state)
{
	(void)state;
	must_load("defaults: { limits: { connections = 5; per_source = 5; }; };" SOCKETS);
	must_load("defaults: { limits: { per_source = 5; }; };" SOCKETS);
	assert_entry_refused(
		"limits: { connections = 5;\nper_source = 6; };", "x:4: ",
		"limits.per_source = 6 is more than limits.connections = 5, so it would never be "
		"reached; lower it, or raise connections");
	assert_top_refused("defaults: { limits: { per_source = 6;\nconnections = 5; }; };",
			   "x:1: ", "limits.per_source = 6 is more than limits.connections = 5");
	/* One of the two in defaults: said of the other one. */
	assert_refused("defaults: { limits: { per_source = 6; }; };\nsockets = (\n"
		       "{ name = \"a\"; handler = \"h\"; },\n"
		       "{ name = \"b\"; handler = \"h\"; limits: {\nconnections = 5; }; } );",
		       "x:5: ", "limits.per_source = 6 is more than limits.connections = 5");
	assert_refused("defaults: { limits: { connections = 5; }; };\nsockets = (\n"
		       "{ name = \"b\"; handler = \"h\"; limits: {\nper_source = 6; }; } );",
		       "x:4: ", "limits.per_source = 6 is more than limits.connections = 5");

	assert_entry_refused("limits: {\nburst = 5; };", "x:4: ",
			     "limits.burst limits nothing without limits.rate; write rate as well");
	assert_entry_refused("limits: { rate = 5;\nsource_burst = 5; };", "x:4: ",
			     "limits.source_burst limits nothing without limits.source_rate");
	assert_top_refused("defaults: { limits: { burst = 5; }; };",
			   "x:1: ", "limits.burst limits nothing without limits.rate");
	/* A rate of 0 switches both off; and each may stand in the defaults. */
	must_load("defaults: { limits: { rate = 0; burst = 5; }; };" SOCKETS);
	must_load("defaults: { limits: { rate = 3; }; };\n"
		  "sockets = ( { name = \"a\"; handler = \"h\"; limits: { burst = 5; }; } );");
	must_load(
		"defaults: { limits: { burst = 5; }; };\n"
		"sockets = ( { name = \"a\"; handler = \"h\"; }, { name = \"b\"; handler = \"h\";\n"
		"limits: { rate = 3; }; } );");
	assert_int_equal(find("b")->limits.burst, 5);
}

/* As --dump writes them, to compare. */
static char *rules_of(const char *name)
{
	const struct access_rules *rules = &find(name)->access;
	char prefix[ACCESS_PREFIX_MAX], *text;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	for (size_t i = 0; i < rules->n_prefixes; i++)
		fprintf(stream, "%c%s ", rules->prefixes[i].allow ? '+' : '-',
			access_format_prefix(prefix, &rules->prefixes[i]));
	for (size_t i = 0; i < rules->n_ids; i++)
		fprintf(stream, "%c%c%u ", rules->ids[i].allow ? '+' : '-',
			rules->ids[i].is_gid ? 'g' : 'u', (unsigned)rules->ids[i].id);
	fclose(stream);
	return text;
}

static void assert_rules(const char *name, const char *expected)
{
	auto_free char *rules = rules_of(name);

	assert_string_equal(rules, expected);
}

static void test_access(void **state)
{
	(void)state;
	must_load("sockets = ( { name = \"a\"; handler = \"h\"; access: {\n"
		  "allow = ( \"192.0.2.0/24\", \"2001:db8::/32\", \"::ffff:198.51.100.7\" );\n"
		  "deny = [ \"any\", \"192.0.2.66\" ];\n"
		  "allow_uids = ( 1000, 4294967294L ); deny_uids = [ 0 ];\n"
		  "allow_gids = [ ]; deny_gids = ( 1000, 0x10 ); }; } );");
	assert_rules("a", "-192.0.2.66 +198.51.100.7 +192.0.2.0/24 +2001:db8::/32 -any "
			  "-u0 +u1000 +u4294967294 -g16 -g1000 ");
}

static void test_access_of_an_entry_replaces_that_of_defaults(void **state)
{
	(void)state;
	must_load(
		"sockets = ( { name = \"a\"; handler = \"h\"; access: { deny = ( \"::1\" ); }; },\n"
		"{ name = \"b\"; handler = \"h\"; },\n"
		"{ name = \"c\"; handler = \"h\"; access: { }; },\n"
		"{ name = \"d\"; handler = \"h\"; access: { allow = ( \"192.0.2.1\" ); }; } );\n"
		"defaults: { access: { allow = ( \"192.0.2.1\" ); deny_uids = ( 7 ); }; };");
	assert_rules("a", "-::1 ");
	assert_rules("b", "+192.0.2.1 -u7 ");
	assert_rules("c", "");
	assert_rules("d", "+192.0.2.1 ");
}

static void test_wrong_access(void **state)
{
	(void)state;
	assert_entry_refused("access = ( \"any\" );", "x:3: ", "access is a list; write a group");
	assert_entry_refused("access: { alow = ( ); };", "x:3: ", "did you mean \"allow\"?");
	assert_entry_refused("allow = ( \"any\" );", "x:3: ", "write it in access: { }");
	assert_entry_refused("access: { allow = \"192.0.2.1\"; };", "x:3: ",
			     "access.allow is a string; write a list: ( \"192.0.2.0/24\", ");
	assert_entry_refused("access: { deny = { }; };",
			     "x:3: ", "access.deny is a group; write a list");
	assert_entry_refused("access: { deny = true; };", "x:3: ", "write a list");
	assert_entry_refused("access: { allow_uids = 1000; };", "x:3: ",
			     "access.allow_uids is an integer; write a list: ( 1000, 1001 )");
	assert_entry_refused("access: { deny_gids = \"root\"; };",
			     "x:3: ", "is a string; write a list");

	assert_entry_refused("access: { allow = (\n\"192.0.2.0/24\",\n5\n); };",
			     "x:5: ", "access.allow.[1] is an integer; write an address like");
	assert_entry_refused("access: { allow = (\n( \"any\" ) ); };",
			     "x:4: ", "access.allow.[0] is a list; write an address");
	assert_entry_refused("access: { allow = ( \"300.0.2.1\" ); };", "x:3: ",
			     "access.allow.[0] = \"300.0.2.1\" is not possible; write an address");
	assert_entry_refused("access: { allow = ( \"example.org\" ); };",
			     "x:3: ", "access.allow.[0] = \"example.org\" is not possible");
	assert_entry_refused("access: { deny = ( \"192.0.2.1/24\" ); };", "x:3: ",
			     "access.deny.[0] = \"192.0.2.1/24\" has bits beyond its length; "
			     "write 192.0.2.0/24 or 192.0.2.1");
	assert_entry_refused("access: { deny = ( \"::/129\" ); };", "x:3: ", "has a wrong length");
	assert_entry_refused("access: { deny = ( \"\" ); };", "x:3: ", "is not possible");
	assert_entry_refused("access: { deny = ( \"a\\nb\" ); };", "x:3: ", "\"a\\x0ab\"");
	/* A comma is missing: strings side by side are one. */
	assert_entry_refused("access: { deny = ( \"192.0.2.1\" \"192.0.2.2\" ); };",
			     "x:3: ", "\"192.0.2.1192.0.2.2\" is not possible");

	assert_entry_refused(
		"access: { allow_uids = ( 5,\n-1 ); };", "x:4: ",
		"access.allow_uids.[1] = -1 is out of range; write an integer from 0 to "
		"4294967294");
	assert_entry_refused("access: { deny_uids = ( 4294967295L ); };", "x:3: ", "out of range");
	assert_entry_refused("access: { deny_gids = [ 4294967296L ]; };", "x:3: ", "out of range");
	assert_entry_refused("access: { allow_gids = ( \"root\" ); };",
			     "x:3: ", "access.allow_gids.[0] is a string; write an integer from 0");
	assert_entry_refused("access: { allow_gids = ( 1.5 ); };",
			     "x:3: ", "write an integer from 0");
	/* What stands in for a wrong value is not blamed. */
	assert_entry_refused("access: { allow_uids = ( 0,\n4294967294 ); };",
			     "x:4: ", "32 bits; write 4294967294L");
	assert_entry_refused("access: { allow = (\n\"\\q\" ); };",
			     "x:4: ", "unknown \"\\\" sequence");
}

static void test_rules_that_stand_twice(void **state)
{
	(void)state;
	assert_entry_refused(
		"access: { allow = ( \"192.0.2.1\",\n\"192.0.2.1/32\" ); };", "x:4: ",
		"access.allow.[1] = \"192.0.2.1/32\" has a rule already, access.allow.[0] "
		"= \"192.0.2.1\" at x:3; keep one of them");
	assert_entry_refused("access: { deny = ( \"::1\" );\nallow = ( \"any\",\n\"0::1\"\n); };",
			     "x:5: ",
			     "access.allow.[1] = \"0::1\" has a rule already, access.deny.[0] = "
			     "\"::1\" at x:3; keep one of them");
	assert_entry_refused("access: { deny = [ \"any\",\n\"any\" ]; };", "x:4: ",
			     "access.deny.[1] = \"any\" has a rule already, access.deny.[0]");
	assert_entry_refused(
		"access: { allow = ( \"192.0.2.0/24\" );\n"
		"deny = ( \"::ffff:192.0.2.0/120\" ); };",
		"x:4: ", "has a rule already, access.allow.[0] = \"192.0.2.0/24\" at x:3");
	assert_entry_refused(
		"access: { deny_uids = ( 1, 5 );\nallow_uids = ( 5 ); };", "x:4: ",
		"access.allow_uids.[0] = 5 has a rule already, access.deny_uids.[1] at "
		"x:3; keep one of them");
	assert_entry_refused(
		"access: { deny_gids = ( 7,\n0x7 ); };", "x:4: ",
		"access.deny_gids.[1] = 7 has a rule already, access.deny_gids.[0] at x:3");
	assert_entry_refused("access: { deny_gids = ( 5 );\nallow_uids = ( 5, 5 ); };", "x:4: ",
			     "access.allow_uids.[1] = 5 has a rule already, access.allow_uids.[0]");
	/* Said once, though the defaults are read twice. */
	assert_top_refused("defaults: { access: { deny = ( \"::1\",\n\"::1\" ); }; };",
			   "x:2: ", "has a rule already");
	/* A uid and a gid are two things, and a network is not its first address. */
	must_load("sockets = ( { name = \"a\"; handler = \"h\"; access: { allow_uids = ( 5 );\n"
		  "deny_gids = ( 5 ); allow = ( \"::/0\", \"::\", \"any\" );\n"
		  "deny = ( \"0.0.0.0/0\", \"::/1\" ); }; } );");
}

/* libconfig notes the line of the token behind a string. */
static void test_lines_of_strings_in_lists(void **state)
{
	(void)state;
	assert_entry_refused("access: { deny = (\n\"bad\"\n\n# more\n); };", "x:4: ", "\"bad\"");
	assert_entry_refused("access: { deny = (\n\"::1\"\n, \"bad\"\n\n, \"::2\" ); };",
			     "x:5: ", "\"bad\"");
	assert_entry_refused("access: { deny = ( \"bad\"\n\n,\n\"::1\" ); };", "x:3: ", "\"bad\"");
	assert_entry_refused("access: { deny = [ \"::1\"\n, \"bad\", \"::2\" ]; };",
			     "x:4: ", "\"bad\"");
	assert_entry_refused("access: { allow = ( \"::1\"\n); deny = ( \"bad\" ); };",
			     "x:4: ", "\"bad\"");
	assert_entry_refused("access: { allow = ( \"::1\" ); deny = [\n\"::2\",\n\"bad\"\n]; };",
			     "x:5: ", "\"bad\"");
	assert_refused("sockets = (\n\"echo\"\n);", "x:2: ", "an entry of sockets is a group");
}

static void test_names(void **state)
{
	char name[257];
	auto_free char *text = NULL;

	(void)state;
	refuse_name(
		"",
		"name = \"\" is not possible; write a string of 1 to 255 printable ASCII characters");
	refuse_name("a:b", "name = \"a:b\" is not possible");
	refuse_name("a\\nb", "name = \"a\\x0ab\" is not possible");
	refuse_name("\xc3\xa4", "name = \"\\xc3\\xa4\" is not possible");
	refuse_name("\\x7f", "is not possible");
	refuse_name("\\xff", "is not possible");
	memset(name, 'n', 256);
	name[256] = '\0';
	refuse_name(name, "is not possible");
	name[255] = '\0';
	assert_true(asprintf(&text, "sockets = ( { name = \"%s\"; handler = \"echo\"; } );", name) >
		    0);
	must_load(text);
	find(name);
	/* Strings side by side are one. */
	must_load("sockets = ( { name = \"a\" \"b\"; handler = \"echo\"; } );");
	find("ab");
	teardown(NULL);

	assert_refused("sockets = ( { name = \"a\"; handler = \"\"; } );",
		       "x:1: ", "handler = \"\" is not possible");
	assert_entry_refused("options: { tcp_congestion = \"\"; };",
			     "x:3: ", "options.tcp_congestion = \"\" is not possible");
	assert_entry_refused("options: { tcp_congestion = \"sixteen_is_long_\"; };",
			     "x:3: ", "is not possible");
	assert_entry_refused("options: { tcp_congestion = \"a b\"; };", "x:3: ", "is not possible");
	assert_entry_refused("options: { tcp_congestion = \"a\\\"b\"; };",
			     "x:3: ", "is not possible");
}

static void test_required(void **state)
{
	(void)state;
	assert_refused("workers = 1;", "x: ", "no sockets; write sockets = (");
	assert_refused("", "x: ", "nothing is configured");
	assert_refused("# x", "x: ", "nothing is configured");
	assert_refused("\nsockets = ( );", "x:2: ", "sockets is empty; write at least one");
	assert_refused("sockets = (\n{ name = \"a\"; } );",
		       "x:2: ", "has no handler; write handler = \"...\"");
	assert_refused("sockets = (\n{ handler = \"echo\"; } );",
		       "x:2: ", "has no name; write name = \"...\"");
}

static void test_duplicates(void **state)
{
	(void)state;
	assert_refused(
		"sockets = (\n{ name = \"a\"; handler = \"x\"; },\n{ name = \"b\"; handler = \"x\"; },\n{\nname = \"a\"; handler = \"y\"; } );",
		"x:5: ", "the name \"a\" is taken by the entry at x:2");
	assert_refused("workers = 1;\nworkers = 1;\n" SOCKETS,
		       "x:2: ", "\"workers\" is already set in the same place at x:1");
	assert_refused(SOCKETS "\n" SOCKETS,
		       "x:2: ", "\"sockets\" is already set in the same place at x:1");
	assert_entry_refused("options: { tcp_nodelay = true;\ntcp_nodelay = true; };",
			     "x:4: ", "\"tcp_nodelay\" is already set in the same place at x:3");
	assert_entry_refused("options: { };\noptions: { };",
			     "x:4: ", "\"options\" is already set in the same place at x:3");
}

/* What passes our grammar and not libconfig's. */
static void test_libconfig_has_the_last_word(void **state)
{
	(void)state;
	assert_top_refused("\na = [1, \"b\"];",
			   "x:2: ", "mismatched element type in array, says libconfig");
	assert_top_refused("a = [\n(1)];", "x:2: ", "syntax error, says libconfig");
}

static void test_all_problems_at_once(void **state)
{
	static const char *const expected[] = {
		"x:2: the number 99999999999 needs over 32 bits",
		"x:3: drain_timeout is true or false",
		"x:4: an entry of sockets is a group",
		"x:5: this entry of sockets has no handler",
		"x:5: unknown key \"port\"",
		"x:6: this entry of sockets has no handler",
		"x:6: the name \"a\" is taken by the entry at x:5",
		"x:8: options.tcp_nodelay is an integer",
		"x:9: unknown key \"so_keepaliv\"",
		"x:10: unknown key \"banana\"",
	};

	(void)state;
	assert_int_equal(
		load("\nworkers = 99999999999;\ndrain_timeout = true;\n"
		     "sockets = ( 5,\n{ name = \"a\"; port = 80; },\n{ name = \"a\"; } );\n"
		     "defaults: { options: {\ntcp_nodelay = 1;\nso_keepaliv = true; }; };\nbanana = 1;"),
		-EINVAL);
	print_report();
	assert_int_equal(report.n_lines, ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_memory_equal(report.lines[i], expected[i], strlen(expected[i]));
}

/* A report that already has lines is no reason to refuse. */
static void test_earlier_problems_of_others(void **state)
{
	(void)state;
	report_add(&report, "something else");
	assert_int_equal(load(SOCKETS), 0);
	assert_int_equal(report.n_lines, 1);
}

static void test_too_many_keys(void **state)
{
	auto_free char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	(void)state;
	for (int i = 0; i < 20000; i++)
		fprintf(stream, "k%d = 1;\n", i);
	fclose(stream);
	assert_refused(text, "x:257: ", "too many keys in one group; there may be 256");
}

static void test_references(void **state)
{
	(void)state;
	must_load(SOCKETS);
	assert_ptr_equal(settings_ref(settings), settings);
	assert_null(settings_unref(settings));
	assert_string_equal(settings->sockets[0].name, "echo");
	assert_null(settings_unref(NULL));
}

static void assert_same_value(const struct settings_option *a, const struct settings_option *b)
{
	assert_int_equal(a->set, b->set);
	assert_true(a->value.number == b->value.number);
	assert_string_equal(a->value.string, b->value.string);
}

static void assert_same(const struct settings *a, const struct settings *b)
{
	assert_int_equal(a->workers, b->workers);
	assert_int_equal(a->drain_ms, b->drain_ms);
	assert_int_equal(a->max_connections, b->max_connections);
	assert_true(a->max_output == b->max_output);
	assert_int_equal(a->n_sockets, b->n_sockets);
	for (size_t i = 0; i < a->n_sockets; i++) {
		const struct settings_socket *x = &a->sockets[i], *y = &b->sockets[i];

		assert_string_equal(x->name, y->name);
		assert_string_equal(x->handler, y->handler);
		assert_limits(&x->limits, &y->limits);
		assert_timeouts(&x->timeouts, &y->timeouts);
		assert_access(&x->access, &y->access);
		assert_access(&x->proxies, &y->proxies);
		assert_int_equal(x->log_connections, y->log_connections);
		for (size_t o = 0; o < sockopt_count; o++)
			assert_same_value(&x->options[o], &y->options[o]);
	}
}

static char *dump(void)
{
	size_t size;
	char *text;
	FILE *stream = open_memstream(&text, &size);

	settings_dump(settings, stream);
	fclose(stream);
	return text;
}

static void test_dump_loads_again(void **state)
{
	auto_free char *first = NULL, *second = NULL;
	struct settings *original;

	(void)state;
	must_load(
		"workers = 3; drain_timeout = 0.125;\n"
		"defaults: { timeouts: { linger = 59.999; }; options: { tcp_nodelay = false; }; };\n"
		"sockets = ( { name = \"a \\\"\\\\ b\"; handler = \"echo\"; log: { connections = false; };\n"
		"  options: { tcp_congestion = \"reno\"; so_linger = -1; so_keepalive = true;\n"
		"             so_max_pacing_rate = 5000000000L; }; },\n"
		"  { name = \"b\"; handler = \"echo\"; } );");
	original = steal(&settings);
	settings = original;
	first = dump();
	settings = NULL;
	must_load(first);
	assert_same(original, settings);
	settings_unref(original);

	assert_non_null(strstr(first, "drain_timeout = 0.125;\n"));
	assert_non_null(strstr(first, "linger = 59.999;\n"));
	assert_non_null(strstr(first, "tcp_nodelay = false; # x:2\n"));
	assert_non_null(strstr(first, "tcp_congestion = \"reno\"; # x:4\n"));
	second = dump();
	assert_int_equal(strlen(first) > 0, strlen(second) > 0);
}

static void test_dump_of_limits_and_access(void **state)
{
	auto_free char *first = NULL;
	struct settings *original;

	(void)state;
	must_load(
		"max_connections = 9; max_output = 68719476736L;\n"
		"defaults: { limits: { connections = 8; at_limit = \"refuse\"; per_source = 7;\n"
		"source_prefix_v4 = 6; source_prefix_v6 = 5; rate = 4; burst = 3; source_rate = 2;\n"
		"source_burst = 1; bandwidth = 2147483648L; output = 1073741824; };\n"
		"timeouts: { first_byte = 0.123; idle = 1.5; write = 0; lifetime = 2073600; };\n"
		"access: { deny = ( \"any\", \"192.0.2.66\" ); allow = ( \"192.0.2.0/24\",\n"
		"\"2001:db8::/32\", \"0.0.0.0/0\", \"::/0\" ); deny_uids = ( 4294967294L, 1 );\n"
		"allow_gids = ( 2 ); }; proxy: { from = ( \"10.0.0.0/8\" ); header_timeout = 1; }; };\n"
		"sockets = ( { name = \"a\"; handler = \"h\"; }, { name = \"b\"; handler = \"h\";\n"
		"access: { deny = ( \"::1\" ); allow_uids = ( 3 ); }; } );");
	original = settings;
	first = dump();
	settings = NULL;
	must_load(first);
	assert_same(original, settings);
	settings_unref(original);

	assert_non_null(strstr(first, "max_output = 68719476736L;\n"));
	assert_non_null(strstr(first, "at_limit = \"refuse\";\n"));
	assert_non_null(strstr(first, "bandwidth = 2147483648L;\n"));
	assert_non_null(strstr(first, "output = 1073741824;\n"));
	assert_non_null(strstr(first, "first_byte = 0.123;\n"));
	assert_non_null(strstr(first, "allow = ( \"192.0.2.0/24\", \"0.0.0.0/0\", "
				      "\"2001:db8::/32\", \"::/0\" );\n"));
	assert_non_null(strstr(first, "deny_uids = ( 1, 4294967294L );\n"));
	assert_non_null(strstr(first, "allow_uids = ();\n"));
	assert_non_null(strstr(first, "allow_uids = ( 3 );\n"));
}

static void test_dump_says_what_is_built_in(void **state)
{
	auto_free char *text = NULL;

	(void)state;
	must_load(SOCKETS);
	text = dump();
	assert_non_null(strstr(text, "tcp_nodelay = true; # built in\n"));
	assert_null(strstr(text, "so_keepalive"));
}

/* Every option with its largest value, so that each format is written and read once. */
static void test_dump_of_all_options(void **state)
{
	auto_free char *text = NULL, *first = NULL;
	struct settings *original;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	(void)state;
	fputs("defaults: { options: {\n", stream);
	for (size_t i = 0; i < sockopt_count; i++) {
		const struct sockopt *row = &sockopt_table[i];

		if (row->type == SOCKOPT_BOOL)
			fprintf(stream, "%s = true;\n", row->name);
		else if (row->type == SOCKOPT_STRING)
			fprintf(stream, "%s = \"%.*s\";\n", row->name, (int)row->max,
				"lo0123456789abcdef");
		else
			fprintf(stream, "%s = %lldL;\n", row->name, (long long)row->max);
	}
	fputs("}; };" SOCKETS, stream);
	fclose(stream);
	must_load(text);
	original = steal(&settings);
	settings = original;
	first = dump();
	settings = NULL;
	must_load(first);
	assert_same(original, settings);
	settings_unref(original);
}

/* A handler with a key of each type, as a module has them. */
struct sample {
	bool flag;
	int int_flag, number, time, word;
	int64_t large, long_time;
	const char *text, *none;
};

static const char *const sample_words[] = { "round", "with \"quotes\"", NULL };

static const struct ss_key sample_keys[] = {
	SS_BOOL(struct sample, flag, true, "a flag"),
	SS_BOOL(struct sample, int_flag, false, "another"),
	SS_INTEGER(struct sample, number, -5, 5, -1, "apples", "a number"),
	SS_INTEGER(struct sample, large, INT64_MIN, INT64_MAX, INT64_C(1) << 33, "", "a number"),
	SS_SECONDS(struct sample, time, 1, 60000, 1500, "a time"),
	SS_SECONDS(struct sample, long_time, 0, INT64_C(1) << 53, 0, "a time"),
	SS_WORD(struct sample, word, sample_words, 1, "a word"),
	SS_STRING(struct sample, text, 0, 20, "a \"b\" \\", "a text"),
	SS_STRING(struct sample, none, 1, 20, NULL, "nothing by itself"),
	SS_NO_MORE_KEYS,
};

static int checks; /* how often sample_check() was called */

static int sample_check(const void *of, char *problem, size_t size)
{
	const struct sample *sample = of;

	checks++;
	if (sample->number == 4)
		snprintf(problem, size, "number is %d, and that is too even", sample->number);
	return sample->number == 4 ? -EINVAL : sample->number == 3 ? -ENOENT : 0;
}

static const char *const sample_counters[] = { "hits", "misses", NULL };

static const struct ss_handler sample_handler = {
	.name = "sample",
	.keys = sample_keys,
	.settings_size = sizeof(struct sample),
	.counters = sample_counters,
	.check = sample_check,
};

static const struct ss_handler bare_handler = { .name = "bare" };

static char seen[256]; /* what the hooks were called with */

static const struct ss_handler *sample_find(void *context, const struct settings_socket *section,
					    struct report *to)
{
	size_t n = strlen(seen);

	assert_ptr_equal(context, seen);
	snprintf(seen + n, sizeof(seen) - n, "find %s %s:%d %s:%d;", section->handler,
		 section->module ? section->module : "-", section->handler_where.line,
		 section->module_where.file ? section->module_where.file : "-",
		 section->module_where.line);
	if (strcmp(section->handler, "bare") == 0)
		return &bare_handler;
	if (strcmp(section->handler, "sample") == 0 || section->module)
		return &sample_handler;
	report_add(to, "there is no %s", section->handler);
	return NULL;
}

static void sample_section(const struct settings_socket *section, struct report *to)
{
	size_t n = strlen(seen);

	(void)to;
	snprintf(seen + n, sizeof(seen) - n, "check %s %s;", section->name, section->found->name);
}

static const struct settings_hooks sample_hooks = { .find = sample_find,
						    .check = sample_section,
						    .context = seen };

static void use_hooks(void)
{
	hooks = &sample_hooks;
	seen[0] = '\0';
	checks = 0;
}

static void test_where_the_handler_is(void **state)
{
	(void)state;
	assert_refused("sockets = (\n{ name = \"a\";\nhandler = \"module\"; } );", "x:3: ",
		       "handler = \"module\" does not say which; write module = \"NAME.so\"");
	assert_entry_refused("module = \"a.so\";", "x:3: ",
			     "module = \"a.so\" is not used by handler = \"echo\"; write handler = "
			     "\"module\", or remove this line");
	assert_entry_refused("module = \"\";",
			     "x:3: ", "write a string of 1 to 4095 printable ASCII characters");
	assert_entry_refused("module = 1;", "x:3: ", "module is an integer");
	assert_entry_refused("settings = 1;", "x:3: ", "settings is an integer; write a group");
	assert_top_refused("module = \"a.so\";", "x:1: ", "write it in an entry of sockets");
	assert_top_refused("defaults: { settings: { }; };",
			   "x:1: ", "write it in an entry of sockets");
	must_load("sockets = ( { settings: { any = 1; }; module = \"/a b/c.so\"; name = \"a\"; "
		  "handler = \"module\"; } );");
	assert_string_equal(find("a")->module, "/a b/c.so");
	assert_int_equal(find("a")->module_where.line, 1);
	assert_null(find("a")->handler_settings);
}

/* It is found before its keys are read and the section is checked, wherever in the entry it is. */
static void test_handler_of_a_section(void **state)
{
	(void)state;
	use_hooks();
	must_load("sockets = ( { settings: { number = 1; };\n module = \"m\"; name = \"a\";\n"
		  "handler = \"module\"; },\n { name = \"b\"; handler = \"bare\"; } );");
	assert_string_equal(seen, "find module m:3 x:2;check a sample;"
				  "find bare -:4 -:0;check b bare;");
	assert_ptr_equal(find("a")->found, &sample_handler);
	assert_ptr_equal(find("b")->found, &bare_handler);
	assert_null(find("b")->handler_settings);
	assert_int_equal(((struct sample *)find("a")->handler_settings)->number, 1);

	use_hooks();
	assert_refused(
		"sockets = ( { name = \"a\"; handler = \"module\"; settings: { x = 1; }; } );",
		"x:1: ", "does not say which");
	assert_string_equal(seen, "");
	/* Of a handler that is not there nothing more is said. */
	assert_refused("sockets = ( { name = \"a\"; handler = \"c\"; settings: { x = 1; }; } );",
		       "there is no c", "");
	assert_string_equal(seen, "find c -:1 -:0;");
}

static void test_keys_of_a_handler(void **state)
{
	const struct sample *sample;

	(void)state;
	use_hooks();
	must_load("sockets = ( { name = \"a\"; handler = \"sample\"; },\n"
		  "{ name = \"b\"; handler = \"sample\"; settings: { flag = false; "
		  "int_flag = true; number = -5; large = -9223372036854775807L; time = 0.001; "
		  "long_time = 86400; word = \"round\"; text = \"\"; none = \"x y\"; }; } );");
	assert_int_equal(checks, 2);
	sample = find("a")->handler_settings;
	assert_true(sample->flag);
	assert_int_equal(sample->int_flag, 0);
	assert_int_equal(sample->number, -1);
	assert_true(sample->large == INT64_C(1) << 33);
	assert_int_equal(sample->time, 1500);
	assert_true(sample->long_time == 0);
	assert_int_equal(sample->word, 1);
	assert_string_equal(sample->text, "a \"b\" \\");
	assert_null(sample->none);

	sample = find("b")->handler_settings;
	assert_false(sample->flag);
	assert_int_equal(sample->int_flag, 1);
	assert_int_equal(sample->number, -5);
	assert_true(sample->large == -INT64_MAX);
	assert_int_equal(sample->time, 1);
	assert_true(sample->long_time == 86400000);
	assert_int_equal(sample->word, 0);
	assert_string_equal(sample->text, "");
	assert_string_equal(sample->none, "x y");
}

/* `inner` is the group of an entry in line 2, from line 3 on. */
static void assert_keys_refused(const char *handler, const char *inner, const char *start,
				const char *words)
{
	auto_free char *text = NULL;

	assert_true(
		asprintf(&text,
			 "sockets = (\n{ name = \"a\"; handler = \"%s\"; settings: {\n%s }; } );",
			 handler, inner) > 0);
	use_hooks();
	assert_refused(text, start, words);
}

static void test_wrong_keys_of_a_handler(void **state)
{
	(void)state;
	assert_keys_refused("sample", "flag = 1;",
			    "x:3: ", "settings.flag is an integer; write true or false");
	assert_int_equal(checks, 0); /* the handler does not see what is wrong */
	assert_keys_refused(
		"sample", "\nnumber = 6;", "x:4: ",
		"settings.number = 6 is out of range; write an integer from -5 to 5 apples");
	assert_keys_refused(
		"sample", "time = 0;",
		"x:3: ", "settings.time = 0 is out of range; write a number from 0.001 to 60.0 s");
	assert_keys_refused("sample", "word = \"rond\";", "x:3: ",
			    "settings.word = \"rond\" is not possible; did you mean \"round\"?");
	assert_keys_refused("sample", "text = \"012345678901234567890\";",
			    "x:3: ", "write a string of 0 to 20 printable ASCII characters");
	assert_keys_refused("sample", "text = \"\xc3\xa4\";",
			    "x:3: ", "settings.text = \"\\xc3\\xa4\"");
	assert_keys_refused("sample", "none = \"\";", "x:3: ", "write a string of 1 to 20");
	assert_keys_refused("sample", "numbr = 1;", "x:3: ",
			    "unknown key \"numbr\" in settings: { }; did you mean \"number\"?");
	assert_keys_refused("sample", "banana = 1;", "x:3: ",
			    "in settings: { }; known there: flag, int_flag, number, large, time, "
			    "long_time, word, text, none");
	assert_keys_refused("sample", "handler = \"a\";",
			    "x:3: ", "write it in an entry of sockets");
	assert_keys_refused("sample", "number = 1; number = 2;", "x:3: ", "number");
	assert_keys_refused("sample", "number: { };", "x:3: ", "settings.number is a group");
	assert_keys_refused(
		"bare", "number = 1;", "x:3: ",
		"unknown key \"number\" in settings: { }; the handler has no keys of its own");

	/* All of them are told, and those of other groups. */
	use_hooks();
	assert_int_equal(load("sockets = ( { name = \"a\"; handler = \"sample\";\n"
			      "settings: { flag = 1;\n none = 2; none2 = 3; };\n lmits: { }; } );"),
			 -EINVAL);
	assert_int_equal(report.n_lines, 4);
	assert_reported("x:2: ", "settings.flag");
	assert_reported("x:3: ", "settings.none is");
	assert_reported("x:3: ", "\"none2\"");
	assert_reported("x:4: ", "\"lmits\"");
}

static void test_handler_checks(void **state)
{
	(void)state;
	assert_keys_refused(
		"sample", "number = 4;",
		"x:2: ", "settings of the handler \"sample\": number is 4, and that is too even");
	assert_keys_refused("sample", "number = 3;", "x:2: ",
			    "settings of the handler \"sample\": No such file or directory");
	assert_int_equal(checks, 1);
}

/* What stands behind a value: where it comes from differs when a dump is loaded. */
static void strip_comments(char *text)
{
	char *out = text;

	for (char *at = text; *at; at++) {
		if (strncmp(at, "; # ", 4) == 0)
			at += strcspn(at, "\n");
		*out++ = *at;
	}
	*out = '\0';
}

static void test_dump_of_keys_of_a_handler(void **state)
{
	auto_free char *first = NULL, *second = NULL;
	static const char text[] =
		"sockets = ( { name = \"a\"; handler = \"module\"; module = \"a b.so\"; },\n"
		"{ name = \"b\"; handler = \"sample\"; settings: { none = \"\\\"\\\\\"; "
		"large = -5000000000L; time = 2.5; }; },\n"
		"{ name = \"c\"; handler = \"bare\"; settings: { }; } );";

	(void)state;
	use_hooks();
	must_load(text);
	first = dump();
	assert_non_null(strstr(first, "\t\tmodule = \"a b.so\";\n"));
	assert_non_null(strstr(first, "\t\t# counters: hits, misses\n\t\tsettings: {\n"));
	assert_non_null(
		strstr(first, "\t\t\tnumber = -1; # a number: an integer from -5 to 5 apples\n"));
	assert_non_null(strstr(first, "\t\t\tlarge = 8589934592L; # "));
	assert_non_null(strstr(first, "\t\t\tlarge = -5000000000L; # "));
	assert_non_null(
		strstr(first, "\t\t\ttime = 2.5; # a time: a number from 0.001 to 60.0 s\n"));
	assert_non_null(strstr(first, "\t\t\tword = \"with \\\"quotes\\\"\"; # "));
	assert_non_null(strstr(first, "\t\t\ttext = \"a \\\"b\\\" \\\\\"; # a text: "));
	assert_non_null(strstr(first, "\t\t\tnone = \"\\\"\\\\\"; # "));
	assert_non_null(strstr(first, "\t\t\t// none = ; # nothing by itself: "));

	must_load(first);
	second = dump();
	assert_string_equal(find("b")->name, "b");
	assert_string_equal(((struct sample *)find("b")->handler_settings)->none, "\"\\");
	assert_null(((struct sample *)find("a")->handler_settings)->none);
	strip_comments(first);
	strip_comments(second);
	assert_string_equal(first, second);
}

static void shipped_path(char *out, size_t size)
{
	const char *srcdir = getenv("top_srcdir");

	if (!srcdir)
		srcdir = getenv("srcdir");
	snprintf(out, size, "%s/etc/simple-server.conf", srcdir ? srcdir : ".");
}

static char *read_shipped(void)
{
	char path[4096], line[1024];
	size_t size;
	char *text;
	FILE *file, *stream = open_memstream(&text, &size);

	shipped_path(path, sizeof(path));
	file = fopen(path, "re");
	if (!file)
		fail_msg("%s is not there; set top_srcdir", path);
	while (fgets(line, sizeof(line), file))
		fputs(line, stream);
	fclose(file);
	fclose(stream);
	return text;
}

/* What `sed 's,^\([[:blank:]]*\)//,\1,'` does, in place. */
static void uncomment(char *text)
{
	char *out = text, *at = text;

	while (*at) {
		size_t blanks = strspn(at, " \t"), rest;

		memmove(out, at, blanks);
		out += blanks;
		at += blanks;
		if (strncmp(at, "//", 2) == 0)
			at += 2;
		rest = strcspn(at, "\n");
		rest += at[rest] == '\n';
		memmove(out, at, rest);
		out += rest;
		at += rest;
	}
	*out = '\0';
}

static void test_shipped_file_is_the_defaults(void **state)
{
	char path[4096];
	struct settings *defaults;

	(void)state;
	must_load(SOCKETS);
	defaults = steal(&settings);
	shipped_path(path, sizeof(path));
	assert_int_equal(settings_load(path, NULL, &settings, &report), 0);
	assert_same(defaults, settings);
	assert_string_equal(settings->path, path);
	settings_unref(defaults);
}

/* The values behind the comment marks are the defaults; those of the kernel are only shown. */
static void test_shipped_file_shows_the_defaults(void **state)
{
	auto_free char *text = read_shipped();
	struct settings *defaults;
	const struct settings_socket *was, *is;

	(void)state;
	must_load(SOCKETS);
	defaults = steal(&settings);
	uncomment(text);
	must_load(text);

	assert_int_equal(settings->workers, defaults->workers);
	assert_int_equal(settings->drain_ms, defaults->drain_ms);
	assert_int_equal(settings->max_connections, defaults->max_connections);
	assert_true(settings->max_output == defaults->max_output);
	assert_int_equal(settings->pool_threads, defaults->pool_threads);
	assert_int_equal(settings->callback_budget_ms, defaults->callback_budget_ms);
	assert_int_equal(settings->job_budget_ms, defaults->job_budget_ms);
	assert_int_equal(settings->n_sockets, 6);
	for (size_t i = 1; i < 5; i++) /* entries for the other units, off as shipped */
		assert_string_equal(settings->sockets[i].name, settings->sockets[i].handler);
	assert_string_equal(settings->sockets[5].handler, "module");
	was = &defaults->sockets[0];
	is = find("echo");
	assert_limits(&is->limits, &was->limits);
	assert_timeouts(&is->timeouts, &was->timeouts);
	assert_access(&is->access, &was->access);
	assert_int_equal(is->log_connections, was->log_connections);
	for (size_t i = 0; i < sockopt_count; i++) {
		if (!is->options[i].set)
			fail_msg("%s is not shown", sockopt_table[i].name);
		if (was->options[i].set)
			assert_same_value(&was->options[i], &is->options[i]);
	}
	settings_unref(defaults);
}

/* How many lines set the key, behind a comment mark or not. */
static int count_lines(const char *text, const char *key)
{
	size_t length = strlen(key);
	int n = 0;

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *at = line + strspn(line, " \t");

		if (strncmp(at, "//", 2) == 0)
			at += 2;
		at += strspn(at, " \t");
		if (strncmp(at, key, length) == 0 &&
		    strncmp(at + length + strspn(at + length, " "), "=", 1) == 0)
			n++;
	}
	return n;
}

static char *list_options(void)
{
	size_t size;
	char *text;
	FILE *stream = open_memstream(&text, &size);

	settings_list_options(stream);
	fclose(stream);
	return text;
}

/* How many lines of the list of options are about a key of this name, in whatever group. */
static int count_keys(const char *list, const char *key)
{
	size_t length = strlen(key);
	int n = 0;

	for (const char *line = list; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t name = strcspn(line, " "), dot = strcspn(line, ".");
		const char *at = dot < name ? line + dot + 1 : line;

		n += strncmp(at, key, length) == 0 && at[length] == ' ';
	}
	return n;
}

static void test_shipped_file_has_each_key_once(void **state)
{
	auto_free char *text = read_shipped(), *list = list_options(), *keys = strdup(list);
	int n = 0;

	(void)state;
	for (char *line = strtok(keys, "\n"); line; line = strtok(NULL, "\n"), n++) {
		char *key = line;

		if (strstr(line, " group ")) /* not written with a "=" */
			continue;
		line[strcspn(line, " ")] = '\0';
		if (strchr(key, '.'))
			key = strchr(key, '.') + 1;
		if (count_lines(text, key) != count_keys(list, key))
			fail_msg("%s stands there %d times", key, count_lines(text, key));
	}
	assert_int_equal(n, 39 + sockopt_count);
}

static void test_shipped_file_explains_the_options_as_the_table_does(void **state)
{
	auto_free char *text = read_shipped();

	(void)state;
	for (size_t i = 0; i < sockopt_count; i++)
		if (!strstr(text, sockopt_table[i].help))
			fail_msg("%s: no line \"# %s\"", sockopt_table[i].name,
				 sockopt_table[i].help);
}

static void test_list_of_options(void **state)
{
	auto_free char *text = list_options();

	(void)state;
	assert_non_null(strstr(text, "workers "));
	assert_non_null(strstr(text, "0..1024"));
	assert_non_null(strstr(text, "0.1..60.0 "));
	assert_non_null(strstr(text, " 0|64..1099511627776 "));
	assert_non_null(strstr(text, " 0|0.1..2073600.0 "));
	assert_non_null(strstr(text, " wait|refuse "));
	assert_non_null(strstr(text, " \"wait\" "));
	assert_non_null(strstr(text, " integers "));
	assert_non_null(strstr(text, "\naccess.allow "));
	assert_non_null(strstr(text, "\nmodule "));
	assert_non_null(strstr(text, "\nsettings "));
	assert_non_null(strstr(text, "\noptions.tcp_nodelay "));
	assert_non_null(strstr(text, " required "));
	assert_non_null(strstr(text, " kernel "));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_defaults),
		TEST(test_built_in_values_are_what_they_say),
		TEST(test_values),
		TEST(test_narrower_overrides_wider),
		TEST(test_option_types),
		TEST(test_unknown_keys),
		TEST(test_keys_in_the_wrong_place),
		TEST(test_wrong_types),
		TEST(test_ranges),
		TEST(test_numbers_that_libconfig_wraps),
		TEST(test_each_option_has_its_range),
		TEST(test_each_limit_and_timeout_has_its_range),
		TEST(test_limits_and_timeouts),
		TEST(test_words),
		TEST(test_limits_that_do_not_fit),
		TEST(test_access),
		TEST(test_access_of_an_entry_replaces_that_of_defaults),
		TEST(test_wrong_access),
		TEST(test_rules_that_stand_twice),
		TEST(test_lines_of_strings_in_lists),
		TEST(test_names),
		TEST(test_required),
		TEST(test_duplicates),
		TEST(test_libconfig_has_the_last_word),
		TEST(test_all_problems_at_once),
		TEST(test_earlier_problems_of_others),
		TEST(test_too_many_keys),
		TEST(test_references),
		TEST(test_dump_loads_again),
		TEST(test_dump_of_limits_and_access),
		TEST(test_dump_says_what_is_built_in),
		TEST(test_dump_of_all_options),
		TEST(test_where_the_handler_is),
		TEST(test_handler_of_a_section),
		TEST(test_keys_of_a_handler),
		TEST(test_wrong_keys_of_a_handler),
		TEST(test_handler_checks),
		TEST(test_dump_of_keys_of_a_handler),
		TEST(test_shipped_file_is_the_defaults),
		TEST(test_shipped_file_shows_the_defaults),
		TEST(test_shipped_file_has_each_key_once),
		TEST(test_shipped_file_explains_the_options_as_the_table_does),
		TEST(test_list_of_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
