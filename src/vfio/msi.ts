/**
 * MSI of one function (PCI Local Bus 3.0 §6.8.1), as vfio-pci lets a program have it.
 *
 * Invariant: a message is sent while SET_IRQS has enabled MSI, the function's own enable bit is set and bus
 * mastering is on: a message is a memory write. A function that has been given fewer messages than it has
 * sends them modulo those, since it may change the low bits of the data only. The message control
 * register that a program sees is another state than the function's. SET_IRQS changes the function's alone;
 * a write to the register changes both, limited to what SET_IRQS has enabled.
 */
import type { Caller } from '../file/open-file.js';
import { begun, type Sliced, type Work } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import type { ConfigSpace } from './config-space.js';
import { disables, type IrqRequest } from './irq-request.js';
import { Triggers } from './triggers.js';

/** Message control: enabled, and log2 of the messages that the function may send. */
const ENABLE = 1;
const MESSAGES = 7 << 4;

export class Msi {
  readonly #config: ConfigSpace;
  readonly #triggers = new Triggers('MSI');
  #enabled = false;
  /** The function's own enable bit. */
  #sends = false;
  /** Messages that the function may send. */
  #allocated = 1;
  /** log2 of the messages that a program may allocate by the register. */
  #most = 0;

  constructor(config: ConfigSpace) {
    this.#config = config;
  }

  /** Has SET_IRQS enabled it? */
  get enabled(): boolean {
    return this.#enabled;
  }

  /** Does the function use it in place of INTx? */
  get used(): boolean {
    return this.#enabled && this.#sends;
  }

  /** The device sends message `vector`. @returns whether it has arrived. */
  raise(vector: number): boolean {
    return this.used && this.#config.busMaster && this.#triggers.raise(this.#sent(vector));
  }

  /** Why message `vector`, of a function that has it enabled, is lost; undefined: it is not. */
  whyLost(vector: number): string | undefined {
    if (!this.#sends) return 'the enable bit of its MSI capability is 0';
    if (!this.#config.busMaster) return 'bus mastering is off, and MSI is a memory write';
    return this.#triggers.has(this.#sent(vector)) ? undefined : 'it has no eventfd (VFIO_DEVICE_SET_IRQS)';
  }

  /** The message that is sent for `vector`. */
  #sent(vector: number): number {
    return vector % this.#allocated;
  }

  /** A program wrote `length` bytes of configuration space at `offset`. */
  configWritten(offset: number, length: number): void {
    if (!this.#config.reachesMsiControl(offset, length)) return;
    let control = this.#config.msiControl;
    if (!this.#enabled) control &= ~ENABLE;
    if ((control & MESSAGES) >>> 4 > this.#most) control = (control & ~MESSAGES) | (this.#most << 4);
    this.#config.msiControl = control;
    this.#sends = (control & ENABLE) !== 0;
    this.#allocated = 1 << ((control & MESSAGES) >>> 4);
  }

  /** SET_IRQS, when no other kind is enabled. @throws Refusal as Interrupts.set. */
  set(request: IrqRequest, caller: Caller): Sliced<void> {
    const { start, count, action, data } = request;
    if (action !== 'trigger') refuse('ENOTTY', 'MSI vectors cannot be masked by SET_IRQS');
    if (this.#enabled && disables(request)) this.disable();
    else if (data.kind === 'eventfd') return begun(this.#assign(start, data.fds, caller));
    else if (!this.#enabled) refuse('EINVAL', 'MSI is not enabled: no eventfd was assigned');
    else this.#triggers.loopBack(start, count, data);
  }

  disable(): void {
    this.#triggers.clear();
    this.#enabled = this.#sends = false;
  }

  *#assign(start: number, fds: Int32Array, caller: Caller): Work<void> {
    if (this.#enabled) {
      yield* this.#reassign(start, fds, caller);
      return;
    }
    this.#enable(start + fds.length);
    try {
      yield* this.#triggers.assign(start, fds, caller);
    } catch (refusal) {
      this.disable();
      throw refusal;
    }
  }

  /**
   * Whenever the first vector gets or loses its eventfd, Linux writes the message's address, and with it how
   * many messages SET_IRQS has enabled, whatever the program has written since.
   */
  *#reassign(start: number, fds: Int32Array, caller: Caller): Work<void> {
    const before = this.#triggers.firstChanged;
    try {
      yield* this.#triggers.assign(start, fds, caller);
    } finally {
      if (this.#triggers.firstChanged > before) this.#allocated = 1 << this.#most;
    }
  }

  /** It cannot grow once it is enabled. */
  #enable(vectors: number): void {
    if (vectors === 0) refuse('ERANGE', 'MSI cannot be enabled with no vectors');
    if (this.#config.inD3hot) refuse('EINVAL', 'MSI cannot be enabled in D3hot');
    this.#triggers.open(vectors);
    this.#enabled = this.#sends = true;
    this.#most = Math.ceil(Math.log2(vectors));
    this.#allocated = 1 << this.#most;
  }
}
