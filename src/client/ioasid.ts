/**
 * Ioasid: an open `/dev/ioasid`, typed. Addresses, lengths and IOVAs are numbers of bytes. Every method
 * throws Refusal with the errno that include/ioasid.h documents for its ioctl and the reason in one sentence.
 */
import { FORMAT_VTD_S1 } from '../ioasid/nested-space.js';
import {
  ALLOC_FAULTS,
  BIND_EXTENDED_ACCESSED,
  contextIoctls,
  INVALIDATE_ALL,
  INVALIDATE_LEAF,
  INVALIDATE_PASID,
  INVALIDATE_RANGE,
  MAP_FIXED_IOVA,
  MAP_READ,
  MAP_WRITE,
  UNMAP_ALL,
} from '../uapi/ioasid.js';
import { FAULT_LAST_PAGE, PageFaultStruct, PageResponseStruct } from '../uapi/ioasid-faults.js';
import type { Bits64, Decoded } from '../uapi/struct.js';
import { callNative } from './call.js';
import type { Transport } from './transport.js';

/** What GET_INFO says. */
export interface IoasidInfo {
  /** Bits of a PASID. */
  readonly pasidBits: number;
  /** Bits of an IOVA. */
  readonly addressBits: number;
  /** Bit n: pages of 2^n bytes. */
  readonly pageSizes: number;
  /** Bit k: PASIDs of kind k can be allocated. */
  readonly kinds: number;
  /** Bit n: page tables of format n can be bound to nested PASIDs. */
  readonly tableFormats: number;
  /** Page faults that can be delivered: 1 reads, 2 writes. */
  readonly faults: number;
  /** PASIDs that this context may have. */
  readonly pasidQuota: number;
  /** PASIDs that it has. */
  readonly pasids: number;
  /** Mappings that this context may have. */
  readonly mappingQuota: number;
  /** Mappings that it has. */
  readonly mappings: number;
}

/** Where and with which rights to map. Without `iova` one is chosen. */
export interface MapOptions {
  /** Bytes, a multiple of 4096. */
  readonly iova?: number;
  /** Rights of the device, `rw` unless given. */
  readonly access?: 'r' | 'w' | 'rw';
}

/** A page table that this process owns, in the format of VT-d's first stage unless given. */
export interface PageTableOptions {
  /** Where its topmost table is: an IOVA of the parent. */
  readonly root: Bits64;
  /** IOASID_FORMAT_* of include/ioasid.h. */
  readonly format?: number;
  /** Bits; 48 unless given. */
  readonly addressWidth?: number;
  /** Entries are also marked in their bit 10. */
  readonly extendedAccessed?: boolean;
}

/** One page that a device waits for. */
export interface IoasidFault {
  /** Of the context. */
  readonly pasid: number;
  /** The page request group of the device. */
  readonly group: number;
  /** Ends its group, which is answered as a whole. */
  readonly last: boolean;
  /** 1 read, 2 write. */
  readonly access: number;
  /** The page, by its first byte. */
  readonly iova: bigint;
  /** What the device was authorized with. */
  readonly deviceCookie: number;
  /** What the group is answered by. */
  readonly cookie: number;
}

const POLLIN = 1;

/** An open `/dev/ioasid`: a context of PASIDs, whose descriptor is the authority over them. */
export class Ioasid {
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
  static open(transport: Transport): Ioasid {
    return new Ioasid(transport, transport.open('ioasid'));
  }

  /** What the system and this context have and may have. */
  info(): IoasidInfo {
    const info = callNative(this, contextIoctls.IOASID_GET_INFO, {});
    return {
      pasidBits: info.pasid_bits,
      addressBits: info.address_bits,
      pageSizes: Number(info.page_sizes),
      kinds: info.kinds,
      tableFormats: info.table_formats,
      faults: info.faults,
      pasidQuota: info.pasid_quota,
      pasids: info.pasids,
      mappingQuota: info.mapping_quota,
      mappings: info.mappings,
    };
  }

  /**
   * Allocates a PASID of `kind` (0: mapped; 1: nested, over PASID `parent`; 2: the memory of this process).
   * `faults`: devices that ask for a page in it wait for `respond`.
   */
  alloc(kind = 0, parent = 0, { faults = false } = {}): number {
    const flags = faults ? ALLOC_FAULTS : 0;
    return callNative(this, contextIoctls.IOASID_ALLOC, { flags, kind, parent }).pasid;
  }

  /**
   * Gives `pasid` back, with its mappings. @throws Refusal EBUSY a device is authorized for it, or another
   * PASID is nested over it.
   */
  free(pasid: number): void {
    callNative(this, contextIoctls.IOASID_FREE, { pasid });
  }

  /** Maps memory of this process. @returns the IOVA. */
  map(pasid: number, address: number, length: number, options: MapOptions = {}): number {
    const { iova } = callNative(this, contextIoctls.IOASID_MAP, {
      flags: mapFlags(options),
      pasid,
      user_va: address,
      length,
      iova: options.iova ?? 0,
    });
    return Number(iova);
  }

