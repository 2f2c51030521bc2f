/**
 * Random bytes of the kernel's, for names and numbers that nobody is to guess. node:crypto has them too, and
 * takes longer to load than a start has to spare.
 */
import { addressOf, check, libc } from './ffi.js';

/** What getrandom(2) gives in one piece, whatever signals come. */
const MOST = 256;

/** `length` of them, 256 at most. @throws Refusal ENOSYS the kernel has none. */
export function randomBytes(length: number): Buffer {
  const bytes = Buffer.alloc(MOST);
  check(libc().getrandom(addressOf(bytes), length, 0), 'there are no random bytes to be had');
  return bytes.subarray(0, length);
}
