/* SPDX-License-Identifier: MIT */
/*
 * simple-server.h - what a handler may use.
 *
 * A handler is the protocol: bytes of a connection come in by callbacks, bytes go out by calls. The
 * server does the rest: activation, threads, socket options, limits, time-outs, closing, the
 * journal. The built-in handlers are written against this header alone; a module is one more
 * handler, in a shared object: see SS_MODULE() and simple-server-handler(3).
 *
 * Threads: a connection belongs to one worker from its first callback to its last; all callbacks of
 * a connection run in that thread, one after the other, and every call that takes a connection must
 * be made there, from within a callback of that worker. Two connections may run at the same time in
 * different threads: what a handler shares between connections it must protect itself, or keep for
 * each worker. A callback must not block; what blocks goes to the pool: ss_offload().
 *
 * The life of a connection:
 *
 *      open ──► data, data, ... ──► eof ──► close
 *        │        writable                    ▲
 *        │        timer                       │
 *        │        done (of ss_offload)        │
 *        └────────────── ss_close() ──────────┘
 *
 * `close` is called exactly once for each `open` that returned 0, and nothing after it.
 *
 * Time is in milliseconds. Errors are -errno.
 */
#ifndef SIMPLE_SERVER_H
#define SIMPLE_SERVER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SS_EXPORT           __attribute__((visibility("default")))
#define SS_FORMAT(at, from) __attribute__((format(printf, at, from)))
#else
#define SS_EXPORT
#define SS_FORMAT(at, from)
#endif

/*
 * The version of the binary interface. It stays 1 as long as what was compiled against an older
 * header of that number runs: callbacks are only ever added at the end of struct ss_handler, whose
 * size tells how much of it a module knows; the rest counts as NULL. A module of a newer header
 * runs as long as what this server does not know is NULL; else it is refused.
 */
#define SS_ABI 1

/* Most bytes that may stay unconsumed; a handler that then consumes nothing loses the connection.
 */
#define SS_INPUT_MAX 65536

/* Most bytes that freeze() may save. */
#define SS_FROZEN_MAX 65536

struct ss_connection;
struct ss_service; /* an entry of `sockets` in the file */
struct ss_worker;  /* a thread that serves connections, as one service sees it */
struct ss_blob;

/* Why a connection ended. More may be added at the end. */
enum ss_reason {
	SS_PEER_CLOSED,    /* the peer finished, and so did we: the ordinary end */
	SS_HANDLER_CLOSED, /* ss_close(); what was queued was delivered to the kernel */
	SS_LINGER_TIMEOUT, /* ss_close(), but the peer did not finish in time */
	SS_RESET,          /* the peer, or something on the way, broke it off */
	SS_PEER_TIMEOUT,   /* keepalive or tcp_user_timeout gave the peer up */
	SS_REFUSED,        /* open() returned an error */
	SS_INPUT_FULL,     /* data() left more than SS_INPUT_MAX bytes */
	SS_NO_MEMORY,
	SS_OUTPUT_FULL,         /* more waited than limits.output or max_output allow */
	SS_FIRST_BYTE_TIMEOUT,  /* the peer sent nothing at all in time */
	SS_IDLE_TIMEOUT,        /* nothing came and nothing went for too long */
	SS_WRITE_TIMEOUT,       /* bytes waited and the peer took none in time */
	SS_LIFETIME,            /* it was open for as long as it may */
	SS_DRAIN,               /* the server stopped */
	SS_ERROR,               /* any other error of the socket */
	SS_MISUSE,              /* the handler broke a rule of this interface */
	SS_CONNECT_FAILED,      /* no target could be reached */
	SS_HALF_CLOSED_TIMEOUT, /* joined; one side had finished and nothing moved for too long */
};

enum ss_flags {
	SS_SPEAKS_FIRST = 1 << 0, /* sends before it has received: tcp_defer_accept does not fit */
	SS_OFFLOADS = 1 << 1,     /* calls ss_offload(): the pool is started */
	SS_CONNECTS = 1 << 2,     /* calls ss_connect(): a connection may have a second leg */
	/*
	 * A connection of it is its bytes and nothing else; there is no state. It goes on in
	 * another process, after a restart or a crash, without open() or thaw().
	 */
	SS_STATELESS = 1 << 3,
};

