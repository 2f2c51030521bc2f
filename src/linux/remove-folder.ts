/**
 * Removes a folder, by a process that is not this one: who lists the folder above it into memory that does
 * not come has that locked, as long as he likes, and no signal ends the wait of who would remove something
 * there. So a helper process waits.
 *
 * Invariant: nobody is waited for longer than PATIENCE_MS, where there are helpers.
 */
import { rmdirSync } from 'node:fs';
import { Refusal, refuse } from './errno.js';
import { HelperProcess, Sys } from './helper-process.js';

/** More than any disk takes. */
const PATIENCE_MS = 1000;
const AT_FDCWD = -100;
const AT_REMOVEDIR = 0x200;

/**
 * Removes the empty folder at the absolute `path`. @throws Refusal EBUSY somebody has the folder above it
 * locked: this one is removed when he lets it go; and as rmdir(2).
 */
export function removeFolder(path: string): void {
  const helper = newHelper();
  if (helper === undefined) {
    rmdirSync(path);
    return;
  }
  try {
    helper.data.set(Buffer.from(`${path}\0`));
    helper.put(0, Sys.unlinkat, AT_FDCWD, helper.dataAt, AT_REMOVEDIR);
    if (helper.do(1, PATIENCE_MS) < 0)
      refuse('EBUSY', `the folder ${path} is not removed yet: somebody keeps the one above it locked`);
    const result = helper.result(0);
    if (result < 0) throw new Refusal(-result, `the folder ${path} cannot be removed`);
  } finally {
    helper.kill();
  }
}

/** Undefined: there is none here. */
function newHelper(): HelperProcess | undefined {
  try {
    return new HelperProcess();
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}
