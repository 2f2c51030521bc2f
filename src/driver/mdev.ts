/**
 * The port of a mediated device: it shares the requester id of its parent function, so the IOMMU cannot tell
 * it from its siblings.
 *
 * What keeps mediated devices apart is the list of PASIDs here, each mdev's own (listed-port.ts). An
 * attachment of iommufd may have the same number in a sibling, which is why each is given a PASID of the
 * system's space. Requests without PASID get one too.
 */
import { inFactory } from '../devices/checks.js';
import type { PageWait, PciDescription } from '../devices/device-model.js';
import type { PasidSpace } from '../ioasid/pasid-space.js';
import { noAccess } from '../iommu/access.js';
import type { Iommu, Requester } from '../iommu/iommu.js';
import { type Pasid, type Vpasid, vpasidOf } from '../iommu/pasid.js';
import { ListedPort } from './listed-port.js';
import { type BusGate, checkWidth, type Pager, type PciPort, withoutPasid } from './pci-port.js';

export class MdevPort extends ListedPort implements PciPort {
  readonly mediated = true;
  pager: Pager | undefined;
  readonly #name: string;
  readonly #parentBits: number;
  #pasidBits: number | undefined;
  #gate: BusGate | undefined;

  /** @param parentBits width of the PASIDs that the parent's requests can carry */
  constructor(iommu: Iommu, pasids: PasidSpace, requester: Requester, name: string, parentBits: number) {
    super(iommu, pasids, requester, parentBits);
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

  requestPage(vpasid: Vpasid, iova: number, write: boolean): PageWait | undefined {
    if (this.#gate === undefined) inFactory('dma');
    return this.admits(vpasid) && this.open ? this.pager?.requestPage(vpasid, iova, write) : undefined;
  }

  protected get open(): boolean {
    return this.#gate?.busMaster === true;
  }

  protected reason(vpasid: Vpasid): string {
    if (this.#gate === undefined) inFactory('dma');
    if (this.admits(vpasid)) return `bus mastering is off in the command register of ${this.#name}`;
    return noAccess(this.attaches, `mdev ${this.#name}`, vpasid);
  }
}
