/**
 * What a walk of a first stage in the format of VT-d passes, and then its second stage, as walk-view.ts has
 * it: the entries are read as VtdTable reads them, and none is marked.
 */
import { hex } from '../linux/errno.js';
import { type Access, RIGHTS, WRITE } from './access.js';
import type { Tables } from './two-stage-table.js';
import { VTD_ADDRESS_WIDTH, type VtdTable } from './vtd-table.js';
import { coveredBy, entryAt, failed, passed, type Step } from './walk-view.js';

const PRESENT = 1n << 0n;
const WRITABLE = 1n << 1n;
const USER = 1n << 2n;
const DIRTY = 1n << 6n;
const LARGE = 1n << 7n;
const ADDRESS = 0xffff_ffff_f000n;
const RESERVED_HIGH = 0xf_0000_0000_0000n;
/** Bits of an entry that leads to a large page which must be 0, by level. */
const RESERVED = [0n, 0n, 0x001fe000n, 0x3fffe000n, LARGE] as const;
const TOP = 4;

/** What a request for `iova` of `table` is asked, down to the byte. */
export function vtdSteps(iommu: Tables, table: VtdTable, iova: bigint, access: Access): Step[] {
  if (iova >> BigInt(VTD_ADDRESS_WIDTH - 1))
    return [failed('IOVA', `bits ${VTD_ADDRESS_WIDTH - 1} to 63 of the iova are not all zeros`)];
  const steps: Step[] = [];
  let [at, rights] = [BigInt(table.topmost), RIGHTS];
  for (let level = TOP; level > 0; level--) {
    const shift = BigInt(12 + 9 * (level - 1));
    const address = at + 8n * ((iova >> shift) & 511n);
    const name = `the entry at ${hex(address)}, of level ${level} of the first stage,`;
    const entry = entryAt(iommu, table.parent, address);
    const reason = typeof entry === 'string' ? entry : refusal(entry, level, name);
    const label = `first stage, level ${level}`;
    if (typeof entry === 'string' || reason !== undefined) return [...steps, failed(label, reason!)];
    if ((entry & WRITABLE) === 0n) rights &= ~WRITE;
    const leaf = level === 1 || (entry & LARGE) !== 0n;
    if (leaf && (rights & access) !== access)
      return [...steps, failed(label, `the first stage does not give the right to write, as ${name} shows`)];
    const marks = BigInt(table.accessed) | (leaf && access & WRITE ? DIRTY : 0n);
    const unmarked =
      (entry & marks) === marks || writable(iommu, table, address) ? undefined : notMarked(address);
    if (!leaf && unmarked !== undefined) return [...steps, failed(label, unmarked)];
    steps.push(passed(label, `${name} is ${hex(entry)}`));
    at = entry & ADDRESS;
    if (leaf) {
      const size = 1n << shift;
      const second = (at & -size) | (iova & (size - 1n));
      return [...steps, ...secondSteps(iommu, table, second, access, unmarked)];
    }
  }
  return steps;
}

function refusal(entry: bigint, level: number, name: string): string | undefined {
  if ((entry & PRESENT) === 0n) return `${name} is not present`;
  const large = level !== 1 && (entry & LARGE) !== 0n;
  if ((entry & RESERVED_HIGH) !== 0n || (large && (entry & RESERVED[level]!) !== 0n))
    return `${name} has a reserved bit set`;
  return (entry & USER) === 0n ? `${name} is for privileged requests only` : undefined;
}

function writable(iommu: Tables, { parent }: VtdTable, address: bigint): boolean {
  return ((coveredBy(iommu, parent, address)?.access ?? 0) & WRITE) !== 0;
}

function notMarked(address: bigint): string {
  return `the entry at ${hex(address)} of the first stage is not in what the second stage lets be written`;
}

function secondSteps(
  iommu: Tables,
  { parent }: VtdTable,
  address: bigint,
  access: Access,
  unmarked: string | undefined,
): Step[] {
  const found = coveredBy(iommu, parent, address);
  const leads = `the first stage leads to ${hex(address)}, where the second stage`;
  if (found === undefined) return [failed('second stage', `${leads} has nothing mapped`)];
  if ((found.access & access) !== access)
    return [
      failed('second stage', `${leads} does not give the right to ${access & WRITE ? 'write' : 'read'}`),
    ];
  if (unmarked !== undefined) return [failed('second stage', unmarked)];
  const { start, last, memory, byte } = found;
  return [
    passed('second stage', `${leads} has ${hex(start)} to ${hex(last)} mapped`),
    passed('byte', `it is byte ${hex(byte)} of ${memory}`),
  ];
}
