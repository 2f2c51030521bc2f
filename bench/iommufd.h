/* What the benchmark `ioctl` needs of iommufd's numbers and structs, for machines without its header. */
#ifndef BENCH_IOMMUFD_H
#define BENCH_IOMMUFD_H
#include <linux/types.h>
#include <sys/ioctl.h>

#define IOMMU_IOAS_ALLOC _IO(';', 0x81)
#define IOMMU_IOAS_MAP _IO(';', 0x85)
#define IOMMU_IOAS_UNMAP _IO(';', 0x86)
#define IOMMU_OPTION _IO(';', 0x87)
/* At the IOVA given, for writing and reading. */
#define IOAS_MAP_FLAGS 7
#define OPTION_HUGE_PAGES 1
#define OPTION_GET 1

struct iommu_ioas_alloc {
	__u32 size, flags, out_ioas_id;
};

struct iommu_ioas_map {
	__u32 size, flags, ioas_id, reserved;
	__u64 user_va, length, iova;
};

struct iommu_ioas_unmap {
	__u32 size, ioas_id;
	__u64 iova, length;
};

struct iommu_option {
	__u32 size, option_id;
	__u16 op, reserved;
	__u32 object_id;
	__u64 val64;
};

#endif