/*
 * A key of the handler's own, for the group `settings` of an entry of `sockets`: see the macros
 * below. The server reads it, checks it and reports what is wrong as for its own keys.
 */
enum ss_key_type {
	SS_KEY_BOOL,    /* bool or int */
	SS_KEY_INTEGER, /* int or int64_t */
	SS_KEY_SECONDS, /* seconds with a fraction in the file; ms in an int or int64_t */
	SS_KEY_WORD,    /* one of `words`; its index in an int */
	SS_KEY_STRING,  /* const char *, printable ASCII, or NULL; owned by the server */
};

struct ss_key {
	const char *name;
	enum ss_key_type type;
	size_t offset, size;      /* of the member that it sets, in the handler's settings */
	int64_t min, max;         /* of numbers, SS_KEY_SECONDS in ms; of the length of strings */
	int64_t initial;          /* what holds where the file says nothing */
	const char *string;       /* the same, of SS_KEY_STRING */
	const char *unit;         /* "bytes", ...; "" for none */
	const char *const *words; /* of SS_KEY_WORD; ends with NULL */
	const char *help;         /* one line */
	const void *reserved[4];  /* NULL */
};

#define SS_KEY_(type, name, kind, min, max, initial, string, unit, words, help)                    \
	{                                                                                          \
		"" #name, kind, offsetof(type, name), sizeof(((type *)0)->name), (min), (max),     \
			(initial), (string), (unit), (words), (help),                              \
		{                                                                                  \
			NULL, NULL, NULL, NULL                                                     \
		}                                                                                  \
	}

/*
 * Rows of a table of keys. `type` is the struct that the handler keeps its settings in, `name` its
 * member and the key. The table ends with SS_NO_MORE_KEYS.
 */
#define SS_BOOL(type, name, initial, help)                                                         \
	SS_KEY_(type, name, SS_KEY_BOOL, 0, 1, initial, NULL, "", NULL, help)
#define SS_INTEGER(type, name, min, max, initial, unit, help)                                      \
	SS_KEY_(type, name, SS_KEY_INTEGER, min, max, initial, NULL, unit, NULL, help)
#define SS_SECONDS(type, name, min_ms, max_ms, initial_ms, help)                                   \
	SS_KEY_(type, name, SS_KEY_SECONDS, min_ms, max_ms, initial_ms, NULL, "s", NULL, help)
#define SS_WORD(type, name, words, initial, help)                                                  \
	SS_KEY_(type, name, SS_KEY_WORD, 0, 0, initial, NULL, "", words, help)
#define SS_STRING(type, name, min, max, initial, help)                                             \
	SS_KEY_(type, name, SS_KEY_STRING, min, max, 0, initial, "", NULL, help)
#define SS_NO_MORE_KEYS                                                                            \
	{                                                                                          \
		NULL, SS_KEY_BOOL, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL,                          \
		{                                                                                  \
			NULL, NULL, NULL, NULL                                                     \
		}                                                                                  \
	}

struct ss_handler {
	size_t size;      /* sizeof(struct ss_handler) of whoever compiled this */
	unsigned int abi; /* SS_ABI */
	unsigned int flags;
	const char *name; /* for the journal, and for `handler = "..."` if built in; static */

	const struct ss_key *keys; /* NULL: it has no settings */
	size_t settings_size;      /* of the struct that the keys are members of */

	/* Names of what is counted by ss_count(), ends with NULL. NULL: nothing. */
	const char *const *counters;

	/*
	 * Looks at the settings of one section (NULL where settings_size is 0) for what the table
	 * cannot say, at the start and for --check: 0, or -errno with what is wrong and what would
	 * be right in `problem`, a buffer of `size` bytes; the message names the place in the file
	 * and the handler before it. It changes nothing. NULL: nothing to check.
	 */
	int (*check)(const void *settings, char *problem, size_t size);

	/*
	 * Once, before everything else but check(), in the main thread; for what all services
	 * share. 0, or -errno, and then the server does not start. NULL: nothing to do.
	 */
	int (*load)(void);

