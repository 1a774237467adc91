/* SPDX-License-Identifier: MIT */
/*
 * The life of a settings object. settings-load.c makes it; after that nothing in it changes but the
 * number of references, so any thread may read it while it holds one.
 */
#include "settings.h"

#include <stdatomic.h>
#include <string.h>

#include "simple-server.h"
#include "util.h"

struct settings *settings_ref(struct settings *settings)
{
	atomic_fetch_add_explicit(&settings->refs, 1, memory_order_relaxed);
	return settings;
}

/* The handler's struct, of which nothing but the strings is known to be owned. */
void settings_drop_keys(struct settings_socket *socket)
{
	const struct ss_key *key = socket->handler_settings ? socket->found->keys : NULL;

	for (; key && key->name; key++)
		if (key->type == SS_KEY_STRING)
			free(*(char **)((char *)socket->handler_settings + key->offset));
	free(socket->handler_settings);
	socket->handler_settings = NULL;
}

static void drop(struct settings *settings)
{
	for (size_t i = 0; i < settings->n_sockets; i++) {
		settings_drop_keys(&settings->sockets[i]);
		free(settings->sockets[i].name);
		free(settings->sockets[i].handler);
		free(settings->sockets[i].module);
		free(settings->sockets[i].options);
		access_deinit(&settings->sockets[i].access);
		access_deinit(&settings->sockets[i].proxies);
	}
	free(settings->sockets);
	for (size_t i = 0; i < settings->n_files; i++)
		free(settings->files[i]);
	free(settings->files);
	free(settings->path);
	free(settings);
}

struct settings *settings_unref(struct settings *settings)
{
	/* All reads by other owners come before the memory goes. */
	if (settings && atomic_fetch_sub_explicit(&settings->refs, 1, memory_order_acq_rel) == 1)
		drop(settings);
	return NULL;
}

const struct settings_socket *settings_find(const struct settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->n_sockets; i++)
		if (strcmp(settings->sockets[i].name, name) == 0)
			return &settings->sockets[i];
	return NULL;
}
