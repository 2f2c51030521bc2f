/** The devices of a machine, as the first record of a recording has them. */
import type { Machine } from '../machine/machine.js';
import type { RecordedMachine } from '../trace/raw.js';

export function devicesOf({ devices }: Machine): RecordedMachine['devices'] {
  return devices.map(({ driver: { life }, spec }) => ({ name: life.name, rid: life.rid, spec }));
}
