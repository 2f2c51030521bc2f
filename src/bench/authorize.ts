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
import type { Measurement } from './measurement.js';
import { compare, timed } from './reference.js';

const MANY = 1_000_000;
const PAIRS = 20_000;

export async function authorize(): Promise<Measurement[]> {
  const few = await pairs(1);
  const many = await pairs(MANY);
  const result = await compare(many, few, 15);
  return [{ name: 'authorize and revoke, 1000000 PASIDs for 1', unit: 'ns', ...result, maxRatio: 1.25 }];
}

/** A function that measures one pair in a machine with `count` PASIDs. */
async function pairs(count: number): Promise<() => number> {
  const machine = await Machine.create({ devices: ['dsa'], pasidQuota: MANY });
  const transport = new InProcess(machine);
  const ioasid = Ioasid.open(transport);
  const device = VfioDeviceFile.open(transport, 'vfio0');
  let pasid = 0;
  for (let i = 0; i < count; i++) pasid = ioasid.alloc();
  return () =>
    timed(PAIRS, () => {
      for (let i = 0; i < PAIRS; i++) {
        device.authorize(ioasid, pasid);
        device.revoke(pasid);
      }
    });
}
