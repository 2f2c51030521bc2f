/**
 * The test files of a folder in one process: to start Node and its test runner costs as much as most of them.
 *
 * A folder of `src` that has a file of its name in `testkit/together` is run so, with what is below it. Each
 * test file is a suite there, with its own hooks, so that a failure names file and test. Any file can be run
 * by itself all the same, and those of `ALONE` always are.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { basename, join, relative } from 'node:path/posix';
import { describe } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** What tsc made of `src`. Paths of test files are below it. */
export const compiled = fileURLToPath(new URL('../', import.meta.url));
const entries = 'testkit/together';

/** Files of such folders that need a process for themselves, and why. */
export const ALONE: Readonly<Record<string, string>> = {
  'conformance/real.test.js': 'it runs the others of its folder, in processes below `ioasid run`',
  'devices/file-medium.test.js': 'it has fdatasync(2) of the whole process wait',
  'devfs/keeper.test.js': 'it counts the inodes of all users, of which tests of servers have some',
  'iommu/effort.test.js':
    'what it has kept waiting is charged for seconds, when others count what is charged',
};

/** The test files below `folder`, in order. */
export function testFiles(folder = '.', root = compiled): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.js'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

/** The test files of `folder` that share a process. */
export function filesTogether(folder: string, root = compiled): string[] {
  return testFiles(folder, root).filter((file) => ALONE[file] === undefined);
}

/** The folders whose test files share a process, by the file that runs them. */
export function foldersTogether(): Map<string, string> {
  const names = readdirSync(join(compiled, entries)).filter((name) => name.endsWith('.js'));
  return new Map(names.map((name) => [`${entries}/${name}`, basename(name, '.js')]));
}

/** What Node's test runner is given, so that each of `files` is run once. */
export function processesFor(files: readonly string[]): string[] {
  const wanted = new Set(files);
  const shared = [...foldersTogether()]
    .map(([entry, folder]) => ({ entry, inside: filesTogether(folder) }))
    .filter(({ inside }) => inside.every((file) => wanted.has(file)));
  for (const { inside } of shared) for (const file of inside) wanted.delete(file);
  return [...shared.map(({ entry }) => entry), ...wanted];
}

/**
 * Runs the test files that share a process, of the folder that has the name of the file `entry`, a URL. All
 * are imported before the first test runs. One that cannot be imported is a suite that fails, and the others
 * run.
 */
export function together(entry: string, root = compiled): void {
  const folder = basename(entry, '.js');
  const files = filesTogether(folder, root);
  assert.ok(files.length > 0, `there are no test files in ${folder}`);
  describe(folder, async () => {
    // One after another: what a file registers while it is imported belongs to the suite that is being made.
    for (const file of files)
      await new Promise<void>((imported) => {
        describe(file, () => import(pathToFileURL(join(root, file)).href).finally(imported));
      });
  });
}
