/* SPDX-License-Identifier: MIT */
/*
 * Plays PID 1 for one daemon over many lives: one listening socket, the fd store, Restart=, and
 * RestartKillSignal=SIGUSR1. What play-systemd does for one life of a daemon is not done again
 * here.
 *
 *      keep-systemd [--store MOST] [--name NAME] -- DAEMON [ARGUMENT...]
 *
 * On standard output "port N", then "ready PID STORED" for each READY=1, with the number of
 * descriptors that the store passed on, and "died STATUS" for each end. Commands on standard input,
 * one line each: restart; stop (the end); send N (a signal, and what follows from it); argument
 * PLACE TEXT (replaces an argument of the daemon from its next life on); limit N (RLIMIT_NOFILE of
 * it).
 *
 * Like PID 1 it starts the next process when all processes of the one before have gone, and it sees
 * descriptors only in messages. Standard error is the daemon's.
 */
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "util.h"

#define STORE_MAX   64
#define PATIENCE_MS 60000 /* without any event; then it says "patience" and ends */

static struct {
	const char *name;
	char **daemon;
	int listener, notify, signals;
	unsigned most; /* FileDescriptorStoreMax= */
	struct {
		char name[64];
		int fd;
	} store[STORE_MAX];
	unsigned n_stored, n_passed;
	rlim_t files; /* 0: as they are */
	pid_t daemon_pid;
	bool stopping, ended;
	char address[108];
} keep = { .name = "echo", .most = 16 };

static void say(const char *what, int a, int b)
{
	printf("%s %d %d\n", what, a, b);
	fflush(stdout);
}

static void make_listener(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);

	keep.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (keep.listener < 0 || bind(keep.listener, (struct sockaddr *)&address, length) < 0 ||
	    listen(keep.listener, SOMAXCONN) < 0 ||
	    getsockname(keep.listener, (struct sockaddr *)&address, &length) < 0)
		err(125, "listener");
	say("port", ntohs(address.sin_port), 0);
}

static void make_notify(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "keep-systemd-%d",
			 getpid());

	snprintf(keep.address, sizeof(keep.address), "@%s", address.sun_path + 1);
	keep.notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (keep.notify < 0 ||
	    bind(keep.notify, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) < 0)
		err(125, "notify");
}

/* ---- the daemon */

static _Noreturn void be_daemon(const char *names)
{
	char text[16];
	sigset_t none;

	for (unsigned i = 0; i < keep.n_passed; i++)
		dup2(i == 0 ? keep.listener : keep.store[i - 1].fd, 100 + (int)i);
	for (unsigned i = 0; i < keep.n_passed; i++)
		dup2(100 + (int)i, 3 + (int)i);
	for (int fd = 3 + (int)keep.n_passed; fd < 300; fd++)
		close(fd);
	if (keep.files)
		setrlimit(RLIMIT_NOFILE,
			  &(struct rlimit){ .rlim_cur = keep.files, .rlim_max = keep.files });
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(text, sizeof(text), "%d", getpid());
	setenv("LISTEN_PID", text, 1);
	snprintf(text, sizeof(text), "%u", keep.n_passed);
	setenv("LISTEN_FDS", text, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	setenv("NOTIFY_SOCKET", keep.address, 1);
	execv(keep.daemon[0], keep.daemon);
	err(127, "%s", keep.daemon[0]);
}

static void start(void)
{
	char names[STORE_MAX * 65 + 256];
	size_t used = (size_t)snprintf(names, sizeof(names), "%s", keep.name);

	for (unsigned i = 0; i < keep.n_stored; i++)
		used += (size_t)snprintf(names + used, sizeof(names) - used, ":%s",
					 keep.store[i].name);
	keep.n_passed = 1 + keep.n_stored;
	keep.daemon_pid = fork();
	if (keep.daemon_pid < 0)
		err(125, "fork");
	if (keep.daemon_pid == 0)
		be_daemon(names);
}

/* ---- the fd store */

static void store(const char *name, int fd)
{
	if (keep.n_stored >= keep.most || keep.n_stored == STORE_MAX) {
		close(fd); /* without a word, as systemd does it */
		return;
	}
	snprintf(keep.store[keep.n_stored].name, sizeof(keep.store[0].name), "%s", name);
	keep.store[keep.n_stored++].fd = fd;
}

static void unstore(const char *name)
{
	unsigned left = 0;

	for (unsigned i = 0; i < keep.n_stored; i++)
		if (name && strcmp(keep.store[i].name, name) != 0)
			keep.store[left++] = keep.store[i];
		else
			close(keep.store[i].fd);
	keep.n_stored = left;
}

static void act(char *state, const int *fds, size_t n)
{
	bool storing = false;
	const char *name = "stored";

	for (char *line = strtok(state, "\n"); line; line = strtok(NULL, "\n")) {
		if (strcmp(line, "READY=1") == 0)
			say("ready", keep.daemon_pid, (int)keep.n_passed - 1);
		else if (strcmp(line, "FDSTORE=1") == 0)
			storing = true;
		else if (strncmp(line, "FDNAME=", 7) == 0)
			name = line + 7;
		else if (strcmp(line, "FDSTOREREMOVE=1") == 0)
			storing = false;
	}
	for (size_t i = 0; i < n; i++)
		if (storing)
			store(name, fds[i]);
		else
			close(fds[i]); /* of BARRIER=1 */
}

static bool on_notify(void)
{
	char state[4096];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 253)];
	} control;
	struct iovec part = { .iov_base = state, .iov_len = sizeof(state) - 1 };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control) };
	ssize_t length = recvmsg(keep.notify, &message, MSG_CMSG_CLOEXEC);
	int fds[253];
	size_t n = 0;

	if (length < 0)
		return false;
	state[length] = '\0';
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header) {
		n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(header), n * sizeof(int));
	}
	char *removed = strstr(state, "FDSTOREREMOVE=1\nFDNAME=");
	if (removed)
		unstore(removed + strlen("FDSTOREREMOVE=1\nFDNAME="));
	else
		act(state, fds, n);
	return true;
}

