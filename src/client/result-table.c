/* SPDX-License-Identifier: MIT */
/*
 * The table for a person: what is not known, or did not happen, has no line.
 */
#include <stdio.h>
#include <string.h>

#include "result-private.h"
#include "sockopt.h"
#include "units.h"
#include "util.h"

#define LABEL_WIDTH  12
#define NUMBER_WIDTH 16
#define TIME_WIDTH   9

#define THREADS_LISTED 16

static void label(FILE *out, const char *text)
{
	fprintf(out, "%-*s", LABEL_WIDTH, text);
}

static void right(FILE *out, int width, const char *text)
{
	int blanks = width - units_width(text);

	fprintf(out, "%*s%s", blanks > 0 ? blanks : 0, "", text);
}

static void print_options(const struct plan *plan, FILE *out)
{
	char value[SOCKOPT_FORMAT_MAX];

	for (size_t i = 0; i < plan->n_options; i++)
		fprintf(out, "%s%s=%s", i ? " " : "options: ", plan->options[i].row->name,
			sockopt_format(value, plan->options[i].row, &plan->options[i].value));
	if (plan->n_options)
		fputc('\n', out);
}

static void print_window(const struct result *result, FILE *out)
{
	char time[UNITS_MAX];

	fprintf(out, "%s measured", units_time(time, (double)result->total.window_ns));
	if (result->plan->warmup_ns > 0)
		fprintf(out, " after %s of warm-up",
			units_time(time, (double)result->plan->warmup_ns));
	fputs(result->interrupted ? ", interrupted\n\n" : "\n\n", out);
}

static void print_head(const struct result *result, FILE *out)
{
	char text[RESULT_TEXT_MAX];

	fprintf(out, "%s\n", result_title(text, result->plan));
	fprintf(out, "%s\n", result_manner(text, result->plan));
	print_options(result->plan, out);
	print_window(result, out);
}

static void print_count(const struct result *result, const char *name, uint64_t count, FILE *out)
{
	char text[UNITS_MAX];

	label(out, name);
	right(out, NUMBER_WIDTH, units_count(text, count));
	right(out, NUMBER_WIDTH, units_number(text, result_per_second(result, count)));
	fputs("/s\n", out);
}

static void print_bytes(const struct result *result, const char *name, uint64_t bytes, FILE *out)
{
	char text[UNITS_MAX];

	label(out, name);
	right(out, NUMBER_WIDTH, units_bytes(text, (double)bytes));
	right(out, NUMBER_WIDTH, units_bytes(text, result_per_second(result, bytes)));
	fputs("/s\n", out);
}

static void print_throughput(const struct result *result, FILE *out)
{
	const struct result_mode *mode = result_mode(result->plan->mode);
	const struct stats *total = &result->total;

	char units[UNITS_MAX];

	snprintf(units, sizeof(units), "%ss", mode->unit);
	if (total->requests > 0 || mode->latency != LATENCY_NONE)
		print_count(result, units, total->requests, out);
	if (total->connects > 0 && strcmp(mode->unit, "connection") != 0)
		print_count(result, "connects", total->connects, out);
	print_bytes(result, "sent", total->bytes_out, out);
	print_bytes(result, "received", total->bytes_in, out);
}

static const struct {
	const char *name;
	double part;
} columns[] = {
	{ "min", 0 },    { "p50", 0.5 },     { "p90", 0.9 },
	{ "p99", 0.99 }, { "p99.9", 0.999 }, { "max", 1 },
};

static void print_times(const char *name, const struct histogram *times, FILE *out)
{
	char text[UNITS_MAX];

	if (times->count == 0)
		return;
	label(out, name);
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		right(out, TIME_WIDTH,
		      units_time(text, (double)histogram_at(times, columns[i].part)));
	right(out, TIME_WIDTH, units_time(text, histogram_mean(times)));
	fputc('\n', out);
	if (times->beyond > 0)
		fprintf(out, "  %s of these longer than the longest time that can be counted\n",
			units_count(text, times->beyond));
}

