/* SPDX-License-Identifier: MIT */
/*
 * See connection.h. What always holds between two turns of a connection:
 * - source.events has one of READABLE exactly when another recv() may tell something new;
 * - `output` is empty, or the kernel takes no more and EPOLLOUT will come: a short send() has told
 * it to report room. While it is not empty the connection is not read;
 * - a connection that may go on without a new edge is on the loop's list to be called again.
 *
 * The registration is edge-triggered in both directions and never changed. A read that does not
 * fill the buffer has emptied the socket, which saves the recv() that would say EAGAIN. What ends a
 * read early makes no edge of its own for what is behind it: on TCP the end of the stream and the
 * mark of urgent data, which EPOLLRDHUP and EPOLLPRI announce; on AF_UNIX a message with
 * descriptors or of another sender, which nothing announces, so there a short read never proves
 * anything.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "connection-private.h"
#include "syscall.h"

#define READS_PER_TURN 4 /* 256 KiB; then it is another connection's turn */
#define DISCARD_SIZE   (1 << 20)

static _Atomic uint64_t last_id;

/* What a handler leaves because it cannot go on now is not read any further, so it is bounded. */
static void check_input(struct ss_connection *c)
{
	if (buffer_size(c->input) > SS_INPUT_MAX && ss_ready(c))
		connection_fail(c, SS_INPUT_FULL);
}

static bool is_possible(struct ss_connection *c, size_t used, size_t length)
{
	if (used <= length)
		return true;
	connection_misuse(c, "data() was given %zu bytes and took %zu", length, used);
	connection_fail(c, SS_MISUSE);
	return false;
}

/* ss_join() was called in data() or eof(): what is left is the target's. */
static void keep_for_target(struct ss_connection *c, struct buffer **rest)
{
	if (*rest)
		connection_relay_keep(c, buffer_bytes(*rest), buffer_size(*rest));
	buffer_free(rest);
}

/* What waits is the handler's until it returns, even if it closes the connection. */
void connection_deliver_waiting(struct ss_connection *c)
{
	struct buffer *waiting = steal(&c->input);
	size_t size = buffer_size(waiting);
	size_t used = c->service->handler->data(c, buffer_bytes(waiting), size);

	if (c->flags & (CLOSING | FAILED | DISCARD) || /* closing, c->input is c->dropped */
	    !is_possible(c, used, size)) {
		buffer_free(&waiting);
		return;
	}
	buffer_consume(&waiting, used);
	if (c->flags & JOINED) {
		keep_for_target(c, &waiting);
		return;
	}
	c->input = waiting;
	connection_note(c);
	check_input(c);
}

/* `used` of the bytes are done with; or there was input that waits, and they go behind it. */
static slow_path void deliver_rest(struct ss_connection *c, const unsigned char *bytes,
				   size_t length, size_t used)
{
	bool waited = c->input != NULL;

	if (!is_possible(c, used, length))
		return;
	if (c->flags & JOINED)
		connection_relay_keep(c, bytes + used, length - used);
	else if (buffer_append(&c->input, bytes + used, length - used) < 0)
		connection_fail(c, SS_NO_MEMORY);
	else if (waited)
		connection_deliver_waiting(c);
	else
		check_input(c);
	connection_note(c);
}

static inline void deliver(struct ss_connection *c, const unsigned char *bytes, size_t length)
{
	size_t used = likely(!c->input) ? c->service->handler->data(c, bytes, length) : 0;

	if (unlikely(used != length) && !(c->flags & (CLOSING | FAILED | DISCARD)))
		deliver_rest(c, bytes, length, used);
}

/* As in data(), what the handler looks at stays until it returns, whatever it calls. */
static void call_eof(struct ss_connection *c)
{
	c->set->rest = steal(&c->input);
	c->service->handler->eof(c);
	if (c->flags & JOINED)
		keep_for_target(c, &c->set->rest);
	buffer_free(&c->set->rest);
}

static void deliver_eof(struct ss_connection *c)
{
	if (c->flags & EOF_SEEN)
		return;
	c->flags |= EOF_SEEN;
	connection_note(c);
	if (c->flags & CLOSING)
		return;
	if (c->service->handler->eof)
		call_eof(c);
	else
		ss_close(c);
}

