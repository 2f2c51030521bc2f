/** Device files, groups and containers answer as real vfio-pci and type1 did (`npm run test:vfio-oracle`). */
import { replays } from '../replays.js';
import { explained } from './explained.js';
import { explainedOfDevices } from './explained-device.js';
import { deviceMachine } from './machine.js';

replays('tests/oracle/vfio', deviceMachine, [...explained, ...explainedOfDevices]);
