/**
 * `npm run test:oracle`: compares /dev/iommu with Linux's own iommufd on generated sequences of
 * ioctls.
 */
import { fileURLToPath } from 'node:url';
import { explained } from './explained.js';
import { explainedOfMdevs } from './explained-mdev.js';
import { partNames, sequences } from './generate.js';
import { buildKernel, Kernel } from './kernel.js';
import { oracleMachine } from './machine.js';
import { Ours } from './ours.js';
import { compareWith, oracleLine } from './program.js';

const buildScript = fileURLToPath(new URL('../../oracle/build.sh', import.meta.url));
const line = oracleLine(
  'test:oracle',
  "Compares /dev/iommu with Linux's own iommufd on generated sequences of ioctls.",
  partNames,
).parse();

await compareWith(line, {
  sequences,
  runs: 10_000,
  batch: 500,
  meant: [...explained, ...explainedOfMdevs],
  kernel: new Kernel(await buildKernel(buildScript)),
  ours: new Ours(await oracleMachine()),
});
