/* SPDX-License-Identifier: MIT */
/*
 * See service.h. tcp_defer_accept is the one option that a handler decides: where the server speaks
 * first, the client waits for it in silence, and the kernel would hold the connection back for a
 * second and more. Written in the section it is an error; from the defaults it is left out.
 */
#include <string.h>

#include "service.h"
#include "util.h"

static const struct sockopt *defer_accept(void)
{
	return sockopt_find("tcp_defer_accept");
}

static void unknown_handler(const struct settings_socket *section, struct report *report)
{
	char escaped[REPORT_ESCAPED_MAX];
	const char *near = report_nearest(section->handler, handler_names());

	report_add(report, "%s:%d: there is no handler \"%s\"; %s \"%s\"?",
		   section->handler_where.file, section->handler_where.line,
		   report_escape(escaped, section->handler), near ? "did you mean" : "try",
		   near ? near : handler_names()[0]);
}

void services_check(const struct settings_socket *section, struct report *report)
{
	const struct ss_handler *handler = handler_find(section->handler);
	const struct settings_option *option = &section->options[defer_accept() - sockopt_table];

	if (!handler)
		unknown_handler(section, report);
	else if (handler->flags & SS_SPEAKS_FIRST && option->explicit && option->value.number != 0)
		report_add(report,
			   "%s:%d: tcp_defer_accept does not fit the handler \"%s\", which speaks "
			   "first: the client would wait for nothing; remove the line",
			   option->where.file, option->where.line, handler->name);
}

int services_init(struct services *services, struct settings *settings)
{
	size_t size = settings->n_sockets * sizeof(struct service);

	*services = (struct services){ .list = aligned_alloc(_Alignof(struct service), size) };
	if (!services->list)
		return -ENOMEM;
	memset(services->list, 0, size);
	services->settings = settings_ref(settings);
	services->count = settings->n_sockets;
	for (size_t i = 0; i < services->count; i++) {
		const struct settings_socket *section = &settings->sockets[i];
		services->list[i].section = section;
		services->list[i].handler = handler_find(section->handler);
		if (services->list[i].handler->flags & SS_SPEAKS_FIRST)
			section->options[defer_accept() - sockopt_table].set = false;
	}
	return 0;
}

void services_deinit(struct services *services)
{
	free(services->list);
	services->settings = settings_unref(services->settings);
	*services = (struct services){ 0 };
}

struct service *services_find(const struct services *services, const char *name)
{
	for (size_t i = 0; i < services->count; i++)
		if (strcmp(services->list[i].section->name, name) == 0)
			return &services->list[i];
	return NULL;
}
