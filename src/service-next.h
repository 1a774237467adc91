/* SPDX-License-Identifier: MIT */
/*
 * The sections that are about to take the place of those that the services have: found for each,
 * prepared with all that can fail, then taken or dropped. Main's thread.
 */
#ifndef SIMPLE_SERVER_SERVICE_NEXT_H
#define SIMPLE_SERVER_SERVICE_NEXT_H

#include "service.h"

/*
 * Finds the section of each service in `settings`, by its name. What is missing or left over is
 * added to `report`, unless `unknown_ok`: then a service without one keeps what it has, and a
 * section without a service is left out.
 */
void services_find_next(const struct services *services, struct settings *settings, bool unknown_ok,
			struct report *report);

/* Makes ready what follows from the limits of the next sections. 0 or -ENOMEM. */
int services_prepare_next(const struct services *services, unsigned max_connections);

/* Puts them in place, in one store for each service; then what was there is service->former. */
void services_take_next(struct services *services, struct settings *settings,
			unsigned max_connections);

/* Or forgets them; accepts services that have none. */
void services_drop_next(const struct services *services);

/* The section by which a service is to go: the next one if there is one. */
static inline const struct settings_socket *service_coming(const struct service *service)
{
	return service->next ? service->next : service->section;
}

#endif
