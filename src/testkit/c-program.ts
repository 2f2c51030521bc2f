/**
 * C programs of the tests: compiled once in each test process, into a folder that goes with it.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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
const compiled = new Map<string, string>();

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
  folder ??= ownFolder();
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
export function testProgram(name: string, how: Compilation = {}): string {
  const key = JSON.stringify([name, how]);
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const path = build(name, sourcesOf(name), how);
  compiled.set(key, path);
  return path;
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

function build(
  name: string,
  sources: readonly string[],
  { compiler = 'cc', standard = 'gnu11', linkage = 'dynamic' }: Compilation,
): string {
  folder ??= ownFolder();
  const program = join(folder, `${name}.${linkage}`);
  const warnings = ['-Wall', '-Wextra', '-pedantic', '-Werror'];
  const headers = ['-I', includeFolder, '-I', programFolder];
  const options = [`-std=${standard}`, ...warnings, '-pthread', ...links[linkage], ...headers];
  execFileSync(compiler, [...options, '-o', program, ...sources], { stdio: 'pipe' });
  return program;
}

function ownFolder(): string {
  const made = mkdtempSync(join(tmpdir(), 'ioasid-c-'));
  // Plain users run them too.
  chmodSync(made, 0o755);
  process.on('exit', () => rmSync(made, { recursive: true, force: true }));
  return made;
}
