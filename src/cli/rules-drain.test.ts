/**
 * Revoke and close drain: when they return, the device's work with the PASID has ended, its completion
 * records are written, and not a byte changes any more. Shown on a DMA that is running when the revocation
 * comes.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Status } from '../devices/dsa/descriptor.js';
import { eventually, rulesOn } from '../testkit/actor.js';
import {
  DsaContext,
  DsaFile,
  DsaMemory,
  fillDescriptor,
  IOVA,
  PAGE,
  READ_WRITE_FIXED,
} from '../testkit/dsa-actor.js';

const { SUCCESS } = Status;
/** Large enough that the last descriptor waits while the revocation is on its way. */
const SIZE = 32 << 20;
const DESCRIPTORS = 8;
/** Behind the data. */
const RECORDS = SIZE;
/** In so many attempts the device is once caught at work. */
const ATTEMPTS = 20;
const OVERWRITTEN = 0x10_0000;

const recordOf = (n: number) => RECORDS + 32 * n;

/**
 * Submits fills of all the data, one after the other, each with another byte. `vpasid`: by which number the
 * device knows the PASID.
 */
async function startWork(device: DsaFile, memory: DsaMemory, vpasid: number): Promise<void> {
  await memory.clear(RECORDS, 32 * DESCRIPTORS);
  for (let n = 0; n < DESCRIPTORS; n++)
    await device.submit(fillDescriptor(vpasid, IOVA, SIZE, n + 1, IOVA + recordOf(n)));
}

async function isAtWork(memory: DsaMemory): Promise<boolean> {
  return (await memory.record(recordOf(DESCRIPTORS - 1))).status === 0;
}

/** The record of each descriptor says that it was done. */
async function assertRecorded(memory: DsaMemory): Promise<void> {
  for (let n = 0; n < DESCRIPTORS; n++)
    assert.equal((await memory.record(recordOf(n))).status, SUCCESS, `descriptor ${n}`);
}

/** The data of `memory`, read by this process out of the actor's descriptor. */
async function dataOf({ actor, fd }: DsaMemory): Promise<Buffer> {
  const file = openSync(`/proc/${await actor.pid()}/fd/${fd}`, 'r');
  const bytes = Buffer.allocUnsafe(SIZE);
  assert.equal(readSync(file, bytes, 0, SIZE, 0), SIZE);
  closeSync(file);
  return bytes;
}

const isFilledWith = (bytes: Buffer, value: number) => bytes.equals(Buffer.alloc(bytes.length, value));

/**
 * Does `command`, and as the very next thing in the same process overwrites the first bytes of the data,
 * which are at `address`. All accepted work must have been done before, and nothing may happen after.
 */
async function assertDrains(memory: DsaMemory, command: string, address: string): Promise<void> {
  await memory.actor.repeat(1, `${command} ; fill ${address} ${OVERWRITTEN} 0xee`);
  await assertRecorded(memory);
  await sleep(20);
  const data = await dataOf(memory);
  assert.ok(isFilledWith(data.subarray(0, OVERWRITTEN), 0xee), 'a byte has changed afterwards');
  assert.ok(isFilledWith(data.subarray(OVERWRITTEN), DESCRIPTORS), 'the work was left half done');
}

/** Does `attempt` until the device was at work when it was told to stop. */
async function untilCaughtAtWork(attempt: () => Promise<boolean>): Promise<void> {
  for (let n = 0; n < ATTEMPTS; n++) if (await attempt()) return;
  assert.fail('the device was always done before it was told to stop');
}

const rule = await rulesOn({ devices: ['dsa,mdevs=2'] });

rule(
  'revoke drains: when it returns all accepted work is done and recorded, and no byte changes any more',
  async (actor) => {
    const { fd, pasid, memory } = await DsaContext.open(actor, SIZE + PAGE);
    const device = await DsaFile.open(actor);
    const [address] = await actor.words(`mmapfd ${memory.fd} 0 ${SIZE}`);
    await untilCaughtAtWork(async () => {
      await actor.words(`authorize ${device.fd} ${fd} ${pasid}`);
      await startWork(device, memory, pasid);
      const caught = await isAtWork(memory);
      await assertDrains(memory, `revoke ${device.fd} ${pasid}`, address!);
      return caught;
    });
    assert.equal(await device.reach(memory, pasid), 0);
  },
);

