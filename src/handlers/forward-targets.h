/* SPDX-License-Identifier: MIT */
/*
 * The targets of the forward handler as the file writes them, and addresses as text. Values; any
 * thread.
 *
 *      127.0.0.1:8080   [::1]:8080   db.example.org:5432   /run/app.sock   @abstract   vsock:2:1234
 */
#ifndef SIMPLE_SERVER_FORWARD_TARGETS_H
#define SIMPLE_SERVER_FORWARD_TARGETS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/vm_sockets.h>

#define FORWARD_TARGETS_MAX 64 /* in one list */
#define FORWARD_HOST_MAX    253

struct forward_address {
	socklen_t length; /* 0: none */
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_vm vm;
	}; /* zero beyond `length` */
};

struct forward_target {
	struct forward_address address; /* none: that of `host` */
	char host[FORWARD_HOST_MAX +
		  1];  /* a name, or an address whose zone has one: fe80::1%eth0 */
	uint16_t port; /* of `host` */
};

/*
 * The next target of a list, which *list then stands behind. 1; 0 at the end; -EINVAL with the end
 * of a sentence in `problem`.
 */
int forward_targets_next(const char **list, struct forward_target *ret, char *problem, size_t size);

/* The whole list: 0; -EINVAL as above, also for one that is empty, too long or repeats itself. */
int forward_targets_check(const char *list, char *problem, size_t size);

/* Of an IPv4 or IPv6 address of any origin; none for other families. */
struct forward_address forward_address_of(const struct sockaddr *address, uint16_t port);

bool forward_address_equal(const struct forward_address *a, const struct forward_address *b);

/* As the file would write it; returns `out`. */
#define FORWARD_TEXT_MAX 128
const char *forward_address_format(char out[FORWARD_TEXT_MAX],
				   const struct forward_address *address);

#endif
