/**
 * The shape of the mediated devices of Linux's sample mdpy: no interrupts, reset or PASIDs; a BAR of memory.
 *
 * What such a device has of its own (its configuration space, what its BAR shows) is not compared: it is here
 * for what every device file has.
 */
import type { DeviceFactory, DeviceModel, MdevSupport } from '../../devices/device-model.js';

const SHAPE = { vendorId: 0x1b36, deviceId: 0x000f, classCode: 0x038000 } as const;
const MEMORY_BYTES = 0x20_0000;
const MOST = 4;

class Mdpy implements DeviceModel {
  readonly pci = {
    ...SHAPE,
    bars: [{ index: 0, size: MEMORY_BYTES, prefetchable: true }],
    conventional: true,
  } as const;

  readBar(_bar: number, _offset: number, target: Uint8Array): void {
    target.fill(0);
  }

  writeBar(): void {}

  reset(): void {}
}

/** It has nothing of its own, but a function that is cut must have PASIDs. */
class MdpyParent implements DeviceModel {
  readonly pci = { ...SHAPE, bars: [], pasidBits: 20 } as const;
  readonly mdev: MdevSupport = { max: MOST, create: () => new Mdpy() };

  readBar(): void {}

  writeBar(): void {}

  reset(): void {}
}

const createMdpy: DeviceFactory = () => new MdpyParent();

export default createMdpy;
