/**
 * A device for the benchmark `neighbours`: each write to its one register raises an interrupt 200,000 times.
 */
import type { DeviceHost, DeviceModel } from '../devices/device-model.js';

const INTERRUPTS = 200_000;

/** Makes the model, for `--device`. */
export default function createInterrupting(host: DeviceHost): DeviceModel {
  return {
    pci: {
      vendorId: 0x1234,
      deviceId: 0xadd2,
      classCode: 0x088000,
      bars: [{ index: 0, size: 4096 }],
      msi: 1,
    },
    readBar: (_bar, _offset, target) => void target.fill(0),
    writeBar: () => {
      for (let n = 0; n < INTERRUPTS; n++) host.interrupt(0);
    },
    reset: () => {},
  };
}
