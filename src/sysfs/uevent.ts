/**
 * The attribute `uevent`: what udev knows of a device, a variable a line, and a place to ask for an event.
 * Who asks is understood as by Linux (Documentation/ABI/testing/sysfs-uevent), and no event is sent: there is
 * nobody to hear it.
 */
import type { Attribute } from '../file/attributes.js';
import { refuse } from '../linux/errno.js';

const ACTIONS = 'add|remove|change|move|online|offline|bind|unbind';
const UUID = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const asked = new RegExp(`^(${ACTIONS})( ${UUID}( [0-9a-z]+=[0-9a-z]+)*)?\\n?$`, 'i');

/** `variables`: `DRIVER=vfio-pci`. */
export function uevent(variables: () => readonly string[]): Attribute {
  return {
    kind: 'attribute',
    mode: 0o644,
    show: () =>
      variables()
        .map((each) => `${each}\n`)
        .join(''),
    store: (text) => {
      if (!asked.test(text)) refuse('EINVAL', `"${text}" asks for no event`);
    },
  };
}
