/**
 * ERR or REQ of one device: a single eventfd beside the kind of interrupt that is enabled. It is held from
 * its assignment to the next, or until it is taken away.
 */
import type { Caller, Signal } from '../file/open-file.js';
import { refuse } from '../linux/errno.js';
import type { IrqRequest } from './irq-request.js';

export class SingleIrq {
  readonly #name: string;
  #signal: Signal | undefined;

  /** @param name in reasons */
  constructor(name: string) {
    this.#name = name;
  }

  raise(): void {
    this.#signal?.raise();
  }

  /** SET_IRQS. @throws Refusal as Interrupts.set. */
  set({ count, action, data }: IrqRequest, caller: Caller): void {
    if (action !== 'trigger') refuse('ENOTTY', `${this.#name} cannot be masked`);
    if (data.kind === 'eventfd' && count === 1) {
      const fd = data.fds[0]!;
      if (fd < -1) refuse('EINVAL', `${this.#name} takes an eventfd or -1, not ${fd}`);
      this.#replace(fd === -1 ? undefined : caller.eventfd(fd));
    } else if (data.kind === 'bool' && count === 1) {
      if (data.bools[0] !== 0) this.raise();
    } else if (data.kind === 'none' && this.#signal !== undefined) {
      if (count === 1) this.raise();
      else this.#replace(undefined);
    } else {
      refuse('EINVAL', `${this.#name} has no eventfd to trigger or the count ${count} is not 1`);
    }
  }

  close(): void {
    this.#replace(undefined);
  }

  #replace(signal: Signal | undefined): void {
    this.#signal?.close();
    this.#signal = signal;
  }
}
