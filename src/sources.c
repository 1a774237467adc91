/* SPDX-License-Identifier: MIT */
/*
 * A hash table in two arrays: the entries, and the heads of chains of them. Entries know each other
 * by index; index 0 is the head of the ring of idle entries (no open connections, the longest
 * idle first) and ends a chain. An entry that was once used stays in its chain until it is reused
 * for another source.
 *
 * The peers choose what is in the table, therefore the hash is keyed: without the key nobody finds
 * addresses that share a chain.
 *
 * Everything but the key and the sizes is under the lock.
 */
#include <assert.h>
#include <endian.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "sources.h"
#include "util.h"

/* A masked address, or a uid. `kind` keeps apart what has the same bits. */
struct source_key {
	uint64_t high, low;
	uint8_t kind; /* length of the prefix, of IPv4 96 more; KIND_UID */
};

#define KIND_UID 255

struct source {
	struct source_key key;
	uint32_t connections;
	uint32_t next; /* of the chain */
	struct bucket bucket;
	uint32_t newer, older; /* of the ring; only while there are no connections */
};
_Static_assert(sizeof(struct source) <= 64, "an entry has grown over a cache line");

#define IDLE 0 /* entries[IDLE]: the ring's head */

struct sources {
	pthread_mutex_t lock;
	uint64_t secret[2];
	uint32_t capacity;
	uint32_t n_used; /* entries[1 .. n_used] are in chains */
	uint32_t mask;   /* number of heads, less one */
	uint32_t *heads;
	struct source *entries;
};

/* How far the clocks may be apart that threads have read. */
#define SKEW_MS 1000

/*
 * In units of 1/rate ms a token is worth 1000, and `ahead` is how far the bucket is from being
 * full. An empty one is `most` ahead; more is a clock that went back a little, or other limits
 * before.
 */
int64_t bucket_take(struct bucket *bucket, unsigned rate, unsigned burst, int64_t now_ms)
{
	int64_t most = 1000 * (int64_t)burst, ahead = 0;

	if (bucket->full_ms - now_ms > most / rate + SKEW_MS)
		*bucket = (struct bucket){ .full_ms = now_ms + most / rate };
	if (bucket->full_ms >= now_ms)
		ahead = (bucket->full_ms - now_ms) * rate +
			(bucket->fraction < rate ? bucket->fraction : rate - 1);
	ahead += 1000;
	if (ahead > most)
		return (ahead - most + rate - 1) / rate;
	bucket->full_ms = now_ms + ahead / rate;
	bucket->fraction = (uint32_t)(ahead % rate);
	return 0;
}

void bucket_give_back(struct bucket *bucket, unsigned rate)
{
	int64_t full = bucket->full_ms * rate + bucket->fraction - 1000;

	bucket->full_ms = full / rate;
	bucket->fraction = (uint32_t)(full % rate);
}

