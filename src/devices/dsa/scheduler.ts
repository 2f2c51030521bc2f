/**
 * The scheduler: gives descriptors at the heads of work queues to idle engines, and lets the engines work, a
 * bounded slice at a time.
 *
 * Within a group the work queues take turns; within a work queue descriptors leave in the order in which they
 * came. A drain descriptor leaves only when no engine has a descriptor of its work queue, and what is behind
 * it waits with it.
 */

import type { DmaPort } from '../device-model.js';
import { Effort } from '../effort.js';
import type { Registers } from '../registers.js';
import { Opcode } from './descriptor.js';
import { Engine, type EngineContext } from './engine.js';
import { hasEngine, hasWq } from './groups.js';
import type { Shape } from './registers.js';
import type { WorkQueue } from './work-queue.js';

/** Bytes (and descriptors, by their cost) of one `step`. */
const STEP_BUDGET = 0x40000;

export class Scheduler {
  readonly #engines: readonly Engine[];
  readonly #wqs: readonly WorkQueue[];
  /** The work queues that each engine serves. */
  readonly #served: WorkQueue[][];
  /** Where each engine begins to look the next time. */
  readonly #turns: Int32Array;
  readonly #effort: Effort;
  /** The engine whose turn it is. */
  #next = 0;

  constructor(wqs: readonly WorkQueue[], shape: Shape, dma: DmaPort, context: EngineContext) {
    this.#wqs = wqs;
    this.#effort = new Effort(dma);
    this.#engines = Array.from({ length: shape.engines }, () => new Engine(dma, context));
    this.#served = this.#engines.map(() => []);
    this.#turns = new Int32Array(shape.engines);
  }

  /** Takes over the groups as they are configured now. */
  assign(registers: Registers, shape: Shape): void {
    for (let engine = 0; engine < shape.engines; engine++) {
      const groups = Array.from({ length: shape.groups }, (_, group) => group).filter((group) =>
        hasEngine(registers, group, engine),
      );
      this.#served[engine] = this.#wqs.filter((wq) =>
        groups.some((group) => hasWq(registers, group, wq.index)),
      );
      this.#turns[engine] = 0;
    }
  }

  /** Works for a bounded time. @returns false when nothing is left that an engine could do now. */
  step(): boolean {
    const engines = this.#engines;
    let idle = 0;
    this.#effort.begin();
    for (let budget = STEP_BUDGET; idle < engines.length && budget > 0 && !this.#effort.spent; ) {
      const index = this.#next;
      const engine = engines[index]!;
      this.#next = (index + 1) % engines.length;
      if (engine.waits() || (engine.wq === undefined && !this.#feed(engine, index))) idle++;
      else {
        budget -= engine.run();
        idle = 0;
      }
    }
    return idle < engines.length;
  }

  #feed(engine: Engine, index: number): boolean {
    const served = this.#served[index]!;
    for (let i = 0; i < served.length; i++) {
      const turn = (this.#turns[index]! + i) % served.length;
      const wq = served[turn]!;
      if (wq.count === 0 || (wq.headOpcode === Opcode.DRAIN && this.#mustWait(wq))) continue;
      this.#turns[index] = turn + 1;
      engine.take(wq);
      return true;
    }
    return false;
  }

  /**
   * A drain, at the head of `wq`, waits for what came before it: in a shared work queue for that of its own
   * PASID.
   */
  #mustWait(wq: WorkQueue): boolean {
    const pasid = wq.limits.shared ? wq.headPasid : undefined;
    return this.#engines.some(
      (engine) => engine.wq === wq && (pasid === undefined || engine.pasid === pasid),
    );
  }

  /** Is a descriptor of `wq` whose number is below `before` in an engine? */
  #inFlight(wq: WorkQueue, before: number): boolean {
    for (const engine of this.#engines) if (engine.wq === wq && engine.number < before) return true;
    return false;
  }

  /** Have all descriptors of `wq` whose number is below `before` ended? */
  drained(wq: WorkQueue, before: number): boolean {
    return (wq.count === 0 || wq.headNumber >= before) && !this.#inFlight(wq, before);
  }

  /** Is there work: of `pasid`, or any? */
  busy(pasid?: number): boolean {
    for (const engine of this.#engines) {
      if (engine.wq !== undefined && (pasid === undefined || engine.pasid === pasid)) return true;
    }
    for (const wq of this.#wqs) if (pasid === undefined ? wq.count > 0 : wq.holds(pasid)) return true;
    return false;
  }

  /** Drops the work of `wq`. */
  abortWq(wq: WorkQueue): void {
    wq.discard();
    for (const engine of this.#engines) if (engine.wq === wq) engine.abort();
  }

  /** Drops the work of `pasid`. */
  abortPasid(pasid: number): void {
    for (const wq of this.#wqs) wq.discard(pasid);
    for (const engine of this.#engines) if (engine.wq !== undefined && engine.pasid === pasid) engine.abort();
  }
}
