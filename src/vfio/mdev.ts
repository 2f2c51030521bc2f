/**
 * The port of a mediated device: it shares the requester id of its parent function, so the IOMMU cannot tell it from its siblings.
 *
 * What keeps mediated devices apart is the list of PASIDs here, each mdev's own. Every request looks its PASID up in it and leaves with
 * the number found there; a number that is not in the list never reaches the bus. Invariant: each PASID in the list has been granted to
 * the requester once for this list.
 */
import type { DmaFault, PciDescription } from '../devices/device-model.js';
import type { Iommu, Requester } from '../iommu/iommu.js';
import { Authorizations } from './authorizations.js';
import type { ConfigSpace } from './config-space.js';
import { blocked, checkWidth, type DevicePort, withoutPasid } from './device-port.js';

export class MdevPort implements DevicePort {
  readonly requester: Requester;
  readonly mediated = true;
  readonly authorizations = new Authorizations();
  readonly #iommu: Iommu;
  readonly #name: string;
  readonly #parentBits: number;
  #config: ConfigSpace | undefined;

  /** @param parentBits width of the PASIDs that the parent's requests can carry */
  constructor(iommu: Iommu, requester: Requester, name: string, parentBits: number) {
    this.#iommu = iommu;
    this.requester = requester;
    this.#name = name;
    this.#parentBits = parentBits;
  }

  connect(config: ConfigSpace): void {
    this.#config = config;
  }

  vpasid({ pasidBits }: PciDescription, pasid: number, vpasid: number): number {
    checkWidth('PASID', pasid, this.#parentBits, this.requester.rid);
    if (pasidBits === undefined) return withoutPasid(pasid, vpasid, this.#name);
    const number = vpasid === 0 ? pasid : vpasid;
    checkWidth('vpasid', number, pasidBits, this.#name);
    return number;
  }

  entry(_pci: PciDescription, pasid: number): number {
    return pasid;
  }

  read(vpasid: number, iova: number, target: Uint8Array, at = 0, length = target.length - at): DmaFault | undefined {
    const authorization = this.authorizations.byVpasid(vpasid);
    if (authorization === undefined || this.#config?.busMaster !== true) return this.#blocked(vpasid, iova, false);
    return known(this.requester.read(authorization.pasid, iova, target, at, length), vpasid);
  }

  write(vpasid: number, iova: number, source: Uint8Array, at = 0, length = source.length - at): DmaFault | undefined {
    const authorization = this.authorizations.byVpasid(vpasid);
    if (authorization === undefined || this.#config?.busMaster !== true) return this.#blocked(vpasid, iova, true);
    return known(this.requester.write(authorization.pasid, iova, source, at, length), vpasid);
  }

  admits(vpasid: number): boolean {
    return this.authorizations.byVpasid(vpasid) !== undefined;
  }

  #blocked(vpasid: number, iova: number, write: boolean): DmaFault {
    const reason = this.admits(vpasid)
      ? `bus mastering is off in the command register of ${this.#name}`
      : `mdev ${this.#name} is not authorized for ${vpasid === 0 ? 'requests without PASID' : `PASID ${vpasid}`}`;
    return blocked(this.#iommu.faults, this.requester.rid, vpasid, iova, write, reason);
  }
}

/** A fault as the device's programmer is to see it: with the PASID that the program knows. */
function known(fault: DmaFault | undefined, vpasid: number): DmaFault | undefined {
  return fault === undefined ? undefined : { ...fault, pasid: vpasid };
}
