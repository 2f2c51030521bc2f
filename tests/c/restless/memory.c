/* Memory mapped for devices, natively and by iommufd, much of it at once; and device files as memory. */
#define _GNU_SOURCE
#include "restless.h"

#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ioasid.h"

/* 2^DOUBLINGS mappings: a COPY of half of them, and an UNMAP of all, take many slices. */
enum { DOUBLINGS = 14 };

static void unmap_all(int ioasid, uint32_t pasid)
{
	struct ioasid_unmap unmap = { .size = sizeof unmap, .flags = IOASID_UNMAP_ALL, .pasid = pasid };

	ioctl(ioasid, IOASID_UNMAP, &unmap);
}

void maps(void)
{
	int ioasid = at("ioasid"), file = memory_file(PAGES * PAGE);
	uint32_t pasid = pasid_of(ioasid);
	void *memory = memory_of_own();

	for (;;) {
		struct ioasid_map_file map_file = { .size = sizeof map_file, .pasid = pasid,
						    .flags = IOASID_MAP_READ,
						    .fd = file, .length = PAGES * PAGE };

		map(ioasid, pasid, memory);
		ioctl(ioasid, IOASID_MAP_FILE, &map_file);
		map_file.fd = ioasid;
		ioctl(ioasid, IOASID_MAP_FILE, &map_file);
		unmap_all(ioasid, pasid);
	}
}

/* Structs, and the target of DMA, lie on pages of a device file: the server touches a file of its own. */
void pages(void)
{
	int device_fd = device(PAGES_OF);
	char *memory = memory_of_own();
	struct vfio_device_info *info = (void *)memory;

	for (;;) {
		pwrite(device_fd, memory, 4, 0);
		mmap(memory, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, device_fd, 0);
		ioctl(device_fd, VFIO_DEVICE_GET_INFO, info);
		mmap(memory, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	}
}

/* Calls that go on in slices, and closes that release as much. */
void slices(void)
{
	void *memory = memory_of_own();

	for (int round = 0;; round++) {
		int ioasid = at("ioasid");
		uint32_t pasid = pasid_of(ioasid);
		struct ioasid_copy copy = { .size = sizeof copy, .src_pasid = pasid, .dst_pasid = pasid,
					    .flags = IOASID_MAP_READ | IOASID_MAP_FIXED_IOVA };

		copy.src_iova = map(ioasid, pasid, memory);
		copy.length = PAGES * PAGE;
		for (int i = 0; i < DOUBLINGS; i++, copy.length *= 2) {
			copy.dst_iova = copy.src_iova + copy.length;
			ioctl(ioasid, IOASID_COPY, &copy);
		}
		if (round % 2)
			unmap_all(ioasid, pasid);
		close(ioasid);
	}
}

/* iommufd's calls have no size in their number. */
#define IOMMU(nr) (0x3b00 | (nr))

struct ioas_map {
	uint32_t size, flags, ioas, zero;
	uint64_t user_va, length, iova;
};

struct hwpt_alloc {
	uint32_t size, flags, device, parent, id, zero, kind, length;
	uint64_t data;
	uint32_t fault, zero_too;
};

struct dirty_bitmap {
	uint32_t size, hwpt, flags, zero;
	uint64_t iova, length, page_size, data;
};

enum { FIXED_WRITE_READ = 7, DIRTY_TRACKING = 2, IOVA = 0x100000 };

/* A device that is bound and attached to a page table whose dirty pages are asked for. */
void iommufd(void)
{
	void *memory = memory_of_own();
	uint64_t bits[8];

	for (;;) {
		int iommu = at("iommu"), device_fd = device(IOMMUFD);
		uint32_t ioas[3] = { sizeof ioas }, bind[4] = { sizeof bind, 0, iommu };
		uint32_t attach[3] = { sizeof attach };
		struct ioas_map map = { sizeof map, FIXED_WRITE_READ, 0, 0, (uintptr_t)memory,
					PAGES * PAGE, IOVA };
		struct hwpt_alloc hwpt = { .size = sizeof hwpt, .flags = DIRTY_TRACKING };
		struct dirty_bitmap dirty = { .size = sizeof dirty, .iova = IOVA, .length = PAGES * PAGE,
					      .page_size = PAGE, .data = (uintptr_t)bits };

		ioctl(iommu, IOMMU(0x81), ioas);
		map.ioas = hwpt.parent = ioas[2];
		ioctl(iommu, IOMMU(0x85), &map);
		ioctl(device_fd, VFIO_DEVICE_FEATURE + 1, bind);
		hwpt.device = bind[3];
		ioctl(iommu, IOMMU(0x89), &hwpt);
		attach[2] = dirty.hwpt = hwpt.id;
		ioctl(device_fd, VFIO_DEVICE_FEATURE + 2, attach);
		ioctl(iommu, IOMMU(0x8c), &dirty);
		close(iommu);
		close(device_fd);
	}
}
