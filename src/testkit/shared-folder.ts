/**
 * A folder that all processes of a suite share, for what takes long to make or to find out and is the same
 * for all of them: the C programs of the tests, and what the machine can do.
 *
 * run-tests.ts makes it. Processes that belong to no suite have none, and make and find out for
 * themselves.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NAME = 'IOASID_TEST_FOLDER';

/** The path of it, or undefined. */
export function sharedFolder(): string | undefined {
  return process.env[NAME];
}

/** Has this process, and those that it starts, share a new one, unless there is one. */
export function shareFolder(): void {
  process.env[NAME] ??= newFolder();
}

/** A new folder, which plain users may look into, until this process ends. */
export function newFolder(): string {
  const made = mkdtempSync(join(tmpdir(), 'ioasid-tests-'));
  chmodSync(made, 0o755);
  process.on('exit', () => rmSync(made, { recursive: true, force: true }));
  return made;
}

const answers = new Map<string, unknown>();

/** What was found out about `what`, by whichever process; undefined where nobody has kept it. */
export function known<T>(what: string): T | undefined {
  const path = join(sharedFolder() ?? '', what);
  if (!answers.has(what) && sharedFolder() !== undefined && existsSync(path))
    answers.set(what, JSON.parse(readFileSync(path, 'utf8')));
  return answers.get(what) as T | undefined;
}

/** Keeps `answer`, which is JSON, for this process and the others. @returns it. */
export function keep<T>(what: string, answer: T): T {
  answers.set(what, answer);
  const folder = sharedFolder();
  if (folder === undefined) return answer;
  // Two processes may have found it out at once: it is there when it is whole.
  const whole = join(folder, `${what}.${process.pid}`);
  writeFileSync(whole, JSON.stringify(answer));
  renameSync(whole, join(folder, what));
  return answer;
}
