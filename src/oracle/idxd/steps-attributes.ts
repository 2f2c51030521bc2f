/** Steps that read and write attributes, with values that are right, at a limit, or nonsense. */
import fc from 'fast-check';
import { plain } from '../language.js';
import { configureWq, DEVICE, type IdxdStep, type Kind, nameOf } from './scene.js';

/** What decimal numbers are written as, and what is none. */
const numbers = [
  ...['0', '1', '2', '3', '4', '7', '8', '10', '15', '16', '17', '24', '31', '32', '33', '64', '96', '97'],
  ...['1000', '1024', '2048', '4096', '2097152', '2147483648', '4294967295', '4294967296'],
  ...['9223372036854775807', '9223372036854775808', '18446744073709551615', '18446744073709551616'],
  ...[
    '-1',
    '-2',
    '+3',
    '-0',
    '03',
    '010',
    '0x8',
    '0X8',
    '0x',
    '3\n',
    '3\n\n',
    ' 3',
    '3 ',
    '3 4',
    '3abc',
    'abc',
  ],
  ...['-9223372036854775808', '99999999999999999999999', '1e3', '1.5', '\n', ' ', '\0', '3\0', '', '٣'],
];
/** Of work queues: near 2^64 Linux's sum of them wraps, and the device cannot be enabled from then on. */
const sizes = numbers.filter((text) => text !== `${2n ** 64n - 1n}`);

const words = {
  mode: [
    'shared',
    'dedicated',
    'shared\n',
    'dedicated\n',
    'SHARED',
    'shared ',
    'ded',
    'dedicatedx',
    '',
    '\n',
  ],
  type: ['none', 'kernel', 'user', 'user\n', 'mdev', 'User', 'kernel\n', 'usr', '', '\n', '\0'],
  flag: ['0', '1', 'y', 'N', 'on', 'off', 'true', 'f', 'o', 'x', '2', '', '\n', '-1', '1x', 'oN\n'],
  name: [
    ...[
      'app',
      'app\n',
      ' app ',
      'two words',
      '\tapp',
      '',
      '\n',
      ' ',
      'a',
      'dmaengine',
      'x\ny',
      'a\0b',
      '\xe4\xf6',
    ],
    ...[
      'n'.repeat(127),
      'n'.repeat(128),
      'n'.repeat(129),
      'n'.repeat(1023),
      'n'.repeat(1024),
      'n'.repeat(1025),
    ],
  ],
  driver: ['user', 'user\n', 'userx', 'dmaengine', 'us', '', '\n', 'idxd', 'd'.repeat(128), 'd'.repeat(129)],
  bitmap: [
    ...[
      '0',
      '1',
      '3ff',
      '00000001,003f03ff',
      '1,003f03ff',
      '1003f03ff',
      '400',
      'ffffffff',
      '8,0,0,0,0,0,0,0',
    ],
    ...['1,0,0,0,0,0,0,0,0', 'x', '', '\n', '3ff\n', ',', '1,,1', ' 1 ', '0x1', '1-3', '000000001', '-1'],
  ],
} as const;

const attributes = {
  device: {
    shown: [
      ...['version', 'max_groups', 'max_work_queues', 'max_work_queues_size', 'max_engines', 'numa_node'],
      ...['max_batch_size', 'max_transfer_size', 'op_cap', 'gen_cap', 'configurable', 'clients', 'state'],
      ...[
        'pasid_enabled',
        'errors',
        'max_tokens',
        'max_read_buffers',
        'event_log_size',
        'ims_size',
        'iaa_cap',
      ],
    ],
    stored: { token_limit: numbers, read_buffer_limit: numbers, cmd_status: numbers },
  },
  wq: {
    shown: ['clients', 'state', 'cdev_minor', 'occupancy', 'ats_disable', 'prs_disable'],
    stored: {
      group_id: numbers,
      size: sizes,
      priority: numbers,
      threshold: numbers,
      max_transfer_size: numbers,
      max_batch_size: numbers,
      enqcmds_retries: numbers,
      mode: words.mode,
      type: words.type,
      block_on_fault: words.flag,
      name: words.name,
      driver_name: words.driver,
      op_config: words.bitmap,
    },
  },
  engine: { shown: [], stored: { group_id: numbers } },
  group: {
    shown: ['work_queues', 'engines'],
    stored: {
      use_token_limit: numbers,
      use_read_buffer_limit: numbers,
      tokens_allowed: numbers,
      read_buffers_allowed: numbers,
      tokens_reserved: numbers,
      read_buffers_reserved: numbers,
      traffic_class_a: numbers,
      traffic_class_b: numbers,
      desc_progress_limit: numbers,
      batch_progress_limit: numbers,
    },
  },
} as const satisfies Record<
  Kind,
  { shown: readonly string[]; stored: Readonly<Record<string, readonly string[]>> }
