/**
 * The rules of the model that take several real processes: who holds a descriptor has the right, and when the
 * last one is closed, all that it stood for is released. Each test is named by its rule, and ends with a
 * server that holds nothing.
 */
import assert from 'node:assert/strict';
import { Status } from '../devices/dsa/descriptor.js';
import { type Actor, eventually, rulesOn } from '../testkit/actor.js';
import { DsaContext, DsaFile, IOVA, PAGE, READ_WRITE_FIXED } from '../testkit/dsa-actor.js';

const { SUCCESS } = Status;

/**
 * Hands descriptor `fd` of one actor to another, which shares a socket pair with it, as SCM_RIGHTS does.
 * @returns its number there.
 */
async function send(fd: number, from: Actor, [near, far]: readonly string[], to: Actor): Promise<number> {
  await from.words(`sendfd ${near} ${fd}`);
  return to.do(`recvfd ${far}`);
}

const rule = await rulesOn({ devices: ['dsa,mdevs=2'] });

rule(
  'without authorization a device has access to no PASID, not even when both files are open in one process',
  async (actor) => {
    const context = await DsaContext.open(actor);
    const device = await DsaFile.open(actor);
    assert.equal(await device.reach(context.memory, context.pasid), 0);
    await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
    assert.equal(await device.reach(context.memory, context.pasid), SUCCESS);
  },
);

rule('dup shares the context: what one descriptor allocates, the other authorizes', async (actor) => {
  const context = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  const copy = await actor.do(`dup ${context.fd}`);
  await actor.words(`authorize ${device.fd} ${copy} ${context.pasid}`);
  assert.equal(await device.reach(context.memory, context.pasid), SUCCESS);
  assert.match(await actor.ask(`info ${copy}`), / pasids=1 .* mappings=1$/);
});

rule('fork shares the context and the device: the child may do all that its parent may', async (actor) => {
  const context = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  const child = await actor.fork();
  await child.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  assert.equal(await device.reach(context.memory, context.pasid), SUCCESS);
  const second = await child.do(`alloc ${context.fd} 0`);
  await actor.words(`free ${context.fd} ${second}`);
  await actor.refused(`free ${context.fd} ${context.pasid}`, 'EBUSY', context.fd);
  await child.words(`revoke ${device.fd} ${context.pasid}`);
  assert.equal(await device.reach(context.memory, context.pasid), 0);
});

rule(
  'SCM_RIGHTS hands over the context: a stranger with the descriptor may do everything, without it nothing',
  async (actor) => {
    const sockets = await actor.words('socketpair');
    const stranger = await actor.fork();
    const context = await DsaContext.open(actor);
    const device = await DsaFile.open(stranger);
    const own = await stranger.do('open /dev/ioasid');
    const refusal = [`authorize ${device.fd} ${own} ${context.pasid}`, 'ENOENT', device.fd] as const;
    await stranger.refused(...refusal, /PASID \d+ is not in this context/);
    const given = await send(context.fd, actor, sockets, stranger);
    const memory = await send(context.memory.fd, actor, sockets, stranger);
    await stranger.words(`authorize ${device.fd} ${given} ${context.pasid}`);
    // The device belongs to the stranger, the memory to the one who gave the descriptor away: one file in
    // two hands.
    await stranger.words(`pwrite ${memory} 0 ${'00'.repeat(32)}`);
    assert.equal(await device.reach(context.memory, context.pasid), SUCCESS);
    await stranger.words(`unmap ${given} ${context.pasid} ${IOVA} ${PAGE}`);
    assert.match(await actor.ask(`info ${context.fd}`), / mappings=0$/);
  },
);

rule(
  'a device file handed over by SCM_RIGHTS is the same open device: the receiver submits and revokes',
  async (actor) => {
    const sockets = await actor.words('socketpair');
    const stranger = await actor.fork();
    const context = await DsaContext.open(actor);
    const device = await DsaFile.open(actor);
    await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
    const theirs = device.heldBy(stranger, await send(device.fd, actor, sockets, stranger));
    await actor.words(`close ${device.fd}`);
    assert.equal(await theirs.reach(context.memory, context.pasid), SUCCESS);
    await stranger.refused('open /dev/vfio/devices/vfio0', 'EBUSY');
    await stranger.words(`revoke ${theirs.fd} ${context.pasid}`);
    assert.equal(await theirs.reach(context.memory, context.pasid), 0);
  },
);

rule(
  'a descriptor on its way in a socket keeps the context; it is released when nobody receives it',
  async (actor) => {
    const sockets = await actor.words('socketpair');
    const fd = await actor.do('open /dev/ioasid');
    const pasid = await actor.do(`alloc ${fd} 0`);
    await actor.words(`sendfd ${sockets[0]} ${fd}`);
    await actor.words(`close ${fd}`);
    assert.equal((await actor.run.state()).pasids.used, 1);
    const received = await actor.do(`recvfd ${sockets[1]}`);
    await actor.words(`free ${received} ${pasid}`);
    await actor.words(`sendfd ${sockets[0]} ${received}`);
    await actor.words(`close ${received}`);
    assert.equal((await actor.run.state()).contexts.length, 1);
    for (const socket of sockets) await actor.words(`close ${socket}`);
    await eventually(() => actor.run.isEmpty(), 'release of a descriptor that nobody has received');
  },
);

