/**
 * The INTx interrupt of one function: a line that the device drives, high or low (PCI Local Bus 3.0 §2.2.6).
 *
 * Invariant: while INTx is enabled, a line that is high and not masked is signalled at once, and signalling
 * masks it (AUTOMASKED). So a line that was lowered while it was masked is never signalled, and one that is
 * still high when it is unmasked is signalled again. The interrupt status bit is the line, masked or not,
 * unless messages are used instead.
 *
 * Interrupt disable in the command register masks when it is set and unmasks when it is cleared, as
 * vfio-pci does it; while it is set UNMASK has no effect. A write to the eventfd of UNMASK, which INTx has
 * while it is enabled, is an UNMASK.
 */
import type { Caller, Signal } from '../file/open-file.js';
import { refuse } from '../linux/errno.js';
import { Bell } from './bell.js';
import type { ConfigSpace } from './config-space.js';
import { disables, type IrqData, type IrqRequest } from './irq-request.js';

const UNANSWERED =
  'INTx is high, signalled and masked: its cause was not acknowledged in the device, or it was not ' +
  'unmasked after that (VFIO_IRQ_SET_ACTION_UNMASK)';

export class Intx {
  readonly #config: ConfigSpace;
  #enabled = false;
  #trigger: Signal | undefined;
  #unmasks: Bell | undefined;
  #level = false;
  #messages = false;
  #masked = false;
  /** Interrupt disable, as it was when it was last looked at. */
  #disabled = false;

  constructor(config: ConfigSpace) {
    this.#config = config;
  }

  /** The device drives its line. */
  drive(level: boolean): void {
    this.#level = level;
    this.#showLevel();
    this.#deliver();
  }

  /** MSI or MSI-X is enabled, or not any more: a function that sends messages has no INTx pending. */
  useMessages(messages: boolean): void {
    this.#messages = messages;
    this.#showLevel();
  }

  /** Why nothing more is heard of a line that was signalled and is still high. */
  get unanswered(): string | undefined {
    return this.#enabled && this.#level && this.#masked && !this.#disabled ? UNANSWERED : undefined;
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  /** SET_IRQS, when no other kind is enabled. @throws Refusal as Interrupts.set. */
  set(request: IrqRequest, caller: Caller): void {
    const { count, action, data } = request;
    if (this.#enabled && disables(request)) {
      this.disable();
      return;
    }
    if (count !== 1) refuse('EINVAL', `INTx is one interrupt, not ${count}`);
    if (action === 'trigger' && data.kind === 'eventfd') {
      this.#assign(data.fds[0]!, caller);
      return;
    }
    if (!this.#enabled) refuse('EINVAL', 'INTx is not enabled: no eventfd was assigned');
    if (data.kind === 'eventfd') this.#setUnmask(action, data.fds[0]!, caller);
    else if (chosen(data)) this.#act(action);
  }

  /** Disables it and gives its eventfds back. */
  disable(): void {
    this.#enabled = false;
    this.#replace(undefined);
    this.#listen(undefined);
  }

  /** Hears of writes to the eventfd of UNMASK. */
  hear(): void {
    if (this.#unmasks === undefined) return;
    this.#unmasks.listen();
    if (this.#unmasks.hear()) this.#unmask();
  }

  /** The command register was written. */
  commandChanged(): void {
    const disabled = this.#config.intxDisabled;
    if (disabled === this.#disabled) return;
    this.#disabled = disabled;
    if (disabled) this.#masked = true;
    else this.#unmask();
  }

  /** The program enables it, with eventfd `fd` or (negative) none; or it gives it another one. */
  #assign(fd: number, caller: Caller): void {
    const trigger = fd < 0 ? undefined : caller.eventfd(fd);
    this.#replace(trigger);
    // What was signalled to the one before is not signalled again.
    if (this.#enabled) return;
    this.#enabled = true;
    this.#disabled = this.#config.intxDisabled;
    this.#masked = this.#disabled;
    this.#deliver();
  }

  #replace(trigger: Signal | undefined): void {
    this.#trigger?.close();
    this.#trigger = trigger;
  }

  /** Eventfd `fd`, or (negative) none, is the one whose writes unmask. */
  #setUnmask(action: IrqRequest['action'], fd: number, caller: Caller): void {
    if (action === 'mask') refuse('ENOTTY', 'INTx cannot be masked by an eventfd');
    if (fd < 0) {
      this.#listen(undefined);
      return;
    }
    const doorbell = caller.doorbell(fd);
    if (this.#unmasks !== undefined) {
      doorbell.close();
      refuse('EBUSY', 'INTx is unmasked by another eventfd already; take that away first');
    }
    this.#listen(new Bell(doorbell));
    this.hear();
  }

  #listen(bell: Bell | undefined): void {
    this.#unmasks?.close();
    this.#unmasks = bell;
  }

  /** A trigger by the program comes whatever the line and the mask; only interrupt disable holds it. */
  #act(action: IrqRequest['action']): void {
    if (action === 'mask') this.#masked = true;
    else if (action === 'unmask') this.#unmask();
    else if (!this.#config.intxDisabled) this.#trigger?.raise();
  }

  #unmask(): void {
    if (this.#config.intxDisabled) return;
    this.#masked = false;
    this.#deliver();
  }

  #showLevel(): void {
    this.#config.setInterruptStatus(this.#level && !this.#messages);
  }

  #deliver(): void {
    if (!this.#enabled || !this.#level || this.#masked) return;
    this.#masked = true;
    this.#trigger?.raise();
  }
}

/** Does a request without descriptors name the interrupt? */
function chosen(data: IrqData): boolean {
  return data.kind !== 'bool' || data.bools[0] !== 0;
}
