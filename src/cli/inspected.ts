/**
 * Inspected: what answers those who inspect this server's machine, each by a socket of his own.
 *
 * It is asked, a line of JSON each time (inspector/remote.ts). Who asks what there is waits until there is
 * something that he does not know. What answers is loaded with the first: most servers have none.
 *
 * They are answered in turn, one question at a time, at a pace, and in slices, between which programs are
 * served; who does not take his answers gets no more. Invariant: of nobody more is kept than what one read
 * brings, one answer beyond MOST_QUEUED, and what his subject keeps of what has happened.
 */
import type { Socket } from 'node:net';
import type { OpenedFile } from '../devfs/fuse-server.js';
import { slice } from '../devfs/turns.js';
import type { Work } from '../file/work.js';
import type { Pulled } from '../inspector/model.js';
import type { FromSubject, ToSubject } from '../inspector/remote.js';
import type { Subject } from '../inspector/subject.js';
import type { Machine } from '../machine/machine.js';
import { publishInspection } from './control-socket.js';
import { Pace } from './pace.js';

/** Characters of a question. */
const LONGEST = 1 << 16;
/** Items and events that are said together. */
const TOGETHER = 64;
/** Bytes that may wait for whoever reads them, before the next is answered. */
const MOST_QUEUED = 1 << 20;

export interface InspectedOptions {
  readonly machine: Machine;
  readonly opened: () => Iterable<OpenedFile>;
}

export class Inspected {
  /** Who has waited longest comes first. */
  readonly #askers = new Set<Asker>();
  readonly #pace = new Pace();
  #answering: Answering | undefined;

  constructor({ machine, opened }: InspectedOptions) {
    publishInspection((socket) => {
      import('../inspector/subject.js').then(
        ({ Subject }) => socket.destroyed || this.#add(socket, new Subject(machine, opened)),
        () => socket.destroy(),
      );
    });
  }

  #add(socket: Socket, subject: Subject): void {
    const asker = new Asker(socket, subject, this.#pace);
    this.#askers.add(asker);
    socket.on('close', () => {
      asker.end();
      this.#askers.delete(asker);
      if (this.#answering?.asker === asker) this.#rest();
    });
  }

  /**
   * Goes on with the answer that is under way, for a slice, or begins with that of the next who has asked.
   * @returns whether there is more to be done now.
   */
  step(): boolean {
    if (this.#askers.size === 0 && this.#answering === undefined) return false;
    for (const asker of this.#askers) asker.hear();
    this.#answering ??= this.#next();
    if (this.#answering === undefined) return false;
    const { work } = this.#answering;
    if (this.#pace.look(() => slice(work)) === false) return true;
    this.#rest();
    return false;
  }

  #rest(): void {
    this.#answering = undefined;
    this.#pace.rest();
    // Who is told so late has to be woken for the next.
    setTimeout(() => undefined, this.#pace.wait).unref();
  }

  #next(): Answering | undefined {
    if (this.#pace.wait > 0) return undefined;
    for (const asker of this.#askers) {
      if (!asker.due) continue;
      this.#askers.delete(asker);
      this.#askers.add(asker);
      return { asker, work: asker.answer() };
    }
    return undefined;
  }
}

interface Answering {
  readonly asker: Asker;
  readonly work: Work<void>;
}

class Asker {
  readonly #socket: Socket;
  readonly #subject: Subject;
  readonly #pace: Pace;
  /** The version that he knows, while he waits. */
  #known: number | undefined;
  /** What he has asked and was not answered yet; the last line may go on. */
  #rest = '';

  constructor(socket: Socket, subject: Subject, pace: Pace) {
    this.#socket = socket;
    this.#subject = subject;
    this.#pace = pace;
    socket.setEncoding('utf8').on('data', (part: string) => this.#take(part));
  }

  /** Is there something to be answered, and does he take answers? */
  get due(): boolean {
    if (this.#socket.destroyed || this.#socket.writableLength > MOST_QUEUED) return false;
    return this.#isNews || this.#rest.includes('\n');
  }

  /** Takes what has happened, for his next look. */
  hear(): void {
    this.#subject.hear();
  }

  /** Answers the next question; what he waits for comes first. */
  *answer(): Work<void> {
    if (this.#isNews) {
      this.#known = undefined;
      yield* this.#tell(yield* this.#subject.look());
    } else this.#answerLine();
    if (!this.#rest.includes('\n')) this.#socket.resume();
  }

  end(): void {
    this.#subject.end();
  }

  get #isNews(): boolean {
    return this.#known !== undefined && this.#known !== this.#subject.version;
  }

  *#tell({ version, time, items, events }: Pulled): Work<void> {
    for (let from = 0; items !== undefined && from < items.length; from += TOGETHER) {
      this.#say({ items: items.slice(from, from + TOGETHER) });
      yield;
    }
    for (let from = 0; from < events.length; from += TOGETHER) {
      this.#say({ events: events.slice(from, from + TOGETHER) });
      yield;
    }
    this.#say({ pulled: { version, time, same: items === undefined, cost: this.#pace.cost } });
  }

  #say(words: FromSubject): void {
    this.#socket.write(`${JSON.stringify(words)}\n`);
  }

  /** Hears no more before that is answered. */
  #take(part: string): void {
    this.#rest += part;
    if (this.#rest.includes('\n')) this.#socket.pause();
    else if (this.#rest.length > LONGEST) this.#socket.destroy();
  }

  #answerLine(): void {
    const end = this.#rest.indexOf('\n');
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    try {
      this.#answerTo(JSON.parse(line) as ToSubject);
    } catch (error) {
      if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
      this.#socket.destroy();
    }
  }

  #answerTo(words: ToSubject): void {
    if ('pull' in words) this.#known = words.pull;
    else this.#say({ id: words.id, answer: this.#subject.answer(words.question) });
  }
}
