import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InProcess } from '../client/in-process.js';
import { Ioasid } from '../client/ioasid.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Machine } from '../machine/machine.js';
import type { Answer, Check, Item, Pulled } from './model.js';
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

const change = fc.record({
  what: fc.constantFrom(
    'alloc' as const,
    'free' as const,
    'map' as const,
    'unmap' as const,
    'grant' as const,
  ),
  which: fc.nat(60),
  pieces: fc.nat(5),
});

/** A program whose PASIDs come and go, with mappings from the first page on. */
class Changing {
  readonly spaces = new Map<number, { count: number; granted: boolean }>();
  /** By PASID: how many mappings it has ever had. */
  readonly had = new Map<number, Set<number>>();
  readonly #ioasid: Ioasid;
  readonly #device: VfioDeviceFile;
  readonly #fd: number;

  constructor(machine: Machine) {
    const program = new InProcess(machine, { run: false });
    this.#fd = program.createMemfd(PAGE).fd;
    this.#ioasid = Ioasid.open(program);
    this.#device = VfioDeviceFile.open(program, 'vfio0');
    for (let n = 0; n < 8; n++) this.do('alloc', 0);
    for (let n = 0; n < 20; n++) this.do('map', 3 * n);
  }

  do(what: 'alloc' | 'free' | 'map' | 'unmap' | 'grant', which: number): void {
    const [pasid, space] = [...this.spaces].at(which % Math.max(1, this.spaces.size)) ?? [0];
    if (what === 'alloc' || space === undefined) {
      this.#alloc();
      return;
    }
    if (what === 'map') this.#ioasid.mapFile(pasid, this.#fd, 0, PAGE, { iova: ++space.count * PAGE });
    if (what === 'unmap' && space.count > 0) this.#ioasid.unmap(pasid, space.count-- * PAGE, PAGE);
    if (what === 'grant' && !space.granted) this.#device.authorize(this.#ioasid, pasid);
    else if (what === 'grant' || (what === 'free' && space.granted)) this.#device.revoke(pasid);
    if (what === 'grant') space.granted = !space.granted;
    if (what === 'free') {
      this.#ioasid.free(pasid);
      this.spaces.delete(pasid);
    }
    this.had.get(pasid)!.add(space.count);
  }

  #alloc(): void {
    const pasid = this.#ioasid.alloc();
    this.spaces.set(pasid, { count: 0, granted: false });
    this.had.set(pasid, (this.had.get(pasid) ?? new Set()).add(0));
  }
}

test('what changes during a look is told as it was at one moment, and right by the next', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 60 }), async (changes) => {
      const machine = await Machine.create({ devices: ['dsa'] });
      const subject = new Subject(machine);
      const program = new Changing(machine);
      const work = subject.look();
      let step = work.next();
      for (const { what, which, pieces } of changes) {
        for (let n = pieces; n > 0 && !step.done; n--) step = work.next();
        program.do(what, which);
      }
      while (!step.done) step = work.next();
      for (const item of itemsOf(step.value)) {
        if (item.type !== 'space') continue;
        const pasid = Number(/^PASID (\d+)$/.exec(item.name)?.[1]);
        assert.ok(
          program.had.get(pasid)?.has(item.count) || item.name.startsWith('address space'),
          item.name,
        );
        const iovas = Array.from({ length: item.count }, (_, n) => (n + 1) * PAGE);
        assert.deepEqual(
          item.mappings.map(({ iova }) => Number(iova)),
          iovas,
        );
      }
      const now = itemsOf({ ...step.value, ...subject.pull() });
      const spaces = now.filter((item) => item.type === 'space').map(({ name, count }) => [name, count]);
      const there = [...program.spaces].map(([pasid, { count }]) => [`PASID ${pasid}`, count]);
      assert.deepEqual(spaces.sort(), there.sort());
      const uses = now.filter((item) => item.type === 'use').map(({ pasid }) => pasid);
      const granted = [...program.spaces].filter(([, each]) => each.granted).map(([pasid]) => pasid);
      assert.deepEqual(uses.sort(), granted.sort());
    }),
    { numRuns: 100 },
  );
});

function itemsOf({ items }: Pulled): Item[] {
  return items!.map(([, text]) => JSON.parse(text) as Item);
}

test('a look is as many pieces as there are things, and events', async () => {
  const { machine, subject, ioasid } = await scene();
  for (let n = 0; n < 5_000; n++) ioasid.alloc();
  const calls = machine.logs.trace.calls.total;
  assert.ok(calls >= 5_000);
  let pieces = 0;
  const work = subject.look();
  while (!work.next().done) pieces++;
  assert.ok(pieces >= 5_000 + calls, `${pieces} pieces`);
});

test('of what happens between two looks the last is kept, and what is lost is counted', async () => {
  const { subject, ioasid } = await scene();
  subject.pull();
  for (let n = 0; n < 50_000; n++) {
    ioasid.info();
    if (n % 1000 === 0) subject.hear();
  }
  const { events } = subject.pull();
  const [lost] = events;
  assert.ok(lost?.kind === 'lost' && events.length < 40_000);
  assert.equal(lost.count + events.length - 1, 50_000);
  assert.equal(subject.pull().events.length, 0);
});
