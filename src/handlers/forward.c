/* SPDX-License-Identifier: MIT */
/*
 * forward: a connection is joined with one of ours to a target, and the server moves the bytes.
 *
 * A connection that looks for its target holds an attempt; one that has found it holds the back end
 * and nothing else, so that a joined pair costs no memory here. Until then the peer is not read:
 * what it sends, and that it has finished, waits in the kernel and comes to the target as it was.
 *
 * A round tries each address at most once. When none took the connection, it is given up, or waits
 * for the next round as long as connect_retry allows. Two cases are no failure and wait for up to
 * connect_timeout: a name that has not been looked up yet, and a target of AF_UNIX whose backlog is
 * full, where connect(2) does not wait by itself.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "forward-choice.h"
#include "forward-names.h"
#include "forward-settings.h"
#include "forward-targets.h"
#include "simple-server.h"

#define WAIT_FIRST    20    /* ms, until the second round; doubles */
#define WAIT_LONGEST  1000  /* ms */
#define TELL_INTERVAL 10000 /* ms */

enum { CONNECTED, FAILED, RETRIED, GIVEN_UP };
static const char *const counters[] = { "connected", "failed", "retried", "given_up", NULL };

/* The state of a service. */
struct forward {
	struct forward_choice *choice;
	struct forward_names *names; /* NULL: there are none */
	_Atomic int64_t told_at;     /* when a line about this machine was last written */
};

