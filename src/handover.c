/* SPDX-License-Identifier: MIT */
/*
 * See handover.h. Descriptors in flight count against the limit of open files of their user
 * (unix(7), ETOOMANYREFS); they are as many as the connections were, so that they fit.
 */
#include "handover.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "activation.h"
#include "util.h"

#define SNDBUF            (8 << 20) /* cut to net.core.wmem_max by the kernel, and doubled */
#define FILES_FOR_A_QUEUE 100000    /* of 250 in a message, each of less than 1 KiB */

static const char magic[8] = "ss-hand";

/* Eight bytes at a time; FNV-1a is for bytes, and its prime does for words. */
static uint64_t checksum(uint64_t sum, const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i + 8 <= length; i += 8) {
		uint64_t word;
		memcpy(&word, bytes + i, sizeof(word));
		sum = (sum ^ word) * UINT64_C(0x100000001b3);
	}
	return sum;
}

/* --- giving */

static int write_all(int fd, const void *bytes, size_t length, off_t offset)
{
	const unsigned char *next = bytes;

	while (length > 0) {
		ssize_t n = pwrite(fd, next, length, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		next += n;
		offset += n;
		length -= (size_t)n;
	}
	return 0;
}

static int flush_bytes(struct handover_out *out)
{
	off_t offset = (off_t)(sizeof(out->head) + out->head.length);
	int r = write_all(out->file, out->bytes, out->used, offset);

	if (r < 0)
		return r;
	out->head.checksum = checksum(out->head.checksum, out->bytes, out->used);
	out->head.length += out->used;
	out->used = 0;
	return 0;
}

static int put(struct handover_out *out, const void *bytes, size_t length)
{
	const unsigned char *next = bytes;
	int r = 0;

	while (length > 0 && r == 0) {
		size_t room = sizeof(out->bytes) - out->used, n = length < room ? length : room;
		memcpy(out->bytes + out->used, next, n);
		out->used += n;
		next += n;
		length -= n;
		if (out->used == sizeof(out->bytes))
			r = flush_bytes(out);
	}
	return r;
}

/* The receiving end is systemd's alone: when it has gone, ours hangs up. */
static int add_queue(struct handover_out *out, int *ret_end)
{
	int ends[2], size = SNDBUF;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	out->to[out->n_queues++] = ends[0];
	*ret_end = ends[1];
	return 0;
}

static unsigned queues_for(unsigned files)
{
	unsigned n = files / FILES_FOR_A_QUEUE + 1;

	return n < HANDOVER_QUEUES ? n : HANDOVER_QUEUES;
}

unsigned handover_files(unsigned files)
{
	return 1 + queues_for(files);
}

static void name_of(char out[HANDOVER_NAME_MAX])
{
	snprintf(out, HANDOVER_NAME_MAX, HANDOVER_NAME "%d", (int)getpid());
}

int handover_open(struct handover_out *out, unsigned files)
{
	int fds[1 + HANDOVER_QUEUES];
	char name[HANDOVER_NAME_MAX];
	unsigned n = 0;
	int r = 0;

	memset(out, 0, sizeof(*out));
	out->file = memfd_create("simple-server-handover", MFD_CLOEXEC);
	if (out->file < 0)
		return -errno;
	fds[n++] = out->file;
	for (unsigned i = 0; i < queues_for(files) && r == 0; i++)
		r = add_queue(out, &fds[n]) ?: (n++, 0);
	/* The file in a message of its own, before the queues: where it did not fit, they do not.
	 */
	name_of(name);
	if (r == 0)
		r = activation_store(name, fds, 1);
	if (r == 0)
		r = activation_store(name, fds + 1, n - 1);
	while (n > 1)
		close(fds[--n]);
	if (out->n_queues == 0)
		out->file = close_fd(out->file);
	return r;
}

int handover_begin(struct handover_out *out, enum handover_cause cause, uint32_t pid,
		   const struct handover_service *services, unsigned n_services)
{
	out->head = (struct handover_head){
		.version = HANDOVER_VERSION, .cause = cause, .pid = pid, .n_services = n_services
	};
	memcpy(out->head.magic, magic, sizeof(magic));
	out->queue = 0;
	out->used = 0;
	out->label.first = out->label.n = 0;
	return put(out, services, n_services * sizeof(*services));
}

static int send_batch(struct handover_out *out)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(out->batch))];
	} control;
	size_t size = out->label.n * sizeof(int);
	struct iovec label = { .iov_base = &out->label, .iov_len = sizeof(out->label) };
	struct msghdr message = { .msg_iov = &label,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = CMSG_SPACE(size) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	ssize_t n;

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(header), out->batch, size);
	do
		n = sendmsg(out->to[out->queue], &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* A queue that takes no more is followed by another one. */
static int flush_fds(struct handover_out *out)
{
	int r = 0;

	if (out->label.n > 0)
		r = send_batch(out);
	if (r == -EAGAIN && out->queue + 1 < out->n_queues) {
		out->queue++;
		r = send_batch(out);
	}
	out->label.first += out->label.n;
	out->label.n = 0;
	return r;
}

int handover_add(struct handover_out *out, const struct handover_record *record, const int *fds)
{
	int r = 0;

	if (out->label.n + record->n_fds > HANDOVER_BATCH)
		r = flush_fds(out);
	for (unsigned i = 0; i < record->n_fds && r == 0; i++)
		out->batch[out->label.n++] = fds[i];
	out->head.n_fds += record->n_fds;
	out->head.n_connections++;
	return r < 0 ? r : put(out, record, record->size);
}

void handover_lose(struct handover_out *out, uint64_t id)
{
	if (out->head.n_lost < HANDOVER_LOST)
		out->head.lost[out->head.n_lost] = id;
	out->head.n_lost++;
}

static bool is_kept(const struct handover_out *out)
{
	for (unsigned i = 0; i < out->n_queues; i++) {
		struct pollfd end = { .fd = out->to[i] };
		if (poll(&end, 1, 0) != 0)
			return false;
	}
	return true;
}

int handover_finish(struct handover_out *out)
{
	int r = is_kept(out) ? flush_bytes(out) : -ENOSPC;

	if (r == 0)
		r = flush_fds(out);
	return r < 0 ? r : write_all(out->file, &out->head, sizeof(out->head), 0);
}

void handover_take_back(struct handover_out *out)
{
	char name[HANDOVER_NAME_MAX];

	name_of(name);
	activation_unstore(name);
	handover_close(out);
}

void handover_close(struct handover_out *out)
{
	for (unsigned i = 0; i < out->n_queues; i++)
		close_fd(out->to[i]);
	if (out->n_queues > 0)
		out->file = close_fd(out->file);
	out->n_queues = 0;
}

/* --- taking */

static int read_file(struct handover_in *in, int fd, size_t *ret_length)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	if (st.st_size == 0)
		return -ENODATA;
	if (st.st_size < (off_t)sizeof(struct handover_head))
		return -EBADMSG;
	in->bytes = calloc(1, (size_t)st.st_size);
	if (!in->bytes)
		return -ENOMEM;
	for (size_t at = 0; at < (size_t)st.st_size;) {
		ssize_t n = pread(fd, in->bytes + at, (size_t)st.st_size - at, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		at += (size_t)n;
	}
	*ret_length = (size_t)st.st_size;
	return 0;
}

static bool are_terminated(const struct handover_service *services, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (services[i].socket[sizeof(services[i].socket) - 1] ||
		    services[i].handler[sizeof(services[i].handler) - 1])
			return false;
	return true;
}

static int check(struct handover_in *in, size_t length)
{
	const struct handover_head *head = (const void *)in->bytes;
	const unsigned char *body = in->bytes + sizeof(*head);

	if (memcmp(head->magic, magic, sizeof(magic)) != 0)
		return -EBADMSG;
	if (head->version != HANDOVER_VERSION)
		return -EPROTO;
	if (head->length != length - sizeof(*head) || head->n_services > HANDOVER_SERVICES ||
	    head->n_services * sizeof(struct handover_service) > head->length ||
	    head->n_fds > head->length / sizeof(struct handover_record) * 2 ||
	    checksum(0, body, head->length) != head->checksum)
		return -EBADMSG;
	in->head = head;
	in->services = (const void *)body;
	in->at = sizeof(*head) + head->n_services * sizeof(struct handover_service);
	return are_terminated(in->services, head->n_services) ? 0 : -EBADMSG;
}

/* The file is the one that is no socket. */
static int find_file(struct handover_in *in, const int *fds, size_t n)
{
	size_t length = 0;
	int r = -ENOTSUP;

	for (size_t i = 0; i < n && r == -ENOTSUP; i++)
		r = read_file(in, fds[i], &length);
	if (r == -ENOTSUP)
		return -EBADMSG;
	return r < 0 ? r : check(in, length);
}

/* One message: its descriptors go to their places, or are closed. False: there is no more. */
static bool take_batch(struct handover_in *in, int queue, unsigned *refused)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * HANDOVER_BATCH)];
	} control;
	struct {
		uint32_t first, n;
	} label = { 0, 0 };
	struct iovec part = { .iov_base = &label, .iov_len = sizeof(label) };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(queue, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 && errno == EINTR;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	size_t count = header && header->cmsg_type == SCM_RIGHTS
			       ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int)
			       : 0;
	for (size_t i = 0; i < count; i++) {
		int fd;
		memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
		if (in->fds && n == sizeof(label) && label.first + i < in->head->n_fds &&
		    in->fds[label.first + i] < 0) {
			in->fds[label.first + i] = fd;
		} else {
			close(fd);
			++*refused;
		}
	}
	return true;
}

