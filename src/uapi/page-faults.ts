/**
 * What read and write of page faults have in common in both ABIs: groups are read whole, and answered by
 * their cookie; a write is a list of answers, which ends with the first bad one.
 */
import type { FaultGroup, PageFaults, PageRequest } from '../ioasid/page-faults.js';
import { Refusal, refuse } from '../linux/errno.js';
import { getU32 } from './struct.js';

/** Where an answer has its fields. */
interface ResponseLayout {
  readonly size: number;
  readonly at: { readonly cookie: number; readonly code: number };
}

/** Stores one fault of a group, which is answered by `cookie`. `target` has its size, and zeros. */
export type EncodeFault = (
  target: Uint8Array,
  group: FaultGroup,
  request: PageRequest,
  cookie: number,
) => void;

/**
 * Reads as many groups as `target` has room for, each fault of `size` bytes. @returns the bytes; 0: there are
 * none. @throws Refusal EINVAL when not even the next one fits.
 */
export function readGroups(
  faults: PageFaults,
  target: Uint8Array,
  size: number,
  encode: EncodeFault,
): number {
  let done = 0;
  for (let group = faults.next; group !== undefined; group = faults.next) {
    const { requests } = group;
    if (requests.length * size > target.length - done) {
      if (done > 0) break;
      const room = `${target.length} bytes have no room`;
      refuse('EINVAL', `${room} for the ${requests.length} faults of the next group`);
    }
    const cookie = faults.take();
    for (const request of requests) {
      const fault = target.subarray(done, done + size).fill(0);
      encode(fault, group, request, cookie);
      done += size;
    }
  }
  return done;
}

/**
 * Answers groups, with codes up to `last`. @returns the bytes of the answers before the first bad one.
 * @throws Refusal EINVAL when that is the first of all: its code is unknown, or nothing waits for it.
 */
export function writeAnswers(
  faults: PageFaults,
  source: Uint8Array,
  { at, size }: ResponseLayout,
  last: number,
): number {
  for (let done = 0; done < source.length; done += size) {
    try {
      const code = getU32(source, done + at.code);
      if (code > last) refuse('EINVAL', `page response code ${code} is unknown`);
      faults.respond(getU32(source, done + at.cookie), code);
    } catch (error) {
      if (done > 0 && error instanceof Refusal) return done;
      throw error;
    }
  }
  return source.length;
}
