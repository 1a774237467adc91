/* SPDX-License-Identifier: MIT */
/*
 * For libFuzzer: any bytes as the beginning of a connection that a proxy made. The answer is the
 * same however the bytes come in, and what it names is written and read again as the same. The
 * bytes are taken for two peers as well, to be written and read again.
 *
 * clang -fsanitize=fuzzer,address,undefined, with src/proxy.c; tests/corpus/proxy has examples to
 * begin with.
 */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "proxy.h"
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct outcome {
	int verdict;
	const char *problem;
	struct proxy_header header;
};

/* From memory of exactly the size, so that a sanitizer sees the first byte too many. */
static struct outcome parse(const void *bytes, size_t n, unsigned versions)
{
	auto_free void *copy = malloc(n + !n);
	struct outcome outcome = { 0 };

	assert(copy);
	if (n > 0)
		memcpy(copy, bytes, n);
	outcome.verdict = proxy_parse(copy, n, versions, &outcome.header, &outcome.problem);
	if (outcome.verdict == -EPROTO)
		assert(outcome.problem);
	else if (outcome.verdict == PROXY_MORE)
		assert(n < PROXY_HEADER_MAX);
	else
		assert(outcome.header.size <= n && outcome.header.size <= PROXY_HEADER_MAX);
	return outcome;
}

static bool same_peer(const struct peer *a, const struct peer *b)
{
	return memcmp(&a->address, &b->address, sizeof(a->address)) == 0 && a->port == b->port &&
	       a->is_unix == b->is_unix;
}

static bool same_header(const struct proxy_header *a, const struct proxy_header *b)
{
	return same_peer(&a->source, &b->source) && same_peer(&a->destination, &b->destination);
}

/* Whether `outcome`, of more bytes, may follow on `earlier`. */
static bool may_follow(const struct outcome *earlier, const struct outcome *outcome)
{
	if (earlier->verdict == PROXY_MORE)
		return true;
	if (earlier->verdict != outcome->verdict)
		return false;
	if (earlier->verdict == -EPROTO)
		return strcmp(earlier->problem, outcome->problem) == 0;
	return earlier->header.size == outcome->header.size &&
	       (earlier->verdict == PROXY_KEEP || same_header(&earlier->header, &outcome->header));
}

/* All beginnings of a short input, and those of a long one in steps. Returns the last answer. */
static struct outcome parse_beginnings(const uint8_t *bytes, size_t n, unsigned versions)
{
	struct outcome last = parse(bytes, 0, versions);

	assert(last.verdict == PROXY_MORE);
	for (size_t i = 0; i < n; i += 1 + i / 128) {
		struct outcome outcome = parse(bytes, i, versions);

		assert(may_follow(&last, &outcome));
		last = outcome;
	}
	struct outcome outcome = parse(bytes, n, versions);
	assert(may_follow(&last, &outcome));
	if (outcome.verdict == PROXY_KEEP || outcome.verdict == PROXY_PEER) {
		last = parse(bytes, outcome.header.size, versions);
		assert(may_follow(&last, &outcome) && last.verdict == outcome.verdict);
		last = parse(bytes, outcome.header.size - 1, versions);
		assert(last.verdict == PROXY_MORE);
	}
	return outcome;
}

static void build_and_parse(enum proxy_version version, const struct proxy_header *header)
{
	char built[PROXY_BUILD_MAX];
	size_t n = proxy_build(built, version, &header->source, &header->destination);
	struct outcome outcome = parse_beginnings((const uint8_t *)built, n, version);

	assert(outcome.header.size == n);
	if (header->source.is_unix || header->destination.is_unix)
		assert(outcome.verdict == PROXY_KEEP);
	else
		assert(outcome.verdict == PROXY_PEER && same_header(&outcome.header, header));
}

/* Two bits of the last byte make AF_UNIX of the peers, two others IPv4. */
static void build_of_bytes(const uint8_t *bytes, size_t n)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct peer peers[2] = { 0 };
	uint8_t raw[37] = { 0 };

	memcpy(raw, bytes, n < sizeof(raw) ? n : sizeof(raw));
	for (size_t i = 0; i < 2; i++) {
		memcpy(&peers[i].address, raw + 18 * i, 16);
		memcpy(&peers[i].port, raw + 18 * i + 16, 2);
		peers[i].is_unix = raw[36] & 1 << i;
		if (raw[36] & 4 << i)
			memcpy(&peers[i].address, mapped, sizeof(mapped));
	}
	struct proxy_header header = { .source = peers[0], .destination = peers[1] };
	build_and_parse(PROXY_V1, &header);
	build_and_parse(PROXY_V2, &header);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct outcome any = parse_beginnings(bytes, n, PROXY_V1 | PROXY_V2);
	struct outcome v1 = parse_beginnings(bytes, n, PROXY_V1);
	struct outcome v2 = parse_beginnings(bytes, n, PROXY_V2);

	/* At most one of the versions is what it is. */
	assert(v1.verdict < PROXY_KEEP || v2.verdict < PROXY_KEEP);
	if (any.verdict >= PROXY_KEEP)
		assert(any.verdict == v1.verdict || any.verdict == v2.verdict);
	if (any.verdict == PROXY_PEER) {
		build_and_parse(PROXY_V1, &any.header);
		build_and_parse(PROXY_V2, &any.header);
	}
	build_of_bytes(bytes, n);
	return 0;
}
