/**
 * IOMMU_TEST_CMD: the test interface of Linux's iommufd (drivers/iommu/iommufd/iommufd_test.h, Linux 7.3, and
 * what 6.12 has besides), by which Linux's own suite makes devices and accesses, and looks at what page
 * tables lead to. It is there only when a machine is made with it.
 *
 * One ioctl, one struct: `op` says what is wanted, and which of the fields after the first four are meant.
 * Each operation has its own view of it (`iommu-test/layouts.ts`); the files beside that do them.
 */
import type { IommufdContext } from '../iommufd/context.js';
import { refuse } from '../linux/errno.js';
import { type IoctlTable, ioctlTable } from './ioctl.js';
import {
  accessPages,
  accessReplaceIoas,
  accessRw,
  createAccess,
  destroyAccessPages,
} from './iommu-test/accesses.js';
import { getDmaBuf, revokeDmaBuf } from './iommu-test/dma-bufs.js';
import { TestStruct } from './iommu-test/layouts.js';
import {
  checkCache,
  mockDomain,
  mockDomainReplace,
  pasidAttach,
  pasidCheck,
  pasidDetach,
  pasidReplace,
  triggerPageFault,
  triggerVevent,
} from './iommu-test/mock-devices.js';
import {
  addReserved,
  checkIotlb,
  checkMap,
  checkRefs,
  markDirty,
  setMemoryLimit,
} from './iommu-test/page-tables.js';
import { type Command, IOMMUFD_TYPE, iommufd } from './iommufd/command.js';
import { getU32 } from './struct.js';

/** @returns what the call returns, unless that is 0. */
type Operation = (context: IommufdContext, command: Command) => number | void;

/** By IOMMU_TEST_OP_*. */
const operations = new Map<number, Operation>([
  [1, addReserved],
  [2, mockDomain],
  [3, checkMap],
  [4, checkRefs],
  [5, createAccess],
  [6, destroyAccessPages],
  [7, accessPages],
  [8, accessRw],
  [9, setMemoryLimit],
  [10, mockDomainReplace],
  [11, accessReplaceIoas],
  [12, mockDomain],
  [13, markDirty],
  [14, checkIotlb],
  [15, triggerPageFault],
  [16, checkCache],
  [17, triggerVevent],
  [18, pasidAttach],
  [19, pasidReplace],
  [20, pasidDetach],
  [21, pasidCheck],
  [22, getDmaBuf],
  [23, revokeDmaBuf],
]);

const NR = 0xa0;
const NAME = 'IOMMU_TEST_CMD';
const command = iommufd(NAME, { nr: NR, struct: TestStruct, last: 'last', handle: test });

/** The ioctl of `/dev/iommu` that a machine for tests has besides the others. */
export const iommuTestTable: IoctlTable<IommufdContext> = ioctlTable({
  [NAME]: [(IOMMUFD_TYPE << 8) | NR, TestStruct, command],
});

function test(context: IommufdContext, command: Command): number {
  const op = getU32(command.data, TestStruct.at.op);
  const operation = operations.get(op) ?? refuse('EOPNOTSUPP', `test operation ${op} is not supported`);
  return operation(context, command) ?? 0;
}