rule('the close of the device FD drains before it returns', async (actor) => {
  const { fd, pasid, memory } = await DsaContext.open(actor, SIZE + PAGE);
  const [address] = await actor.words(`mmapfd ${memory.fd} 0 ${SIZE}`);
  await untilCaughtAtWork(async () => {
    const device = await DsaFile.open(actor);
    await actor.words(`authorize ${device.fd} ${fd} ${pasid}`);
    await startWork(device, memory, pasid);
    const caught = await isAtWork(memory);
    await assertDrains(memory, `close ${device.fd}`, address!);
    return caught;
  });
  await actor.words(`free ${fd} ${pasid}`);
});

rule('revoke drains what is its own: the work of another mdev goes on, undisturbed', async (actor) => {
  const [mine, theirs] = [
    await DsaContext.open(actor, SIZE + PAGE),
    await DsaContext.open(actor, SIZE + PAGE),
  ];
  const [device, second] = [await DsaFile.open(actor), await DsaFile.open(actor, 'vfio1')];
  await actor.words(`authorize ${second.fd} ${theirs.fd} ${theirs.pasid} 1`);
  await untilCaughtAtWork(async () => {
    await actor.words(`authorize ${device.fd} ${mine.fd} ${mine.pasid} 1`);
    await startWork(second, theirs.memory, 1);
    await startWork(device, mine.memory, 1);
    const caught = await isAtWork(mine.memory);
    await actor.words(`revoke ${device.fd} ${mine.pasid}`);
    await assertRecorded(mine.memory);
    await second.settled();
    await assertRecorded(theirs.memory);
    assert.ok(isFilledWith(await dataOf(theirs.memory), DESCRIPTORS));
    return caught;
  });
});

rule(
  'unmap takes effect before it returns: a running DMA faults, and no byte of the memory changes any more',
  async (actor) => {
    const { fd, pasid, memory } = await DsaContext.open(actor, SIZE);
    const device = await DsaFile.open(actor);
    const [address] = await actor.words(`mmapfd ${memory.fd} 0 ${SIZE}`);
    const records = await DsaMemory.create(actor, PAGE);
    await actor.words(`mapfile ${fd} ${pasid} ${records.fd} 0 ${PAGE} ${READ_WRITE_FIXED} ${IOVA + RECORDS}`);
    await actor.words(`authorize ${device.fd} ${fd} ${pasid}`);
    await untilCaughtAtWork(async () => {
      await records.clear(0, 32 * DESCRIPTORS);
      for (let n = 0; n < DESCRIPTORS; n++)
        await device.submit(fillDescriptor(pasid, IOVA, SIZE, n + 1, IOVA + recordOf(n)));
      await actor.repeat(1, `unmap ${fd} ${pasid} ${IOVA} ${SIZE} ; fill ${address} ${SIZE} 0xee`);
      await device.settled();
      assert.ok(isFilledWith(await dataOf(memory), 0xee));
      await actor.words(`mapfile ${fd} ${pasid} ${memory.fd} 0 ${SIZE} ${READ_WRITE_FIXED} ${IOVA}`);
      const { status } = await records.record(32 * (DESCRIPTORS - 1));
      assert.notEqual(status, 0, 'a fault is recorded as well');
      return status !== SUCCESS;
    });
  },
);

rule(
  'kill -9 of the owner drains a running DMA: nothing is left, and the memory does not change any more',
  async (actor) => {
    const sockets = await actor.words('socketpair');
    await untilCaughtAtWork(async () => {
      const owner = await actor.fork();
      const { fd, pasid, memory } = await DsaContext.open(owner, SIZE + PAGE);
      const device = await DsaFile.open(owner);
      await owner.words(`authorize ${device.fd} ${fd} ${pasid}`);
      // The memory outlives its owner here, so that it can be looked at.
      await owner.words(`sendfd ${sockets[0]} ${memory.fd}`);
      const kept = memory.heldBy(actor, await actor.do(`recvfd ${sockets[1]}`));
      await startWork(device, memory, pasid);
      const caught = await isAtWork(memory);
      await actor.kill(owner);
      await assertRecorded(kept);
      await eventually(() => actor.run.isEmpty(), 'nothing is left of the owner');
      await kept.clear(0, 64);
      await sleep(20);
      assert.ok(isFilledWith(await kept.read(0, 64), 0));
      await actor.words(`close ${kept.fd}`);
      return caught;
    });
  },
);
