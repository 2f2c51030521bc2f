/** The pages of a log in [iova, iova+length), by their numbers, rising. @throws Refusal as `log.parts`. */
import { type DirtyLog, DirtyWords } from '../iommu/dirty-log.js';

export function dirtyPages(log: DirtyLog, iova = 0n, length = 2n ** 64n): number[] {
  const words = new DirtyWords();
  const pages: number[] = [];
  for (const part of log.parts(iova, length)) {
    log.read(part, words);
    for (let n = 0; n < words.count; n++)
      for (let bit = 0; bit < 32; bit++)
        if ((words.bits[n]! & (1 << bit)) !== 0) pages.push(words.pages[n]! + bit);
  }
  return pages;
}
