/* SPDX-License-Identifier: MIT */
/*
 * A run from the side of main's thread: starts the others, leads them from phase to phase together,
 * reads the clocks of the processes at both ends of the window, hears signals, shows how it goes.
 */
#ifndef SIMPLE_CLIENT_RUN_H
#define SIMPLE_CLIENT_RUN_H

#include "plan.h"
#include "result.h"

/*
 * Runs the plan, and blocks SIGINT and SIGTERM for the whole process: the first of them ends the
 * window, the second the process. 0 or, where no connection came about and nothing was begun,
 * -ENOTCONN, and the outcome in *result; or another -errno. The stats are the caller's to free.
 */
int run_plan(const struct plan *plan, struct result *result, struct stats **ret_stats);

#endif
