/* SPDX-License-Identifier: MIT */
/*
 * From the text of the files to a settings object: libconfig makes a tree of the text, and each key
 * of the tree is held against the table. Everything that is wrong is reported before anything is
 * refused.
 *
 * An entry of sockets begins as a copy of the defaults, which begin as what is built in: so what is
 * written in a narrower place overrides the wider one, wherever in the file the two stand.
 */
#include "settings.h"

#include <libconfig.h>
#include <stdio.h>
#include <string.h>

#include "settings-access.h"
#include "settings-check.h"
#include "settings-complain.h"
#include "settings-keys.h"
#include "settings-table.h"
#include "source.h"
#include "util.h"

struct loader {
	struct source source;
	struct settings *settings;
	struct settings_socket defaults; /* its name, handler and module stay NULL */
	const struct settings_hooks *hooks;
	struct complaints complaints;
	struct report *report;
	size_t errors; /* lines that the report had before */
	config_t config;
	bool failed; /* memory ran out */
};

static void complain_unknown(struct loader *l, const config_setting_t *setting, unsigned scope,
			     const char *group)
{
	char text[SETTINGS_UNKNOWN_MAX];

	complain(&l->complaints, setting, "%s",
		 settings_unknown(text, scope, group, NULL, config_setting_name(setting)));
}

static void read_option(struct loader *l, const config_setting_t *setting, unsigned scope,
			struct settings_socket *section)
{
	const struct sockopt *row = sockopt_find(config_setting_name(setting));
	struct settings_option *option;
	struct value_rule rule;
	struct value value;

	if (!row) {
		complain_unknown(l, setting, scope, SETTINGS_OPTIONS);
		return;
	}
	rule = settings_option_rule(row);
	if (!complaints_get(&l->complaints, setting, SETTINGS_OPTIONS, &rule, &value))
		return;
	option = &section->options[row - sockopt_table];
	*option = (struct settings_option){ .set = true,
					    .explicit = scope == SETTINGS_IN_SOCKET,
					    .value.number = value.number,
					    .where = complaints_where(&l->complaints, setting) };
	if (row->type == SOCKOPT_STRING)
		snprintf(option->value.string, sizeof(option->value.string), "%s", value.string);
}

static void read_group(struct loader *l, const config_setting_t *group, unsigned scope,
		       const char *name, void *target);

static void read_sockets(struct loader *l, const config_setting_t *list);

static void read_defaults(struct loader *l, const config_setting_t *group)
{
	read_group(l, group, SETTINGS_IN_DEFAULTS, "", &l->defaults);
	settings_check_limits(&l->complaints, config_root_setting(&l->config), group,
			      &l->defaults.limits);
}

/* The rules begin anew: an entry with such a group has none of the rules of defaults. */
static void read_rules(struct loader *l, const config_setting_t *group, unsigned scope,
		       const char *name, struct settings_socket *section)
{
	access_deinit(strcmp(name, SETTINGS_ACCESS) == 0 ? &section->access : &section->proxies);
	read_group(l, group, scope, name, section);
}

/* A group or a list whose type is right. */
static void read_inner(struct loader *l, const config_setting_t *setting, unsigned scope,
		       const char *name, void *target)
{
	if (strcmp(name, SETTINGS_HANDLER) == 0)
		return; /* read when the handler is known */
	if (strcmp(name, SETTINGS_ACCESS) == 0 || strcmp(name, SETTINGS_PROXY) == 0)
		read_rules(l, setting, scope, name, target);
	else if (scope != SETTINGS_IN_FILE)
		read_group(l, setting, scope, name, target);
	else if (config_setting_is_list(setting))
		read_sockets(l, setting);
	else
		read_defaults(l, setting);
}

static void read_key(struct loader *l, const config_setting_t *setting, unsigned scope,
		     const char *group, void *target)
{
	const char *name = config_setting_name(setting);
	const struct settings_row *row = settings_row_find(scope, group, name);
	struct value value;

	if (!row)
		complain_unknown(l, setting, scope, group);
	else if (!complaints_get(&l->complaints, setting, group, &row->rule, &value))
		return;
	else if (row->rule.type == VALUE_GROUP || row->rule.type == VALUE_LIST)
		read_inner(l, setting, scope, name, target);
	else if (row->rule.type == VALUE_PREFIXES || row->rule.type == VALUE_INTEGERS)
		l->failed |= settings_access_read(&l->complaints, setting, row,
						  settings_row_rules(row, target)) < 0;
	else
		l->failed |= settings_row_store(row, target, &value) < 0;
}

