/* SPDX-License-Identifier: MIT */
/* The command line of simple-client: what is taken, what is refused, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include "client/plan.h"
#include "util.h"

#define ARGUMENTS_MAX 64
#define TARGET        "127.0.0.1:7777"

static struct plan plan;
static struct report report;
static char *arguments[ARGUMENTS_MAX + 1];
static char line[4096];

static int teardown(void **state)
{
	(void)state;
	plan_deinit(&plan);
	report_deinit(&report);
	return 0;
}

/* Words are separated by one blank. */
static int parse(const char *words)
{
	int n = 0;

	teardown(NULL);
	snprintf(line, sizeof(line), "simple-client %s", words);
	for (char *rest = line, *word; (word = strsep(&rest, " "));) {
		assert_true(n < ARGUMENTS_MAX);
		arguments[n++] = word;
	}
	arguments[n] = NULL;
	return plan_parse(&plan, n, arguments, &report);
}

static void takes(const char *words)
{
	int r = parse(words);

	if (report.n_lines)
		print_error("%s: %s\n", words, report.lines[0]);
	assert_int_equal(r, PLAN_RUN);
	assert_int_equal(report.n_lines, 0);
}

/* One line, and this one. */
static void refuses(const char *words, const char *says)
{
	assert_int_equal(parse(words), -EINVAL);
	if (report.n_lines != 1 || strcmp(report.lines[0], says) != 0)
		for (size_t i = 0; i < report.n_lines; i++)
			print_error("%s: %s\n", words, report.lines[i]);
	assert_int_equal(report.n_lines, 1);
	assert_string_equal(report.lines[0], says);
	assert_null(plan.addresses);
}

/* One line, with this in it. */
static void refuses_like(const char *words, const char *part)
{
	assert_int_equal(parse(words), -EINVAL);
	assert_int_equal(report.n_lines, 1);
	if (!strstr(report.lines[0], part))
		print_error("%s: %s\n", words, report.lines[0]);
	assert_non_null(strstr(report.lines[0], part));
}

static void address_is(const struct plan_address *address, const char *text)
{
	char shown[PLAN_ADDRESS_MAX];

	assert_string_equal(plan_address_format(shown, address), text);
}

static const struct plan_option *option(const char *name)
{
	for (size_t i = 0; i < plan.n_options; i++)
		if (strcmp(plan.options[i].row->name, name) == 0)
			return &plan.options[i];
	return NULL;
}

static void test_defaults(void **state)
{
	(void)state;
	takes(TARGET);
	assert_int_equal(plan.mode, MODE_ECHO);
	assert_string_equal(plan.target, TARGET);
	assert_int_equal(plan.n_addresses, 1);
	address_is(&plan.addresses[0], TARGET);
	assert_int_equal(plan.n_sources, 0);
	assert_int_equal(plan.threads, 1);
	assert_int_equal(plan.connections, 1);
	assert_int_equal(plan.depth, 1);
	assert_int_equal(plan.connecting, 128);
	assert_int_equal(plan.size_min, 64);
	assert_int_equal(plan.size_max, 64);
	assert_int_equal(plan.writes, 1);
	assert_int_equal(plan.duration_ns, 10000000000);
	assert_int_equal(plan.warmup_ns, 0);
	assert_int_equal(plan.count, 0);
	assert_true(plan.rate <= 0);
	assert_int_equal(plan.interval_ns, 1000000000);
	assert_int_equal(plan.timeout_ns, 10000000000);
	assert_int_equal(plan.close, CLOSE_CLIENT);
	assert_int_equal(plan.seed, 1);
	assert_int_equal(plan.server_pid, 0);
	assert_false(plan.json);
	assert_false(plan.quiet);
	assert_null(plan.histogram_file);
	assert_null(plan.plot_file);
}

