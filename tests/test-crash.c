/* SPDX-License-Identifier: MIT */
/* A crash leaves one line that names what the thread was doing, and ends the process by the very
 * signal that it had. Each crash is one of a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "crash.h"
#include "util.h"

#define PLACE                                                                                      \
	(struct crash_place)                                                                       \
	{                                                                                          \
		"lines", "web", "data", 7                                                          \
	}

static char output[4096];

/* Runs `crash` in a child, with its stderr as `fd`; returns the signal that ended it, or 0. */
static int signal_of(void (*crash)(void), int fd)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		const struct rlimit no_core = { 0, 0 };
		setrlimit(RLIMIT_CORE, &no_core);
		prctl(PR_SET_NAME, "main-thread");
		dup2(fd, STDERR_FILENO);
		crash_install(false);
		if (crash_enter_thread() == 0)
			crash();
		_exit(1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* The same, with what the child wrote in `output`. */
static int crashed(void (*crash)(void))
{
	int pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	int number = signal_of(crash, pipes[1]);
	close_fd(pipes[1]);
	ssize_t n = read(pipes[0], output, sizeof(output) - 1);
	assert_true(n >= 0);
	output[n] = '\0';
	close_fd(pipes[0]);
	return number;
}

/* 0x123, from where nothing can be read; the compiler must not know. */
static void touch_nothing(void)
{
	volatile uintptr_t nowhere = 0x123;

	*(volatile char *)nowhere = 1;
}

static void fault_in_a_callback(void)
{
	crash_place = PLACE;
	touch_nothing();
}

static void fault_names_the_callback(void **state)
{
	(void)state;
	assert_int_equal(crashed(fault_in_a_callback), SIGSEGV);
	assert_string_equal(output,
			    "simple-server: SIGSEGV in data() of handler lines (socket web, "
			    "connection 7), at address 0x123; the process ends\n");
}

static void fault_under_the_journal(void)
{
	crash_install(true);
	fault_in_a_callback();
}

static void priority_is_for_the_journal_alone(void **state)
{
	(void)state;
	assert_int_equal(crashed(fault_under_the_journal), SIGSEGV);
	assert_string_equal(output, "<2>SIGSEGV in data() of handler lines (socket web, "
				    "connection 7), at address 0x123; the process ends\n");
}

static void fault_without_a_socket(void)
{
	crash_place = (struct crash_place){ .handler = "lines", .callback = "load" };
	abort();
}

static void fault_without_a_connection(void)
{
	crash_place = (struct crash_place){ .handler = "lines", .socket = "web" };
	abort();
}

static void fault_without_a_name(void)
{
	crash_place = (struct crash_place){ .handler = "lines", .connection = UINT64_MAX };
	abort();
}

static void what_is_not_known_is_left_out(void **state)
{
	(void)state;
	assert_int_equal(crashed(fault_without_a_socket), SIGABRT);
	assert_string_equal(output, "simple-server: SIGABRT in load() of handler lines; "
				    "the process ends\n");
	assert_int_equal(crashed(fault_without_a_connection), SIGABRT);
	assert_string_equal(output, "simple-server: SIGABRT in handler lines (socket web); "
				    "the process ends\n");
	assert_int_equal(crashed(fault_without_a_name), SIGABRT);
	assert_string_equal(output, "simple-server: SIGABRT in handler lines (connection "
				    "18446744073709551615); the process ends\n");
}

static void fault_elsewhere(void)
{
	touch_nothing();
}

static void without_a_handler_it_is_the_thread(void **state)
{
	(void)state;
	assert_int_equal(crashed(fault_elsewhere), SIGSEGV);
	assert_string_equal(output, "simple-server: SIGSEGV in thread main-thread, at address "
				    "0x123; the process ends\n");
}

static void raise_sigsegv(void)
{
	raise(SIGSEGV);
}

static void raise_sigbus(void)
{
	raise(SIGBUS);
}

static void raise_sigfpe(void)
{
	raise(SIGFPE);
}

static void raise_sigill(void)
{
	raise(SIGILL);
}

static void sent_signals_have_no_address(void **state)
{
	static const struct {
		void (*crash)(void);
		int number;
		const char *name;
	} cases[] = {
		{ raise_sigsegv, SIGSEGV, "SIGSEGV" }, { raise_sigbus, SIGBUS, "SIGBUS" },
		{ raise_sigfpe, SIGFPE, "SIGFPE" },    { raise_sigill, SIGILL, "SIGILL" },
		{ abort, SIGABRT, "SIGABRT" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char expected[128];
		assert_int_equal(crashed(cases[i].crash), cases[i].number);
		snprintf(expected, sizeof(expected),
			 "simple-server: %s in thread main-thread; the process ends\n",
			 cases[i].name);
		assert_string_equal(output, expected);
	}
}

/* A page of a mapping that the file behind it does not reach. */
static void read_beyond_a_file(void)
{
	int fd = memfd_create("empty", MFD_CLOEXEC);
	volatile char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	if (page != MAP_FAILED)
		(void)*page;
}

static void divide_by_zero(void)
{
#ifdef __x86_64__
	__asm__ volatile("xor %%eax, %%eax; cltd; idiv %%eax" : : : "eax", "edx", "cc");
#endif
}

static void run_no_instruction(void)
{
#ifdef __x86_64__
	__asm__ volatile("ud2");
#endif
}

/* x86 does not tell what address it was if there can be none such. */
static void touch_no_address(void)
{
#ifdef __x86_64__
	volatile uintptr_t no_address = UINT64_C(1) << 63;

	*(volatile char *)no_address = 1;
#endif
}

/* Two of them have no portable form. */
static void faults_of_the_machine(void **state)
{
	(void)state;
	assert_int_equal(crashed(read_beyond_a_file), SIGBUS);
	assert_non_null(strstr(output, ": SIGBUS in thread main-thread, at address 0x"));
#ifdef __x86_64__
	assert_int_equal(crashed(divide_by_zero), SIGFPE);
	assert_non_null(strstr(output, ": SIGFPE in thread main-thread, at address 0x"));
	assert_int_equal(crashed(run_no_instruction), SIGILL);
	assert_non_null(strstr(output, ": SIGILL in thread main-thread, at address 0x"));
	assert_int_equal(crashed(touch_no_address), SIGSEGV);
	assert_string_equal(output,
			    "simple-server: SIGSEGV in thread main-thread; the process ends\n");
#endif
}

static volatile int depth;

/* Too deep for any stack; both ends of the frame are used, so that it cannot be left out. */
static int dive(int n)
{
	volatile char frame[4096];

	frame[0] = (char)n;
	if (++depth == 0)
		return 0;
	frame[sizeof(frame) - 1] = (char)dive(n + 1);
	return frame[0] + frame[sizeof(frame) - 1];
}

static void dive_in_a_callback(void)
{
	crash_place = PLACE;
	dive(0);
}

static void *be_a_thread(void *crash)
{
	prctl(PR_SET_NAME, "worker-3");
	if (crash_enter_thread() == 0)
		((void (*)(void))crash)();
	crash_leave_thread();
	return NULL;
}

static void in_a_thread(void (*crash)(void))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, be_a_thread, (void *)crash) == 0)
		pthread_join(thread, NULL);
}

