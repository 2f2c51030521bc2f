/**
 * A device for tests of memory and doorbells in a mapped BAR. BAR 0 has registers of 4 bytes in its first
 * page, doorbells at 0x1000 and memory at 0x2000.
 *
 * A doorbell is answered when its value lies in the memory, at half of it and as many bytes as the doorbell's
 * place. Registers: 0x00 how many writes of doorbells there were, 0x04 in how many of them a value was not
 * larger than the one before, 0x08 the first word of the memory, 0x0c adds what is written to that word.
 */
import type { DeviceFactory } from '../devices/device-model.js';

const DOORBELLS = 0x1000;
const MEMORY = 0x2000;
const PAGE = 4096;

const createRingingDevice: DeviceFactory = (host) => {
  const bytes = host.memory(4 * PAGE);
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const doorbells = new Uint32Array(PAGE / 4);
  const rung = new Set<number>();
  const counts = { rings: 0, backwards: 0 };
  const ring = (n: number, value: number) => {
    counts.rings++;
    if (value <= doorbells[n]!) counts.backwards++;
    doorbells[n] = value;
    rung.add(n);
  };
  return {
    pci: {
      vendorId: 0x1234,
      deviceId: 0x1112,
      classCode: 0x088000,
      bars: [
        {
          index: 0,
          size: 0x8000,
          doorbells: { offset: DOORBELLS, size: PAGE },
          memory: { offset: MEMORY, bytes },
        },
      ],
    },
    readBar: (_bar, offset, target) => {
      if (target.length !== 4) return;
      const first = words.getUint32(0, true);
      const value = [counts.rings, counts.backwards, first][offset / 4] ?? 0;
      new DataView(target.buffer).setUint32(0, value, true);
    },
    writeBar: (_bar, offset, source) => {
      if (source.length !== 4) return;
      const value = new DataView(source.buffer).getUint32(0, true);
      if (offset >= DOORBELLS && offset < MEMORY) ring((offset - DOORBELLS) / 4, value);
      else if (offset === 0x0c) words.setUint32(0, words.getUint32(0, true) + value, true);
    },
    step: () => {
      for (const n of rung) words.setUint32(2 * PAGE + 4 * n, doorbells[n]!, true);
      rung.clear();
    },
    busy: () => rung.size > 0,
    reset: () => {
      bytes.fill(0);
      doorbells.fill(0);
      rung.clear();
      counts.rings = counts.backwards = 0;
    },
  };
};

export default createRingingDevice;
