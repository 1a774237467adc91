/* SPDX-License-Identifier: MIT */
/*
 * Plays PID 1 for one daemon: makes sockets, passes them in the way of sd_listen_fds(3), listens to
 * sd_notify(3), runs a command when the daemon is ready, then stops the daemon by SIGTERM. `usage`
 * below is the manual.
 *
 * LISTEN_PID has to be the daemon's own process id, which a shell cannot know before exec; that is
 * why this is a program. One thread, one poll loop over two descriptors: the notification socket
 * and a signalfd. Every wait has a deadline, and nothing outlives this process (PR_SET_PDEATHSIG).
 * Like PID 1 it keeps its own duplicate of every socket until it ends.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <ctype.h>
#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/close_range.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "util.h"

static const char usage[] =
	"usage: play-systemd [OPTION...] -- DAEMON [ARGUMENT...]\n"
	"\n"
	"Sockets, passed in the order given. PORT 0: any. NAME: the FileDescriptorName=.\n"
	"  --tcp NAME=ADDRESS:PORT          listening; IPv6 in brackets, [::] is dual-stack\n"
	"  --v6only NAME=[ADDRESS]:PORT     the same with BindIPv6Only=ipv6-only\n"
	"  --reuseport NAME=ADDRESS:PORT,N  N listening sockets with ReusePort=yes\n"
	"  --unix NAME=PATH                 listening AF_UNIX stream socket\n"
	"What a unit should not have passed:\n"
	"  --udp NAME=ADDRESS:PORT          datagram socket\n"
	"  --not-listening NAME=ADDRESS:PORT\n"
	"  --seqpacket NAME=PATH            listening AF_UNIX SOCK_SEQPACKET\n"
	"  --connected NAME                 accepted TCP connection, as of Accept=yes\n"
	"  --fifo NAME=PATH, --file NAME=PATH, --epoll NAME\n"
	"  --closed NAME                    counted, but its descriptor is closed\n"
	"  --blocking                       sockets without O_NONBLOCK\n"
	"The environment of the daemon:\n"
	"  --override VARIABLE=VALUE        also LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES\n"
	"  --unset VARIABLE\n"
	"What happens:\n"
	"  --run COMMAND                    by sh -c, after READY=1; then the daemon gets SIGTERM\n"
	"  --after COMMAND                  by sh -c, after the daemon's end, sockets still there\n"
	"  --self-stop                      COMMAND may end the daemon itself\n"
	"  --expect-exit N                  the daemon has to end by itself with N, never READY\n"
	"  --timeout SECONDS                for each wait: READY, COMMAND, end (60)\n"
	"\n"
	"COMMAND gets DAEMON_PID, NOTIFY_LOG (a file, one line for each assignment received), for\n"
	"each socket ADDR_name, PORT_name and TARGET_name (127.0.0.1:80, [::1]:80, unix:/path; with\n"
	"_2, _3 ... appended for more under one name), afterwards DAEMON_STATUS. NOTIFY_LOG and\n"
	"DAEMON_LOG (standard output and error of the daemon) are taken from the environment.\n"
	"\n"
	"Exit status: that of COMMAND, or 120 no READY=1 in time, 121 ended before READY=1, 122 ended\n"
	"before it was told to, 123 wrong exit status, 124 had to be killed, 125 this program failed.\n";

enum {
	PLAY_NOT_READY = 120,
	PLAY_EARLY = 121,
	PLAY_DIED = 122,
	PLAY_WRONG_STATUS = 123,
	PLAY_KILLED = 124,
	PLAY_FAILED = 125,
	FIRST_FD = 3, /* SD_LISTEN_FDS_START */
	MAX_SOCKETS = 64,
	HIGH_FD = FIRST_FD + MAX_SOCKETS, /* our own duplicates live here and above */
};

struct passed {
	const char *name;
	int fd; /* -1: closed */
};

struct child {
	pid_t pid;  /* 0: not started, or reaped */
	int status; /* as of an exit, 128 + signal for a death by signal */
};

struct play {
	struct passed sockets[MAX_SOCKETS];
	size_t n_sockets;
	const char *env[MAX_SOCKETS]; /* VARIABLE=VALUE, or VARIABLE to unset */
	size_t n_env;
	const char *run, *after;
	const char *notify_log;
	char **daemon_argv;
	bool blocking, self_stop;
	int expect_exit; /* -1: READY=1, then 0 after SIGTERM */
	int timeout;     /* seconds */

