/**
 * The shape of QEMU's nvme: a PCI Express function with reset, power management, INTx and 65 MSI-X vectors
 * whose table lies among its registers. No controller: registers read as zeros.
 */
import type { DeviceFactory, DeviceModel } from '../../../devices/device-model.js';

class Nvme implements DeviceModel {
  readonly pci = {
    vendorId: 0x1b36,
    deviceId: 0x0010,
    classCode: 0x010802,
    revision: 0x02,
    subsystemVendorId: 0x1af4,
    subsystemId: 0x1100,
    bars: [{ index: 0, size: 0x4000, is64: true }],
    intx: true,
    msix: { vectors: 65, bar: 0, tableOffset: 0x2000, pbaOffset: 0x3000 },
  } as const;

  readBar(_bar: number, _offset: number, target: Uint8Array): void {
    target.fill(0);
  }

  writeBar(): void {}

  reset(): void {}
}

const createNvme: DeviceFactory = () => new Nvme();

export default createNvme;
