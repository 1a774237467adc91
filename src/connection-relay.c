/* SPDX-License-Identifier: MIT */
/*
 * After ss_join() the server moves the bytes between the peer and the target by itself, each way
 * for its own: what one side does not take holds back only the reading of the other.
 *
 * Small messages are copied through the set's buffer. A read that fills the buffer says that there
 * is much to come: then that flow has a pipe and its bytes never enter the process, until they come
 * in small pieces again. Copying costs a tenth less for small messages, splicing half of it for
 * bulk. A flow whose pipe waits for `to` does not hear of what comes: it can do nothing about it.
 *
 * What always holds between two turns: a flow has nothing waiting, or its `to` takes no more and
 * EPOLLOUT will come; the end of one side has been passed on as soon as nothing waited.
 *
 * A reset is passed on as a reset, behind what had come before it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "connection-private.h"
#include "pipes.h"
#include "syscall.h"

#define READS_PER_TURN 4
#define SMALL_PIECE    16384
#define SMALL_PIECES   8 /* so many of them in a row are the end of bulk */
#define DROP_SIZE      65536
#define UNSENT_LOOK_MS 20

static const uint16_t all_ends = LEG_PEER_EOF | LEG_PEER_FIN | LEG_TARGET_EOF | LEG_TARGET_FIN;

enum { UP, DOWN }; /* from the peer to the target, and back */

/* Both pipes of a relay; there is memory for them only while there is one. */
struct relay_bulk {
	struct spipe *pipe[2];
};

/* One direction, for the length of a turn. */
struct flow {
	struct ss_connection *c;
	struct loop_source *from, *to;
	struct buffer **waiting; /* not taken by `to` */
	uint64_t *count;
	/* Of the leg's flags: `from` has ended, and `to` knows; `from` is reset; has had our FIN.
	 */
	uint16_t eof, fin, broken, answered, deaf;
	bool from_unix;
	int way;
};

static inline struct flow flow_of(struct ss_connection *c, int way)
{
	struct connection_leg *leg = connection_leg(c);

	if (way == UP)
		return (struct flow){ .c = c,
				      .from = &c->source,
				      .to = &leg->source,
				      .waiting = &leg->output,
				      .count = &c->bytes_in,
				      .eof = LEG_PEER_EOF,
				      .fin = LEG_TARGET_FIN,
				      .broken = LEG_PEER_BROKEN,
				      .answered = LEG_PEER_FIN,
				      .deaf = LEG_PEER_DEAF,
				      .from_unix = c->peer.by_unix,
				      .way = UP };
	return (struct flow){ .c = c,
			      .from = &leg->source,
			      .to = &c->source,
			      .waiting = &c->output,
			      .count = &c->bytes_out,
			      .eof = LEG_TARGET_EOF,
			      .fin = LEG_PEER_FIN,
			      .broken = LEG_TARGET_BROKEN,
			      .answered = LEG_TARGET_FIN,
			      .deaf = LEG_TARGET_DEAF,
			      .from_unix = leg->flags & LEG_UNIX,
			      .way = DOWN };
}

static inline uint16_t *flags_of(const struct flow *f)
{
	return &connection_leg(f->c)->flags;
}

static inline struct spipe *pipe_of(const struct flow *f)
{
	struct relay_bulk *bulk = connection_leg(f->c)->bulk;

	return bulk ? bulk->pipe[f->way] : NULL;
}

static inline bool is_waiting(const struct flow *f)
{
	struct spipe *pipe = pipe_of(f);

	return *f->waiting || (pipe && pipe->used);
}

/* Both ways end here; whoever can still be told is told by a reset. */
static void cut(struct ss_connection *c, enum ss_reason reason)
{
	c->flags |= CUT;
	connection_fail(c, reason);
}

/*
 * Bytes that the kernel has taken and the other end has not: a reset would throw them away. As long
 * as they become fewer the pair counts as moving; how many there were is kept where the timer was.
 */
static bool has_unsent(struct ss_connection *c, const struct loop_source *source)
{
	uint32_t *last = &connection_leg(c)->timer_due;
	int bytes = 0;

	if (ioctl(source->fd, SIOCOUTQ, &bytes) < 0 || bytes <= 0)
		return false;
	if ((uint32_t)bytes != *last)
		connection_moved(c);
	*last = (uint32_t)bytes;
	return true;
}

