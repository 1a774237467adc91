/* SPDX-License-Identifier: MIT */
/*
 * A connection on its way to another process: frozen between two turns, it is a record with what
 * waits for it in memory; thawed, it goes on in its first turn as if nothing had been. And the
 * notes in the ledger of what would be left of it if this process ended now.
 */
#include <string.h>

#include "connection-private.h"

#define PADDING 8

static const struct {
	uint16_t own, frozen;
} same_flags[] = {
	{ CLOSING, HANDOVER_CLOSING }, { EOF_SEEN, HANDOVER_EOF },  { SHUT, HANDOVER_SHUT },
	{ DISCARD, HANDOVER_DISCARD }, { WANTS, HANDOVER_WANTS },   { PAUSED, HANDOVER_PAUSED },
	{ RESUMED, HANDOVER_RESUMED }, { HEADER, HANDOVER_HEADER }, { OPENED, HANDOVER_OPENED },
};

/* --- the ledger */

static bool outlive_a_crash(const struct service *service)
{
	return service->section->preserve == SETTINGS_ALWAYS &&
	       service->handler->flags & SS_STATELESS && !connection_has_leg(service);
}

static bool has_timer(const struct ss_connection *c)
{
	return c->service->handler->timer && *connection_timer(c);
}

/* Behind a proxy the kernel does not know the peer. */
static bool is_held(const struct ss_connection *c)
{
	return c->flags & (uint16_t) ~(OPENED | DISCARD | LIMITED | PACED) || c->output ||
	       c->input || c->state || has_timer(c) || service_has_proxies(c->service->section);
}

void connection_note(const struct ss_connection *c)
{
	if (!c->set->ledger || !outlive_a_crash(c->service))
		return;
	ledger_set(c->set->ledger, c->source.fd,
		   &(struct ledger_entry){
			   .state = is_held(c) ? LEDGER_HELD : LEDGER_LIVE,
			   .flags = (c->flags & DISCARD ? LEDGER_DISCARDS : 0) |
				    (c->flags & OPENED || c->thawed ? LEDGER_OPENED : 0),
			   .service = c->service->index,
			   .id = c->id });
}

void connection_note_frozen(struct ledger *ledger, const struct service *service,
			    const struct handover_record *record, int fd)
{
	bool held = record->flags & (uint32_t) ~(HANDOVER_OPENED | HANDOVER_DISCARD) ||
		    record->input || record->output || record->state || record->timer_due ||
		    service_has_proxies(service->section);

	if (!outlive_a_crash(service))
		return;
	ledger_set(ledger, fd,
		   &(struct ledger_entry){
			   .state = held ? LEDGER_HELD : LEDGER_LIVE,
			   .flags = (record->flags & HANDOVER_DISCARD ? LEDGER_DISCARDS : 0) |
				    (record->flags & HANDOVER_OPENED ? LEDGER_OPENED : 0),
			   .service = service->index,
			   .id = record->id });
}

void connection_forget(const struct ss_connection *c)
{
	if (c->set->ledger)
		ledger_clear(c->set->ledger, c->source.fd);
}

/* --- freezing */

/* One that looks for its target waits for that; a pair with a broken side is about to end. */
static bool has_settled_leg(const struct ss_connection *c)
{
	if (!connection_has_leg(c->service) || c->flags & HEADER)
		return true;
	return (c->flags & (JOINED | CLOSING)) == JOINED &&
	       !(connection_leg(c)->flags & (LEG_PEER_BROKEN | LEG_TARGET_BROKEN));
}

static bool can_freeze_but_for(const struct ss_connection *c, uint16_t flags)
{
	const struct ss_handler *handler = c->service->handler;

	return c->service->section->preserve != SETTINGS_NEVER && !c->stays &&
	       (handler->flags & SS_STATELESS || handler->freeze) &&
	       !(c->flags & (FAILED | BUSY | CUT) & ~flags) && has_settled_leg(c);
}

static void set_peer(struct handover_record *record, const struct peer *peer)
{
	_Static_assert(sizeof(peer->address) == sizeof(record->address), "an address has 16 bytes");
	memcpy(record->address, &peer->address, sizeof(record->address));
	record->port = peer->port;
	record->is_unix = peer->is_unix;
	record->by_unix = peer->by_unix;
	record->has_peer = true;
}

