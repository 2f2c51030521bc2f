/**
 * The low power of one device (FEATURE 3 to 5 of `<linux/vfio.h>`): its user says that it need not be powered
 * from now on, and whatever call the user makes on it wakes it.
 *
 * Without an eventfd it is awake for as long as that takes. With one it stays awake, and the eventfd is
 * signalled. Invariants: a signal is held only in low power; in low power the BARs are asleep.
 */
import type { Signal } from '../file/open-file.js';
import { refuse } from '../linux/errno.js';
import type { Bars } from './bars.js';
import type { ConfigSpace } from './config-space.js';

export class LowPower {
  readonly #name: string;
  readonly #bars: Bars;
  readonly #config: ConfigSpace;
  #entered = false;
  #wakeup: Signal | undefined;

  /** @param name the device's, in reasons */
  constructor(name: string, bars: Bars, config: ConfigSpace) {
    this.#name = name;
    this.#bars = bars;
    this.#config = config;
  }

  /**
   * The function is brought to D0 first, as Linux does. @param wakeup is taken over.
   * @throws Refusal EINVAL when it is in low power already.
   */
  enter(wakeup?: Signal): void {
    if (this.#entered) {
      wakeup?.close();
      refuse('EINVAL', `${this.#name} is in low power already`);
    }
    this.#entered = true;
    this.#wakeup = wakeup;
    this.#config.leaveD3hot();
    this.#bars.sleep();
  }

  exit(): void {
    if (!this.#entered) return;
    this.#entered = false;
    this.#bars.wake();
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
