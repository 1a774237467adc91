/* SPDX-License-Identifier: MIT */
/*
 * What the files of the plan share: the table of the command line, the readers of its values, and
 * the addresses. Used by main's thread alone.
 */
#ifndef SIMPLE_CLIENT_PLAN_PRIVATE_H
#define SIMPLE_CLIENT_PLAN_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "plan.h"
#include "report.h"

#define BILLION INT64_C(1000000000)

enum plan_type {
	PLAN_FLAG,    /* no argument; a bool */
	PLAN_VERDICT, /* no argument; asks for something else than a run */
	PLAN_WORD,    /* one of `words`; its index */
	PLAN_INTEGER,
	PLAN_SECONDS, /* with a fraction; in ns */
	PLAN_RATE,    /* with a fraction; a double, but `min` and `max` are billionths */
	PLAN_SIZES,   /* one or two, with k or M: size_min and size_max */
	PLAN_FILE,    /* a name; borrowed. Up to this one, an argument has one member */
	PLAN_SOURCES,
	PLAN_OPTION, /* a socket option, NAME=VALUE */
};

struct plan_row {
	const char *name;
	char letter; /* '\0': none */
	enum plan_type type;
	int64_t min, max;
	const char *unit; /* "" without one */
	const char *const *words;
	int64_t initial;
	unsigned modes;      /* 1 << enum plan_mode: those in which it means something */
	size_t offset, size; /* of the member; a number may be of any integer type */
};

#define PLAN_ROWS_MAX 64
extern const struct plan_row plan_table[];
extern const size_t plan_table_count;

/* Row by name, or NULL. */
const struct plan_row *plan_row_find(const char *name);

/* What the member has at the start. Nothing for those that have no member. */
void plan_row_init(const struct plan_row *row, struct plan *plan);

/* Reads `text` into the member, up to PLAN_FILE; false if it is not as the row says. */
bool plan_row_read(const struct plan_row *row, const char *text, struct plan *plan);

/* "an integer from 1 to 64", "client, half or server", ... */
#define PLAN_EXPECTED_MAX 256
const char *plan_row_expected(char out[PLAN_EXPECTED_MAX], const struct plan_row *row);

/* The modes of a mask: "echo", "echo and churn", ... */
const char *plan_modes_list(char out[PLAN_EXPECTED_MAX], unsigned modes);

/* The whole text as a number, decimal or as 0x1f; false if it is none, or too large. */
bool plan_value_integer(const char *text, int64_t *ret_number);

/* The whole text as a decimal number with up to nine digits on each side of the point. */
bool plan_value_decimal(const char *text, int64_t *ret_billionths);

/* "64", "4k", "64-4k", "1M"; k is 1024. */
bool plan_value_sizes(const char *text, int64_t *ret_min, int64_t *ret_max);

/*
 * Reads NAME=VALUE into the element of plan->options, which has one for each row of sockopt_table.
 * What is wrong goes to the report.
 */
void plan_option_read(const char *text, struct plan *plan, struct report *report);

/*
 * Adds the defaults, leaves only what is set, and looks whether it fits the addresses of the
 * target.
 */
void plan_options_finish(struct plan *plan, struct report *report);

/* Resolves plan->target. */
void plan_target_read(struct plan *plan, struct report *report);

/* Adds one address, a range or a prefix to plan->sources. */
void plan_source_read(const char *text, struct plan *plan, struct report *report);

/* Leaves of the addresses those that can be connected to from the sources. */
void plan_sources_match(struct plan *plan, struct report *report);

/* enum sockopt_family of all `n` addresses together. */
unsigned plan_families(const struct plan_address *addresses, size_t n);

/* "IPv4", "IPv6", "AF_UNIX" */
const char *plan_family_name(unsigned family);

/* Appends one. 0 or -ENOMEM. */
int plan_address_add(struct plan_address **addresses, size_t *n, const void *address,
		     socklen_t length);

/* Whether the options of the command line fit each other; `given` has 1 << index in plan_table. */
void plan_check(const struct plan *plan, uint64_t given, struct report *report);

/* Whether the kernel takes the options and the sources. */
void plan_try(const struct plan *plan, struct report *report);

#endif
