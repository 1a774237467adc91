/* SPDX-License-Identifier: MIT */
/*
 * kv - a store of keys and values in memory, for all connections of a service.
 *
 *      sockets = (
 *        { name = "kv"; handler = "module"; module = "kv.so";
 *          settings: { max_value = 4096; max_total = 16777216; }; }
 *      );
 *
 * A request is a line, and so is its answer:
 *
 *      SET key value    OK, or ERROR and why; the value goes to the end of the line
 *      GET key          VALUE value, or NONE
 *      DEL key          OK, or NONE
 *      QUIT             BYE, and the end
 *
 * What this example shows is state that is shared between workers. Connections of several workers
 * run at the same time and may want the same key, so the store has locks; and because a callback
 * must not block, each is held for a look-up and a copy in memory, never over a call of the server
 * or of malloc() for a value. There are many locks, one for each part of the keys, so that two
 * workers seldom want the same. They are mutexes: a rwlock is written to by its readers as well,
 * which costs as much where so little is done under it.
 *
 * What belongs to one worker needs no lock: each has a buffer, in which the answers to all requests
 * that came together are put together, to be sent by one system call.
 */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <pthread.h>
#include <search.h>
#include <simple-server.h>
#include <stdlib.h>

#define PARTS      64  /* a power of two */
#define ITEM_COST  128 /* what an item takes beside its bytes: the struct, a node, malloc() */
#define ANSWER_MAX 128 /* of what is answered, beside a value */
#define BATCH      32768

struct kv_settings {
	int max_key, max_value;
	int64_t max_total;
};

/* The longest request stays below SS_INPUT_MAX: see request_max(). */
static const struct ss_key keys[] = {
	SS_INTEGER(struct kv_settings, max_key, 1, 1024, 250, "bytes", "longest key"),
	SS_INTEGER(struct kv_settings, max_value, 0, 60000, 16384, "bytes", "longest value"),
	SS_INTEGER(struct kv_settings, max_total, 4096, INT64_C(1) << 40, 64 << 20, "bytes",
		   "memory for all keys and values"),
	SS_NO_MORE_KEYS,
};

/* All but the first only grow. */
enum { KEYS, HITS, MISSES, STORED, DELETED, REFUSED };
static const char *const counters[] = { "keys",    "hits",    "misses", "stored",
					"deleted", "refused", NULL };

/* Bytes of a key or a value, wherever they are. */
struct text {
	const char *bytes;
	size_t length;
};

/* A key with its value, which are behind it. To look a key up, one with no value. */
struct item {
	struct text key, value;
	char bytes[];
};

/*
 * A part of the keys, each in a cache line of its own. The tree is that of tsearch(3), which stays
 * balanced: no choice of keys makes it slow, as it could a table of hashes.
 */
struct part {
	pthread_mutex_t lock;
	void *tree;
} __attribute__((aligned(64)));

/* The state of a service: all of it is shared. The limits hold from start to stop,
 * because buffers were made for them: there is no reload(). */
struct store {
	struct part parts[PARTS];
	struct kv_settings limits;
	int64_t total; /* atomic: it is of all parts */
};

/* The state of a worker; nobody else touches it. Between two callbacks it is empty. */
struct batch {
	size_t used;
	char bytes[];
};

struct request {
	struct ss_connection *connection;
	struct store *store;
	struct batch *batch;
	struct text key, value;
};

/* ---- the answers */

static void flush(struct ss_connection *connection, struct batch *batch)
{
	if (batch->used)
		ss_write(connection, batch->bytes, batch->used);
	batch->used = 0;
}

static void put(struct batch *batch, const char *bytes, size_t length)
{
	memcpy(batch->bytes + batch->used, bytes, length);
	batch->used += length;
}

static void put_line(struct batch *batch, const char *line)
{
	put(batch, line, strlen(line));
	put(batch, "\n", 1);
}

/* ---- the store */

static int compare(const void *a, const void *b)
{
	const struct item *left = a, *right = b;

	if (left->key.length != right->key.length)
		return left->key.length < right->key.length ? -1 : 1;
	return memcmp(left->key.bytes, right->key.bytes, left->key.length);
}

/* Only spreads the keys (FNV-1a); who chooses keys of one part slows nothing but itself. */
static struct part *part_of(struct store *store, const struct text *key)
{
	uint32_t hash = 2166136261u;
	size_t i;

