/**
 * The binding of a device to the type1 container of its group: what its requests carry is translated by the
 * container's page table, from the open of the device to its close.
 */
import type { DevicePort } from '../driver/device-port.js';
import type { PageTable } from '../iommu/page-table.js';
import { NO_PASID } from '../iommu/pasid.js';

export class ContainerBinding {
  /** What calls on the device's file use beside the device (OpenFile.uses). */
  readonly context: object;
  readonly #port: DevicePort;

  /** @throws Refusal as DevicePort.enter. */
  constructor(port: DevicePort, container: object, table: PageTable) {
    this.context = container;
    this.#port = port;
    port.enter(NO_PASID, table, undefined);
  }

  /** The device is closed. */
  close(): void {
    this.#port.leave(NO_PASID);
  }
}
