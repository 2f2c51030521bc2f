import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemoryRange, OpenFile } from '../file/open-file.js';
import { BufferMemory } from '../iommu/memory.js';
import { FakeCaller, MEMORY_AT } from '../testkit/fake-caller.js';
import { WatchedCaller } from './watched-caller.js';

/** A caller with all that callers may have, and a file of ours mapped at MEMORY_AT. */
class MappingCaller extends FakeCaller {
  readonly tid = 4712;
  readonly mapped: MemoryRange = { memory: new BufferMemory(new Uint8Array(8)), offset: 0 };
  override mapsFiles = true;

  descriptorOf(): number {
    return 3;
  }

  mappedFile(address: number): MemoryRange | undefined {
    return address === MEMORY_AT ? this.mapped : undefined;
  }
}

function watching(caller: FakeCaller): WatchedCaller {
  return new WatchedCaller(
    caller,
    MEMORY_AT,
    8,
    () => undefined,
    (file) => file,
  );
}

test('a call that is traced finds its caller as it is: a mapped BAR, the thread, the descriptor', () => {
  const caller = new MappingCaller();
  const watched = watching(caller);
  assert.equal(watched.mappedFile(MEMORY_AT, 8, 1), caller.mapped);
  assert.equal(watched.mappedFile(0, 8, 1), undefined);
  const { pid, tid, mapsFiles } = watched;
  assert.deepEqual({ pid, tid, mapsFiles }, { pid: 4711, tid: 4712, mapsFiles: true });
  assert.equal(watched.descriptorOf({} as OpenFile), 3);
});

test('what its caller lacks a call that is traced does not find either', () => {
  const watched = watching(new FakeCaller());
  assert.equal(watched.mappedFile(MEMORY_AT, 8, 1), undefined);
  assert.equal(watched.descriptorOf({} as OpenFile), undefined);
  assert.deepEqual([watched.tid, watched.mapsFiles], [0, false]);
});
