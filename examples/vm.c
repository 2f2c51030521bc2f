/*
 * A VM in miniature: what a VMM does with /dev/ioasid and a DSA behind VFIO, one line of standard input at a
 * time.
 *
 *     cc -I include -o vm examples/vm.c
 *     ioasid run --device dsa,ready=1 -- ./vm
 *
 * By hand (the answers are on the right; addresses and descriptors will differ):
 *
 *     ioasid                                      ok 3
 *     alloc 3                                     ok 1
 *     memory 8192                                 ok 140025838592000
 *     map 3 1 140025838592000 8192 0x10000        ok 0
 *     device 0                                    ok 4
 *     authorize 4 3 1 0                           ok 0
 *     fill 4 1 0x10000 0x11000 4096 0xa5          ok 0
 *     wait 140025838592000                        ok 1
 *     free 3 1                                    no 16 PASID 1 is authorized for 1 device
 *
 * Every answer is `ok NUMBER` or `no ERRNO REASON`; the table at the end has all commands. Descriptor 3, if
 * it is a Unix socket, leads to another VM, and `send` and `receive` hand descriptors over it. `ioasid demo`
 * is played by such programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ioasid.h"

enum { PEER = 3, MAX_ARGUMENTS = 6 };

/**
 * Facts of <linux/idxd.h> and of the DSA specification. That header is not installed everywhere, so what is
 * needed of it is here.
 */
enum { DSA_FILL = 4, DSA_COMPLETION_ADDRESS_VALID = 4, DSA_REQUEST_COMPLETION = 8 };
enum { DSA_SWERR = 0xc0, DSA_SWERR_VALID = 1 };
struct dsa_descriptor {
	uint32_t pasid, opcode_and_flags;
	uint64_t completion, pattern, destination;
	uint32_t size, rest[7];
};

/* The file that was called last: when it refuses, it knows why. -1: none of ioasid's. */
static int called = -1;

static long call(int fd, unsigned long request, void *argument) {
	called = fd;
	return ioctl(fd, request, argument);
}

/* ---- /dev/ioasid: the security context ---- */

static long open_context(const uint64_t *a) {
	(void)a;
	return open("/dev/ioasid", O_RDWR | O_CLOEXEC);
}

static long alloc_pasid(const uint64_t *a) {
	struct ioasid_alloc arg = {.size = sizeof(arg), .kind = IOASID_KIND_MAPPED};
	return call(a[0], IOASID_ALLOC, &arg) < 0 ? -1 : (long)arg.pasid;
}

static long free_pasid(const uint64_t *a) {
	struct ioasid_free arg = {.size = sizeof(arg), .pasid = a[1]};
	return call(a[0], IOASID_FREE, &arg);
}

/* "Guest memory": memory of this process, at an IOVA of the VM's choice. */
static long map_memory(const uint64_t *a) {
	struct ioasid_map map = {.size = sizeof(map),
		.flags = IOASID_MAP_READ | IOASID_MAP_WRITE | IOASID_MAP_FIXED_IOVA,
		.pasid = a[1], .user_va = a[2], .length = a[3], .iova = a[4]};
	return call(a[0], IOASID_MAP, &map);
}

/* ---- /dev/vfio/devices: a device, and what it may use ---- */

/* Where a region (a BAR, configuration space) lies in the device file, or -1. */
static off_t region(int device, int index) {
	struct vfio_region_info info = {.argsz = sizeof(info), .index = index};
	return call(device, VFIO_DEVICE_GET_REGION_INFO, &info) < 0 ? -1 : (off_t)info.offset;
}

/* Opens a device and turns it on, as a driver does first: without bus mastering there is no DMA. */
static long open_device(const uint64_t *a) {
	char path[64];
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%d", (int)a[0]);
	int device = open(path, O_RDWR | O_CLOEXEC);
	off_t config = device < 0 ? -1 : region(device, VFIO_PCI_CONFIG_REGION_INDEX);
	if (config < 0 || pwrite(device, &command, sizeof(command), config + PCI_COMMAND) < 0)
		return -1;
	return device;
}

/* The security check of the whole system: both descriptors are presented in one call. */
static long authorize(const uint64_t *a) {
	struct ioasid_authorize arg = {.size = sizeof(arg), .ioasid_fd = a[1], .pasid = a[2], .vpasid = a[3]};
	return call(a[0], IOASID_AUTHORIZE, &arg);
}

static long revoke_pasid(const uint64_t *a) {
	struct ioasid_revoke arg = {.size = sizeof(arg), .pasid = a[1]};
	return call(a[0], IOASID_REVOKE, &arg);
}

static long close_file(const uint64_t *a) {
	return close(a[0]);
}

/* ---- The DSA behind it ---- */

/* Submits one descriptor to the portal of the first work queue, in one piece, as ENQCMD does it. */
static long fill(const uint64_t *a) {
	uint32_t flags = DSA_COMPLETION_ADDRESS_VALID | DSA_REQUEST_COMPLETION;
	struct dsa_descriptor descriptor = {
		.pasid = a[1], .completion = a[2], .destination = a[3], .size = a[4],
		.pattern = a[5] * 0x0101010101010101u, .opcode_and_flags = (uint32_t)DSA_FILL << 24 | flags};
	off_t portals = region(a[0], VFIO_PCI_BAR2_REGION_INDEX);
	return portals < 0 || pwrite(a[0], &descriptor, sizeof(descriptor), portals) < 0 ? -1 : 0;
}

