/**
 * `npm run test:vdpa-oracle`: compares vhost-vdpa files with Linux's own, over its simulators, on generated
 * sequences of calls.
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
import { guestMachine, makeDevices } from './machine.js';

const buildScript = fileURLToPath(new URL('../../../oracle/vdpa.sh', import.meta.url));
const line = oracleLine(
  'test:vdpa-oracle',
  "Compares vhost-vdpa files with Linux's own, over its simulators, on generated sequences of calls.",
  partNames,
).parse();
const home = await buildKernel(buildScript);

await compareWith(line, {
  sequences,
  runs: 4000,
  full: 10_000,
  batch: 1000,
  meant: explained,
  patient,
  kernel: new Guest(home, guestMachine),
  ours: new Served(join(home, 'executor'), makeDevices),
});
