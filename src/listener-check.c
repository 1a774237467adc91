/* SPDX-License-Identifier: MIT */
/*
 * Listeners held against the file: what a unit and a section say of each other. Changes nothing;
 * main's thread.
 */
#include "listener.h"
#include "service-next.h"

/* Too late for us to set: the unit and the file must agree. */
static void check_before_bind(const struct listener *listener, const struct sockopt *row,
			      const struct settings_option *option, struct report *report)
{
	char want[SOCKOPT_FORMAT_MAX], has[SOCKOPT_FORMAT_MAX];
	struct sockopt_value value;

	if (sockopt_get(listener->fd, row, &value) < 0 || sockopt_same(row, &option->value, &value))
		return;
	report_add(report,
		   "%s:%d: %s = %s, but the socket %s was bound with %s; it can only be set before "
		   "bind()%s%s%s",
		   option->where.file, option->where.line, row->name,
		   sockopt_format(want, row, &option->value), listener->address,
		   sockopt_format(has, row, &value), *row->directive ? ": use " : "",
		   row->directive,
		   *row->directive ? " in the .socket unit" : ", and systemd decides it");
}

static const char *family_name(enum sockopt_family family)
{
	return family == SOCKOPT_UNIX ? "AF_UNIX" : family == SOCKOPT_INET4 ? "IPv4" : "IPv6";
}

static void check_fit(const struct listeners *listeners, const struct service *service, size_t i,
		      struct report *report)
{
	const struct settings_option *option = &service_coming(service)->options[i];
	const struct sockopt *row = &sockopt_table[i];
	const struct listener *misfit = NULL;
	bool fits_one = false;

	for (size_t k = 0; k < listeners->count; k++) {
		const struct listener *listener = &listeners->list[k];
		if (listener->service != service)
			continue;
		if (!listener_fits(listener, row)) {
			misfit = listener;
			continue;
		}
		fits_one = true;
		if (row->stage == SOCKOPT_BEFORE_BIND && option->where.file)
			check_before_bind(listener, row, option, report);
	}
	if (misfit && !fits_one && option->explicit)
		report_add(
			report,
			"%s:%d: %s does not fit the socket of this section, %s (%s); remove the "
			"line, or put it into defaults, where it is used for sockets that it fits",
			option->where.file, option->where.line, row->name, misfit->address,
			family_name(misfit->family));
}

static bool has_listener(const struct listeners *listeners, const struct service *service)
{
	for (size_t i = 0; i < listeners->count; i++)
		if (listeners->list[i].service == service)
			return true;
	return false;
}

void listeners_check(const struct listeners *listeners, const struct services *services,
		     bool unknown_ok, struct report *report)
{
	for (size_t s = 0; s < services->count; s++) {
		const struct service *service = &services->list[s];
		const struct settings_socket *section = service_coming(service);
		for (size_t i = 0; i < sockopt_count; i++)
			if (section->options[i].set)
				check_fit(listeners, service, i, report);
		if (!unknown_ok && !has_listener(listeners, service))
			report_add(
				report,
				"%s:%d: no socket with the name \"%s\" was passed; start its .socket "
				"unit with FileDescriptorName=%s, or remove the section",
				section->where.file, section->where.line, section->name,
				section->name);
	}
}
