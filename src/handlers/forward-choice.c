/* SPDX-License-Identifier: MIT */
/*
 * Back ends stand in slots, by which a connection remembers what it has tried. The list of those
 * that are in use is made anew when the addresses of a target change; a back end that is in no list
 * and has no connection is freed then.
 */
#include "forward-choice.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LEFT_OUT_MAX  60000
#define TELL_INTERVAL 10000

/* A target and its addresses of today. */
struct target {
	struct forward_backend **backends;
	size_t n;
};

struct forward_choice {
	pthread_mutex_t lock; /* of all below */
	struct forward_backend *slots[FORWARD_BACKENDS_MAX];
	struct forward_backend *list[FORWARD_BACKENDS_MAX]; /* in the order of the file */
	size_t n_list, turn;                                /* turn: of round-robin */
	size_t n_targets;
	struct target targets[];
};

struct forward_choice *forward_choice_new(size_t n_targets)
{
	struct forward_choice *choice = calloc(1, sizeof(*choice) +
							  n_targets * sizeof(choice->targets[0]));

	if (choice) {
		pthread_mutex_init(&choice->lock, NULL);
		choice->n_targets = n_targets;
	}
	return choice;
}

void forward_choice_free(struct forward_choice *choice)
{
	if (!choice)
		return;
	for (size_t i = 0; i < FORWARD_BACKENDS_MAX; i++)
		free(choice->slots[i]);
	for (size_t i = 0; i < choice->n_targets; i++)
		free(choice->targets[i].backends);
	pthread_mutex_destroy(&choice->lock);
	free(choice);
}

/* --- the list */

/* The slot of this address, or else a free one, or else FORWARD_BACKENDS_MAX. */
static size_t find_slot(const struct forward_choice *choice, const struct forward_address *address)
{
	size_t vacant = FORWARD_BACKENDS_MAX;

	for (size_t i = FORWARD_BACKENDS_MAX; i-- > 0;)
		if (!choice->slots[i])
			vacant = i;
		else if (forward_address_equal(&choice->slots[i]->address, address))
			return i;
	return vacant;
}

static int get_backend(struct forward_choice *choice, const struct forward_address *address,
		       struct forward_backend **ret)
{
	size_t slot = find_slot(choice, address);
	struct forward_backend *backend;

	if (slot == FORWARD_BACKENDS_MAX)
		return -ENOBUFS;
	backend = choice->slots[slot] ? choice->slots[slot] : calloc(1, sizeof(*backend));
	if (!backend)
		return -ENOMEM;
	if (!choice->slots[slot]) {
		backend->held.is_backend = true;
		backend->slot = (uint8_t)slot;
		backend->address = *address;
		backend->told_at = INT64_MIN / 2;
		forward_address_format(backend->text, address);
		choice->slots[slot] = backend;
	}
	*ret = backend;
	return 0;
}

static void list_target(struct forward_choice *choice, const struct target *target)
{
	for (size_t i = 0; i < target->n; i++)
		if (!target->backends[i]->is_listed) {
			target->backends[i]->is_listed = true;
			choice->list[choice->n_list++] = target->backends[i];
		}
}

static void make_list(struct forward_choice *choice)
{
	for (size_t i = 0; i < choice->n_list; i++)
		choice->list[i]->is_listed = false;
	choice->n_list = 0;
	for (size_t i = 0; i < choice->n_targets; i++)
		list_target(choice, &choice->targets[i]);
	for (size_t i = 0; i < FORWARD_BACKENDS_MAX; i++)
		if (choice->slots[i] && !choice->slots[i]->is_listed &&
		    choice->slots[i]->connections == 0) {
			free(choice->slots[i]);
			choice->slots[i] = NULL;
		}
}

int forward_choice_set(struct forward_choice *choice, size_t target,
		       const struct forward_address *addresses, size_t n)
{
	struct target new = { .backends = calloc(n + 1, sizeof(new.backends[0])) };
	int result = new.backends ? 0 : -ENOMEM;

	if (result < 0)
		return result;
	pthread_mutex_lock(&choice->lock);
	for (size_t i = 0; i < n; i++) {
		int r = get_backend(choice, &addresses[i], &new.backends[new.n]);
		if (r < 0)
			result = r;
		else
			new.n++;
	}
	free(choice->targets[target].backends);
	choice->targets[target] = new;
	make_list(choice);
	pthread_mutex_unlock(&choice->lock);
	return result;
}

/* --- taking one of it */

static bool is_tried(const struct forward_tries *tries, const struct forward_backend *backend)
{
	return tries->slots[backend->slot / 64] >> backend->slot % 64 & 1;
}

static bool is_left_out(const struct forward_backend *backend, int64_t now)
{
	return backend->is_down && now < backend->left_out_until;
}

