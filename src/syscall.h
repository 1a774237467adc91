/* SPDX-License-Identifier: MIT */
/*
 * The three system calls that a request is made of. The C library's functions are cancellation
 * points, which costs 30 to 40 instructions for each call in a process with threads, and syscall(2)
 * moves seven arguments about for 18; a request has no more than 110 in all. Nothing here is ever
 * cancelled.
 *
 * They return what the kernel returns: a result, or -errno. errno is not touched. Any thread.
 */
#ifndef SIMPLE_SERVER_SYSCALL_H
#define SIMPLE_SERVER_SYSCALL_H

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* The sanitizers see a system call only through the C library's function. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SYSCALL_BY_LIBC 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__x86_64__) ||       \
	defined(__ILP32__)
#define SYSCALL_BY_LIBC 1
#endif

/*
 * Drops up to `length` bytes of a TCP socket unseen: tcp(7), MSG_TRUNC. Never by recv(), of which
 * the sanitizers believe that it writes to its buffer, and here is none.
 */
static inline ssize_t sys_discard(int fd, size_t length)
{
	long n = syscall(SYS_recvfrom, fd, NULL, length, MSG_TRUNC, NULL, NULL);

	return n < 0 ? -errno : n;
}

#ifdef SYSCALL_BY_LIBC

static inline ssize_t sys_recv(int fd, void *bytes, size_t length)
{
	ssize_t n = recv(fd, bytes, length, 0);

	return n < 0 ? -errno : n;
}

static inline ssize_t sys_send(int fd, const void *bytes, size_t length)
{
	ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}

static inline int sys_epoll_wait(int fd, struct epoll_event *events, int most, int timeout_ms)
{
	int n = epoll_wait(fd, events, most, timeout_ms);

	return n < 0 ? -errno : n;
}

#else

/* The x86-64 kernel interface, syscall(2): arguments in these registers, rcx and r11 are lost. */
static inline long syscall_6(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "+a"(number)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return number;
}

static inline ssize_t sys_recv(int fd, void *bytes, size_t length)
{
	return syscall_6(SYS_recvfrom, fd, (long)bytes, (long)length, 0, 0, 0);
}

static inline ssize_t sys_send(int fd, const void *bytes, size_t length)
{
	return syscall_6(SYS_sendto, fd, (long)bytes, (long)length, MSG_NOSIGNAL, 0, 0);
}

static inline int sys_epoll_wait(int fd, struct epoll_event *events, int most, int timeout_ms)
{
	return (int)syscall_6(SYS_epoll_wait, fd, (long)events, most, timeout_ms, 0, 0);
}

#endif

#endif
