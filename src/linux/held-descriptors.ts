/**
 * Descriptors of this process that are held for callers: copies of their files and eventfds, and what stands
 * for their memory. A caller costs the server descriptors that his own limit does not count, so they are
 * charged to an account.
 *
 * What the server had open before, and some more, is its own: each call needs a few while it is served, to
 * read /proc or to identify a file, and so does who asks for `ls`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { type Account, Pool } from './account.js';

/** Descriptors that stay the server's own, where it has twice as many to give. */
const RESERVE = 64;
/** The soft limit where it cannot be read. */
const USUAL_LIMIT = 1024;

export const heldDescriptors = new Pool('descriptors', 'EMFILE', () =>
  poolOf(softLimit(), readdirSync('/proc/self/fd').length),
);

/** A descriptor of ours that is charged to an account until it is closed. */
export interface HeldDescriptor {
  readonly fd: number;
  readonly account: Account;
}

/** How many descriptors callers may have of a process with the soft limit `files` and `own` open itself. */
export function poolOf(files: number, own: number): number {
  const left = Math.max(0, files - own);
  return left - Math.min(RESERVE, Math.floor(left / 2));
}

/** RLIMIT_NOFILE; Node has raised it to the hard limit at its start. */
function softLimit(): number {
  const text = readFileSync('/proc/self/limits', 'latin1');
  const value = Number(/^Max open files\s+(\d+)/m.exec(text)?.[1]);
  return Number.isInteger(value) ? value : USUAL_LIMIT;
}
