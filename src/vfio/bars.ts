/**
 * The BARs of one device, as pread and pwrite reach them.
 *
 * A transfer is cut into aligned accesses of 8, 4, 2 and 1 bytes, lowest first, as vfio-pci does it: what a
 * CPU can do to a register. So each register is read or written by itself, whatever was asked in one call.
 * The MSI-X table and pending bits in a BAR are not the model's, nor is what it declares as memory cut.
 *
 * A range that the model declares as portals takes a write of 64 bytes whole, in place of the instructions
 * that do so and that no file has (MOVDIR64B, ENQCMD). What would be cut there otherwise is refused, because
 * no portal does anything with it; `strict` cuts it, as hardware would.
 */
import type { CalledModel } from '../devices/called-model.js';
import type { BarDescription, PciDescription } from '../devices/device-model.js';
import type { MappedPages } from '../file/open-file.js';
import type { Memory } from '../iommu/memory.js';
import { hex, refuse } from '../linux/errno.js';
import { BarMemory, type ReachedBars } from './bar-memory.js';
import { BarPages, type RingBar } from './bar-pages.js';
import type { ConfigSpace } from './config-space.js';
import { type BarRange, ExportedBar } from './exported-bar.js';
import type { Interrupts } from './interrupts.js';

/** Bytes that a portal takes at once, at a multiple of as many. */
export const PORTAL_WRITE = 64;

const PAGE = 4096;

export class Bars implements ReachedBars {
  readonly #name: string;
  readonly #model: CalledModel;
  readonly #bars: readonly (BarDescription | undefined)[];
  readonly #config: ConfigSpace;
  readonly #irqs: Interrupts;
  readonly #strict: boolean;
  readonly #pages: BarPages;
  readonly #ring: RingBar;
  readonly #works: () => boolean;
  /** By index: what DMA has of them until they are closed. */
  #reached: (BarMemory | undefined)[] = [];
  #closings = 0;
  #revocations = 0;
  #decoded = false;
  #asleep = false;

  /** @param strict portals are no different from other registers. */
  constructor(model: CalledModel, config: ConfigSpace, irqs: Interrupts, strict: boolean) {
    this.#name = model.calls.name;
    this.#model = model;
    this.#bars = barsByIndex(model.pci);
    this.#config = config;
    this.#irqs = irqs;
    this.#strict = strict;
    this.#pages = new BarPages(model.pci);
    this.#works = () => model.busy();
    this.#ring = (bar, offset, word) => model.writeBar(bar, offset, word);
  }

  /** What people call the register at `offset` of BAR `index`; undefined: it has no name. */
  nameAt(index: number, offset: number): string | undefined {
    return this.#bars[index] === undefined ? undefined : this.#model.registerName(index, offset);
  }

  /** Bytes of BAR `index`, 0 when there is none. */
  size(index: number): number {
    return this.#bars[index]?.size ?? 0;
  }

  /** May BAR `index` be mapped, page by page? */
  mappable(index: number): boolean {
    return this.size(index) >= PAGE;
  }

  /**
   * mmap(2) of [offset, offset+length) of BAR `index`.
   * @throws Refusal EINVAL when there is none of a page or more, or the range goes past its end.
   */
  checkMapping(index: number, offset: number, length: number): void {
    if (!this.mappable(index)) refuse('EINVAL', `region ${index} of ${this.#name} cannot be mapped`);
    if (offset + length > this.size(index))
      refuse('EINVAL', `${length} bytes at ${hex(offset)} go past the ${this.size(index)} of BAR ${index}`);
  }

  /** As BarPages.within. */
  pages(index: number, offset: number, length: number): MappedPages[] {
    const found = this.#pages.within(index, offset, length);
    this.settle();
    return found;
  }