static void test_long_options(void **state)
{
	(void)state;
	takes("--mode=echo --connections=5000 --threads 2 --size 1k-64k --depth 16 --writes 3 "
	      "--rate 2500.5 --duration 0.25 --warmup 1 --timeout 3600 "
	      "--connecting 7 --seed 0xfeed --server-pid 1 --json --quiet --histogram h --plot p "
	      "--source 127.0.0.2 --option tcp_nodelay=false " TARGET);
	assert_int_equal(plan.connections, 5000);
	assert_int_equal(plan.threads, 2);
	assert_int_equal(plan.size_min, 1024);
	assert_int_equal(plan.size_max, 65536);
	assert_int_equal(plan.depth, 16);
	assert_int_equal(plan.writes, 3);
	assert_true(plan.rate > 2500.4999 && plan.rate < 2500.5001);
	assert_int_equal(plan.duration_ns, 250000000);
	assert_int_equal(plan.warmup_ns, 1000000000);
	assert_int_equal(plan.timeout_ns, 3600000000000);
	assert_int_equal(plan.connecting, 7);
	assert_int_equal(plan.seed, 0xfeed);
	assert_int_equal(plan.server_pid, 1);
	assert_true(plan.json);
	assert_true(plan.quiet);
	assert_string_equal(plan.histogram_file, "h");
	assert_string_equal(plan.plot_file, "p");
	assert_int_equal(plan.n_sources, 1);
	assert_int_equal(option("tcp_nodelay")->value.number, 0);
}

static void test_short_options(void **state)
{
	(void)state;
	takes("-m churn -c8 -t 2 -s 4 -n 1000 -r 10 -q -o so_keepalive=true " TARGET);
	assert_int_equal(plan.mode, MODE_CHURN);
	assert_int_equal(plan.connections, 8);
	assert_int_equal(plan.threads, 2);
	assert_int_equal(plan.size_max, 4);
	assert_int_equal(plan.count, 1000);
	assert_int_equal(plan.duration_ns, 0);
	assert_true(plan.quiet);
	assert_int_equal(option("so_keepalive")->value.number, 1);
	takes("-d 3 -- " TARGET);
	assert_int_equal(plan.duration_ns, 3000000000);
	/* The address may stand in front, and the last of two counts. */
	takes(TARGET " -c 3 -c 4");
	assert_int_equal(plan.connections, 4);
}

static void test_modes(void **state)
{
	char words[64];

	(void)state;
	for (unsigned mode = 0; mode < MODES; mode++) {
		snprintf(words, sizeof(words), "-m %s " TARGET,
			 plan_mode_name((enum plan_mode)mode));
		takes(words);
		assert_int_equal(plan.mode, mode);
	}
	assert_string_equal(plan_mode_name(MODE_ECHO), "echo");
	assert_string_equal(plan_mode_name(MODE_HALF_CLOSE), "half-close");
	assert_string_equal(plan_mode_name(MODE_SILENT), "silent");
	refuses("-m half_close " TARGET,
		"--mode: there is no \"half_close\"; did you mean half-close?");
	refuses("-m nothing " TARGET,
		"--mode: \"nothing\" is not possible; write echo, discard, chargen, daytime, time, "
		"churn, idle, drip, deaf, half-close, reset or silent");
}

static void test_close(void **state)
{
	(void)state;
	takes("-m churn " TARGET);
	assert_int_equal(plan.close, CLOSE_CLIENT);
	takes("-m churn --close half " TARGET);
	assert_int_equal(plan.close, CLOSE_HALF);
	takes("-m churn --close server " TARGET);
	assert_int_equal(plan.close, CLOSE_SERVER);
	takes("-m churn --close reset " TARGET);
	assert_int_equal(plan.close, CLOSE_RESET);
	refuses("-m churn --close x " TARGET,
		"--close: \"x\" is not possible; write client, half, server or reset");
}

