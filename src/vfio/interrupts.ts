/**
 * The interrupts of one device: what raises an eventfd of the program that has the device open.
 *
 * At most one of INTx, MSI and MSI-X is enabled at a time; assigning an eventfd to one of its vectors enables
 * a kind, as with Linux's vfio-pci. ERR and REQ are single eventfds beside them. Every Signal that is held
 * here is closed exactly once: when it is replaced, when its kind is disabled, or in `close`. A request is
 * checked, and all of its eventfds taken, before anything changes.
 */
import type { PciDescription } from '../devices/device-model.js';
import type { Caller, Signal } from '../file/open-file.js';
import { refuse } from '../linux/errno.js';
import type { ConfigSpace } from './config-space.js';
import { Intx } from './intx.js';
import { MsixTable } from './msix-table.js';

/** Interrupt indices of a PCI device (`<linux/vfio.h>`, VFIO_PCI_*_IRQ_INDEX). */
export const INTX = 0;
export const MSI = 1;
export const MSIX = 2;
export const ERR = 3;
export const REQ = 4;
export const NUM_IRQS = 5;

const names = ['INTx', 'MSI', 'MSI-X', 'ERR', 'REQ'];

/**
 * What SET_IRQS carries: nothing, a flag a vector, or a descriptor of an eventfd a vector (negative: none).
 */
export type IrqData =
  | { readonly kind: 'none' }
  | { readonly kind: 'bool'; readonly bools: Uint8Array }
  | { readonly kind: 'eventfd'; readonly fds: Int32Array };

/** One SET_IRQS, decoded: vectors [start, start + count) of `index`. */
export interface IrqRequest {
  readonly index: number;
  readonly start: number;
  readonly count: number;
  readonly action: 'mask' | 'unmask' | 'trigger';
  readonly data: IrqData;
}

export class Interrupts {
  readonly msix: MsixTable | undefined;
  readonly #config: ConfigSpace;
  readonly #counts: readonly number[];
  /** INTX, MSI, MSIX, or undefined: none is enabled. */
  #kind: number | undefined;
  #triggers: (Signal | undefined)[] = [];
  /** ERR and REQ. */
  readonly #single = new Map<number, Signal>();
  readonly #intx: Intx;

  constructor(pci: PciDescription, config: ConfigSpace) {
    this.#config = config;
    this.#intx = new Intx(config);
    this.#counts = [pci.intx === true ? 1 : 0, pci.msi ?? 0, pci.msix?.vectors ?? 0, 1, 1];
    this.msix = pci.msix === undefined ? undefined : new MsixTable(pci.msix);
  }

  /** Vectors of interrupt `index`; 0 when the device does not have that kind. */
  count(index: number): number {
    return this.#counts[index] ?? 0;
  }

