/* SPDX-License-Identifier: MIT */
/*
 * One JSON object. Keys are only ever added while FORMAT_VERSION stays; numbers are in ns, bytes,
 * seconds and counts; what is not known is null.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "result-private.h"
#include "sockopt.h"
#include "text.h"
#include "util.h"

#define FORMAT_VERSION 1

/* Where in the object we are: whether something stands before in the innermost one, and how deep.
 */
struct json {
	FILE *out;
	bool comma;
	int depth;
};

static void print_plain(FILE *out, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strchr("\"\\", bytes[i]))
			fprintf(out, "\\%c", bytes[i]);
		else if ((unsigned char)bytes[i] < 0x20)
			fprintf(out, "\\u%04x", (unsigned)bytes[i]);
		else
			fputc(bytes[i], out);
	}
}

/* What is no UTF-8 comes from a command line; each such byte is shown as the replacement character.
 */
static void print_string(FILE *out, const char *string)
{
	size_t left = strlen(string), good;

	fputc('"', out);
	while (left > 0) {
		bool faulty = text_fault(string, left, &good) != NULL;

		if (!faulty)
			good = left;
		print_plain(out, string, good);
		string += good;
		left -= good;
		if (!faulty)
			break;
		fprintf(out, "\\u%04x", (*string & 0x80) ? 0xfffdu : (unsigned)*string);
		string++;
		left--;
	}
	fputc('"', out);
}

/* Begins an element; an element of an array has no name. */
static void begin(struct json *json, const char *name)
{
	fprintf(json->out, "%s\n%*s", json->comma ? "," : "", json->depth * 2, "");
	if (name) {
		print_string(json->out, name);
		fputs(": ", json->out);
	}
	json->comma = true;
}

static void open_group(struct json *json, const char *name, char bracket)
{
	begin(json, name);
	fputc(bracket, json->out);
	json->comma = false;
	json->depth++;
}

static void close_group(struct json *json, char bracket)
{
	json->depth--;
	if (json->comma)
		fprintf(json->out, "\n%*s", json->depth * 2, "");
	fputc(bracket, json->out);
	json->comma = true;
}

static void put_null(struct json *json, const char *name)
{
	begin(json, name);
	fputs("null", json->out);
}

static void put_bool(struct json *json, const char *name, bool value)
{
	begin(json, name);
	fputs(value ? "true" : "false", json->out);
}

static void put_count(struct json *json, const char *name, uint64_t count)
{
	begin(json, name);
	fprintf(json->out, "%" PRIu64, count);
}

/* Negative: not known. */
static void put_measured(struct json *json, const char *name, int64_t value)
{
	if (value < 0)
		put_null(json, name);
	else
		put_count(json, name, (uint64_t)value);
}

/* JSON has neither infinity nor NaN. */
static void put_number(struct json *json, const char *name, double number)
{
	if (!isfinite(number)) {
		put_null(json, name);
		return;
	}
	begin(json, name);
	fprintf(json->out, "%.12g", number);
}

static void put_string(struct json *json, const char *name, const char *string)
{
	begin(json, name);
	print_string(json->out, string);
}

static void put_addresses(struct json *json, const char *name, const struct plan_address *addresses,
			  size_t n)
{
	char text[PLAN_ADDRESS_MAX];

	open_group(json, name, '[');
	for (size_t i = 0; i < n; i++)
		put_string(json, NULL, plan_address_format(text, &addresses[i]));
	close_group(json, ']');
}

static void put_options(struct json *json, const struct plan *plan)
{
	char value[SOCKOPT_FORMAT_MAX];

	open_group(json, "options", '{');
	for (size_t i = 0; i < plan->n_options; i++)
		put_string(json, plan->options[i].row->name,
			   sockopt_format(value, plan->options[i].row, &plan->options[i].value));
	close_group(json, '}');
}

static void put_plan(struct json *json, const struct plan *plan)
{
	open_group(json, "plan", '{');
	put_string(json, "mode", plan_mode_name(plan->mode));
	put_string(json, "target", plan->target);
	put_addresses(json, "addresses", plan->addresses, plan->n_addresses);
	put_addresses(json, "sources", plan->sources, plan->n_sources);
	put_options(json, plan);
	put_count(json, "threads", plan->threads);
	put_count(json, "connections", plan->connections);
	put_count(json, "connecting", plan->connecting);
	put_count(json, "depth", plan->depth);
	put_count(json, "size_min", plan->size_min);
	put_count(json, "size_max", plan->size_max);
	put_count(json, "writes", plan->writes);
	put_measured(json, "duration_ns", plan->duration_ns);
	put_measured(json, "warmup_ns", plan->warmup_ns);
	put_count(json, "count", plan->count);
	put_number(json, "rate", plan->rate);
	put_measured(json, "interval_ns", plan->interval_ns);
	put_measured(json, "timeout_ns", plan->timeout_ns);
	put_string(json, "close", result_close_name(plan->close));
	put_count(json, "seed", plan->seed);
	put_measured(json, "server_pid", plan->server_pid > 0 ? plan->server_pid : -1);
	close_group(json, '}');
}

