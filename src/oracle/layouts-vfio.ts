/**
 * VFIO's calls as `linux/vfio.h` of Linux 7.3 has them: those of containers, of groups and of PCI devices.
 */
import { u32, u64 } from '../uapi/struct.js';
import { device, type Layout, vfio } from './layout.js';

/** Vectors that the struct of SET_IRQS below has room for. */
export const IRQ_DATA = 8;

/** IOVAs, and where their log of dirty pages goes: the struct with its bitmap. */
const rangeWithBitmap = {
  argsz: u32,
  flags: u32,
  iova: u64,
  size: u64,
  pgsize: u64,
  bitmap_size: u64,
  bitmap: u64,
};

export const vfioLayouts = {
  VFIO_GET_API_VERSION: vfio('GET_API_VERSION', 100, {}),
  VFIO_CHECK_EXTENSION: vfio('CHECK_EXTENSION', 101, {}),
  VFIO_SET_IOMMU: vfio('SET_IOMMU', 102, {}),
  VFIO_IOMMU_GET_INFO: vfio('IOMMU_GET_INFO', 112, {
    argsz: u32,
    flags: u32,
    iova_pgsizes: u64,
    cap_offset: u32,
    __pad: u32,
  }),
  VFIO_IOMMU_MAP_DMA: vfio('IOMMU_MAP_DMA', 113, {
    argsz: u32,
    flags: u32,
    vaddr: u64,
    iova: u64,
    size: u64,
  }),
  VFIO_IOMMU_UNMAP_DMA: vfio('IOMMU_UNMAP_DMA', 114, rangeWithBitmap),
  VFIO_IOMMU_DIRTY_PAGES: vfio('IOMMU_DIRTY_PAGES', 117, rangeWithBitmap),

  VFIO_GROUP_GET_STATUS: vfio('GROUP_GET_STATUS', 103, { argsz: u32, flags: u32 }),
  VFIO_GROUP_SET_CONTAINER: vfio('GROUP_SET_CONTAINER', 104, { fd: u32 }),
  VFIO_GROUP_UNSET_CONTAINER: vfio('GROUP_UNSET_CONTAINER', 105, {}),
  VFIO_GROUP_GET_DEVICE_FD: vfio('GROUP_GET_DEVICE_FD', 106, {}),

  VFIO_DEVICE_GET_INFO: device('GET_INFO', 107, {
    argsz: u32,
    flags: u32,
    num_regions: u32,
    num_irqs: u32,
    cap_offset: u32,
    pad: u32,
  }),
  VFIO_DEVICE_GET_REGION_INFO: device(
    'GET_REGION_INFO',
    108,
    { argsz: u32, flags: u32, index: u32, cap_offset: u32, size: u64, offset: u64 },
    ['index'],
  ),
  VFIO_DEVICE_GET_IRQ_INFO: device('GET_IRQ_INFO', 109, { argsz: u32, flags: u32, index: u32, count: u32 }, [
    'index',
  ]),
  VFIO_DEVICE_SET_IRQS: device(
    'SET_IRQS',
    110,
    {
      argsz: u32,
      flags: u32,
      index: u32,
      start: u32,
      count: u32,
      ...Object.fromEntries(Array.from({ length: IRQ_DATA }, (_, n) => [`data${n}`, u32])),
    },
    ['index', 'flags'],
  ),
  VFIO_DEVICE_RESET: device('RESET', 111, {}),
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: device('GET_PCI_HOT_RESET_INFO', 112, {
    argsz: u32,
    flags: u32,
    count: u32,
    ...Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`device${n}`, u32])),
  }),
  VFIO_DEVICE_PCI_HOT_RESET: device('PCI_HOT_RESET', 113, {
    argsz: u32,
    flags: u32,
    count: u32,
    fd0: u32,
    fd1: u32,
  }),
  VFIO_DEVICE_IOEVENTFD: device(
    'IOEVENTFD',
    116,
    { argsz: u32, flags: u32, offset: u64, data: u64, fd: u32, reserved: u32 },
    ['flags'],
  ),
  VFIO_DEVICE_BIND_IOMMUFD: device(
    'BIND_IOMMUFD',
    118,
    { argsz: u32, flags: u32, iommufd: u32, out_devid: u32, token_uuid_ptr: u64 },
    ['flags'],
  ),
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: device(
    'ATTACH_IOMMUFD_PT',
    119,
    { argsz: u32, flags: u32, pt_id: u32, pasid: u32 },
    ['flags'],
  ),
  VFIO_DEVICE_DETACH_IOMMUFD_PT: device('DETACH_IOMMUFD_PT', 120, { argsz: u32, flags: u32, pasid: u32 }, [
    'flags',
  ]),
  VFIO_DEVICE_FEATURE: device(
    'FEATURE',
    117,
    { argsz: u32, flags: u32, data0: u32, data1: u32, data2: u32, data3: u32 },
    ['flags'],
  ),
} as const satisfies Record<string, Layout>;
