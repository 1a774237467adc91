/* SPDX-License-Identifier: MIT */
/* What systemd may pass, against what the file says: served, or refused with a reason that helps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "listener.h"
#include "util.h"

static struct report report;
static struct services services;
static struct listeners listeners;

static int setup(void **state)
{
	(void)state;
	report = REPORT_NULL;
	services = (struct services){ 0 };
	listeners = (struct listeners){ 0 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	listeners_deinit(&listeners);
	services_deinit(&services);
	report_deinit(&report);
	return 0;
}

static int load_file(const char *text, struct settings **ret_settings)
{
	char path[] = "/tmp/test-listener.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	struct settings_hooks hooks = services_hooks(&(struct module_place){ .directory = "/" });
	int r = settings_load(path, &hooks, ret_settings, &report);
	unlink(path);
	return r;
}

static void load(const char *text)
{
	struct settings *settings = NULL;

	assert_int_equal(load_file(text, &settings), 0);
	assert_int_equal(services_init(&services, settings, 1000, 100, &report), 0);
	settings_unref(settings);
}

static void load_echo(const char *options)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "sockets = ( { name = \"echo\"; handler = \"echo\"; options: { %s }; } );",
		 options);
	load(text);
}

static int listening(int family, int type)
{
	union peer_address address = { .any.sa_family = (sa_family_t)family };
	int fd = socket(family, type, 0);

	if (family == AF_INET)
		address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (family == AF_INET6)
		address.in6.sin6_addr = in6addr_loopback;
	socklen_t length = family == AF_INET    ? sizeof(address.in)
			   : family == AF_INET6 ? sizeof(address.in6)
						: sizeof(sa_family_t); /* an abstract name */
	assert_int_equal(bind(fd, &address.any, length), 0);
	if (type != SOCK_DGRAM)
		assert_int_equal(listen(fd, 10), 0);
	return fd;
}

static void says(const char *text)
{
	assert_int_equal(report.n_lines, 1);
	if (!strstr(report.lines[0], text))
		fail_msg("\"%s\" is not in \"%s\"", text, report.lines[0]);
}

static void refuses(int fd, const char *name, const char *reason)
{
	assert_int_equal(listeners_add(&listeners, fd, name, &services, false, &report), -EINVAL);
	assert_int_equal(listeners.count, 0);
	says(reason);
	report_deinit(&report);
	report = REPORT_NULL;
	close(fd);
}

static void refuses_what_cannot_be_served(void **state)
{
	int pipes[2];
	char path[] = "/tmp/test-listener.XXXXXX";
	int file = mkstemp(path);

	(void)state;
	load_echo("");
	unlink(path);
	assert_int_equal(pipe(pipes), 0);
	close(pipes[1]);
	refuses(file, "echo", "(echo) is not a socket");
	refuses(pipes[0], "echo", "is not a socket");
	refuses(open("/dev/null", O_RDWR), "echo", "is not a socket");
	refuses(epoll_create1(0), "echo", "is not a socket");
	refuses(listening(AF_INET, SOCK_DGRAM), "echo", "ListenStream= instead of ListenDatagram=");
	refuses(listening(AF_UNIX, SOCK_SEQPACKET), "echo", "is not a stream socket");
	refuses(socket(AF_NETLINK, SOCK_RAW, 0), "echo", "is not a stream socket");
	refuses(socket(AF_INET, SOCK_STREAM, 0), "echo", "does not listen");
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	refuses(pair[0], "echo", "set Accept=no");
	close(pair[1]);
	refuses(1000, "echo", "is not open");
}

static void refuses_a_foreign_family(void **state)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK,
				       .svm_cid = VMADDR_CID_ANY,
				       .svm_port = VMADDR_PORT_ANY };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	(void)state;
	load_echo("");
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 1) < 0) {
		print_message("# skipped: no AF_VSOCK here\n");
		close_fd(fd);
		return;
	}
	refuses(fd, "echo", "family that is not served");
}

static void names_both_sides_of_an_unknown_name(void **state)
{
	(void)state;
	load_echo("");
	refuses(listening(AF_INET, SOCK_STREAM), "ecko\n<0>",
		"no section for the name \"ecko\\x0a<0>\"; it has \"echo\"");
	int fd = listening(AF_INET, SOCK_STREAM);
	assert_int_equal(listeners_add(&listeners, fd, "other", &services, true, &report), 0);
	assert_int_equal(listeners.count, 0);
	assert_int_equal(report.n_lines, 0);
	close(fd);
}

static void section_without_a_socket(void **state)
{
	(void)state;
	load_echo("");
	listeners_check(&listeners, &services, true, &report);
	assert_int_equal(report.n_lines, 0);
	listeners_check(&listeners, &services, false, &report);
	says(":1: no socket with the name \"echo\" was passed");
}

static void add(int fd)
{
	assert_int_equal(listeners_add(&listeners, fd, "echo", &services, false, &report), 0);
}

