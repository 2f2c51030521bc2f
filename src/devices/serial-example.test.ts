/** The serial port in examples/: driven as a driver of a 16550A does it, with the test at the other end. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { DeviceFactory } from './device-model.js';
import { FakeHost, settle } from './fake-host.js';
import { loadDevice } from './load.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const create = (await loadDevice('./examples/serial.js', root)).factory as DeviceFactory;
const [DATA, IER, IIR, LCR, MCR, LSR, MSR] = [0, 1, 2, 3, 4, 5, 6];

class Port {
  readonly host = new FakeHost();
  readonly model = this.host.make(create, { link: 'tty0' });

  get(register: number): number {
    const bytes = new Uint8Array(1);
    this.model.readBar(0, register, bytes);
    return bytes[0]!;
  }

  set(register: number, value: number): void {
    this.model.writeBar(0, register, Uint8Array.of(value));
  }

  /** All that has come in, as a driver that polls reads it. */
  read(): string {
    let text = '';
    for (settle(this.model); this.get(LSR) & 1; settle(this.model))
      text += String.fromCharCode(this.get(DATA));
    return text;
  }
}

describe('the serial port of examples/serial.js', () => {
  test('sends each byte that is written, and receives what comes, in order', () => {
    const port = new Port();
    const end = port.host.wires.end('tty0');
    for (const byte of Buffer.from('hi')) port.set(DATA, byte);
    assert.equal(Buffer.concat([end.receive()!, end.receive()!]).toString(), 'hi');
    end.send(Buffer.from('hello, '));
    end.send(Buffer.from('world'));
    assert.equal(port.read(), 'hello, world');
    assert.equal(port.get(LSR), 0x60);
  });

  test('interrupts for what IER allows, once, and lowers the line when the cause has gone', () => {
    const port = new Port();
    const end = port.host.wires.end('tty0');
    end.send(Buffer.from('ab'));
    settle(port.model);
    assert.equal(port.host.line, false);
    port.set(IER, 1);
    assert.deepEqual([port.host.line, port.host.interrupts, port.get(IIR)], [true, [0], 0xc4]);
    port.get(DATA);
    assert.equal(port.host.line, true);
    port.get(DATA);
    assert.deepEqual([port.host.line, port.host.interrupts, port.get(IIR)], [false, [0], 0xc1]);
    port.set(IER, 2);
    assert.deepEqual([port.host.line, port.get(IIR), port.host.line], [true, 0xc2, false]);
    port.set(DATA, 7);
    assert.deepEqual([port.host.line, port.host.interrupts.length], [true, 3]);
  });

  test('tells when somebody comes to the other end, and has baud rates behind DLAB', () => {
    const port = new Port();
    const outside = port.host.wires.outside('tty0');
    assert.equal(port.get(MSR), 0);
    port.set(IER, 8);
    outside.isUp = true;
    settle(port.model);
    assert.deepEqual([port.host.line, port.get(IIR), port.get(MSR), port.get(MSR)], [true, 0xc0, 0xbb, 0xb0]);
    assert.equal(port.host.line, false);
    port.set(LCR, 0x80);
    port.set(DATA, 12);
    assert.deepEqual([port.get(DATA), port.get(IER)], [12, 0]);
    port.set(LCR, 3);
    assert.equal(port.get(IER), 8);
  });

  test('hears itself in its loop, 16 bytes at most, and not after a reset', () => {
    const port = new Port();
    port.set(MCR, 0x1f);
    for (let n = 0; n < 17; n++) port.set(DATA, 65 + n);
    assert.deepEqual([port.host.notes.length, port.get(MSR)], [1, 0xf0]);
    port.host.reset(port.model);
    assert.deepEqual([port.read(), port.get(MCR)], ['', 0]);
    port.set(MCR, 0x10);
    for (const byte of Buffer.from('loop')) port.set(DATA, byte);
    assert.equal(port.read(), 'loop');
  });
});
