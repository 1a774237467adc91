/* SPDX-License-Identifier: MIT */
/* Each header is given to the parser in full, and as every shorter beginning of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy.h"
#include "util.h"

#define BOTH (PROXY_V1 | PROXY_V2)

/* A string literal with its length, for it may contain NUL. */
#define BYTES(literal) literal, sizeof(literal) - 1

struct outcome {
	int verdict;
	const char *problem;
	struct proxy_header header;
	size_t decided; /* the bytes that were needed */
};

static void assert_same_peer(const struct peer *a, const struct peer *b)
{
	assert_memory_equal(&a->address, &b->address, sizeof(a->address));
	assert_int_equal(a->port, b->port);
	assert_int_equal(a->is_unix, b->is_unix);
}

static void assert_same_outcome(const struct outcome *a, const struct outcome *b)
{
	assert_int_equal(a->verdict, b->verdict);
	if (a->verdict == -EPROTO)
		assert_string_equal(a->problem, b->problem);
	else
		assert_int_equal(a->header.size, b->header.size);
	if (a->verdict == PROXY_PEER) {
		assert_same_peer(&a->header.source, &b->header.source);
		assert_same_peer(&a->header.destination, &b->header.destination);
	}
}

/* From memory of exactly the size, so that a sanitizer sees the first byte too many. */
static struct outcome parse_once(const void *bytes, size_t n, unsigned versions)
{
	auto_free void *copy = malloc(n);
	struct outcome outcome = { .decided = n };

	assert_true(copy || n == 0);
	memcpy(copy, bytes, n);
	outcome.verdict = proxy_parse(copy, n, versions, &outcome.header, &outcome.problem);
	return outcome;
}

/* After a first answer other than PROXY_MORE all others are the same. */
static struct outcome parse_as(const void *bytes, size_t n, unsigned versions)
{
	struct outcome first = { .verdict = PROXY_MORE };

	for (size_t i = 0; i <= n; i++) {
		struct outcome outcome = parse_once(bytes, i, versions);

		if (first.verdict == PROXY_MORE)
			first = outcome;
		else
			assert_same_outcome(&first, &outcome);
	}
	return first;
}

static struct outcome parse(const void *bytes, size_t n)
{
	return parse_as(bytes, n, BOTH);
}

static void assert_refused(const void *bytes, size_t n, size_t decided, const char *problem)
{
	struct outcome outcome = parse(bytes, n);

	assert_int_equal(outcome.verdict, -EPROTO);
	assert_string_equal(outcome.problem, problem);
	assert_int_equal(outcome.decided, decided);
}

/* What follows is payload, whatever it is. */
static struct outcome assert_accepted(const void *bytes, size_t n, enum proxy_verdict verdict)
{
	static const char payload[] = "\r\nPROXY TCP4 payload";
	auto_free char *all = malloc(n + sizeof(payload));
	struct outcome outcome;

	assert_non_null(all);
	memcpy(mempcpy(all, bytes, n), payload, sizeof(payload));
	outcome = parse(all, n + sizeof(payload));
	assert_int_equal(outcome.verdict, verdict);
	assert_int_equal(outcome.header.size, n);
	assert_int_equal(outcome.decided, n);
	return outcome;
}

static void assert_ends(const struct outcome *outcome, const char *source, const char *destination)
{
	char text[PEER_MAX];

	assert_string_equal(peer_format(text, &outcome->header.source), source);
	assert_string_equal(peer_format(text, &outcome->header.destination), destination);
}

/* ---- version 1 */

