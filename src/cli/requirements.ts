/**
 * What must hold before anything else of the command line is loaded: Node reads many modules at once, each by
 * a descriptor, and fails in the middle where there are too few. Imports nothing of ours.
 */
import { readFileSync, writeSync } from 'node:fs';

/** Open files that `run` cannot do without: modules that are loaded at once, and what it opens itself. */
const LEAST_FILES = 96;
/** As for every failure of ours (launch-plan.ts). */
const OUR_FAULT = 125;

/** The hard limit of open files; Node has raised the soft one to it. Infinity where it cannot be read. */
function hardFileLimit(): number {
  try {
    const limit = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
  } catch (error) {
    // macOS has no such file. With no descriptor left for it there are too few.
    return (error as NodeJS.ErrnoException).code === 'EMFILE' ? 0 : Number.POSITIVE_INFINITY;
  }
}

const limit = hardFileLimit();
if (limit < LEAST_FILES) {
  writeSync(
    2,
    `ioasid: the limit of open files is ${limit} (ulimit -Hn), and at least ${LEAST_FILES} are needed\n`,
  );
  process.exit(OUR_FAULT);
}