	/*
	 * Once for each entry of `sockets` with this handler: start() in the main thread, before
	 * the workers run; stop() there too, when the last connection has ended and the workers
	 * have gone. 0, or -errno, and then the server does not start. NULL: nothing to do.
	 */
	int (*start)(struct ss_service *service);
	void (*stop)(struct ss_service *service);

	/*
	 * The same for each worker: in its thread, before the first and after the last connection.
	 */
	int (*worker_start)(struct ss_worker *worker);
	void (*worker_stop)(struct ss_worker *worker);

	/*
	 * A new connection. May write, and may ss_close(). 0, or -errno to refuse it: then there is
	 * no close(), and what open() made it has released. NULL: nothing to do.
	 */
	int (*open)(struct ss_connection *connection);

	/*
	 * `length` > 0 bytes have come. Returns how many of them are done with; the rest is given
	 * again, together with what comes after it, or alone when what stood in the way has gone:
	 * see ss_ready(). The bytes are good until the callback returns. Required.
	 */
	size_t (*data)(struct ss_connection *connection, const void *bytes, size_t length);

	/*
	 * All that was queued has been taken over by the kernel: there is room again. Called after
	 * an ss_write() that had to queue, an ss_send_blob() that sent less, and
	 * ss_want_writable(). NULL: nothing to do.
	 */
	void (*writable)(struct ss_connection *connection);

	/*
	 * The peer has finished sending; nothing more will come. All that came was given to data();
	 * what that left is still there: ss_rest(). The other direction is open, so an answer can
	 * be written. NULL: ss_close().
	 */
	void (*eof)(struct ss_connection *connection);

	/* The time of ss_set_timer() has come. NULL: there is no timer. */
	void (*timer)(struct ss_connection *connection);

	/*
	 * The end: release the state. Of the calls below only ss_log(), ss_count() and those that
	 * ask are allowed in it. NULL: nothing to do.
	 */
	void (*close)(struct ss_connection *connection, enum ss_reason reason);

	/* ss_connect(): the leg is there (0), or -errno and there is none; another may be tried. */
	void (*connected)(struct ss_connection *connection, int error);

	/*
	 * Who the other end is, for the journal when the connection has ended: static, or as long
	 * as the connection. NULL: not said.
	 */
	const char *(*target)(const struct ss_connection *connection);

	/*
	 * The connection goes to another process, which may be of a later or an earlier version of
	 * this handler. Writes its state to `state`, at most `size` bytes (SS_FROZEN_MAX) and their
	 * number to *ret_length, and releases it as close() would, which is not called; what waits
	 * in the server's queues, unconsumed input, its timer and ss_discard() go along by
	 * themselves. 0; or -errno, and then the state is kept, and the connection ends as at a
	 * stop. NULL, and not SS_STATELESS: connections stay in this process until they end.
	 */
	int (*freeze)(struct ss_connection *connection, void *state, size_t size,
		      size_t *ret_length);

	/*
	 * In place of open(): the state of a connection that was frozen. It may have been closed by
	 * ss_close() before; then only close() follows. 0, or -errno to refuse it: a state of a
	 * version that it does not know, for one.
	 */
	int (*thaw)(struct ss_connection *connection, const void *state, size_t length);

	/*
	 * The file was loaded anew and says `settings`, which check() has seen and which are not
	 * those of ss_settings(). 0: from now on ss_settings() has these, in all threads; the
	 * former ones are good for callbacks that are running, until they return. -errno: the
	 * former ones stay until a restart, and the report of the reload says so. NULL: the same.
	 *
	 * In the main thread, while the workers run the other callbacks of this handler: what both
	 * touch they have to protect. Of the calls below those of a service are allowed in it, and
	 * ss_log() without a connection. It has not to wait for anything: no signal is seen, and no
	 * watchdog told, before it returns. All else about the reload is good by then.
	 */
	int (*reload)(struct ss_service *service, const void *settings);
};

/*
 * What a module exports: its handler. Exactly one line of the form SS_MODULE(my_handler); outside
 * of any function.
 */
