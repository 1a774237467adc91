/* SPDX-License-Identifier: MIT */
/*
 * A reload: the file is loaded anew, checked as at the start, and put in the place of what is in
 * force; or it is wrong, and then nothing at all has changed. Running connections go on, by the new
 * file. What only a restart can change stays as it is, and is told.
 *
 * Main's thread. systemd is told of the begin (RELOADING=1) and, in any case, of the end (READY=1),
 * which comes when nobody uses the former settings any more. One at a time: what is asked for
 * meanwhile is begun then.
 */
#ifndef SIMPLE_SERVER_RELOAD_H
#define SIMPLE_SERVER_RELOAD_H

#include <stdbool.h>

#include "setup.h"
#include "worker.h"

struct reload {
	struct setup *setup;
	const struct setup_options *options;
	struct workers *workers;
	/* The settings in force are others. */
	void (*changed)(struct reload *reload);
	/* Sends a state to systemd, together with what `systemctl status` shows. */
	void (*notify)(struct reload *reload, const char *state);
	bool ready;        /* the workers run */
	bool settling;     /* waiting for them to let go of the former settings */
	bool asked_for;    /* another one */
	char outcome[256]; /* of the last one; "" before that */
};

/* Somebody asks for one: at once, or as soon as it can be. */
void reload_ask(struct reload *reload);

/* The workers run; it may have been asked for one before. */
void reload_ready(struct reload *reload);

/* The event `settled` of the workers. */
void reload_settled(struct reload *reload);

/* The server ends: nothing is begun any more. After the workers, frees what is left. */
void reload_stop(struct reload *reload);

#endif
