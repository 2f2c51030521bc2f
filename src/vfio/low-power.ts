/**
 * The low power of one device (FEATURE 3 to 5 of `<linux/vfio.h>`): its user says that it need not be powered
 * from now on, and whatever the user asks of it wakes it.
 *
 * Without an eventfd it is awake for as long as that takes, which nobody sees here. With one it stays awake,
 * and the eventfd is signalled. Invariant: a signal is held only in low power.
 */
import type { Signal } from '../file/open-file.js';
import { refuse } from '../linux/errno.js';

export class LowPower {
  readonly #name: string;
  #entered = false;
  #wakeup: Signal | undefined;

  /** @param name the device's, in reasons */
  constructor(name: string) {
    this.#name = name;
  }

  /** @param wakeup is taken over. @throws Refusal EINVAL when it is in low power already. */
  enter(wakeup?: Signal): void {
    if (this.#entered) {
      wakeup?.close();
      refuse('EINVAL', `${this.#name} is in low power already`);
    }
    this.#entered = true;
    this.#wakeup = wakeup;
  }

  exit(): void {
    this.#entered = false;
    this.#wakeup?.close();
    this.#wakeup = undefined;
  }

  /** The user asks something of the device. */
  wake(): void {
    if (this.#wakeup === undefined) return;
    this.#wakeup.raise();
    this.exit();
  }
}
