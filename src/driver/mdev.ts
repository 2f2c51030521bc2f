/**
 * The port of a mediated device: it shares the requester id of its parent function, so the IOMMU cannot tell
 * it from its siblings.
 *
 * What keeps mediated devices apart is the list of PASIDs here, each mdev's own. Every request looks its
 * PASID up in it and leaves with the number found there; a number that is not in the list never reaches the
 * bus. Invariant: each PASID in the list has been granted to the requester once for this list.
 *
 * A PASID that is authorized comes from its context. An attachment of iommufd has only the number that the
 * mdev's program knows, which may be the same in a sibling; so each is given a PASID of the system's space,
 * as long as it is attached. Requests without PASID get one too.
 */
import { type DmaFault, NO_PASID, type PageWait, type PciDescription } from '../devices/device-model.js';
import type { PasidSpace } from '../ioasid/pasid-space.js';
import type { DirtyLog } from '../iommu/dirty-log.js';
import type { Iommu, Requester } from '../iommu/iommu.js';
import type { Translation } from '../iommu/nested-table.js';
import { type Pasid, type Vpasid, vpasidOf } from '../iommu/pasid.js';
import { Authorizations } from './authorizations.js';
import { blocked } from './device-port.js';
import { type BusGate, checkWidth, type Pager, type PciPort, withoutPasid } from './pci-port.js';

export class MdevPort implements PciPort {
  readonly requester: Requester;
  readonly mediated = true;
  readonly authorizations = new Authorizations();
  pager: Pager | undefined;
  readonly #iommu: Iommu;
  readonly #pasids: PasidSpace;
  readonly #name: string;
  readonly #parentBits: number;
  #pasidBits: number | undefined;
  #gate: BusGate | undefined;

  /** @param parentBits width of the PASIDs that the parent's requests can carry */
  constructor(iommu: Iommu, pasids: PasidSpace, requester: Requester, name: string, parentBits: number) {
    this.#iommu = iommu;
    this.#pasids = pasids;
    this.requester = requester;
    this.#name = name;
    this.#parentBits = parentBits;
  }

  get namesSpaces(): boolean {
    return this.#pasidBits !== undefined;
  }

  connect({ pasidBits }: PciDescription, gate: BusGate): void {
    this.#pasidBits = pasidBits;
    this.#gate = gate;
  }

  vpasid(pasid: Pasid, vpasid: Vpasid | undefined): Vpasid {
    checkWidth('PASID', pasid, this.#parentBits, this.requester.rid);
    if (this.#pasidBits === undefined) return withoutPasid(pasid, vpasid, this.#name);
    const number = vpasid ?? vpasidOf(pasid);
    checkWidth('vpasid', number, this.#pasidBits, this.#name);
    return number;
  }

  entry(pasid: Pasid): Pasid {
    return pasid;
  }

  enter(vpasid: Vpasid, table: Translation, log: DirtyLog | undefined): void {
    const known = this.authorizations.byVpasid(vpasid);
    if (known !== undefined) {
      this.requester.withdraw(known.pasid);
      this.requester.grant(known.pasid, table, log);
      return;
    }
    const pasid = this.#pasids.alloc(this.#parentBits);
    this.requester.grant(pasid, table, log);
    this.authorizations.add({ pasid, vpasid, context: undefined });
  }

  leave(vpasid: Vpasid): void {
    const authorization = this.authorizations.byVpasid(vpasid);
    if (authorization === undefined) return;
    this.authorizations.remove(authorization);
    this.requester.withdraw(authorization.pasid);
    this.#pasids.free(authorization.pasid);
  }

  read(
    vpasid: Vpasid,
    iova: number,
    target: Uint8Array,
    at = 0,
    length = target.length - at,
  ): DmaFault | undefined {
    const authorization = this.authorizations.byVpasid(vpasid);
    if (authorization === undefined || this.#gate?.busMaster !== true)
      return this.#blocked(vpasid, iova, false);
    return known(this.requester.read(authorization.pasid, iova, target, at, length), vpasid);
  }

  write(
    vpasid: Vpasid,
    iova: number,
    source: Uint8Array,
    at = 0,
    length = source.length - at,
  ): DmaFault | undefined {
    const authorization = this.authorizations.byVpasid(vpasid);
    if (authorization === undefined || this.#gate?.busMaster !== true)
      return this.#blocked(vpasid, iova, true);
    return known(this.requester.write(authorization.pasid, iova, source, at, length), vpasid);
  }

  requestPage(vpasid: Vpasid, iova: number, write: boolean): PageWait | undefined {
    return this.admits(vpasid) && this.#gate?.busMaster === true
      ? this.pager?.requestPage(vpasid, iova, write)
      : undefined;
  }

  admits(vpasid: Vpasid): boolean {
    return this.authorizations.byVpasid(vpasid) !== undefined;
  }

  #blocked(vpasid: Vpasid, iova: number, write: boolean): DmaFault {
    const what = vpasid === NO_PASID ? 'requests without PASID' : `PASID ${vpasid}`;
    const reason = this.admits(vpasid)
      ? `bus mastering is off in the command register of ${this.#name}`
      : `mdev ${this.#name} is not authorized for ${what}`;
    return blocked(this.#iommu.faults, this.requester.rid, vpasid, iova, write, reason);
  }
}

/** A fault as the device's programmer is to see it: with the PASID that the program knows. */
function known(fault: DmaFault | undefined, vpasid: Vpasid): DmaFault | undefined {
  return fault === undefined ? undefined : { ...fault, pasid: vpasid };
}
