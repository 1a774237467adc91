/* SPDX-License-Identifier: MIT */
/*
 * A module of the first version of the binary interface, compiled against its header as it was
 * then; tests/abi.sh runs it in the server of today. It has every callback, makes every call, and
 * has a key of every type. Neither it nor the header beside it is ever changed: what is new gets a
 * module of its own.
 *
 * A request is a line, the answer what the call says. What has no connection is told on stderr.
 */
#define _POSIX_C_SOURCE 200809L
#include "simple-server-1.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_LONGEST 100
#define BLOB_SIZE    ((size_t)1 << 20)
#define QUEUE_SIZE   ((size_t)8 << 20) /* beyond what the kernel buffers */

struct settings {
	bool flag;
	int number, pause, word;
	int64_t large;
	const char *string, *missing;
};

static const char *const words[] = { "zero", "one", "two", NULL };

static const struct ss_key keys[] = {
	SS_BOOL(struct settings, flag, true, "a bool"),
	SS_INTEGER(struct settings, number, -5, 100, 7, "pieces", "an integer"),
	SS_SECONDS(struct settings, pause, 10, 60000, 1500, "a time"),
	SS_WORD(struct settings, word, words, 1, "a word"),
	SS_INTEGER(struct settings, large, 0, INT64_MAX, INT64_C(1) << 40, "bytes", "an int64_t"),
	SS_STRING(struct settings, string, 1, 20, "hello", "a string"),
	SS_STRING(struct settings, missing, 1, 20, NULL, "a string that is not there"),
	SS_NO_MORE_KEYS,
};

enum { LINES, OPEN };
static const char *const counters[] = { "lines", "open", NULL };

struct session {
	int lines, sends_blob, finished; /* the peer has */
	size_t place;                    /* in the blob */
	int64_t armed;
};

struct job {
	char text[LINE_LONGEST + 1];
};

static struct ss_blob *blob;
static int service_state = 1; /* its address is the state */

static void tell(const char *callback)
{
	fprintf(stderr, "module-1: %s\n", callback);
}

static void answer(struct ss_connection *c, const char *format, ...) SS_FORMAT(2, 3);

static void answer(struct ss_connection *c, const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	text[n] = '\n';
	ss_write(c, text, (size_t)n + 1);
}

/* ---- the module, its services and workers */

static int module_check(const void *settings, char *problem, size_t size)
{
	const struct settings *s = settings;

	if (s->number != 13)
		return 0;
	snprintf(problem, size, "number cannot be %d", s->number);
	return -EINVAL;
}

static int module_load(void)
{
	char *bytes = malloc(BLOB_SIZE);

	tell("load");
	if (!bytes)
		return -ENOMEM;
	memset(bytes, 'b', BLOB_SIZE);
	bytes[BLOB_SIZE - 1] = '\n';
	blob = ss_blob_new(bytes, BLOB_SIZE);
	free(bytes);
	return blob ? 0 : -errno;
}

static int module_start(struct ss_service *service)
{
	tell("start");
	ss_set_service_state(service, &service_state);
	ss_log(NULL, LOG_NOTICE, "start of %s", ss_service_name(service));
	return 0;
}

static void module_stop(struct ss_service *service)
{
	tell(ss_service_state(service) == &service_state ? "stop" : "stop without its state");
}

static int module_worker_start(struct ss_worker *worker)
{
	int *state = calloc(1, sizeof(*state));

	tell("worker_start");
	if (!state || ss_service_state(ss_worker_service(worker)) != &service_state)
		return -EINVAL;
	ss_set_worker_state(worker, state);
	return 0;
}

static void module_worker_stop(struct ss_worker *worker)
{
	tell("worker_stop");
	free(ss_worker_state(worker));
}

/* ---- the calls, one by one */

static void show_settings(struct ss_connection *c)
{
	const struct settings *s = ss_settings(ss_service_of(c));

	answer(c, "%d %d %d %d %" PRId64 " %s %s", s->flag, s->number, s->pause, s->word, s->large,
	       s->string, s->missing ? s->missing : "none");
}

static void show_worker(struct ss_connection *c)
{
	struct ss_worker *worker = ss_worker_of(c);
	int *state = ss_worker_state(worker);

	++*state;
	answer(c, "worker %u %s %s", ss_worker_index(worker), *state > 0 ? "counts" : "lost",
	       ss_worker_service(worker) == ss_service_of(c) ? "same" : "other");
}

static void show_who(struct ss_connection *c)
{
	char peer[SS_PEER_MAX];

	answer(c, "%s %s %s", ss_service_name(ss_service_of(c)), ss_peer(c, peer),
	       ss_id(c) > 0 && ss_now(c) > 0 ? "ok" : "no id or no time");
}

static void queue_much(struct ss_connection *c)
{
	char *bytes = malloc(QUEUE_SIZE);

	if (!bytes)
		return;
	memset(bytes, 'q', QUEUE_SIZE);
	bytes[QUEUE_SIZE - 1] = '\n';
	ss_write(c, bytes, QUEUE_SIZE);
	free(bytes);
	if (ss_queued(c) == 0 || ss_ready(c))
		ss_log(c, LOG_ERR, "nothing was queued");
}

static void finish(struct ss_connection *c)
{
	const void *rest;
	size_t length = ss_rest(c, &rest);

	answer(c, "eof %.*s", (int)length, length ? (const char *)rest : "");
	ss_close(c);
}

