/* SPDX-License-Identifier: MIT */
/*
 * Stands in for libFuzzer in `make check`: gives every file of a directory to the fuzz target that
 * it is linked with. A target ends the process where it finds something. One thread; prints TAP.
 *
 * usage: fuzz-NAME [DIRECTORY], by default tests/corpus/NAME
 */
#include <dirent.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void close_stream(FILE **stream)
{
	if (*stream)
		fclose(*stream);
}

/* The target gets memory of exactly the size, so that a sanitizer sees the first byte too many. */
static void replay(const char *path)
{
	cleanup(close_stream) FILE *stream = fopen(path, "re");
	auto_free uint8_t *bytes = NULL;
	long size;

	if (!stream || fseek(stream, 0, SEEK_END) || (size = ftell(stream)) < 0)
		err(99, "%s", path);
	rewind(stream);
	bytes = malloc((size_t)size);
	if ((!bytes && size) || fread(bytes, 1, (size_t)size, stream) != (size_t)size)
		err(99, "%s", path);
	LLVMFuzzerTestOneInput(bytes, (size_t)size);
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static char *default_directory(const char *program)
{
	const char *top = getenv("top_srcdir"), *name = strstr(program, "fuzz-");
	char *path;

	if (!name || asprintf(&path, "%s/tests/corpus/%s", top ?: ".", name + strlen("fuzz-")) < 0)
		errx(99, "no directory of inputs");
	return path;
}

int main(int argc, char **argv)
{
	auto_free char *directory = argc > 1 ? strdup(argv[1]) : default_directory(argv[0]);
	struct dirent **inputs;
	int n = scandir(directory, &inputs, is_input, alphasort);

	if (n <= 0)
		err(99, "%s", directory);
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		auto_free char *path = NULL;

		if (asprintf(&path, "%s/%s", directory, inputs[i]->d_name) < 0)
			err(99, "%s", directory);
		replay(path);
		printf("ok %d - %s\n", i + 1, inputs[i]->d_name);
		free(inputs[i]);
	}
	free(inputs);
	return 0;
}
