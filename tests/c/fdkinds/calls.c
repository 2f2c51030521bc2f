#define _GNU_SOURCE
#include "fdkinds.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <linux/vhost.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "check.h"
#include "ioasid.h"

/* Of headers that are newer than those of some systems. */
enum { IOAS_ALLOC = 0x3b81, IOAS_UNMAP = 0x3b86, IOAS_MAP_FILE = 0x3b8f, BIND = 0x3b76 };
enum { LOW_POWER_WITH_WAKEUP = 4, LOW_POWER_EXIT = 5, READABLE_FIXED = 5, IOVA = 0x10000, PAGE = 4096 };
enum { INTX, MSI, ERR = 3, REQ };

int context;
static const char *folder;
static int iommufd, mdev, unbound, edu, group, vdpa;
static uint32_t pasid, ioas;

static int result(int returned)
{
	return returned < 0 ? errno : 0;
}

static int bind_to(int device, int fd)
{
	struct { uint32_t argsz, flags; int32_t iommufd; uint32_t id; } bind = { sizeof bind, 0, fd, 0 };
	return result(ioctl(device, BIND, &bind));
}

int open_ours(const char *name, int flags)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return open(path, flags);
}

void open_files(const char *where)
{
	struct ioasid_alloc alloc = { .size = sizeof alloc };
	struct { uint32_t size, flags, id; } new_ioas = { .size = sizeof new_ioas };
	const uint8_t driver = 3;

	folder = where;
	context = open_ours("ioasid", O_RDWR);
	iommufd = open_ours("iommu", O_RDWR);
	mdev = open_ours("vfio/devices/vfio0", O_RDWR);
	unbound = open_ours("vfio/devices/vfio2", O_RDWR);
	edu = open_ours("vfio/devices/vfio3", O_RDWR);
	group = open_ours("vfio/5", O_RDWR);
	vdpa = open_ours("vhost-vdpa-0", O_RDWR);
	CHECK(context >= 0 && iommufd >= 0 && mdev >= 0 && edu >= 0 && group >= 0 && vdpa >= 0);
	CHECK(!ioctl(context, IOASID_ALLOC, &alloc) && !ioctl(iommufd, IOAS_ALLOC, &new_ioas));
	pasid = alloc.pasid;
	ioas = new_ioas.id;
	CHECK(!bind_to(edu, iommufd));
	CHECK(!ioctl(vdpa, VHOST_SET_OWNER) && !ioctl(vdpa, VHOST_VDPA_SET_STATUS, &driver));
}

static int authorize(int fd)
{
	struct ioasid_authorize request = {
		.size = sizeof request, .pasid = pasid, .vpasid = pasid, .ioasid_fd = fd,
	};
	struct ioasid_revoke undo = { .size = sizeof undo, .pasid = pasid };
	int error = result(ioctl(mdev, IOASID_AUTHORIZE, &request));
	CHECK(error || !ioctl(mdev, IOASID_REVOKE, &undo));
	return error;
}

static int map_file(int fd)
{
	struct ioasid_map_file request = {
		.size = sizeof request, .flags = IOASID_MAP_READ | IOASID_MAP_FIXED_IOVA, .pasid = pasid,
		.fd = fd, .length = PAGE, .iova = IOVA,
	};
	struct ioasid_unmap undo = { .size = sizeof undo, .pasid = pasid, .iova = IOVA, .length = PAGE };
	int error = result(ioctl(context, IOASID_MAP_FILE, &request));
	CHECK(error || !ioctl(context, IOASID_UNMAP, &undo));
	return error;
}

static int map_in_ioas(int fd)
{
	struct {
		uint32_t size, flags, ioas;
		int32_t fd;
		uint64_t start, length, iova;
	} request = { sizeof request, READABLE_FIXED, ioas, fd, 0, PAGE, IOVA };
	struct { uint32_t size, ioas; uint64_t iova, length; } undo = { sizeof undo, ioas, IOVA, PAGE };
	int error = result(ioctl(iommufd, IOAS_MAP_FILE, &request));
	CHECK(error || !ioctl(iommufd, IOAS_UNMAP, &undo));
	return error;
}

/* On a file that is not bound yet. */
static int bind_iommufd(int fd)
{
	close(unbound);
	unbound = open_ours("vfio/devices/vfio2", O_RDWR);
	return bind_to(unbound, fd);
}

