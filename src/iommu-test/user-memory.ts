/**
 * What tests want to know about the caller's memory: whether a mapping leads to it, and how often it is held
 * in place.
 *
 * The same bytes can be named in two ways, by an address of a process or by an offset in a file that it has
 * mapped. So both sides are first turned into places: a file or else the memory itself, and the bytes of
 * that.
 */
import type { Caller } from '../file/open-file.js';
import { finished } from '../file/work.js';
import { LAST_IOVA } from '../ioasid/iova-ranges.js';
import type { Memory } from '../iommu/memory.js';
import { PAGE_SIZE } from '../iommu/page-table.js';
import type { IommufdContext } from '../iommufd/context.js';
import { Ioas } from '../iommufd/ioas.js';
import { hex, refuse } from '../linux/errno.js';

const PAGE = BigInt(PAGE_SIZE);

/** `length` bytes at byte `offset` of `memory`. */
interface Part {
  readonly memory: Memory;
  readonly offset: bigint;
  readonly length: bigint;
}

/** `length` bytes at byte `offset` of a file or of a Memory. */
interface Place {
  readonly of: Memory | string;
  readonly offset: number;
  length: number;
}

/** @throws Refusal EOVERFLOW for an address in the last page of all, whose end is no address. */
export function requireEnd(address: bigint): void {
  if ((address | (PAGE - 1n)) === LAST_IOVA)
    refuse('EOVERFLOW', `the page at address ${hex(address)} has no end`);
}

/**
 * Is [address, address+length) of the caller this very memory? Memory that is not there counts only where all
 * before it is the same.
 * @throws Refusal EFAULT when the caller has nothing there.
 */
export function sameMemory(caller: Caller, address: bigint, part: Part): boolean {
  try {
    return sameThroughout(caller, address, part);
  } catch (error) {
    if (part.length <= PAGE) throw error;
    const half = ((part.length / 2n + PAGE - 1n) / PAGE) * PAGE;
    const rest = { ...part, offset: part.offset + half, length: part.length - half };
    return sameMemory(caller, address, { ...part, length: half }) && sameMemory(caller, address + half, rest);
  }
}

function sameThroughout(caller: Caller, address: bigint, part: Part): boolean {
  const theirs = callersPlaces(caller, address, part.length);
  const mapped = places(part);
  return (
    theirs.length === mapped.length &&
    theirs.every(
      ({ of, offset, length }, n) =>
        of === mapped[n]!.of && offset === mapped[n]!.offset && length === mapped[n]!.length,
    )
  );
}

/** For each page of [address, address+length): how many mappings of the context hold it in place. */
export function* pinsOf(
  context: IommufdContext,
  caller: Caller,
  address: bigint,
  length: bigint,
): Generator<{ address: bigint; pins: number }> {
  if (length === 0n) return;
  const held = heldPlaces(context);
  let at = address;
  for (const { of, offset, length: bytes } of callersPlaces(caller, address, length)) {
    for (let page = offset; page < offset + bytes; page += PAGE_SIZE, at += BigInt(PAGE_SIZE)) {
      const holds = (place: Place) =>
        place.of === of && place.offset < page + PAGE_SIZE && page < place.offset + place.length;
      yield { address: at, pins: held.filter(holds).length };
    }
  }
}

function callersPlaces(caller: Caller, address: bigint, length: bigint): Place[] {
  const { memory, offset } = finished(caller.memory(Number(address), Number(length), 1));
  const found = places({ memory, offset: BigInt(offset), length });
  memory.close();
  return found;
}

/** What is mapped and held. */
function heldPlaces(context: IommufdContext): Place[] {
  const held: Place[] = [];
  for (const ioas of context.objects.values()) {
    if (!(ioas instanceof Ioas)) continue;
    for (const { iova, length, offset } of ioas.space.mappings(Number.POSITIVE_INFINITY)) {
      if (!ioas.holds(iova, length)) continue;
      const memory = context.iommu.memories.get([...ioas.space.pieces(iova, length)][0]!.memory);
      held.push(...places({ memory, offset, length }));
    }
  }
  return held;
}

function places({ memory, offset, length }: Part): Place[] {
  const found: Place[] = [];
  const end = Number(offset + length);
  for (let at = Number(offset); at < end; ) {
    const backing = finished(memory.backing?.(at) ?? { file: undefined, offset: at, length: end - at });
    const bytes = Math.min(backing.length, end - at);
    append(found, { of: backing.file ?? memory, offset: backing.offset, length: bytes });
    at += bytes;
  }
  return found;
}

/** Areas that follow each other in the same file are one place. */
function append(found: Place[], place: Place): void {
  const last = found.at(-1);
  if (last?.of === place.of && last.offset + last.length === place.offset) last.length += place.length;
  else found.push(place);
}
