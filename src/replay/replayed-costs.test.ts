/** What accesses to memory have cost, as where a helper process makes them, decides where a step ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DsaQueue, encodeDescriptor } from '../client/dsa.js';
import { InProcess } from '../client/in-process.js';
import { Ioasid } from '../client/ioasid.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Opcode, Status } from '../devices/dsa/descriptor.js';
import type { MemoryRange } from '../file/open-file.js';
import type { Access } from '../iommu/access.js';
import type { Memory } from '../iommu/memory.js';
import { costs } from '../linux/access-cost.js';
import { Machine } from '../machine/machine.js';
import { assertReplays, RecordedRun } from '../testkit/replayed.js';
import type { Recorded } from '../trace/raw.js';

const PAGE = 4096;
const COPIES = 8;
const RECORD_BYTES = 32;
/** What an access costs: two are as many as a step may do. */
const COST = 600;
const KEPT_MS = 3;

class CostlyProcess extends InProcess {
  readonly #memory = costly(this.addressSpace());

  override memory(address: number, length: number, access: Access): MemoryRange {
    return { ...super.memory(address, length, access), memory: this.#memory };
  }

  override livesIn(memory: Memory): boolean {
    return memory === this.#memory;
  }
}

function costly(inner: Memory): Memory {
  const transfer =
    (kind: 'read' | 'write') => (offset: number, bytes: Uint8Array, at: number, length: number) => {
      costs(COST, KEPT_MS);
      return inner[kind](offset, bytes, at, length);
    };
  return {
    description: inner.description,
    ofProcess: inner.ofProcess,
    shortfall: undefined,
    read: transfer('read'),
    write: transfer('write'),
    reaches: (offset, length, access) => inner.reaches(offset, length, access),
    close: () => inner.close(),
  };
}

/** A process has a dsa do a batch of copies. */
async function recordedBatch(Process: typeof InProcess): Promise<RecordedRun> {
  const machine = await Machine.create({ devices: ['dsa,ready=1'] });
  const run = new RecordedRun(machine);
  const process = new Process(machine);
  const ioasid = Ioasid.open(process);
  const device = VfioDeviceFile.open(process, 'vfio0');
  const pasid = ioasid.alloc();
  const block = process.allocate(4 * PAGE);
  const iova = ioasid.map(pasid, block.address, block.bytes.length, { access: 'rw' });
  device.authorize(ioasid, pasid);
  device.enable();
  const places = { source: iova + 2 * PAGE, destination: iova + 3 * PAGE, size: PAGE };
  for (let i = 0; i < COPIES; i++) {
    const completion = iova + (i + 1) * RECORD_BYTES;
    const copy = encodeDescriptor({ ...places, opcode: Opcode.MEMMOVE, pasid, completion });
    block.bytes.set(copy, PAGE + i * copy.length);
  }
  const batch = { opcode: Opcode.BATCH, pasid, completion: iova, source: iova + PAGE, destination: 0 };
  new DsaQueue(device).submit({ ...batch, size: COPIES });
  assert.equal(block.bytes[0], Status.SUCCESS);
  process.exit();
  return run;
}

const stepsOf = (records: readonly Recorded[]) =>
  records.filter((record) => record.kind === 'input' && record.entry.kind === 'step').length;

test('a device ends its steps where it did, by what accesses to memory cost then', async () => {
  const [cheap, dear] = [await recordedBatch(InProcess), await recordedBatch(CostlyProcess)];
  const [few, many] = [cheap, dear].map((run) => stepsOf(run.records()));
  assert.ok(many! > few! + COPIES / 2, `${many} steps, and ${few}`);
  await assertReplays(dear);
});
