/* SPDX-License-Identifier: MIT */
/* See keeper.h. */
#include "keeper.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

static int pidfd_of(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */

	return fd < 0 ? -errno : (int)fd;
}

/* --- in the keeper */

static int hand_over_one(struct keeper *keeper, int fd, const struct ledger_entry *entry)
{
	struct handover_record record = {
		.size = sizeof(record),
		.version = HANDOVER_RECORD,
		.service = (uint16_t)entry->service,
		.n_fds = 1,
		.id = entry->id,
		.began = -1,
	};

	if (entry->flags & LEDGER_DISCARDS)
		record.flags |= HANDOVER_DISCARD;
	if (entry->flags & LEDGER_OPENED)
		record.flags |= HANDOVER_OPENED;
	return handover_add(keeper->out, &record, &fd);
}

static int hand_over(struct keeper *keeper, pid_t died)
{
	struct handover_out *out = keeper->out;
	int r = handover_begin(out, HANDOVER_CRASH, (uint32_t)died, keeper->services,
			       keeper->n_services);

	for (int fd = 0; fd <= keeper->ledger->highest && r == 0; fd++) {
		struct ledger_entry entry = ledger_get(keeper->ledger, fd);
		if (entry.state == LEDGER_NONE)
			continue;
		if (entry.state == LEDGER_LIVE && !keeper->in_turn(keeper->context, fd))
			r = hand_over_one(keeper, fd, &entry);
		else
			handover_lose(out, entry.id);
	}
	if (out->head.n_connections + out->head.n_lost == 0)
		return r; /* there is nothing to tell */
	return r < 0 ? r : handover_finish(out);
}

static _Noreturn void keep(struct keeper *keeper, pid_t whom)
{
	struct pollfd death = { .fd = keeper->own, .events = POLLIN };
	sigset_t all;

	/* systemd's signals for the service are not meant for this process. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "keeper");
	while (poll(&death, 1, -1) < 1)
		;
	_exit(keeper->ledger->armed && hand_over(keeper, whom) < 0);
}

/* --- in the process that is kept */

int keeper_start(struct keeper *keeper)
{
	pid_t self = getpid();

	if (keeper->own < 0) {
		keeper->own = pidfd_of(self);
		if (keeper->own < 0)
			return keeper->own;
	}
	/* As fork(), but for the table; the handlers of pthread_atfork() have nothing to do here.
	 */
	long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		keep(keeper, self);
	if (pid < 0)
		return -errno;
	keeper->pid = (pid_t)pid;
	keeper->watch = pidfd_of(keeper->pid);
	keeper->ledger->armed = true;
	return 0;
}

void keeper_bury(struct keeper *keeper)
{
	if (keeper->pid > 0)
		waitpid(keeper->pid, NULL, 0);
	keeper->pid = 0;
	keeper->watch = close_fd(keeper->watch);
}

void keeper_stop(struct keeper *keeper)
{
	if (keeper->ledger)
		keeper->ledger->armed = false;
	if (keeper->pid > 0)
		kill(keeper->pid, SIGKILL);
	keeper_bury(keeper);
	keeper->own = close_fd(keeper->own);
}
