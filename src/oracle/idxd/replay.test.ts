/** /sys/bus/dsa answers as Linux's idxd did (`npm run test:idxd-oracle`). */
import { replays } from '../replays.js';
import { explained } from './explained.js';
import { oracleMachine } from './machine.js';

replays('tests/oracle/idxd', oracleMachine, explained);
