/** Where a model is touched: is it always inside of a call of its own, which a watch sees? */
import { CallWord, callWords } from '../devices/call-words.js';

export class Touched {
  /** The members that were touched. */
  readonly members = new Set<string>();
  /** Those that were when no model was being called. */
  readonly outside = new Set<string>();

  /** `model`, whose members say so when they are touched, and what is in them. Calls are not changed. */
  watching<T extends object>(model: T, path = ''): T {
    return new Proxy(model, {
      get: (target, key) => {
        const value = Reflect.get(target, key) as unknown;
        const name = `${path}${String(key)}`;
        this.#touch(name);
        if (typeof value === 'function') return (...args: unknown[]) => Reflect.apply(value, target, args);
        const isPlain = typeof value === 'object' && value !== null && !ArrayBuffer.isView(value);
        return isPlain ? this.watching(value, `${name}.`) : value;
      },
      has: (target, key) => {
        this.#touch(`${path}${String(key)}`);
        return Reflect.has(target, key);
      },
      ownKeys: (target) => {
        this.#touch(path);
        return Reflect.ownKeys(target);
      },
    });
  }

  #touch(name: string): void {
    this.members.add(name);
    if (callWords[CallWord.CALL] === 0) this.outside.add(name);
  }
}
