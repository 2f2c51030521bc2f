/**
 * Remote: the subject at the other end of a socket (cli/inspected.ts), as lines of JSON.
 *
 * One pull is under way at a time. Between two of them is a pause that grows with what a look costs the
 * thread that serves programs, so that looking takes a twentieth of its time at most.
 */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Pulled, Question } from './model.js';

const SHARE = 20;
const LEAST_MS = 10;
/** What changes without anything happening is seen after so long. */
const PATIENCE_MS = 1000;

/** What is said to a subject. `pull`: the version that is known. */
export type ToSubject = { readonly pull: number } | { readonly id: number; readonly question: Question };
/** What it says. */
export type FromSubject = { readonly pulled: Pulled } | { readonly id: number; readonly answer: Answer };

export class Remote {
  readonly #socket: Socket;
  readonly #answers = new Map<number, (answer: Answer) => void>();
  #pulled: ((pulled: Pulled | undefined) => void) | undefined;
  #last = 0;
  #ended = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    let parts: string[] = [];
    socket.setEncoding('utf8').on('data', (part: string) => {
      const lines = part.split('\n');
      parts.push(lines[0]!);
      for (const line of lines.slice(1)) {
        this.#hear(JSON.parse(parts.join('')) as FromSubject);
        parts = [line];
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', () => this.#end());
  }

  /** The machine whenever it has changed, until it ends. */
  async *pulls(): AsyncGenerator<Pulled> {
    let version = -1;
    for (;;) {
      const pulled = await this.#pull(version);
      if (pulled === undefined) return;
      version = pulled.version;
      yield pulled;
      await sleep(Math.max(LEAST_MS, SHARE * pulled.cost));
    }
  }

  ask(question: Question): Promise<Answer> {
    if (this.#ended) return Promise.resolve({ error: 'the server has ended' });
    const id = ++this.#last;
    this.#say({ id, question });
    return new Promise((resolve) => this.#answers.set(id, resolve));
  }

  #pull(version: number): Promise<Pulled | undefined> {
    if (this.#ended) return Promise.resolve(undefined);
    this.#say({ pull: version });
    const impatient = setTimeout(() => this.#say({ pull: -1 }), PATIENCE_MS);
    return new Promise((resolve) => {
      this.#pulled = (pulled) => {
        clearTimeout(impatient);
        this.#pulled = undefined;
        resolve(pulled);
      };
    });
  }

  #say(words: ToSubject): void {
    this.#socket.write(`${JSON.stringify(words)}\n`);
  }

  #hear(words: FromSubject): void {
    if ('pulled' in words) this.#pulled?.(words.pulled);
    else {
      this.#answers.get(words.id)?.(words.answer);
      this.#answers.delete(words.id);
    }
  }

  #end(): void {
    this.#ended = true;
    this.#pulled?.(undefined);
    for (const answer of this.#answers.values()) answer({ error: 'the server has ended' });
    this.#answers.clear();
  }
}
