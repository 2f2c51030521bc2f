/*
 * What a process may lock for devices: a few borders of RLIMIT_MEMLOCK, asked of type1, of iommufd in both of
 * its modes, of vhost-vdpa and of /dev/ioasid. Each line is a call and what came of it.
 *
 * usage: memlock FILE...  a group's, a device's or vhost-vdpa's; mock: the mock device of iommufd's tests
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/vfio.h>
#include <linux/vhost.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <linux/iommufd.h>, and <linux/vfio.h> of Linux 6.6. */
enum { IOAS_ALLOC = 0x3b81, IOAS_COPY = 0x3b83, IOAS_MAP = 0x3b85, IOAS_UNMAP = 0x3b86, OPTION = 0x3b87 };
enum { IOMMUFD_DESTROY = 0x3b80, IOMMUFD_TEST = 0x3ba0, TEST_MOCK_DOMAIN = 2, FIXED_READ_WRITE = 7 };
enum { BIND_IOMMUFD = 0x3b76, ATTACH = 0x3b77, DETACH = 0x3b78 };
struct ioas_alloc { uint32_t size, flags, ioas; };
struct ioas_map { uint32_t size, flags, ioas, reserved; uint64_t address, length, iova; };
struct ioas_copy { uint32_t size, flags, to, from; uint64_t length, to_iova, from_iova; };
struct ioas_unmap { uint32_t size, ioas; uint64_t iova, length; };
struct option { uint32_t size, id; uint16_t operation, reserved; uint32_t object; uint64_t value; };
struct destroy { uint32_t size, id; };
struct bind { uint32_t argsz, flags; int32_t iommufd; uint32_t id; };
struct attachment { uint32_t argsz, flags, ioas; };

/* In pages: the mock device of iommufd's own tests has no IOVAs below the first. */
enum { FIRST_IOVA = 4096, PAGES = 64, CAN_READ_WRITE = 3, PAGE = 4096 };

static uint8_t *memory;
static const char *section;
static int file;
static uint32_t ioas;

static void told(const char *what, int result)
{
	printf("%s: %s: %s\n", section, what, result < 0 ? strerrorname_np(errno) : "ok");
}

static void limit(int pages)
{
	struct rlimit limit = { (rlim_t)pages * PAGE, RLIM_INFINITY };

	getrlimit(RLIMIT_MEMLOCK, &limit);
	limit.rlim_cur = (rlim_t)pages * PAGE;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		perror("setrlimit");
}

/* CAP_IPC_LOCK, as long as it may be had. */
static void exempt(int on)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	syscall(SYS_capget, &header, data);
	if (on)
		data[0].effective |= data[0].permitted & (1u << CAP_IPC_LOCK);
	else
		data[0].effective &= ~(1u << CAP_IPC_LOCK);
	syscall(SYS_capset, &header, data);
}

static int map_type1(uint64_t iova, int from, int pages)
{
	struct vfio_iommu_type1_dma_map map = { sizeof(map), CAN_READ_WRITE, (uintptr_t)memory + from * PAGE,
		                                (FIRST_IOVA + iova) * PAGE, (uint64_t)pages * PAGE };

	return ioctl(file, VFIO_IOMMU_MAP_DMA, &map);
}

