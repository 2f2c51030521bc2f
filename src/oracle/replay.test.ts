/** /dev/iommu answers as Linux did (`npm run test:oracle`). */
import { explained } from './explained.js';
import { explainedOfMdevs } from './explained-mdev.js';
import { oracleMachine } from './machine.js';
import { replays } from './replays.js';

replays('tests/oracle', oracleMachine, [...explained, ...explainedOfMdevs]);
