/**
 * LockedPages: the memory that one call has mapped, as pages that stay in place for devices, and who has
 * them counted (`--memlock`).
 *
 * Mappings that were copied are of the same pages, which count once: each is pinned by any number of
 * mappings, and counted from the first to the last. Memory that is mapped by two calls counts twice. That is
 * how Linux counts (iommufd's iopt_pages, type1's vfio_dma).
 */
import { broken } from '../linux/invariant.js';
import type { Locker } from '../linux/locked-memory.js';
import { PAGE_SIZE } from './page-table.js';
import { firstBehind } from './sorted.js';

const PAGE = BigInt(PAGE_SIZE);

/** [start, end) in pages, and by how many mappings they are pinned: at least one. */
interface Segment {
  readonly start: number;
  readonly end: number;
  readonly pins: number;
}

export class LockedPages {
  readonly #locker: Locker;
  /** By rising start, without overlap. */
  #segments: Segment[] = [];

  constructor(locker: Locker) {
    this.#locker = locker;
  }

  /** A mapping pins `length` bytes from byte `offset` on. @throws Refusal ENOMEM; nothing has changed. */
  pin(offset: bigint, length: bigint): void {
    this.#change(offset, length, 1);
  }

  /** It has gone. */
  unpin(offset: bigint, length: bigint): void {
    this.#change(offset, length, -1);
  }

  #change(offset: bigint, length: bigint, by: 1 | -1): void {
    const start = Number(offset / PAGE);
    const end = Number((offset + length - 1n) / PAGE) + 1;
    const from = firstBehind(this.#segments, (segment) => segment.end > start);
    let until = from;
    while (until < this.#segments.length && this.#segments[until]!.start < end) until++;
    const changed = pieces(this.#segments.slice(from, until), start, end, by);
    const difference = pagesOf(changed) - pagesOf(this.#segments.slice(from, until));
    if (difference > 0) this.#locker.lock(difference);
    if (difference < 0) this.#locker.unlock(-difference);
    this.#segments.splice(from, until - from, ...changed);
  }
}

/** `segments`, all of which touch [start, end), with one pin more or fewer in it. */
function pieces(segments: readonly Segment[], start: number, end: number, by: 1 | -1): Segment[] {
  const result: Segment[] = [];
  let at = start;
  const add = (from: number, to: number, pins: number) => {
    if (pins < 0) broken(`pages ${from} to ${to} are unpinned, and nobody has pinned them`);
    if (from < to && pins > 0) result.push({ start: from, end: to, pins });
  };
  for (const segment of segments) {
    add(segment.start, Math.min(segment.end, start), segment.pins);
    if (segment.start > at) add(at, segment.start, by);
    add(Math.max(segment.start, start), Math.min(segment.end, end), segment.pins + by);
    add(Math.max(segment.start, end), segment.end, segment.pins);
    at = Math.min(segment.end, end);
  }
  if (at < end) add(at, end, by);
  return result;
}

function pagesOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { start, end }) => sum + end - start, 0);
}
