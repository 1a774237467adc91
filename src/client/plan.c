/* SPDX-License-Identifier: MIT */
/* See plan.h. Everything that is wrong is found in one pass, and reported. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "plan-private.h"
#include "util.h"

const char plan_usage[] =
	"Usage: simple-client [OPTION...] ADDRESS\n"
	"\n"
	"Gives a server work, checks each byte that comes back, and measures how long it took.\n"
	"ADDRESS is HOST:PORT, [IPV6]:PORT, the path of an AF_UNIX socket, or @NAME.\n"
	"\n"
	"What to do:\n"
	"  -m, --mode MODE           the work (echo):\n"
	"                              echo, discard, chargen, daytime, time  the protocols\n"
	"                              churn  connect, one exchange, close, and again\n"
	"                              idle   hold connections, and see that they live\n"
	"                              drip, deaf, half-close, reset, silent  bad clients\n"
	"  -c, --connections N       connections at the same time (1)\n"
	"  -t, --threads N           threads that share them (1)\n"
	"  -s, --size N|MIN-MAX      bytes of a message; k and M are understood (64)\n"
	"      --depth N             requests under way on one connection (1)\n"
	"      --writes N            send() calls that a message is cut into (1)\n"
	"  -r, --rate N              requests a second in all, at scheduled times\n"
	"      --close HOW           churn: client, half, server or reset closes (client)\n"
	"\n"
	"How long:\n"
	"  -d, --duration SECONDS    what is measured (10)\n"
	"  -n, --count N             end after so many requests instead\n"
	"      --warmup SECONDS      before that, and not measured (0)\n"
	"      --interval SECONDS    between bytes of drip, or proofs of idle (1)\n"
	"      --timeout SECONDS     for a connect, and for an answer (10)\n"
	"\n"
	"From where, and how:\n"
	"      --source ADDRESS      connect from there; also a range A-B or a prefix A/N;\n"
	"                            may be repeated\n"
	"  -o, --option NAME=VALUE   a socket option, as in simple-server.conf(5)\n"
	"      --connecting N        connects under way at the same time (128)\n"
	"      --seed N              of sizes and contents (1)\n"
	"\n"
	"What to show:\n"
	"      --server-pid PID      measure the processor time of this process\n"
	"      --json                the result as JSON\n"
	"  -q, --quiet               no progress\n"
	"      --histogram FILE      percentiles as HdrHistogram writes them\n"
	"      --plot FILE           the percentile curve as SVG\n"
	"  -h, --help, -V, --version print this, or the version; then exit\n"
	"\n"
	"See simple-client(1).\n";

/* Above all letters: getopt_long() returns LONG + index in the table. */
#define LONG 256

struct reader {
	struct plan *plan;
	struct report *report;
	uint64_t given; /* 1 << index in plan_table */
	bool misread;   /* an argument is not what it has to be */
	bool lost;      /* an operand may be the argument of an option that there is not */
	enum plan_verdict verdict;
	struct option longs[PLAN_ROWS_MAX + 1];
	char shorts[2 * PLAN_ROWS_MAX + 2];
};

static bool has_argument(const struct plan_row *row)
{
	return row->type > PLAN_VERDICT;
}

/* The table in the forms that getopt_long() wants. */
static void prepare(struct reader *reader)
{
	char *s = reader->shorts;

	*s++ = ':';
	for (size_t i = 0; i < plan_table_count; i++) {
		const struct plan_row *row = &plan_table[i];

		reader->longs[i] = (struct option){ row->name, has_argument(row), NULL,
						    LONG + (int)i };
		if (!row->letter)
			continue;
		*s++ = row->letter;
		if (has_argument(row))
			*s++ = ':';
	}
}

/* The row for what getopt_long() returned, or NULL. */
static const struct plan_row *row_of(int option)
{
	if (option >= LONG)
		return &plan_table[option - LONG];
	for (size_t i = 0; option && i < plan_table_count; i++)
		if (plan_table[i].letter == option)
			return &plan_table[i];
	return NULL;
}

static void complain_unknown_word(struct reader *reader, const char *word)
{
	const char *names[PLAN_ROWS_MAX + 1] = { NULL }, *near;
	char name[REPORT_ESCAPED_MAX], shown[REPORT_ESCAPED_MAX];

	reader->lost |= !strchr(word, '=');
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	for (size_t i = 0; i < plan_table_count; i++) {
		names[i] = plan_table[i].name;
		if (strncmp(name, names[i], strlen(name)) == 0) {
			report_add(reader->report, "--%s is the beginning of more than one option",
				   name);
			return;
		}
	}
	near = report_nearest(name, names);
	if (near)
		report_add(reader->report, "there is no --%s; did you mean --%s?",
			   report_escape(shown, name), near);
	else
		report_add(reader->report, "there is no --%s", report_escape(shown, name));
}