/* The state of a connection that has no target yet. */
struct attempt {
	struct forward_held held;
	bool may_wait; /* there was a case that is no failure in this round */
	int wait;      /* ms, before the next round */
	int64_t began;
	struct forward_tries tries;
	struct forward_backend *backend; /* being connected to, or NULL */
	size_t header_size;
	char header[]; /* of the PROXY protocol; all of it is known only at the beginning */
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct forward *forward_of(const struct ss_connection *connection)
{
	return ss_service_state(ss_service_of(connection));
}

static const struct forward_settings *settings_of(const struct ss_connection *connection)
{
	return ss_settings(ss_service_of(connection));
}

/* --- the service */

/* What has an address by itself is known from now on; the rest is for the names. */
static int set_targets(struct forward_choice *choice, const struct forward_target *targets,
		       size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		if (targets[i].address.length)
			r = forward_choice_set(choice, i, &targets[i].address, 1);
	return r;
}

static void forward_free(struct forward *forward)
{
	if (forward)
		forward_choice_free(forward->choice);
	free(forward);
}

static int begin(struct ss_service *service, const struct forward_target *targets, size_t n)
{
	const struct forward_settings *settings = ss_settings(service);
	struct forward *forward = calloc(1, sizeof(*forward));
	int r = -ENOMEM;

	if (forward)
		forward->choice = forward_choice_new(n);
	if (forward && forward->choice)
		r = set_targets(forward->choice, targets, n);
	if (r == 0)
		r = forward_names_start(targets, n, forward->choice, ss_service_name(service),
					settings->resolve_every, &forward->names);
	if (r < 0) {
		forward_free(forward);
		return r;
	}
	forward->told_at = INT64_MIN / 2;
	ss_set_service_state(service, forward);
	return 0;
}

static int forward_start(struct ss_service *service)
{
	const struct forward_settings *settings = ss_settings(service);
	struct forward_target *targets = calloc(FORWARD_TARGETS_MAX, sizeof(*targets));
	const char *list = settings->target;
	char problem[1];
	size_t n = 0;

	if (!targets)
		return -ENOMEM;
	while (n < FORWARD_TARGETS_MAX &&
	       forward_targets_next(&list, &targets[n], problem, sizeof(problem)) > 0)
		n++;
	int r = begin(service, targets, n);
	free(targets);
	return r;
}

/*
 * All but the targets is asked for with each connection. Those are known to a thread and to the
 * connections that they have, and stay together with the rest of the file that they came with.
 */
static int forward_reload(struct ss_service *service, const void *settings)
{
	const struct forward_settings *now = ss_settings(service), *next = settings;
	bool same = strcmp(now->target, next->target) == 0 &&
		    now->resolve_every == next->resolve_every;

	return same ? 0 : -EBUSY;
}

static void log_counts(const struct forward_backend *backend, void *argument)
{
	if (backend->made + backend->failed > 0)
		ss_log(NULL, LOG_INFO,
		       "%s: target %s: %llu connections, %llu of them ended by a time-out; "
		       "%llu could not be made",
		       (const char *)argument, backend->text, (unsigned long long)backend->made,
		       (unsigned long long)backend->stalled, (unsigned long long)backend->failed);
}

static void forward_stop(struct ss_service *service)
{
	struct forward *forward = ss_service_state(service);
	bool is_free = forward_names_stop(forward->names);

	forward_choice_each(forward->choice, log_counts, (void *)ss_service_name(service));
	if (!is_free)
		forward->choice = NULL; /* the thread still has it */
	forward_free(forward);
}

/* --- finding a target */

/* What this machine has run out of, or may not do, says nothing about the target. */
static bool is_own_fault(int error)
{
	switch (error) {
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
	case -ENOBUFS:
	case -EADDRINUSE:
	case -EADDRNOTAVAIL:
	case -EAFNOSUPPORT:
	case -EPERM:
		return true;
	default:
		return false;
	}
}

static void tell_own_fault(struct ss_connection *connection, const char *target, int error)
{
	struct forward *forward = forward_of(connection);
	int64_t now = now_ms(), told = forward->told_at;

	if (now - told >= TELL_INTERVAL &&
	    atomic_compare_exchange_strong(&forward->told_at, &told, now))
		ss_log(connection, LOG_WARNING, "this machine cannot connect to %s: %s", target,
		       strerror(-error));
}

/* The back end is not given back here: its text is still needed. */
static void note_failure(struct ss_connection *connection, struct attempt *attempt, int error)
{
	struct forward_choice *choice = forward_of(connection)->choice;
	const char *service = ss_service_name(ss_service_of(connection));
	struct forward_backend *backend = attempt->backend;

	ss_count(connection, FAILED, 1);
	if (error == -EAGAIN)
		attempt->may_wait = true;
	else if (is_own_fault(error))
		tell_own_fault(connection, backend->text, error);
	else if (forward_choice_failed(choice, backend, &attempt->tries,
				       settings_of(connection)->dead_time, now_ms()))
		ss_log(NULL, LOG_WARNING, "%s: target %s is down: %s", service, backend->text,
		       strerror(-error));
}

static void failed(struct ss_connection *connection, struct attempt *attempt, int error)
{
	note_failure(connection, attempt, error);
	forward_choice_give_back(forward_of(connection)->choice, attempt->backend, false);
	attempt->backend = NULL;
}

static void give_up(struct ss_connection *connection)
{
	ss_count(connection, GIVEN_UP, 1);
	ss_fail(connection, SS_CONNECT_FAILED,
		settings_of(connection)->on_failure == FORWARD_RESET);
}

/* The round is over. */
static void wait_or_give_up(struct ss_connection *connection, struct attempt *attempt)
{
	const struct forward_settings *settings = settings_of(connection);
	int64_t patience = settings->connect_retry, left;

	if (attempt->may_wait && patience < settings->connect_timeout)
		patience = settings->connect_timeout;
	left = attempt->began + patience - now_ms();
	if (left <= 0) {
		give_up(connection);
		return;
	}
	ss_set_timer(connection, attempt->wait < left ? attempt->wait : left);
	attempt->wait = 2 * attempt->wait < WAIT_LONGEST ? 2 * attempt->wait : WAIT_LONGEST;
}

static struct forward_backend *next(struct ss_connection *connection, struct attempt *attempt)
{
	attempt->backend = forward_choice_take(
		forward_of(connection)->choice,
		(enum forward_balance)settings_of(connection)->balance, &attempt->tries, now_ms());
	return attempt->backend;
}

/* One address after the other, until there is one whose answer is to be waited for. */
static void go_on(struct ss_connection *connection, struct attempt *attempt)
{
	const struct forward_settings *settings = settings_of(connection);
	unsigned flags = settings->source == FORWARD_SOURCE_PEER ? SS_AS_PEER : 0;
	struct forward_backend *backend;

	while ((backend = next(connection, attempt))) {
		int r = ss_connect(connection, &backend->address.any, backend->address.length,
				   settings->connect_timeout, flags);
		if (r == 0 || r == -EPIPE)
			return; /* connected() comes, or close() */
		failed(connection, attempt, r);
	}
	wait_or_give_up(connection, attempt);
}

static void begin_round(struct ss_connection *connection, struct attempt *attempt)
{
	attempt->tries = (struct forward_tries){ 0 };
	attempt->may_wait = forward_names_need(forward_of(connection)->names, now_ms());
	go_on(connection, attempt);
}

static int forward_open(struct ss_connection *connection)
{
	int version = settings_of(connection)->proxy_protocol;
	size_t room = version ? SS_PROXY_HEADER_MAX : 0;
	struct attempt *attempt = calloc(1, sizeof(*attempt) + room);

	if (!attempt)
		return -ENOMEM;
	if (version)
		attempt->header_size = ss_proxy_header(connection, (unsigned)version,
						       attempt->header);
	attempt->began = now_ms();
	attempt->wait = WAIT_FIRST;
	ss_set_state(connection, attempt);
	ss_pause(connection);
	begin_round(connection, attempt);
	return 0;
}

static void forward_timer(struct ss_connection *connection)
{
	ss_count(connection, RETRIED, 1);
	begin_round(connection, ss_state(connection));
}

/* --- the target is there */

static void join(struct ss_connection *connection, struct attempt *attempt)
{
	struct forward_backend *backend = attempt->backend;

	if (forward_choice_connected(forward_of(connection)->choice, backend))
		ss_log(NULL, LOG_NOTICE, "%s: target %s is up again",
		       ss_service_name(ss_service_of(connection)), backend->text);
	ss_count(connection, CONNECTED, 1);
	ss_set_state(connection, backend);
	int r = ss_target_write(connection, attempt->header, attempt->header_size);
	free(attempt);
	if (r == 0)
		r = ss_join(connection);
	if (r < 0)
		ss_fail(connection, SS_ERROR, 1);
}

static void forward_connected(struct ss_connection *connection, int error)
{
	struct attempt *attempt = ss_state(connection);

	if (error == 0) {
		join(connection, attempt);
		return;
	}
	failed(connection, attempt, error);
	go_on(connection, attempt);
}

/* --- the end */

static struct forward_backend *backend_of(const struct ss_connection *connection)
{
	struct forward_held *held = ss_state(connection);

