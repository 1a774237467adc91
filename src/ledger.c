/* SPDX-License-Identifier: MIT */
/* See ledger.h. */
#include "ledger.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#define ID_BITS      40
#define SERVICE_BITS 16
#define FLAGS_BITS   4

static size_t size_of(unsigned files)
{
	return sizeof(struct ledger) + files * sizeof(_Atomic uint64_t);
}

struct ledger *ledger_new(unsigned files)
{
	struct ledger *ledger = mmap(NULL, size_of(files), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (ledger == MAP_FAILED)
		return NULL;
	ledger->files = files;
	return ledger;
}

void ledger_free(struct ledger *ledger)
{
	if (ledger)
		munmap(ledger, size_of(ledger->files));
}

static uint64_t pack(const struct ledger_entry *entry)
{
	uint64_t word = (uint64_t)entry->state;

	word = word << FLAGS_BITS | entry->flags;
	word = word << SERVICE_BITS | entry->service;
	return word << ID_BITS | (entry->id & ((UINT64_C(1) << ID_BITS) - 1));
}

/* A field of `bits` at the lower end of a word, which is left without it. */
static uint64_t take(uint64_t *word, unsigned bits)
{
	uint64_t field = *word & ((UINT64_C(1) << bits) - 1);

	*word >>= bits;
	return field;
}

static void raise_highest(struct ledger *ledger, int fd)
{
	int highest = atomic_load_explicit(&ledger->highest, memory_order_relaxed);

	while (highest < fd && !atomic_compare_exchange_weak(&ledger->highest, &highest, fd))
		;
}

void ledger_set(struct ledger *ledger, int fd, const struct ledger_entry *entry)
{
	if ((unsigned)fd >= ledger->files)
		return;
	raise_highest(ledger, fd);
	atomic_store_explicit(&ledger->entries[fd], pack(entry), memory_order_relaxed);
}

void ledger_clear(struct ledger *ledger, int fd)
{
	if ((unsigned)fd < ledger->files)
		atomic_store_explicit(&ledger->entries[fd], 0, memory_order_relaxed);
}

struct ledger_entry ledger_get(const struct ledger *ledger, int fd)
{
	struct ledger_entry entry = { 0 };
	uint64_t word = (unsigned)fd < ledger->files ? ledger->entries[fd] : 0;

	entry.id = take(&word, ID_BITS);
	entry.service = (unsigned)take(&word, SERVICE_BITS);
	entry.flags = (unsigned)take(&word, FLAGS_BITS);
	entry.state = (enum ledger_state)word;
	return entry;
}