static void print_answer_times(const struct result *result, FILE *out)
{
	const struct stats *total = &result->total;

	if (result_is_open_loop(result)) {
		print_times("corrected", &total->corrected, out);
		print_times("uncorrected", &total->uncorrected, out);
		fputs("  corrected: from the time at which a request was due; uncorrected: from the\n"
		      "  time at which it was sent, which leaves out the wait before that\n",
		      out);
	} else {
		print_times("latency", &total->corrected, out);
	}
	if (result_mode(result->plan->mode)->latency == LATENCY_PROBE)
		fputs("  of a well-behaved connection beside the others: what a good client felt\n",
		      out);
}

static void print_latency(const struct result *result, FILE *out)
{
	const struct stats *total = &result->total;
	bool has_answers = result_mode(result->plan->mode)->latency != LATENCY_NONE &&
			   total->corrected.count > 0;

	if (!has_answers && total->connecting.count == 0)
		return;
	fputc('\n', out);
	label(out, "");
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		right(out, TIME_WIDTH, columns[i].name);
	right(out, TIME_WIDTH, "mean");
	fputc('\n', out);
	print_times("connect", &total->connecting, out);
	if (has_answers)
		print_answer_times(result, out);
}

/* Without requests, bytes are what the threads share. */
static bool counts_bytes(const struct result *result)
{
	return result_mode(result->plan->mode)->latency == LATENCY_NONE;
}

static uint64_t work_of(const struct result *result, const struct stats *stats)
{
	return counts_bytes(result) ? stats->bytes_out + stats->bytes_in : stats->requests;
}

static const char *work_text(char out[UNITS_MAX], const struct result *result, uint64_t work)
{
	return counts_bytes(result) ? units_bytes(out, (double)work) : units_count(out, work);
}

static double share_of(const struct result *result, uint64_t work)
{
	uint64_t all = work_of(result, &result->total);

	return all > 0 ? (double)work / (double)all * 100 : 0;
}

static void print_threads(const struct result *result, FILE *out)
{
	char text[UNITS_MAX];

	label(out, "thread");
	right(out, NUMBER_WIDTH, counts_bytes(result) ? "moved" : "done");
	right(out, NUMBER_WIDTH, "share");
	right(out, NUMBER_WIDTH, "open at most");
	fputc('\n', out);
	for (unsigned i = 0; i < result->plan->threads; i++) {
		const struct stats *stats = &result->threads[i];
		uint64_t work = work_of(result, stats);

		fprintf(out, "  %-*u", LABEL_WIDTH - 2, i + 1);
		right(out, NUMBER_WIDTH, work_text(text, result, work));
		fprintf(out, "%*.1f %%", NUMBER_WIDTH - 2, share_of(result, work));
		right(out, NUMBER_WIDTH, units_count(text, stats->most_open));
		fputc('\n', out);
	}
}

static void print_balance(const struct result *result, FILE *out)
{
	uint64_t least = UINT64_MAX, most = 0;
	unsigned n = result->plan->threads;
	char from[UNITS_MAX], to[UNITS_MAX];

	if (n < 2)
		return;
	for (unsigned i = 0; i < n; i++) {
		uint64_t work = work_of(result, &result->threads[i]);

		least = work < least ? work : least;
		most = work > most ? work : most;
	}
	fputc('\n', out);
	if (n <= THREADS_LISTED)
		print_threads(result, out);
	label(out, "threads");
	fprintf(out, "  %s to %s each; the busiest has %.1f %% (even: %.1f %%)\n",
		work_text(from, result, least), work_text(to, result, most), share_of(result, most),
		100.0 / n);
}

static void print_connections(const struct result *result, FILE *out)
{
	const struct stats *total = &result->total;
	char text[UNITS_MAX];

	fputc('\n', out);
	label(out, "open at most");
	fprintf(out, "  %s\n", units_count(text, total->most_open));
	if (total->closed_by_server > 0) {
		label(out, "closed");
		fprintf(out, "  %s by the server\n", units_count(text, total->closed_by_server));
	}
	if (total->unsent > 0) {
		label(out, "unsent");
		fprintf(out, "  %s that were due in the window; no latency has them\n",
			units_count(text, total->unsent));
	}
}