int handover_read(struct handover_in *in, const int *fds, size_t n_fds, unsigned *ret_refused)
{
	*in = (struct handover_in){ 0 };
	*ret_refused = 0;
	int r = find_file(in, fds, n_fds);
	if (r == 0) {
		in->fds = malloc((in->head->n_fds + 1) * sizeof(int));
		r = in->fds ? 0 : -ENOMEM;
	}
	for (uint32_t i = 0; r == 0 && i < in->head->n_fds; i++)
		in->fds[i] = -1;
	for (size_t i = 0; i < n_fds; i++)
		while (take_batch(in, fds[i], ret_refused))
			;
	return r;
}

static bool is_whole(const struct handover_in *in, const struct handover_record *record,
		     size_t left)
{
	uint64_t held = (uint64_t)record->input + record->output + record->leg_output +
			record->state;

	if (record->size < 8 || record->size % 8 != 0 || record->size > left || record->n_fds < 1 ||
	    record->n_fds > 2 || in->next_fd + record->n_fds > in->head->n_fds)
		return false;
	/* What another version has behind these first words is its own. */
	return record->version != HANDOVER_RECORD ||
	       (record->size >= sizeof(*record) && held <= record->size - sizeof(*record));
}

const struct handover_record *handover_next(struct handover_in *in, int ret_fds[2])
{
	size_t end = in->head ? sizeof(*in->head) + in->head->length : 0;
	const struct handover_record *record = (const void *)(in->bytes + in->at);

	ret_fds[0] = ret_fds[1] = -1;
	if (end < in->at + offsetof(struct handover_record, reason) ||
	    !is_whole(in, record, end - in->at))
		return NULL;
	for (unsigned i = 0; i < record->n_fds; i++)
		ret_fds[i] = steal_fd(&in->fds[in->next_fd++]);
	in->at += record->size;
	return record;
}

void handover_deinit(struct handover_in *in)
{
	for (uint32_t i = 0; in->fds && i < in->head->n_fds; i++)
		close_fd(in->fds[i]);
	free(in->fds);
	free(in->bytes);
	*in = (struct handover_in){ 0 };
}
