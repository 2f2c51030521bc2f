/**
 * Space: what a PASID stands for. There is one kind for each kind of PASID: what is mapped into it
 * (address-space.ts), a page table that its user owns (nested-space.ts), the memory of a process
 * (process-space.ts).
 *
 * It counts what uses it: devices that are authorized for it, and nested PASIDs that it is the parent of.
 * Invariant: while something does, it is not closed.
 */
import type { Work } from '../file/work.js';
import type { Translation } from '../iommu/nested-table.js';
import type { Pasid } from '../iommu/pasid.js';
import { refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';

/** Mapped by ioctls; nested over another by a page table of its user; the memory of a process. */
export type SpaceKind = 'mapped' | 'nested' | 'process';

export abstract class Space {
  abstract readonly kind: SpaceKind;
  /** Are page faults of devices in it delivered to the readers of the context? */
  deliversFaults = false;
  #users = 0;
  #children = 0;
  readonly #name: string | Pasid;

  /** @param name as reasons name it, or the PASID that it is: a million names would be 32 MB. */
  constructor(name: string | Pasid) {
    this.#name = name;
  }

  /** As reasons name it: `PASID 7`, `the IOAS`. */
  get name(): string {
    return typeof this.#name === 'string' ? this.#name : `PASID ${this.#name}`;
  }

  /** What a device's entry for it leads to. @throws Refusal EINVAL while there is no such thing. */
  abstract readonly table: Translation;

  /** Releases all that it has. Nothing uses it any more. */
  abstract close(): Work<void>;

  /** Devices that are authorized for it. */
  get users(): number {
    return this.#users;
  }

  /** A device is authorized for it from now on. */
  hold(): void {
    this.#users++;
  }

  /** One that was authorized for it is so no more. */
  drop(): void {
    if (this.#users === 0) broken(`${this.name} is dropped by more devices than hold it`);
    this.#users--;
  }

  /** A nested PASID has it as its parent from now on. */
  adopt(): void {
    this.#children++;
  }

  /** A nested PASID that had it as its parent is gone. */
  disown(): void {
    if (this.#children === 0) broken(`${this.name} is left by more nested PASIDs than it has`);
    this.#children--;
  }

  /** @throws Refusal EBUSY while a device is authorized for it. */
  checkNoDevice(): void {
    if (this.#users > 0) refuse('EBUSY', `${this.name} is authorized for ${count(this.#users, 'device')}`);
  }

  /** @throws Refusal EBUSY while something uses it. */
  checkUnused(): void {
    this.checkNoDevice();
    if (this.#children > 0)
      refuse('EBUSY', `${this.name} is the parent of ${count(this.#children, 'nested PASID')}`);
  }

  /** To be asked when everything was released. */
  protected requireUnused(): void {
    if (this.#users > 0) broken(`${this.name} was closed while ${this.#users} devices held it`);
    if (this.#children > 0) broken(`${this.name} was closed before the nested PASIDs over it`);
  }
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
