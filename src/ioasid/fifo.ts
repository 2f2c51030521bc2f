/**
 * Fifo: a queue whose ends cost the same however long it is, which an array's beginning does not.
 *
 * Invariant: what is in it are the items from `#first` on; what is before them has been taken, and goes when
 * it is more than half.
 */
export class Fifo<T> {
  #items: T[] = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  /** What is taken next. */
  get first(): T | undefined {
    return this.length === 0 ? undefined : this.#items[this.#first];
  }

  get last(): T | undefined {
    return this.length === 0 ? undefined : this.#items.at(-1);
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Takes the first. */
  shift(): T | undefined {
    const { first } = this;
    if (this.length > 0) this.#first++;
    if (this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return first;
  }

  /** Takes the last. */
  pop(): T | undefined {
    return this.length === 0 ? undefined : this.#items.pop();
  }

  /** Takes all of which `goes` is true. */
  remove(goes: (item: T) => boolean): T[] {
    const items = this.#items.slice(this.#first);
    this.#items = items.filter((item) => !goes(item));
    this.#first = 0;
    return items.filter(goes);
  }
}
