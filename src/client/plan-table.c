/* SPDX-License-Identifier: MIT */
/*
 * One row for each option of the command line. A new option is a row here and a member of struct
 * plan, and a line in plan_usage and in simple-client(1), which tests ask for.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "plan-private.h"
#include "util.h"

#define MEMBER(member_)                                                                            \
	.offset = offsetof(struct plan, member_), .size = sizeof(((struct plan *)0)->member_)

/* What the argument must be. */
#define INTEGER(min_, max_) .type = PLAN_INTEGER, .min = (min_), .max = (max_), .unit = ""
#define SECONDS(min_ms, max_s)                                                                     \
	.type = PLAN_SECONDS, .min = (min_ms) * (BILLION / 1000), .max = (max_s)*BILLION,          \
	.unit = "s"
#define WORD(words_) .type = PLAN_WORD, .unit = "", .words = (words_)
#define TYPE(type_)  .type = (type_), .unit = ""

/* The modes in which the option means something. */
#define IN(mode)   (1u << MODE_##mode)
#define IN_ALL     ((1u << MODES) - 1)
#define IN_SENDING (IN_ALL & ~(IN(CHARGEN) | IN(DAYTIME) | IN(TIME)))
#define IN_ECHOING (IN(ECHO) | IN(CHURN) | IN(IDLE) | IN(HALF_CLOSE) | IN(RESET))

#define DAY         (24 * 3600)
#define MESSAGE_MAX (16 * 1024 * 1024)

static const char *const mode_words[] = {
	[MODE_ECHO] = "echo",
	[MODE_DISCARD] = "discard",
	[MODE_CHARGEN] = "chargen",
	[MODE_DAYTIME] = "daytime",
	[MODE_TIME] = "time",
	[MODE_CHURN] = "churn",
	[MODE_IDLE] = "idle",
	[MODE_DRIP] = "drip",
	[MODE_DEAF] = "deaf",
	[MODE_HALF_CLOSE] = "half-close",
	[MODE_RESET] = "reset",
	[MODE_SILENT] = "silent",
	[MODES] = NULL,
};

static const char *const close_words[] = {
	[CLOSE_CLIENT] = "client", [CLOSE_HALF] = "half",    [CLOSE_SERVER] = "server",
	[CLOSE_RESET] = "reset",   [CLOSE_RESET + 1] = NULL,
};

const struct plan_row plan_table[] = {
	{ "mode", 'm', WORD(mode_words), .initial = MODE_ECHO, .modes = IN_ALL, MEMBER(mode) },
	{ "connections", 'c', INTEGER(1, 1000000), .initial = 1, .modes = IN_ALL,
	  MEMBER(connections) },
	{ "threads", 't', INTEGER(1, 1024), .initial = 1, .modes = IN_ALL, MEMBER(threads) },
	{ "size", 's', TYPE(PLAN_SIZES), .min = 1, .max = MESSAGE_MAX, .initial = 64,
	  .modes = IN_SENDING, MEMBER(size_min) },
	{ "depth", '\0', INTEGER(1, 4096), .initial = 1, .modes = IN(ECHO), MEMBER(depth) },
	{ "writes", '\0', INTEGER(1, 1024), .initial = 1, .modes = IN_ECHOING, MEMBER(writes) },
	{ "rate", 'r', TYPE(PLAN_RATE), .min = BILLION / 1000, .max = 10000000 * BILLION,
	  .modes = IN(ECHO) | IN(CHURN), MEMBER(rate) },
	{ "close", '\0', WORD(close_words), .initial = CLOSE_CLIENT, .modes = IN(CHURN),
	  MEMBER(close) },
	{ "duration", 'd', SECONDS(1, 366 * DAY), .initial = 10 * BILLION, .modes = IN_ALL,
	  MEMBER(duration_ns) },
	{ "count", 'n', INTEGER(1, 1000000000000000), .modes = IN_ALL, MEMBER(count) },
	{ "warmup", '\0', SECONDS(0, DAY), .modes = IN_ALL, MEMBER(warmup_ns) },
	{ "interval", '\0', SECONDS(1, DAY), .initial = BILLION, .modes = IN(IDLE) | IN(DRIP),
	  MEMBER(interval_ns) },
	{ "timeout", '\0', SECONDS(1, DAY), .initial = 10 * BILLION, .modes = IN_ALL,
	  MEMBER(timeout_ns) },
	{ "connecting", '\0', INTEGER(1, 65536), .initial = 128, .modes = IN_ALL,
	  MEMBER(connecting) },
	{ "source", '\0', TYPE(PLAN_SOURCES), .modes = IN_ALL },
	{ "option", 'o', TYPE(PLAN_OPTION), .modes = IN_ALL },
	{ "seed", '\0', INTEGER(0, INT64_MAX), .initial = 1, .modes = IN_ALL, MEMBER(seed) },
	{ "server-pid", '\0', INTEGER(1, INT32_MAX), .modes = IN_ALL, MEMBER(server_pid) },
	{ "json", '\0', TYPE(PLAN_FLAG), .modes = IN_ALL, MEMBER(json) },
	{ "quiet", 'q', TYPE(PLAN_FLAG), .modes = IN_ALL, MEMBER(quiet) },
	{ "histogram", '\0', TYPE(PLAN_FILE), .modes = IN_ALL, MEMBER(histogram_file) },
	{ "plot", '\0', TYPE(PLAN_FILE), .modes = IN_ALL, MEMBER(plot_file) },
	{ "help", 'h', TYPE(PLAN_VERDICT), .initial = PLAN_HELP, .modes = IN_ALL },
	{ "version", 'V', TYPE(PLAN_VERDICT), .initial = PLAN_VERSION, .modes = IN_ALL },
};

