/**
 * Exercise: what a device model gets wrong when a program does its worst, and its memory too.
 *
 * The model is called as the system calls it (CalledModel), behind a WildHost: every access of its BARs, in
 * any order, with steps, resets, closes and time between. What it does against the rules of docs/devices.md
 * is a finding, each kind once, with the calls that led to it; the model is reset then, and goes on.
 */
import { CalledModel } from '../../devices/called-model.js';
import type { DeviceHost, DeviceModel, PciDescription } from '../../devices/device-model.js';
import { ModelCalls } from '../../devices/model-calls.js';
import { hex } from '../../linux/errno.js';
import { ownCode } from '../../linux/own-package.js';
import { type Access, Accesses, describeAccess } from './accesses.js';
import { Dice } from './dice.js';
import { WildHost } from './wild-host.js';

/** After so many steps a drain gives up (driver/device-work.ts). */
const DRAIN_STEPS = 10_000;
const MOST_FINDINGS = 20;
/** After so many failures, or closes that did not end, the model is known well enough. */
const MOST_FAILURES = 100;
const MOST_STUCK = 3;
/** Calls that are told of each finding. */
const TOLD = 4;
/** A step is at most about a millisecond; what takes so long is told, as other work of the machine may. */
const LONG_MS = 50;
/** Once or twice it may be Node, which compiles and cleans up. */
const LONG_TIMES = 3;
/** How often it is looked whether registers are as they were. */
const COMPARISONS = 8;

/** Something that is wrong. */
export interface Finding {
  readonly sentence: string;
  /** What was done before, the last thing last. */
  readonly after: readonly string[];
  /** Of what was thrown. */
  readonly stack?: string;
}

export interface Exercised {
  readonly pci: PciDescription;
  readonly findings: readonly Finding[];
  /** What may be right, and is worth a look. */
  readonly remarks: readonly string[];
  readonly counts: {
    readonly accesses: number;
    readonly resets: number;
    readonly dmas: number;
    readonly faults: number;
    readonly interrupts: number;
  };
}

export class Exercise {
  readonly #dice: Dice;
  readonly #calls: ModelCalls;
  readonly #host: WildHost;
  readonly #model: CalledModel;
  readonly #accesses: Accesses;
  readonly #findings = new Map<string, Finding>();
  readonly #remarks = new Set<string>();
  readonly #done: string[] = [];
  #raw: DeviceModel | undefined;
  #failures = 0;
  #long = 0;
  #stuck = 0;
  #counts = { accesses: 0, resets: 0 };

  /** @throws what `make` throws. @throws Refusal EINVAL as checkModel. */
  constructor(make: (host: DeviceHost) => DeviceModel, seed: number, calls = new ModelCalls('the device')) {
    this.#dice = new Dice(seed);
    this.#calls = calls;
    this.#host = new WildHost(this.#dice, calls);
    const keeping = () => {
      this.#raw = make(this.#host);
      return this.#raw;
    };
    this.#model = CalledModel.make(calls, keeping, this.#host.timers);
    this.#host.pci = this.#model.pci;
    this.#accesses = new Accesses(this.#model.pci, this.#dice);
  }

  /** Makes `count` random accesses, after each that there is at the beginning of the BARs. */
  run(count: number): Exercised {
    this.#reset();
    const before = this.#stable();
    for (const access of this.#accesses.everywhere()) {
      if (this.#enough) break;
      if (access.value === undefined) this.#access(access);
      else this.#probe(access);
      if (this.#dice.once(16)) this.#between();
    }
    this.#reset();
    this.#lookForUnfilled();
    for (let n = 1; n <= count && !this.#enough; n++) {
      const access = this.#accesses.any();
      if (access !== undefined) this.#access(access);
      if (this.#dice.once(4)) this.#between();
      if (n % Math.ceil(count / COMPARISONS) === 0) this.#compare(before);
    }
    return this.result;
  }

  /** It has failed so often that the rest would be more of the same. */
  get #enough(): boolean {
    return this.#calls.failures >= MOST_FAILURES || this.#stuck >= MOST_STUCK;
  }

  get result(): Exercised {
    this.#lookForFailure();
    const counts = { ...this.#counts, ...this.#host.counts };
    const { pci } = this.#model;
    if (counts.dmas === 0) this.#remark('there was no DMA: the accesses have not found how to begin one');
    return { pci, findings: [...this.#findings.values()], remarks: [...this.#remarks], counts };
  }

  /** What is done next. */
  #say(what: string): void {
    this.#done.push(what);
    if (this.#done.length > TOLD) this.#done.shift();
  }

  /** One call, as `what`. */
  #do(what: string, call: () => void): void {
    this.#say(what);
    const begin = process.cpuUsage();
    call();
    const { user, system } = process.cpuUsage(begin);
    const took = Math.round((user + system) / 1000);
    if (took >= LONG_MS && ++this.#long === LONG_TIMES)
      this.#remark(`${what.replace(/ of .*/, '')} took ${took} ms: everybody waits, and a step is about one`);
    this.#lookForFailure();
  }

  #access(access: Access): void {
    const { bar, offset, width, value } = access;
    const before = this.#signs();
    const wasBusy = this.#model.busy();
    this.#counts.accesses++;
    this.#do(describeAccess(access), () => {
      if (value === undefined) this.#model.readBar(bar, offset, new Uint8Array(width));
      else this.#model.writeBar(bar, offset, value);
    });
    const begins = !wasBusy && this.#model.busy();
    if (begins || this.#signs() !== before) this.#accesses.learn(access, begins);
  }

  /** A write; where it reads back as something else than before, there is a register. */
  #probe(access: Access): void {
    const { bar, offset, width } = access;
    const read = () => {
      const bytes = Buffer.alloc(width);
      this.#do(describeAccess({ ...access, value: undefined }), () =>
        this.#model.readBar(bar, offset, bytes),
      );
      return bytes;
    };
    const before = read();
    this.#access(access);
    if (!read().equals(before)) this.#accesses.learn(access, false);
  }

  /** A number that changes when the model does something that is seen from outside. */
  #signs(): number {
    const { dmas, interrupts } = this.#host.counts;
    return dmas + interrupts + this.#calls.notes.total + this.#host.timers.asked;
  }

