/** What an open of /dev/iommu stands for where that has the test interface. */
import type { Caller, OpenFile } from '../file/open-file.js';
import type { IommufdSubsystem } from '../iommufd/subsystem.js';
import { iommuTestTable } from '../uapi/iommu-test.js';
import { compatTable } from '../uapi/vfio-compat.js';
import { openIommufd } from './open-iommufd.js';

const testedTable = new Map([...compatTable, ...iommuTestTable]);

export function openTested(iommufd: IommufdSubsystem, rlimitMode: number, caller: Caller): OpenFile {
  return openIommufd(iommufd, rlimitMode, caller, testedTable);
}
