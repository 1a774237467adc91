/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "random.h"

#define RANDOM_PERIOD 1048573u /* the largest prime below 2^20 */

/* Both texts repeat themselves after so many lines: xinetd counts lines by the other's ring. */
#define LINES          95u
#define COLUMN         (PATTERN_CHARGEN_LINE - 2)
#define CHARGEN_PERIOD (10 * LINES * PATTERN_CHARGEN_LINE)
_Static_assert(CHARGEN_PERIOD >= PATTERN_WINDOW, "one step may go round once only");

static const struct ring {
	unsigned char first;
	uint32_t length;
} rings[PATTERN_CHARGENS] = { { ' ', 95 }, { '!', 93 } };

static int init(struct pattern *pattern, uint32_t period)
{
	*pattern = (struct pattern){ .bytes = malloc(period + PATTERN_WINDOW), .period = period };
	return pattern->bytes ? 0 : -ENOMEM;
}

static void repeat_begin(struct pattern *pattern)
{
	memcpy(pattern->bytes + pattern->period, pattern->bytes, PATTERN_WINDOW);
}

int pattern_init_random(struct pattern *pattern, uint64_t seed)
{
	int r = init(pattern, RANDOM_PERIOD);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < pattern->period; i += sizeof(uint64_t)) {
		uint64_t eight = random_next(&seed);
		memcpy(pattern->bytes + i, &eight, sizeof(eight)); /* the last goes on behind */
	}
	repeat_begin(pattern);
	return 0;
}

static unsigned char chargen_byte(const struct ring *ring, uint32_t place)
{
	uint32_t line = place / PATTERN_CHARGEN_LINE % LINES;
	uint32_t column = place % PATTERN_CHARGEN_LINE;

	if (column < COLUMN)
		return (unsigned char)(ring->first + (line + column) % ring->length);
	return column == COLUMN ? '\r' : '\n';
}

int pattern_init_chargen(struct pattern texts[PATTERN_CHARGENS])
{
	for (size_t i = 0; i < PATTERN_CHARGENS; i++) {
		int r = init(&texts[i], CHARGEN_PERIOD);
		if (r < 0)
			return r;
		for (uint32_t place = 0; place < texts[i].period; place++)
			texts[i].bytes[place] = chargen_byte(&rings[i], place);
		repeat_begin(&texts[i]);
	}
	return 0;
}

void pattern_deinit(struct pattern *pattern)
{
	free(pattern->bytes);
	*pattern = (struct pattern){ 0 };
}

size_t pattern_same(const struct pattern *pattern, uint32_t place, const void *bytes, size_t n)
{
	const unsigned char *should = pattern->bytes + place, *is = bytes;
	size_t same = 0;

	while (same < n && is[same] == should[same])
		same++;
	return same;
}

/* A text is in one piece for far more than the lines of all beginnings and PATTERN_WINDOW. */
const struct pattern *pattern_find_line(const struct pattern texts[PATTERN_CHARGENS],
					const struct pattern *text, size_t before,
					const void *bytes, size_t n, uint32_t *place)
{
	const unsigned char *came = text->bytes + *place - before;
	const struct pattern *found = NULL;
	uint32_t found_place = 0;
	size_t most = 0;

	for (size_t i = 0; i < PATTERN_CHARGENS * LINES; i++) {
		const struct pattern *candidate = &texts[i / LINES];
		uint32_t line = (uint32_t)(i % LINES) * PATTERN_CHARGEN_LINE;
		size_t same;

		if (memcmp(candidate->bytes + line, came, before) != 0)
			continue;
		same = before + pattern_same(candidate, line + (uint32_t)before, bytes, n);
		if (same <= most)
			continue;
		most = same;
		found = candidate;
		found_place = line + (uint32_t)before;
	}
	*place = found ? found_place : *place;
	return found;
}
