/**
 * Qmp: QEMU's control protocol (docs/interop/qmp-spec of QEMU), lines of JSON in both directions. Answers
 * come in the order of the commands; events come in between.
 */
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';

/** What QEMU has for a monitor on descriptor `fd`. */
export const monitor = (fd: number) => ['-chardev', `socket,id=qmp,fd=${fd}`, '-qmp', 'chardev:qmp'];

interface Said {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
}

interface Asked {
  readonly command: string;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Qmp {
  readonly #socket: Duplex;
  readonly #asked: Asked[] = [];
  readonly #events = new Set<string>();
  #heard: () => void = () => undefined;

  /** `socket` is the other end of the monitor's. */
  constructor(socket: Duplex) {
    this.#socket = socket;
    const lines = createInterface(socket).on('line', (line) => this.#take(JSON.parse(line)));
    // Those of a QEMU that was killed.
    for (const each of [socket, lines]) each.on('error', () => undefined);
  }

  /** @returns what QEMU answers; never, when it dies before. @throws Error with what it refuses. */
  ask(command: string, words: Readonly<Record<string, string>> = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#asked.push({ command, resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: words })}\n`);
    });
  }

  /** Returns when QEMU has told of `event`, once or before. */
  async event(event: string): Promise<void> {
    while (!this.#events.has(event))
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
  }

  #take(said: Said): void {
    if (said.event !== undefined) {
      this.#events.add(said.event);
      this.#heard();
    } else if ('return' in said) this.#asked.shift()?.resolve(said.return);
    else if (said.error !== undefined) {
      const asked = this.#asked.shift();
      asked?.reject(new Error(`${asked.command}: ${said.error.desc}`));
    }
  }
}
