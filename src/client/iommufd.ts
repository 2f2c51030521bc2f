/**
 * Iommufd: an open `/dev/iommu`, typed: ours or the kernel's. Every method throws Refusal with the errno of
 * its ioctl (<linux/iommufd.h>) and, from our own files, the reason in one sentence.
 *
 * Objects are known by their ids. Addresses, lengths and IOVAs are bytes; they have 64 bits, so they are
 * given as number or bigint and returned as bigint.
 */
import { Errno, Refusal } from '../linux/errno.js';
import {
  AllowIovasStruct,
  ChangeProcessStruct,
  DestroyStruct,
  DIRTY_BITMAP_NO_CLEAR,
  GetDirtyBitmapStruct,
  HwInfoStruct,
  HwptAllocStruct,
  HwptInvalidateStruct,
  HwQueueAllocStruct,
  IoasAllocStruct,
  IoasCopyStruct,
  IoasMapFileStruct,
  IoasMapFlags,
  IoasMapStruct,
  IoasUnmapStruct,
  IovaRangeStruct,
  IovaRangesStruct,
  iommufdNumber,
  OPTION_GET,
  OPTION_SET,
  OptionStruct,
  SetDirtyTrackingStruct,
  VdeviceAllocStruct,
  VFIO_IOAS_CLEAR,
  VFIO_IOAS_GET,
  VFIO_IOAS_SET,
  VfioIoasStruct,
  ViommuAllocStruct,
} from '../uapi/iommufd.js';
import { getBig, getU32, type Struct, setBig, setU16, setU32 } from '../uapi/struct.js';
import type { Transport } from './transport.js';

/** A 64-bit quantity, as it is given. */
export type Bits64 = number | bigint;

/** Both ends belong to it. */
export interface IommufdRange {
  readonly start: bigint;
  readonly last: bigint;
}

/** Where and with which rights to map. Without `iova` one is chosen. */
export interface IommufdMapOptions {
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

export class Iommufd {
  readonly transport: Transport;
  readonly fd: number;

  /** Takes over descriptor `fd`, as one that was received from elsewhere. */
  constructor(transport: Transport, fd: number) {
    this.transport = transport;
    this.fd = fd;
  }

  /** Opens a new, empty context. */
  static open(transport: Transport): Iommufd {
    return new Iommufd(transport, transport.open('iommu'));
  }

  /** @returns the id of a new IOAS. */
  ioasAlloc(): number {
    const data = sized(IoasAllocStruct);
    this.#ioctl('IOMMU_IOAS_ALLOC', data);
    return getU32(data, IoasAllocStruct.at.out_ioas_id);
  }

  destroy(id: number): void {
    const data = sized(DestroyStruct);
    setU32(data, DestroyStruct.at.id, id);
    this.#ioctl('IOMMU_DESTROY', data);
  }

  /** Maps memory of this process. @returns the IOVA. */
  map(ioas: number, address: Bits64, length: Bits64, options: IommufdMapOptions = {}): bigint {
    const { at } = IoasMapStruct;
    const data = sized(IoasMapStruct);
    setU32(data, at.flags, mapFlags(options));
    setU32(data, at.ioas_id, ioas);
    setBig(data, at.user_va, BigInt(address));
    setBig(data, at.length, BigInt(length));
    setBig(data, at.iova, BigInt(options.iova ?? 0));
    this.#ioctl('IOMMU_IOAS_MAP', data);
    return getBig(data, at.iova);
  }

  /** Maps [start, start+length) of the memfd behind `fd`. @returns the IOVA. */
  mapFile(ioas: number, fd: number, start: Bits64, length: Bits64, options: IommufdMapOptions = {}): bigint {
    const { at } = IoasMapFileStruct;
    const data = sized(IoasMapFileStruct);
    setU32(data, at.flags, mapFlags(options));
    setU32(data, at.ioas_id, ioas);
    setU32(data, at.fd, fd);
    setBig(data, at.start, BigInt(start));
    setBig(data, at.length, BigInt(length));
    setBig(data, at.iova, BigInt(options.iova ?? 0));
    this.#ioctl('IOMMU_IOAS_MAP_FILE', data);
    return getBig(data, at.iova);
  }

  /** Maps in `ioas` what `source` of this same context has at `sourceIova`. @returns the IOVA. */
  copy(
    ioas: number,
    source: number,
    sourceIova: Bits64,
    length: Bits64,
    options: IommufdMapOptions = {},
  ): bigint {
    const { at } = IoasCopyStruct;
    const data = sized(IoasCopyStruct);
    setU32(data, at.flags, mapFlags(options));
    setU32(data, at.dst_ioas_id, ioas);
    setU32(data, at.src_ioas_id, source);
    setBig(data, at.length, BigInt(length));
    setBig(data, at.dst_iova, BigInt(options.iova ?? 0));
    setBig(data, at.src_iova, BigInt(sourceIova));
    this.#ioctl('IOMMU_IOAS_COPY', data);
    return getBig(data, at.dst_iova);
  }