static int set_container(int fd)
{
	int error = result(ioctl(group, VFIO_GROUP_SET_CONTAINER, &fd));
	CHECK(error || !ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
	return error;
}

static int set_irq(uint32_t index, uint32_t action, int fd)
{
	struct { uint32_t argsz, flags, index, start, count; int32_t fd; } request = {
		sizeof request, VFIO_IRQ_SET_DATA_EVENTFD | action, index, 0, 1, fd,
	};
	return result(ioctl(edu, VFIO_DEVICE_SET_IRQS, &request));
}

/* Raises so many of them from the program; none: disables them. */
static int loop_back(uint32_t index, uint32_t count)
{
	struct vfio_irq_set set = {
		.argsz = sizeof set, .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index, .count = count,
	};
	return result(ioctl(edu, VFIO_DEVICE_SET_IRQS, &set));
}

static void disable(uint32_t index)
{
	CHECK(!loop_back(index, 0));
}

/* An interrupt that was taken comes. */
static void raised(uint32_t index, int fd)
{
	uint64_t count;

	CHECK(!loop_back(index, 1) && read(fd, &count, sizeof count) == sizeof count);
}

static int trigger(uint32_t index, int fd)
{
	int error = set_irq(index, VFIO_IRQ_SET_ACTION_TRIGGER, fd);
	if (!error && fd >= 0)
		raised(index, fd);
	if (!error && (fd >= 0 || index < ERR))
		disable(index);
	return error;
}

static int intx(int fd) { return trigger(INTX, fd); }
static int msi(int fd) { return trigger(MSI, fd); }
static int err(int fd) { return trigger(ERR, fd); }
static int req(int fd) { return trigger(REQ, fd); }

static int unmask(int fd)
{
	int line = eventfd(0, 0);
	CHECK(!set_irq(INTX, VFIO_IRQ_SET_ACTION_TRIGGER, line));
	int error = set_irq(INTX, VFIO_IRQ_SET_ACTION_UNMASK, fd);
	disable(INTX);
	close(line);
	return error;
}

static int ioeventfd(int fd)
{
	struct vfio_device_ioeventfd request = {
		.argsz = sizeof request, .flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = 0x20, .data = 1, .fd = fd,
	};
	int error = result(ioctl(edu, VFIO_DEVICE_IOEVENTFD, &request));
	request.fd = -1;
	CHECK(error || !ioctl(edu, VFIO_DEVICE_IOEVENTFD, &request));
	return error;
}

static int sleep_until(int fd)
{
	struct { uint32_t argsz, flags; int32_t fd; uint32_t zero; } request = {
		sizeof request, VFIO_DEVICE_FEATURE_SET | LOW_POWER_WITH_WAKEUP, fd, 0,
	};
	struct { uint32_t argsz, flags; } undo = { sizeof undo, VFIO_DEVICE_FEATURE_SET | LOW_POWER_EXIT };
	int error = result(ioctl(edu, VFIO_DEVICE_FEATURE, &request));
	CHECK(error || !ioctl(edu, VFIO_DEVICE_FEATURE, &undo));
	return error;
}

static int queue_file(unsigned long number, int fd)
{
	struct vhost_vring_file file = { 0, fd };
	int error = result(ioctl(vdpa, number, &file));
	file.fd = -1;
	CHECK(error || !ioctl(vdpa, number, &file));
	return error;
}

static int kick(int fd) { return queue_file(VHOST_SET_VRING_KICK, fd); }
static int used(int fd) { return queue_file(VHOST_SET_VRING_CALL, fd); }
static int queue_error(int fd) { return queue_file(VHOST_SET_VRING_ERR, fd); }

static int configuration(int fd)
{
	int none = -1, error = result(ioctl(vdpa, VHOST_VDPA_SET_CONFIG_CALL, &fd));
	CHECK(error || !ioctl(vdpa, VHOST_VDPA_SET_CONFIG_CALL, &none));
	return error;
}

const struct call calls[] = {
	{ "IOASID_AUTHORIZE", authorize, &mdev, CONTEXT, EINVAL, EBADF },
	{ "IOASID_MAP_FILE", map_file, &context, MEMORY, EINVAL, EBADF },
	{ "IOMMU_IOAS_MAP_FILE", map_in_ioas, &iommufd, MEMORY, EINVAL, EBADF },
	{ "VFIO_DEVICE_BIND_IOMMUFD", bind_iommufd, &unbound, IOMMU, EBADFD, EINVAL },
	{ "VFIO_GROUP_SET_CONTAINER", set_container, &group, IOMMU | CONTAINER, EBADFD, EBADF },
	{ "INTx", intx, &edu, EVENT, EINVAL, 0 },
	{ "MSI", msi, &edu, EVENT, EINVAL, 0 },
	{ "ERR", err, &edu, EVENT, EINVAL, 0 },
	{ "REQ", req, &edu, EVENT, EINVAL, 0 },
	{ "unmask of INTx", unmask, &edu, EVENT, EINVAL, 0 },
	{ "VFIO_DEVICE_IOEVENTFD", ioeventfd, &edu, EVENT, EINVAL, ENODEV },
	{ "LOW_POWER_ENTRY_WITH_WAKEUP", sleep_until, &edu, EVENT, EINVAL, EINVAL },
	{ "VHOST_SET_VRING_KICK", kick, &vdpa, EVENT, EINVAL, 0 },
	{ "VHOST_SET_VRING_CALL", used, &vdpa, EVENT, EINVAL, 0 },
	{ "VHOST_SET_VRING_ERR", queue_error, &vdpa, EVENT, EINVAL, 0 },
	{ "VHOST_VDPA_SET_CONFIG_CALL", configuration, &vdpa, EVENT, EINVAL, 0 },
	{ 0 },
};
