/** A device of tests: a write of n makes its `file=`, empty, after n milliseconds. */
import { writeFileSync } from 'node:fs';

export default function createTimer(host, { file }) {
  return {
    pci: { vendorId: 0x1234, deviceId: 1, classCode: 0x088000, bars: [{ index: 0, size: 4096 }] },
    readBar: (_bar, _offset, target) => target.fill(0),
    writeBar: (_bar, _offset, [n]) => void host.after(1000 * n, () => writeFileSync(file, '')),
    reset() {},
  };
}
