/**
 * Page faults by read, write and poll of an open `/dev/ioasid`: the structs of include/ioasid.h, which are
 * read and written as they are.
 */

import { READABLE, WRITABLE } from '../file/open-file.js';
import type { IoasidContext } from '../ioasid/context.js';
import {
  type FaultGroup,
  PAGE_RESPONSE_FAILURE,
  type PageFaults,
  type PageRequest,
} from '../ioasid/page-faults.js';
import { refuse } from '../linux/errno.js';
import type { FileOperations } from './device-file.js';
import { readGroups, writeAnswers } from './page-faults.js';
import { setBig, setU32, struct, u32, u64 } from './struct.js';

export const PageFaultStruct = struct('ioasid_page_fault', {
  flags: u32,
  pasid: u32,
  group: u32,
  access: u32,
  iova: u64,
  device_cookie: u32,
  cookie: u32,
});
export const PageResponseStruct = struct('ioasid_page_response', { cookie: u32, code: u32 });

/** The last fault of its group. */
export const FAULT_LAST_PAGE = 1;

/** What an open `/dev/ioasid` does beside its ioctls. */
export function contextOperations(context: IoasidContext): FileOperations {
  const { faults } = context;
  return {
    stream: {
      ready: () => WRITABLE | (faults.next === undefined ? 0 : READABLE),
      arrivals: () => faults.arrivals,
    },
    read: (_offset, target) => readFaults(faults, target),
    write: (_offset, source) => writeResponses(faults, source),
    release: () => context.close(),
  };
}

function readFaults(faults: PageFaults, target: Uint8Array): number {
  const { size } = PageFaultStruct;
  requireWhole(target.length, size, 'page faults');
  const bytes = readGroups(faults, target, size, encodeFault);
  return bytes > 0 ? bytes : refuse('EAGAIN', 'there are no page faults to read now');
}

/** The PASID is that of the context, whatever the device's program calls it. */
function encodeFault(
  target: Uint8Array,
  { id, attachment }: FaultGroup,
  { group, last, access, address }: PageRequest,
  cookie: number,
): void {
  const { at } = PageFaultStruct;
  setU32(target, at.flags, last ? FAULT_LAST_PAGE : 0);
  setU32(target, at.pasid, attachment);
  setU32(target, at.group, group);
  setU32(target, at.access, access);
  setBig(target, at.iova, address);
  setU32(target, at.device_cookie, id);
  setU32(target, at.cookie, cookie);
}

function writeResponses(faults: PageFaults, source: Uint8Array): number {
  requireWhole(source.length, PageResponseStruct.size, 'page responses');
  return writeAnswers(faults, source, PageResponseStruct, PAGE_RESPONSE_FAILURE);
}

function requireWhole(length: number, size: number, what: string): void {
  if (length === 0 || length % size !== 0)
    refuse('EINVAL', `${length} bytes are not a whole number of ${what}, of ${size} bytes each`);
}
