/**
 * A newcomer's folder: what is in a checkout after `npm ci`, as far as documents speak of it, and a shell in
 * which their commands are run. It belongs to `runner`, and goes with the test process.
 *
 * `npx` and `ioasid` are those of this checkout, but in an empty folder; `cc` knows the headers of Debian 13,
 * and takes no warning; `rustc` is the machine's, or else Debian's.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bin, type Result, type Runner, requireSound, runner } from './processes.js';

export const root = fileURLToPath(new URL('../../', import.meta.url));
const PATIENCE_MS = 300_000;

/** What a script of scripts/ prints. @throws Error what it says when it fails. */
export function script(name: string, ...args: string[]): string {
  return execFileSync(join(root, 'scripts', name), args, { encoding: 'utf8', stdio: 'pipe' }).trim();
}

let tarball: string | undefined;

/** The package as `npm pack` makes it of this checkout, once in each test process. @returns its path. */
export function packed(): string {
  if (tarball !== undefined) return tarball;
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-pack-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  const options = ['--ignore-scripts', '--silent', '--pack-destination', folder];
  const name = execFileSync('npm', ['pack', ...options], { cwd: root, encoding: 'utf8', stdio: 'pipe' });
  tarball = join(folder, name.trim());
  return tarball;
}

export class Project {
  readonly folder: string;
  readonly #runner: Runner;
  readonly #tools: string;

  private constructor(whose: Runner) {
    this.#runner = whose;
    this.folder = mkdtempSync(join(tmpdir(), 'ioasid-project-'));
    this.#tools = join(this.folder, '.tools');
    process.on('exit', () => rmSync(this.folder, { recursive: true, force: true }));
    mkdirSync(this.#tools);
  }

  /** Nothing but what the machine has. */
  static empty(whose: Runner = runner): Project {
    const project = new Project(whose);
    project.#own();
    return project;
  }

  /** With the commands of this checkout. */
  static withCommands(whose: Runner = runner): Project {
    const project = new Project(whose);
    const ioasid = `exec "${process.execPath}" "${bin}"`;
    project.tool('ioasid', `${ioasid} "$@"`);
    const npx = spawnSync('sh', ['-c', 'command -v npx'], { encoding: 'utf8' }).stdout.trim();
    project.tool('npx', `[ "$1" = ioasid ] || exec "${npx}" "$@"\nshift\n${ioasid} "$@"`);
    return project;
  }

  /** As a checkout is: examples, headers, and the package by its name. */
  static ofCheckout(whose: Runner = runner): Project {
    const project = Project.withCommands(whose);
    for (const name of ['examples', 'include'])
      cpSync(join(root, name), join(project.folder, name), { recursive: true });
    mkdirSync(join(project.folder, 'node_modules'));
    symlinkSync(root, join(project.folder, 'node_modules/ioasid'));
    project.#own();
    return project;
  }

  /** A program of the reader's own: what `cargo`, `./tests` or `./my-driver` stand for. */
  tool(name: string, lines: string, folder = this.#tools): void {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\n${lines}\n`);
    chmodSync(path, 0o755);
  }

  /** C and Rust. @param suite of Debian's, whose headers of Linux are taken */
  compilers(suite = 'trixie'): this {
    const headers = script('linux-headers.sh', suite);
    this.tool('cc', `exec /usr/bin/cc -Wall -Wextra -Werror -isystem "${headers}" "$@"`);
    script('rustc.sh', '--version');
    // Without these tools, or it would find itself; a toolchain may lie in the home of whoever tests.
    this.tool(
      'rustc',
      `HOME="${process.env.HOME}" PATH="\${PATH#*:}" exec "${join(root, 'scripts/rustc.sh')}" "$@"`,
    );
    return this;
  }

  /** A file of the folder. */
  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
    this.#own();
  }

  /** Runs a line of shell in the folder, to its end. */
  run(command: string, input = ''): Result {
    const [file, ...args] = [...this.#runner.prefix, 'sh', '-c', command];
    // Without what tells a test of the test that it is one.
    const { NODE_TEST_CONTEXT: _, ...ours } = process.env;
    const env: NodeJS.ProcessEnv = { ...ours, PATH: `${this.#tools}:${process.env.PATH}`, HOME: this.folder };
    // `npm run` names the cache of who tests, which another user cannot write: he has one in his folder.
    if (this.#runner.uid !== process.geteuid?.()) delete env.npm_config_cache;
    const { status, signal, stdout, stderr } = spawnSync(file!, args, {
      cwd: this.folder,
      env,
      input,
      encoding: 'utf8',
      timeout: PATIENCE_MS,
    });
    requireSound(stderr);
    return { status, signal, stdout, stderr };
  }

  /** All that is in it is its user's. */
  #own(): void {
    const { uid } = this.#runner;
    if (uid === process.geteuid?.()) return;
    for (const name of ['', ...(readdirSync(this.folder, { recursive: true }) as string[])])
      if (!name.startsWith('node_modules/ioasid')) chownSync(join(this.folder, name), uid, uid);
  }
}
