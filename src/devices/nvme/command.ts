/**
 * Command: one entry of a submission queue (NVM Express Base 2.0 §3.3.3.1), 64 bytes as the driver wrote
 * them. The entry is copied out of memory once, so that what is checked is what is done.
 */
export const COMMAND_BYTES = 64;
const COMMAND_WORDS = COMMAND_BYTES / 4;

/** What stands for all namespaces. */
export const ALL_NAMESPACES = 0xffffffff;

export class Command {
  readonly bytes = new Uint8Array(COMMAND_BYTES);
  readonly #view = new DataView(this.bytes.buffer);
  readonly #words = new Uint32Array(this.bytes.buffer);

  /** Makes it entry `index` of `entries`, which are as they are in memory. */
  copy(entries: Uint32Array, index: number): void {
    for (let n = 0; n < COMMAND_WORDS; n++) this.#words[n] = entries[index * COMMAND_WORDS + n]!;
  }

  get opcode(): number {
    return this.bytes[0]!;
  }

  /** Which half of a fused operation it is; 0: none. */
  get fused(): number {
    return this.bytes[1]! & 3;
  }

  /** PRP or SGL: how the data pointer is to be read. 0: two PRP entries; 1 and 2: an SGL descriptor. */
  get pointerKind(): number {
    return this.bytes[1]! >>> 6;
  }

  /** Command identifier. */
  get id(): number {
    return this.#view.getUint16(2, true);
  }

  get nsid(): number {
    return this.#view.getUint32(4, true);
  }

  get prp1(): number {
    return this.#address(24);
  }

  get prp2(): number {
    return this.#address(32);
  }

  /** The 16 bytes of the data pointer, in which an SGL descriptor may be. */
  get pointer(): Uint8Array {
    return this.bytes.subarray(24, 40);
  }

  /** Command dword `n`, 0 to 15. */
  dword(n: number): number {
    return this.#view.getUint32(4 * n, true);
  }

  /** Dwords `n` and `n` + 1 as one number; inexact from 2^53 on. */
  quad(n: number): number {
    return this.#address(4 * n);
  }

  #address(offset: number): number {
    return this.#view.getUint32(offset, true) + this.#view.getUint32(offset + 4, true) * 2 ** 32;
  }
}
