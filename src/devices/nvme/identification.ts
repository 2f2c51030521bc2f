/**
 * Identify (NVM Express Base 2.0 §5.17): which of the structures a command asks for, by its CNS.
 */
import { ALL_NAMESPACES, type Command } from './command.js';
import {
  type Identity,
  identifyCommandSets,
  identifyController,
  identifyControllers,
  identifyDescriptors,
  identifyIndependent,
  identifyList,
  identifyNamespace,
  identifyNothing,
} from './identify.js';
import type { Namespace } from './namespace.js';
import { Status } from './status.js';

const Cns = {
  NAMESPACE: 0x00,
  CONTROLLER: 0x01,
  ACTIVE_LIST: 0x02,
  DESCRIPTORS: 0x03,
  NAMESPACE_OF_SET: 0x05,
  CONTROLLER_OF_SET: 0x06,
  ACTIVE_LIST_OF_SET: 0x07,
  INDEPENDENT: 0x08,
  ALLOCATED_LIST: 0x10,
  ALLOCATED: 0x11,
  CONTROLLERS_OF_NAMESPACE: 0x12,
  CONTROLLERS: 0x13,
  ALLOCATED_LIST_OF_SET: 0x1a,
  ALLOCATED_OF_SET: 0x1b,
  COMMAND_SETS: 0x1c,
} as const;

/** Those that are about a namespace. */
const ofNamespace: Readonly<Record<number, (namespace: Namespace) => Uint8Array>> = {
  [Cns.NAMESPACE]: identifyNamespace,
  [Cns.ALLOCATED]: identifyNamespace,
  [Cns.DESCRIPTORS]: identifyDescriptors,
  [Cns.INDEPENDENT]: identifyIndependent,
  [Cns.NAMESPACE_OF_SET]: identifyNothing,
  [Cns.ALLOCATED_OF_SET]: identifyNothing,
};

/** Those that are lists of namespaces. */
const lists: readonly number[] = [
  Cns.ACTIVE_LIST,
  Cns.ALLOCATED_LIST,
  Cns.ACTIVE_LIST_OF_SET,
  Cns.ALLOCATED_LIST_OF_SET,
];

/** Those that name a command set, in bits 31:24 of dword 11; that of NVM is 0. */
const ofSet: readonly number[] = [
  Cns.NAMESPACE_OF_SET,
  Cns.CONTROLLER_OF_SET,
  Cns.ACTIVE_LIST_OF_SET,
  Cns.ALLOCATED_LIST_OF_SET,
  Cns.ALLOCATED_OF_SET,
];

export class Identification {
  readonly #identity: Identity;
  readonly #namespaces: readonly Namespace[];

  constructor(identity: Identity, namespaces: readonly Namespace[]) {
    this.#identity = identity;
    this.#namespaces = namespaces;
  }

  /** The structure that `command` asks for, or why there is none. */
  find(command: Command): Uint8Array | Status {
    const cns = command.dword(10) & 0xff;
    const first = command.dword(10) >>> 16;
    const { nsid } = command;
    if (ofSet.includes(cns) && command.dword(11) >>> 24 !== 0) return Status.INVALID_FIELD;
    const describe = ofNamespace[cns];
    const namespace = this.#namespaces[nsid - 1];
    if (describe !== undefined) return namespace ? describe(namespace) : Status.INVALID_NAMESPACE;
    if (lists.includes(cns))
      return nsid >= ALL_NAMESPACES - 1 ? Status.INVALID_NAMESPACE : identifyList(this.#namespaces, nsid);
    switch (cns) {
      case Cns.CONTROLLER:
        return identifyController(this.#identity, this.#namespaces.length);
      case Cns.CONTROLLER_OF_SET:
        return identifyNothing();
      case Cns.CONTROLLERS_OF_NAMESPACE:
        return namespace ? identifyControllers(first) : Status.INVALID_NAMESPACE;
      case Cns.CONTROLLERS:
        return identifyControllers(first);
      case Cns.COMMAND_SETS:
        return identifyCommandSets();
      default:
        return Status.INVALID_FIELD;
    }
  }
}
