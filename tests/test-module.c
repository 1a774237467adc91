/* SPDX-License-Identifier: MIT */
/* Modules: which files are taken, what is said about the others, and handlers that lie. */
#include <limits.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "module-private.h"
#include "module.h"
#include "util.h"

static char problem[MODULE_PROBLEM_MAX];

/* ---- what a module says of its handler */

struct sample {
	bool flag;
	int number, word;
	int64_t large;
	const char *string;
	int behind[2];
};

static const char *const words[] = { "off", "on", NULL };

static const struct ss_key good_keys[] = {
	SS_BOOL(struct sample, flag, true, "a flag"),
	SS_INTEGER(struct sample, number, -5, 5, 0, "apples", "a number"),
	SS_WORD(struct sample, word, words, 1, "a word"),
	SS_SECONDS(struct sample, large, 0, 86400000, 100, "a time"),
	SS_STRING(struct sample, string, 0, 10, "abc", "a string"),
	SS_NO_MORE_KEYS,
};

static size_t data(struct ss_connection *connection, const void *bytes, size_t length)
{
	(void)connection;
	(void)bytes;
	return length;
}

static void on_close(struct ss_connection *connection, enum ss_reason reason)
{
	(void)connection;
	(void)reason;
}

/* Tests change these; setup() makes them good again. The last row of the table is its end. */
static struct ss_handler given, checked;
static struct ss_key keys[ARRAY_SIZE(good_keys)];
enum { FLAG, NUMBER, WORD, LARGE, STRING };

static int setup(void **state)
{
	(void)state;
	memcpy(keys, good_keys, sizeof(keys));
	given = (struct ss_handler){ .size = sizeof(given),
				     .abi = SS_ABI,
				     .name = "sample",
				     .keys = keys,
				     .settings_size = sizeof(struct sample),
				     .data = data,
				     .close = on_close };
	return 0;
}

static void assert_taken(void)
{
	problem[0] = '\0';
	memset(&checked, 0xff, sizeof(checked));
	if (!module_check(&given, &checked, problem))
		fail_msg("refused: %s", problem);
}

static void assert_refused(const char *said)
{
	problem[0] = '\0';
	assert_false(module_check(&given, &checked, problem));
	if (!strstr(problem, said))
		fail_msg("\"%s\" is not in: %s", said, problem);
	setup(NULL);
}

static void test_good(void **state)
{
	(void)state;
	assert_taken();
	assert_string_equal(checked.name, "sample");
	assert_ptr_equal(checked.keys, keys);
	assert_ptr_equal(checked.data, data);
	assert_ptr_equal(checked.close, on_close);
	assert_int_equal(checked.size, sizeof(checked));

	given.keys = NULL;
	given.settings_size = 0;
	given.flags = SS_SPEAKS_FIRST | SS_OFFLOADS;
	assert_taken();
}

/* What an older module does not have is NULL, whatever stands behind its struct. */
static void test_older(void **state)
{
	size_t first = offsetof(struct ss_handler, close) + sizeof(given.close);

	(void)state;
	given.size = first;
	memset((char *)&given + first, 0xff, sizeof(given) - first);
	assert_taken();
	assert_ptr_equal(checked.close, on_close);
	for (size_t i = first; i < sizeof(checked); i++)
		assert_int_equal(((const char *)&checked)[i], 0);
	setup(NULL);

	given.size = first - sizeof(void *);
	assert_refused("a size of ");
}

static void test_newer(void **state)
{
	struct {
		struct ss_handler handler;
		void *more[2];
	} newer = { .handler = given };

	(void)state;
	newer.handler.size = sizeof(newer);
	assert_true(module_check(&newer.handler, &checked, problem));
	assert_int_equal(checked.size, sizeof(checked));
	newer.more[1] = &newer;
	assert_false(module_check(&newer.handler, &checked, problem));
	assert_non_null(strstr(problem, "callbacks of a newer header"));
}