	int notify_fd, signal_fd, log_fd;
	struct child daemon, command;
	bool ready;
};

/* ---- making sockets ---- */

static struct addrinfo *resolve(const char *address, int type)
{
	struct addrinfo *found,
		hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = type };
	const char *colon = strrchr(address, ':');
	size_t length = colon ? (size_t)(colon - address) : 0;
	char host[64] = "";
	int r;

	if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
		address++;
		length -= 2;
	}
	if (!colon || length >= sizeof(host))
		errx(PLAY_FAILED, "%s: not ADDRESS:PORT", address);
	memcpy(host, address, length);
	r = getaddrinfo(host, colon + 1, &hints, &found);
	if (r != 0)
		errx(PLAY_FAILED, "%s: %s", address, gai_strerror(r));
	return found;
}

static void set_option(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)) < 0)
		err(PLAY_FAILED, "setsockopt");
}

/* Bound as PID 1 does it: SO_REUSEADDR always, and `option` (or -1) of `level` before bind(). */
static int bind_inet(const char *address, int type, int level, int option, int value)
{
	struct addrinfo *info = resolve(address, type);
	int fd = socket(info->ai_family, type | SOCK_NONBLOCK, 0);

	if (fd < 0)
		err(PLAY_FAILED, "socket for %s", address);
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (info->ai_family == AF_INET6 && option != IPV6_V6ONLY)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (option >= 0)
		set_option(fd, level, option, value);
	if (bind(fd, info->ai_addr, info->ai_addrlen) < 0)
		err(PLAY_FAILED, "bind to %s", address);
	freeaddrinfo(info);
	return fd;
}

