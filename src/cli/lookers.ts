/**
 * Lookers: who is attached to the trace of this server's machine, each by a socket of his own.
 *
 * The first line says whose requester ids are whose, each other one is an event, as JSON. Nobody is waited
 * for: who does not read what he is sent loses events, and is told how many, as soon as he reads again.
 */
import type { Socket } from 'node:net';
import { now } from '../linux/now.js';
import type { Machine } from '../machine/machine.js';
import { TraceReader } from '../trace/reader.js';
import { publishTrace } from './control-socket.js';

/** What may wait for one looker, in bytes. */
const MOST_QUEUED = 4 << 20;

/** The first line. */
export interface TraceGreeting {
  readonly version: 1;
  readonly devices: readonly { readonly name: string; readonly rid: string }[];
}

interface Looker {
  readonly socket: Socket;
  readonly reader: TraceReader;
  lost: number;
}

export class Lookers {
  readonly #machine: Machine;
  readonly #lookers = new Set<Looker>();

  constructor(machine: Machine) {
    this.#machine = machine;
    publishTrace((socket) => this.#add(socket));
  }

  /** Sends what has happened since the last time. */
  tell(): void {
    for (const looker of this.#lookers) tellOne(looker);
  }

  #add(socket: Socket): void {
    const looker = { socket, reader: new TraceReader(this.#machine.logs), lost: 0 };
    this.#lookers.add(looker);
    socket.on('close', () => {
      looker.reader.end();
      this.#lookers.delete(looker);
    });
    // What he says is nothing to us; that he has gone is only seen by reading.
    socket.resume();
    const devices = this.#machine.devices.map(({ driver: { life } }) => ({ name: life.name, rid: life.rid }));
    const greeting: TraceGreeting = { version: 1, devices };
    socket.write(`${JSON.stringify(greeting)}\n`);
  }
}

function tellOne(looker: Looker): void {
  const { socket, reader } = looker;
  const events = reader.read();
  if (socket.writableLength > MOST_QUEUED) {
    for (const event of events) looker.lost += event.kind === 'lost' ? event.count : 1;
    return;
  }
  if (events.length === 0 && looker.lost === 0) return;
  if (looker.lost > 0) events.unshift({ kind: 'lost', count: looker.lost, time: now() });
  looker.lost = 0;
  socket.write(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
}
