/* SPDX-License-Identifier: MIT */
/*
 * See baseline.h. The file is of lines:
 *
 *	simple-server baseline 1
 *	socket 4b1f
 *	so_keepalive 0
 *	tcp_congestion "cubic"
 *	end
 *
 * It is written whole beside its place and then moved there, so that there is an old one or a new
 * one. Read is nothing but what is written: one wrong line, and it is as if there were none. An
 * option that is not known, of a newer version, is passed over.
 */
#include "baseline.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "journal.h"
#include "util.h"

#define HEAD          "simple-server baseline 1"
#define NAME          "baseline"
#define FILE_SIZE_MAX (1 << 20)
#define FILE_LINE_MAX 128

static int cookie_of(int fd, uint64_t *ret_cookie)
{
	socklen_t length = sizeof(*ret_cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret_cookie, &length) < 0 ? -errno : 0;
}

static struct sockopt_reading *find(const struct baseline *baseline, uint64_t cookie)
{
	for (size_t i = 0; i < baseline->count; i++)
		if (baseline->list[i].cookie == cookie)
			return baseline->list[i].values;
	return NULL;
}

int baseline_add(struct baseline *baseline, int fd)
{
	struct baseline_socket *list = reallocarray(baseline->list, baseline->count + 1,
						    sizeof(*list));
	struct baseline_socket socket = { 0 };
	int r;

	if (!list)
		return -ENOMEM;
	baseline->list = list;
	r = cookie_of(fd, &socket.cookie);
	if (r < 0 || find(baseline, socket.cookie))
		return r;
	socket.values = calloc(sockopt_count, sizeof(*socket.values));
	if (!socket.values)
		return -ENOMEM;
	list[baseline->count++] = socket;
	return 0;
}

struct sockopt_reading *baseline_of(const struct baseline *baseline, int fd)
{
	uint64_t cookie;

	return cookie_of(fd, &cookie) == 0 ? find(baseline, cookie) : NULL;
}

void baseline_deinit(struct baseline *baseline)
{
	for (size_t i = 0; i < baseline->count; i++)
		free(baseline->list[i].values);
	free(baseline->list);
	*baseline = (struct baseline){ 0 };
}

/* ---- reading */

struct parser {
	const struct baseline *baseline;
	struct sockopt_reading *values; /* of the socket whose lines these are */
	bool in_socket, ended;
};

/* A number as it is written: no blank, no plus, nothing behind it. */
static bool parse_number(const char *text, int base, int64_t *ret_number)
{
	char *end;

	if (!*text || strspn(text, base == 16 ? "0123456789abcdef" : "-0123456789") != strlen(text))
		return false;
	errno = 0;
	long long number = strtoll(text, &end, base);
	*ret_number = number;
	return errno == 0 && !*end;
}

/* Whether it can stand between quotes as it is. */
static bool is_plain(const char *string, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (string[i] < '!' || string[i] > '~' || string[i] == '"' || string[i] == '\\')
			return false;
	return length < SOCKOPT_STRING_MAX;
}

static bool parse_string(const char *text, struct sockopt_value *value)
{
	size_t length = strlen(text);

	if (length < 2 || text[0] != '"' || text[length - 1] != '"' ||
	    !is_plain(text + 1, length - 2))
		return false;
	memcpy(value->string, text + 1, length - 2);
	return true;
}

static bool parse_option(struct parser *p, const char *name, const char *text)
{
	const struct sockopt *row = sockopt_find(name);
	struct sockopt_reading reading = { .known = true };
	bool good = *text == '"' ? parse_string(text, &reading.value)
				 : parse_number(text, 10, &reading.value.number);

	if (!good || !p->in_socket || (row && (row->type == SOCKOPT_STRING) != (*text == '"')))
		return false;
	if (row && p->values)
		p->values[row - sockopt_table] = reading;
	return true;
}