static inline uint64_t rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static inline void sip_absorb(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

/* SipHash-1-3 of the 17 bytes of a key. */
static uint64_t hash(const uint64_t secret[2], const struct source_key *key)
{
	uint64_t v[4] = { secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d,
			  secret[0] ^ 0x6c7967656e657261, secret[1] ^ 0x7465646279746573 };

	sip_absorb(v, key->high);
	sip_absorb(v, key->low);
	sip_absorb(v, UINT64_C(17) << 56 | key->kind);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t first_bits(unsigned n)
{
	return n == 0 ? 0 : UINT64_MAX << (64 - n);
}

static struct source_key key_of(const struct source_limits *limits, const struct peer *peer)
{
	uint64_t words[2];
	unsigned length = limits->prefix_v6;

	if (peer->is_unix)
		return (struct source_key){ .low = peer->uid, .kind = KIND_UID };
	if (IN6_IS_ADDR_V4MAPPED(&peer->address))
		length = 96 + limits->prefix_v4;
	memcpy(words, &peer->address, sizeof(words));
	return (struct source_key){
		.high = be64toh(words[0]) & first_bits(length < 64 ? length : 64),
		.low = be64toh(words[1]) & first_bits(length < 64 ? 0 : length - 64),
		.kind = (uint8_t)length,
	};
}

static bool same(const struct source_key *a, const struct source_key *b)
{
	return a->low == b->low && a->high == b->high && a->kind == b->kind;
}

struct sources *sources_new(size_t capacity)
{
	struct sources *sources;
	size_t n_heads = 1;

	if (capacity == 0 || capacity > UINT32_MAX / 2) {
		errno = EINVAL;
		return NULL;
	}
	while (n_heads < capacity)
		n_heads *= 2;
	sources = calloc(1, sizeof(*sources));
	if (!sources)
		return NULL;
	pthread_mutex_init(&sources->lock, NULL);
	sources->capacity = (uint32_t)capacity;
	sources->mask = (uint32_t)(n_heads - 1);
	sources->heads = calloc(n_heads, sizeof(*sources->heads));
	sources->entries = calloc(capacity + 1, sizeof(*sources->entries));
	/* So few bytes come all at once, or not at all. */
	if (!sources->heads || !sources->entries ||
	    getrandom(sources->secret, sizeof(sources->secret), 0) < 0)
		return sources_free(sources);
	return sources;
}

struct sources *sources_free(struct sources *sources)
{
	int saved = errno;

	if (sources) {
		pthread_mutex_destroy(&sources->lock);
		free(sources->heads);
		free(sources->entries);
		free(sources);
	}
	errno = saved;
	return NULL;
}

static void idle_remove(struct source *entries, struct source *source)
{
	entries[source->newer].older = source->older;
	entries[source->older].newer = source->newer;
}

static void idle_add(struct source *entries, struct source *source)
{
	uint32_t index = (uint32_t)(source - entries);

	source->newer = IDLE;
	source->older = entries[IDLE].older;
	entries[source->older].newer = index;
	entries[IDLE].older = index;
}

static uint32_t *head_of(struct sources *sources, const struct source_key *key)
{
	return &sources->heads[hash(sources->secret, key) & sources->mask];
}

static struct source *find(const struct sources *sources, uint32_t index,
			   const struct source_key *key)
{
	while (index && !same(&sources->entries[index].key, key))
		index = sources->entries[index].next;
	return index ? &sources->entries[index] : NULL;
}

static void forget(struct sources *sources, struct source *source)
{
	uint32_t index = (uint32_t)(source - sources->entries);
	uint32_t *link = head_of(sources, &source->key);

	while (*link != index)
		link = &sources->entries[*link].next;
	*link = source->next;
	idle_remove(sources->entries, source);
}

/* An entry that is in no chain and not in the ring; NULL where all have connections. */
static struct source *unused(struct sources *sources)
{
	uint32_t oldest = sources->entries[IDLE].newer;

	if (sources->n_used < sources->capacity)
		return &sources->entries[++sources->n_used];
	if (oldest == IDLE)
		return NULL;
	forget(sources, &sources->entries[oldest]);
	return &sources->entries[oldest];
}

/* A new entry for a source that has none, idle. */
static struct source *remember(struct sources *sources, uint32_t *head,
			       const struct source_key *key)
{
	struct source *source = unused(sources);

	if (!source)
		return NULL;
	*source = (struct source){ .key = *key, .next = *head };
	*head = (uint32_t)(source - sources->entries);
	idle_add(sources->entries, source);
	return source;
}

static enum source_answer enter(struct sources *sources, uint32_t *head,
				const struct source_limits *limits, const struct source_key *key,
				int64_t now_ms)
{
	struct source *source = find(sources, *head, key) ?: remember(sources, head, key);

	if (!source)
		return SOURCE_TOO_MANY;
	if (limits->connections && source->connections >= limits->connections)
		return SOURCE_TOO_MANY;
	if (source->connections == 0)
		idle_remove(sources->entries, source);
	if (!limits->rate ||
	    bucket_take(&source->bucket, limits->rate, limits->burst, now_ms) == 0) {
		source->connections++;
		return SOURCE_OK;
	}
	if (source->connections == 0)
		idle_add(sources->entries, source);
	return SOURCE_TOO_FAST;
}

static bool is_unlimited(const struct source_limits *limits)
{
	return limits->connections == 0 && limits->rate == 0;
}

enum source_answer sources_enter(struct sources *sources, const struct source_limits *limits,
				 const struct peer *peer, int64_t now_ms)
{
	enum source_answer answer;

	if (is_unlimited(limits))
		return SOURCE_OK;
	struct source_key key = key_of(limits, peer);
	uint32_t *head = head_of(sources, &key);
	pthread_mutex_lock(&sources->lock);
	answer = enter(sources, head, limits, &key, now_ms);
	pthread_mutex_unlock(&sources->lock);
	return answer;
}

void sources_leave(struct sources *sources, const struct source_limits *limits,
		   const struct peer *peer)
{
	struct source *source;

	if (is_unlimited(limits))
		return;
	struct source_key key = key_of(limits, peer);
	uint32_t *head = head_of(sources, &key);
	pthread_mutex_lock(&sources->lock);
	source = find(sources, *head, &key);
	assert(source && source->connections > 0);
	if (--source->connections == 0)
		idle_add(sources->entries, source);
	pthread_mutex_unlock(&sources->lock);
}
