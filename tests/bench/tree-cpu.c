/* SPDX-License-Identifier: MIT */
#include <err.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tree-cpu.h"

/* A process may end at any moment; what is gone has no time, and its parent has it. */
static uint64_t own(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* cutime and cstime, the 16th and 17th field of stat; the 2nd, a name, may hold anything. */
static uint64_t reaped(pid_t pid)
{
	char path[64], line[1024];
	uint64_t user, system;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	const char *rest = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	if (!rest || sscanf(rest, ") %*c%*d%*d%*d%*d%*d%*u%*u%*u%*u%*u%*u%*u %" SCNu64 " %" SCNu64,
			    &user, &system) != 2)
		return 0;
	return (user + system) * 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
}

static uint64_t process(pid_t pid);

static uint64_t children_of_task(const char *children)
{
	uint64_t sum = 0;
	pid_t child;
	FILE *file = fopen(children, "re");

	while (file && fscanf(file, "%d", &child) == 1)
		sum += process(child);
	if (file)
		fclose(file);
	return sum;
}

/* The reaped first: who is reaped meanwhile is missed once, which is better than counted twice. */
static uint64_t process(pid_t pid)
{
	char pattern[64];
	uint64_t sum = reaped(pid) + own(pid);
	glob_t tasks;

	snprintf(pattern, sizeof(pattern), "/proc/%d/task/*/children", pid);
	if (glob(pattern, 0, NULL, &tasks))
		return sum;
	for (size_t i = 0; i < tasks.gl_pathc; i++)
		sum += children_of_task(tasks.gl_pathv[i]);
	globfree(&tasks);
	return sum;
}

uint64_t tree_cpu(pid_t pid)
{
	clockid_t clock;

	if (!pid)
		return 0;
	if (clock_getcpuclockid(pid, &clock))
		errx(EXIT_FAILURE, "no process %d", pid);
	return process(pid);
}
