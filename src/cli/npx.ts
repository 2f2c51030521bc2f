/**
 * npx, when it has started this process: `npx ioasid serve` is npm, a shell, and then us.
 *
 * npm hands on no signal to what it runs, and a shell in between keeps the kernel from telling us of its end.
 * Whoever ends npx means what it runs, so its end is watched.
 */
import { readFileSync } from 'node:fs';
import type { LoopSource } from '../linux/event-loop.js';
import { processEnd } from '../linux/fd-identity.js';

/** npm, a shell, and what a `.bin` entry may put between. */
const MOST_ANCESTORS = 4;

/** Name and parent of a process; undefined when it is gone. */
function processAt(pid: number): { readonly name: string; readonly parent: number } | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const name = /^Name:\t(.*)$/m.exec(status)?.[1] ?? '';
    return { name, parent: Number(/^PPid:\t(\d+)$/m.exec(status)?.[1] ?? 0) };
  } catch {
    return undefined;
  }
}

/** The npm that runs `npx`, among our ancestors. */
function npxProcess(): number | undefined {
  if (process.env.npm_command !== 'exec') return undefined;
  for (let pid = process.ppid, n = 0; pid > 1 && n < MOST_ANCESTORS; n++) {
    const ancestor = processAt(pid);
    if (ancestor === undefined) return undefined;
    if (/^np[mx]/.test(ancestor.name)) return pid;
    pid = ancestor.parent;
  }
  return undefined;
}

/** Calls `end` when the npx that has started this process ends; nothing to watch without one. */
export function npxSource(end: () => never): readonly LoopSource[] {
  const npx = npxProcess();
  const fd = npx === undefined ? undefined : processEnd(npx);
  return fd === undefined ? [] : [{ fd, ready: () => end() }];
}
