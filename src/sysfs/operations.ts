/** The bit mask of operations that a DSA shows; its work queues show theirs as it is. */
import type { IdxdDevice } from '../idxd/device.js';
import { bitmapText } from './numbers.js';

const OPERATION_BITS = 256;
const BATCH = 1n << 1n;
const VERSION_1 = 0x100;

/** Where users may not submit what nobody has looked at, no device of version 1 shows batches. */
export function operationsText({ userSubmissionSafe, caps }: IdxdDevice, operations: bigint): string {
  const hidden = !userSubmissionSafe && caps.version === VERSION_1 ? BATCH : 0n;
  return `${bitmapText(operations & ~hidden, OPERATION_BITS)}\n`;
}
