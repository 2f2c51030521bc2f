/**
 * `npm run test:idxd-oracle`: compares /sys/bus/dsa and /dev/dsa with those of Linux's own idxd, which drives
 * the same model in a guest, on generated sequences.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Guest } from '../guest.js';
import { buildKernel } from '../kernel.js';
import { compareWith, oracleLine } from '../program.js';
import { Served } from '../served.js';
import { patient } from '../waits.js';
import { explained } from './explained.js';
import { partNames, sequences } from './generate.js';
import { guestMachine, makeDevices, options } from './machine.js';

const buildScript = fileURLToPath(new URL('../../../oracle/idxd.sh', import.meta.url));
const line = oracleLine(
  'test:idxd-oracle',
  "Compares /sys/bus/dsa and /dev/dsa with those of Linux's own idxd, on generated sequences.",
  partNames,
).parse();
const home = await buildKernel(buildScript);

await compareWith(line, {
  sequences,
  runs: 500,
  full: 4000,
  batch: 500,
  meant: explained,
  patient,
  kernel: new Guest(home, guestMachine),
  ours: new Served(join(home, 'executor'), makeDevices, options),
});
