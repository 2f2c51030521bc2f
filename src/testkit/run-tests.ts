/**
 * Runs the test files that are its arguments, each in a process, and reports as `node --test` does.
 *
 * That sorts the files by name: a large one that begins late leaves the other processors with nothing to do
 * at the end. Here they begin in the order of the arguments. Nor does it load, in Node 20, what `--import`
 * names before it starts the test processes, so that these would share no folder (shared-folder.ts).
 */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { run } from 'node:test';
import { spec as Spec } from 'node:test/reporters';
import { shareFolder } from './shared-folder.js';

/** A test file that takes longer has failed, in milliseconds. */
const TIMEOUT = 300_000;

shareFolder();
const files = process.argv.slice(2).map((path) => resolve(path));
// One more process than processors: tests of real processes wait as much as they compute.
run({ files, concurrency: availableParallelism() + 1, timeout: TIMEOUT })
  .on('test:fail', () => {
    process.exitCode = 1;
  })
  .compose(new Spec())
  .pipe(process.stdout);