static void test_ranges(void **state)
{
	static const struct {
		const char *name, *min, *max, *below, *above;
	} ranges[] = {
		{ "connections", "1", "1000000", "0", "1000001" },
		{ "connecting", "1", "65536", "0", "65537" },
		{ "depth", "1", "4096", "0", "4097" },
		{ "writes", "1", "1024", "0", "1025" },
		{ "duration", "0.001", "31622400", "0.000999999", "31622400.000000001" },
		{ "warmup", "0", "86400", "-1", "86401" },
		{ "interval", "0.001", "86400", "0", "86401" },
		{ "timeout", "0.001", "86400", "0", "86401" },
		{ "rate", "0.001", "10000000", "0", "10000000.1" },
		{ "count", "1", "1000000000000000", "0", "1000000000000001" },
		{ "seed", "0", "9223372036854775807", "-1", "9223372036854775808" },
		{ "server-pid", "1", "1", "0", "2147483648" },
		{ "size", "1", "16M", "0", "16777217" },
	};
	char words[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		const char *with = strcmp(ranges[i].name, "writes") == 0     ? "-s 1k"
				   : strcmp(ranges[i].name, "interval") == 0 ? "-m idle"
									     : "-q";

		snprintf(words, sizeof(words), "%s --%s=%s " TARGET, with, ranges[i].name,
			 ranges[i].min);
		takes(words);
		snprintf(words, sizeof(words), "%s --%s=%s " TARGET, with, ranges[i].name,
			 ranges[i].max);
		takes(words);
		snprintf(words, sizeof(words), "--%s=%s " TARGET, ranges[i].name, ranges[i].below);
		refuses_like(words, "is not possible; write ");
		snprintf(words, sizeof(words), "--%s=%s " TARGET, ranges[i].name, ranges[i].above);
		refuses_like(words, "is not possible; write ");
	}
	takes("-t 1024 -c 1024 " TARGET);
	refuses("-t 1025 -c 2000 " TARGET,
		"--threads: \"1025\" is not possible; write an integer from 1 to 1024");
	refuses("-d 0 " TARGET,
		"--duration: \"0\" is not possible; write a number from 0.001 to 31622400 s");
	refuses("-r 0 " TARGET,
		"--rate: \"0\" is not possible; write a number from 0.001 to 10000000");
}

static void test_numbers(void **state)
{
	static const char *const integers[] = { "",   "x",   "1x",  "+1",
						"-1", "1.0", "1e3", "0x",
						"1k", "0xg", "--",  "99999999999999999999" };
	static const char *const decimals[] = { "",   ".",   "1.",           "1e3",         "+1",
						"-1", "1,5", "1.0000000001", "12345678901", "nan",
						"1s", "0x1", "inf" };
	char words[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(integers); i++) {
		snprintf(words, sizeof(words), "-q --connections=%s " TARGET, integers[i]);
		refuses_like(words, "is not possible; write an integer from 1 to 1000000");
	}
	for (size_t i = 0; i < ARRAY_SIZE(decimals); i++) {
		snprintf(words, sizeof(words), "-q --duration=%s " TARGET, decimals[i]);
		refuses_like(words, "is not possible; write a number from 0.001 to 31622400 s");
	}
	takes("-c 0x10 -d .5 " TARGET);
	assert_int_equal(plan.connections, 16);
	assert_int_equal(plan.duration_ns, 500000000);
	takes("-d 1.000000001 " TARGET);
	assert_int_equal(plan.duration_ns, 1000000001);
}

static void test_sizes(void **state)
{
	static const char *const wrong[] = { "",           "-",   "1-",  "-1",  "4-2",  "1-2-3",
					     "k",          "1kk", "1 k", "1G",  "0x10", "1.5k",
					     "9999999999", "1-0", "0-1", "17M", "1-17M" };
	char words[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(words, sizeof(words), "--size=%s " TARGET, wrong[i]);
		assert_int_equal(parse(words), -EINVAL);
	}
	refuses("--size=0 " TARGET,
		"--size: \"0\" is not possible; write bytes from 1 to 16M, or two with the smaller "
		"one first, such as 64, 4k or 1-64k");
	takes("-s 1M " TARGET);
	assert_int_equal(plan.size_min, 1048576);
	takes("-s 1-16M " TARGET);
	assert_int_equal(plan.size_min, 1);
	assert_int_equal(plan.size_max, 16777216);
	takes("-s 2K-2k " TARGET);
	assert_int_equal(plan.size_max, 2048);
}

static void test_unknown_options(void **state)
{
	(void)state;
	refuses("--treads 2 " TARGET, "there is no --treads; did you mean --threads?");
	refuses("--treads=2 " TARGET, "there is no --treads; did you mean --threads?");
	refuses("--banana " TARGET, "there is no --banana");
	refuses("-z " TARGET, "there is no -z");
	refuses("-qz " TARGET, "there is no -z");
	refuses("--json=yes " TARGET, "--json takes no argument");
	refuses(TARGET " --size", "--size has no argument");
	refuses(TARGET " -c", "--connections has no argument");
	refuses("--co 2 " TARGET, "--co is the beginning of more than one option");
	/* What stands behind it may be its argument, and is not taken for an address. */
	refuses("--treads", "there is no --treads; did you mean --threads?");
	assert_int_equal(parse("--treads=2 127.0.0.1"), -EINVAL);
	assert_int_equal(report.n_lines, 2);
}

