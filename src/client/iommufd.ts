/**
 * Iommufd: an open `/dev/iommu`, typed: ours or the kernel's. Every method throws Refusal with the errno of
 * its ioctl (<linux/iommufd.h>) and, from our own files, the reason in one sentence.
 *
 * Objects are known by their ids. Addresses, lengths and IOVAs are bytes; they have 64 bits, so they are
 * given as number or bigint and returned as bigint.
 */
import { Errno, Refusal } from '../linux/errno.js';
import {
  DIRTY_BITMAP_NO_CLEAR,
  IoasMapFlags,
  IovaRangeStruct,
  IovaRangesStruct,
  iommufdIoctls as ioctls,
  iommufdNumber,
  OPTION_GET,
  OPTION_SET,
  VFIO_IOAS_CLEAR,
  VFIO_IOAS_GET,
  VFIO_IOAS_SET,
} from '../uapi/iommufd.js';
import { type Bits64, sized } from '../uapi/struct.js';
import { callIommufd } from './call.js';
import type {
  HwInfo,
  HwptDescription,
  IommufdMapOptions,
  IommufdRange,
  IovaRanges,
} from './iommufd-types.js';
import type { Transport } from './transport.js';

/** Room for what GET_HW_INFO says. */
const HW_INFO_BYTES = 4096;
const NOTHING: Uint8Array = new Uint8Array(0);