static void test_handler(void **state)
{
	char said[64];

	(void)state;
	assert_false(module_check(NULL, &checked, problem));
	assert_non_null(strstr(problem, "returns NULL"));

	given.size = 0;
	assert_refused("a size of 0 bytes; write .size = sizeof(struct ss_handler)");
	given.size = sizeof(given) + 1;
	assert_refused("a size of ");
	given.size = 1 << 20;
	assert_refused("a size of 1048576 bytes");

	given.abi = SS_ABI + 1;
	given.size = 16;
	snprintf(said, sizeof(said), "version %d of the interface, and this server has version %d",
		 SS_ABI + 1, SS_ABI);
	assert_refused(said);

	given.name = NULL;
	assert_refused("no name");
	given.name = "";
	assert_refused("a name that is not possible");
	given.name = "two words";
	assert_refused("a name that is not possible");
	given.name = "new\nline";
	assert_refused("a name that is not possible");
	given.name = "a2345678901234567890123456789012345678901234567890123456789012345";
	assert_refused("a name that is not possible");
	given.name++;
	assert_taken();
	setup(NULL);

	given.data = NULL;
	assert_refused("no data()");
	given.flags = SS_OFFLOADS | 1u << 30;
	assert_refused("0x40000000");
	given.settings_size = (size_t)1 << 40;
	assert_refused("1099511627776 bytes; at most");
}

static void test_counters(void **state)
{
	static char names[65][8];
	const char *counters[66] = { NULL };

	(void)state;
	given.counters = counters;
	assert_taken();
	for (int i = 0; i < 64; i++) {
		snprintf(names[i], sizeof(names[i]), "n%d", i);
		counters[i] = names[i];
	}
	assert_taken();
	counters[64] = "one-more";
	assert_refused("more than 64 counters");

	given.counters = counters;
	counters[2] = "two words";
	assert_refused("its counter 2 has a name that is not possible");
	given.counters = counters;
	counters[2] = "n1";
	assert_refused("two counters of the name \"n1\"");
}

static void test_key_rows(void **state)
{
	struct ss_key many[258] = { 0 };

	(void)state;
	keys[WORD].type = (enum ss_key_type)(SS_KEY_STRING + 1);
	assert_refused("row 2 of its keys is of a kind that this server does not know");
	keys[WORD].type = (enum ss_key_type) - 1;
	assert_refused("row 2 of its keys");
	keys[STRING].reserved[3] = &given;
	assert_refused("row 4 of its keys");

	given.settings_size = sizeof(many);
	given.keys = many;
	for (size_t i = 0; i < 257; i++) {
		static char names[257][8];

		snprintf(names[i], sizeof(names[i]), "k%zu", i);
		many[i] = good_keys[FLAG];
		many[i].name = names[i];
		many[i].offset = i;
	}
	assert_refused("more than 256 keys; end the table with SS_NO_MORE_KEYS");
	given.settings_size = sizeof(many);
	given.keys = many;
	many[256].name = NULL;
	assert_taken();
}

static void test_key_names(void **state)
{
	static const char *const bad[] = {
		"",
		"2nd",
		"_a",
		"with-dash",
		"Upper",
		"a b",
		"true",
		"false",
		"\xc3\xbc",
		"a\n",
		"a2345678901234567890123456789012345678901234567890123456789012345",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		keys[NUMBER].name = bad[i];
		assert_refused("row 1 of its keys has a name that no key of the file can have");
	}
	keys[NUMBER].name = "z_9";
	assert_taken();
	keys[NUMBER].name = "string";
	assert_refused("two keys of the name \"string\"");
}

static void test_key_members(void **state)
{
	(void)state;
	keys[FLAG].size = sizeof(int64_t);
	assert_refused("\"flag\" sets a member of another type; make it bool or int");
	keys[NUMBER].size = 2;
	assert_refused("\"number\" sets a member of another type; make it int or int64_t");
	keys[LARGE].size = 1;
	assert_refused("\"large\" sets a member of another type; make it int or int64_t");
	keys[WORD].size = sizeof(int64_t);
	assert_refused("\"word\" sets a member of another type; make it int");
	keys[STRING].size = 10;
	assert_refused("\"string\" sets a member of another type; make it const char *");
	keys[NUMBER].size = 0;
	assert_refused("\"number\" sets a member of another type");
	keys[NUMBER].offset++;
	assert_refused("\"number\" sets a member of another type");

	given.settings_size = offsetof(struct sample, string) + sizeof(char *) - 1;
	assert_refused("\"string\" lies beyond its settings_size of ");
	given.settings_size = 0;
	assert_refused("\"flag\" lies beyond its settings_size of 0 bytes");
	keys[NUMBER].offset = SIZE_MAX - sizeof(int) + 1;
	assert_refused("\"number\" lies beyond");
	keys[WORD].offset = keys[NUMBER].offset;
	assert_refused("\"number\" and \"word\" set the same member");
	keys[NUMBER].offset = keys[LARGE].offset + 4;
	assert_refused("\"number\" and \"large\" set the same member");
	keys[NUMBER].offset = offsetof(struct sample, behind[1]);
	keys[FLAG].size = sizeof(int);
	keys[FLAG].offset = offsetof(struct sample, behind[0]);
	assert_taken();
}

