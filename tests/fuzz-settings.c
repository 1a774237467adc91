/* SPDX-License-Identifier: MIT */
/*
 * For libFuzzer: any bytes as a configuration file. They are refused with at least one line, or
 * they load; then what is dumped loads again, and is dumped as the same.
 *
 * clang -fsanitize=fuzzer,address,undefined, with the sources of settings and below, and -lconfig;
 * tests/corpus/settings has examples to begin with.
 */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "settings.h"
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static struct settings *load(const char *bytes, size_t n)
{
	struct report report = REPORT_NULL;
	struct settings *settings = NULL;
	int r = settings_load_bytes("fuzz", bytes, n, NULL, &settings, &report);

	assert(r == 0 ? settings && report.n_lines == 0 : !settings && report.n_lines > 0);
	report_deinit(&report);
	return settings;
}

static char *dump(const struct settings *settings)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	settings_dump(settings, stream);
	fclose(stream);
	return text;
}

/* Where a value comes from is a comment, and another one the second time. */
static void strip_comments(char *text)
{
	char *out = text;

	for (char *at = text; *at; at++) {
		if (strncmp(at, "; # ", 4) == 0)
			at += strcspn(at, "\n");
		*out++ = *at;
	}
	*out = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct settings *settings = load((const char *)bytes, n), *again;
	auto_free char *first = NULL, *second = NULL;

	if (!settings)
		return 0;
	first = dump(settings);
	again = load(first, strlen(first));
	assert(again);
	second = dump(again);
	strip_comments(first);
	strip_comments(second);
	assert(strcmp(first, second) == 0);
	settings_unref(settings);
	settings_unref(again);
	return 0;
}
