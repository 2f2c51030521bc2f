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

/** VFIO_GROUP_GET_DEVICE_FD, and those. */
export const newFdIoctls: readonly number[] = [0x3b6a, ...newStreamIoctls];

const TEST_CMD = 0x3ba0;
/** IOMMU_TEST_CMD, one of whose operations makes an access and returns its descriptor. */
export const newFdTestIoctls: readonly number[] = [TEST_CMD];
/** IOMMU_TEST_OP_CREATE_ACCESS, and where the operation stands in the struct. */
const CREATE_ACCESS = 5;
const OPERATION = 4;

/**
 * May the call return a new descriptor? Of those that are trapped most operations of IOMMU_TEST_CMD do not.
 */
export function returnsNewFd(caller: Caller, cmd: number, arg: number): boolean {
  if (cmd !== TEST_CMD) return true;
  const operation = new Uint8Array(4);
  try {
    caller.readMemory(arg + OPERATION, operation);
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
  return getU32(operation, 0) === CREATE_ACCESS;
}
