/** Where device files are meant to differ from real vfio-pci, each with its reason (docs/differences.md). */
import { type Difference, type Explained, result } from '../compare.js';
import { type Line, parseValue } from '../language.js';
import { fieldOf, fieldValue, layoutOf } from '../layouts.js';
import { DEVICE_FD, deviceOf } from './scene.js';

const DATA_NONE = 1;
const DATA_EVENTFD = 4;
const TRIGGER = 32;
const INTX = 0;
const MSI = 1;
const MSIX = 2;

const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;
/** The registers of a rocker that make it send a message: by request, and at the end of a DMA. */
const ROCKER_INTERRUPT = 0x20;
const ROCKER_DMA = 0x34;

export const explained: readonly Explained[] = [
  {
    name: 'messages before MSI-X is enabled',
    reason:
      'a device that has not been given MSI-X sends no message; models of QEMU that do not ask have it ' +
      'pending, and send it later',
    matches: (difference) =>
      deviceOf(difference.before)?.name === 'rocker' &&
      looksForInterrupt(difference.line) &&
      sentWithoutMsix(difference),
  },
  {
    name: 'INTx that is high when it is enabled',
    reason:
      'a level that is high is signalled; QEMU loses it, because its interrupt controller sees an edge, ' +
      'before somebody listens',
    matches: (difference) =>
      deviceOf(difference.before)?.name === 'edu' &&
      looksForInterrupt(difference.line) &&
      highWhenEnabled(difference),
  },
  {
    name: 'INTx of what there was under MSI',
    reason:
      'the line is high while there is a cause; QEMU lowers it when MSI is enabled, and the edu of QEMU ' +
      'does not drive it for causes that there have been since, whatever becomes of MSI',
    matches: (difference) =>
      deviceOf(difference.before)?.name === 'edu' &&
      looksForInterrupt(difference.line) &&
      underMsi(difference),
  },
];

function looksForInterrupt(line: Line): boolean {
  return line.verb === 'read' || line.verb === 'pread';
}

/** A rocker was told to interrupt while MSI-X was not enabled. */
function sentWithoutMsix(difference: Difference): boolean {
  const raised = [ROCKER_INTERRUPT, ROCKER_DMA].map((register) => raises(difference, register));
  return enabledAtEach(difference, MSIX).some(
    (enabled, n) => !enabled && raised.some((each) => each[n] !== undefined),
  );
}

/** INTx of an edu was enabled while there were causes. */
function highWhenEnabled(difference: Difference): boolean {
  const [causes, enabled] = [causesAtEach(difference), enabledAtEach(difference, INTX)];
  return causes.some((each, n) => each !== 0 && enabled[n] === true && enabled[n - 1] !== true);
}

/** MSI of an edu was enabled while there were causes. */
function underMsi(difference: Difference): boolean {
  const enabled = enabledAtEach(difference, MSI);
  return causesAtEach(difference).some((each, n) => each !== 0 && enabled[n] === true);
}

/** The causes that an edu has after each line. */
function causesAtEach(difference: Difference): number[] {
  const { before, answers } = difference;
  const raised = raises(difference, RAISE);
  let causes = 0;
  return before.map((line, n) => {
    causes = (causes | (raised[n] ?? 0)) & ~(written(line, ACKNOWLEDGE, answers[n]!) ?? 0);
    return causes;
  });
}

/** What each line has written to `register`, where it has: itself, or (anything) by an eventfd. */
function raises({ before, answers }: Difference, register: number): (number | undefined)[] {
  let rings = false;
  return before.map((line, n) => {
    rings ||= setsIoEventfd(line, register, answers[n]!);
    return rings && line.verb === 'write' ? -1 : written(line, register, answers[n]!);
  });
}

/** Is interrupt `index` enabled after each line? */
function enabledAtEach({ before, answers }: Difference, index: number): boolean[] {
  let enabled = false;
  return before.map((line, n) => {
    enabled = enabledAfter(index, line, answers[n]!, enabled);
    return enabled;
  });
}

/** Is interrupt `index` enabled after `line`, which was answered with `answer`? */
function enabledAfter(index: number, line: Line, answer: string, before: boolean): boolean {
  if (line.verb !== 'ioctl' || result(answer) !== '0') return before;
  const layout = layoutOf(line);
  if (layout?.name !== 'VFIO_DEVICE_SET_IRQS') return before;
  const [of = -1, flags = 0, count = 0] = ['index', 'flags', 'count'].map((name) => {
    const value = fieldValue(line, fieldOf(layout, name));
    return value?.kind === 'number' ? Number(value.value) : undefined;
  });
  if (of !== index) return before;
  if (flags === (DATA_NONE | TRIGGER) && count === 0) return false;
  return before || flags === (DATA_EVENTFD | TRIGGER);
}

/** Does an eventfd write to `register` from now on? */
function setsIoEventfd(line: Line, register: number, answer: string): boolean {
  if (line.verb !== 'ioctl' || result(answer) !== '0') return false;
  const layout = layoutOf(line);
  if (layout?.name !== 'VFIO_DEVICE_IOEVENTFD') return false;
  const offset = fieldValue(line, fieldOf(layout, 'offset'));
  return offset?.kind === 'number' && offset.value === BigInt(register);
}

/** The 32 bits that `line` has written to the register at `offset` of BAR 0, if it has written there. */
function written(line: Line, offset: number, answer: string): number | undefined {
  if ((line.verb !== 'pwrite' && line.verb !== 'pwritev') || !(Number(result(answer)) > 0)) return undefined;
  const [fd, place = '', ...parts] = line.words;
  const at = parseValue(place);
  if (fd !== DEVICE_FD || at.kind !== 'number') return undefined;
  const bytes = Buffer.from(parts.join('').replaceAll('-', ''), 'hex');
  const from = offset - Number(at.value);
  return from >= 0 && from + 4 <= bytes.length ? bytes.readInt32LE(from) : undefined;
}
