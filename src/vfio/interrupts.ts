/**
 * The interrupts of one device: what raises an eventfd of the program that has the device open.
 *
 * Invariant: at most one of INTx, MSI and MSI-X is enabled; assigning an eventfd to one of its vectors
 * enables a kind, as with Linux's vfio-pci. ERR and REQ are beside them. What each kind does is in its own
 * file.
 */
import type { PciDescription } from '../devices/device-model.js';
import type { Caller } from '../file/open-file.js';
import { after, type Sliced } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import type { ConfigSpace } from './config-space.js';
import { Intx } from './intx.js';
import { ERR, INTX, type IrqRequest, MSI, MSIX, REQ } from './irq-request.js';
import { Msi } from './msi.js';
import { Msix } from './msix.js';
import { SingleIrq } from './single-irq.js';

const names = ['INTx', 'MSI', 'MSI-X'];

export class Interrupts {
  readonly msix: Msix | undefined;
  readonly #counts: readonly number[];
  readonly #intx: Intx;
  readonly #msi: Msi;
  readonly #error = new SingleIrq('ERR');
  readonly #request = new SingleIrq('REQ');

  constructor(pci: PciDescription, config: ConfigSpace) {
    this.#intx = new Intx(config);
    this.#msi = new Msi(config);
    this.msix = pci.msix === undefined ? undefined : new Msix(pci.msix, config);
    this.#counts = [pci.intx === true ? 1 : 0, pci.msi ?? 0, pci.msix?.vectors ?? 0, 1, 1];
  }

  /** Vectors of interrupt `index`; 0 when the device does not have that kind. */
  count(index: number): number {
    return this.#counts[index] ?? 0;
  }

  /**
   * The device sends message `vector`, by the kind of messages that is enabled. @returns whether it has
   * arrived.
   */
  raise(vector: number): boolean {
    return this.#msi.raise(vector) || this.msix?.raise(vector) === true;
  }

  /** The kind of messages that is enabled; undefined: none is, and the device sends none. */
  get messages(): 'MSI' | 'MSI-X' | undefined {
    if (this.#msi.enabled) return 'MSI';
    return this.msix?.enabled === true ? 'MSI-X' : undefined;
  }

  /** Does the function send messages, whatever becomes of each? */
  get sends(): boolean {
    return this.#msi.used || this.msix?.enabled === true;
  }

  /** Why a message `vector` of the enabled kind does not arrive now; undefined: it does. */
  whyLost(vector: number): string | undefined {
    return this.#msi.enabled ? this.#msi.whyLost(vector) : this.msix?.whyLost(vector);
  }

  /** As Intx.unanswered. */
  get unanswered(): string | undefined {
    return this.#intx.unanswered;
  }

  /** The device drives its INTx line. */
  drive(level: boolean): void {
    this.#intx.drive(level);
  }

  /** The device has failed: raises ERR. */
  raiseError(): void {
    this.#error.raise();
  }

  /** The device is asked back from its user: raises REQ. */
  raiseRequest(): void {
    this.#request.raise();
  }

  /** A program wrote `length` bytes of configuration space at `offset`. */
  configWritten(offset: number, length: number): void {
    this.#intx.commandChanged();
    this.#msi.configWritten(offset, length);
    this.#tellIntx();
  }

  /** Hears of what the program has said by eventfds. */
  hear(): void {
    this.#intx.hear();
  }

  /** The device was reset: nothing is pending any more. Eventfds stay, as vfio-pci restores them. */
  deviceReset(): void {
    this.#intx.drive(false);
    this.msix?.deviceReset();
  }

  /** Gives all eventfds back. */
  close(): void {
    this.#intx.disable();
    this.#msi.disable();
    this.msix?.disable();
    this.#tellIntx();
    this.deviceReset();
    this.#error.close();
    this.#request.close();
  }

  /**
   * SET_IRQS. The range has been checked against `count(index)`.
   * @throws Refusal EINVAL when another kind is enabled, or this one is not and must be, or the range does
   * not fit, or MSI or MSI-X is enabled in D3hot; ERANGE when MSI or MSI-X is enabled with no vectors at 0;
   * ENOTTY when the action is not supported for this kind; EBUSY when INTx has an eventfd of UNMASK; EBADF,
   * EINVAL for a descriptor that is not an eventfd.
   */
  set(request: IrqRequest, caller: Caller): Sliced<void> {
    const { index, action } = request;
    const enabled = this.#enabled;
    if (action === 'trigger' && index <= MSIX && enabled !== undefined && enabled !== index)
      refuse('EINVAL', `${names[index]} cannot be set while ${names[enabled]} is enabled`);
    return after(this.#kind(index).set(request, caller), () => this.#tellIntx());
  }

  /** INTX, MSI, MSIX, or undefined: none is enabled. */
  get #enabled(): number | undefined {
    if (this.#intx.enabled) return INTX;
    if (this.#msi.enabled) return MSI;
    return this.msix?.enabled === true ? MSIX : undefined;
  }

  #kind(index: number): { set(request: IrqRequest, caller: Caller): Sliced<void> } {
    switch (index) {
      case INTX:
        return this.#intx;
      case MSI:
        return this.#msi;
      case ERR:
        return this.#error;
      case REQ:
        return this.#request;
      default:
        return this.msix ?? refuse('EINVAL', 'the device has no MSI-X');
    }
  }

  /** A function that uses messages has no INTx pending. */
  #tellIntx(): void {
    this.#intx.useMessages(this.#msi.used || this.msix?.enabled === true);
  }
}
