/* SPDX-License-Identifier: MIT */
/* See forward-settings.h. */
#include "forward-settings.h"

#include <errno.h>
#include <stdio.h>

#include "forward-choice.h"
#include "forward-targets.h"

#define TARGET_MAX 4096

static const char *const balances[] = { "round-robin", "least", "first", NULL };
static const char *const versions[] = { "off", "v1", "v2", NULL };
static const char *const sources[] = { "own", "peer", NULL };
static const char *const failures[] = { "reset", "close", NULL };

const struct ss_key forward_keys[] = {
	SS_STRING(struct forward_settings, target, 1, TARGET_MAX, NULL,
		  "where to: HOST:PORT, [IPV6]:PORT, /PATH, @ABSTRACT, vsock:CID:PORT; or several"),
	SS_WORD(struct forward_settings, balance, balances, FORWARD_ROUND_ROBIN,
		"which of several targets a connection is given"),
	SS_SECONDS(struct forward_settings, connect_timeout, 100, 300000, 5000,
		   "how long an address has to take a connection"),
	SS_SECONDS(struct forward_settings, connect_retry, 0, 3600000, 0,
		   "how long a client waits while no target takes connections"),
	SS_WORD(struct forward_settings, proxy_protocol, versions, 0,
		"the header that tells the target who the client is"),
	SS_WORD(struct forward_settings, source, sources, FORWARD_SOURCE_OWN,
		"whose address the target sees: that of this machine or that of the client"),
	SS_WORD(struct forward_settings, on_failure, failures, FORWARD_RESET,
		"how a client is ended that no target could be found for"),
	SS_SECONDS(struct forward_settings, dead_time, 0, 3600000, 1000,
		   "how long a target that failed is left out at first; it doubles, to 60 s"),
	SS_SECONDS(struct forward_settings, resolve_every, 1000, 86400000, 60000,
		   "after what time names are looked up again"),
	SS_NO_MORE_KEYS,
};

/* Another address can be taken for a connection of the Internet protocols alone. */
static int check_source(const struct forward_settings *settings, char *problem, size_t size)
{
	const char *list = settings->target;
	struct forward_target target;
	char text[FORWARD_TEXT_MAX];

	while (settings->source == FORWARD_SOURCE_PEER &&
	       forward_targets_next(&list, &target, problem, size) > 0)
		if (target.address.length && target.address.any.sa_family != AF_INET &&
		    target.address.any.sa_family != AF_INET6) {
			snprintf(problem, size, "source = \"peer\" does not fit the target %s",
				 forward_address_format(text, &target.address));
			return -EINVAL;
		}
	return 0;
}

int forward_check(const void *argument, char *problem, size_t size)
{
	const struct forward_settings *settings = argument;

	if (!settings->target) {
		snprintf(problem, size, "target is missing; write target = \"HOST:PORT\"");
		return -EINVAL;
	}
	int r = forward_targets_check(settings->target, problem, size);
	return r < 0 ? r : check_source(settings, problem, size);
}
