/* SPDX-License-Identifier: MIT */
/* Arguments and exit codes. */
#include "config.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "activation.h"
#include "crash.h"
#include "journal.h"
#include "server.h"
#include "settings.h"
#include "util.h"

enum mode { MODE_RUN, MODE_CHECK, MODE_DUMP, MODE_LIST_OPTIONS, MODE_HELP, MODE_VERSION };

struct arguments {
	enum mode mode;
	bool allow_root;
	struct setup_options server;
};

static const char usage[] =
	"Usage: simple-server [--config FILE] [--ignore-unknown-sockets] [--allow-own-modules]\n"
	"                     [--allow-root]\n"
	"       simple-server [--config FILE] [--ignore-unknown-sockets] [--allow-own-modules]\n"
	"                     --check | --dump\n"
	"       simple-server --list-options | --help | --version\n"
	"\n"
	"Serves the sockets that systemd passes to it, as the file says.\n"
	"\n"
	"  --config FILE             read FILE instead of " CONFIG_FILE_DEFAULT "\n"
	"  --check                   look for errors in the file, and in passed sockets; then exit\n"
	"  --dump                    print all settings as they are in effect; then exit\n"
	"  --list-options            print every key that the file may have; then exit\n"
	"  --ignore-unknown-sockets  start although sockets and sections do not match\n"
	"  --allow-own-modules       load modules of the user who starts it, not of root alone\n"
	"  --allow-root              start although the user is root\n"
	"  --help, --version         print this, or the version; then exit\n"
	"\n"
	"See simple-server(8) and simple-server.conf(5).\n";

/* false after a message: the command line is wrong. */
static bool parse(int argc, char **argv, struct arguments *arguments)
{
	enum { ALLOW_OWN_MODULES = MODE_VERSION + 1, ALLOW_ROOT, CONFIG, IGNORE_UNKNOWN };
	static const struct option options[] = {
		{ "allow-own-modules", no_argument, NULL, ALLOW_OWN_MODULES },
		{ "allow-root", no_argument, NULL, ALLOW_ROOT },
		{ "check", no_argument, NULL, MODE_CHECK },
		{ "config", required_argument, NULL, CONFIG },
		{ "dump", no_argument, NULL, MODE_DUMP },
		{ "help", no_argument, NULL, MODE_HELP },
		{ "ignore-unknown-sockets", no_argument, NULL, IGNORE_UNKNOWN },
		{ "list-options", no_argument, NULL, MODE_LIST_OPTIONS },
		{ "version", no_argument, NULL, MODE_VERSION },
		{ 0 },
	};

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == '?')
			return false;
		if (option == CONFIG)
			arguments->server.config = optarg;
		else if (option == ALLOW_OWN_MODULES)
			arguments->server.allow_own_modules = true;
		else if (option == ALLOW_ROOT)
			arguments->allow_root = true;
		else if (option == IGNORE_UNKNOWN)
			arguments->server.ignore_unknown_sockets = true;
		else if (arguments->mode == MODE_RUN || arguments->mode == (enum mode)option)
			arguments->mode = (enum mode)option;
		else {
			fprintf(stderr,
				"simple-server: only one of --check, --dump, ... at a time\n");
			return false;
		}
	}
	if (optind < argc)
		fprintf(stderr, "simple-server: there is no argument \"%s\"\n", argv[optind]);
	return optind == argc;
}

static enum server_exit run(const struct arguments *arguments)
{
	if (geteuid() == 0 && !arguments->allow_root) {
		fprintf(stderr,
			"simple-server: it needs no privilege and refuses to run as root; start it "
			"by its unit (DynamicUser=yes), or with --allow-root\n");
		return SERVER_EXIT_CONFIG;
	}
	return server_run(&arguments->server);
}

/* What was printed must have arrived: a full disk is an error, not a success. */
static enum server_exit printed(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return SERVER_EXIT_OK;
	perror("simple-server: standard output");
	return SERVER_EXIT_INTERNAL;
}

/* Else a socket of ours becomes number 2, and log lines are written into it. */
static void keep_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close_fd(fd);
}

int main(int argc, char **argv)
{
	struct arguments arguments = { .server.config = CONFIG_FILE_DEFAULT };
	enum server_exit code = SERVER_EXIT_OK;

	if (!parse(argc, argv, &arguments)) {
		fputs("Try `simple-server --help`.\n", stderr);
		return SERVER_EXIT_USAGE;
	}
	keep_standard_fds();
	journal_open(activation_has_journal() ? activation_journal : NULL);
	crash_install(activation_has_journal());
	switch (arguments.mode) {
	case MODE_RUN:
		return (int)run(&arguments);
	case MODE_CHECK:
		code = server_check(&arguments.server);
		break;
	case MODE_DUMP:
		code = server_dump(&arguments.server);
		break;
	case MODE_LIST_OPTIONS:
		settings_list_options(stdout);
		break;
	case MODE_HELP:
		fputs(usage, stdout);
		break;
	case MODE_VERSION:
		puts("simple-server " PACKAGE_VERSION);
		break;
	}
	return (int)(code == SERVER_EXIT_OK ? printed() : code);
}