rule('one close of several changes nothing, in whichever process', async (actor) => {
  const context = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  const copies = [await actor.do(`dup ${context.fd}`), await actor.do(`dup ${device.fd}`)];
  const child = await actor.fork();
  for (const fd of [...copies, context.fd, device.fd]) await child.words(`close ${fd}`);
  for (const fd of copies) await actor.words(`close ${fd}`);
  await actor.exit(child);
  const { contexts, devices } = await actor.run.state();
  assert.deepEqual([contexts.length, devices[0]?.authorizations.length], [1, 1]);
  assert.equal(await device.reach(context.memory, context.pasid), SUCCESS);
  assert.match(await actor.ask(`info ${context.fd}`), / pasids=1 .* mappings=1$/);
});

rule('the last close releases everything', async (actor) => {
  const context = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  await actor.words(`map ${context.fd} ${context.pasid} ${(await actor.words(`mmap ${PAGE}`))[0]} ${PAGE} 3`);
  await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  const child = await actor.fork();
  for (const fd of [context.fd, device.fd]) await actor.words(`close ${fd}`);
  assert.equal((await actor.run.state()).mappings, 2);
  for (const fd of [context.fd, device.fd]) await child.words(`close ${fd}`);
  await eventually(() => actor.run.isEmpty(), 'release by the last close');
});

rule('after the last close returns, the device can be opened again at once', async (actor) => {
  assert.deepEqual(
    await actor.repeat(300, 'open /dev/vfio/devices/vfio0 ; close $'),
    new Map([['ok/ok', 300]]),
  );
});

rule('kill -9 of the owner releases everything', async (actor) => {
  const owner = await actor.fork();
  const context = await DsaContext.open(owner);
  const devices = [await DsaFile.open(owner, 'vfio0'), await DsaFile.open(owner, 'vfio1')];
  for (const { fd } of devices) await owner.words(`authorize ${fd} ${context.fd} ${context.pasid}`);
  await owner.words(`map ${context.fd} ${context.pasid} ${(await owner.words(`mmap ${PAGE}`))[0]} ${PAGE} 3`);
  await owner.repeat(100, `alloc ${context.fd} 0`);
  const { pasids, mappings, memories } = await actor.run.state();
  assert.deepEqual({ used: pasids.used, mappings, memories }, { used: 101, mappings: 2, memories: 2 });
  await actor.kill(owner);
  await eventually(() => actor.run.isEmpty(), 'release by the death of the owner');
});

rule('kill -9 of one of two holders changes nothing for the other', async (actor) => {
  const context = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  const child = await actor.fork();
  await child.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  await actor.kill(child);
  assert.equal(await device.reach(context.memory, context.pasid), SUCCESS);
});

rule(
  'the ioasid FD is closed first: the device keeps the context until its own last close',
  async (actor) => {
    const context = await DsaContext.open(actor);
    const device = await DsaFile.open(actor);
    await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
    await actor.words(`close ${context.fd}`);
    assert.equal(await device.reach(context.memory, context.pasid), SUCCESS);
    assert.equal((await actor.run.state()).contexts.length, 1);
    await actor.words(`close ${device.fd}`);
    await eventually(() => actor.run.isEmpty(), 'release by the close of the device');
  },
);

rule('the ioasid FD is closed first: the last revoke releases the context', async (actor) => {
  const context = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  await actor.words(`close ${context.fd}`);
  await eventually(async () => (await actor.run.state()).contexts.length === 1, 'the context stays');
  await actor.words(`revoke ${device.fd} ${context.pasid}`);
  await eventually(async () => (await actor.run.state()).contexts.length === 0, 'release by revoke');
  await actor.refused(`revoke ${device.fd} ${context.pasid}`, 'ENOENT', device.fd);
});

rule('the device FD is closed first: its authorizations end, and the context stays', async (actor) => {
  const context = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  await actor.words(`close ${device.fd}`);
  const again = await DsaFile.open(actor);
  assert.equal(await again.reach(context.memory, context.pasid), 0);
  await actor.words(`free ${context.fd} ${context.pasid}`);
  assert.equal((await actor.run.state()).contexts.length, 1);
});

