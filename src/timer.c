/* SPDX-License-Identifier: MIT */
/*
 * The wheel has levels of 64 slots; a slot of level k is 64^k ms wide. A timer lies on the level of
 * the highest group of six bits in which its time differs from the wheel's: so everything on a
 * level is later than everything on the levels below, and the first occupied slot of the lowest
 * occupied level holds the next timer. When the wheel reaches a slot of a higher level, its timers
 * move down.
 */
#include "timer.h"

#define LEVEL_BITS 6
#define TIME_MAX   ((INT64_C(1) << (LEVEL_BITS * TIMER_LEVELS)) - 1)

void timer_wheel_init(struct timer_wheel *wheel, int64_t now)
{
	*wheel = (struct timer_wheel){ .now = now, .next = INT64_MAX };
	for (unsigned level = 0; level < TIMER_LEVELS; level++)
		for (unsigned slot = 0; slot < TIMER_SLOTS; slot++)
			list_init(&wheel->slots[level][slot]);
}

static unsigned level_shift(unsigned level)
{
	return level * LEVEL_BITS;
}

static unsigned slot_of(int64_t time, unsigned level)
{
	return (unsigned)(time >> level_shift(level)) % TIMER_SLOTS;
}

static void put(struct timer_wheel *wheel, struct timer *timer)
{
	int64_t time = timer->due;

	if (time <= wheel->now)
		time = wheel->now + 1;
	if (time > TIME_MAX)
		time = TIME_MAX;
	uint64_t differs = (uint64_t)(time ^ wheel->now) | 1;
	unsigned level = (63 - (unsigned)__builtin_clzll(differs)) / LEVEL_BITS;
	unsigned slot = slot_of(time, level);

	list_add_tail(&wheel->slots[level][slot], &timer->link);
	wheel->occupied[level] |= UINT64_C(1) << slot;
}

/* The start of the first occupied slot, never before now; or INT64_MAX. */
static int64_t find_next(const struct timer_wheel *wheel)
{
	for (unsigned level = 0; level < TIMER_LEVELS; level++) {
		if (!wheel->occupied[level])
			continue;
		unsigned slot = (unsigned)__builtin_ctzll(wheel->occupied[level]);
		int64_t above = wheel->now >> level_shift(level + 1) << level_shift(level + 1);
		return above + ((int64_t)slot << level_shift(level));
	}
	return INT64_MAX;
}

/* Takes out all timers of the slots that begin at wheel->now, one for each level. */
static void take_current(struct timer_wheel *wheel, struct list *taken)
{
	for (unsigned level = 0; level < TIMER_LEVELS; level++) {
		unsigned slot = slot_of(wheel->now, level);
		struct list *head = &wheel->slots[level][slot];

		while (!list_empty(head)) {
			struct list *link = list_pop(head);
			list_add_tail(taken, link);
		}
		wheel->occupied[level] &= ~(UINT64_C(1) << slot);
	}
}

void timer_wheel_run(struct timer_wheel *wheel, int64_t now, timer_fn *expire, void *context)
{
	while (wheel->next <= now) {
		struct list taken;

		list_init(&taken);
		wheel->now = wheel->next;
		take_current(wheel, &taken);
		while (!list_empty(&taken)) {
			struct timer *timer = container_of(list_pop(&taken), struct timer, link);
			if (timer->due <= wheel->now)
				expire(timer, context);
			else
				put(wheel, timer);
		}
		wheel->next = find_next(wheel);
	}
	wheel->now = now;
}

void timer_init(struct timer *timer)
{
	list_init(&timer->link);
}

bool timer_armed(const struct timer *timer)
{
	return !list_empty(&timer->link);
}

void timer_arm(struct timer_wheel *wheel, struct timer *timer, int64_t now, int64_t due)
{
	timer_disarm(wheel, timer);
	if (wheel->next > now && wheel->now < now)
		wheel->now = now; /* no slot begins in between: nothing is passed over */
	timer->due = due;
	put(wheel, timer);
	wheel->next = find_next(wheel);
}

void timer_disarm(struct timer_wheel *wheel, struct timer *timer)
{
	struct list *next = timer->link.next;
	struct list *first = &wheel->slots[0][0], *end = first + TIMER_LEVELS * TIMER_SLOTS;

	if (!timer_armed(timer))
		return;
	list_del(&timer->link);
	/* The last of its slot: what it was linked to is the slot itself. */
	if (list_empty(next) && next >= first && next < end)
		wheel->occupied[(next - first) / TIMER_SLOTS] &= ~(
			UINT64_C(1) << ((next - first) % TIMER_SLOTS));
	wheel->next = find_next(wheel);
}