static int unmap_type1(uint64_t iova, int pages)
{
	struct vfio_iommu_type1_dma_unmap unmap = { sizeof(unmap), 0, (FIRST_IOVA + iova) * PAGE,
		                                    (uint64_t)pages * PAGE };

	return ioctl(file, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static int map_iommufd(uint64_t iova, int from, int pages)
{
	struct ioas_map map = { sizeof(map), FIXED_READ_WRITE, ioas, 0, (uintptr_t)memory + from * PAGE,
		                (uint64_t)pages * PAGE, (FIRST_IOVA + iova) * PAGE };

	return ioctl(file, IOAS_MAP, &map);
}

static int unmap_iommufd(uint64_t iova, int pages)
{
	struct ioas_unmap unmap = { sizeof(unmap), ioas, (FIRST_IOVA + iova) * PAGE, (uint64_t)pages * PAGE };

	return ioctl(file, IOAS_UNMAP, &unmap);
}

static int copy_iommufd(uint64_t iova, uint64_t from, int pages)
{
	struct ioas_copy copy = { sizeof(copy), FIXED_READ_WRITE, ioas, ioas, (uint64_t)pages * PAGE,
		                  (FIRST_IOVA + iova) * PAGE, (FIRST_IOVA + from) * PAGE };

	return ioctl(file, IOAS_COPY, &copy);
}

static int message(int type, uint64_t iova, int from, int pages)
{
	struct vhost_msg_v2 message = { .type = VHOST_IOTLB_MSG_V2,
		                        .iotlb = { (FIRST_IOVA + iova) * PAGE, (uint64_t)pages * PAGE,
		                                   (uintptr_t)memory + from * PAGE, VHOST_ACCESS_RW, type } };

	return write(file, &message, sizeof(message)) == sizeof(message) ? 0 : -1;
}

static int map_vdpa(uint64_t iova, int from, int pages)
{
	return message(VHOST_IOTLB_UPDATE, iova, from, pages);
}

static int unmap_vdpa(uint64_t iova, int pages)
{
	return message(VHOST_IOTLB_INVALIDATE, iova, 0, pages);
}

typedef int (*mapping)(uint64_t iova, int from, int pages);
typedef int (*unmapping)(uint64_t iova, int pages);

static void borders(mapping map, unmapping unmap)
{
	limit(8);
	told("8 pages of 8", map(0, 0, 8));
	told("one of them again", map(100, 0, 1));
	told("unmapped", unmap(0, 8));
	told("9 pages of 8", map(0, 0, 9));
	told("4 pages", map(0, 0, 4));
	told("the same 4", map(100, 0, 4));
	told("one of them", map(200, 0, 1));
	told("4 unmapped", unmap(100, 4));
	told("one of them", map(200, 0, 1));
	told("unmapped", unmap(0, 4));
	told("unmapped", unmap(200, 1));

	mlock(memory + 32 * PAGE, 2 * PAGE);
	told("7 pages beside 2 of mlock", map(0, 0, 7));
	unmap(0, 7);
	told("6 pages beside 2 of mlock", map(0, 0, 6));
	munlock(memory + 32 * PAGE, 2 * PAGE);
	limit(2);
	told("one more, and the limit is lower", map(100, 0, 1));
	limit(7);
	told("one more of 7", map(100, 0, 1));
	told("unmapped", unmap(0, 6));
	told("unmapped", unmap(100, 1));
	exempt(1);
	told("16 pages with CAP_IPC_LOCK", map(0, 0, 16));
	exempt(0);
	told("one without", map(100, 0, 1));
	unmap(0, 16);
	unmap(100, 1);
	told("8 pages of 7", map(0, 0, 8));
	told("7 pages", map(0, 0, 7));
	told("unmapped", unmap(0, 7));
}

static void type1(const char *path)
{
	int group = open(path, O_RDWR);

	section = "type1";
	file = open("/dev/vfio/vfio", O_RDWR);
	if (group < 0 || ioctl(group, VFIO_GROUP_SET_CONTAINER, &file) < 0 ||
	    ioctl(file, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
		perror("type1");
	borders(map_type1, unmap_type1);
	close(group);
	close(file);
}

/* A mock device is made when it is attached, and destroyed. */
static uint32_t mock;

static int attach_mock(void)
{
	uint32_t words[17] = { sizeof(words), TEST_MOCK_DOMAIN, ioas };

	if (ioctl(file, IOMMUFD_TEST, words) < 0)
		return -1;
	mock = words[4];
	return 0;
}

static int attach(int device)
{
	struct attachment attachment = { sizeof(attachment), 0, ioas };

	return device < 0 ? attach_mock() : ioctl(device, ATTACH, &attachment);
}

static int detach(int device)
{
	struct attachment attachment = { 8, 0, 0 };
	struct destroy destroy = { sizeof(destroy), mock };

	return device < 0 ? ioctl(file, IOMMUFD_DESTROY, &destroy) : ioctl(device, DETACH, &attachment);
}

static void attachments(int device)
{
	limit(8);
	told("16 pages for nobody", map_iommufd(0, 0, 16));
	told("attached", attach(device));
	told("unmapped", unmap_iommufd(0, 16));
	told("8 pages for nobody", map_iommufd(0, 0, 8));
	told("the same 8", map_iommufd(100, 0, 8));
	told("attached", attach(device));
	told("unmapped", unmap_iommufd(100, 8));
	told("attached", attach(device));
	told("one more", map_iommufd(100, 0, 1));
	told("detached", detach(device));
	told("one more", map_iommufd(100, 0, 1));
	told("attached", attach(device));
	told("unmapped", unmap_iommufd(100, 1));
	told("attached", attach(device));
	told("unmapped", unmap_iommufd(0, 8));
}

static void copies(void)
{
	told("4 pages", map_iommufd(0, 0, 4));
	told("copied", copy_iommufd(100, 0, 4));
	told("2 of them copied", copy_iommufd(200, 1, 2));
	told("4 more", map_iommufd(300, 8, 4));
	told("one of these copied", copy_iommufd(400, 303, 1));
	told("one more", map_iommufd(500, 16, 1));
	told("4 unmapped", unmap_iommufd(0, 4));
	told("one more", map_iommufd(500, 16, 1));
	told("4 copies unmapped", unmap_iommufd(100, 4));
	told("3 more", map_iommufd(500, 16, 3));
	told("2 more", map_iommufd(500, 16, 2));
	unmap_iommufd(0, FIRST_IOVA);
	/* They go with the file. */
	told("all unmapped, 8 pages", map_iommufd(0, 0, 8));
}

static void iommufd(const char *path, uint64_t mode)
{
	struct option option = { sizeof(option), 0, 0, 0, 0, mode };
	struct ioas_alloc alloc = { sizeof(alloc), 0, 0 };
	struct bind bind = { sizeof(bind), 0, 0, 0 };
	int device = strcmp(path, "mock") == 0 ? -1 : open(path, O_RDWR);

	section = mode ? "iommufd, by process" : "iommufd, by user";
	file = open("/dev/iommu", O_RDWR);
	exempt(1);
	told("mode", ioctl(file, OPTION, &option));
	exempt(0);
	bind.iommufd = file;
	if ((device >= 0 && ioctl(device, BIND_IOMMUFD, &bind) < 0) ||
	    ioctl(file, IOAS_ALLOC, &alloc) < 0)
		perror("iommufd");
	ioas = alloc.ioas;
	attachments(device);
	borders(map_iommufd, unmap_iommufd);
	limit(8);
	copies();
	close(device);
	close(file);
}

static void vdpa(const char *path)
{
	uint64_t features = 1 << VHOST_BACKEND_F_IOTLB_MSG_V2;

	section = "vhost-vdpa";
	file = open(path, O_RDWR);
	if (file < 0 || ioctl(file, VHOST_SET_OWNER) < 0 ||
	    ioctl(file, VHOST_SET_BACKEND_FEATURES, &features) < 0)
		perror("vhost-vdpa");
	borders(map_vdpa, unmap_vdpa);
	close(file);
}

int main(int argc, char **argv)
{
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(memory, 1, PAGES * PAGE);
	exempt(0);
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "/dev/vhost", 10) == 0)
			vdpa(argv[i]);
		else if (strncmp(argv[i], "/dev/vfio/devices", 17) == 0 || strcmp(argv[i], "mock") == 0)
			iommufd(argv[i], 0), iommufd(argv[i], 1);
		else
			type1(argv[i]);
	}
	return 0;
}
