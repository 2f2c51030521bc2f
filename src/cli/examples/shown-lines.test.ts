/**
 * What documents show of a run, with its times, process ids and addresses: the commands are run, and each
 * line that is shown is one that is printed, in that order, but for those numbers. `...` is anything, and a
 * line that begins with two blanks goes on with the one before.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { InProcess } from '../../client/in-process.js';
import { Ioasid } from '../../client/ioasid.js';
import { VfioDeviceFile } from '../../client/vfio-device.js';
import { Refusal } from '../../linux/errno.js';
import { Machine } from '../../machine/machine.js';
import { listingWith, shownCommands } from '../../testkit/listings.js';
import { runner } from '../../testkit/processes.js';
import { Project } from '../../testkit/project.js';

/** Numbers that are others in each run. */
function constant(text: string): string {
  return text
    .replace(/^\d\d:\d\d:\d\d\.\d{3}/gm, 'TIME')
    .replace(/<\d+\.\d{6}>/g, '<SECONDS>')
    .replace(/\[\d+\]/g, '[PID]')
    .replace(/\b(PASID \d+ write) 0x[0-9a-f]+/g, '$1 ADDRESS')
    .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
    .replace(/\b\d+ calls, \d+ records/g, 'N calls, N records');
}

/** Each line of `shown` is in `printed`, one after the other. */
function assertShown(shown: string, printed: string): void {
  const lines = constant(printed).split('\n');
  let next = 0;
  for (const line of constant(shown.replace(/\n {2}/g, ' ').trimEnd()).split('\n')) {
    const parts = line.split('...').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    const wanted = new RegExp(`(^|: )${parts.join('.*')}$`);
    const found = lines.findIndex((each, n) => n >= next && wanted.test(each));
    assert.notEqual(found, -1, `${line}\nis not in\n${printed}`);
    next = found + 1;
  }
}

/** A script: starts `shown`, which goes on, prints what it says once `word` is in it, and ends it. */
function untilItSays(word: string, shown: string, argument = ''): string {
  const start = `: >said\n${shown.replace(/ +#.*/, '')} ${argument} >said 2>&1 &\n`;
  const wait = `until grep -q ${word} said || ! kill -0 $!; do sleep 0.05; done\n`;
  return `${start}${wait}cat said; kill $!\n`;
}

describe(`lines that documents show, as ${runner.name}`, { skip: runner.skip }, () => {
  let project: Project;
  before(() => {
    project = Project.ofCheckout();
    project.tool('tests', 'cat /dev/ioasid 2>/dev/null; true', project.folder);
  });

  it('docs/trace.md: a trace', () => {
    const [{ command, output } = assert.fail()] = shownCommands(listingWith('docs/trace.md', 'run --trace'));
    assertShown(output, project.run(command).stderr);
  });

  it('docs/trace.md: a write below /sys', () => {
    const [{ command, output } = assert.fail()] = shownCommands(listingWith('docs/trace.md', 'echo nothing'));
    assertShown(output, project.run(`${command} || true`).stderr);
  });

  it('docs/trace.md: an error with its reason', () => {
    const { text } = listingWith('docs/trace.md', 'cat[815]');
    assertShown(`TIME ${text}`, project.run('npx ioasid run --trace -- cat /dev/ioasid').stderr);
  });

  it('docs/recording.md: a recording, printed and replayed', () => {
    for (const { command, output } of shownCommands(listingWith('docs/recording.md', 'run --record'))) {
      const { status, stdout, stderr } = project.run(command);
      assert.deepEqual([status, stderr], [0, ''], command);
      assertShown(output, stdout);
    }
  });

  it('docs/inspect.md: where the page is', () => {
    const [first, ofRun, ofRecording] = shownCommands(listingWith('docs/inspect.md', 'run --inspect'));
    assertShown(first!.output, project.run(first!.command).stderr);
    // Other tests have servers as well, so the one is named.
    project.write('look.sh', untilItSays('http', ofRun!.command, '$PPID'));
    assertShown(first!.output, project.run('npx ioasid run -- sh look.sh').stdout);
    assert.equal(project.run('npx ioasid run --record run.ioasid -- ./tests').status, 0);
    project.write('look.sh', untilItSays('http', ofRecording!.command));
    assertShown(first!.output, project.run('sh look.sh').stdout);
  });
});

it('docs/abi.md: what IOASID_EXPLAIN says', async () => {
  const program = new InProcess(await Machine.create({ devices: ['edu', 'dsa,mdevs=2'] }));
  const ioasid = Ioasid.open(program);
  const pasids = Array.from({ length: 7 }, () => ioasid.alloc());
  for (const name of ['vfio1', 'vfio2']) VfioDeviceFile.open(program, name).authorize(ioasid, 7, 7);
  assert.equal(pasids.at(-1), 7);
  const refused = [
    () => ioasid.map(7, 0x10000, 4096, { iova: 0x1800 }),
    () => ioasid.free(12),
    () => ioasid.free(7),
  ].map((call) => {
    try {
      call();
    } catch (error) {
      assert.ok(error instanceof Refusal);
      return `${error.code.padEnd(7)} ${error.reason}\n`;
    }
    return assert.fail('it is granted');
  });
  assert.equal(refused.join(''), listingWith('docs/abi.md', 'EINVAL  iova 0x1800').text);
});
