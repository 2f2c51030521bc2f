/**
 * Random sequences of VMs, devices and PASIDs, and after each call the question what every device can write.
 *
 * A device is to reach exactly the PASIDs that the VM that has it open has authorized it for. Three ways of
 * being wrong are looked for: it reaches the PASID of another VM (`foreign`), one of its own VM for which
 * nobody has authorized it (`unasked`), or not one for which it is authorized (`lost`). What is found is
 * shrunk by fast-check to a sequence that has nothing too much.
 */
import fc from 'fast-check';
import type { Pasid } from '../../iommu/pasid.js';
import { Refusal } from '../../linux/errno.js';
import type { Design, DesignMaker } from './designs.js';

export type Wrong = 'foreign' | 'unasked' | 'lost';

const VMS = 3;
const DEVICES = 4;
const SIBLINGS = 2;
const actions = ['open', 'close', 'alloc', 'free', 'authorize', 'revoke'] as const;

interface Step {
  readonly action: (typeof actions)[number];
  readonly vm: number;
  readonly device: number;
  /** Which of the PASIDs that were ever allocated, counted from 0. */
  readonly which: number;
}

/** A sequence is what was looked for; all else that is thrown is a fault of a design. */
const found = new Error('found');

/** What the designs are compared with: who has what, by the steps that were not refused. */
class Scene {
  readonly #design: Design;
  readonly #holders = new Map<number, number>();
  readonly #pasids: { readonly pasid: Pasid; readonly owner: number }[] = [];
  readonly #authorized = new Set<string>();

  constructor(make: DesignMaker) {
    this.#design = make(DEVICES, SIBLINGS);
  }

  /** Does a step, which may be refused. */
  take(step: Step): void {
    try {
      this.#take(step);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  }

  /** Is something wrong in this way? */
  is(wrong: Wrong): boolean {
    return this.#pasids.some(({ pasid, owner }) =>
      Array.from({ length: DEVICES }, (_, device) => device).some((device) => {
        const reached = this.#design.writes(device, pasid);
        const authorized = this.#authorized.has(`${device} ${pasid}`);
        if (wrong === 'lost') return authorized && !reached;
        const foreign = this.#holders.get(device) !== owner;
        return reached && (wrong === 'foreign' ? foreign : !foreign && !authorized);
      }),
    );
  }

  #take({ action, vm, device, which }: Step): void {
    const pasid = this.#pasids[which]?.pasid;
    if (action === 'open') {
      this.#design.open(vm, device);
      this.#holders.set(device, vm);
    } else if (action === 'alloc') {
      const made = this.#design.alloc(vm);
      this.#design.map(vm, made, new Uint8Array(4096));
      this.#pasids.push({ pasid: made, owner: vm });
    } else if (action === 'free') {
      if (pasid === undefined) return;
      this.#design.free(vm, pasid);
      this.#forget((entry) => entry.endsWith(` ${pasid}`));
    } else if (this.#holders.get(device) === vm) this.#onDevice(action, vm, device, pasid);
  }

  #onDevice(action: Step['action'], vm: number, device: number, pasid: Pasid | undefined): void {
    if (action === 'close') {
      this.#design.close(device);
      this.#holders.delete(device);
      this.#forget((entry) => entry.startsWith(`${device} `));
    } else if (pasid !== undefined && action === 'authorize') {
      this.#design.authorize(vm, device, pasid);
      this.#authorized.add(`${device} ${pasid}`);
    } else if (pasid !== undefined) {
      this.#design.revoke(device, pasid);
      this.#authorized.delete(`${device} ${pasid}`);
    }
  }

  #forget(which: (entry: string) => boolean): void {
    for (const entry of this.#authorized) if (which(entry)) this.#authorized.delete(entry);
  }
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    action: fc.constantFrom(...actions),
    vm: fc.nat(VMS - 1),
    device: fc.nat(DEVICES - 1),
    which: fc.nat(3),
  }),
  { maxLength: 40, size: 'max' },
);

/**
 * Looks for a sequence after which something is wrong in one of these ways, in `runs` of them. @returns it as
 * sentences, or undefined: there was none.
 */
export function search(
  make: DesignMaker,
  ways: readonly Wrong[],
  runs: number,
  seed?: number,
): string[] | undefined {
  const property = fc.property(steps, (sequence) => {
    const scene = new Scene(make);
    for (const step of sequence) {
      scene.take(step);
      if (ways.some((wrong) => scene.is(wrong))) throw found;
    }
  });
  const { failed, counterexample, errorInstance } = fc.check(property, { numRuns: runs, ...seeded(seed) });
  if (failed && errorInstance !== found) throw errorInstance;
  return failed ? counterexample![0].map(sentence) : undefined;
}

function seeded(seed: number | undefined): { seed?: number } {
  return seed === undefined ? {} : { seed };
}

function sentence({ action, vm, device, which }: Step): string {
  const letter = String.fromCharCode(65 + vm);
  if (action === 'alloc') return `${letter} allocates a PASID`;
  if (action === 'free') return `${letter} frees PASID ${which + 1}`;
  if (action === 'open' || action === 'close') return `${letter} ${action}s device ${device}`;
  return `${letter} ${action}s device ${device} ${action === 'revoke' ? 'from' : 'for'} PASID ${which + 1}`;
}
