/** The conformance suite against an in-process machine, a new one for each test. */
import { fileURLToPath } from 'node:url';
import { Machine } from '../machine.js';
import { conformance } from './conformance.js';
import { conformanceDevices } from './conformance.test.helper.js';
import { InProcess } from './in-process.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

conformance(
  async () => new InProcess(await Machine.create({ devices: conformanceDevices, baseDirectory: root })),
);