/*
 * `from` is reset and nothing waits here any more. Nothing tells when the kernel has sent the rest,
 * so there is a look now and then, for no longer than a lingering close.
 */
static slow_path void cut_behind(struct flow *f)
{
	struct ss_connection *c = f->c;
	uint32_t quiet_ms = (uint32_t)c->set->loop->now - c->active;
	bool to_unix = f->way == UP ? connection_leg(c)->flags & LEG_UNIX : c->peer.by_unix;

	if (to_unix || *flags_of(f) & f->fin || !has_unsent(c, f->to) ||
	    quiet_ms >= (uint32_t)c->service->section->timeouts.linger_ms)
		cut(c, SS_RESET);
	else
		loop_arm(c->set->loop, &connection_leg(c)->source, UNSENT_LOOK_MS);
}

/* --- the pipe of a flow */

static void enter_bulk(struct flow *f)
{
	struct connection_leg *leg = connection_leg(f->c);
	struct spipe *pipe = f->c->flags & LIMITED ? NULL : pipes_take(&f->c->set->pipes);

	if (!pipe)
		return;
	if (!leg->bulk)
		leg->bulk = calloc(1, sizeof(*leg->bulk));
	if (leg->bulk)
		leg->bulk->pipe[f->way] = pipe;
	else
		pipes_give_back(&f->c->set->pipes, pipe);
}

static void leave_bulk(struct ss_connection *c, int way)
{
	struct connection_leg *leg = connection_leg(c);
	struct relay_bulk *bulk = leg->bulk;

	if (!bulk)
		return;
	bulk->pipe[way] = pipes_give_back(&c->set->pipes, bulk->pipe[way]);
	if (bulk->pipe[!way])
		return;
	free(bulk);
	leg->bulk = NULL;
}

/*
 * One clock for both ways: while the other way waits only its own bytes count, or a stalled one
 * would be kept alive by what moves beside it.
 */
static inline void note_moved(const struct flow *f)
{
	struct ss_connection *c = f->c;
	struct relay_bulk *bulk = connection_leg(c)->bulk;
	const struct spipe *pipe = bulk ? bulk->pipe[!f->way] : NULL;
	const struct buffer *queue = f->way == UP ? c->output : connection_leg(c)->output;

	if (likely(!queue && !(pipe && pipe->used)))
		connection_moved(c);
}

/* --- errors */

/* `from` is reset: what it had sent before still goes on, then so does the reset. */
static void from_failed(struct flow *f, int error)
{
	f->from->events &= ~READABLE;
	*flags_of(f) |= f->eof | f->broken;
	if (error != EPIPE && error != ECONNRESET)
		cut(f->c, SS_PEER_TIMEOUT);
	else if (!is_waiting(f))
		cut_behind(f);
}

/* `to` takes nothing any more; what it had sent is still to be read, by the other flow. */
static void to_failed(struct flow *f)
{
	struct connection_leg *leg = connection_leg(f->c);

	connection_drop(f->c, f->waiting);
	leave_bulk(f->c, f->way);
	f->from->events &= ~READABLE;
	*flags_of(f) |= f->eof | f->fin;
	leg->flags |= f->way == UP ? LEG_TARGET_BROKEN : LEG_PEER_BROKEN;
}

/*
 * The end of what `from` sends. Behind a reset that was noticed by a send, or that came behind a
 * FIN, recv() gives 0 as well: EPOLLHUP before our own FIN tells.
 */
static void from_ended(struct flow *f)
{
	if (f->from->events & EPOLLHUP && !f->from_unix && !(*flags_of(f) & f->answered))
		*flags_of(f) |= f->broken;
	f->from->events &= ~READABLE;
	*flags_of(f) |= f->eof;
	if (*flags_of(f) & f->broken && !is_waiting(f))
		cut_behind(f);
}

static void read_nothing(struct flow *f, ssize_t n)
{
	if (n == 0)
		from_ended(f);
	else if (n == -EAGAIN)
		f->from->events &= ~READABLE;
	else if (n != -EINTR)
		from_failed(f, (int)-n);
}

/* --- moving */