/* While the answer still goes out, the time-out of writing bounds it. */
static slow_path void drop(struct ss_connection *c, size_t length)
{
	c->dropped += length;
	if (c->flags & SHUT && c->dropped > CONNECTION_LINGER_BYTES)
		connection_give_up(c);
}

/* recv() gave no bytes: the end (0), nothing for now, or an error (-errno). */
static slow_path void read_nothing(struct ss_connection *c, ssize_t n)
{
	bool gone = c->source.events & EPOLLHUP;

	if (n == 0 || n == -EAGAIN)
		c->source.events &= ~READABLE;
	if (n == 0)
		deliver_eof(c);
	/* tcp(7) does not say it: behind a FIN recv() gives 0 even after a reset. */
	if (n == 0 && gone && !(c->flags & CLOSING))
		connection_fail(c, c->peer.by_unix ? SS_PEER_CLOSED : SS_RESET);
	else if (n == 0)
		return;
	else if (n != -EAGAIN && n != -EINTR)
		connection_fail_errno(c, (int)-n);
}

/* Not more than a second's worth: it waits for no longer than that, and then its deadlines are
 * seen. */
size_t connection_paced_size(const struct ss_connection *c, size_t most)
{
	int64_t rate = c->service->section->limits.bandwidth;

	return c->flags & LIMITED && rate && (size_t)rate < most ? (size_t)rate : most;
}

/*
 * On TCP the bytes are dropped in the kernel, and more at once than any buffer holds. An AF_UNIX
 * socket would still copy, and only so much as there is room for.
 */
static slow_path void discard_once(struct ss_connection *c)
{
	bool tcp = !c->peer.by_unix;
	size_t size = connection_paced_size(c, tcp ? DISCARD_SIZE : CONNECTION_READ_SIZE);
	ssize_t n = tcp ? sys_discard(c->source.fd, size)
			: sys_recv(c->source.fd, c->set->input, size);

	if (n <= 0) {
		read_nothing(c, n);
		return;
	}
	if ((size_t)n < size && tcp && !(c->source.events & UNSURE))
		c->source.events &= ~READABLE;
	c->bytes_in += (uint64_t)n;
	if (!(c->flags & WANTS)) /* that counts what goes out, and nothing does */
		connection_moved(c);
}

/* How many bytes are in set->input now; 0 when there are none, and then what that means is noted.
 */
static inline size_t receive(struct ss_connection *c, size_t size)
{
	ssize_t n = sys_recv(c->source.fd, c->set->input, size);

	if (unlikely(n <= 0)) {
		read_nothing(c, n);
		return 0;
	}
	if (likely((size_t)n < size && !(c->source.events & UNSURE) && !c->peer.by_unix))
		c->source.events &= ~READABLE;
	c->bytes_in += (uint64_t)n;
	return (size_t)n;
}

static slow_path void read_once(struct ss_connection *c, size_t size)
{
	size_t n = receive(c, size);

	if (n == 0)
		return;
	if (c->flags & CLOSING) {
		drop(c, n);
		return;
	}
	if (!(c->flags & WANTS))
		connection_moved(c);
	deliver(c, c->set->input, n);
}

static void begin(struct ss_connection *c)
{
	c->began = (uint64_t)c->set->loop->now & 0x7fffffffff;
	connection_moved(c);
}

static int enter(struct ss_connection *c)
{
	const struct ss_handler *handler = c->service->handler;
	int r = c->thawed ? connection_thawed(c) : handler->open ? handler->open(c) : 0;

	c->set->destination_of = 0;
	return r;
}

/*
 * The first event, in the thread that owns the connection from now on; or another one, while the
 * header of a proxy has not come.
 */
