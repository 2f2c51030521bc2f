/**
 * The ioctls that return a new descriptor. A FUSE server cannot put one into its caller, so `ioasid run`
 * traps exactly these (linux/seccomp.ts). They all are `_IO(';', n)`: their argument is a plain number or an
 * address in the caller.
 */
import type { Caller } from '../file/open-file.js';
import { Refusal } from '../linux/errno.js';
import { getU32 } from './struct.js';

/** IOMMU_FAULT_QUEUE_ALLOC, IOMMU_VEVENTQ_ALLOC: the descriptor is a stream of events. */
export const newStreamIoctls: readonly number[] = [0x3b8e, 0x3b93];

const FEATURE = 0x3b75;
/** VFIO_GROUP_GET_DEVICE_FD, VFIO_DEVICE_FEATURE, of whose features one is a file, and those. */
export const newFdIoctls: readonly number[] = [0x3b6a, FEATURE, ...newStreamIoctls];
/** VFIO_DEVICE_FEATURE_DMA_BUF | VFIO_DEVICE_FEATURE_GET. */
const GET_DMA_BUF = 0x1000b;

const TEST_CMD = 0x3ba0;
/** IOMMU_TEST_CMD, of whose operations one makes an access and one a dma-buf: each is a descriptor. */
export const newFdTestIoctls: readonly number[] = [TEST_CMD];
/** IOMMU_TEST_OP_CREATE_ACCESS and DMABUF_GET; where an operation, or a feature's flags, stand. */
const TEST_OPERATIONS = [5, 22];
const OPERATION = 4;

/** May the call return a new descriptor? Most operations of IOMMU_TEST_CMD, and most features, do not. */
export function returnsNewFd(caller: Caller, cmd: number, arg: number): boolean {
  if (cmd !== TEST_CMD && cmd !== FEATURE) return true;
  const asked = new Uint8Array(4);
  try {
    caller.readMemory(arg + OPERATION, asked);
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
  const value = getU32(asked, 0);
  return cmd === TEST_CMD ? TEST_OPERATIONS.includes(value) : value === GET_DMA_BUF;
}