static void v1_addresses_are_read(void **state)
{
	static const struct {
		const char *line, *source, *destination;
	} samples[] = {
		{ "TCP4 192.0.2.1 198.51.100.2 4242 443", "192.0.2.1:4242", "198.51.100.2:443" },
		{ "TCP4 0.0.0.0 255.255.255.255 0 65535", "0.0.0.0:0", "255.255.255.255:65535" },
		{ "TCP4 1.2.3.4 1.2.3.4 1 10", "1.2.3.4:1", "1.2.3.4:10" },
		{ "TCP6 2001:db8::1 ::1 4242 443", "[2001:db8::1]:4242", "[::1]:443" },
		{ "TCP6 2001:DB8:0:0:0:0:0:1 2001:0db8::00a0 1 2", "[2001:db8::1]:1",
		  "[2001:db8::a0]:2" },
		{ "TCP6 ::ffff:192.0.2.1 2001:db8::1 4242 443", "192.0.2.1:4242",
		  "[2001:db8::1]:443" },
		{ "TCP6 ::ffff:c000:201 :: 4242 443", "192.0.2.1:4242", "[::]:443" },
		{ "TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		char line[128];
		int n = snprintf(line, sizeof(line), "PROXY %s\r\n", samples[i].line);
		struct outcome outcome = assert_accepted(line, (size_t)n, PROXY_PEER);

		assert_ends(&outcome, samples[i].source, samples[i].destination);
	}
}

static void v1_unknown_is_anything(void **state)
{
	(void)state;
	assert_accepted(BYTES("PROXY UNKNOWN\r\n"), PROXY_KEEP);
	assert_accepted(BYTES("PROXY UNKNOWN \r\n"), PROXY_KEEP);
	assert_accepted(BYTES("PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n"), PROXY_KEEP);
	assert_accepted(BYTES("PROXY UNKNOWN a\0b\nc\rd\xff\r\r\n"), PROXY_KEEP);
	assert_accepted(BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
			      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
			PROXY_KEEP);
}

/* Only refused because of what it names first. */
static void v1_words_are_exact(void **state)
{
	static const char no_header[] = "it begins as no version does";
	static const char no_word[] = "it names none of TCP4, TCP6 and UNKNOWN";

	(void)state;
	assert_refused(BYTES("GET / HTTP/1.0\r\n"), 1, no_header);
	assert_refused(BYTES("\0"), 1, no_header);
	assert_refused(BYTES(" PROXY TCP4"), 1, no_header);
	assert_refused(BYTES("proxy TCP4"), 1, no_header);
	assert_refused(BYTES("PROXY\r\n"), 6, no_header);
	assert_refused(BYTES("PROXY\tTCP4"), 6, no_header);
	assert_refused(BYTES("PROXY  TCP4"), 7, no_word);
	assert_refused(BYTES("PROXY \r\n"), 7, no_word);
	assert_refused(BYTES("PROXY tcp4"), 7, no_word);
	assert_refused(BYTES("PROXY UDP4"), 8, no_word);
	assert_refused(BYTES("PROXY TCP "), 10, no_word);
	assert_refused(BYTES("PROXY TCP5"), 10, no_word);
	assert_refused(BYTES("PROXY TCP4\r\n"), 11, no_word);
	assert_refused(BYTES("PROXY TCP44 "), 11, no_word);
	assert_refused(BYTES("PROXY UNKNOWNS\r\n"), 14, no_word);
	assert_refused(BYTES("PROXY UNKNOWN\n"), 14, no_word);
	assert_refused(BYTES("PROXY UNKNOWN\r\r\n"), 15, no_word);
}

/* Without its CRLF, a line of 107 bytes cannot end in time any more. */
static void v1_lines_end_within_107_bytes(void **state)
{
	static const char too_long[] = "its line does not end within 107 bytes";
	char line[200];

	(void)state;
	memset(line, '0', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	assert_refused(line, sizeof(line), 107, too_long);
	memcpy(line + 105, "\r\n", 2);
	assert_accepted(line, 107, PROXY_KEEP);
	memcpy(line + 105, "0\r\n", 3);
	assert_refused(line, 108, 107, too_long);

	memset(line, '0', sizeof(line));
	memcpy(line, "PROXY TCP4 ", 11);
	assert_refused(line, sizeof(line), 107, too_long);
	memcpy(line + 105, "\r\n", 2);
	assert_refused(line, 107, 107, "it has fewer than two addresses and two ports");
	memcpy(line + 105, "0\r\n", 3);
	assert_refused(line, 108, 107, too_long);
}

/* Seen at once, and not when the line is there. */
static void v1_bytes_are_those_of_addresses(void **state)
{
	static const char text[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
	static const char allowed[] = "0123456789abcdefABCDEF:. ";
	static const char problem[] = "it has bytes that no address or port has";

	(void)state;
	for (int c = 0; c < 256; c++) {
		char line[sizeof(text)];

		memcpy(line, text, sizeof(text));
		line[18] = (char)c;
		if (!memchr(allowed, c, sizeof(allowed) - 1))
			assert_refused(line, sizeof(line) - 1, c == '\r' ? 20 : 19, problem);
	}
	assert_refused(BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"), 35, problem);
	assert_refused(BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n"), 36, problem);
	assert_refused(BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 +2\r\n"), 34, problem);
	assert_refused(BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n"), 32, problem);
	assert_refused(BYTES("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"), 19, problem);
}

static void v1_fields_are_exact(void **state)
{
	static const char missing[] = "it has fewer than two addresses and two ports";
	static const char source[] = "the source is not an address of its family";
	static const char destination[] = "the destination is not an address of its family";
	static const char source_port[] = "the source port is not a plain number up to 65535";
	static const char port[] = "the destination port is not a plain number up to 65535";
	static const struct {
		const char *line, *problem;
	} samples[] = {
		{ "TCP4 ", missing },
		{ "TCP4 192.0.2.1", missing },
		{ "TCP4 192.0.2.1 192.0.2.2", missing },
		{ "TCP4 192.0.2.1 192.0.2.2 1", missing },
		{ "TCP4 192.0.2.1 192.0.2.2 1 ", port },
		{ "TCP4 192.0.2.1 192.0.2.2 1 2 ", port },
		{ "TCP4 192.0.2.1 192.0.2.2 1 2 3", port },
		{ "TCP4 192.0.2.1 192.0.2.2 1  2", port },
		{ "TCP4 192.0.2.1 192.0.2.2  1 2", source_port },
		{ "TCP4 192.0.2.1  192.0.2.2 1 2", destination },
		{ "TCP4  192.0.2.1 192.0.2.2 1 2", source },
		{ "TCP4 192.0.2 192.0.2.2 1 2", source },
		{ "TCP4 192.0.2.1. 192.0.2.2 1 2", source },
		{ "TCP4 192.0.2.1.1 192.0.2.2 1 2", source },
		{ "TCP4 192.0.2.256 192.0.2.2 1 2", source },
		{ "TCP4 192.0.2.01 192.0.2.2 1 2", source },
		{ "TCP4 192.0.2.00 192.0.2.2 1 2", source },
		{ "TCP4 3221225985 192.0.2.2 1 2", source },
		{ "TCP4 192.0.2.a 192.0.2.2 1 2", source },
		{ "TCP4 192.0.2.1 192.0.2.08 1 2", destination },
		{ "TCP4 ::1 ::1 1 2", source },
		{ "TCP4 ::ffff:192.0.2.1 192.0.2.2 1 2", source },
		{ "TCP4 192.0.2.1 ::1 1 2", destination },
		{ "TCP6 192.0.2.1 192.0.2.2 1 2", source },
		{ "TCP6 ::1 192.0.2.2 1 2", destination },
		{ "TCP6 : ::1 1 2", source },
		{ "TCP6 ::: ::1 1 2", source },
		{ "TCP6 1:2:3:4:5:6:7 ::1 1 2", source },
		{ "TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2", source },
		{ "TCP6 1::2::3 ::1 1 2", source },
		{ "TCP6 00001::1 ::1 1 2", source },
		{ "TCP6 ::ffff:192.0.2.01 ::1 1 2", source },
		{ "TCP6 00000000000000000000000000000000000000000000000000 ::1 1 2", source },
		{ "TCP4 192.0.2.1 192.0.2.2 65536 2", source_port },
		{ "TCP4 192.0.2.1 192.0.2.2 1 65536", port },
		{ "TCP4 192.0.2.1 192.0.2.2 99999 2", source_port },
		{ "TCP4 192.0.2.1 192.0.2.2 100000 2", source_port },
		{ "TCP4 192.0.2.1 192.0.2.2 4294967297 2", source_port },
		{ "TCP4 192.0.2.1 192.0.2.2 18446744073709551617 2", source_port },
		{ "TCP4 192.0.2.1 192.0.2.2 01 2", source_port },
		{ "TCP4 192.0.2.1 192.0.2.2 00 2", source_port },
		{ "TCP4 192.0.2.1 192.0.2.2 1 02", port },
		{ "TCP4 192.0.2.1 192.0.2.2 1 a", port },
		{ "TCP4 192.0.2.1 192.0.2.2 1 2a", port },
		{ "TCP4 192.0.2.1 192.0.2.2 1. 2", source_port },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		char line[128];
		int n = snprintf(line, sizeof(line), "PROXY %s\r\n", samples[i].line);

		assert_refused(line, (size_t)n, (size_t)n, samples[i].problem);
	}
}

/* ---- version 2 */

#define V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define LOCAL        0x20
#define PROXY        0x21
#define TCP4         0x11
#define TCP6         0x21
#define UNIX_STREAM  0x31

static const size_t address_sizes[] = { 0, 12, 36, 216 };

/* Returns the size; behind the first 16 bytes are zeros, which as TLVs are empty ones of type 0. */
static size_t make_v2(uint8_t *out, int command, int family, size_t length)
{
	memset(out, 0, 16 + length);
	memcpy(out, BYTES(V2_SIGNATURE));
	out[12] = (uint8_t)command;
	out[13] = (uint8_t)family;
	out[14] = (uint8_t)(length >> 8);
	out[15] = (uint8_t)length;
	return 16 + length;
}

static void v2_addresses_are_read(void **state)
{
	struct outcome outcome;

	(void)state;
	outcome = assert_accepted(BYTES(V2_SIGNATURE "\x21\x11\x00\x0c"
						     "\xc0\x00\x02\x01\xc6\x33\x64\x02"
						     "\x10\x92\x01\xbb"),
				  PROXY_PEER);
	assert_ends(&outcome, "192.0.2.1:4242", "198.51.100.2:443");

	outcome = assert_accepted(
		BYTES(V2_SIGNATURE
		      "\x21\x21\x00\x24"
		      "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
		      "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
		      "\x00\x00\xff\xff"),
		PROXY_PEER);
	assert_ends(&outcome, "[2001:db8::1]:0", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");

	outcome = assert_accepted(
		BYTES(V2_SIGNATURE
		      "\x21\x21\x00\x24"
		      "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01"
		      "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		      "\x10\x92\x01\xbb"),
		PROXY_PEER);
	assert_ends(&outcome, "192.0.2.1:4242", "[::]:443");
}

static void v2_signature_is_exact(void **state)
{
	uint8_t header[16 + 12];

	(void)state;
	for (size_t i = 0; i < 12; i++) {
		size_t n = make_v2(header, PROXY, TCP4, 12);

		header[i] ^= 0x40;
		assert_refused(header, n, i + 1, "it begins as no version does");
	}
}

static void v2_versions_and_commands(void **state)
{
	uint8_t header[16 + 12];

	(void)state;
	for (int command = 0; command < 256; command++) {
		size_t n = make_v2(header, command, TCP4, 12);

		if (command == LOCAL)
			assert_accepted(header, n, PROXY_KEEP);
		else if (command == PROXY)
			assert_accepted(header, n, PROXY_PEER);
		else if (command >> 4 == 2)
			assert_refused(header, n, 13, "its command is neither LOCAL nor PROXY");
		else
			assert_refused(header, n, 13,
				       "its signature is that of version 2, its version another");
	}
}

static void v2_families_and_transports(void **state)
{
	uint8_t header[16 + 216];

	(void)state;
	for (int family = 0; family < 256; family++) {
		size_t n = make_v2(header, PROXY, family, 216);

		if (family >> 4 > 3)
			assert_refused(header, n, 14, "its address family is unknown");
		else if ((family & 0xf) > 1)
			assert_refused(header, n, 14, "its transport is not a stream");
		else if (family == TCP4 || family == TCP6)
			assert_accepted(header, n, PROXY_PEER);
		else
			assert_accepted(header, n, PROXY_KEEP);
	}
}

/* What stands in the family's byte, or behind the first 16, has no meaning. */
static void v2_local_is_anything(void **state)
{
	uint8_t header[16 + 13];

	(void)state;
	for (int family = 0; family < 256; family++) {
		assert_accepted(header, make_v2(header, LOCAL, family, 0), PROXY_KEEP);
		memset(header + make_v2(header, LOCAL, family, 13) - 13, 0xff, 13);
		assert_accepted(header, sizeof(header), PROXY_KEEP);
	}
}

static void v2_unspecified_is_anything(void **state)
{
	static const int families[] = { 0x00, 0x01, 0x10, 0x20, 0x30 };
	uint8_t header[16 + 13];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		assert_accepted(header, make_v2(header, PROXY, families[i], 0), PROXY_KEEP);
		memset(header + make_v2(header, PROXY, families[i], 13) - 13, 0xff, 13);
		assert_accepted(header, sizeof(header), PROXY_KEEP);
	}
}

/* Whatever is more than the addresses is TLVs, here of three bytes each. */
static void v2_lengths(void **state)
{
	static const size_t lengths[] = { 0,    1,    11,    12,    13,   14,   15,   34,
					  35,   36,   37,    38,    39,   214,  215,  216,
					  217,  218,  219,   4077,  4078, 4079, 4080, 4081,
					  4082, 4096, 32768, 65534, 65535 };
	static const int families[] = { 0x00, TCP4, TCP6, UNIX_STREAM };
	auto_free uint8_t *header = malloc(16 + 65535);

	(void)state;
	assert_non_null(header);
	for (size_t i = 0; i < ARRAY_SIZE(lengths) * ARRAY_SIZE(families); i++) {
		int family = families[i % ARRAY_SIZE(families)];
		size_t length = lengths[i / ARRAY_SIZE(families)];
		size_t addresses = address_sizes[family >> 4];
		size_t n = make_v2(header, PROXY, family, length);

		if (n > PROXY_HEADER_MAX)
			assert_refused(header, 20, 16, "it is longer than 4096 bytes");
		else if (length < addresses)
			assert_refused(header, n, 16, "it is too short for its addresses");
		else if (family != 0 && (length - addresses) % 3 != 0)
			assert_refused(header, n, n, "one of its values ends beyond it");
		else
			assert_accepted(header, n,
					family == TCP4 || family == TCP6 ? PROXY_PEER : PROXY_KEEP);
	}
	assert_refused(header, make_v2(header, LOCAL, 0, 4081), 16, "it is longer than 4096 bytes");
	assert_accepted(header, make_v2(header, LOCAL, 0, 4080), PROXY_KEEP);
}

static size_t make_v2_tlvs(uint8_t *out, int family, const void *tlvs, size_t n)
{
	size_t at = 16 + address_sizes[family >> 4];

	make_v2(out, PROXY, family, at - 16 + n);
	memcpy(out + at, tlvs, n);
	return at + n;
}

static void v2_tlvs_are_skipped(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} samples[] = {
		{ BYTES("\x01\x00\x02h2") },
		{ BYTES("\x04\x00\x00") },
		{ BYTES("\x04\x00\x00\x04\x00\x00\x04\x00\x05#####") },
		{ BYTES("\x02\x00\x0ename.example.a\x05\x00\x01u") },
		{ BYTES("\xe0\x00\x01\xff\xff\x00\x00") },
		{ BYTES("\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3") },
		/* What an SSL TLV has inside is its own matter. */
		{ BYTES("\x20\x00\x08\x01\x00\x00\x00\x00\x21\xff\xff") },
		{ BYTES("\x20\x00\x00") },
	};
	static const int families[] = { TCP4, TCP6, UNIX_STREAM };
	uint8_t header[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples) * ARRAY_SIZE(families); i++) {
		int family = families[i % ARRAY_SIZE(families)];
		size_t sample = i / ARRAY_SIZE(families);
		size_t n = make_v2_tlvs(header, family, samples[sample].bytes, samples[sample].n);

		assert_accepted(header, n, family == UNIX_STREAM ? PROXY_KEEP : PROXY_PEER);
	}
}

static void v2_tlvs_end_with_the_header(void **state)
{
	static const char beyond[] = "one of its values ends beyond it";
	static const char checksum[] = "it has two checksums, or one of a wrong size";
	static const struct {
		const char *bytes;
		size_t n;
		const char *problem;
	} samples[] = {
		{ BYTES("\x04"), beyond },
		{ BYTES("\x04\x00"), beyond },
		{ BYTES("\x04\x00\x01"), beyond },
		{ BYTES("\x04\x01\x00#"), beyond },
		{ BYTES("\x04\xff\xff#"), beyond },
		{ BYTES("\x04\x00\x05####"), beyond },
		{ BYTES("\x04\x00\x00\x04\x00\x02#"), beyond },
		{ BYTES("\x04\x00\x01#\x04\x00"), beyond },
		{ BYTES("\x20\x00\x10\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"), beyond },
		{ BYTES("\x03\x00\x04###"), beyond },
		{ BYTES("\x03\x00\x00"), checksum },
		{ BYTES("\x03\x00\x03###"), checksum },
		{ BYTES("\x03\x00\x05#####"), checksum },
		{ BYTES("\x03\x00\x04####\x03\x00\x04####"), checksum },
		{ BYTES("\x03\x00\x04\x00\x00\x00\x00"), "its checksum is wrong" },
		/* An overrun is told from whatever stands before it. */
		{ BYTES("\x03\x00\x04\x00\x00\x00\x00\x04\x00"), beyond },
	};
	static const int families[] = { TCP4, TCP6, UNIX_STREAM };
	uint8_t header[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples) * ARRAY_SIZE(families); i++) {
		int family = families[i % ARRAY_SIZE(families)];
		size_t sample = i / ARRAY_SIZE(families);
		size_t n = make_v2_tlvs(header, family, samples[sample].bytes, samples[sample].n);

		assert_refused(header, n, n, samples[sample].problem);
	}
}

/*
 * As HAProxy 2.6 sent it with proxy-v2-options crc32c,unique-id,authority,ssl,cert-cn,ssl-cipher,
 * cert-key,cert-sig.
 */
static const char haproxy_tcp4[] =
	"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x81"
	"\x7f\x00\x00\x01\x7f\x00\x00\x01\xd5\x0c\x1f\x44\x03\x00\x04\xc1"
	"\x18\x00\xc1\x02\x00\x0c\x6e\x61\x6d\x65\x2e\x65\x78\x61\x6d\x70"
	"\x6c\x65\x05\x00\x0a\x69\x64\x2d\x36\x33\x31\x33\x2d\x31\x30\x20"
	"\x00\x4f\x07\x00\x00\x00\x00\x21\x00\x07\x54\x4c\x53\x76\x31\x2e"
	"\x33\x22\x00\x0d\x70\x72\x6f\x78\x79\x2e\x65\x78\x61\x6d\x70\x6c"
	"\x65\x25\x00\x07\x52\x53\x41\x32\x30\x34\x38\x24\x00\x0a\x52\x53"
	"\x41\x2d\x53\x48\x41\x32\x35\x36\x23\x00\x16\x54\x4c\x53\x5f\x41"
	"\x45\x53\x5f\x32\x35\x36\x5f\x47\x43\x4d\x5f\x53\x48\x41\x33\x38"
	"\x34";

/* The same with crc32c,unique-id,ssl and nothing to say of the latter. */
static const char haproxy_tcp6[] =
	"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x21\x00\x3f"
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
	"\x86\x66\x1f\x43\x03\x00\x04\x28\x7f\xdf\xf0\x05\x00\x09\x69\x64"
	"\x2d\x36\x33\x31\x33\x2d\x37\x20\x00\x05\x00\x00\x00\x00\x00";

/* Each bit of the header is under the checksum. */
static void v2_checksum_is_verified(void **state)
{
	struct outcome outcome;

	(void)state;
	outcome = assert_accepted(haproxy_tcp6, sizeof(haproxy_tcp6) - 1, PROXY_PEER);
	assert_ends(&outcome, "[::1]:34406", "[::1]:8003");
	outcome = assert_accepted(haproxy_tcp4, sizeof(haproxy_tcp4) - 1, PROXY_PEER);
	assert_ends(&outcome, "127.0.0.1:54540", "127.0.0.1:8004");

	for (size_t bit = 0; bit < 8 * (sizeof(haproxy_tcp4) - 1); bit++) {
		char header[sizeof(haproxy_tcp4) - 1];

		if (bit / 8 == 16 + 12) /* the byte that says that this is a checksum */
			continue;
		memcpy(header, haproxy_tcp4, sizeof(header));
		header[bit / 8] ^= (char)(1 << bit % 8);
		outcome = parse_once(header, sizeof(header), BOTH);
		/* Of the first bytes some make it LOCAL or UNSPEC, or longer than there is. */
		assert_int_not_equal(outcome.verdict, PROXY_PEER);
		if (bit / 8 >= 16)
			assert_int_equal(outcome.verdict, -EPROTO);
	}
}

/* ---- either version */

static void only_accepted_versions(void **state)
{
	static const char v1[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
	struct outcome outcome;

	(void)state;
	assert_int_equal(parse_as(BYTES(v1), PROXY_V1).verdict, PROXY_PEER);
	assert_int_equal(parse_as(BYTES(haproxy_tcp4), PROXY_V2).verdict, PROXY_PEER);

	outcome = parse_as(BYTES(v1), PROXY_V2);
	assert_int_equal(outcome.verdict, -EPROTO);
	assert_string_equal(outcome.problem, "its version is not accepted here");
	assert_int_equal(outcome.decided, 6);

	outcome = parse_as(BYTES(haproxy_tcp4), PROXY_V1);
	assert_int_equal(outcome.verdict, -EPROTO);
	assert_string_equal(outcome.problem, "its version is not accepted here");
	assert_int_equal(outcome.decided, 12);
}

static struct peer peer_at(const char *text, uint16_t port)
{
	struct peer peer = { .address.s6_addr = { [10] = 0xff, [11] = 0xff }, .port = htons(port) };

	if (inet_pton(AF_INET, text, peer.address.s6_addr + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, &peer.address), 1);
	return peer;
}

static const struct peer unix_peer = { .pid = 1, .uid = 2, .gid = 3, .is_unix = true };

static void assert_built(enum proxy_version version, const struct peer *source,
			 const struct peer *destination, const char *expected, size_t n)
{
	char out[PROXY_BUILD_MAX];

	assert_int_equal(proxy_build(out, version, source, destination), n);
	assert_memory_equal(out, expected, n);
}

static void built_byte_for_byte(void **state)
{
	struct peer a4 = peer_at("192.0.2.1", 4242), b4 = peer_at("198.51.100.2", 443);
	struct peer a6 = peer_at("2001:db8::1", 4242), b6 = peer_at("::1", 0);

	(void)state;
	assert_built(PROXY_V1, &a4, &b4, BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 4242 443\r\n"));
	assert_built(PROXY_V1, &a6, &b6, BYTES("PROXY TCP6 2001:db8::1 ::1 4242 0\r\n"));
	assert_built(PROXY_V1, &a4, &b6, BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 4242 0\r\n"));
	assert_built(PROXY_V1, &a6, &b4,
		     BYTES("PROXY TCP6 2001:db8::1 ::ffff:198.51.100.2 4242 443\r\n"));
	assert_built(PROXY_V1, &unix_peer, &b4, BYTES("PROXY UNKNOWN\r\n"));
	assert_built(PROXY_V1, &a4, &unix_peer, BYTES("PROXY UNKNOWN\r\n"));

	assert_built(PROXY_V2, &a4, &b4,
		     BYTES(V2_SIGNATURE "\x21\x11\x00\x0c"
					"\xc0\x00\x02\x01\xc6\x33\x64\x02\x10\x92\x01\xbb"));
	assert_built(PROXY_V2, &a6, &b4,
		     BYTES(V2_SIGNATURE
			   "\x21\x21\x00\x24"
			   "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
			   "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc6\x33\x64\x02"
			   "\x10\x92\x01\xbb"));
	assert_built(PROXY_V2, &unix_peer, &unix_peer, BYTES(V2_SIGNATURE "\x20\x00\x00\x00"));
}

static void what_is_built_is_parsed_again(void **state)
{
	struct peer peers[] = {
		peer_at("192.0.2.1", 4242),
		peer_at("0.0.0.0", 0),
		peer_at("255.255.255.255", 65535),
		peer_at("2001:db8::1", 443),
		peer_at("::", 1),
		peer_at("::192.0.2.1", 2),
		peer_at("0:0:1::ffff:192.0.2.1", 5),
		peer_at("::ffff:0:192.0.2.1", 3),
		peer_at("fe80:1:2:3:4:5:6:7", 4),
		peer_at("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 65535),
		unix_peer,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(peers) * ARRAY_SIZE(peers) * 2; i++) {
		const struct peer *source = &peers[i / 2 % ARRAY_SIZE(peers)];
		const struct peer *destination = &peers[i / 2 / ARRAY_SIZE(peers)];
		bool names = !source->is_unix && !destination->is_unix;
		char out[PROXY_BUILD_MAX];
		size_t n = proxy_build(out, i % 2 ? PROXY_V1 : PROXY_V2, source, destination);
		struct outcome outcome = assert_accepted(out, n, names ? PROXY_PEER : PROXY_KEEP);

		if (names) {
			assert_same_peer(&outcome.header.source, source);
			assert_same_peer(&outcome.header.destination, destination);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(v1_addresses_are_read),
		cmocka_unit_test(v1_unknown_is_anything),
		cmocka_unit_test(v1_words_are_exact),
		cmocka_unit_test(v1_lines_end_within_107_bytes),
		cmocka_unit_test(v1_bytes_are_those_of_addresses),
		cmocka_unit_test(v1_fields_are_exact),
		cmocka_unit_test(v2_addresses_are_read),
		cmocka_unit_test(v2_signature_is_exact),
		cmocka_unit_test(v2_versions_and_commands),
		cmocka_unit_test(v2_families_and_transports),
		cmocka_unit_test(v2_local_is_anything),
		cmocka_unit_test(v2_unspecified_is_anything),
		cmocka_unit_test(v2_lengths),
		cmocka_unit_test(v2_tlvs_are_skipped),
		cmocka_unit_test(v2_tlvs_end_with_the_header),
		cmocka_unit_test(v2_checksum_is_verified),
		cmocka_unit_test(only_accepted_versions),
		cmocka_unit_test(built_byte_for_byte),
		cmocka_unit_test(what_is_built_is_parsed_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
