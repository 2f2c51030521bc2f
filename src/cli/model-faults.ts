/**
 * What device models do wrong stays theirs, in a process that serves others: it is told once, with its stack.
 *
 * A model that throws in a call has failed where it was called. What one throws later, from a timer or a
 * promise, arrives here, as all that nobody catches does. It is a failure of the model that has left it
 * behind, which its asynchronous context tells; Node loses that of queueMicrotask, so what is thrown there is
 * caught. What belongs to no model is a fault of our own, and the server ends in order.
 */
import { ModelCalls } from '../devices/model-calls.js';
import { shortened } from '../devices/thrown.js';
import type { Machine } from '../machine/machine.js';
import { OUR_FAULT } from './launch-plan.js';
import { complain } from './messages.js';

/** Different stacks that are printed. */
const MOST_TOLD = 1000;

const plainQueue = globalThis.queueMicrotask;

/** Ends this process, with its status; all is put in order before. */
export type End = (status: number) => never;

export class ModelFaults {
  readonly #end: End;
  readonly #told = new Set<string>();
  readonly #seen = new Map<ModelCalls, number>();
  #machine: Machine | undefined;

  /** From now on a model cannot end this process; `end` does when a fault is nobody's. */
  constructor(end: End) {
    this.#end = end;
    process.on('uncaughtException', (error) => this.#left(error));
    process.on('unhandledRejection', (reason) => this.#left(reason));
    globalThis.queueMicrotask = queueOwned;
    for (const name of ['exit', 'reallyExit', 'abort'] as const) {
      const refuseToEnd = (): never => {
        throw new Error(`process.${name} was called, and a device model does not end the server`);
      };
      Object.defineProperty(process, name, { value: refuseToEnd, configurable: true, writable: true });
    }
  }

  /** The machine whose models they are. */
  set machine(machine: Machine) {
    this.#machine = machine;
  }

  /** Tells the failures since the last time. */
  tell(): void {
    for (const { driver } of this.#machine?.devices ?? []) {
      const { calls } = driver.life.work;
      if (calls.failures === (this.#seen.get(calls) ?? 0)) continue;
      this.#seen.set(calls, calls.failures);
      this.#print(`the device model of ${calls.title} failed: ${shortened(calls.stack ?? '')}`);
    }
  }

  /** Nobody has caught `thrown`. */
  #left(thrown: unknown): void {
    const owner = ModelCalls.ofNow();
    if (owner !== undefined) {
      owner.fail(thrown);
      this.tell();
      return;
    }
    complain(`the server ends by a fault that is of no device model it knows: ${stackOf(thrown)}`);
    this.#end(OUR_FAULT);
  }

  #print(text: string): void {
    if (this.#told.has(text) || this.#told.size >= MOST_TOLD) return;
    this.#told.add(text);
    complain(text);
  }
}

/** As the global one, whose callbacks are no longer the model's own when they have thrown. */
function queueOwned(callback: () => void): void {
  const owner = ModelCalls.ofNow();
  if (owner === undefined || typeof callback !== 'function') {
    plainQueue(callback);
    return;
  }
  plainQueue(() => {
    try {
      callback();
    } catch (error) {
      owner.fail(error);
    }
  });
}

function stackOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? String(thrown.stack ?? thrown.message) : String(thrown);
  } catch {
    return 'what it threw cannot be printed';
  }
}
