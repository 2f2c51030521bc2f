/** The checks on the way of each DMA, which are made where IOASID_CHECKS is 1: in a process of their own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

/** Reads by a mapping of pages 0 and 1 after `damage` was done. @returns what was thrown, or `nothing`. */
function dmaAfter(damage: string, checks: '0' | '1'): string {
  const module = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
  const program = `
    import { Iommu, READ } from ${module('./iommu.js')};
    import { BufferMemory } from ${module('./memory.js')};
    const iommu = new Iommu();
    const requester = iommu.requester('0000:6a:01.0');
    const table = iommu.pageTable();
    const memory = iommu.memories.acquire(new BufferMemory(new Uint8Array(8192)));
    const slot = table.map(0n, 8192n, memory, 0n, READ);
    requester.grant(7, table);
    const read = (iova) => requester.read(7, iova, new Uint8Array(8), 0, 8);
    read(4096);
    try {
      ${damage}
      read(4096);
      console.log('nothing');
    } catch (error) {
      console.log(error.name + ': ' + error.message);
    }`;
  const env = { ...process.env, IOASID_CHECKS: checks };
  return execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env,
  }).trim();
}

test('a DMA by an entry of the tree that is not what its mapping says is a broken invariant', () => {
  const where = 'slot 0 of the mappings, to which iova 0x1000 of PASID 7 leads,';
  assert.equal(dmaAfter('', '1'), 'nothing');
  assert.equal(dmaAfter('iommu.tables.freeSlot(slot);', '1'), `BrokenInvariant: ${where} is free`);
  assert.equal(
    dmaAfter('iommu.tables.storeWide(slot, 0, 0x2000);', '1'),
    `BrokenInvariant: ${where} is of other addresses`,
  );
  assert.equal(
    dmaAfter('iommu.tables.storeWide(slot, 4, 0x3000);', '1'),
    `BrokenInvariant: ${where} is byte 0x4000 of its memory there, not 0x1000`,
  );
  assert.equal(
    dmaAfter('iommu.memories.release(memory);', '1'),
    `BrokenInvariant: ${where} is of a memory that was released`,
  );
});

test('without IOASID_CHECKS a DMA does not look', () => {
  assert.equal(dmaAfter('iommu.tables.storeWide(slot, 4, 0x3000);', '0'), 'nothing');
});
