/* SPDX-License-Identifier: MIT */
/*
 * systemd: the sockets that it passes, the notifications that it expects, the journal. The only
 * user of libsystemd. Main's thread only, but for activation_journal(); what sends to systemd
 * allocates nothing, so that the keeper may call it too.
 */
#ifndef SIMPLE_SERVER_ACTIVATION_H
#define SIMPLE_SERVER_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "report.h"

struct passed_fd {
	int fd;     /* owned, close-on-exec */
	char *name; /* owned; FileDescriptorName= */
};

struct passed_fds {
	struct passed_fd *list;
	size_t count;
};

/*
 * Takes the passed descriptors out of the environment. 0 with at least one of them; 0 with none and
 * no new line in `report` when LISTEN_FDS is not set at all; -errno and a line in `report` for an
 * environment that is set but wrong.
 */
int activation_take(struct passed_fds *ret_fds, struct report *report);
void activation_release(struct passed_fds *fds);

/*
 * Opens the way to systemd for activation_notify(), by $NOTIFY_SOCKET; nothing where that is not
 * set. It is kept open, because sd_notify() makes a socket for each message, and at the limit of
 * descriptors could not even say that the service stops. 0 or -errno.
 */
int activation_open_notify(void);
void activation_close_notify(void);

/* Whether there is somebody to notify. */
bool activation_is_watched(void);

/* Sends a state to systemd, as sd_notify(3); silently nothing where nobody listens. */
void activation_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * systemd keeps these descriptors, whatever happens to them, under one name until they are removed:
 * it passes them to the next process. No more than ACTIVATION_STORE_MAX. 0 or -errno; whether it
 * has room for them (FileDescriptorStoreMax=) it does not say.
 */
#define ACTIVATION_STORE_MAX 16
int activation_store(const char *name, const int *fds, size_t n);
void activation_unstore(const char *name);

/*
 * WatchdogSec= of the unit, in ms: systemd wants WATCHDOG=1 at least so often. 0: it does not watch
 * over this process; -errno: the environment is wrong. It is taken out of the environment.
 */
int activation_take_watchdog(void);

/* Whether stderr is connected to the journal, so that entries should go there natively. */
bool activation_has_journal(void);

/* One entry to the journal (journal_send_fn); may block while journald does not read. Any thread.
 */
int activation_journal(const struct iovec *parts, int n);

#endif
