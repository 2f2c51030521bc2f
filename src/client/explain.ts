/**
 * Asks a file of ours why it has just refused (IOASID_EXPLAIN): the reason that an errno alone does not give.
 */
import { Refusal } from '../linux/errno.js';
import { ExplainStruct, ioctlNumber } from '../uapi/ioasid.js';
import { sized } from '../uapi/struct.js';
import type { Transport } from './transport.js';

/**
 * The Refusal for `errno` that `fd` has just answered, with its reason if it is a file of ours, else with
 * `otherwise`.
 */
export function explained(
  rawIoctl: Transport['ioctl'],
  fd: number,
  errno: number,
  otherwise: string,
): Refusal {
  const data = sized(ExplainStruct, {});
  try {
    rawIoctl(fd, ioctlNumber('IOASID_EXPLAIN'), data);
  } catch {
    return new Refusal(errno, otherwise);
  }
  const { error, reason, length } = ExplainStruct.decode(data);
  // Another errno than the one just seen: the refusal came from the kernel itself and ours is an older one.
  if (error !== errno) return new Refusal(errno, otherwise);
  return new Refusal(errno, new TextDecoder().decode(reason.subarray(0, length)));
}

/** An ioctl whose refusal is explained. @throws Refusal with the reason that the file gives. */
export function explainedIoctl(
  rawIoctl: Transport['ioctl'],
  fd: number,
  cmd: number,
  data: Uint8Array,
): number {
  try {
    return rawIoctl(fd, cmd, data);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw explained(rawIoctl, fd, error.errno, error.reason);
  }
}
