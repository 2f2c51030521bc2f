/**
 * The binding of a VFIO device to an iommufd context: the device as iommufd attaches it to page tables.
 *
 * It stands in the place of the native ABI's authorizations, and excludes them: a device open under one ABI
 * has entries of that one only.
 */

import type { PageWait, PciDescription } from '../devices/device-model.js';
import type { DevicePort } from '../driver/device-port.js';
import { PageRequests } from '../driver/page-requests.js';
import type { Work } from '../file/work.js';
import type { Vpasid } from '../iommu/pasid.js';
import type { BoundDevice } from '../iommufd/bound-device.js';
import type { IommufdContext } from '../iommufd/context.js';
import { refuse } from '../linux/errno.js';
import { FunctionHardware } from './function-hardware.js';

export class IommufdBinding {
  readonly context: IommufdContext;
  readonly device: BoundDevice;
  readonly #name: string;
  readonly #pasidBits: number;
  readonly #pages: PageRequests | undefined;

  constructor(name: string, port: DevicePort, pci: PciDescription, context: IommufdContext) {
    this.#name = name;
    this.#pasidBits = pci.pasidBits ?? 0;
    this.#pages = pci.pageRequests ? new PageRequests() : undefined;
    this.context = context;
    this.device = context.bind(new FunctionHardware(context.iommu, port, pci, this.#pages));
  }

  /** The device asks for a page. @returns undefined when nobody can be asked. */
  requestPage(pasid: Vpasid, iova: number, write: boolean): PageWait | undefined {
    return this.#pages?.ask(this.device, pasid, iova, write);
  }

  /**
   * Attaches, or replaces what is attached. @returns the HWPT's id. @throws Refusal as BoundDevice.attach;
   * EINVAL for a PASID that it has not.
   */
  attach(id: number, pasid: Vpasid): Work<number> {
    this.#checkPasid(pasid);
    return this.device.attached(pasid) === undefined
      ? this.device.attach(id, pasid)
      : this.device.replace(id, pasid);
  }

  detach(pasid: Vpasid): void {
    this.#checkPasid(pasid);
    this.device.detach(pasid);
  }

  /** The device is closed. */
  close(): Work<void> {
    return this.context.unbind(this.device);
  }

  #checkPasid(pasid: Vpasid): void {
    if (pasid !== 0 && pasid >= 2 ** this.#pasidBits) {
      refuse(
        this.#pasidBits === 0 ? 'EOPNOTSUPP' : 'EINVAL',
        `${this.#name} has PASIDs of ${this.#pasidBits} bits, and ${pasid} is none of them`,
      );
    }
  }
}