static void test_key_ranges(void **state)
{
	(void)state;
	keys[NUMBER].min = 6;
	assert_refused("\"number\" goes from 6 to 5");
	keys[NUMBER].max = (int64_t)INT_MAX + 1;
	assert_refused("within -2147483648 to 2147483647");
	keys[NUMBER].min = (int64_t)INT_MIN - 1;
	assert_refused("within -2147483648 to 2147483647");
	keys[NUMBER].initial = 6;
	assert_refused("\"number\" is 6 at first, which is not from -5 to 5");
	keys[NUMBER].initial = -6;
	assert_refused("\"number\" is -6 at first");
	keys[LARGE].min = -1;
	assert_refused(
		"\"large\" goes from -1 to 86400000 ms; its member can hold a range within 0");
	keys[LARGE].max = INT64_MAX;
	assert_refused("\"large\" goes from 0 to 9223372036854775807 ms");
	keys[LARGE].type = SS_KEY_INTEGER;
	keys[LARGE].min = INT64_MIN;
	keys[LARGE].max = INT64_MAX;
	assert_taken();
	setup(NULL);
	keys[FLAG].initial = 2;
	assert_refused("\"flag\" is 2 at first; write 0 or 1");
}

static void test_key_words(void **state)
{
	static const char *const none[] = { NULL };
	static const char *const bad[] = { "good",
					   "b\xc3\xa4"
					   "d",
					   NULL };
	const char *many[70] = { NULL };

	(void)state;
	keys[WORD].words = NULL;
	assert_refused("\"word\" has no words");
	keys[WORD].words = none;
	assert_refused("\"word\" has no words");
	keys[WORD].words = bad;
	assert_refused("word 1 of its key \"word\" is not possible");
	keys[WORD].initial = 2;
	assert_refused("\"word\" is word 2 at first, and it has 2");
	keys[WORD].initial = -1;
	assert_refused("\"word\" is word -1 at first");
	for (size_t i = 0; i < 65; i++)
		many[i] = "same";
	keys[WORD].words = many;
	assert_refused("\"word\" has too many words");
}

static void test_key_strings(void **state)
{
	(void)state;
	keys[STRING].min = 11;
	assert_refused("\"string\" has 11 to 10 characters");
	keys[STRING].min = -1;
	assert_refused("\"string\" has -1 to 10 characters");
	keys[STRING].max = (int64_t)1 << 33;
	assert_refused("a range within 0 to 65536");
	keys[STRING].string = "01234567890";
	assert_refused("\"string\" at first has a string that the file could not give it");
	keys[STRING].min = 4;
	assert_refused("\"string\" at first has a string");
	keys[STRING].string = "tab\t";
	assert_refused("\"string\" at first has a string");
	keys[STRING].string = NULL;
	assert_taken();
	setup(NULL);
	keys[NUMBER].unit = "a\nb";
	assert_refused("\"number\" has a unit or a help that is not possible");
	keys[NUMBER].help = "a\nsockets = ();";
	assert_refused("\"number\" has a unit or a help that is not possible");
	keys[NUMBER].help = keys[NUMBER].unit = NULL;
	assert_taken();
}

/* ---- files */

/* A directory that holds what a test makes, with the modules of the build in it. */
static char directory[] = "/tmp/test-module.XXXXXX", root[PATH_MAX];
static struct module_place place = { .directory = root, .allow_own = true };
static struct module_file file;

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
	auto_free char *command = NULL, *inside = NULL;
	va_list args;

	va_start(args, format);
	assert_true(vasprintf(&command, format, args) > 0);
	va_end(args);
	assert_true(asprintf(&inside, "cd %s && umask 022 && %s", directory, command) > 0);
	assert_int_equal(system(inside), 0);
}

static int make_directory(void **state)
{
	const char *build = getenv("top_builddir");
	auto_free char *modules = realpath(build ? build : ".", NULL);

	(void)state;
	assert_non_null(modules);
	strcpy(directory, "/tmp/test-module.XXXXXX");
	assert_non_null(mkdtemp(directory));
	shell("mkdir lib && cp %s/tests/modules/small.so lib && chmod 644 lib/small.so", modules);
	snprintf(root, sizeof(root), "%s/lib", directory);
	place = (struct module_place){ .directory = root, .allow_own = true };
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	shell("rm -rf %s", directory);
	return 0;
}

