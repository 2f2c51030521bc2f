/**
 * Folders are looked for, made and removed by a process that is not this one: who lists the folder above into
 * memory that does not come has that locked, as long as he likes, and no signal ends the wait of who would
 * make or remove something there; nor, behind that one, of who only looks for a name. So a helper process
 * waits.
 *
 * Invariant: nobody is waited for longer than PATIENCE_MS, where there are helpers.
 */
import { accessSync, mkdirSync, rmdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { Errno, errnoOf, errnoWords, Refusal, refuse } from './errno.js';
import { HelperProcess, Sys } from './helper-process.js';

/** More than any disk takes. */
const PATIENCE_MS = 1000;
const AT_FDCWD = -100;
const AT_REMOVEDIR = 0x200;
const F_OK = 0;
const MODE = 0o777;

/** Is something at the absolute `path`? @throws Refusal EBUSY somebody has the folder above locked. */
export function isThere(path: string): boolean {
  const errno = done(path, 'is not looked for', Sys.faccessat, F_OK, () => accessSync(path, F_OK));
  return errno === 0;
}

/**
 * Makes a folder at the absolute `path`, and what is above it. @returns whether it was not there.
 * @throws Refusal EBUSY somebody has the folder above it locked: this one is made when he lets it go; and as
 * mkdir(2).
 */
export function makeFolder(path: string): boolean {
  const make = () => done(path, 'is not made yet', Sys.mkdirat, MODE, () => mkdirSync(path));
  let errno = make();
  if (errno === Errno.ENOENT && dirname(path) !== path) {
    makeFolder(dirname(path));
    errno = make();
  }
  // Somebody else makes it just now.
  if (errno === Errno.EEXIST) return false;
  if (errno !== 0) throw new Refusal(errno, `the folder ${path} cannot be made: ${errnoWords(errno)}`);
  return true;
}

/**
 * Removes the empty folder at the absolute `path`. @throws Refusal EBUSY somebody has the folder above it
 * locked: this one is removed when he lets it go; and as rmdir(2).
 */
export function removeFolder(path: string): void {
  const errno = done(path, 'is not removed yet', Sys.unlinkat, AT_REMOVEDIR, () => rmdirSync(path));
  if (errno !== 0) throw new Refusal(errno, `the folder ${path} cannot be removed: ${errnoWords(errno)}`);
}

/**
 * Has a helper do `call` with `path` and one more argument; `here` does the same where there is none.
 * @returns its errno, 0: none. @throws Refusal EBUSY what has become of it: it has not ended in time.
 */
function done(path: string, late: string, call: number, argument: number, here: () => void): number {
  const bytes = Buffer.from(`${path}\0`);
  const helper = newHelper();
  if (helper === undefined) return errnoFrom(here);
  try {
    if (bytes.length > helper.data.length) return Errno.ENAMETOOLONG;
    helper.data.set(bytes);
    helper.put(0, call, AT_FDCWD, helper.dataAt, argument);
    if (helper.do(1, PATIENCE_MS) < 0)
      refuse('EBUSY', `the folder ${path} ${late}: somebody keeps the one above it locked`);
    return -helper.result(0);
  } finally {
    helper.kill();
  }
}

/** Positive, of what `call`, a call of Node's, throws; 0: nothing. */
function errnoFrom(call: () => void): number {
  try {
    call();
    return 0;
  } catch (error) {
    return errnoOf(error);
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