static void serves_all_families_under_one_name(void **state)
{
	struct peer peer;

	(void)state;
	load_echo("");
	add(listening(AF_INET, SOCK_STREAM));
	add(listening(AF_UNIX, SOCK_STREAM));
	listeners_check(&listeners, &services, false, &report);
	listeners_apply(&listeners, &report);
	assert_int_equal(report.n_lines, 0);
	assert_int_equal(listeners.count, 2);
	assert_memory_equal(listeners.list[0].address, "127.0.0.1:", 10);
	assert_int_equal(listeners.list[1].address[0], '@');
	for (int i = 0; i < 2; i++) {
		int fd = listeners.list[i].fd;
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(listener_accept(&listeners.list[i], &peer), -EAGAIN);
	}
}

/* From the defaults an option is used where it fits; written in a section it has to fit something.
 */
static void option_that_does_not_fit_the_family(void **state)
{
	(void)state;
	load_echo("tcp_nodelay = true;");
	add(listening(AF_UNIX, SOCK_STREAM));
	listeners_check(&listeners, &services, false, &report);
	says("tcp_nodelay does not fit the socket of this section");
	add(listening(AF_INET, SOCK_STREAM));
	report_deinit(&report);
	report = REPORT_NULL;
	listeners_check(&listeners, &services, false, &report);
	assert_int_equal(report.n_lines, 0);
}

static void default_that_does_not_fit_is_left_out(void **state)
{
	(void)state;
	load("defaults: { options: { so_keepalive = true; }; };"
	     "sockets = ( { name = \"echo\"; handler = \"echo\"; } );");
	add(listening(AF_UNIX, SOCK_STREAM));
	listeners_check(&listeners, &services, false, &report);
	listeners_apply(&listeners, &report);
	assert_int_equal(report.n_lines, 0);
}

static void option_that_had_to_be_set_before_bind(void **state)
{
	(void)state;
	load_echo("so_reuseport = true;");
	add(listening(AF_INET, SOCK_STREAM));
	listeners_check(&listeners, &services, false, &report);
	says("use ReusePort= in the .socket unit");
}

static int get(int fd, int level, int option)
{
	int value = -1;
	socklen_t length = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &length), 0);
	return value;
}

