/* SPDX-License-Identifier: MIT */
/*
 * simple-server.h - what a handler may use.
 *
 * A handler is the protocol: bytes of a connection come in by callbacks, bytes go out by calls. The
 * server does the rest: activation, threads, socket options, limits, closing, the journal. The
 * built-in handlers are written against this header alone.
 *
 * Threads: a connection belongs to one worker from its first callback to its last; all callbacks of
 * a connection run in that thread, one after the other, and every call below must be made there.
 * Two connections may run at the same time in different threads: what a handler shares between
 * connections it must protect itself. A callback must not block.
 *
 * The life of a connection:
 *
 *      open ──► data, data, ... ──► eof ──► close
 *        │        writable                    ▲
 *        └────────────── ss_close() ──────────┘
 *
 * `close` is called exactly once for each `open` that returned 0, and nothing after it.
 *
 * The interface is not stable before version 1.0: SS_ABI says which one this is.
 */
#ifndef SIMPLE_SERVER_H
#define SIMPLE_SERVER_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SS_ABI 0

/* Most bytes that may stay unconsumed; a handler that then consumes nothing loses the connection.
 */
#define SS_INPUT_MAX 65536

struct ss_connection;
struct ss_blob;

/* Why a connection ended. */
enum ss_reason {
	SS_PEER_CLOSED,    /* the peer finished, and so did we: the ordinary end */
	SS_HANDLER_CLOSED, /* ss_close(); what was queued was delivered to the kernel */
	SS_LINGER_TIMEOUT, /* ss_close(), but the peer did not finish in time */
	SS_RESET,          /* the peer, or something on the way, broke it off */
	SS_PEER_TIMEOUT,   /* keepalive or tcp_user_timeout gave the peer up */
	SS_REFUSED,        /* open() returned an error */
	SS_INPUT_FULL,     /* data() left more than SS_INPUT_MAX bytes */
	SS_NO_MEMORY,
	SS_OUTPUT_FULL,        /* more waited than limits.output or max_output allow */
	SS_FIRST_BYTE_TIMEOUT, /* the peer sent nothing at all in time */
	SS_IDLE_TIMEOUT,       /* nothing came and nothing went for too long */
	SS_WRITE_TIMEOUT,      /* bytes waited and the peer took none in time */
	SS_LIFETIME,           /* it was open for as long as it may */
	SS_DRAIN,              /* the server stopped */
	SS_ERROR,              /* any other error of the socket */
};

enum ss_flags {
	SS_SPEAKS_FIRST = 1 << 0, /* sends before it has received: tcp_defer_accept does not fit */
};

struct ss_handler {
	size_t size;      /* sizeof(struct ss_handler) of whoever compiled this */
	unsigned int abi; /* SS_ABI */
	const char *name; /* as in `handler = "..."`; static */
	unsigned int flags;

	/*
	 * Once, before the first connection, in the main thread; for what all connections share. 0,
	 * or -errno, and then the server does not start. NULL: nothing to do.
	 */
	int (*load)(void);

	/*
	 * A new connection. May write, and may ss_close(). 0, or -errno to refuse it. NULL: nothing
	 * to do.
	 */
	int (*open)(struct ss_connection *connection);

	/*
	 * `length` > 0 bytes have come. Returns how many of them are done with; the rest is given
	 * again, together with what comes after it. The bytes are good until the callback returns.
	 * Required.
	 */
	size_t (*data)(struct ss_connection *connection, const void *bytes, size_t length);

	/*
	 * All that was queued has been taken over by the kernel: there is room again. Called after
	 * an ss_write() that had to queue, an ss_send_blob() that sent less, and
	 * ss_want_writable(). NULL: nothing to do.
	 */
	void (*writable)(struct ss_connection *connection);

	/*
	 * The peer has finished sending; nothing more will come. The other direction is still open,
	 * so an answer can be written. NULL: ss_close().
	 */
	void (*eof)(struct ss_connection *connection);

	/* The end: release the state. No call but ss_state() is allowed in it. NULL: nothing to do.
	 */
	void (*close)(struct ss_connection *connection, enum ss_reason reason);
};

/*
 * Sends `length` bytes, or queues a copy of what the peer does not take now; never blocks. While
 * bytes are queued the connection is not read (no data(), no eof()), so that a peer which does not
 * take its answers is not served new ones; a source that goes on writing waits for writable().
 *
 * 0; or -errno, and then the connection ends after this callback: -ENOMEM, -EPIPE (ss_close() was
 * called, or the peer has gone), -ECONNRESET and others of send(2).
 */
int ss_write(struct ss_connection *connection, const void *bytes, size_t length);

/* How many bytes are queued and not yet taken over by the kernel. */
size_t ss_queued(const struct ss_connection *connection);

/*
 * Ends the connection politely: queued bytes still go out, then FIN; what the peer sends meanwhile
 * is read and dropped, for a bounded time, because closing with unread input would make the kernel
 * send a reset that can destroy the answer. There are no more data(), writable(), eof() after it.
 */
void ss_close(struct ss_connection *connection);

/*
 * From now on what the peer sends is dropped where it arrives: no data(), and on TCP the bytes are
 * not even copied out of the kernel. eof() still comes.
 */
void ss_discard(struct ss_connection *connection);

/*
 * Constant bytes that many connections send: kept once, in pages that the kernel sends from without
 * copying. The blob is for all threads, from load() until the process ends. NULL with errno set.
 */
struct ss_blob *ss_blob_new(const void *bytes, size_t length);

/*
 * Sends a part of a blob, as much as the peer takes now, and returns how much; nothing is queued.
 * When that is less than `length`, writable() comes when there is room; an error ends the
 * connection after this callback.
 */
size_t ss_send_blob(struct ss_connection *connection, const struct ss_blob *blob, size_t offset,
		    size_t length);

/*
 * Has writable() called in the next turn, when other connections have had theirs: for a handler
 * that produces without end.
 */
void ss_want_writable(struct ss_connection *connection);

/* A pointer of the handler's own, NULL at first; whatever it points to is the handler's. */
void ss_set_state(struct ss_connection *connection, void *state);
void *ss_state(const struct ss_connection *connection);

#ifdef __cplusplus
}
#endif

#endif
