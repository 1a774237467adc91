/* SPDX-License-Identifier: MIT */
/* What session.c and session-open.c know of each other. */
#ifndef SIMPLE_CLIENT_SESSION_PRIVATE_H
#define SIMPLE_CLIENT_SESSION_PRIVATE_H

#include "session.h"

void session_on_event(struct loop *loop, struct loop_source *source);

/* Expires in `ns`, rounded up to what the loop can tell apart. */
void session_arm(struct session *s, int64_t ns);

/* While it connects: an event came; the timer expired. */
void session_connect_ready(struct session *s);
void session_connect_late(struct session *s);

#endif
