/** The conformance suites of iommufd against an in-process machine, a new one for each test. */
import { fileURLToPath } from 'node:url';
import { InProcess } from '../client/in-process.js';
import { Machine } from '../machine.js';
import { conformanceFaults } from './faults.js';
import { conformanceDevices } from './fixture.js';
import { conformanceIommufd } from './iommufd.js';
import { conformanceNested } from './nested.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

const makeProcess = async () =>
  new InProcess(await Machine.create({ devices: conformanceDevices, baseDirectory: root }));
conformanceIommufd(makeProcess);
conformanceNested(makeProcess);
conformanceFaults(makeProcess);
