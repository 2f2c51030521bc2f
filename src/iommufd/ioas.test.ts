/**
 * The IOAS against a model that is a plain list of mappings: what is refused with which errno, where IOVAs
 * are chosen, what is left.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { finish, finished } from '../file/work.js';
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { Quota, tableQuota } from '../iommu/quota.js';
import { refusal } from '../testkit/refused.js';
import { Ioas } from './ioas.js';

const PAGE = 4096n;
const BYTES = 64 * 4096;

interface Mapping {
  readonly iova: bigint;
  readonly length: bigint;
}

/** The value that `run` returns, or the errno with which it is refused. */
function outcome<T>(run: () => T): T | string {
  let value: T | undefined;
  const refused = refusal(() => {
    value = run();
  });
  return refused?.code ?? value!;
}

const overlap = (a: Mapping, b: Mapping) => a.iova < b.iova + b.length && b.iova < a.iova + a.length;

/**
 * The first free IOVA from the first page on, aligned to the smaller of the length's power of two and the
 * memory's alignment.
 */
function firstFit(mappings: readonly Mapping[], length: bigint, address: bigint): bigint {
  let alignment = 1n;
  while (alignment < length && (address & alignment) === 0n) alignment *= 2n;
  let iova = alignment > PAGE ? alignment : PAGE;
  while (mappings.some((each) => overlap(each, { iova, length }))) iova += alignment;
  return iova;
}

function map(ioas: Ioas, length: bigint, address: bigint, iova: bigint | undefined): bigint | string {
  const range = { memory: new BufferMemory(new Uint8Array(BYTES)), offset: Number(address) };
  return outcome(() => finished(ioas.map({ length, access: READ | WRITE, iova }, address, range)));
}

/** What is mapped, as pieces of the address space tell. */
function mapped(ioas: Ioas): Mapping[] {
  return ioas.space.mappings(Number.POSITIVE_INFINITY).map(({ iova, length }) => ({ iova, length }));
}

const pages = fc.integer({ min: 0, max: 24 }).map((n) => BigInt(n) * PAGE);
const loose = fc.oneof(pages, fc.integer({ min: 0, max: 24 * 4096 }).map(BigInt));
const step = fc.oneof(
  fc.record({ do: fc.constant('map' as const), iova: loose, length: loose, address: pages }),
  fc.record({ do: fc.constant('choose' as const), iova: pages, length: pages, address: pages }),
  fc.record({ do: fc.constant('unmap' as const), iova: loose, length: loose, address: pages }),
);

test('an IOAS is a list of mappings: map, choose and unmap do what a search of the list says', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const iommu = new Iommu();
      const ioas = new Ioas(iommu, new Quota(1000, 'mappings', 'ENOMEM'), tableQuota(), 'user');
      let model: Mapping[] = [];
      for (const { do: what, iova, length, address } of steps) {
        const range = { iova, length };
        if (what === 'unmap') {
          const hit = model.filter((each) => overlap(each, range));
          const whole = hit.every((each) => each.iova >= iova && each.iova + each.length <= iova + length);
          const wanted =
            length === 0n ? 'EINVAL' : whole ? hit.reduce((sum, each) => sum + each.length, 0n) : 'ENOENT';
          assert.equal(
            outcome(() => finished(ioas.space.unmap(iova, length))),
            wanted,
          );
          if (typeof wanted === 'bigint') model = model.filter((each) => !hit.includes(each));
        } else {
          const at = what === 'map' ? iova : firstFit(model, length === 0n ? PAGE : length, address);
          const taken = model.some((each) => overlap(each, { iova: at, length }));
          const wanted = length === 0n ? 'EINVAL' : taken ? 'EEXIST' : at;
          assert.equal(map(ioas, length, address, what === 'map' ? iova : undefined), wanted);
          if (typeof wanted === 'bigint') model.push({ iova: at, length });
        }
        model.sort((a, b) => (a.iova < b.iova ? -1 : 1));
        assert.deepEqual(mapped(ioas), model);
      }
      assert.equal(
        finished(ioas.space.unmapAll()),
        model.reduce((sum, each) => sum + each.length, 0n),
      );
      assert.equal(iommu.memories.size, 0, 'all memory is released, also that of what was refused');
      finished(ioas.destroy());
    }),
    { numRuns: 200 },
  );
});

test('what is not aligned to pages can be mapped until large pages are off, then it is EINVAL', () => {
  const ioas = new Ioas(new Iommu(), new Quota(1000, 'mappings', 'ENOMEM'), tableQuota(), 'user');
  assert.equal(map(ioas, 16n, 0n, 0x1004n), 0x1004n);
  assert.equal(
    outcome(() => finish(ioas.setLargePages(false))),
    'EADDRINUSE',
  );
  assert.equal(ioas.largePages, true);
  finished(ioas.space.unmapAll());
  finish(ioas.setLargePages(false));
  assert.equal(map(ioas, 16n, 0n, 0x1004n), 'EINVAL');
  assert.equal(map(ioas, PAGE, 0n, 0x1004n), 'EINVAL');
  assert.equal(map(ioas, PAGE, 4n, 0x1000n), 'EINVAL');
  assert.equal(map(ioas, PAGE, 0n, 0x1000n), 0x1000n);
  finished(ioas.destroy());
});

test('a mapping that is split inside a page keeps a domain of whole pages out, until all is unmapped', () => {
  const ioas = new Ioas(new Iommu(), new Quota(1000, 'mappings', 'ENOMEM'), tableQuota(), 'user');
  assert.equal(map(ioas, 2n * PAGE, 0n, 0x1000n), 0x1000n);
  finish(ioas.split(0x17ffn));
  assert.equal(
    outcome(() => finish(ioas.setLargePages(false))),
    'EADDRINUSE',
  );
  finish(ioas.unmapAll());
  finish(ioas.setLargePages(false));
});

test('a chosen IOVA may lie across allowed ranges, leaves no single byte and keeps the offset', () => {
  const ioas = new Ioas(new Iommu(), new Quota(1000, 'mappings', 'ENOMEM'), tableQuota(), 'user');
  ioas.space.iovas.allow([
    { start: 0x18000n, last: 0x27fffn },
    { start: 0x8000n, last: 0x17fffn },
  ]);
  assert.equal(map(ioas, 0xd000n, 0x1000n, undefined), 0x8000n);
  assert.equal(map(ioas, 0x7000n, 0x1000n, undefined), 0x15000n, 'from the first range into the second');
  finish(ioas.unmapAll());
  ioas.space.iovas.allow([{ start: 0x7fffn, last: 0x20000n }]);
  assert.equal(map(ioas, 0x1000n, 0n, 0x8000n), 0x8000n);
  assert.equal(map(ioas, 1n, 0n, undefined), 0x9000n, 'not the byte at 0x7fff');
  assert.equal(map(ioas, 1n, 0x800n, undefined), 0x9801n, 'not before the offset');
});