/* Of those that are not left out. Where there is a choice, the one whose turn it is. */
static struct forward_backend *pick(struct forward_choice *choice, enum forward_balance balance,
				    const struct forward_tries *tries, int64_t now)
{
	size_t first = balance == FORWARD_FIRST ? 0 : choice->turn, best = SIZE_MAX;

	for (size_t n = 0; n < choice->n_list; n++) {
		size_t i = (first + n) % choice->n_list;
		const struct forward_backend *backend = choice->list[i];
		if (is_tried(tries, backend) || is_left_out(backend, now))
			continue;
		if (best == SIZE_MAX || backend->connections < choice->list[best]->connections)
			best = i;
		if (balance != FORWARD_LEAST)
			break;
	}
	if (best == SIZE_MAX)
		return NULL;
	choice->turn = best + 1;
	return choice->list[best];
}

/* All are left out, or tried: the one whose time is over soonest. */
static struct forward_backend *pick_down(const struct forward_choice *choice,
					 const struct forward_tries *tries)
{
	struct forward_backend *best = NULL;

	for (size_t i = 0; i < choice->n_list; i++) {
		struct forward_backend *backend = choice->list[i];
		if (!is_tried(tries, backend) &&
		    (!best || backend->left_out_until < best->left_out_until))
			best = backend;
	}
	return best;
}

static void take(struct forward_backend *backend, struct forward_tries *tries, int64_t now)
{
	tries->slots[backend->slot / 64] |= UINT64_C(1) << backend->slot % 64;
	tries->is_probe = backend->is_down && now >= backend->left_out_until;
	if (tries->is_probe)
		backend->left_out_until = now + backend->left_out_for; /* for all others */
	backend->connections++;
}

struct forward_backend *forward_choice_take(struct forward_choice *choice,
					    enum forward_balance balance,
					    struct forward_tries *tries, int64_t now)
{
	pthread_mutex_lock(&choice->lock);
	struct forward_backend *backend = pick(choice, balance, tries, now);
	if (!backend)
		backend = pick_down(choice, tries);
	if (backend)
		take(backend, tries, now);
	pthread_mutex_unlock(&choice->lock);
	return backend;
}

struct forward_backend *forward_choice_adopt(struct forward_choice *choice,
					     const struct forward_address *address)
{
	struct forward_backend *backend = NULL;

	pthread_mutex_lock(&choice->lock);
	if (get_backend(choice, address, &backend) == 0)
		backend->connections++;
	pthread_mutex_unlock(&choice->lock);
	return backend;
}

void forward_choice_give_back(struct forward_choice *choice, struct forward_backend *backend,
			      bool stalled)
{
	pthread_mutex_lock(&choice->lock);
	backend->connections--;
	backend->stalled += stalled;
	pthread_mutex_unlock(&choice->lock);
}

/* --- health */

/* Several connections may fail at the same time: that is one failure. */
static void put_down(struct forward_backend *backend, bool is_probe, int dead_time, int64_t now)
{
	int64_t most = dead_time > LEFT_OUT_MAX ? dead_time : LEFT_OUT_MAX;

	if (backend->is_down && !is_probe)
		return;
	backend->left_out_for = backend->is_down ? 2 * backend->left_out_for : dead_time;
	if (backend->left_out_for > most)
		backend->left_out_for = most;
	backend->left_out_until = now + backend->left_out_for;
	backend->is_down = true;
}

bool forward_choice_failed(struct forward_choice *choice, struct forward_backend *backend,
			   const struct forward_tries *tries, int dead_time, int64_t now)
{
	pthread_mutex_lock(&choice->lock);
	bool tell = !backend->is_told && now - backend->told_at >= TELL_INTERVAL;
	backend->failed++;
	put_down(backend, tries->is_probe, dead_time, now);
	if (tell) {
		backend->is_told = true;
		backend->told_at = now;
	}
	pthread_mutex_unlock(&choice->lock);
	return tell;
}

bool forward_choice_connected(struct forward_choice *choice, struct forward_backend *backend)
{
	pthread_mutex_lock(&choice->lock);
	bool tell = backend->is_told;
	backend->made++;
	backend->is_down = backend->is_told = false;
	pthread_mutex_unlock(&choice->lock);
	return tell;
}

void forward_choice_each(struct forward_choice *choice,
			 void (*each)(const struct forward_backend *backend, void *argument),
			 void *argument)
{
	pthread_mutex_lock(&choice->lock);
	for (size_t i = 0; i < FORWARD_BACKENDS_MAX; i++)
		if (choice->slots[i])
			each(choice->slots[i], argument);
	pthread_mutex_unlock(&choice->lock);
}
