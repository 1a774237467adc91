/* SPDX-License-Identifier: MIT */
/*
 * What the options say together: contradictions are errors, and each says what would be right. And
 * what the kernel says to socket options and sources, on sockets that connect to nobody.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "plan-private.h"
#include "util.h"

static bool is_given(uint64_t given, const char *name)
{
	return given >> (plan_row_find(name) - plan_table) & 1;
}

static void check_modes(const struct plan *plan, uint64_t given, struct report *report)
{
	char modes[PLAN_EXPECTED_MAX];

	for (size_t i = 0; i < plan_table_count; i++) {
		const struct plan_row *row = &plan_table[i];

		if (given >> i & 1 && !(row->modes >> plan->mode & 1))
			report_add(report, "--%s is for the %s %s, not for %s", row->name,
				   row->modes & (row->modes - 1) ? "modes" : "mode",
				   plan_modes_list(modes, row->modes), plan_mode_name(plan->mode));
	}
}

static void check_end(uint64_t given, struct report *report)
{
	if (is_given(given, "count") && is_given(given, "duration"))
		report_add(report,
			   "--count and --duration both say when the run ends; write one of them");
}

static void check_threads(const struct plan *plan, struct report *report)
{
	if (plan->threads > plan->connections)
		report_add(report,
			   "%u threads have nothing to do with fewer connections (%u); write "
			   "--threads %u or --connections %u",
			   plan->threads, plan->connections, plan->connections, plan->threads);
}

static void check_writes(const struct plan *plan, struct report *report)
{
	if (plan->writes > plan->size_min)
		report_add(report,
			   "--writes %u cuts a message of %zu bytes into more pieces than it has; "
			   "write --writes %zu or --size %u",
			   plan->writes, plan->size_min, plan->size_min, plan->writes);
}

static void check_files(const struct plan *plan, struct report *report)
{
	if (plan->histogram_file && plan->plot_file &&
	    strcmp(plan->histogram_file, plan->plot_file) == 0)
		report_add(report, "--histogram and --plot write to the same file; write two");
}

static void check_close(const struct plan *plan, struct report *report)
{
	if (plan->close == CLOSE_RESET &&
	    plan_families(plan->addresses, plan->n_addresses) & SOCKOPT_UNIX)
		report_add(report, "--close reset is for TCP; AF_UNIX has no RST; write another");
}

static void check_server_pid(const struct plan *plan, struct report *report)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/stat", plan->server_pid);
	if (plan->server_pid && access(path, R_OK) < 0)
		report_add(report, "--server-pid: there is no process %d", plan->server_pid);
}

void plan_check(const struct plan *plan, uint64_t given, struct report *report)
{
	check_modes(plan, given, report);
	check_end(given, report);
	check_threads(plan, report);
	check_writes(plan, report);
	check_files(plan, report);
	check_close(plan, report);
	check_server_pid(plan, report);
}

/* ---- what the kernel takes */

/* Where there is not even a socket, connecting will tell. */
static int open_socket(sa_family_t family)
{
	return socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void try_options(const struct plan *plan, sa_family_t family, struct report *report)
{
	auto_close int fd = open_socket(family);
	char text[SOCKOPT_FORMAT_MAX];

	for (size_t i = 0; fd >= 0 && i < plan->n_options; i++) {
		const struct plan_option *option = &plan->options[i];
		int r = sockopt_set(fd, option->row, &option->value);

		if (r < 0)
			report_add(report, "--option %s=%s: the kernel refuses it: %s%s%s",
				   option->row->name,
				   sockopt_format(text, option->row, &option->value), strerror(-r),
				   r == -EPERM ? "; it needs " : "",
				   r == -EPERM ? option->row->privilege : "");
	}
}

/* Bound with the options, one of which may allow for addresses that are not here. */
static int try_source(const struct plan *plan, const struct plan_address *source)
{
	auto_close int fd = open_socket(source->address.ss_family);

	if (fd < 0)
		return 0;
	for (size_t i = 0; i < plan->n_options; i++)
		sockopt_set(fd, plan->options[i].row, &plan->options[i].value);
	return bind(fd, (const struct sockaddr *)&source->address, source->length) < 0 ? -errno : 0;
}

/* One line: a prefix of addresses that are not here is one mistake. */
static void try_sources(const struct plan *plan, struct report *report)
{
	const struct plan_address *first = NULL;
	char shown[PLAN_ADDRESS_MAX], more[48] = "";
	size_t n = 0;
	int error = 0;

	for (size_t i = 0; i < plan->n_sources; i++) {
		int r = try_source(plan, &plan->sources[i]);

		if (r < 0 && n++ == 0) {
			first = &plan->sources[i];
			error = -r;
		}
	}
	if (!first)
		return;
	if (n > 1)
		snprintf(more, sizeof(more), " (and %zu more)", n - 1);
	plan_address_format(shown, first);
	*strrchr(shown, ':') = '\0'; /* the port, which is 0 */
	report_add(report, "--source: %s%s cannot be used: %s", shown, more, strerror(error));
}

void plan_try(const struct plan *plan, struct report *report)
{
	static const struct {
		unsigned bit;
		sa_family_t family;
	} families[] = {
		{ SOCKOPT_INET4, AF_INET },
		{ SOCKOPT_INET6, AF_INET6 },
		{ SOCKOPT_UNIX, AF_UNIX },
	};
	unsigned all = plan_families(plan->addresses, plan->n_addresses);
	size_t before = report->n_lines;

	for (size_t i = 0; i < ARRAY_SIZE(families) && report->n_lines == before; i++)
		if (all & families[i].bit)
			try_options(plan, families[i].family, report);
	if (report->n_lines == before)
		try_sources(plan, report);
}
