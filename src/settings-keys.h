/* SPDX-License-Identifier: MIT */
/*
 * The keys of a handler's own, in the group `settings` of an entry of sockets. The handler declares
 * them; here each is a row as those of the server's own table, so that types, ranges, messages and
 * --dump are the same. One thread, until the settings are shared.
 */
#ifndef SIMPLE_SERVER_SETTINGS_KEYS_H
#define SIMPLE_SERVER_SETTINGS_KEYS_H

#include "settings-complain.h"
#include "settings-table.h"
#include "simple-server.h"

/* The row for a key; its offset is one in the handler's struct. */
struct settings_row settings_keys_row(const struct ss_key *key);

/*
 * Makes socket->handler_settings of what an entry says for the keys of socket->found, and has the
 * handler look at it if nothing is wrong until there. What is wrong is in the complaints. 0 or
 * -ENOMEM.
 */
int settings_keys_read(const struct complaints *complaints, const config_setting_t *entry,
		       struct settings_socket *socket);

#endif
