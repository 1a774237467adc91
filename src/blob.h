/* SPDX-License-Identifier: MIT */
/*
 * Constant bytes in a sealed memfd, for sendfile(2): the pages go out as they are, shared by all
 * connections. Made in main's thread; read by all; lives as long as the process.
 */
#ifndef SIMPLE_SERVER_BLOB_H
#define SIMPLE_SERVER_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "simple-server.h"

bool blob_has(const struct ss_blob *blob, size_t offset, size_t length);

/* As sendfile(2) from offset: bytes taken by the socket, or -errno. */
ssize_t blob_send(const struct ss_blob *blob, int socket, size_t offset, size_t length);

#endif
