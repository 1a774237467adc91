/* SPDX-License-Identifier: MIT */
/*
 * What a handler asks of a connection, or says about it; and what is said of a handler that breaks
 * the rules.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "connection-private.h"
#include "guard.h"
#include "journal.h"
#include "proxy.h"

#define TEXT_MAX 400 /* of a message of ss_log(), before it is escaped */

_Thread_local struct connection_set *connection_own_set;

_Static_assert(SS_PEER_MAX == PEER_MAX, "ss_peer() is peer_format()");
_Static_assert(SS_PROXY_HEADER_MAX >= PROXY_BUILD_MAX, "ss_proxy_header() is proxy_build()");

/* Printable ASCII as it is, the rest as \xNN; cut off where `size` ends. */
static void escape(char *out, size_t size, const char *text)
{
	size_t used = 0;

	for (; *text && used + 5 <= size; text++)
		if (*text >= ' ' && *text <= '~')
			out[used++] = *text;
		else
			used += (size_t)snprintf(out + used, size - used, "\\x%02x",
						 (unsigned char)*text);
	out[used] = '\0';
}

void ss_log(const struct ss_connection *c, int priority, const char *format, ...)
{
	char text[TEXT_MAX], escaped[4 * TEXT_MAX], peer[PEER_MAX];
	struct journal_fields fields = { 0 };
	va_list args;

	if (!journal_admit(JOURNAL_HANDLER))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	escape(escaped, sizeof(escaped), text);
	if (!c) {
		journal_log(JOURNAL_HANDLER, priority & LOG_PRIMASK, NULL, "%s", escaped);
		return;
	}
	fields.socket = c->service->name;
	fields.handler = c->service->handler->name;
	fields.peer = peer_format(peer, &c->peer);
	fields.connection = c->id;
	fields.bytes_in = c->bytes_in;
	fields.bytes_out = c->bytes_out;
	journal_log(JOURNAL_HANDLER, priority & LOG_PRIMASK, &fields, "%s: connection %llu: %s",
		    fields.socket, (unsigned long long)c->id, escaped);
}

void connection_misuse(struct ss_connection *c, const char *format, ...)
{
	const char *handler = c->service->handler->name, *socket = c->service->name;
	char text[TEXT_MAX];
	va_list args;

	if (!journal_admit(JOURNAL_HANDLER))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	journal_log(JOURNAL_HANDLER, LOG_ERR,
		    &(struct journal_fields){
			    .socket = socket, .handler = handler, .connection = c->id },
		    "handler %s (socket %s) broke a rule of simple-server.h: %s", handler, socket,
		    text);
}

/* The connection is another thread's and may end at any time: nothing of it is looked at. */
void connection_foreign_call(const struct ss_connection *c, const char *call)
{
	if (!journal_admit(JOURNAL_HANDLER))
		return;
	journal_log(JOURNAL_HANDLER, LOG_ERR, NULL,
		    "a handler broke a rule of simple-server.h: %s() for the connection at %p in a "
		    "thread that is not its worker; it was not carried out",
		    call, (const void *)c);
}

int ss_ready(const struct ss_connection *c)
{
	return !(c->flags & (CLOSING | FAILED | BUSY | PAUSED | DISCARD | JOINED)) && !c->output;
}

static bool may_call(const struct ss_connection *c, const char *call)
{
	if (connection_is_own(c))
		return true;
	connection_foreign_call(c, call);
	return false;
}

void ss_pause(struct ss_connection *c)
{
	if (!may_call(c, "ss_pause") || c->flags & JOINED)
		return;
	c->flags |= PAUSED;
	connection_note(c);
}

void ss_resume(struct ss_connection *c)
{
	if (!may_call(c, "ss_resume") || !(c->flags & PAUSED))
		return;
	c->flags &= (uint16_t)~PAUSED;
	c->flags |= RESUMED;
	connection_moved(c); /* it was we who did not read */
	loop_again(c->set->loop, &c->source);
}

void ss_fail(struct ss_connection *c, enum ss_reason reason, int reset)
{
	if (!may_call(c, "ss_fail") || c->flags & (CLOSING | FAILED))
		return;
	if (!reset) {
		connection_close(c, reason);
		return;
	}
	c->flags |= CUT;
	connection_fail(c, reason);
}

/* Where the peer has connected to, as far as that is known. */
static struct peer destination_of(const struct ss_connection *c)
{
	union peer_address local = { .any.sa_family = AF_UNSPEC };
	struct peer here = c->peer;
	socklen_t length = sizeof(local);

	if (c->set->destination_of == c->id)
		return c->set->destination;
	if (!c->peer.by_unix && getsockname(c->source.fd, &local.any, &length) == 0)
		return peer_of(c->source.fd, &local);
	if (!c->peer.is_unix) { /* of the family of the peer, and nothing more is known */
		here.port = 0;
		memset(&here.address.s6_addr[IN6_IS_ADDR_V4MAPPED(&here.address) ? 12 : 0], 0,
		       IN6_IS_ADDR_V4MAPPED(&here.address) ? 4 : 16);
	}
	return here;
}

size_t ss_proxy_header(const struct ss_connection *c, unsigned int version,
		       char out[SS_PROXY_HEADER_MAX])
{
	struct peer destination = destination_of(c);

	return proxy_build(out, version == 1 ? PROXY_V1 : PROXY_V2, &c->peer, &destination);
}

size_t ss_rest(const struct ss_connection *c, const void **ret_bytes)
{
	const struct buffer *rest = c->set->rest;

	*ret_bytes = rest ? buffer_bytes(rest) : NULL;
	return buffer_size(rest);
}

size_t ss_queued(const struct ss_connection *c)
{
	return buffer_size(c->output);
}

void ss_set_state(struct ss_connection *c, void *state)
{
	c->state = state;
	connection_note(c);
}

void *ss_state(const struct ss_connection *c)
{
	return c->state;
}

uint64_t ss_id(const struct ss_connection *c)
{
	return c->id;
}

int64_t ss_now(const struct ss_connection *c)
{
	return c->set->loop->now;
}

const char *ss_peer(const struct ss_connection *c, char out[SS_PEER_MAX])
{
	return peer_format(out, &c->peer);
}

struct ss_service *ss_service_of(const struct ss_connection *c)
{
	return service_public(c->service);
}

struct ss_worker *ss_worker_of(const struct ss_connection *c)
{
	return &c->set->places[c->service->index];
}

void ss_count(struct ss_connection *c, unsigned int counter, int64_t n)
{
	struct ss_worker *place = ss_worker_of(c);

	if (counter >= place->n_counters) {
		connection_misuse(c, "ss_count() of counter %u; there are %u", counter,
				  place->n_counters);
		return;
	}
	atomic_fetch_add_explicit(&place->counters[counter], n, memory_order_relaxed);
	if (c->set->counted)
		c->set->counted(c->set);
}

const struct ss_handler *guard_handler_of(const struct ss_connection *c)
{
	return c->service->handler;
}