static void test_all_errors_are_reported(void **state)
{
	(void)state;
	assert_int_equal(parse("-c x --treads 2 -o tcp_nodelay=maybe --source 1 127.0.0.1"),
			 -EINVAL);
	assert_int_equal(report.n_lines, 4);
	assert_int_equal(parse("-c x -s -1 -o tcp_nodelay=maybe --source 1 127.0.0.1"), -EINVAL);
	assert_int_equal(report.n_lines, 5);
	assert_int_equal(parse("-d 3 -n 5 -t 3 --depth 2 -m idle " TARGET), -EINVAL);
	assert_int_equal(report.n_lines, 3);
	/* What could not be read is not held against the rest. */
	refuses_like("-m cuhrn --close half " TARGET, "did you mean churn?");
}

static void test_help_and_version(void **state)
{
	(void)state;
	assert_int_equal(parse("--help"), PLAN_HELP);
	assert_int_equal(parse("-h " TARGET), PLAN_HELP);
	assert_int_equal(parse("--version"), PLAN_VERSION);
	assert_int_equal(parse("-V"), PLAN_VERSION);
	assert_int_equal(parse("--help --banana"), -EINVAL);
	assert_int_equal(report.n_lines, 1);
}

static void test_operands(void **state)
{
	(void)state;
	refuses("-q", "no address; write where to connect to, such as localhost:7777");
	refuses(TARGET " [::1]:7", "\"[::1]:7\" is one address too many");
}

static void test_targets(void **state)
{
	(void)state;
	takes("127.0.0.1:7");
	address_is(&plan.addresses[0], "127.0.0.1:7");
	takes("[::1]:65535");
	assert_int_equal(plan.n_addresses, 1);
	assert_int_equal(plan.addresses[0].length, sizeof(struct sockaddr_in6));
	address_is(&plan.addresses[0], "[::1]:65535");
	takes("localhost:7777");
	assert_true(plan.n_addresses >= 1);
	refuses_like("there-is-no.invalid:7", "\"there-is-no.invalid:7\": ");
}

/* Names of services are in a file that not every machine has. */
static void test_services(void **state)
{
	FILE *services = fopen("/etc/services", "re");

	(void)state;
	if (services) {
		fclose(services);
		takes("127.0.0.1:echo");
		address_is(&plan.addresses[0], "127.0.0.1:7");
		takes("[::1]:daytime");
		address_is(&plan.addresses[0], "[::1]:13");
	}
	refuses("127.0.0.1:banana",
		"\"127.0.0.1:banana\": there is no such service; write a number from 1 to 65535");
}

static void test_targets_that_are_none(void **state)
{
	(void)state;
	refuses("localhost",
		"\"localhost\" has no port; write HOST:PORT, a path with a slash, or @NAME");
	refuses("localhost:",
		"\"localhost:\" has no port; write a number or a service behind the colon");
	refuses(":7", "\":7\" has no host; write localhost:7");
	refuses("[]:7", "\"[]:7\" has no host; write localhost:7");
	refuses("::1:7", "\"::1:7\" has too many colons; write an IPv6 address as [::1]:7");
	refuses("fe80::1:7", "\"fe80::1:7\" has too many colons; write an IPv6 address as [::1]:7");
	refuses("[::1", "\"[::1\" has no ]; write [::1]:7");
	refuses("[::1]", "\"[::1]\" has no port behind the ]; write [::1]:7");
	refuses("[::1]7", "\"[::1]7\" has no port behind the ]; write [::1]:7");
	refuses("127.0.0.1:0", "\"127.0.0.1:0\" has a port that is not from 1 to 65535");
	refuses("127.0.0.1:65536", "\"127.0.0.1:65536\" has a port that is not from 1 to 65535");
	refuses("127.0.0.1:65543", "\"127.0.0.1:65543\" has a port that is not from 1 to 65535");
	refuses("127.0.0.1:-7", "\"127.0.0.1:-7\" has a port that is not from 1 to 65535");
	refuses_like("[127.0.0.1]:7", "\"[127.0.0.1]:7\": ");
	refuses_like("[localhost]:7", "\"[localhost]:7\": ");
	refuses_like("", "has no port");
	refuses_like("a\033[1mb", "\"a\\x1b[1mb\" has no port");
}

