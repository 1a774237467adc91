/* SPDX-License-Identifier: MIT */
/* See place.h. */
#include "place.h"

#include <string.h>
#include <syslog.h>

#include "crash.h"
#include "journal.h"
#include "util.h"

static unsigned count_names(const char *const *names)
{
	unsigned n = 0;

	while (names && names[n])
		n++;
	return n;
}

static int place_init(struct ss_worker *place, struct service *service, unsigned worker)
{
	place->service = service;
	place->index = worker;
	place->n_counters = count_names(service->handler->counters);
	if (place->n_counters == 0)
		return 0;
	place->counters = calloc(place->n_counters, sizeof(*place->counters));
	return place->counters ? 0 : -ENOMEM;
}

struct ss_worker *places_new(const struct services *services, unsigned worker)
{
	struct ss_worker *places = calloc(services->count + 1, sizeof(*places));
	int r = places ? 0 : -ENOMEM;

	for (size_t i = 0; i < services->count && r == 0; i++)
		r = place_init(&places[i], &services->list[i], worker);
	if (r == 0)
		return places;
	places_free(places, services->count);
	return NULL;
}

void places_free(struct ss_worker *places, size_t count)
{
	for (size_t i = 0; places && i < count; i++)
		free(places[i].counters);
	free(places);
}

static int call_start(struct ss_worker *place, const struct ss_handler *handler, const char *socket)
{
	struct crash_place outer = crash_enter(handler->name, socket, "worker_start", 0);
	int r = handler->worker_start ? handler->worker_start(place) : 0;

	crash_leave(&outer);
	return r > 0 ? -r : r; /* EIO for -EIO is a failure all the same */
}

static int start(struct ss_worker *place)
{
	const struct ss_handler *handler = place->service->handler;
	const char *socket = place->service->name;
	int r = call_start(place, handler, socket);

	if (r < 0)
		journal_log(JOURNAL_ERROR, LOG_ERR,
			    &(struct journal_fields){
				    .socket = socket, .handler = handler->name, .error = -r },
			    "handler %s (socket %s) cannot start in worker %u: %s", handler->name,
			    socket, place->index, strerror(-r));
	place->started = r == 0;
	return r;
}

static void stop(struct ss_worker *place)
{
	const struct ss_handler *handler = place->service->handler;
	struct crash_place outer = crash_enter(handler->name, place->service->name, "worker_stop",
					       0);

	if (place->started && handler->worker_stop)
		handler->worker_stop(place);
	place->started = false;
	crash_leave(&outer);
}

int places_start(struct ss_worker *places, size_t count)
{
	int first = 0;

	for (size_t i = 0; i < count; i++) {
		int r = start(&places[i]);
		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

void places_stop(struct ss_worker *places, size_t count)
{
	for (size_t i = 0; i < count; i++)
		stop(&places[i]);
}

void ss_set_worker_state(struct ss_worker *worker, void *state)
{
	worker->state = state;
}

void *ss_worker_state(const struct ss_worker *worker)
{
	return worker->state;
}

struct ss_service *ss_worker_service(const struct ss_worker *worker)
{
	return service_public(worker->service);
}

unsigned int ss_worker_index(const struct ss_worker *worker)
{
	return worker->index;
}