  /** Maps [offset, offset+length) of the file behind `fd`. @returns the IOVA. */
  mapFile(pasid: number, fd: number, offset: number, length: number, options: MapOptions = {}): number {
    const { iova } = callNative(this, contextIoctls.IOASID_MAP_FILE, {
      flags: mapFlags(options),
      pasid,
      fd,
      offset,
      length,
      iova: options.iova ?? 0,
    });
    return Number(iova);
  }

  /** @returns the bytes unmapped. */
  unmap(pasid: number, iova: number, length: number): number {
    return Number(callNative(this, contextIoctls.IOASID_UNMAP, { pasid, iova, length }).length);
  }

  /** Unmaps everything of the PASID. @returns the bytes unmapped. */
  unmapAll(pasid: number): number {
    return Number(callNative(this, contextIoctls.IOASID_UNMAP, { flags: UNMAP_ALL, pasid }).length);
  }

  /** Maps in `pasid` what `sourcePasid` of this same context has at `sourceIova`. @returns the IOVA. */
  copy(
    pasid: number,
    sourcePasid: number,
    sourceIova: number,
    length: number,
    options: MapOptions = {},
  ): number {
    const { dst_iova } = callNative(this, contextIoctls.IOASID_COPY, {
      flags: mapFlags(options),
      dst_pasid: pasid,
      src_pasid: sourcePasid,
      length,
      dst_iova: options.iova ?? 0,
      src_iova: sourceIova,
    });
    return Number(dst_iova);
  }

  /** Makes a page table of this process what nested PASID `pasid` stands for. */
  bindPageTable(pasid: number, table: PageTableOptions): void {
    callNative(this, contextIoctls.IOASID_BIND_PGTABLE, {
      flags: table.extendedAccessed === true ? BIND_EXTENDED_ACCESSED : 0,
      pasid,
      format: table.format ?? FORMAT_VTD_S1,
      root: table.root,
      address_width: table.addressWidth ?? 48,
    });
  }

  /**
   * Entries for [iova, iova+length) of a nested PASID have changed; `leaf`: only such as lead to pages.
   */
  invalidate(pasid: number, iova: Bits64, length: Bits64, { leaf = false } = {}): void {
    const flags = leaf ? INVALIDATE_LEAF : 0;
    callNative(this, contextIoctls.IOASID_INVALIDATE, {
      flags,
      pasid,
      scope: INVALIDATE_RANGE,
      iova,
      length,
    });
  }

  /** Any entries of a nested PASID have changed. */
  invalidatePasid(pasid: number): void {
    callNative(this, contextIoctls.IOASID_INVALIDATE, { pasid, scope: INVALIDATE_PASID });
  }

  /** Any entries of any nested PASID of this context have changed. */
  invalidateAll(): void {
    callNative(this, contextIoctls.IOASID_INVALIDATE, { scope: INVALIDATE_ALL });
  }

  /** Waits for a page fault, at most `timeoutMs` (-1: for ever). @returns whether there is one to read. */
  waitForFault(timeoutMs: number): boolean {
    return (this.transport.poll(this.fd, POLLIN, timeoutMs) & POLLIN) !== 0;
  }

  /**
   * The page faults that there are, up to `most`. @throws Refusal EAGAIN there is none; EINVAL the next group
   * has more than `most`.
   */
  readFaults(most = 64): IoasidFault[] {
    const { size } = PageFaultStruct;
    const bytes = new Uint8Array(most * size);
    const length = this.transport.read(this.fd, bytes);
    return Array.from({ length: length / size }, (_, n) => toFault(PageFaultStruct.decode(bytes, n * size)));
  }

  /**
   * Answers groups by their cookies, each with PAGE_RESPONSE_*. @returns how many: those before the first bad
   * one. @throws Refusal EINVAL that is the first of all.
   */
  respond(...answers: readonly { readonly cookie: number; readonly code: number }[]): number {
    const { size } = PageResponseStruct;
    const bytes = new Uint8Array(answers.length * size);
    for (const [n, answer] of answers.entries()) bytes.set(PageResponseStruct.encode(answer), n * size);
    return this.transport.write(this.fd, bytes) / size;
  }

  /** Closes the descriptor; the last one of the context releases all that it has. */
  close(): void {
    this.transport.close(this.fd);
  }
}

function toFault(fault: Decoded<typeof PageFaultStruct.types>): IoasidFault {
  const { pasid, group, access, iova, cookie } = fault;
  const last = (fault.flags & FAULT_LAST_PAGE) !== 0;
  return { pasid, group, last, access, iova, deviceCookie: fault.device_cookie, cookie };
}

function mapFlags({ iova, access = 'rw' }: MapOptions): number {
  const rights = (access.includes('r') ? MAP_READ : 0) | (access.includes('w') ? MAP_WRITE : 0);
  return rights | (iova === undefined ? 0 : MAP_FIXED_IOVA);
}
