/* SPDX-License-Identifier: MIT */
/*
 * A peer of the benchmark: echo, discard and chargen with libuv's streams, as one writes them by
 * its manual. One thread, one loop. The callback that asks for room gives the same buffer to all
 * connections; an echo is tried with uv_try_write first, and what that leaves behind is an error
 * here, so messages have to fit the socket buffer.
 *
 * peer-libuv echo | discard | chargen: serves fd 3, as systemd passes it. Ends by a signal.
 * peer-libuv --version: of the library
 */
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#define PASSED_FD 3

static char block[65536];

static const struct service {
	const char *name;
	void (*begin)(uv_stream_t *stream);
	uv_read_cb read;
} * service;

static void closed(uv_handle_t *handle)
{
	free(handle);
}

static void close_stream(uv_stream_t *stream)
{
	if (!uv_is_closing((uv_handle_t *)stream))
		uv_close((uv_handle_t *)stream, closed);
}

static void room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle, (void)suggested;
	*buf = uv_buf_init(block, sizeof(block));
}

static void echo(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	uv_buf_t answer = uv_buf_init(buf->base, n > 0 ? (unsigned)n : 0);

	if (n < 0 || (n > 0 && uv_try_write(stream, &answer, 1) != n))
		close_stream(stream);
}

static void discard(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	if (n < 0)
		close_stream(stream);
}

static void chargen(uv_stream_t *stream);

static void written(uv_write_t *write, int status)
{
	uv_stream_t *stream = write->handle;

	free(write);
	if (status || uv_is_closing((uv_handle_t *)stream))
		close_stream(stream);
	else
		chargen(stream);
}

/* Bytes of the right number; which ones costs the same. */
static void chargen(uv_stream_t *stream)
{
	uv_buf_t text = uv_buf_init(block, sizeof(block));
	uv_write_t *write = malloc(sizeof(*write));

	if (!write || uv_write(write, stream, &text, 1, written))
		errx(EXIT_FAILURE, "uv_write");
}

static const struct service services[] = {
	{ "echo", NULL, echo },
	{ "discard", NULL, discard },
	{ "chargen", chargen, discard },
};

static void connected(uv_stream_t *listener, int status)
{
	uv_tcp_t *tcp = malloc(sizeof(*tcp));
	uv_stream_t *stream = (uv_stream_t *)tcp;

	if (!tcp || status || uv_tcp_init(listener->loop, tcp))
		errx(EXIT_FAILURE, "no connection");
	if (uv_accept(listener, stream) || uv_read_start(stream, room, service->read))
		close_stream(stream);
	else if (service->begin)
		service->begin(stream);
}

static const struct service *find_service(const char *name)
{
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
		if (!strcmp(services[i].name, name))
			return &services[i];
	errx(64, "usage: peer-libuv echo | discard | chargen | --version");
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	static uv_tcp_t listener;

	if (!strcmp(name, "--version")) {
		printf("libuv %s\n", uv_version_string());
		return EXIT_SUCCESS;
	}
	service = find_service(name);
	signal(SIGPIPE, SIG_IGN);

	/* Accepted sockets inherit TCP_NODELAY: no call per connection. */
	if (setsockopt(PASSED_FD, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)))
		err(EXIT_FAILURE, "fd %d", PASSED_FD);
	uv_loop_t *loop = uv_default_loop();
	if (!loop || uv_tcp_init(loop, &listener) || uv_tcp_open(&listener, PASSED_FD) ||
	    uv_listen((uv_stream_t *)&listener, SOMAXCONN, connected))
		errx(EXIT_FAILURE, "set-up");
	return uv_run(loop, UV_RUN_DEFAULT);
}
