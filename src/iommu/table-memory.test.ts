/** What is freed twice, or was never there, is found where it is freed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BrokenInvariant } from '../linux/invariant.js';
import { BufferMemory } from './memory.js';
import { MemoryTable } from './memory-table.js';
import { PageTable } from './page-table.js';
import { TableMemory } from './table-memory.js';

test('a slot is freed once: a second time it is a broken invariant, and it is given out once only', () => {
  const memory = new TableMemory();
  const [a, b] = [memory.allocSlot(), memory.allocSlot()];
  memory.freeSlot(a);
  assert.throws(
    () => memory.freeSlot(a),
    new BrokenInvariant('slot 0 of the mappings is freed, and is not in use'),
  );
  assert.throws(() => memory.freeSlot(b + 1), BrokenInvariant, 'a slot that was never given');
  assert.deepEqual([memory.allocSlot(), memory.allocSlot()], [a, b + 1]);
  memory.freeSlot(a);
  assert.equal(memory.slotCount, 2);
});

test('a table and a root are freed once, and a table that comes back is of zeros', () => {
  const memory = new TableMemory();
  const [table, root] = [memory.allocTable(), memory.allocRoot()];
  memory.freeTable(table);
  assert.throws(() => memory.freeTable(table), BrokenInvariant);
  memory.freeRoot(root);
  assert.throws(() => memory.freeRoot(root), BrokenInvariant);
  assert.equal(memory.allocTable(), table);
  assert.equal(memory.tables[table], 0);
  assert.equal(memory.tableCount, 1);
});

test('a memory that is released once too often, or retained after it, is a broken invariant', () => {
  const memories = new MemoryTable();
  const id = memories.acquire(new BufferMemory(new Uint8Array(8)));
  memories.retain(id);
  memories.release(id);
  memories.release(id);
  assert.throws(
    () => memories.release(id),
    new BrokenInvariant('memory 0 is released by more mappings than name it'),
  );
  assert.throws(() => memories.retain(id), BrokenInvariant);
  assert.equal(memories.size, 0);
});

test('a mapping is taken out once, of the table that has it; a table is closed when it is empty', () => {
  const memory = new TableMemory();
  const [table, other] = [new PageTable(memory), new PageTable(memory)];
  const slot = table.map(0n, 4096n, 0, 0n, 1);
  assert.throws(() => other.unmap(slot), BrokenInvariant);
  assert.throws(() => table.close(), new BrokenInvariant('a page table is closed with 1 mappings in it'));
  table.unmap(slot);
  assert.throws(() => table.unmap(slot), BrokenInvariant);
  table.close();
  assert.equal(memory.slotCount, 0);
});
