/**
 * `npm run test:vfio-oracle`: compares device files, groups and containers with real vfio-pci and type1 on
 * generated sequences of calls.
 *
 * With `--served` our side is real files under `ioasid run`, which answer the calls that every file has, too.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Guest } from '../guest.js';
import { buildKernel } from '../kernel.js';
import { Ours } from '../ours.js';
import { compareWith, oracleLine } from '../program.js';
import { Served } from '../served.js';
import { explained } from './explained.js';
import { explainedOfDevices, explainedOfFiles } from './explained-device.js';
import { partNames, sequences, servedPartNames } from './generate.js';
import { deviceMachine, guestMachine, specs } from './machine.js';
import { patient } from './steps-irqs.js';

const buildScript = fileURLToPath(new URL('../../../oracle/vfio.sh', import.meta.url));
const served = process.argv.includes('--served');
const line = oracleLine(
  'test:vfio-oracle',
  'Compares device files, groups and containers with real vfio-pci and type1 on generated calls.',
  served ? servedPartNames : partNames,
)
  .option('--served', 'our side is real files under `ioasid run`')
  .parse();
const home = await buildKernel(buildScript);

await compareWith(line, {
  sequences,
  runs: 1000,
  full: 2500,
  batch: 1250,
  meant: [...explained, ...explainedOfDevices, ...(served ? explainedOfFiles : [])],
  patient,
  kernel: new Guest(home, guestMachine),
  ours: served ? new Served(join(home, 'executor'), async () => specs) : new Ours(await deviceMachine()),
});
