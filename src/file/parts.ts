/**
 * A transfer in parts, as readv(2) and its kin make it on a character device: one call of the device for each
 * buffer, until one is short or refused.
 */

/**
 * Calls `transfer` for each of `lengths` with its begin and end, and returns what all have done together.
 * @throws what `transfer` throws, of the first part alone: later ones count as short.
 */
export function inParts(
  lengths: readonly number[],
  transfer: (begin: number, end: number) => number,
): number {
  let done = 0;
  for (const length of lengths) {
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