  /** @returns the bytes unmapped. */
  unmap(ioas: number, iova: Bits64, length: Bits64): bigint {
    const { at } = IoasUnmapStruct;
    const data = sized(IoasUnmapStruct);
    setU32(data, at.ioas_id, ioas);
    setBig(data, at.iova, BigInt(iova));
    setBig(data, at.length, BigInt(length));
    this.#ioctl('IOMMU_IOAS_UNMAP', data);
    return getBig(data, at.length);
  }

  /** Unmaps everything of the IOAS. @returns the bytes unmapped. */
  unmapAll(ioas: number): bigint {
    return this.unmap(ioas, 0, 0xffff_ffff_ffff_ffffn);
  }

  /** What can be mapped, and what IOVAs must be aligned to. */
  ranges(ioas: number): { readonly ranges: IommufdRange[]; readonly alignment: bigint } {
    const { at } = IovaRangesStruct;
    for (let room = 16; ; ) {
      const array = this.transport.allocate(room * IovaRangeStruct.size);
      try {
        const data = sized(IovaRangesStruct);
        setU32(data, at.ioas_id, ioas);
        setU32(data, at.num_iovas, room);
        setBig(data, at.allowed_iovas, BigInt(array.address));
        const fits = this.#answered('IOMMU_IOAS_IOVA_RANGES', data);
        const count = getU32(data, at.num_iovas);
        if (fits)
          return { ranges: decodeRanges(array.bytes, count), alignment: getBig(data, at.out_iova_alignment) };
        room = count;
      } finally {
        array.free();
      }
    }
  }

  /**
   * IOVAs are chosen from `ranges` only from now on, and no device may come that reserves a part of them;
   * none: anywhere again.
   */
  allow(ioas: number, ranges: readonly { readonly start: Bits64; readonly last: Bits64 }[]): void {
    const { at } = AllowIovasStruct;
    const array = this.transport.allocate(Math.max(ranges.length, 1) * IovaRangeStruct.size);
    try {
      for (const [n, { start, last }] of ranges.entries()) {
        setBig(array.bytes, n * IovaRangeStruct.size + IovaRangeStruct.at.start, BigInt(start));
        setBig(array.bytes, n * IovaRangeStruct.size + IovaRangeStruct.at.last, BigInt(last));
      }
      const data = sized(AllowIovasStruct);
      setU32(data, at.ioas_id, ioas);
      setU32(data, at.num_iovas, ranges.length);
      setBig(data, at.allowed_iovas, BigInt(array.address));
      this.#ioctl('IOMMU_IOAS_ALLOW_IOVAS', data);
    } finally {
      array.free();
    }
  }

  /** @param object the IOAS, or 0 for an option of the context. */
  option(id: number, object = 0): bigint {
    return this.#option(id, OPTION_GET, object, 0);
  }

  setOption(id: number, object: number, value: Bits64): void {
    this.#option(id, OPTION_SET, object, value);
  }

