/**
 * A work queue: its place in WQCFG, its state, and a ring of descriptors in the order in which they were
 * accepted.
 *
 * The ring is made when the work queue is enabled, with one 64-byte slot for each descriptor of its size, and
 * beside each slot the PASID that was admitted for it. Descriptors are numbered as they are accepted, so that
 * "all that came before now" is one number.
 */

import { DESCRIPTOR_SIZE } from './descriptor.js';
import type { WqLimits } from './descriptor-check.js';
import {
  GENCFG_USER_INTERRUPTS,
  MAX_BATCH_SHIFT,
  MAX_TRANSFER_SHIFT,
  Register,
  type RegisterImage,
  WQCFG_STRIDE,
  WqState,
} from './registers.js';

const MODE_DEDICATED = 0x1;
const BLOCK_ON_FAULT = 0x2;
const PASID_ENABLE = 0x10000000;
const PRIVILEGED = 0x20000000;
/** Fields of dword 2 that say whose memory is meant: PASID, PASID enable, privileged. */
const IDENTITY = 0x3fffff00;
const DEFAULT_MAX_TRANSFER_SHIFT = 21;
const DEFAULT_MAX_BATCH_SHIFT = 5;
const LOWEST_PRIORITY = 0x10;

export class WorkQueue {
  readonly index: number;
  readonly #image: RegisterImage;
  readonly #config: number;
  /** What the device can do; the operation configuration is a part of it. */
  readonly #operations: number;
  #slots = new Uint8Array(0);
  #pasids = new Int32Array(0);
  /** 1 for descriptors whose interrupt handle names an IMS entry. */
  #handleKinds = new Uint8Array(0);
  #presetSize = 0;
  #presetShared = false;
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

  constructor(index: number, image: RegisterImage, operations: number) {
    this.index = index;
    this.#image = image;
    this.#config = Register.WQCFG + index * WQCFG_STRIDE;
    this.#operations = operations;
  }

  /** Makes it come out of every reset configured with `size`; 0: not configured. */
  setPreset(size: number, shared: boolean): void {
    this.#presetSize = size;
    this.#presetShared = shared;
  }

  /**
   * Its configuration as after a reset: disabled, able to do whatever the device can. Its size stays: that is
   * the device's to change.
   */
  reset(): void {
    const size = this.#presetSize === 0 ? this.size : this.#presetSize;
    this.#image.clear(this.#config, this.#config + WQCFG_STRIDE);
    this.#set(12, DEFAULT_MAX_TRANSFER_SHIFT + DEFAULT_MAX_BATCH_SHIFT * 2 ** 5);
    this.#set(32, this.#operations);
    this.#set(0, size);
    if (this.#presetSize === 0) return;
    this.#set(4, this.#presetShared ? size : 0);
    this.#set(8, (this.#presetShared ? PASID_ENABLE : MODE_DEDICATED) + BLOCK_ON_FAULT + LOWEST_PRIORITY);
    this.#set(12, MAX_TRANSFER_SHIFT + MAX_BATCH_SHIFT * 2 ** 5);
  }

  get size(): number {
    return this.#get(0) & 0xffff;
  }

  get threshold(): number {
    return this.#get(4) & 0xffff;
  }

  get shared(): boolean {
    return (this.#get(8) & MODE_DEDICATED) === 0;
  }

  get priority(): number {
    return (this.#get(8) >>> 4) & 0xf;
  }

  get pasidEnabled(): boolean {
    return (this.#get(8) & PASID_ENABLE) !== 0;
  }

  get privileged(): boolean {
    return (this.#get(8) & PRIVILEGED) !== 0;
  }

  get pasid(): number {
    return (this.#get(8) >>> 8) & 0xfffff;
  }

  get maxTransferShift(): number {
    return this.#get(12) & 0x1f;
  }

  get maxBatchShift(): number {
    return (this.#get(12) >>> 5) & 0xf;
  }

  get state(): number {
    return this.#get(24) >>> 30;
  }

  set state(state: number) {
    this.#set(24, ((this.#get(24) & 0x3fffffff) | (state << 30)) >>> 0);
  }

  /** What its descriptors may do; fixed since it was enabled. */
  get limits(): WqLimits {
    return this.#limits;
  }

  /** Stores dword `offset` of its WQCFG entry, or as much of it as may change now. */
  configure(offset: number, value: number, deviceDisabled: boolean, configurable: boolean): void {
    // The threshold may change at any time.
    if (offset === 4 && configurable) this.#set(4, value & 0xffff);
    if (this.state !== WqState.DISABLED) return;
    if (!configurable) {
      if (offset === 8) this.#set(8, ((this.#get(8) & ~IDENTITY) | (value & IDENTITY)) >>> 0);
      return;
    }
    if (offset === 0 && deviceDisabled) this.#set(0, value & 0xffff);
    if (offset === 8) this.#set(8, (value & 0x3ffffff3) >>> 0);
    if (offset === 12) this.#set(12, value & 0x1ff);
    if (offset === 32) this.#set(32, (value & this.#operations) >>> 0);
  }

  /** Forgets the PASID that the program wrote: it may not be loaded here. */
  refusePasid(): void {
    this.#set(8, (this.#get(8) & ~0x0fffff00) >>> 0);
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
      blockOnFault: (this.#get(8) & BLOCK_ON_FAULT) !== 0,
      interrupts: !this.pasidEnabled || (this.#image.get(Register.GENCFG) & GENCFG_USER_INTERRUPTS) !== 0,
      operations: this.#get(32),
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
    return this.#image.get(this.#config + offset);
  }

  #set(offset: number, value: number): void {
    this.#image.set(this.#config + offset, value);
  }
}