	if (!held)
		return NULL;
	return held->is_backend ? (struct forward_backend *)held
				: ((struct attempt *)held)->backend;
}

static const char *forward_target(const struct ss_connection *connection)
{
	const struct forward_backend *backend = backend_of(connection);

	return backend ? backend->text : NULL;
}

static bool is_stall(enum ss_reason reason)
{
	return reason == SS_IDLE_TIMEOUT || reason == SS_FIRST_BYTE_TIMEOUT ||
	       reason == SS_WRITE_TIMEOUT || reason == SS_HALF_CLOSED_TIMEOUT;
}

static void forward_close(struct ss_connection *connection, enum ss_reason reason)
{
	struct forward_backend *backend = backend_of(connection);
	struct forward_held *held = ss_state(connection);

	if (backend)
		forward_choice_give_back(forward_of(connection)->choice, backend,
					 held->is_backend && is_stall(reason));
	if (!held->is_backend)
		free(held);
	ss_set_state(connection, NULL);
}

/* --- a restart: what a pair needs of its back end is the address */

static int forward_freeze(struct ss_connection *connection, void *state, size_t size,
			  size_t *ret_length)
{
	struct forward_backend *backend = backend_of(connection);

	(void)size;
	memcpy(state, &backend->address, sizeof(backend->address));
	*ret_length = sizeof(backend->address);
	forward_choice_give_back(forward_of(connection)->choice, backend, false);
	ss_set_state(connection, NULL);
	return 0;
}

static int forward_thaw(struct ss_connection *connection, const void *state, size_t length)
{
	struct forward_address address;

	if (length != sizeof(address))
		return -EINVAL;
	memcpy(&address, state, sizeof(address));
	if (address.length > sizeof(address) - offsetof(struct forward_address, any))
		return -EINVAL;
	struct forward_backend *backend = forward_choice_adopt(forward_of(connection)->choice,
							       &address);
	if (!backend)
		return -ENOBUFS;
	ss_set_state(connection, backend);
	return 0;
}

/* Required of every handler; what is paused and then joined has none. */
static size_t forward_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	(void)connection;
	(void)bytes;
	(void)length;
	return 0;
}

/* A target may be the one that speaks first, so a connection may not wait for the peer's bytes. */
const struct ss_handler forward_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "forward",
	.flags = SS_SPEAKS_FIRST | SS_CONNECTS,
	.keys = forward_keys,
	.settings_size = sizeof(struct forward_settings),
	.counters = counters,
	.check = forward_check,
	.start = forward_start,
	.stop = forward_stop,
	.open = forward_open,
	.data = forward_data,
	.timer = forward_timer,
	.close = forward_close,
	.connected = forward_connected,
	.target = forward_target,
	.freeze = forward_freeze,
	.thaw = forward_thaw,
	.reload = forward_reload,
};
