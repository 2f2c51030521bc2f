/**
 * The command of `ioasid run` in `ioasid demo`: tells the story with real processes. Its exit status is the
 * demo's.
 */
import { makeRealWorld } from './real-world.js';
import { Report } from './report.js';
import { tell } from './story.js';

const report = new Report((line) => process.stdout.write(`${line}\n`));
process.exitCode = (await tell(makeRealWorld(), report)) ? 0 : 1;