static int bind_unix(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		errx(PLAY_FAILED, "%s: too long for a socket", path);
	strcpy(address.sun_path, path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(PLAY_FAILED, "%s", path);
	return fd;
}

static int listening(int fd)
{
	if (listen(fd, SOMAXCONN) < 0)
		err(PLAY_FAILED, "listen");
	return fd;
}

static int make_tcp(const char *address)
{
	return listening(bind_inet(address, SOCK_STREAM, 0, -1, 0));
}

static int make_v6only(const char *address)
{
	return listening(bind_inet(address, SOCK_STREAM, IPPROTO_IPV6, IPV6_V6ONLY, 1));
}

static int make_reuseport(const char *address)
{
	return listening(bind_inet(address, SOCK_STREAM, SOL_SOCKET, SO_REUSEPORT, 1));
}

static int make_unix(const char *path)
{
	return listening(bind_unix(path, SOCK_STREAM));
}

static int make_udp(const char *address)
{
	return bind_inet(address, SOCK_DGRAM, 0, -1, 0);
}

static int make_not_listening(const char *address)
{
	return bind_inet(address, SOCK_STREAM, 0, -1, 0);
}

static int make_seqpacket(const char *path)
{
	return listening(bind_unix(path, SOCK_SEQPACKET));
}

static int make_connected(const char *unused)
{
	auto_close int listener = make_tcp("127.0.0.1:0");
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	int client, fd;

	(void)unused;
	if (getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		err(PLAY_FAILED, "getsockname");
	client = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client < 0 || connect(client, (struct sockaddr *)&address, length) < 0)
		err(PLAY_FAILED, "connect");
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	if (fd < 0)
		err(PLAY_FAILED, "accept");
	return fd; /* the client end stays open as long as this process */
}

static int make_fifo(const char *path)
{
	int fd = mkfifo(path, 0600) < 0 ? -1 : open(path, O_RDWR | O_NONBLOCK);

	if (fd < 0)
		err(PLAY_FAILED, "%s", path);
	return fd;
}

static int make_file(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		err(PLAY_FAILED, "%s", path);
	return fd;
}

static int make_epoll(const char *unused)
{
	int fd = epoll_create1(0);

	(void)unused;
	if (fd < 0)
		err(PLAY_FAILED, "epoll_create1");
	return fd;
}

/* ---- telling the command about them ---- */

static void export(const char *prefix, const char *name, int nth, const char *value)
{
	char variable[512];
	int n = nth == 1 ? snprintf(variable, sizeof(variable), "%s_%s", prefix, name)
			 : snprintf(variable, sizeof(variable), "%s_%s_%d", prefix, name, nth);

	if (n < 0 || (size_t)n >= sizeof(variable))
		errx(PLAY_FAILED, "%s: name too long", name);
	for (char *p = variable; *p; p++)
		if (!isalnum((unsigned char)*p))
			*p = '_';
	setenv(variable, value, 1);
}

static void export_inet(const struct passed *socket, int nth, const struct sockaddr *address,
			socklen_t length)
{
	char host[64], port[16], target[96];

	if (getnameinfo(address, length, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		errx(PLAY_FAILED, "getnameinfo");
	snprintf(target, sizeof(target), address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
		 port);
	export("ADDR", socket->name, nth, host);
	export("PORT", socket->name, nth, port);
	export("TARGET", socket->name, nth, target);
}

static void export_socket(const struct play *play, size_t index)
{
	const struct passed *socket = &play->sockets[index];
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	int nth = 1;

	for (size_t i = 0; i < index; i++)
		nth += strcmp(play->sockets[i].name, socket->name) == 0;
	if (getsockname(socket->fd, (struct sockaddr *)&address, &length) < 0)
		return; /* not a socket, or closed */
	if (address.ss_family == AF_UNIX) {
		const char *path = ((struct sockaddr_un *)&address)->sun_path;
		char target[sizeof(address) + 8];

		snprintf(target, sizeof(target), "unix:%.*s", (int)sizeof(struct sockaddr_un),
			 path);
		export("ADDR", socket->name, nth, path);
		export("TARGET", socket->name, nth, target);
	} else {
		export_inet(socket, nth, (struct sockaddr *)&address, length);
	}
}

static void add_socket(struct play *play, const char *name, int fd)
{
	struct passed *socket = &play->sockets[play->n_sockets];

	if (play->n_sockets >= MAX_SOCKETS)
		errx(PLAY_FAILED, "more than %d sockets", MAX_SOCKETS);
	*socket = (struct passed){ .name = name, .fd = -1 };
	if (fd >= 0) {
		socket->fd = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
		if (socket->fd < 0)
			err(PLAY_FAILED, "dup");
		close(fd);
	}
	export_socket(play, play->n_sockets++);
}

/* ADDRESS:PORT,N. With port 0 the first bind() finds the port for all. */
static void add_reuseport(struct play *play, const char *name, char *address)
{
	char *comma = strchr(address, ',');
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	auto_free char *again = NULL;
	int fd;

	if (!comma)
		errx(PLAY_FAILED, "%s: no number of sockets", address);
	*comma = '\0';
	fd = make_reuseport(address);
	if (getsockname(fd, (struct sockaddr *)&bound, &length) < 0)
		err(PLAY_FAILED, "getsockname");
	add_socket(play, name, fd);
	*strrchr(address, ':') = '\0';
	if (asprintf(&again, "%s:%d", address, ntohs(((struct sockaddr_in *)&bound)->sin_port)) < 0)
		err(PLAY_FAILED, "asprintf");
	for (long left = strtol(comma + 1, NULL, 10) - 1; left > 0; left--)
		add_socket(play, name, make_reuseport(again));
}

/* ---- children ---- */

static void in_child(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		err(PLAY_FAILED, "prctl");
}

static void set_number(const char *variable, long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", number);
	setenv(variable, text, 1);
}

static void set_daemon_env(const struct play *play)
{
	struct sockaddr_un address;
	socklen_t length = sizeof(address);
	char names[8192] = "";
	char notify[sizeof(address.sun_path) + 1];

	for (size_t i = 0; i < play->n_sockets; i++) {
		if (strlen(names) + strlen(play->sockets[i].name) + 2 > sizeof(names))
			errx(PLAY_FAILED, "names too long");
		strcat(strcat(names, i > 0 ? ":" : ""), play->sockets[i].name);
	}
	if (getsockname(play->notify_fd, (struct sockaddr *)&address, &length) < 0)
		err(PLAY_FAILED, "getsockname");
	snprintf(notify, sizeof(notify), "@%.*s",
		 (int)(length - offsetof(struct sockaddr_un, sun_path) - 1), address.sun_path + 1);
	setenv("NOTIFY_SOCKET", notify, 1);
	if (play->n_sockets > 0) {
		setenv("LISTEN_FDNAMES", names, 1);
		set_number("LISTEN_FDS", (long)play->n_sockets);
		set_number("LISTEN_PID", getpid());
	}
	for (size_t i = 0; i < play->n_env; i++) {
		const char *equals = strchr(play->env[i], '=');
		auto_free char *variable = equals ? strndup(play->env[i],
							    (size_t)(equals - play->env[i]))
						  : strdup(play->env[i]);
		if (equals)
			setenv(variable, equals + 1, 1);
		else
			unsetenv(variable);
	}
}

/* Sockets from descriptor 3 on; all other descriptors of ours are close-on-exec. */
static void place_sockets(const struct play *play)
{
	for (size_t i = 0; i < play->n_sockets; i++) {
		int fd = play->sockets[i].fd, want = FIRST_FD + (int)i;

		close(want);
		if (fd < 0)
			continue;
		if (play->blocking)
			fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
		if (dup2(fd, want) < 0)
			err(PLAY_FAILED, "dup2");
	}
}

static void start_daemon(struct play *play)
{
	const char *log = getenv("DAEMON_LOG");

	play->daemon.pid = fork();
	if (play->daemon.pid < 0)
		err(PLAY_FAILED, "fork");
	if (play->daemon.pid > 0) {
		set_number("DAEMON_PID", play->daemon.pid);
		return;
	}
	in_child();
	if (log) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
			err(PLAY_FAILED, "%s", log);
	}
	set_daemon_env(play);
	place_sockets(play);
	execvp(play->daemon_argv[0], play->daemon_argv);
	err(PLAY_FAILED, "%s", play->daemon_argv[0]);
}

static void start_command(struct play *play, const char *command)
{
	play->command = (struct child){ .pid = fork() };
	if (play->command.pid < 0)
		err(PLAY_FAILED, "fork");
	if (play->command.pid > 0)
		return;
	in_child();
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	err(PLAY_FAILED, "/bin/sh");
}

static void reap(struct child *child)
{
	int status;

	if (child->pid <= 0 || waitpid(child->pid, &status, WNOHANG) != child->pid)
		return;
	child->pid = 0;
	child->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- waiting ---- */

static void close_received(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			close(fd);
		}
	}
}

/*
 * One datagram of sd_notify(); false when there is none. The descriptors of FDSTORE=1 and BARRIER=1
 * are closed at once, which is what sd_notify_barrier() waits for.
 */
static bool read_notify(struct play *play)
{
	char text[4096], control[CMSG_SPACE(sizeof(int) * 253)];
	struct iovec iov = { text, sizeof(text) - 2 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(play->notify_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return false;
	close_received(&message);
	if (n == 0 || text[n - 1] != '\n')
		text[n++] = '\n';
	text[n] = '\0';
	if (write(play->log_fd, text, (size_t)n) != n)
		err(PLAY_FAILED, "%s", play->notify_log);
	if (strncmp(text, "READY=1\n", 8) == 0 || strstr(text, "\nREADY=1\n"))
		play->ready = true;
	return true;
}

static void read_signal(struct play *play)
{
	struct signalfd_siginfo info;

	if (read(play->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo != SIGCHLD)
		errx(PLAY_FAILED, "ended by signal %u", info.ssi_signo);
	reap(&play->daemon);
	reap(&play->command);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Handles what comes until done(play) or the time-out; false for the latter. */
static bool wait_until(struct play *play, bool (*done)(const struct play *))
{
	int64_t deadline = now_ms() + (int64_t)play->timeout * 1000;

	while (!done(play)) {
		struct pollfd fds[] = { { .fd = play->notify_fd, .events = POLLIN },
					{ .fd = play->signal_fd, .events = POLLIN } };
		int64_t left = deadline - now_ms();

		if (left <= 0)
			return false;
		if (poll(fds, ARRAY_SIZE(fds), (int)left) < 0 && errno != EINTR)
			err(PLAY_FAILED, "poll");
		/* Notifications first: what a daemon said before it ended counts. */
		while (read_notify(play))
			;
		if (fds[1].revents)
			read_signal(play);
	}
	return true;
}

static bool started(const struct play *play)
{
	return play->daemon.pid == 0 || (play->ready && play->expect_exit < 0);
}

static bool daemon_ended(const struct play *play)
{
	return play->daemon.pid == 0;
}

static bool command_ended(const struct play *play)
{
	return play->command.pid == 0;
}

/* ---- the play ---- */

static int run_command(struct play *play, const char *command)
{
	if (!command)
		return 0;
	start_command(play, command);
	if (wait_until(play, command_ended))
		return play->command.status;
	warnx("the command did not end within %d s: killed", play->timeout);
	kill(play->command.pid, SIGKILL);
	wait_until(play, command_ended);
	return PLAY_FAILED;
}

static bool kill_daemon(struct play *play)
{
	kill(play->daemon.pid, SIGKILL);
	wait_until(play, daemon_ended);
	return play->daemon.pid == 0;
}

/* The daemon has to end by itself, with the status that is expected. */
static int play_refusal(struct play *play)
{
	if (!wait_until(play, daemon_ended)) {
		warnx("the daemon did not end within %d s: killed", play->timeout);
		kill_daemon(play);
		return PLAY_KILLED;
	}
	if (play->ready) {
		warnx("the daemon sent READY=1, expected was exit status %d", play->expect_exit);
		return PLAY_WRONG_STATUS;
	}
	return 0;
}

static int wait_ready(struct play *play)
{
	if (!wait_until(play, started)) {
		warnx("no READY=1 within %d s", play->timeout);
		kill_daemon(play);
		return PLAY_NOT_READY;
	}
	if (play->daemon.pid != 0 || (play->ready && play->self_stop))
		return 0;
	warnx("the daemon ended before READY=1");
	return PLAY_EARLY;
}

static int stop_daemon(struct play *play)
{
	if (play->daemon.pid == 0 && !play->self_stop) {
		warnx("the daemon ended before it was told to");
		return PLAY_DIED;
	}
	if (play->daemon.pid == 0)
		return 0;
	kill(play->daemon.pid, SIGTERM);
	if (wait_until(play, daemon_ended))
		return 0;
	warnx("the daemon did not end within %d s of SIGTERM: killed", play->timeout);
	kill_daemon(play);
	return PLAY_KILLED;
}

static int play_service(struct play *play)
{
	int status = wait_ready(play), stopped;

	if (status != 0)
		return status;
	status = run_command(play, play->run);
	stopped = stop_daemon(play);
	return stopped ? stopped : status;
}

static int play_all(struct play *play)
{
	int expected = play->expect_exit < 0 ? 0 : play->expect_exit;
	int status, after;

	start_daemon(play);
	status = play->expect_exit < 0 ? play_service(play) : play_refusal(play);
	warnx("the daemon's exit status is %d", play->daemon.status);
	if (play->daemon.status != expected && (status == 0 || status < PLAY_NOT_READY)) {
		warnx("expected was %d", expected);
		status = PLAY_WRONG_STATUS;
	}
	set_number("DAEMON_STATUS", play->daemon.status);
	after = run_command(play, play->after);
	return status ? status : after;
}

static void open_notify_log(struct play *play)
{
	static char path[] = "/tmp/play-systemd.XXXXXX";
	int fd;

	play->notify_log = getenv("NOTIFY_LOG");
	if (play->notify_log) {
		fd = open(play->notify_log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	} else {
		fd = mkstemp(path);
		play->notify_log = path;
		setenv("NOTIFY_LOG", path, 1);
	}
	play->log_fd = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (play->log_fd < 0)
		err(PLAY_FAILED, "%s", play->notify_log);
	close(fd);
}

/* An empty address of the AF_UNIX family makes the kernel choose an abstract name (unix(7)). */
static void open_notify_socket(struct play *play)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) < 0)
		err(PLAY_FAILED, "notification socket");
	play->notify_fd = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (play->notify_fd < 0)
		err(PLAY_FAILED, "dup");
}

static void open_signals(struct play *play)
{
	sigset_t signals;
	auto_close int fd = -1;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	fd = signalfd(-1, &signals, SFD_NONBLOCK);
	play->signal_fd = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (play->signal_fd < 0)
		err(PLAY_FAILED, "signalfd");
}

/* Options that make a socket: `make` gets what follows NAME=. */
static const struct kind {
	const char *option;
	int (*make)(const char *address);
} kinds[] = {
	{ "tcp", make_tcp },
	{ "v6only", make_v6only },
	{ "reuseport", NULL },
	{ "unix", make_unix },
	{ "udp", make_udp },
	{ "not-listening", make_not_listening },
	{ "seqpacket", make_seqpacket },
	{ "connected", make_connected },
	{ "fifo", make_fifo },
	{ "file", make_file },
	{ "epoll", make_epoll },
	{ "closed", NULL },
};

static void parse_socket(struct play *play, const struct kind *kind, char *argument)
{
	char *equals = strchr(argument, '=');
	char *address = equals ? equals + 1 : argument + strlen(argument);

	if (equals)
		*equals = '\0';
	if (strcmp(kind->option, "reuseport") == 0)
		add_reuseport(play, argument, address);
	else
		add_socket(play, argument, kind->make ? kind->make(address) : -1);
}

static void add_env(struct play *play, const char *assignment)
{
	if (play->n_env >= ARRAY_SIZE(play->env))
		errx(PLAY_FAILED, "too many --override and --unset");
	play->env[play->n_env++] = assignment;
}

enum {
	OPTION_OVERRIDE = 256,
	OPTION_UNSET,
	OPTION_RUN,
	OPTION_AFTER,
	OPTION_BLOCKING,
	OPTION_SELF_STOP,
	OPTION_EXPECT_EXIT,
	OPTION_TIMEOUT,
	OPTION_HELP,
};

static const struct option plain_options[] = {
	{ "override", required_argument, NULL, OPTION_OVERRIDE },
	{ "unset", required_argument, NULL, OPTION_UNSET },
	{ "run", required_argument, NULL, OPTION_RUN },
	{ "after", required_argument, NULL, OPTION_AFTER },
	{ "blocking", no_argument, NULL, OPTION_BLOCKING },
	{ "self-stop", no_argument, NULL, OPTION_SELF_STOP },
	{ "expect-exit", required_argument, NULL, OPTION_EXPECT_EXIT },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "help", no_argument, NULL, OPTION_HELP },
};

static void apply_option(struct play *play, int option)
{
	if (option >= 0 && option < (int)ARRAY_SIZE(kinds)) {
		parse_socket(play, &kinds[option], optarg);
		return;
	}
	switch (option) {
	case OPTION_OVERRIDE:
	case OPTION_UNSET:
		add_env(play, optarg);
		break;
	case OPTION_RUN:
		play->run = optarg;
		break;
	case OPTION_AFTER:
		play->after = optarg;
		break;
	case OPTION_BLOCKING:
		play->blocking = true;
		break;
	case OPTION_SELF_STOP:
		play->self_stop = true;
		break;
	case OPTION_EXPECT_EXIT:
		play->expect_exit = atoi(optarg);
		break;
	case OPTION_TIMEOUT:
		play->timeout = atoi(optarg);
		break;
	case OPTION_HELP:
		fputs(usage, stdout);
		exit(0);
	default:
		fputs(usage, stderr);
		exit(PLAY_FAILED);
	}
}

static void parse(struct play *play, int argc, char **argv)
{
	struct option options[ARRAY_SIZE(kinds) + ARRAY_SIZE(plain_options) + 1] = { 0 };
	int option;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		options[i] = (struct option){ kinds[i].option, required_argument, NULL, (int)i };
	memcpy(options + ARRAY_SIZE(kinds), plain_options, sizeof(plain_options));
	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1)
		apply_option(play, option);
	if (optind == argc)
		apply_option(play, '?');
	play->daemon_argv = argv + optind;
}

int main(int argc, char **argv)
{
	static const char *const inherited[] = { "LISTEN_PID",     "LISTEN_FDS",
						 "LISTEN_FDNAMES", "NOTIFY_SOCKET",
						 "JOURNAL_STREAM", "WATCHDOG_PID",
						 "WATCHDOG_USEC",  "INVOCATION_ID" };
	struct play play = { .expect_exit = -1, .timeout = 60 };
	bool own_log = !getenv("NOTIFY_LOG");
	int status;

	/* make(1) may have left descriptors open that would look like passed ones. */
	if (close_range(FIRST_FD, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		err(PLAY_FAILED, "close_range");
	for (size_t i = 0; i < ARRAY_SIZE(inherited); i++)
		unsetenv(inherited[i]);
	parse(&play, argc, argv);
	open_notify_log(&play);
	open_notify_socket(&play);
	open_signals(&play);
	status = play_all(&play);
	if (own_log)
		unlink(play.notify_log);
	return status;
}
