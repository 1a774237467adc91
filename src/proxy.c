/* SPDX-License-Identifier: MIT */
/* See proxy.h. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proxy.h"
#include "util.h"

#define V1_MAX 107 /* of a line, with its CRLF */

/* Where the parts of version 2 are. */
#define V2_COMMAND   12
#define V2_FAMILY    13 /* the family in the high half, the transport in the low one */
#define V2_LENGTH    14
#define V2_ADDRESSES 16

#define V2_LOCAL 0x20
#define V2_PROXY 0x21

enum v2_family { V2_UNSPEC, V2_INET, V2_INET6, V2_UNIX };

static const size_t v2_addresses_size[] = {
	[V2_UNSPEC] = 0, [V2_INET] = 2 * (4 + 2), [V2_INET6] = 2 * (16 + 2), [V2_UNIX] = 2 * 108
};

#define V2_STREAM 0x1
#define V2_TCP4   (V2_INET << 4 | V2_STREAM)
#define V2_TCP6   (V2_INET6 << 4 | V2_STREAM)

#define V2_TLV_HEADER  3 /* the type, and the length of the value */
#define V2_TYPE_CRC32C 0x03
#define V2_CRC32C_SIZE 4

static const char v1_signature[] = "PROXY ", v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

enum match { DIFFERS, PARTLY, MATCHES };

/* PARTLY: too few bytes to know. */
static enum match match(const uint8_t *bytes, size_t length, const char *expected, size_t n)
{
	if (memcmp(bytes, expected, length < n ? length : n) != 0)
		return DIFFERS;
	return length < n ? PARTLY : MATCHES;
}

static int refuse(const char **ret_problem, const char *problem)
{
	*ret_problem = problem;
	return -EPROTO;
}

static const struct peer mapped_v4 = { .address.s6_addr = { [10] = 0xff, [11] = 0xff } };

/*
 * An address of 4 bytes or of 16 is the last 4 or 16 of struct in6_addr: so it is with the mapped
 * form of IPv4. A size of 0 stands for no address.
 */
#define V4_SIZE sizeof(struct in_addr)
#define V6_SIZE sizeof(struct in6_addr)

static int family_of(size_t address_size)
{
	return address_size == V4_SIZE ? AF_INET : AF_INET6;
}

/* ---- version 1: PROXY TCP4 192.0.2.1 192.0.2.2 4242 443\r\n */

static bool read_address(const char *text, size_t address_size, struct peer *peer)
{
	*peer = mapped_v4;
	return inet_pton(family_of(address_size), text,
			 peer->address.s6_addr + V6_SIZE - address_size) == 1;
}

static bool read_port(const char *text, in_port_t *ret)
{
	size_t n = strspn(text, "0123456789");
	unsigned long port;

	if (n == 0 || text[n] || (n > 1 && text[0] == '0'))
		return false;
	port = strtoul(text, NULL, 10);
	*ret = htons((uint16_t)port);
	return port <= UINT16_MAX;
}

/* Exactly one blank between two fields: a second one makes an empty field, which nothing is. */
static int parse_v1_fields(char *line, size_t address_size, struct proxy_header *ret,
			   const char **ret_problem)
{
	const char *source = strsep(&line, " "), *destination = strsep(&line, " "),
		   *source_port = strsep(&line, " "), *destination_port = line;

	if (!destination_port)
		return refuse(ret_problem, "it has fewer than two addresses and two ports");
	if (!read_address(source, address_size, &ret->source))
		return refuse(ret_problem, "the source is not an address of its family");
	if (!read_address(destination, address_size, &ret->destination))
		return refuse(ret_problem, "the destination is not an address of its family");
	if (!read_port(source_port, &ret->source.port))
		return refuse(ret_problem, "the source port is not a plain number up to 65535");
	if (!read_port(destination_port, &ret->destination.port))
		return refuse(ret_problem,
			      "the destination port is not a plain number up to 65535");
	return PROXY_PEER;
}

/* Where the CRLF is. Before it is nothing but what addresses, ports and blanks are written with. */
static enum match find_v1_end(const uint8_t *bytes, size_t length, size_t *at)
{
	static const char allowed[] = "0123456789abcdefABCDEF:. ";

	while (*at < length && memchr(allowed, bytes[*at], sizeof(allowed) - 1))
		(*at)++;
	return match(bytes + *at, length - *at, "\r\n", 2);
}

/* Where the CRLF is. Before it is anything. */
static enum match find_v1_unknown_end(const uint8_t *bytes, size_t length, size_t *at)
{
	const uint8_t *end = memmem(bytes, length, "\r\n", 2);

	if (!end)
		return PARTLY;
	*at = (size_t)(end - bytes);
	return MATCHES;
}

/* `at` is where the addresses begin, each of this size; 0 for UNKNOWN. */
static int parse_v1_line(const uint8_t *bytes, size_t length, size_t at, size_t address_size,
			 struct proxy_header *ret, const char **ret_problem)
{
	char line[V1_MAX + 1];
	size_t end = at;
	enum match found = address_size == 0 ? find_v1_unknown_end(bytes, length, &end)
					     : find_v1_end(bytes, length, &end);

