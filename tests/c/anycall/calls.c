#include "anycall.h"

#include <linux/vfio.h>

#include "ioasid.h"

/* iommufd's calls have no size in their number. */
#define IOMMUFD(nr) (0x3b00 | (nr))
#define VFIO(nr) _IO(VFIO_TYPE, VFIO_BASE + (nr))

struct call calls[] = {
	{ "ioasid info", IOASID, IOASID_GET_INFO, "szzzZzzzzzzzz", 0, 0, 0 },
	{ "ioasid alloc", IOASID, IOASID_ALLOC, "szzzPz", 0, 0, 0 },
	{ "ioasid free", IOASID, IOASID_FREE, "szpz", 0, 0, 0 },
	{ "ioasid map", IOASID, IOASID_MAP, "sfpzALV", 7, 0, 0 },
	{ "ioasid map file", IOASID, IOASID_MAP_FILE, "sfpmZLV", 7, 0, 0 },
	{ "ioasid unmap", IOASID, IOASID_UNMAP, "sfpzVL", 1, 0, 0 },
	{ "ioasid copy", IOASID, IOASID_COPY, "sfppLVV", 7, 0, 0 },
	{ "authorize", DEVICE, IOASID_AUTHORIZE, "szipzz", 0, 0, 0 },
	{ "revoke", DEVICE, IOASID_REVOKE, "szpz", 0, 0, 0 },

	{ "destroy", IOMMU, IOMMUFD(0x80), "so", 0, 0, 0 },
	{ "ioas alloc", IOMMU, IOMMUFD(0x81), "szO", 0, 0, 0 },
	{ "ioas allow", IOMMU, IOMMUFD(0x82), "sonzA", 0, 0, 0 },
	{ "ioas copy", IOMMU, IOMMUFD(0x83), "sfooLVV", 7, 0, 0 },
	{ "ioas ranges", IOMMU, IOMMUFD(0x84), "sonzAZ", 0, 0, 0 },
	{ "ioas map", IOMMU, IOMMUFD(0x85), "sfozALV", 7, 0, 0 },
	{ "ioas unmap", IOMMU, IOMMUFD(0x86), "soVL", 0, 0, 0 },
	{ "option", IOMMU, IOMMUFD(0x87), "snhhoZ", 0, 0, 0 },
	{ "vfio ioas", IOMMU, IOMMUFD(0x88), "sohh", 0, 0, 0 },
	{ "hwpt alloc", IOMMU, IOMMUFD(0x89), "sfboOznzAzz", 3, 0, 0 },
	{ "hw info", IOMMU, IOMMUFD(0x8a), "szbnAzzZ", 0, 0, 0 },
	{ "dirty tracking", IOMMU, IOMMUFD(0x8b), "sfoz", 1, 0, 0 },
	{ "dirty bitmap", IOMMU, IOMMUFD(0x8c), "sofzVLLA", 1, 0, 0 },
	{ "invalidate", IOMMU, IOMMUFD(0x8d), "soAnnnz", 0, 0, 0 },
	{ "fault queue", IOMMU, IOMMUFD(0x8e), "szOD", 0, 0, 0 },
	{ "ioas map file", IOMMU, IOMMUFD(0x8f), "sfomZLV", 7, 0, 0 },
	{ "viommu alloc", IOMMU, IOMMUFD(0x90), "sznboOzzA", 0, 0, 0 },
	{ "vdevice alloc", IOMMU, IOMMUFD(0x91), "sobOZ", 0, 0, 0 },
	{ "change process", IOMMU, IOMMUFD(0x92), "sz", 0, 0, 0 },
	{ "veventq alloc", IOMMU, IOMMUFD(0x93), "szonnODz", 0, 0, 0 },
	{ "hw queue alloc", IOMMU, IOMMUFD(0x94), "szonnOVL", 0, 0, 0 },

	{ "api version", CONTAINER, VFIO(0), "", 0, 0, 0 },
	{ "set iommu", CONTAINER, VFIO(2), "", 0, 0, 0 },
	{ "type1 info", CONTAINER, VFIO(12), "szZzz", 0, 0, 0 },
	{ "type1 map", CONTAINER, VFIO(13), "sfAVL", 3, 0, 0 },
	{ "type1 unmap", CONTAINER, VFIO(14), "sfVL", 2, 0, 0 },
	{ "group status", GROUP, VFIO(3), "sz", 0, 0, 0 },
	{ "set container", GROUP, VFIO(4), "", 0, 0, 0 },
	{ "unset container", GROUP, VFIO(5), "", 0, 0, 0 },
	{ "group device", GROUP, VFIO(6), "", 0, 0, 0 },

	{ "device info", DEVICE, VFIO(7), "szzzzz", 0, 0, 0 },
	{ "region info", DEVICE, VFIO(8), "sznzZZ", 0, 0, 0 },
	{ "irq info", DEVICE, VFIO(9), "sznz", 0, 0, 0 },
	{ "set irqs", DEVICE, VFIO(10), "sfnnne", 0x3f, 0, 0 },
	{ "set eventfds", DEVICE, VFIO(10), "sxnnne", 0x24, 0, 0 },
	{ "trigger", DEVICE, VFIO(10), "sxnnn", 0x21, 0, 0 },
	{ "reset", DEVICE, VFIO(11), "", 0, 0, 0 },
	{ "hot reset", DEVICE, VFIO(13), "szn", 0, 0, 0 },
	{ "feature", DEVICE, VFIO(17), "sfez", 0x7000f, 0, 0 },
	{ "bind", DEVICE, VFIO(18), "szuBZ", 0, 0, 0 },
	{ "attach", DEVICE, VFIO(19), "sfop", 1, 0, 0 },
	{ "detach", DEVICE, VFIO(20), "sfp", 1, 0, 0 },
	{ "explain", IOASID, IOASID_EXPLAIN, "szzzZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ", 0, 0, 0 },
	{ NULL, 0, 0, NULL, 0, 0, 0 },
};
