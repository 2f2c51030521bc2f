/**
 * C programs of the tests. Those of tests/c are compiled once for all processes of a suite
 * (shared-folder.ts). What a test has a text for is compiled in its process.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { newFolder, sharedFolder } from './shared-folder.js';

/** The repository, as seen from dist/. */
const root = fileURLToPath(new URL('../../', import.meta.url));
/** Where ioasid.h is. */
export const includeFolder = join(root, 'include');
/** Where the C programs of the tests are. */
const programFolder = join(root, 'tests/c');

/** How to compile: without a warning, in this standard. */
export interface Compilation {
  readonly compiler?: 'cc' | 'c++';
  readonly standard?: string;
  /** `shared`: not a program, but a library. */
  readonly linkage?: keyof typeof links;
}

const links = { dynamic: [], static: ['-static'], shared: ['-shared', '-fPIC'] } as const;

let folder: string | undefined;

/** Why the compiler `command` cannot be used, or false. */
export function missingCompiler(command: 'cc' | 'c++' = 'cc'): string | false {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' });
    return false;
  } catch {
    return `there is no C compiler "${command}" on this machine`;
  }
}

/**
 * Compiles `source`, all warnings being errors. `name` is that of its file. @returns the path of the program.
 * @throws Error with what the compiler says.
 */
export function compile(name: string, source: string, how: Compilation = {}): string {
  folder ??= newFolder();
  const path = join(folder, name);
  writeFileSync(path, source);
  return build(name, [path], how);
}

/** The names of the programs in tests/c: files, and folders of files that are one program. */
export function testProgramNames(): string[] {
  const entries = readdirSync(programFolder, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory() || entry.name.endsWith('.c'))
    .map(({ name }) => name.replace(/\.c$/, ''));
}

/** The program tests/c/NAME.c, or that of all files in tests/c/NAME, compiled. @returns its path. */
export function testProgram(
  name: string,
  { linkage = 'dynamic' }: Pick<Compilation, 'linkage'> = {},
): string {
  folder ??= newFolder();
  const path = join(sharedFolder() ?? folder, `${name}.${linkage}`);
  // Two processes may compile it at once: it is there when it is whole.
  if (!existsSync(path)) renameSync(build(`${name}-${process.pid}`, sourcesOf(name), { linkage }), path);
  return path;
}

/** Has the compiler read the programs tests/c/NAME. @throws Error with what it warns of. */
export function readPrograms(names: readonly string[]): void {
  execFileSync('cc', ['-fsyntax-only', ...optionsOf({}), ...names.flatMap(sourcesOf)], { stdio: 'pipe' });
}

/** What asks an oracle's calls in a guest, oracle/executor.c and its parts, compiled. @returns its path. */
export function oracleExecutor(): string {
  const parts = ['executor', 'names', 'answers', 'ioctl', 'files', 'memory', 'device', 'attributes'];
  return build(
    'executor',
    parts.map((part) => join(root, 'oracle', `${part}.c`)),
    {},
  );
}

function sourcesOf(name: string): string[] {
  const path = join(programFolder, name);
  if (!existsSync(path)) return [`${path}.c`];
  const files = readdirSync(path).filter((file) => file.endsWith('.c'));
  return files.map((file) => join(path, file));
}

function build(name: string, sources: readonly string[], how: Compilation): string {
  folder ??= newFolder();
  const program = join(folder, `${name}.${how.linkage ?? 'dynamic'}`);
  execFileSync(how.compiler ?? 'cc', [...optionsOf(how), '-o', program, ...sources], { stdio: 'pipe' });
  return program;
}

function optionsOf({ standard = 'gnu11', linkage = 'dynamic' }: Compilation): string[] {
  const warnings = ['-Wall', '-Wextra', '-pedantic', '-Werror'];
  const headers = ['-I', includeFolder, '-I', programFolder];
  return [`-std=${standard}`, ...warnings, '-pthread', ...links[linkage], ...headers];
}
