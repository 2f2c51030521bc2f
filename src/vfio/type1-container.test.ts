import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finish, finished, isWork, type Work } from '../file/work.js';
import { Iommu, READ } from '../iommu/iommu.js';
import { BufferMemory, type Memory } from '../iommu/memory.js';
import { Type1Container } from './type1-container.js';

const PAGE = 4096;

/** Memory that can be held, or cannot, and tells when it is let go. */
class Owned extends BufferMemory {
  closed = 0;
  readonly #held: Memory | undefined;

  constructor(held?: Memory) {
    super(new Uint8Array(PAGE), 'owned');
    this.#held = held;
  }

  *held(): Generator<undefined, Memory | undefined> {
    yield;
    return this.#held;
  }

  override close(): void {
    this.closed++;
  }
}

test('what is mapped is held where it can be, and each reference is given back once', () => {
  const iommu = new Iommu();
  const container = new Type1Container(iommu);
  container.join(false);
  container.setIommu(3n);
  const held = new Owned();
  const owners = [new Owned(held), new Owned()] as const;
  for (const [n, memory] of owners.entries()) {
    const request = { iova: BigInt(n * PAGE), length: BigInt(PAGE), address: 0n, access: READ };
    finish(container.map(request, () => ({ memory, offset: 0 })));
  }
  assert.deepEqual([owners[0].closed, owners[1].closed, held.closed], [1, 0, 0]);
  assert.equal(iommu.memories.size, 2);
  assert.equal(finished(container.unmapAll(0n, 0n)), BigInt(2 * PAGE));
  assert.deepEqual([owners[0].closed, owners[1].closed, held.closed], [1, 1, 1]);
});

/** How many slices it takes. */
function slices(work: Work<unknown>): number {
  for (let count = 1; ; count++) if (work.next().done) return count;
}

test('addresses of many mappings are taken and given, and their log is begun, in slices', () => {
  const container = new Type1Container(new Iommu());
  container.join(false);
  container.setIommu(3n);
  const MANY = 1000;
  const request = (n: number) => ({
    iova: BigInt(2 * n * PAGE),
    length: BigInt(PAGE),
    address: 0n,
    access: READ,
  });
  const memory = () => ({ memory: new Owned(), offset: 0 });
  for (let n = 0; n < MANY; n++) finish(container.map(request(n), memory));
  assert.ok(slices(container.startLog()) > MANY / 100);
  const half = BigInt(MANY * PAGE);
  finish(container.invalidate(0n, half, false));
  assert.throws(() => finish(container.invalidate(0n, 0n, true)), { code: 'EINVAL' }, 'half have none');
  assert.ok(slices(container.invalidate(half, half, false)) > MANY / 200);
  assert.throws(() => container.join(true), { code: 'EBUSY' }, 'nothing was undone');
  const unmap = container.unmap(half, half);
  assert.ok(isWork(unmap) && slices(unmap) > MANY / 100);
  finish(container.updateAddress({ ...request(1), access: 0 }, memory));
  assert.throws(() => finish(container.updateAddress({ ...request(1), access: 0 }, memory)), {
    code: 'EINVAL',
  });
});
