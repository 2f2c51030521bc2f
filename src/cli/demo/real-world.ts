/**
 * The world under `ioasid run`: this process is its command, the VMs are children, and the server is this
 * process's parent.
 *
 * Alice is the C program when it can be compiled. A socket pair joins the VMs, one end each, as descriptor 3.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inWords } from '../../linux/errno.js';
import { socketPair } from '../../linux/fd-passing.js';
import { libc } from '../../linux/ffi.js';
import { ownScript } from '../../linux/own-package.js';
import type { MachineSnapshot } from '../../machine/snapshot.js';
import { ask } from '../control-socket.js';
import type { Actor } from './actor.js';
import { ChildActor } from './child-actor.js';
import { compileVm } from './compile.js';
import { Vm } from './vm.js';
import type { World } from './world.js';

const script = ownScript('cli/demo/vm-main.js');

function nodeActor(socket: number, why?: string): Actor {
  const what = why === undefined ? 'a Node program' : `a Node program (${why})`;
  return new ChildActor(what, [process.execPath, script], socket);
}

function cActor(socket: number): Actor {
  let folder: string;
  try {
    folder = mkdtempSync(join(tmpdir(), 'ioasid-demo-'));
  } catch (error) {
    return nodeActor(socket, `nothing can be written in ${tmpdir()}: ${inWords(error)}`);
  }
  try {
    const program = join(folder, 'vm');
    const why = compileVm(program);
    return why === undefined
      ? new ChildActor('a C program (examples/vm.c)', [program], socket)
      : nodeActor(socket, why);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function cast(): readonly [Actor, Actor] {
  const [left, right] = socketPair();
  try {
    return [cActor(left), nodeActor(right)];
  } finally {
    libc().close(left);
    libc().close(right);
  }
}

export function makeRealWorld(): World {
  const [alice, bob] = cast();
  const server = { uid: process.geteuid?.() ?? 0, pid: process.ppid };
  return {
    server: `process ${server.pid}: /dev/ioasid and /dev/vfio/devices, through FUSE`,
    alice: new Vm('alice', alice),
    bob: new Vm('bob', bob),
    state: async () => {
      const answer = await ask(server);
      if (answer === undefined)
        throw new Error(`the server, process ${server.pid}, does not say what it holds`);
      return answer.state as MachineSnapshot;
    },
    close: async () => {
      await Promise.all([alice.kill(), bob.kill()]);
    },
  };
}
