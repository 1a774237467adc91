/* SPDX-License-Identifier: MIT */
/*
 * See succession.h. Giving goes in steps. Looking: all are served on, until every connection can be
 * frozen but for jobs that were begun since. Freezing: what is frozen begins no job, so that they
 * run dry. Cutting, where some are left when the time is over.
 */
#include "succession.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "activation.h"
#include "journal.h"
#include "util.h"

#define LOOK_MS      20
#define RUN_DRY_MS   1000                          /* for the jobs that are begun all the time */
#define CUT_AFTER_MS 1000                          /* beyond the lingering close */
#define RESERVED     (1 + 2 * HANDOVER_QUEUES + 2) /* what prepare() needs, the keeper's too */

static bool has_lasting(const struct services *services)
{
	for (size_t i = 0; i < services->count; i++)
		if (services->list[i].section->preserve == SETTINGS_ALWAYS &&
		    services->list[i].handler->flags & SS_STATELESS)
			return true;
	return false;
}

static void describe(struct succession *succession)
{
	for (size_t i = 0; i < succession->services->count; i++) {
		const struct service *service = &succession->services->list[i];
		struct handover_service *described = &succession->described[i];
		snprintf(described->socket, sizeof(described->socket), "%s", service->name);
		snprintf(described->handler, sizeof(described->handler), "%s",
			 service->handler->name);
	}
}

/* --- the keeper */

static bool in_turn(void *context, int fd)
{
	return workers_in_turn(context, fd);
}

static int watch_keeper(struct succession *succession)
{
	int r = keeper_start(&succession->keeper);

	if (r < 0 || succession->keeper.watch < 0)
		return r;
	succession->keeper_died.fd = succession->keeper.watch;
	return loop_add(succession->loop, &succession->keeper_died, EPOLLIN);
}

static void no_keeper(int error)
{
	journal_log(JOURNAL_ERROR, LOG_NOTICE, &(struct journal_fields){ .error = error },
		    "no keeper: connections will not outlive a crash: %s", strerror(error));
}

/* Somebody has killed it; whoever kills it again has to wait a little. */
static void on_keeper_died(struct loop *loop, struct loop_source *source)
{
	struct succession *succession = container_of(source, struct succession, keeper_died);

	if (source->events & LOOP_EXPIRED) {
		source->events = 0;
		int r = watch_keeper(succession);
		if (r < 0)
			no_keeper(-r);
		return;
	}
	source->events = 0;
	loop_remove(loop, source, NULL);
	keeper_bury(&succession->keeper);
	journal_log(JOURNAL_ERROR, LOG_NOTICE, NULL, "the keeper has died; another one follows");
	loop_arm(loop, source, LOOK_MS);
}

static void make_ledger(struct succession *succession)
{
	succession->ledger = ledger_new(succession->files);
	if (!succession->ledger) {
		no_keeper(errno);
		return;
	}
	succession->keeper = (struct keeper){
		.ledger = succession->ledger,
		.services = succession->described,
		.n_services = (unsigned)succession->services->count,
		.out = succession->out,
		.in_turn = in_turn,
		.context = succession->workers,
		.watch = -1,
		.own = -1,
	};
	workers_set_ledger(succession->workers, succession->ledger);
}

/*
 * What is to take the connections one day. Sending descriptors fails where more are in flight than
 * the user may have files: those that systemd keeps for us, until they are taken.
 */
static void prepare(struct succession *succession)
{
	succession->error = handover_open(succession->out, succession->files);
	if (succession->error < 0) {
		handover_take_back(succession->out);
		return;
	}
	int r = succession->ledger ? watch_keeper(succession) : 0;
	if (r < 0)
		no_keeper(-r);
}

static loop_source_fn on_time;

int succession_init(struct succession *succession, const struct services *services,
		    struct workers *workers, struct loop *loop, unsigned files)
{
	*succession = (struct succession){
		.services = services,
		.workers = workers,
		.loop = loop,
		.files = files,
		.error = -ENOTCONN,
		.described = calloc(services->count, sizeof(struct handover_service)),
		.out = aligned_alloc(_Alignof(struct handover_out), sizeof(struct handover_out)),
	};
	loop_source_init(&succession->keeper_died, -1, on_keeper_died);
	loop_source_init(&succession->timer, -1, on_time);
	if (!succession->described || !succession->out)
		return -ENOMEM;
	describe(succession);
	memset(succession->out, 0, sizeof(*succession->out));
	if (!activation_is_watched())
		return 0;
	if (has_lasting(services))
		make_ledger(succession);
	prepare(succession);
	return 0;
}

