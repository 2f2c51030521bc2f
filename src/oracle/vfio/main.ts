/**
 * `npm run test:vfio-oracle`: compares device files, groups and containers with real vfio-pci and type1 on
 * generated sequences of calls (program.ts tells the options).
 */
import { fileURLToPath } from 'node:url';
import { Guest } from '../guest.js';
import { buildKernel } from '../kernel.js';
import { Ours } from '../ours.js';
import { compareWith } from '../program.js';
import { explained } from './explained.js';
import { explainedOfDevices } from './explained-device.js';
import { partNames, sequences } from './generate.js';
import { deviceMachine, guestMachine } from './machine.js';

const buildScript = fileURLToPath(new URL('../../../oracle/vfio.sh', import.meta.url));

await compareWith({
  parts: partNames,
  sequences,
  runs: 4000,
  batch: 2000,
  meant: [...explained, ...explainedOfDevices],
  kernel: new Guest(await buildKernel(buildScript), guestMachine),
  ours: new Ours(await deviceMachine()),
});
