/* SPDX-License-Identifier: MIT */
/*
 * Opens the files, with the limits that make any file harmless: regular ones only, opened so that
 * no FIFO blocks and no terminal takes over, a bounded number of bounded size. What libconfig gets
 * is the text in memory: it opens nothing, so what was checked is what is used.
 *
 * An @include is a path relative to the directory of the main file, and stays below that directory
 * when all links are resolved.
 */
#include "source.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "scan.h"
#include "util.h"

struct loader {
	struct source *source;
	struct report *report;
	struct scan *scan;
	char *directory; /* of the main file as it was written, with a "/" at the end, or "" */
	char *root;      /* the same, resolved */
	size_t n_bytes;
	char *contents[SOURCE_FILES_MAX]; /* of source->files; the scan points into them */
	size_t depth;
	struct {
		const char *file;
		dev_t device;
		ino_t inode;
	} open[SOURCE_NESTING_MAX + 1]; /* the main file and those that are included now */
};

/* Who wants a file: the start of the message when it cannot be had. */
struct wanted {
	const char *file; /* NULL: the user */
	int line;
	const char *path; /* as in messages */
};

#define complain(l, w, format, ...)                                                                \
	({                                                                                         \
		char where_[24] = "";                                                              \
		if ((w)->file)                                                                     \
			snprintf(where_, sizeof(where_), ":%d: ", (w)->line);                      \
		report_add((l)->report, "%s%s%s: " format, (w)->file ? (w)->file : "", where_,     \
			   (w)->path, ##__VA_ARGS__);                                              \
		-EINVAL;                                                                           \
	})

static int no_memory(struct loader *l)
{
	report_add(l->report, "%s: out of memory", l->source->files ? l->source->files[0] : "");
	return -ENOMEM;
}

/* Reads the whole of a file that may grow or shrink meanwhile. */
static int read_bytes(struct loader *l, int fd, const struct wanted *w, char **ret_bytes,
		      size_t *ret_n)
{
	size_t room = SOURCE_BYTES_MAX - l->n_bytes + 1, n = 0;
	auto_free char *bytes = malloc(room);
	ssize_t got;

	if (!bytes)
		return no_memory(l);
	while (n < room && (got = read(fd, bytes + n, room - n)) != 0) {
		if (got > 0)
			n += (size_t)got;
		else if (errno != EINTR)
			return complain(l, w, "cannot be read: %s", strerror(errno));
	}
	if (n == room)
		return complain(l, w, "too large; all files together may have %d bytes",
				SOURCE_BYTES_MAX);
	*ret_bytes = steal(&bytes);
	*ret_n = n;
	return 0;
}

static int open_file(struct loader *l, const char *path, const struct wanted *w,
		     struct stat *ret_st)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fstat(fd, ret_st) < 0)
		return complain(l, w, "cannot be opened: %s", strerror(errno));
	if (!S_ISREG(ret_st->st_mode))
		return complain(l, w, "%s; write a regular file",
				S_ISDIR(ret_st->st_mode) ? "is a directory"
							 : "is not a regular file");
	return steal_fd(&fd);
}

/* The chain of files that include each other ends where it began. */
static int check_circle(struct loader *l, const struct wanted *w, const struct stat *st)
{
	for (size_t i = 0; i < l->depth; i++) {
		char chain[1024] = "";
		size_t n = 0;

		if (l->open[i].device != st->st_dev || l->open[i].inode != st->st_ino)
			continue;
		for (size_t j = i; j < l->depth && n < sizeof(chain); j++)
			n += (size_t)snprintf(chain + n, sizeof(chain) - n, "%s -> ",
					      l->open[j].file);
		return complain(l, w, "includes itself: %s%s", chain, l->open[i].file);
	}
	return 0;
}

/* Makes room for one more name and takes it over. */
static int add_file(struct loader *l, char **name)
{
	struct source *source = l->source;
	char **files = reallocarray(source->files, source->n_files + 1, sizeof(*files));

	if (!files)
		return no_memory(l);
	source->files = files;
	files[source->n_files++] = steal(name);
	return 0;
}

/* Scans a file that nothing stands against. */
static int load_file(struct loader *l, int fd, const struct wanted *w, const struct stat *st)
{
	auto_free char *name = strdup(w->path);
	size_t index = l->source->n_files, n = 0;
	bool sane;
	int r;

	r = name ? add_file(l, &name) : no_memory(l);
	if (r < 0)
		return r;
	r = read_bytes(l, fd, w, &l->contents[index], &n);
	if (r < 0)
		return r;
	l->n_bytes += n;

	l->open[l->depth].file = l->source->files[index];
	l->open[l->depth].device = st->st_dev;
	l->open[l->depth].inode = st->st_ino;
	l->depth++;
	sane = scan_file(l->scan, l->source->files[index], l->contents[index], n);
	l->depth--;
	return sane ? 0 : -EINVAL;
}

/* The resolved path of an @include, below the main file's directory. */
static int resolve(struct loader *l, const char *written, const struct wanted *w, char **ret_path)
{
	auto_free char *path = NULL, *resolved = NULL;
	size_t root = strlen(l->root);

	if (*written == '/' || *written == '\0')
		return complain(l, w, "write a path relative to the directory of the main file");
	if (asprintf(&path, "%s/%s", l->root, written) < 0) {
		path = NULL;
		return no_memory(l);
	}
	resolved = realpath(path, NULL);
	if (!resolved)
		return complain(l, w, "cannot be opened: %s", strerror(errno));
	if (strncmp(resolved, l->root, root) != 0 ||
	    (resolved[root] != '/' && resolved[root] != '\0'))
		return complain(l, w, "is not below %s/, the directory of the main file", l->root);
	*ret_path = steal(&resolved);
	return 0;
}

