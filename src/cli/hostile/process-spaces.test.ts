/**
 * Devices that work in the address space of a process (PASIDs of kind process) while it does with it what it
 * likes: protects, unmaps and maps anew, forks, executes another program, exits, is killed.
 *
 * What the rules say holds whenever they come: memory that was never writable does not change, nothing of
 * another program changes, whose process id and addresses are the same, and in the end nothing is left.
 * IOASID_SPACES is how many processes there are, IOASID_SEED makes it the same again.
 */
import assert from 'node:assert/strict';
import { Status } from '../../devices/dsa/descriptor.js';
import { answersMappedBytes } from '../../linux/process-areas.js';
import { type Actor, rulesOn } from '../../testkit/actor.js';
import { DsaFile, fillDescriptor, PAGE } from '../../testkit/dsa-actor.js';
import { DATA, firstByte, RECORD, Shared } from '../../testkit/process-actor.js';
import { Random } from '../../testkit/random.js';

const ROUNDS = Number(process.env.IOASID_SPACES ?? 25);
/** So many are one test, which has a limit of time. */
const TOGETHER = 50;
const seed = Number(process.env.IOASID_SEED ?? 1 + (Date.now() % 1_000_000));
const random = new Random(seed);
/** A page that is never writable once the device is there. */
const CANARY = 0x2_0040_0000;
const CANARY_BYTES = '33'.repeat(64);
const WRITE_FAULT = Status.PAGE_FAULT | Status.WRITE_FAULT;

/** What a process does with the page at DATA, again and again, in one system call each. */
const restless = [
  `mprotect ${DATA} ${PAGE} r`,
  `mprotect ${DATA} ${PAGE} none`,
  `mprotect ${DATA} ${PAGE} rw`,
  `munmap ${DATA} ${PAGE}`,
  `mmap ${PAGE} ${DATA}`,
];

async function withCanary(owner: Actor): Promise<void> {
  await owner.words(`mmap ${PAGE} ${CANARY}`);
  await owner.words(`fill ${CANARY} 64 51`);
  await owner.words(`mprotect ${CANARY} ${PAGE} r`);
}

/** The device works in memory that its owner changes meanwhile. */
async function together(actor: Actor, shared: Shared): Promise<void> {
  const { owner, device, pasid } = shared;
  const steps = Array.from({ length: 4 }, () => random.pick(restless));
  await actor.post(owner, `repeat ${5 + random.below(20)} ${steps.join(' ; ')}`);
  const [near, far] = [DATA, CANARY].map((address) =>
    device.submission(fillDescriptor(pasid, address, 64, 0x5a, RECORD)),
  );
  await actor.repeat(3 + random.below(8), `${near} ; ${far}`);
}

/** Its end, as far as it comes to one. @returns whether the actor still is one. */
const ends: readonly ((actor: Actor, owner: Actor) => Promise<boolean>)[] = [
  async (actor, owner) => {
    await actor.kill(owner);
    return false;
  },
  async (actor, owner) => {
    await actor.exit(owner);
    return false;
  },
  async (_actor, owner) => {
    await owner.words('exec');
    return true;
  },
];

/** Executed another program: what that has at the same addresses is left alone. */
async function checkStranger({ owner, device, pasid }: Shared): Promise<void> {
  for (const address of [RECORD, DATA]) await owner.words(`mmap ${PAGE} ${address}`);
  await device.submit(fillDescriptor(pasid, DATA, 64, 0x5a, RECORD));
  await device.settled();
  for (const address of [RECORD, DATA])
    assert.equal((await owner.words(`peek ${address} 64`))[0], '00'.repeat(64), `seed ${seed}`);
}

const rule = await rulesOn({ devices: ['dsa,mdevs=1'] });

/** One process, from its beginning to its end. */
async function round(actor: Actor, ioasid: number, device: DsaFile): Promise<void> {
  const shared = await Shared.by(actor, ioasid, device);
  const { owner, pasid } = shared;
  await withCanary(owner);
  await together(actor, shared);
  if (random.below(2) === 0) {
    await actor.collect(owner);
    await device.settled();
    assert.equal((await owner.words(`peek ${CANARY} 64`))[0], CANARY_BYTES, `seed ${seed}`);
    await owner.ask(`munmap ${DATA} ${PAGE}`);
    await owner.words(`mmap ${PAGE} ${DATA}`);
    const child = await owner.fork();
    await shared.fill(DATA, 0x44);
    assert.equal(await firstByte(child, DATA), '00', `seed ${seed}`);
    await owner.kill(child);
    if (await random.pick(ends)(actor, owner)) {
      await checkStranger(shared);
      await actor.kill(owner);
    }
  } else await actor.kill(owner);
  await actor.words(`revoke ${device.fd} ${pasid}`);
  await actor.words(`free ${ioasid} ${pasid}`);
}

for (let first = 1; first <= ROUNDS; first += TOGETHER) {
  const last = Math.min(first + TOGETHER - 1, ROUNDS);
  const name = 'change their memory, fork, execute and end while a device works in it';
  rule(`processes ${first} to ${last} ${name}`, async (actor) => {
    const ioasid = await actor.do('open /dev/ioasid');
    const device = await DsaFile.open(actor);
    for (let n = first; n <= last; n++) await round(actor, ioasid, device);
  });
}

rule(
  'memory behind a userfaultfd that nobody answers is a fault, and keeps nobody',
  async (actor) => {
    const shared = await Shared.open(actor);
    await shared.owner.words(`mmap ${PAGE} ${CANARY}`);
    await shared.owner.words(`uffd ${CANARY} ${PAGE}`);
    assert.equal((await shared.fill(CANARY, 1)).status, WRITE_FAULT);
    assert.equal((await shared.fill(DATA, 2)).status, Status.SUCCESS);
  },
  process.geteuid?.() === 0 ? false : 'needs root for a userfaultfd',
);

rule(
  'a BAR of ours that the process has mapped is no memory for devices',
  async (actor) => {
    const shared = await Shared.open(actor);
    const bar = await shared.owner.do(`mmapfd ${shared.device.fd} 0 ${PAGE} rw`);
    assert.equal((await shared.fill(bar, 1)).status, WRITE_FAULT);
  },
  process.arch === 'x64' && answersMappedBytes() ? false : 'BARs cannot be mapped here',
);
