/* SPDX-License-Identifier: MIT */
/*
 * What a module compiled long ago relies on, as numbers: where members are, what enumerators and
 * limits stand for. Compiled with the header of today; whatever is moved, removed or renumbered
 * does not compile. What is added gets a line here and changes none.
 *
 * The numbers are those of machines with 64 bits.
 */
#include "simple-server.h"

#if !defined(__LP64__)
#error "these are the numbers of LP64"
#endif

#define AT(type, member, offset_, size_)                                                           \
	_Static_assert(offsetof(struct type, member) == (offset_) &&                               \
			       sizeof(((struct type *)0)->member) == (size_),                      \
		       #type "." #member " has moved or changed its size")
#define IS(constant, value) _Static_assert((constant) == (value), #constant " has changed")

AT(ss_handler, size, 0, 8);
AT(ss_handler, abi, 8, 4);
AT(ss_handler, flags, 12, 4);
AT(ss_handler, name, 16, 8);
AT(ss_handler, keys, 24, 8);
AT(ss_handler, settings_size, 32, 8);
AT(ss_handler, counters, 40, 8);
AT(ss_handler, check, 48, 8);
AT(ss_handler, load, 56, 8);
AT(ss_handler, start, 64, 8);
AT(ss_handler, stop, 72, 8);
AT(ss_handler, worker_start, 80, 8);
AT(ss_handler, worker_stop, 88, 8);
AT(ss_handler, open, 96, 8);
AT(ss_handler, data, 104, 8);
AT(ss_handler, writable, 112, 8);
AT(ss_handler, eof, 120, 8);
AT(ss_handler, timer, 128, 8);
AT(ss_handler, close, 136, 8);
AT(ss_handler, connected, 144, 8);
AT(ss_handler, target, 152, 8);
AT(ss_handler, freeze, 160, 8);
AT(ss_handler, thaw, 168, 8);
AT(ss_handler, reload, 176, 8);
_Static_assert(sizeof(struct ss_handler) >= 144, "a callback is missing");

/* A table of keys is an array: its rows never grow. */
AT(ss_key, name, 0, 8);
AT(ss_key, type, 8, 4);
AT(ss_key, offset, 16, 8);
AT(ss_key, size, 24, 8);
AT(ss_key, min, 32, 8);
AT(ss_key, max, 40, 8);
AT(ss_key, initial, 48, 8);
AT(ss_key, string, 56, 8);
AT(ss_key, unit, 64, 8);
AT(ss_key, words, 72, 8);
AT(ss_key, help, 80, 8);
_Static_assert(sizeof(struct ss_key) == 120, "the rows of a table of keys have another size");

AT(ss_slice, bytes, 0, 8);
AT(ss_slice, length, 8, 8);
_Static_assert(sizeof(struct ss_slice) == 16, "struct ss_slice has another size");

IS(SS_ABI, 1);
IS(SS_INPUT_MAX, 65536);
IS(SS_PEER_MAX, 64);
IS(SS_SPEAKS_FIRST, 1);
IS(SS_OFFLOADS, 2);
IS(SS_KEY_BOOL, 0);
IS(SS_KEY_INTEGER, 1);
IS(SS_KEY_SECONDS, 2);
IS(SS_KEY_WORD, 3);
IS(SS_KEY_STRING, 4);
IS(SS_PEER_CLOSED, 0);
IS(SS_HANDLER_CLOSED, 1);
IS(SS_LINGER_TIMEOUT, 2);
IS(SS_RESET, 3);
IS(SS_PEER_TIMEOUT, 4);
IS(SS_REFUSED, 5);
IS(SS_INPUT_FULL, 6);
IS(SS_NO_MEMORY, 7);
IS(SS_OUTPUT_FULL, 8);
IS(SS_FIRST_BYTE_TIMEOUT, 9);
IS(SS_IDLE_TIMEOUT, 10);
IS(SS_WRITE_TIMEOUT, 11);
IS(SS_LIFETIME, 12);
IS(SS_DRAIN, 13);
IS(SS_ERROR, 14);
IS(SS_MISUSE, 15);

/*
 * The types of the calls: a declaration that does not agree with that of the header is an error.
 * Defined nowhere, for nothing is linked.
 */
const struct ss_handler *ss_module(void);
int ss_write(struct ss_connection *, const void *, size_t);
size_t ss_queued(const struct ss_connection *);
int ss_ready(const struct ss_connection *);
size_t ss_rest(const struct ss_connection *, const void **);
void ss_close(struct ss_connection *);
void ss_discard(struct ss_connection *);
struct ss_blob *ss_blob_new(const void *, size_t);
size_t ss_send_blob(struct ss_connection *, const struct ss_blob *, size_t, size_t);
void ss_want_writable(struct ss_connection *);
void ss_set_timer(struct ss_connection *, int64_t);
int64_t ss_now(const struct ss_connection *);
int ss_offload(struct ss_connection *, void (*)(void *), void (*)(struct ss_connection *, void *),
	       void *);
void ss_set_state(struct ss_connection *, void *);
void *ss_state(const struct ss_connection *);
uint64_t ss_id(const struct ss_connection *);
const char *ss_peer(const struct ss_connection *, char[SS_PEER_MAX]);
void ss_log(const struct ss_connection *, int, const char *, ...);
void ss_count(struct ss_connection *, unsigned int, int64_t);
struct ss_service *ss_service_of(const struct ss_connection *);
struct ss_worker *ss_worker_of(const struct ss_connection *);
const void *ss_settings(const struct ss_service *);
const char *ss_service_name(const struct ss_service *);
void ss_set_service_state(struct ss_service *, void *);
void *ss_service_state(const struct ss_service *);
void ss_set_worker_state(struct ss_worker *, void *);
void *ss_worker_state(const struct ss_worker *);
struct ss_service *ss_worker_service(const struct ss_worker *);
unsigned int ss_worker_index(const struct ss_worker *);