static void test_unix_targets(void **state)
{
	char words[256];

	(void)state;
	takes("/run/echo.socket");
	assert_int_equal(plan.addresses[0].address.ss_family, AF_UNIX);
	assert_int_equal(plan.addresses[0].length,
			 offsetof(struct sockaddr_un, sun_path) + sizeof("/run/echo.socket"));
	address_is(&plan.addresses[0], "/run/echo.socket");
	takes("./echo:7");
	address_is(&plan.addresses[0], "./echo:7");
	takes("@echo");
	assert_int_equal(plan.addresses[0].length, offsetof(struct sockaddr_un, sun_path) + 5);
	address_is(&plan.addresses[0], "@echo");
	takes("@a/b");
	address_is(&plan.addresses[0], "@a/b");
	refuses("@", "there is no name behind the @ of an abstract socket");

	snprintf(words, sizeof(words), "/%0106d", 0);
	takes(words);
	snprintf(words, sizeof(words), "/%0107d", 0);
	refuses(words, "the name of an AF_UNIX socket has at most 107 bytes, and this one 108");
}

static void test_sources(void **state)
{
	(void)state;
	takes("--source 127.0.0.2 --source 127.0.0.254-127.0.1.1 --source 127.0.2.0/30 " TARGET);
	assert_int_equal(plan.n_sources, 9);
	address_is(&plan.sources[0], "127.0.0.2:0");
	address_is(&plan.sources[1], "127.0.0.254:0");
	address_is(&plan.sources[2], "127.0.0.255:0");
	address_is(&plan.sources[3], "127.0.1.0:0");
	address_is(&plan.sources[4], "127.0.1.1:0");
	address_is(&plan.sources[5], "127.0.2.0:0");
	address_is(&plan.sources[8], "127.0.2.3:0");
	assert_int_equal(plan.sources[0].length, sizeof(struct sockaddr_in));

	takes("-o ipv6_freebind=true --source fd00::ffff-fd00::1:1 --source fd01::/126 "
	      "--source ::1/128 [::1]:7");
	assert_int_equal(plan.n_sources, 8);
	address_is(&plan.sources[0], "[fd00::ffff]:0");
	address_is(&plan.sources[1], "[fd00::1:0]:0");
	address_is(&plan.sources[2], "[fd00::1:1]:0");
	address_is(&plan.sources[6], "[fd01::3]:0");
	address_is(&plan.sources[7], "[::1]:0");

	takes("-o ipv6_freebind=true --source fe80::1%lo [::1]:7");
	assert_int_equal(((struct sockaddr_in6 *)&plan.sources[0].address)->sin6_scope_id, 1);
	takes("--source 127.1.0.0/16 " TARGET);
	assert_int_equal(plan.n_sources, 65536);
}

static void test_sources_that_are_none(void **state)
{
	static const char *const wrong[] = { "1",     "127.0.0.1-",  "-127.0.0.1",
					     "/8",    "127.0.0.1:0", "localhost",
					     "[::1]", "any",         "fe80::1%banana",
					     "127.1", "1-2-3" };
	char words[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(words, sizeof(words), "--source=%s " TARGET, wrong[i]);
		refuses_like(words, "is not possible; write an address, a range as "
				    "127.0.0.1-127.0.0.8, or a prefix as 127.0.1.0/28");
	}
	refuses("--source 127.0.0.0/33 " TARGET,
		"--source: \"127.0.0.0/33\" has a wrong length; write 0 to 32 behind the /");
	refuses("--source 127.0.0.1/-1 " TARGET,
		"--source: \"127.0.0.1/-1\" has a wrong length; write 0 to 32 behind the /");
	refuses("--source 127.0.0.0/ " TARGET,
		"--source: \"127.0.0.0/\" has a wrong length; write 0 to 32 behind the /");
	refuses("--source ::/129 [::1]:7",
		"--source: \"::/129\" has a wrong length; write 0 to 128 behind the /");
	refuses("--source 127.0.0.1/28 " TARGET,
		"--source: \"127.0.0.1/28\" is not the first address of the prefix; the bits behind "
		"it must be 0");
	refuses("--source 127.0.0.2-127.0.0.1 " TARGET,
		"--source: \"127.0.0.2-127.0.0.1\" ends before it begins");
	refuses("--source 127.0.0.1-::1 " TARGET,
		"--source: \"127.0.0.1-::1\" is a range from one kind of addresses to another");
	refuses("--source 127.0.0.0/15 " TARGET,
		"--source: \"127.0.0.0/15\" is more than the 65536 sources that there may be");
	refuses("--source ::/0 [::1]:7",
		"--source: \"::/0\" is more than the 65536 sources that there may be");
	refuses("--source 127.1.0.0/16 --source 127.0.0.1 " TARGET,
		"--source: \"127.0.0.1\" is more than the 65536 sources that there may be");
}

