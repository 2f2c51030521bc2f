/** A tracer that lets a thread go which has been killed since it stopped, and goes on before its end. */
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Account } from '../linux/account.js';
import { check, libc } from '../linux/ffi.js';
import { Event, SIGTRAP, whyNotTraceable } from '../linux/ptrace.js';
import { spawn } from '../linux/spawn.js';
import { Change, type OnChange, WaitStates } from '../linux/wait-states.js';
import { until } from '../testkit/processes.js';
import type { MappedAccess } from './mapped-access.js';
import type { PageMappings } from './page-mappings.js';
import { ProcessCaller } from './process-caller.js';
import { Tracer } from './tracer.js';
import { Visits } from './visits.js';

const none = {} as unknown;

test('one that goes on when it is to be let go is watched until its end', {
  skip: whyNotTraceable() ?? false,
}, async (t) => {
  const states = new WaitStates();
  let told: OnChange | undefined;
  const watchStops = states.watchStops.bind(states);
  states.watchStops = (tid, onChange) => {
    told = onChange;
    watchStops(tid, onChange);
  };
  const bell = check(libc().eventfd(0, 0o2004000), 'an eventfd');
  t.after(() => libc().close(bell));
  const caller = new ProcessCaller({ named: () => undefined }, () => none as object);
  const [access, pages] = [none as MappedAccess, none as PageMappings];
  const tracer = new Tracer(bell, states, new Visits(states), access, pages, caller);
  // Those that nobody watches are nobody's here.
  states.unknown = undefined;

  const pid = spawn(['sleep', '1000'], process.env, new Map());
  let ended = false;
  states.watch(pid, (change) => (ended = change <= Change.DUMPED));
  await until(() => stateOf(pid) === 'S', 'it sleeps');
  tracer.trace(pid, Account.of('the test'));
  await until(() => stateOf(pid) === 't', 'it has stopped');
  await until(() => states.look() && stateOf(pid) === 'S', 'it goes on');
  // It becomes another program, and is not stopped any more when that is looked at.
  told!(Change.TRAPPED, SIGTRAP | (Event.EXEC << 8));
  process.kill(pid, 'SIGKILL');
  await until(() => states.look() && ended, 'it ends');
});

function stateOf(pid: number): string {
  return /^.*\) (\w) /s.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1] ?? '';
}
