/**
 * PASIDs of kind process: a device reaches what the process that allocated one may reach, where and as it may
 * then; and nothing of what that process becomes, nor of its children.
 */
import assert from 'node:assert/strict';
import { Status } from '../devices/dsa/descriptor.js';
import { rulesOn } from '../testkit/actor.js';
import { fillDescriptor, PAGE } from '../testkit/dsa-actor.js';
import { DATA, firstByte, PROCESS, RECORD, Shared } from '../testkit/process-actor.js';

const { SUCCESS } = Status;
/** A page fault at a write. */
const WRITE_FAULT = Status.PAGE_FAULT | Status.WRITE_FAULT;
const rule = await rulesOn({ devices: ['dsa,mdevs=1'] });

rule(
  'memory that was never mapped in the PASID is reached at its addresses, and that of nobody else',
  async (actor) => {
    const shared = await Shared.open(actor);
    await actor.words(`mmap ${PAGE} ${DATA}`);
    assert.equal((await shared.fill(DATA, 0x5a)).status, SUCCESS);
    assert.equal(await firstByte(shared.owner, DATA), '5a');
    assert.equal(await firstByte(actor, DATA), '00', 'the context is shared, its opener has other memory');
    const fresh = 0x2_0020_0000;
    assert.equal((await shared.fill(fresh, 1)).status, WRITE_FAULT);
    await shared.owner.words(`mmap ${PAGE} ${fresh}`);
    assert.equal((await shared.fill(fresh, 2)).status, SUCCESS, 'what was mapped later');
  },
);

rule('an address is reached with the rights that it has now: mprotect, munmap, mmap', async (actor) => {
  const shared = await Shared.open(actor);
  const { owner } = shared;
  assert.equal((await shared.fill(DATA, 1)).status, SUCCESS);
  for (const rights of ['r', 'none']) {
    await owner.words(`mprotect ${DATA} ${PAGE} ${rights}`);
    const { status, faultAddress } = await shared.fill(DATA + 8, 2);
    assert.deepEqual([status, Number(faultAddress)], [WRITE_FAULT, DATA + 8], rights);
  }
  await owner.words(`mprotect ${DATA} ${PAGE} rw`);
  assert.deepEqual(await owner.words(`peek ${DATA} 16`), [`${'01'.repeat(8)}${'00'.repeat(8)}`]);
  assert.equal((await shared.fill(DATA + 8, 3)).status, SUCCESS);
  await owner.words(`munmap ${DATA} ${PAGE}`);
  assert.equal((await shared.fill(DATA, 4)).status, WRITE_FAULT);
});

rule(
  'exec ends it with faults, and the new program is not reached; what it allocates is its own',
  async (actor) => {
    const shared = await Shared.open(actor);
    const { owner, pasid, ioasid, device } = shared;
    assert.equal((await shared.fill(DATA, 1)).status, SUCCESS);
    const pid = await owner.pid();
    await owner.words('exec');
    assert.equal(await owner.pid(), pid);
    for (const address of [RECORD, DATA]) await owner.words(`mmap ${PAGE} ${address}`);
    assert.equal((await shared.fill(DATA, 2)).status, 0, 'not even a completion record is written');
    assert.equal(await firstByte(owner, DATA), '00');
    const fresh = await owner.do(`alloc ${ioasid} ${PROCESS}`);
    await actor.words(`authorize ${device.fd} ${ioasid} ${fresh}`);
    await device.submit(fillDescriptor(fresh, DATA, 8, 3, RECORD));
    await device.settled();
    assert.equal(await firstByte(owner, DATA), '03');
    await actor.words(`revoke ${device.fd} ${pasid}`);
    await actor.words(`free ${ioasid} ${pasid}`);
  },
);

rule('exit ends it with faults, and the context and the device go on', async (actor) => {
  const shared = await Shared.open(actor);
  await actor.kill(shared.owner);
  for (const address of [RECORD, DATA]) await actor.words(`mmap ${PAGE} ${address}`);
  assert.equal((await shared.fill(DATA, 2, actor)).status, 0);
  assert.equal(await firstByte(actor, DATA), '00');
  const own = await actor.do(`alloc ${shared.ioasid} ${PROCESS}`);
  await actor.words(`authorize ${shared.device.fd} ${shared.ioasid} ${own}`);
  await shared.device.submit(fillDescriptor(own, DATA, 8, 3, RECORD));
  await shared.device.settled();
  assert.equal(await firstByte(actor, DATA), '03');
});

rule('a child of fork is another process, before and after its parent has written', async (actor) => {
  const shared = await Shared.open(actor);
  const child = await shared.owner.fork();
  assert.equal((await shared.fill(DATA, 0x77)).status, SUCCESS);
  assert.deepEqual([await firstByte(shared.owner, DATA), await firstByte(child, DATA)], ['77', '00']);
  await child.words(`poke ${DATA} 55`);
  assert.equal(await firstByte(shared.owner, DATA), '77');
});

rule('whoever holds the FD may authorize it, and nothing is mapped in it', async (actor) => {
  const shared = await Shared.open(actor);
  const { ioasid, pasid, owner, device } = shared;
  await actor.words(`revoke ${device.fd} ${pasid}`);
  await actor.words(`authorize ${device.fd} ${ioasid} ${pasid}`);
  await owner.refused(`map ${ioasid} ${pasid} ${DATA} ${PAGE} 3`, 'EINVAL', ioasid, /of kind process/);
  await owner.refused(`unmap ${ioasid} ${pasid} ${DATA} ${PAGE}`, 'EINVAL', ioasid, /of kind process/);
  await owner.refused(`alloc ${ioasid} 1 ${pasid}`, 'EINVAL', ioasid, /of kind process/);
  await owner.refused(`alloc ${ioasid} ${PROCESS} ${pasid}`, 'EINVAL', ioasid, /only a nested PASID/);
  await actor.refused(`free ${ioasid} ${pasid}`, 'EBUSY', ioasid, /authorized for 1 device/);
});

rule('a process that is not dumpable is EPERM, and gets no PASID', async (actor) => {
  const ioasid = await actor.do('open /dev/ioasid');
  const child = await actor.fork();
  const before = await actor.words(`info ${ioasid}`);
  await child.words('dumpable 0');
  assert.equal(await child.ask(`alloc ${ioasid} ${PROCESS}`), 'err EPERM');
  assert.deepEqual(await actor.words(`info ${ioasid}`), before);
  await child.words('dumpable 1');
  await child.words(`alloc ${ioasid} ${PROCESS}`);
});
