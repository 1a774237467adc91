/* SPDX-License-Identifier: MIT */
/*
 * The registry of handlers. Read-only after the start; any thread.
 */
#ifndef SIMPLE_SERVER_HANDLER_H
#define SIMPLE_SERVER_HANDLER_H

#include "simple-server.h"

/* The handler of this name, or NULL. */
const struct ss_handler *handler_find(const char *name);

/* The names of all handlers, for messages; ends with NULL. */
const char *const *handler_names(void);

#endif
