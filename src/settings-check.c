/* SPDX-License-Identifier: MIT */
/*
 * What is compared are the values in force, defaults included, so that a file that loads can be
 * dumped to one that loads. What is said about it stands at the key in the narrower place. One
 * thread.
 */
#include "settings-check.h"

#include <string.h>

#include "settings-table.h"

void settings_check_required(const struct complaints *c, const config_setting_t *entry)
{
	for (size_t i = 0; i < settings_table_count; i++) {
		const struct settings_row *row = &settings_table[i];

		if (row->required && !config_setting_get_member(entry, row->name))
			complain(c, entry, "this entry of sockets has no %s; write %s = \"...\"",
				 row->name, row->name);
	}
}

void settings_check_name(const struct complaints *c, const config_setting_t *entry,
			 const struct settings *settings, const struct settings_socket *socket)
{
	for (const struct settings_socket *other = settings->sockets; other < socket; other++)
		if (other->name && socket->name && strcmp(other->name, socket->name) == 0) {
			complain(
				c, config_setting_get_member(entry, "name"),
				"the name \"%s\" is taken by the entry at %s:%d; name each socket once",
				socket->name, other->where.file, other->where.line);
			return;
		}
}

bool settings_check_handler(const struct complaints *c, const config_setting_t *entry,
			    const struct settings_socket *socket)
{
	const config_setting_t *handler = config_setting_get_member(entry, "handler");
	const config_setting_t *module = config_setting_get_member(entry, "module");

	if (!socket->handler || (module && !socket->module))
		return false;
	if (strcmp(socket->handler, "module") == 0) {
		if (!module)
			complain(c, handler,
				 "handler = \"module\" does not say which; write module = "
				 "\"NAME.so\" as well");
		return module;
	}
	if (module)
		complain(c, module,
			 "module = \"%s\" is not used by handler = \"%s\"; write handler = "
			 "\"module\", or remove this line",
			 socket->module, socket->handler);
	return !module;
}

/* The setting of a limit in defaults or an entry of sockets, or NULL. */
static const config_setting_t *limit(const config_setting_t *group, const char *name)
{
	const config_setting_t *limits = group ? config_setting_get_member(group, SETTINGS_LIMITS)
					       : NULL;

	return limits ? config_setting_get_member(limits, name) : NULL;
}

static void check_per_source(const struct complaints *c, const config_setting_t *group,
			     const struct settings_limits *limits)
{
	const config_setting_t *per_source = limit(group, "per_source");
	const config_setting_t *at = per_source ? per_source : limit(group, "connections");

	if (at && limits->connections > 0 && limits->per_source > limits->connections)
		complain(c, at,
			 "limits.per_source = %d is more than limits.connections = %d, so it would "
			 "never be reached; lower it, or raise connections",
			 limits->per_source, limits->connections);
}

static bool is_in_any_entry(const config_setting_t *root, const char *name)
{
	const config_setting_t *sockets = config_setting_get_member(root, "sockets");
	unsigned n = sockets ? (unsigned)config_setting_length(sockets) : 0;

	for (unsigned i = 0; i < n; i++)
		if (limit(config_setting_get_elem(sockets, i), name))
			return true;
	return false;
}

/*
 * A burst that is written where no rate is, not even one of 0 that switches it off: it would limit
 * nothing, and whoever wrote it believes that it does.
 */
static void check_burst(const struct complaints *c, const config_setting_t *root,
			const config_setting_t *group, const char *name, const char *rate)
{
	const config_setting_t *burst = limit(group, name);
	const config_setting_t *defaults = config_setting_get_member(root, "defaults");

	if (burst && !limit(group, rate) && !limit(defaults, rate) &&
	    !(group == defaults && is_in_any_entry(root, rate)))
		complain(c, burst, "limits.%s limits nothing without limits.%s; write %s as well",
			 name, rate, rate);
}

void settings_check_limits(const struct complaints *c, const config_setting_t *root,
			   const config_setting_t *group, const struct settings_limits *limits)
{
	check_per_source(c, group, limits);
	check_burst(c, root, group, "burst", "rate");
	check_burst(c, root, group, "source_burst", "source_rate");
}
