/**
 * Actors: real processes under `ioasid run` that do what a test tells them (tests/c/fdrules), and the
 * server whose files they use.
 *
 * An actor does one command at a time and answers each with one line; its forks are actors too. Every test
 * has an actor of its own (`rulesOn`), which is killed at its end, and then the server must hold nothing any
 * more.
 */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ask } from '../cli/control-socket.js';
import type { ServiceState } from '../cli/service.js';
import { missingActors } from './availability.js';
import { testProgram } from './c-program.js';

/** The repository, as seen from dist/. */
const root = fileURLToPath(new URL('../../', import.meta.url));
/** More than any command takes: only a hang comes to this. */
const PATIENCE_MS = 60_000;
const TEST_MS = 120_000;

/** Waits until `condition` holds. @throws AssertionError when it never does. */
export async function eventually(condition: () => Promise<boolean>, what: string): Promise<void> {
  for (const end = Date.now() + PATIENCE_MS; !(await condition()); await sleep(1))
    assert.ok(Date.now() < end, `never happened: ${what}`);
}

export class Actor {
  readonly run: TestRun;
  /** Comes before each command: how it gets from the first actor of the run to this one. */
  readonly #prefix: string;
  readonly #name: string;
  #forks = 0;

  constructor(run: TestRun, prefix = '', name = '') {
    this.run = run;
    this.#prefix = prefix;
    this.#name = name;
  }

  /** Has the actor do `command`. @returns the line that it answers. */
  ask(command: string): Promise<string> {
    return this.run.exchange(`${this.#prefix}${command}`);
  }

  /** Has it do what must succeed. @returns the words of the answer behind `ok`. */
  async words(command: string): Promise<string[]> {
    const [status, ...words] = (await this.ask(command)).split(' ');
    assert.equal(status, 'ok', `${command}: ${status} ${words.join(' ')}`);
    return words;
  }

  /**
   * Has it do what must succeed. @returns the first word of the answer as a number, NaN when there is none.
   */
  async do(command: string): Promise<number> {
    return Number((await this.words(command))[0]);
  }

  /** Has it do what must be refused with `errno`; the reason that the file `fd` gives must match `reason`. */
  async refused(command: string, errno: string, fd?: number, reason = /./): Promise<void> {
    assert.equal(await this.ask(command), `err ${errno}`, command);
    if (fd === undefined) return;
    const [code, ...sentence] = await this.words(`explain ${fd}`);
    assert.equal(code, errno);
    assert.match(sentence.join(' '), reason);
  }

  /** Does the commands of `sequence` `rounds` times. @returns how often each outcome came. */
  async repeat(rounds: number, sequence: string): Promise<Map<string, number>> {
    const [, ...outcomes] = await this.words(`repeat ${rounds} ${sequence}`);
    return new Map(
      outcomes.map((each) => [
        each.slice(0, each.lastIndexOf('=')),
        Number(each.slice(each.lastIndexOf('=') + 1)),
      ]),
    );
  }

  pid(): Promise<number> {
    return this.do('pid');
  }

  /** A copy of this process, with the same open files. */
  async fork(): Promise<Actor> {
    const name = `c${++this.#forks}`;
    await this.words(`fork ${name}`);
    return this.child(name);
  }

  /** The child that was made by `fork NAME`. */
  child(name: string): Actor {
    return new Actor(this.run, `${this.#prefix}@${name} `, name);
  }

  /**
   * Has the parent send a command that the child does while the parent goes on. `collect` gets its answer.
   */
  async post(child: Actor, command: string): Promise<void> {
    await this.words(`post ${child.#name} ${command}`);
  }

  collect(child: Actor): Promise<string> {
    return this.ask(`collect ${child.#name}`);
  }

  /** Kills a child with -9 and waits for its end. */
  async kill(child: Actor): Promise<void> {
    await this.startKill(child);
    await this.endKill(child);
  }

  async startKill(child: Actor): Promise<void> {
    await this.words(`kill ${child.#name}`);
  }

  async endKill(child: Actor): Promise<void> {
    assert.deepEqual(await this.words(`wait ${child.#name}`), ['signal', '9']);
  }

  /** Has a child exit and waits for its end. */
  async exit(child: Actor): Promise<void> {
    await this.words(`post ${child.#name} exit`);
    assert.deepEqual(await this.words(`wait ${child.#name}`), ['exit', '0']);
  }
}

