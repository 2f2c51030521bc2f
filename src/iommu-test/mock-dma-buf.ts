/**
 * MockDmaBuf: the dma-buf of the test interface (selftest.c of Linux 7.3), memory of nobody that can be taken
 * back. What was taken from it before it was revoked or given again reaches nothing any more.
 *
 * Invariant: its pages count in the quota of the context that has made it as long as it is open, or anything
 * of it is mapped.
 */
import { DmaBuf } from '../file/dma-buf.js';
import type { MemoryRange } from '../file/open-file.js';
import { BufferMemory } from '../iommu/memory.js';
import { PAGE_SIZE } from '../iommu/page-table.js';
import type { Quota } from '../iommu/quota.js';
import { hex, refuse } from '../linux/errno.js';

const MOST_PAGES = 512;

export class MockDmaBuf extends DmaBuf {
  readonly #bytes: Uint8Array;
  readonly #pages: CountedPages;
  #lent: LentMemory;
  #revoked = false;

  /**
   * @param length rounded up to whole pages, which count in `quota`. @throws Refusal EINVAL for none, and for
   * more than 512; ENOMEM.
   */
  constructor(length: number, quota: Quota) {
    super();
    const pages = Math.ceil(length / PAGE_SIZE);
    if (pages === 0 || pages > MOST_PAGES)
      refuse('EINVAL', `a dma-buf of ${length} bytes has not 1 to ${MOST_PAGES} pages`);
    this.#pages = new CountedPages(pages, quota);
    this.#bytes = new Uint8Array(pages * PAGE_SIZE);
    this.#lent = new LentMemory(this.#bytes, this.#pages);
  }

  take(start: number, length: number): MemoryRange {
    if (this.#revoked) refuse('ENODEV', 'the dma-buf is revoked');
    if (start + length > this.#bytes.length)
      refuse(
        'EINVAL',
        `${hex(start)}+${hex(length)} is not in the ${hex(this.#bytes.length)} of the dma-buf`,
      );
    this.#pages.hold();
    return { memory: this.#lent, offset: start };
  }

  /** Nobody has it open any more. What is mapped of it stays. */
  close(): void {
    this.#pages.drop();
  }

  /** Takes it back, or gives it again. */
  revoke(revoked: boolean): void {
    this.#revoked = revoked;
    this.#lent.ended = true;
    this.#lent = new LentMemory(this.#bytes, this.#pages);
  }
}

/** Pages that count in a quota until the last who holds them drops them. */
class CountedPages {
  readonly #count: number;
  readonly #quota: Quota;
  #holders = 1;

  /** @throws Refusal ENOMEM. */
  constructor(count: number, quota: Quota) {
    quota.check(count);
    quota.add(count);
    this.#count = count;
    this.#quota = quota;
  }

  hold(): void {
    this.#holders++;
  }

  drop(): void {
    if (--this.#holders === 0) this.#quota.remove(this.#count);
  }
}

/** The memory until it is taken back. It can be mapped all the same, as in Linux, and is a fault. */
class LentMemory extends BufferMemory {
  ended = false;
  readonly #pages: CountedPages;

  constructor(bytes: Uint8Array, pages: CountedPages) {
    super(bytes, 'dma-buf of the test interface');
    this.#pages = pages;
  }

  override close(): void {
    this.#pages.drop();
  }

  override read(offset: number, target: Uint8Array, at: number, length: number): number {
    return this.ended ? 0 : super.read(offset, target, at, length);
  }

  override write(offset: number, source: Uint8Array, at: number, length: number): number {
    return this.ended ? 0 : super.write(offset, source, at, length);
  }
}
