/** /sys of PCI functions under `ioasid run`: what is written there, in what state, and what the host sees. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ioasid, runner, shell } from '../../testkit/processes.js';

const BDF = '0000:6a:01.0';
const DEVICE = `/sys/bus/pci/devices/${BDF}`;
const DRIVER = '/sys/bus/pci/drivers/vfio-pci';
/** The host's PCI: what there is, and the values that a write could change. */
const host = `
  find /sys/bus/pci /sys/devices/pci* /sys/kernel/iommu_groups -maxdepth 3 | sort
  ls /sys/bus /sys/class /sys/devices; ls /sys/dev/char | grep '^5'
  cd /sys/bus/pci && cat drivers_autoprobe
  for device in devices/*; do
    for name in driver_override enable msi_bus irq; do echo "$device $name $(cat $device/$name)"; done
    od -An -tx1 $device/config
  done`;
/** Shell: waits for the condition. */
const until = (condition: string) => `until ${condition}; do sleep 0.01; done`;
/** Shell: holds the device open as descriptor 3, and unbinds it in the background. */
const unbinding = `
  exec 3<>/dev/vfio/devices/vfio0
  (exec 3>&-; echo ${BDF} >${DRIVER}/unbind) & writer=$!
  ${until('! test -e /dev/vfio/devices/vfio0')}
  test -e ${DEVICE}/driver && test -e /dev/vfio/1 && echo bound`;

describe(`/sys of PCI as ${runner.name}`, { skip: runner.skip }, () => {
  const inside = (script: string) => {
    const { status, stdout, stderr } = ioasid(['run', '--device', 'edu', '--', 'sh', '-c', script], runner);
    return { status, stdout, stderr };
  };

  it('unbinds a function that is open when it is closed, and the writer waits for that', () => {
    const script = `${unbinding}
      kill -0 $writer && exec 3>&-
      wait $writer && echo written
      ls -d ${DEVICE}/driver /dev/vfio/1 2>/dev/null
      echo ${BDF} >${DRIVER}/bind && ls /dev/vfio/devices /dev/vfio/1 ${DRIVER}/${BDF}/vfio-dev`;
    const there = '/dev/vfio/1\n\n/dev/vfio/devices:\nvfio0\n\n';
    const stdout = `bound\nwritten\n${there}${DRIVER}/${BDF}/vfio-dev:\nvfio0\n`;
    assert.deepEqual(inside(script), { status: 0, stdout, stderr: '' });
  });

  it('lets a writer go that is killed while it waits, and unbinds all the same', () => {
    const script = `${unbinding}
      kill -KILL $writer; wait $writer; echo $?
      test -e ${DEVICE}/driver && echo bound
      exec 3>&-
      ${until(`! test -e ${DEVICE}/driver`)}`;
    const { status, stdout } = inside(script);
    assert.deepEqual({ status, stdout }, { status: 0, stdout: 'bound\n137\nbound\n' });
  });

  it('shows all of configuration space to root, and to others the header', { skip: runner.uid !== 0 }, () => {
    const others = 'setpriv --reuid=65534 --regid=65534 --clear-groups';
    const script = `
      stat -c %s ${DEVICE}/config; wc -c <${DEVICE}/config
      ${others} wc -c <${DEVICE}/config; ${others} cat ${DEVICE}/config | wc -c
      ${others} sh -c 'echo 1 >${DEVICE}/reset; cat ${DEVICE}/reset' 2>/dev/null || echo refused`;
    const stdout = '4096\n4096\n4096\n64\nrefused\n';
    assert.deepEqual(inside(script), { status: 0, stdout, stderr: '' });
  });

  it('takes every kind of nonsense, of which nothing reaches the host', () => {
    const before = shell(host).stdout;
    const script = `
      cd /sys/bus/pci && for text in nonsense -1 '' 1 0 ${BDF} "8086 0b25"; do
        for file in $(find -L . devices/${BDF} drivers/vfio-pci -maxdepth 1 -type f -perm -200 | sort -u); do
          echo "$text" >$file
        done
        for name in rescan remove; do echo 1 >$name; echo 1 >devices/${BDF}/$name; done
        for driver in drivers/*; do echo ${BDF} >$driver/bind; echo "1234 11e8" >$driver/new_id; done
      done 2>/dev/null
      cat ${DEVICE}/vendor`;
    assert.deepEqual(inside(script), { status: 0, stdout: '0x1234\n', stderr: '' });
    assert.equal(shell(host).stdout, before);
  });

  it('lets nobody write to the functions of the host', { skip: runner.uid !== 0 }, () => {
    const script = `
      for file in /sys/devices/pci*/*/driver_override; do
        case $file in */${BDF}/*) continue;; esac
        (: >>$file) 2>/dev/null && echo $file
      done; echo end`;
    const { stdout } = inside(script);
    assert.equal(stdout, 'end\n');
  });

  const [first] = existsSync('/sys/bus/pci/devices') ? readdirSync('/sys/bus/pci/devices') : [];
  const hostHasNone = first === undefined && 'the host has no PCI function';

  it('has no function where the host has one', { skip: hostHasNone }, () => {
    const { status, stderr } = ioasid(['run', '--device', `edu,bdf=${first}`, '--', 'true'], runner);
    assert.equal(status, 125);
    assert.match(stderr, new RegExp(`bdf=${first}: this machine has a function there`));
  });

  it('is read by many while functions come and go, and what is held open stays open', () => {
    const readers = `for n in 1 2; do
        while test -e /sys/bus/pci/devices/${BDF}/config && ! test -e $TMP/end; do
          find -L ${DEVICE} ${DRIVER} /sys/class/vfio-dev -maxdepth 3 -type f -exec cat {} + >/dev/null 2>&1
        done &
      done`;
    const script = `TMP=$(mktemp -d)
      exec 3<${DEVICE}/vfio-dev/vfio0/dev
      ${readers}
      for n in $(seq 100); do echo ${BDF} >${DRIVER}/unbind; echo ${BDF} >${DRIVER}/bind; done
      touch $TMP/end; wait; rm -r $TMP
      cat <&3; cat ${DEVICE}/vfio-dev/vfio0/dev; ls /dev/vfio/devices`;
    assert.deepEqual(inside(script), { status: 0, stdout: '511:0\n511:0\nvfio0\n', stderr: '' });
  });

  it('may be held open 10,000 times by one program', () => {
    const program = `
      const { openSync, readSync } = require('node:fs');
      const fds = Array.from({ length: 10000 }, () => openSync('${DEVICE}/config'));
      const bytes = Buffer.alloc(4);
      for (const fd of fds) if (readSync(fd, bytes, 0, 4, 0) !== 4) throw new Error('short');
      console.log(fds.length, bytes.toString('hex'));`;
    const { status, stdout } = ioasid(
      ['run', '--device', 'edu', '--', process.execPath, '-e', program],
      runner,
    );
    assert.deepEqual({ status, stdout }, { status: 0, stdout: '10000 3412e811\n' });
  });
});
