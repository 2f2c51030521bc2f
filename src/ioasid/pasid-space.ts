/**
 * The PASID space: which of the 20-bit numbers are in use.
 *
 * There is one for the whole system, because a PASID is a number in hardware tables that all contexts share:
 * unique across contexts, never 0. A freed number goes to the end of a queue, so that it comes back as late
 * as possible and a stale use of it is noticed. Who owns a number is not kept here; that is the affair of
 * contexts, and of mediated devices for what they have attached under iommufd.
 */
import { PASID_BITS, type Pasid, pasidOf } from '../iommu/pasid.js';
import { forHeap, Pool } from '../linux/account.js';
import { refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';

/** The highest PASID, which is also how many there are: 2^20 - 1. */
export const LAST_PASID = 2 ** PASID_BITS - 1;

/** PASIDs that one context may have, unless the machine says otherwise. */
export const DEFAULT_PASID_QUOTA = 65_536;

/** Those of all contexts, of which each opener has a share. */
export const allPasids = new Pool('PASIDs', 'ENOSPC', () => forHeap(LAST_PASID), { bytes: 1024 });

export class PasidSpace {
  /** PASIDs that one context, or one device with a list of its own, may have. */
  readonly quota: number;
  #next = 1;
  // A ring of freed numbers, made when the first is freed.
  #freed: Int32Array | undefined;
  #head = 0;
  #waiting = 0;
  // A bit for each number in use.
  readonly #taken = new Int32Array(2 ** PASID_BITS / 32);

  constructor(quota = DEFAULT_PASID_QUOTA) {
    this.quota = quota;
  }

  /** Numbers in use. */
  get used(): number {
    return this.#next - 1 - this.#waiting;
  }

  /** @throws Refusal ENOSPC when all 2^20 - 1 are in use, or the next that is free has more than `bits`. */
  alloc(bits = PASID_BITS): Pasid {
    const fresh = this.#next <= LAST_PASID;
    if (!fresh && this.#waiting === 0) refuse('ENOSPC', `all ${LAST_PASID} PASIDs are in use`);
    const pasid = fresh ? this.#next : this.#freed![this.#head]!;
    if (pasid >= 2 ** bits)
      refuse('ENOSPC', `PASID ${pasid}, the next that is free, is wider than ${bits} bits`);
    if (fresh) this.#next++;
    else {
      this.#head = (this.#head + 1) % LAST_PASID;
      this.#waiting--;
    }
    this.#taken[pasid >>> 5]! |= 1 << (pasid & 31);
    return pasidOf(pasid);
  }

  /** Takes back a number that `alloc` has given. */
  free(pasid: Pasid): void {
    const bit = 1 << (pasid & 31);
    if ((this.#taken[pasid >>> 5]! & bit) === 0) broken(`PASID ${pasid} is freed, and is not in use`);
    this.#taken[pasid >>> 5]! ^= bit;
    this.#freed ??= new Int32Array(LAST_PASID);
    this.#freed[(this.#head + this.#waiting) % LAST_PASID] = pasid;
    this.#waiting++;
  }
}