SS_EXPORT const struct ss_handler *ss_module(void);
#define SS_MODULE(handler)                                                                         \
	const struct ss_handler *ss_module(void)                                                   \
	{                                                                                          \
		return &(handler);                                                                 \
	}                                                                                          \
	struct ss_handler

/*
 * Sends `length` bytes, or queues a copy of what the peer does not take now; never blocks. While
 * bytes are queued the connection is not read (no data(), no eof()), so that a peer which does not
 * take its answers is not served new ones; a source that goes on writing waits for writable().
 *
 * 0; or -errno, and then the connection ends after this callback: -ENOMEM, -ENOBUFS
 * (limits.output), -EPIPE (the peer has gone), -ECONNRESET and others of send(2). * After
 * ss_close() it is -EPIPE and a line in the journal, and the polite end goes on. To another
 * connection of the same worker it may be made as well, from any callback; -EPIPE says then that
 * this one is about to end.
 */
int ss_write(struct ss_connection *connection, const void *bytes, size_t length);

/* How many bytes are queued and not yet taken over by the kernel. */
size_t ss_queued(const struct ss_connection *connection);

/*
 * Whether to go on with what data() was given: not after ss_close() or ss_discard(), not while
 * bytes are queued, not while a job is under way. A handler that has several requests in its hands
 * asks between two of them and leaves the rest unconsumed; data() is called with it when the answer
 * is yes again.
 */
int ss_ready(const struct ss_connection *connection);

/*
 * In eof(): what data() has left unconsumed, a last line without its end, perhaps with half of it,
 * a CR. How many bytes, and in *ret_bytes where, good until eof() returns. In other callbacks 0.
 */
size_t ss_rest(const struct ss_connection *connection, const void **ret_bytes);

/*
 * Ends the connection politely: queued bytes still go out, then FIN; what the peer sends meanwhile
 * is read and dropped, for a bounded time, because closing with unread input would make the kernel
 * send a reset that can destroy the answer. There are no more data(), writable(), eof(), timer()
 * after it. Closing twice is closing.
 */
void ss_close(struct ss_connection *connection);

/*
 * From now on what the peer sends is dropped where it arrives: no data(), and on TCP the bytes are
 * not even copied out of the kernel. eof() still comes.
 */
void ss_discard(struct ss_connection *connection);

/*
 * Constant bytes that many connections send: kept once, in pages that the kernel sends from without
 * copying. The blob is for all threads, from load() or start() until the process ends. NULL with
 * errno set.
 */
struct ss_blob *ss_blob_new(const void *bytes, size_t length);

/*
 * Sends a part of a blob, as much as the peer takes now, and returns how much; nothing is queued.
 * When that is less than `length`, writable() comes when there is room; an error ends the
 * connection after this callback. Since nothing is queued, data() and eof() may come in between.
 */
size_t ss_send_blob(struct ss_connection *connection, const struct ss_blob *blob, size_t offset,
		    size_t length);

/*
 * Has writable() called in the next turn, when other connections have had theirs: for a handler
 * that produces without end.
 */
void ss_want_writable(struct ss_connection *connection);

/*
 * Has timer() called once, `in_ms` after ss_now() or later (a clock of 1 to 10 ms; a second more
 * where limits.bandwidth holds the connection back). Setting it again moves it; < 0 takes it back.
 * There is one for each connection. A handler without timer() may not.
 */
void ss_set_timer(struct ss_connection *connection, int64_t in_ms);

/* The time, in ms since some point in the past, as of this turn: the clock of the timers. */
int64_t ss_now(const struct ss_connection *connection);

/*
 * Has work(job) run in a thread of the pool, where it may block, and then done(connection, job) in
 * the worker of the connection. Meanwhile there is no data() and no eof(): requests are answered in
 * their order, and a client that sends faster than its jobs are done waits. Jobs begin in the order
 * in which they came; the queue has room for one of each connection, so it is never full.
 *
 * work() must not touch the connection, which may end at any time. done() is called in any case,
 * with NULL for a connection that ss_close() was called for or that has ended meanwhile: whoever
 * owns the job releases it there. So done() with a connection may always write, and may offload
 * again. timeouts.first_byte and .idle do not run during a job; the others do, and timer() comes. A
 * job that does not return when the server stops is given up with the process.
 *
 * 0; or -errno, and then neither is called: -EBUSY (one job at a time for each connection),
 * -ENOMEM, -EPIPE (ss_close() was called). The handler has the flag SS_OFFLOADS.
 */
