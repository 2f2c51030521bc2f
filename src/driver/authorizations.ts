/**
 * The PASIDs that one device is authorized for: of which context, and by which number the device's programmer
 * knows them. What a mediated device has attached under iommufd is in the list too.
 *
 * Invariant: no PASID and no vPASID is in the list twice. A mediated device's list is what keeps it apart
 * from the other mediated devices of its parent, whose requester id it shares; the list of a whole function
 * only says what has to be undone.
 */
import type { IoasidContext } from '../ioasid/context.js';
import type { Pasid, Vpasid } from '../iommu/pasid.js';
import { refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';

export interface Authorization {
  readonly pasid: Pasid;
  /**
   * The number by which the program means it: a PASID that is written into the device, an ASID (vDPA),
   * NO_PASID for a device whose requests carry none.
   */
  readonly vpasid: Vpasid;
  /**
   * The context that it was authorized in; the authorization holds a reference on it. None: it is an
   * attachment of another ABI, such as a mediated device's to an iommufd.
   */
  readonly context: IoasidContext | undefined;
  /** How the reader of the context's page faults knows the device. */
  readonly cookie?: number;
}

export class Authorizations {
  readonly #byPasid = new Map<Pasid, Authorization>();
  readonly #byVpasid = new Map<Vpasid, Authorization>();
  /** One of the list, or undefined: what `byVpasid` found last. */
  #last: Authorization | undefined;

  get size(): number {
    return this.#byPasid.size;
  }

  get(pasid: Pasid): Authorization | undefined {
    return this.#byPasid.get(pasid);
  }

  /**
   * The authorization that `vpasid` means, or undefined: it means none. On the way of every DMA of a mediated
   * or vDPA device, which is most often for the same as the one before.
   */
  byVpasid(vpasid: Vpasid): Authorization | undefined {
    if (this.#last?.vpasid !== vpasid) this.#last = this.#byVpasid.get(vpasid);
    return this.#last;
  }

  values(): IterableIterator<Authorization> {
    return this.#byPasid.values();
  }

  /** @throws Refusal EEXIST when `pasid` or `vpasid` is in the list. `device` is named in the reason. */
  check(device: string, pasid: Pasid, vpasid: Vpasid): void {
    if (this.#byPasid.has(pasid)) refuse('EEXIST', `${device} is authorized for PASID ${pasid} already`);
    const taken = this.#byVpasid.get(vpasid);
    if (taken !== undefined)
      refuse('EEXIST', `vpasid ${vpasid} of ${device} is PASID ${taken.pasid} already`);
  }

  add(authorization: Authorization): void {
    const { pasid, vpasid } = authorization;
    if (this.#byPasid.has(pasid) || this.#byVpasid.has(vpasid))
      broken(`PASID ${pasid} or vpasid ${vpasid} of a device is authorized twice`);
    this.#byPasid.set(authorization.pasid, authorization);
    this.#byVpasid.set(authorization.vpasid, authorization);
  }

  remove({ pasid, vpasid }: Authorization): void {
    this.#last = undefined;
    const found = this.#byPasid.delete(pasid);
    if (!this.#byVpasid.delete(vpasid) || !found)
      broken(`PASID ${pasid} is given back by a device that has it not`);
  }
}