export interface TestRunOptions {
  readonly devices: readonly string[];
  /** Further options of `ioasid run`. */
  readonly options?: readonly string[];
  /** A command that ends by executing the one that is appended to it: the actor. */
  readonly wrapper?: readonly string[];
  /** Names of our files that the wrapper keeps, as by mounts of them. */
  readonly kept?: number;
  /** Who runs ioasid. */
  readonly runner?: {
    readonly prefix: readonly string[];
    readonly uid: number;
    readonly skip: string | false;
  };
}

export class TestRun {
  /** The first actor. */
  readonly actor = new Actor(this);
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #uid: number;
  readonly #kept: number;
  readonly #waiting: { resolve(line: string): void; reject(error: Error): void }[] = [];
  /** Its exit status, when it has ended; null: a signal's. */
  readonly ended: Promise<number | null>;
  /** What came on standard error: nothing, when all is well. */
  complaints = '';

  constructor({ devices, options = [], wrapper = [], kept = 0, runner }: TestRunOptions) {
    this.#kept = kept;
    const args = ['bin/ioasid', 'run', ...devices.flatMap((spec) => ['--device', spec]), ...options];
    const [command, ...rest] = [
      ...(runner?.prefix ?? []),
      process.execPath,
      ...args,
      '--',
      ...wrapper,
      testProgram('fdrules'),
    ];
    this.#process = spawn(command!, rest, { cwd: root });
    this.#uid = runner?.uid ?? process.geteuid?.() ?? 0;
    this.#process.stderr.on('data', (part: Buffer) => (this.complaints += part.toString()));
    this.#process.stdin.on('error', () => undefined);
    createInterface(this.#process.stdout).on('line', (line) => this.#waiting.shift()?.resolve(line));
    this.ended = new Promise((resolve) => {
      this.#process.on('close', (status, signal) => {
        for (const { reject } of this.#waiting.splice(0))
          reject(new Error(`ended (${status ?? signal}): ${this.complaints}`));
        resolve(status);
      });
    });
  }

  /** The process that serves the files. */
  get server(): number {
    return this.#process.pid!;
  }

  /** Sends one line to the first actor. @returns the next line that it says. */
  exchange(line: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to "${line.slice(0, 200)}"`)), PATIENCE_MS);
      const settle = <T>(done: (value: T) => void) => {
        return (value: T) => {
          clearTimeout(timer);
          done(value);
        };
      };
      this.#waiting.push({ resolve: settle(resolve), reject: settle(reject) });
      this.#process.stdin.write(`${line}\n`);
    });
  }

  /** What the server holds, by its control socket. */
  async state(): Promise<ServiceState> {
    const answer = await ask({ uid: this.#uid, pid: this.server });
    assert.ok(answer !== undefined, 'the server answers on its control socket');
    return answer.state as ServiceState;
  }

  /** The server holds nothing: no context, PASID, mapping, memory, device or authorization, for nobody. */
  async isEmpty(): Promise<boolean> {
    const { contexts, pasids, mappings, memories, devices, openers } = await this.state();
    const idle = devices.every(
      ({ pid, authorizations, busy }) => pid === undefined && authorizations.length === 0 && !busy,
    );
    const isKept = (what: string, number: number) => what === 'names of files' && number <= this.#kept;
    const held = openers.flatMap(({ holds }) => Object.entries(holds)).filter((each) => !isKept(...each));
    return idle && contexts.length + held.length + pasids.used + mappings + memories === 0;
  }

  /** Ends the first actor, and with it the run. */
  async stop(): Promise<void> {
    this.#process.stdin.end();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), PATIENCE_MS);
    await this.ended;
    clearTimeout(timer);
  }

  /**
   * Has `body` be done by an actor of its own. Afterwards that is killed, and then the server must hold
   * nothing and be without complaint.
   */
  async act(body: (actor: Actor) => Promise<void>): Promise<void> {
    const actor = await this.actor.fork();
    try {
      await body(actor);
    } finally {
      await this.actor.kill(actor);
    }
    await eventually(() => this.isEmpty(), 'nothing is left in the server');
    assert.equal(this.complaints, '');
  }
}

/** Defines a test. `skip`: why it cannot be done here. */
export type DefineRule = (rule: string, body: (actor: Actor) => Promise<void>, skip?: string | false) => void;

/**
 * How tests are defined that share one run: each is named by the rule that it proves, and done by an actor of
 * its own.
 */
export async function rulesOn(options: TestRunOptions): Promise<DefineRule> {
  const missing = (await missingActors()) || (options.runner?.skip ?? false);
  const run = missing === false ? new TestRun(options) : undefined;
  after(() => run?.stop());
  return (rule, body, skip = false) =>
    test(rule, { timeout: TEST_MS, skip: missing || skip }, () => run?.act(body));
}
