/**
 * Programs that map a BAR and do what few do: their signals are blocked, ignored, handled or waited for when
 * they access it, they are interrupted, stopped and killed in it, their accesses lie across edges or are
 * unmapped meanwhile, and they try to get away. What is checked is in tests/c/mapped, one task each.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { childrenOf, lives } from '../../testkit/descendants.js';
import { bin, guardsOf, ioasid, Running, runner, until } from '../../testkit/processes.js';

const tasks = {
  blocked: 'accesses leave blocked what is blocked, and the default action where it was',
  ignored: 'what is ignored stays ignored, in what the program becomes too',
  handlers: 'a handler that is set after the mapping is kept, with its flags and mask',
  once: 'a handler for once is called once',
  waiting: 'signals that wait go on to wait, for sigwait and signalfd',
  mixed: 'threads that block all signals and threads that block none access the device at the same time',
  forced: "a fault of the program's own kills a thread that blocks or ignores it",
  crossing: 'what lies in two pages of a BAR is accessed, what lies half outside of a mapping faults',
  unknown: 'an instruction that is not known is SIGBUS, and the program goes on',
  rewritten: 'code that a program writes itself is what it executes',
  replaced: 'what another process maps there, which shares the memory, is accessed from then on',
  unmapped: 'what is unmapped while others access it faults, or is accessed',
  mappers: 'threads map while others are being started',
  leader: 'the other threads access it when the first has ended',
  awaited: 'a child can be waited for as soon as its end is told',
  shot: 'a program that is killed in the middle of an access keeps nobody',
  own_faults: 'faults of the program are its own, with signal and address',
  submissions: 'a store of 64 bytes has the faults that it has where the processor makes it, and no others',
  timers: 'signals that come during accesses are delivered, and repeat none',
  stops: 'a stopped program stays stopped until it is continued',
  interrupting: 'handlers that interrupt accesses make some themselves, with the signal blocked or not',
  escapes: 'whatever a program does that maps a BAR, it and nobody else is traced, and all goes on',
} as const;

const skip = runner.skip || missingCompiler() || (process.arch === 'x64' ? false : `not on ${process.arch}`);

describe(`mapped BARs as ${runner.name}, by strange programs`, { skip }, () => {
  const device = fileURLToPath(new URL('../../testkit/register-file.js', import.meta.url));
  for (const [task, rule] of Object.entries(tasks)) {
    it(rule, () => {
      const command = ['run', '--device', device, '--', testProgram('mapped'), task];
      const { status, stdout, stderr } = ioasid(command, runner);
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: `${task} ok\n`, stderr: '' });
    });
  }

  it('when server and guard are killed, who accesses a BAR ends by SIGBUS', async () => {
    const devices = Array.from({ length: 10 }, () => ['--device', 'edu']).flat();
    const command = ['run', ...devices, '--', testProgram('restless'), '/dev', 'mapped'];
    const run = Running.ioasid(command, runner);
    await run.says('busy');
    const [launched] = childrenOf(run.pid);
    const [accessing] = childrenOf(launched!);
    await until(() => readFileSync(`/proc/${accessing}/maps`, 'latin1').includes('/dev/vfio/'), 'a mapping');
    for (const pid of [...guardsOf(launched!), run.pid]) process.kill(pid, 'SIGKILL');
    await until(() => !lives(accessing!), 'its end');
  });

  it('inside another run it is the same, for signals too', () => {
    const outer = ['run', '--device', 'edu', '--', process.execPath, bin];
    for (const task of ['changes', 'handlers']) {
      const inner = ['run', '--device', device, '--', testProgram('mapped'), task];
      const { status, stdout, stderr } = ioasid([...outer, ...inner], runner);
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: `${task} ok\n`, stderr: '' });
    }
  });
});