static void assert_found(const char *name)
{
	problem[0] = '\0';
	if (!module_find_file(&place, name, &file, problem))
		fail_msg("%s: %s", name, problem);
}

static void assert_no_file(const char *name, const char *said)
{
	problem[0] = '\0';
	assert_false(module_find_file(&place, name, &file, problem));
	if (!strstr(problem, said))
		fail_msg("\"%s\" is not in: %s", said, problem);
}

static const char *path(const char *name)
{
	static char out[PATH_MAX];

	snprintf(out, sizeof(out), "%s/%s", directory, name);
	return out;
}

static void test_names(void **state)
{
	(void)state;
	assert_found("small.so");
	assert_string_equal(file.path, path("lib/small.so"));
	assert_found(path("lib/small.so"));
	assert_found(path("./lib//small.so"));
	assert_string_equal(file.path, path("lib/small.so"));

	assert_no_file("lib/small.so", "is a relative path; write an absolute one");
	assert_no_file("./small.so", "is a relative path");
	assert_no_file("..", "has a \"..\"");
	assert_no_file(path("lib/../lib/small.so"), "has a \"..\"");
	assert_no_file(".", "is a directory");
	assert_no_file(path("lib"), "is a directory");
	assert_no_file("/", "is a directory");
	assert_no_file("other.so",
		       "cannot be opened: No such file or directory; it was looked for in");
	assert_no_file("/nowhere/other.so", "cannot be opened: No such file or directory");
	shell("mkfifo lib/fifo");
	assert_no_file("fifo", "no regular file");

	place.directory = "/nowhere";
	assert_no_file("small.so", "the module directory /nowhere cannot be opened");
	assert_found(path("lib/small.so"));
}

static void test_links(void **state)
{
	(void)state;
	shell("mkdir lib2 lib/inner && cp lib/small.so lib2 && cp lib/small.so lib/inner");
	shell("cd lib && ln -s small.so near.so && ln -s inner/small.so inner.so && "
	      "ln -s ../lib2/small.so out.so && ln -s loop.so loop.so && ln -s lib2 ../lib3");
	assert_found("near.so");
	assert_string_equal(file.path, path("lib/small.so"));
	assert_found("inner.so");
	assert_no_file("out.so", "is a symbolic link to ");
	assert_no_file("out.so", "out of the module directory");
	assert_no_file("loop.so", "Too many levels of symbolic links");
	assert_found(path("lib/out.so"));
	assert_string_equal(file.path, path("lib2/small.so"));

	/* The directory itself may be a link; and what begins with its name is another one. */
	snprintf(root, sizeof(root), "%s", path("lib3"));
	assert_found("small.so");
	assert_string_equal(file.path, path("lib2/small.so"));
	shell("mkdir li && ln -s ../lib/small.so li/small.so");
	snprintf(root, sizeof(root), "%s", path("li"));
	assert_no_file("small.so", "is a symbolic link to ");
}

static void test_modes(void **state)
{
	(void)state;
	shell("chmod 664 lib/small.so");
	assert_no_file("small.so", "lib/small.so can be written by its group (mode 0664)");
	shell("chmod 646 lib/small.so");
	assert_no_file("small.so", "lib/small.so can be written by everybody (mode 0646)");
	shell("chmod 1646 lib/small.so");
	assert_no_file("small.so", "lib/small.so can be written by everybody");
	shell("chmod 644 lib/small.so && chmod 775 lib");
	assert_no_file("small.so", "lib can be written by its group (mode 0775)");
	shell("chmod 1777 lib");
	assert_found("small.so");
	shell("chmod 755 lib && chmod 757 .");
	assert_no_file("small.so", "can be written by everybody (mode 0757); take that away");
	shell("chmod 755 .");
	assert_found("small.so");
}

