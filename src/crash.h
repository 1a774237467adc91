/* SPDX-License-Identifier: MIT */
/*
 * The last words of the process. When a thread gets a signal that means a fault of the program
 * (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT), one line on stderr names what the thread was doing;
 * then the signal takes its course as if there were no handler: the exit status, the core dump and
 * what systemd makes of them are the same. A SIGABRT that another process has sent, as systemd does
 * when its watchdog has had enough, is no fault of the thread that happens to get it: more lines
 * then say where the others are.
 *
 * Who calls foreign code notes it in crash_place before, and takes the note away after; it belongs
 * to the thread. Main installs the handlers once; each thread that is to survive an overflow of its
 * stack for as long as the line takes enters, and leaves at its end.
 */
#ifndef SIMPLE_SERVER_CRASH_H
#define SIMPLE_SERVER_CRASH_H

#include <stdbool.h>
#include <stdint.h>

/*
 * 1: the sanitizers report crashes themselves, on alternate stacks of their own, and nothing is
 * installed.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CRASH_BY_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(memory_sanitizer)
#define CRASH_BY_SANITIZER 1
#endif
#endif
#ifndef CRASH_BY_SANITIZER
#define CRASH_BY_SANITIZER 0
#endif

/* Strings that outlive the note, or NULL; without a handler the line names the thread. */
struct crash_place {
	const char *handler, *socket, *callback;
	uint64_t connection; /* 0: none */
};

extern _Thread_local struct crash_place crash_place;

/* Before foreign code is called, and after it: crash_place is what it was. */
static inline struct crash_place crash_enter(const char *handler, const char *socket,
					     const char *callback, uint64_t connection)
{
	struct crash_place outer = crash_place;

	crash_place = (struct crash_place){
		.handler = handler, .socket = socket, .callback = callback, .connection = connection
	};
	return outer;
}

static inline void crash_leave(const struct crash_place *outer)
{
	crash_place = *outer;
}

/* `prefix`: stderr is a stream of the journal, the priority goes in front of the line. */
void crash_install(bool prefix);

/* Gives the calling thread an alternate stack, and takes it back; 0 or -errno. */
int crash_enter_thread(void);
void crash_leave_thread(void);

#endif