void succession_end(struct succession *succession)
{
	if (!succession->ledger)
		return;
	if (succession->keeper_died.fd >= 0)
		loop_remove(succession->loop, &succession->keeper_died, NULL);
	loop_disarm(succession->loop, &succession->keeper_died);
	keeper_stop(&succession->keeper);
}

void succession_stop(struct succession *succession)
{
	succession->step = SUCCESSION_NONE;
	loop_disarm(succession->loop, &succession->timer);
	succession_end(succession);
}

void succession_deinit(struct succession *succession)
{
	/* A start that fails again and again must not fill the store. */
	if (succession->out && !succession->given)
		handover_take_back(succession->out);
	if (succession->out)
		handover_close(succession->out);
	ledger_free(succession->ledger);
	free(succession->described);
	free(succession->out);
	*succession = (struct succession){ 0 };
}

/* --- taking */

struct counts {
	unsigned taken, refused, gone;
	int error; /* the last reason to refuse one */
};

static struct service *find(const struct succession *succession, const struct handover_in *in,
			    const struct handover_record *record)
{
	if (record->version != HANDOVER_RECORD || record->service >= in->head->n_services)
		return NULL;
	const struct handover_service *described = &in->services[record->service];
	struct service *service = services_find(succession->services, described->socket);
	return service && strcmp(service->handler->name, described->handler) == 0 ? service : NULL;
}

/*
 * Before the first is thawed: each would die with this process if it did now, one that nothing is
 * known of. So it is while they are received, for some milliseconds in which nothing else runs;
 * and without memory.
 */
static void note_all(struct succession *succession, const struct handover_in *in)
{
	struct handover_in copy = *in;
	const struct handover_record *record;
	int fds[2];

	if (!succession->ledger)
		return;
	copy.fds = calloc(in->head->n_fds + 1, sizeof(int));
	if (!copy.fds)
		return;
	memcpy(copy.fds, in->fds, in->head->n_fds * sizeof(int));
	while ((record = handover_next(&copy, fds))) {
		const struct service *service = find(succession, in, record);
		if (service && fds[0] >= 0)
			connection_note_frozen(succession->ledger, service, record, fds[0]);
	}
	free(copy.fds);
}

/* What is not taken is closed. */
static void end_one(struct succession *succession, int fds[2])
{
	if (succession->ledger && fds[0] >= 0)
		ledger_clear(succession->ledger, fds[0]);
	close_fd(fds[0]);
	close_fd(fds[1]);
}

static void take_one(struct succession *succession, const struct handover_in *in,
		     const struct handover_record *record, int fds[2], struct counts *counts)
{
	struct service *service = find(succession, in, record);
	int r = service ? 0 : -EPROTO;

	if (fds[0] < 0 || (record->n_fds == 2 && fds[1] < 0)) {
		counts->gone++;
	} else {
		if (r == 0)
			r = connection_thaw(workers_quietest(succession->workers), service, record,
					    fds);
		if (r == 0) {
			connection_ids_from(record->id);
			fds[0] = fds[1] = -1;
			counts->taken++;
		} else {
			counts->refused++;
			counts->error = -r;
		}
	}
	end_one(succession, fds);
}

static void take_all(struct succession *succession, struct handover_in *in, struct counts *counts)
{
	const struct handover_record *record;
	int fds[2];

	while ((record = handover_next(in, fds)))
		take_one(succession, in, record, fds, counts);
}

static void tell_lost(const struct handover_head *head)
{
	char ids[HANDOVER_LOST * 21 + 8] = "";
	size_t used = 0;

	for (unsigned i = 0; i < head->n_lost && i < HANDOVER_LOST; i++)
		used += (size_t)snprintf(ids + used, sizeof(ids) - used, "%s%llu", i ? ", " : "",
					 (unsigned long long)head->lost[i]);
	if (head->n_lost)
		journal_log(JOURNAL_TAKEN_OVER, LOG_WARNING, NULL,
			    "%u connections were in the hands of process %u when it died, and are "
			    "closed: %s%s",
			    head->n_lost, head->pid, ids,
			    head->n_lost > HANDOVER_LOST ? ", ..." : "");
}

