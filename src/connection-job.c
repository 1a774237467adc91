/* SPDX-License-Identifier: MIT */
/*
 * Work of a connection in the pool. The job is an object of its own, which points to the connection
 * as long as that lives; both are touched by the worker alone, so neither needs a lock. What the
 * pool's thread sees of it is in struct pool_job.
 */
#include <errno.h>
#include <stdlib.h>

#include "connection-private.h"
#include "guard.h"

struct connection_job {
	struct pool_job job;
	struct connection_set *set;
	struct service *service;
	struct ss_connection *connection; /* NULL: it has ended */
	void (*done)(struct ss_connection *connection, void *argument);
};

static void tell_done(struct connection_job *job, struct ss_connection *c)
{
	guard_done(job->service->handler, job->service->name, c, job->done, job->job.argument);
}

/* Data that has waited for the job comes first; then there may be more to read. */
static void go_on(struct ss_connection *c)
{
	if (c->input && ss_ready(c))
		connection_deliver_waiting(c);
	connection_watch(c);
	loop_again(c->set->loop, &c->source);
}

static void finish(struct connection_job *job, struct ss_connection *c)
{
	bool alive = !(c->flags & (CLOSING | FAILED));

	c->flags &= (uint16_t)~BUSY;
	*connection_job(c) = NULL;
	connection_note(c);
	connection_moved(c); /* it was we who did not read */
	tell_done(job, alive ? c : NULL);
	if (alive)
		go_on(c);
}

static void on_finished(struct loop *loop, struct loop_message *message)
{
	struct connection_job *job = container_of(message, struct connection_job, job.finished);
	struct connection_set *set = job->set;

	(void)loop;
	if (job->connection)
		finish(job, job->connection);
	else
		tell_done(job, NULL);
	free(job);
	set->jobs--;
	if (set->ended)
		set->ended(set, NULL);
}

void connection_leave_job(struct ss_connection *c)
{
	if (c->flags & BUSY)
		(*connection_job(c))->connection = NULL;
}

bool connection_job_is_older(const struct ss_connection *c, int64_t since_ns)
{
	return (*connection_job(c))->job.queued_ns < since_ns;
}

static int submit(struct ss_connection *c, void (*work)(void *job),
		  void (*done)(struct ss_connection *connection, void *job), void *argument)
{
	struct connection_job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	job->job = (struct pool_job){ .work = work,
				      .argument = argument,
				      .loop = c->set->loop,
				      .finished.deliver = on_finished,
				      .socket = c->service->name,
				      .handler = c->service->handler->name,
				      .connection = c->id };
	job->set = c->set;
	job->service = c->service;
	job->connection = c;
	job->done = done;
	c->flags |= BUSY;
	connection_note(c);
	*connection_job(c) = job;
	c->set->jobs++;
	pool_submit(c->set->pool, &job->job);
	return 0;
}

int ss_offload(struct ss_connection *c, void (*work)(void *job),
	       void (*done)(struct ss_connection *connection, void *job), void *argument)
{
	if (!connection_is_own(c)) {
		connection_foreign_call(c, "ss_offload");
		return -EPERM;
	}
	if (c->flags & ENDED || !(c->service->handler->flags & SS_OFFLOADS)) {
		connection_misuse(c, "ss_offload() %s",
				  c->flags & ENDED ? "in close()" : "without the flag SS_OFFLOADS");
		connection_fail(c, SS_MISUSE);
		return -EPERM;
	}
	if (c->flags & (CLOSING | FAILED | JOINED))
		return -EPIPE;
	if (c->flags & BUSY)
		return -EBUSY;
	return submit(c, work, done, argument);
}