/* How many bytes `to` took; if not all, it takes no more for now, or never. */
static size_t put(struct flow *f, const void *bytes, size_t length)
{
	ssize_t n;

	do
		n = sys_send(f->to->fd, bytes, length);
	while (n == -EINTR);
	if (n != (ssize_t)length)
		f->to->events &= ~(uint32_t)EPOLLOUT;
	if (n < 0 && n != -EAGAIN)
		to_failed(f);
	return n > 0 ? (size_t)n : 0;
}

static slow_path void put_waiting(struct flow *f)
{
	while (*f->waiting && f->to->events & WRITABLE) {
		size_t n = put(f, buffer_bytes(*f->waiting), buffer_size(*f->waiting));
		if (n)
			connection_consume(f->c, f->waiting, n);
	}
}

static slow_path void keep(struct flow *f, const unsigned char *bytes, size_t length)
{
	if (*flags_of(f) & f->fin)
		return; /* nobody takes it */
	if (connection_queue(f->c, f->waiting, bytes, length) < 0)
		f->c->flags |= CUT; /* a FIN would say that this was all */
}

/* How many bytes were read. */
static inline size_t copy_once(struct flow *f, size_t size)
{
	struct ss_connection *c = f->c;
	ssize_t n = sys_recv(f->from->fd, c->set->input, size);

	if (unlikely(n <= 0)) {
		read_nothing(f, n);
		return 0;
	}
	if (likely((size_t)n < size && !(f->from->events & UNSURE) && !f->from_unix))
		f->from->events &= ~READABLE;
	*f->count += (uint64_t)n;
	note_moved(f);
	size_t sent = put(f, c->set->input, (size_t)n);
	if (unlikely(sent != (size_t)n))
		keep(f, c->set->input + sent, (size_t)n - sent);
	return (size_t)n;
}

