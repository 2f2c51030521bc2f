/** The conformance suite of vIOMMUs against an in-process machine, a new one for each test. */
import { fileURLToPath } from 'node:url';
import { InProcess } from '../client/in-process.js';
import { Machine } from '../machine.js';
import { conformanceDevices } from './fixture.js';
import { conformanceViommu } from './viommu.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

conformanceViommu(
  async () =>
    new InProcess(
      await Machine.create({ devices: conformanceDevices, baseDirectory: root, iommuTest: true }),
    ),
);
