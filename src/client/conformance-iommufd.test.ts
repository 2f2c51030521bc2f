/** The conformance suites of iommufd against an in-process machine, a new one for each test. */
import { fileURLToPath } from 'node:url';
import { Machine } from '../machine.js';
import { conformanceDevices } from './conformance.test.helper.js';
import { conformanceFaults } from './conformance-faults.js';
import { conformanceIommufd } from './conformance-iommufd.js';
import { conformanceNested } from './conformance-nested.js';
import { InProcess } from './in-process.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

const makeProcess = async () =>
  new InProcess(await Machine.create({ devices: conformanceDevices, baseDirectory: root }));
conformanceIommufd(makeProcess);
conformanceNested(makeProcess);
conformanceFaults(makeProcess);
