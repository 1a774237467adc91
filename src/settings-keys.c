/* SPDX-License-Identifier: MIT */
/*
 * Strings in the handler's struct are copies, defaults as well, so that all of them are freed
 * alike.
 */
#include "settings-keys.h"

#include <string.h>

#include "crash.h"
#include "util.h"

#define PROBLEM_MAX 256

/* What reads the group of one entry. */
struct reader {
	const struct complaints *complaints;
	const struct ss_handler *handler;
	const config_setting_t *group; /* NULL: the entry has none */
	void *settings;
	bool wrong; /* something was complained of */
};

struct settings_row settings_keys_row(const struct ss_key *key)
{
	static const enum value_type types[] = {
		[SS_KEY_BOOL] = VALUE_BOOL,       [SS_KEY_INTEGER] = VALUE_INTEGER,
		[SS_KEY_SECONDS] = VALUE_SECONDS, [SS_KEY_WORD] = VALUE_WORD,
		[SS_KEY_STRING] = VALUE_TEXT,
	};

	return (struct settings_row){
		.scopes = SETTINGS_IN_SOCKET,
		.group = SETTINGS_HANDLER,
		.name = key->name,
		.rule = { .type = types[key->type],
			  .min = key->min,
			  .max = key->max,
			  .unit = key->unit ? key->unit : "",
			  .words = key->words },
		.initial = key->initial,
		.offset = key->offset,
		.size = key->size,
		.help = key->help ? key->help : "",
	};
}

static const struct ss_key *find(const struct ss_handler *handler, const char *name)
{
	for (const struct ss_key *key = handler->keys; key && key->name; key++)
		if (strcmp(key->name, name) == 0)
			return key;
	return NULL;
}

static size_t count(const struct ss_handler *handler)
{
	size_t n = 0;

	while (handler->keys && handler->keys[n].name)
		n++;
	return n;
}

static int complain_unknown(struct reader *r, const config_setting_t *setting)
{
	size_t n = count(r->handler);
	auto_free const char **names = calloc(n + 1, sizeof(*names));
	char text[SETTINGS_UNKNOWN_MAX];

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		names[i] = r->handler->keys[i].name;
	r->wrong = true;
	complain(r->complaints, setting, "%s",
		 settings_unknown(text, SETTINGS_IN_SOCKET, SETTINGS_HANDLER, names,
				  config_setting_name(setting)));
	return 0;
}

static int read_key(struct reader *r, const config_setting_t *setting)
{
	const struct ss_key *key = find(r->handler, config_setting_name(setting));
	struct settings_row row;
	struct value value;

	if (!key)
		return complain_unknown(r, setting);
	row = settings_keys_row(key);
	if (complaints_get(r->complaints, setting, SETTINGS_HANDLER, &row.rule, &value))
		return settings_row_store(&row, r->settings, &value);
	r->wrong = true;
	return 0;
}

/* In the order of the file. */
static int read_group(struct reader *r)
{
	int result = 0;

	for (int i = 0; r->group && i < config_setting_length(r->group) && result == 0; i++)
		result = read_key(r, config_setting_get_elem(r->group, (unsigned)i));
	return result;
}

/* What holds for the keys that the file does not have. */
static int store_initial(struct reader *r)
{
	int result = 0;

	for (const struct ss_key *key = r->handler->keys; key && key->name && result == 0; key++) {
		struct settings_row row = settings_keys_row(key);
		struct value value = { .number = key->initial, .string = key->string };

		if (r->group && config_setting_get_member(r->group, key->name))
			continue;
		if (key->type != SS_KEY_STRING || key->string)
			result = settings_row_store(&row, r->settings, &value);
	}
	return result;
}

static void check(const struct reader *r, const config_setting_t *entry)
{
	char problem[PROBLEM_MAX] = "";
	int result;

	if (!r->handler->check)
		return;
	struct crash_place outer = crash_enter(r->handler->name, NULL, "check", 0);
	result = r->handler->check(r->settings, problem, sizeof(problem));
	crash_leave(&outer);
	problem[sizeof(problem) - 1] = '\0';
	if (result != 0)
		complain(r->complaints, r->group ? r->group : entry,
			 "settings of the handler \"%s\": %s", r->handler->name,
			 *problem ? problem : strerror(result < 0 ? -result : EINVAL));
}

int settings_keys_read(const struct complaints *complaints, const config_setting_t *entry,
		       struct settings_socket *socket)
{
	const struct ss_handler *handler = socket->found;
	struct reader r = { .complaints = complaints,
			    .handler = handler,
			    .group = config_setting_get_member(entry, SETTINGS_HANDLER) };

	if (r.group && !config_setting_is_group(r.group))
		return 0; /* complained of as any value of the wrong type */
	if (handler->settings_size > 0) {
		socket->handler_settings = calloc(1, handler->settings_size);
		if (!socket->handler_settings)
			return -ENOMEM;
	}
	r.settings = socket->handler_settings;
	if (read_group(&r) < 0 || store_initial(&r) < 0)
		return -ENOMEM;
	if (!r.wrong)
		check(&r, entry);
	return 0;
}