/* As root, who belongs to whom can be chosen; else what is here is ours. */
static void test_owners(void **state)
{
	(void)state;
	place.allow_own = false;
	if (geteuid() != 0) {
		assert_no_file("small.so", "or use --allow-own-modules");
		return;
	}
	assert_found("small.so");
	for (int own = 0; own < 2; own++) {
		place.allow_own = own;
		shell("chown 4711 lib/small.so");
		assert_no_file("small.so", "lib/small.so belongs to the user 4711; make it root's");
		shell("chown 0 lib/small.so && chown 4711 lib");
		assert_no_file("small.so", "lib belongs to the user 4711");
		shell("chown 0 lib && chown 4711 .");
		assert_no_file("small.so", "belongs to the user 4711");
		shell("chown 0 .");
		assert_found("small.so");
	}
	shell("chown 4711 . lib lib/small.so");
	place.allow_own = true;
	assert_int_equal(seteuid(4711), 0);
	bool own = module_find_file(&place, "small.so", &file, problem);
	place.allow_own = false;
	bool not_own = module_find_file(&place, "small.so", &file, problem);
	assert_int_equal(seteuid(0), 0);
	assert_true(own);
	assert_false(not_own);
	assert_non_null(strstr(problem, "or use --allow-own-modules"));
}

/* Where the last segment of a shared object ends: what is behind that is not loaded. */
static long end_of_segments(const char *name)
{
	FILE *stream = fopen(name, "re");
	ElfW(Ehdr) header;
	ElfW(Phdr) segment;
	unsigned long end = 0;

	assert_non_null(stream);
	assert_int_equal(fread(&header, sizeof(header), 1, stream), 1);
	assert_int_equal(fseek(stream, (long)header.e_phoff, SEEK_SET), 0);
	for (int i = 0; i < header.e_phnum; i++) {
		assert_int_equal(fread(&segment, sizeof(segment), 1, stream), 1);
		if (segment.p_offset + segment.p_filesz > end)
			end = segment.p_offset + segment.p_filesz;
	}
	fclose(stream);
	return (long)end;
}

static void test_cut_off(void **state)
{
	long end = end_of_segments(path("lib/small.so"));

	(void)state;
	shell("head -c %ld lib/small.so >lib/cut.so", end);
	assert_found("cut.so");
	for (long size = end - 1; size > 64; size -= end / 32) {
		shell("head -c %ld lib/small.so >lib/cut.so", size);
		assert_no_file("cut.so", "is not complete: it ends after ");
	}
	/* These are left to the loader. */
	shell(": >lib/empty.so && echo no ELF >lib/text.so");
	assert_found("empty.so");
	assert_found("text.so");
}

/* ---- loading */

static struct report report;

static const struct ss_handler *load(const char *module)
{
	struct settings_socket section = { .module = (char *)module, .module_where = { "x", 7 } };

	return module_load(&place, &section, &report);
}

static void test_load(void **state)
{
	const struct ss_handler *handler = load("small.so");
	char said[2 * PATH_MAX];

	(void)state;
	assert_non_null(handler);
	assert_string_equal(handler->name, "small");
	assert_int_equal(handler->size, sizeof(*handler));
	assert_ptr_equal(load("small.so"), handler);
	assert_ptr_equal(load(path("lib/small.so")), handler);
	shell("ln lib/small.so lib/same.so && cp lib/small.so lib/other.so");
	assert_ptr_equal(load("same.so"), handler);
	assert_non_null(load("other.so"));
	assert_ptr_not_equal(load("other.so"), handler);
	assert_int_equal(report.n_lines, 0);

	shell("echo no ELF >lib/text.so");
	assert_null(load("text.so"));
	assert_null(load("text.so"));
	assert_int_equal(report.n_lines, 2);
	assert_string_equal(
		report.lines[0],
		"x:7: module \"text.so\": cannot be loaded: file too short; build it as "
		"a shared object for this machine: cc -shared -fPIC");
	snprintf(said, sizeof(said), "x:7: module \"%s\": cannot be opened: ", path("no.so"));
	assert_null(load(path("no.so")));
	assert_memory_equal(report.lines[2], said, strlen(said));
	report_deinit(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_good, setup),
		cmocka_unit_test_setup(test_older, setup),
		cmocka_unit_test_setup(test_newer, setup),
		cmocka_unit_test_setup(test_handler, setup),
		cmocka_unit_test_setup(test_counters, setup),
		cmocka_unit_test_setup(test_key_rows, setup),
		cmocka_unit_test_setup(test_key_names, setup),
		cmocka_unit_test_setup(test_key_members, setup),
		cmocka_unit_test_setup(test_key_ranges, setup),
		cmocka_unit_test_setup(test_key_words, setup),
		cmocka_unit_test_setup(test_key_strings, setup),
		cmocka_unit_test_setup_teardown(test_names, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(test_links, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(test_modes, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(test_owners, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(test_cut_off, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(test_load, make_directory, remove_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
