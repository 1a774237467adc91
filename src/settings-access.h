/* SPDX-License-Identifier: MIT */
/*
 * The lists of access rules in the file: each element is a rule, and no two say something about the
 * same addresses or the same id.
 */
#ifndef SIMPLE_SERVER_SETTINGS_ACCESS_H
#define SIMPLE_SERVER_SETTINGS_ACCESS_H

#include "access.h"
#include "settings-complain.h"
#include "settings-table.h"

/*
 * Adds the rules of the list that `row` is about; it stands in a group with those that were read
 * before. What is wrong with an element is in the complaints. 0 or -ENOMEM.
 */
int settings_access_read(const struct complaints *complaints, const config_setting_t *list,
			 const struct settings_row *row, struct access_rules *rules);

#endif
