/**
 * MockViommu: what the mock IOMMU does for a vIOMMU: nested page tables, the invalidation of its devices'
 * caches, two queues.
 *
 * Invariant: queue n is there only while queue n-1 is.
 */
import type { Work } from '../file/work.js';
import type { HardwareQueue, NestedDomain, ViommuCore, VirtualIommu } from '../iommufd/hardware.js';
import { ENTRIES_PER_SLICE, type Invalidations, type UserData } from '../iommufd/user-data.js';
import { hex, refuse } from '../linux/errno.js';
import { CachingDevice, invalidateEntry, requireFlags } from './mock-cache.js';
import { MockNestedDomain } from './mock-nested.js';

/**
 * IOMMU_VIOMMU_TYPE_SELFTEST; its struct is u32 in_data, u32 out_data, u64 out_mmap_offset, u64
 * out_mmap_length.
 */
export const VIOMMU_TYPE = 0xdeadbeef;
const DATA_BYTES = 24;
const DATA_LEAST = 8;
/** IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST; its struct is u32 flags, u32 vdev_id, u32 cache_id. */
const INVALIDATE_TYPE = 0xdeadbeef;
const INVALIDATE_BYTES = 12;
/** IOMMU_HW_QUEUE_TYPE_SELFTEST. */
const QUEUE_TYPE = 0xdeadbeef;
/** IOMMU_TEST_HW_QUEUE_MAX. */
const QUEUES = 2;

export class MockViommu implements VirtualIommu {
  readonly queueTypes = [QUEUE_TYPE];
  readonly #queues: (HardwareQueue | undefined)[] = [];

  /**
   * Where there is `data`, what comes in goes out again. There is no page to be mapped, so the length of one
   * stays 0. @throws Refusal EINVAL, EFAULT.
   */
  constructor(data: UserData) {
    if (data.length === 0) return;
    const struct = data.read(VIOMMU_TYPE, DATA_BYTES, DATA_LEAST);
    struct.copyWithin(4, 0, 4);
    struct.fill(0, 8);
    data.write(VIOMMU_TYPE, struct, DATA_LEAST);
  }

  allocNested(viommu: ViommuCore, data: UserData): NestedDomain {
    return new MockNestedDomain(viommu.parent, data, viommu);
  }

  *invalidate(viommu: ViommuCore, array: Invalidations): Work<void> {
    const structs = yield* array.all(INVALIDATE_TYPE, INVALIDATE_BYTES);
    const view = new DataView(structs.buffer);
    for (let at = 0; at < structs.length; at += INVALIDATE_BYTES) {
      invalidateCache(
        viommu,
        view.getUint32(at, true),
        view.getUint32(at + 4, true),
        view.getUint32(at + 8, true),
      );
      array.handle();
      if (array.handled % ENTRIES_PER_SLICE === 0) yield;
    }
  }

  startQueue(queue: HardwareQueue): HardwareQueue | undefined {
    const { index } = queue;
    if (index >= QUEUES) refuse('EINVAL', `the vIOMMU has ${QUEUES} queues, and ${index} is none of them`);
    if (this.#queues[index] !== undefined) refuse('EEXIST', `queue ${index} of the vIOMMU is there already`);
    const before = this.#queues[index - 1];
    if (index > 0 && before === undefined)
      refuse(
        'EIO',
        `queue ${index} of the vIOMMU works on what queue ${index - 1} leaves it, which is not there`,
      );
    this.#queues[index] = queue;
    return before;
  }

  stopQueue({ index }: HardwareQueue): void {
    this.#queues[index] = undefined;
  }
}

function invalidateCache(viommu: ViommuCore, flags: number, virtualId: number, entry: number): void {
  requireFlags(flags);
  const hardware = viommu.hardwareOf(BigInt(virtualId));
  if (!(hardware instanceof CachingDevice))
    refuse('EINVAL', `vIOMMU ${viommu.id} has no device ${hex(virtualId)}`);
  invalidateEntry(hardware.cache, flags, entry);
}
