import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  emptyReadRule,
  ioctlRule,
  sharedMappingRule,
  signalActionRule,
  TRACERS_CALL,
  trapFilter,
} from './seccomp.js';

const X86_64 = { name: 'x64', arch: 0xc000003e, ioctl: 16, mmap: 9, read: 0, sigaction: 13 };
const AARCH64 = { name: 'arm64', arch: 0xc00000b7, ioctl: 29, mmap: 222, read: 63, sigaction: 134 };
const I386 = 0x40000003;
const X32_BIT = 0x40000000;
const ALLOW = 0x7fff0000;
const NOTIFY = 0x7fc00000;
const commands = [0x3b6a, 0x3b75, 0x3b8e, 0x3b93];

/** Runs a filter as the kernel would, on a struct seccomp_data. */
function run(
  filter: Uint8Array,
  call: {
    arch: number;
    nr: number;
    command?: number;
    above?: number;
    fd?: number;
    count?: number;
    flags?: number;
    fifth?: number;
  },
): number {
  const program = new DataView(filter.buffer, filter.byteOffset, filter.length);
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, call.nr, true);
  data.setUint32(4, call.arch, true);
  data.setUint32(16, call.fd ?? 3, true);
  data.setUint32(24, call.command ?? 0, true);
  data.setUint32(28, call.above ?? 0, true);
  data.setUint32(32, call.count ?? 1, true);
  data.setUint32(40, call.flags ?? 0, true);
  data.setUint32(48, call.fifth ?? 0, true);
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const k = program.getUint32(8 * at + 4, true);
    switch (program.getUint16(8 * at, true)) {
      case 0x20:
        accumulator = data.getUint32(k, true);
        break;
      case 0x54:
        accumulator &= k;
        break;
      case 0x15:
        at += program.getUint8(8 * at + (accumulator === k ? 2 : 3));
        break;
      case 0x06:
        return k;
      default:
        assert.fail(`instruction ${at} is unknown`);
    }
  }
}

for (const machine of [X86_64, AARCH64]) {
  const rules = [
    ioctlRule(commands, machine.name),
    sharedMappingRule(machine.name),
    signalActionRule([4, 7], machine.name),
    emptyReadRule(machine.name),
  ];
  const filter = trapFilter(machine.arch, rules);
  const call = { arch: machine.arch, nr: machine.ioctl };

  test(`on ${machine.name} the filter traps ioctl(2) with just the given 32-bit numbers`, () => {
    for (const command of commands) {
      assert.equal(run(filter, { ...call, command }), NOTIFY);
      assert.equal(run(filter, { ...call, command, above: 7, fd: 0x3b6a }), NOTIFY);
      for (const other of [command + 1, command - 1, command + 2 ** 30, command + 0x10000]) {
        assert.equal(run(filter, { ...call, command: other }), commands.includes(other) ? NOTIFY : ALLOW);
      }
    }
  });

  test(`on ${machine.name} the filter traps shared mappings of files, no others`, () => {
    const map = { arch: machine.arch, nr: machine.mmap };
    for (const flags of [0x01, 0x03, 0x8001, 0x40011]) assert.equal(run(filter, { ...map, flags }), NOTIFY);
    for (const flags of [0x00, 0x02, 0x21, 0x22, 0x32]) assert.equal(run(filter, { ...map, flags }), ALLOW);
  });

  test(`on ${machine.name} the filter traps actions of the given signals, but those of a tracer`, () => {
    const action = { arch: machine.arch, nr: machine.sigaction };
    for (let signal = 0; signal < 65; signal++) {
      assert.equal(run(filter, { ...action, fd: signal }), signal === 4 || signal === 7 ? NOTIFY : ALLOW);
      assert.equal(run(filter, { ...action, fd: signal, fifth: TRACERS_CALL }), ALLOW);
    }
  });

  test(`on ${machine.name} the filter traps reads of no bytes, no others`, () => {
    const read = { arch: machine.arch, nr: machine.read };
    assert.equal(run(filter, { ...read, count: 0 }), NOTIFY);
    for (const count of [1, 4096, 0xffffffff]) assert.equal(run(filter, { ...read, count }), ALLOW);
  });

  test(`on ${machine.name} every other call passes, of other architectures too`, () => {
    for (let nr = 0; nr < 600; nr++) {
      if (nr !== machine.ioctl) assert.equal(run(filter, { ...call, nr, command: commands[0]! }), ALLOW);
    }
    assert.equal(run(filter, { ...call, nr: machine.ioctl + X32_BIT, command: commands[0]! }), ALLOW);
    assert.equal(run(filter, { arch: I386, nr: 54, command: commands[0]! }), ALLOW);
    assert.equal(run(filter, { ...call, arch: I386, command: commands[0]! }), ALLOW);
  });
}
