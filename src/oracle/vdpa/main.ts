/**
 * `npm run test:vdpa-oracle`: compares vhost-vdpa files with Linux's own, over its simulators, on generated
 * sequences of calls (program.ts tells the options).
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
import { guestMachine, makeDevices } from './machine.js';

const buildScript = fileURLToPath(new URL('../../../oracle/vdpa.sh', import.meta.url));
const home = await buildKernel(buildScript);

await compareWith({
  parts: partNames,
  sequences,
  runs: 4000,
  full: 10_000,
  batch: 1000,
  meant: explained,
  patient,
  kernel: new Guest(home, guestMachine),
  ours: new Served(join(home, 'executor'), makeDevices),
});
