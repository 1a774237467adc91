/* SPDX-License-Identifier: MIT */
/* What thread.c and thread-make.c know of each other: the callbacks of what a thread owns. */
#ifndef SIMPLE_CLIENT_THREAD_PRIVATE_H
#define SIMPLE_CLIENT_THREAD_PRIVATE_H

#include "thread.h"

loop_source_fn thread_on_clock;
schedule_give_fn thread_give;
schedule_spent_fn thread_spent;

/* Those of its pool and of the messages to it. */
void thread_bind(struct thread *t);

#endif
