/* SPDX-License-Identifier: MIT */
/*
 * See journal.h. The ring is guarded by a mutex that is held only to copy one record in or out,
 * never while an entry is written; so no thread that logs can wait for a reader of the log.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "journal.h"
#include "util.h"

#define RING_SIZE 256

struct record {
	enum journal_event event;
	int priority;
	char message[512];
	char socket[256], handler[32], peer[64];
	char target[128];
	const char *reason;
	uint64_t connection, bytes_in, bytes_out, duration_us, connect_us;
	int error;
};

struct event_class {
	const char *name;
	const char *id;         /* MESSAGE_ID: described in systemd/simple-server.catalog */
	_Atomic int64_t second; /* the one that `admitted` counts for */
	_Atomic unsigned admitted;
	_Atomic uint64_t left_out; /* since it was last told */
};

static struct event_class classes[JOURNAL_EVENTS] = {
	[JOURNAL_READY] = { "ready", "8c11262ca456450590cd3f59e74330ae" },
	[JOURNAL_STOPPING] = { "stopping", "435960124c284058b05ed450fa2ec46e" },
	[JOURNAL_STOPPED] = { "stopped", "12e0b17df05f49e39f8178e5cda41c40" },
	[JOURNAL_HANDED_OVER] = { "handed-over", "c10fa210661849ec9f016c3418a31fa1" },
	[JOURNAL_TAKEN_OVER] = { "taken-over", "c58a28f73d124184b5a05083f4978442" },
	[JOURNAL_RELOAD] = { "reload", "1b81279b5d934bdca1df530382ef5db9" },
	[JOURNAL_CONNECTION] = { "connection", "d0f5c5176444474b89ddbd75b68b4c68" },
	[JOURNAL_ACCEPT_PAUSED] = { "accept-paused", "db88825d866e4dd4a00ab9fc141839da" },
	[JOURNAL_TURNED_AWAY] = { "turned-away", "6cd897e962374467ad53604f3c53f023" },
	[JOURNAL_OPTION_DIFFERS] = { "option-differs", "5dd7dddd89f840b5ab033d39b03a0c7f" },
	[JOURNAL_BASELINE] = { "baseline", "e81e2ac34d2444068fb09f821d0d302f" },
	[JOURNAL_HANDLER] = { "handler", "62fd13c7e66a45a6bcef2adb2eedd7e6" },
	[JOURNAL_WATCHDOG] = { "watchdog", "f774c44fb4d74965a7f5d536b2edee18" },
	[JOURNAL_SUPPRESSED] = { "suppressed", "bb15c88566c44b2182052b21ff78ea86" },
	[JOURNAL_ERROR] = { "error", "bf08c2a1f22d461aa282376952b59dc2" },
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool running, stopping;
	bool writing;     /* the thread is at it, for as long as that takes */
	int64_t since_ms; /* when the thread last took an entry, or found that there are some */
	journal_send_fn *send;
	unsigned first, count; /* of the ring */
	struct record ring[RING_SIZE];
} journal = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* One part of an entry: NAME=value. The storage is the caller's. */
struct parts {
	struct iovec vector[20];
	int count;
	char text[1536];
	size_t used;
};

