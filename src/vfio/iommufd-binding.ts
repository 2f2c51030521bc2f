/**
 * The binding of a VFIO device to an iommufd context: the device as iommufd attaches it to page tables.
 *
 * It stands in the place of the native ABI's authorizations, and excludes them: a device open under one ABI has entries of that one only.
 */

import type { DirtyLog } from '../iommu/dirty-log.js';
import type { Requester } from '../iommu/iommu.js';
import type { Translation } from '../iommu/nested-table.js';
import { ADDRESS_BITS, PAGE_SIZE, PageTable } from '../iommu/page-table.js';
import type { BoundDevice } from '../iommufd/bound-device.js';
import type { IommufdContext } from '../iommufd/context.js';
import type { IommuHardware } from '../iommufd/hardware.js';
import { refuse } from '../linux/errno.js';

/** Requests to these addresses are interrupt messages on x86 (Intel SDM vol. 3, 12.11.1), so they are never translated. */
const INTERRUPT_MESSAGES = { start: 0xfee00000n, last: 0xfeefffffn };

/** The IOMMU in front of one function, whose requester id it is. */
class FunctionHardware implements IommuHardware {
  readonly iommu: object;
  readonly pageSize = BigInt(PAGE_SIZE);
  readonly aperture = { start: 0n, last: 2n ** BigInt(ADDRESS_BITS) - 1n };
  readonly reserved = [INTERRUPT_MESSAGES];
  readonly coherent = true;
  readonly dirtyTracking = true;
  readonly flags = true;
  readonly info = { type: 0, data: new Uint8Array(0) };
  readonly pasidBits: number;
  readonly #requester: Requester;
  readonly #entries = new Set<number>();

  constructor(iommu: object, requester: Requester, pasidBits: number) {
    this.iommu = iommu;
    this.#requester = requester;
    this.pasidBits = pasidBits;
  }

  enter(pasid: number, table: Translation, log: DirtyLog | undefined): void {
    if (!(table instanceof PageTable)) refuse('EOPNOTSUPP', 'the IOMMU of this function has no nested page tables');
    this.leave(pasid);
    this.#requester.grant(pasid, table, log);
    this.#entries.add(pasid);
  }

  leave(pasid: number): void {
    if (this.#entries.delete(pasid)) this.#requester.withdraw(pasid);
  }
}

export class IommufdBinding {
  readonly context: IommufdContext;
  readonly device: BoundDevice;
  readonly #name: string;
  readonly #pasidBits: number;

  constructor(name: string, requester: Requester, pasidBits: number, context: IommufdContext) {
    this.#name = name;
    this.#pasidBits = pasidBits;
    this.context = context;
    this.device = context.bind(new FunctionHardware(context.iommu, requester, pasidBits));
  }

  /** Attaches, or replaces what is attached. @returns the HWPT's id. @throws Refusal as BoundDevice.attach; EINVAL for a PASID that it has not. */
  attach(id: number, pasid: number): number {
    this.#checkPasid(pasid);
    return this.device.attached(pasid) === undefined ? this.device.attach(id, pasid) : this.device.replace(id, pasid);
  }

  detach(pasid: number): void {
    this.#checkPasid(pasid);
    this.device.detach(pasid);
  }

  /** The device is closed. */
  close(): void {
    this.context.unbind(this.device);
  }

  #checkPasid(pasid: number): void {
    if (pasid !== 0 && pasid >= 2 ** this.#pasidBits) {
      refuse(
        this.#pasidBits === 0 ? 'EOPNOTSUPP' : 'EINVAL',
        `${this.#name} has PASIDs of ${this.#pasidBits} bits, and ${pasid} is none of them`,
      );
    }
  }
}
