/* SPDX-License-Identifier: MIT */
/*
 * The beginning of a connection that comes from a proxy: its header says who the peer is, before
 * the rules of access, the limits and the log look at the address. Nothing is guessed: where
 * proxies are named every connection has a header, and whoever else connects is turned away before.
 *
 * The header is looked at in the socket and taken out when it is whole, so that what follows it is
 * read as on any other connection.
 */
#include <errno.h>

#include "connection-private.h"
#include "proxy.h"

static bool refuse(struct ss_connection *c, enum service_verdict verdict, const char *detail)
{
	if (verdict == SERVICE_BAD_HEADER)
		service_turned_away(c->service, verdict);
	service_log_turned_away(c->service, &c->peer, verdict, detail);
	service_give_back_rate(c->service); /* as where the acceptor turns somebody away */
	connection_fail(c, SS_REFUSED);
	return false;
}

/* Takes the header out of the socket, where it is. */
static bool take(struct ss_connection *c, size_t size)
{
	ssize_t n = recv(c->source.fd, c->set->input, size, 0);

	return n == (ssize_t)size || refuse(c, SERVICE_BAD_HEADER, "it is gone");
}

static bool admit(struct ss_connection *c, const struct proxy_header *header, bool has_peer)
{
	if (!take(c, header->size))
		return false;
	bool by_unix = c->peer.by_unix;
	if (has_peer)
		c->peer = header->source;
	c->peer.by_unix = by_unix;
	c->set->destination_of = has_peer ? c->id : 0;
	c->set->destination = header->destination;
	connection_follow(c);
	const struct settings_socket *section = c->service->section;
	enum service_verdict verdict = service_admit(c->service, section, &c->peer,
						     c->set->loop->now);
	c->epoch = section->epoch & 1;
	if (verdict != SERVICE_ADMITTED)
		return refuse(c, verdict, NULL);
	c->flags &= (uint16_t)~HEADER;
	c->source.events |= READABLE & ~UNSURE; /* what follows it may be there already */
	return true;
}

/* There is more to come; if nothing more can come, that is the end. */
static bool await_more(struct ss_connection *c)
{
	bool over = c->source.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);

	c->source.events &= ~(uint32_t)EPOLLIN;
	if (over)
		return refuse(c, SERVICE_BAD_HEADER, "the connection ended within it");
	if (!timer_armed(&c->source.timer))
		loop_arm(c->set->loop, &c->source, c->service->section->timeouts.header_ms);
	return false;
}

static bool look(struct ss_connection *c, size_t length)
{
	struct proxy_header header;
	const char *problem = NULL;
	int verdict = proxy_parse(c->set->input, length, PROXY_V1 | PROXY_V2, &header, &problem);

	if (verdict == PROXY_MORE)
		return await_more(c);
	if (verdict < 0)
		return refuse(c, SERVICE_BAD_HEADER, problem);
	return admit(c, &header, verdict == PROXY_PEER);
}

bool connection_read_header(struct ss_connection *c)
{
	if (c->source.events & LOOP_EXPIRED)
		return refuse(c, SERVICE_BAD_HEADER, "it did not come in time");
	ssize_t n = recv(c->source.fd, c->set->input, PROXY_HEADER_MAX, MSG_PEEK);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return refuse(c, SERVICE_BAD_HEADER, "the connection was broken off");
	if (n == 0)
		return refuse(c, SERVICE_BAD_HEADER, "there is none");
	return n < 0 ? await_more(c) : look(c, (size_t)n);
}