static void add_part(struct parts *parts, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add_part(struct parts *parts, const char *format, ...)
{
	size_t room = sizeof(parts->text) - parts->used;
	va_list args;

	va_start(args, format);
	int n = vsnprintf(parts->text + parts->used, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room || parts->count == (int)ARRAY_SIZE(parts->vector))
		return;
	parts->vector[parts->count++] = (struct iovec){ .iov_base = parts->text + parts->used,
							.iov_len = (size_t)n };
	parts->used += (size_t)n;
}

static void add_string(struct parts *parts, const char *name, const char *value)
{
	if (value && *value)
		add_part(parts, "%s=%s", name, value);
}

static void add_number(struct parts *parts, const char *name, uint64_t value, bool even_zero)
{
	if (value || even_zero)
		add_part(parts, "%s=%llu", name, (unsigned long long)value);
}

static void add_fields(struct parts *parts, const struct record *record)
{
	bool ended = record->event == JOURNAL_CONNECTION; /* having sent 0 bytes says something */

	add_string(parts, "SOCKET", record->socket);
	add_string(parts, "HANDLER", record->handler);
	add_string(parts, "PEER", record->peer);
	add_string(parts, "TARGET", record->target);
	add_string(parts, "REASON", record->reason);
	if (record->error)
		add_part(parts, "ERRNO=%d", record->error);
	add_number(parts, "CONNECTION", record->connection, false);
	add_number(parts, "BYTES_IN", record->bytes_in, ended);
	add_number(parts, "BYTES_OUT", record->bytes_out, ended);
	add_number(parts, "DURATION_USEC", record->duration_us, ended);
	add_number(parts, "CONNECT_USEC", record->connect_us, false);
}

static int send_record(const struct record *record)
{
	struct parts parts = { 0 };

	add_part(&parts, "MESSAGE=%s", record->message);
	add_part(&parts, "PRIORITY=%d", record->priority);
	add_part(&parts, "SYSLOG_IDENTIFIER=simple-server");
	add_part(&parts, "MESSAGE_ID=%s", classes[record->event].id);
	add_part(&parts, "EVENT=%s", classes[record->event].name);
	add_fields(&parts, record);
	return journal.send(parts.vector, parts.count);
}

/* One write() for each line, so that lines of several processes do not mix. */
static void print_record(const struct record *record)
{
	char line[sizeof(record->message) + 32];
	int n;

	if (journal.send) /* stderr is a stream of the journal: the priority goes in front */
		n = snprintf(line, sizeof(line), "<%d>%s\n", record->priority, record->message);
	else
		n = snprintf(line, sizeof(line), "simple-server: %s\n", record->message);
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nobody reads stderr: there is no place left to say so */
}

static void emit(const struct record *record)
{
	if (!journal.send || send_record(record) < 0)
		print_record(record);
}

static void copy(char *to, size_t size, const char *from)
{
	if (from)
		snprintf(to, size, "%s", from);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static bool enqueue(const struct record *record)
{
	bool fits;

	pthread_mutex_lock(&journal.lock);
	fits = journal.count < RING_SIZE;
	if (fits) {
		if (journal.count == 0)
			journal.since_ms = now_ms();
		journal.ring[(journal.first + journal.count) % RING_SIZE] = *record;
		journal.count++;
		pthread_cond_signal(&journal.changed);
	}
	pthread_mutex_unlock(&journal.lock);
	return fits;
}

void journal_log(enum journal_event event, int priority, const struct journal_fields *fields,
		 const char *format, ...)
{
	struct record record = { .event = event, .priority = priority };
	va_list args;

	va_start(args, format);
	vsnprintf(record.message, sizeof(record.message), format, args);
	va_end(args);
	if (fields) {
		copy(record.socket, sizeof(record.socket), fields->socket);
		copy(record.handler, sizeof(record.handler), fields->handler);
		copy(record.peer, sizeof(record.peer), fields->peer);
		copy(record.target, sizeof(record.target), fields->target);
		record.reason = fields->reason;
		record.connection = fields->connection;
		record.bytes_in = fields->bytes_in;
		record.bytes_out = fields->bytes_out;
		record.duration_us = fields->duration_us;
		record.connect_us = fields->connect_us;
		record.error = fields->error;
	}
	if (!journal.running)
		emit(&record);
	else if (!enqueue(&record))
		atomic_fetch_add(&classes[event].left_out, 1);
}

static int64_t now_s(void)
{
	return now_ms() / 1000;
}

/* Wakes the thread when the first entry is left out: it will have to tell the count. */
static void leave_out(struct event_class *class)
{
	if (atomic_fetch_add(&class->left_out, 1) == 0) {
		pthread_mutex_lock(&journal.lock);
		pthread_cond_signal(&journal.changed);
		pthread_mutex_unlock(&journal.lock);
	}
}

bool journal_admit(enum journal_event event)
{
	struct event_class *class = &classes[event];
	int64_t second = now_s();

	if (atomic_load_explicit(&class->second, memory_order_relaxed) != second) {
		/* Two threads may both begin the second: then a few entries more get through. */
		atomic_store_explicit(&class->second, second, memory_order_relaxed);
		atomic_store_explicit(&class->admitted, 0, memory_order_relaxed);
	}
	if (atomic_load_explicit(&class->admitted, memory_order_relaxed) < JOURNAL_RATE) {
		atomic_fetch_add_explicit(&class->admitted, 1, memory_order_relaxed);
		return true;
	}
	leave_out(class);
	return false;
}

bool journal_moves(int64_t patience_ms)
{
	pthread_mutex_lock(&journal.lock);
	bool moves = !journal.running || journal.count == 0 || journal.writing ||
		     now_ms() - journal.since_ms <= patience_ms;
	pthread_mutex_unlock(&journal.lock);
	return moves;
}

static bool any_left_out(void)
{
	for (int i = 0; i < JOURNAL_EVENTS; i++)
		if (atomic_load(&classes[i].left_out))
			return true;
	return false;
}

static void tell_left_out(void)
{
	for (int i = 0; i < JOURNAL_EVENTS; i++) {
		uint64_t n = atomic_exchange(&classes[i].left_out, 0);
		struct record record = { .event = JOURNAL_SUPPRESSED, .priority = LOG_NOTICE };
		if (n == 0)
			continue;
		snprintf(record.message, sizeof(record.message),
			 "%llu more entries of the kind \"%s\" were left out",
			 (unsigned long long)n, classes[i].name);
		emit(&record);
	}
}

/* Waits for a record, for a second to pass while something was left out, or for the end. */
static void wait_for_work(void)
{
	struct timespec until;

	if (!any_left_out()) {
		pthread_cond_wait(&journal.changed, &journal.lock);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	while (!journal.count && !journal.stopping)
		if (pthread_cond_timedwait(&journal.changed, &journal.lock, &until) == ETIMEDOUT)
			break;
}

static void *journal_thread(void *unused)
{
	int64_t told = 0;

	(void)unused;
	pthread_mutex_lock(&journal.lock);
	while (journal.count || !journal.stopping) {
		if (!journal.count)
			wait_for_work();
		bool taken = journal.count > 0;
		struct record record;
		if (taken) {
			record = journal.ring[journal.first];
			journal.first = (journal.first + 1) % RING_SIZE;
			journal.count--;
		}
		journal.writing = true;
		pthread_mutex_unlock(&journal.lock);
		if (taken)
			emit(&record);
		if (any_left_out() && now_s() > told) {
			tell_left_out();
			told = now_s();
		}
		pthread_mutex_lock(&journal.lock);
		journal.writing = false;
		journal.since_ms = now_ms();
	}
	pthread_mutex_unlock(&journal.lock);
	tell_left_out();
	return NULL;
}

void journal_open(journal_send_fn *send)
{
	journal.send = send;
}

int journal_start(void)
{
	journal.stopping = false;
	int r = pthread_create(&journal.thread, NULL, journal_thread, NULL);
	if (r == 0)
		journal.running = true;
	return -r;
}

/*
 * A thread that is stuck in sd_journal_send() is left behind: the process is about to exit, and
 * must not wait for journald.
 */
void journal_stop(void)
{
	struct timespec until;

	if (!journal.running)
		return;
	pthread_mutex_lock(&journal.lock);
	journal.stopping = true;
	pthread_cond_signal(&journal.changed);
	pthread_mutex_unlock(&journal.lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	if (pthread_timedjoin_np(journal.thread, NULL, &until) == 0)
		journal.running = false;
}
