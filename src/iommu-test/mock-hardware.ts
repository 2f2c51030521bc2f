/**
 * MockHardware: an IOMMU that exists for tests only: pages of half the usual size, a small aperture, no DMA behind it.
 *
 * What it must be like is said by Linux's test interface (drivers/iommu/iommufd/iommufd_test.h), so that Linux's own suite can run here.
 */

import type { IommuHardware } from '../iommufd/hardware.js';
import { refuse } from '../linux/errno.js';

/** MOCK_FLAGS_DEVICE_*. */
export const DEVICE_NO_DIRTY = 1;
/** Linux 6.12 has it, 7.3 does not. */
export const DEVICE_HUGE_IOVA = 2;
export const DEVICE_PASID = 4;
const DEVICE_FLAGS = DEVICE_NO_DIRTY | DEVICE_HUGE_IOVA | DEVICE_PASID;

/** IOMMU_HW_INFO_TYPE_SELFTEST and, in its data, IOMMU_HW_INFO_SELFTEST_REGVAL. */
const INFO_TYPE = 0xfeedbeef;
const INFO_REGISTER = 0xdeadbeef;
/** MOCK_PASID_WIDTH. */
const PASID_BITS = 20;
/** IOMMU_TEST_PASID_RESERVED: every second attachment of this PASID fails, so that tests see how a replacement is undone. */
const FAILING_PASID = 1024;
const CACHE_ENTRIES = 4;
/** IOMMU_TEST_DEV_CACHE_DEFAULT. */
const CACHE_DEFAULT = 0xbaddad;

export class MockHardware implements IommuHardware {
  readonly pageSize = 2048n;
  /** Every power of two from there up to 64 GiB. */
  readonly pageSizes = 2n ** 37n - this.pageSize;
  /** MOCK_HUGE_PAGE_SIZE for a device of large pages. */
  readonly largePageSize: bigint | undefined;
  readonly aperture = { start: 0x100_0000n, last: 0x7fff_ffffn };
  readonly reserved = [];
  readonly pasidBits: number;
  readonly dirtyTracking: boolean;
  readonly flags = true;
  readonly info = { type: INFO_TYPE, data: selftestInfo() };
  /** What a vIOMMU's user can invalidate. */
  readonly cache = new Uint32Array(CACHE_ENTRIES).fill(CACHE_DEFAULT);
  #failsNext = false;

  /** @throws Refusal EINVAL for flags that are unknown. */
  constructor(flags: number) {
    if (flags & ~DEVICE_FLAGS) refuse('EINVAL', `mock devices have no flags 0x${((flags & ~DEVICE_FLAGS) >>> 0).toString(16)}`);
    this.dirtyTracking = (flags & DEVICE_NO_DIRTY) === 0;
    this.pasidBits = flags & DEVICE_PASID ? PASID_BITS : 0;
    this.largePageSize = flags & DEVICE_HUGE_IOVA ? 512n * this.pageSize : undefined;
  }

  enter(pasid: number): void {
    if (pasid !== 0 && pasid >= 2 ** this.pasidBits) {
      refuse('EINVAL', `the mock device has PASIDs of ${this.pasidBits} bits, and ${pasid} is none of them`);
    }
    if (pasid !== FAILING_PASID) return;
    this.#failsNext = !this.#failsNext;
    if (!this.#failsNext) refuse('ENOMEM', `every second attachment of PASID ${pasid} fails, as tests want it`);
  }

  /** Its page requests are made by a test, which does not wait for the answers. */
  respond(): void {}

  leave(pasid: number): void {
    if (pasid === FAILING_PASID) this.#failsNext = false;
  }
}

/** struct iommu_test_hw_info: flags, test_reg. */
function selftestInfo(): Uint8Array {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setUint32(4, INFO_REGISTER, true);
  return data;
}
