/** The pages of a log in [iova, iova+length), by their numbers, rising. */
import type { DirtyLog } from '../iommu/dirty-log.js';

export function dirtyPages(log: DirtyLog, iova = 0n, length = 2n ** 64n): number[] {
  return [...log.words(iova, length)].flatMap(({ page, bits }) =>
    Array.from({ length: 32 }, (_, n) => page + n).filter((_, n) => (bits & (1 << n)) !== 0),
  );
}
