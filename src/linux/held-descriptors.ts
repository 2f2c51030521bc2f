/**
 * How many descriptors of this process are held for callers: copies of their files and eventfds, and what
 * stands for their memory.
 *
 * A caller costs the server descriptors that his own limit does not count. Past `limit` he is refused, so
 * that the rest is always there for the server's own work, which needs a few at a time: reading /proc,
 * identifying a file, answering `ls`.
 */
import { readFileSync } from 'node:fs';
import { refuse } from './errno.js';

/** Descriptors that stay the server's own, where it has twice as many. */
const RESERVE = 1024;

let held = 0;
let limit: number | undefined;

/** Counts `count` more. @throws Refusal EMFILE when that is more than callers may have all together. */
export function holdDescriptors(count: number): void {
  limit ??= limitOf(softLimit());
  if (held + count > limit)
    refuse('EMFILE', `the server holds ${held} descriptors for its callers already, of at most ${limit}`);
  held += count;
}

/** `count` of them have been closed. */
export function dropDescriptors(count: number): void {
  held -= count;
}

/** The descriptors that may be held by a process with the soft limit `files`. */
export function limitOf(files: number): number {
  return files - Math.min(RESERVE, Math.floor(files / 2));
}

/** RLIMIT_NOFILE; Node has raised it to the hard limit at its start. */
function softLimit(): number {
  const text = readFileSync('/proc/self/limits', 'latin1');
  const value = Number(/^Max open files\s+(\d+)/m.exec(text)?.[1]);
  return Number.isInteger(value) ? value : RESERVE;
}
