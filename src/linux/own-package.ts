/**
 * Where this package has its own files.
 *
 * The sources are compiled twice over: file by file into dist/, for tests and types, and bundled into lib/
 * (scripts/bundle.js), for whoever uses the package. A source that is a program of its own has the same
 * path below both; what runs here finds it beside the code that it was bundled with.
 */
import { fileURLToPath } from 'node:url';

/** The folder of the compiled sources that run here, with a slash at the end. */
export const ownCode = new URL('..', import.meta.url);

/** A file of the package, by its path from the folder of package.json: `bin/ioasid`. */
export function ownFile(path: string): string {
  return fileURLToPath(new URL(`../${path}`, ownCode));
}

/** A source that is a program of its own, by its path in `src`: `cli/guard-main.js`. */
export function ownScript(path: string): string {
  return fileURLToPath(new URL(path, ownCode));
}