static long read_status(const uint64_t *a) {
	return *(volatile uint8_t *)(uintptr_t)a[0];
}

static long wait_for_status(const uint64_t *a) {
	for (int i = 0; read_status(a) == 0 && i < 100000; i++)
		usleep(100);
	return read_status(a);
}

/* An error that no completion record could carry. It is acknowledged. */
static long take_error(const uint64_t *a) {
	uint32_t error = 0, valid = DSA_SWERR_VALID;
	off_t registers = region(a[0], VFIO_PCI_BAR0_REGION_INDEX);
	if (registers < 0 || pread(a[0], &error, sizeof(error), registers + DSA_SWERR) < 0)
		return -1;
	if ((error & DSA_SWERR_VALID) == 0)
		return 0;
	if (pwrite(a[0], &valid, sizeof(valid), registers + DSA_SWERR) < 0)
		return -1;
	return (long)(error >> 8 & 0xff);
}

/* ---- Memory, as this process's CPU sees it ---- */

static long make_memory(const uint64_t *a) {
	void *memory = mmap(NULL, a[0], PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return memory == MAP_FAILED ? -1 : (long)(intptr_t)memory;
}

static long set_memory(const uint64_t *a) {
	memset((void *)(uintptr_t)a[0], a[2], a[1]);
	return 0;
}

static long count_bytes(const uint64_t *a) {
	const uint8_t *memory = (const uint8_t *)(uintptr_t)a[0];
	long count = 0;
	for (uint64_t i = 0; i < a[1]; i++)
		count += memory[i] == (uint8_t)a[2];
	return count;
}

/* ---- Descriptors from VM to VM ---- */

/**
 * Sends `fd`, or receives a descriptor when it is -1, in a message with the one byte of data that a stream
 * socket needs.
 */
static long pass(int fd) {
	char byte = 0;
	struct iovec data = {.iov_base = &byte, .iov_len = 1};
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = {.room = {0}};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control)};
	if (fd >= 0) {
		control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(fd)),
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		return sendmsg(PEER, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
	}
	if (recvmsg(PEER, &message, MSG_CMSG_CLOEXEC) < 0)
		return -1;
	if (CMSG_FIRSTHDR(&message) == NULL)
		errno = ENODATA;
	else
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

static long send_descriptor(const uint64_t *a) {
	return pass(a[0]);
}

static long receive_descriptor(const uint64_t *a) {
	(void)a;
	return pass(-1);
}

/* ---- Lines ---- */

static const struct command { const char *name; int arguments; long (*run)(const uint64_t *); } commands[] = {
	{"ioasid", 0, open_context},         /* opens a context: its descriptor */
	{"alloc", 1, alloc_pasid},           /* IOASID: a new PASID */
	{"free", 2, free_pasid},             /* IOASID PASID */
	{"map", 5, map_memory},              /* IOASID PASID ADDRESS BYTES IOVA */
	{"device", 1, open_device},          /* N, of vfioN: its descriptor */
	{"authorize", 4, authorize},         /* DEVICE IOASID PASID VPASID */
	{"revoke", 2, revoke_pasid},         /* DEVICE PASID */
	{"close", 1, close_file},            /* DESCRIPTOR */
	{"fill", 6, fill},                   /* DEVICE PASID RECORD-IOVA DESTINATION-IOVA BYTES VALUE */
	{"status", 1, read_status},          /* ADDRESS of a completion record: its status, or 0: none yet */
	{"wait", 1, wait_for_status},        /* the same, when there is one, or 0 after ten seconds */
	{"error", 1, take_error},            /* DEVICE: the code of the error that it reports, or 0 */
	{"memory", 1, make_memory},          /* BYTES: their address */
	{"set", 3, set_memory},              /* ADDRESS BYTES VALUE */
	{"count", 3, count_bytes},           /* ADDRESS BYTES VALUE: how many bytes have that value */
	{"send", 1, send_descriptor},        /* DESCRIPTOR, to the other VM */
	{"receive", 0, receive_descriptor},  /* the descriptor that the other VM has sent */
};

/**
 * Says why the last call failed: in the words of the file that refused or, if it was the kernel itself, of
 * errno.
 */
static void answer_no(int error) {
	struct ioasid_explain why = {.size = sizeof(why)};
	int explained = called >= 0 && ioctl(called, IOASID_EXPLAIN, &why) == 0 && why.error == error;
	printf("no %d %s\n", error, explained ? why.reason : strerror(error));
}

static void obey(char *line) {
	uint64_t a[MAX_ARGUMENTS] = {0};
	int count = 0;
	const char *word, *name = strtok(line, " \n");
	while (name != NULL && count < MAX_ARGUMENTS && (word = strtok(NULL, " \n")) != NULL)
		a[count++] = strtoull(word, NULL, 0);
	for (size_t i = 0; name != NULL && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(name, commands[i].name) != 0 || count != commands[i].arguments)
			continue;
		called = -1;
		long result = commands[i].run(a);
		if (result < 0)
			answer_no(errno);
		else
			printf("ok %ld\n", result);
		return;
	}
	name = name == NULL ? "(nothing)" : name;
	printf("no %d no command is called %s and has %d arguments\n", EINVAL, name, count);
}

int main(void) {
	char line[256];
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin) != NULL)
		obey(line);
}
