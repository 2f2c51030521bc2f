/** The conformance suite against an in-process machine, a new one for each test. */
import { fileURLToPath } from 'node:url';
import { InProcess } from '../client/in-process.js';
import { Machine } from '../machine.js';
import { conformanceDevices } from './fixture.js';
import { conformance } from './native.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

conformance(
  async () => new InProcess(await Machine.create({ devices: conformanceDevices, baseDirectory: root })),
);
