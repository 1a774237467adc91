/* SPDX-License-Identifier: MIT */
/*
 * A connection that was there before a reload: from its next look on it goes by the new section in
 * most things, for it asks its service each time. Here is the rest, what was done once: it was
 * counted by its source, its socket has options, its timer is armed, it has a note in the ledger.
 *
 * Between the reload and this call nothing is wrong, only as before. No callback of the handler is
 * made, and nothing ends here: what has run out is seen by the timer.
 */
#include "connection-private.h"

/*
 * A connection may be of another family than the listener that had the option, or be broken off
 * already: what cannot be set is left.
 */
void connection_set_options(const struct ss_connection *c)
{
	bool has_leg = connection_has_leg(c->service) && connection_leg(c)->source.fd >= 0;

	for (size_t i = 0; i < c->service->n_changes; i++) {
		const struct service_option *change = &c->service->changes[i];

		if (change->restored) {
			sockopt_restore(c->source.fd, change->row, &change->value);
			continue; /* a leg of ours has nothing to go back to */
		}
		sockopt_set(c->source.fd, change->row, &change->value);
		if (has_leg)
			sockopt_set(connection_leg(c)->source.fd, change->row, &change->value);
	}
}

/* While it ends politely it keeps the time that it was given for that. */
static void follow_timeouts(struct ss_connection *c)
{
	int64_t header_ms = c->service->section->timeouts.header_ms;

	if (c->flags & HEADER)
		loop_arm(c->set->loop, &c->source,
			 (int64_t)c->began + header_ms - c->set->loop->now);
	else if (!(c->flags & CLOSING) || connection_is_wished(c))
		connection_watch(c);
}

void connection_follow(struct ss_connection *c)
{
	const struct settings_socket *section = c->service->section;

	if (likely(c->epoch == section->epoch))
		return;
	if (!(c->flags & HEADER))
		service_recount(c->service, c->epoch, &c->peer);
	c->epoch = section->epoch & 1;
	connection_note(c);
	if (c->flags & FAILED)
		return;
	connection_set_options(c);
	follow_timeouts(c);
}
