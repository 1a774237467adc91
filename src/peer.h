/* SPDX-License-Identifier: MIT */
/*
 * The other end of a connection, in 20 bytes instead of the 128 of struct sockaddr_storage: every
 * idle connection holds one. IPv4 is kept as IPv4-mapped IPv6, so that a v4 client of a dual-stack
 * socket and of a v4 socket are the same to whoever compares. Values; any thread.
 */
#ifndef SIMPLE_SERVER_PEER_H
#define SIMPLE_SERVER_PEER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct peer {
	union {
		struct in6_addr address;
		struct {
			int32_t pid;
			uint32_t uid, gid;
		};
	};
	in_port_t port; /* network order */
	bool is_unix;   /* pid and uid are valid, not address and port */
	bool by_unix; /* the socket is AF_UNIX: with is_unix, or where a proxy spoke for the peer */
};

union peer_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

/* The peer of a socket that accept() returned with this address. */
struct peer peer_of(int fd, const union peer_address *address);

/* 127.0.0.1:4242, [::1]:4242, pid 12 uid 1000; returns `out`. */
#define PEER_MAX 64
const char *peer_format(char out[PEER_MAX], const struct peer *peer);

/* The address of a listener: as above, or the path of an AF_UNIX socket (@ for abstract). */
#define PEER_ADDRESS_MAX 128
const char *peer_format_address(char out[PEER_ADDRESS_MAX], const union peer_address *address,
				socklen_t length);

#endif