static void describe(const struct ss_connection *c, struct handover_record *record)
{
	*record = (struct handover_record){
		.version = HANDOVER_RECORD,
		.service = (uint16_t)c->service->index,
		.n_fds = 1,
		.reason = c->reason,
		.id = c->id,
		.bytes_in = c->bytes_in,
		.bytes_out = c->bytes_out,
		.began = (int64_t)c->began,
		.active = c->active,
		.timer_due = c->service->handler->timer ? *connection_timer(c) : 0,
		.dropped = c->flags & CLOSING ? c->dropped : 0,
		.input = c->flags & CLOSING ? 0 : (uint32_t)buffer_size(c->input),
		.output = (uint32_t)buffer_size(c->output),
	};
	for (size_t i = 0; i < ARRAY_SIZE(same_flags); i++)
		if (c->flags & same_flags[i].own)
			record->flags |= same_flags[i].frozen;
	set_peer(record, &c->peer);
	if (!(c->flags & JOINED))
		return;
	record->flags |= HANDOVER_JOINED;
	record->n_fds = 2;
	record->leg_flags = connection_leg(c)->flags & LEG_LASTING;
	record->connect_ms = connection_leg(c)->connect_ms;
	record->leg_output = (uint32_t)buffer_size(connection_leg(c)->output);
}

/* The handler's state is in set->input. What it could not save it says by an error. */
static int freeze_state(struct ss_connection *c, size_t *ret_length)
{
	const struct ss_handler *handler = c->service->handler;

	*ret_length = 0;
	if (!(c->flags & OPENED) || !handler->freeze)
		return 0;
	int r = handler->freeze(c, c->set->input, SS_FROZEN_MAX, ret_length);
	return r == 0 && *ret_length > SS_FROZEN_MAX ? -EOVERFLOW : r;
}

static int append(struct frozen *frozen, const struct buffer *queue)
{
	return queue ? buffer_append(&frozen->records, buffer_bytes(queue), buffer_size(queue)) : 0;
}

static int write_record(struct ss_connection *c, struct frozen *frozen, size_t state_length)
{
	static const unsigned char zeros[PADDING];
	struct handover_record record;

	describe(c, &record);
	record.state = (uint32_t)state_length;
	size_t length = sizeof(record) + record.input + record.output + record.leg_output +
			record.state;
	size_t padding = -length % PADDING;
	record.size = (uint32_t)(length + padding);
	int r = buffer_append(&frozen->records, &record, sizeof(record));
	if (r == 0 && record.input)
		r = append(frozen, c->input);
	if (r == 0)
		r = append(frozen, c->output);
	if (r == 0 && record.leg_output)
		r = append(frozen, connection_leg(c)->output);
	if (r == 0 && state_length)
		r = buffer_append(&frozen->records, c->set->input, state_length);
	if (r == 0 && padding)
		r = buffer_append(&frozen->records, zeros, padding);
	if (r == 0)
		r = buffer_append(&frozen->fds, &c->source.fd, sizeof(int));
	if (r == 0 && record.n_fds == 2)
		r = buffer_append(&frozen->fds, &connection_leg(c)->source.fd, sizeof(int));
	return r;
}

static void release(struct loop_source *source)
{
	free(container_of(source, struct ss_connection, source));
}

/* As at its end, but nobody is told, and the descriptor stays open. */
static void leave(struct ss_connection *c)
{
	struct connection_set *set = c->set;

	loop_remove(set->loop, &c->source, release);
	if (c->flags & JOINED) {
		loop_remove(set->loop, &connection_leg(c)->source, NULL);
		connection_relay_end(c);
	}
	list_del(&c->member);
	connection_drop(c, &c->output);
	if (!(c->flags & CLOSING))
		buffer_free(&c->input);
	if (c->flags & HEADER)
		service_unreserve(c->service);
	else
		service_left(c->service, c->epoch, &c->peer, c->bytes_in, c->bytes_out);
	atomic_fetch_sub_explicit(&set->count, 1, memory_order_relaxed);
}

/*
 * What cannot be saved ends: politely, as at a stop, where the handler says so; without memory at
 * once, and where its state is released already without a word to the handler.
 */