/* Nothing of a blob is queued: data() and eof() may come in the middle of it. */
static void send_blob(struct ss_connection *c)
{
	struct session *s = ss_state(c);

	s->sends_blob = 1;
	s->place += ss_send_blob(c, blob, s->place, BLOB_SIZE - s->place);
	if (s->place < BLOB_SIZE)
		return;
	s->sends_blob = 0;
	s->place = 0;
	if (s->finished)
		finish(c);
}

static void work(void *argument)
{
	struct job *job = argument;
	size_t i;

	for (i = 0; job->text[i]; i++)
		if (job->text[i] >= 'a' && job->text[i] <= 'z')
			job->text[i] = (char)(job->text[i] - 'a' + 'A');
	if (strcmp(job->text, "OFFLOAD SLOWLY") != 0)
		return;
	tell("work");
	ss_log(NULL, LOG_NOTICE, "work has begun");
	sleep(2);
}

static void done(struct ss_connection *c, void *argument)
{
	struct job *job = argument;

	if (c)
		answer(c, "done %s", job->text);
	else
		tell("done without a connection");
	free(job);
}

static void offload(struct ss_connection *c, const char *line)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return;
	strcpy(job->text, line);
	if (ss_offload(c, work, done, job) < 0 || ss_offload(c, work, done, job) != -EBUSY ||
	    ss_ready(c))
		ss_log(c, LOG_ERR, "one job was not taken, or a second was");
}

static void start_timer(struct ss_connection *c)
{
	struct session *s = ss_state(c);

	ss_set_timer(c, 60000);
	ss_set_timer(c, -1);
	s->armed = ss_now(c);
	ss_set_timer(c, 100);
}

static void frames(struct ss_connection *c)
{
	static const unsigned char prefixed[] = { 0, 3, 'a', 'b', 'c', 'd' };
	struct ss_slice p, e, l;
	size_t n_p = ss_frame_prefixed(prefixed, 6, 2, 10, &p);
	size_t n_e = ss_frame_exact("hello", 5, 4, &e);
	size_t n_l = ss_frame_line("one\r\ntwo", 8, 10, &l);

	answer(c, "%zu %.*s %zu %.*s %zu %.*s %d %d", n_p, (int)p.length, (const char *)p.bytes,
	       n_e, (int)e.length, (const char *)e.bytes, n_l, (int)l.length, (const char *)l.bytes,
	       ss_frame_prefixed(prefixed, 6, 2, 2, &p) == SS_TOO_LONG,
	       ss_frame_prefixed(prefixed, 4, 2, 10, &p) == 0);
}

static void run(struct ss_connection *c, const char *line)
{
	struct session *s = ss_state(c);

	if (strcmp(line, "settings") == 0)
		show_settings(c);
	else if (strcmp(line, "worker") == 0)
		show_worker(c);
	else if (strcmp(line, "who") == 0)
		show_who(c);
	else if (strcmp(line, "queue") == 0)
		queue_much(c);
	else if (strcmp(line, "blob") == 0)
		send_blob(c);
	else if (strcmp(line, "want") == 0)
		ss_want_writable(c);
	else if (strcmp(line, "timer") == 0)
		start_timer(c);
	else if (strcmp(line, "frames") == 0)
		frames(c);
	else if (strcmp(line, "discard") == 0)
		ss_discard(c);
	else if (strcmp(line, "log") == 0)
		ss_log(c, LOG_WARNING, "logged %d\n%s", 42, "second line");
	else if (strncmp(line, "offload", 7) == 0)
		offload(c, line);
	else if (strcmp(line, "close") == 0)
		ss_close(c);
	else
		answer(c, "%d %s", s->lines, line);
}

static void on_line(struct ss_connection *c, const char *line, size_t length)
{
	struct session *s = ss_state(c);
	char text[LINE_LONGEST + 1];

	if (!line) {
		answer(c, "too long");
		return;
	}
	memcpy(text, line, length);
	text[length] = '\0';
	s->lines++;
	ss_count(c, LINES, 1);
	run(c, text);
}

/* ---- the connection */

static int module_open(struct ss_connection *c)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	ss_set_state(c, s);
	ss_count(c, OPEN, 1);
	answer(c, "open");
	return 0;
}

static size_t module_data(struct ss_connection *c, const void *bytes, size_t length)
{
	return ss_lines(c, bytes, length, LINE_LONGEST, on_line);
}

static void module_writable(struct ss_connection *c)
{
	struct session *s = ss_state(c);

	if (s->sends_blob)
		send_blob(c);
	else
		answer(c, "writable");
}

static void module_eof(struct ss_connection *c)
{
	struct session *s = ss_state(c);

	s->finished = 1;
	if (!s->sends_blob)
		finish(c);
}

static void module_timer(struct ss_connection *c)
{
	struct session *s = ss_state(c);

	answer(c, "timer %s", ss_now(c) - s->armed >= 100 ? "in time" : "too early");
}

static void module_close(struct ss_connection *c, enum ss_reason reason)
{
	fprintf(stderr, "module-1: close %d\n", (int)reason);
	ss_count(c, OPEN, -1);
	free(ss_state(c));
}

static const struct ss_handler handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.flags = SS_SPEAKS_FIRST | SS_OFFLOADS,
	.name = "module-1",
	.keys = keys,
	.settings_size = sizeof(struct settings),
	.counters = counters,
	.check = module_check,
	.load = module_load,
	.start = module_start,
	.stop = module_stop,
	.worker_start = module_worker_start,
	.worker_stop = module_worker_stop,
	.open = module_open,
	.data = module_data,
	.writable = module_writable,
	.eof = module_eof,
	.timer = module_timer,
	.close = module_close,
};

SS_MODULE(handler);
