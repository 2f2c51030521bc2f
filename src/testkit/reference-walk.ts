/**
 * What is in a ring, said as simply as can be: over memory that stands still, one descriptor at a time,
 * after virtio 1.3 §2.7 and §2.8. The device's own walk is held against this.
 */
import type { QueueSetup } from '../devices/virtio/virtqueue.js';
import type { FlatMemory } from './flat-memory.js';
import type { Part } from './ring-driver.js';

export interface WalkedChain {
  readonly id: number;
  readonly slots: number;
  readonly parts: readonly Part[];
}

/** The buffers that are available, and whether the ring is broken behind the last of them. */
export interface Walk {
  readonly chains: readonly WalkedChain[];
  readonly broken: boolean;
}

/** Ends a walk: a ring cannot be like that. */
class Broken extends Error {}

interface Descriptor extends Part {
  readonly third: number;
  readonly fourth: number;
}

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

function descriptorAt(memory: FlatMemory, iova: number): Descriptor {
  for (let i = 0; i < 16; i++) if (((memory.rights[iova + i] ?? 0) & 1) === 0) throw new Broken();
  const { view } = memory;
  const at = { iova: Number(view.getBigUint64(iova, true)), length: view.getUint32(iova + 8, true) };
  return {
    ...at,
    write: false,
    third: view.getUint16(iova + 12, true),
    fourth: view.getUint16(iova + 14, true),
  };
}

function wordAt(memory: FlatMemory, iova: number): number {
  for (let i = 0; i < 2; i++) if (((memory.rights[iova + i] ?? 0) & 1) === 0) throw new Broken();
  return memory.view.getUint16(iova, true);
}

/** Appends a part, when a buffer can go on like that. */
function append(parts: Part[], { iova, length }: Descriptor, flags: number): void {
  const write = (flags & WRITE) !== 0;
  const { total, writes } = parts.reduce(
    (sum, part) => ({
      total: sum.total + part.length,
      writes: sum.writes || (part.write && part.length > 0),
    }),
    { total: 0, writes: false },
  );
  if (total + length > 2 ** 32 || (writes && !write)) throw new Broken();
  parts.push({ iova, length, write });
}

function tableLength({ length }: Descriptor, size: number): number {
  if (length === 0 || length % 16 !== 0 || length / 16 > Math.max(size, 1024)) throw new Broken();
  return length / 16;
}

function walkSplitChain(memory: FlatMemory, { size, descriptors }: QueueSetup, head: number): Part[] {
  const parts: Part[] = [];
  let table = descriptors;
  let count = size;
  let indirect = false;
  let index = head;
  for (let seen = 0; ; ) {
    if (index >= count || ++seen > count) throw new Broken();
    const found = descriptorAt(memory, table + index * 16);
    const flags = found.third;
    if ((flags & INDIRECT) !== 0) {
      if (indirect || (flags & NEXT) !== 0) throw new Broken();
      indirect = true;
      table = found.iova;
      count = tableLength(found, size);
      // Tables are read whole.
      for (let i = 0; i < count; i++) descriptorAt(memory, table + i * 16);
      index = seen = 0;
      continue;
    }
    append(parts, found, flags);
    if ((flags & NEXT) === 0) return parts;
    index = found.fourth;
  }
}

function walkSplit(memory: FlatMemory, setup: QueueSetup, base: number, chains: WalkedChain[]): void {
  const { size, driver } = setup;
  const ahead = (wordAt(memory, driver + 2) - base) & 0xffff;
  if (ahead > size) throw new Broken();
  for (let n = 0; n < ahead; n++) {
    const id = wordAt(memory, driver + 4 + ((base + n) % size) * 2);
    chains.push({ id, slots: 1, parts: walkSplitChain(memory, setup, id) });
  }
}

function walkPackedChain(memory: FlatMemory, { size, descriptors }: QueueSetup, start: number): WalkedChain {
  const parts: Part[] = [];
  for (let slots = 1; slots <= size; slots++) {
    const found = descriptorAt(memory, descriptors + ((start + slots - 1) % size) * 16);
    const flags = found.fourth;
    if ((flags & INDIRECT) !== 0) {
      if (slots > 1 || (flags & NEXT) !== 0) throw new Broken();
      const count = tableLength(found, size);
      const table = Array.from({ length: count }, (_, i) => descriptorAt(memory, found.iova + i * 16));
      for (const each of table) {
        if ((each.fourth & INDIRECT) !== 0) throw new Broken();
        append(parts, each, each.fourth);
      }
      return { id: found.third, slots, parts };
    }
    append(parts, found, flags);
    if ((flags & NEXT) === 0) return { id: found.third, slots, parts };
  }
  throw new Broken();
}

function walkPacked(memory: FlatMemory, setup: QueueSetup, base: number, chains: WalkedChain[]): void {
  const { size, descriptors } = setup;
  let index = base & 0x7fff;
  let wrap = (base & 0x8000) !== 0;
  for (let out = 0; ; ) {
    const flags = descriptorAt(memory, descriptors + index * 16).fourth;
    if (((flags & 0x80) !== 0) !== wrap || ((flags & 0x8000) !== 0) === wrap) return;
    const chain = walkPackedChain(memory, setup, index);
    out += chain.slots;
    if (out > size) throw new Broken();
    chains.push(chain);
    index += chain.slots;
    if (index < size) continue;
    index -= size;
    wrap = !wrap;
  }
}

/** What a device finds that begins at `base`. */
export function referenceWalk(memory: FlatMemory, setup: QueueSetup, base: number): Walk {
  const chains: WalkedChain[] = [];
  try {
    (setup.packed ? walkPacked : walkSplit)(memory, setup, base, chains);
    return { chains, broken: false };
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    return { chains, broken: true };
  }
}
