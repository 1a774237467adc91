/* SPDX-License-Identifier: MIT */
/*
 * resolve - answers a line that is the name of a host with the addresses of that host.
 *
 *      sockets = (
 *        { name = "resolve"; handler = "module"; module = "resolve.so";
 *          settings: { timeout = 5.0; }; }
 *      );
 *
 *      $ printf 'localhost\nnone.invalid\n' | nc -N 127.0.0.1 7777
 *      OK ::1 127.0.0.1
 *      ERROR Name or service not known
 *
 * What this example shows is work that blocks: getaddrinfo() may wait for seconds, so it runs in
 * the pool. A job is an object of its own with copies of all it needs, since the connection may end
 * while the job is under way. It belongs to the pool from ss_offload() on, which always ends in
 * done(); nothing else frees it. That there is one job at a time for each connection, and that the
 * next line is kept until it is done, is the server's doing.
 *
 * The unit of the service must let it into the network:
 *
 *      [Service]
 *      PrivateNetwork=no
 *      RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
 *      IPAddressDeny=
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <netdb.h>
#include <simple-server.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define NAME_MAX_DNS 253
#define ANSWER_MAX   1024

struct resolve_settings {
	int timeout;
	int max_addresses;
};

static const struct ss_key keys[] = {
	SS_SECONDS(struct resolve_settings, timeout, 10, 600000, 10000,
		   "how long an answer may take; then the connection is closed"),
	SS_INTEGER(struct resolve_settings, max_addresses, 1, 16, 8, "",
		   "most addresses in an answer"),
	SS_NO_MORE_KEYS,
};

enum { FOUND, FAILED, TIMED_OUT };
static const char *const counters[] = { "found", "failed", "timed_out", NULL };

struct job {
	char name[NAME_MAX_DNS + 1];
	int max_addresses;
	int found; /* how many */
	char answer[ANSWER_MAX];
};

/* A new file: its settings are asked for with each connection, so there is nothing to do. */
static int resolve_reload(struct ss_service *service, const void *settings)
{
	(void)service;
	(void)settings;
	return 0;
}

static const struct resolve_settings *settings_of(const struct ss_connection *connection)
{
	return ss_settings(ss_service_of(connection));
}

static void write_line(struct ss_connection *connection, const char *line)
{
	char text[ANSWER_MAX + 1];
	int length = snprintf(text, sizeof(text), "%s\n", line);

	ss_write(connection, text, (size_t)length);
}

/* ---- in a thread of the pool: the job and nothing else */

static void add_addresses(struct job *job, const struct addrinfo *list)
{
	size_t used = (size_t)snprintf(job->answer, sizeof(job->answer), "OK");
	char address[64];

	for (; list && job->found < job->max_addresses; list = list->ai_next) {
		if (getnameinfo(list->ai_addr, list->ai_addrlen, address, sizeof(address), NULL, 0,
				NI_NUMERICHOST) != 0)
			continue;
		used += (size_t)snprintf(job->answer + used, sizeof(job->answer) - used, " %s",
					 address);
		job->found++;
	}
}

static void look_up(void *argument)
{
	static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct job *job = argument;
	struct addrinfo *list;
	int error = getaddrinfo(job->name, NULL, &hints, &list);

	if (error) {
		snprintf(job->answer, sizeof(job->answer), "ERROR %s", gai_strerror(error));
		return;
	}
	add_addresses(job, list);
	freeaddrinfo(list);
}

/* ---- in the worker again; without a connection where that has ended meanwhile */

static void looked_up(struct ss_connection *connection, void *argument)
{
	struct job *job = argument;

	if (connection) {
		ss_set_timer(connection, -1);
		write_line(connection, job->answer);
		ss_count(connection, job->found ? FOUND : FAILED, 1);
	}
	free(job);
}

/* Nothing stops getaddrinfo(), but the client need not wait for it: looked_up() frees the job. */
static void resolve_timer(struct ss_connection *connection)
{
	write_line(connection, "ERROR timed out");
	ss_count(connection, TIMED_OUT, 1);
	ss_close(connection);
}

static struct job *job_new(const struct ss_connection *connection, const char *line, size_t length)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	memcpy(job->name, line, length); /* the line does not end in a 0, but is not too long */
	job->max_addresses = settings_of(connection)->max_addresses;
	return job;
}

static void on_line(struct ss_connection *connection, const char *line, size_t length)
{
	struct job *job;

	if (!line) { /* and after this ss_lines() closes the connection */
		write_line(connection, "ERROR the name is too long");
		return;
	}
	if (length == 0 || memchr(line, '\0', length)) {
		write_line(connection, "ERROR no name");
		return;
	}
	job = job_new(connection, line, length);
	if (!job || ss_offload(connection, look_up, looked_up, job) < 0) {
		free(job); /* only here: the pool does not have it */
		write_line(connection, "ERROR no memory");
		return;
	}
	ss_set_timer(connection, settings_of(connection)->timeout);
}

static size_t resolve_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	return ss_lines(connection, bytes, length, NAME_MAX_DNS, on_line);
}

static const struct ss_handler resolve_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "resolve",
	.flags = SS_OFFLOADS,
	.keys = keys,
	.settings_size = sizeof(struct resolve_settings),
	.counters = counters,
	.data = resolve_data,
	.timer = resolve_timer,
	.reload = resolve_reload,
};

SS_MODULE(resolve_handler);
