/* SPDX-License-Identifier: MIT */
/*
 * The rules of one group are compared with each other, never with those of another: an access group
 * in an entry of sockets takes the place of that in defaults. One thread.
 */
#include "settings-access.h"

#include <stdio.h>
#include <string.h>

#include "util.h"

/* One element of one list. */
struct item {
	const struct settings_row *row;
	const config_setting_t *setting;
	struct value value;
};

/* A path as libconfig has it: access.allow.[2]. */
#define ITEM_NAME_MAX 64
static const char *item_name(char out[ITEM_NAME_MAX], const struct item *item)
{
	snprintf(out, ITEM_NAME_MAX, "%s.%s.[%d]", item->row->group, item->row->name,
		 config_setting_index(item->setting));
	return out;
}

static bool get(struct item *item, char problem[VALUE_PROBLEM_MAX])
{
	struct value_rule rule = item->row->rule;

	rule.type = rule.type == VALUE_PREFIXES ? VALUE_PREFIX : VALUE_INTEGER;
	return value_get(item->setting, &rule, &item->value, problem);
}

static bool is_same(const struct item *a, const struct item *b)
{
	const struct access_prefix *x = &a->value.prefix, *y = &b->value.prefix;

	if (a->row->rule.type != b->row->rule.type || a->row->gids != b->row->gids)
		return false;
	if (a->row->rule.type == VALUE_INTEGERS)
		return a->value.number == b->value.number;
	return x->any == y->any && x->length == y->length &&
	       memcmp(&x->address, &y->address, sizeof(x->address)) == 0;
}

/* Looks in a list for the rule of `wanted`. */
static bool find_in_list(const struct item *wanted, const config_setting_t *list,
			 struct item *ret_other)
{
	const struct settings_row *row = settings_row_find(SETTINGS_IN_SECTIONS, wanted->row->group,
							   config_setting_name(list));
	char problem[VALUE_PROBLEM_MAX];

	for (unsigned i = 0; row && i < (unsigned)config_setting_length(list); i++) {
		*ret_other = (struct item){ .row = row,
					    .setting = config_setting_get_elem(list, i) };
		if (get(ret_other, problem) && is_same(wanted, ret_other))
			return true;
	}
	return false;
}

/* There is an earlier rule: it stands in the same list or in another one of the group. */
static void complain_twice(const struct complaints *c, const struct item *item)
{
	const config_setting_t *list = config_setting_parent(item->setting);
	const config_setting_t *group = config_setting_parent(list);
	struct item first = *item;
	struct settings_where where;
	char here[ITEM_NAME_MAX], there[ITEM_NAME_MAX];

	for (unsigned i = 0; i < (unsigned)config_setting_length(group); i++)
		if (find_in_list(item, config_setting_get_elem(group, i), &first))
			break;
	where = complaints_where(c, first.setting);
	if (item->row->rule.type == VALUE_PREFIXES)
		complain(c, item->setting,
			 "%s = \"%s\" has a rule already, %s = \"%s\" at %s:%d; keep one of them",
			 item_name(here, item), config_setting_get_string(item->setting),
			 item_name(there, &first), config_setting_get_string(first.setting),
			 where.file, where.line);
	else
		complain(c, item->setting,
			 "%s = %lld has a rule already, %s at %s:%d; keep one of them",
			 item_name(here, item), (long long)item->value.number,
			 item_name(there, &first), where.file, where.line);
}

static int add(struct access_rules *rules, struct item *item)
{
	struct access_id id = { .id = (uint32_t)item->value.number,
				.is_gid = item->row->gids,
				.allow = item->row->allow };

	if (item->row->rule.type == VALUE_INTEGERS)
		return access_add_id(rules, &id);
	item->value.prefix.allow = item->row->allow;
	return access_add_prefix(rules, &item->value.prefix);
}

int settings_access_read(const struct complaints *c, const config_setting_t *list,
			 const struct settings_row *row, struct access_rules *rules)
{
	char problem[VALUE_PROBLEM_MAX], name[ITEM_NAME_MAX];

	for (unsigned i = 0; i < (unsigned)config_setting_length(list); i++) {
		struct item item = { .row = row, .setting = config_setting_get_elem(list, i) };
		int r;

		if (!get(&item, problem)) {
			complain(c, item.setting, "%s %s", item_name(name, &item), problem);
			continue;
		}
		r = add(rules, &item);
		if (r == -EEXIST)
			complain_twice(c, &item);
		else if (r < 0)
			return r;
	}
	return 0;
}
