/**
 * MockNestedDomain: a nested page table of the mock IOMMU. There is nothing in it but four cached entries, so
 * that tests see which ones an invalidation reaches.
 */
import type { Work } from '../file/work.js';
import { REFUSED } from '../iommu/access.js';
import { NestedTable } from '../iommu/nested-table.js';
import type { NestedDomain, SecondStage, ViommuCore } from '../iommufd/hardware.js';
import { ENTRIES_PER_SLICE, type Invalidations, type UserData } from '../iommufd/user-data.js';
import { refuse } from '../linux/errno.js';
import { invalidateEntry } from './mock-cache.js';

/** IOMMU_HWPT_DATA_SELFTEST; its struct is u32 iotlb, u32 pagetable_type. */
const DATA_TYPE = 0xdead;
const DATA_BYTES = 8;
const DATA_LEAST = 4;
/** IOMMU_HWPT_INVALIDATE_DATA_SELFTEST; its struct is u32 flags, u32 iotlb_id. */
const INVALIDATE_TYPE = 0xdeadbeef;
const INVALIDATE_BYTES = 8;
/** MOCK_NESTED_DOMAIN_IOTLB_NUM. */
const IOTLB_ENTRIES = 4;

/** What a device's entry leads to: nothing reads from it. */
export class MockNestedTable extends NestedTable {
  /** The vIOMMU that it belongs to, of which a device must be that is attached. */
  readonly viommu: ViommuCore | undefined;

  constructor(parent: SecondStage, viommu: ViommuCore | undefined) {
    super(parent.table);
    this.viommu = viommu;
  }

  lookup(): number {
    this.refusal = 'the mock IOMMU does not translate';
    return REFUSED;
  }

  close(): void {}
}

export class MockNestedDomain implements NestedDomain {
  readonly table: MockNestedTable;
  /** What is cached. */
  readonly iotlb: Uint32Array;

  /** @throws Refusal EOPNOTSUPP, EINVAL, EFAULT for `data`. */
  constructor(parent: SecondStage, data: UserData, viommu?: ViommuCore) {
    this.iotlb = new Uint32Array(IOTLB_ENTRIES).fill(selftestData(data).iotlb);
    this.table = new MockNestedTable(parent, viommu);
  }

  *invalidate(array: Invalidations): Work<void> {
    for (const entry of array.each(INVALIDATE_TYPE, INVALIDATE_BYTES, INVALIDATE_BYTES)) {
      const view = new DataView(entry.buffer, entry.byteOffset, entry.length);
      invalidateEntry(this.iotlb, view.getUint32(0, true), view.getUint32(4, true));
      array.handle();
      if (array.handled % ENTRIES_PER_SLICE === 0) yield;
    }
  }
}

/** @throws Refusal EOPNOTSUPP for another type; EINVAL, EFAULT. */
export function selftestData(data: UserData): { readonly iotlb: number; readonly pageTableType: number } {
  if (data.type !== DATA_TYPE) refuse('EOPNOTSUPP', `the mock IOMMU takes no data of type ${data.type}`);
  const view = new DataView(data.read(DATA_TYPE, DATA_BYTES, DATA_LEAST).buffer);
  return { iotlb: view.getUint32(0, true), pageTableType: view.getUint32(4, true) };
}
