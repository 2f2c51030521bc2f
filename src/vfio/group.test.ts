import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { finish } from '../file/work.js';
import { Machine } from '../machine/machine.js';
import { VfioGroup } from './group.js';
import { Type1Container } from './type1-container.js';

for (const name of ['close', 'unsetContainer'] as const)
  test(`a group that leaves its container by ${name} uses it until that is done`, async () => {
    const machine = await Machine.create({ devices: ['edu'] });
    const program = new InProcess(machine, { run: false });
    const open = (path: RegExp) => machine.nodes.find((node) => path.test(node.path))!.open(program).object;
    const group = open(/^vfio\/\d+$/);
    const container = open(/^vfio\/vfio$/);
    assert.ok(group instanceof VfioGroup && container instanceof Type1Container);
    group.setContainer(container);
    const work = group[name]();
    assert.ok(group.uses().includes(container), 'what is claimed for the work');
    finish(work);
    assert.ok(!group.uses().includes(container));
  });
