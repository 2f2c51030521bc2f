/** What is freed twice, or was never there, is found where it is freed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { BrokenInvariant } from '../linux/invariant.js';
import { MEMORY_WRITABLE } from './access.js';
import { BufferMemory } from './memory.js';
import { MemoryTable } from './memory-table.js';
import { PageTable } from './page-table.js';
import {
  ACCESS,
  halves,
  LAST_HI,
  MAPPING_WORDS,
  OFFSET_HI,
  START_HI,
  split,
  TABLE_WORDS,
  TableMemory,
} from './table-memory.js';

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

test('what grows stays where it is: nothing is copied, however much there is', () => {
  const memory = new TableMemory();
  const [tables, mappings] = [memory.tables, memory.mappings];
  const [table, slot] = [memory.allocTable(), memory.allocSlot()];
  for (let n = 0; n < 1000; n++) {
    memory.allocTable();
    memory.allocSlot();
  }
  assert.ok(memory.mappings.length > mappings.length);
  memory.tables[table] = 1234;
  memory.mappings[slot * MAPPING_WORDS] = 5678;
  assert.deepEqual([tables[table], mappings[slot * MAPPING_WORDS]], [1234, 5678]);
});

test('whatever is given and taken back, nothing overlaps, and the count is that of a list', () => {
  const kinds = fc.array(fc.constantFrom('table', 'root', 'free'), { maxLength: 200 });
  fc.assert(
    fc.property(kinds, fc.infiniteStream(fc.nat()), (steps, which) => {
      const memory = new TableMemory(20);
      const given: { at: number; count: 1 | 2 }[] = [];
      for (const step of steps) {
        const used = given.reduce((sum, { count }) => sum + count, 0);
        assert.equal(memory.tableCount, used);
        const count = step === 'root' ? 2 : 1;
        if (step === 'free') {
          const [gone] = given.splice(which.next().value % Math.max(1, given.length), 1);
          if (gone?.count === 1) memory.freeTable(gone.at);
          else if (gone !== undefined) memory.freeRoot(gone.at);
        } else if (memory.hasRoom(count)) {
          const at = count === 1 ? memory.allocTable() : memory.allocRoot();
          const end = at + count * TABLE_WORDS;
          assert.ok(given.every((other) => other.at + other.count * TABLE_WORDS <= at || end <= other.at));
          const from = count === 1 ? at : at + TABLE_WORDS;
          assert.ok(memory.tables.subarray(from, end).every((word) => word === 0));
          memory.tables.fill(-1, from, end);
          given.push({ at, count });
        } else assert.ok(used + count > 20);
      }
    }),
  );
});

test('where an IOVA is in a memory is what a calculation with bigints says', () => {
  const near = fc
    .tuple(
      fc.constantFrom(0n, 2n ** 32n, 2n ** 40n, 2n ** 47n + 2n ** 32n),
      fc.integer({ min: -9000, max: 9000 }),
    )
    .map(([at, off]) => at + BigInt(off))
    .filter((at) => at >= 0n);
  fc.assert(
    fc.property(near, fc.nat(), near, (start, into, offset) => {
      const memory = new TableMemory();
      const slot = memory.allocSlot();
      const iova = start + BigInt(into);
      memory.store(slot, START_HI, start);
      memory.store(slot, OFFSET_HI, offset);
      split(iova);
      memory.locate(slot, halves[1]!, halves[0]!);
      split(offset + (iova - start));
      assert.deepEqual([memory.byteHi, memory.byteLo], [halves[1], halves[0]]);
    }),
    { numRuns: 2000 },
  );
});

test('a range is stored as its first and its last IOVA, whatever the signs of its words', () => {
  const words = fc.constantFrom(0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n);
  const value = fc
    .tuple(words, fc.integer({ min: -2, max: 2 }))
    .map(([word, off]) => BigInt.asUintN(64, word + BigInt(off)));
  fc.assert(
    fc.property(value, value, (iova, length) => {
      const memory = new TableMemory();
      memory.allocSlot();
      const slot = memory.allocSlot();
      memory.storeRange(slot, iova, length);
      assert.equal(memory.exact(slot, START_HI), iova);
      assert.equal(memory.exact(slot, LAST_HI), BigInt.asUintN(64, iova + length - 1n));
      // What lies beside it is as it was.
      memory.store(slot, START_HI, 0n);
      memory.store(slot, LAST_HI, 0n);
      assert.ok(memory.mappings.every((word) => word === 0));
    }),
    { numRuns: 2000 },
  );
});

test('the entry of one page says the slot, the rights and the place, or is not made', () => {
  const bits = fc.constantFrom(
    0n,
    1n,
    0x800n,
    0x1000n,
    0x8000_0000n,
    2n ** 36n,
    2n ** 47n,
    2n ** 48n,
    2n ** 51n,
  );
  const sum = fc.array(bits, { minLength: 1, maxLength: 3 }).map((all) => all.reduce((a, b) => a | b, 0n));
  const lengths = fc.constantFrom(4096n, 4096n, 4096n, 4095n, 8192n);
  let made = 0;
  fc.assert(
    fc.property(sum, lengths, sum, fc.nat(3), fc.nat(4095), (start, length, offset, rights, into) => {
      const memory = new TableMemory();
      memory.allocSlot();
      const slot = memory.allocSlot();
      memory.store(slot, START_HI, start);
      memory.store(slot, LAST_HI, start + length - 1n);
      memory.store(slot, OFFSET_HI, offset);
      memory.mappings[slot * MAPPING_WORDS + ACCESS] = rights | MEMORY_WRITABLE;
      split(start + BigInt(into));
      const table = memory.allocTable();
      const done = memory.setEntryOfPage(table, slot, halves[1]!, halves[0]!);
      const isPage = (start | offset) % 4096n === 0n && length === 4096n;
      assert.equal(done, isPage && offset < 2n ** 48n);
      const [entry, page] = [memory.tables[table]!, memory.tables[table + 1]!];
      if (!done) assert.deepEqual([entry, page], [0, 0]);
      else {
        made++;
        const expected = new TableMemory();
        expected.setEntry(expected.allocTable(), (slot << 2) | rights, Number(offset / 4096n));
        assert.deepEqual([entry, page], [...expected.tables.subarray(2 * TABLE_WORDS, 2 * TABLE_WORDS + 2)]);
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(made > 50, `${made} entries that were made`);
});

/** A program that prints what it has in its memory of tables, or why it has none. */
const useMemory = `
  const { TableMemory } = await import(process.argv[1]);
  try {
    const memory = new TableMemory();
    const table = memory.allocTable();
    memory.tables[table] = 5;
    console.log(memory.tables.length / 1024, memory.tables[table]);
  } catch (error) {
    console.log(error.message);
  }`;
const node = [
  process.execPath,
  '--input-type=module',
  '-e',
  useMemory,
  new URL('./table-memory.js', import.meta.url).href,
];

test('where there are too few addresses it is ENOMEM, and the sentence names the limits', () => {
  const shell = ['-c', 'ulimit -v 3000000 && exec "$@"', 'sh', ...node];
  assert.equal(
    execFileSync('sh', shell, { encoding: 'utf8' }),
    'ENOMEM: there is no room for 67108864 bytes of mappings and tables, in 4294967296 bytes of addresses ' +
      '(ulimit -d, ulimit -v)\n',
  );
});

test('where memory has to be there before it is used there are fewer tables', () => {
  // KiB of memory that can be written: half of what all tables may take.
  const shell = ['-c', 'ulimit -d 2097152 && exec "$@"', 'sh', ...node];
  assert.equal(execFileSync('sh', shell, { encoding: 'utf8' }), '16384 5\n');
  assert.equal(execFileSync(process.execPath, node.slice(1), { encoding: 'utf8' }), '1048576 5\n');
});