static bool parse_line(struct parser *p, char *line)
{
	char *blank = strchr(line, ' ');
	int64_t cookie;

	if (p->ended)
		return false;
	if (strcmp(line, "end") == 0) {
		p->ended = true;
		return true;
	}
	if (!blank)
		return false;
	*blank = '\0';
	if (strcmp(line, "socket") != 0)
		return parse_option(p, line, blank + 1);
	if (!parse_number(blank + 1, 16, &cookie))
		return false;
	p->in_socket = true;
	p->values = find(p->baseline, (uint64_t)cookie);
	return true;
}

static bool parse(const struct baseline *baseline, char *text)
{
	struct parser p = { .baseline = baseline };
	bool first = true;

	for (char *end; *text; text = end + 1, first = false) {
		end = strchr(text, '\n');
		if (!end || end - text > FILE_LINE_MAX)
			return false;
		*end = '\0';
		if (first ? strcmp(text, HEAD) != 0 : !parse_line(&p, text))
			return false;
	}
	return p.ended;
}

/* The file as a string; *ret_text stays NULL where there is none. 0 or -errno. */
static int read_file(const char *path, char **ret_text)
{
	int fd auto_close = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_SIZE_MAX)
		return -EINVAL;
	char *text auto_free = calloc(1, (size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	ssize_t n = read(fd, text, (size_t)st.st_size);
	if (n < 0)
		return -errno;
	if (n != st.st_size || strlen(text) != (size_t)n)
		return -EINVAL;
	*ret_text = steal(&text);
	return 0;
}

static void forget(struct baseline *baseline)
{
	for (size_t i = 0; i < baseline->count; i++)
		memset(baseline->list[i].values, 0, sockopt_count * sizeof(struct sockopt_reading));
}

void baseline_load(struct baseline *baseline, const char *directory)
{
	char path[PATH_MAX];
	char *text auto_free = NULL;

	snprintf(path, sizeof(path), "%s/" NAME, directory);
	int r = read_file(path, &text);
	if (r == 0 && text && !parse(baseline, text))
		r = -EINVAL;
	if (r == 0)
		return;
	forget(baseline);
	journal_log(JOURNAL_BASELINE, LOG_WARNING, &(struct journal_fields){ .error = -r },
		    "%s is not what simple-server has written (%s): the options of the sockets are "
		    "taken for those of their units",
		    path, strerror(-r));
}

/* ---- writing */

static void write_value(FILE *out, size_t i, const struct sockopt_reading *reading)
{
	const struct sockopt *row = &sockopt_table[i];
	const char *string = reading->value.string;

	if (!reading->known)
		return;
	if (row->type != SOCKOPT_STRING)
		fprintf(out, "%s %" PRId64 "\n", row->name, reading->value.number);
	else if (is_plain(string, strnlen(string, SOCKOPT_STRING_MAX)))
		fprintf(out, "%s \"%s\"\n", row->name, string);
}

static int write_to(FILE *out, const struct baseline *baseline)
{
	fputs(HEAD "\n", out);
	for (size_t k = 0; k < baseline->count; k++) {
		fprintf(out, "socket %" PRIx64 "\n", baseline->list[k].cookie);
		for (size_t i = 0; i < sockopt_count; i++)
			write_value(out, i, &baseline->list[k].values[i]);
	}
	fputs("end\n", out);
	bool failed = ferror(out);
	return fclose(out) != 0 || failed ? -EIO : 0;
}

static int write_file(const struct baseline *baseline, const char *path)
{
	char beside[PATH_MAX + 8];

	snprintf(beside, sizeof(beside), "%s.new", path);
	int fd auto_close = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
				 0600);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!out)
		return -errno;
	steal_fd(&fd); /* fclose() closes it */
	int r = write_to(out, baseline);
	if (r == 0 && rename(beside, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(beside);
	return r;
}

void baseline_save(const struct baseline *baseline, const char *directory)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" NAME, directory);
	int r = write_file(baseline, path);
	if (r < 0)
		journal_log(JOURNAL_BASELINE, LOG_WARNING, &(struct journal_fields){ .error = -r },
			    "%s cannot be written (%s): after a restart, options that the file no "
			    "longer sets will stay on the sockets",
			    path, strerror(-r));
}
