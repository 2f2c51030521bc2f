/**
 * A device model that does what none may. The byte that a program writes into its BAR says what; a read gives
 * 0x5a in every byte. With `says` it says so before it loops: from then on nothing else runs.
 */
import { writeSync } from 'node:fs';

const wrong = {
  1: () => {
    throw new Error('thrown at once');
  },
  2: () => void setTimeout(() => explode('a timer'), 1),
  3: () => queueMicrotask(() => explode('a microtask')),
  4: () => void Promise.reject(new Error('thrown by a promise')),
  5: () => void Promise.reject(undefined),
  6: async () => explode('an async handler'),
  7: () => process.exit(0),
  8: () => void setTimeout(() => process.exit(0), 1),
  9: ({ buffer }) => void structuredClone(0, { transfer: [buffer] }),
  10: ({ buffer }) => new Uint8Array(buffer).fill(0xff),
  11: () => {
    if (talks) writeSync(2, 'it loops\n');
    for (;;);
  },
  13: () => void setTimeout(wrong[11], 1),
  14: () => void queueMicrotask(queueForever),
  15: () => void awaitForever(),
  16: () => setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)),
  17: () => {
    process.once('SIGCONT', wrong[11]);
    process.kill(process.pid, 'SIGCONT');
  },
  12: () => setImmediate(() => process.nextTick(() => process.abort())),
};

let talks = false;

function queueForever() {
  queueMicrotask(queueForever);
}

async function awaitForever() {
  for (;;) await null;
}

function explode(what) {
  throw new Error(`thrown by ${what}`);
}

/** @type {import('ioasid').DeviceFactory} */
export default function createFaulty(_host, { loads, steps, says }) {
  if (says !== undefined) talks = true;
  if (loads !== undefined) wrong[loads]();
  let pending = false;
  return {
    pci: { vendorId: 0x1234, deviceId: 0xbad, classCode: 0, bars: [{ index: 0, size: 4096 }] },
    readBar: (_bar, _offset, target) => void target.fill(0x5a),
    writeBar(_bar, _offset, source) {
      if (steps === undefined) return wrong[source[0]]?.(source);
      pending = source[0];
    },
    reset() {
      pending = false;
    },
    busy: () => pending !== false,
    step: () => wrong[pending]?.(new Uint8Array(8)),
  };
}
