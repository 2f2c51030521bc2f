/**
 * What ports have in common whose requests go by the device's own list: that of a mediated device, which
 * shares its requester id with siblings (mdev.ts), and that of a vDPA device, whose program names address
 * spaces (vdpa/vdpa-port.ts).
 *
 * The number that a request means is looked up in the list, and leaves as the PASID found there; a number
 * that is not in the list never reaches the bus. Invariant: each PASID in the list has been granted to the
 * requester once for this list.
 *
 * A PASID that is authorized comes from its context. What another ABI attaches has only the number that the
 * program knows; so each is given a PASID of the system's space, as long as it is attached. Of those one port
 * has as many as one context may have.
 */
import type { DmaFault } from '../devices/device-model.js';
import type { PasidSpace } from '../ioasid/pasid-space.js';
import type { DirtyLog } from '../iommu/dirty-log.js';
import type { Iommu, Requester } from '../iommu/iommu.js';
import type { Translation } from '../iommu/nested-table.js';
import type { Pasid, Vpasid } from '../iommu/pasid.js';
import { refuse } from '../linux/errno.js';
import type { Ranges } from '../linux/ranges.js';
import type { ScatterList } from '../linux/scatter-list.js';
import { Authorizations } from './authorizations.js';
import {
  blocked,
  copyThrough,
  moveSomeThrough,
  moveThrough,
  readThrough,
  writeThrough,
} from './device-port.js';

export abstract class ListedPort {
  readonly requester: Requester;
  readonly authorizations = new Authorizations();
  /** As DevicePort.attaches: its own, since siblings share the requester. */
  attaches = false;
  readonly #iommu: Iommu;
  readonly #pasids: PasidSpace;
  readonly #bits: number;
  // PASIDs that `enter` has taken out of the system's space.
  #taken = 0;

  /** @param bits width of the PASIDs that requests can carry */
  constructor(iommu: Iommu, pasids: PasidSpace, requester: Requester, bits: number) {
    this.#iommu = iommu;
    this.#pasids = pasids;
    this.#bits = bits;
    this.requester = requester;
  }

  /** Do requests leave at all? */
  protected abstract readonly open: boolean;

  /** Why a request for `vpasid` does not leave. */
  protected abstract reason(vpasid: Vpasid): string;

  entry(pasid: Pasid): Pasid {
    return pasid;
  }

  /** @throws Refusal ENOSPC the port, or the system, has no PASID left for it. */
  enter(vpasid: Vpasid, table: Translation, log: DirtyLog | undefined): void {
    const known = this.authorizations.byVpasid(vpasid);
    if (known !== undefined) {
      this.requester.withdraw(known.pasid);
      this.requester.grant(known.pasid, table, log);
      return;
    }
    const { quota } = this.#pasids;
    if (this.#taken >= quota)
      refuse('ENOSPC', `the device has reached its quota of ${quota} PASIDs that are attached`);
    const pasid = this.#pasids.alloc(this.#bits);
    this.#taken++;
    this.requester.grant(pasid, table, log);
    this.authorizations.add({ pasid, vpasid, context: undefined });
  }

  leave(vpasid: Vpasid): void {
    const authorization = this.authorizations.byVpasid(vpasid);
    if (authorization === undefined) return;
    this.authorizations.remove(authorization);
    this.requester.withdraw(authorization.pasid);
    this.#pasids.free(authorization.pasid);
    this.#taken--;
  }

  read(
    vpasid: Vpasid,
    iova: number,
    target: Uint8Array,
    at = 0,
    length = target.length - at,
  ): DmaFault | undefined {
    const authorization = this.authorizations.byVpasid(vpasid);
    if (authorization === undefined || !this.open) return this.#blocked(vpasid, iova, false);
    return known(readThrough(this.requester, authorization.pasid, iova, target, at, length), vpasid);
  }

  write(
    vpasid: Vpasid,
    iova: number,
    source: Uint8Array,
    at = 0,
    length = source.length - at,
  ): DmaFault | undefined {
    const authorization = this.authorizations.byVpasid(vpasid);
    if (authorization === undefined || !this.open) return this.#blocked(vpasid, iova, true);
    return known(writeThrough(this.requester, authorization.pasid, iova, source, at, length), vpasid);
  }

  move(vpasid: Vpasid, ranges: Ranges, buffer: Uint8Array, at: number, write: boolean): DmaFault | undefined {
    const authorization = this.authorizations.byVpasid(vpasid);
    if (authorization === undefined || !this.open) return this.#blocked(vpasid, ranges.addresses[0]!, write);
    return known(moveThrough(this.requester, authorization.pasid, ranges, buffer, at, write), vpasid);
  }

  moveSome(
    vpasid: Vpasid,
    ranges: Ranges,
    buffer: Uint8Array,
    at: number,
    write: boolean,
  ): number | DmaFault {
    const authorization = this.authorizations.byVpasid(vpasid);
    if (authorization === undefined || !this.open) return this.#blocked(vpasid, ranges.addresses[0]!, write);
    const moved = moveSomeThrough(this.requester, authorization.pasid, ranges, buffer, at, write);
    return typeof moved === 'number' ? moved : { ...moved, pasid: vpasid };
  }

  /** As Requester.place, for whoever may write there. */
  place(vpasid: Vpasid, iova: number, length: number, places: ScatterList): boolean {
    const authorization = this.authorizations.byVpasid(vpasid);
    if (authorization === undefined || !this.open) return false;
    return this.requester.place(authorization.pasid, iova, length, places);
  }

  /** As Requester.copy, for whoever may read and write there. */
  copy(vpasid: Vpasid, from: number, to: number, length: number): number {
    const authorization = this.authorizations.byVpasid(vpasid);
    if (authorization === undefined || !this.open) return 0;
    return copyThrough(this.requester, authorization.pasid, from, to, length);
  }

  get effort(): number {
    return this.requester.effort;
  }

  admits(vpasid: Vpasid): boolean {
    return this.authorizations.byVpasid(vpasid) !== undefined;
  }

  kept(vpasid: Vpasid): string | undefined {
    return this.admits(vpasid) && this.open ? undefined : this.reason(vpasid);
  }

  #blocked(vpasid: Vpasid, iova: number, write: boolean): DmaFault {
    return blocked(this.#iommu.faults, this.requester.rid, vpasid, iova, write, this.reason(vpasid));
  }
}

/** A fault as the device's programmer is to see it: with the number that the program knows. */
function known(fault: DmaFault | undefined, vpasid: Vpasid): DmaFault | undefined {
  return fault === undefined ? undefined : { ...fault, pasid: vpasid };
}
