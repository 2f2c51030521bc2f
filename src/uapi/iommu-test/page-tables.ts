/**
 * What the test interface does with page tables: reserve IOVAs, look where a table of a mock device leads to
 * and who holds that memory, write to pages, look into the cache of a nested table.
 */
import { finish, finished } from '../../file/work.js';
import { LAST_IOVA } from '../../ioasid/iova-ranges.js';
import { READ } from '../../iommu/iommu.js';
import { PAGE_SIZE } from '../../iommu/page-table.js';
import { mockIommu } from '../../iommu-test/mock-hardware.js';
import { MockNestedDomain } from '../../iommu-test/mock-nested.js';
import { pinsOf, requireEnd, sameMemory } from '../../iommu-test/user-memory.js';
import type { IommufdContext } from '../../iommufd/context.js';
import { NestedHwpt } from '../../iommufd/nested-hwpt.js';
import { PagingHwpt } from '../../iommufd/paging-hwpt.js';
import { hex, refuse } from '../../linux/errno.js';
import type { Command } from '../iommufd/command.js';
import { setBig } from '../struct.js';
import {
  AddReservedStruct,
  CheckEntryStruct,
  CheckMapStruct,
  CheckRefsStruct,
  DirtyStruct,
  NumberStruct,
} from './layouts.js';

const LARGEST_BITMAP = 128n << 20n;
/** Ranges of an IOAS. */
const MOST_RESERVED = 4096;
/** SET_TEMP_MEMORY_LIMIT: room for one run of pages. */
const LEAST_MEMORY = 12;

export function addReserved(context: IommufdContext, { data }: Command): void {
  const { id, start, length } = AddReservedStruct.decode(data);
  if (length === 0n) refuse('EINVAL', 'the length is zero');
  const last = start + length - 1n;
  if (last > LAST_IOVA) refuse('EOVERFLOW', `iova range ${hex(start)}+${hex(length)} wraps around`);
  const ioas = context.ioas(id);
  const { iovas } = ioas.space;
  if (iovas.reservedBy(ioas) >= MOST_RESERVED)
    refuse('ENOMEM', `${MOST_RESERVED} ranges of IOAS ${id} are reserved already`);
  iovas.reserve({ start, last }, ioas);
}

/** The HWPT `id`, when it is one of a mock device. */
function mockHwpt(context: IommufdContext, id: number): PagingHwpt {
  const hwpt = context.objects.get(id, PagingHwpt);
  if (hwpt.iommu !== mockIommu) refuse('EINVAL', `HWPT ${id} is not one of a mock device`);
  return hwpt;
}

/** Does the page table lead to the very memory that the caller has at `uptr`? */
export function checkMap(context: IommufdContext, { caller, data }: Command): void {
  const { id, iova, length, uptr } = CheckMapStruct.decode(data);
  const hwpt = mockHwpt(context, id);
  if (((iova | length | uptr) & (hwpt.pageSize - 1n)) !== 0n || uptr + length > LAST_IOVA) {
    refuse(
      'EINVAL',
      `${hex(length)} bytes at iova ${hex(iova)} and address ${hex(uptr)} are not whole pages`,
    );
  }
  if (length === 0n) return;
  requireEnd(uptr);
  const mapped = finish(hwpt.ioas.mappedFrom(iova, length));
  let at = uptr;
  for (const piece of mapped === 0n ? [] : hwpt.ioas.space.pieces(iova, mapped)) {
    const memory = context.iommu.memories.get(piece.memory);
    if (!sameMemory(caller, at, { ...piece, memory })) {
      const there = `${memory.description} at ${hex(piece.offset)}`;
      refuse('EINVAL', `HWPT ${hwpt.id} leads to ${there}, which is not address ${hex(at)}`);
    }
    at += piece.length;
  }
  if (mapped === length) return;
  // The caller's page is asked for before the page table is.
  finished(caller.memory(Number(at), 1, READ)).memory.close();
  refuse('EINVAL', `HWPT ${hwpt.id} leads nowhere at iova ${hex(iova + mapped)}`);
}

/** Is each page at `uptr` held by as many mappings as the caller says? */
export function checkRefs(context: IommufdContext, { caller, data }: Command): void {
  const { length, uptr, refs } = CheckRefsStruct.decode(data);
  if (((length | uptr) & BigInt(PAGE_SIZE - 1)) !== 0n || uptr + length > LAST_IOVA) {
    refuse('EINVAL', `${hex(length)} bytes at address ${hex(uptr)} are not whole pages`);
  }
  for (const { address, pins } of pinsOf(context, caller, uptr, length)) {
    if (pins !== refs) refuse('EIO', `the page at ${hex(address)} is held ${pins} times, not ${refs}`);
  }
}

export function setMemoryLimit(_context: IommufdContext, { data }: Command): void {
  const { number } = NumberStruct.decode(data);
  if (number < LEAST_MEMORY) refuse('EINVAL', `${number} bytes are too little memory to map anything`);
}

/** Writes to pages, as far as the log of written pages can tell: each bit of a bitmap is one. */
export function markDirty(context: IommufdContext, { caller, data, respond }: Command): void {
  const { id, iova, length, page_size: size, uptr } = DirtyStruct.decode(data);
  if (uptr === 0n) refuse('EINVAL', 'there is no bitmap');
  if (size === 0n || length === 0n || iova % size !== 0n || length % size !== 0n)
    refuse('EINVAL', `iova range ${hex(iova)}+${hex(length)} is not made of pages of ${hex(size)} bytes`);
  const bits = length / size;
  if (bits > LARGEST_BITMAP) refuse('EOVERFLOW', `a bitmap of ${bits} bits is too large`);
  const hwpt = mockHwpt(context, id);
  if (!hwpt.dirty?.enabled) refuse('EINVAL', `HWPT ${hwpt.id} does not record which pages are written`);
  const bitmap = new Uint8Array(Math.ceil(Number(bits) / 8));
  caller.readMemory(Number(uptr), bitmap);
  let count = 0;
  for (let bit = 0; bit < Number(bits); bit++) {
    if ((bitmap[bit >>> 3]! & (1 << (bit & 7))) === 0) continue;
    hwpt.written(iova + BigInt(bit) * size);
    count++;
  }
  setBig(data, DirtyStruct.at.out_nr_dirty, BigInt(count));
  respond();
}

export function checkIotlb(context: IommufdContext, { data }: Command): void {
  const { id, entry, value } = CheckEntryStruct.decode(data);
  const { domain } = context.objects.get(id, NestedHwpt);
  if (!(domain instanceof MockNestedDomain)) refuse('EINVAL', `HWPT ${id} is not one of a mock device`);
  if (domain.iotlb[entry] !== value)
    refuse('EINVAL', `cached entry ${entry} of HWPT ${id} is not ${hex(value)}`);
}
