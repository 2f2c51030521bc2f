/**
 * Portals that take a descriptor in eight accesses of eight bytes (`portal=split`), for machines that can
 * make no longer ones: hardware drops such accesses, and so does this device without the option.
 *
 * Invariant: a descriptor comes out only of accesses to one place of a portal that came in the order of their
 * addresses, each once; one that is out of order drops what came before it.
 */
import { DESCRIPTOR_SIZE } from './descriptor.js';

const PART = 8;

interface Gathered {
  readonly bytes: Uint8Array;
  /** How many of them there are. */
  length: number;
}

export class SplitPortals {
  /** By number of 64 bytes, from the first portal on. */
  readonly #gathered = new Map<number, Gathered>();

  /** Takes an access of eight bytes at `offset`. @returns the descriptor, when it was its last part. */
  take(offset: number, source: Uint8Array): Uint8Array | undefined {
    const within = offset % DESCRIPTOR_SIZE;
    const place = (offset - within) / DESCRIPTOR_SIZE;
    if (within === 0) this.#gathered.set(place, { bytes: new Uint8Array(DESCRIPTOR_SIZE), length: 0 });
    const gathered = this.#gathered.get(place);
    if (gathered?.length !== within) {
      this.#gathered.delete(place);
      return undefined;
    }
    gathered.bytes.set(source, within);
    gathered.length += PART;
    if (gathered.length < DESCRIPTOR_SIZE) return undefined;
    this.#gathered.delete(place);
    return gathered.bytes;
  }

  /** Forgets what is not whole. */
  clear(): void {
    this.#gathered.clear();
  }

  /** Is it an access that may be a part? */
  static isPart(offset: number, source: Uint8Array): boolean {
    return source.length === PART && offset % PART === 0;
  }
}