static void test_sources_fit_the_target(void **state)
{
	(void)state;
	refuses("--source ::1 " TARGET, "--source: the sources are IPv6, and the target is IPv4");
	refuses("--source 127.0.0.1 [::1]:7",
		"--source: the sources are IPv4, and the target is IPv6");
	refuses("--source 127.0.0.1 --source ::1 " TARGET,
		"--source: there are IPv4 and IPv6 ones; write those of one kind");
	refuses("--source 127.0.0.1 /run/echo",
		"--source is for TCP; the target is an AF_UNIX socket");
	takes("--source 127.0.0.1 localhost:7");
	for (size_t i = 0; i < plan.n_addresses; i++)
		assert_int_equal(plan.addresses[i].address.ss_family, AF_INET);
}

static void test_nodelay_is_the_default_of_tcp(void **state)
{
	(void)state;
	takes(TARGET);
	assert_int_equal(plan.n_options, 1);
	assert_int_equal(plan.options[0].row->option, TCP_NODELAY);
	assert_int_equal(plan.options[0].value.number, 1);
	takes("[::1]:7");
	assert_int_equal(plan.n_options, 1);
	takes("/run/echo");
	assert_int_equal(plan.n_options, 0);
	takes("-o tcp_nodelay=false " TARGET);
	assert_int_equal(plan.n_options, 1);
	assert_int_equal(plan.options[0].value.number, 0);
}

static void test_options(void **state)
{
	(void)state;
	takes("-o tcp_congestion=reno -o so_buf_lock=3 -o so_rcvbuf=0x1000 -o so_linger=-1 "
	      "-o so_max_pacing_rate=5000000000L -o tcp_notsent_lowat=4294967295 -o so_linger=0 " TARGET);
	assert_int_equal(plan.n_options, 7);
	/* In the order in which they have to be set, whatever order they were written in. */
	for (size_t i = 1; i < plan.n_options; i++)
		assert_true(plan.options[i].row > plan.options[i - 1].row);
	assert_string_equal(option("tcp_congestion")->value.string, "reno");
	assert_int_equal(option("so_rcvbuf")->value.number, 4096);
	assert_int_equal(option("so_linger")->value.number, 0);
	assert_int_equal(option("so_max_pacing_rate")->value.number, 5000000000);
	assert_int_equal(option("tcp_notsent_lowat")->value.number, UINT32_MAX);

	takes("-o tcp_congestion=\"reno\" -o so_bindtodevice= " TARGET);
	assert_string_equal(option("tcp_congestion")->value.string, "reno");
	assert_string_equal(option("so_bindtodevice")->value.string, "");
	/* A client bounds its SYNs by it. */
	takes("-o tcp_syncnt=2 " TARGET);
	assert_int_equal(option("tcp_syncnt")->value.number, 2);
	takes("-o so_sndbuf=4096 /run/echo");
	takes("-o ip_tos=16 [::1]:7");
}

static void test_options_that_are_none(void **state)
{
	(void)state;
	refuses("-o tcp_nodelay " TARGET,
		"--option: \"tcp_nodelay\" has no value; write NAME=VALUE");
	refuses("-o tcp_no_delay=true " TARGET,
		"--option: there is no \"tcp_no_delay\"; did you mean tcp_nodelay?");
	refuses("-o banana=true " TARGET,
		"--option: there is no \"banana\"; simple-server --list-options has all");
	refuses("-o =true " TARGET,
		"--option: there is no \"\"; simple-server --list-options has all");
	refuses("-o tcp_defer_accept=1 " TARGET,
		"--option tcp_defer_accept is for sockets that listen; a client has none");
	refuses("-o tcp_nodelay=yes " TARGET,
		"--option tcp_nodelay: \"yes\" is not possible; write true or false");
	refuses("-o tcp_nodelay=1 " TARGET,
		"--option tcp_nodelay: \"1\" is not possible; write true or false");
	refuses("-o ip_ttl=0 " TARGET,
		"--option ip_ttl: \"0\" is not possible; write an integer from 1 to 255");
	refuses("-o tcp_keepidle=L " TARGET,
		"--option tcp_keepidle: \"L\" is not possible; write an integer from 1 to 32767 s");
	refuses("-o tcp_congestion=0123456789abcdef " TARGET,
		"--option tcp_congestion: \"0123456789abcdef\" is not possible; write 1 to 15 "
		"characters without blanks");
	refuses_like("-o tcp_congestion= " TARGET, "write 1 to 15 characters");
	refuses_like("-o tcp_congestion=a\"b " TARGET, "write 1 to 15 characters");
}