/* so_keepalive is handed down by accept(); so_priority is not, and is set on each connection. */
static void options_reach_the_connections(void **state)
{
	union peer_address address;
	socklen_t length = sizeof(address);
	struct peer peer;

	(void)state;
	load_echo("so_keepalive = true; so_priority = 5;");
	add(listening(AF_INET, SOCK_STREAM));
	listeners_apply(&listeners, &report);
	assert_int_equal(report.n_lines, 0);
	assert_int_equal(getsockname(listeners.list[0].fd, &address.any, &length), 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client, &address.any, length), 0);
	/* tcp_defer_accept is on: the connection is handed up when the client has spoken. */
	assert_int_equal(send(client, "x", 1, 0), 1);
	int fd = listener_accept(&listeners.list[0], &peer);
	assert_true(fd >= 0);
	assert_int_equal(get(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(get(fd, SOL_SOCKET, SO_PRIORITY), 5);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_false(peer.is_unix);
	close(fd);
	close(client);
}

/* Whoever is in the queue before the options are set has not inherited them. */
static void options_reach_who_was_there_before(void **state)
{
	union peer_address address;
	socklen_t length = sizeof(address);
	struct peer peer;

	(void)state;
	load_echo("so_keepalive = true; so_priority = 5; tcp_keepidle = 77;");
	int listener = listening(AF_INET, SOCK_STREAM);
	assert_int_equal(getsockname(listener, &address.any, &length), 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client, &address.any, length), 0);
	add(listener);
	listeners_apply(&listeners, &report);
	assert_int_equal(report.n_lines, 0);
	int fd = listener_accept(&listeners.list[0], &peer);
	assert_true(fd >= 0);
	assert_int_equal(get(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(get(fd, SOL_SOCKET, SO_PRIORITY), 5);
	assert_int_equal(get(fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
	close(fd);
	close(client);
}

/* Each option with a value that is not the kernel's own; those that need a privilege may fail. */
static const char *const lines[] = {
	"so_keepalive = true;",
	"tcp_nodelay = false;",
	"tcp_keepidle = 77;",
	"tcp_keepintvl = 7;",
	"tcp_keepcnt = 3;",
	"so_rcvbuf = 70000;",
	"so_sndbuf = 70000;",
	"so_priority = 3;",
	"so_linger = 5;",
	"ip_tos = 16;",
	"ip_ttl = 33;",
	"ip_minttl = 5;",
	"tcp_user_timeout = 9;",
	"tcp_maxseg = 1000;",
	"tcp_window_clamp = 60000;",
	"tcp_linger2 = 30;",
	"tcp_defer_accept = 7;",
	"tcp_notsent_lowat = 4096;",
	"tcp_syncnt = 3;",
	"so_max_pacing_rate = 99999;",
	"so_rcvlowat = 7;",
	"tcp_fastopen = 5;",
	"so_mark = 7;",
	"tcp_congestion = \"reno\";",

	"so_busy_poll = 10;",
	"so_oobinline = true;",
	"tcp_thin_linear_timeouts = true;",
};

#define OPTIONS_MAX 100

static void read_all(int fd, struct sockopt_value *values)
{
	assert_true(sockopt_count <= OPTIONS_MAX);
	for (size_t i = 0; i < sockopt_count; i++) {
		memset(&values[i], 0, sizeof(values[i]));
		sockopt_get(fd, &sockopt_table[i], &values[i]);
	}
}

/* One process: the socket with the options of `text`, as the unit has left it or an earlier one. */
static void serve(int fd, const char *text, struct baseline *baseline)
{
	if (services.count)
		services_deinit(&services);
	load_echo(text);
	add(fcntl(fd, F_DUPFD_CLOEXEC, 3));
	assert_int_equal(listeners_remember(&listeners, baseline), 0);
	listeners_apply(&listeners, &report);
	listeners_deinit(&listeners);
}

static void same_as(int fd, const struct sockopt_value *before, const char *line)
{
	struct sockopt_value now[OPTIONS_MAX];

	read_all(fd, now);
	for (size_t i = 0; i < sockopt_count; i++) {
		const char *name = sockopt_table[i].name;
		if (strcmp(name, "tcp_window_clamp") == 0)
			continue; /* cannot be taken off: it goes to where it clamps nothing */
		if (now[i].number != before[i].number ||
		    strcmp(now[i].string, before[i].string) != 0)
			fail_msg("after %s: %s is %lld, and was %lld", line, name,
				 (long long)now[i].number, (long long)before[i].number);
	}
}

/* What is built in is set in any case; so it is set before the comparison. */
static void line_that_is_removed_goes_back(void **state)
{
	struct sockopt_value before[OPTIONS_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct baseline baseline = { 0 };
		int fd = listening(AF_INET, SOCK_STREAM);
		assert_int_equal(baseline_add(&baseline, fd), 0);
		serve(fd, "", &baseline);
		read_all(fd, before);
		serve(fd, lines[i], &baseline);
		report_deinit(&report); /* without a privilege, or in an older kernel */
		serve(fd, "", &baseline);
		assert_int_equal(report.n_lines, 0);
		same_as(fd, before, lines[i]);
		baseline_deinit(&baseline);
		close(fd);
	}
}

/* What the unit has set is what there is to go back to. */
static void goes_back_to_the_unit(void **state)
{
	struct baseline baseline = { 0 };
	int fd = listening(AF_INET, SOCK_STREAM), on = 1;

	(void)state;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	assert_int_equal(baseline_add(&baseline, fd), 0);
	serve(fd, "so_keepalive = false;", &baseline);
	assert_int_equal(get(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	serve(fd, "", &baseline);
	assert_int_equal(get(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	baseline_deinit(&baseline);
	close(fd);
}

static void option_that_the_kernel_refuses(void **state)
{
	(void)state;
	load_echo("tcp_congestion = \"nonsense\";");
	add(listening(AF_INET, SOCK_STREAM));
	listeners_apply(&listeners, &report);
	says("tcp_congestion = \"nonsense\" cannot be set on 127.0.0.1:");
}

static void unknown_handler_is_named(void **state)
{
	struct settings *settings = NULL;

	(void)state;
	assert_int_equal(
		load_file("sockets = ( { name = \"echo\";\n handler = \"ehco\"; } );", &settings),
		-EINVAL);
	says(":2: there is no handler \"ehco\"; did you mean \"echo\"?");
}

static void dump_shows_the_kernel(void **state)
{
	char *text = NULL;
	size_t size;

	(void)state;
	load_echo("so_keepalive = true;");
	add(listening(AF_INET, SOCK_STREAM));
	listeners_apply(&listeners, &report);
	FILE *out = open_memstream(&text, &size);
	listeners_dump(&listeners, out);
	fclose(out);
	assert_non_null(strstr(
		text, "//   option                   unit           file           kernel\n"));
	assert_non_null(
		strstr(text, "//   so_keepalive             false          true           true\n"));
	assert_non_null(
		strstr(text, "//   tcp_nodelay              false          true           true\n"));
	assert_non_null(strstr(
		text, "//   so_oobinline             false          -              false\n"));
	free(text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(refuses_what_cannot_be_served),
		TEST(refuses_a_foreign_family),
		TEST(names_both_sides_of_an_unknown_name),
		TEST(section_without_a_socket),
		TEST(serves_all_families_under_one_name),
		TEST(option_that_does_not_fit_the_family),
		TEST(default_that_does_not_fit_is_left_out),
		TEST(option_that_had_to_be_set_before_bind),
		TEST(options_reach_the_connections),
		TEST(options_reach_who_was_there_before),
		TEST(line_that_is_removed_goes_back),
		TEST(goes_back_to_the_unit),
		TEST(option_that_the_kernel_refuses),
		TEST(unknown_handler_is_named),
		TEST(dump_shows_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
