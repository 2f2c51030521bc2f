/** Who is charged for pages that DMA makes in holes of a memfd. */
import assert from 'node:assert/strict';
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { finish } from '../file/work.js';
import { account, Child, descriptors, PAGE } from '../testkit/child.js';
import { MemoryGroup } from '../testkit/memory-group.js';
import { libc } from './ffi.js';
import { type FileMemory, fileMemory } from './file-memory.js';
import { payFor } from './file-payer.js';
import { canGuardHoles } from './hole-guard.js';
import { processMemory } from './process-memory.js';

const BOTH = 3;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const PUNCH_HOLE_KEEP_SIZE = 3;
const MIB = 2 ** 20;
const BYTES = 8 * MIB;
/** More than the process needs for itself meanwhile, and less than half of the file. */
const OWN = 3 * MIB;

const skip = canGuardHoles() ? false : 'userfaultfd(2) is not allowed here';
const children: Child[] = [];
after(() => Promise.all(children.map((child) => child.kill())));

/** A sparse memfd of a new process, as our memory and as our descriptor. */
async function sparse(mapped: boolean) {
  const child = new Child();
  children.push(child);
  const fd = await child.memfd('sparse', BYTES);
  const address = mapped ? await child.call('mmap', 0, BYTES, PROT_READ_WRITE, MAP_SHARED, fd, 0) : 0;
  const { memory } = fileMemory(account, child.pid, fd, 0, BYTES, BOTH);
  payFor(memory, child.pid);
  const ours = openSync(`/proc/${child.pid}/fd/${fd}`, 'r+');
  const close = () => {
    memory.close();
    closeSync(ours);
  };
  return { child, address, memory, ours, close };
}

/** Bytes that the file has. */
const allocated = (fd: number) => fstatSync(fd).blocks * 512;

/** Bytes of shared memory that a process has touched. */
function touchedBy({ pid }: Child): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^RssShmem:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
}

function fill(memory: FileMemory, from: number, length: number, byte = 7): number {
  return memory.write(from, new Uint8Array(length).fill(byte), 0, length);
}

for (const mapped of [true, false]) {
  const whose = mapped ? 'that its process has mapped' : 'that nobody has mapped';
  test(`a memfd ${whose} equals a model, whatever holes are made in it`, { skip }, async () => {
    const { memory, ours, close } = await sparse(mapped);
    const size = 64 * PAGE;
    const model = new Uint8Array(size);
    const step = fc.record({
      kind: fc.constantFrom('read', 'write', 'punch'),
      from: fc.nat(size - 1),
      length: fc.integer({ min: 1, max: 20 * PAGE }),
      byte: fc.integer({ min: 1, max: 255 }),
    });
    fc.assert(
      fc.property(step, ({ kind, from, length, byte }) => {
        const bytes = Math.min(length, size - from);
        if (kind === 'write') {
          assert.equal(fill(memory, from, bytes, byte), bytes);
          model.fill(byte, from, from + bytes);
        } else if (kind === 'punch') {
          assert.equal(libc().fallocate(ours, PUNCH_HOLE_KEEP_SIZE, from, bytes), 0);
          model.fill(0, from, from + bytes);
        } else {
          const before = allocated(ours);
          const target = new Uint8Array(bytes).fill(255);
          assert.equal(memory.read(from, target, 0, bytes), bytes);
          assert.deepEqual(target, model.slice(from, from + bytes));
          assert.equal(allocated(ours), before, 'a read makes no page');
        }
      }),
      { numRuns: 400 },
    );
    close();
  });
}

test('a write makes the pages that it touches and no more, again where holes were punched', {
  skip,
}, async () => {
  const { child, memory, ours, close } = await sparse(true);
  assert.equal(memory.read(0, new Uint8Array(BYTES), 0, BYTES), BYTES);
  assert.deepEqual([allocated(ours), touchedBy(child)], [0, 0]);
  for (const round of [1, 2]) {
    assert.equal(fill(memory, 3 * PAGE - 1, 2), 2, `round ${round}`);
    assert.equal(allocated(ours), 2 * PAGE);
    assert.equal(touchedBy(child) >= 2 * PAGE, true, 'the owner has touched them');
    assert.equal(libc().fallocate(ours, PUNCH_HOLE_KEEP_SIZE, 0, BYTES), 0);
    assert.equal(touchedBy(child), 0);
  }
  close();
});