static void tell_taken(const struct handover_head *head, const struct counts *counts)
{
	bool all = counts->refused == 0 && counts->gone == 0;

	journal_log(JOURNAL_TAKEN_OVER, all ? LOG_INFO : LOG_WARNING, NULL,
		    "took over %u of %u connections from process %u, which %s", counts->taken,
		    head->n_connections, head->pid,
		    head->cause == HANDOVER_CRASH ? "has died" : "was restarted");
	if (counts->refused)
		journal_log(
			JOURNAL_TAKEN_OVER, LOG_WARNING,
			&(struct journal_fields){ .error = counts->error },
			"%u connections were not taken over and are closed: %s", counts->refused,
			counts->error == EPROTO
				? "their state is of another version, or their socket or handler "
				  "is not in the file any more"
				: strerror(counts->error));
	if (counts->gone)
		journal_log(JOURNAL_TAKEN_OVER, LOG_WARNING, NULL,
			    "%u connections did not arrive: the limit of open files is lower than "
			    "their number, or a process died while it took them over",
			    counts->gone);
}

static void tell_nothing(unsigned closed, int error)
{
	journal_log(
		JOURNAL_TAKEN_OVER, LOG_WARNING, &(struct journal_fields){ .error = error },
		"nothing was taken over, %u connections are closed: what the process before left "
		"%s%s",
		closed,
		error == EPROTO    ? "is of another version"
		: error == EBADMSG ? "is damaged"
				   : "cannot be read: ",
		error == EPROTO || error == EBADMSG ? "" : strerror(error));
}

/* What one process has left. */
static void take_of(struct succession *succession, const int *fds, size_t n)
{
	struct handover_in in;
	struct counts counts = { 0 };
	unsigned closed = 0;
	int r = handover_read(&in, fds, n, &closed);

	if (r == 0) {
		note_all(succession, &in);
		take_all(succession, &in, &counts);
		tell_taken(in.head, &counts);
		tell_lost(in.head);
	} else if (r != -ENODATA) {
		tell_nothing(closed, -r);
	}
	handover_deinit(&in);
}

/* Whether an earlier one has this name too. */
static bool is_seen(const struct passed_fds *fds, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(fds->list[k].name, fds->list[i].name) == 0)
			return true;
	return false;
}

static void take_each(struct succession *succession, const struct passed_fds *fds)
{
	for (size_t i = 0; i < fds->count; i++) {
		int same[1 + HANDOVER_QUEUES];
		size_t n = 0;
		if (is_seen(fds, i))
			continue;
		for (size_t k = i; k < fds->count && n < ARRAY_SIZE(same); k++)
			if (strcmp(fds->list[k].name, fds->list[i].name) == 0)
				same[n++] = fds->list[k].fd;
		take_of(succession, same, n);
		activation_unstore(fds->list[i].name);
	}
}

/* Why nothing can be given, for the journal. */
static const char *reason(int error)
{
	switch (error) {
	case ENOSPC:
		return "systemd did not take them; FileDescriptorStoreMax= of the unit must be 32 "
		       "or more";
	case ENOTCONN:
		return "this was not started by systemd";
	case ETOOMANYREFS:
		return "more descriptors of this user are between two processes than may be open; "
		       "LimitNOFILE= of the unit is too low";
	default:
		return strerror(error);
	}
}

/* Once more where it could not be: with descriptors that those who come leave over. */
static void prepare_after(struct succession *succession, int reserved[RESERVED])
{
	for (unsigned i = 0; i < RESERVED; i++)
		close_fd(reserved[i]);
	if (!activation_is_watched())
		return;
	prepare(succession);
	if (succession->error < 0)
		journal_log(JOURNAL_ERROR, LOG_NOTICE,
			    &(struct journal_fields){ .error = -succession->error },
			    "connections will outlive neither a restart nor a crash: %s",
			    reason(-succession->error));
}

void succession_take(struct succession *succession, const struct passed_fds *fds)
{
	int reserved[RESERVED];

	if (succession->error == 0) {
		take_each(succession, fds);
		return;
	}
	for (unsigned i = 0; i < RESERVED; i++)
		reserved[i] = fcntl(succession->loop->epoll_fd, F_DUPFD_CLOEXEC, 0);
	take_each(succession, fds);
	prepare_after(succession, reserved);
}

/* --- giving */

/* Each record of a worker with its descriptor. */
static int give_those_of(struct succession *succession, unsigned worker)
{
	const struct frozen *frozen = workers_frozen(succession->workers, worker);
	const unsigned char *record = frozen->count ? buffer_bytes(frozen->records) : NULL;
	const int *fd = frozen->count ? (const int *)buffer_bytes(frozen->fds) : NULL;
	int r = 0;

	for (unsigned i = 0; i < frozen->count && r == 0; i++) {
		const struct handover_record *next = (const void *)record;
		r = handover_add(succession->out, next, fd);
		record += next->size;
		fd += next->n_fds;
	}
	return r;
}

