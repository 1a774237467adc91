/* SPDX-License-Identifier: MIT */
/* See peer.h. */
#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "peer.h"

static struct in6_addr mapped(struct in_addr v4)
{
	struct in6_addr v6 = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(v6.s6_addr + 12, &v4, 4);
	return v6;
}

struct peer peer_of(int fd, const union peer_address *address)
{
	struct peer peer = { 0 };

	if (address->any.sa_family == AF_INET) {
		peer.address = mapped(address->in.sin_addr);
		peer.port = address->in.sin_port;
	} else if (address->any.sa_family == AF_INET6) {
		peer.address = address->in6.sin6_addr;
		peer.port = address->in6.sin6_port;
	} else {
		struct ucred cred = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
		socklen_t length = sizeof(cred);
		/* Cannot fail on a connected AF_UNIX socket; uid -1 stands for "unknown". */
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length);
		peer.is_unix = peer.by_unix = true;
		peer.pid = cred.pid;
		peer.uid = cred.uid;
		peer.gid = cred.gid;
	}
	return peer;
}

static void format_ip(char *out, size_t size, const struct in6_addr *address, in_port_t port)
{
	char text[INET6_ADDRSTRLEN];

	if (IN6_IS_ADDR_V4MAPPED(address)) {
		inet_ntop(AF_INET, address->s6_addr + 12, text, sizeof(text));
		snprintf(out, size, "%s:%u", text, (unsigned)ntohs(port));
	} else {
		inet_ntop(AF_INET6, address, text, sizeof(text));
		snprintf(out, size, "[%s]:%u", text, (unsigned)ntohs(port));
	}
}

const char *peer_format(char out[PEER_MAX], const struct peer *peer)
{
	if (peer->is_unix)
		snprintf(out, PEER_MAX, "pid %d uid %u", peer->pid, peer->uid);
	else
		format_ip(out, PEER_MAX, &peer->address, peer->port);
	return out;
}

/* The path of an AF_UNIX address is foreign bytes: those that are not printable become '?'. */
static void format_path(char *out, size_t size, const struct sockaddr_un *un, size_t length)
{
	size_t n = 0;
	bool abstract = length > 0 && un->sun_path[0] == '\0';

	/* getsockname(2) counts the final NUL of a path that fills sun_path. */
	if (length > sizeof(un->sun_path))
		length = sizeof(un->sun_path);

	if (length == 0) {
		snprintf(out, size, "(unnamed)");
		return;
	}
	for (size_t i = 0; i < length && n + 1 < size; i++) {
		char c = un->sun_path[i];
		if (i == 0 && abstract)
			c = '@';
		else if (c == '\0' && !abstract)
			break;
		else if (c < 0x20 || c > 0x7e)
			c = '?';
		out[n++] = c;
	}
	out[n] = '\0';
}

const char *peer_format_address(char out[PEER_ADDRESS_MAX], const union peer_address *address,
				socklen_t length)
{
	if (address->any.sa_family == AF_INET) {
		struct in6_addr v6 = mapped(address->in.sin_addr);
		format_ip(out, PEER_ADDRESS_MAX, &v6, address->in.sin_port);
	} else if (address->any.sa_family == AF_INET6) {
		format_ip(out, PEER_ADDRESS_MAX, &address->in6.sin6_addr, address->in6.sin6_port);
	} else {
		format_path(out, PEER_ADDRESS_MAX, &address->un,
			    length - offsetof(struct sockaddr_un, sun_path));
	}
	return out;
}
