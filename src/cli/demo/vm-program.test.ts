import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { InProcess } from '../../client/in-process.js';
import { Machine } from '../../machine/machine.js';
import { VmProgram } from './vm-program.js';

const source = readFileSync(fileURLToPath(new URL('../../../examples/vm.c', import.meta.url)), 'utf8');
/** The commands of examples/vm.c: name, and how many arguments. */
const commands = [...source.matchAll(/^\t\{"(\w+)", (\d), \w+\},/gm)].map(
  ([, name, count]) => [name!, Number(count)] as const,
);

async function makeProgram(): Promise<VmProgram> {
  const machine = await Machine.create({ devices: ['dsa,ready=1'] });
  const nobody = { send: () => {}, receive: () => 0 };
  return new VmProgram(new InProcess(machine), nobody, () => void machine.step());
}

test('it has the commands of examples/vm.c, with as many arguments, and no others', async () => {
  const program = await makeProgram();
  assert.ok(commands.length > 10, 'the table of examples/vm.c was not found');
  assert.deepEqual(program.commands, Object.fromEntries(commands));
});

test('the session in the first comment of examples/vm.c is answered as it says', async () => {
  const program = await makeProgram();
  const session = [...source.matchAll(/^ \* {5}(\w[\w ]*?) {3,}((?:ok|no) .*)$/gm)];
  assert.ok(session.length > 5, 'the session was not found');
  let address = '';
  for (const [, line, expected] of session) {
    const answer = program.obey(line!.replace('140025838592000', address));
    if (line!.startsWith('memory')) address = answer.split(' ')[1]!;
    else assert.equal(answer, expected, line);
  }
});

test('a command that there is not, or with too few arguments, is refused', async () => {
  const program = await makeProgram();
  for (const line of ['', 'nothing', 'alloc', 'alloc 3 4'])
    assert.match(program.obey(line), /^no 22 no command is called/);
});

test('memory that there is not is refused', async () => {
  const program = await makeProgram();
  assert.match(program.obey('count 4096 1 0'), /^no 14 /);
});