static void dive_in_a_thread(void)
{
	in_a_thread(dive_in_a_callback);
}

static void overflow_of_the_stack(void **state)
{
	(void)state;
	assert_int_equal(crashed(dive_in_a_callback), SIGSEGV);
	assert_non_null(strstr(output, ": SIGSEGV in data() of handler lines (socket web, "));
	assert_int_equal(crashed(dive_in_a_thread), SIGSEGV);
	assert_non_null(strstr(output, ": SIGSEGV in data() of handler lines (socket web, "));
}

static void fault_in_a_thread(void)
{
	crash_place = PLACE; /* of this thread, not of the one that crashes */
	in_a_thread(fault_elsewhere);
}

static void notes_belong_to_the_thread(void **state)
{
	(void)state;
	assert_int_equal(crashed(fault_in_a_thread), SIGSEGV);
	assert_string_equal(output, "simple-server: SIGSEGV in thread worker-3, at address "
				    "0x123; the process ends\n");
}

static void do_nothing(void)
{
}

/* Says where it is, and stays there. */
static void *stay_in_a_callback(void *entered)
{
	crash_enter_thread();
	crash_place = PLACE;
	prctl(PR_SET_NAME, "worker-7");
	sem_post(entered);
	pause();
	return NULL;
}

static void *stay_in_none(void *entered)
{
	crash_enter_thread();
	sem_post(entered);
	pause();
	return NULL;
}

static void start_thread(void *(*stay)(void *entered))
{
	pthread_t thread;
	sem_t entered;

	sem_init(&entered, 0, 0);
	pthread_create(&thread, NULL, stay, &entered);
	while (sem_wait(&entered) < 0)
		;
}

static void killed_among_threads(void)
{
	start_thread(stay_in_none);
	start_thread(stay_in_a_callback);
	kill(getpid(), SIGABRT);
	pause();
}

static void aborted_among_threads(void)
{
	start_thread(stay_in_a_callback);
	abort();
}

static void abort_from_outside_names_all_threads(void **state)
{
	(void)state;
	assert_int_equal(crashed(killed_among_threads), SIGABRT);
	assert_string_equal(output, "simple-server: SIGABRT in thread main-thread; "
				    "the process ends\n"
				    "simple-server: thread worker-7 is in data() of handler lines "
				    "(socket web, connection 7)\n");
	assert_int_equal(crashed(aborted_among_threads), SIGABRT);
	assert_string_equal(output,
			    "simple-server: SIGABRT in thread main-thread; the process ends\n");
}

/* The second stack is gone with the thread, and with it the line; the signal is not. */
static void enter_and_leave(void)
{
	for (int i = 0; i < 100; i++)
		in_a_thread(do_nothing);
	crash_leave_thread();
	crash_leave_thread();
	dive(0);
}