/* All keys of a group. */
static void read_group(struct loader *l, const config_setting_t *group, unsigned scope,
		       const char *name, void *target)
{
	bool options = strcmp(name, SETTINGS_OPTIONS) == 0;

	for (unsigned i = 0; i < (unsigned)config_setting_length(group); i++) {
		const config_setting_t *setting = config_setting_get_elem(group, i);

		if (options)
			read_option(l, setting, scope, target);
		else
			read_key(l, setting, scope, name, target);
	}
}

static void set_initial(unsigned scope, void *target)
{
	for (size_t i = 0; i < settings_table_count; i++) {
		const struct settings_row *row = &settings_table[i];
		struct value value = { .number = row->initial };

		if (row->scopes & scope && row->rule.type <= VALUE_WORD)
			settings_row_store(row, target, &value);
	}
}

/* What a row of the table has in the file's syntax. */
static void set_built_in(const struct sockopt *row, struct settings_option *option)
{
	const char *text = row->built_in;

	if (!*text)
		return;
	option->set = true;
	if (row->type == SOCKOPT_BOOL)
		option->value.number = strcmp(text, "true") == 0;
	else if (row->type == SOCKOPT_STRING)
		snprintf(option->value.string, sizeof(option->value.string), "%.*s",
			 (int)strcspn(text + 1, "\""), text + 1);
	else
		option->value.number = strtoll(text, NULL, 0);
}

static bool prepare_defaults(struct loader *l)
{
	set_initial(SETTINGS_IN_DEFAULTS, &l->defaults);
	l->defaults.options = calloc(sockopt_count, sizeof(*l->defaults.options));
	if (!l->defaults.options)
		return false;
	for (size_t i = 0; i < sockopt_count; i++)
		set_built_in(&sockopt_table[i], &l->defaults.options[i]);
	return true;
}

static struct settings_where where_of(struct loader *l, const config_setting_t *group,
				      const char *name)
{
	const config_setting_t *setting = config_setting_get_member(group, name);

	return setting ? complaints_where(&l->complaints, setting) : (struct settings_where){ 0 };
}

/* The handler decides what the group `settings` may have; so that comes last. */
static void find_handler(struct loader *l, const config_setting_t *entry,
			 struct settings_socket *socket)
{
	if (!settings_check_handler(&l->complaints, entry, socket) || !l->hooks)
		return;
	socket->found = l->hooks->find(l->hooks->context, socket, l->report);
	if (!socket->found)
		return;
	l->failed |= settings_keys_read(&l->complaints, entry, socket) < 0;
	if (l->hooks->check)
		l->hooks->check(socket, l->report);
}

static void read_entry(struct loader *l, const config_setting_t *entry)
{
	struct settings_socket *socket = &l->settings->sockets[l->settings->n_sockets];

	if (!config_setting_is_group(entry)) {
		complain(&l->complaints, entry,
			 "an entry of sockets is a group; write { name = ...; handler = ...; }");
		return;
	}
	*socket = l->defaults;
	socket->access = socket->proxies = (struct access_rules){ 0 };
	socket->where = complaints_where(&l->complaints, entry);
	socket->options = calloc(sockopt_count, sizeof(*socket->options));
	if (!socket->options) {
		l->failed = true;
		return;
	}
	l->settings->n_sockets++;
	memcpy(socket->options, l->defaults.options, sockopt_count * sizeof(*socket->options));
	l->failed |= access_copy(&socket->access, &l->defaults.access) < 0;
	l->failed |= access_copy(&socket->proxies, &l->defaults.proxies) < 0;

	settings_check_required(&l->complaints, entry);
	read_group(l, entry, SETTINGS_IN_SOCKET, "", socket);
	socket->handler_where = where_of(l, entry, "handler");
	socket->module_where = where_of(l, entry, "module");
	settings_check_name(&l->complaints, entry, l->settings, socket);
	settings_check_limits(&l->complaints, config_root_setting(&l->config), entry,
			      &socket->limits);
	find_handler(l, entry, socket);
}