static void freeze(struct ss_connection *c, struct frozen *frozen)
{
	size_t state_length, records = buffer_size(frozen->records), fds = buffer_size(frozen->fds);

	if (c->flags & JOINED && connection_relay_empty(c) < 0) {
		c->flags |= CUT;
		connection_end(c, SS_NO_MEMORY);
	} else if (freeze_state(c, &state_length) != 0) {
		c->stays = true;
		connection_finish(c, SS_DRAIN);
	} else if (write_record(c, frozen, state_length) == 0) {
		frozen->count++;
		leave(c);
	} else {
		if (frozen->records)
			frozen->records->end = frozen->records->start + records;
		if (frozen->fds)
			frozen->fds->end = frozen->fds->start + fds;
		c->flags &= (uint16_t)~OPENED;
		connection_end(c, SS_NO_MEMORY);
	}
}

static struct ss_connection *member_of(struct list *member)
{
	return container_of(member, struct ss_connection, member);
}

/* A job that was there before may take long; what comes after it is waited for when it matters. */
static bool is_stuck(const struct ss_connection *c, int64_t since_ns)
{
	return !can_freeze_but_for(c, BUSY) ||
	       (c->flags & BUSY && connection_job_is_older(c, since_ns));
}

/* Those that have not had their first event count as well. */
unsigned connection_set_stuck(struct connection_set *set, int64_t since_ns)
{
	unsigned n = atomic_load(&set->count);

	list_for_each (l, &set->members)
		n -= !is_stuck(member_of(l), since_ns);
	return n;
}

void connection_set_freeze(struct connection_set *set, struct frozen *frozen)
{
	for (struct list *l = set->members.next, *next; l != &set->members; l = next) {
		next = l->next;
		if (can_freeze_but_for(member_of(l), 0))
			freeze(member_of(l), frozen);
	}
}

void frozen_deinit(struct frozen *frozen)
{
	buffer_free(&frozen->records);
	buffer_free(&frozen->fds);
	frozen->count = 0;
}

/* --- thawing */

static struct peer peer_in(const struct handover_record *record, int fd)
{
	union peer_address address = { 0 };
	socklen_t length = sizeof(address);
	struct peer peer = { .port = record->port,
			     .is_unix = record->is_unix,
			     .by_unix = record->by_unix };

	memcpy(&peer.address, record->address, sizeof(peer.address));
	if (!record->has_peer && getpeername(fd, &address.any, &length) == 0)
		peer = peer_of(fd, &address);
	return peer;
}

/* What follows the record, piece by piece. */
static int restore_queues(struct ss_connection *c, const struct handover_record *record)
{
	const unsigned char *bytes = (const unsigned char *)(record + 1);
	struct buffer *state = NULL;
	int r = 0;

	if (record->input && !(c->flags & CLOSING))
		r = buffer_append(&c->input, bytes, record->input);
	if (r == 0 && record->output)
		r = connection_restore_output(c, &c->output, bytes + record->input, record->output);
	if (r == 0 && record->leg_output)
		r = connection_restore_output(c, &connection_leg(c)->output,
					      bytes + record->input + record->output,
					      record->leg_output);
	if (r == 0 && record->state)
		r = buffer_append(&state,
				  bytes + record->input + record->output + record->leg_output,
				  record->state);
	c->state = state; /* until connection_thawed() */
	return r;
}

static void restore(struct ss_connection *c, const struct handover_record *record)
{
	c->thawed = (record->flags & HANDOVER_OPENED) != 0; /* else open() is still due */
	for (size_t i = 0; i < ARRAY_SIZE(same_flags); i++)
		if (record->flags & same_flags[i].frozen)
			c->flags |= same_flags[i].own & (uint16_t)~OPENED;
	c->id = record->id;
	c->reason = record->reason & 0x3f;
	c->bytes_in = record->bytes_in;
	c->bytes_out = record->bytes_out;
	if (record->began > 0) { /* else it begins with its first turn */
		c->began = (uint64_t)record->began & 0x7fffffffff;
		c->active = record->active;
	}
	if (c->flags & CLOSING)
		c->dropped = record->dropped;
	if (c->service->handler->timer && record->timer_due)
		*connection_timer(c) = record->timer_due;
}

/* The loop is to know it when the handler does: connection_thawed(). */
static void restore_leg(struct ss_connection *c, const struct handover_record *record, int fd)
{
	struct connection_leg *leg = connection_leg(c);

	leg->source.fd = fd;
	leg->flags = record->leg_flags & LEG_LASTING;
	leg->connect_ms = (uint16_t)record->connect_ms;
}

