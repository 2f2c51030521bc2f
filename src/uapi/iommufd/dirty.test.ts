/**
 * GET_DIRTY_BITMAP: which bits are set for which pages, and that millions of them cost no memory.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import fc from 'fast-check';
import type { Caller } from '../../file/open-file.js';
import { finish, finished } from '../../file/work.js';
import { Iommu, READ, WRITE } from '../../iommu/iommu.js';
import { BufferMemory } from '../../iommu/memory.js';
import { HWPT_DIRTY_TRACKING } from '../../iommufd/hwpt.js';
import { PagingHwpt } from '../../iommufd/paging-hwpt.js';
import { IommufdSubsystem } from '../../iommufd/subsystem.js';
import { UserData } from '../../iommufd/user-data.js';
import { dirtyPages } from '../../testkit/dirty-pages.js';
import { FakeHardware } from '../../testkit/fake-hardware.js';
import { iommufd } from './command.js';
import { DIRTY_BITMAP_NO_CLEAR, dirtyIoctls, GetDirtyBitmapStruct } from './dirty.js';

const PAGE = 4096;
const BLOCK = 2 ** 22;
/** Where the caller's bitmap is, behind the struct. */
const BITMAP = 4096;

/** An HWPT that records writes, on `blocks` blocks of memory: one and the same, which is as good as many. */
class Tracked {
  readonly hwpt: PagingHwpt;
  readonly #context = new IommufdSubsystem(new Iommu()).open(1);
  readonly #memory: Uint8Array;
  readonly #caller: Caller;

  constructor(blocks: number, bitmapBytes: number) {
    this.#memory = new Uint8Array(BITMAP + bitmapBytes);
    this.#caller = {
      readMemory: (at: number, target: Uint8Array) =>
        target.set(this.#memory.subarray(at, at + target.length)),
      writeMemory: (at: number, source: Uint8Array) => this.#memory.set(source, at),
    } as unknown as Caller;
    const ioas = this.#context.allocIoas();
    const hardware = Object.assign(new FakeHardware(), { dirtyTracking: true });
    const noData = new UserData(this.#caller, 0, 0, 0);
    this.hwpt = finish(PagingHwpt.create(ioas, hardware, HWPT_DIRTY_TRACKING, noData));
    this.#context.objects.add(this.hwpt);
    const memory = new BufferMemory(new Uint8Array(BLOCK));
    for (let n = 0; n < blocks; n++)
      finished(
        ioas.map({ length: BigInt(BLOCK), access: READ | WRITE, iova: BigInt(n * BLOCK) }, 0n, {
          memory,
          offset: 0,
        }),
      );
    this.hwpt.dirty!.enabled = true;
  }

  /** @returns the bitmap; all others of its bits were set before, and stay. */
  ask(iova: number, length: number, pageSize: number, flags = 0): Uint8Array {
    const { size } = GetDirtyBitmapStruct;
    const range = { iova, length, page_size: pageSize };
    this.#memory.set(
      GetDirtyBitmapStruct.encode({ size, hwpt_id: this.hwpt.id, flags, data: BITMAP, ...range }),
    );
    const { nr } = dirtyIoctls.IOMMU_HWPT_GET_DIRTY_BITMAP;
    const call = { cmd: 0x3b00 | nr, arg: 0, data: new Uint8Array(0) };
    const ioctl = iommufd('GET_DIRTY_BITMAP', dirtyIoctls.IOMMU_HWPT_GET_DIRTY_BITMAP);
    assert.equal(finished(ioctl(this.#context, this.#caller, call)), 0);
    return this.#memory.subarray(BITMAP);
  }
}

/** The last test, in a thread with little memory. @returns what was set in the bitmap, and what is left. */
function millions() {
  const bytes = 2 ** 35;
  const tracked = new Tracked(bytes / BLOCK, bytes / PAGE / 8);
  tracked.hwpt.dirty!.written(0, bytes);
  const bitmap = tracked.ask(0, bytes, PAGE);
  const clean = dirtyPages(tracked.hwpt.dirty!).length === 0;
  return { bytes: bitmap.length, full: bitmap.every((byte) => byte === 0xff), clean };
}

if (isMainThread) describe('GET_DIRTY_BITMAP', tests);
else parentPort!.postMessage(millions());

function tests() {
  test('whatever a bit is for, it is set when one of its pages, or its page, was written', () => {
    const pages = (2 * BLOCK) / PAGE;
    const pageSize = fc.constantFrom(1024, 2048, 4096, 8192, 2 ** 16, 2 ** 18);
    const written = fc.array(fc.nat({ max: pages - 1 }), { maxLength: 20 });
    fc.assert(
      fc.property(pageSize, written, fc.nat({ max: 15 }), fc.boolean(), (size, marks, start, keep) => {
        const tracked = new Tracked(2, 1024);
        const [iova, length] = [start * 2 ** 18, (32 - start) * 2 ** 18];
        for (const page of marks) tracked.hwpt.dirty!.written(page * PAGE, 1);
        const expected = new Uint8Array(1024);
        for (const page of marks)
          for (let at = page * PAGE; at < (page + 1) * PAGE && at >= iova; at += 1024) {
            const bit = Math.floor((at - iova) / size);
            expected[bit >>> 3]! |= 1 << (bit & 7);
          }
        const before = dirtyPages(tracked.hwpt.dirty!);
        assert.deepEqual(tracked.ask(iova, length, size, keep ? DIRTY_BITMAP_NO_CLEAR : 0), expected);
        const left = keep ? before : before.filter((page) => page * PAGE < iova);
        assert.deepEqual(dirtyPages(tracked.hwpt.dirty!), left);
      }),
    );
  });

  test('any number of dirty pages can be in one bit', () => {
    const bytes = 256 * BLOCK;
    const tracked = new Tracked(256, 8);
    tracked.hwpt.dirty!.written(0, bytes);
    assert.deepEqual([...tracked.ask(0, bytes, bytes)], [1, 0, 0, 0, 0, 0, 0, 0]);
  });

  test('eight million dirty pages are answered and cleaned in a heap of 32 MiB', async () => {
    const path = fileURLToPath(import.meta.url);
    const worker = new Worker(path, { resourceLimits: { maxOldGenerationSizeMb: 32 } });
    const [answer] = await once(worker, 'message');
    assert.deepEqual(answer, { bytes: 2 ** 20, full: true, clean: true });
  });
}