static void threads_enter_and_leave(void **state)
{
	(void)state;
	assert_int_equal(crashed(enter_and_leave), SIGSEGV);
	assert_string_equal(output, "");
}

#define CRASHING 4

static pthread_barrier_t together;

static void *fault_at_once(void *unused)
{
	(void)unused;
	pthread_barrier_wait(&together);
	touch_nothing();
	return NULL;
}

static void fault_in_several(void)
{
	pthread_t threads[CRASHING];

	pthread_barrier_init(&together, NULL, CRASHING);
	for (int i = 0; i < CRASHING; i++)
		pthread_create(&threads[i], NULL, fault_at_once, NULL);
	for (int i = 0; i < CRASHING; i++)
		pthread_join(threads[i], NULL);
}

static void several_at_once_have_a_line_each_at_most(void **state)
{
	static const char line[] = "simple-server: SIGSEGV in thread main-thread, at address "
				   "0x123; the process ends\n";
	size_t n = 0;

	(void)state;
	assert_int_equal(crashed(fault_in_several), SIGSEGV);
	for (const char *at = output; *at; at += sizeof(line) - 1, n++)
		assert_memory_equal(at, line, sizeof(line) - 1);
	assert_in_range(n, 1, CRASHING);
}

static void fault_with_a_broken_note(void)
{
	crash_place = PLACE;
	crash_place.handler = (const char *)(uintptr_t)0x123;
	abort();
}

static void fault_of_the_handler_ends_it_too(void **state)
{
	(void)state;
	assert_int_equal(crashed(fault_with_a_broken_note), SIGSEGV);
	assert_string_equal(output, "");
}

/* A journald that does not read: the line is lost, the end is not put off for long. */
static void reader_that_stalls(void **state)
{
	char full[4096] = { 0 };
	int pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	while (write(pipes[1], full, sizeof(full)) > 0)
		;
	assert_int_equal(fcntl(pipes[1], F_SETFL, 0), 0);
	assert_int_equal(signal_of(fault_in_a_callback, pipes[1]), SIGSEGV);
	close_fd(pipes[1]);
	close_fd(pipes[0]);
}

/* As a sandbox may have one that knows nothing of rt_tgsigqueueinfo(2). */
static void fault_under_a_filter(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_tgsigqueueinfo, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { ARRAY_SIZE(code), code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
		raise(SIGSEGV);
}

static void filter_of_system_calls(void **state)
{
	(void)state;
	assert_int_equal(crashed(fault_under_a_filter), SIGSEGV);
	assert_string_equal(output, "simple-server: SIGSEGV in thread main-thread; "
				    "the process ends\n");
}

static void long_names(void)
{
	static char name[5000];

	memset(name, 'x', sizeof(name) - 1);
	crash_place = (struct crash_place){ name, name, name, 1 };
	abort();
}

static void line_is_bounded(void **state)
{
	(void)state;
	assert_int_equal(crashed(long_names), SIGABRT);
	assert_in_range(strlen(output), 512, 640);
	assert_int_equal(output[strlen(output) - 1], '\n');
}

/* Where it is a sanitizer that reports crashes, what it has installed stays. */
static void sanitizers_keep_their_own(void **state)
{
	struct sigaction before, after;
	stack_t stack_before, stack_after;

	(void)state;
	sigaction(SIGSEGV, NULL, &before);
	sigaltstack(NULL, &stack_before);
	crash_install(false);
	assert_int_equal(crash_enter_thread(), 0);
	crash_leave_thread();
	sigaction(SIGSEGV, NULL, &after);
	sigaltstack(NULL, &stack_after);
	assert_ptr_equal(before.sa_sigaction, after.sa_sigaction);
	assert_ptr_equal(stack_before.ss_sp, stack_after.ss_sp);
}

int main(void)
{
	const struct CMUnitTest sanitized[] = { cmocka_unit_test(sanitizers_keep_their_own) };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fault_names_the_callback),
		cmocka_unit_test(priority_is_for_the_journal_alone),
		cmocka_unit_test(what_is_not_known_is_left_out),
		cmocka_unit_test(without_a_handler_it_is_the_thread),
		cmocka_unit_test(sent_signals_have_no_address),
		cmocka_unit_test(faults_of_the_machine),
		cmocka_unit_test(overflow_of_the_stack),
		cmocka_unit_test(notes_belong_to_the_thread),
		cmocka_unit_test(abort_from_outside_names_all_threads),
		cmocka_unit_test(threads_enter_and_leave),
		cmocka_unit_test(several_at_once_have_a_line_each_at_most),
		cmocka_unit_test(fault_of_the_handler_ends_it_too),
		cmocka_unit_test(reader_that_stalls),
		cmocka_unit_test(filter_of_system_calls),
		cmocka_unit_test(line_is_bounded),
	};

	if (CRASH_BY_SANITIZER)
		return cmocka_run_group_tests(sanitized, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
