/**
 * Ranges: bytes that follow each other in meaning and lie in parts, each an address and a length, of whatever
 * the addresses are of.
 *
 * A list is made once and used again, so nothing is allocated when it has grown. It remembers the part that
 * was looked for last: who goes through the bytes in their order finds each part at once.
 */
export class Ranges {
  /** Bytes of all parts. */
  length = 0;
  /** Parts. */
  count = 0;
  /** Of the parts, the first `count`. None is empty. */
  addresses = new Float64Array(8);
  lengths = new Float64Array(8);
  /** What `seek` has found: a part, and the bytes of those before it. */
  part = 0;
  #start = 0;

  clear(): void {
    this.length = this.count = this.part = this.#start = 0;
  }

  /** Appends `length` bytes, above 0, at `address`. */
  add(address: number, length: number): void {
    if (this.count === this.addresses.length) this.#grow();
    this.addresses[this.count] = address;
    this.lengths[this.count++] = length;
    this.length += length;
  }

  /** As `add`, as one part with the last where it follows that. */
  append(address: number, length: number): void {
    const last = this.count - 1;
    if (last < 0 || this.addresses[last]! + this.lengths[last]! !== address) this.add(address, length);
    else {
      this.lengths[last]! += length;
      this.length += length;
    }
  }

  /** Appends bytes [offset, offset+length) of `other`, which has them. */
  appendOf(other: Ranges, offset: number, length: number): void {
    let within = other.seek(offset);
    for (let part = other.part, left = length; left > 0; part++) {
      const n = Math.min(left, other.lengths[part]! - within);
      this.append(other.addresses[part]! + within, n);
      left -= n;
      within = 0;
    }
  }

  /** Makes `part` that of byte `offset`, which there is. @returns where in it that is. */
  seek(offset: number): number {
    if (this.#start > offset) this.part = this.#start = 0;
    while (offset - this.#start >= this.lengths[this.part]!) this.#start += this.lengths[this.part++]!;
    return offset - this.#start;
  }

  /** Bytes from byte `offset` on, which there is, that lie in `parts` parts, 1 or more: at most `length`. */
  within(offset: number, length: number, parts: number): number {
    let bytes = 0 - this.seek(offset);
    for (let part = this.part; part < Math.min(this.part + parts, this.count) && bytes < length; part++)
      bytes += this.lengths[part]!;
    return Math.min(length, bytes);
  }

  #grow(): void {
    const { addresses, lengths } = this;
    this.addresses = new Float64Array(2 * addresses.length);
    this.lengths = new Float64Array(2 * lengths.length);
    this.addresses.set(addresses);
    this.lengths.set(lengths);
  }
}
