/**
 * ReplayedRun: a run that was recorded, as it is looked at while it is done again: a moment after each call
 * and step of devices. What has happened is told as it was recorded, with its times and names.
 *
 * Each look costs the more the more there is. So those that come after the first of them are as far apart as
 * they take, and a long recording takes twice its replay at most.
 */
import { setImmediate } from 'node:timers/promises';
import { Refusal } from '../linux/errno.js';
import { beginReplay } from '../replay/begin.js';
import { CannotReplay } from '../replay/cannot-replay.js';
import type { Replay } from '../replay/replay.js';
import { eventsOf, type Recorded } from '../trace/raw.js';
import type { Source } from './inspector.js';
import type { Answer, Pulled, Question } from './model.js';
import { Subject } from './subject.js';

/** So long it looks after every piece. */
const THOROUGH_MS = 3000;
/** How often browsers are answered meanwhile. */
const TURN_MS = 20;

export class ReplayedRun implements Source {
  readonly #records: Iterator<Recorded>;
  readonly #replay: Replay;
  readonly #subject: Subject;
  readonly #say: (sentence: string) => void;

  private constructor(records: Iterator<Recorded>, replay: Replay, say: (sentence: string) => void) {
    this.#records = records;
    this.#replay = replay;
    this.#subject = new Subject(replay.machine, () => replay.opened());
    this.#say = say;
  }

  /**
   * @param say is told where it ends early, and why. @throws CannotReplay, Refusal one sentence: it cannot be
   * done again at all.
   */
  static async of(recording: Iterable<readonly Recorded[]>, say: (sentence: string) => void) {
    const records = flat(recording);
    const { value, done } = records.next();
    if (done) throw new CannotReplay('the recording is empty');
    return new ReplayedRun(records, await beginReplay(value), say);
  }

  async *pulls(): AsyncGenerator<Pulled> {
    let events: Recorded[] = [];
    let [looking, turn] = [0, performance.now()];
    const began = turn;
    for (let record = this.#next(); record !== undefined; record = this.#next()) {
      events.push(record);
      const now = performance.now();
      if (now - turn > TURN_MS) {
        await setImmediate();
        turn = now;
      }
      if (!isMoment(record) || looking > Math.max(THOROUGH_MS, (now - began) / 2)) continue;
      yield this.#pull(events, record.time);
      looking += performance.now() - now;
      events = [];
    }
    yield this.#pull(events, events.at(-1)?.time);
  }

  ask(question: Question): Promise<Answer> {
    return Promise.resolve(this.#subject.answer(question));
  }

  #pull(records: readonly Recorded[], time: number | undefined): Pulled {
    const pulled = this.#subject.pull();
    return { ...pulled, time: time ?? pulled.time, events: eventsOf(records) };
  }

  /** The next record, done again; undefined: it ends here. */
  #next(): Recorded | undefined {
    try {
      const { value, done } = this.#records.next();
      if (done) return undefined;
      if (this.#replay.add(value) === undefined) return value;
      this.#say('this ioasid does otherwise from here on: `ioasid replay` says what');
    } catch (error) {
      if (!(error instanceof CannotReplay || error instanceof Refusal)) throw error;
      this.#say(error instanceof Refusal ? error.reason : error.message);
    }
    return undefined;
  }
}

function* flat(recording: Iterable<readonly Recorded[]>): Generator<Recorded, undefined> {
  for (const all of recording) yield* all;
  return undefined;
}

/** Has the machine gone on with it? */
function isMoment(record: Recorded): boolean {
  return record.kind === 'call' || (record.kind === 'input' && record.entry.kind === 'step');
}