  /** The device sends message `vector`. Dropped when it has no eventfd; held when it is masked. */
  raise(vector: number): void {
    if (this.#kind === INTX || this.#triggers[vector] === undefined) return;
    if (this.#kind === MSIX && this.msix!.masked(vector)) this.msix!.setPending(vector);
    else this.#triggers[vector].raise();
  }

  /** The device drives its INTx line. */
  drive(level: boolean): void {
    this.#intx.drive(level);
  }

  /** The device has failed: raises ERR. */
  raiseError(): void {
    this.#single.get(ERR)?.raise();
  }

  /** A program wrote to the MSI-X table or PBA in the BAR. */
  writeMsix(offset: number, source: Uint8Array): void {
    for (const vector of this.msix!.write(offset, source)) this.#triggers[vector]?.raise();
  }

  /** The command register was written: INTx may have been disabled or enabled in it. */
  commandChanged(): void {
    this.#intx.commandChanged();
  }

  /**
   * The device was reset: nothing is pending any more. Eventfds and masks stay, as vfio-pci restores them.
   */
  deviceReset(): void {
    this.#intx.drive(false);
    this.msix?.clearPending();
  }

  /** Gives all eventfds back. */
  close(): void {
    this.#disable();
    this.#intx.drive(false);
    for (const signal of this.#single.values()) signal.close();
    this.#single.clear();
    this.msix?.reset();
  }

  /**
   * SET_IRQS. The range has been checked against `count(index)`.
   * @throws Refusal EINVAL when another kind is enabled, or this one is not and must be, or the range does
   * not fit, or MSI or MSI-X is enabled in D3hot; ERANGE when MSI or MSI-X is enabled with no vectors at 0;
   * ENOTTY when the action is not supported for this kind; EBADF, EINVAL for a descriptor that is
   * not an eventfd.
   */
  set(request: IrqRequest, caller: Caller): void {
    if (request.index === ERR || request.index === REQ) this.#setSingle(request, caller);
    else if (request.action === 'trigger') this.#setTrigger(request, caller);
    else if (request.index === INTX) this.#setIntxMask(request);
    else refuse('ENOTTY', `${names[request.index]} vectors cannot be masked by SET_IRQS`);
  }

  #setSingle({ index, count, action, data }: IrqRequest, caller: Caller): void {
    if (action !== 'trigger') refuse('ENOTTY', `${names[index]} cannot be masked`);
    if (data.kind === 'eventfd' && count === 1) {
      const fd = data.fds[0]!;
      if (fd < -1) refuse('EINVAL', `${names[index]} takes an eventfd or -1, not ${fd}`);
      const signal = fd === -1 ? undefined : caller.eventfd(fd);
      this.#replaceSingle(index, signal);
    } else if (data.kind === 'bool' && count === 1) {
      if (data.bools[0] !== 0) this.#single.get(index)?.raise();
    } else if (data.kind === 'none' && this.#single.has(index)) {
      if (count === 1) this.#single.get(index)!.raise();
      else this.#replaceSingle(index, undefined);
    } else {
      refuse('EINVAL', `${names[index]} has no eventfd to trigger or the count ${count} is not 1`);
    }
  }

  #replaceSingle(index: number, signal: Signal | undefined): void {
    this.#single.get(index)?.close();
    if (signal === undefined) this.#single.delete(index);
    else this.#single.set(index, signal);
  }

  #setTrigger({ index, start, count, data }: IrqRequest, caller: Caller): void {
    if (this.#kind === index && count === 0 && data.kind === 'none') {
      this.#disable();
      return;
    }
    if (this.#kind !== undefined && this.#kind !== index)
      refuse('EINVAL', `${names[index]} cannot be set while ${names[this.#kind]} is enabled`);
    if (index === INTX && count !== 1) refuse('EINVAL', `INTx is one interrupt, not ${count}`);
    if (data.kind === 'eventfd') {
      this.#assign(index, start, data.fds, caller);
      return;
    }
    if (this.#kind !== index) refuse('EINVAL', `${names[index]} is not enabled: no eventfd was assigned`);
    for (let i = 0; i < count; i++) {
      if (data.kind === 'none' || data.bools[i] !== 0) this.#loopBack(start + i);
    }
  }

  /** A program triggers its own vector, masked or not; only INTx disable holds. */
  #loopBack(vector: number): void {
    if (this.#kind === INTX) this.#intx.loopBack();
    else this.#triggers[vector]?.raise();
  }

  #assign(index: number, start: number, fds: Int32Array, caller: Caller): void {
    const end = start + fds.length;
    if (this.#kind === index) this.#checkEnabled(index, start, fds);
    else if (index !== INTX) this.#checkCanEnable(index, end);
    const signals = takeSignals(fds, caller);
    if (index === INTX) {
      this.#assignIntx(signals[0]);
      return;
    }
    // MSI cannot grow once it is enabled; MSI-X vectors can be added at any time.
    if (this.#kind === undefined) this.#enable(index, index === MSI ? end : this.count(index));
    signals.forEach((signal, i) => {
      this.#assignVector(start + i, signal);
    });
  }

  #assignIntx(signal: Signal | undefined): void {
    if (this.#kind === INTX) {
      this.#intx.assign(signal);
      return;
    }
    this.#enable(INTX, 0);
    this.#intx.enable(signal);
  }

  /** A vector that was not enabled has no eventfd that could be taken away. */
  #assignVector(vector: number, signal: Signal | undefined): void {
    if (vector >= this.#triggers.length) return;
    this.#triggers[vector]?.close();
    this.#triggers[vector] = signal;
    if (this.#kind !== MSIX) return;
    if (signal === undefined) this.msix!.mask(vector);
    else if (this.msix!.unmask(vector)) signal.raise();
  }

  #checkCanEnable(index: number, end: number): void {
    if (end === 0) refuse('ERANGE', `${names[index]} cannot be enabled with no vectors`);
    if (this.#config.inD3hot) refuse('EINVAL', `${names[index]} cannot be enabled in D3hot`);
  }

  #checkEnabled(index: number, start: number, fds: Int32Array): void {
    if (index === INTX) return;
    const past = fds.findIndex((fd, i) => fd >= 0 && start + i >= this.#triggers.length);
    if (past >= 0) {
      refuse(
        'EINVAL',
        `vector ${start + past} is past the ${this.#triggers.length} that ${names[index]} was enabled with`,
      );
    }
  }

  #enable(index: number, vectors: number): void {
    this.#kind = index;
    this.#triggers = new Array<Signal | undefined>(vectors).fill(undefined);
    this.#config.setMessageEnable(index === MSI, index === MSIX);
    this.#intx.useMessages(index !== INTX);
  }

  #disable(): void {
    for (const signal of this.#triggers) signal?.close();
    this.#triggers = [];
    this.#kind = undefined;
    this.#intx.disable();
    this.msix?.reset();
    this.#config.setMessageEnable(false, false);
    this.#intx.useMessages(false);
  }

  #setIntxMask({ count, action, data }: IrqRequest): void {
    if (this.#kind !== INTX) refuse('EINVAL', 'INTx is not enabled: no eventfd was assigned');
    if (count !== 1) refuse('EINVAL', `INTx is one interrupt, not ${count}`);
    if (data.kind === 'eventfd') {
      if (action === 'unmask' && data.fds[0]! < 0) return;
      refuse('ENOTTY', `INTx cannot be ${action}ed by an eventfd; use VFIO_IRQ_SET_DATA_NONE`);
    }
    if (data.kind === 'bool' && data.bools[0] === 0) return;
    if (action === 'mask') this.#intx.mask();
    else this.#intx.unmask();
  }
}

/** The eventfds behind `fds`: all of them or, when one is refused, none. */
function takeSignals(fds: Int32Array, caller: Caller): (Signal | undefined)[] {
  const signals: (Signal | undefined)[] = [];
  try {
    for (const fd of fds) signals.push(fd < 0 ? undefined : caller.eventfd(fd));
  } catch (refusal) {
    for (const signal of signals) signal?.close();
    throw refusal;
  }
  return signals;
}
