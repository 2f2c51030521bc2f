/**
 * MSI-X of one function (PCI Local Bus 3.0 §6.8.2), as vfio-pci lets a program have it: kept here for every
 * device model, with the table and the pending bits (PBA) that appear in its BAR.
 *
 * Invariant: a vector is masked while it has no eventfd; the device's message of a masked one sets its
 * pending bit, and is sent when it gets one. A message is sent while bus mastering is on, since it is a
 * memory write; otherwise it is lost. Before MSI-X is enabled the device sends none.
 *
 * The table belongs to the host, so programs read ones there by the file and write nothing. A mapping has its
 * entries: those of vectors with an eventfd hold the host's message, all others are masked. The PBA is what
 * it is.
 */
import type { PciDescription } from '../devices/device-model.js';
import type { Caller } from '../file/open-file.js';
import { begun, type Sliced, type Work } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import type { ConfigSpace } from './config-space.js';
import { disables, type IrqRequest } from './irq-request.js';
import { Triggers } from './triggers.js';

const ENTRY = 16;
/** Where messages of x86 hosts go (Intel SDM vol. 3, 12.11.1). */
const MESSAGE_ADDRESS = 0xfee00000;
/** Bytes of the narrowest access to pending bits. */
const PBA_ACCESS = 4;

export class Msix {
  readonly vectors: number;
  readonly #config: ConfigSpace;
  readonly #bar: number;
  readonly #table: { readonly start: number; readonly end: number };
  readonly #pba: { readonly start: number; readonly end: number };
  readonly #pending: Uint8Array;
  readonly #triggers = new Triggers('MSI-X');
  #enabled = false;

  constructor(msix: NonNullable<PciDescription['msix']>, config: ConfigSpace) {
    const { vectors, bar, tableOffset, pbaOffset } = msix;
    this.vectors = vectors;
    this.#config = config;
    this.#bar = bar;
    this.#pending = new Uint8Array(Math.ceil(vectors / 64) * 8);
    this.#table = { start: tableOffset, end: tableOffset + vectors * ENTRY };
    this.#pba = { start: pbaOffset, end: pbaOffset + this.#pending.length };
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  /** The device sends message `vector`. @returns whether it has arrived. */
  raise(vector: number): boolean {
    if (!this.#enabled || vector >= this.vectors) return false;
    if (this.#triggers.has(vector)) return this.#config.busMaster && this.#triggers.raise(vector);
    this.#pending[vector >>> 3]! |= 1 << (vector & 7);
    return false;
  }

  /** Why message `vector`, when MSI-X is enabled, does not arrive now; undefined: it does. */
  whyLost(vector: number): string | undefined {
    if (!this.#triggers.has(vector)) return 'it has no eventfd (VFIO_DEVICE_SET_IRQS), and stays pending';
    return this.#config.busMaster ? undefined : 'bus mastering is off, and MSI-X is a memory write';
  }

  /** SET_IRQS, when no other kind is enabled. @throws Refusal as Interrupts.set. */
  set(request: IrqRequest, caller: Caller): Sliced<void> {
    const { start, count, action, data } = request;
    if (action !== 'trigger') refuse('ENOTTY', 'MSI-X vectors cannot be masked by SET_IRQS');
    if (this.#enabled && disables(request)) this.disable();
    else if (data.kind === 'eventfd') return begun(this.#assign(start, data.fds, caller));
    else if (!this.#enabled) refuse('EINVAL', 'MSI-X is not enabled: no eventfd was assigned');
    else this.#triggers.loopBack(start, count, data);
  }

  /** What is pending stays so. */
  disable(): void {
    this.#triggers.clear();
    this.#enabled = false;
    this.#config.setMsixEnable(false);
  }

  /** The device was reset: nothing is pending any more. */
  deviceReset(): void {
    this.#pending.fill(0);
  }

  /** Is byte `offset` of `bar` one of the table or of the PBA? */
  owns(bar: number, offset: number): boolean {
    return bar === this.#bar && (within(offset, this.#table) || within(offset, this.#pba));
  }

  /** Is any of the `length` bytes at `offset` of `bar` in the table? */
  tableReaches(bar: number, offset: number, length: number): boolean {
    return bar === this.#bar && offset < this.#table.end && offset + length > this.#table.start;
  }

  /** The first offset after `offset`, but at most `end`, at which `owns` may change its answer. */
  boundary(bar: number, offset: number, end: number): number {
    if (bar !== this.#bar) return end;
    const edges = [this.#table.start, this.#table.end, this.#pba.start, this.#pba.end, end];
    return Math.min(...edges.filter((edge) => edge > offset));
  }

  /**
   * Reads from BAR offset `offset`; all of `target` lies in the table, or all of it in the PBA, which has no
   * answer to less than 4 bytes (PCI Local Bus 3.0 §6.8.2). A mapping has the table's entries.
   */
  read(offset: number, target: Uint8Array, mapped: boolean): void {
    if (within(offset, this.#table) && mapped) this.#readEntry(offset - this.#table.start, target);
    else if (within(offset, this.#table)) target.fill(0xff);
    else if (target.length < PBA_ACCESS) target.fill(0);
    else target.set(this.#pending.subarray(offset - this.#pba.start).subarray(0, target.length));
  }

  /** The entry of a vector: address, upper address, data, and its control word, whose bit 0 masks it. */
  #readEntry(at: number, target: Uint8Array): void {
    const vector = Math.floor(at / ENTRY);
    const used = this.#enabled && this.#triggers.has(vector);
    const entry = new Uint8Array(ENTRY);
    const words = new DataView(entry.buffer);
    if (used) words.setUint32(0, MESSAGE_ADDRESS, true);
    if (used) words.setUint32(8, vector, true);
    words.setUint32(12, used ? 0 : 1, true);
    target.set(entry.subarray(at % ENTRY, (at % ENTRY) + target.length));
  }

  /** Vectors can be added at any time. */
  *#assign(start: number, fds: Int32Array, caller: Caller): Work<void> {
    const first = !this.#enabled;
    if (first) this.#enable(start + fds.length);
    try {
      yield* this.#triggers.assign(start, fds, caller);
    } catch (refusal) {
      if (first) this.disable();
      throw refusal;
    }
    for (let n = 0; n < fds.length; n++) if (this.#takePending(start + n)) this.raise(start + n);
  }

  #enable(end: number): void {
    if (end === 0) refuse('ERANGE', 'MSI-X cannot be enabled with no vectors');
    if (this.#config.inD3hot) refuse('EINVAL', 'MSI-X cannot be enabled in D3hot');
    this.#triggers.open(this.vectors);
    this.#enabled = true;
    this.#config.setMsixEnable(true);
  }

  /** Is `vector` pending and not masked any more? Then it is pending no longer. */
  #takePending(vector: number): boolean {
    const bit = 1 << (vector & 7);
    if (!this.#triggers.has(vector) || (this.#pending[vector >>> 3]! & bit) === 0) return false;
    this.#pending[vector >>> 3]! &= ~bit;
    return true;
  }
}

function within(offset: number, { start, end }: { readonly start: number; readonly end: number }): boolean {
  return offset >= start && offset < end;
}
