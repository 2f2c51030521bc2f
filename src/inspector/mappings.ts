/**
 * The mappings of a page table, as the inspector shows them.
 */
import type { Iommu } from '../iommu/iommu.js';
import type { PageTable } from '../iommu/page-table.js';
import { ACCESS, MAPPING_WORDS, MEMORY, OFFSET_HI } from '../iommu/table-memory.js';
import { hex } from '../linux/errno.js';
import type { Mapping } from './model.js';

const RIGHTS = 3;

/** By rising IOVA, at most `limit`, from the one on that ends at `from` or above. */
export function mappingsOf(
  { tables, memories }: Iommu,
  table: PageTable,
  from: bigint,
  limit: number,
): Mapping[] {
  const found: Mapping[] = [];
  for (const slot of table.slots(from)) {
    if (found.length === limit) break;
    const words = slot * MAPPING_WORDS;
    const iova = table.start(slot);
    found.push({
      iova: hex(iova),
      length: hex(table.last(slot) - iova + 1n),
      access: tables.mappings[words + ACCESS]! & RIGHTS,
      memory: memories.get(tables.mappings[words + MEMORY]!).description,
      offset: hex(tables.exact(slot, OFFSET_HI)),
    });
  }
  return found;
}
