/**
 * Every kind of event against docs/trace.schema.json. The checker knows the few keywords that are used there,
 * and fails at any other; a property that the schema does not name is wrong.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { finished } from '../file/work.js';
import { Refusal } from '../linux/errno.js';
import { Machine } from '../machine/machine.js';
import { DescriptorStruct } from '../uapi/idxd.js';
import { AllocStruct, AuthorizeStruct, ioctlNumber } from '../uapi/ioasid.js';
import { sized } from '../uapi/struct.js';
import { REGION_SPAN } from '../uapi/vfio-call.js';
import { CONFIG_REGION } from '../vfio/device.js';
import type { TraceEvent } from './event.js';
import { TraceReader } from './reader.js';
import { recordUnserved } from './traced-file.js';

interface Schema {
  readonly [keyword: string]: unknown;
}

const root = JSON.parse(
  readFileSync(new URL('../../docs/trace.schema.json', import.meta.url), 'utf8'),
) as Schema & { $defs: Record<string, Schema>; properties: Schema; required: readonly string[] };

const types: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: (value) => typeof value === 'string',
  number: (value) => typeof value === 'number',
  integer: Number.isInteger,
  boolean: (value) => typeof value === 'boolean',
  array: Array.isArray,
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
};

/** One keyword: is `value` as it says? */
const keywords: Readonly<Record<string, (rule: never, value: never, schema: Schema) => boolean>> = {
  type: (rule: string, value) => types[rule]!(value),
  const: (rule: unknown, value) => rule === value,
  enum: (rule: readonly unknown[], value) => rule.includes(value),
  pattern: (rule: string, value: string) => new RegExp(rule).test(value),
  items: (rule: Schema, value: readonly unknown[]) => value.every((each) => holds(rule, each)),
  anyOf: (rule: readonly Schema[], value) => rule.some((each) => holds(each, value)),
  $ref: (rule: string, value) => holds(root.$defs[rule.replace('#/$defs/', '')]!, value),
  required: (rule: readonly string[], value: object) => rule.every((name) => name in value),
  additionalProperties: (rule: Schema, value: object) =>
    Object.values(value).every((each) => holds(rule, each)),
  properties: (rule: Readonly<Record<string, Schema>>, value: object, { additionalProperties }) =>
    Object.entries(value).every(([name, each]) =>
      name in rule ? holds(rule[name]!, each) : additionalProperties !== undefined,
    ),
  description: () => true,
};

function holds(schema: Schema, value: unknown): boolean {
  return Object.entries(schema).every(([keyword, rule]) => {
    const check = keywords[keyword];
    assert.ok(check, `the checker does not know ${keyword}`);
    return check(rule as never, value as never, schema);
  });
}

const kinds = (root.oneOf as readonly { $ref: string }[]).map(({ $ref }) => $ref.replace('#/$defs/', ''));

/** The schemas of a kind that the event is valid under. */
function validKinds({ time, ...event }: TraceEvent): string[] {
  assert.deepEqual([Object.keys(root.properties), root.required], [['time'], ['kind', 'time']]);
  assert.equal(typeof time, 'number');
  return kinds.filter((kind) => holds(root.$defs[kind]!, event));
}

/** A machine in which all happens that there is an event for. */
async function all(): Promise<TraceEvent[]> {
  const machine = await Machine.create({ devices: ['dsa,ready=1'] });
  const reader = new TraceReader(machine.logs);
  const process = new InProcess(machine);
  const context = process.open('ioasid');
  const node = machine.nodes.find(({ path }) => path === 'vfio/devices/vfio0')!;
  const device = process.open(node.path);
  process.ioctl(context, ioctlNumber('IOASID_ALLOC'), sized(AllocStruct, {}));
  process.pwrite(device, CONFIG_REGION * REGION_SPAN + 4, Uint8Array.of(6, 0));
  process.pread(device, 0x90, new Uint8Array(4));
  const both = sized(AuthorizeStruct, { ioasid_fd: context, pasid: 1 });
  process.ioctl(device, ioctlNumber('IOASID_AUTHORIZE'), both);
  assert.throws(() => process.ioctl(context, 0x3b72, new Uint8Array(0)), Refusal);
  process.pwrite(device, 2 * REGION_SPAN, DescriptorStruct.encode({ pasid: 1, flags: (4 << 24) | 0xc }));
  const { life } = machine.devices[0]!.driver;
  life.happenings.record({ kind: 'interrupt', name: 'MSI-X', vector: 0 });
  life.happenings.record({ kind: 'interrupt', name: 'MSI-X', vector: 1, lost: 'it is masked' });
  life.happenings.record({ kind: 'page', pasid: 1, write: true, iova: 4096 });
  machine.iommu.transfers.record({ rid: life.rid, pasid: 1, write: true, iova: 4096, length: 8 });
  for (const call of ['access', 'mmap'] as const)
    recordUnserved(machine.trace, call, node.path, process, new Refusal(22, 'no'));
  process.close(device);
  const file = node.open(process);
  finished(file.write(process, CONFIG_REGION * REGION_SPAN + 4, Uint8Array.of(6, 0)));
  file.mapping!.read(0x90, new Uint8Array(4));
  const events = reader.read();
  for (let n = 0; n < 100; n++) life.work.calls.note(`note ${n}`);
  return [...events, ...reader.read()];
}

test('each kind of event and of call is valid under the schema of its kind, and no other', async () => {
  const events = await all();
  const [seen, calls] = [new Set<string>(), new Set<string>()];
  for (const event of events) {
    const valid = validKinds(JSON.parse(JSON.stringify(event)));
    assert.equal(valid.length, 1, JSON.stringify(event));
    seen.add(valid[0]!);
    if (event.kind === 'call') calls.add(event.call);
  }
  assert.deepEqual([...seen].sort(), [...kinds].sort());
  const { enum: names } = (root.$defs.call!.properties as Record<string, Schema>).call!;
  assert.deepEqual([...calls].sort(), [...(names as string[])].sort());
});

test('what is not an event is not valid', () => {
  const wrong = [
    { kind: 'note', device: 'vfio0', time: 1 },
    { kind: 'note', device: 'vfio0', sentence: 3, time: 1 },
    { kind: 'note', device: 'vfio0', sentence: 'odd', more: 1, time: 1 },
    { kind: 'dma', rid: 'x', pasid: 1, write: true, iova: '4096', length: 1, time: 1 },
    { kind: 'news', time: 1 },
  ];
  for (const each of wrong) assert.deepEqual(validKinds(each as unknown as TraceEvent), []);
});
