/* SPDX-License-Identifier: MIT */
/* Files, includes and tokens: what becomes of them, and what is said about bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "grammar.h"
#include "scan.h"
#include "source.h"
#include "util.h"

static struct source source;
static struct report report;
static char directory[64];

static int setup(void **state)
{
	(void)state;
	source = (struct source){ 0 };
	report = REPORT_NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	source_deinit(&source);
	report_deinit(&report);
	return 0;
}

static int make_directory(void **state)
{
	const char *parent = getenv("TMPDIR");

	(void)state;
	snprintf(directory, sizeof(directory), "%.40s/source-XXXXXX", parent ? parent : "/tmp");
	/* Everything is a relative path from here on, so that messages are the same anywhere. */
	return mkdtemp(directory) && chdir(directory) == 0 && chmod(directory, 0755) == 0 ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r '%s'", directory);
	return chdir("/") == 0 ? system(command) : -1;
}

static void write_bytes(const char *path, const char *bytes, size_t n)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
}

static void write_text(const char *path, const char *text)
{
	write_bytes(path, text, strlen(text));
}

static void print_report(void)
{
	for (size_t i = 0; i < report.n_lines; i++)
		print_message("# %s\n", report.lines[i]);
}

/* The only line of the report: it begins with `start` and has `words` behind that. */
static void assert_reported(const char *start, const char *words)
{
	if (report.n_lines != 1 || strncmp(report.lines[0], start, strlen(start)) != 0 ||
	    !strstr(report.lines[0] + strlen(start), words)) {
		print_report();
		fail_msg("not the one line expected: %s ... %s", start, words);
	}
}

static void assert_file_refused(const char *path, const char *start, const char *words)
{
	assert_int_equal(source_load(&source, path, &report), -EINVAL);
	assert_reported(start, words);
	assert_false(source.usable);
	teardown(NULL);
}

static void assert_bytes_refused(const char *bytes, size_t n, const char *start, const char *words)
{
	assert_int_equal(source_load_bytes(&source, "x", bytes, n, &report), -EINVAL);
	assert_reported(start, words);
	teardown(NULL);
}

static void assert_refused(const char *text, const char *start, const char *words)
{
	assert_bytes_refused(text, strlen(text), start, words);
}

/* Refused for a value alone: everything else may still be checked. */
static void assert_value_refused(const char *text, const char *start, const char *words)
{
	assert_int_equal(source_load_bytes(&source, "x", text, strlen(text), &report), -EINVAL);
	assert_reported(start, words);
	assert_true(source.usable);
	teardown(NULL);
}

static void assert_becomes(const char *text, const char *expected)
{
	int r = source_load_bytes(&source, "x", text, strlen(text), &report);

	print_report();
	assert_int_equal(r, 0);
	assert_true(source.usable);
	assert_string_equal(source.text.bytes, expected);
	teardown(NULL);
}

static void assert_line(size_t number, const char *file, int line)
{
	assert_string_equal(text_line(&source.text, number)->file, file);
	assert_int_equal(text_line(&source.text, number)->line, line);
}

static void test_tokens_stay(void **state)
{
	(void)state;
	assert_becomes("a = 1;", "a = 1;");
	assert_becomes("a = 1;\n", "a = 1;\n");
	assert_becomes("a: TRUE b = False, c = ( ), d = [ ], e = { }",
		       "a: TRUE b = False, c = ( ), d = [ ], e = { }");
	assert_becomes("a = { b = ( { c = 1; }, ( 2 ), [ \"x\" \"y\" ] ) };\f\t",
		       "a = { b = ( { c = 1; }, ( 2 ), [ \"x\" \"y\" ] ) };\f\t");
	assert_becomes("*-_9 = \"\\n\\r\\t\\f\\\\\\\"\\x41\\Xff\";",
		       "*-_9 = \"\\n\\r\\t\\f\\\\\\\"\\x41\\Xff\";");
	assert_becomes("a = \"# // /* @include \\\" */ \xc3\xa4\";",
		       "a = \"# // /* @include \\\" */ \xc3\xa4\";");
}

