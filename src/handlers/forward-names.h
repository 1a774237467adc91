/* SPDX-License-Identifier: MIT */
/*
 * The names among the targets of one service: a thread of their own looks them up, so that no
 * worker waits for a name server. It sleeps until a connection needs addresses that are not known
 * yet or are older than `every`, and gives what it finds to the choice. What cannot be looked up
 * keeps the addresses that it has.
 */
#ifndef SIMPLE_SERVER_FORWARD_NAMES_H
#define SIMPLE_SERVER_FORWARD_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "forward-choice.h"
#include "forward-targets.h"

struct forward_names;

/*
 * Those among the `n` targets, whose place in the list is the one that the choice knows them by.
 * `service` is for the journal and is copied. Looks them up for the first time at once. *ret is
 * NULL where there are none, and then there is no thread. 0 or -errno.
 */
int forward_names_start(const struct forward_target *targets, size_t n,
			struct forward_choice *choice, const char *service, int every,
			struct forward_names **ret);

/*
 * A connection needs addresses, at this time of CLOCK_MONOTONIC in ms. True: a name that has none
 * yet is being looked up, so that there may be one soon. Any thread; `names` may be NULL.
 */
bool forward_names_need(struct forward_names *names, int64_t now);

/*
 * Ends the thread, whatever it was looking up, and frees the names. False: the name server keeps it
 * for more than a second. Nothing can stop that, so it is left to end with the process, and what it
 * was given at the start has to stay. `names` may be NULL.
 */
bool forward_names_stop(struct forward_names *names);

#endif