static ssize_t move_pages(int from, int to, size_t most)
{
	ssize_t n;

	do
		n = splice(from, NULL, to, NULL, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void empty_pipe(struct flow *f, struct spipe *pipe)
{
	while (pipe->used && f->to->events & WRITABLE) {
		ssize_t n = move_pages(pipe->read_fd, f->to->fd, pipe->used);
		if (n > 0) {
			pipe->used -= (size_t)n;
			connection_moved(f->c);
		} else {
			f->to->events &= ~(uint32_t)EPOLLOUT;
			if (n != -EAGAIN) {
				to_failed(f);
				return;
			}
		}
	}
}

/*
 * EAGAIN says that `from` is empty, for the pipe was. EINVAL: this socket cannot be spliced, so it
 * is copied.
 */
static void splice_once(struct flow *f, struct spipe *pipe)
{
	ssize_t n = move_pages(f->from->fd, pipe->write_fd, PIPE_SIZE);

	if (n <= 0) {
		if (n != -EINVAL)
			read_nothing(f, n);
		if (n != -EAGAIN) /* more of the same is likely to come */
			leave_bulk(f->c, f->way);
		return;
	}
	pipe->used += (size_t)n;
	pipe->small = n < SMALL_PIECE ? pipe->small + 1 : 0;
	*f->count += (uint64_t)n;
	note_moved(f);
	empty_pipe(f, pipe);
}

static bool may_move(const struct flow *f)
{
	return f->from->events & READABLE && !(*flags_of(f) & f->eof) && !is_waiting(f) &&
	       !(f->c->flags & FAILED) && !(f->way == UP && f->c->flags & PACED);
}

/* A piece that fills what it was read into announces more. */
static inline void move_once(struct flow *f, size_t size)
{
	struct spipe *pipe = pipe_of(f);

	if (unlikely(pipe)) {
		splice_once(f, pipe);
		pipe = pipe_of(f); /* it may have gone, with `to` */
		if (pipe && pipe->small >= SMALL_PIECES && !pipe->used)
			leave_bulk(f->c, f->way);
	} else if (copy_once(f, size) == CONNECTION_READ_SIZE && may_move(f)) {
		enter_bulk(f);
	}
}

/* The end of `from`, when all before it has gone. Where it was the last, close() sends the FIN. */
static slow_path void pass_end(struct flow *f)
{
	if (*flags_of(f) & f->broken) {
		cut_behind(f);
		return;
	}
	*flags_of(f) |= f->fin;
	if ((*flags_of(f) & all_ends) == all_ends)
		return;
	leave_bulk(f->c, f->way);
	shutdown(f->to->fd, SHUT_WR);
	connection_watch(f->c);
}

static void move_paced(struct flow *f)
{
	uint64_t before = *f->count;

	move_once(f, connection_paced_size(f->c, CONNECTION_READ_SIZE));
	connection_pace(f->c, *f->count - before);
}

static inline void move(struct flow *f)
{
	struct spipe *pipe = pipe_of(f);

	if (unlikely(*f->waiting))
		put_waiting(f);
	else if (unlikely(pipe && pipe->used))
		empty_pipe(f, pipe);
	for (int reads = 0; reads < READS_PER_TURN && may_move(f); reads++)
		if (unlikely(f->way == UP && f->c->flags & LIMITED))
			move_paced(f);
		else
			move_once(f, CONNECTION_READ_SIZE);
	if (unlikely((*flags_of(f) & (f->eof | f->fin)) == f->eof && !is_waiting(f)))
		pass_end(f);
	if (unlikely(*flags_of(f) & f->eof && f->from->events & EPOLLERR && !f->from_unix))
		cut(f->c, SS_RESET); /* behind its end, where nobody reads */
	if (unlikely(may_move(f)))
		loop_again(f->c->set->loop, &f->c->source);
}

/* --- the end */

/*
 * The server ends it: both get their FIN when they have what waits, and are read to their end. But
 * where more had come than was passed on a FIN would tell that it is complete: that ends by a
 * reset.
 */
static void drop_input(struct flow *f)
{
	while (f->from->events & READABLE && !(*flags_of(f) & f->eof)) {
		ssize_t n = sys_recv(f->from->fd, f->c->set->input, DROP_SIZE);
		if (n <= 0) {
			read_nothing(f, n);
			continue;
		}
		f->c->dropped += (size_t)n;
		if (!(*flags_of(f) & f->fin))
			f->c->flags |= CUT;
		if (f->c->dropped > CONNECTION_LINGER_BYTES) {
			connection_give_up(f->c);
			return;
		}
	}
}

static void put_all(struct flow *f)
{
	struct spipe *pipe = pipe_of(f);

	if (*f->waiting)
		put_waiting(f);
	else if (pipe && pipe->used)
		empty_pipe(f, pipe);
}

static void send_fin(struct flow *f)
{
	if (*flags_of(f) & f->fin)
		return;
	*flags_of(f) |= f->fin;
	if (!(f->c->flags & CUT))
		shutdown(f->to->fd, SHUT_WR);
}

static slow_path void end_or_not(struct ss_connection *c)
{
	if (c->flags & FAILED)
		connection_end(c, c->reason);
	else if ((connection_leg(c)->flags & all_ends) == all_ends)
		connection_end(c, c->flags & CLOSING ? c->reason : SS_PEER_CLOSED);
}

/* What they still send is dropped when both have what was for them. */
static void finish(struct flow *up, struct flow *down)
{
	put_all(up);
	put_all(down);
	if (is_waiting(up) || is_waiting(down))
		return;
	drop_input(up);
	drop_input(down);
	send_fin(up);
	send_fin(down);
	if (up->c->flags & CUT)
		connection_give_up(up->c);
}

/*
 * While `to` does not take what is in the pipe, each segment that comes to `from` would wake this
 * thread for nothing, and that several times before there is room again: a seventh of the cost of
 * bulk at one connection.
 */
static void hear_or_not(struct flow *f)
{
	struct spipe *pipe = pipe_of(f);
	bool deaf = pipe && pipe->used;

	if (deaf == !!(*flags_of(f) & f->deaf))
		return;
	*flags_of(f) ^= f->deaf;
	loop_change(f->c->set->loop, f->from,
		    deaf ? CONNECTION_MASK & ~(uint32_t)(EPOLLIN | EPOLLPRI) : CONNECTION_MASK);
}

static void relay_turn(struct ss_connection *c)
{
	struct connection_leg *leg = connection_leg(c);
	struct flow up = flow_of(c, UP), down = flow_of(c, DOWN);

	if (unlikely(c->source.events & LOOP_EXPIRED))
		connection_expired(c);
	leg->source.events &= ~LOOP_EXPIRED;
	if (unlikely(c->flags & CLOSING)) {
		finish(&up, &down);
	} else {
		move(&up);
		move(&down);
		if (unlikely(is_waiting(&up) || is_waiting(&down)))
			connection_watch(c);
	}
	if (unlikely(leg->bulk || leg->flags & (LEG_PEER_DEAF | LEG_TARGET_DEAF))) {
		hear_or_not(&up);
		hear_or_not(&down);
	}
	if (unlikely(c->flags & FAILED || leg->flags & all_ends))
		end_or_not(c);
}

static void on_peer_ready(struct loop *loop, struct loop_source *source)
{
	(void)loop;
	relay_turn(container_of(source, struct ss_connection, source));
}

static void on_target_ready(struct loop *loop, struct loop_source *source)
{
	struct connection_leg *leg = container_of(source, struct connection_leg, source);

	(void)loop;
	relay_turn((struct ss_connection *)leg - 1);
}

bool connection_relay_waits(struct ss_connection *c)
{
	struct flow up = flow_of(c, UP), down = flow_of(c, DOWN);

	return is_waiting(&up) || is_waiting(&down);
}

void connection_relay_try(struct ss_connection *c)
{
	struct flow flows[] = { flow_of(c, UP), flow_of(c, DOWN) };

	for (int way = UP; way <= DOWN; way++) {
		flows[way].to->events |= EPOLLOUT;
		put_all(&flows[way]);
	}
}

void connection_relay_end(struct ss_connection *c)
{
	leave_bulk(c, UP);
	leave_bulk(c, DOWN);
	connection_drop(c, &connection_leg(c)->output);
}

static int check_call(struct ss_connection *c)
{
	struct connection_leg *leg = connection_has_leg(c->service) ? connection_leg(c) : NULL;

	if (!leg || leg->source.fd < 0 || leg->flags & LEG_CONNECTING || c->flags & JOINED)
		return -ENOTCONN;
	if (c->flags & BUSY)
		return -EBUSY;
	return c->flags & (CLOSING | FAILED) ? -EPIPE : 0;
}

/* What the handler has not consumed goes first. */
int ss_join(struct ss_connection *c)
{
	if (!connection_is_own(c)) {
		connection_foreign_call(c, "ss_join");
		return -EPERM;
	}
	int r = check_call(c);
	if (r < 0)
		return r;
	struct connection_leg *leg = connection_leg(c);
	leg->bulk = NULL; /* it was the job's */
	c->flags |= JOINED;
	c->flags &= (uint16_t) ~(PAUSED | RESUMED | WANTS);
	if (c->flags & EOF_SEEN)
		leg->flags |= LEG_PEER_EOF;
	/* What was sent before may have used the edge up; whoever takes nothing says so again. */
	c->source.events |= EPOLLOUT;
	leg->source.events |= EPOLLOUT;
	c->source.ready = on_peer_ready;
	leg->source.ready = on_target_ready;
	connection_moved(c); /* it was we who did not read */
	connection_watch(c);
	loop_again(c->set->loop, &c->source);
	struct buffer *input = steal(&c->input);
	r = input ? connection_queue(c, &leg->output, buffer_bytes(input), buffer_size(input)) : 0;
	buffer_free(&input);
	return r;
}

int connection_relay_keep(struct ss_connection *c, const void *bytes, size_t length)
{
	return connection_queue(c, &connection_leg(c)->output, bytes, length);
}

/* Without a limit: a pipe is bounded by itself. */
static int empty_into_queue(struct flow *f)
{
	struct spipe *pipe = pipe_of(f);
	int r = 0;

	while (r == 0 && pipe && pipe->used) {
		ssize_t n = read(pipe->read_fd, f->c->set->input, CONNECTION_READ_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		pipe->used -= (size_t)n;
		r = connection_restore_output(f->c, f->waiting, f->c->set->input, (size_t)n);
	}
	return r;
}

int connection_relay_empty(struct ss_connection *c)
{
	struct flow up = flow_of(c, UP), down = flow_of(c, DOWN);
	int r = empty_into_queue(&up);

	return r < 0 ? r : empty_into_queue(&down);
}

int connection_relay_go_on(struct ss_connection *c)
{
	uint16_t flags = connection_leg(c)->flags;
	int r = ss_join(c);

	connection_leg(c)->flags |= flags;
	return r;
}