static void test_numbers_that_fit(void **state)
{
	static const char *const numbers[] = {
		"0",
		"-0",
		"+7",
		"007",
		"2147483647",
		"-2147483648",
		"2147483648L",
		"9223372036854775807L",
		"-9223372036854775808LL",
		"0x0",
		"0XfF",
		"0x7fffffff",
		"0x80000000L",
		"0x7fffffffffffffffLL",
		"1.5",
		"-.5",
		"5.",
		"+1.e3",
		"1e308",
		"2E-5",
		"1.5e+3",
		"0.0",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		char text[64];

		snprintf(text, sizeof(text), "a = %s;", numbers[i]);
		assert_becomes(text, text);
	}
}

static void test_comments_go(void **state)
{
	(void)state;
	assert_becomes("# x\na = 1; // y\n# z", "\na = 1; \n");
	assert_becomes("a/* 1 */=/**/1/* \n \" ' { */;", "a = 1 \n;");
	assert_becomes("// \xc3\xa4 @include \"x\" /*\na = 1;", "\na = 1;");
	assert_becomes("/*\n@include \"x\"\n*/ a = 1;", " \n\n a = 1;");
	assert_becomes("a = 1; /***/", "a = 1;  ");
	assert_becomes("a = 1; //", "a = 1; ");
}

static void test_crlf_is_fine(void **state)
{
	(void)state;
	assert_becomes("a = 1;\r\n# x\r\nb = 2;\r\n", "a = 1;\r\n\nb = 2;\r\n");
}

static void test_bytes_that_are_no_text(void **state)
{
	(void)state;
	assert_bytes_refused("a = 1;\n\0b", 9, "x:2: ", "NUL");
	assert_bytes_refused("# \0", 3, "x:1: ", "NUL");
	assert_refused("\xef\xbb\xbf"
		       "a = 1;",
		       "x:1: ", "byte order mark");
	assert_refused("\n\n# \xff", "x:3: ", "UTF-8");
	assert_refused("a = \"\x80\";", "x:1: ", "UTF-8");
	assert_refused("# \xc0\xaf", "x:1: ", "UTF-8");
	assert_refused("# \xc3", "x:1: ", "UTF-8");
	assert_refused("# \xe0\x80\xaf", "x:1: ", "UTF-8");
	assert_refused("# \xed\xa0\x80", "x:1: ", "UTF-8");
	assert_refused("# \xf0\x80\x80\x80", "x:1: ", "UTF-8");
	assert_refused("# \xf4\x90\x80\x80", "x:1: ", "UTF-8");
	assert_refused("# \xe2\x82", "x:1: ", "UTF-8");
	assert_refused("a = 1;\n\a", "x:2: ", "control character");
	assert_refused("# \033[2J", "x:1: ", "control character");
	assert_becomes("# \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf \xed\x9f\xbf\na = 1;",
		       "\na = 1;");
}

static void test_numbers_that_do_not_fit(void **state)
{
	(void)state;
	assert_value_refused("\na = 2147483648;", "x:2: ", "32 bits; write 2147483648L");
	assert_value_refused("a = -2147483649;", "x:1: ", "32 bits; write -2147483649L");
	assert_value_refused("a = 4294967296;", "x:1: ", "32 bits");
	assert_value_refused("a = 4294967297;", "x:1: ", "32 bits");
	assert_value_refused("a = 99999999999;", "x:1: ", "32 bits");
	assert_value_refused("a = 0x80000000;", "x:1: ", "32 bits; write 0x80000000L");
	assert_value_refused("a = 0x1FFFFFFFF;", "x:1: ", "32 bits");
	assert_value_refused("a = 9223372036854775808;", "x:1: ", "64 bits");
	assert_value_refused("a = 9223372036854775808L;", "x:1: ", "64 bits");
	assert_value_refused("a = -9223372036854775809L;", "x:1: ", "64 bits");
	assert_value_refused("a = 99999999999999999999999L;", "x:1: ", "64 bits");
	assert_value_refused("a = 0x8000000000000000L;", "x:1: ", "64 bits");
	assert_value_refused("a = 0x10000000000000000L;", "x:1: ", "64 bits");
	assert_value_refused("a = 0x00000000000000001;", "x:1: ", "too many digits");
	assert_value_refused("a = 1e400;", "x:1: ", "out of range");
	assert_value_refused("a = -1e400;", "x:1: ", "out of range");
	assert_value_refused("a = 1e-400;", "x:1: ", "out of range");
}

