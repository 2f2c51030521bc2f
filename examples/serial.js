/**
 * A serial port: a 16550A with FIFOs (National Semiconductor PC16550D), as far as drivers of today use it.
 * Its line is a link: to another serial port, or to a socket.
 *
 *     serial.js,link=tty0        --link tty0=bytes:/tmp/tty0.sock
 *
 * BAR 0: the registers of the PC16550D, a byte each, 0 to 7. Baud rates are taken, and mean nothing. The line
 * is high, and vector 0 of MSI comes, while IER allows a cause that there is: 1 received data, 2 transmitter
 * empty, 8 modem status.
 *
 * @import { DeviceFactory, DeviceHost, DeviceModel, Link, PciDescription } from 'ioasid'
 */
import { optional, parseOptions } from 'ioasid/options';

const [DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH] = [0, 1, 2, 3, 4, 5, 6, 7];
const [RECEIVED, EMPTY, MODEM] = [1, 2, 8];
const [DLAB, LOOP] = [0x80, 0x10];
/** Bytes of a FIFO; IIR says that there are. */
const [FIFO, FIFOS] = [16, 0xc0];
/** @type {Uint8Array} */
const NOTHING = new Uint8Array(0);

export const summary = 'a 16550A serial port';
export const options = { link: optional('the line that it is on', 'NAME', 'itself', (name) => name) };

class Serial {
  /** @type {PciDescription} */
  pci = {
    vendorId: 0x1234,
    deviceId: 0x5e71,
    classCode: 0x070002,
    bars: [{ index: 0, size: 16 }],
    intx: true,
    msi: 1,
  };
  #registers = Buffer.alloc(8);
  #divisor = Buffer.alloc(2);
  /** What has come in, and how much of it the program has read. */
  #packet = NOTHING;
  #taken = 0;
  #empty = false;
  #raised = false;

  /** @param {DeviceHost} host @param {Link} line */
  constructor(host, line) {
    this.host = host;
    this.line = line;
    this.changes = line.changes;
  }

  /** @type {DeviceModel['readBar']} */
  readBar = (_bar, offset, target) => {
    for (let n = 0; n < target.length; n++) target[n] = offset + n > SCRATCH ? 0 : this.#read(offset + n);
    this.#update();
  };
  /** @type {DeviceModel['writeBar']} */
  writeBar = (_bar, offset, source) => {
    for (const [n, value] of source.entries()) if (offset + n <= SCRATCH) this.#write(offset + n, value);
    this.#update();
  };
  busy() {
    return (this.line.waiting && !this.#hasData) || (this.#cause !== 0) !== this.#raised;
  }
  step() {
    if (!this.#hasData) [this.#packet, this.#taken] = [this.line.receive() ?? NOTHING, 0];
    this.#update();
  }
  reset() {
    for (const bytes of [this.#registers, this.#divisor]) bytes.fill(0);
    this.line.clear();
    [this.#packet, this.#taken, this.#empty, this.#raised] = [NOTHING, 0, false, false];
    this.changes = this.line.changes;
  }

  get #hasData() {
    return this.#taken < this.#packet.length;
  }
  get #loops() {
    return (this.#registers.readUInt8(MCR) & LOOP) !== 0;
  }

  /** The cause with the highest priority that IER allows; 0: there is none. */
  get #cause() {
    const allowed = this.#registers.readUInt8(IER);
    if (allowed & RECEIVED && this.#hasData) return RECEIVED;
    if (allowed & EMPTY && this.#empty) return EMPTY;
    return allowed & MODEM && this.line.changes !== this.changes ? MODEM : 0;
  }

  #update() {
    const level = this.#cause !== 0;
    if (level === this.#raised) return;
    this.#raised = level;
    this.host.intx(level);
    if (level) this.host.interrupt(0);
  }

  /** @param {number} register @returns {number} */
  #read(register) {
    if (register < IIR && this.#registers.readUInt8(LCR) & DLAB) return this.#divisor.readUInt8(register);
    if (register === DATA) return this.#hasData ? (this.#packet[this.#taken++] ?? 0) : 0;
    if (register === LSR) return (this.#hasData ? 1 : 0) | 0x60;
    if (register === MSR) return this.#modemStatus();
    if (register !== IIR) return this.#registers.readUInt8(register);
    const cause = this.#cause;
    if (cause === EMPTY) this.#empty = false;
    return FIFOS | (cause === RECEIVED ? 4 : cause === EMPTY ? 2 : cause === MODEM ? 0 : 1);
  }

  /** CTS, DSR and DCD while somebody is there; in the loop what MCR says, as DSR, CTS, RI and DCD. */
  #modemStatus() {
    const changed = this.line.changes !== this.changes;
    this.changes = this.line.changes;
    const mcr = this.#registers.readUInt8(MCR);
    if (this.#loops) return ((mcr & 1) << 5) | ((mcr & 2) << 3) | ((mcr & 0xc) << 4);
    return (this.line.joined ? 0xb0 : 0) | (changed ? 0x0b : 0);
  }

  /** @param {number} register @param {number} value */
  #write(register, value) {
    if (register < IIR && this.#registers.readUInt8(LCR) & DLAB) this.#divisor[register] = value;
    else if (register === DATA) this.#transmit(value);
    else if (register === IIR) {
      if (value & 2) this.#packet = NOTHING;
    } else if (register !== LSR && register !== MSR) this.#registers[register] = value;
    if (register === IER && value & EMPTY) this.#empty = true;
  }

  /** @param {number} value */
  #transmit(value) {
    this.#empty = true;
    if (!this.#loops) return this.line.send(Uint8Array.of(value));
    const waiting = this.#packet.subarray(this.#taken);
    if (waiting.length >= FIFO)
      return this.host.note(`byte ${value} is lost: the receiver has ${FIFO} already`);
    [this.#packet, this.#taken] = [Uint8Array.of(...waiting, value), 0];
  }
}

/** @type {DeviceFactory} */
export default function createSerial(host, given) {
  return new Serial(host, host.link(parseOptions('serial', options, given).link));
}
