/**
 * /sys/bus/dsa as Linux 7.3 has it: what is where, who may write what when, and with which errno it is
 * refused.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Attribute, Folder } from '../file/attributes.js';
import { finished } from '../file/work.js';
import { Machine } from '../machine/machine.js';
import { idxdScene } from '../testkit/idxd-scene.js';
import { refusal } from '../testkit/refused.js';
import { SysfsTree } from '../testkit/sysfs-tree.js';

const DEVICES = 'bus/dsa/devices';
const WQ = `${DEVICES}/wq0.0`;
const [IDXD, USER] = ['bus/dsa/drivers/idxd', 'bus/dsa/drivers/user'];

async function scene(options = '') {
  const { machine, process } = await idxdScene(options);
  return { machine, process, tree: new SysfsTree(machine.sysfs) };
}

/** Configures work queue 0, as accel-config does. */
function configure(tree: SysfsTree, mode: 'shared' | 'dedicated' = 'shared'): void {
  const values = {
    group_id: '0',
    mode,
    size: '16',
    priority: '10',
    type: 'user',
    name: 'app',
    driver_name: 'user',
  };
  for (const [name, value] of Object.entries(values))
    assert.equal(tree.write(`${WQ}/${name}`, value), undefined, name);
  if (mode === 'shared') assert.equal(tree.write(`${WQ}/threshold`, '8'), undefined);
  assert.equal(tree.write(`${DEVICES}/engine0.0/group_id`, '0\n'), undefined);
}

test('a device has the attributes of a DSA 1.0, its parts, and links to and from the bus', async () => {
  const { tree } = await scene();
  const dsa = `${DEVICES}/dsa0`;
  assert.equal(tree.read(`${dsa}/version`), '0x100');
  assert.equal(tree.read(`${dsa}/pasid_enabled`), '1');
  assert.equal(tree.read(`${dsa}/numa_node`), '0', 'programs look for a device in their own node');
  assert.equal(tree.read(`${dsa}/op_cap`).length, 71);
  assert.equal(tree.read(`${dsa}/errors`), Array(8).fill('00000000').join());
  for (const later of ['event_log_size', 'iaa_cap', 'dsacaps', 'driver'])
    assert.equal(tree.at(`${dsa}/${later}`), undefined, later);
  for (const later of ['ats_disable', 'prs_disable', 'driver', 'dsa!wq0.0'])
    assert.equal(tree.at(`${WQ}/${later}`), undefined, later);
  assert.equal(tree.read(`${dsa}/wq0.3/state`), 'disabled');
  assert.equal(tree.read(`${dsa}/subsystem/devices/engine0.1/group_id`), '-1');
  assert.equal(tree.read(`${DEVICES}/group0.0/engines`), '');
  assert.equal(refusal(() => tree.read(`${WQ}/cdev_minor`))?.code, 'ENXIO');
  assert.equal(tree.read(`${WQ}/occupancy`), '0');
});

test('a device and a work queue are bound and unbound by their names, and links say so', async () => {
  const { tree } = await scene();
  configure(tree);
  assert.equal(tree.write(`${USER}/bind`, 'wq0.0'), 'ENXIO');
  assert.equal(tree.write(`${IDXD}/bind`, 'dsa0\n'), undefined);
  assert.equal(tree.write(`${IDXD}/bind`, 'dsa0'), 'EBUSY');
  assert.equal(tree.write(`${USER}/bind`, 'wq0.0'), undefined);
  assert.equal(tree.read(`${IDXD}/dsa0/state`), 'enabled');
  assert.deepEqual(tree.names(USER), ['bind', 'unbind', 'wq0.0']);
  assert.ok(tree.at(`${WQ}/driver/unbind`) === tree.at(`${USER}/unbind`));
  assert.equal(tree.read(`${WQ}/cdev_minor`), '0');
  assert.equal(tree.read(`${DEVICES}/dsa!wq0.0/dev`), '510:0');
  assert.equal(tree.read(`${DEVICES}/group0.0/work_queues`), 'wq0.0');
  assert.equal(tree.write(`${USER}/unbind`, 'wq0.0'), undefined);
  assert.equal(tree.write(`${USER}/unbind`, 'wq0.0'), 'ENODEV');
  assert.equal(tree.at(`${DEVICES}/dsa!wq0.0`), undefined);
  assert.equal(tree.write(`${IDXD}/unbind`, 'dsa0'), undefined);
  assert.deepEqual(tree.names(IDXD), ['bind', 'unbind']);
});

test('a name that is no device of that driver is ENODEV', async () => {
  const { tree } = await scene(',ready=1');
  for (const driver of [IDXD, USER])
    for (const name of [
      '',
      '\n',
      'dsa1',
      'dsa0 ',
      'wq0.99',
      'engine0.0',
      'group0.0',
      'dsa!wq0.0',
      '../dsa0',
      'dsa0\0',
    ])
      for (const file of ['bind', 'unbind'])
        assert.equal(tree.write(`${driver}/${file}`, name), 'ENODEV', name);
  assert.equal(tree.write(`${IDXD}/unbind`, 'wq0.0'), 'ENODEV');
  assert.equal(tree.write(`${USER}/bind`, 'dsa0'), 'ENODEV');
});

