/* SPDX-License-Identifier: MIT */
/* See forward-names.h. */
#include "forward-names.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "simple-server.h"

#define ADDRESSES_MAX 64   /* of one name */
#define LOOK_AGAIN    1000 /* ms, for a name that has no address yet */
#define STOP_WAIT     1    /* s */
#define SERVICE_MAX   64

struct name {
	char host[FORWARD_HOST_MAX + 1];
	uint16_t port;
	size_t target;
	int64_t due; /* to be looked up again */
	bool has_addresses, is_failing;
};

struct forward_names {
	struct forward_choice *choice;
	char service[SERVICE_MAX];
	int every; /* ms */
	pthread_t thread;
	pthread_mutex_t lock; /* of all below but what only the thread uses: names[] */
	pthread_cond_t changed;
	bool is_wanted, is_busy, is_stopping;
	bool is_left;    /* to the thread */
	bool is_lacking; /* some name has no address yet */
	int64_t due;     /* of the name that is due first */
	size_t n;
	struct name names[];
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- in the thread, without the lock */

static bool is_among(const struct forward_address *addresses, size_t n,
		     const struct forward_address *address)
{
	for (size_t i = 0; i < n; i++)
		if (forward_address_equal(&addresses[i], address))
			return true;
	return false;
}

static size_t collect(const struct addrinfo *list, uint16_t port, struct forward_address *ret)
{
	size_t n = 0;

	for (; list && n < ADDRESSES_MAX; list = list->ai_next) {
		struct forward_address address = forward_address_of(list->ai_addr, port);
		if (address.length && !is_among(ret, n, &address))
			ret[n++] = address;
	}
	return n;
}

static void failed(const struct forward_names *names, struct name *name, const char *why)
{
	if (!name->is_failing)
		ss_log(NULL, LOG_WARNING, "%s: the name %s cannot be looked up: %s; %s",
		       names->service, name->host, why,
		       name->has_addresses ? "it keeps the addresses that it had"
					   : "it has no address yet");
	name->is_failing = true;
}

static void found(const struct forward_names *names, struct name *name,
		  const struct forward_address *addresses, size_t n)
{
	int r = forward_choice_set(names->choice, name->target, addresses, n);

	name->has_addresses = true;
	if (r < 0) {
		failed(names, name, r == -ENOBUFS ? "too many addresses" : strerror(-r));
		return;
	}
	if (name->is_failing)
		ss_log(NULL, LOG_NOTICE, "%s: the name %s can be looked up again", names->service,
		       name->host);
	name->is_failing = false;
}

static void look_up(const struct forward_names *names, struct name *name)
{
	static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct forward_address addresses[ADDRESSES_MAX];
	struct addrinfo *list = NULL;
	int error = getaddrinfo(name->host, NULL, &hints, &list);
	size_t n = error ? 0 : collect(list, name->port, addresses);

	if (n > 0)
		found(names, name, addresses, n);
	else
		failed(names, name, error ? gai_strerror(error) : "it has no address");
	if (!error)
		freeaddrinfo(list);
	name->due = now_ms() + (name->has_addresses ? names->every : LOOK_AGAIN);
}

/* --- in the thread, with the lock */

static void run(struct forward_names *names)
{
	int64_t now = now_ms(), due = INT64_MAX;
	bool lacking = false;

	for (size_t i = 0; i < names->n && !names->is_stopping; i++) {
		if (names->names[i].due <= now) {
			pthread_mutex_unlock(&names->lock);
			look_up(names, &names->names[i]);
			pthread_mutex_lock(&names->lock);
		}
		if (names->names[i].due < due)
			due = names->names[i].due;
		lacking = lacking || !names->names[i].has_addresses;
	}
	names->due = due;
	names->is_lacking = lacking;
}

static void *resolver(void *argument)
{
	struct forward_names *names = argument;

	pthread_mutex_lock(&names->lock);
	while (!names->is_stopping)
		if (names->is_wanted) {
			names->is_busy = true;
			run(names);
			names->is_wanted = names->is_busy = false;
			pthread_cond_broadcast(&names->changed);
		} else {
			pthread_cond_wait(&names->changed, &names->lock);
		}
	bool is_left = names->is_left;
	pthread_mutex_unlock(&names->lock);
	if (is_left)
		free(names);
	return NULL;
}

/* --- for others */

static struct forward_names *names_new(const struct forward_target *targets, size_t n)
{
	struct forward_names *names = calloc(1, sizeof(*names) + n * sizeof(names->names[0]));

	for (size_t i = 0; names && i < n; i++)
		if (*targets[i].host) {
			struct name *name = &names->names[names->n++];
			strcpy(name->host, targets[i].host); /* of the same size */
			name->port = targets[i].port;
			name->target = i;
		}
	return names;
}

int forward_names_start(const struct forward_target *targets, size_t n,
			struct forward_choice *choice, const char *service, int every,
			struct forward_names **ret)
{
	struct forward_names *names = names_new(targets, n);
	int r = names ? 0 : ENOMEM;

	*ret = NULL;
	if (names && names->n > 0) {
		names->choice = choice;
		snprintf(names->service, sizeof(names->service), "%s", service);
		names->every = every;
		names->is_wanted = names->is_lacking = true;
		pthread_mutex_init(&names->lock, NULL);
		pthread_cond_init(&names->changed, NULL);
		r = pthread_create(&names->thread, NULL, resolver, names);
		if (r == 0)
			*ret = names;
	}
	if (!*ret)
		free(names);
	return -r;
}

bool forward_names_need(struct forward_names *names, int64_t now)
{
	bool soon;

	if (!names)
		return false;
	pthread_mutex_lock(&names->lock);
	if (!names->is_wanted && now >= names->due) {
		names->is_wanted = true;
		pthread_cond_signal(&names->changed);
	}
	soon = names->is_wanted && names->is_lacking;
	pthread_mutex_unlock(&names->lock);
	return soon;
}

static bool wait_until_idle(struct forward_names *names)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_WAIT;
	while (names->is_busy && r == 0)
		r = pthread_cond_timedwait(&names->changed, &names->lock, &until);
	return !names->is_busy;
}

bool forward_names_stop(struct forward_names *names)
{
	if (!names)
		return true;
	pthread_mutex_lock(&names->lock);
	names->is_stopping = true;
	pthread_cond_broadcast(&names->changed);
	bool is_left = names->is_left = !wait_until_idle(names);
	if (is_left)
		pthread_detach(names->thread);
	pthread_mutex_unlock(&names->lock);
	if (is_left)
		return false;
	pthread_join(names->thread, NULL);
	free(names);
	return true;
}