static void print_time_wait(const struct result *result, FILE *out)
{
	char before[UNITS_MAX], after[UNITS_MAX];

	if (result->time_wait_before < 0 || result->time_wait_after < 0)
		return;
	label(out, "TIME_WAIT");
	fprintf(out, "  %s before, %s after: on this machine, of whichever side closed first\n",
		units_count(before, (uint64_t)result->time_wait_before),
		units_count(after, (uint64_t)result->time_wait_after));
}

static void print_share_of_cpu(const struct result *result, double ns, FILE *out)
{
	if (result->cpu_window_ns > 0)
		fprintf(out, ", %.2f of one CPU", ns / (double)result->cpu_window_ns);
}

static void print_server_cpu(const struct result *result, FILE *out)
{
	const struct stats *total = &result->total;
	double ns = (double)result->server_cpu_ns;
	uint64_t bytes = total->bytes_out + total->bytes_in;
	char text[UNITS_MAX];

	if (result->server_cpu_ns < 0)
		return;
	label(out, "server CPU");
	fprintf(out, "  %s", units_time(text, ns));
	print_share_of_cpu(result, ns, out);
	if (total->requests > 0 && result_mode(result->plan->mode)->latency == LATENCY_OWN)
		fprintf(out, "; %s per %s", units_time(text, ns / (double)total->requests),
			result_mode(result->plan->mode)->unit);
	if (bytes > 0)
		fprintf(out, "; %s per GB", units_time(text, ns / (double)bytes * 1e9));
	fputc('\n', out);
}

static void print_client_cpu(const struct result *result, FILE *out)
{
	double ns = (double)result->client_cpu_ns;
	char text[UNITS_MAX];

	if (result->client_cpu_ns < 0)
		return;
	label(out, "client CPU");
	fprintf(out, "  %s", units_time(text, ns));
	print_share_of_cpu(result, ns, out);
	if (ns > 0.9 * (double)result->cpu_window_ns * result->plan->threads)
		fputs("; it may be the client that limits", out);
	fputc('\n', out);
}

static void print_errors(const struct result *result, FILE *out)
{
	char number[UNITS_MAX];

	if (result_errors(&result->total) == 0)
		return;
	fputc('\n', out);
	label(out, "errors");
	right(out, NUMBER_WIDTH, units_count(number, result_errors(&result->total)));
	fputc('\n', out);
	for (enum stats_error i = 0; i < STATS_ERRORS; i++) {
		if (result->total.errors[i] == 0)
			continue;
		label(out, "");
		right(out, NUMBER_WIDTH, units_count(number, result->total.errors[i]));
		fprintf(out, "  %s\n", result_error_words(i));
	}
	if (*result->total.first_error)
		fprintf(out, "  first: %s\n", result->total.first_error);
}

static void print_verdict(const struct result *result, FILE *out)
{
	const char *before = " ";
	char number[UNITS_MAX];

	if (result_is_good(result)) {
		fputs("\ngood\n", out);
		return;
	}
	fputs("\nNOT good:", out);
	for (enum stats_error i = 0; i < STATS_ERRORS; i++)
		if (result->total.errors[i] > 0) {
			fprintf(out, "%s%s (%s)", before, result_error_words(i),
				units_count(number, result->total.errors[i]));
			before = ", ";
		}
	fputs(*before == ' ' ? " nothing was done\n" : "\n", out);
}

void result_print(const struct result *result, FILE *out)
{
	print_head(result, out);
	print_throughput(result, out);
	print_latency(result, out);
	print_balance(result, out);
	print_connections(result, out);
	print_time_wait(result, out);
	print_server_cpu(result, out);
	print_client_cpu(result, out);
	print_errors(result, out);
	print_verdict(result, out);
}
