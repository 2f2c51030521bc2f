/**
 * IovaRules: which IOVAs of an address space may be mapped, whatever is mapped already, and what they must be
 * aligned to.
 *
 * Not those that an owner has reserved (what a device cannot reach). Where the user leaves the choice, IOVAs
 * come from the ranges that he allows, from anywhere else when there are none. Address spaces that are alike
 * share their rules: a million PASIDs have one set of them. Invariant: rules that are shared never change.
 */
import { halves, split } from '../iommu/table-memory.js';
import { broken } from '../linux/invariant.js';
import { holes, type IovaRange, joined, LAST_IOVA } from './iova-ranges.js';

export class IovaRules {
  readonly #shared: boolean;
  // What is kept free, by owner; and all of it in one list, made when it is asked for.
  readonly #reservations = new Map<object, IovaRange[]>();
  #reservedRanges: readonly IovaRange[] | undefined;
  #alignment: bigint;
  // The bits of an aligned IOVA that are 0: of its high half and its low one.
  #maskHi = 0;
  #maskLo = 0;
  #allowed: readonly IovaRange[] = [];

  /** Rules of one address space: nothing is reserved, and any byte is aligned, until they are changed. */
  constructor(shared = false, alignment = 1n) {
    this.#shared = shared;
    this.#alignment = alignment;
    this.#setMasks();
  }

  /** Rules for any number of address spaces: `reserved` is kept free for ever. */
  static shared(alignment: bigint, reserved: readonly IovaRange[]): IovaRules {
    const rules = new IovaRules(true, alignment);
    rules.#reservations.set(rules, [...reserved]);
    return rules;
  }

  /** What IOVAs, lengths and memory must be aligned to, in bytes: a power of two. */
  get alignment(): bigint {
    return this.#alignment;
  }

  align(alignment: bigint): void {
    this.#requireOwn();
    this.#alignment = alignment;
    this.#setMasks();
  }

  /** Is the number with these halves aligned? */
  isAligned(hi: number, lo: number): boolean {
    return (hi & this.#maskHi) === 0 && (lo & this.#maskLo) === 0;
  }

  #setMasks(): void {
    split(this.#alignment - 1n);
    [this.#maskHi, this.#maskLo] = [halves[1]!, halves[0]!];
  }

  /** The ranges that the user allows to be chosen from; none: anywhere. */
  get allowed(): readonly IovaRange[] {
    return this.#allowed;
  }

  /** IOVAs are chosen from `ranges` only from now on, none of which is reserved. */
  allow(ranges: readonly IovaRange[]): void {
    this.#requireOwn();
    this.#allowed = joined(ranges);
  }

  /** All that is reserved, owner by owner. */
  get reserved(): readonly IovaRange[] {
    this.#reservedRanges ??= [...this.#reservations.values()].flat();
    return this.#reservedRanges;
  }

  /** Keeps a range free, until `release` with the same owner. */
  reserve(range: IovaRange, owner: object): void {
    this.#requireOwn();
    const ranges = this.#reservations.get(owner);
    if (ranges === undefined) this.#reservations.set(owner, [range]);
    else ranges.push(range);
    this.#reservedRanges = undefined;
  }

  /** Gives back what `owner` has reserved. */
  release(owner: object): void {
    this.#requireOwn();
    if (this.#reservations.delete(owner)) this.#reservedRanges = undefined;
  }

  /** How many ranges `owner` has reserved. */
  reservedBy(owner: object): number {
    return this.#reservations.get(owner)?.length ?? 0;
  }

  /** The ranges that can be mapped: all that is not reserved. */
  ranges(): IovaRange[] {
    return holes(this.reserved, 0n, LAST_IOVA);
  }

  #requireOwn(): void {
    if (this.#shared) broken('the rules of an address space are changed, and others have them too');
  }
}
