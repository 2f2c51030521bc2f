/** What is left when the caller's memory takes the question and not the answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Caller } from '../../file/open-file.js';
import { finished } from '../../file/work.js';
import { Iommu } from '../../iommu/iommu.js';
import { BufferMemory } from '../../iommu/memory.js';
import { MockDevice } from '../../iommu-test/mock-device.js';
import type { IommufdContext } from '../../iommufd/context.js';
import { IommufdSubsystem } from '../../iommufd/subsystem.js';
import { refuse } from '../../linux/errno.js';
import { refusal } from '../../testkit/refused.js';
import { type FieldTypes, type Given, type Struct, sized } from '../struct.js';
import { iommufd } from './command.js';
import { HwptAllocStruct, hwptIoctls } from './hwpt.js';
import { HwQueueAllocStruct, VdeviceAllocStruct, ViommuAllocStruct, viommuIoctls } from './viommu.js';

const STRUCT_AT = 0x1000;
const DATA_AT = 0x2000;
const APERTURE = 0x100_0000n;
const TYPE = 0xdeadbeef;
const ioctls = { ...hwptIoctls, ...viommuIoctls };

/** A caller who asks with a struct at STRUCT_AT; from `readOnly` on nothing can be written. */
class Asker {
  readonly context: IommufdContext;
  readonly #memory = new Uint8Array(0x3000);
  readOnly = this.#memory.length;

  constructor() {
    this.context = new IommufdSubsystem(new Iommu()).open(1);
  }

  /** @returns the errno, or `ok`. */
  ask<T extends FieldTypes>(name: keyof typeof ioctls, struct: Struct<T>, given: Given<T>): string {
    this.#memory.set(sized(struct, given), STRUCT_AT);
    const ioctl = ioctls[name];
    const call = { cmd: 0x3b00 | ioctl.nr, arg: STRUCT_AT, data: new Uint8Array(0) };
    const handle = iommufd(name, ioctl);
    return refusal(() => finished(handle(this.context, this.#caller(), call)))?.code ?? 'ok';
  }

  #caller(): Caller {
    return {
      readMemory: (address: number, target: Uint8Array) =>
        target.set(this.#memory.subarray(address, address + target.length)),
      writeMemory: (address: number, source: Uint8Array) => {
        if (address + source.length > this.readOnly) refuse('EFAULT', `address ${address} cannot be written`);
        this.#memory.set(source, address);
      },
    } as unknown as Caller;
  }
}

/** The context's objects, with who refers to them. */
function objects({ context }: Asker): string[] {
  return [...context.objects.values()].map(({ id, kind, users }) => `${id} ${kind} ${users}`);
}

test('an answer that cannot be stored leaves nothing behind, and the same can be asked again', () => {
  const asker = new Asker();
  const { context } = asker;
  const ioas = context.allocIoas();
  const { mock } = MockDevice.create(context.objects, 0, ioas.id);
  const memory = new BufferMemory(new Uint8Array(4096));
  finished(ioas.map({ length: 4096n, access: 3, iova: APERTURE }, 0n, { memory, offset: 0 }));
  const dev_id = mock.device.id;
  const data = { data_type: 0xdead, data_len: 8, data_uptr: BigInt(DATA_AT) };
  assert.equal(asker.ask('IOMMU_HWPT_ALLOC', HwptAllocStruct, { flags: 1, dev_id, pt_id: ioas.id }), 'ok');
  const parent = [...context.objects.values()].at(-1)!.id;

  const calls: (() => string)[] = [
    () => asker.ask('IOMMU_HWPT_ALLOC', HwptAllocStruct, { dev_id, pt_id: parent, ...data }),
    () => asker.ask('IOMMU_VIOMMU_ALLOC', ViommuAllocStruct, { type: TYPE, dev_id, hwpt_id: parent }),
    () =>
      asker.ask('IOMMU_VDEVICE_ALLOC', VdeviceAllocStruct, { viommu_id: parent + 2, dev_id, virt_id: 5n }),
    () => asker.ask('IOMMU_HWPT_ALLOC', HwptAllocStruct, { dev_id, pt_id: parent + 2, ...data }),
    () =>
      asker.ask('IOMMU_HW_QUEUE_ALLOC', HwQueueAllocStruct, {
        viommu_id: parent + 2,
        type: TYPE,
        nesting_parent_iova: APERTURE,
        length: 4096n,
      }),
  ];
  for (const [n, call] of calls.entries()) {
    const before = objects(asker);
    asker.readOnly = STRUCT_AT;
    assert.equal(call(), 'EFAULT', `call ${n}`);
    assert.deepEqual(objects(asker), before, `call ${n}`);
    asker.readOnly = 0x3000;
    assert.equal(call(), 'ok', `call ${n}`);
  }
  assert.deepEqual(objects(asker).slice(-6), [
    `${parent + 1} HWPT 0`,
    `${parent + 2} vIOMMU 3`,
    `${parent + 3} vDEVICE 0`,
    `${parent + 4} HWPT 0`,
    `${parent + 5} hardware queue 0`,
    `${parent + 6} access 1`,
  ]);
  finished(context.close());
  assert.equal([...context.objects.values()].length, 0);
});

test("a vIOMMU's data that cannot be answered leaves no vIOMMU behind", () => {
  const asker = new Asker();
  const { context } = asker;
  const ioas = context.allocIoas();
  const { mock } = MockDevice.create(context.objects, 0, ioas.id);
  const dev_id = mock.device.id;
  asker.ask('IOMMU_HWPT_ALLOC', HwptAllocStruct, { flags: 1, dev_id, pt_id: ioas.id });
  const hwpt_id = [...context.objects.values()].at(-1)!.id;
  const before = objects(asker);
  asker.readOnly = DATA_AT;
  assert.equal(
    asker.ask('IOMMU_VIOMMU_ALLOC', ViommuAllocStruct, {
      type: TYPE,
      dev_id,
      hwpt_id,
      data_len: 8,
      data_uptr: BigInt(DATA_AT),
    }),
    'EFAULT',
  );
  assert.deepEqual(objects(asker), before);
});
