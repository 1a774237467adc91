/* SPDX-License-Identifier: MIT */
/*
 * The tokens are those of libconfig's scanner, with three differences, each an error here:
 *  - a string ends on the line on which it begins, and has only the escapes that all releases know;
 *  - a number is not followed by letters (libconfig reads "10s" as a number and a key);
 *  - an @include stands at the start of a line (elsewhere libconfig takes it for garbage anyway).
 *
 * Comments do not get into the text and "@" only within a string, which never holds a newline. So
 * no line of the text can begin with @include, and libconfig, which calls exit() on some of them,
 * never sees one.
 */
#include "scan.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

#define NUMBER_MAX     64 /* bytes of a written number */
#define HEX_DIGITS_MAX 16 /* what newer libconfig takes */

/* One file that is being read. */
struct reader {
	struct scan *scan;
	const char *file;
	int line;
	const char *line_start;
	const char *at, *end;
};

void scan_init(struct scan *scan, struct report *report, struct text *text)
{
	scan->report = report;
	scan->text = text;
	scan->include = NULL;
	grammar_init(&scan->grammar, report);
}

#define complain(r, format, ...)                                                                   \
	report_add((r)->scan->report, "%s:%d: " format, (r)->file, (r)->line, ##__VA_ARGS__)

/* Something is wrong with a value only: the rest can still be checked. */
#define complain_value(r, format, ...)                                                             \
	({                                                                                         \
		complain(r, format, ##__VA_ARGS__);                                                \
		text_line((r)->scan->text, (r)->scan->grammar.key_line)->reported = true;          \
	})

/* Something is so wrong that the text is not for libconfig. */
#define give_up(r, format, ...)                                                                    \
	({                                                                                         \
		complain(r, format, ##__VA_ARGS__);                                                \
		(r)->scan->grammar.broken = true;                                                  \
		false;                                                                             \
	})

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool starts_with(const struct reader *r, const char *word)
{
	size_t length = strlen(word);

	return (size_t)(r->end - r->at) >= length && memcmp(r->at, word, length) == 0;
}

static bool take(struct reader *r, enum grammar_token token, const char *word, size_t length)
{
	struct grammar_place place = { r->file, r->line, r->scan->text->n_lines };

	return grammar_take(&r->scan->grammar, token, word, length, place);
}

static void next_line(struct reader *r)
{
	r->line_start = ++r->at;
	text_begin_line(r->scan->text, r->file, ++r->line);
}

static void line_comment(struct reader *r)
{
	const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));

	r->at = newline ? newline : r->end;
}

static bool block_comment(struct reader *r)
{
	struct reader start = *r;

	text_add(r->scan->text, " ", 1);
	for (r->at += 2; !starts_with(r, "*/");) {
		if (r->at == r->end)
			return give_up(&start, "this comment is never closed; write \"*/\"");
		if (*r->at == '\n')
			next_line(r);
		else
			r->at++;
	}
	r->at += 2;
	return true;
}

/* The bytes of the escape sequence at `r->at`, or 0 when it is none. */
static size_t escape_length(const struct reader *r)
{
	const char *e = r->at + 1;

	if (e < r->end && strchr("nrtf\\\"", *e))
		return 2;
	/* A NUL would end the string: libconfig takes what is before it. */
	if (r->end - e >= 3 && (*e == 'x' || *e == 'X') && is_hex(e[1]) && is_hex(e[2]) &&
	    !(e[1] == '0' && e[2] == '0'))
		return 4;
	return 0;
}

static bool string(struct reader *r)
{
	const char *start = r->at++;
	size_t length = 0, errors = r->scan->report->n_lines;

	while (r->at < r->end && *r->at != '"' && *r->at != '\n') {
		size_t step = 1;

		if (*r->at == '\\') {
			step = escape_length(r);
			if (step == 0) {
				complain_value(r, "unknown \"\\\" sequence in a string; write "
						  "\"\\\\\" for a single \"\\\"");
				step = r->end - r->at > 1 && r->at[1] != '\n' ? 2 : 1;
			}
		}
		r->at += step;
		length++;
	}
	if (r->at == r->end || *r->at == '\n')
		return give_up(r, "this string is never closed; write '\"' on the same line");
	r->at++;
	if (length > SCAN_STRING_MAX)
		complain_value(r, "a string of %zu bytes is too long; at most %d are taken", length,
			       SCAN_STRING_MAX);

	if (r->scan->report->n_lines > errors)
		text_add(r->scan->text, "\"\"", 2);
	else
		text_add(r->scan->text, start, (size_t)(r->at - start));
	return take(r, GRAMMAR_STRING, start, (size_t)(r->at - start));
}

/* [-+]digits, then L or LL or nothing; hexadecimal digits after 0x. */
static bool is_integer(const char *number, bool *ret_hex, bool *ret_long)
{
	const char *n = number;
	size_t digits;

	*ret_hex = n[0] == '0' && (n[1] == 'x' || n[1] == 'X');
	if (*ret_hex)
		n += 2;
	else if (*n == '-' || *n == '+')
		n++;
	digits = strspn(n, *ret_hex ? "0123456789abcdefABCDEF" : "0123456789");
	n += digits;
	*ret_long = *n == 'L';
	n += strspn(n, "L") <= 2 ? strspn(n, "L") : 0;
	return digits > 0 && *n == '\0';
}

static void check_integer(struct reader *r, const char *number, bool hex, bool is_long)
{
	unsigned long long bits = 0;
	long long value;

	errno = 0;
	if (hex) {
		bits = strtoull(number, NULL, 16);
		value = (long long)bits;
	} else {
		value = strtoll(number, NULL, 10);
	}
	if (errno == ERANGE || bits > INT64_MAX)
		complain_value(r, "the number %s is out of range; no number may need over 64 bits",
			       number);
	else if (!is_long && (value < INT32_MIN || value > INT32_MAX))
		complain_value(r, "the number %s needs over 32 bits; write %sL if it is meant",
			       number, number);
	else if (hex && strspn(number + 2, "0123456789abcdefABCDEF") > HEX_DIGITS_MAX)
		complain_value(r, "the number %s has too many digits; at most %d are taken", number,
			       HEX_DIGITS_MAX);
}

/* Whether it is a float; then its range is checked as well. */
static bool check_float(struct reader *r, const char *number)
{
	char *end;

	if (number[strspn(number, "0123456789.eE+-")] != '\0')
		return false;
	errno = 0;
	strtod(number, &end);
	if (*end != '\0')
		return false;
	if (errno == ERANGE)
		complain_value(r, "the number %s is out of range of a double", number);
	return true;
}

static bool in_number(const char *start, const char *at)
{
	if (*at == '+' || *at == '-')
		return at == start || at[-1] == 'e' || at[-1] == 'E';
	return is_digit(*at) || is_letter(*at) || *at == '.' || *at == '_' || *at == '*';
}

static bool number(struct reader *r)
{
	const char *start = r->at;
	char copy[NUMBER_MAX + 2], shown[REPORT_ESCAPED_MAX];
	size_t length, errors = r->scan->report->n_lines;
	bool hex, is_long;

	while (r->at < r->end && in_number(start, r->at))
		r->at++;
	length = (size_t)(r->at - start);
	snprintf(copy, sizeof(copy), "%.*s", length < sizeof(copy) ? (int)length : NUMBER_MAX + 1,
		 start);
	if (length <= NUMBER_MAX && is_integer(copy, &hex, &is_long))
		check_integer(r, copy, hex, is_long);
	else if (length > NUMBER_MAX || !check_float(r, copy))
		complain_value(
			r, "\"%s\" is not a number; write only its digits, or a string in quotes",
			report_escape(shown, copy));

	if (r->scan->report->n_lines > errors)
		text_add(r->scan->text, "0", 1);
	else
		text_add(r->scan->text, start, length);
	return take(r, GRAMMAR_SCALAR, start, length);
}

static bool name(struct reader *r)
{
	const char *start = r->at;
	size_t length;
	bool is_bool;

	while (r->at < r->end && (is_letter(*r->at) || is_digit(*r->at) || strchr("*_-", *r->at)))
		r->at++;
	length = (size_t)(r->at - start);
	if (length > SCAN_NAME_MAX)
		return give_up(r, "a key of %zu bytes is too long; at most %d are taken", length,
			       SCAN_NAME_MAX);
	is_bool = (length == 4 && strncasecmp(start, "true", 4) == 0) ||
		  (length == 5 && strncasecmp(start, "false", 5) == 0);
	text_add(r->scan->text, start, length);
	return take(r, is_bool ? GRAMMAR_SCALAR : GRAMMAR_NAME, start, length);
}

static bool include(struct reader *r)
{
	struct scan *scan = r->scan;
	const char *path;

	for (const char *c = r->line_start; c < r->at; c++)
		if (*c != ' ' && *c != '\t')
			return give_up(r, "an @include must begin its line");
	r->at += strlen("@include");
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
		r->at++;
	if (r->at == r->end || *r->at != '"')
		return give_up(r, "write the file after @include in quotes: @include \"FILE\"");
	path = ++r->at;
	while (r->at < r->end && *r->at != '"' && *r->at != '\\' && *r->at != '\n')
		r->at++;
	if (r->at == r->end || *r->at != '"')
		return give_up(
			r, "write @include \"FILE\", with a file name without \"\\\" on one line");

	if (!scan->include)
		return give_up(r, "@include is not possible here");
	if (!scan->include(scan, path, (size_t)(r->at - path), r->file, r->line)) {
		scan->grammar.broken = true;
		return false;
	}
	r->at++;
	text_begin_line(scan->text, r->file, r->line);
	return true;
}

static bool sign(struct reader *r, enum grammar_token token)
{
	text_add(r->scan->text, r->at, 1);
	return take(r, token, r->at++, 1);
}

static bool token(struct reader *r)
{
	char c = *r->at, shown[REPORT_ESCAPED_MAX];

	switch (c) {
	case '"':
		return string(r);
	case '=':
	case ':':
		return sign(r, GRAMMAR_ASSIGN);
	case ',':
		return sign(r, GRAMMAR_COMMA);
	case ';':
		return sign(r, GRAMMAR_SEMICOLON);
	case '{':
	case '(':
	case '[':
		return sign(r, GRAMMAR_OPEN);
	case '}':
	case ')':
	case ']':
		return sign(r, GRAMMAR_CLOSE);
	}
	if (is_digit(c) || c == '+' || c == '-' || c == '.')
		return number(r);
	if (is_letter(c) || c == '*')
		return name(r);
	if (starts_with(r, "@include"))
		return include(r);
	return give_up(r, "unexpected \"%s\"; strings stand in quotes",
		       report_escape(shown, (const char[]){ c, '\0' }));
}

static bool next(struct reader *r)
{
	switch (*r->at) {
	case '\n':
		next_line(r);
		return true;
	case ' ':
	case '\t':
	case '\r':
	case '\f':
		text_add(r->scan->text, r->at++, 1);
		return true;
	case '#':
		line_comment(r);
		return true;
	case '/':
		if (starts_with(r, "//")) {
			line_comment(r);
			return true;
		}
		if (starts_with(r, "/*"))
			return block_comment(r);
		break;
	}
	return token(r);
}

static bool check_bytes(const struct reader *r)
{
	struct reader bad = *r;
	size_t offset;
	const char *fault = text_fault(r->at, (size_t)(r->end - r->at), &offset);

	if (!fault)
		return true;
	for (size_t i = 0; i < offset; i++)
		bad.line += r->at[i] == '\n';
	return give_up(&bad, "%s", fault);
}

bool scan_file(struct scan *scan, const char *file, const char *bytes, size_t n)
{
	struct reader r = { scan, file, 1, bytes, bytes, bytes + n };

	if (!check_bytes(&r))
		return false;
	text_begin_line(scan->text, file, 1);
	while (r.at < r.end && !scan->text->failed)
		if (!next(&r))
			return false;
	return !scan->text->failed;
}