static void join(struct ss_connection *c)
{
	if (list_empty(&c->member)) {
		list_add_tail(&c->set->members, &c->member);
		if (c->began == 0)
			begin(c);
		connection_follow(c); /* it may have been accepted before a reload */
	}
	if (c->flags & HEADER && c->set->finishing)
		connection_fail(c, SS_DRAIN);
	if (c->flags & FAILED || (c->flags & HEADER && !connection_read_header(c)))
		return;
	if (enter(c) != 0) {
		connection_fail(c, SS_REFUSED);
		return;
	}
	c->flags |= OPENED;
	connection_note(c);
	if (c->set->aborting)
		connection_fail(c, SS_DRAIN);
	else if (c->set->finishing)
		connection_finish(c, SS_DRAIN);
	else
		connection_watch(c);
}

static bool may_read(const struct ss_connection *c)
{
	bool taken = c->flags & CLOSING || !(c->output || c->flags & (BUSY | PAUSED));

	return taken && c->source.events & READABLE &&
	       !(c->flags & (FAILED | PACED | HEADER | JOINED));
}

/* While nobody reads a reset would not be seen. */
static void look_for_reset(struct ss_connection *c)
{
	socklen_t size = sizeof(int);
	int error = 0;

	if (getsockopt(c->source.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error == 0)
		return;
	c->flags |= CUT; /* a target that is there already hears of it */
	connection_fail_errno(c, error);
}

static void deliver_again(struct ss_connection *c)
{
	c->flags &= (uint16_t)~RESUMED;
	connection_note(c);
	if (c->input && ss_ready(c))
		connection_deliver_waiting(c);
}

/* What there is to do before reading; seldom anything. */
static void prepare(struct ss_connection *c)
{
	if (!(c->flags & (OPENED | FAILED)))
		join(c);
	if (c->flags &
	    (HEADER | JOINED)) /* joined in there: its next turn is connection-relay.c's */
		return;
	if (c->source.events & LOOP_EXPIRED)
		connection_expired(c);
	if (c->source.events & (EPOLLHUP | EPOLLERR))
		c->flags &= (uint16_t)~PACED; /* it is over: nobody waits for the pace */
	if (c->flags & (BUSY | PAUSED) && c->source.events & EPOLLERR)
		look_for_reset(c);
	if (c->flags & RESUMED)
		deliver_again(c);
	if (c->output && c->source.events & WRITABLE && !(c->flags & FAILED))
		connection_flush(c);
	if (c->flags & WANTS && !c->output && c->source.events & WRITABLE)
		connection_tell_writable(c);
}

/* The connection has had its bytes: it is not read until time has paid for them. */
void connection_pace(struct ss_connection *c, uint64_t bytes)
{
	int64_t rate = c->service->section->limits.bandwidth;
	int64_t wait = rate ? pace_took(&connection_more(c)->pace, rate, bytes, c->set->loop->now)
			    : 0;

	if (wait == 0)
		return;
	c->flags |= PACED;
	loop_arm(c->set->loop, &c->source, wait);
}

static void read_any(struct ss_connection *c)
{
	uint64_t before = c->bytes_in;

	if ((c->flags & (DISCARD | CLOSING)) == DISCARD)
		discard_once(c);
	else
		read_once(c, connection_paced_size(c, CONNECTION_READ_SIZE));
	if ((c->flags & (LIMITED | CLOSING | FAILED)) == LIMITED)
		connection_pace(c, c->bytes_in - before);
}

/* Reads on after `reads` reads in this turn. What is left after its share waits for the next. */
static slow_path void read_more(struct ss_connection *c, int reads)
{
	for (; reads < READS_PER_TURN && may_read(c); reads++)
		read_any(c);
	if (may_read(c))
		loop_again(c->set->loop, &c->source);
}

static slow_path void special_turn(struct ss_connection *c)
{
	prepare(c);
	read_more(c, 0);
}

static void on_ready(struct loop *loop, struct loop_source *source)
{
	struct ss_connection *c = container_of(source, struct ss_connection, source);

	if (unlikely(c->flags != OPENED || c->output || source->events & LOOP_EXPIRED)) {
		special_turn(c);
	} else if (source->events & READABLE) {
		size_t n = receive(c, CONNECTION_READ_SIZE);
		if (likely(n > 0)) {
			c->active = (uint32_t)loop->now;
			deliver(c, c->set->input, n);
		}
		if (unlikely(source->events & READABLE))
			read_more(c, 1);
	}
	if (unlikely(c->flags & (FAILED | CLOSING)))
		connection_settle(c);
}

void ss_discard(struct ss_connection *c)
{
	if (!connection_is_own(c)) {
		connection_foreign_call(c, "ss_discard");
		return;
	}
	c->flags |= DISCARD;
	if (!(c->flags & CLOSING))
		buffer_free(&c->input);
	connection_note(c);
}

int connection_set_init(struct connection_set *set, struct loop *loop,
			const struct services *services, unsigned worker, struct pool *pool)
{
	*set = (struct connection_set){ .loop = loop,
					.input = malloc(CONNECTION_READ_SIZE),
					.pool = pool };
	list_init(&set->members);
	list_init(&set->arriving);
	pthread_mutex_init(&set->arriving_lock, NULL);
	set->arrive.deliver = connection_set_arrive;
	pipes_init(&set->pipes, services ? services->capacity->pipes : PIPES_MAX);
	if (services) {
		set->places = places_new(services, worker);
		set->n_places = services->count;
	}
	return set->input && (set->places || !services) ? 0 : -ENOMEM;
}

void connection_set_deinit(struct connection_set *set)
{
	connection_set_turn_back(set);
	pthread_mutex_destroy(&set->arriving_lock);
	free(set->input);
	pipes_deinit(&set->pipes);
	places_free(set->places, set->n_places);
	set->input = NULL;
	set->places = NULL;
}

void connection_set_enter(struct connection_set *set)
{
	connection_own_set = set;
}

struct ss_connection *connection_new(struct connection_set *set, struct service *service,
				     const struct settings_socket *section, int fd,
				     const struct peer *peer)
{
	struct ss_connection *c = calloc(1, connection_size(service, section));

	if (!c)
		return NULL;
	loop_source_init(&c->source, fd, on_ready);
	if (connection_has_leg(service))
		loop_source_init(&connection_leg(c)->source, -1, NULL);
	list_init(&c->member);
	c->set = set;
	c->service = service;
	c->peer = *peer;
	c->epoch = section->epoch & 1;
	c->flags = section->limits.bandwidth > 0 ? LIMITED : 0;
	return c;
}

/* An event finds the connection complete: everything is set before it is added. */
int connection_add(struct ss_connection *c)
{
	struct connection_set *set = c->set;
	int fd = c->source.fd;

	connection_note(c);
	atomic_fetch_add_explicit(&set->count, 1, memory_order_relaxed);
	int r = loop_add(set->loop, &c->source, CONNECTION_MASK);
	if (r < 0) {
		atomic_fetch_sub_explicit(&set->count, 1, memory_order_relaxed);
		if (set->ledger)
			ledger_clear(set->ledger, fd);
	}
	return r;
}

int connection_place(struct connection_set *set, struct service *service,
		     const struct settings_socket *section, int fd, const struct peer *peer)
{
	struct ss_connection *c = connection_new(set, service, section, fd, peer);
	int r = -ENOMEM;

	if (c) {
		if (service_has_proxies(section))
			c->flags |= HEADER;
		c->id = 1 + atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed);
		r = connection_add(c);
	}
	if (r < 0) {
		close(fd);
		free(c);
	}
	return r;
}

void connection_ids_from(uint64_t id)
{
	uint64_t last = atomic_load(&last_id);

	while (last < id && !atomic_compare_exchange_weak(&last_id, &last, id))
		;
}

void connection_set_follow(struct connection_set *set, unsigned n)
{
	for (; n > 0 && !list_empty(&set->members); n--) {
		struct list *first = list_pop(&set->members);

		list_add_tail(&set->members, first);
		connection_follow(container_of(first, struct ss_connection, member));
	}
}

void connection_set_finish(struct connection_set *set)
{
	set->finishing = true;
	list_for_each (l, &set->members) {
		struct ss_connection *c = container_of(l, struct ss_connection, member);
		connection_finish(c, SS_DRAIN);
	}
}

void connection_set_abort(struct connection_set *set)
{
	set->finishing = set->aborting = true;
	while (!list_empty(&set->members))
		connection_end(container_of(set->members.next, struct ss_connection, member),
			       SS_DRAIN);
}
