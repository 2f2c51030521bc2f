import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { Ioasid } from '../client/ioasid.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Machine } from '../machine/machine.js';
import type { Answer, Check, Item } from './model.js';
import { Subject } from './subject.js';

const PAGE = 4096;

async function scene() {
  const machine = await Machine.create({ devices: ['dsa,ready=1', 'dsa,mdevs=1'] });
  const subject = new Subject(machine);
  const program = new InProcess(machine);
  const ioasid = Ioasid.open(program);
  const pasid = ioasid.alloc();
  ioasid.mapFile(pasid, program.createMemfd(PAGE).fd, 0, PAGE, { iova: 16 * PAGE });
  const items = () => new Map(subject.pull().items!.map(([key, text]) => [key, JSON.parse(text) as Item]));
  const reach = (device: string, vpasid: number, iova: number) =>
    checks(subject.answer({ ask: 'reach', device, vpasid, iova: `0x${iova.toString(16)}`, write: true }));
  return { machine, subject, program, ioasid, pasid, items, reach };
}

function checks(answer: Answer): readonly Check[] {
  assert.ok('checks' in answer, JSON.stringify(answer));
  return answer.checks;
}

const failure = (chain: readonly Check[]) => chain.find(({ passed }) => passed === false)?.says;

test('an authorization is an item as long as it lasts, and leads to the address space', async () => {
  const { subject, program, ioasid, pasid, items } = await scene();
  const device = VfioDeviceFile.open(program, 'vfio0');
  device.authorize(ioasid, pasid);
  const found = items();
  const use = [...found.values()].find((item) => item.type === 'use');
  assert.deepEqual([use?.device, use?.pasid], ['device vfio0', pasid]);
  const space = found.get(use!.space!);
  assert.ok(space?.type === 'space' && found.get(space.context!)?.type === 'context');
  assert.deepEqual(
    space.mappings.map(({ iova, length }) => [iova, length]),
    [['0x10000', '0x1000']],
  );
  const { version } = subject;
  device.revoke(pasid);
  assert.ok(subject.version > version);
  assert.ok(![...items().values()].some((item) => item.type === 'use'));
});

test('the chain of a refused access ends with the reason that the fault of that access has', async () => {
  const { machine, program, ioasid, pasid, reach } = await scene();
  const device = VfioDeviceFile.open(program, 'vfio0');
  const { port } = machine.devices[0]!.driver.life;
  const reason = (iova: number) => {
    const chain = reach('vfio0', pasid, iova);
    const fault = (port as unknown as DmaPort).write(pasid, iova, new Uint8Array(8));
    assert.equal(failure(chain), fault?.reason);
    return fault?.reason;
  };
  assert.match(reason(16 * PAGE)!, /bus mastering is off/);
  device.enable();
  assert.match(reason(16 * PAGE)!, /is not authorized for PASID/);
  device.authorize(ioasid, pasid);
  assert.equal(reason(16 * PAGE), undefined);
  assert.match(reason(18 * PAGE)!, /iova 0x12000 of PASID \d+ is not mapped/);
  assert.match(failure(reach('vfio1', pasid, 0))!, /mdev vfio1 is not authorized for PASID/);
});

interface DmaPort {
  write(pasid: number, iova: number, source: Uint8Array): { readonly reason: string } | undefined;
}

test('what is no question is answered with a sentence, and changes nothing', async () => {
  const { subject } = await scene();
  const { version } = subject;
  const wrong = { ask: 'reach', device: 'vfio0', vpasid: 1, iova: 'x', write: true };
  for (const question of [
    undefined,
    7,
    {},
    { ask: 'authorize' },
    wrong,
    { ...wrong, iova: '0x1', vpasid: 2 ** 20 },
    { ...wrong, iova: '0x1', device: 'no' },
    { ask: 'walk', space: 'space 999', iova: '0x0' },
    { ask: 'mappings', space: 7, from: '0x0' },
  ])
    assert.ok('error' in subject.answer(question), JSON.stringify(question));
  assert.equal(subject.version, version);
});
