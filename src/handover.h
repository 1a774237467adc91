/* SPDX-License-Identifier: MIT */
/*
 * The form in which live connections go to the next process, after a restart, an upgrade or a
 * crash: a memfd with a record for each of them, and their descriptors in flight within AF_UNIX
 * sockets. systemd's fd store keeps the memfd and the receiving ends of these sockets until the
 * next process is there: a handful of descriptors for any number of connections, because PID 1
 * compares each one that it is given with each that it has.
 *
 * A process stores them at its start, empty; who fills them in the end need not speak to systemd,
 * and so the keeper may be a process that systemd does not listen to (NotifyAccess=main).
 *
 * The next process may be another version: a record says its own size and version, and who reads it
 * refuses what it does not know, one connection at a time. Numbers are of the machine's own byte
 * order; nothing here leaves the machine.
 *
 * Giving allocates no memory, so that the keeper can do it (keeper.h). One thread at a time.
 */
#ifndef SIMPLE_SERVER_HANDOVER_H
#define SIMPLE_SERVER_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* FDNAME= of what a process stores: this and its id, so that it is told from what it has got. */
#define HANDOVER_NAME     "simple-server-handover-"
#define HANDOVER_NAME_MAX 40

#define HANDOVER_VERSION  1   /* of the head and the services */
#define HANDOVER_RECORD   1   /* of a record */
#define HANDOVER_BATCH    250 /* descriptors in one message; the kernel takes 253: unix(7) */
#define HANDOVER_QUEUES   8   /* one takes about 120 000 descriptors */
#define HANDOVER_LOST     16  /* ids that are told */
#define HANDOVER_SERVICES 4096

enum handover_cause { HANDOVER_RESTART, HANDOVER_CRASH };

struct handover_head {
	char magic[8];
	uint32_t version, cause;
	uint32_t pid; /* of the process that served them */
	uint32_t n_services, n_connections, n_fds;
	uint32_t n_lost; /* connections that could not go on, of which the first are in `lost` */
	uint32_t reserved;
	uint64_t length;   /* of all that follows */
	uint64_t checksum; /* of that */
	uint64_t lost[HANDOVER_LOST];
};

struct handover_service {
	char socket[256], handler[64];
};

/* Of a connection; what it holds follows: input, output, output of the leg, state of the handler.
 */
struct handover_record {
	uint32_t size; /* of the whole, a multiple of 8 */
	uint16_t version, service;
	uint16_t n_fds, flags; /* enum handover_flags */
	uint32_t reason;
	uint64_t id, bytes_in, bytes_out;
	int64_t began; /* CLOCK_MONOTONIC, ms; -1: not known */
	uint32_t active, timer_due, connect_ms, leg_flags;
	uint64_t dropped;
	uint32_t input, output, leg_output, state; /* how many bytes */
	uint8_t address[16];                       /* struct peer */
	uint16_t port;
	uint8_t is_unix, by_unix, has_peer; /* without, the kernel is asked */
	uint8_t reserved[3];
};

enum handover_flags {
	HANDOVER_CLOSING = 1 << 0,
	HANDOVER_EOF = 1 << 1,     /* the peer has finished */
	HANDOVER_SHUT = 1 << 2,    /* our FIN is out */
	HANDOVER_DISCARD = 1 << 3, /* ss_discard() */
	HANDOVER_WANTS = 1 << 4,   /* writable() is due when there is room */
	HANDOVER_PAUSED = 1 << 5,  /* ss_pause() */
	HANDOVER_HEADER = 1 << 6,  /* its PROXY header has not come */
	HANDOVER_JOINED = 1 << 7,  /* ss_join(): two descriptors */
	HANDOVER_OPENED = 1 << 8,  /* the handler knows it */
	HANDOVER_RESUMED = 1 << 9, /* ss_resume(), and the input is due */
};

/* --- giving */

struct handover_out {
	struct handover_head head;
	int file;
	int to[HANDOVER_QUEUES];
	unsigned n_queues, queue; /* the one to send to */
	struct {
		uint32_t first, n;
	} label; /* of the batch: its place among all descriptors */
	int batch[HANDOVER_BATCH];
	size_t used;
	_Alignas(8) unsigned char bytes[1 << 16]; /* not yet written */
};

/*
 * Has systemd keep what can take up to `files` descriptors; 0, -ENOTCONN without systemd, or
 * another -errno. Then handover_close() is due.
 */
int handover_open(struct handover_out *out, unsigned files);

/* How many descriptors that takes here. */
unsigned handover_files(unsigned files);

/* Begins to fill it, on behalf of process `pid`; 0 or -errno. */
int handover_begin(struct handover_out *out, enum handover_cause cause, uint32_t pid,
		   const struct handover_service *services, unsigned n_services);

/* A record with what follows it, of record->size bytes. The descriptors stay open here. */
int handover_add(struct handover_out *out, const struct handover_record *record, const int *fds);

/* A connection that cannot go on. */
void handover_lose(struct handover_out *out, uint64_t id);

/*
 * Completes it. 0 when systemd has it for certain; else -errno: -ENOSPC where it did not take what
 * handover_open() gave it (FileDescriptorStoreMax=, on which it says nothing), -ETOOMANYREFS where
 * more are in flight than the limit of files allows.
 */
int handover_finish(struct handover_out *out);

/* After a failure: systemd lets go of it, and so of what is in flight. Not by the keeper. */
void handover_take_back(struct handover_out *out);

void handover_close(struct handover_out *out); /* of a zeroed one as well */

/* --- taking */

struct handover_in {
	unsigned char *bytes; /* owned: the memfd */
	const struct handover_head *head;
	const struct handover_service *services;
	int *fds; /* owned, n_fds of them; -1: it did not come */
	size_t at;
	uint32_t next_fd;
};

/*
 * Reads what systemd kept of one process, `fds` as passed. 0; -ENODATA where that was not filled;
 * -EBADMSG where this is not what handover_finish() made, -EPROTO where it is of another version,
 * and then every descriptor in it is closed and counted in *ret_refused. Then handover_deinit() is
 * due.
 */
int handover_read(struct handover_in *in, const int *fds, size_t n_fds, unsigned *ret_refused);

/*
 * The next record, checked to lie within the whole, and its descriptors, owned by the caller from
 * now on; those that did not come are -1. NULL after the last one.
 */
const struct handover_record *handover_next(struct handover_in *in, int ret_fds[2]);

void handover_deinit(struct handover_in *in);

#endif
