/* SPDX-License-Identifier: MIT */
/*
 * facts: asks the kernel what it does with sockets, for findings.sh; each question is a function
 * that prints rows of a Markdown table. It changes net.ipv4 settings, and so wants a network
 * namespace of its own. What ought to work and does not ends the program. One thread.
 */
#ifndef SIMPLE_SERVER_FACTS_H
#define SIMPLE_SERVER_FACTS_H

#include <stdbool.h>
#include <stddef.h>

/* The questions. */
void fact_inherit(void);
void fact_defer(void);
void fact_siblings(void);
void fact_rebind(void);
void fact_ports(void);
void fact_dead_peer(void);
void fact_calls(void);

/* A socket of AF_INET, AF_INET6 or AF_UNIX that listens on loopback, port 0: any. */
int new_listener(int domain, unsigned port);

/* The same without listen(), and with SO_REUSEADDR and SO_REUSEPORT as said; -errno of bind(). */
int bound_socket(int domain, unsigned port, bool reuseaddr, bool reuseport);

unsigned port_of(int fd);

/* A blocking client of that listener; -errno of connect(). */
int new_client(int listener);

/* Waits for the next connection, which is non-blocking. */
int accept_from(int listener);

void set_option(int fd, int level, int option, int value);

/* Whether fd gets `events` of poll() in time; its errors count. */
bool comes(int fd, short events, int timeout_ms);

/* Seconds of CLOCK_MONOTONIC. */
double now(void);

/* Writes /proc/sys/net/ipv4/NAME. */
void write_setting(const char *name, const char *value);

#endif
