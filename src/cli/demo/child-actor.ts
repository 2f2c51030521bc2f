/**
 * An actor that is a process: commands go to its standard input, answers come from its standard output, in
 * the same order.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Actor } from './actor.js';

/** An answer that takes so many milliseconds will not come. */
const PATIENCE = 30_000;

interface Waiting {
  resolve(answer: string): void;
  reject(error: Error): void;
}

export class ChildActor implements Actor {
  readonly what: string;
  readonly #child: ChildProcess;
  readonly #waiting: Waiting[] = [];
  readonly #gone: Promise<unknown>;

  /** @param socket what the process gets as descriptor 3 */
  constructor(what: string, [file, ...args]: readonly [string, ...string[]], socket: number) {
    this.#child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit', socket] });
    this.what = `${what}, process ${this.#child.pid ?? 'none'}`;
    this.#gone = once(this.#child, 'close').catch(() => undefined);
    this.#child.on('error', (error) => this.#fail(error));
    this.#child.on('close', () => this.#fail(new Error(`${this.what}, has ended`)));
    this.#child.stdin!.on('error', () => undefined);
    createInterface(this.#child.stdout!).on('line', (line) => this.#waiting.shift()?.resolve(line));
  }

  obey(line: string): Promise<string> {
    return new Promise<string>((resolve, reject) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new Error(`${this.what}, has ended`);
      const timer = setTimeout(() => reject(new Error(`${this.what}, does not answer "${line}"`)), PATIENCE);
      const settled = () => clearTimeout(timer);
      this.#waiting.push({
        resolve: (answer) => {
          settled();
          resolve(answer);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      });
      this.#child.stdin!.write(`${line}\n`);
    });
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }

  #fail(error: Error): void {
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
  }
}