/* Of one that its thread has not seen: the clock of the loop is not looked at. */
static void undo(struct ss_connection *c)
{
	struct buffer *state = c->state;

	buffer_free(&state);
	connection_forget_output(c, &c->output);
	if (connection_has_leg(c->service))
		connection_forget_output(c, &connection_leg(c)->output);
	if (!(c->flags & CLOSING))
		buffer_free(&c->input);
	if (c->flags & HEADER)
		service_unreserve(c->service);
	else
		service_left(c->service, c->epoch, &c->peer, 0, 0);
	free(c);
}

static bool can_thaw(const struct service *service, const struct handover_record *record)
{
	const struct ss_handler *handler = service->handler;

	return (record->n_fds == 2) ==
		       (connection_has_leg(service) && !(record->flags & HANDOVER_HEADER)) &&
	       (record->state ? handler->thaw != NULL
			      : handler->flags & SS_STATELESS || handler->thaw != NULL);
}

int connection_thaw(struct connection_set *set, struct service *service,
		    const struct handover_record *record, const int fds[2])
{
	const struct settings_socket *section = service->section;
	struct peer peer = peer_in(record, fds[0]);
	bool waits = record->flags & HANDOVER_HEADER && service_has_proxies(section);

	if (!can_thaw(service, record))
		return -EOPNOTSUPP;
	if (record->flags & HANDOVER_HEADER && !waits)
		return -EPROTO;
	int r = service_take_over(service, section, waits ? NULL : &peer);
	if (r < 0)
		return r;
	struct ss_connection *c = connection_new(set, service, section, fds[0], &peer);
	if (!c) {
		waits ? service_unreserve(service)
		      : service_left(service, section->epoch, &peer, 0, 0);
		return -ENOMEM;
	}
	restore(c, record);
	if (record->n_fds == 2)
		restore_leg(c, record, fds[1]);
	r = restore_queues(c, record);
	if (r < 0) {
		undo(c);
		return r;
	}
	connection_set_options(c);
	connection_note(c);
	atomic_fetch_add_explicit(&set->count, 1, memory_order_relaxed);
	pthread_mutex_lock(&set->arriving_lock);
	list_add_tail(&set->arriving, &c->member);
	pthread_mutex_unlock(&set->arriving_lock);
	loop_post(set->loop, &set->arrive);
	return 0;
}

static void give_up_arriving(struct ss_connection *c)
{
	connection_forget(c);
	close(c->source.fd);
	if (connection_has_leg(c->service))
		close_fd(connection_leg(c)->source.fd);
	atomic_fetch_sub_explicit(&c->set->count, 1, memory_order_relaxed);
	undo(c);
}

/*
 * Its first turn comes without an event: of one that is blocked in both directions epoll reports
 * nothing, perhaps for ever.
 */
static void arrive(struct ss_connection *c)
{
	struct connection_set *set = c->set;
	struct service *service = c->service;

	if (loop_add(set->loop, &c->source, CONNECTION_MASK) == 0) {
		loop_call(set->loop, &c->source);
		return;
	}
	give_up_arriving(c);
	if (set->ended)
		set->ended(set, service);
}

static struct ss_connection *next_arriving(struct connection_set *set)
{
	struct ss_connection *c = NULL;

	pthread_mutex_lock(&set->arriving_lock);
	if (!list_empty(&set->arriving))
		c = member_of(list_pop(&set->arriving));
	pthread_mutex_unlock(&set->arriving_lock);
	return c;
}

void connection_set_arrive(struct loop *loop, struct loop_message *message)
{
	struct connection_set *set = container_of(message, struct connection_set, arrive);
	struct ss_connection *c;

	(void)loop;
	while ((c = next_arriving(set)))
		arrive(c);
}

void connection_set_turn_back(struct connection_set *set)
{
	struct ss_connection *c;

	while ((c = next_arriving(set)))
		give_up_arriving(c);
}

/* In the first turn, in place of open(). */
int connection_thawed(struct ss_connection *c)
{
	struct buffer *state = steal(&c->state);
	const struct ss_handler *handler = c->service->handler;
	const void *bytes = state ? buffer_bytes(state) : NULL;
	int r = connection_has_leg(c->service) ? connection_leg_go_on(c) : 0;

	if (r == 0 && handler->thaw)
		r = handler->thaw(c, bytes, buffer_size(state));
	if (r == 0 && connection_has_leg(c->service))
		r = connection_relay_go_on(c);
	c->thawed = false;
	buffer_free(&state);
	if (c->flags & CLOSING)
		loop_arm(c->set->loop, &c->source, c->service->section->timeouts.linger_ms);
	return r;
}
