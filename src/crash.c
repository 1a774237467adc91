/* SPDX-License-Identifier: MIT */
/*
 * See crash.h. The only signal handler there is. It may have interrupted any line of the thread,
 * with locks held and the heap broken: it looks at the note of the thread, at constants and at what
 * the kernel says, and calls system calls alone.
 *
 * The notes of other threads are read without asking them: a note that changes meanwhile is a wrong
 * line, but a line, since all of its strings outlive it. There are too many threads to name more
 * than the first.
 *
 * A note is read by the thread that wrote it. The compiler has to have stored it before it calls a
 * function that it cannot see into, such as a callback.
 */
#include "crash.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

#define HANDLER_STACK 16384 /* for the handler, beyond what the kernel puts there */
#define THREADS_MAX   256
#define PATIENCE_MS   1000 /* with a reader of stderr that does not read */

struct line {
	char text[640];
	size_t length;
};

_Thread_local struct crash_place crash_place;

static const struct {
	int number;
	const char *name;
} faults[] = {
	{ SIGSEGV, "SIGSEGV" }, { SIGBUS, "SIGBUS" },   { SIGFPE, "SIGFPE" },
	{ SIGILL, "SIGILL" },   { SIGABRT, "SIGABRT" },
};

/* Free where `place` is NULL. */
static struct {
	_Atomic(const struct crash_place *) place;
	pid_t id;
} threads[THREADS_MAX];

static _Thread_local void *stack;
static const char *prefix = "simple-server: ";

static void put(struct line *line, const char *text)
{
	while (*text && line->length < sizeof(line->text) - 1) /* keeps room for the newline */
		line->text[line->length++] = *text++;
}

static void put_number(struct line *line, uint64_t n, unsigned base)
{
	char digits[21], *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do
		*--at = "0123456789abcdef"[n % base];
	while (n /= base);
	put(line, at);
}

static void put_signal(struct line *line, int number)
{
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		if (faults[i].number == number)
			put(line, faults[i].name);
}

static void put_handler(struct line *line, const struct crash_place *place)
{
	if (place->callback) {
		put(line, place->callback);
		put(line, "() of ");
	}
	put(line, "handler ");
	put(line, place->handler);
	if (!place->socket && !place->connection)
		return;
	put(line, " (");
	if (place->socket) {
		put(line, "socket ");
		put(line, place->socket);
	}
	if (place->connection) {
		put(line, place->socket ? ", connection " : "connection ");
		put_number(line, place->connection, 10);
	}
	put(line, ")");
}

static void put_thread(struct line *line)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name);
	put(line, "thread ");
	put(line, name);
}

/* /proc/self/task/ID/comm; where that cannot be read, the number. */
static void put_name_of(struct line *line, pid_t id)
{
	struct line path = { .length = 0 };
	char name[16];

	put(&path, "/proc/self/task/");
	put_number(&path, (uint64_t)id, 10);
	put(&path, "/comm");
	path.text[path.length] = '\0';
	int fd = open(path.text, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof(name));
	close_fd(fd);
	put(line, "thread ");
	if (n > 0) {
		name[n - 1] = '\0'; /* the newline */
		put(line, name);
	} else {
		put_number(line, (uint64_t)id, 10);
	}
}

/* Where the kernel says it was: not of abort() and kill(2), nor of an address it does not know. */
static void put_address(struct line *line, const siginfo_t *info)
{
	if (info->si_code <= 0 || info->si_code == SI_KERNEL)
		return;
	put(line, ", at address 0x");
	put_number(line, (uintptr_t)info->si_addr, 16);
}

/* A journald that has stalled must not keep the process from its restart. */
static bool write_out(const struct line *line)
{
	struct pollfd fd = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&fd, 1, PATIENCE_MS) == 1 &&
	       write(STDERR_FILENO, line->text, line->length) >= 0;
}

static void tell_others(void)
{
	for (size_t i = 0; i < THREADS_MAX; i++) {
		const struct crash_place *place = atomic_load(&threads[i].place);
		struct line line = { .length = 0 };
		if (!place || place == &crash_place || !place->handler)
			continue;
		put(&line, prefix);
		put_name_of(&line, threads[i].id);
		put(&line, " is in ");
		put_handler(&line, place);
		line.text[line.length++] = '\n';
		if (!write_out(&line))
			return;
	}
}

/*
 * The same signal again, with all that the kernel said of it, for the thread and the line of code
 * that had it first: it comes as soon as the handler returns, since it is blocked until then.
 */
static void take_its_course(int number, siginfo_t *info)
{
	signal(number, SIG_DFL);
	if (syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), number, info) < 0)
		raise(number);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	struct line line = { .length = 0 };

	(void)context;
	put(&line, prefix);
	put_signal(&line, number);
	put(&line, " in ");
	if (crash_place.handler)
		put_handler(&line, &crash_place);
	else
		put_thread(&line);
	put_address(&line, info);
	put(&line, "; the process ends");
	line.text[line.length++] = '\n';
	/* SI_USER: of kill(2), not of abort(). */
	if (write_out(&line) && number == SIGABRT && info->si_code == SI_USER)
		tell_others();
	take_its_course(number, info);
}

void crash_install(bool with_prefix)
{
	/* A fault of the handler itself is blocked as well, and then the kernel ends the process.
	 */
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	if (CRASH_BY_SANITIZER)
		return;
	if (with_prefix)
		prefix = "<2>";
	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		sigaction(faults[i].number, &action, NULL);
}

static void enter_list(void)
{
	const struct crash_place *none;

	for (size_t i = 0; i < THREADS_MAX; i++) {
		none = NULL;
		if (!atomic_compare_exchange_strong(&threads[i].place, &none, &crash_place))
			continue;
		threads[i].id = gettid();
		return;
	}
}

static void leave_list(void)
{
	for (size_t i = 0; i < THREADS_MAX; i++)
		if (atomic_load(&threads[i].place) == &crash_place)
			atomic_store(&threads[i].place, NULL);
}

int crash_enter_thread(void)
{
	stack_t alternate = { .ss_size = (size_t)sysconf(_SC_MINSIGSTKSZ) + HANDLER_STACK };

	if (CRASH_BY_SANITIZER)
		return 0;
	enter_list();
	stack = alternate.ss_sp = malloc(alternate.ss_size);
	if (!stack)
		return -ENOMEM;
	if (sigaltstack(&alternate, NULL) == 0)
		return 0;
	int r = -errno;
	free(steal(&stack));
	return r;
}

void crash_leave_thread(void)
{
	stack_t none = { .ss_flags = SS_DISABLE };

	leave_list();
	if (!stack)
		return;
	sigaltstack(&none, NULL);
	free(steal(&stack));
}
