/* SPDX-License-Identifier: MIT */
/* The options of the listeners for a person: of the unit, of the file, of the kernel. */
#include "listener.h"

static const char *format(char out[SOCKOPT_FORMAT_MAX], const struct sockopt *row, bool known,
			  const struct sockopt_value *value)
{
	return known ? sockopt_format(out, row, value) : "-";
}

static void dump_option(const struct listener *listener, size_t i, FILE *out)
{
	char unit[SOCKOPT_FORMAT_MAX], file[SOCKOPT_FORMAT_MAX], kernel[SOCKOPT_FORMAT_MAX];
	const struct sockopt *row = &sockopt_table[i];
	struct settings_option option = listener_option_in(listener->service->section, i);
	const struct sockopt_reading *before = &listener->unit[i];
	struct sockopt_value value;

	if (sockopt_get(listener->fd, row, &value) == 0)
		fprintf(out, "//   %-24s %-14s %-14s %s\n", row->name,
			format(unit, row, before->known, &before->value),
			format(file, row, option.set, &option.value),
			sockopt_format(kernel, row, &value));
}

void listeners_dump(const struct listeners *listeners, FILE *out)
{
	for (size_t k = 0; k < listeners->count; k++) {
		const struct listener *listener = &listeners->list[k];

		fprintf(out, "\n// %s: %s\n//   %-24s %-14s %-14s %s\n", listener->service->name,
			listener->address, "option", "unit", "file", "kernel");
		for (size_t i = 0; i < sockopt_count; i++)
			if (listener_fits(listener, &sockopt_table[i]))
				dump_option(listener, i, out);
	}
}