  /**
   * BAR `index` as devices reach it by DMA, until it is closed: always the same. @throws Refusal EFAULT while
   * the device does not answer.
   */
  memory(index: number): Memory {
    if (!this.#answers) refuse('EFAULT', `${this.#name} does not answer in BAR ${index}`);
    this.#reached[index] ??= new BarMemory(this.#name, this, index, 'closings');
    return this.#reached[index];
  }

  /**
   * `ranges` of BAR `index`, to be given to others. @throws Refusal EINVAL there is none, or a range goes
   * past its end.
   */
  export(index: number, ranges: readonly BarRange[]): ExportedBar {
    const size = this.size(index);
    for (const { offset, length } of ranges)
      if (offset + length > size)
        refuse('EINVAL', `${hex(offset)}+${hex(length)} is not within the ${hex(size)} of BAR ${index}`);
    return new ExportedBar(this.#name, this, index, ranges);
  }

  get closings(): number {
    return this.#closings;
  }

  get revocations(): number {
    return this.#revocations;
  }

  get decodes(): boolean {
    return this.#config.memoryEnabled && !this.#asleep;
  }

  /** In low power they answer to calls on the device alone, for which it is awake. */
  sleep(): void {
    this.hear();
    this.#asleep = true;
    this.settle();
  }

  wake(): void {
    this.#asleep = false;
    this.settle();
  }

  /** Memory space may have been turned on or off, or the model may have failed or be as new. */
  settle(): void {
    this.#pages.settle(this.#answers);
    if (this.#decoded && !this.decodes) this.#revocations++;
    this.#decoded = this.decodes;
  }

  /** Does what programs have asked for by doorbells that they have as memory. */
  hear(): void {
    if (this.#pages.looking) this.#pages.hear(this.#ring);
  }

  /** Are there doorbells that are looked at? */
  get looking(): boolean {
    return this.#pages.looking;
  }

  /** Looks at doorbells while the device works, and a little longer. */
  lookOn(works: boolean): void {
    this.#pages.lookOn(works, this.#ring);
  }

  /** The device is reset. */
  reset(): void {
    this.#pages.reset();
    this.#revocations++;
  }

  /** The device is closed. */
  close(): void {
    this.#pages.close();
    this.#reached = [];
    this.#closings++;
    this.#revocations++;
  }

  get #answers(): boolean {
    return this.decodes && this.#model.calls.failure === undefined;
  }

  /**
   * Fills `target` from `offset` of BAR `index`. @returns the bytes read: fewer at its end.
   * @param mapped by who has mapped it, or by DMA.
   * @throws Refusal EINVAL for a BAR that is not there, or an offset past its end; EIO while memory space is
   * disabled or the model has failed, and where it is mapped in low power.
   */
  read(index: number, offset: number, target: Uint8Array, mapped = false): number {
    if (mapped) this.#checkAwake(index);
    const end = this.#end(index, offset, target.length);
    for (let at = offset; at < end; ) {
      const next = this.#accessEnd(index, at, end);
      this.#readOnce(index, at, target.subarray(at - offset, next - offset), mapped);
      at = next;
    }
    return end - offset;
  }

  /**
   * Writes `source` at `offset` of BAR `index`. @returns the bytes written: fewer at its end, or where the
   * device cannot take more now.
   * @throws Refusal as `read`; EINVAL for what a portal does not take; EAGAIN when the device takes none now.
   */
  write(index: number, offset: number, source: Uint8Array, mapped = false): number {
    if (mapped) this.#checkAwake(index);
    const end = this.#end(index, offset, source.length);
    const whole = this.#isForPortal(index, offset, end);
    for (let at = offset; at < end; ) {
      const next = whole ? end : this.#accessEnd(index, at, end);
      const { total } = this.#model.calls.notes;
      if (!this.#writeOnce(index, at, source.subarray(at - offset, next - offset)))
        return at > offset ? at - offset : refuse('EAGAIN', this.#whyNotTaken(index, offset, total));
      at = next;
    }
    return end - offset;
  }

  /** What the device has said of it since note `total`, when it has. */
  #whyNotTaken(index: number, offset: number, total: number): string {
    const [note] = this.#model.calls.notes.since(total);
    const what = `${this.#name} cannot take the write to BAR ${index} at ${hex(offset)} now`;
    return note === undefined ? `${what}; write it again` : `${what}: ${note.sentence}`;
  }

  /**
   * One write of 64 bytes at a multiple of as many, by MOVDIR64B or ENQCMD to a mapped BAR. @returns false
   * when the device cannot take it now. @throws Refusal as `read`.
   */
  write64(index: number, offset: number, source: Uint8Array): boolean {
    this.#checkAwake(index);
    this.#end(index, offset, source.length);
    return this.#writeOnce(index, offset, source);
  }

  /** Where the first access to [offset, end) of BAR `index` ends, of those that a write there is made of. */
  accessEnd(index: number, offset: number, end: number): number {
    const whole = offset + PORTAL_WRITE;
    const fits = offset % PORTAL_WRITE === 0 && whole <= end;
    return fits && this.#isForPortal(index, offset, whole) ? whole : this.#accessEnd(index, offset, end);
  }

  /** Where an access of `length` bytes at `offset` of BAR `index` ends. */
  #end(index: number, offset: number, length: number): number {
    const size = this.size(index);
    if (size === 0) refuse('EINVAL', `${this.#name} has no region ${index} to read or write`);
    if (offset >= size) refuse('EINVAL', `offset ${hex(offset)} is past the ${size} bytes of BAR ${index}`);
    return Math.min(offset + length, size);
  }

  /** @throws Refusal EIO in low power. */
  #checkAwake(index: number): void {
    if (this.#asleep) refuse('EIO', `${this.#name} is in low power, and BAR ${index} answers to calls alone`);
  }

  /** The MSI-X table is not asked of the device. @throws Refusal EIO when that does not answer. */
  #checkAnswering(bar: number, offset: number): void {
    if (this.#irqs.msix?.tableReaches(bar, offset, 1) === true) return;
    this.#checkWorking();
    if (!this.#config.memoryEnabled)
      refuse('EIO', `memory space is off in the command register of ${this.#name}`);
  }

  /** @throws Refusal EIO when the model has failed. */
  #checkWorking(): void {
    const { failure } = this.#model.calls;
    if (failure !== undefined) refuse('EIO', failure);
  }

  /** @throws Refusal EIO when the model is being called: DMA has led back to it. */
  #checkIdle(bar: number): void {
    if (this.#model.calls.running)
      refuse('EIO', `${this.#name} is in the middle of a call, and answers in no register of BAR ${bar}`);
  }

  /** Do writes at `offset` of BAR `index` go to a portal, which takes 64 bytes at once? */
  isPortal(index: number, offset: number): boolean {
    const portals = this.#bars[index]?.portals;
    if (portals === undefined || this.#strict) return false;
    return offset >= portals.offset && offset < portals.offset + portals.size;
  }

  /** Is [offset, end) of BAR `index` one write to a portal? @throws Refusal EINVAL what no portal takes. */
  #isForPortal(index: number, offset: number, end: number): boolean {
    if (!this.isPortal(index, offset) || accessEnd(offset, end) === end) return false;
    if (end - offset !== PORTAL_WRITE || offset % PORTAL_WRITE !== 0) {
      const what = `${end - offset} bytes at ${hex(offset)} of BAR ${index} of ${this.#name}`;
      refuse('EINVAL', `${what} are for a portal, which takes ${PORTAL_WRITE} at a multiple of as many`);
    }
    return true;
  }

  /** Where the first access to [at, end) of BAR `bar` ends. Memory takes what there is of it at once. */
  #accessEnd(bar: number, at: number, end: number): number {
    const memory = this.#bars[bar]?.memory;
    if (memory !== undefined && memory.offset + memory.bytes.length > at) {
      if (memory.offset <= at) return Math.min(end, memory.offset + memory.bytes.length);
      end = Math.min(end, memory.offset);
    }
    return accessEnd(at, this.#irqs.msix?.boundary(bar, at, end) ?? end);
  }

  /** The memory at `offset` of BAR `bar`; undefined where there are registers. */
  #memoryAt(bar: number, offset: number): Uint8Array | undefined {
    const memory = this.#bars[bar]?.memory;
    if (memory === undefined || offset < memory.offset) return undefined;
    return offset < memory.offset + memory.bytes.length
      ? memory.bytes.subarray(offset - memory.offset)
      : undefined;
  }

  #readOnce(bar: number, offset: number, target: Uint8Array, mapped: boolean): void {
    this.#checkAnswering(bar, offset);
    if (this.#irqs.msix?.owns(bar, offset) === true) {
      this.#irqs.msix.read(offset, target, mapped);
      return;
    }
    const memory = this.#memoryAt(bar, offset);
    if (memory === undefined) {
      this.#checkIdle(bar);
      this.#model.readBar(bar, offset, target);
    } else target.set(memory.subarray(0, target.length));
    this.#checkWorking();
  }

  /** @returns false when the device cannot take it now. */
  #writeOnce(bar: number, offset: number, source: Uint8Array): boolean {
    this.#checkAnswering(bar, offset);
    if (this.#irqs.msix?.owns(bar, offset) === true) return true;
    const memory = this.#memoryAt(bar, offset);
    if (memory !== undefined) memory.set(source);
    else this.#checkIdle(bar);
    const taken = memory !== undefined || this.#model.writeBar(bar, offset, source);
    this.#checkWorking();
    if (taken && !this.#asleep) this.#pages.written(bar, offset, this.#works);
    return taken;
  }
}

/** Where the first access to [at, end) ends: aligned, and at most 8 bytes. */
export function accessEnd(at: number, end: number): number {
  const room = end - at;
  if (room >= 8 && at % 8 === 0) return at + 8;
  if (room >= 4 && at % 4 === 0) return at + 4;
  return room >= 2 && at % 2 === 0 ? at + 2 : at + 1;
}

function barsByIndex({ bars }: PciDescription): (BarDescription | undefined)[] {
  return [0, 1, 2, 3, 4, 5].map((index) => bars.find((bar) => bar.index === index));
}