	if (found == DIFFERS)
		return refuse(ret_problem, "it has bytes that no address or port has");
	if (found == PARTLY && length == V1_MAX)
		return refuse(ret_problem, "its line does not end within 107 bytes");
	if (found == PARTLY)
		return PROXY_MORE;

	ret->size = end + 2;
	if (address_size == 0)
		return PROXY_KEEP;
	memcpy(line, bytes + at, end - at);
	line[end - at] = '\0';
	return parse_v1_fields(line, address_size, ret, ret_problem);
}

static int parse_v1(const uint8_t *bytes, size_t length, struct proxy_header *ret,
		    const char **ret_problem)
{
	static const struct {
		const char *text;
		size_t address_size;
	} starts[] = {
		{ "PROXY TCP4 ", V4_SIZE },
		{ "PROXY TCP6 ", V6_SIZE },
		{ "PROXY UNKNOWN ", 0 },
		{ "PROXY UNKNOWN\r\n", 0 },
	};
	bool partly = false;

	if (length > V1_MAX)
		length = V1_MAX;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		size_t n = strlen(starts[i].text);
		enum match start = match(bytes, length, starts[i].text, n);

		if (start == MATCHES)
			return parse_v1_line(bytes, length, n, starts[i].address_size, ret,
					     ret_problem);
		partly |= start == PARTLY;
	}
	if (partly)
		return PROXY_MORE;
	return refuse(ret_problem, "it names none of TCP4, TCP6 and UNKNOWN");
}

/* ---- version 2: signature, command, family and transport, length; addresses; TLVs */

static size_t read_16(const uint8_t *bytes)
{
	return (size_t)bytes[0] << 8 | bytes[1];
}

/* RFC 4960, appendix B, a bit at a time: headers are short, and few have a checksum. */
static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0x82f63b78 & -(crc & 1));
	}
	return crc;
}

/* The checksum itself counts as zero. */
static bool checksum_is_right(const uint8_t *bytes, size_t size, const uint8_t *checksum)
{
	static const uint8_t zero[V2_CRC32C_SIZE];
	const uint8_t *after = checksum + V2_CRC32C_SIZE;
	uint32_t crc = UINT32_MAX;

	crc = crc32c(crc, bytes, (size_t)(checksum - bytes));
	crc = crc32c(crc, zero, V2_CRC32C_SIZE);
	crc = crc32c(crc, after, (size_t)(bytes + size - after));
	return ~crc == ((uint32_t)read_16(checksum) << 16 | read_16(checksum + 2));
}

/* What is wrong with the TLVs, which begin at `at`, or NULL. Only the checksum is of interest. */
static const char *tlv_fault(const uint8_t *bytes, size_t at, size_t size)
{
	const uint8_t *checksum = NULL;

	while (at < size) {
		const uint8_t *tlv = bytes + at;

		if (size - at < V2_TLV_HEADER || size - at - V2_TLV_HEADER < read_16(tlv + 1))
			return "one of its values ends beyond it";
		if (tlv[0] == V2_TYPE_CRC32C) {
			if (checksum || read_16(tlv + 1) != V2_CRC32C_SIZE)
				return "it has two checksums, or one of a wrong size";
			checksum = tlv + V2_TLV_HEADER;
		}
		at += V2_TLV_HEADER + read_16(tlv + 1);
	}
	if (checksum && !checksum_is_right(bytes, size, checksum))
		return "its checksum is wrong";
	return NULL;
}

/* V2_UNSPEC where addresses are to be ignored, whatever else is said of them. */
static unsigned v2_family(const uint8_t *bytes)
{
	if (bytes[V2_COMMAND] == V2_LOCAL || (bytes[V2_FAMILY] & 0xf) != V2_STREAM)
		return V2_UNSPEC;
	return bytes[V2_FAMILY] >> 4;
}

/* What is wrong with as much as there is of the first 16 bytes, or NULL. */
static const char *v2_fault(const uint8_t *bytes, size_t length)
{
	if (length <= V2_COMMAND)
		return NULL;
	if (bytes[V2_COMMAND] >> 4 != V2_PROXY >> 4)
		return "its signature is that of version 2, its version another";
	if (bytes[V2_COMMAND] > V2_PROXY)
		return "its command is neither LOCAL nor PROXY";

	/* LOCAL has no family: the byte means nothing. */
	if (length <= V2_FAMILY)
		return NULL;
	if (bytes[V2_COMMAND] == V2_PROXY && bytes[V2_FAMILY] >> 4 > V2_UNIX)
		return "its address family is unknown";
	if (bytes[V2_COMMAND] == V2_PROXY && (bytes[V2_FAMILY] & 0xf) > V2_STREAM)
		return "its transport is not a stream";

	if (length < V2_ADDRESSES)
		return NULL;
	if (V2_ADDRESSES + read_16(bytes + V2_LENGTH) > PROXY_HEADER_MAX)
		return "it is longer than 4096 bytes";
	if (read_16(bytes + V2_LENGTH) < v2_addresses_size[v2_family(bytes)])
		return "it is too short for its addresses";
	return NULL;
}

