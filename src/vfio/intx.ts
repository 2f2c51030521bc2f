/**
 * The INTx interrupt of one function: a line that the device drives, high or low (PCI Local Bus 3.0 §2.2.6).
 *
 * Invariant: while INTx is enabled, a line that is high and not masked is signalled at once, and signalling
 * masks it (AUTOMASKED). So a line that was lowered while it was masked is never signalled, and one that is
 * still high when it is unmasked is signalled again. The interrupt status bit is the line, masked or not,
 * unless messages are used instead.
 *
 * Interrupt disable in the command register masks when it is set and unmasks when it is cleared, as
 * vfio-pci does it; while it is set UNMASK has no effect.
 */
import type { Signal } from '../file/open-file.js';
import type { ConfigSpace } from './config-space.js';

export class Intx {
  readonly #config: ConfigSpace;
  #enabled = false;
  #trigger: Signal | undefined;
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

  /** Enables it, with `trigger` as its eventfd. */
  enable(trigger: Signal | undefined): void {
    this.#enabled = true;
    this.#trigger = trigger;
    this.#disabled = this.#config.intxDisabled;
    this.#masked = this.#disabled;
    this.#deliver();
  }

  /** Disables it and gives its eventfd back. */
  disable(): void {
    this.#enabled = false;
    this.#trigger?.close();
    this.#trigger = undefined;
  }

  /** Another eventfd, or none. What was signalled to the one before is not signalled again. */
  assign(trigger: Signal | undefined): void {
    this.#trigger?.close();
    this.#trigger = trigger;
  }

  mask(): void {
    this.#masked = true;
  }

  unmask(): void {
    if (this.#config.intxDisabled) return;
    this.#masked = false;
    this.#deliver();
  }

  /** The command register was written. */
  commandChanged(): void {
    const disabled = this.#config.intxDisabled;
    if (disabled === this.#disabled) return;
    this.#disabled = disabled;
    if (disabled) this.mask();
    else this.unmask();
  }

  /** A program triggers it, whatever the line and the mask; only interrupt disable holds that. */
  loopBack(): void {
    if (!this.#config.intxDisabled) this.#trigger?.raise();
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