	for (i = 0; i < key->length; i++)
		hash = (hash ^ (unsigned char)key->bytes[i]) * 16777619u;
	return &store->parts[(hash ^ hash >> 16) % PARTS];
}

static struct item *item_new(const struct text *key, const struct text *value)
{
	struct item *item = malloc(sizeof(*item) + key->length + value->length);

	if (!item)
		return NULL;
	memcpy(item->bytes, key->bytes, key->length);
	memcpy(item->bytes + key->length, value->bytes, value->length);
	item->key.bytes = item->bytes;
	item->key.length = key->length;
	item->value.bytes = item->bytes + key->length;
	item->value.length = value->length;
	return item;
}

static int64_t cost(const struct item *item)
{
	return item ? (int64_t)(ITEM_COST + item->key.length + item->value.length) : 0;
}

/* Takes `bytes` of max_total; no when they are not there. Less than 0 gives back. */
static int reserve(struct store *store, int64_t bytes)
{
	if (__atomic_add_fetch(&store->total, bytes, __ATOMIC_RELAXED) <= store->limits.max_total ||
	    bytes <= 0)
		return 1;
	__atomic_sub_fetch(&store->total, bytes, __ATOMIC_RELAXED);
	return 0;
}

/*
 * Puts `item` in the place of the one with the same key, if there is room for it. *ret_rest is what
 * the caller frees: the old one or NULL; or `item` itself where it was not stored.
 */
static int exchange(struct store *store, struct item *item, struct item **ret_rest)
{
	struct part *part = part_of(store, &item->key);
	struct item **place, *old = NULL;
	int stored = 0;

	pthread_mutex_lock(&part->lock);
	place = tsearch(item, &part->tree, compare); /* finds the old one, or adds this */
	if (place) {
		old = *place == item ? NULL : *place;
		stored = reserve(store, cost(item) - cost(old));
		if (stored)
			*place = item;
		else if (!old)
			tdelete(item, &part->tree, compare);
	}
	pthread_mutex_unlock(&part->lock);
	*ret_rest = stored ? old : item;
	return stored;
}

static struct item *take_out(struct store *store, const struct text *key)
{
	struct part *part = part_of(store, key);
	struct item wanted = { .key = *key }, **place, *item = NULL;

	pthread_mutex_lock(&part->lock);
	place = tfind(&wanted, &part->tree, compare);
	if (place) {
		item = *place;
		tdelete(item, &part->tree, compare);
	}
	pthread_mutex_unlock(&part->lock);
	return item;
}

/* ---- the requests */

static void get(struct request *r)
{
	struct part *part = part_of(r->store, &r->key);
	struct item wanted = { .key = r->key }, **place;

	/* Copied while the lock is held: without it anybody may free the item. */
	pthread_mutex_lock(&part->lock);
	place = tfind(&wanted, &part->tree, compare);
	if (place) {
		put(r->batch, "VALUE ", 6);
		put(r->batch, (*place)->value.bytes, (*place)->value.length);
	}
	pthread_mutex_unlock(&part->lock);
	put_line(r->batch, place ? "" : "NONE");
	ss_count(r->connection, place ? HITS : MISSES, 1);
}

static const char *store_value(struct request *r)
{
	struct item *item, *rest;
	int stored;

	if (r->key.length > (size_t)r->store->limits.max_key)
		return "ERROR the key is too long";
	if (r->value.length > (size_t)r->store->limits.max_value)
		return "ERROR the value is too long";
	item = item_new(&r->key, &r->value);
	if (!item)
		return "ERROR no memory";
	stored = exchange(r->store, item, &rest);
	if (!rest)
		ss_count(r->connection, KEYS, 1);
	free(rest);
	return stored ? NULL : "ERROR the store is full";
}

static void set(struct request *r)
{
	const char *error = store_value(r);

	put_line(r->batch, error ? error : "OK");
	ss_count(r->connection, error ? REFUSED : STORED, 1);
}

static void del(struct request *r)
{
	struct item *item = take_out(r->store, &r->key);

	put_line(r->batch, item ? "OK" : "NONE");
	if (!item)
		return;
	reserve(r->store, -cost(item));
	free(item);
	ss_count(r->connection, KEYS, -1);
	ss_count(r->connection, DELETED, 1);
}

static void quit(struct request *r)
{
	put_line(r->batch, "BYE");
	flush(r->connection, r->batch); /* nothing can be written after ss_close() */
	ss_close(r->connection);
}