/* What getopt_long() answers '?' or ':' to; it leaves in optopt what it is about. */
static void complain(struct reader *reader, int answer, const char *word)
{
	const struct plan_row *row = row_of(optopt);

	if (row && answer == ':')
		report_add(reader->report, "--%s has no argument", row->name);
	else if (row)
		report_add(reader->report, "--%s takes no argument", row->name);
	else if (!optopt)
		complain_unknown_word(reader, word + 2);
	else {
		reader->lost = true;
		report_add(reader->report, "there is no -%c", optopt);
	}
}

static void complain_value(struct reader *reader, const struct plan_row *row, const char *text)
{
	const char *near = row->type == PLAN_WORD ? report_nearest(text, row->words) : NULL;
	char expected[PLAN_EXPECTED_MAX], shown[REPORT_ESCAPED_MAX];

	reader->misread = true;
	if (near)
		report_add(reader->report, "--%s: there is no \"%s\"; did you mean %s?", row->name,
			   report_escape(shown, text), near);
	else
		report_add(reader->report, "--%s: \"%s\" is not possible; write %s", row->name,
			   report_escape(shown, text), plan_row_expected(expected, row));
}

static void take(struct reader *reader, const struct plan_row *row, const char *text)
{
	reader->given |= UINT64_C(1) << (row - plan_table);
	if (row->type == PLAN_VERDICT)
		reader->verdict = (enum plan_verdict)row->initial;
	else if (row->type == PLAN_SOURCES)
		plan_source_read(text, reader->plan, reader->report);
	else if (row->type == PLAN_OPTION)
		plan_option_read(text, reader->plan, reader->report);
	else if (!plan_row_read(row, text, reader->plan))
		complain_value(reader, row, text);
}

static void read_options(struct reader *reader, int argc, char **argv)
{
	int option;

	opterr = 0;
	optind = 0; /* begins anew, also where it stopped in the middle of a word */
	while ((option = getopt_long(argc, argv, reader->shorts, reader->longs, NULL)) != -1) {
		const struct plan_row *row = row_of(option); /* '?' and ':' are nobody's letter */

		if (row)
			take(reader, row, optarg);
		else
			complain(reader, option, argv[optind - 1]);
	}
}

static void read_operands(struct reader *reader, int argc, char **argv)
{
	char shown[REPORT_ESCAPED_MAX];

	if (optind == argc)
		report_add(reader->report, "no address; write where to connect to, such as "
					   "localhost:7777");
	for (int i = optind + 1; i < argc; i++)
		report_add(reader->report, "\"%s\" is one address too many",
			   report_escape(shown, argv[i]));
	if (optind == argc)
		return;
	reader->plan->target = argv[optind];
	plan_target_read(reader->plan, reader->report);
}

/* What is only known when all has been read; before it, the report had so many lines. */
static void finish(struct reader *reader, size_t before)
{
	struct plan *plan = reader->plan;

	if (plan->count)
		plan->duration_ns = 0;
	plan_sources_match(plan, reader->report);
	plan_options_finish(plan, reader->report);
	/* What was misread has its default: it would contradict what nobody wrote. */
	if (!reader->misread)
		plan_check(plan, reader->given, reader->report);
	if (reader->report->n_lines == before)
		plan_try(plan, reader->report);
}

static int init(struct plan *plan, struct report *report)
{
	*plan = (struct plan){ 0 };
	for (size_t i = 0; i < plan_table_count; i++)
		plan_row_init(&plan_table[i], plan);
	plan->options = calloc(sockopt_count, sizeof(*plan->options));
	if (plan->options)
		return 0;
	report_add(report, "out of memory");
	return -EINVAL;
}

int plan_parse(struct plan *plan, int argc, char **argv, struct report *report)
{
	struct reader reader = { .plan = plan, .report = report };
	size_t before = report->n_lines;

	if (init(plan, report) < 0)
		return -EINVAL;
	prepare(&reader);
	read_options(&reader, argc, argv);
	if (reader.verdict == PLAN_RUN) {
		if (!reader.lost)
			read_operands(&reader, argc, argv);
		finish(&reader, before);
	}
	if (report->n_lines == before)
		return (int)reader.verdict;
	plan_deinit(plan);
	return -EINVAL;
}

void plan_deinit(struct plan *plan)
{
	free(plan->addresses);
	free(plan->sources);
	free(plan->options);
	*plan = (struct plan){ 0 };
}
