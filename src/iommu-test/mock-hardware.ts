/**
 * MockHardware: an IOMMU that exists for tests only: pages of half the usual size, a small aperture, no DMA
 * behind it.
 *
 * What it must be like is said by Linux's test interface (drivers/iommu/iommufd/iommufd_test.h), so that
 * Linux's own suite can run here.
 */

import type { Translation } from '../iommu/nested-table.js';
import type { Vpasid } from '../iommu/pasid.js';
import type {
  IommuHardware,
  NestedDomain,
  PagingFormat,
  SecondStage,
  ViommuCore,
  VirtualIommu,
} from '../iommufd/hardware.js';
import type { UserData } from '../iommufd/user-data.js';
import { refuse } from '../linux/errno.js';
import { CachingDevice } from './mock-cache.js';
import { MockNestedDomain, MockNestedTable, selftestData } from './mock-nested.js';
import { MockViommu, VIOMMU_TYPE } from './mock-viommu.js';

/** MOCK_FLAGS_DEVICE_*. */
const DEVICE_NO_DIRTY = 1;
/** Linux 6.12 has it, 7.3 does not. */
const DEVICE_HUGE_IOVA = 2;
const DEVICE_PASID = 4;
const DEVICE_FLAGS = DEVICE_NO_DIRTY | DEVICE_HUGE_IOVA | DEVICE_PASID;

/** IOMMU_HW_INFO_TYPE_SELFTEST and, in its data, IOMMU_HW_INFO_SELFTEST_REGVAL. */
const INFO_TYPE = 0xfeedbeef;
const INFO_REGISTER = 0xdeadbeef;
/** MOCK_PASID_WIDTH. */
const PASID_BITS = 20;
/**
 * IOMMU_TEST_PASID_RESERVED: every second attachment of this PASID fails, so that tests see how a replacement
 * is undone.
 */
const FAILING_PASID = 1024;
/** MOCK_IOMMUPT_DEFAULT, MOCK_IOMMUPT_HUGE. */
const DEFAULT_FORMAT = 0;
const HUGE_FORMAT = 1;
const MIB = 2n ** 20n;
const hugeFormat: PagingFormat = {
  pageSize: 4096n,
  largePageSize: MIB,
  pageSizes: MIB | 4096n,
  aperture: { start: 0n, last: 2n ** 38n - 1n },
};

/** The one IOMMU that all mock devices are behind. */
export const mockIommu: object = Object.freeze({});

export class MockHardware extends CachingDevice implements IommuHardware {
  readonly iommu = mockIommu;
  readonly userPasidTable = true;
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
  readonly viommuTypes = [VIOMMU_TYPE];
  #viommu: ViommuCore | undefined;
  #virtualId = 0n;
  #failsNext = false;
  /**
   * Linux 7.3 asks for it by its type, and expects a page of memory to be one entry; 6.12, which gives no
   * type, an entry for each half.
   */
  readonly #wholePages: PagingFormat;

  /** @throws Refusal EINVAL for flags that are unknown. */
  constructor(flags: number) {
    super();
    if (flags & ~DEVICE_FLAGS)
      refuse('EINVAL', `mock devices have no flags 0x${((flags & ~DEVICE_FLAGS) >>> 0).toString(16)}`);
    this.dirtyTracking = (flags & DEVICE_NO_DIRTY) === 0;
    this.pasidBits = flags & DEVICE_PASID ? PASID_BITS : 0;
    this.largePageSize = flags & DEVICE_HUGE_IOVA ? 512n * this.pageSize : undefined;
    this.#wholePages = {
      pageSize: this.pageSize,
      largePageSize: 4096n,
      pageSizes: this.pageSizes,
      aperture: this.aperture,
    };
  }

  /** The vIOMMU that its requests without PASID go through. */
  get viommu(): ViommuCore | undefined {
    return this.#viommu;
  }

  /** Its number there. */
  get virtualId(): bigint {
    return this.#virtualId;
  }

  formatOf(data: UserData): PagingFormat {
    const { pageTableType } = selftestData(data);
    if (pageTableType === DEFAULT_FORMAT) return this.#wholePages;
    return pageTableType === HUGE_FORMAT
      ? hugeFormat
      : refuse('EOPNOTSUPP', `the mock IOMMU has no page tables of type ${pageTableType}`);
  }

  allocNested(parent: SecondStage, data: UserData): NestedDomain {
    return new MockNestedDomain(parent, data);
  }

  makeViommu(_parent: SecondStage, data: UserData): VirtualIommu {
    return new MockViommu(data);
  }

  enter(pasid: Vpasid, table: Translation): void {
    if (pasid === 0) {
      this.#enterViommu(table instanceof MockNestedTable ? table.viommu : undefined);
      return;
    }
    if (pasid >= 2 ** this.pasidBits) {
      refuse('EINVAL', `the mock device has PASIDs of ${this.pasidBits} bits, and ${pasid} is none of them`);
    }
    if (pasid !== FAILING_PASID) return;
    this.#failsNext = !this.#failsNext;
    if (!this.#failsNext)
      refuse('ENOMEM', `every second attachment of PASID ${pasid} fails, as tests want it`);
  }

  /** Its page requests are made by a test, which does not wait for the answers. */
  respond(): void {}

  leave(pasid: Vpasid): void {
    if (pasid === 0) this.#enterViommu(undefined);
    if (pasid === FAILING_PASID) this.#failsNext = false;
  }

  #enterViommu(viommu: ViommuCore | undefined): void {
    const virtualId = viommu?.virtualIdOf(this);
    if (viommu !== undefined && virtualId === undefined)
      refuse('ENOENT', `the device is none of vIOMMU ${viommu.id}`);
    if (viommu === this.#viommu) return;
    this.#viommu = viommu;
    this.#virtualId = virtualId ?? 0n;
  }
}

/** struct iommu_test_hw_info: flags, test_reg. */
function selftestInfo(): Uint8Array {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setUint32(4, INFO_REGISTER, true);
  return data;
}
