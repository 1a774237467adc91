/* SPDX-License-Identifier: MIT */
/* What the kernel knows of processes and sockets. Any thread; -1 where it does not say. */
#ifndef SIMPLE_CLIENT_MEASURE_H
#define SIMPLE_CLIENT_MEASURE_H

#include <stdint.h>

/* Processor time in ns of all threads of a process, also of those that have ended; exact. */
int64_t measure_cpu_of(int pid); /* 0: nobody's, which is -1 */
int64_t measure_cpu(void);       /* our own */

/* TCP sockets of this network namespace in TIME_WAIT. */
int measure_time_wait(void);

#endif
