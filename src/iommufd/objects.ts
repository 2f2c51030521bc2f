/**
 * The objects of one iommufd context, each under an id that its user knows it by.
 *
 * Objects form a graph of references: an HWPT refers to its IOAS, an attached device to its HWPT. `users`
 * counts the references that others hold; only an object without any can be destroyed, so whatever is
 * destroyed is a leaf. Ids are the lowest free ones from 1 on, as in Linux. An object that went although its
 * user had not destroyed it is buried: its id is taken, by nothing, as long as the context lives.
 */
import { after, releasing, type Sliced, type Work } from '../file/work.js';
import { Quota } from '../iommu/quota.js';
import { type Account, forHeap, Pool } from '../linux/account.js';
import { refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';

export abstract class IommufdObject {
  /** 0 until it is in a table. */
  id = 0;
  /** What it is, in reasons: `IOAS`. */
  abstract readonly kind: string;
  #users = 0;

  /** References that others hold. */
  get users(): number {
    return this.#users;
  }

  /** Another object, or a file, refers to it from now on. */
  hold(): void {
    this.#users++;
  }

  /** One that has held it refers to it no more. */
  drop(): void {
    if (this.#users === 0) broken(`${this.kind} ${this.id} is dropped by more than hold it`);
    this.#users--;
  }

  /** Gives back what it refers to. It is out of the table, and nothing refers to it. */
  abstract destroy(): Sliced<void>;
}

/** Objects that one context may have, unless the machine says otherwise. */
export const DEFAULT_OBJECT_QUOTA = 65_536;
/** Of all contexts: some 3 KB each at most. */
export const allObjects = new Pool('objects', 'ENOMEM', () => forHeap(2 ** 18), { bytes: 2048 });

/** A class of objects, for `get`. */
type Kind<T> = abstract new (...args: never[]) => T;

export class ObjectTable {
  readonly #objects = new Map<number, IommufdObject>();
  readonly #buried = new Set<number>();
  readonly #quota: Quota;
  // All ids below it are taken.
  #lowest = 1;

  /** @param quota ids that may be taken; `payer`: as of Quota */
  constructor(quota = DEFAULT_OBJECT_QUOTA, payer?: Account) {
    this.#quota = new Quota(quota, 'objects', 'ENOMEM', payer?.share(allObjects));
  }

  /** Ids that are taken. */
  get size(): number {
    return this.#objects.size + this.#buried.size;
  }

  /** The objects in the order in which they were made; some may come and go while they are gone through. */
  values(): IterableIterator<IommufdObject> {
    return this.#objects.values();
  }

  /** Asked before `count` objects are made. @throws Refusal ENOMEM they are more than there may be. */
  requireRoom(count = 1): void {
    this.#quota.check(count);
  }

  /** Puts an object in, under the lowest free id. */
  add<T extends IommufdObject>(object: T): T {
    if (object.id !== 0) broken(`${object.kind} ${object.id} has an id already`);
    while (this.#objects.has(this.#lowest) || this.#buried.has(this.#lowest)) this.#lowest++;
    object.id = this.#lowest;
    this.#objects.set(object.id, object);
    this.#quota.add(1);
    return object;
  }

  /** The object `id`, which must be one of `kind`. @throws Refusal ENOENT. */
  get<T>(id: number, kind: Kind<T>): T {
    const object = this.#objects.get(id);
    if (object === undefined) refuse('ENOENT', `there is no object ${id}`);
    if (!(object instanceof kind))
      refuse('ENOENT', `object ${id} is of kind ${object.kind}, and another is wanted`);
    return object;
  }

  /** @throws Refusal ENOENT, or EBUSY while others refer to it. */
  destroy(id: number): Sliced<void> {
    const object = this.get(id, IommufdObject);
    if (object.users > 0)
      refuse(
        'EBUSY',
        `${object.kind} ${id} is in use by ${object.users} other object${object.users === 1 ? '' : 's'}`,
      );
    return this.#remove(object);
  }

  /** Destroys everything, leaves first. */
  *destroyAll(): Work<void> {
    try {
      yield* releasing(this.#leavesFirst());
    } finally {
      this.#quota.remove(this.#buried.size);
      this.#buried.clear();
    }
  }

  /** Destroys an object that nothing refers to, and keeps its id from being given again. */
  bury(object: IommufdObject): Sliced<void> {
    this.#buried.add(object.id);
    return this.#remove(object);
  }

  *#leavesFirst(): Generator<() => Sliced<void>> {
    while (this.#objects.size > 0) {
      const before = this.#objects.size;
      let last: IommufdObject | undefined;
      // One leaf may take others with it.
      for (last of this.#objects.values())
        yield last.users === 0 ? this.#remove.bind(this, last) : () => undefined;
      // Held by what is gone: the last was made of the others, as far as is known.
      if (this.#objects.size === before) yield () => this.#remove(last!);
    }
  }

  #remove(object: IommufdObject): Sliced<void> {
    const { kind, id, users } = object;
    if (this.#objects.get(id) !== object)
      broken(`${kind} ${id} is destroyed, and is no object of the context`);
    this.#objects.delete(id);
    if (!this.#buried.has(id)) this.#quota.remove(1);
    this.#lowest = Math.min(this.#lowest, id);
    return after(object.destroy(), () => {
      if (users > 0) broken(`${kind} ${id} was destroyed while ${users} held it`);
    });
  }
}
