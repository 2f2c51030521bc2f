/**
 * The miniature VM as a process: commands on standard input, answers on standard output, another VM behind
 * descriptor 3.
 */
import { createInterface } from 'node:readline';
import { LinuxTransport } from '../../client/linux-transport.js';
import { receiveDescriptor, sendDescriptor } from '../../linux/fd-passing.js';
import { VmProgram } from './vm-program.js';

const SOCKET = 3;
const PAUSE_MS = 0.1;

const nobody = new Int32Array(new SharedArrayBuffer(4));
const peer = { send: (fd: number) => sendDescriptor(SOCKET, fd), receive: () => receiveDescriptor(SOCKET) };
const program = new VmProgram(new LinuxTransport(), peer, () => void Atomics.wait(nobody, 0, 0, PAUSE_MS));

createInterface(process.stdin).on('line', (line) => process.stdout.write(`${program.obey(line)}\n`));
