/* SPDX-License-Identifier: MIT */
/*
 * The handlers that are built in. Each is a file of src/handlers/ that sees nothing but the public
 * header.
 */
#include <string.h>

#include "handler.h"
#include "util.h"

extern const struct ss_handler chargen_handler, daytime_handler, discard_handler, echo_handler,
	forward_handler, time_handler;

static const struct ss_handler *const built_in[] = {
	&echo_handler,    &discard_handler, &chargen_handler,
	&daytime_handler, &time_handler,    &forward_handler,
};

const struct ss_handler *handler_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++)
		if (strcmp(built_in[i]->name, name) == 0)
			return built_in[i];
	return NULL;
}

const char *const *handler_names(void)
{
	static const char *names[ARRAY_SIZE(built_in) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++)
		names[i] = built_in[i]->name;
	return names;
}
