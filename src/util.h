/* SPDX-License-Identifier: MIT */
/*
 * Small idioms that every file uses: owners found from members, locals that clean themselves, and
 * ownership that is handed over in a visible way.
 */
#ifndef SIMPLE_SERVER_UTIL_H
#define SIMPLE_SERVER_UTIL_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Seldom called from code that runs for each request: inlined there it would cost registers. */
#define slow_path __attribute__((noinline))

/* cleanup(f): f(&variable) runs when the variable leaves its scope. */
#define cleanup(f) __attribute__((cleanup(f)))

static inline void free_p(void *p)
{
	free(*(void **)p);
}

/* Closes fd unless it is -1; errno is kept; always returns -1, so that `fd = close_fd(fd)` resets.
 */
static inline int close_fd(int fd)
{
	if (fd >= 0) {
		int saved = errno;
		close(fd);
		errno = saved;
	}
	return -1;
}

static inline void close_fd_p(int *fd)
{
	close_fd(*fd);
}

#define auto_free  cleanup(free_p)
#define auto_close cleanup(close_fd_p)

/* Hands over what a cleaned local owns: the local is empty afterwards. */
#define steal(p)                                                                                   \
	({                                                                                         \
		__auto_type stolen_ = *(p);                                                        \
		*(p) = NULL;                                                                       \
		stolen_;                                                                           \
	})

static inline int steal_fd(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

#endif
