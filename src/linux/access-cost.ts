/**
 * AccessCost: what accesses to memory of programs have come to beyond one access each, where a helper process
 * makes them (as many as it takes microseconds), or where it is looked first whose filesystem a page is of.
 *
 * How much a step of a device may do, and whether another follows at once, is decided by it. So it is part of
 * a recording (trace/recorded-memory.ts), and a replay adds what was recorded (replay/replayed-memory.ts).
 */

let effort = 0;
let kept = 0;

/** So far, in accesses to memory (devices/effort.ts). It grows. */
export function effortOfAccesses(): number {
  return effort;
}

/** For how many milliseconds they have kept this thread so far. */
export function keptByAccesses(): number {
  return kept;
}

/** An access has come to as much as `more` others, and has kept us for `ms`. Both are whole numbers. */
export function costs(more: number, ms = 0): void {
  effort += more;
  kept += ms;
}
