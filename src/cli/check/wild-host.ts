/**
 * WildHost: the worst that a device model may meet behind its port. Memory is whatever the dice say, at every
 * address; any access may fault, at its first byte or later, and no PASID is admitted for ever.
 *
 * It throws where the real host does, and where a model passes on what no device could have meant: an address
 * or a PASID that is none.
 */
import { checkAddress, checkInterrupt, checkIntx, checkTransfer, inFactory } from '../../devices/checks.js';
import { Clock } from '../../devices/clock.js';
import type {
  DeviceHost,
  DmaFault,
  DmaPort,
  Link,
  PageWait,
  PciDescription,
} from '../../devices/device-model.js';
import { DeviceTimers } from '../../devices/device-timers.js';
import type { ModelCalls } from '../../devices/model-calls.js';
import { Outside } from '../../devices/outside.js';
import { Wires } from '../../devices/wire.js';
import type { Dice } from './dice.js';

/** One access in so many faults. */
const FAULTS = 6;
const POOL = 1 << 16;
const MOST_PASIDS = 2 ** 20;

type Wait = { answer: PageWait['answer'] };

export class WildHost implements DeviceHost {
  readonly baseDirectory = process.cwd();
  readonly clock = new Clock();
  readonly wires = new Wires();
  readonly outside = new Outside();
  readonly timers: DeviceTimers;
  readonly dma: DmaPort;
  /** What the model has done. */
  readonly counts = { dmas: 0, faults: 0, interrupts: 0 };
  /** Memory of its BARs. */
  readonly memories: Uint8Array[] = [];
  /** What the model is; undefined while it is being made. */
  pci: PciDescription | undefined;
  readonly #dice: Dice;
  readonly #calls: ModelCalls;
  readonly #pool = new Uint8Array(POOL);
  #waits: Wait[] = [];

  constructor(dice: Dice, calls: ModelCalls) {
    this.#dice = dice;
    this.#calls = calls;
    this.timers = new DeviceTimers(this.clock, calls);
    for (let n = 0; n < POOL; n++) this.#pool[n] = dice.below(256);
    this.dma = {
      read: (pasid, iova, target, at = 0, length = target.length - at) => {
        const done = this.#done('host.dma.read', pasid, iova, target, at, length);
        this.#fill(target.subarray(at, at + done));
        return this.#faultAt(pasid, iova, done, length, false);
      },
      write: (pasid, iova, source, at = 0, length = source.length - at) => {
        const done = this.#done('host.dma.write', pasid, iova, source, at, length);
        return this.#faultAt(pasid, iova, done, length, true);
      },
      requestPage: (pasid, iova) => this.#requestPage(pasid, iova),
      admits: (pasid) => pasid < MOST_PASIDS && pasid % 8 !== 7,
    };
  }

  /** Does the device wait for pages? */
  get waitsForPages(): boolean {
    return this.#waits.length > 0;
  }

  /** Answers the oldest page request, one way or the other. */
  answer(): void {
    const wait = this.#waits.shift();
    if (wait !== undefined) wait.answer = this.#dice.pick(['success', 'invalid']);
  }

  /** The device is reset: nobody answers any more. */
  forget(): void {
    this.#waits = [];
  }

  interrupt(vector: number): void {
    checkInterrupt(this.pci, vector);
    this.counts.interrupts++;
  }

  /** Now and then. */
  get messages(): boolean {
    return this.counts.interrupts % 2 === 1;
  }

  intx(_level: boolean): void {
    checkIntx(this.pci);
  }

  memory(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.memories.push(bytes);
    return bytes;
  }

  now(): number {
    return this.timers.now;
  }

  after(microseconds: number, callback: () => void): () => void {
    this.#there('after');
    return this.timers.after(microseconds, callback);
  }

  link(name?: string): Link {
    return this.wires.link(name);
  }

  note(sentence: string): void {
    this.#calls.note(sentence);
  }

  #there(what: string): PciDescription {
    return this.pci ?? inFactory(what);
  }

  #requestPage(pasid: number, iova: number): PageWait | undefined {
    this.#there('dma');
    checkAddress('host.dma.requestPage', pasid, iova);
    if (this.pci?.pageRequests !== true || this.#dice.once(3)) return undefined;
    const wait: Wait = { answer: 'pending' };
    this.#waits.push(wait);
    return wait;
  }

  /** How many bytes of an access happen. @throws RangeError it is none. */
  #done(what: string, pasid: number, iova: number, bytes: Uint8Array, at: number, length: number): number {
    this.#there('dma');
    checkAddress(what, pasid, iova);
    checkTransfer(bytes, at, length);
    this.counts.dmas++;
    const reached = this.#dice.once(FAULTS) ? this.#dice.below(length) : length;
    return Math.max(0, Math.min(reached, 2 ** 48 - iova));
  }

  #faultAt(pasid: number, iova: number, done: number, length: number, write: boolean): DmaFault | undefined {
    if (done === length) return undefined;
    this.counts.faults++;
    return { iova: iova + done, done, pasid, write, reason: 'the page is not there' };
  }

  /** Random bytes; or zeros, or ones; or words that are small. */
  #fill(target: Uint8Array): void {
    const kind = this.#dice.below(6);
    if (kind < 2) target.fill(kind === 0 ? 0 : 0xff);
    else
      for (let at = 0; at < target.length; at += POOL) {
        const room = Math.min(POOL, target.length - at);
        const from = this.#dice.below(POOL - room + 1);
        target.set(this.#pool.subarray(from, from + room), at);
      }
    if (kind === 2) for (let at = 0; at < target.length; at++) if (at % 4 > 0) target[at] = 0;
  }
}