static void test_numbers_that_are_none(void **state)
{
	static const char *const numbers[] = { "10s",  "5m",    "1.2.3", "1e",   "-",    "+",
					       ".",    "0x",    "0xg",   "-0x1", "0b1",  "0o17",
					       "1LL5", "1LLL",  "1l",    "1.5L", "1e5L", "1_0",
					       "1*2",  "0x1p3", "--1",   "1e+-5" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		char text[64];

		snprintf(text, sizeof(text), "\na = %s;", numbers[i]);
		/* Some are two words, of which the second does not belong there either. */
		assert_int_equal(source_load_bytes(&source, "x", text, strlen(text), &report),
				 -EINVAL);
		assert_non_null(strstr(report.lines[0], "is not a number"));
		assert_memory_equal(report.lines[0], "x:2: ", 5);
		teardown(NULL);
	}
	assert_value_refused(
		"a = 0000000000000000000000000000000000000000000000000000000000000000000001;",
		"x:1: \"000", "...\" is not a number");
}

static void test_strings(void **state)
{
	static char text[10000] = "a = \"";
	const size_t start = strlen(text);

	(void)state;
	assert_refused("a = 1;\nb = \"x", "x:2: ", "string is never closed");
	assert_refused("a = \"x\nb = 1;\nc = \"y\";", "x:1: ", "string is never closed");
	assert_refused("a = \"\\\"", "x:1: ", "string is never closed");
	assert_value_refused("a = \"\\a\";", "x:1: ", "unknown \"\\\" sequence");
	assert_value_refused("a = \"\\0\";", "x:1: ", "unknown \"\\\" sequence");
	assert_value_refused("a = \"\\x00\";", "x:1: ", "unknown \"\\\" sequence");
	assert_value_refused("a = \"\\x4\";", "x:1: ", "unknown \"\\\" sequence");
	assert_value_refused("a = \"\\xg0\";", "x:1: ", "unknown \"\\\" sequence");

	memset(text + start, 'y', SCAN_STRING_MAX);
	strcpy(text + start + SCAN_STRING_MAX, "\";");
	assert_becomes(text, text);
	strcpy(text + start + SCAN_STRING_MAX, "y\";");
	assert_value_refused(text, "x:1: ", "4097 bytes is too long; at most 4096");
}

static void test_huge_string(void **state)
{
	static char text[SOURCE_BYTES_MAX];

	(void)state;
	memset(text, 'y', sizeof(text));
	memcpy(text, "a = \"", 5);
	text[sizeof(text) - 1] = '"';
	assert_bytes_refused(text, sizeof(text), "x:1: ", "too long; at most 4096");
}

static void test_comment_without_end(void **state)
{
	(void)state;
	assert_refused("a = 1;\n/* x\n\n", "x:2: ", "comment is never closed");
	assert_refused("/*/", "x:1: ", "comment is never closed");
	assert_refused("a = 1; /", "x:1: ", "unexpected \"/\"");
}

