/**
 * The references: C programs from the folder `bench/`, compiled for this run and thrown away after it.
 *
 * Each of them makes one measured pass for every line on its stdin and answers with the nanoseconds of one
 * operation. So passes of both sides can take turns, and whatever else the machine does meets both.
 */
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { median } from './measurement.js';

const sources = fileURLToPath(new URL('../../bench/', import.meta.url));

/** Compiles references into a folder of its own. */
export class References {
  readonly folder = mkdtempSync(join(tmpdir(), 'ioasid-bench-'));
  /** False on a machine without `cc`. */
  readonly hasCompiler: boolean;

  constructor() {
    this.hasCompiler = isCommand('cc');
  }

  /** The path of the compiled `bench/NAME.c`. */
  compile(name: string): string {
    const program = join(this.folder, name);
    execFileSync('cc', ['-O2', '-pthread', '-o', program, join(sources, `${name}.c`)]);
    return program;
  }

  /** Starts the reference NAME, or returns undefined when it cannot be built. */
  start(name: string, ...args: (string | number)[]): Passes | undefined {
    return this.hasCompiler ? new Passes([this.compile(name), ...args.map(String)]) : undefined;
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** True when `name` can be run. */
export function isCommand(name: string): boolean {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A pass may be so short that a dozen of them are over before the engine has compiled what they do. */
const WARM_UP_MS = 500;

/** What makes measured passes. */
export interface Side {
  /** One pass. @returns the nanoseconds of one operation. @throws Error when a result is wrong. */
  pass(): number | Promise<number>;
  /** Gives back what it has. @throws Error when a result was wrong. */
  close?(): void | Promise<void>;
}

/** A program that makes one measured pass per line of its stdin. */
export class Passes implements Side {
  readonly #name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string>;
  readonly #exit: Promise<unknown[]>;

  constructor([command, ...args]: readonly string[]) {
    this.#name = [command, ...args].join(' ');
    this.#child = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdin.on('error', () => {});
    this.#exit = once(this.#child, 'exit');
    this.#lines = createInterface(this.#child.stdout);
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  /**
   * One pass. @returns the nanoseconds of one operation. @throws when the program has ended: it found a wrong
   * result.
   */
  async pass(): Promise<number> {
    this.#child.stdin.write('\n');
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`${this.#name} ended early`);
    return Number(value);
  }

  /** Ends the program. @throws when it says that a result was wrong. */
  async close(): Promise<void> {
    this.#child.stdin.end();
    const [code] = await this.#exit;
    this.#lines.close();
    if (code !== 0) throw new Error(`${this.#name} ended with status ${String(code)}`);
  }
}

/** What two sides came to. */
export interface Comparison {
  readonly ours: number;
  readonly reference: number | undefined;
  readonly ratio: number | undefined;
}

type Pass = () => number | Promise<number>;

/** Lets both sides take turns: `warmups` rounds that do not count, `rounds` that do. */
export async function compare(
  ours: Pass,
  reference: Pass | undefined,
  rounds: number,
  warmups = 3,
): Promise<Comparison> {
  const us: number[] = [];
  const them: number[] = [];
  for (let round = -warmups; round < rounds; round++) {
    const theirs = await reference?.();
    const own = await ours();
    if (round < 0) continue;
    us.push(own);
    if (theirs !== undefined) them.push(theirs);
  }
  if (them.length === 0) return { ours: median(us), reference: undefined, ratio: undefined };
  return { ours: median(us), reference: median(them), ratio: median(us.map((own, i) => own / them[i]!)) };
}

/** Lets both sides take turns until the engine has compiled what they do, and `rounds` more; closes both. */
export async function compareTo(
  ours: Side,
  reference: Side | undefined,
  rounds: number,
): Promise<Comparison> {
  const [us, them] = [() => ours.pass(), reference && (() => reference.pass())];
  const until = performance.now() + WARM_UP_MS;
  while (performance.now() < until) await compare(us, them, 0, 1);
  const result = await compare(us, them, rounds);
  await reference?.close?.();
  await ours.close?.();
  return result;
}

/**
 * Nanoseconds of one of `count` operations that `work` does: of the processor, for all threads of the engine,
 * so that what other processes take does not count. The references have the same clock (cpu_ns).
 */
export function timed(count: number, work: () => void): number {
  const begin = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(begin);
  return ((user + system) * 1000) / count;
}
