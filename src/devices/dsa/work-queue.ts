/**
 * A work queue: its place in WQCFG, its state, and a ring of descriptors in the order in which they were
 * accepted.
 *
 * The ring is made when the work queue is enabled, with one 64-byte slot for each descriptor of its size, and
 * beside each slot the PASID that was admitted for it. Descriptors are numbered as they are accepted, so that
 * "all that came before now" is one number.
 */

import type { Registers } from '../registers.js';
import { DESCRIPTOR_SIZE } from './descriptor.js';
import type { WqLimits } from './descriptor-check.js';
import { GENCFG_USER_INTERRUPTS, Register, WQCFG_STRIDE, WqField, WqMode, WqState } from './registers.js';

export class WorkQueue {
  readonly index: number;
  readonly #registers: Registers;
  readonly #config: number;
  #slots = new Uint8Array(0);
  #pasids = new Int32Array(0);
  /** 1 for descriptors whose interrupt handle names an IMS entry. */
  #handleKinds = new Uint8Array(0);
  #size = 0;
  #head = 0;
  #count = 0;
  #accepted = 0;
  #limits: WqLimits = {
    shared: false,
    blockOnFault: false,
    interrupts: false,
    operations: 0,
    maxTransfer: 0,
    maxBatch: 0,
  };

  constructor(index: number, registers: Registers) {
    this.index = index;
    this.#registers = registers;
    this.#config = Register.WQCFG + index * WQCFG_STRIDE;
  }

  /**
   * Its configuration as after a reset: disabled. The size of one that is not preset stays: that is the
   * device's to change.
   */
  reset(): void {
    const { size } = this;
    this.#registers.reset(this.#config, this.#config + WQCFG_STRIDE);
    if (this.size === 0) this.#set(WqField.SIZE, size);
  }

  get size(): number {
    return this.#get(WqField.SIZE) & 0xffff;
  }

  get threshold(): number {
    return this.#get(WqField.THRESHOLD) & 0xffff;
  }

  get shared(): boolean {
    return (this.#get(WqField.MODE) & WqMode.DEDICATED) === 0;
  }

  get priority(): number {
    return (this.#get(WqField.MODE) >>> 4) & 0xf;
  }

  get pasidEnabled(): boolean {
    return (this.#get(WqField.MODE) & WqMode.PASID_ENABLE) !== 0;
  }

  get privileged(): boolean {
    return (this.#get(WqField.MODE) & WqMode.PRIVILEGED) !== 0;
  }

  get pasid(): number {
    return (this.#get(WqField.MODE) & WqMode.PASID) >>> 8;
  }

  get maxTransferShift(): number {
    return this.#get(WqField.LIMITS) & 0x1f;
  }

  get maxBatchShift(): number {
    return (this.#get(WqField.LIMITS) >>> 5) & 0xf;
  }

  get state(): number {
    return this.#get(WqField.STATE) >>> 30;
  }

  set state(state: number) {
    this.#set(WqField.STATE, ((this.#get(WqField.STATE) & 0x3fffffff) | (state << 30)) >>> 0);
  }

  /** What its descriptors may do; fixed since it was enabled. */
  get limits(): WqLimits {
    return this.#limits;
  }

  /** Starts to take descriptors. The configuration has been checked. */
  enable(): void {
    if (this.size !== this.#size) {
      this.#size = this.size;
      this.#slots = new Uint8Array(this.#size * DESCRIPTOR_SIZE);
      this.#pasids = new Int32Array(this.#size);
      this.#handleKinds = new Uint8Array(this.#size);
    }
    this.#head = 0;
    this.#count = 0;
    this.#limits = {
      shared: this.shared,
      blockOnFault: (this.#get(WqField.MODE) & WqMode.BLOCK_ON_FAULT) !== 0,
      interrupts: !this.pasidEnabled || (this.#registers.get(Register.GENCFG) & GENCFG_USER_INTERRUPTS) !== 0,
      operations: this.#get(WqField.OPERATIONS),
      maxTransfer: 2 ** this.maxTransferShift,
      maxBatch: 2 ** this.maxBatchShift,
    };
    this.state = WqState.ENABLED;
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count >= this.#size;
  }

  /** The number that the next descriptor will get. */
  get accepted(): number {
    return this.#accepted;
  }

  /** The number of the descriptor at the head. */
  get headNumber(): number {
    return this.#accepted - this.#count;
  }

  /** The opcode of the descriptor at the head, which there is. */
  get headOpcode(): number {
    return this.#slots[this.#head * DESCRIPTOR_SIZE + 7]!;
  }

  get headPasid(): number {
    return this.#pasids[this.#head]!;
  }

  get headHandleKind(): number {
    return this.#handleKinds[this.#head]!;
  }

  /** Takes the 64 bytes of `descriptor`. There is room. */
  push(descriptor: Uint8Array, pasid: number, handleKind: number): void {
    const slot = (this.#head + this.#count) % this.#size;
    this.#slots.set(descriptor, slot * DESCRIPTOR_SIZE);
    this.#pasids[slot] = pasid;
    this.#handleKinds[slot] = handleKind;
    this.#count++;
    this.#accepted++;
  }

  /** Moves the descriptor at the head, which there is, into `target`. */
  shift(target: Uint8Array): void {
    const from = this.#head * DESCRIPTOR_SIZE;
    for (let i = 0; i < DESCRIPTOR_SIZE; i++) target[i] = this.#slots[from + i]!;
    this.#head = (this.#head + 1) % this.#size;
    this.#count--;
  }

  holds(pasid: number): boolean {
    for (let i = 0; i < this.#count; i++)
      if (this.#pasids[(this.#head + i) % this.#size] === pasid) return true;
    return false;
  }

  /** Drops what waits: all of it, or what belongs to `pasid`. */
  discard(pasid?: number): void {
    const count = this.#count;
    let kept = 0;
    for (let i = 0; i < count && pasid !== undefined; i++) {
      const from = (this.#head + i) % this.#size;
      if (this.#pasids[from] === pasid) continue;
      this.#copySlot(from, (this.#head + kept) % this.#size);
      kept++;
    }
    this.#count = kept;
  }

  #copySlot(from: number, to: number): void {
    if (from === to) return;
    this.#slots.copyWithin(to * DESCRIPTOR_SIZE, from * DESCRIPTOR_SIZE, (from + 1) * DESCRIPTOR_SIZE);
    this.#pasids[to] = this.#pasids[from]!;
    this.#handleKinds[to] = this.#handleKinds[from]!;
  }

  #get(offset: number): number {
    return this.#registers.get(this.#config + offset);
  }

  #set(offset: number, value: number): void {
    this.#registers.set(this.#config + offset, value);
  }
}
