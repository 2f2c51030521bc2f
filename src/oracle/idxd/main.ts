/**
 * `npm run test:idxd-oracle`: compares /sys/bus/dsa and /dev/dsa with those of Linux's own idxd, which drives
 * the same model in a guest, on generated sequences (program.ts tells the options).
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Guest } from '../guest.js';
import { buildKernel } from '../kernel.js';
import { compareWith } from '../program.js';
import { Served } from '../served.js';
import { patient } from '../waits.js';
import { explained } from './explained.js';
import { partNames, sequences } from './generate.js';
import { guestMachine, makeDevices, options } from './machine.js';

const buildScript = fileURLToPath(new URL('../../../oracle/idxd.sh', import.meta.url));
const home = await buildKernel(buildScript);

await compareWith({
  parts: partNames,
  sequences,
  runs: 500,
  full: 4000,
  batch: 500,
  meant: explained,
  patient,
  kernel: new Guest(home, guestMachine),
  ours: new Served(join(home, 'executor'), makeDevices, options),
});
