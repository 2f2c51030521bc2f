/**
 * Which layer is entered while which others are at work: what in a kernel would be taken locks.
 *
 * The public methods of classes are watched, of both designs by the same means and without a change to them.
 * A layer is at work from a call of one of its methods to the end of it, its work in slices too. A path is
 * the calls that changed the layer, outermost first: `driver.bind > ioasid.notify > driver.heard`.
 */
import { isWork, type Work } from '../../file/work.js';

interface Watchable {
  readonly name: string;
  readonly prototype: object;
}

export class LayerWatch {
  readonly #paths = new Set<string>();
  readonly #under: { readonly layer: string; readonly call: string }[] = [];
  readonly #restores: (() => void)[] = [];

  /** Watches the methods of `classes`, which are of that layer. */
  watch(layer: string, ...classes: readonly Watchable[]): this {
    for (const { prototype } of classes) {
      for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
        if (typeof descriptor.value !== 'function' || name === 'constructor') continue;
        const method = descriptor.value as (...parameters: unknown[]) => unknown;
        const inside = <T>(work: () => T): T => this.#inside(layer, `${layer}.${name}`, work);
        const inSlices = this.#inSlices.bind(this);
        Object.defineProperty(prototype, name, {
          ...descriptor,
          value(this: unknown, ...parameters: unknown[]) {
            const result = inside(() => method.apply(this, parameters));
            return isWork(result) ? inSlices(inside, result) : result;
          },
        });
        this.#restores.push(() => Object.defineProperty(prototype, name, descriptor));
      }
    }
    return this;
  }

  /** No more is watched. */
  end(): void {
    for (const restore of this.#restores.splice(0)) restore();
  }

  /** Every path that was taken and that no other goes on from. */
  get paths(): readonly string[] {
    const all = [...this.#paths];
    return all.filter((path) => !all.some((other) => other.startsWith(`${path} > `))).sort();
  }

  /** Those on which a layer is entered that is at work already. */
  get reentries(): readonly string[] {
    return this.paths.filter((path) => {
      const layers = layersOf(path);
      return new Set(layers).size < layers.length;
    });
  }

  /** The most layers that were at work at once. */
  get depth(): number {
    return Math.max(0, ...this.paths.map((path) => layersOf(path).length));
  }

  /** Pairs of layers that were entered in both orders: each is an inversion of locks. */
  get inversions(): readonly string[] {
    const orders = new Set(
      this.paths.flatMap((path) => {
        const layers = layersOf(path);
        return layers.slice(1).map((layer, n) => `${layers[n]!} > ${layer}`);
      }),
    );
    const turned = (order: string) => order.split(' > ').reverse().join(' > ');
    return [...orders].filter((order) => order < turned(order) && orders.has(turned(order)));
  }

  #inside<T>(layer: string, call: string, work: () => T): T {
    if (this.#under.at(-1)?.layer === layer) return work();
    this.#under.push({ layer, call });
    this.#paths.add(this.#under.map((entry) => entry.call).join(' > '));
    try {
      return work();
    } finally {
      this.#under.pop();
    }
  }

  *#inSlices(inside: <T>(work: () => T) => T, work: Work<unknown>): Work<unknown> {
    for (;;) {
      const { done, value } = inside(() => work.next());
      if (done) return value;
      yield;
    }
  }
}

function layersOf(path: string): string[] {
  return path.split(' > ').map((call) => call.split('.')[0]!);
}
