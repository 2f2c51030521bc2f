/**
 * Inspected: what answers those who inspect this server's machine, each by a socket of his own.
 *
 * It is asked, a line of JSON each time (inspector/remote.ts). Who asks what there is waits until there is
 * something that he does not know. What answers is loaded with the first: most servers have none.
 */
import type { Socket } from 'node:net';
import type { OpenedFile } from '../devfs/fuse-server.js';
import type { FromSubject, ToSubject } from '../inspector/remote.js';
import type { Subject } from '../inspector/subject.js';
import type { Machine } from '../machine/machine.js';
import { publishInspection } from './control-socket.js';

/** Characters of a question. */
const LONGEST = 1 << 16;

export interface InspectedOptions {
  readonly machine: Machine;
  readonly opened: () => Iterable<OpenedFile>;
}

export class Inspected {
  readonly #askers = new Set<Asker>();

  constructor({ machine, opened }: InspectedOptions) {
    publishInspection((socket) => {
      import('../inspector/subject.js').then(
        ({ Subject }) => socket.destroyed || this.#add(socket, new Subject(machine, opened)),
        () => socket.destroy(),
      );
    });
  }

  #add(socket: Socket, subject: Subject): void {
    const asker = new Asker(socket, subject);
    this.#askers.add(asker);
    socket.on('close', () => {
      asker.end();
      this.#askers.delete(asker);
    });
  }

  /** Answers those who wait, when something has happened. */
  tell(): void {
    for (const asker of this.#askers) asker.tell();
  }
}

class Asker {
  readonly #socket: Socket;
  readonly #subject: Subject;
  /** The version that he knows, while he waits. */
  #known: number | undefined;
  #rest = '';

  constructor(socket: Socket, subject: Subject) {
    this.#socket = socket;
    this.#subject = subject;
    socket.setEncoding('utf8').on('data', (part: string) => this.#hear(part));
  }

  tell(): void {
    if (this.#known === undefined || this.#known === this.#subject.version) return;
    this.#known = undefined;
    this.say({ pulled: this.#subject.pull() });
  }

  say(words: FromSubject): void {
    this.#socket.write(`${JSON.stringify(words)}\n`);
  }

  end(): void {
    this.#subject.end();
  }

  #hear(part: string): void {
    const lines = (this.#rest + part).split('\n');
    this.#rest = lines.pop()!;
    try {
      for (const line of lines) this.#answer(JSON.parse(line) as ToSubject);
      if (this.#rest.length > LONGEST) throw new RangeError('a question without end');
    } catch (error) {
      if (!(error instanceof SyntaxError || error instanceof RangeError || error instanceof TypeError))
        throw error;
      this.#socket.destroy();
    }
  }

  #answer(words: ToSubject): void {
    if ('pull' in words) {
      this.#known = words.pull;
      this.tell();
    } else this.say({ id: words.id, answer: this.#subject.answer(words.question) });
  }
}
