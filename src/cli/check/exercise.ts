/**
 * Exercise: what a device model gets wrong when a program does its worst, and its memory too.
 *
 * The model is called as the system calls it (CalledModel), behind a WildHost: every access of its BARs, in
 * any order, with steps, resets, closes and time between. What it does against the rules of docs/devices.md
 * is a finding, each kind once, with the calls that led to it; the model is reset then, and goes on.
 */
import { CalledModel } from '../../devices/called-model.js';
import { describe } from '../../devices/checks.js';
import type { DeviceHost, DeviceModel, PciDescription } from '../../devices/device-model.js';
import { ModelCalls } from '../../devices/model-calls.js';
import { hex } from '../../linux/errno.js';
import { type Access, Accesses, sentenceOf } from './accesses.js';
import { Dice } from './dice.js';
import { type Exercised, Report } from './report.js';
import { WildHost } from './wild-host.js';

/** After so many steps a drain gives up (driver/device-work.ts). */
const DRAIN_STEPS = 10_000;
/** After so many closes that did not end, the model is known well enough. */
const MOST_STUCK = 3;
/** How often it is looked whether registers are as they were. */
const COMPARISONS = 8;

export class Exercise {
  readonly #dice: Dice;
  readonly #calls: ModelCalls;
  readonly #host: WildHost;
  readonly #model: CalledModel;
  readonly #accesses: Accesses;
  readonly #report: Report;
  #raw: DeviceModel | undefined;
  #stuck = 0;
  #counts = { accesses: 0, resets: 0 };

  /** @throws what `make` throws. @throws Refusal EINVAL as checkModel. */
  constructor(make: (host: DeviceHost) => DeviceModel, seed: number, calls = new ModelCalls('the device')) {
    this.#dice = new Dice(seed);
    this.#calls = calls;
    this.#report = new Report(calls);
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
    return this.#report.isEnough || this.#stuck >= MOST_STUCK;
  }

  get result(): Exercised {
    this.#lookForFailure();
    const { accesses, resets } = this.#counts;
    const { dmas, faults, interrupts } = this.#host.counts;
    if (dmas === 0 && this.#model.pci.pasidBits !== undefined)
      this.#report.remark('there was no DMA: the accesses have not found how to begin one');
    const { findings, remarks } = this.#report;
    const counts =
      `${accesses} accesses, ${dmas} DMAs (${faults} with a fault), ` +
      `${interrupts} interrupts, ${resets} resets`;
    return { what: describePci(this.#model.pci), counts, findings, remarks };
  }

  /** One call, as `what`. */
  #do(what: string, call: () => void): void {
    this.#report.do(what, call);
    this.#lookForFailure();
  }

  #access(access: Access): void {
    const { bar, offset, width, value } = access;
    const before = this.#signs();
    const wasBusy = this.#model.busy();
    this.#counts.accesses++;
    this.#do(sentenceOf(access), () => {
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
      this.#do(sentenceOf({ ...access, value: undefined }), () => this.#model.readBar(bar, offset, bytes));
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
    this.#report.say('the beginning of a close');
    for (let steps = 0; steps < DRAIN_STEPS; steps++) {
      this.#lookForFailure();
      if (!this.#model.busy()) return;
      if (this.#enough) return;
      const moved = this.#model.step();
      if (this.#model.busy() && this.#model.hurry()) continue;
      if (moved || this.#model.drainSome(undefined, true)) continue;
      if (this.#model.busy() && !this.#host.waitsForPages)
        this.#report.find(
          'step says that all waits, busy stays true, and it waits for no page, timer or drain',
        );
      this.#reset();
      return;
    }
    this.#stuck++;
    this.#report.find(
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
    if (this.#model.busy()) this.#report.find('busy is true after a reset');
    for (let n = 0; n < 3; n++) this.#model.step();
    this.#host.clock.advance(1_000_000);
    if (this.#host.counts.dmas !== dmas) this.#report.find('DMA goes on in a reset, or after it');
    if (this.#host.counts.interrupts !== interrupts)
      this.#report.find('an interrupt comes in a reset, or after it');
    if (this.#host.memories.some((bytes) => bytes.some((byte) => byte !== 0)))
      this.#report.find('host.memory has bytes of the last program after a reset');
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
      this.#do(sentenceOf(access), () => this.#model.readBar(bar, offset, bytes));
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
        this.#report.find(`after a reset ${place} reads ${now.get(place)}, where it read ${value} at first`);
  }

  /** Is there a byte that readBar leaves as it was? */
  #lookForUnfilled(): void {
    for (const { bar, offset, width } of this.#accesses.words()) {
      let returned: unknown;
      const [one, other] = [0x5a, 0xa5].map((pattern) => {
        const bytes = new Uint8Array(width).fill(pattern);
        // CalledModel lends zeros, so that nothing can be seen in what is left; here it is to be seen.
        returned = this.#calls.call(0, undefined, () => this.#raw!.readBar(bar, offset, bytes) as unknown);
        return bytes;
      });
      if (!this.#lookForFailure() && one!.some((byte, n) => byte === 0x5a && other![n] === 0xa5))
        this.#report.remark(
          `readBar leaves bytes as they are, at ${hex(offset)} of BAR ${bar}: they read as zeros` +
            (returned === undefined ? '' : `; it returns ${describe(returned)}, which nobody takes`),
        );
    }
  }

  /** Tells a failure that is new, and goes on after it. @returns whether there was one. */
  #lookForFailure(): boolean {
    if (!this.#report.hasFailed()) return false;
    this.#calls.recover();
    this.#model.reset();
    this.#report.skipFailures();
    return true;
  }
}

function describePci({ vendorId, deviceId, bars, msi, msix, intx, pasidBits }: PciDescription): string {
  const id = [vendorId, deviceId].map((each) => each.toString(16).padStart(4, '0')).join(':');
  const parts = bars.map(({ index, size }) => `BAR ${index} of ${size} bytes`);
  if (msix !== undefined) parts.push(`${msix.vectors} vectors of MSI-X`);
  if (msi !== undefined) parts.push(`${msi} of MSI`);
  if (intx === true) parts.push('INTx');
  if (pasidBits !== undefined) parts.push(`PASIDs of ${pasidBits} bits`);
  return [id, ...parts].join(', ');
}
