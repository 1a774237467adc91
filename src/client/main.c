/* SPDX-License-Identifier: MIT */
/* simple-client: the command line, limits, files and exit codes. */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "plan.h"
#include "report.h"
#include "result.h"
#include "run.h"
#include "util.h"

#define OTHER_FDS  64u /* beside those of connections and threads */
#define THREAD_FDS 8u

enum client_exit {
	CLIENT_EXIT_GOOD = 0,
	CLIENT_EXIT_BAD = 1, /* errors, or nothing done */
	CLIENT_EXIT_USAGE = 64,
	CLIENT_EXIT_INTERNAL = 70,
};

/* The ways to show a result in a file of its own. */
struct output {
	const char *name; /* NULL: none */
	void (*print)(const struct result *result, FILE *out);
	FILE *file;
};

static void complain(const char *what, const char *why)
{
	fprintf(stderr, "simple-client: %s: %s\n", what, why);
}

/*
 * A run of an hour is not to end with a file that cannot be made: they are opened before it.
 */
static bool open_outputs(struct output *outputs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!outputs[i].name)
			continue;
		outputs[i].file = fopen(outputs[i].name, "we");
		if (outputs[i].file)
			continue;
		complain(outputs[i].name, strerror(errno));
		return false;
	}
	return true;
}

/* A full disk is an error, not a success. */
static bool flushed(FILE *file, const char *name)
{
	if (fflush(file) == 0 && !ferror(file))
		return true;
	complain(name, strerror(errno));
	return false;
}

static bool write_outputs(struct output *outputs, size_t n, const struct result *result)
{
	bool good = true;

	for (size_t i = 0; i < n; i++) {
		if (!outputs[i].file)
			continue;
		outputs[i].print(result, outputs[i].file);
		good &= flushed(outputs[i].file, outputs[i].name);
	}
	return good;
}

static void close_outputs(struct output *outputs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (outputs[i].file)
			fclose(outputs[i].file);
}

/* As many descriptors as it takes; what is still missing shows as errors of connections. */
static void raise_limit(const struct plan *plan)
{
	rlim_t wanted = plan->connections + plan->threads * THREAD_FDS + OTHER_FDS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	if (limit.rlim_max < wanted) {
		struct rlimit more = { .rlim_cur = wanted, .rlim_max = wanted };
		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static enum client_exit show(const struct result *result, struct output *outputs, size_t n)
{
	if (result->plan->json)
		result_print_json(result, stdout);
	else
		result_print(result, stdout);
	bool shown = flushed(stdout, "standard output");
	shown &= write_outputs(outputs, n, result);
	if (!shown)
		return CLIENT_EXIT_INTERNAL;
	return result_is_good(result) ? CLIENT_EXIT_GOOD : CLIENT_EXIT_BAD;
}

/* A person needs no table of what has not been; a program wants its JSON always. */
static enum client_exit show_unconnected(const struct result *result, struct output *outputs,
					 size_t n)
{
	complain("no connection", result->total.first_error);
	return result->plan->json ? show(result, outputs, n) : CLIENT_EXIT_BAD;
}

static enum client_exit perform(const struct plan *plan)
{
	struct output outputs[] = {
		{ plan->histogram_file, result_print_histogram, NULL },
		{ plan->plot_file, result_print_plot, NULL },
	};
	auto_free struct stats *stats = NULL;
	auto_free struct result *result = calloc(1, sizeof(*result));
	enum client_exit code = CLIENT_EXIT_INTERNAL;

	raise_limit(plan);
	if (result && open_outputs(outputs, ARRAY_SIZE(outputs))) {
		int r = run_plan(plan, result, &stats);
		if (r == 0 || r == -ENOTCONN)
			result_sum(result);
		if (r == 0)
			code = show(result, outputs, ARRAY_SIZE(outputs));
		else if (r == -ENOTCONN)
			code = show_unconnected(result, outputs, ARRAY_SIZE(outputs));
		else
			complain("cannot run", strerror(-r));
	}
	close_outputs(outputs, ARRAY_SIZE(outputs));
	return code;
}

static enum client_exit complain_usage(const struct report *report)
{
	for (size_t i = 0; i < report->n_lines; i++)
		fprintf(stderr, "simple-client: %s\n", report->lines[i]);
	fputs("Try `simple-client --help`.\n", stderr);
	return CLIENT_EXIT_USAGE;
}

static enum client_exit print(const char *text)
{
	fputs(text, stdout);
	return flushed(stdout, "standard output") ? CLIENT_EXIT_GOOD : CLIENT_EXIT_INTERNAL;
}

int main(int argc, char **argv)
{
	struct report report = REPORT_NULL;
	struct plan plan;
	enum client_exit code;
	int verdict;

	signal(SIGPIPE, SIG_IGN); /* a reader that is gone is an error of the output */
	verdict = plan_parse(&plan, argc, argv, &report);
	if (verdict < 0)
		code = complain_usage(&report);
	else if (verdict == PLAN_HELP)
		code = print(plan_usage);
	else if (verdict == PLAN_VERSION)
		code = print("simple-client " PACKAGE_VERSION "\n");
	else
		code = perform(&plan);
	if (verdict >= 0)
		plan_deinit(&plan);
	report_deinit(&report);
	return (int)code;
}
