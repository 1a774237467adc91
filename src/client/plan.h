/* SPDX-License-Identifier: MIT */
/*
 * What a run of simple-client is to do: the command line, read, checked and resolved. Made by
 * main's thread before the others start; then constant.
 */
#ifndef SIMPLE_CLIENT_PLAN_H
#define SIMPLE_CLIENT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "report.h"
#include "sockopt.h"

enum plan_mode {
	MODE_ECHO,
	MODE_DISCARD,
	MODE_CHARGEN,
	MODE_DAYTIME,
	MODE_TIME,
	MODE_CHURN,      /* connect, one exchange, close, again */
	MODE_IDLE,       /* hold connections, and prove now and then that they live */
	MODE_DRIP,       /* a byte at a time, slowly */
	MODE_DEAF,       /* send and never read */
	MODE_HALF_CLOSE, /* send, FIN, and the whole answer must still come */
	MODE_RESET,      /* break off in the middle */
	MODE_SILENT,     /* connect, and nothing more */
	MODES
};

/* Who closes a connection of churn first. */
enum plan_close {
	CLOSE_CLIENT, /* we: close() after the answer, and TIME_WAIT is ours */
	CLOSE_HALF,   /* we: FIN after the answer, then the server's FIN is awaited */
	CLOSE_SERVER, /* the server; its FIN is awaited */
	CLOSE_RESET,  /* we, by RST: no TIME_WAIT anywhere */
};

struct plan_address {
	struct sockaddr_storage address;
	socklen_t length;
};

struct plan_option {
	const struct sockopt *row;
	struct sockopt_value value;
};

struct plan {
	enum plan_mode mode;
	const char *target;             /* as it was written; borrowed from argv */
	struct plan_address *addresses; /* owned; what the target resolved to: at least one */
	size_t n_addresses;
	struct plan_address *sources; /* owned; to bind to in turn, port 0; may be none */
	size_t n_sources;
	struct plan_option *options; /* owned; set before connect() */
	size_t n_options;
	unsigned threads;
	unsigned connections;      /* in all, at the same time */
	unsigned depth;            /* requests under way on one connection */
	unsigned connecting;       /* connects under way at the same time, in all */
	size_t size_min, size_max; /* bytes of a message */
	unsigned writes;           /* send() calls that a message is cut into */
	int64_t duration_ns;       /* of the measured window; 0: `count` decides */
	int64_t warmup_ns;
	uint64_t count; /* requests (connections, where they are the unit); 0: `duration_ns` decides
			 */
	double rate;    /* requests a second in all, at scheduled times; 0: closed loop */
	int64_t interval_ns; /* between the bytes of drip, the proofs of idle */
	int64_t timeout_ns;  /* for a connect and for an answer */
	enum plan_close close;
	uint64_t seed;
	int server_pid; /* whose processor time is measured; 0: nobody's */
	bool json, quiet;
	const char *histogram_file, *plot_file; /* borrowed from argv; NULL: none */
};

/* What the command line asked for instead of a run. */
enum plan_verdict { PLAN_RUN = 0, PLAN_HELP = 1, PLAN_VERSION = 2 };

/*
 * Reads argv. PLAN_RUN, PLAN_HELP or PLAN_VERSION; or -EINVAL and each thing that is wrong in
 * `report`. Blocks while names are resolved.
 */
int plan_parse(struct plan *plan, int argc, char **argv, struct report *report);

void plan_deinit(struct plan *plan);

extern const char plan_usage[];

/* "echo", "half-close", ... */
const char *plan_mode_name(enum plan_mode mode);

/* An address as a person writes it: 127.0.0.1:7, [::1]:7, /run/x, @x. */
#define PLAN_ADDRESS_MAX 128
const char *plan_address_format(char out[PLAN_ADDRESS_MAX], const struct plan_address *address);

#endif