/* What is counted for a thread and for all of them alike. */
static void put_counts(struct json *json, const struct stats *stats)
{
	put_count(json, "requests", stats->requests);
	put_count(json, "connects", stats->connects);
	put_count(json, "bytes_out", stats->bytes_out);
	put_count(json, "bytes_in", stats->bytes_in);
	put_count(json, "errors", result_errors(stats));
	put_count(json, "most_open", stats->most_open);
	put_count(json, "closed_by_server", stats->closed_by_server);
	put_count(json, "unsent", stats->unsent);
	put_measured(json, "window_ns", stats->window_ns);
}

static void put_totals(struct json *json, const struct result *result)
{
	const struct stats *total = &result->total;

	open_group(json, "total", '{');
	put_counts(json, total);
	put_string(json, "unit", result_mode(result->plan->mode)->unit);
	put_number(json, "requests_per_second", result_per_second(result, total->requests));
	put_number(json, "connects_per_second", result_per_second(result, total->connects));
	put_number(json, "bytes_out_per_second", result_per_second(result, total->bytes_out));
	put_number(json, "bytes_in_per_second", result_per_second(result, total->bytes_in));
	close_group(json, '}');
}

static void put_times(struct json *json, const char *name, const struct histogram *times)
{
	static const struct {
		const char *name;
		double part;
	} percentiles[] = {
		{ "p10", 0.1 },       { "p25", 0.25 },        { "p50", 0.5 },
		{ "p75", 0.75 },      { "p90", 0.9 },         { "p95", 0.95 },
		{ "p99", 0.99 },      { "p99_5", 0.995 },     { "p99_9", 0.999 },
		{ "p99_99", 0.9999 }, { "p99_999", 0.99999 },
	};

	if (times->count == 0) {
		put_null(json, name);
		return;
	}
	open_group(json, name, '{');
	put_count(json, "count", times->count);
	put_count(json, "beyond", times->beyond);
	put_measured(json, "min_ns", histogram_at(times, 0));
	put_measured(json, "max_ns", histogram_at(times, 1));
	put_number(json, "mean_ns", histogram_mean(times));
	put_number(json, "deviation_ns", histogram_deviation(times));
	open_group(json, "percentiles_ns", '{');
	for (size_t i = 0; i < ARRAY_SIZE(percentiles); i++)
		put_measured(json, percentiles[i].name, histogram_at(times, percentiles[i].part));
	close_group(json, '}');
	close_group(json, '}');
}

static void put_latency(struct json *json, const struct result *result)
{
	static const char *const of[] = {
		[LATENCY_NONE] = NULL,
		[LATENCY_OWN] = "requests",
		[LATENCY_PROBE] = "probe",
	};
	enum result_latency latency = result_mode(result->plan->mode)->latency;

	open_group(json, "latency", '{');
	if (of[latency])
		put_string(json, "of", of[latency]);
	else
		put_null(json, "of");
	if (latency == LATENCY_NONE)
		put_null(json, "corrected");
	else
		put_times(json, "corrected", &result->total.corrected);
	if (result_is_open_loop(result))
		put_times(json, "uncorrected", &result->total.uncorrected);
	else
		put_null(json, "uncorrected");
	put_times(json, "connect", &result->total.connecting);
	close_group(json, '}');
}

/* A name of a kind, "wrong-bytes", as a key. */
static const char *key_of(char out[32], const char *name)
{
	snprintf(out, 32, "%s", name);
	for (char *c = out; *c; c++)
		if (*c == '-')
			*c = '_';
	return out;
}

static void put_errors(struct json *json, const struct stats *total)
{
	char key[32];

	open_group(json, "errors", '{');
	for (enum stats_error i = 0; i < STATS_ERRORS; i++)
		put_count(json, key_of(key, stats_error_name(i)), total->errors[i]);
	close_group(json, '}');
	if (*total->first_error)
		put_string(json, "first_error", total->first_error);
	else
		put_null(json, "first_error");
}

static void put_threads(struct json *json, const struct result *result)
{
	open_group(json, "threads", '[');
	for (unsigned i = 0; i < result->plan->threads; i++) {
		open_group(json, NULL, '{');
		put_counts(json, &result->threads[i]);
		close_group(json, '}');
	}
	close_group(json, ']');
}

static void put_machine(struct json *json, const struct result *result)
{
	put_measured(json, "server_cpu_ns", result->server_cpu_ns);
	put_measured(json, "client_cpu_ns", result->client_cpu_ns);
	put_measured(json, "cpu_window_ns", result->client_cpu_ns < 0 ? -1 : result->cpu_window_ns);
	put_measured(json, "time_wait_before", result->time_wait_before);
	put_measured(json, "time_wait_after", result->time_wait_after);
}

void result_print_json(const struct result *result, FILE *out)
{
	struct json json = { .out = out, .depth = 1 };

	fputc('{', out);
	put_count(&json, "format_version", FORMAT_VERSION);
	put_bool(&json, "good", result_is_good(result));
	put_bool(&json, "interrupted", result->interrupted);
	put_plan(&json, result->plan);
	put_totals(&json, result);
	put_latency(&json, result);
	put_errors(&json, &result->total);
	put_threads(&json, result);
	put_machine(&json, result);
	fputs("\n}\n", out);
}
