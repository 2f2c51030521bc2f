/** What is given to `/dev/iommu` and got from it (iommufd.ts): addresses, lengths and IOVAs in bytes. */
import type { Bits64 } from '../uapi/struct.js';

/** Both ends belong to it. */
export interface IommufdRange {
  /** Its first byte. */
  readonly start: bigint;
  /** Its last byte. */
  readonly last: bigint;
}

/** What IOVA_RANGES says. */
export interface IovaRanges {
  /** Rising; nothing can be mapped outside. */
  readonly ranges: IommufdRange[];
  /** Bytes: IOVAs, addresses and lengths are multiples. */
  readonly alignment: bigint;
}

/** Where and with which rights to map. Without `iova` one is chosen. */
export interface IommufdMapOptions {
  /** Bytes, aligned as `ranges` says. */
  readonly iova?: Bits64;
  /** Rights of the device, `rw` unless given. */
  readonly access?: 'r' | 'w' | 'rw';
}

/** What HWPT_ALLOC says of a page table that only the device's IOMMU knows. */
export interface HwptDescription {
  /** IOMMU_HWPT_DATA_*. */
  readonly type: number;
  /** The struct that belongs to it. */
  readonly bytes: Uint8Array;
}

/** What GET_HW_INFO says. */
export interface HwInfo {
  /** IOMMU_HW_INFO_TYPE_*. */
  readonly type: number;
  /** What the kernel has to say of that type, as much of it as there was room for. */
  readonly data: Uint8Array;
  /** Bytes that it could say. */
  readonly dataLength: number;
  /** Bits of the device's PASIDs; 0: none. */
  readonly maxPasidLog2: number;
  /** IOMMU_HW_CAP_*. */
  readonly capabilities: bigint;
}
