/* SPDX-License-Identifier: MIT */
/*
 * The processor time of a server, however many processes it is: of the process, of its children and
 * theirs, and what its reaped children have used. One thread may call.
 *
 * The clock of a living process is exact to the moment, threads that have ended included; reaped
 * children are in stat alone, in ticks of 10 ms, rounded only when read.
 */
#ifndef SIMPLE_SERVER_TREE_CPU_H
#define SIMPLE_SERVER_TREE_CPU_H

#include <stdint.h>
#include <sys/types.h>

/* In ns. Ends the program when there is no such process; 0 for 0. */
uint64_t tree_cpu(pid_t pid);

#endif