rule('freeing a PASID is EBUSY while any device of any process is authorized for it', async (actor) => {
  const context = await DsaContext.open(actor);
  const [one, two] = [await DsaFile.open(actor, 'vfio0'), await DsaFile.open(await actor.fork(), 'vfio1')];
  await actor.words(`authorize ${one.fd} ${context.fd} ${context.pasid}`);
  await two.actor.words(`authorize ${two.fd} ${context.fd} ${context.pasid}`);
  await actor.refused(`free ${context.fd} ${context.pasid}`, 'EBUSY', context.fd, /authorized for 2 devices/);
  await actor.words(`revoke ${one.fd} ${context.pasid}`);
  await actor.refused(`free ${context.fd} ${context.pasid}`, 'EBUSY', context.fd, /authorized for 1 device$/);
  assert.equal(await two.reach(context.memory, context.pasid), SUCCESS, 'a refused free changes nothing');
  await two.actor.words(`close ${two.fd}`);
  await actor.words(`free ${context.fd} ${context.pasid}`);
});

rule(
  'a PASID of another context is worth nothing: ENOENT, as for a number that nobody has',
  async (actor) => {
    const victim = await DsaContext.open(actor);
    const thief = await actor.fork();
    await thief.words(`close ${victim.fd}`);
    const own = await thief.do('open /dev/ioasid');
    const device = await DsaFile.open(thief);
    for (const pasid of [victim.pasid, 0xfffff]) {
      await thief.refused(
        `authorize ${device.fd} ${own} ${pasid}`,
        'ENOENT',
        device.fd,
        /not in this context/,
      );
      await thief.refused(`unmap ${own} ${pasid} ${IOVA} ${PAGE}`, 'ENOENT', own, /not in this context/);
      await thief.refused(`free ${own} ${pasid}`, 'ENOENT', own, /not in this context/);
      const mapping = `mapfile ${own} ${pasid} ${victim.memory.fd} 0 ${PAGE} ${READ_WRITE_FIXED} ${IOVA}`;
      await thief.refused(mapping, 'ENOENT', own, /not in this context/);
    }
    assert.match(await actor.ask(`info ${victim.fd}`), / pasids=1 .* mappings=1$/);
  },
);

rule(
  'a device FD is no ioasid FD, nor is a file that was never ours, nor a number that is not open',
  async (actor) => {
    const context = await DsaContext.open(actor);
    const device = await DsaFile.open(actor);
    const other = await DsaFile.open(actor, 'vfio1');
    for (const fd of [device.fd, other.fd]) {
      await actor.refused(
        `authorize ${device.fd} ${fd} ${context.pasid}`,
        'EINVAL',
        device.fd,
        /is not \/dev\/ioasid: it is the file of vfio[01]$/,
      );
    }
    const strange = [
      'memfd 4096',
      'eventfd',
      'open /dev/null',
      'open /dev/zero',
      'open / r',
      'open /proc/self/mem',
      'socketpair',
    ];
    for (const command of strange) {
      await actor.refused(
        `authorize ${device.fd} ${await actor.do(command)} ${context.pasid}`,
        'EINVAL',
        device.fd,
        /not an open device file/,
      );
    }
    const closed = await actor.do(`dup ${context.fd}`);
    await actor.words(`close ${closed}`);
    for (const fd of [closed, -1, -100, 0x7fffffff]) {
      await actor.refused(
        `authorize ${device.fd} ${fd} ${context.pasid}`,
        'EBADF',
        device.fd,
        new RegExp(`${fd}`),
      );
    }
  },
);

rule(
  'an fd number means what it means to the thread that calls: not in the server, not in the parent',
  async (actor) => {
    const context = await DsaContext.open(actor);
    const device = await DsaFile.open(actor);
    const child = await actor.fork();
    await child.words(`close ${context.fd}`);
    await child.refused(`authorize ${device.fd} ${context.fd} ${context.pasid}`, 'EBADF', device.fd);
    assert.equal(await child.do('open /dev/ioasid'), context.fd);
    await child.refused(`authorize ${device.fd} ${context.fd} ${context.pasid}`, 'ENOENT', device.fd);
    await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  },
);

rule(
  'two mdevs of one function, in one VM, do not reach each other: each has its own list of PASIDs',
  async (actor) => {
    const [mine, theirs] = [await DsaContext.open(actor), await DsaContext.open(actor)];
    const [one, two] = [await DsaFile.open(actor, 'vfio0'), await DsaFile.open(actor, 'vfio1')];
    await actor.words(`authorize ${one.fd} ${mine.fd} ${mine.pasid} 1`);
    await actor.words(`authorize ${two.fd} ${theirs.fd} ${theirs.pasid} 1`);
    assert.equal(await one.reach(mine.memory, 1), SUCCESS);
    assert.equal(await two.reach(theirs.memory, 1), SUCCESS);
    for (const pasid of [mine.pasid, theirs.pasid].filter((each) => each !== 1))
      assert.equal(await one.reach(theirs.memory, pasid), 0);
    const { devices } = await actor.run.state();
    assert.equal(devices[0]?.rid, devices[1]?.rid);
  },
);
