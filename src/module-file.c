/* SPDX-License-Identifier: MIT */
/*
 * To load a file is to run it. It may be written by root alone, and so may every directory on the
 * way to it: whoever can write one of these can put another file there. In a directory with the
 * sticky bit, such as /tmp, others cannot take away what is not theirs.
 *
 * What is looked at is the way without symbolic links, and that way is loaded then. An ACL that
 * lets others write shows in the bits of the group.
 */
#include "module-private.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>

#include "util.h"

/* No plain name leads anywhere but into the directory; no other name is relative. */
static bool check_name(const char *name, char *problem)
{
	bool absolute = name[0] == '/';
	size_t length;

	if (!absolute && strchr(name, '/'))
		return module_wrong(problem,
				    "is a relative path; write an absolute one, or only the "
				    "name of a file in the module directory");
	for (const char *part = name; *part; part += length + (part[length] == '/')) {
		length = strcspn(part, "/");
		if (length == 2 && memcmp(part, "..", 2) == 0)
			return module_wrong(problem, "has a \"..\"; write the path without it");
	}
	return true;
}

/* The path as it was written, and of a plain name that of the directory as well. */
static bool resolve(const char *directory, const char *name, char *ret_path, char *problem)
{
	char joined[PATH_MAX], root[PATH_MAX];
	size_t n;

	if (name[0] == '/') {
		if (realpath(name, ret_path))
			return true;
		return module_wrong(problem, "cannot be opened: %s", strerror(errno));
	}
	if (!realpath(directory, root))
		return module_wrong(
			problem,
			"the module directory %s cannot be opened: %s; write an absolute "
			"path, or make it",
			directory, strerror(errno));
	if (snprintf(joined, sizeof(joined), "%s/%s", root, name) >= (int)sizeof(joined))
		return module_wrong(problem, "has a path that is too long; write a shorter one");
	if (!realpath(joined, ret_path))
		return module_wrong(problem, "cannot be opened: %s; it was looked for in %s",
				    strerror(errno), root);
	n = strlen(root);
	if (strncmp(ret_path, root, n) != 0 ||
	    (root[n - 1] != '/' && ret_path[n] && ret_path[n] != '/'))
		return module_wrong(problem,
				    "is a symbolic link to %s, out of the module directory; write "
				    "that path instead",
				    ret_path);
	return true;
}

static bool check_owner(const struct module_place *place, const char *path, const struct stat *st,
			char *problem)
{
	if (st->st_uid != 0 && !(place->allow_own && st->st_uid == geteuid()))
		return module_wrong(problem, "%s belongs to the user %u; make it root's%s", path,
				    (unsigned)st->st_uid,
				    st->st_uid == geteuid() && !place->allow_own
					    ? ", or use --allow-own-modules"
					    : "");
	return true;
}

static bool check_writers(const char *path, const struct stat *st, char *problem)
{
	bool sticky = S_ISDIR(st->st_mode) && st->st_mode & S_ISVTX;

	if (!(st->st_mode & (S_IWGRP | S_IWOTH)) || sticky)
		return true;
	return module_wrong(
		problem, "%s can be written by %s (mode %04o); take that away: chmod go-w", path,
		st->st_mode & S_IWOTH ? "everybody" : "its group", (unsigned)st->st_mode & 07777);
}

/* Each directory of a path that has no links. */
static bool check_directories(const struct module_place *place, const char *path, char *problem)
{
	char directory[PATH_MAX];
	struct stat st;
	char *slash;

	snprintf(directory, sizeof(directory), "%s", path);
	do {
		slash = strrchr(directory, '/');
		slash[slash == directory] = '\0'; /* of the root, the slash stays */
		if (lstat(directory, &st) < 0)
			return module_wrong(problem, "%s cannot be looked at: %s", directory,
					    strerror(errno));
		if (!check_owner(place, directory, &st, problem) ||
		    !check_writers(directory, &st, problem))
			return false;
	} while (slash > directory);
	return true;
}

static bool read_at(int fd, void *bytes, size_t n, uint64_t offset)
{
	return offset <= INT64_MAX && pread(fd, bytes, n, (off_t)offset) == (ssize_t)n;
}

/*
 * A file that ends within what is to be mapped would end the process by SIGBUS. All else that can
 * be wrong with it is found by dlopen().
 */
static bool check_whole(int fd, uint64_t size, char *problem)
{
	ElfW(Ehdr) header;
	ElfW(Phdr) segment;

	if (!read_at(fd, &header, sizeof(header), 0) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
	    header.e_phentsize != sizeof(segment))
		return true;
	for (unsigned i = 0; i < header.e_phnum; i++)
		if (!read_at(fd, &segment, sizeof(segment), header.e_phoff + i * sizeof(segment)) ||
		    segment.p_offset > size || segment.p_filesz > size - segment.p_offset)
			return module_wrong(problem,
					    "is not complete: it ends after %llu bytes; install it "
					    "again",
					    (unsigned long long)size);
	return true;
}

/* dlopen(3) expands $ORIGIN, $LIB and $PLATFORM: it would load another file than the one checked.
 */
static bool check_expansion(const char *path, char *problem)
{
	if (!strchr(path, '$'))
		return true;
	return module_wrong(problem,
			    "has a $ in its path, %s, which dlopen(3) expands; rename the file or "
			    "the directory",
			    path);
}

bool module_find_file(const struct module_place *place, const char *name,
		      struct module_file *ret_file, char problem[MODULE_PROBLEM_MAX])
{
	struct stat st;

	if (!check_name(name, problem) ||
	    !resolve(place->directory, name, ret_file->path, problem) ||
	    !check_expansion(ret_file->path, problem) ||
	    !check_directories(place, ret_file->path, problem))
		return false;
	/* A FIFO is not waited for. */
	int fd auto_close = open(ret_file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return module_wrong(problem, "cannot be opened: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return module_wrong(problem, "is %s; write the name of a shared object",
				    S_ISDIR(st.st_mode) ? "a directory" : "no regular file");
	ret_file->device = st.st_dev;
	ret_file->inode = st.st_ino;
	return check_owner(place, ret_file->path, &st, problem) &&
	       check_writers(ret_file->path, &st, problem) &&
	       check_whole(fd, (uint64_t)st.st_size, problem);
}