int ss_offload(struct ss_connection *connection, void (*work)(void *job),
	       void (*done)(struct ss_connection *connection, void *job), void *job);

/*
 * No data() and no eof() until ss_resume(), which has data() called again with what waits. What the
 * peer sends meanwhile stays in the kernel.
 */
void ss_pause(struct ss_connection *connection);
void ss_resume(struct ss_connection *connection);

/* Ends the connection for a reason: politely, or by a reset. What waits is lost then. */
void ss_fail(struct ss_connection *connection, enum ss_reason reason, int reset);

enum ss_connect_flags {
	SS_AS_PEER = 1 << 0, /* from the peer's own address: ip(7), IP_TRANSPARENT */
};

/*
 * Opens the second leg of a connection: a stream socket to a target, with the socket options of the
 * section. connected() comes later; with -ETIMEDOUT when `timeout_ms` has passed. 0; or -errno of
 * socket(2), bind(2) or connect(2), -EALREADY (there is a leg), -EPIPE (ss_close() was called), and
 * then connected() does not come. The handler has the flag SS_CONNECTS and a connected().
 */
int ss_connect(struct ss_connection *connection, const struct sockaddr *address, size_t length,
	       int64_t timeout_ms, unsigned int flags);

/* Sends to the target before ss_join(), or queues. 0 or -errno, and then the connection ends. */
int ss_target_write(struct ss_connection *connection, const void *bytes, size_t length);

/*
 * Joins the two legs: from now on the server moves the bytes by itself, each way with its own
 * back-pressure, end and reset, and without copying where there are many; what data() left goes
 * first. Of the callbacks only close() comes after it. 0 or -errno: -ENOTCONN, -EPIPE, -EBUSY (a
 * job is under way).
 */
int ss_join(struct ss_connection *connection);

/*
 * Writes the header of the PROXY protocol, version 1 or 2, that tells a target who the peer is and
 * where it has connected to; returns how many bytes. Of a connection that came with such a header
 * the destination in it is known in open() alone, and is this service's own address later: whoever
 * passes headers on makes his there.
 */
#define SS_PROXY_HEADER_MAX 108
size_t ss_proxy_header(const struct ss_connection *connection, unsigned int version,
		       char out[SS_PROXY_HEADER_MAX]);

/* A pointer of the handler's own, NULL at first; whatever it points to is the handler's. */
void ss_set_state(struct ss_connection *connection, void *state);
void *ss_state(const struct ss_connection *connection);

/* The number of the connection, as the journal has it: from 1 on, never twice in a process. */
uint64_t ss_id(const struct ss_connection *connection);

/* Who the peer is: "127.0.0.1:4242", "[::1]:4242", "pid 12 uid 1000". Returns `out`. */
#define SS_PEER_MAX 64
const char *ss_peer(const struct ss_connection *connection, char out[SS_PEER_MAX]);

/*
 * Writes an entry to the journal, with the fields of the connection (SOCKET=, HANDLER=, PEER=,
 * CONNECTION=); `priority` is LOG_INFO, ... of <syslog.h>. The text is cut at 400 bytes; what is
 * not printable ASCII becomes \xNN, for it may contain what a peer sent. NULL for the connection
 * where there is none: then from any thread and callback. All handlers together have 10 entries a
 * second; how many were left out is said.
 */
void ss_log(const struct ss_connection *connection, int priority, const char *format, ...)
	SS_FORMAT(3, 4);

/*
 * Adds to a counter, by its index in `counters`; what `n` < 0 takes away another worker may have
 * added. The sums are in the unit's STATUS=.
 */
void ss_count(struct ss_connection *connection, unsigned int counter, int64_t n);

/* The service and the worker of a connection. */
struct ss_service *ss_service_of(const struct ss_connection *connection);
struct ss_worker *ss_worker_of(const struct ss_connection *connection);

/*
 * What the file says for the handler's keys, from start() on; NULL where it has none. It and its
 * strings are good until the callback returns: ask again in the next, and give a job copies.
 */
