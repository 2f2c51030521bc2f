/** Files of work queues, by the answers of Linux's driver (drivers/dma/idxd/cdev.c of 7.3). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { Opcode, Status } from '../devices/dsa/descriptor.js';
import { READABLE } from '../file/open-file.js';
import { finish } from '../file/work.js';
import { DESCRIPTOR_BYTES, descriptor, idxdScene, statusIn, workspace } from '../testkit/idxd-scene.js';
import { refused } from '../testkit/refused.js';

const { SUCCESS } = Status;
const PAGE_FAULT_WRITE = Status.PAGE_FAULT + Status.WRITE_FAULT;
/** More than the device does while a write tries again. */
const LONG = 2 ** 25;
const PATH = 'dsa/wq0.0';

for (const mode of ['shared', 'dedicated']) {
  test(`a ${mode} work queue does what is written to it in the memory of who opened it`, async () => {
    const { process } = await idxdScene(`,ready=1,mode=${mode}`);
    const memory = workspace(process);
    memory.bytes.fill(7, 0x1000, 0x2000);
    const fd = process.open(PATH);
    const [completion, source] = [memory.address, memory.address + 0x1000];
    const move = {
      opcode: Opcode.MEMMOVE,
      completion,
      source,
      destination: memory.address + 0x2000,
      size: 0x1000,
    };
    assert.equal(process.write(fd, descriptor(move)), DESCRIPTOR_BYTES);
    assert.equal(statusIn(memory), SUCCESS);
    assert.ok(memory.bytes.subarray(0x2000, 0x3000).every((byte) => byte === 7));
  });
}

test("a PASID that is written into a descriptor means nothing: the opener's is used", async () => {
  const { machine, process } = await idxdScene(',ready=1');
  const [other, mine] = [new InProcess(machine), workspace(process)];
  const theirs = other.allocate(0x4000);
  assert.equal(theirs.address, mine.address);
  other.open(PATH);
  const fd = process.open(PATH);
  const [pasid] = [...machine.idxd[0]!.clients].map((client) => client.pasid);
  const fill = {
    opcode: Opcode.FILL,
    completion: mine.address,
    source: 0x55,
    destination: mine.address,
    size: 8,
  };
  process.write(fd, descriptor({ ...fill, destination: mine.address + 0x100, pasid: pasid! + 2 ** 31 }));
  assert.deepEqual([statusIn(mine), mine.bytes[0x100], theirs.bytes[0x100]], [SUCCESS, 0x55, 0]);
});

test('a hole ends a descriptor with a page fault that says its address', async () => {
  const { process } = await idxdScene(',ready=1');
  const memory = workspace(process);
  const fd = process.open(PATH);
  const hole = memory.address + 2 ** 30;
  process.write(
    fd,
    descriptor({ opcode: Opcode.FILL, completion: memory.address, destination: hole, size: 8 }),
  );
  assert.equal(statusIn(memory), PAGE_FAULT_WRITE);
  assert.equal(
    new DataView(memory.bytes.buffer, memory.bytes.byteOffset).getBigUint64(8, true),
    BigInt(hole),
  );
});

test('a shared work queue has many openers, a dedicated one is EBUSY until it is closed', async () => {
  const shared = await idxdScene(',ready=1');
  const open = [PATH, PATH, PATH].map((path) => shared.process.open(path));
  assert.equal(new Set([...shared.device.clients].map(({ pasid }) => pasid)).size, open.length);
  const { process, device } = await idxdScene(',ready=1,mode=dedicated');
  const fd = process.open(PATH);
  refused(() => process.open(PATH), 'EBUSY', /wq0\.0 is dedicated, and open/);
  process.close(fd);
  process.close(process.open(PATH));
  assert.deepEqual([device.wqs[0]!.clients, device.wqs[0]!.pasid], [0, 0]);
});

test('a program that was forked, or was given the file, is EPERM', async () => {
  const { process } = await idxdScene(',ready=1');
  const fd = process.open(PATH);
  const child = process.fork();
  const nothing = descriptor({ opcode: Opcode.NOOP, completion: 0 });
  refused(() => child.write(fd, nothing), 'EPERM', /is not the one that opened wq0\.0/);
  assert.equal(process.write(fd, nothing), DESCRIPTOR_BYTES);
});

test('what is no whole descriptor is not taken, and nothing is 0', async () => {
  const { process } = await idxdScene(',ready=1');
  const memory = workspace(process);
  const fd = process.open(PATH);
  const one = descriptor({ opcode: Opcode.NOOP, completion: memory.address });
  for (const length of [0, 1, 63]) assert.equal(process.write(fd, one.subarray(0, length)), 0);
  assert.equal(process.write(fd, Uint8Array.of(...one, ...one, 1)), 2 * DESCRIPTOR_BYTES);
});

