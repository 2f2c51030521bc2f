/**
 * Ioasid: an open `/dev/ioasid`, typed. Addresses, lengths and IOVAs are numbers of bytes. Every method
 * throws Refusal with the errno that include/ioasid.h documents for its ioctl and the reason in one sentence.
 */
import {
  AllocStruct,
  CopyStruct,
  FreeStruct,
  InfoStruct,
  ioctlNumber,
  MAP_FIXED_IOVA,
  MAP_READ,
  MAP_WRITE,
  MapFileStruct,
  MapStruct,
  type nativeIoctls,
  UNMAP_ALL,
  UnmapStruct,
} from '../uapi/ioasid.js';
import { getU32, getU64, type Struct, setU32, setU64 } from '../uapi/struct.js';
import type { Transport } from './transport.js';

/** What GET_INFO says. */
export interface IoasidInfo {
  readonly pasidBits: number;
  readonly addressBits: number;
  /** Bit n: pages of 2^n bytes. */
  readonly pageSizes: number;
  /** Bit k: PASIDs of kind k can be allocated. */
  readonly kinds: number;
  readonly pasidQuota: number;
  readonly pasids: number;
  readonly mappingQuota: number;
  readonly mappings: number;
}

/** Where and with which rights to map. Without `iova` one is chosen. */
export interface MapOptions {
  readonly iova?: number;
  /** Rights of the device, `rw` unless given. */
  readonly access?: 'r' | 'w' | 'rw';
}

export class Ioasid {
  readonly transport: Transport;
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

  info(): IoasidInfo {
    const data = prepared(InfoStruct);
    this.#ioctl('IOASID_GET_INFO', data);
    const { at } = InfoStruct;
    return {
      pasidBits: getU32(data, at.pasid_bits),
      addressBits: getU32(data, at.address_bits),
      pageSizes: getU64(data, at.page_sizes),
      kinds: getU32(data, at.kinds),
      pasidQuota: getU32(data, at.pasid_quota),
      pasids: getU32(data, at.pasids),
      mappingQuota: getU32(data, at.mapping_quota),
      mappings: getU32(data, at.mappings),
    };
  }

  /** Allocates a PASID of `kind` (0: mapped). */
  alloc(kind = 0, parent = 0): number {
    const data = prepared(AllocStruct);
    setU32(data, AllocStruct.at.kind, kind);
    setU32(data, AllocStruct.at.parent, parent);
    this.#ioctl('IOASID_ALLOC', data);
    return getU32(data, AllocStruct.at.pasid);
  }

  free(pasid: number): void {
    const data = prepared(FreeStruct);
    setU32(data, FreeStruct.at.pasid, pasid);
    this.#ioctl('IOASID_FREE', data);
  }

  /** Maps memory of this process. @returns the IOVA. */
  map(pasid: number, address: number, length: number, options: MapOptions = {}): number {
    const { at } = MapStruct;
    const data = prepared(MapStruct, mapFlags(options));
    setU32(data, at.pasid, pasid);
    setU64(data, at.user_va, address);
    setU64(data, at.length, length);
    setU64(data, at.iova, options.iova ?? 0);
    this.#ioctl('IOASID_MAP', data);
    return getU64(data, at.iova);
  }

  /** Maps [offset, offset+length) of the file behind `fd`. @returns the IOVA. */
  mapFile(pasid: number, fd: number, offset: number, length: number, options: MapOptions = {}): number {
    const { at } = MapFileStruct;
    const data = prepared(MapFileStruct, mapFlags(options));
    setU32(data, at.pasid, pasid);
    setU32(data, at.fd, fd);
    setU64(data, at.offset, offset);
    setU64(data, at.length, length);
    setU64(data, at.iova, options.iova ?? 0);
    this.#ioctl('IOASID_MAP_FILE', data);
    return getU64(data, at.iova);
  }

  /** @returns the bytes unmapped. */
  unmap(pasid: number, iova: number, length: number): number {
    return this.#unmap(pasid, iova, length, 0);
  }

  /** Unmaps everything of the PASID. @returns the bytes unmapped. */
  unmapAll(pasid: number): number {
    return this.#unmap(pasid, 0, 0, UNMAP_ALL);
  }

  /** Maps in `pasid` what `sourcePasid` of this same context has at `sourceIova`. @returns the IOVA. */
  copy(
    pasid: number,
    sourcePasid: number,
    sourceIova: number,
    length: number,
    options: MapOptions = {},
  ): number {
    const { at } = CopyStruct;
    const data = prepared(CopyStruct, mapFlags(options));
    setU32(data, at.dst_pasid, pasid);
    setU32(data, at.src_pasid, sourcePasid);
    setU64(data, at.length, length);
    setU64(data, at.dst_iova, options.iova ?? 0);
    setU64(data, at.src_iova, sourceIova);
    this.#ioctl('IOASID_COPY', data);
    return getU64(data, at.dst_iova);
  }

  close(): void {
    this.transport.close(this.fd);
  }

  #unmap(pasid: number, iova: number, length: number, flags: number): number {
    const { at } = UnmapStruct;
    const data = prepared(UnmapStruct, flags);
    setU32(data, at.pasid, pasid);
    setU64(data, at.iova, iova);
    setU64(data, at.length, length);
    this.#ioctl('IOASID_UNMAP', data);
    return getU64(data, at.length);
  }

  #ioctl(name: keyof typeof nativeIoctls, data: Uint8Array): void {
    this.transport.ioctl(this.fd, ioctlNumber(name), data);
  }
}

/** A zeroed struct with its size and flags filled in. */
export function prepared(struct: Struct, flags = 0): Uint8Array {
  const data = new Uint8Array(struct.size);
  setU32(data, 0, struct.size);
  setU32(data, 4, flags);
  return data;
}

function mapFlags({ iova, access = 'rw' }: MapOptions): number {
  const rights = (access.includes('r') ? MAP_READ : 0) | (access.includes('w') ? MAP_WRITE : 0);
  return rights | (iova === undefined ? 0 : MAP_FIXED_IOVA);
}