  /**
   * Allocates a page table for `device` (what `VfioDeviceFile.bind` returns) on IOAS, HWPT or vIOMMU
   * `parent`. @returns its id.
   * @param description what only the device's IOMMU knows: IOMMU_HWPT_DATA_* and the struct that belongs to
   * it
   * @param faultQueue the fault queue that page faults go to, with IOMMU_HWPT_FAULT_ID_VALID
   */
  hwptAlloc(
    device: number,
    parent: number,
    flags = 0,
    description?: HwptDescription,
    faultQueue = 0,
  ): number {
    const { at } = HwptAllocStruct;
    const data = sized(HwptAllocStruct);
    setU32(data, at.flags, flags);
    setU32(data, at.dev_id, device);
    setU32(data, at.pt_id, parent);
    setU32(data, at.fault_id, faultQueue);
    if (description === undefined) {
      this.#ioctl('IOMMU_HWPT_ALLOC', data);
      return getU32(data, at.out_hwpt_id);
    }
    setU32(data, at.data_type, description.type);
    setU32(data, at.data_len, description.bytes.length);
    this.#with(description.bytes, (address) => {
      setBig(data, at.data_uptr, BigInt(address));
      this.#ioctl('IOMMU_HWPT_ALLOC', data);
    });
    return getU32(data, at.out_hwpt_id);
  }

  /**
   * Which pages are written through HWPT `hwpt` is recorded from now on, beginning with none; or no longer.
   */
  setDirtyTracking(hwpt: number, on: boolean): void {
    const { at } = SetDirtyTrackingStruct;
    const data = sized(SetDirtyTrackingStruct);
    setU32(data, at.flags, on ? 1 : 0);
    setU32(data, at.hwpt_id, hwpt);
    this.#ioctl('IOMMU_HWPT_SET_DIRTY_TRACKING', data);
  }

  /**
   * The pages of [iova, iova+length) that were written through HWPT `hwpt`, by their first IOVAs; they are
   * clean from now on, unless `keep`. The range and `pageSize` are multiples of the page that the bitmap is
   * to have a bit for.
   */
  dirtyPages(hwpt: number, iova: Bits64, length: Bits64, { pageSize = 4096, keep = false } = {}): bigint[] {
    const { at } = GetDirtyBitmapStruct;
    const bits = Number(BigInt(length) / BigInt(pageSize));
    const bitmap = this.transport.allocate(Math.ceil(bits / 64) * 8);
    try {
      const data = sized(GetDirtyBitmapStruct);
      setU32(data, at.hwpt_id, hwpt);
      setU32(data, at.flags, keep ? DIRTY_BITMAP_NO_CLEAR : 0);
      setBig(data, at.iova, BigInt(iova));
      setBig(data, at.length, BigInt(length));
      setBig(data, at.page_size, BigInt(pageSize));
      setBig(data, at.data, BigInt(bitmap.address));
      this.#ioctl('IOMMU_HWPT_GET_DIRTY_BITMAP', data);
      const isSet = (bit: number) => (bitmap.bytes[bit >>> 3]! & (1 << (bit & 7))) !== 0;
      return Array.from({ length: bits }, (_, bit) => bit)
        .filter(isSet)
        .map((bit) => BigInt(iova) + BigInt(bit) * BigInt(pageSize));
    } finally {
      bitmap.free();
    }
  }

  /**
   * Invalidates what is cached of the nested page table or vIOMMU `hwpt`: `entries` of `length` bytes each,
   * of type IOMMU_HWPT_INVALIDATE_DATA_* or IOMMU_VIOMMU_INVALIDATE_DATA_*.
   */
  hwptInvalidate(hwpt: number, type: number, length: number, entries: Uint8Array): void {
    const { at } = HwptInvalidateStruct;
    const data = sized(HwptInvalidateStruct);
    setU32(data, at.hwpt_id, hwpt);
    setU32(data, at.data_type, type);
    setU32(data, at.entry_len, length);
    setU32(data, at.entry_num, entries.length / length);
    this.#with(entries, (address) => {
      setBig(data, at.data_uptr, BigInt(address));
      this.#ioctl('IOMMU_HWPT_INVALIDATE', data);
    });
  }

  /**
   * Makes a vIOMMU of IOMMU_VIOMMU_TYPE_* `type`, a part of the IOMMU in front of `device`, over the paging
   * HWPT `parent`. @returns its id.
   * @param bytes the struct of that type, if there is one; what the IOMMU answers in it is there afterwards
   */
  viommuAlloc(device: number, parent: number, type: number, bytes?: Uint8Array): number {
    const { at } = ViommuAllocStruct;
    const data = sized(ViommuAllocStruct);
    setU32(data, at.type, type);
    setU32(data, at.dev_id, device);
    setU32(data, at.hwpt_id, parent);
    if (bytes === undefined) {
      this.#ioctl('IOMMU_VIOMMU_ALLOC', data);
      return getU32(data, at.out_viommu_id);
    }
    setU32(data, at.data_len, bytes.length);
    this.#with(bytes, (address) => {
      setBig(data, at.data_uptr, BigInt(address));
      this.#ioctl('IOMMU_VIOMMU_ALLOC', data);
    });
    return getU32(data, at.out_viommu_id);
  }

  /**
   * Makes `device` known in `viommu` by the number that its virtual machine has for it. @returns the
   * vDEVICE's id.
   */
  vdeviceAlloc(viommu: number, device: number, virtualId: Bits64): number {
    const { at } = VdeviceAllocStruct;
    const data = sized(VdeviceAllocStruct);
    setU32(data, at.viommu_id, viommu);
    setU32(data, at.dev_id, device);
    setBig(data, at.virt_id, BigInt(virtualId));
    this.#ioctl('IOMMU_VDEVICE_ALLOC', data);
    return getU32(data, at.out_vdevice_id);
  }

  /**
   * Has the hardware work on queue `index` of `viommu`, of IOMMU_HW_QUEUE_TYPE_* `type`, which lies at [iova,
   * iova+length) of the machine's memory. @returns its id.
   */
  hwQueueAlloc(viommu: number, type: number, index: number, iova: Bits64, length: Bits64): number {
    const { at } = HwQueueAllocStruct;
    const data = sized(HwQueueAllocStruct);
    setU32(data, at.viommu_id, viommu);
    setU32(data, at.type, type);
    setU32(data, at.index, index);
    setBig(data, at.nesting_parent_iova, BigInt(iova));
    setBig(data, at.length, BigInt(length));
    this.#ioctl('IOMMU_HW_QUEUE_ALLOC', data);
    return getU32(data, at.out_hw_queue_id);
  }

  /** What the IOMMU in front of `device` is like. */
  hwInfo(device: number): HwInfo {
    const { at } = HwInfoStruct;
    const room = this.transport.allocate(4096);
    try {
      const data = sized(HwInfoStruct);
      setU32(data, at.dev_id, device);
      setU32(data, at.data_len, room.bytes.length);
      setBig(data, at.data_uptr, BigInt(room.address));
      this.#ioctl('IOMMU_GET_HW_INFO', data);
      const dataLength = getU32(data, at.data_len);
      return {
        type: getU32(data, at.data_type),
        data: room.bytes.slice(0, dataLength),
        dataLength,
        maxPasidLog2: data[at.out_max_pasid_log2]!,
        capabilities: getBig(data, at.out_capabilities),
      };
    } finally {
      room.free();
    }
  }

  /** The IOAS that the VFIO container ioctls mean. @throws Refusal ENODEV when there is none. */
  vfioIoas(): number {
    return this.#vfioIoas(VFIO_IOAS_GET, 0);
  }

  /** `undefined`: none any more. */
  setVfioIoas(ioas: number | undefined): void {
    this.#vfioIoas(ioas === undefined ? VFIO_IOAS_CLEAR : VFIO_IOAS_SET, ioas ?? 0);
  }

  /** What is mapped from files is counted for the calling process from now on. */
  changeProcess(): void {
    this.#ioctl('IOMMU_IOAS_CHANGE_PROCESS', sized(ChangeProcessStruct));
  }

  close(): void {
    this.transport.close(this.fd);
  }

  #option(id: number, op: number, object: number, value: Bits64): bigint {
    const { at } = OptionStruct;
    const data = sized(OptionStruct);
    setU32(data, at.option_id, id);
    setU16(data, at.op, op);
    setU32(data, at.object_id, object);
    setBig(data, at.val64, BigInt(value));
    this.#ioctl('IOMMU_OPTION', data);
    return getBig(data, at.val64);
  }

  #vfioIoas(op: number, ioas: number): number {
    const { at } = VfioIoasStruct;
    const data = sized(VfioIoasStruct);
    setU32(data, at.ioas_id, ioas);
    setU16(data, at.op, op);
    this.#ioctl('IOMMU_VFIO_IOAS', data);
    return getU32(data, at.ioas_id);
  }

  /** Calls `use` with the address of a copy of `bytes`; what is there then is in `bytes` afterwards. */
  #with(bytes: Uint8Array, use: (address: number) => void): void {
    const block = this.transport.allocate(bytes.length);
    try {
      block.bytes.set(bytes);
      use(block.address);
      bytes.set(block.bytes.subarray(0, bytes.length));
    } finally {
      block.free();
    }
  }

  /** @returns false for EMSGSIZE: then the answer says how much room it takes. */
  #answered(name: IoctlName, data: Uint8Array): boolean {
    try {
      this.#ioctl(name, data);
      return true;
    } catch (error) {
      if (error instanceof Refusal && error.errno === Errno.EMSGSIZE) return false;
      throw error;
    }
  }

  #ioctl(name: IoctlName, data: Uint8Array): void {
    this.transport.ioctl(this.fd, iommufdNumber(name), data);
  }
}

type IoctlName = Parameters<typeof iommufdNumber>[0];

/** A zeroed struct whose first field says how long it is. */
function sized(struct: Struct): Uint8Array {
  const data = new Uint8Array(struct.size);
  setU32(data, 0, struct.size);
  return data;
}

function mapFlags({ iova, access = 'rw' }: IommufdMapOptions): number {
  const { READABLE, WRITEABLE, FIXED_IOVA } = IoasMapFlags;
  const rights = (access.includes('r') ? READABLE : 0) | (access.includes('w') ? WRITEABLE : 0);
  return rights | (iova === undefined ? 0 : FIXED_IOVA);
}

function decodeRanges(bytes: Uint8Array, count: number): IommufdRange[] {
  const { at, size } = IovaRangeStruct;
  return Array.from({ length: count }, (_, n) => ({
    start: getBig(bytes, n * size + at.start),
    last: getBig(bytes, n * size + at.last),
  }));
}