/* ---- what happens */

static void on_child(void)
{
	bool some_left = true;
	int status;

	for (;;) {
		pid_t pid = waitpid(-1, &status, WNOHANG);
		if (pid == 0)
			return;
		if (pid < 0) {
			some_left = false;
			break;
		}
		if (pid == keep.daemon_pid) {
			say("died",
			    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), 0);
			keep.daemon_pid = 0;
		}
	}
	if (some_left || keep.daemon_pid)
		return;
	while (on_notify()) /* what the last one has sent before it ended */
		;
	if (keep.stopping) {
		unstore(NULL);
		keep.ended = true;
	} else {
		start();
	}
}

static void on_signal(void)
{
	struct signalfd_siginfo info;

	if (read(keep.signals, &info, sizeof(info)) == sizeof(info))
		on_child();
}

static void on_command(void)
{
	char line[4096];
	int number, place, at = 0;

	if (!fgets(line, sizeof(line), stdin))
		errx(125, "the end of the commands");
	line[strcspn(line, "\n")] = '\0';
	keep.stopping = strcmp(line, "stop") == 0;
	if (keep.stopping)
		kill(keep.daemon_pid, SIGTERM);
	else if (strcmp(line, "restart") == 0)
		kill(keep.daemon_pid, SIGUSR1);
	else if (sscanf(line, "send %d", &number) == 1)
		kill(keep.daemon_pid, number);
	else if (sscanf(line, "limit %d", &number) == 1)
		keep.files = (rlim_t)number;
	else if (sscanf(line, "argument %d %n", &place, &at) == 1)
		keep.daemon[place] = strdup(line + at);
	else
		errx(125, "no command: %s", line);
}

int main(int argc, char **argv)
{
	sigset_t set;
	int i = 1;

	for (; i < argc && strcmp(argv[i], "--") != 0; i += 2)
		if (i + 1 < argc && strcmp(argv[i], "--store") == 0)
			keep.most = (unsigned)atoi(argv[i + 1]);
		else if (i + 1 < argc && strcmp(argv[i], "--name") == 0)
			keep.name = argv[i + 1];
		else
			errx(125, "no option: %s", argv[i]);
	keep.daemon = argv + i + 1;
	setvbuf(stdin, NULL, _IONBF, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	keep.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	make_listener();
	make_notify();
	start();
	while (!keep.ended) {
		struct pollfd ready[] = { { .fd = keep.notify, .events = POLLIN },
					  { .fd = keep.signals, .events = POLLIN },
					  { .fd = STDIN_FILENO, .events = POLLIN } };
		int n = poll(ready, 3, PATIENCE_MS);
		if (n < 0)
			err(125, "poll");
		if (n == 0) {
			say("patience", 0, 0);
			return 124;
		}
		if (ready[0].revents)
			on_notify();
		else if (ready[1].revents)
			on_signal();
		else if (ready[2].revents)
			on_command();
	}
	return 0;
}