static void test_options_fit_the_target(void **state)
{
	(void)state;
	refuses("-o ipv6_tclass=16 " TARGET,
		"--option ipv6_tclass is not for IPv4, which the target has");
	refuses("-o tcp_nodelay=true /run/echo",
		"--option tcp_nodelay is not for AF_UNIX, which the target has");
	refuses("-o ip_freebind=true [::1]:7",
		"--option ip_freebind is not for IPv6, which the target has");
	takes("-o ipv6_tclass=16 [::1]:7");
}

/* What only the kernel knows is asked before the run. */
static void test_the_kernel_is_asked(void **state)
{
	(void)state;
	refuses("-o tcp_congestion=banana " TARGET,
		"--option tcp_congestion=\"banana\": the kernel refuses it: No such file or "
		"directory");
	refuses("--source 192.0.2.1 " TARGET,
		"--source: 192.0.2.1 cannot be used: Cannot assign requested address");
	refuses("--source 127.0.0.1 --source 192.0.2.4/30 " TARGET,
		"--source: 192.0.2.4 (and 3 more) cannot be used: Cannot assign requested address");
	takes("-o ip_freebind=true --source 192.0.2.1 " TARGET);
}

static void test_contradictions(void **state)
{
	(void)state;
	refuses("-m idle --depth 2 " TARGET, "--depth is for the mode echo, not for idle");
	refuses("-m churn --depth 2 " TARGET, "--depth is for the mode echo, not for churn");
	refuses("-m chargen -r 5 " TARGET,
		"--rate is for the modes echo and churn, not for chargen");
	refuses("--close half " TARGET, "--close is for the mode churn, not for echo");
	refuses("-m daytime -s 5 " TARGET,
		"--size is for the modes echo, discard, churn, idle, drip, deaf, half-close, reset "
		"and silent, not for daytime");
	refuses("--interval 5 " TARGET, "--interval is for the modes idle and drip, not for echo");
	refuses("-m drip --writes 2 " TARGET,
		"--writes is for the modes echo, churn, idle, half-close and reset, not for drip");
	refuses("-d 3 -n 5 " TARGET,
		"--count and --duration both say when the run ends; write one of them");
	refuses("-t 3 -c 2 " TARGET,
		"3 threads have nothing to do with fewer connections (2); write --threads 2 or "
		"--connections 3");
	refuses("-s 3-9 --writes 4 " TARGET,
		"--writes 4 cuts a message of 3 bytes into more pieces than it has; write "
		"--writes 3 or --size 4");
	refuses("--plot x --histogram x " TARGET,
		"--histogram and --plot write to the same file; write two");
	refuses("-m churn --close reset /run/echo",
		"--close reset is for TCP; AF_UNIX has no RST; write another");
	refuses("--server-pid 2147483647 " TARGET, "--server-pid: there is no process 2147483647");
	refuses_like("--plot= " TARGET, "write the name of a file");
}

static void test_deinit_twice(void **state)
{
	(void)state;
	takes(TARGET);
	plan_deinit(&plan);
	plan_deinit(&plan);
	assert_null(plan.addresses);
	assert_int_equal(plan.n_options, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_long_options),
		cmocka_unit_test(test_short_options),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_unknown_options),
		cmocka_unit_test(test_all_errors_are_reported),
		cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_operands),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_targets_that_are_none),
		cmocka_unit_test(test_unix_targets),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_sources_that_are_none),
		cmocka_unit_test(test_sources_fit_the_target),
		cmocka_unit_test(test_nodelay_is_the_default_of_tcp),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_options_that_are_none),
		cmocka_unit_test(test_options_fit_the_target),
		cmocka_unit_test(test_the_kernel_is_asked),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_deinit_twice),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
