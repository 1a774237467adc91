/* SPDX-License-Identifier: MIT */
/*
 * See activation.h. sd_listen_fds() answers 0 both for "nothing passed" and for "passed to another
 * process", and -EINVAL for several mistakes: the messages here say which variable was wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#include "activation.h"
#include "util.h"

#define WATCHDOG_MIN_MS 16 /* nobody means less, and half of it has to be a time */

static const char *variable(char out[REPORT_ESCAPED_MAX], const char *name)
{
	const char *value = getenv(name);

	return report_escape(out, value ? value : "(not set)");
}

static int wrong_environment(int error, struct report *report)
{
	char pid[REPORT_ESCAPED_MAX], fds[REPORT_ESCAPED_MAX], names[REPORT_ESCAPED_MAX];

	report_add(report,
		   "the passed sockets cannot be taken: %s (LISTEN_PID=%s, LISTEN_FDS=%s, "
		   "LISTEN_FDNAMES=%s); start this by systemd or systemd-socket-activate",
		   strerror(error), variable(pid, "LISTEN_PID"), variable(fds, "LISTEN_FDS"),
		   variable(names, "LISTEN_FDNAMES"));
	return -error;
}

static int not_for_us(struct report *report)
{
	char pid[REPORT_ESCAPED_MAX];

	if (!getenv("LISTEN_FDS") && !getenv("LISTEN_PID"))
		return 0;
	report_add(report,
		   "the passed sockets are for another process: LISTEN_PID=%s, but this is %d; a "
		   "wrapper must exec simple-server, not fork it",
		   variable(pid, "LISTEN_PID"), (int)getpid());
	return -ESRCH;
}

static void unset_environment(void)
{
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

int activation_take(struct passed_fds *ret_fds, struct report *report)
{
	char **names = NULL;

	*ret_fds = (struct passed_fds){ 0 };
	int n = sd_listen_fds_with_names(0, &names);
	if (n < 0)
		n = wrong_environment(-n, report);
	else if (n == 0)
		n = not_for_us(report);
	unset_environment();
	if (n <= 0)
		return n;
	ret_fds->list = calloc((size_t)n, sizeof(*ret_fds->list));
	for (int i = 0; i < n; i++)
		if (ret_fds->list)
			ret_fds->list[i] = (struct passed_fd){ SD_LISTEN_FDS_START + i, names[i] };
		else
			free(names[i]);
	free(names);
	if (!ret_fds->list)
		return wrong_environment(ENOMEM, report);
	ret_fds->count = (size_t)n;
	return 0;
}

void activation_release(struct passed_fds *fds)
{
	for (size_t i = 0; i < fds->count; i++) {
		close_fd(fds->list[i].fd);
		free(fds->list[i].name);
	}
	free(fds->list);
	*fds = (struct passed_fds){ 0 };
}

static int notify_fd = -1;

/* sd_notify(3): an absolute path, or an abstract name behind '@'. */
int activation_open_notify(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = path ? strlen(path) : 0;

	if (length == 0)
		return 0;
	if (length >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return -EINVAL;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	int fd auto_close = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		return -errno;
	notify_fd = steal_fd(&fd);
	return 0;
}

void activation_close_notify(void)
{
	notify_fd = close_fd(notify_fd);
}

bool activation_is_watched(void)
{
	return notify_fd >= 0;
}

void activation_notify(const char *format, ...)
{
	char state[1024];
	va_list args;

	if (notify_fd < 0)
		return;
	va_start(args, format);
	vsnprintf(state, sizeof(state), format, args);
	va_end(args);
	/* A lost notification is systemd's to notice, by its own time-outs. */
	if (send(notify_fd, state, strlen(state), MSG_NOSIGNAL) < 0)
		return;
}

static int send_fds(const char *state, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * ACTIVATION_STORE_MAX)];
	} control;
	struct iovec text = { .iov_base = (char *)(uintptr_t)state, .iov_len = strlen(state) };
	struct msghdr message = { .msg_iov = &text,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (notify_fd < 0 || !header)
		return -ENOTCONN;
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(header), fds, n * sizeof(int));
	return sendmsg(notify_fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* FDPOLL=0: a socket whose other end is closed is kept all the same. */
int activation_store(const char *name, const int *fds, size_t n)
{
	char state[128];

	snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	return n > ACTIVATION_STORE_MAX ? -E2BIG : send_fds(state, fds, n);
}

void activation_unstore(const char *name)
{
	activation_notify("FDSTOREREMOVE=1\nFDNAME=%s", name);
}

int activation_take_watchdog(void)
{
	uint64_t us;
	int r = sd_watchdog_enabled(1, &us);

	if (r <= 0)
		return r;
	if (us >= INT_MAX * UINT64_C(1000))
		return INT_MAX;
	return us > WATCHDOG_MIN_MS * 1000 ? (int)(us / 1000) : WATCHDOG_MIN_MS;
}

/* $JOURNAL_STREAM names the device and inode of the stream that systemd connected
 * (systemd.exec(5)). */
bool activation_has_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2)
		return false;
	if (fstat(STDERR_FILENO, &st) < 0)
		return false;
	return st.st_dev == device && st.st_ino == inode;
}

int activation_journal(const struct iovec *parts, int n)
{
	return sd_journal_sendv(parts, n);
}
