/* SPDX-License-Identifier: MIT */
/*
 * What accept() hands down: each option of the table is set on a listening socket and looked for on
 * a connection, on TCP over IPv4, over IPv6, and AF_UNIX; and held against the table.
 */
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "facts.h"
#include "sockopt.h"
#include "util.h"

#define TCP_OPTIONS_MAX 40 /* bytes of a header */

enum answer { INHERITED, NOT_INHERITED, REFUSED, UNREADABLE, ANSWERS };

static const char *const words[ANSWERS] = { "inherited", "not inherited", "refused",
					    "cannot be read back" };

static const struct {
	const char *name;
	int domain;
	enum sockopt_family family;
} kinds[] = {
	{ "TCP, IPv4", AF_INET, SOCKOPT_INET4 },
	{ "TCP, IPv6", AF_INET6, SOCKOPT_INET6 },
	{ "AF_UNIX", AF_UNIX, SOCKOPT_UNIX },
};

/* The names of those with one answer. */
struct names {
	unsigned count;
	char text[2048];
};

static void add_name(struct names *names, const char *name)
{
	size_t length = strlen(names->text);

	names->count++;
	snprintf(names->text + length, sizeof(names->text) - length, "%s%s", length ? " " : "",
		 name);
}

static bool same(const struct sockopt_value *a, const struct sockopt_value *b)
{
	return a->number == b->number && strcmp(a->string, b->string) == 0;
}

/* Sets some value other than the present one; false where none is taken. */
static bool change(int fd, const struct sockopt *row)
{
	static const int64_t numbers[] = { 5, 2, 1000, 40000 };
	static const char *const strings[] = { "lo", "reno", "cubic", "bbr" };
	struct sockopt_value before = { 0 }, after;

	if (sockopt_get(fd, row, &before) < 0 && row->readback != SOCKOPT_OPAQUE)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct sockopt_value value = { .number = numbers[i] };

		if (row->type == SOCKOPT_BOOL)
			value.number = !before.number;
		if (row->type == SOCKOPT_STRING)
			strcpy(value.string, strings[i]);
		if (sockopt_set(fd, row, &value) == 0 &&
		    (sockopt_get(fd, row, &after) < 0 || !same(&after, &before)))
			return true;
	}
	return false;
}

/* What a connection of this listener has. */
static int value_of_accepted(int listener, const struct sockopt *row, struct sockopt_value *ret)
{
	auto_close int client = new_client(listener);

	if (client < 0 || send(client, "x", 1, MSG_NOSIGNAL) != 1)
		err(EXIT_FAILURE, "%s: no connection", row->name);
	auto_close int accepted = accept_from(listener);
	return sockopt_get(accepted, row, ret);
}

/* The size of a segment is given with the options of TCP, and read from a connection without. */
static void add_tcp_options(const struct sockopt *row, const struct sockopt_value *given,
			    struct sockopt_value *got)
{
	if (row->level == IPPROTO_TCP && row->option == TCP_MAXSEG &&
	    given->number - got->number <= TCP_OPTIONS_MAX)
		got->number = given->number;
}

static enum answer ask(int domain, const struct sockopt *row)
{
	auto_close int untouched = new_listener(domain, 0), listener = new_listener(domain, 0);
	struct sockopt_value given, got, usual;

	if (!change(listener, row))
		return REFUSED;
	if (sockopt_get(listener, row, &given) < 0)
		return UNREADABLE;
	if (value_of_accepted(listener, row, &got) < 0 ||
	    value_of_accepted(untouched, row, &usual) < 0)
		return NOT_INHERITED;
	add_tcp_options(row, &given, &got);
	return same(&got, &given) && !same(&got, &usual) ? INHERITED : NOT_INHERITED;
}

/*
 * Whether the table has it so. What is called an option of the listener may well be handed down; it
 * only means nothing to a connection.
 */
static bool agrees(const struct sockopt *row, enum sockopt_family family, enum answer answer)
{
	switch (sockopt_stage_on(row, family)) {
	case SOCKOPT_INHERITED:
		return answer != NOT_INHERITED;
	case SOCKOPT_ACCEPTED:
		return answer != INHERITED;
	case SOCKOPT_LISTENER:
	case SOCKOPT_BEFORE_BIND:
		break;
	}
	return true;
}

static void ask_table(size_t kind)
{
	struct names by_answer[ANSWERS] = { 0 }, different = { 0 };

	for (const struct sockopt *row = sockopt_table; row < sockopt_table + sockopt_count;
	     row++) {
		if (!(row->families & kinds[kind].family) && kinds[kind].family != SOCKOPT_UNIX)
			continue;
		if (row->level != SOL_SOCKET && kinds[kind].family == SOCKOPT_UNIX)
			continue;
		enum answer answer = ask(kinds[kind].domain, row);
		add_name(&by_answer[answer], row->name);
		if (row->families & kinds[kind].family && !agrees(row, kinds[kind].family, answer))
			add_name(&different, row->name);
	}
	for (enum answer answer = 0; answer < ANSWERS; answer++)
		if (by_answer[answer].count)
			printf("| %s | %s | %u | %s |\n", kinds[kind].name, words[answer],
			       by_answer[answer].count, by_answer[answer].text);
	printf("| %s | differs from our table | %u | %s |\n", kinds[kind].name, different.count,
	       different.text);
}

/* Of the descriptor rather than the socket. */
static void ask_flags(void)
{
	auto_close int listener = new_listener(AF_INET, 0);

	fcntl(listener, F_SETFL, O_NONBLOCK);
	fcntl(listener, F_SETFD, FD_CLOEXEC);
	auto_close int client = new_client(listener);
	if (client < 0)
		err(EXIT_FAILURE, "connect");
	auto_close int accepted = accept(listener, NULL, NULL);
	printf("| TCP, IPv4 | O_NONBLOCK, FD_CLOEXEC | 2 | %s, %s |\n",
	       fcntl(accepted, F_GETFL) & O_NONBLOCK ? words[INHERITED] : words[NOT_INHERITED],
	       fcntl(accepted, F_GETFD) & FD_CLOEXEC ? words[INHERITED] : words[NOT_INHERITED]);
}

void fact_inherit(void)
{
	printf("| socket | accept() | options | which |\n|---|---|---|---|\n");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		ask_table(i);
	ask_flags();
}
