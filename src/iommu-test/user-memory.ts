/**
 * What tests want to know about the caller's memory: whether a mapping leads to it, and how often it is held in place.
 */
import type { Caller } from '../ioasid/caller.js';
import type { Memory } from '../iommu/memory.js';
import { PAGE_SIZE } from '../iommu/page-table.js';
import type { IommufdContext } from '../iommufd/context.js';
import { Ioas } from '../iommufd/ioas.js';

const PAGE = BigInt(PAGE_SIZE);

/** `length` bytes at byte `offset` of `memory`. */
interface Part {
  readonly memory: Memory;
  readonly offset: bigint;
  readonly length: bigint;
}

/**
 * Is [address, address+length) of the caller this very memory? Memory that is not there counts only where all before it is the same.
 * @throws Refusal EFAULT when the caller has nothing there.
 */
export function sameMemory(caller: Caller, address: bigint, part: Part): boolean {
  try {
    return sameThroughout(caller, address, part);
  } catch (error) {
    const half = ((part.length / 2n + PAGE - 1n) / PAGE) * PAGE;
    if (half >= part.length) throw error;
    const rest = { ...part, offset: part.offset + half, length: part.length - half };
    return sameMemory(caller, address, { ...part, length: half }) && sameMemory(caller, address + half, rest);
  }
}

function sameThroughout(caller: Caller, address: bigint, { memory, offset, length }: Part): boolean {
  const range = caller.memory(Number(address), Number(length), 1);
  range.memory.close();
  if (range.memory === memory) return BigInt(range.offset) === offset;
  return range.memory.sameAs?.(range.offset, memory, Number(offset), Number(length)) ?? false;
}

/** For each page of [address, address+length): how many mappings of the context hold it in place. */
export function* pinsOf(
  context: IommufdContext,
  caller: Caller,
  address: bigint,
  length: bigint,
): Generator<{ address: bigint; pins: number }> {
  if (length === 0n) return;
  const range = caller.memory(Number(address), Number(length), 1);
  range.memory.close();
  const held = heldParts(context, range.memory);
  const start = BigInt(range.offset);
  for (let at = start; at < start + length; at += PAGE) {
    const pins = held.filter((part) => part.offset < at + PAGE && at < part.offset + part.length).length;
    yield { address: address + (at - start), pins };
  }
}

/** The parts of `memory` that are mapped and held. */
function heldParts(context: IommufdContext, memory: Memory): { offset: bigint; length: bigint }[] {
  const parts: { offset: bigint; length: bigint }[] = [];
  for (const ioas of context.objects.values()) {
    if (!(ioas instanceof Ioas)) continue;
    for (const { iova, length, offset } of ioas.space.mappings(Number.POSITIVE_INFINITY)) {
      const [piece] = ioas.space.pieces(iova, length);
      if (context.iommu.memories.get(piece!.memory) === memory && ioas.holds(iova, length)) parts.push({ offset, length });
    }
  }
  return parts;
}