static void test_syntax(void **state)
{
	(void)state;
	assert_refused("a = 1;\n}", "x:2: ", "\"}\" closes nothing");
	assert_refused("a = 1; )", "x:1: ", "\")\" closes nothing");
	assert_refused("a = {\nb = 1;\n", "x:1: ", "\"{\" is never closed; write \"}\"");
	assert_refused("a = {\n\nb = (1, 2\n};",
		       "x:4: ", "\"}\" does not close the \"(\" of x:3; write \")\"");
	assert_refused("a = [1)", "x:1: ", "\")\" does not close the \"[\" of x:1");
	assert_refused("a = 1\n 2;", "x:2: ", "unexpected \"2\"; write \";\", or a key");
	assert_refused("a 1;", "x:1: ", "unexpected \"1\"; write \"=\" after the key \"a\"");
	assert_refused("a { b = 1; }",
		       "x:1: ", "unexpected \"{\"; write \"=\" after the key \"a\"");
	assert_refused("a = ;", "x:1: ", "unexpected \";\"; write a value");
	assert_refused("a = \nb = 1;", "x:2: ", "unexpected \"b\"; write a value");
	assert_refused("a = = 1;", "x:1: ", "unexpected \"=\"; write a value");
	assert_refused("a = }", "x:1: ", "unexpected \"}\"; write a value");
	assert_refused("a = { b = };", "x:1: ", "unexpected \"}\"; write a value");
	assert_refused("a = { 5 };", "x:1: ", "unexpected \"5\"; write a key or \"}\"");
	assert_refused("a = (1 2);", "x:1: ", "unexpected \"2\"; write \",\" or \")\"");
	assert_refused("a = ({ } { });", "x:1: ", "unexpected \"{\"; write \",\" or \")\"");
	assert_refused("a = (1, );", "x:1: ", "unexpected \")\"; write a value");
	assert_refused("a = (, 1);", "x:1: ", "unexpected \",\"; write a value or \")\"");
	assert_refused("a = (b = 1);", "x:1: ", "unexpected \"b\"");
	assert_refused("a = 1;;", "x:1: ", "unexpected \";\"; write a key");
	assert_refused("a = 1 \"x\";", "x:1: ", "unexpected \"x\"");
	assert_refused("true = 1;", "x:1: ", "unexpected \"true\"; write a key");
	assert_refused("\"a\" = 1;", "x:1: ", "unexpected \"a\"; write a key");
	assert_refused("a = yes;",
		       "x:1: ", "unexpected \"yes\"; write a value: a number, true, false");
	assert_refused("a = $b;", "x:1: ", "unexpected \"$\"");
	assert_refused("a = 1;\nb", "x:2: ", "the file ends within a setting");
	assert_refused("a = 1;\nb =\n", "x:3: ", "the file ends within a setting");
	assert_refused("\xc3\xa4 = 1;", "x:1: ", "unexpected \"\\xc3\"");
}

static void test_duplicate_keys(void **state)
{
	(void)state;
	assert_refused("a = 1;\nb = 2;\na = 3;",
		       "x:3: ", "key \"a\" is already set in the same place at x:1");
	assert_refused("g = {\n a = 1;\n a = 1; };", "x:3: ", "at x:2");
	assert_refused("l = ( { a = 1; },\n { a = 1; b = 2;\n b = 1; } );",
		       "x:3: ", "\"b\" is already set");
	assert_becomes("a = { b = 1; }; b = 2;", "a = { b = 1; }; b = 2;");
	/* The same key in another group, around it or beside it, is another key. */
	assert_becomes("a = { a = 1; }; b = { a = 1; }; ab = ( { a = 1; }, { a = 2; } );",
		       "a = { a = 1; }; b = { a = 1; }; ab = ( { a = 1; }, { a = 2; } );");
	assert_refused("a = { a = 1; };\na = 2;",
		       "x:2: ", "\"a\" is already set in the same place at x:1");

	assert_int_equal(source_load_bytes(&source, "x", "a = 1; a = 2;\na = 3;", 20, &report),
			 -EINVAL);
	assert_int_equal(report.n_lines, 2);
}

static void test_depth(void **state)
{
	static char text[2 * 10000 + 10];

	(void)state;
	for (int depth = GRAMMAR_DEPTH_MAX; depth <= 10000; depth += 10000 - GRAMMAR_DEPTH_MAX) {
		strcpy(text, "a = ");
		memset(text + 4, '(', (size_t)depth);
		memset(text + 4 + depth, ')', (size_t)depth);
		text[4 + 2 * depth] = '\0';
		if (depth == GRAMMAR_DEPTH_MAX)
			assert_becomes(text, text);
		else
			assert_refused(text, "x:1: ", "nested too deeply; at most 32");
	}
	strcpy(text, "a = ");
	memset(text + 4, '(', 33);
	strcpy(text + 4 + 33, "");
	assert_refused(text, "x:1: ", "nested too deeply; at most 32");
}

static void test_number_of_settings(void **state)
{
	size_t size;
	char *text;
	FILE *stream = open_memstream(&text, &size);

	(void)state;
	fputs("a = (\n", stream);
	for (int i = 0; i < 20000; i++)
		fputs("{ k = 1; },\n", stream);
	fclose(stream);
	/* The list is one setting, each line two. */
	assert_refused(text, "x:2049: ", "too many settings; there may be 4096");
	free(text);

	stream = open_memstream(&text, &size);
	fputs("a = (", stream);
	for (int i = 0; i < 4095; i++)
		fputs(i ? ",1" : "1", stream);
	fputs(")", stream);
	fclose(stream);
	assert_becomes(text, text);
	text[size - 1] = ',';
	text[size - 2] = '1';
	char *more;

	assert_true(asprintf(&more, "%s1)", text) > 0);
	assert_refused(more, "x:1: ", "too many settings");
	free(more);
	free(text);
}