static int check_limits(struct loader *l, const struct wanted *w)
{
	if (l->depth > SOURCE_NESTING_MAX)
		return complain(l, w,
				"included too deeply; at most %d files may include each other",
				SOURCE_NESTING_MAX);
	if (l->source->n_files == SOURCE_FILES_MAX)
		return complain(l, w, "too many files; at most %d may be read in all",
				SOURCE_FILES_MAX);
	return 0;
}

static int load_include(struct loader *l, const char *written, const struct wanted *w)
{
	auto_free char *path = NULL;
	auto_close int fd = -1;
	struct stat st;
	int r;

	r = check_limits(l, w);
	if (r < 0)
		return r;
	r = resolve(l, written, w, &path);
	if (r < 0)
		return r;
	fd = open_file(l, path, w, &st);
	if (fd < 0)
		return fd;
	r = check_circle(l, w, &st);
	if (r < 0)
		return r;
	return load_file(l, fd, w, &st);
}

static bool include(struct scan *scan, const char *path, size_t length, const char *file, int line)
{
	struct loader *l = scan->include_data;
	auto_free char *written = strndup(path, length);
	auto_free char *shown = NULL;
	struct wanted w = { .file = file, .line = line };

	if (!written ||
	    asprintf(&shown, "%s%s", *written == '/' ? "" : l->directory, written) < 0) {
		shown = NULL;
		no_memory(l);
		return false;
	}
	w.path = shown;
	return load_include(l, written, &w) == 0;
}

static int find_directory(struct loader *l, const char *path)
{
	const char *slash = strrchr(path, '/');

	l->directory = strndup(path, slash ? (size_t)(slash - path) + 1 : 0);
	if (!l->directory)
		return no_memory(l);
	l->root = realpath(slash ? l->directory : ".", NULL);
	if (!l->root)
		return complain(l, &(struct wanted){ .path = path }, "no such directory: %s",
				strerror(errno));
	/* "/" alone ends with the slash that the others get when a name is added. */
	if (strcmp(l->root, "/") == 0)
		*l->root = '\0';
	return 0;
}

static int load_main(struct loader *l, const char *path)
{
	struct wanted w = { .path = path };
	auto_close int fd = -1;
	struct stat st;
	int r;

	fd = open_file(l, path, &w, &st);
	if (fd < 0)
		return fd;
	r = find_directory(l, path);
	if (r < 0)
		return r;
	l->scan->include = include;
	l->scan->include_data = l;
	return load_file(l, fd, &w, &st);
}

static int load_bytes(struct loader *l, const char *name, const char *bytes, size_t n)
{
	auto_free char *file = strdup(name);
	int r;

	r = file ? add_file(l, &file) : no_memory(l);
	if (r < 0)
		return r;
	return scan_file(l->scan, l->source->files[0], bytes, n) ? 0 : -EINVAL;
}

/* What only the end of all files tells. */
static int finish(struct loader *l, int r)
{
	struct scan *scan = l->scan;
	const struct text *text = &l->source->text;

	if (text->failed)
		return no_memory(l);
	if (r < 0)
		return r;
	const struct text_line *last = text_line(text, text->n_lines);

	grammar_end(&scan->grammar,
		    (struct grammar_place){ last->file, last->line, text->n_lines });
	if (scan->grammar.n_settings == 0 && !scan->grammar.broken) {
		report_add(l->report,
			   "%s: nothing is configured; write at least one entry of sockets",
			   l->source->files[0]);
		return -EINVAL;
	}
	l->source->usable = !scan->grammar.broken;
	return 0;
}

static void drop(struct loader *l)
{
	for (size_t i = 0; i < SOURCE_FILES_MAX; i++)
		free(l->contents[i]);
	free(l->directory);
	free(l->root);
	free(l->scan);
}

/* From `path`, or from the bytes when there are some. */
static int load(struct source *source, const char *path, const char *bytes, size_t n,
		struct report *report)
{
	struct loader l cleanup(drop) = { .source = source, .report = report };
	size_t errors = report->n_lines;
	int r;

	*source = (struct source){ 0 };
	l.scan = malloc(sizeof(*l.scan));
	if (!l.scan)
		return no_memory(&l);
	scan_init(l.scan, report, &source->text);
	r = finish(&l, bytes ? load_bytes(&l, path, bytes, n) : load_main(&l, path));
	if (r == 0 && report->n_lines > errors)
		r = -EINVAL;
	return r;
}

int source_load(struct source *source, const char *path, struct report *report)
{
	return load(source, path, NULL, 0, report);
}

int source_load_bytes(struct source *source, const char *name, const char *bytes, size_t n,
		      struct report *report)
{
	return load(source, name, n ? bytes : "", n, report);
}

void source_deinit(struct source *source)
{
	for (size_t i = 0; i < source->n_files; i++)
		free(source->files[i]);
	free(source->files);
	text_deinit(&source->text);
	*source = (struct source){ 0 };
}
