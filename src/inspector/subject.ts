/**
 * Subject: the machine that is looked at, on the thread that serves it.
 *
 * It is pulled: whoever looks says which version he knows, and is told what there is when there is another.
 * A version is how much has happened, the sum of numbers that only grow, so nobody has to be called when
 * something changes.
 */
import type { OpenedFile } from '../devfs/fuse-server.js';
import { Refusal, refuse } from '../linux/errno.js';
import { now } from '../linux/now.js';
import type { Machine } from '../machine/machine.js';
import { TraceReader } from '../trace/reader.js';
import { Items, Keys } from './items.js';
import type { Answer, Pulled, Question } from './model.js';
import { answerTo } from './questions.js';

export class Subject {
  readonly #machine: Machine;
  readonly #opened: () => Iterable<OpenedFile>;
  readonly #reader: TraceReader;
  readonly #keys = new Keys();
  #told = '';

  /** Its calls are traced from now on, until `end`. `opened`: the files that programs have open. */
  constructor(machine: Machine, opened: () => Iterable<OpenedFile> = () => []) {
    this.#machine = machine;
    this.#opened = opened;
    this.#reader = new TraceReader(machine.logs);
  }

  /** How much has happened. It only grows. */
  get version(): number {
    const { trace, faults, transfers, devices } = this.#machine.logs;
    let version = trace.calls.total + faults.total + transfers.total;
    for (const { notes, happenings } of devices) version += notes.total + happenings.total;
    return version;
  }

  /** What there is now, and what has happened since the last time. */
  pull(): Pulled {
    const began = performance.now();
    const { version } = this;
    const items = [...new Items(this.#machine, this.#keys, this.#opened()).texts];
    const text = items.join('\n');
    const same = text === this.#told;
    this.#told = text;
    const events = this.#reader.read();
    const cost = performance.now() - began;
    return { version, time: now(), cost, events, ...(!same && { items }) };
  }

  /** The answer to what is asked: of anybody, so it may be anything. */
  answer(question: unknown): Answer {
    try {
      if (typeof question !== 'object' || question === null) refuse('EINVAL', 'what is asked is no question');
      return answerTo(this.#machine, this.#keys, question as Question);
    } catch (error) {
      if (error instanceof Refusal) return { error: error.reason };
      throw error;
    }
  }

  end(): void {
    this.#reader.end();
  }
}
