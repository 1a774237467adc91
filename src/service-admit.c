/* SPDX-License-Identifier: MIT */
/*
 * Who is let in, and what is counted for it: the places of the service and of all services, the
 * rates, the sources and the rules of access. Any thread.
 */
#include <assert.h>
#include <limits.h>
#include <string.h>
#include <syslog.h>

#include "journal.h"
#include "service.h"
#include "util.h"

static bool count_up(_Atomic unsigned *count, unsigned max)
{
	if (atomic_fetch_add_explicit(count, 1, memory_order_relaxed) < max)
		return true;
	atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
	return false;
}

static void count_down(_Atomic unsigned *count)
{
	atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
}

/* NULL, or the mark of those who wait for room where there is none. */
static _Atomic bool *reserve(struct service *service)
{
	struct capacity *capacity = service->capacity;

	if (!count_up(&service->open, service->max_connections))
		return &service->full;
	if (count_up(&capacity->connections, capacity->max_connections))
		return NULL;
	count_down(&service->open);
	return &capacity->full;
}

bool service_reserve(struct service *service)
{
	_Atomic bool *full = reserve(service);

	if (!full || service->section->limits.refuse)
		return !full;
	/* A connection that ends in between would not see who waits: so the second look. */
	atomic_store(full, true);
	return !reserve(service);
}

void service_unreserve(struct service *service)
{
	count_down(&service->capacity->connections);
	count_down(&service->open);
}

static bool take(_Atomic bool *full)
{
	return atomic_load_explicit(full, memory_order_relaxed) && atomic_exchange(full, false);
}

bool service_take_full(struct service *service)
{
	bool own = take(&service->full), all = take(&service->capacity->full);

	return own || all;
}

int64_t service_take_rate(struct service *service, int64_t now_ms)
{
	const struct settings_limits *limits = &service->section->limits;

	if (!limits->rate)
		return 0;
	pthread_mutex_lock(&service->rate_lock);
	int64_t wait = bucket_take(&service->rate, (unsigned)limits->rate, (unsigned)limits->burst,
				   now_ms);
	pthread_mutex_unlock(&service->rate_lock);
	return wait;
}

void service_give_back_rate(struct service *service)
{
	if (!service->section->limits.rate)
		return;
	pthread_mutex_lock(&service->rate_lock);
	bucket_give_back(&service->rate, (unsigned)service->section->limits.rate);
	pthread_mutex_unlock(&service->rate_lock);
}

static enum service_verdict judge(struct service *service, const struct settings_socket *section,
				  const struct peer *peer, int64_t now_ms)
{
	struct service_sources *sources = &service->sources[section->epoch];

	if (!access_allowed(&section->access, peer))
		return SERVICE_DENIED;
	if (!sources->table)
		return SERVICE_ADMITTED;
	switch (sources_enter(sources->table, &sources->limits, peer, now_ms)) {
	case SOURCE_OK:
		return SERVICE_ADMITTED;
	case SOURCE_TOO_MANY:
		return SERVICE_TOO_MANY;
	default:
		return SERVICE_TOO_FAST;
	}
}

/* Whatever the limits are: it was let in before them. False where the table is full. */
static bool count_source(const struct service_sources *sources, const struct peer *peer)
{
	struct source_limits none = sources->limits;

	none.connections = UINT_MAX;
	none.rate = 0;
	return !sources->table || sources_enter(sources->table, &none, peer, 0) == SOURCE_OK;
}

int service_take_over(struct service *service, const struct settings_socket *section,
		      const struct peer *peer)
{
	if (peer && !count_source(&service->sources[section->epoch], peer))
		return -ENOBUFS;
	atomic_fetch_add_explicit(&service->open, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&service->capacity->connections, 1, memory_order_relaxed);
	return 0;
}

void service_turned_away(struct service *service, enum service_verdict verdict)
{
	atomic_fetch_add_explicit(&service->turned_away[verdict], 1, memory_order_relaxed);
}

void service_log_turned_away(const struct service *service, const struct peer *peer,
			     enum service_verdict verdict, const char *detail)
{
	char text[PEER_MAX];

	if (!journal_admit(JOURNAL_TURNED_AWAY))
		return;
	struct journal_fields fields = {
		.socket = service->name,
		.handler = service->handler->name,
		.peer = peer_format(text, peer),
		.reason = service_verdict_name(verdict),
	};
	journal_log(JOURNAL_TURNED_AWAY, LOG_NOTICE, &fields, "%s: %s was turned away: %s%s%s",
		    fields.socket, text, fields.reason, detail ? ", " : "", detail ? detail : "");
}

enum service_verdict service_admit(struct service *service, const struct settings_socket *section,
				   const struct peer *peer, int64_t now_ms)
{
	enum service_verdict verdict = judge(service, section, peer, now_ms);

	if (verdict != SERVICE_ADMITTED) {
		service_turned_away(service, verdict);
		return verdict;
	}
	atomic_fetch_add_explicit(&service->accepted, 1, memory_order_relaxed);
	return verdict;
}

static void uncount(struct service_sources *sources, const struct peer *peer)
{
	if (sources->table)
		sources_leave(sources->table, &sources->limits, peer);
}

void service_recount(struct service *service, unsigned epoch, const struct peer *peer)
{
	struct service_sources *from = &service->sources[epoch], *to = &service->sources[!epoch];

	if (from->table == to->table)
		return;
	uncount(from, peer);
	bool counted = count_source(to, peer);
	assert(counted); /* the table was made with room for all */
	(void)counted;
}

void service_left(struct service *service, unsigned epoch, const struct peer *peer,
		  uint64_t bytes_in, uint64_t bytes_out)
{
	uncount(&service->sources[epoch], peer);
	atomic_fetch_add_explicit(&service->bytes_in, bytes_in, memory_order_relaxed);
	atomic_fetch_add_explicit(&service->bytes_out, bytes_out, memory_order_relaxed);
	service_unreserve(service);
}

/* In thousandths. */
static unsigned fill(const _Atomic unsigned *count, unsigned max)
{
	uint64_t open = atomic_load_explicit(count, memory_order_relaxed);

	return max ? (unsigned)(open * 1000 / max) : 0;
}

/* From all of it at three quarters to a tenth at the limit. */
int service_idle_ms(const struct service *service)
{
	int idle_ms = service->section->timeouts.idle_ms;
	unsigned own = fill(&service->open, service->max_connections);
	unsigned all = fill(&service->capacity->connections, service->capacity->max_connections);
	unsigned full = own > all ? own : all;

	if (full <= 750)
		return idle_ms;
	if (full > 1000)
		full = 1000;
	return (int)((int64_t)idle_ms * (1000 - (full - 750) * 900 / 250) / 1000);
}

const char *service_verdict_name(enum service_verdict verdict)
{
	static const char *const names[] = {
		[SERVICE_ADMITTED] = "admitted",
		[SERVICE_DENIED] = "denied",
		[SERVICE_TOO_MANY] = "too-many",
		[SERVICE_TOO_FAST] = "too-fast",
		[SERVICE_FULL] = "full",
		[SERVICE_NO_PROXY] = "no-proxy",
		[SERVICE_BAD_HEADER] = "bad-header",
	};

	return names[verdict];
}
