/* SPDX-License-Identifier: MIT */
/* Answers a byte with itself. At an "x" it waits first, where nobody should, until a FIFO is
 * opened; at a "j" it waits for that in a job. With `stop` main waits for it at the end. */
#include <fcntl.h>
#include <stdint.h>
#include <simple-server.h>
#include <stdbool.h>
#include <unistd.h>

struct settings {
	const char *gate;
	bool stop;
};

static const struct ss_key keys[] = {
	SS_STRING(struct settings, gate, 1, 4096, NULL, "the FIFO"),
	SS_BOOL(struct settings, stop, false, "wait for it in stop() too"),
	SS_NO_MORE_KEYS,
};

static void wait_at(const char *gate)
{
	int fd = open(gate, O_RDONLY);

	if (fd >= 0)
		close(fd);
}

static const struct settings *settings_of(struct ss_connection *connection)
{
	return (const struct settings *)ss_settings(ss_service_of(connection));
}

static void work(void *settings)
{
	wait_at(((const struct settings *)settings)->gate);
}

static void done(struct ss_connection *connection, void *settings)
{
	(void)settings;
	if (connection)
		ss_write(connection, "j", 1);
}

static size_t stuck_data(struct ss_connection *connection, const void *bytes, size_t length)
{
	const struct settings *settings = settings_of(connection);

	if (*(const char *)bytes == 'j') {
		ss_offload(connection, work, done, (void *)(uintptr_t)settings);
		return 1;
	}
	if (*(const char *)bytes == 'x')
		wait_at(settings->gate);
	ss_write(connection, bytes, length);
	return length;
}

static void stuck_stop(struct ss_service *service)
{
	const struct settings *settings = (const struct settings *)ss_settings(service);

	if (settings->stop)
		wait_at(settings->gate);
}

static const struct ss_handler stuck_handler = {
	.size = sizeof(struct ss_handler),
	.abi = SS_ABI,
	.name = "stuck",
	.flags = SS_OFFLOADS | SS_STATELESS,
	.keys = keys,
	.settings_size = sizeof(struct settings),
	.data = stuck_data,
	.stop = stuck_stop,
};

SS_MODULE(stuck_handler);
