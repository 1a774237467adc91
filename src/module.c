/* SPDX-License-Identifier: MIT */
/*
 * See module.h. A module is never unloaded: destructors of its thread-local variables, its threads
 * and callbacks of the C library would run into code that is gone. So a file that is replaced takes
 * effect with the next process.
 */
#include "module.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"
#include "guard.h"
#include "module-private.h"

struct module {
	struct module *next;
	dev_t device;
	ino_t inode;
	struct guard guard; /* with the handler */
};

static struct module *modules;

static const struct ss_handler *find_loaded(const struct module_file *file)
{
	for (const struct module *module = modules; module; module = module->next)
		if (module->device == file->device && module->inode == file->inode)
			return &module->guard.handler;
	return NULL;
}

/* What dlerror() says, which mostly begins with the path, and what to do about it. */
static bool complain(const struct module_file *file, char *problem)
{
	const char *error = dlerror(), *advice;
	size_t n = strlen(file->path);

	if (strncmp(error, file->path, n) == 0 && strncmp(error + n, ": ", 2) == 0)
		error += n + 2;
	if (strstr(error, "undefined symbol"))
		advice = "link it with the library that has it, or use a newer simple-server";
	else if (strstr(error, "cannot open shared object file"))
		advice = "install what it needs";
	else
		advice = "build it as a shared object for this machine: cc -shared -fPIC";
	return module_wrong(problem, "cannot be loaded: %.1024s; %s", error, advice);
}

/* What the module says of its handler, checked. */
static bool open_module(const struct module_file *file, struct ss_handler *ret_handler,
			char *problem)
{
	void *object = dlopen(file->path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	const struct ss_handler *(*entry)(void);

	if (!object)
		return complain(file, problem);
	entry = (const struct ss_handler *(*)(void))dlsym(object, "ss_module");
	if (!entry)
		return module_wrong(problem, "has no ss_module(), so it is no module of this "
					     "server; write SS_MODULE(handler); in it");
	struct crash_place outer = crash_enter(file->path, NULL, "ss_module", 0);
	const struct ss_handler *handler = entry();
	crash_leave(&outer);
	return module_check(handler, ret_handler, problem);
}

static const struct ss_handler *keep(const struct module_file *file,
				     const struct ss_handler *handler, char *problem)
{
	struct module *module = malloc(sizeof(*module));

	if (!module) {
		snprintf(problem, MODULE_PROBLEM_MAX, "cannot be loaded: out of memory");
		return NULL;
	}
	*module = (struct module){ .next = modules,
				   .device = file->device,
				   .inode = file->inode,
				   .guard.real = *handler };
	guard_init(&module->guard);
	modules = module;
	return &module->guard.handler;
}

static const struct ss_handler *load(const struct module_place *place, const char *name,
				     char *problem)
{
	const struct ss_handler *loaded;
	struct ss_handler handler;
	struct module_file file;

	if (!module_find_file(place, name, &file, problem))
		return NULL;
	loaded = find_loaded(&file);
	if (loaded)
		return loaded;
	if (!open_module(&file, &handler, problem))
		return NULL;
	return keep(&file, &handler, problem);
}

const struct ss_handler *module_load(const struct module_place *place,
				     const struct settings_socket *section, struct report *report)
{
	char problem[MODULE_PROBLEM_MAX];
	const struct ss_handler *handler = load(place, section->module, problem);

	if (!handler)
		report_add(report, "%s:%d: module \"%s\": %s", section->module_where.file,
			   section->module_where.line, section->module, problem);
	return handler;
}
