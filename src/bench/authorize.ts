/**
 * Benchmark `authorize`: AUTHORIZE and REVOKE in a system that has one PASID, and in one that has a million.
 *
 * Both machines are in this process, so what is measured is everything but the way through the kernel. The
 * reference is the machine with one PASID: the ratio says whether the cost grows with what others have
 * allocated.
 */
import { InProcess } from '../client/in-process.js';
import { Ioasid } from '../client/ioasid.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Machine } from '../machine/machine.js';
import { type Side, timed } from './reference.js';
import type { Row } from './row.js';

const MANY = 1_000_000;
const PAIRS = 20_000;

export function authorize(): Row[] {
  const name = `authorize and revoke, ${MANY} PASIDs for 1`;
  const begin = async () => ({ ...(await pairs(MANY)), reference: () => pairs(1) });
  return [{ name, maxRatio: 1.25, rounds: 15, begin }];
}

/** Pairs in a machine with `count` PASIDs. */
async function pairs(count: number): Promise<Side> {
  const machine = await Machine.create({ devices: ['dsa'], pasidQuota: MANY });
  const transport = new InProcess(machine);
  const ioasid = Ioasid.open(transport);
  const device = VfioDeviceFile.open(transport, 'vfio0');
  let pasid = 0;
  for (let i = 0; i < count; i++) pasid = ioasid.alloc();
  const pass = () =>
    timed(PAIRS, () => {
      for (let i = 0; i < PAIRS; i++) {
        device.authorize(ioasid, pasid);
        device.revoke(pasid);
      }
    });
  return { pass };
}