static int give_all(struct succession *succession)
{
	int r = succession->error < 0 ? succession->error
				      : handover_begin(succession->out, HANDOVER_RESTART,
						       (uint32_t)getpid(), succession->described,
						       (unsigned)succession->services->count);

	for (unsigned i = 0; i < succession->workers->count && r == 0; i++)
		r = give_those_of(succession, i);
	return r == 0 ? handover_finish(succession->out) : r;
}

static void take_back_one(struct succession *succession, const struct handover_record *record,
			  const int *fds)
{
	struct service *service = &succession->services->list[record->service];

	if (connection_thaw(workers_quietest(succession->workers), service, record, fds) == 0)
		return;
	for (unsigned i = 0; i < record->n_fds; i++)
		close_fd(fds[i]);
}

static void take_back(struct succession *succession)
{
	for (unsigned i = 0; i < succession->workers->count; i++) {
		struct frozen *frozen = workers_frozen(succession->workers, i);
		const unsigned char *record = frozen->count ? buffer_bytes(frozen->records) : NULL;
		const int *fd = frozen->count ? (const int *)buffer_bytes(frozen->fds) : NULL;
		for (unsigned k = 0; k < frozen->count; k++) {
			const struct handover_record *next = (const void *)record;
			take_back_one(succession, next, fd);
			record += next->size;
			fd += next->n_fds;
		}
		frozen_deinit(frozen);
	}
}

static void finish(struct succession *succession)
{
	int r = give_all(succession);
	unsigned count = succession->out->head.n_connections;

	succession->step = SUCCESSION_NONE;
	loop_disarm(succession->loop, &succession->timer);
	succession->given = r == 0;
	if (r == 0)
		journal_log(JOURNAL_HANDED_OVER, LOG_INFO, NULL,
			    "handed over %u connections to the next process", count);
	else
		journal_log(JOURNAL_HANDED_OVER, LOG_WARNING,
			    &(struct journal_fields){ .error = -r },
			    "connections cannot be handed over, and have their time to end: %s",
			    reason(-r));
	if (r < 0) {
		handover_take_back(succession->out);
		take_back(succession);
	}
	succession->done(succession, r);
}

static void freeze(struct succession *succession)
{
	int64_t least = succession->loop->now + RUN_DRY_MS;

	succession->step = SUCCESSION_FREEZING; /* until the same deadline */
	if (succession->deadline < least)
		succession->deadline = least;
	workers_freeze(succession->workers, true, succession->since_ns);
}

/* What is left has had its time. */
static void on_frozen(struct succession *succession, unsigned left)
{
	bool late = succession->loop->now >= succession->deadline;

	if (left == 0) {
		finish(succession);
		return;
	}
	if (succession->step == SUCCESSION_FREEZING && late) {
		succession->step = SUCCESSION_CUTTING;
		succession->deadline += succession->linger_ms + CUT_AFTER_MS;
		workers_finish(succession->workers);
	} else if (late) {
		workers_abort(succession->workers);
	}
	loop_arm(succession->loop, &succession->timer, LOOK_MS);
}

void succession_frozen(struct succession *succession, unsigned left)
{
	if (succession->step == SUCCESSION_NONE)
		return;
	if (succession->step != SUCCESSION_LOOKING)
		on_frozen(succession, left);
	else if (left == 0 || succession->loop->now >= succession->deadline)
		freeze(succession);
	else
		loop_arm(succession->loop, &succession->timer, LOOK_MS);
}

static void on_time(struct loop *loop, struct loop_source *source)
{
	struct succession *succession = container_of(source, struct succession, timer);

	loop_disarm(loop, source);
	workers_freeze(succession->workers, succession->step != SUCCESSION_LOOKING,
		       succession->since_ns);
}

void succession_give(struct succession *succession, int drain_ms, int linger_ms,
		     succession_done_fn *done)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now); /* that of the loop is some milliseconds late */
	succession->done = done;
	succession->linger_ms = linger_ms;
	succession->since_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
	succession->deadline = succession->loop->now + drain_ms;
	succession->step = SUCCESSION_LOOKING;
	workers_freeze(succession->workers, false, succession->since_ns);
}
