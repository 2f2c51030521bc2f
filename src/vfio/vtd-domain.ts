/**
 * VtdDomain: a nested page table in the format of Intel VT-d, as its user makes and invalidates it through
 * iommufd; and what the IOMMU says of itself.
 *
 * The structs are those of <linux/iommufd.h>, their checks those of Linux's driver: what a table is like is
 * looked at when a device is attached to it, not before.
 */

import type { Work } from '../file/work.js';
import type { Iommu } from '../iommu/iommu.js';
import { VtdTable } from '../iommu/vtd-table.js';
import type { NestedDomain, SecondStage } from '../iommufd/hardware.js';
import { ENTRIES_PER_SLICE, type Invalidations, type UserData } from '../iommufd/user-data.js';
import { hex, refuse } from '../linux/errno.js';

/** IOMMU_HW_INFO_TYPE_INTEL_VTD, IOMMU_HWPT_DATA_VTD_S1, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1. */
const INFO_TYPE = 1;
const DATA_TYPE = 1;
const INVALIDATE_TYPE = 0;

/** struct iommu_hw_info_vtd: u32 flags, u32 reserved, u64 cap_reg, u64 ecap_reg. */
const INFO_BYTES = 24;
/** struct iommu_hwpt_vtd_s1: u64 flags, u64 pgtbl_addr, u32 addr_width, u32 reserved. */
const DATA_BYTES = 24;
/** enum iommu_hwpt_vtd_s1_flags; the other two are about privileged requests. */
const S1_EAFE = 2n;
/** struct iommu_hwpt_vtd_s1_invalidate: u64 addr, u64 npages, u32 flags, u32 reserved. */
const INVALIDATE_BYTES = 24;
/** IOMMU_VTD_INV_FLAGS_LEAF. */
const LEAF = 1;

/** More invalidations at once than this cost more than it does to forget everything. */
const MANY = 1024;

const PAGE = 4096n;
const ALL_PAGES = 2n ** 64n - 1n;

/**
 * The capability register (VT-d 4.1, 11.4.2): 64 Ki domains (ND 6), tables of 4 levels (SAGAW bit 2),
 * addresses of 48 bits (MGAW 47), large pages of both sizes in the second stage (SLLPS), invalidation by page
 * of up to 2^18 pages (PSI, MAMV), drained reads and writes (DRD, DWD), 1 GiB pages in the first stage
 * (FL1GP). Nothing of the registers that a program cannot see.
 */
const CAPABILITY =
  6n | (1n << 10n) | (47n << 16n) | (3n << 34n) | (1n << 39n) | (18n << 48n) | (3n << 54n) | (1n << 56n);
/**
 * The extended one (11.4.3): coherent walks (C, SMPWC), snoop control (SC), nested translation (NEST),
 * privileged requests (SRS), extended accessed bits (EAFS), accessed and dirty bits of the second stage
 * (SSADS), PASIDs of 20 bits (PASID, PSS 19), scalable mode with both stages (SMTS, SLTS, FLTS). No device
 * TLBs, no page requests.
 */
const EXTENDED_CAPABILITY =
  1n |
  (1n << 7n) |
  (1n << 26n) |
  (1n << 31n) |
  (1n << 34n) |
  (19n << 35n) |
  (1n << 40n) |
  (1n << 43n) |
  (1n << 45n) |
  (1n << 46n) |
  (1n << 47n) |
  (1n << 48n);

/** What IOMMU_GET_HW_INFO answers. */
export const vtdInfo = { type: INFO_TYPE, data: infoData() } as const;

export class VtdDomain implements NestedDomain {
  readonly table: VtdTable;

  /** @throws Refusal EOPNOTSUPP for another format; EINVAL, EFAULT for `data`. */
  constructor(iommu: Iommu, parent: SecondStage, data: UserData) {
    if (data.type !== DATA_TYPE)
      refuse(
        'EOPNOTSUPP',
        `the IOMMU has nested tables in the format of VT-d, and none of type ${data.type}`,
      );
    const view = viewOf(data.read(DATA_TYPE, DATA_BYTES, DATA_BYTES));
    const stage = {
      root: Number(view.getBigUint64(8, true)),
      addressWidth: view.getUint32(16, true),
      extendedAccess: (view.getBigUint64(0, true) & S1_EAFE) !== 0n,
    };
    this.table = new VtdTable(iommu, parent.table, stage, parent.dirty);
  }

  *invalidate(array: Invalidations): Work<void> {
    // An IOMMU may forget more than it is told to.
    if (array.count > MANY) this.table.invalidateAll();
    for (const entry of array.each(INVALIDATE_TYPE, INVALIDATE_BYTES, INVALIDATE_BYTES)) {
      this.#invalidate(viewOf(entry));
      array.handle();
      if (array.handled % ENTRIES_PER_SLICE === 0) yield;
    }
  }

  #invalidate(entry: DataView): void {
    const address = entry.getBigUint64(0, true);
    const pages = entry.getBigUint64(8, true);
    const flags = entry.getUint32(16, true);
    if (flags & ~LEAF)
      refuse('EOPNOTSUPP', `the invalidation has flags ${hex((flags & ~LEAF) >>> 0)}, which are unknown`);
    if (entry.getUint32(20, true) !== 0)
      refuse('EOPNOTSUPP', 'the invalidation has a __reserved that is not zero');
    if (address % PAGE !== 0n)
      refuse('EINVAL', `the invalidated address ${hex(address)} is not aligned to a page`);
    if (pages === ALL_PAGES && address !== 0n)
      refuse('EINVAL', `all pages are invalidated from address 0 on, not from ${hex(address)}`);
    this.table.invalidate(Number(address), Number(address + pages * PAGE - 1n), (flags & LEAF) !== 0);
  }
}

function infoData(): Uint8Array {
  const view = new DataView(new ArrayBuffer(INFO_BYTES));
  view.setBigUint64(8, CAPABILITY, true);
  view.setBigUint64(16, EXTENDED_CAPABILITY, true);
  return new Uint8Array(view.buffer);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