static void test_long_keys(void **state)
{
	char text[100];

	(void)state;
	memset(text, 'k', SCAN_NAME_MAX);
	strcpy(text + SCAN_NAME_MAX, " = 1;");
	assert_becomes(text, text);
	strcpy(text + SCAN_NAME_MAX, "k = 1;");
	assert_refused(text, "x:1: ", "a key of 65 bytes is too long; at most 64");
}

static void test_number_of_keys(void **state)
{
	size_t size;
	char *text;
	FILE *stream = open_memstream(&text, &size);

	(void)state;
	fputs("g = {\n", stream);
	for (int i = 0; i < GRAMMAR_KEYS_MAX; i++)
		fprintf(stream, "k%d = 1;\n", i);
	fputs("};", stream);
	fclose(stream);
	assert_becomes(text, text);
	strcpy(text + size - 2, "x");
	assert_refused(text, "x:258: ", "too many keys in one group; there may be 256");
	free(text);
}

static void test_nothing(void **state)
{
	(void)state;
	assert_refused("", "x: ", "nothing is configured");
	assert_refused("\n # only\n /* this */", "x: ", "nothing is configured");
}

static void test_all_value_errors_at_once(void **state)
{
	const char text[] = "a = 10s;\nb =\n 99999999999;\nc = \"\\q\";\nd = 1;";

	(void)state;
	assert_int_equal(source_load_bytes(&source, "x", text, strlen(text), &report), -EINVAL);
	assert_int_equal(report.n_lines, 3);
	assert_true(source.usable);
	assert_string_equal(source.text.bytes, "a = 0;\nb =\n 0;\nc = \"\";\nd = 1;");
	/* The line of the key is marked, where libconfig has the setting. */
	assert_true(text_line(&source.text, 1)->reported);
	assert_true(text_line(&source.text, 2)->reported);
	assert_false(text_line(&source.text, 3)->reported);
	assert_true(text_line(&source.text, 4)->reported);
	assert_false(text_line(&source.text, 5)->reported);
}

static void test_odd_files(void **state)
{
	static char large[2 * 1024 * 1024];

	(void)state;
	assert_file_refused("missing", "missing: ", "cannot be opened: No such file");
	assert_file_refused("no/such/directory",
			    "no/such/directory: ", "cannot be opened: No such file");
	assert_file_refused("", ": ", "cannot be opened");
	assert_int_equal(mkdir("directory", 0755), 0);
	assert_file_refused("directory", "directory: ", "is a directory");
	assert_int_equal(mkfifo("fifo", 0644), 0);
	assert_file_refused("fifo", "fifo: ", "is not a regular file");
	assert_file_refused("/dev/zero", "/dev/zero: ", "is not a regular file");
	write_text("empty", "");
	assert_file_refused("empty", "empty: ", "nothing is configured");
	memset(large, '\n', sizeof(large));
	write_bytes("large", large, sizeof(large));
	assert_file_refused("large",
			    "large: ", "too large; all files together may have 1048576 bytes");
	write_bytes("large", large, SOURCE_BYTES_MAX);
	assert_file_refused("large", "large: ", "nothing is configured");
}

static void test_unreadable_file(void **state)
{
	const bool root = geteuid() == 0;

	(void)state;
	write_text("unreadable", "a = 1;");
	assert_int_equal(chmod("unreadable", 0), 0);
	if (root)
		assert_int_equal(seteuid(65534), 0);
	assert_file_refused("unreadable", "unreadable: ", "cannot be opened: Permission denied");
	if (root)
		assert_int_equal(seteuid(0), 0);
}

