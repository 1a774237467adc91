/* SPDX-License-Identifier: MIT */
/*
 * The life of the process: settings, handlers and passed sockets are joined and checked, the
 * workers are started, systemd is told; then signals lead to the end. Main's thread.
 */
#ifndef SIMPLE_SERVER_SERVER_H
#define SIMPLE_SERVER_SERVER_H

#include "setup.h"

/* Exit codes, of sysexits.h where it has one. */
enum server_exit {
	SERVER_EXIT_OK = 0,
	SERVER_EXIT_USAGE = 64,
	SERVER_EXIT_INTERNAL = 70,
	SERVER_EXIT_CONFIG = 78, /* the file or the sockets are wrong */
};

/* Serves until SIGTERM or SIGINT. */
enum server_exit server_run(const struct setup_options *options);

/* Looks at the file, and at the sockets if any were passed; changes nothing. */
enum server_exit server_check(const struct setup_options *options);

/* Prints the effective settings, and for passed sockets what the kernel took. */
enum server_exit server_dump(const struct setup_options *options);

#endif
