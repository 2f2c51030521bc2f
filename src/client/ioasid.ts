/**
 * Ioasid: an open `/dev/ioasid`, typed. Addresses, lengths and IOVAs are numbers of bytes. Every method
 * throws Refusal with the errno that include/ioasid.h documents for its ioctl and the reason in one sentence.
 */
import { contextIoctls, MAP_FIXED_IOVA, MAP_READ, MAP_WRITE, UNMAP_ALL } from '../uapi/ioasid.js';
import { callNative } from './call.js';
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
    const info = callNative(this, contextIoctls.IOASID_GET_INFO, {});
    return {
      pasidBits: info.pasid_bits,
      addressBits: info.address_bits,
      pageSizes: Number(info.page_sizes),
      kinds: info.kinds,
      pasidQuota: info.pasid_quota,
      pasids: info.pasids,
      mappingQuota: info.mapping_quota,
      mappings: info.mappings,
    };
  }

  /** Allocates a PASID of `kind` (0: mapped). */
  alloc(kind = 0, parent = 0): number {
    return callNative(this, contextIoctls.IOASID_ALLOC, { kind, parent }).pasid;
  }

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

  close(): void {
    this.transport.close(this.fd);
  }
}

function mapFlags({ iova, access = 'rw' }: MapOptions): number {
  const rights = (access.includes('r') ? MAP_READ : 0) | (access.includes('w') ? MAP_WRITE : 0);
  return rights | (iova === undefined ? 0 : MAP_FIXED_IOVA);
}
