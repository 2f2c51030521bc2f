/**
 * What the code says of itself, where it can be checked as it runs: a reference is dropped once, a slot freed
 * once, a count does not fall below zero.
 *
 * A Refusal is an answer to a program. A BrokenInvariant is a bug of ours: whoever serves the call answers
 * EIO, prints it with its stack and serves the next, and in a test it fails the test.
 *
 * Checks that cost a comparison are always made. Those on the way of each DMA are made where IOASID_CHECKS is
 * 1, as it is in the tests.
 */

/** Are the checks made that each DMA would pay for? */
export const CHECKED = process.env.IOASID_CHECKS === '1';

/** The message names the object and what is wrong with it: `IOAS 3 was dropped by more than hold it`. */
export class BrokenInvariant extends Error {
  override readonly name = 'BrokenInvariant';
}

/** Throws a BrokenInvariant. */
export function broken(what: string): never {
  throw new BrokenInvariant(what);
}

/**
 * Does every step of a release, whatever the steps before it throw; then throws what the first of those did.
 * The steps may be made while they are done. One that would be work in slices (file/work.ts) is none of
 * these: what it returns is not done.
 */
export function release(steps: Iterable<() => unknown>): void {
  releaseEach(steps, (step) => {
    if (typeof step() === 'object') broken(`a step of a release has returned work: ${step}`);
  });
}

/** The same of one step for each of `items`. */
export function releaseEach<T>(items: Iterable<T>, step: (item: T) => void): void {
  const thrown: unknown[] = [];
  for (const item of items) {
    try {
      step(item);
    } catch (error) {
      thrown.push(error);
    }
  }
  if (thrown.length > 0) throw thrown[0];
}
