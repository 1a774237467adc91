/* SPDX-License-Identifier: MIT */
/*
 * The PROXY protocol, versions 1 and 2: the header with which a proxy begins a connection, to say
 * on whose behalf it connects. The format is section 2 of HAProxy's proxy-protocol.txt.
 *
 * Bytes in, verdict out: no sockets, no memory of its own, no state between calls. Any thread.
 *
 * A header is believed, so the caller asks for one only from those whom it trusts to say the truth,
 * and then insists on it: who may leave it out can say anything.
 */
#ifndef SIMPLE_SERVER_PROXY_H
#define SIMPLE_SERVER_PROXY_H

#include <stddef.h>

#include "peer.h"

enum proxy_version {
	PROXY_V1 = 1 << 0,
	PROXY_V2 = 1 << 1,
};

enum proxy_verdict {
	PROXY_MORE = 1, /* nothing wrong so far, and more must come */
	PROXY_KEEP = 2, /* valid, but it names no address: those of the connection stay */
	PROXY_PEER = 3, /* valid, and the addresses are those in the header */
};

struct proxy_header {
	size_t size; /* what follows it is payload */
	/* With PROXY_PEER: both ends of the client's connection to the proxy. Never is_unix. */
	struct peer source, destination;
};

/* Longer headers are refused: a buffer of this size is always enough to decide. */
#define PROXY_HEADER_MAX 4096

/*
 * Reads the header that `bytes` begin with; `versions` are those that are accepted. Returns a
 * verdict, or -EPROTO, where *ret_problem (static) says what is wrong with it: "the checksum is
 * wrong". *ret is complete with PROXY_KEEP and PROXY_PEER.
 *
 * Refuses as soon as nothing that may follow could make it right, but for the addresses of version
 * 1 and what stands behind those of version 2: they are looked at when all is there. More bytes
 * never change an answer other than PROXY_MORE.
 */
int proxy_parse(const void *bytes, size_t length, unsigned versions, struct proxy_header *ret,
		const char **ret_problem);

/*
 * Writes the header for a connection from `source` to `destination`, as peer_of() gives both, and
 * returns its size. Where one of them is IPv6, both are written as IPv6, IPv4 in its mapped form.
 * For an AF_UNIX source or destination the header says nothing of them: UNKNOWN, or LOCAL.
 */
#define PROXY_BUILD_MAX 108
size_t proxy_build(char out[PROXY_BUILD_MAX], enum proxy_version version, const struct peer *source,
		   const struct peer *destination);

#endif