/** An open `/dev/iommu`: a context of IOASes, page tables (HWPT) and bound devices, by their ids. */
export class Iommufd {
  /** The process that has it open. */
  readonly transport: Transport;
  /** The descriptor. */
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
    return callIommufd(this, ioctls.IOMMU_IOAS_ALLOC, {}).out_ioas_id;
  }

  /** Destroys an object. @throws Refusal ENOENT there is none; EBUSY another needs it */
  destroy(id: number): void {
    callIommufd(this, ioctls.IOMMU_DESTROY, { id });
  }

  /** Maps memory of this process. @returns the IOVA. */
  map(ioas: number, address: Bits64, length: Bits64, options: IommufdMapOptions = {}): bigint {
    return callIommufd(this, ioctls.IOMMU_IOAS_MAP, {
      flags: mapFlags(options),
      ioas_id: ioas,
      user_va: address,
      length,
      iova: options.iova ?? 0,
    }).iova;
  }

  /** Maps [start, start+length) of the memfd behind `fd`. @returns the IOVA. */
  mapFile(ioas: number, fd: number, start: Bits64, length: Bits64, options: IommufdMapOptions = {}): bigint {
    return callIommufd(this, ioctls.IOMMU_IOAS_MAP_FILE, {
      flags: mapFlags(options),
      ioas_id: ioas,
      fd,
      start,
      length,
      iova: options.iova ?? 0,
    }).iova;
  }

  /** Maps in `ioas` what `source` of this same context has at `sourceIova`. @returns the IOVA. */
  copy(
    ioas: number,
    source: number,
    sourceIova: Bits64,
    length: Bits64,
    options: IommufdMapOptions = {},
  ): bigint {
    return callIommufd(this, ioctls.IOMMU_IOAS_COPY, {
      flags: mapFlags(options),
      dst_ioas_id: ioas,
      src_ioas_id: source,
      length,
      dst_iova: options.iova ?? 0,
      src_iova: sourceIova,
    }).dst_iova;
  }

  /** @returns the bytes unmapped. */
  unmap(ioas: number, iova: Bits64, length: Bits64): bigint {
    return callIommufd(this, ioctls.IOMMU_IOAS_UNMAP, { ioas_id: ioas, iova, length }).length;
  }

  /** Unmaps everything of the IOAS. @returns the bytes unmapped. */
  unmapAll(ioas: number): bigint {
    return this.unmap(ioas, 0, 0xffff_ffff_ffff_ffffn);
  }

  /** What can be mapped, and what IOVAs must be aligned to. */
  ranges(ioas: number): IovaRanges {
    for (let room = 16; ; ) {
      const array = this.transport.allocate(room * IovaRangeStruct.size);
      try {
        const data = sized(IovaRangesStruct, {
          ioas_id: ioas,
          num_iovas: room,
          allowed_iovas: array.address,
        });
        const fits = this.#hadRoom(data);
        const { num_iovas, out_iova_alignment } = IovaRangesStruct.decode(data);
        if (fits) return { ranges: decodeRanges(array.bytes, num_iovas), alignment: out_iova_alignment };
        room = num_iovas;
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
    const bytes = new Uint8Array(ranges.length * IovaRangeStruct.size);
    for (const [n, range] of ranges.entries())
      bytes.set(IovaRangeStruct.encode(range), n * IovaRangeStruct.size);
    this.#with(bytes, (allowed_iovas) =>
      callIommufd(this, ioctls.IOMMU_IOAS_ALLOW_IOVAS, {
        ioas_id: ioas,
        num_iovas: ranges.length,
        allowed_iovas,
      }),
    );
  }

  /** The value of option IOMMU_OPTION_* `id`. @param object the IOAS, or 0 for an option of the context */
  option(id: number, object = 0): bigint {
    return this.#option(id, OPTION_GET, object, 0);
  }

  /** Sets option `id`, as above. @throws Refusal EOPNOTSUPP there is none; EPERM, EINVAL */
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
    const { type, bytes } = description ?? { type: 0, bytes: NOTHING };
    const alloc = (data_uptr: number) =>
      callIommufd(this, ioctls.IOMMU_HWPT_ALLOC, {
        flags,
        dev_id: device,
        pt_id: parent,
        data_type: type,
        data_len: bytes.length,
        data_uptr,
        fault_id: faultQueue,
      });
    return this.#with(bytes, alloc).out_hwpt_id;
  }

  /**
   * Which pages are written through HWPT `hwpt` is recorded from now on, beginning with none; or no longer.
   */
  setDirtyTracking(hwpt: number, on: boolean): void {
    callIommufd(this, ioctls.IOMMU_HWPT_SET_DIRTY_TRACKING, { flags: on ? 1 : 0, hwpt_id: hwpt });
  }

  /**
   * The pages of [iova, iova+length) that were written through HWPT `hwpt`, by their first IOVAs; they are
   * clean from now on, unless `keep`. The range and `pageSize` are multiples of the page that the bitmap is
   * to have a bit for.
   */
  dirtyPages(hwpt: number, iova: Bits64, length: Bits64, { pageSize = 4096, keep = false } = {}): bigint[] {
    const bits = Number(BigInt(length) / BigInt(pageSize));
    const bitmap = new Uint8Array(Math.ceil(bits / 64) * 8);
    this.#with(bitmap, (data) =>
      callIommufd(this, ioctls.IOMMU_HWPT_GET_DIRTY_BITMAP, {
        hwpt_id: hwpt,
        flags: keep ? DIRTY_BITMAP_NO_CLEAR : 0,
        iova,
        length,
        page_size: pageSize,
        data,
      }),
    );
    return setBits(bitmap, bits).map((bit) => BigInt(iova) + BigInt(bit) * BigInt(pageSize));
  }

  /**
   * Invalidates what is cached of the nested page table or vIOMMU `hwpt`: `entries` of `length` bytes each,
   * of type IOMMU_HWPT_INVALIDATE_DATA_* or IOMMU_VIOMMU_INVALIDATE_DATA_*.
   */
  hwptInvalidate(hwpt: number, type: number, length: number, entries: Uint8Array): void {
    this.#with(entries, (data_uptr) =>
      callIommufd(this, ioctls.IOMMU_HWPT_INVALIDATE, {
        hwpt_id: hwpt,
        data_uptr,
        data_type: type,
        entry_len: length,
        entry_num: entries.length / length,
      }),
    );
  }

  /**
   * Makes a vIOMMU of IOMMU_VIOMMU_TYPE_* `type`, a part of the IOMMU in front of `device`, over the paging
   * HWPT `parent`. @returns its id.
   * @param bytes the struct of that type, if there is one; what the IOMMU answers in it is there afterwards
   */
  viommuAlloc(device: number, parent: number, type: number, bytes = NOTHING): number {
    const alloc = (data_uptr: number) =>
      callIommufd(this, ioctls.IOMMU_VIOMMU_ALLOC, {
        type,
        dev_id: device,
        hwpt_id: parent,
        data_len: bytes.length,
        data_uptr,
      });
    return this.#with(bytes, alloc).out_viommu_id;
  }

  /**
   * Makes `device` known in `viommu` by the number that its virtual machine has for it. @returns the
   * vDEVICE's id.
   */
  vdeviceAlloc(viommu: number, device: number, virtualId: Bits64): number {
    return callIommufd(this, ioctls.IOMMU_VDEVICE_ALLOC, {
      viommu_id: viommu,
      dev_id: device,
      virt_id: virtualId,
    }).out_vdevice_id;
  }

  /**
   * Has the hardware work on queue `index` of `viommu`, of IOMMU_HW_QUEUE_TYPE_* `type`, which lies at [iova,
   * iova+length) of the machine's memory. @returns its id.
   */
  hwQueueAlloc(viommu: number, type: number, index: number, iova: Bits64, length: Bits64): number {
    return callIommufd(this, ioctls.IOMMU_HW_QUEUE_ALLOC, {
      viommu_id: viommu,
      type,
      index,
      nesting_parent_iova: iova,
      length,
    }).out_hw_queue_id;
  }

  /** What the IOMMU in front of `device` is like. */
  hwInfo(device: number): HwInfo {
    const room = new Uint8Array(HW_INFO_BYTES);
    const info = this.#with(room, (data_uptr) =>
      callIommufd(this, ioctls.IOMMU_GET_HW_INFO, { dev_id: device, data_len: room.length, data_uptr }),
    );
    return {
      type: info.data_type,
      data: room.subarray(0, info.data_len),
      dataLength: info.data_len,
      maxPasidLog2: info.out_max_pasid_log2,
      capabilities: info.out_capabilities,
    };
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
    callIommufd(this, ioctls.IOMMU_IOAS_CHANGE_PROCESS, {});
  }

  /** Closes the descriptor; with the last one, and the bound devices, the context goes. */
  close(): void {
    this.transport.close(this.fd);
  }

  /** Asks for IOVA_RANGES. @returns false for EMSGSIZE: then the answer says how much room it takes. */
  #hadRoom(question: Uint8Array): boolean {
    try {
      this.transport.ioctl(this.fd, iommufdNumber('IOMMU_IOAS_IOVA_RANGES'), question);
      return true;
    } catch (error) {
      if (error instanceof Refusal && error.errno === Errno.EMSGSIZE) return false;
      throw error;
    }
  }

  #option(option_id: number, op: number, object_id: number, val64: Bits64): bigint {
    return callIommufd(this, ioctls.IOMMU_OPTION, { option_id, op, object_id, val64 }).val64;
  }

  #vfioIoas(op: number, ioas: number): number {
    return callIommufd(this, ioctls.IOMMU_VFIO_IOAS, { ioas_id: ioas, op }).ioas_id;
  }

  /**
   * Calls `use` with the address of a copy of `bytes`, or 0 when there are none; what is there then is in
   * `bytes` afterwards.
   */
  #with<R>(bytes: Uint8Array, use: (address: number) => R): R {
    if (bytes.length === 0) return use(0);
    const block = this.transport.allocate(bytes.length);
    try {
      block.bytes.set(bytes);
      const result = use(block.address);
      bytes.set(block.bytes.subarray(0, bytes.length));
      return result;
    } finally {
      block.free();
    }
  }
}

function mapFlags({ iova, access = 'rw' }: IommufdMapOptions): number {
  const { READABLE, WRITEABLE, FIXED_IOVA } = IoasMapFlags;
  const rights = (access.includes('r') ? READABLE : 0) | (access.includes('w') ? WRITEABLE : 0);
  return rights | (iova === undefined ? 0 : FIXED_IOVA);
}

function decodeRanges(bytes: Uint8Array, count: number): IommufdRange[] {
  return Array.from({ length: count }, (_, n) => IovaRangeStruct.decode(bytes, n * IovaRangeStruct.size));
}

/** Which of the first `bits` bits are set. */
function setBits(bytes: Uint8Array, bits: number): number[] {
  const isSet = (bit: number) => (bytes[bit >>> 3]! & (1 << (bit & 7))) !== 0;
  return Array.from({ length: bits }, (_, bit) => bit).filter(isSet);
}
