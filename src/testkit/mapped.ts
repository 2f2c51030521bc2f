/** A PASID with memory behind it, for tests of what reaches it. */
import type { IoasidContext } from '../ioasid/context.js';
import { READ, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import type { Pasid } from '../iommu/pasid.js';

/** A new PASID of `context` with one page of memory at `iova`; `bytes` are that page. */
export function mapped(context: IoasidContext, iova = 0x1000n): { pasid: Pasid; bytes: Uint8Array } {
  const pasid = context.alloc(0, 0);
  const bytes = new Uint8Array(4096);
  context.map({ pasid, length: 4096n, access: READ | WRITE, iova }, iova, {
    memory: new BufferMemory(bytes),
    offset: 0,
  });
  return { pasid, bytes };
}
