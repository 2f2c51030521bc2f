/**
 * A transfer in parts, as readv(2) and its kin make it on a character device: one call of the device for each
 * buffer, until one is short or refused.
 */
import type { Work } from './work.js';

/**
 * Calls `transfer` for each of `lengths` with its begin and end, and returns what all have done together.
 * @throws what `transfer` throws, of the first part alone: later ones count as short.
 */
export function* inParts(
  lengths: Iterable<number>,
  transfer: (begin: number, end: number) => number,
): Work<number> {
  let done = 0;
  for (const length of lengths) {
    if (done > 0) yield;
    try {
      const got = transfer(done, done + length);
      done += got;
      if (got < length) break;
    } catch (error) {
      if (done === 0) throw error;
      break;
    }
  }
  return done;
}
