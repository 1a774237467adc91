/* SPDX-License-Identifier: MIT */
/*
 * Bytes and lines grow by doubling. There is a NUL behind the last byte at any time.
 */
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

/* Room for one more than `n`; false when there is none. */
static bool reserve(struct text *text, void **array, size_t *capacity, size_t n, size_t size)
{
	size_t larger = *capacity ? *capacity : 1024;
	void *moved;

	if (text->failed)
		return false;
	if (n < *capacity)
		return true;
	while (larger <= n)
		larger *= 2;
	moved = reallocarray(*array, larger, size);
	if (!moved) {
		text->failed = true;
		return false;
	}
	*array = moved;
	*capacity = larger;
	return true;
}

void text_add(struct text *text, const char *bytes, size_t n)
{
	void *room = text->bytes;

	if (!reserve(text, &room, &text->bytes_capacity, text->n_bytes + n, 1))
		return;
	text->bytes = room;
	memcpy(text->bytes + text->n_bytes, bytes, n);
	text->n_bytes += n;
	text->bytes[text->n_bytes] = '\0';
}

void text_begin_line(struct text *text, const char *file, int line)
{
	void *room = text->lines;

	text_add(text, "\n", text->n_lines > 0 ? 1 : 0);
	if (!reserve(text, &room, &text->lines_capacity, text->n_lines, sizeof(*text->lines)))
		return;
	text->lines = room;
	text->lines[text->n_lines++] = (struct text_line){ .file = file, .line = line };
}

struct text_line *text_line(const struct text *text, size_t number)
{
	if (number < 1)
		number = 1;
	if (number > text->n_lines)
		number = text->n_lines;
	return &text->lines[number - 1];
}

/* The length of the UTF-8 sequence at the start, or 0. Surrogates and overlong forms are none. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
	size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4 || length > n)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

const char *text_fault(const char *bytes, size_t n, size_t *ret_offset)
{
	const unsigned char *s = (const unsigned char *)bytes;
	size_t length;

	*ret_offset = 0;
	if (n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
		return "a byte order mark; save the file without it";
	for (size_t i = 0; i < n; i += length) {
		*ret_offset = i;
		length = utf8_length(s + i, n - i);
		if (s[i] == '\0')
			return "a NUL byte; a configuration is plain text";
		if ((s[i] < 0x20 && !memchr("\t\n\r\f", s[i], 4)) || s[i] == 0x7f)
			return "a control character; a configuration is plain text";
		if (length == 0)
			return "bytes that are not UTF-8; save the file as UTF-8";
	}
	return NULL;
}

void text_deinit(struct text *text)
{
	free(text->bytes);
	free(text->lines);
	*text = (struct text){ 0 };
}
