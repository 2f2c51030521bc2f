/**
 * A first stage in the format of VT-d over a second, and a requester behind both: what tests of them begin
 * with.
 */
import { type Access, READ, WRITE } from '../iommu/access.js';
import { Iommu } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { pasidOf } from '../iommu/pasid.js';
import { NONE, OFFSET_HI, START_HI } from '../iommu/table-memory.js';
import { VTD_ADDRESS_WIDTH, VtdTable } from '../iommu/vtd-table.js';

export const PAGE = 4096;
export const PAGES = 32;
/** Where the second stage has the user's memory. */
export const BASE = 2 ** 30;
export const [P, RW, US, A, D, PS, EA] = [1n, 2n, 4n, 32n, 64n, 128n, 1024n];
export const SPAN = [0, PAGE, 2 ** 21, 2 ** 30, 2 ** 39];
export const PASID = pasidOf(7);

const userMemory = () => new BufferMemory(new Uint8Array(PAGES * PAGE), 'ram');

/**
 * A requester with a nested table, whose second stage has each page of the user's memory mapped alone, in its
 * order.
 */
export function setup({ extendedAccess = false, root = BASE, ram = userMemory() } = {}) {
  const iommu = new Iommu();
  const requester = iommu.requester('0000:6a:01.0');
  const parent = iommu.pageTable();
  const entries = new BigUint64Array(ram.bytes.buffer);
  const mapSecond = (page: number, to: number, access: Access, pages = 1) =>
    parent.map(
      BigInt(BASE + page * PAGE),
      BigInt(pages * PAGE),
      iommu.memories.acquire(ram),
      BigInt(to * PAGE),
      access,
    );
  for (let page = 0; page < PAGES; page++) mapSecond(page, page, READ | WRITE);
  const table = new VtdTable(iommu, parent, { root, addressWidth: VTD_ADDRESS_WIDTH, extendedAccess });
  requester.grant(PASID, table);
  /** Where an access to `iova` ends up in `ram`, or NONE. */
  const at = (iova: number, access: Access) => {
    const slot = requester.translate(PASID, Math.floor(iova / 2 ** 32), iova >>> 0, access);
    return slot < 0 ? NONE : iommu.tables.wide(slot, OFFSET_HI) + iova - iommu.tables.wide(slot, START_HI);
  };
  const unmapSecond = (page: number) => {
    const slot = parent.find(BigInt(BASE + page * PAGE));
    if (slot !== NONE) iommu.memories.release(parent.unmap(slot));
  };
  /** Stores an entry of the table in page `page`. */
  const set = (page: number, index: number, value: bigint) => {
    entries[page * 512 + index] = value;
  };
  /** Tables in pages 0 to 3, down to the one for IOVAs from 0 on. */
  const chain = () => {
    for (let page = 0; page < 3; page++) set(page, 0, address(page + 1) | P | RW | US);
  };
  return { iommu, requester, parent, table, ram, entries, mapSecond, unmapSecond, set, chain, at };
}

export function address(page: number): bigint {
  return BigInt(BASE + page * PAGE);
}
