/**
 * The shape of Intel's 82576, QEMU's igb: a function of a network card that is isolated from the other
 * functions of its slot, so that each has a group of its own. No card: registers read as zeros.
 */
import type { DeviceFactory, DeviceModel } from '../../../devices/device-model.js';

class Igb implements DeviceModel {
  readonly pci = {
    vendorId: 0x8086,
    deviceId: 0x10c9,
    classCode: 0x020000,
    revision: 0x01,
    bars: [{ index: 0, size: 0x20000 }],
    intx: true,
    msi: 1,
    msix: { vectors: 10, bar: 0, tableOffset: 0x10000, pbaOffset: 0x12000 },
  } as const;

  readBar(_bar: number, _offset: number, target: Uint8Array): void {
    target.fill(0);
  }

  writeBar(): void {}

  reset(): void {}
}

const createIgb: DeviceFactory = () => new Igb();

export default createIgb;
