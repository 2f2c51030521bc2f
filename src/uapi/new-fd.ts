/**
 * The ioctls that return a new descriptor. A FUSE server cannot put one into its caller, so `ioasid run` traps exactly these
 * (linux/seccomp.ts). They all are `_IO(';', n)`: their argument is a plain number or an address in the caller.
 */

/** VFIO_GROUP_GET_DEVICE_FD, IOMMU_FAULT_QUEUE_ALLOC, IOMMU_VEVENTQ_ALLOC. */
export const newFdIoctls: readonly number[] = [0x3b6a, 0x3b8e, 0x3b93];

/** Those of them whose descriptor is a stream of events: IOMMU_FAULT_QUEUE_ALLOC, IOMMU_VEVENTQ_ALLOC. */
export const newStreamIoctls: readonly number[] = [0x3b8e, 0x3b93];

/** IOMMU_TEST_CMD, one of whose operations makes an access and returns its descriptor. */
export const newFdTestIoctls: readonly number[] = [0x3ba0];