>;

const which = fc.nat(3);
const kind = fc.constantFrom<Kind>('device', 'wq', 'wq', 'wq', 'engine', 'group');

/** Writes one, and reads what it is then. */
export const store: fc.Arbitrary<IdxdStep> = fc
  .tuple(kind, which, fc.nat(), fc.nat())
  .map(([of, n, a, v]) => {
    const stored = Object.entries(attributes[of].stored) as [string, readonly string[]][];
    const [attribute, values] = stored[a % stored.length]!;
    return (scene) => {
      scene.store(nameOf(of, n), attribute, values[v % values.length]!);
      scene.show(nameOf(of, n), attribute);
    };
  });

/** As above, of small numbers, which are right more often. */
export const storeSmall: fc.Arbitrary<IdxdStep> = fc
  .tuple(which, fc.constantFrom('group_id', 'size', 'priority', 'threshold'), fc.nat(9))
  .map(([n, attribute, value]) => (scene) => {
    scene.store(nameOf('wq', n), attribute, `${value}`);
    scene.show(nameOf('wq', n), attribute);
  });

export const show: fc.Arbitrary<IdxdStep> = fc.tuple(kind, which, fc.nat()).map(([of, n, a]) => {
  const all = [...attributes[of].shown, ...Object.keys(attributes[of].stored)];
  return (scene) => scene.show(nameOf(of, n), all[a % all.length]!);
});

/** Writes what can only be read. */
export const storeShown: fc.Arbitrary<IdxdStep> = fc.tuple(kind, which, fc.nat()).map(([of, n, a]) => {
  const { shown } = attributes[of];
  return (scene) => scene.store(nameOf(of, n), shown[a % shown.length] ?? 'uevent', '1');
});

/** What there is of an object, or on the bus. */
export const list: fc.Arbitrary<IdxdStep> = fc
  .tuple(kind, which, fc.nat(4))
  .map(([of, n, place]) => (scene) => {
    const bus = ['devices', 'drivers/idxd', 'drivers/user', 'drivers'][place];
    const path = of === 'device' ? DEVICE : `${DEVICE}/${nameOf(of, n)}`;
    scene.add(plain('list', bus === undefined ? `/sys/bus/dsa/devices/${path}` : `/sys/bus/dsa/${bus}`));
  });

export const configure: fc.Arbitrary<IdxdStep> = fc
  .tuple(which, fc.constantFrom('shared' as const, 'dedicated' as const))
  .map(
    ([n, mode]) =>
      (scene) =>
        configureWq(scene, nameOf('wq', n), mode),
  );

const names = [
  ...['dsa0', 'dsa0', 'dsa0', 'wq0.0', 'wq0.0', 'wq0.0', 'wq0.1', 'wq0.1', 'wq0.2', 'engine0.0', 'group0.0'],
  ...[
    'dsa1',
    'dsa0\n',
    'dsa0 ',
    '',
    '\n',
    'wq0.0\n',
    'dsa',
    'dsa!wq0.0',
    'file0',
    '../dsa0',
    'n'.repeat(300),
  ],
];

export const drive: fc.Arbitrary<IdxdStep> = fc
  .tuple(
    fc.constantFrom('idxd', 'user', 'user', 'user'),
    fc.constantFrom('bind' as const, 'bind' as const, 'unbind' as const),
    fc.constantFrom(...names),
  )
  .map(([driver, file, name]) => (scene) => {
    scene.drive(driver, file, name);
    scene.show(DEVICE, 'cmd_status');
  });

/** The right driver for what it can have. */
export const driveRight: fc.Arbitrary<IdxdStep> = fc
  .tuple(fc.constantFrom('dsa0', 'wq0.0', 'wq0.1'), fc.constantFrom('bind' as const, 'unbind' as const))
  .map(([name, file]) => (scene) => {
    scene.drive(name === DEVICE ? 'idxd' : 'user', file, name);
    scene.show(DEVICE, 'cmd_status');
    scene.show(name, 'state');
  });
