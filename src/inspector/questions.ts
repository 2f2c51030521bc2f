/**
 * Questions about a machine, answered from what is checked when a device does DMA: the chain of checks of one
 * access, the walk of one address, the mappings of one address space. Nothing is changed by an answer.
 */

import { READ, RIGHTS, WRITE } from '../iommu/access.js';
import type { Requester } from '../iommu/iommu.js';
import { NestedTable, type Translation } from '../iommu/nested-table.js';
import { PageTable } from '../iommu/page-table.js';
import { pasidOf, vpasidOf } from '../iommu/pasid.js';
import { VtdTable } from '../iommu/vtd-table.js';
import { vtdSteps } from '../iommu/vtd-walk-view.js';
import { failed, mappingSteps, passed, type Step, treeSteps } from '../iommu/walk-view.js';
import { refuse } from '../linux/errno.js';
import type { Machine } from '../machine/machine.js';
import type { MachineDevice } from '../machine/snapshot.js';
import type { Keys } from './items.js';
import { mappingsOf } from './mappings.js';
import type { Answer, Check, Question } from './model.js';

/** Mappings in one answer. */
const MAPPINGS = 500;

/** @throws Refusal EINVAL what is asked is no question; ENOENT it is about nothing that there is. */
export function answerTo(machine: Machine, keys: Keys, question: Question): Answer {
  switch (question.ask) {
    case 'reach':
      return { checks: reach(machine, question).map(checkOf) };
    case 'walk':
      return { checks: walk(machine, spaceOf(keys, question.space), question).map(checkOf) };
    case 'mappings': {
      const table = spaceOf(keys, question.space);
      const pages = table instanceof NestedTable ? table.parent : table;
      return { mappings: mappingsOf(machine.iommu, pages, addressOf(question.from), MAPPINGS) };
    }
    default:
      return refuse('EINVAL', 'what is asked is no question');
  }
}

function checkOf({ name, passed, says }: Step): Check {
  return { name, passed: passed ?? null, says };
}

/** @throws Refusal EINVAL it is no address. */
function addressOf(text: unknown): bigint {
  if (typeof text === 'string' && /^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(text)) {
    const address = BigInt(text);
    if (address < 2n ** 64n) return address;
  }
  return refuse('EINVAL', `"${String(text).slice(0, 40)}" is no address: 0x1000, or 4096`);
}

/** @throws Refusal ENOENT. */
function spaceOf(keys: Keys, key: string): Translation {
  return keys.table(key) ?? refuse('ENOENT', 'there is no such address space any more');
}

function walk({ iommu }: Machine, table: Translation, question: { iova: string; write: boolean }): Step[] {
  const iova = addressOf(question.iova);
  const access = question.write ? WRITE : READ;
  if (table instanceof VtdTable) return vtdSteps(iommu, table, iova, access);
  if (!(table instanceof PageTable)) return [failed('first stage', 'this IOMMU does not translate')];
  const steps = mappingSteps(iommu, table, iova, access, 'this address space');
  return [...treeSteps(iommu, table, iova), ...steps];
}

/** The checks of one access of a device, up to the first that fails. */
function reach(machine: Machine, question: Question & { ask: 'reach' }): Step[] {
  const device =
    machine.devices.find(({ driver }) => driver.life.name === question.device) ??
    refuse('ENOENT', 'there is no such device');
  const { vpasid, write } = question;
  if (!Number.isInteger(vpasid) || vpasid < 0 || vpasid >= 2 ** 20)
    refuse('EINVAL', `PASID ${vpasid} is no number of 20 bits`);
  const iova = addressOf(question.iova);
  const leaving = leavingSteps(device, vpasid);
  if (leaving.some((step) => step.passed === false)) return leaving;
  const { authorizations, requester } = device.driver.life.port;
  const pasid = isListed(device) ? authorizations.byVpasid(vpasidOf(vpasid))!.pasid : pasidOf(vpasid);
  return [...leaving, ...iommuSteps(machine, requester, pasid, iova, write)];
}

/** Is it the device's own list that its requests go by? */
function isListed({ driver }: MachineDevice): boolean {
  return driver.life.mediated || driver.hasAsids;
}

/** What is checked before a request is on the bus. */
function leavingSteps(device: MachineDevice, vpasid: number): Step[] {
  const { life } = device.driver;
  const steps: Step[] = [];
  steps.push({
    name: 'open',
    passed: undefined,
    says:
      life.holder === undefined
        ? `${life.name} is not open`
        : `${life.name} is open in process ${life.holder}`,
  });
  const kept = life.port.kept(vpasidOf(vpasid));
  if (isListed(device)) {
    const listed = life.port.authorizations.byVpasid(vpasidOf(vpasid));
    const [name, number] = device.driver.hasAsids ? ['ASIDs', 'ASID'] : ['own list', 'number'];
    if (listed === undefined)
      return [...steps, failed(name, kept ?? `${number} ${vpasid} is not in its list`)];
    steps.push(passed(name, `${number} ${vpasid} of ${life.name} means PASID ${listed.pasid}`));
  }
  if (kept !== undefined) return [...steps, failed('bus master', kept)];
  return [...steps, passed('bus master', `${life.name} may issue requests`)];
}

/** What the IOMMU checks. */
function iommuSteps(
  { iommu }: Machine,
  requester: Requester,
  pasid: ReturnType<typeof pasidOf>,
  iova: bigint,
  write: boolean,
): Step[] {
  const which = pasid === 0 ? 'requests without PASID' : `PASID ${pasid}`;
  const table = requester.tableOf(pasid);
  if (table === undefined) return [failed('PASID table', requester.noEntry(pasid))];
  const entry = passed('PASID table', `requester ${requester.rid} has an entry for ${which}`);
  const access = (write ? WRITE : READ) & RIGHTS;
  if (table instanceof VtdTable) return [entry, ...vtdSteps(iommu, table, iova, access)];
  if (table instanceof PageTable)
    return [entry, ...mappingSteps(iommu, table, iova, access, `PASID ${pasid}`)];
  return [entry, failed('first stage', 'this IOMMU does not translate')];
}
