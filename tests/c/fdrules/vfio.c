/* Commands that are ioctls of linux/vfio.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "fdrules.h"

static void cmd_vfio_info(const struct words *words, struct answer *answer)
{
	struct vfio_device_info info = {.argsz = sizeof info};
	if (ioctl(fd_at(words, 1), VFIO_DEVICE_GET_INFO, &info) < 0)
		failed(answer, errno);
	else
		put(answer, "ok flags=%#x regions=%u irqs=%u", info.flags, info.num_regions, info.num_irqs);
}

static void cmd_vfio_region(const struct words *words, struct answer *answer)
{
	struct vfio_region_info region = {.argsz = sizeof region, .index = (__u32)number(words, 2)};
	if (ioctl(fd_at(words, 1), VFIO_DEVICE_GET_REGION_INFO, &region) < 0)
		failed(answer, errno);
	else
		put(answer, "ok flags=%#x size=%#llx offset=%#llx", region.flags,
		    (unsigned long long)region.size, (unsigned long long)region.offset);
}

static void cmd_vfio_irq(const struct words *words, struct answer *answer)
{
	struct vfio_irq_info irq = {.argsz = sizeof irq, .index = (__u32)number(words, 2)};
	if (ioctl(fd_at(words, 1), VFIO_DEVICE_GET_IRQ_INFO, &irq) < 0)
		failed(answer, errno);
	else
		put(answer, "ok flags=%#x count=%u", irq.flags, irq.count);
}

/**
 * `irqset FD INDEX FLAGS START COUNT [FD...]`: as many eventfds as are given follow the struct, -1 for none.
 */
static void cmd_vfio_irqset(const struct words *words, struct answer *answer)
{
	union {
		struct vfio_irq_set set;
		char room[sizeof(struct vfio_irq_set) + MAX_WORDS * sizeof(__s32)];
	} request;
	memset(&request, 0, sizeof request);
	int fds = words->count > 6 ? words->count - 6 : 0;
	request.set.argsz = (__u32)(sizeof request.set + (size_t)fds * sizeof(__s32));
	request.set.index = (__u32)number(words, 2);
	request.set.flags = (__u32)number(words, 3);
	request.set.start = (__u32)number(words, 4);
	request.set.count = (__u32)number(words, 5);
	for (int i = 0; i < fds; i++) {
		__s32 fd = fd_at(words, 6 + i);
		memcpy(request.room + sizeof request.set + (size_t)i * sizeof fd, &fd, sizeof fd);
	}
	done(answer, ioctl(fd_at(words, 1), VFIO_DEVICE_SET_IRQS, &request));
}

static void cmd_vfio_reset(const struct words *words, struct answer *answer)
{
	done(answer, ioctl(fd_at(words, 1), VFIO_DEVICE_RESET));
}

const struct command vfio_commands[] = {
	{"vfioinfo", cmd_vfio_info, "DEVICE -> name=value..."},
	{"region", cmd_vfio_region, "DEVICE INDEX -> name=value..."},
	{"irq", cmd_vfio_irq, "DEVICE INDEX -> name=value..."},
	{"irqset", cmd_vfio_irqset, "DEVICE INDEX FLAGS START COUNT [EVENTFD...]"},
	{"reset", cmd_vfio_reset, "DEVICE"},
	{NULL, NULL, NULL},
};
