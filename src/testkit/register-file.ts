/**
 * A device for tests of mapped BARs. BAR 0 keeps what is written to it. BAR 2 tells which accesses there were
 * to BAR 0 since it was last written: their number at 0, and from 8 on for each a word with its offset and
 * one with its length, whose highest bit says that it was a write.
 */
import type { DeviceFactory } from '../devices/device-model.js';

const BAR_BYTES = 16384;
const LOG_BYTES = 4096;
const MOST_LOGGED = (LOG_BYTES - 8) / 8;

const createRegisterFile: DeviceFactory = () => {
  const memory = new Uint8Array(BAR_BYTES);
  const log = new Uint32Array(LOG_BYTES / 4);
  const note = (offset: number, length: number, write: boolean) => {
    const count = log[0]!;
    log[0] = count + 1;
    if (count >= MOST_LOGGED) return;
    log[2 + 2 * count] = offset;
    log[3 + 2 * count] = (write ? 0x8000_0000 : 0) + length;
  };
  return {
    pci: {
      vendorId: 0x1234,
      deviceId: 0x1111,
      classCode: 0x088000,
      bars: [
        { index: 0, size: BAR_BYTES, portals: { offset: 0x3000, size: 0x1000 } },
        { index: 2, size: LOG_BYTES },
      ],
    },
    readBar: (bar, offset, target) => {
      const source = bar === 0 ? memory : new Uint8Array(log.buffer);
      target.set(source.subarray(offset, offset + target.length));
      if (bar === 0) note(offset, target.length, false);
    },
    writeBar: (bar, offset, source) => {
      if (bar === 2) log.fill(0);
      else memory.set(source, offset);
      if (bar === 0) note(offset, source.length, true);
      return true;
    },
    reset: () => void memory.fill(0),
  };
};

export default createRegisterFile;
