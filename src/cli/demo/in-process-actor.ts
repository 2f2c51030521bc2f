/**
 * An actor that is an object: a VM program over an in-process machine. Devices work a slice after every
 * command and while the program waits, so that work can be going on when the next command comes.
 */
import { InProcess } from '../../client/in-process.js';
import { refuse } from '../../linux/errno.js';
import type { Machine } from '../../machine/machine.js';
import type { Actor } from './actor.js';
import { VmProgram } from './vm-program.js';

export class InProcessActor implements Actor {
  readonly what = 'an object in this process';
  readonly #machine: Machine;
  readonly #process: InProcess;
  readonly #program: VmProgram;
  readonly #received: number[] = [];
  #peer: InProcessActor | undefined;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#process = new InProcess(machine, { run: false });
    const peer = { send: (fd: number) => this.#send(fd), receive: () => this.#receive() };
    this.#program = new VmProgram(this.#process, peer, () => machine.step());
  }

  /** Makes `a` and `b` each other's peers. */
  static connect(a: InProcessActor, b: InProcessActor): void {
    a.#peer = b;
    b.#peer = a;
  }

  async obey(line: string): Promise<string> {
    const answer = this.#program.obey(line);
    this.#machine.step();
    return answer;
  }

  async kill(): Promise<void> {
    this.#process.exit();
  }

  #send(fd: number): void {
    const peer = this.#peer ?? refuse('EPIPE', 'there is nobody to send a descriptor to');
    peer.#received.push(this.#process.send(fd, peer.#process));
  }

  #receive(): number {
    return this.#received.shift() ?? refuse('ENODATA', 'no descriptor has been sent');
  }
}
