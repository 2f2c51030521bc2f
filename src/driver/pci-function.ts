/**
 * The port of a whole PCI function: it has a requester id of its own, so the IOMMU alone decides what it may
 * reach.
 *
 * The program may load any PASID into it; one that the function is not authorized for has no entry in the
 * PASID table of its requester id, and faults there. For the same reason PASIDs cannot be renamed: what the
 * program writes into the function is what the IOMMU sees.
 */
import { inFactory } from '../devices/checks.js';
import type { DmaFault, PageWait, PciDescription } from '../devices/device-model.js';
import type { DirtyLog } from '../iommu/dirty-log.js';
import type { Iommu, Requester } from '../iommu/iommu.js';
import type { Translation } from '../iommu/nested-table.js';
import { NO_PASID, type Pasid, pasidOf, type Vpasid, vpasidOf } from '../iommu/pasid.js';
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
import { type BusGate, checkWidth, type Pager, type PciPort, withoutPasid } from './pci-port.js';

export class FunctionPort implements PciPort {
  readonly requester: Requester;
  readonly mediated = false;
  readonly authorizations = new Authorizations();
  pager: Pager | undefined;
  readonly #iommu: Iommu;
  readonly #blocked: string;
  readonly #attached = new Set<Pasid>();
  #pasidBits: number | undefined;
  #gate: BusGate | undefined;

  /** @throws Refusal EEXIST when the requester id is taken. */
  constructor(iommu: Iommu, rid: string) {
    this.#iommu = iommu;
    this.requester = iommu.requester(rid);
    this.#blocked = `bus mastering is off in the command register of ${rid}`;
  }

  get namesSpaces(): boolean {
    return this.#pasidBits !== undefined;
  }

  connect({ pasidBits }: PciDescription, gate: BusGate): void {
    this.#pasidBits = pasidBits;
    this.#gate = gate;
  }

  get attaches(): boolean {
    return this.requester.attaches;
  }

  set attaches(attaches: boolean) {
    this.requester.attaches = attaches;
  }

  vpasid(pasid: Pasid, vpasid: Vpasid | undefined): Vpasid {
    const { rid } = this.requester;
    if (this.#pasidBits === undefined) return withoutPasid(pasid, vpasid, rid);
    if (vpasid !== undefined && vpasid !== vpasidOf(pasid))
      refuse(
        'EINVAL',
        `vpasid ${vpasid} for PASID ${pasid} needs a mediated device; ${rid} is a whole function`,
      );
    checkWidth('PASID', pasid, this.#pasidBits, rid);
    return vpasidOf(pasid);
  }

  entry(pasid: Pasid): Pasid {
    return this.#pasidBits === undefined ? pasidOf(NO_PASID) : pasid;
  }

  enter(vpasid: Vpasid, table: Translation, log: DirtyLog | undefined): void {
    this.leave(vpasid);
    const pasid = pasidOf(vpasid);
    this.requester.grant(pasid, table, log);
    this.#attached.add(pasid);
  }

  leave(vpasid: Vpasid): void {
    const pasid = pasidOf(vpasid);
    if (this.#attached.delete(pasid)) this.requester.withdraw(pasid);
  }

  read(
    vpasid: Vpasid,
    iova: number,
    target: Uint8Array,
    at = 0,
    length = target.length - at,
  ): DmaFault | undefined {
    if (this.#gate?.busMaster !== true) return this.#kept(vpasid, iova, false);
    return readThrough(this.requester, pasidOf(vpasid), iova, target, at, length);
  }

  write(
    vpasid: Vpasid,
    iova: number,
    source: Uint8Array,
    at = 0,
    length = source.length - at,
  ): DmaFault | undefined {
    if (this.#gate?.busMaster !== true) return this.#kept(vpasid, iova, true);
    return writeThrough(this.requester, pasidOf(vpasid), iova, source, at, length);
  }

  move(vpasid: Vpasid, ranges: Ranges, buffer: Uint8Array, at: number, write: boolean): DmaFault | undefined {
    if (this.#gate?.busMaster !== true) return this.#kept(vpasid, ranges.addresses[0]!, write);
    return moveThrough(this.requester, pasidOf(vpasid), ranges, buffer, at, write);
  }

  moveSome(
    vpasid: Vpasid,
    ranges: Ranges,
    buffer: Uint8Array,
    at: number,
    write: boolean,
  ): number | DmaFault {
    if (this.#gate?.busMaster !== true) return this.#kept(vpasid, ranges.addresses[0]!, write);
    return moveSomeThrough(this.requester, pasidOf(vpasid), ranges, buffer, at, write);
  }

  /** As Requester.place, while requests leave. */
  place(vpasid: Vpasid, iova: number, length: number, places: ScatterList): boolean {
    if (this.#gate?.busMaster !== true) return false;
    return this.requester.place(pasidOf(vpasid), iova, length, places);
  }

  /** As Requester.copy, while requests leave. */
  copy(vpasid: Vpasid, from: number, to: number, length: number): number {
    if (this.#gate?.busMaster !== true) return 0;
    return copyThrough(this.requester, pasidOf(vpasid), from, to, length);
  }

  get effort(): number {
    return this.requester.effort;
  }

  requestPage(vpasid: Vpasid, iova: number, write: boolean): PageWait | undefined {
    if (this.#gate === undefined) inFactory('dma');
    return this.#gate.busMaster === true ? this.pager?.requestPage(vpasid, iova, write) : undefined;
  }

  admits(): boolean {
    return true;
  }

  kept(): string | undefined {
    return this.#gate?.busMaster === true ? undefined : this.#blocked;
  }

  #kept(vpasid: Vpasid, iova: number, write: boolean): DmaFault {
    if (this.#gate === undefined) inFactory('dma');
    return blocked(this.#iommu.faults, this.requester.rid, vpasid, iova, write, this.#blocked);
  }
}
