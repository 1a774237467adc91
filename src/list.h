/* SPDX-License-Identifier: MIT */
/*
 * A doubly linked circular list, its links inside the listed objects. A head is an empty ring;
 * an unlinked member is an empty ring as well, so that list_del() is safe to call twice.
 */
#ifndef SIMPLE_SERVER_LIST_H
#define SIMPLE_SERVER_LIST_H

#include <stdbool.h>

#include "util.h"

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static inline void list_del(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

/* Moves all members of `from` to the empty head `to`, in order. */
static inline void list_take(struct list *to, struct list *from)
{
	list_init(to);
	if (list_empty(from))
		return;
	*to = *from;
	to->prev->next = to;
	to->next->prev = to;
	list_init(from);
}

static inline struct list *list_pop(struct list *head)
{
	struct list *first = head->next;

	list_del(first);
	return first;
}

/* The body must not unlink any member but `l`'s predecessors. */
#define list_for_each(l, head) for (struct list *l = (head)->next; l != (head); l = l->next)

#endif
