/* SPDX-License-Identifier: MIT */
/* See blob.h. Sealed, so that nothing can ever change pages that are still on their way to a peer.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include "blob.h"
#include "util.h"

struct ss_blob {
	int fd;
	size_t length;
};

static int write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, bytes, length);
		if (n < 0)
			return -errno;
		bytes += n;
		length -= (size_t)n;
	}
	return 0;
}

struct ss_blob *ss_blob_new(const void *bytes, size_t length)
{
	int fd auto_close = memfd_create("simple-server-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

	if (fd < 0 || write_all(fd, bytes, length) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		return NULL;
	struct ss_blob *blob = malloc(sizeof(*blob));
	if (!blob)
		return NULL;
	*blob = (struct ss_blob){ .fd = steal_fd(&fd), .length = length };
	return blob;
}

bool blob_has(const struct ss_blob *blob, size_t offset, size_t length)
{
	return offset <= blob->length && length <= blob->length - offset;
}

ssize_t blob_send(const struct ss_blob *blob, int socket, size_t offset, size_t length)
{
	off_t from = (off_t)offset;
	ssize_t n;

	do
		n = sendfile(socket, blob->fd, &from, length);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}
