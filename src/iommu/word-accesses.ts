/**
 * WordAccesses: accesses to memory that is reached word by word, as the registers of a device are.
 *
 * Each is a call of a device model, a hundred times as dear as the same bytes of memory. So they are effort
 * of the step that makes them, and one request makes MOST of them at most: in all its parts, and with those
 * that a device makes in turn because one of its registers was written. That are the bytes of a page.
 *
 * Invariant: `begin` and `end` enclose each request, and those in it are part of the outermost.
 */

/** In one request. */
export const MOST_WORDS = 512;
/** As much effort as so many accesses to memory. */
const EFFORT = 4;

let effort = 0;
let left = 0;
let under = 0;

/** What they have come to, as Requester.effort. It grows. */
export function effortOfWords(): number {
  return effort;
}

/** A request begins, or a part of one. */
export function beginWords(): void {
  if (under++ === 0) left = MOST_WORDS;
}

export function endWords(): void {
  under--;
}

/** An access is to be made. @returns whether the request may. */
export function takeWord(): boolean {
  if (left === 0) return false;
  left--;
  effort += EFFORT;
  return true;
}