static void test_include(void **state)
{
	(void)state;
	mkdir("d", 0755);
	mkdir("d/sub", 0755);
	write_text("d/main",
		   "a = 1;\n \t@include \t\"sub/one\" b = 2;\n@include \"two\"\n\nc = 3;");
	write_text("d/sub/one", "# x\none = 1; // y");
	write_text("d/two", "two = {\n@include \"sub/three\"\n};\n");
	write_text("d/sub/three", "three = 3;\n");

	assert_int_equal(source_load(&source, "d/main", &report), 0);
	assert_string_equal(source.text.bytes, "a = 1;\n \t\n\none = 1; \n b = 2;\n\ntwo = {\n\n"
					       "three = 3;\n\n\n};\n\n\n\nc = 3;");
	assert_line(1, "d/main", 1);
	assert_line(4, "d/sub/one", 2);
	assert_line(5, "d/main", 2);
	assert_line(7, "d/two", 1);
	assert_line(9, "d/sub/three", 1);
	assert_line(12, "d/two", 3);
	assert_line(16, "d/main", 5);
	assert_line(99, "d/main", 5);
	assert_line(0, "d/main", 1);
	assert_int_equal(source.n_files, 4);
	assert_string_equal(source.files[0], "d/main");
}

static void test_include_from_another_directory(void **state)
{
	char path[128];

	(void)state;
	mkdir("d", 0755);
	write_text("d/main", "@include \"b\"");
	write_text("d/b", "a = 1;");
	snprintf(path, sizeof(path), "%s/d/main", directory);
	assert_int_equal(source_load(&source, path, &report), 0);
	teardown(NULL);
	assert_int_equal(chdir("d"), 0);
	assert_int_equal(source_load(&source, "main", &report), 0);
	assert_string_equal(source.files[1], "b");
	assert_int_equal(chdir(".."), 0);
}

static void test_problems_in_included_files(void **state)
{
	(void)state;
	mkdir("d", 0755);
	write_text("d/main", "a = 1;\n@include \"b\"\n");
	write_text("d/b", "\nx = ;\n");
	assert_file_refused("d/main", "d/b:2: ", "unexpected \";\"");
	write_text("d/b", "\na = 5;\n");
	assert_file_refused("d/main", "d/b:2: ", "already set in the same place at d/main:1");
	write_text("d/b", "b = {\n");
	assert_file_refused("d/main", "d/b:1: ", "\"{\" is never closed");
	write_text("d/b", "/*");
	assert_file_refused("d/main", "d/b:1: ", "comment is never closed");
	write_text("d/b", "\n\xff");
	assert_file_refused("d/main", "d/b:2: ", "UTF-8");
}

