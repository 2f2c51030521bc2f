/**
 * Lookers: who is attached to the trace of this server's machine, each by a socket of his own.
 *
 * What he is sent is a recording: its header, and messages of its records, the machine first. He decodes it,
 * as the thread of a trace of one's own does. Nobody is waited for: who does not read what he is sent loses
 * events, and is told how many, as soon as he reads again.
 */
import type { Socket } from 'node:net';
import { now } from '../linux/now.js';
import type { Machine } from '../machine/machine.js';
import { devicesOf } from '../machine/recorded-machine.js';
import { copied } from '../trace/copied.js';
import { TraceReader } from '../trace/reader.js';
import { header } from '../trace/recording/chunks.js';
import { Encoder } from '../trace/recording/encoder.js';
import { publishTrace } from './control-socket.js';
import { Soon } from './soon.js';

const MOST_QUEUED = 4 << 20;

interface Looker {
  readonly socket: Socket;
  readonly reader: TraceReader;
  readonly encoder: Encoder;
  lost: number;
}

export class Lookers {
  readonly #machine: Machine;
  readonly #most: number;
  readonly #lookers = new Set<Looker>();
  readonly #soon = new Soon(() => this.#tellNow());

  /** @param most bytes that may wait for one looker */
  constructor(machine: Machine, most = MOST_QUEUED) {
    this.#machine = machine;
    this.#most = most;
    publishTrace((socket) => this.#add(socket));
  }

  /** Sends what has happened since the last time, or soon. */
  tell(): void {
    if (this.#lookers.size > 0) this.#soon.tell(this.#owes());
  }

  /** Has somebody to be told that he has lost something? */
  #owes(): boolean {
    for (const { lost } of this.#lookers) if (lost > 0) return true;
    return false;
  }

  #tellNow(): void {
    for (const looker of this.#lookers) tellOne(looker, this.#most);
  }

  #add(socket: Socket): void {
    const looker = { socket, reader: new TraceReader(this.#machine.logs), encoder: new Encoder(), lost: 0 };
    this.#lookers.add(looker);
    socket.on('close', () => {
      looker.reader.end();
      this.#lookers.delete(looker);
    });
    // What he says is nothing to us; that he has gone is only seen by reading.
    socket.resume();
    socket.write(header());
    looker.encoder.add({ kind: 'machine', machine: { devices: devicesOf(this.#machine) }, time: now() });
    send(looker);
  }
}

function tellOne(looker: Looker, most: number): void {
  const { socket, reader, encoder } = looker;
  const events = reader.raw();
  if (socket.writableLength > most) {
    for (const event of events) looker.lost += event.kind === 'lost' ? event.count : 1;
    return;
  }
  if (looker.lost > 0) encoder.add({ kind: 'lost', count: looker.lost, time: now() });
  looker.lost = 0;
  for (const event of events) encoder.add(event);
  if (encoder.length > 0) send(looker);
}

/** A copy of what is encoded: the encoder goes on in the same bytes. */
function send({ socket, encoder }: Looker): void {
  socket.write(copied(encoder.takeMessage()));
}