/* Both addresses, then both ports. */
static void read_v2_addresses(const uint8_t *at, size_t address_size, struct proxy_header *ret)
{
	size_t skip = V6_SIZE - address_size;

	ret->source = ret->destination = mapped_v4;
	memcpy(ret->source.address.s6_addr + skip, at, address_size);
	memcpy(ret->destination.address.s6_addr + skip, at + address_size, address_size);
	at += 2 * address_size;
	memcpy(&ret->source.port, at, sizeof(in_port_t));
	memcpy(&ret->destination.port, at + sizeof(in_port_t), sizeof(in_port_t));
}

/* Where addresses are to be ignored nobody knows where they end, and so where TLVs would begin. */
static int parse_v2(const uint8_t *bytes, size_t length, struct proxy_header *ret,
		    const char **ret_problem)
{
	const char *fault = v2_fault(bytes, length);
	unsigned family;

	if (fault)
		return refuse(ret_problem, fault);
	if (length < V2_ADDRESSES || length < V2_ADDRESSES + read_16(bytes + V2_LENGTH))
		return PROXY_MORE;

	ret->size = V2_ADDRESSES + read_16(bytes + V2_LENGTH);
	family = v2_family(bytes);
	if (family == V2_UNSPEC)
		return PROXY_KEEP;
	fault = tlv_fault(bytes, V2_ADDRESSES + v2_addresses_size[family], ret->size);
	if (fault)
		return refuse(ret_problem, fault);
	if (family == V2_UNIX)
		return PROXY_KEEP;
	read_v2_addresses(bytes + V2_ADDRESSES, family == V2_INET ? V4_SIZE : V6_SIZE, ret);
	return PROXY_PEER;
}

/* ---- either version */

int proxy_parse(const void *bytes, size_t length, unsigned versions, struct proxy_header *ret,
		const char **ret_problem)
{
	enum match v1 = match(bytes, length, v1_signature, sizeof(v1_signature) - 1),
		   v2 = match(bytes, length, v2_signature, sizeof(v2_signature) - 1);

	if (v1 == PARTLY || v2 == PARTLY)
		return PROXY_MORE;
	if (v1 == DIFFERS && v2 == DIFFERS)
		return refuse(ret_problem, "it begins as no version does");
	if (!(versions & (v1 == MATCHES ? PROXY_V1 : PROXY_V2)))
		return refuse(ret_problem, "its version is not accepted here");
	if (v1 == MATCHES)
		return parse_v1(bytes, length, ret, ret_problem);
	return parse_v2(bytes, length, ret, ret_problem);
}

static size_t build_v1(char *out, size_t address_size, const struct peer *source,
		       const struct peer *destination)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
	int family = family_of(address_size);
	size_t skip = V6_SIZE - address_size;

	if (address_size == 0)
		return (size_t)sprintf(out, "PROXY UNKNOWN\r\n");
	inet_ntop(family, source->address.s6_addr + skip, from, sizeof(from));
	inet_ntop(family, destination->address.s6_addr + skip, to, sizeof(to));
	return (size_t)snprintf(out, PROXY_BUILD_MAX, "PROXY TCP%c %s %s %u %u\r\n",
				family == AF_INET ? '4' : '6', from, to,
				(unsigned)ntohs(source->port), (unsigned)ntohs(destination->port));
}

/*
 * Without addresses it is LOCAL, which every receiver must accept. PROXY with an unspecified family
 * would say that there is a client, and a receiver is free to reject it.
 */
static size_t build_v2(char *out, size_t address_size, const struct peer *source,
		       const struct peer *destination)
{
	static const char local[] = { V2_LOCAL, V2_UNSPEC << 4, 0, 0 };
	char *at = mempcpy(out, v2_signature, sizeof(v2_signature) - 1);
	size_t skip = V6_SIZE - address_size;

	if (address_size == 0) {
		memcpy(at, local, sizeof(local));
		return V2_ADDRESSES;
	}
	*at++ = V2_PROXY;
	*at++ = address_size == V4_SIZE ? V2_TCP4 : V2_TCP6;
	*at++ = 0;
	*at++ = (char)(2 * address_size + 2 * sizeof(in_port_t));
	at = mempcpy(at, source->address.s6_addr + skip, address_size);
	at = mempcpy(at, destination->address.s6_addr + skip, address_size);
	at = mempcpy(at, &source->port, sizeof(in_port_t));
	at = mempcpy(at, &destination->port, sizeof(in_port_t));
	return (size_t)(at - out);
}

size_t proxy_build(char out[PROXY_BUILD_MAX], enum proxy_version version, const struct peer *source,
		   const struct peer *destination)
{
	size_t address_size = V6_SIZE;

	if (source->is_unix || destination->is_unix)
		address_size = 0;
	else if (IN6_IS_ADDR_V4MAPPED(&source->address) &&
		 IN6_IS_ADDR_V4MAPPED(&destination->address))
		address_size = V4_SIZE;
	if (version == PROXY_V1)
		return build_v1(out, address_size, source, destination);
	return build_v2(out, address_size, source, destination);
}