const size_t plan_table_count = ARRAY_SIZE(plan_table);
_Static_assert(ARRAY_SIZE(plan_table) <= PLAN_ROWS_MAX, "more options than PLAN_ROWS_MAX");

const char *plan_mode_name(enum plan_mode mode)
{
	return mode_words[mode];
}

const struct plan_row *plan_row_find(const char *name)
{
	for (size_t i = 0; i < plan_table_count; i++)
		if (strcmp(plan_table[i].name, name) == 0)
			return &plan_table[i];
	return NULL;
}

static void store(const struct plan_row *row, struct plan *plan, int64_t number)
{
	void *member = (char *)plan + row->offset;

	if (row->size == sizeof(bool))
		*(bool *)member = number != 0;
	else if (row->size == sizeof(int))
		*(int *)member = (int)number;
	else
		*(int64_t *)member = number;
}

void plan_row_init(const struct plan_row *row, struct plan *plan)
{
	if (row->type == PLAN_RATE)
		plan->rate = 0;
	else if (row->type == PLAN_SIZES)
		plan->size_min = plan->size_max = (size_t)row->initial;
	else if (row->type == PLAN_WORD || row->type == PLAN_INTEGER || row->type == PLAN_SECONDS)
		store(row, plan, row->initial);
}

static bool in_range(const struct plan_row *row, int64_t number)
{
	return number >= row->min && number <= row->max;
}

static bool read_word(const struct plan_row *row, const char *text, struct plan *plan)
{
	for (int64_t i = 0; row->words[i]; i++)
		if (strcmp(row->words[i], text) == 0) {
			store(row, plan, i);
			return true;
		}
	return false;
}

static bool read_sizes(const struct plan_row *row, const char *text, struct plan *plan)
{
	int64_t min, max;

	if (!plan_value_sizes(text, &min, &max) || min > max || min < row->min || max > row->max)
		return false;
	plan->size_min = (size_t)min;
	plan->size_max = (size_t)max;
	return true;
}

static bool read_number(const struct plan_row *row, const char *text, struct plan *plan)
{
	int64_t number;

	if (!(row->type == PLAN_INTEGER ? plan_value_integer(text, &number)
					: plan_value_decimal(text, &number)) ||
	    !in_range(row, number))
		return false;
	if (row->type == PLAN_RATE)
		plan->rate = (double)number / (double)BILLION;
	else
		store(row, plan, number);
	return true;
}

bool plan_row_read(const struct plan_row *row, const char *text, struct plan *plan)
{
	switch (row->type) {
	case PLAN_FLAG:
		store(row, plan, true);
		return true;
	case PLAN_WORD:
		return read_word(row, text, plan);
	case PLAN_INTEGER:
	case PLAN_SECONDS:
	case PLAN_RATE:
		return read_number(row, text, plan);
	case PLAN_SIZES:
		return read_sizes(row, text, plan);
	case PLAN_FILE:
		*(const char **)((char *)plan + row->offset) = text;
		return *text != '\0';
	case PLAN_VERDICT:
	case PLAN_SOURCES:
	case PLAN_OPTION:
		break;
	}
	return false;
}

/* The words of a mask as a sentence has them. */
static const char *list(char out[PLAN_EXPECTED_MAX], const char *const *words, unsigned mask,
			const char *last)
{
	size_t n = 0;

	*out = '\0';
	for (unsigned i = 0; mask >> i && n < PLAN_EXPECTED_MAX; i++) {
		if (!(mask >> i & 1))
			continue;
		n += (size_t)snprintf(out + n, PLAN_EXPECTED_MAX - n, "%s%s",
				      n == 0           ? ""
				      : mask >> i == 1 ? last
						       : ", ",
				      words[i]);
	}
	return out;
}

const char *plan_modes_list(char out[PLAN_EXPECTED_MAX], unsigned modes)
{
	return list(out, mode_words, modes, " and ");
}

const char *plan_row_expected(char out[PLAN_EXPECTED_MAX], const struct plan_row *row)
{
	unsigned all = 0;

	for (unsigned i = 0; row->words && row->words[i]; i++)
		all |= 1u << i;
	if (row->type == PLAN_WORD)
		list(out, row->words, all, " or ");
	else if (row->type == PLAN_INTEGER)
		snprintf(out, PLAN_EXPECTED_MAX, "an integer from %" PRId64 " to %" PRId64 "%s%s",
			 row->min, row->max, *row->unit ? " " : "", row->unit);
	else if (row->type == PLAN_SIZES)
		snprintf(out, PLAN_EXPECTED_MAX,
			 "bytes from %" PRId64 " to %" PRId64 "M, or two with the smaller one "
			 "first, such as 64, 4k or 1-64k",
			 row->min, row->max / (1024 * 1024));
	else if (row->type == PLAN_FILE)
		snprintf(out, PLAN_EXPECTED_MAX, "the name of a file");
	else
		snprintf(out, PLAN_EXPECTED_MAX, "a number from %.9g to %.9g%s%s",
			 (double)row->min / (double)BILLION, (double)row->max / (double)BILLION,
			 *row->unit ? " " : "", row->unit);
	return out;
}