static void test_bad_includes(void **state)
{
	static char large[SOURCE_BYTES_MAX];

	(void)state;
	mkdir("d", 0755);
	mkdir("d/sub", 0755);
	mkdir("d-other", 0755);
	write_text("d-other/x", "a = 1;");
	write_text("outside", "a = 1;");
	assert_int_equal(symlink("../outside", "d/link"), 0);
	assert_int_equal(mkfifo("d/fifo", 0644), 0);
	memset(large, '\n', sizeof(large));
	write_bytes("d/large", large, sizeof(large));

	static const struct {
		const char *text, *start, *words;
	} cases[] = {
		{ "\n@include \"missing\"", "d/main:2: d/missing: ", "No such file" },
		{ "@include \".\"", "d/main:1: d/.: ", "is a directory" },
		{ "@include \"sub\"", "d/main:1: d/sub: ", "is a directory" },
		{ "@include \"..\"", "d/main:1: d/..: ", "is not below" },
		{ "@include \"fifo\"", "d/main:1: d/fifo: ", "is not a regular file" },
		{ "@include \"../outside\"", "d/main:1: d/../outside: ", "is not below" },
		/* The name of its directory only begins like that of the main file's. */
		{ "@include \"../d-other/x\"", "d/main:1: d/../d-other/x: ", "is not below" },
		{ "@include \"link\"", "d/main:1: d/link: ", "is not below" },
		{ "@include \"/etc/passwd\"",
		  "d/main:1: /etc/passwd: ", "relative to the directory" },
		{ "@include \"\"", "d/main:1: d/: ", "relative to the directory" },
		{ "@include \"*.conf\"", "d/main:1: d/*.conf: ", "No such file" },
		{ "@include \"large\"", "d/main:1: d/large: ", "too large" },
		{ "@include \"main\"", "d/main:1: d/main: ", "includes itself: d/main -> d/main" },
		{ "a = 1; @include \"x\"", "d/main:1: ", "must begin its line" },
		{ "a = @include \"x\"", "d/main:1: ", "must begin its line" },
		{ "/**/ @include \"x\"", "d/main:1: ", "must begin its line" },
		{ "@include", "d/main:1: ", "in quotes" },
		{ "@include x", "d/main:1: ", "in quotes" },
		{ "@include <x>", "d/main:1: ", "in quotes" },
		{ "@include \"x", "d/main:1: ", "on one line" },
		{ "@include \"x\n\"", "d/main:1: ", "on one line" },
		{ "@include \"a\\\\b\"", "d/main:1: ", "without \"\\\"" },
		{ "@import \"x\"", "d/main:1: ", "unexpected \"@\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		write_text("d/main", cases[i].text);
		assert_file_refused("d/main", cases[i].start, cases[i].words);
	}
	assert_refused("@include \"x\"", "x:1: ", "not possible here");
}

static void test_include_circle(void **state)
{
	(void)state;
	mkdir("d", 0755);
	write_text("d/a", "x = 1;\n@include \"b\"");
	write_text("d/b", "@include \"c\"");
	write_text("d/c", "\n\n@include \"a\"");
	assert_file_refused("d/a", "d/c:3: d/a: ", "includes itself: d/a -> d/b -> d/c -> d/a");
	write_text("d/main", "@include \"a\"");
	assert_file_refused("d/main", "d/c:3: d/a: ", "includes itself: d/a -> d/b -> d/c -> d/a");
}

/* A chain of `n` files below the main one. */
static void write_chain(int n)
{
	for (int i = 0; i <= n; i++) {
		char path[32], text[64] = "x = 1;";

		snprintf(path, sizeof(path), "d/f%d", i);
		if (i < n)
			snprintf(text, sizeof(text), "@include \"f%d\"", i + 1);
		write_text(path, text);
	}
}

static void test_include_depth(void **state)
{
	(void)state;
	mkdir("d", 0755);
	write_chain(10);
	assert_int_equal(source_load(&source, "d/f0", &report), 0);
	teardown(NULL);
	write_chain(11);
	assert_file_refused("d/f0", "d/f10:1: d/f11: ", "too deeply; at most 10");
}

static void test_number_of_includes(void **state)
{
	char *text;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	(void)state;
	mkdir("d", 0755);
	for (int i = 0; i < 1000; i++)
		fputs("@include \"empty\"\n", stream);
	fclose(stream);
	write_text("d/main", text);
	write_text("d/empty", "");
	assert_file_refused("d/main", "d/main:64: d/empty: ", "too many files; at most 64");
	free(text);
}

/* Each file is small enough; together they are not. */
static void test_size_of_includes(void **state)
{
	static char half[SOURCE_BYTES_MAX / 2];

	(void)state;
	mkdir("d", 0755);
	memset(half, '\n', sizeof(half));
	write_bytes("d/half", half, sizeof(half));
	write_text("d/main", "@include \"half\"\n@include \"half\"\n");
	assert_file_refused("d/main", "d/main:2: d/half: ", "too large");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_tokens_stay),
		TEST(test_numbers_that_fit),
		TEST(test_comments_go),
		TEST(test_crlf_is_fine),
		TEST(test_bytes_that_are_no_text),
		TEST(test_numbers_that_do_not_fit),
		TEST(test_numbers_that_are_none),
		TEST(test_strings),
		TEST(test_huge_string),
		TEST(test_comment_without_end),
		TEST(test_syntax),
		TEST(test_duplicate_keys),
		TEST(test_depth),
		TEST(test_number_of_settings),
		TEST(test_long_keys),
		TEST(test_number_of_keys),
		TEST(test_nothing),
		TEST(test_all_value_errors_at_once),
		TEST(test_odd_files),
		TEST(test_unreadable_file),
		TEST(test_include),
		TEST(test_include_from_another_directory),
		TEST(test_problems_in_included_files),
		TEST(test_bad_includes),
		TEST(test_include_circle),
		TEST(test_include_depth),
		TEST(test_number_of_includes),
		TEST(test_size_of_includes),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
