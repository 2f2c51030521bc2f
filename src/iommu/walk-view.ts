/**
 * What a translation passes on its way, step by step, for people who ask why.
 *
 * It comes to what a DMA would come to, and changes nothing: no table is filled in, no entry of a user's page
 * table is marked, nothing is kept or recorded. So it looks mappings up in the index of a page table, which
 * is the truth; what the tree has of them is told beside it.
 */
import { hex } from '../linux/errno.js';
import { type Access, READ, RIGHTS, WRITE } from './access.js';
import { ADDRESS_BITS, type PageTable } from './page-table.js';
import { ACCESS, foundIn, MAPPING_WORDS, MEMORY, NONE, OFFSET_HI } from './table-memory.js';
import type { Tables } from './two-stage-table.js';

/** One thing on the way. `passed` undefined: it is told only, and refuses nothing. */
export interface Step {
  readonly name: string;
  readonly passed: boolean | undefined;
  /** One sentence; of a failed step the reason that a fault has. */
  readonly says: string;
}

/** A mapping that covers an address, and where in its memory that is. */
export interface Covered {
  readonly slot: number;
  readonly start: bigint;
  readonly last: bigint;
  readonly access: Access;
  readonly memory: string;
  readonly byte: bigint;
}

/** Bytes that an entry of level 4 (top) .. 1 (leaf) covers, as a power of two. */
const SHIFTS = [39n, 30n, 21n, 12n] as const;

/** The mapping of `table` that covers `iova`, or undefined. */
export function coveredBy({ tables, memories }: Tables, table: PageTable, iova: bigint): Covered | undefined {
  const slot = iova >= 2n ** BigInt(ADDRESS_BITS) ? NONE : table.find(iova);
  if (slot === NONE) return undefined;
  const start = table.start(slot);
  return {
    slot,
    start,
    last: table.last(slot),
    access: tables.mappings[slot * MAPPING_WORDS + ACCESS]! & RIGHTS,
    memory: memories.get(tables.mappings[slot * MAPPING_WORDS + MEMORY]!).description,
    byte: tables.exact(slot, OFFSET_HI) + (iova - start),
  };
}

/** What the tree of `table` has on the way to `iova`: filled in by DMA, a level a step. */
export function treeSteps({ tables }: Tables, table: PageTable, iova: bigint): Step[] {
  if (iova >= 2n ** BigInt(ADDRESS_BITS)) return [];
  const steps: Step[] = [];
  let at = table.root;
  for (const [depth, shift] of SHIFTS.entries()) {
    const index = Number((iova >> shift) & 511n);
    const entry = tables.tables[at + 2 * index]!;
    const name = `level ${4 - depth}, entry ${index}`;
    const tell = (says: string) => steps.push({ name, passed: undefined, says });
    if (entry === 0) tell('is empty: no DMA has come here since it was mapped');
    else if (entry > 0) tell(`leads to the table at word ${entry}`);
    else tell(`is a page of ${sizeOf(shift)} of the mapping in slot ${foundIn(entry) >> 2}`);
    if (entry <= 0) return steps;
    at = entry;
  }
  return steps;
}

/** What a request for `iova` of the table that is called `name` is asked there. */
export function mappingSteps(
  iommu: Tables,
  table: PageTable,
  iova: bigint,
  access: Access,
  name: string,
): Step[] {
  if (iova >= 2n ** BigInt(ADDRESS_BITS))
    return [failed('IOVA', `iova ${hex(iova)} is wider than ${ADDRESS_BITS} bits`)];
  const found = coveredBy(iommu, table, iova);
  const what = `iova ${hex(iova)} of ${name} is`;
  if (found === undefined) return [failed('mapping', `${what} not mapped`)];
  const { start, last, memory, byte } = found;
  const mapping = passed('mapping', `${hex(start)} to ${hex(last)} is ${memory}`);
  const missing = access & ~found.access;
  if (missing !== 0)
    return [
      mapping,
      failed('right', `${what} mapped without the right to ${access & WRITE ? 'write' : 'read'}`),
    ];
  return [
    mapping,
    passed('right', `the mapping gives the right to ${access & WRITE ? 'write' : 'read'}`),
    passed('byte', `it is byte ${hex(byte)} of ${memory}`),
  ];
}

export function passed(name: string, says: string): Step {
  return { name, passed: true, says };
}

export function failed(name: string, says: string): Step {
  return { name, passed: false, says };
}

function sizeOf(shift: bigint): string {
  return shift === 12n ? '4 KiB' : shift === 21n ? '2 MiB' : '1 GiB';
}

/** Bytes of an entry of a first stage. */
const ENTRY_BYTES = 8;
const entryBytes = new Uint8Array(128);
const entryView = new DataView(entryBytes.buffer);

/**
 * The entry of a first stage that lies at `address` of the second, `parent`; or why it cannot be read there.
 */
export function entryAt(iommu: Tables, parent: PageTable, address: bigint): bigint | string {
  const found = coveredBy(iommu, parent, address);
  const entry = `the entry at ${hex(address)} of the first stage is not in what the second stage`;
  if (found === undefined) return `${entry} has mapped`;
  if ((found.access & READ) === 0) return `${entry} lets be read`;
  const memory = iommu.memories.get(iommu.tables.mappings[found.slot * MAPPING_WORDS + MEMORY]!);
  return memory.read(Number(found.byte), entryBytes, 0, ENTRY_BYTES) === ENTRY_BYTES
    ? entryView.getBigUint64(0, true)
    : `${memory.description} has no entry to read for ${hex(address)} of the second stage`;
}