test('an unaligned completion record is EINVAL; descriptors before it have been taken', async () => {
  const { process } = await idxdScene(',ready=1');
  const memory = workspace(process);
  const fd = process.open(PATH);
  const good = descriptor({ opcode: Opcode.NOOP, completion: memory.address });
  const bad = descriptor({ opcode: Opcode.NOOP, completion: memory.address + 16 });
  refused(() => process.write(fd, bad), 'EINVAL', /not aligned to 32/);
  assert.equal(process.write(fd, Uint8Array.of(...good, ...bad, ...good)), DESCRIPTOR_BYTES);
});

test('one page is mapped, by the opener', async () => {
  const { process, device } = await idxdScene(',ready=1');
  process.open(PATH);
  const [client] = device.clients;
  client!.checkMapping(process, 4096);
  refused(() => client!.checkMapping(process, 8192), 'EINVAL', /one page/);
  refused(() => client!.checkMapping(process.fork(), 4096), 'EPERM');
});

test('a full shared work queue takes no store, and a write is EAGAIN when no try finds room', async () => {
  const { machine, device } = await idxdScene(',ready=1,wqs=1,engines=1,size=1');
  const process = new InProcess(machine, { run: false });
  const memory = workspace(process, LONG + 0x1000);
  const fd = process.open(PATH);
  const [client] = device.clients;
  const [completion, destination] = [memory.address, memory.address + 0x1000];
  const long = descriptor({ opcode: Opcode.FILL, completion, destination, size: LONG });
  // The engine takes the first of them; then it has enough to do for all tries.
  assert.equal(client!.store(process, 64, long), true);
  assert.equal(client!.store(process, 0, long), true);
  assert.equal(client!.store(process, 0, long), false);
  refused(() => process.write(fd, long), 'EAGAIN', /wq0\.0 is full, and was 33 times/);
  while (machine.step());
  assert.equal(statusIn(memory), SUCCESS);
});

test('what is short is done when the write or the store of it returns', async () => {
  const { machine, device } = await idxdScene(',ready=1');
  const process = new InProcess(machine, { run: false });
  const memory = workspace(process);
  const fd = process.open(PATH);
  const [client] = device.clients;
  process.write(fd, descriptor({ opcode: Opcode.NOOP, completion: memory.address }));
  assert.equal(statusIn(memory), SUCCESS);
  client!.store(process, 0, descriptor({ opcode: Opcode.NOOP, completion: memory.address + 0x1000 }));
  assert.equal(memory.bytes[0x1000], SUCCESS);
});

test('one write gives a dedicated work queue more than it has room for, and nothing is lost', async () => {
  const { process } = await idxdScene(',ready=1,size=16,mode=dedicated');
  const memory = workspace(process);
  const fd = process.open(PATH);
  const many = Array.from({ length: 100 }, (_, n) =>
    descriptor({
      opcode: Opcode.FILL,
      completion: memory.address,
      source: 1,
      destination: memory.address + 64 + n,
      size: 1,
    }),
  );
  assert.equal(process.write(fd, Buffer.concat(many)), 100 * DESCRIPTOR_BYTES);
  assert.ok(memory.bytes.subarray(64, 164).every((byte) => byte === 1));
});

test('poll says nothing until the device has an error that no completion record tells', async () => {
  const { process, device } = await idxdScene(',ready=1');
  const fd = process.open(PATH);
  assert.equal(process.poll(fd, 0xffff), 0);
  const hole = workspace(process).address + 2 ** 30;
  process.write(fd, descriptor({ opcode: Opcode.NOOP, completion: hole }));
  assert.equal(process.poll(fd, 0xffff), READABLE);
  assert.equal(device.errors.seen, 1);
});

test('a work queue that is disabled has no file, and those that are open do nothing: ENXIO', async () => {
  const { process, device } = await idxdScene(',ready=1');
  const fd = process.open(PATH);
  const [wq] = device.wqs;
  finish(device.disableWq(wq!));
  refused(() => process.open(PATH), 'ENOENT');
  refused(
    () => process.write(fd, descriptor({ opcode: Opcode.NOOP, completion: 0 })),
    'ENXIO',
    /was disabled/,
  );
  process.close(fd);
  assert.equal(wq!.clients, 0);
});

test('a close leaves nothing: no context, no PASID, no authorization', async () => {
  const { machine, process, device } = await idxdScene(',ready=1');
  for (const path of [PATH, PATH, 'dsa/wq0.7']) process.open(path);
  assert.equal(device.life.authorized, 3);
  process.exit();
  const { contexts, pasids, memories, devices } = machine.snapshot();
  assert.deepEqual([contexts.length, pasids.used, memories, devices[0]!.authorizations.length], [0, 0, 0, 0]);
});
