import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import type { DeviceHost } from '../devices/device-model.js';
import { Machine } from './machine.js';

test('a machine that is advanced does what is due, and all the work that this makes possible', async () => {
  const came: string[] = [];
  let left = 0;
  const create = (host: DeviceHost) => ({
    pci: { vendorId: 1, deviceId: 2, classCode: 0, bars: [{ index: 0 as const, size: 4096 }] },
    readBar: (_bar: number, _offset: number, target: Uint8Array) => void target.fill(0),
    writeBar: () => {
      host.after(50, () => {
        left = 2;
      });
    },
    reset: () => {
      left = 0;
    },
    busy: () => left > 0,
    step: () => void came.push(`${left--} at ${host.now()}`),
  });
  const machine = await Machine.create({ devices: [create] });
  const device = VfioDeviceFile.open(new InProcess(machine, { run: false }), 'vfio0');
  device.enable();
  device.write32(0, 0, 1);
  machine.advance(49);
  assert.deepEqual(came, []);
  machine.advance(10);
  assert.deepEqual(came, ['2 at 59', '1 at 59']);
});

test('in one step at most four devices work, in turn, so that programs wait for no more', async () => {
  const worked: number[] = [];
  const left = Array<number>(10).fill(3);
  const create = (n: number) => () => ({
    pci: { vendorId: 1, deviceId: 2, classCode: 0, bars: [{ index: 0 as const, size: 4096 }] },
    readBar: (_bar: number, _offset: number, target: Uint8Array) => void target.fill(0),
    writeBar: () => undefined,
    reset: () => undefined,
    busy: () => left[n]! > 0,
    step: () => {
      worked.push(n);
      left[n]!--;
    },
  });
  const machine = await Machine.create({ devices: [...left.keys()].map(create) });
  const steps: number[] = [];
  for (let before = 0; machine.step() || worked.length > before; before = worked.length)
    steps.push(worked.length - before);
  assert.ok(Math.max(...steps) <= 4, `${steps}`);
  assert.deepEqual(
    worked,
    Array.from({ length: 30 }, (_, turn) => turn % 10),
  );
});
