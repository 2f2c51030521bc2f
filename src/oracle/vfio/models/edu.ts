/** Our edu as QEMU has it: a function of conventional PCI. Here it has a reset otherwise. */
import type { DeviceFactory } from '../../../devices/device-model.js';
import createEdu from '../../../devices/edu.js';

const createConventional: DeviceFactory = (host, options) => {
  const edu = createEdu(host, options);
  return Object.assign(edu, { pci: { ...edu.pci, conventional: true } });
};

export default createConventional;
