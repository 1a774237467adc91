/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "result-private.h"
#include "units.h"
#include "util.h"

const struct result_mode *result_mode(enum plan_mode mode)
{
	/* unit, latency, sends, holds */
	static const struct result_mode modes[MODES] = {
		[MODE_ECHO] = { "request", LATENCY_OWN, true, false },
		[MODE_DISCARD] = { "message", LATENCY_NONE, true, false },
		[MODE_CHARGEN] = { "line", LATENCY_NONE, false, false },
		[MODE_DAYTIME] = { "connection", LATENCY_OWN, false, false },
		[MODE_TIME] = { "connection", LATENCY_OWN, false, false },
		[MODE_CHURN] = { "connection", LATENCY_OWN, true, false },
		[MODE_IDLE] = { "proof", LATENCY_OWN, true, false },
		[MODE_DRIP] = { "probe", LATENCY_PROBE, true, true },
		[MODE_DEAF] = { "probe", LATENCY_PROBE, true, true },
		[MODE_HALF_CLOSE] = { "connection", LATENCY_OWN, true, false },
		[MODE_RESET] = { "probe", LATENCY_PROBE, true, false },
		[MODE_SILENT] = { "probe", LATENCY_PROBE, false, true },
	};

	return &modes[mode];
}

bool result_is_open_loop(const struct result *result)
{
	const struct plan *plan = result->plan;

	return plan->rate > 0 || plan->mode == MODE_IDLE ||
	       result_mode(plan->mode)->latency == LATENCY_PROBE;
}

const char *result_close_name(enum plan_close close)
{
	static const char *const names[] = {
		[CLOSE_CLIENT] = "client",
		[CLOSE_HALF] = "half",
		[CLOSE_SERVER] = "server",
		[CLOSE_RESET] = "reset",
	};

	return names[close];
}

const char *result_error_words(enum stats_error error)
{
	static const char *const words[STATS_ERRORS] = {
		[STATS_CONNECT] = "connections failed",
		[STATS_CONNECT_TIMEOUT] = "not connected in time",
		[STATS_ANSWER_TIMEOUT] = "no answer in time",
		[STATS_RESET] = "reset by the server",
		[STATS_SHORT] = "closed by the server before all had come",
		[STATS_WRONG_BYTES] = "wrong bytes",
		[STATS_EXTRA_BYTES] = "more bytes than had to come",
		[STATS_SYSTEM] = "no descriptor, memory or local port here",
	};

	return words[error];
}

static uint64_t get(const _Atomic uint64_t *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

static void add(_Atomic uint64_t *into, const _Atomic uint64_t *from)
{
	atomic_fetch_add_explicit(into, get(from), memory_order_relaxed);
}

static void sum(struct stats *into, const struct stats *from)
{
	add(&into->requests, &from->requests);
	add(&into->connects, &from->connects);
	add(&into->bytes_out, &from->bytes_out);
	add(&into->bytes_in, &from->bytes_in);
	for (enum stats_error i = 0; i < STATS_ERRORS; i++)
		add(&into->errors[i], &from->errors[i]);
	into->open += from->open;
	into->most_open += from->most_open;
	into->closed_by_server += from->closed_by_server;
	into->unsent += from->unsent;
	histogram_merge(&into->corrected, &from->corrected);
	histogram_merge(&into->uncorrected, &from->uncorrected);
	histogram_merge(&into->connecting, &from->connecting);
	if (into->window_ns < from->window_ns)
		into->window_ns = from->window_ns;
	if (!*into->first_error)
		memcpy(into->first_error, from->first_error, sizeof(into->first_error));
}

void result_sum(struct result *result)
{
	struct stats *total = &result->total;

	memset(total, 0, sizeof(*total));
	histogram_init(&total->corrected);
	histogram_init(&total->uncorrected);
	histogram_init(&total->connecting);
	for (unsigned i = 0; i < result->plan->threads; i++)
		sum(total, &result->threads[i]);
}

uint64_t result_errors(const struct stats *stats)
{
	uint64_t errors = 0;

	for (enum stats_error i = 0; i < STATS_ERRORS; i++)
		errors += get(&stats->errors[i]);
	return errors;
}

bool result_is_good(const struct result *result)
{
	const struct result_mode *mode = result_mode(result->plan->mode);
	const struct stats *total = &result->total;

	if (result_errors(total) > 0)
		return false;
	return get(&total->requests) > 0 || (mode->holds && total->most_open > 0) ||
	       (mode->latency == LATENCY_NONE &&
		get(&total->bytes_out) + get(&total->bytes_in) > 0);
}

double result_seconds(const struct result *result)
{
	return result->total.window_ns > 0 ? (double)result->total.window_ns / 1e9 : 0;
}

double result_per_second(const struct result *result, uint64_t count)
{
	double seconds = result_seconds(result);

	return seconds > 0 ? (double)count / seconds : 0;
}

/* Appends to the text, which ends where the room does. */
static void append(char out[RESULT_TEXT_MAX], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void append(char out[RESULT_TEXT_MAX], const char *format, ...)
{
	size_t n = strlen(out);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(out + n, RESULT_TEXT_MAX - n, format, arguments);
	va_end(arguments);
}

const char *result_title(char out[RESULT_TEXT_MAX], const struct plan *plan)
{
	char target[REPORT_ESCAPED_MAX], address[PLAN_ADDRESS_MAX];

	*out = '\0';
	report_escape(target, plan->target);
	append(out, "%s to %s", plan_mode_name(plan->mode), target);
	if (plan->n_addresses == 0)
		return out;
	plan_address_format(address, &plan->addresses[0]);
	if (strcmp(address, plan->target) != 0)
		append(out, " (%s)", address);
	if (plan->n_addresses > 1)
		append(out, " and %zu more", plan->n_addresses - 1);
	return out;
}

static void append_number(char out[RESULT_TEXT_MAX], uint64_t number, const char *unit)
{
	char text[UNITS_MAX];

	append(out, "%s", units_of(text, number, unit));
}

static void append_message(char out[RESULT_TEXT_MAX], const struct plan *plan)
{
	char from[UNITS_MAX];

	append(out, ", ");
	if (plan->size_min < plan->size_max)
		append(out, "%s to ", units_count(from, plan->size_min));
	append_number(out, plan->size_max, "byte");
	if (plan->writes > 1)
		append(out, " in %u writes", plan->writes);
}

static void append_loop(char out[RESULT_TEXT_MAX], const struct plan *plan)
{
	char rate[UNITS_MAX];

	if (plan->rate > 0)
		append(out, ", open loop at %s %ss/s", units_number(rate, plan->rate),
		       result_mode(plan->mode)->unit);
	else
		append(out, ", closed loop");
}

const char *result_manner(char out[RESULT_TEXT_MAX], const struct plan *plan)
{
	static const char *const closes[] = {
		[CLOSE_CLIENT] = "the client closes",
		[CLOSE_HALF] = "the client half-closes",
		[CLOSE_SERVER] = "the server closes",
		[CLOSE_RESET] = "the client resets",
	};

	*out = '\0';
	append_number(out, plan->threads, "thread");
	append(out, ", ");
	append_number(out, plan->connections, "connection");
	if (result_mode(plan->mode)->sends)
		append_message(out, plan);
	if (plan->mode == MODE_ECHO && plan->depth > 1)
		append(out, ", depth %u", plan->depth);
	if (plan->mode == MODE_CHURN)
		append(out, ", %s", closes[plan->close]);
	if (plan->mode == MODE_ECHO || plan->mode == MODE_CHURN)
		append_loop(out, plan);
	return out;
}
