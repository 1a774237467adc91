/* SPDX-License-Identifier: MIT */
/* Answers a byte with itself; at an "x" it waits first, where nobody should, until a FIFO is
 * opened. */
#include <fcntl.h>
#include <simple-server.h>
#include <unistd.h>

struct settings {
	const char *gate;
};

static const struct ss_key keys[] = {
	SS_STRING(struct settings, gate, 1, 4096, NULL, "the FIFO"),
	SS_NO_MORE_KEYS,
};

static size_t stuck_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	const struct settings *settings = (const struct settings *)ss_settings(
		ss_service_of(connection));
	int fd;

	if (*(const char *)bytes == 'x' && (fd = open(settings->gate, O_RDONLY)) >= 0)
		close(fd);
	ss_write(connection, bytes, length);
	return length;
}

static const struct ss_handler stuck_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "stuck",
	.keys = keys,
	.settings_size = sizeof(struct settings),
	.data = stuck_data,
};

SS_MODULE(stuck_handler);
