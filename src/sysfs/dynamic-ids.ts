/**
 * The ids that a PCI driver is told to take besides those that it knows (Linux: drivers/pci/pci-driver.c,
 * `new_id` and `remove_id`). A line is vendor, device, subvendor, subdevice, class, class mask and a number
 * of the driver's, in hexadecimal; what is missing is any.
 */
import type { PciDescription } from '../devices/device-model.js';
import { refuse } from '../linux/errno.js';

const ANY = 0xffffffff;
const LEAST_FIELDS = 2;
const ALL_FIELDS = 7;
const WORD = 32;
/** Linux has no limit; each is looked at in every match. */
const MOST_IDS = 1024;

interface Id {
  readonly vendor: number;
  readonly device: number;
  readonly subvendor: number;
  readonly subdevice: number;
  readonly classCode: number;
  readonly classMask: number;
}

export class DynamicIds {
  #ids: Id[] = [];

  /** Does it name `pci`? */
  matches(pci: PciDescription): boolean {
    return this.#ids.some((id) => covers(id, idOf(pci)));
  }

  /**
   * Takes one more. @throws Refusal EINVAL less than vendor and device, or a number that the driver has not;
   * EEXIST it is covered already; ENOMEM there are too many.
   */
  add(text: string): void {
    const { id, fields, driverData } = parse(text);
    if (fields < ALL_FIELDS && this.#ids.some((known) => covers(known, id)))
      refuse('EEXIST', `the ids "${text.trim()}" are known already`);
    if (driverData !== 0n) refuse('EINVAL', `driver data ${driverData} are of no entry of vfio-pci`);
    if (this.#ids.length >= MOST_IDS) refuse('ENOMEM', `vfio-pci has ${MOST_IDS} ids already`);
    this.#ids.push(id);
  }

  /** Forgets the oldest that `text` describes. @throws Refusal EINVAL as `add`; ENODEV there is none. */
  remove(text: string): void {
    const { id } = parse(text);
    const index = this.#ids.findIndex((known) => isDescribedBy(known, id));
    if (index < 0) refuse('ENODEV', `vfio-pci has not been given the ids "${text.trim()}"`);
    this.#ids.splice(index, 1);
  }
}

/** Linux's sscanf("%x %x ..."): it ends at the first that is no number. */
function parse(text: string): { id: Id; fields: number; driverData: bigint } {
  const numbers: bigint[] = [];
  const field = /\s*(?:0x)?([0-9a-f]+)/iy;
  for (let found = field.exec(text); found && numbers.length < ALL_FIELDS; found = field.exec(text))
    numbers.push(BigInt(`0x${found[1]}`));
  if (numbers.length < LEAST_FIELDS) refuse('EINVAL', `"${text.trim()}" is no vendor and device`);
  const at = (index: number, otherwise: number) =>
    index < numbers.length ? Number(BigInt.asUintN(WORD, numbers[index]!)) : otherwise;
  const id = {
    vendor: at(0, ANY),
    device: at(1, ANY),
    subvendor: at(2, ANY),
    subdevice: at(3, ANY),
    classCode: at(4, 0),
    classMask: at(5, 0),
  };
  return { id, fields: numbers.length, driverData: numbers[ALL_FIELDS - 1] ?? 0n };
}

function idOf(pci: PciDescription): Id {
  return {
    vendor: pci.vendorId,
    device: pci.deviceId,
    subvendor: pci.subsystemVendorId ?? pci.vendorId,
    subdevice: pci.subsystemId ?? pci.deviceId,
    classCode: pci.classCode,
    classMask: 0,
  };
}

const names = ['vendor', 'device', 'subvendor', 'subdevice'] as const;

/** Is a device of `id` one of those that `known` means? */
function covers(known: Id, id: Id): boolean {
  const isSame = names.every((name) => known[name] === ANY || known[name] === id[name]);
  return isSame && ((known.classCode ^ id.classCode) & known.classMask) === 0;
}

function isDescribedBy(known: Id, id: Id): boolean {
  const isSame =
    known.vendor === id.vendor &&
    known.device === id.device &&
    (id.subvendor === ANY || known.subvendor === id.subvendor) &&
    (id.subdevice === ANY || known.subdevice === id.subdevice);
  return isSame && ((known.classCode ^ id.classCode) & id.classMask) === 0;
}