static const struct command {
	const char *name;
	int words; /* beside its name */
	void (*run)(struct request *r);
} commands[] = {
	{ "GET", 1, get },
	{ "SET", 2, set },
	{ "DEL", 1, del },
	{ "QUIT", 0, quit },
};

/* Takes the bytes up to the next blank, or all, off the beginning of `rest`. */
static struct text next_word(struct text *rest)
{
	const char *blank = rest->length ? memchr(rest->bytes, ' ', rest->length) : NULL;
	size_t length = blank ? (size_t)(blank - rest->bytes) : rest->length;
	size_t taken = blank ? length + 1 : length;
	struct text word = { rest->bytes, length };

	rest->bytes += taken;
	rest->length -= taken;
	return word;
}

static const struct command *find_command(const struct text *name)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strlen(commands[i].name) == name->length &&
		    memcmp(commands[i].name, name->bytes, name->length) == 0)
			return &commands[i];
	return NULL;
}

static void run(struct request *r, struct text rest)
{
	struct text name = next_word(&rest);
	const struct command *command = find_command(&name);

	if (!command) {
		put_line(r->batch, "ERROR no such command; there are GET, SET, DEL and QUIT");
		return;
	}
	r->key = next_word(&rest);
	r->value = rest;
	if ((r->key.length > 0) != (command->words > 0) || (rest.length > 0 && command->words < 2))
		put_line(r->batch, "ERROR wrong number of words");
	else
		command->run(r);
}

/* ---- the callbacks */

static void on_line(struct ss_connection *connection, const char *line, size_t length)
{
	struct request r = { .connection = connection };
	struct text rest = { line, length };

	r.store = ss_service_state(ss_service_of(connection));
	r.batch = ss_worker_state(ss_worker_of(connection));
	if (!line) { /* and after this ss_lines() closes the connection */
		put_line(r.batch, "ERROR the line is too long");
		flush(connection, r.batch);
		return;
	}
	run(&r, rest);
	if (r.batch->used >= BATCH)
		flush(connection, r.batch);
}

static size_t request_max(const struct kv_settings *limits)
{
	return sizeof("SET  ") - 1 + (size_t)limits->max_key + (size_t)limits->max_value;
}

static size_t kv_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	const struct store *store = ss_service_state(ss_service_of(connection));
	size_t used = ss_lines(connection, bytes, length, request_max(&store->limits), on_line);

	flush(connection, ss_worker_state(ss_worker_of(connection)));
	return used;
}

static int kv_worker_start(struct ss_worker *worker)
{
	const struct store *store = ss_service_state(ss_worker_service(worker));
	size_t size = BATCH + (size_t)store->limits.max_value + ANSWER_MAX;
	struct batch *batch = malloc(sizeof(*batch) + size);

	if (!batch)
		return -ENOMEM;
	batch->used = 0;
	ss_set_worker_state(worker, batch);
	return 0;
}

static void kv_worker_stop(struct ss_worker *worker)
{
	free(ss_worker_state(worker));
}

static int kv_start(struct ss_service *service)
{
	struct store *store;
	size_t i;

	if (posix_memalign((void **)&store, sizeof(struct part), sizeof(*store)) != 0)
		return -ENOMEM;
	memset(store, 0, sizeof(*store));
	for (i = 0; i < PARTS; i++)
		pthread_mutex_init(&store->parts[i].lock, NULL);
	store->limits = *(const struct kv_settings *)ss_settings(service);
	ss_set_service_state(service, store);
	return 0;
}

static void kv_stop(struct ss_service *service)
{
	struct store *store = ss_service_state(service);
	struct item *item;
	size_t i;

	for (i = 0; i < PARTS; i++) {
		while (store->parts[i].tree) { /* a node begins with a pointer to what it is for */
			item = *(struct item **)store->parts[i].tree;
			tdelete(item, &store->parts[i].tree, compare);
			free(item);
		}
		pthread_mutex_destroy(&store->parts[i].lock);
	}
	free(store);
}

static const struct ss_handler kv_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "kv",
	.keys = keys,
	.settings_size = sizeof(struct kv_settings),
	.counters = counters,
	.start = kv_start,
	.stop = kv_stop,
	.worker_start = kv_worker_start,
	.worker_stop = kv_worker_stop,
	.data = kv_data,
};

SS_MODULE(kv_handler);