test('memory that is held is paid for by its owner while it is mapped there, then by us', {
  skip,
}, async () => {
  const { child, address, memory, ours, close } = await sparse(true);
  const { memory: whole } = finish(processMemory(account, child.pid, address, BYTES, BOTH));
  const held = finish(whole.held(address, BYTES, BOTH))!;
  whole.close();
  assert.equal(held.write(address + PAGE, new Uint8Array(PAGE).fill(1), 0, PAGE), PAGE);
  assert.equal(touchedBy(child), PAGE);
  await child.call('munmap', address, BYTES);
  assert.equal(held.write(address + 2 * PAGE, new Uint8Array(PAGE).fill(2), 0, PAGE), PAGE);
  await child.kill();
  assert.equal(held.write(address + 3 * PAGE, new Uint8Array(PAGE).fill(3), 0, PAGE), PAGE);
  assert.equal(fill(memory, 4 * PAGE, PAGE), PAGE);
  assert.equal(allocated(ours), 4 * PAGE);
  held.close();
  close();
});

test('when a payer has gone, the next that gives the file pays', { skip }, async () => {
  const first = await sparse(true);
  const second = new Child();
  children.push(second);
  const path = `/proc/${process.pid}/fd/${first.ours}`;
  const fd = await second.call('open', path, constants.O_RDWR, 0);
  await second.call('mmap', 0, BYTES, PROT_READ_WRITE, MAP_SHARED, fd, 0);
  const { memory } = fileMemory(account, second.pid, fd, 0, BYTES, BOTH);
  assert.equal(memory, first.memory);
  payFor(memory, second.pid);
  assert.equal(fill(memory, 0, PAGE), PAGE);
  assert.deepEqual([touchedBy(first.child), touchedBy(second)], [PAGE, 0]);
  await first.child.kill();
  payFor(memory, second.pid);
  assert.equal(fill(memory, PAGE, PAGE), PAGE);
  assert.ok(touchedBy(second) >= PAGE);
  memory.close();
  first.close();
});

test('a payer costs descriptors once, and none when its file is closed', { skip }, async () => {
  const { child, memory, ours } = await sparse(true);
  for (let n = 0; n < 3; n++) payFor(memory, child.pid);
  assert.equal(fill(memory, 0, BYTES), BYTES);
  const before = descriptors().length;
  memory.close();
  assert.equal(descriptors().length, before - 4, 'the file, and what names an address space');
  closeSync(ours);
});

test('the cgroup of the process that has it mapped is charged, and only then', {
  skip: skip || MemoryGroup.skip,
}, async () => {
  const group = new MemoryGroup();
  const { child, address, memory, ours, close } = await sparse(true);
  group.add(child.pid);
  const before = group.usage;
  assert.equal(fill(memory, 0, BYTES / 2), BYTES / 2);
  const paid = group.usage - before;
  assert.ok(paid >= BYTES / 2 && paid < BYTES / 2 + OWN, `${paid} bytes are charged`);
  await child.call('munmap', address, BYTES);
  assert.equal(fill(memory, BYTES / 2, BYTES / 2), BYTES / 2);
  assert.ok(group.usage - before < BYTES / 2 + OWN);
  assert.equal(allocated(ours), BYTES);
  close();
  await child.kill();
  await group.remove();
});

const swaps = !/^SwapTotal:\s+0 kB$/m.test(readFileSync('/proc/meminfo', 'latin1'));

test('a payer whose cgroup is full is killed for what it lets devices write, and we go on', {
  skip: skip || MemoryGroup.skip || (swaps ? 'with swap a group that is full is not killed' : false),
}, async () => {
  const group = new MemoryGroup();
  const { child, memory, ours, close } = await sparse(true);
  group.limit(BYTES / 2);
  group.add(child.pid);
  for (let at = 0; at < BYTES; at += MIB) assert.equal(fill(memory, at, MIB), MIB);
  assert.equal(group.kills, 1);
  assert.equal(allocated(ours), BYTES);
  close();
  await child.kill();
  await group.remove();
});
