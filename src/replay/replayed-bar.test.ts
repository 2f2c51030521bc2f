/** A mapped BAR as memory of another device (type1 alone takes one): done again by the models. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OpenFile } from '../file/open-file.js';
import { Machine } from '../machine/machine.js';
import { ContainerProgram } from '../testkit/container-program.js';
import { RecordedRun, replayOf } from '../testkit/replayed.js';
import { Ask } from '../trace/input.js';
import type { Recorded } from '../trace/raw.js';
import { getU32, setU32 } from '../uapi/struct.js';
import * as abi from '../uapi/vfio-container.js';
import { CannotReplay } from './cannot-replay.js';

const PAGE = 4096;
const CONFIG = 7 * 2 ** 40;
const [MEMORY_AT, BAR_AT] = [0x10_0000, 0x20_0000];
/** Where the program has mapped the BAR: it has nothing else there. */
const MAPPED = 0x6000_0000_0000;
/** Registers of edu. */
const [LIVENESS, SOURCE, TARGET, COUNT, COMMAND] = [0x04, 0x80, 0x88, 0x90, 0x98];
const BUFFER = 0x4_0000;

/** A device writes what it has read from memory into a register of another. @returns the records. */
async function recorded(): Promise<Recorded[]> {
  const machine = await Machine.create({ devices: ['edu', 'edu'] });
  const run = new RecordedRun(machine);
  const one = new ContainerProgram(machine);
  const files: OpenFile[] = [];
  const install = one.process.install.bind(one.process);
  const mapsBar = {
    install: (file: OpenFile) => {
      files.push(file);
      return install(file);
    },
    mappedFile: (address: number) =>
      address >= MAPPED + PAGE ? undefined : files[1]!.mapping!.memory(address - MAPPED),
  };
  Object.assign(one.process, mapsBar);
  const container = one.process.open('vfio/vfio');
  const groups = ['vfio/1', 'vfio/2'].map((path) => one.process.open(path));
  for (const group of groups) one.join(group, container);
  one.plain(container, abi.VFIO_SET_IOMMU, 3);
  const [first, second] = ['0000:6a:01.0', '0000:6a:02.0'].map((name, n) => one.device(groups[n]!, name));
  const { address, bytes } = one.process.allocate(PAGE);
  setU32(bytes, 0, 0x1234_5678);
  one.map(container, BigInt(MEMORY_AT), BigInt(PAGE), BigInt(address));
  one.map(container, BigInt(BAR_AT), BigInt(PAGE), BigInt(MAPPED));
  const set = (fd: number, at: number, value: number) => {
    const word = new Uint8Array(4);
    setU32(word, 0, value);
    one.process.pwrite(fd, at, word);
  };
  one.process.pwrite(first!, CONFIG + 4, Uint8Array.of(6, 0));
  one.process.pwrite(second!, CONFIG + 4, Uint8Array.of(6, 0));
  const copy = (from: number, to: number, command: number) => {
    for (const [at, value] of [
      [SOURCE, from],
      [TARGET, to],
      [COUNT, 4],
      [COMMAND, command],
    ] as const)
      set(first!, at, value);
    while (machine.step());
  };
  copy(MEMORY_AT, BUFFER, 1);
  copy(BUFFER, BAR_AT + LIVENESS, 3);
  const answer = new Uint8Array(4);
  one.process.pread(second!, LIVENESS, answer);
  assert.equal(getU32(answer, 0), ~0x1234_5678 >>> 0, 'the register has what was written to it');
  one.process.exit();
  return run.records();
}

test('a mapped BAR that a device is given as memory is the same when it is done again', async () => {
  const records = await recorded();
  assert.equal(await replayOf(records), undefined);

  // What the device has read from memory is what another one answers.
  const other = records.map((record): Recorded => {
    if (record.kind !== 'input' || record.entry.kind !== 'asked' || record.entry.what !== Ask.READ)
      return record;
    return { ...record, entry: { ...record.entry, bytes: Uint8Array.of(1, 2, 3, 4) } };
  });
  const difference = await replayOf(other);
  const { recorded: was, replayed: is } = difference!;
  assert.ok(was?.kind === 'call' && is?.kind === 'call');
  assert.deepEqual([...is.entry.transfer!.bytes], [0xfe, 0xfd, 0xfc, 0xfb]);
});

test('a recording that does not say which BAR it was ends with a sentence', async () => {
  const records = (await recorded()).map((record): Recorded => {
    if (record.kind !== 'input' || record.entry.kind !== 'asked') return record;
    const { entry } = record;
    return entry.what === Ask.MAPPED_FILE && entry.answer[0] === 1
      ? { ...record, entry: { ...entry, answer: [1] } }
      : record;
  });
  await assert.rejects(replayOf(records), (error) => {
    assert.ok(error instanceof CannotReplay, String(error));
    assert.match(error.message, /which mapped BAR a device was given as memory/);
    return true;
  });
});
