/**
 * Remote: the subject at the other end of a socket (cli/inspected.ts), as lines of JSON.
 *
 * One pull is under way at a time. The subject has a pace (cli/pace.ts): who asks at once waits longer for
 * his answer.
 */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TraceEvent } from '../trace/event.js';
import type { Answer, Pulled, Question } from './model.js';

/** Changes that come together are seen together. */
const LEAST_MS = 10;
/** What changes without anything happening is seen after so long. */
const PATIENCE_MS = 1000;

/** What is said to a subject. `pull`: the version that is known. */
export type ToSubject = { readonly pull: number } | { readonly id: number; readonly question: Question };
/** What it says. Of what is pulled come items and events first, some at a time. */
export type FromSubject =
  | { readonly items: NonNullable<Pulled['items']> }
  | { readonly events: Pulled['events'] }
  | { readonly pulled: PulledEnd }
  | { readonly id: number; readonly answer: Answer };

export interface PulledEnd extends Pick<Pulled, 'version' | 'time'> {
  /** Items are as they were; none have come. */
  readonly same: boolean;
  /** Milliseconds that the look took the server's thread, by which the next one is put off. */
  readonly cost: number;
}

export class Remote {
  readonly #socket: Socket;
  readonly #answers = new Map<number, (answer: Answer) => void>();
  #pulled: ((pulled: Pulled | undefined) => void) | undefined;
  #items: (readonly [string, string])[] = [];
  #events: TraceEvent[] = [];
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
      await sleep(LEAST_MS);
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
    if ('items' in words) this.#items.push(...words.items);
    else if ('events' in words) this.#events.push(...words.events);
    else if ('pulled' in words) this.#hearEnd(words.pulled);
    else {
      this.#answers.get(words.id)?.(words.answer);
      this.#answers.delete(words.id);
    }
  }

  #hearEnd({ version, time, same }: PulledEnd): void {
    const [items, events] = [this.#items, this.#events];
    this.#items = [];
    this.#events = [];
    this.#pulled?.({ version, time, events, ...(!same && { items }) });
  }

  #end(): void {
    this.#ended = true;
    this.#pulled?.(undefined);
    for (const answer of this.#answers.values()) answer({ error: 'the server has ended' });
    this.#answers.clear();
  }
}
