/* SPDX-License-Identifier: MIT */
/*
 * What no single key tells: keys that are missing, names that are taken, limits that do not fit
 * each other.
 */
#ifndef SIMPLE_SERVER_SETTINGS_CHECK_H
#define SIMPLE_SERVER_SETTINGS_CHECK_H

#include "settings-complain.h"

/* Whether an entry of sockets has all that it must have. */
void settings_check_required(const struct complaints *complaints, const config_setting_t *entry);

/* Whether the name of an entry is that of another one before it; `socket` is what it has made. */
void settings_check_name(const struct complaints *complaints, const config_setting_t *entry,
			 const struct settings *settings, const struct settings_socket *socket);

/*
 * Whether an entry says where its handler is: built in, or in the module that it names. False also
 * where something was complained of already.
 */
bool settings_check_handler(const struct complaints *complaints, const config_setting_t *entry,
			    const struct settings_socket *socket);

/* The limits in force in `group`, which is an entry of sockets or defaults. */
void settings_check_limits(const struct complaints *complaints, const config_setting_t *root,
			   const config_setting_t *group, const struct settings_limits *limits);

#endif