const void *ss_settings(const struct ss_service *service);

/* The `name` of the entry. */
const char *ss_service_name(const struct ss_service *service);

/*
 * A pointer of the handler's own for each service, set in start() and constant while connections
 * live; what it points to is shared by all workers, and theirs to lock.
 */
void ss_set_service_state(struct ss_service *service, void *state);
void *ss_service_state(const struct ss_service *service);

/* A pointer of the handler's own for each worker and service; for that worker's thread alone. */
void ss_set_worker_state(struct ss_worker *worker, void *state);
void *ss_worker_state(const struct ss_worker *worker);

/* The service that a worker_start() is for, and the number of the worker: 0, 1, ... */
struct ss_service *ss_worker_service(const struct ss_worker *worker);
unsigned int ss_worker_index(const struct ss_worker *worker);

/*
 * Framing. The three below say how many of `length` bytes the frame at their beginning takes, with
 * its end or its length; 0 when it has not all come; SS_TOO_LONG when it is longer than `max`. What
 * is in the frame is in *ret_frame, which points into `bytes`.
 */
#define SS_TOO_LONG ((size_t)-1)

struct ss_slice {
	const unsigned char *bytes;
	size_t length;
};

/* A line, ended by LF or CR LF, which are not part of it. */
static inline size_t ss_frame_line(const void *bytes, size_t length, size_t max,
				   struct ss_slice *ret_frame)
{
	const unsigned char *begin = (const unsigned char *)bytes;
	const unsigned char *end = (const unsigned char *)memchr(begin, '\n', length);
	size_t n = end ? (size_t)(end - begin) : length;

	if (n > 0 && begin[n - 1] == '\r')
		n--;
	if (n > max)
		return SS_TOO_LONG;
	if (!end)
		return 0;
	ret_frame->bytes = begin;
	ret_frame->length = n;
	return (size_t)(end - begin) + 1;
}

/*
 * A message behind its length, which is a number of `prefix` bytes (1 to 8), the highest first.
 * prefix + max <= SS_INPUT_MAX.
 */
static inline size_t ss_frame_prefixed(const void *bytes, size_t length, size_t prefix, size_t max,
				       struct ss_slice *ret_frame)
{
	const unsigned char *begin = (const unsigned char *)bytes;
	uint64_t n = 0;
	size_t i;

	if (length < prefix)
		return 0;
	for (i = 0; i < prefix; i++)
		n = n << 8 | begin[i];
	if (n > max)
		return SS_TOO_LONG;
	if (length - prefix < n)
		return 0;
	ret_frame->bytes = begin + prefix;
	ret_frame->length = (size_t)n;
	return prefix + (size_t)n;
}

/* Exactly `n` bytes, 0 < n <= SS_INPUT_MAX. */
static inline size_t ss_frame_exact(const void *bytes, size_t length, size_t n,
				    struct ss_slice *ret_frame)
{
	if (length < n)
		return 0;
	ret_frame->bytes = (const unsigned char *)bytes;
	ret_frame->length = n;
	return n;
}

/*
 * For data(): calls each_line(connection, line, length) for every whole line of at most `max` bytes
 * that is there, as long as ss_ready(), and returns how many bytes are done with. The line has no
 * NUL at its end and is good until each_line() returns. A longer line is given as NULL, with the
 * length 0, and the connection is closed after that. `max` < SS_INPUT_MAX - 1.
 */
static inline size_t
ss_lines(struct ss_connection *connection, const void *bytes, size_t length, size_t max,
	 void (*each_line)(struct ss_connection *connection, const char *line, size_t length))
{
	struct ss_slice line;
	size_t used = 0, n;

	while (used < length && ss_ready(connection)) {
		n = ss_frame_line((const char *)bytes + used, length - used, max, &line);
		if (n == 0)
			break;
		if (n == SS_TOO_LONG) {
			each_line(connection, NULL, 0);
			ss_close(connection);
			return length;
		}
		used += n;
		each_line(connection, (const char *)line.bytes, line.length);
	}
	return used;
}

#ifdef __cplusplus
}
#endif

#endif
