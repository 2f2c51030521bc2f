/*
 * Reference of the benchmark `ioctl`: the smallest FUSE server with two files: `ioasid`, which answers
 * IOASID_GET_INFO, and `iommu`, which reads the struct of an ioctl out of its caller's memory, as the numbers
 * of iommufd want it, and writes it back.
 *
 * Usage: fuse-server DIRECTORY. It opens /dev/fuse, mounts it on DIRECTORY, prints a line and speaks the raw
 * protocol, one request at a time, until the file system is unmounted or stdin's other end is closed. Whoever
 * starts it chooses the namespace and the CPU.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "../include/ioasid.h"
#include "iommufd.h"

#define FILE_NODE 2
#define ECHO_NODE 3

static int fuse;
/* A request is at most max_write (128 KiB here) and its headers. */
static char request[(128 << 10) + 4096] __attribute__((aligned(8)));

static void answer(const struct fuse_in_header *in, int error, const void *head, size_t head_size,
		   const void *data, size_t data_size)
{
	size_t length = sizeof(struct fuse_out_header) + head_size + data_size;
	struct fuse_out_header out = {.len = length, .error = error, .unique = in->unique};
	struct iovec parts[3] = {{&out, sizeof out}, {(void *)head, head_size}, {(void *)data, data_size}};
	/* ENOENT: the caller was killed meanwhile. Nobody waits. */
	if (writev(fuse, parts, 3) < 0 && errno != ENOENT)
		perror("writev");
}

static struct fuse_attr attributes(uint64_t node)
{
	uint32_t mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666;
	return (struct fuse_attr){.ino = node, .nlink = 1, .mode = mode};
}

static void init(const struct fuse_in_header *in, const struct fuse_init_in *arg)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 128 << 10};
	if (arg->minor < out.minor)
		out.minor = arg->minor;
	answer(in, 0, &out, sizeof out, 0, 0);
}

static void lookup(const struct fuse_in_header *in, const char *name)
{
	struct fuse_entry_out out = {.nodeid = FILE_NODE, .attr = attributes(FILE_NODE)};
	if (strcmp(name, "iommu") == 0)
		out = (struct fuse_entry_out){.nodeid = ECHO_NODE, .attr = attributes(ECHO_NODE)};
	if (strcmp(name, "ioasid") == 0 || strcmp(name, "iommu") == 0)
		answer(in, 0, &out, sizeof out, 0, 0);
	else
		answer(in, -ENOENT, 0, 0, 0, 0);
}

static void get_info(const struct fuse_in_header *in, const struct fuse_ioctl_in *arg)
{
	struct fuse_ioctl_out out = {0};
	struct ioasid_info info;
	if (arg->cmd != IOASID_GET_INFO) {
		answer(in, -ENOTTY, 0, 0, 0, 0);
		return;
	}
	memcpy(&info, arg + 1, sizeof info);
	if (info.size != sizeof info || info.flags != 0) {
		answer(in, -EINVAL, 0, 0, 0, 0);
		return;
	}
	info.pasid_bits = 20;
	info.address_bits = 48;
	info.page_sizes = 4096;
	answer(in, 0, &out, sizeof out, &info, sizeof info);
}

static void echo(const struct fuse_in_header *in, const struct fuse_ioctl_in *arg)
{
	struct fuse_ioctl_out out = {0};
	char copy[64];
	size_t size = arg->cmd == IOMMU_IOAS_MAP     ? sizeof(struct iommu_ioas_map)
		      : arg->cmd == IOMMU_IOAS_UNMAP ? sizeof(struct iommu_ioas_unmap)
						     : sizeof(struct iommu_ioas_alloc);
	struct iovec ours = {copy, size}, theirs = {(void *)(uintptr_t)arg->arg, size};
	if (process_vm_readv(in->pid, &ours, 1, &theirs, 1, 0) != (ssize_t)size ||
	    process_vm_writev(in->pid, &ours, 1, &theirs, 1, 0) != (ssize_t)size)
		answer(in, -EFAULT, 0, 0, 0, 0);
	else
		answer(in, 0, &out, sizeof out, 0, 0);
}

static void serve(const struct fuse_in_header *in)
{
	const void *arg = in + 1;
	struct fuse_attr_out attr = {.attr = attributes(in->nodeid)};
	struct fuse_open_out open = {.fh = 1, .open_flags = FOPEN_DIRECT_IO};
	switch (in->opcode) {
	case FUSE_INIT:
		return init(in, arg);
	case FUSE_LOOKUP:
		return lookup(in, arg);
	case FUSE_GETATTR:
		return answer(in, 0, &attr, sizeof attr, 0, 0);
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		return answer(in, 0, &open, sizeof open, 0, 0);
	case FUSE_IOCTL:
		return in->nodeid == ECHO_NODE ? echo(in, arg) : get_info(in, arg);
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_DESTROY:
		return answer(in, 0, 0, 0, 0, 0);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	default:
		return answer(in, -ENOSYS, 0, 0, 0, 0);
	}
}

/* Ends the process when whoever started it has gone: its files close, and with them the connection. */
static void *watch(void *unused)
{
	while (getchar() != EOF)
		;
	exit(0);
	return unused;
}

int main(int argc, char **argv)
{
	char options[128];
	pthread_t watcher;
	if (argc != 2)
		return 2;
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fuse < 0) {
		perror("/dev/fuse");
		return 1;
	}
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u", fuse, getuid(),
		 getgid());
	if (mount("reference", argv[1], "fuse", MS_NOSUID | MS_NODEV, options) != 0) {
		perror("mount");
		return 1;
	}
	pthread_create(&watcher, 0, watch, 0);
	printf("serving\n");
	fflush(stdout);
	for (;;) {
		ssize_t n = read(fuse, request, sizeof request);
		if (n > 0)
			serve((const struct fuse_in_header *)request);
		else if (errno != EINTR && errno != ENOENT && errno != EAGAIN)
			return errno == ENODEV ? 0 : 1;
	}
}
