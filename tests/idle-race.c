/* SPDX-License-Identifier: MIT */
/*
 * Plays PID 1 for a daemon with idle_exit, and a client that comes at the worst moment: when the
 * daemon is about to leave. Like systemd it starts the daemon whenever it does not run and somebody
 * waits at the socket; each round is one connection, one byte there and back.
 *
 * The moment is not known, it is searched for: a client that was still served by the running
 * process makes the next one come later, one that needed a new process makes it come earlier. So
 * half of them come before it and half behind it, and all of them near it.
 *
 * Prints the counts; exit status 0 when nobody was lost and both kinds were met.
 */
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

static const char usage[] = "usage: idle-race ROUNDS SECONDS DAEMON [ARGUMENT...]\n"
			    "\n"
			    "ends after ROUNDS, or after SECONDS; the socket is named echo\n";

enum {
	FAILED = 2,
	FIRST_FD = 3,             /* SD_LISTEN_FDS_START */
	PATIENCE_NS = 1000000000, /* times PATIENCE for an answer, a start included */
	PATIENCE = 20,
	STEP_NS = 20000,
};

struct race {
	int listener;
	struct sockaddr_in address;
	char **argv;
	pid_t daemon; /* 0: does not run */
	int pidfd;
	int client; /* -1: between two rounds */
	unsigned starts, late, early;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void make_listener(struct race *race)
{
	socklen_t length = sizeof(race->address);

	race->address = (struct sockaddr_in){ .sin_family = AF_INET,
					      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	race->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (race->listener < 0 ||
	    bind(race->listener, (struct sockaddr *)&race->address, sizeof(race->address)) < 0 ||
	    getsockname(race->listener, (struct sockaddr *)&race->address, &length) < 0 ||
	    listen(race->listener, SOMAXCONN) < 0)
		err(FAILED, "listener");
}

static void become_daemon(const struct race *race)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", "echo", 1);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    (race->listener == FIRST_FD ? fcntl(FIRST_FD, F_SETFD, 0)
					: dup2(race->listener, FIRST_FD)) < 0)
		err(FAILED, "before exec");
	execv(race->argv[0], race->argv);
	err(FAILED, "%s", race->argv[0]);
}

static void start_daemon(struct race *race)
{
	race->starts++;
	race->daemon = fork();
	if (race->daemon < 0)
		err(FAILED, "fork");
	if (race->daemon == 0)
		become_daemon(race);
	race->pidfd = pidfd_open(race->daemon, 0);
	if (race->pidfd < 0)
		err(FAILED, "pidfd_open");
}

/* It leaves by itself, and with 0. */
static void reap_daemon(struct race *race)
{
	int status;

	if (waitpid(race->daemon, &status, 0) < 0)
		err(FAILED, "waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		errx(1, "the daemon ended with status 0x%x", status);
	race->daemon = 0;
	race->pidfd = close_fd(race->pidfd);
}

/* What PID 1 does until something comes from the client, or until `until`; whether it came. */
static bool wait_for_client(struct race *race, int64_t until)
{
	for (int64_t left; (left = until - now_ns()) > 0;) {
		struct timespec timeout = { left / 1000000000, left % 1000000000 };
		/* One or the other: systemd does not look at the socket of a service that runs. */
		struct pollfd fds[] = {
			{ .fd = race->daemon ? race->pidfd : race->listener, .events = POLLIN },
			{ .fd = race->client, .events = POLLIN },
		};
		if (ppoll(fds, ARRAY_SIZE(fds), &timeout, NULL) < 0)
			err(FAILED, "ppoll");
		if (fds[1].revents)
			return true;
		if (!fds[0].revents)
			continue;
		if (race->daemon)
			reap_daemon(race);
		else
			start_daemon(race);
	}
	return false;
}

static void play_round(struct race *race)
{
	unsigned starts = race->starts;
	char byte = 'x';

	race->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (race->client < 0)
		err(FAILED, "socket");
	if (connect(race->client, (struct sockaddr *)&race->address, sizeof(race->address)) < 0)
		err(1, "refused");
	if (send(race->client, &byte, 1, MSG_NOSIGNAL) != 1)
		err(1, "cut off before a byte was sent");
	if (!wait_for_client(race, now_ns() + (int64_t)PATIENCE * PATIENCE_NS))
		errx(1, "not served");
	if (recv(race->client, &byte, 1, 0) != 1)
		errx(1, "cut off: %s", strerror(errno));
	race->client = close_fd(race->client);
	if (race->starts == starts)
		race->early++;
	else
		race->late++;
}

/* Walks towards the moment by steps, with some chance in each. */
static int64_t next_offset(const struct race *race, unsigned early, int64_t offset)
{
	int64_t step = STEP_NS + rand() % (8 * STEP_NS);

	offset += race->early > early ? step : -step;
	return offset > 0 ? offset : 0;
}

static void play(struct race *race, unsigned rounds, int64_t end)
{
	int64_t offset = 0;

	while (race->early + race->late < rounds && now_ns() < end) {
		unsigned early = race->early;
		play_round(race);
		offset = next_offset(race, early, offset);
		wait_for_client(race, now_ns() + offset);
	}
}

int main(int argc, char **argv)
{
	struct race race = { .client = -1, .pidfd = -1, .argv = argv + 3 };

	if (argc < 4) {
		fputs(usage, stderr);
		return FAILED;
	}
	unsetenv("NOTIFY_SOCKET");
	prctl(PR_SET_TIMERSLACK, 1UL);
	make_listener(&race);
	play(&race, (unsigned)atoi(argv[1]), now_ns() + atoi(argv[2]) * INT64_C(1000000000));
	printf("%u rounds, nobody lost: %u came before it left, %u after; it was started %u times\n",
	       race.early + race.late, race.early, race.late, race.starts);
	if (race.daemon)
		kill(race.daemon, SIGKILL);
	return race.early && race.late > 1 ? 0 : 1;
}