  /** What happens between the accesses of a program. */
  #between(): void {
    const kind = this.#dice.below(64);
    if (kind < 40) this.#step();
    else if (kind < 52) this.#advance(this.#dice.pick([1, 50, 1000, 1_000_000]));
    else if (kind < 61) this.#host.answer();
    else if (kind < 63) this.#drain();
    else this.#reset();
  }

  #step(): void {
    if (this.#model.busy()) this.#do('a step', () => this.#model.step());
    else this.#lookForFailure();
  }

  #advance(microseconds: number): void {
    this.#do(`${microseconds} microseconds`, () => this.#host.clock.advance(microseconds));
  }

  /** As a close does: until nothing is under way, or all that is waits for pages. */
  #drain(): void {
    this.#say('the beginning of a close');
    for (let steps = 0; steps < DRAIN_STEPS; steps++) {
      this.#lookForFailure();
      if (!this.#model.busy()) return;
      if (this.#enough) return;
      const moved = this.#model.step();
      if (this.#model.busy() && this.#model.hurry()) continue;
      if (moved || this.#model.drainSome()) continue;
      if (this.#model.busy() && !this.#host.waitsForPages)
        this.#find('step says that all waits, busy stays true, and it waits for no page, timer or drain');
      this.#reset();
      return;
    }
    this.#stuck++;
    this.#find(
      `busy is still true after ${DRAIN_STEPS} steps without a program: a close resets the device then`,
    );
    this.#reset();
  }

  /** A reset, after which nothing is left. */
  #reset(): void {
    this.#counts.resets++;
    const { dmas, interrupts } = this.#host.counts;
    this.#calls.recover();
    this.#do('a reset', () => this.#model.reset());
    this.#host.forget();
    if (this.#model.busy()) this.#find('busy is true after a reset');
    for (let n = 0; n < 3; n++) this.#model.step();
    this.#host.clock.advance(1_000_000);
    if (this.#host.counts.dmas !== dmas) this.#find('DMA goes on in a reset, or after it');
    if (this.#host.counts.interrupts !== interrupts) this.#find('an interrupt comes in a reset, or after it');
    if (this.#host.memories.some((bytes) => bytes.some((byte) => byte !== 0)))
      this.#find('host.memory has bytes of the last program after a reset');
    this.#lookForFailure();
  }

  /** What the registers read after a reset, by place; without those that change by themselves. */
  #stable(): Map<string, string> {
    const first = this.#registers();
    this.#reset();
    const second = this.#registers();
    this.#reset();
    return new Map([...second].filter(([place, value]) => first.get(place) === value));
  }

  #registers(): Map<string, string> {
    const values = this.#accesses.words().map((access): [string, string] => {
      const { bar, offset, width } = access;
      const bytes = Buffer.alloc(width);
      this.#do(describeAccess(access), () => this.#model.readBar(bar, offset, bytes));
      return [`${hex(offset)} of BAR ${bar}`, hex(bytes.readUInt32LE())];
    });
    return new Map(values);
  }

  #compare(before: ReadonlyMap<string, string>): void {
    this.#drain();
    this.#reset();
    const now = this.#registers();
    for (const [place, value] of before)
      if (now.get(place) !== value)
        this.#find(`after a reset ${place} reads ${now.get(place)}, where it read ${value} at first`);
  }

  /** Is there a byte that readBar leaves as it was? */
  #lookForUnfilled(): void {
    for (const { bar, offset, width } of this.#accesses.words()) {
      const [one, other] = [0x5a, 0xa5].map((pattern) => {
        const bytes = new Uint8Array(width).fill(pattern);
        // CalledModel lends zeros, so that nothing can be seen in what is left; here it is to be seen.
        this.#calls.call(0, undefined, () => this.#raw!.readBar(bar, offset, bytes));
        return bytes;
      });
      if (one!.some((byte, n) => byte === 0x5a && other![n] === 0xa5))
        this.#remark(`readBar leaves bytes as they are, at ${hex(offset)} of BAR ${bar}: they read as zeros`);
    }
    this.#lookForFailure();
  }

  #lookForFailure(): void {
    if (this.#calls.failures === this.#failures) return;
    this.#failures = this.#calls.failures;
    const { stack = '' } = this.#calls;
    const [sentence = '', ...frames] = stack.split('\n');
    // What is ours in a stack says nothing.
    const theirs = frames.filter((line) => !line.includes('node:') && !line.includes(ownCode.href));
    this.#find(sentence, theirs.slice(0, 4).join('\n'));
    this.#calls.recover();
    this.#model.reset();
    this.#failures = this.#calls.failures;
  }

  /** Those that differ in numbers only are one. */
  #find(sentence: string, stack?: string): void {
    const kind = sentence.replace(/0x[0-9a-f]+|\d+/g, 'N');
    if (this.#findings.has(kind) || this.#findings.size >= MOST_FINDINGS) return;
    this.#findings.set(kind, { sentence, after: [...this.#done], ...(stack && { stack }) });
  }

  #remark(sentence: string): void {
    const kind = sentence.replace(/0x[0-9a-f]+|\d+/g, 'N');
    if (![...this.#remarks].some((each) => each.replace(/0x[0-9a-f]+|\d+/g, 'N') === kind))
      this.#remarks.add(sentence);
  }
}