static void read_sockets(struct loader *l, const config_setting_t *list)
{
	unsigned n = (unsigned)config_setting_length(list);

	if (n == 0)
		complain(&l->complaints, list,
			 "sockets is empty; write at least one { name = ...; handler = ...; }");
	l->settings->sockets = calloc(n + 1, sizeof(*l->settings->sockets));
	if (!l->settings->sockets) {
		l->failed = true;
		return;
	}
	for (unsigned i = 0; i < n; i++)
		read_entry(l, config_setting_get_elem(list, i));
}

/*
 * The defaults are read first, because the entries begin with them, wherever they stand; and once
 * more in their place, so that all complaints come in the order of the file.
 */
static void read_tree(struct loader *l)
{
	const config_setting_t *root = config_root_setting(&l->config);
	const config_setting_t *defaults = config_setting_get_member(root, "defaults");

	l->complaints.silent = true;
	if (defaults && config_setting_is_group(defaults))
		read_defaults(l, defaults);
	l->complaints.silent = false;
	read_group(l, root, SETTINGS_IN_FILE, "", l->settings);
	if (!config_setting_get_member(root, "sockets"))
		report_add(l->report,
			   "%s: no sockets; write sockets = ( { name = ...; handler = ...; } );",
			   l->settings->path);
}

static void parse(struct loader *l)
{
	config_set_auto_convert(&l->config, CONFIG_FALSE);
	if (config_read_string(&l->config, l->source.text.bytes) == CONFIG_TRUE) {
		read_tree(l);
		return;
	}
	const struct text_line *line = text_line(&l->source.text,
						 (size_t)config_error_line(&l->config));

	report_add(l->report, "%s:%d: %s, says libconfig; simple-server.conf(5) has the syntax",
		   line->file, line->line, config_error_text(&l->config));
}

static bool prepare_settings(struct loader *l, const char *path)
{
	l->settings = calloc(1, sizeof(*l->settings));
	if (!l->settings)
		return false;
	l->settings->refs = 1;
	set_initial(SETTINGS_IN_FILE, l->settings);
	l->settings->path = strdup(path);
	return l->settings->path && prepare_defaults(l);
}

static void drop(struct loader *l)
{
	config_destroy(&l->config);
	free(l->defaults.options);
	access_deinit(&l->defaults.access);
	access_deinit(&l->defaults.proxies);
	settings_unref(l->settings);
	source_deinit(&l->source);
}

/* The settings of a source, which has been read with the result `r`. */
static int make(struct loader *l, int r, struct settings **ret_settings)
{
	if (l->source.usable)
		parse(l);
	if (l->failed) {
		report_add(l->report, "%s: out of memory", l->settings->path);
		return -ENOMEM;
	}
	if (r < 0 || l->report->n_lines > l->errors)
		return r < 0 ? r : -EINVAL;

	/* All that says where it comes from points into these. */
	l->settings->files = steal(&l->source.files);
	l->settings->n_files = l->source.n_files;
	l->source.n_files = 0;
	*ret_settings = steal(&l->settings);
	return 0;
}

static int load(const char *path, const char *bytes, size_t n, const struct settings_hooks *hooks,
		struct settings **ret_settings, struct report *report)
{
	struct loader l cleanup(
		drop) = { .hooks = hooks, .report = report, .errors = report->n_lines };
	int r;

	l.complaints = (struct complaints){ .report = report, .text = &l.source.text };
	config_init(&l.config);
	if (!prepare_settings(&l, path)) {
		report_add(report, "%s: out of memory", path);
		return -ENOMEM;
	}
	r = bytes ? source_load_bytes(&l.source, path, bytes, n, report)
		  : source_load(&l.source, path, report);
	return make(&l, r, ret_settings);
}

int settings_load(const char *path, const struct settings_hooks *hooks,
		  struct settings **ret_settings, struct report *report)
{
	return load(path, NULL, 0, hooks, ret_settings, report);
}

int settings_load_bytes(const char *name, const char *bytes, size_t n,
			const struct settings_hooks *hooks, struct settings **ret_settings,
			struct report *report)
{
	return load(name, n ? bytes : "", n, hooks, ret_settings, report);
}