test('what is enabled is not configured: EPERM, and ENXIO where Linux has that', async () => {
  const { tree } = await scene(',ready=1');
  for (const name of [
    'group_id',
    'mode',
    'size',
    'priority',
    'type',
    'name',
    'driver_name',
    'max_transfer_size',
    'op_config',
  ])
    assert.equal(tree.write(`${WQ}/${name}`, name === 'mode' ? 'shared' : '1'), 'EPERM', name);
  for (const name of ['block_on_fault', 'threshold'])
    assert.equal(tree.write(`${WQ}/${name}`, '1'), 'ENXIO', name);
  for (const name of ['read_buffers_reserved', 'tokens_allowed', 'traffic_class_a'])
    assert.equal(tree.write(`${DEVICES}/group0.0/${name}`, '1'), 'EPERM', name);
  assert.equal(tree.write(`${DEVICES}/dsa0/token_limit`, '1'), 'EPERM');
});

test('an open file of a work queue is there, with its process, until it is closed or disabled', async () => {
  const { tree, process } = await scene(',ready=1');
  const fd = process.open('dsa/wq0.0');
  assert.equal(tree.read(`${WQ}/clients`), '1');
  assert.equal(tree.read(`${DEVICES}/dsa0/clients`), '1');
  const file = tree.at(`${WQ}/dsa!wq0.0/file0`) as Folder;
  assert.equal(tree.read(`${DEVICES}/file0/pid`), String(process.pid));
  assert.ok(tree.at(`${WQ}/dsa!wq0.0/file0`) === file);
  const pid = file.entries().get('pid') as Attribute;
  process.close(fd);
  assert.equal(refusal(() => pid.show!())?.code, 'ENODEV');
  assert.equal(tree.at(`${DEVICES}/file0`), undefined);
  process.open('dsa/wq0.0');
  assert.equal(tree.write(`${USER}/unbind`, 'wq0.0'), undefined);
  assert.equal(tree.at(`${DEVICES}/file0`), undefined);
});

/** All attributes that are always there, by path. */
function attributesOf(tree: SysfsTree): [path: string, attribute: Attribute][] {
  const folders = [...tree.names(DEVICES).map((name) => `${DEVICES}/${name}`), IDXD, USER];
  return folders.flatMap((folder) =>
    tree.names(folder).flatMap((name): [string, Attribute][] => {
      const entry = tree.at(`${folder}/${name}`);
      return entry?.kind === 'attribute' ? [[`${folder}/${name}`, entry]] : [];
    }),
  );
}

/** What they show. That a command was refused is kept in `cmd_status`, as in Linux. */
function valuesOf(attributes: readonly (readonly [string, Attribute])[]): string[] {
  const shown = attributes.map(([path, { show }]) => {
    if (path.endsWith('/cmd_status')) return '';
    let value: string | undefined;
    const why = refusal(() => {
      value = show?.();
    });
    return `${path}=${why?.code ?? value}`;
  });
  return shown;
}

/** A work queue of a type that has no size gets one when its device is asked to take it, as in Linux. */
const isGiven = (shown: string) => /wq\d+\.\d+\/size=/.test(shown);

test('whatever is written is a value or is refused, and what is refused has changed nothing', async () => {
  const words = [
    '0',
    '1',
    '-1',
    '16',
    '0x10',
    'user',
    'shared',
    'dedicated',
    'on',
    'dsa0',
    'wq0.0',
    'engine0.0',
  ];
  const text = fc.oneof(
    fc.constantFrom(...words, ...words.map((word) => `${word}\n`)),
    fc.uint8Array({ maxLength: 80 }).map((raw) => Buffer.from(raw).toString('latin1').split('\0', 1)[0]!),
    fc.bigInt(-(2n ** 65n), 2n ** 65n).map(String),
  );
  for (const options of ['', ',ready=1', ',ready=1,mode=dedicated']) {
    const { tree } = await scene(options);
    const attributes = attributesOf(tree);
    const writable = attributes.filter(([, { store }]) => store !== undefined);
    assert.ok(writable.length > 50);
    let before = valuesOf(attributes);
    fc.assert(
      fc.property(fc.constantFrom(...writable), text, ([path, { store }], written) => {
        const why = refusal(() => finished(store!(written)));
        const after = valuesOf(attributes);
        const kept = (shown: string) => !(path.endsWith('/bind') && isGiven(shown));
        if (why !== undefined) assert.deepEqual(after.filter(kept), before.filter(kept));
        before = after;
      }),
      { numRuns: 500 },
    );
  }
});

test('where nobody may submit batches the device hides them, and a work queue does not', async () => {
  for (const [strict, hidden] of [
    [false, 0n],
    [true, 2n],
  ] as const) {
    const machine = await Machine.create({ devices: ['dsa,idxd=1'], strict });
    const tree = new SysfsTree(machine.sysfs);
    const operations = (path: string) => BigInt(`0x${tree.read(path).replaceAll(',', '')}`);
    assert.equal(operations(`${WQ}/op_config`), 0x1003f03ffn);
    assert.equal(operations(`${DEVICES}/dsa0/op_cap`), 0x1003f03ffn - hidden);
  }
});
