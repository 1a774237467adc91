/* SPDX-License-Identifier: MIT */
/* See pipes.h. */
#include "pipes.h"

#include <fcntl.h>
#include <unistd.h>

#define USEFUL_SIZE 65536 /* a smaller one moves less in a call than a copy does */
#define SPARE_MAX   8     /* pages stay in a pipe's array: not more than these are kept */

void pipes_init(struct pipes *pipes, unsigned max)
{
	*pipes = (struct pipes){ .max = max };
	list_init(&pipes->spare);
}

static void destroy(struct pipes *pipes, struct spipe *pipe)
{
	close_fd(pipe->read_fd);
	close_fd(pipe->write_fd);
	free(pipe);
	pipes->count--;
}

void pipes_deinit(struct pipes *pipes)
{
	while (pipes->spare.next && !list_empty(&pipes->spare))
		destroy(pipes, container_of(list_pop(&pipes->spare), struct spipe, link));
}

static struct spipe *make(struct pipes *pipes)
{
	struct spipe *pipe = calloc(1, sizeof(*pipe));
	int fds[2];

	if (!pipe || pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
		free(pipe);
		return NULL;
	}
	pipe->read_fd = fds[0];
	pipe->write_fd = fds[1];
	pipes->count++;
	if (fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE) < 0 &&
	    fcntl(fds[1], F_GETPIPE_SZ) < USEFUL_SIZE) {
		destroy(pipes, pipe);
		return NULL;
	}
	return pipe;
}

struct spipe *pipes_take(struct pipes *pipes)
{
	if (!list_empty(&pipes->spare)) {
		struct spipe *pipe = container_of(list_pop(&pipes->spare), struct spipe, link);
		list_init(&pipe->link);
		pipe->small = 0;
		return pipe;
	}
	return pipes->count < pipes->max ? make(pipes) : NULL;
}

static unsigned spare(const struct pipes *pipes)
{
	unsigned n = 0;

	list_for_each (l, &pipes->spare)
		n++;
	return n;
}

struct spipe *pipes_give_back(struct pipes *pipes, struct spipe *pipe)
{
	if (!pipe)
		return NULL;
	if (pipe->used || spare(pipes) >= SPARE_MAX)
		destroy(pipes, pipe);
	else
		list_add_tail(&pipes->spare, &pipe->link);
	return NULL;
}
